//! Cameras that raise alarms.

use super::crowd::{Crowd, CrowdArgs};
use super::meters::Meters;

/// Options of `simulate camera`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CameraArgs {
    #[command(flatten)]
    pub(super) crowd: CrowdArgs,
    /// How many cameras
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) cameras: u32,
}

impl CameraArgs {
    /// Who they are.
    pub(super) fn who(&self) -> Crowd {
        Crowd {
            protocol: "camera",
            name_key: "camera",
            name: "camera-",
            count: self.cameras,
            meters: Meters::camera(),
            settings: toml::Table::new(),
        }
    }
}
