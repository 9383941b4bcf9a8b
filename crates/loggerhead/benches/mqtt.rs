//! The broker beside mosquitto: both on the same cores, with the same simulated clients, one after the other in one run.
//!
//! `cargo bench -p loggerhead --bench mqtt [-- [--quick] [fan-in|fan-out|connects|idle|pace]...]`
//!
//! Needs `mosquitto` (Debian: `apt-get install mosquitto`). Every figure is printed for both, with the ratio. This broker has
//! an empty store on the disk that holds the build directory, and syncs before each PUBACK unless the line says `memory`;
//! mosquitto runs as it does without a configuration, which keeps nothing on disk, with its queues unlimited.

use std::fs::Permissions;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loggerhead_protocols::mqtt::encode::to_bytes;
use loggerhead_protocols::mqtt::message::{Connect, Level, Packet};
use loggerhead_protocols::mqtt::properties::Properties;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

/// Where mosquitto is when it is not in the path of who runs this.
const MOSQUITTO: &str = "/usr/sbin/mosquitto";
/// How long a broker may take to listen.
const START_WITHIN: Duration = Duration::from_mins(1);
/// How often that is tried.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long memory is left alone before it is looked at: what the connecting took is given back in between.
const SETTLING: Duration = Duration::from_secs(5);

/// A part of the benchmark: its name and what it does.
type Part = (&'static str, fn(&Scale) -> io::Result<()>);

const PARTS: [Part; 5] =
    [("fan-in", fan_in), ("fan-out", fan_out), ("connects", connects), ("idle", idle), ("pace", pace)];

/// How much of it.
struct Scale {
    seconds: &'static str,
    /// Copies to all subscribers: in a time, more messages would get into the system's buffers than a slow broker passes on in
    /// minutes.
    copies: u32,
    idle: usize,
    storm: &'static str,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo itself says `--bench`.
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let wanted: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|name| !PARTS.iter().any(|(part, _)| part == *name)) {
        let parts = PARTS.map(|(part, _)| part).join(", ");
        return Err(io::Error::other(format!("there is no part {unknown}; there are: {parts}")));
    }
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let scale = if quick {
        Scale { seconds: "2", copies: 2_000_000, idle: 500, storm: "2" }
    } else {
        Scale { seconds: "10", copies: 10_000_000, idle: 10_000, storm: "10" }
    };
    say(format_args!("{} cores, shared by broker and clients", std::thread::available_parallelism()?))?;
    say(format_args!("  {:<44} {:>12} {:>12} {:>8}", "", "loggerhead", "mosquitto", "ratio"))?;
    for (name, part) in PARTS.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name)) {
        say(name)?;
        part(&scale)?;
    }
    Ok(())
}

fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Prints a figure of both and how many times the one is the other.
fn compare(what: &str, ours: f64, theirs: f64) -> io::Result<()> {
    say(format_args!("  {what:<44} {ours:>12.1} {theirs:>12.1} {:>8.2}", ours / theirs))
}

/// Runs simulated clients against both brokers, each freshly started, and compares a figure.
fn run(what: &str, clients: &[&str], name: &str) -> io::Result<()> {
    let [ours, theirs] = [Broker::loggerhead()?.simulate(clients)?, Broker::mosquitto()?.simulate(clients)?];
    compare(what, figure(&ours, name)?, figure(&theirs, name)?)
}

fn figure(result: &Value, name: &str) -> io::Result<f64> {
    result.get(name).and_then(Value::as_f64).ok_or_else(|| io::Error::other(format!("no {name} in {result}")))
}

/// Many publishers, one subscriber: messages a second that arrive.
fn fan_in(scale: &Scale) -> io::Result<()> {
    for bytes in ["16", "64", "256"] {
        for (qos, kind, name) in
            [("0", "disk", "QoS 0"), ("1", "disk", "QoS 1, synced"), ("1", "memory", "QoS 1, in memory")]
        {
            let many = ["--publishers", "10", "--subscribers", "1", "--qos", qos, "--bytes", bytes];
            let more = ["--seconds", scale.seconds, "--window", "1000", "--name", kind];
            let what = format!("fan-in of 10, {name}, {bytes} bytes: messages/s");
            run(&what, &[&many[..], &more[..]].concat(), "received_per_second")?;
        }
    }
    Ok(())
}

/// One publisher, many subscribers: copies a second that arrive.
fn fan_out(scale: &Scale) -> io::Result<()> {
    for subscribers in [100, 1000] {
        for bytes in ["16", "64", "256"] {
            let many = ["--publishers", "1", "--subscribers", &subscribers.to_string(), "--qos", "0", "--bytes", bytes];
            let messages = (scale.copies / subscribers).to_string();
            let what = format!("fan-out to {subscribers}, QoS 0, {bytes} bytes: copies/s");
            run(&what, &[&many[..], &["--messages", &messages]].concat(), "received_per_second")?;
        }
    }
    Ok(())
}

/// Clients that connect all at once, again and again.
fn connects(scale: &Scale) -> io::Result<()> {
    let storm = ["--publishers", "500", "--subscribers", "0", "--storm", scale.storm];
    run("500 clients at once: connects/s", &storm, "connects_per_second")
}

/// Memory for each client that is connected and says nothing.
fn idle(scale: &Scale) -> io::Result<()> {
    let [ours, theirs] = [Broker::loggerhead()?.idle_bytes(scale.idle)?, Broker::mosquitto()?.idle_bytes(scale.idle)?];
    compare(&format!("{} idle clients: bytes each", scale.idle), ours, theirs)
}

/// How long a PUBACK takes at a steady pace.
fn pace(scale: &Scale) -> io::Result<()> {
    for rate in ["1000", "5000"] {
        for kind in ["disk", "memory"] {
            let many = ["--publishers", "10", "--subscribers", "1", "--qos", "1", "--rate", rate];
            let clients = [&many[..], &["--seconds", scale.seconds, "--name", kind]].concat();
            let results = [Broker::loggerhead()?.simulate(&clients)?, Broker::mosquitto()?.simulate(&clients)?];
            for name in ["acknowledge_p50_ms", "acknowledge_p99_ms"] {
                let [ours, theirs] = [figure(&results[0], name)?, figure(&results[1], name)?];
                compare(&format!("{rate} messages/s, {kind}: {name}"), ours, theirs)?;
            }
        }
    }
    Ok(())
}

/// A broker that is ended with what it is for.
struct Broker {
    process: Child,
    directory: PathBuf,
    address: String,
}

impl Broker {
    fn loggerhead() -> io::Result<Self> {
        let (directory, port) = (work_directory("loggerhead")?, free_port()?);
        let configuration = format!(
            r#"
data_dir = "{}"
[[listener]]
name = "mqtt"
protocol = "mqtt"
address = ["127.0.0.1:{port}"]
connections_max = 20000
connections_per_address_max = 20000
[[listener.mqtt.topic]]
filter = "memory/#"
durability = "memory"
[[device]]
id = "bench"
protocol = "mqtt"
identity = "bench"
secret = "text:bench"
[web]
address = "off"
"#,
            directory.join("data").display()
        );
        let file = directory.join("loggerhead.toml");
        std::fs::write(&file, configuration)?;
        // Secrets that others may read draw a warning.
        std::fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_loggerhead"));
        command.arg("serve").arg("--config").arg(&file).args(["--set", "log.level=warn"]);
        Self::start(command, directory, port)
    }

    fn mosquitto() -> io::Result<Self> {
        let (directory, port) = (work_directory("mosquitto")?, free_port()?);
        let file = directory.join("mosquitto.conf");
        let limits =
            "max_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\nlog_type error\nuser root\n";
        std::fs::write(&file, format!("listener {port} 127.0.0.1\nallow_anonymous true\n{limits}"))?;
        let mut command = Command::new(if Path::new(MOSQUITTO).exists() { MOSQUITTO } else { "mosquitto" });
        command.arg("-c").arg(&file);
        Self::start(command, directory, port)
    }

    fn start(mut command: Command, directory: PathBuf, port: u16) -> io::Result<Self> {
        let process = command.stdout(Stdio::null()).spawn().map_err(|error| {
            io::Error::other(format!("{}: {error}; it has to be installed", command.get_program().display()))
        })?;
        let mut broker = Self { process, directory, address: format!("127.0.0.1:{port}") };
        let began = Instant::now();
        while TcpStream::connect(&broker.address).is_err() {
            if let Some(status) = broker.process.try_wait()? {
                return Err(io::Error::other(format!("the broker ended early: {status}")));
            }
            if began.elapsed() > START_WITHIN {
                return Err(io::Error::other("the broker does not start"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(broker)
    }

    /// What simulated clients made of it.
    fn simulate(&self, clients: &[&str]) -> io::Result<Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loggerhead"));
        command.args(["simulate", "mqtt", "--json", "--user", "bench", "--password", "bench", "--to", &self.address]);
        let output = command.args(clients).stderr(Stdio::inherit()).output()?;
        serde_json::from_slice(&output.stdout).map_err(io::Error::other)
    }

    /// Resident memory that so many connected clients cost, each.
    fn idle_bytes(&self, count: usize) -> io::Result<f64> {
        // The first ones cost what all share.
        let warm = self.connect_all(0, count / 10)?;
        std::thread::sleep(SETTLING);
        let before = self.resident_kib()?;
        let all = self.connect_all(count / 10, count)?;
        std::thread::sleep(SETTLING);
        let grown = self.resident_kib()?.saturating_sub(before);
        let [kib, clients] = [grown, all.len() as u64].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        drop((warm, all));
        Ok(f64::from(kib) * 1024.0 / f64::from(clients))
    }

    fn connect_all(&self, from: usize, to: usize) -> io::Result<Vec<TcpStream>> {
        (from..to).map(|number| self.connect(number)).collect()
    }

    fn connect(&self, number: usize) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address)?;
        let client_id = format!("idle-{number}");
        let connect = Connect {
            level: Level::V4,
            clean_start: true,
            keep_alive_s: 600,
            properties: Properties::NONE,
            client_id: &client_id,
            will: None,
            user: Some("bench"),
            password: Some(b"bench"),
        };
        stream.write_all(&to_bytes(&Packet::Connect(connect), Level::V4))?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        if answer != [0x20, 2, 0, 0] {
            return Err(io::Error::other(format!("client {number} is refused: {answer:02x?}")));
        }
        Ok(stream)
    }

    fn resident_kib(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        resident.and_then(|text| text.split_whitespace().next()?.parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // All of it only fails when it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// An empty directory in the build directory: on the disk whose syncs are meant, not in memory as `/tmp` may be.
fn work_directory(name: &str) -> io::Result<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("mqtt-{name}"));
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// A port that nobody listens on.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
