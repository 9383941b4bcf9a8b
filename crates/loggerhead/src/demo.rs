//! `demo`: a whole head-end on loopback with simulated loggers of every dialect, to see it work.

mod table;

use std::io::{self, IsTerminal as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use loggerhead_headend::config::{self, Address, Config, Device, Enroll, Listener, Log, LogFormat};
use loggerhead_headend::{BoundAddress, HeadEnd, StartError};
use loggerhead_model::{DeviceId, Identity, Role};
use loggerhead_protocols::Protocol;
use loggerhead_protocols::logger::dialect::{self, ProofStep};
use loggerhead_store::{FrameKeeping, Limits, Login, Retention, Secret};
use loggerhead_web::{ServeError, Server, Settings, Transport, Waits, Web};
use tokio::signal::unix::{SignalKind, signal};

use self::table::{Row, Table};
use crate::simulate::{self, Fleet, LoggerArgs, LoggerKeys, logger};
use crate::terminal;

/// How often every logger reports.
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// Packets that every logger kept from before the start.
const BACKLOG_PACKETS: u64 = 20;
/// How often the table is drawn on a terminal.
const DRAW_EVERY: Duration = Duration::from_secs(1);
/// How often a line is printed elsewhere.
const PRINT_EVERY: Duration = Duration::from_secs(5);
/// How long stopping may take.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Where the console is looked for.
const CONSOLE_PORT: u16 = 8080;
/// Who is signed in by the printed link.
const CONSOLE_ACCOUNT: &str = "demo";
/// The listener of the loggers.
const LOGGERS: &str = "loggers";
/// Whom the broker takes a client without a name for.
const ANONYMOUS: &str = "anonymous";
/// Connections at once: a demonstration is small.
const CONNECTIONS_MAX: usize = 10_000;

/// Options of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: loggerhead demo --loggers 30
Everything runs on this machine alone: a head-end on 127.0.0.1:36829, or on another port where that is taken, its store in
./loggerhead-data, loggers that send readings of made-up meters, and a broker of MQTT on port 1883, or another, that takes clients
without a name. It shows which verbs to try on it. Ctrl-C stops it; the
store stays, and the next demonstration goes on with it.")]
pub(crate) struct DemoArgs {
    /// How many loggers, of every dialect in turn
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    loggers: u32,
    /// Where the store is kept
    #[arg(long, value_name = "DIR", default_value = "loggerhead-data")]
    data: PathBuf,
    /// Stop by itself after so long
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs the verb until Ctrl-C, or for as long as asked.
///
/// # Errors
/// When the head-end or its loggers cannot start.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let protocol = loggerhead_protocols::find("logger").context("this build has no protocol `logger`")?;
    let mqtt = &loggerhead_protocols::mqtt::PROTOCOL;
    let seconds = args.seconds.map(|seconds| Duration::try_from_secs_f64(seconds).context("--seconds")).transpose()?;
    let keys = LoggerKeys::default();
    let wanted = config(&args, protocol, &keys, [protocol.port, mqtt.port])?;
    let socket = wanted.api_socket();
    let mut started = HeadEnd::start(wanted).await;
    // A port that clients expect is taken, that of MQTT more often than not: any other will do.
    for ports in [[protocol.port, 0], [0, 0]] {
        if matches!(started, Err(StartError::Listen { .. })) {
            started = HeadEnd::start(config(&args, protocol, &keys, ports)?).await;
        }
    }
    let headend = started.context("starting the head-end")?;
    let settings = |port| Settings { socket: socket.clone(), web: Some(web(port)), waits: Waits::default() };
    let api = match Server::start(headend.clone(), settings(CONSOLE_PORT)).await {
        Err(ServeError::Web { .. }) => Server::start(headend.clone(), settings(0)).await,
        started => started,
    };
    let api = api.context("starting the console")?;
    let link = api.sign_in_link(CONSOLE_ACCOUNT, Role::Admin).await?.context("the console is served nowhere")?;
    let (address, broker) = (address_of(&headend, LOGGERS)?, address_of(&headend, mqtt.name)?);
    let mut fleet = simulate::launch(&loggers(&args, keys, address), STOP_WITHIN)?;
    let introduction = introduction(&args, address, broker, &socket, &link);
    let shown = tokio::select! {
        shown = show(&args, &introduction, &headend, &fleet) => shown,
        told = told_to_stop(seconds) => told,
    };
    fleet.stop();
    // Loggers that do not hang up in time are cut off with the head-end.
    let _ = tokio::time::timeout(STOP_WITHIN, fleet.finished()).await;
    api.shutdown(STOP_WITHIN).await;
    headend.shutdown(STOP_WITHIN).await;
    shown?;
    let summary =
        simulate::Summary::new(&fleet.into_tally()?, u64::from(args.loggers), None, BACKLOG_PACKETS, logger::PROOF);
    summary.print(args.json)?;
    Ok(if summary.is_settled() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A head-end on loopback that takes every logger of the demonstration, at the first of these ports, and every client of MQTT.
fn config(args: &DemoArgs, protocol: &Protocol, keys: &LoggerKeys, ports: [u16; 2]) -> anyhow::Result<Config> {
    let [loggers_port, mqtt_port] = ports;
    let mut settings = toml::Table::new();
    settings.insert("aes_keys".to_owned(), vec![keys.aes_key.clone()].into());
    let loggers = Listener {
        enroll: Enroll::Accept,
        secrets: vec![Secret::new(keys.md5_key.trim_start_matches("text:").into())],
        connections_per_device_max: 4,
        ..listener(LOGGERS, protocol.name, loggers_port, settings)
    };
    let mqtt = loggerhead_protocols::mqtt::PROTOCOL.name;
    let mut settings = toml::Table::new();
    settings.insert("readings".to_owned(), true.into());
    let mut devices = cipher_only(args, protocol, keys)?;
    devices.push(anonymous()?);
    Ok(Config {
        data_dir: args.data.clone(),
        stop_within: STOP_WITHIN,
        command_within: Duration::from_hours(1),
        log: Log { format: LogFormat::Text, level: "warn".to_owned() },
        frames: FrameKeeping::Keep,
        retention: Retention::default(),
        limits: Limits::default(),
        files: config::Files::default(),
        web: config::Web::default(),
        listeners: vec![loggers, listener(mqtt, mqtt, mqtt_port, settings)],
        devices,
    })
}

/// A listener on loopback.
fn listener(name: &str, protocol: &str, port: u16, settings: toml::Table) -> Listener {
    Listener {
        name: name.to_owned(),
        protocol: protocol.to_owned(),
        addresses: vec![Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))],
        v6_only: true,
        sockets: config::Sockets::default(),
        call_through: None,
        socket_files: config::SocketFiles::default(),
        enroll: Enroll::Refuse,
        secrets: Vec::new(),
        proxies: Vec::new(),
        connections_max: CONNECTIONS_MAX,
        connections_per_address_max: CONNECTIONS_MAX,
        connections_per_device_max: CONNECTIONS_MAX,
        connects_per_s_max: 0,
        data_ports: None,
        first_frame: Duration::from_secs(5),
        login: Duration::from_secs(10),
        tls: None,
        websocket: None,
        settings,
    }
}

/// The account of all clients of MQTT that give no name: there are no others on this machine to keep out.
fn anonymous() -> anyhow::Result<Device> {
    Ok(Device {
        id: DeviceId::new(ANONYMOUS)?,
        protocol: loggerhead_protocols::mqtt::PROTOCOL.name.to_owned(),
        identity: Identity::new(ANONYMOUS)?,
        secret: Some(Secret::new(ANONYMOUS.into())),
        login: Login::Secret,
        site: None,
        settings: toml::Table::new(),
    })
}

/// The loggers that cannot prove a secret: their cipher key has to do, which only a configured device may be let in with.
fn cipher_only(args: &DemoArgs, protocol: &Protocol, keys: &LoggerKeys) -> anyhow::Result<Vec<Device>> {
    let numbered = (0..u64::from(args.loggers)).zip(dialect::ALL_DIALECTS.iter().cycle());
    let without_secret = numbered.filter(|(_, dialect)| dialect.habits.proof == ProofStep::Cipher);
    let device = |(number, _)| {
        let identity = logger::identity(keys, number)?;
        let mut settings = toml::Table::new();
        settings.insert("aes_key".to_owned(), keys.aes_key.as_str().into());
        let id = logger::device_id(keys, number)?;
        let (protocol, login) = (protocol.name.to_owned(), Login::Cipher);
        Ok(Device { id, protocol, identity, secret: None, login, site: None, settings })
    };
    without_secret.map(device).collect()
}

fn address_of(headend: &HeadEnd, listener: &str) -> anyhow::Result<SocketAddr> {
    let tcp = |(name, address)| match address {
        BoundAddress::Tcp(address) if name == listener => Some(address),
        BoundAddress::Tcp(_) | BoundAddress::Udp(_) | BoundAddress::Unix(_) | BoundAddress::Call(_) => None,
    };
    headend.addresses().into_iter().find_map(tcp).context("the head-end listens nowhere")
}

fn loggers(args: &DemoArgs, keys: LoggerKeys, address: SocketAddr) -> LoggerArgs {
    LoggerArgs {
        to: simulate::Address::Tcp { host: address.ip().to_string(), port: address.port() },
        way: simulate::Way::default(),
        tls: false,
        ca: None,
        dialect: "all".to_owned(),
        loggers: args.loggers,
        meters: 5,
        functions: 3,
        packets: None,
        seconds: args.seconds,
        rate: Some(f64::from(args.loggers) / REPORT_EVERY.as_secs_f64()),
        window: 4,
        backlog: BACKLOG_PACKETS,
        keys,
        start: None,
        seed: u64::from(std::process::id()),
        journal: None,
        patience: STOP_WITHIN.as_secs_f64(),
        threads: 1,
        json: false,
    }
}

/// The console, on this host alone.
fn web(port: u16) -> Web {
    let addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
    Web { addresses, transport: Transport::Plain, token: None }
}

/// What to try while the demonstration runs.
fn introduction(args: &DemoArgs, address: SocketAddr, broker: SocketAddr, socket: &Path, link: &str) -> String {
    let (data, socket) = (args.data.display(), socket.display());
    // As it was typed: after `cargo run` it is not on the search path.
    let program = std::env::args().next().unwrap_or_else(|| "loggerhead".to_owned());
    format!(
        "Open the console, once: {link}
{} simulated loggers of every dialect report to {address}; the store is in {data}, the API at {socket}.
Try, in another terminal:
  curl --unix-socket {socket} http://localhost/api/v1/devices
  {program} simulate logger --to {address} --first-gateway 9001 --loggers 50 --window 8
  {program} command 330302D110-01 query --data {data}
  {program} export readings --data {data} --format csv | head
  {program} mqtt sub 'loggerhead/+/readings/#' --to {broker}
  {program} mqtt pub readings/1/power 21.50 --to {broker}
Ctrl-C stops.",
        args.loggers
    )
}

/// Shows what happens, for ever.
async fn show(args: &DemoArgs, introduction: &str, headend: &HeadEnd, fleet: &Fleet) -> anyhow::Result<()> {
    let drawn = io::stdout().is_terminal() && !args.json;
    if !drawn && !args.json {
        terminal::say(introduction)?;
    }
    let mut ticks = tokio::time::interval(if drawn { DRAW_EVERY } else { PRINT_EVERY });
    let mut table = Table::default();
    loop {
        ticks.tick().await;
        let values = last_values(headend.clone()).await?;
        let rows = headend.devices().into_iter().filter(|device| device.id.as_str() != ANONYMOUS).map(|device| {
            let value = values.get(&device.id).cloned().unwrap_or_default();
            Row::new(device, value)
        });
        table.update(fleet.elapsed(), rows.collect(), &fleet.tally());
        if args.json {
            table.print_json()?;
        } else if drawn {
            table.draw(introduction)?;
        } else {
            table.print_line()?;
        }
    }
}

/// What the first channel of every device showed last.
async fn last_values(headend: HeadEnd) -> anyhow::Result<table::Values> {
    let read = move || {
        let mut values = table::Values::new();
        headend.store().reader().latest(&table::first_channel(), &mut |stored| {
            values.insert(stored.device.clone(), stored.reading.value.to_string());
            std::ops::ControlFlow::Continue(())
        })?;
        anyhow::Ok(values)
    };
    tokio::task::spawn_blocking(read).await.context("reading the last values")?
}

/// Ends with Ctrl-C, SIGTERM, or after `seconds`.
async fn told_to_stop(seconds: Option<Duration>) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("waiting for Ctrl-C"),
        _ = terminated.recv() => Ok(()),
        () = simulate::sleep_or_forever(seconds) => Ok(()),
    }
}
