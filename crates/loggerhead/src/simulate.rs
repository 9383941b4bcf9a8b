//! `simulate`: as many devices as asked for from one process, and what the head-end made of them.

mod broker;
mod camera;
mod crowd;
mod device;
mod fleet;
mod histogram;
mod journal;
mod link;
pub(crate) mod logger;
mod meters;
mod people;
mod plan;
mod proxy;
mod robot;
mod rsi;
mod sensor;
mod summary;
mod tally;
pub(crate) mod trust;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use anyhow::Context as _;
use loggerhead_model::Timestamp;
use loggerhead_protocols::{Limits, Opening, Protocol};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

pub(crate) use self::fleet::Fleet;
pub(crate) use self::link::{Address, Stream, Target, Way};
pub(crate) use self::logger::LoggerKeys;
pub(crate) use self::summary::Summary;
pub(crate) use self::tally::Tally;

use crate::limits;

use self::crowd::{Crowd, CrowdArgs};
use self::device::{Birth, Shared};
use self::journal::Journal;
use self::meters::Meters;
use self::plan::Plan;

/// How often the line on a terminal changes, and how often a stuck simulation is looked for.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// How far in the past a logger's clock starts when it runs faster than ours: it should not run into the future.
const FAST_CLOCK_START_MS: i64 = 30 * 86_400_000;
/// Shortest step of a logger's clock: its times have no fractions of a second.
const CLOCK_STEP_MS: i64 = 1000;
/// Sampling interval of a backlog, unless live packets are slower.
const BACKLOG_STEP: Duration = Duration::from_mins(1);

/// Which devices are simulated.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Simulate {
    /// Data loggers
    #[command(
        after_help = "Example: loggerhead simulate logger --to 127.0.0.1:36829 --dialect all --loggers 12 --seconds 10"
    )]
    Logger(Box<LoggerArgs>),
    /// KUKA robots that report over EthernetKRL
    #[command(
        name = "kuka-eki",
        after_help = "\
Example: loggerhead simulate kuka-eki --to 127.0.0.1:54600 --robots 3 --rate 20 --seconds 10
The head-end has to know the robots, or to enrol them by their secret."
    )]
    KukaEki(robot::RobotArgs),
    /// A KUKA robot that runs the Robot Sensor Interface: a state every cycle, each to be answered within it
    #[command(
        name = "kuka-rsi",
        after_help = "\
Example: loggerhead simulate kuka-rsi --to 127.0.0.1:49152 --seconds 60
The head-end has to know it: device add 127.0.0.1 --protocol rsi --login name. Fails when an answer was late."
    )]
    KukaRsi(rsi::RsiArgs),
    /// A KUKA robot with a variable proxy, which waits for clients
    #[command(
        name = "kuka-proxy",
        after_help = "\
Examples:
  loggerhead simulate kuka-proxy --listen 127.0.0.1:7000
  loggerhead simulate kuka-proxy --listen 127.0.0.1:7000 --kind simple --writable '$OV_PRO' --discovery 127.0.0.1:6999
The head-end calls it: address = [\"call:127.0.0.1:7000\"] in a listener with protocol = \"varproxy\"."
    )]
    KukaProxy(proxy::ProxyArgs),
    /// Clients of an MQTT broker, this one or another
    #[command(after_help = "\
Examples:
  loggerhead simulate mqtt --publishers 100 --subscribers 1 --qos 1 --user admin --password-file secret.txt
  loggerhead simulate mqtt --publishers 1 --subscribers 1000 --rate 100 --user admin --password-file secret.txt
  loggerhead simulate mqtt --publishers 1000 --subscribers 0 --storm 10 --user admin --password-file secret.txt")]
    Mqtt(Box<broker::BrokerArgs>),
    /// Apps that have cameras, and cameras that raise alarms
    #[command(after_help = "\
Examples:
  loggerhead simulate camera --to 127.0.0.1:2021 --cameras 3 --apps 5 --rate 0.1 --seconds 60
  loggerhead simulate camera --to 127.0.0.1:2021 --cameras 3 --apps 0 --seconds 60
Each app logs in, synchronises its list of all the cameras up and down over data connections,
asks for their states, and is told of their alarms. The head-end has to know the apps' accounts, or
to enrol them by their password, and the cameras, as devices with kind = \"camera\"; a camera takes
accounts_per_camera_max accounts.")]
    Camera(Box<camera::CameraArgs>),
    /// Devices without a protocol: they print JSON, or lines of any form, which are to be answered
    #[command(after_help = "\
Examples:
  loggerhead simulate raw --to 127.0.0.1:4001 --devices 3 --rate 2 --seconds 10
  loggerhead simulate raw --to udp:127.0.0.1:4001 --line 'T={temperature} H={humidity} #{sequence}'
  loggerhead simulate raw --to unix:/run/loggerhead/printers.sock --line '{temperature}C' --answer OK
The head-end has to know them, or to enrol them by their secret; lines that do not say {device} are of the address that they come from.")]
    Raw(sensor::SensorArgs),
    /// People who send messages to themselves by line commands
    #[command(after_help = "\
Examples:
  loggerhead simulate line --to 127.0.0.1:2020 --users 100 --rate 2 --seconds 10
  loggerhead simulate line --to 127.0.0.1:2022 --encoding utf-8 --packets 3
The head-end has to know them, or to enrol them by their password.")]
    Line(people::LineArgs),
    /// People who send messages to themselves over WebSocket
    #[command(after_help = "\
Example: loggerhead simulate chat --to 127.0.0.1:57211 --users 100 --rate 2 --seconds 10
The head-end has to know them, or to enrol them by their password.")]
    Chat(people::PeopleArgs),
}

/// What all simulations have in common.
struct Course {
    /// How many devices there are.
    devices: u32,
    /// Live packets of each; none: for some time.
    packets: Option<u64>,
    backlog: u64,
    seconds: Option<f64>,
    patience: f64,
    json: bool,
    /// What lets them in, for whom it does not.
    proof: &'static str,
}

/// Options of `simulate logger`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LoggerArgs {
    /// Where the head-end listens: HOST:PORT, with an IPv6 address in brackets, or unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: Address,
    #[command(flatten)]
    pub(crate) way: Way,
    /// Speak TLS
    #[arg(long)]
    pub(crate) tls: bool,
    /// Certificates to believe, as PEM; without it any certificate is believed
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) ca: Option<PathBuf>,
    /// A dialect, several with commas, or all in turn
    #[arg(long, value_name = "NAME", default_value = "national")]
    pub(crate) dialect: String,
    /// How many loggers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) loggers: u32,
    /// Meters of a logger
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) meters: u32,
    /// Functions of a meter
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=i64::from(meters::FUNCTIONS_MAX)))]
    pub(crate) functions: u32,
    /// Live packets that each logger sends
    #[arg(long)]
    pub(crate) packets: Option<u64>,
    /// How long to go on; without --packets, sends all the time [default: 10, unless --packets is given]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<f64>,
    /// Live packets a second, of all loggers together; without it, as fast as they are acknowledged
    #[arg(long, value_name = "PACKETS")]
    pub(crate) rate: Option<f64>,
    /// Most packets of a logger that wait for their acknowledgement
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) window: u32,
    /// Packets that each logger kept from before the start
    #[arg(long, default_value_t = 0)]
    pub(crate) backlog: u64,
    #[command(flatten)]
    pub(crate) keys: LoggerKeys,
    /// The loggers' clock at their first live packet [default: now; 30 days ago when packets come faster than seconds]
    #[arg(long, value_name = "TIME")]
    pub(crate) start: Option<String>,
    /// For challenges and jitter; the same seed makes the same ones
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write every acknowledged reading to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Give up on what was not acknowledged for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub(crate) patience: f64,
    /// Threads to simulate on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl LoggerArgs {
    /// What it has in common with other simulations.
    fn course(&self) -> Course {
        let Self { packets, backlog, seconds, patience, json, .. } = *self;
        Course { devices: self.loggers, packets, backlog, seconds, patience, json, proof: logger::PROOF }
    }
}

/// Runs the verb: success when everything that was to be sent was acknowledged.
///
/// # Errors
/// When options contradict each other, or a file or thread cannot be had.
pub(crate) async fn run(simulate: Simulate) -> anyhow::Result<ExitCode> {
    match simulate {
        Simulate::Logger(args) => see_through(&args.course(), |patience| launch(&args, patience)).await,
        Simulate::Mqtt(args) => broker::run(&args).await,
        Simulate::KukaEki(args) => run_crowd(&args.crowd, args.who()).await,
        Simulate::KukaRsi(args) => rsi::run(&args).await,
        Simulate::KukaProxy(args) => proxy::run(&args).await,
        Simulate::Camera(args) => camera::run(&args).await,
        Simulate::Raw(args) => run_crowd(&args.crowd, args.who()?).await,
        Simulate::Line(args) => {
            let settings = args.settings();
            see_through(&args.people.course(), |patience| people::launch("line", &args.people, &settings, patience))
                .await
        }
        Simulate::Chat(args) => {
            let settings = toml::Table::new();
            see_through(&args.course(), |patience| people::launch("chat", &args, &settings, patience)).await
        }
    }
}

async fn run_crowd(args: &CrowdArgs, crowd: Crowd) -> anyhow::Result<ExitCode> {
    see_through(&args.course(crowd.count), |patience| crowd::launch(args, crowd, patience)).await
}

/// Runs devices to the end of their course, and tells what became of them.
async fn see_through(
    course: &Course,
    launch: impl FnOnce(Duration) -> anyhow::Result<Fleet>,
) -> anyhow::Result<ExitCode> {
    let summary = follow(course, launch, String::new).await?;
    summary.print(course.json)?;
    Ok(if summary.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs devices to the end of their course; what became of them. `beside` is shown on a terminal beside how far they are.
async fn follow(
    course: &Course,
    launch: impl FnOnce(Duration) -> anyhow::Result<Fleet>,
    beside: impl Fn() -> String,
) -> anyhow::Result<Summary> {
    let patience = duration(course.patience, "--patience")?;
    let seconds = match (course.seconds, course.packets) {
        (Some(seconds), _) => Some(duration(seconds, "--seconds")?),
        (None, Some(_)) => None,
        (None, None) => Some(Duration::from_secs(10)),
    };
    let mut fleet = launch(patience)?;
    let stuck = tokio::select! {
        () = fleet_done(&mut fleet, patience, seconds.is_none(), beside) => false,
        () = sleep_or_forever(seconds) => false,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("waiting for Ctrl-C")?;
            true
        }
    };
    fleet.stop();
    if !stuck {
        fleet.finished().await;
    } else if tokio::time::timeout(patience, fleet.finished()).await.is_err() {
        anyhow::bail!("simulated devices do not stop");
    }
    Ok(Summary::new(&fleet.into_tally()?, u64::from(course.devices), course.packets, course.backlog, course.proof))
}

/// Sets the loggers that `args` ask for to work.
///
/// # Errors
/// When options contradict each other, or a file or thread cannot be had.
pub(crate) fn launch(args: &LoggerArgs, patience: Duration) -> anyhow::Result<Fleet> {
    limits::raise_files();
    let protocol = loggerhead_protocols::find("logger").context("this build has no protocol `logger`")?;
    args.to.check(protocol)?;
    let tls = args.tls.then(|| trust::client(args.ca.as_deref(), None)).transpose()?;
    let journal = match &args.journal {
        Some(path) => Some(Journal::create(path).with_context(|| format!("making {}", path.display()))?),
        None => None,
    };
    let wall = Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond());
    let plan = plan(args, wall)?;
    let births = births(args, protocol, &plan)?;
    let shared = Shared {
        target: Target { address: args.to.clone(), tls, way: args.way.clone() },
        meters: Meters::new(args.meters, args.functions),
        journal,
        window: args.window as usize,
        began: (Instant::now(), wall),
    };
    Fleet::launch(Arc::new(shared), births, usize::from(args.threads), patience)
}

/// The plan of the first logger; the others differ in their phase.
fn plan(args: &LoggerArgs, wall: Timestamp) -> anyhow::Result<Plan> {
    let interval = match args.rate {
        Some(rate) if rate > 0.0 => Some(duration(f64::from(args.loggers) / rate, "--loggers / --rate")?),
        Some(rate) => anyhow::bail!("--rate {rate} is not above 0"),
        None => None,
    };
    let step = interval.unwrap_or(if args.packets == Some(0) { BACKLOG_STEP } else { Duration::ZERO });
    let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(CLOCK_STEP_MS);
    let runs_fast = step < Duration::from_millis(CLOCK_STEP_MS.unsigned_abs());
    let start = match &args.start {
        Some(start) => Timestamp::parse(start).context("--start")?,
        None if runs_fast => Timestamp::from_unix_ms(wall.unix_ms() - FAST_CLOCK_START_MS),
        None => wall,
    };
    let start = Timestamp::from_unix_ms(start.unix_ms().div_euclid(1000) * 1000);
    let step_ms = step_ms / 1000 * 1000;
    let live = args.packets;
    Ok(Plan {
        backlog: args.backlog,
        live,
        interval,
        phase: Duration::ZERO,
        start: Some(start),
        step_ms,
        stay: args.seconds.is_some(),
    })
}

fn births(args: &LoggerArgs, protocol: &Protocol, plan: &Plan) -> anyhow::Result<Vec<Birth>> {
    let known = logger::dialects();
    let dialects: Vec<&str> =
        if args.dialect == "all" { known.clone() } else { args.dialect.split(',').map(str::trim).collect() };
    if let Some(unknown) = dialects.iter().find(|dialect| !known.contains(dialect)) {
        anyhow::bail!("{unknown:?} is not a dialect: write {} or all", known.join(", "));
    }
    let mut random = StdRng::seed_from_u64(args.seed);
    let peer: Arc<str> = args.to.to_string().into();
    let birth = |(number, dialect): (u64, &&str)| {
        let mut entropy = [0; 32];
        random.fill_bytes(&mut entropy);
        // A device's side is one conversation: no other one wakes it.
        let waker = Waker::noop().clone();
        let opening = Opening {
            peer: Arc::clone(&peer),
            entropy,
            limits: Limits::default(),
            waker,
            certified: None,
            carrier: args.to.carrier(),
        };
        let settings = logger::settings(&args.keys, dialect, args.window, number);
        let session =
            (protocol.device)(&settings, opening).with_context(|| format!("a logger of dialect {dialect}"))?;
        let share = u32::try_from(number).unwrap_or(0);
        let phase = plan.interval.map_or(Duration::ZERO, |interval| interval * share / args.loggers);
        let id = logger::device_id(&args.keys, number).context("--building")?;
        Ok(Birth { number: args.keys.first_gateway + number, id, session, plan: Plan { phase, ..plan.clone() } })
    };
    (0..u64::from(args.loggers)).zip(dialects.iter().cycle()).map(birth).collect()
}

/// Waits until all devices have hung up, or, where they are to stop by themselves, until nothing has moved for
/// `patience`. Shows how far they are on a terminal.
async fn fleet_done(fleet: &mut Fleet, patience: Duration, gives_up: bool, beside: impl Fn() -> String) {
    let bar = std::io::stderr().is_terminal().then(indicatif::ProgressBar::new_spinner);
    let mut moved = (fleet.elapsed(), (0, 0));
    while tokio::time::timeout(PROGRESS_EVERY, fleet.finished()).await.is_err() {
        let (tally, now) = (fleet.tally(), fleet.elapsed());
        if let Some(bar) = &bar {
            bar.set_message(format!("{}{}", summary::progress(&tally, now), beside()));
            bar.tick();
        }
        let mark = (tally.logins, tally.packets_acked);
        if mark != moved.1 {
            moved = (now, mark);
        } else if gives_up && now.saturating_sub(moved.0) > patience {
            break;
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Waits for `duration`; without one, for ever.
pub(crate) async fn sleep_or_forever(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn duration(seconds: f64, name: &str) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds).with_context(|| format!("{name} {seconds}"))
}
