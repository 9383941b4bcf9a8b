//! People who send messages to themselves, as terminals or over WebSocket.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use anyhow::Context as _;
use loggerhead_model::{DeviceId, Identity, Timestamp};
use loggerhead_protocols::{Limits, Opening, Protocol};
use tokio::time::Instant;

use super::device::{Birth, Shared};
use super::fleet::Fleet;
use super::journal::Journal;
use super::link::{Address, Target, Way};
use super::meters::Meters;
use super::plan::Plan;
use super::{Course, duration};
use crate::limits;

/// Messages of one that wait for their answer: people say one thing after another.
const WINDOW: usize = 1;

/// What lets them in.
const PROOF: &str = "their password (--secret) has to be the one that it has for their names (--name)";

/// Options of `simulate line` and `simulate chat`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PeopleArgs {
    /// Where the head-end listens: HOST:PORT, with an IPv6 address in brackets, or unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
    #[command(flatten)]
    way: Way,
    /// How many people
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    users: u32,
    /// How they name themselves, with their number behind it
    #[arg(long, value_name = "NAME", default_value = "user-")]
    name: String,
    /// Their password: text:...
    #[arg(long, value_name = "SECRET", default_value = super::logger::MD5_KEY)]
    secret: String,
    /// Messages that each of them sends
    #[arg(long)]
    packets: Option<u64>,
    /// How long to go on; without --packets, sends all the time [default: 10, unless --packets is given]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Messages a second of each of them
    #[arg(long, value_name = "MESSAGES", default_value_t = 1.0)]
    rate: f64,
    /// Milliseconds before the first attempt to reconnect; further ones wait longer
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=600_000))]
    reconnect_ms: u32,
    /// Write every delivered message to this file
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Give up on what was not acknowledged for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    patience: f64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Options of `simulate line`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LineArgs {
    #[command(flatten)]
    pub(super) people: PeopleArgs,
    /// In which bytes the listener speaks
    #[arg(long, value_name = "ENCODING", default_value = "gb2312", value_parser = ["gb2312", "utf-8"])]
    encoding: String,
}

impl LineArgs {
    /// What stands in the settings of each besides who it is.
    pub(super) fn settings(&self) -> toml::Table {
        toml::Table::from_iter([("encoding".to_owned(), self.encoding.as_str().into())])
    }
}

impl PeopleArgs {
    /// What it has in common with other simulations.
    pub(super) fn course(&self) -> Course {
        let Self { packets, seconds, patience, json, .. } = *self;
        Course { devices: self.users, packets, backlog: 0, seconds, patience, json, proof: PROOF }
    }
}

/// Sets people to work who speak this protocol, with these settings besides who they are.
///
/// # Errors
/// When an option cannot be, or a file or thread cannot be had.
pub(super) fn launch(
    name: &'static str,
    args: &PeopleArgs,
    settings: &toml::Table,
    patience: Duration,
) -> anyhow::Result<Fleet> {
    limits::raise_files();
    let protocol = loggerhead_protocols::find(name).with_context(|| format!("this build has no protocol `{name}`"))?;
    args.to.check(protocol)?;
    let journal = match &args.journal {
        Some(path) => Some(Journal::create(path).with_context(|| format!("making {}", path.display()))?),
        None => None,
    };
    let wall = Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond());
    let interval = duration(1.0 / args.rate, "1 / --rate")?;
    let plan = Plan {
        backlog: 0,
        live: args.packets,
        interval: Some(interval),
        phase: Duration::ZERO,
        start: Some(wall),
        // Two messages of one time would be one.
        step_ms: i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1),
        stay: args.seconds.is_some() || args.packets.is_none(),
    };
    let birth = |number| birth(args, protocol, settings.clone(), &plan, number);
    let births = (1..=args.users).map(birth).collect::<Result<_, _>>()?;
    let shared = Shared {
        target: Target { address: args.to.clone(), tls: None, way: args.way.clone() },
        meters: Meters::new(1, 1),
        journal,
        window: WINDOW,
        began: (Instant::now(), wall),
    };
    Fleet::launch(Arc::new(shared), births, 1, patience)
}

fn birth(
    args: &PeopleArgs,
    protocol: &Protocol,
    mut settings: toml::Table,
    plan: &Plan,
    number: u32,
) -> anyhow::Result<Birth> {
    let name = format!("{}{number}", args.name);
    let id = DeviceId::from_identity(&Identity::new(&name).context("--name")?);
    settings.insert("user".to_owned(), name.into());
    settings.insert("secret".to_owned(), args.secret.as_str().into());
    settings.insert("reconnect_ms".to_owned(), i64::from(args.reconnect_ms).into());
    // A person's side is one conversation: no other one wakes it.
    let opening = Opening {
        peer: args.to.to_string().into(),
        entropy: rand::random(),
        limits: Limits::default(),
        waker: Waker::noop().clone(),
        certified: None,
        carrier: args.to.carrier(),
    };
    let session = (protocol.device)(&settings, opening).context("a simulated person")?;
    let phase = plan.interval.map_or(Duration::ZERO, |interval| interval * (number - 1) / args.users);
    Ok(Birth { number: number.into(), id, session, plan: Plan { phase, ..plan.clone() } })
}
