//! Peers that each report one thing after another: what robots, cameras and sensors have in common.

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

/// Reports of a peer that wait for their acknowledgement.
const WINDOW: usize = 16;

/// What lets them in.
const PROOF: &str = "their secret (--secret) has to be the one that it has for their names (--name)";

/// Options of all of them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CrowdArgs {
    /// Where the head-end listens: HOST:PORT, with an IPv6 address in brackets, udp:HOST:PORT or unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    pub(super) to: Address,
    #[command(flatten)]
    pub(super) way: Way,
    /// How they name themselves, with their number behind it [default: robot-, camera- or sensor-]
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Secret with which they prove who they are: text:...; empty for none
    #[arg(long, value_name = "SECRET", default_value = super::logger::MD5_KEY)]
    pub(super) secret: String,
    /// Reports that each of them sends
    #[arg(long)]
    packets: Option<u64>,
    /// How long to go on; without --packets, sends all the time [default: 10, unless --packets is given]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Reports a second of each of them
    #[arg(long, value_name = "REPORTS", default_value_t = 10.0)]
    rate: f64,
    /// Milliseconds before the first attempt to reconnect; further ones wait longer
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=600_000))]
    pub(super) reconnect_ms: u32,
    /// Write every acknowledged reading to this file
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Give up on what was not acknowledged for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub(super) patience: f64,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Who they are.
pub(super) struct Crowd {
    /// What they speak.
    pub(super) protocol: &'static str,
    /// Under which key of their settings their name stands.
    pub(super) name_key: &'static str,
    /// What their names begin with, unless an option says otherwise.
    pub(super) name: &'static str,
    /// How many.
    pub(super) count: u32,
    /// What they report.
    pub(super) meters: Meters,
    /// What else stands in their settings.
    pub(super) settings: toml::Table,
}

impl CrowdArgs {
    /// What it has in common with other simulations.
    pub(super) fn course(&self, devices: u32) -> Course {
        let Self { packets, seconds, patience, json, .. } = *self;
        Course { devices, packets, backlog: 0, seconds, patience, json, proof: PROOF }
    }
}

/// Sets them to work.
///
/// # Errors
/// When an option cannot be, or a file or thread cannot be had.
pub(super) fn launch(args: &CrowdArgs, crowd: Crowd, patience: Duration) -> anyhow::Result<Fleet> {
    limits::raise_files();
    let protocol = loggerhead_protocols::find(crowd.protocol)
        .with_context(|| format!("this build has no protocol {}", crowd.protocol))?;
    args.to.check(protocol)?;
    let journal = match &args.journal {
        Some(path) => Some(Journal::create(path).with_context(|| format!("making {}", path.display()))?),
        None => None,
    };
    let wall = Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond());
    // Whole milliseconds, like the times of reports; two reports of one time would be one.
    let step_ms = duration(1.0 / args.rate, "1 / --rate")?.as_millis().max(1);
    let step_ms = u64::try_from(step_ms).unwrap_or(u64::MAX);
    let plan = Plan {
        backlog: 0,
        live: args.packets,
        interval: Some(Duration::from_millis(step_ms)),
        phase: Duration::ZERO,
        start: None,
        step_ms: i64::try_from(step_ms).unwrap_or(i64::MAX),
        stay: args.seconds.is_some() || args.packets.is_none(),
    };
    let births =
        (1..=crowd.count).map(|number| birth(args, &crowd, protocol, &plan, number)).collect::<Result<_, _>>()?;
    let shared = Shared {
        target: Target { address: args.to.clone(), tls: None, way: args.way.clone() },
        meters: crowd.meters,
        journal,
        window: WINDOW,
        began: (Instant::now(), wall),
    };
    Fleet::launch(Arc::new(shared), births, 1, patience)
}

fn birth(args: &CrowdArgs, crowd: &Crowd, protocol: &Protocol, plan: &Plan, number: u32) -> anyhow::Result<Birth> {
    let name = format!("{}{number}", args.name.as_deref().unwrap_or(crowd.name));
    let id = DeviceId::from_identity(&Identity::new(&name).context("--name")?);
    let mut settings = crowd.settings.clone();
    settings.insert(crowd.name_key.to_owned(), name.into());
    settings.insert("secret".to_owned(), args.secret.as_str().into());
    settings.insert("reconnect_ms".to_owned(), i64::from(args.reconnect_ms).into());
    // Their side is one conversation: no other one wakes it, and it draws no random numbers.
    let opening = Opening {
        peer: args.to.to_string().into(),
        entropy: [0; 32],
        limits: Limits::default(),
        waker: Waker::noop().clone(),
        certified: None,
        carrier: args.to.carrier(),
    };
    let session = (protocol.device)(&settings, opening).context("a simulated peer")?;
    let phase = plan.interval.map_or(Duration::ZERO, |interval| interval * (number - 1) / crowd.count);
    Ok(Birth { number: number.into(), id, session, plan: Plan { phase, ..plan.clone() } })
}
