//! Robots that report over EthernetKRL.

use super::crowd::{Crowd, CrowdArgs};
use super::meters::Meters;

/// Options of `simulate kuka-eki`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RobotArgs {
    #[command(flatten)]
    pub(super) crowd: CrowdArgs,
    /// How many robots
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) robots: u32,
}

impl RobotArgs {
    /// Who they are.
    pub(super) fn who(&self) -> Crowd {
        Crowd {
            protocol: "kuka",
            name_key: "identity",
            name: "robot-",
            count: self.robots,
            meters: Meters::robot(),
            settings: toml::Table::new(),
        }
    }
}
