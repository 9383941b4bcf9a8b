//! What a head-end bears: the server and simulated loggers as two processes on the same cores, over loopback, with real
//! syncs to the disk that holds the build directory.
//!
//! `cargo bench -p loggerhead --bench load [-- [--quick] [full|paced|push|idle-configured|idle-enrolled]...]`
//!
//! Every run has an empty store; figures stand beside their goals. `--quick` shows in a minute whether all of it works;
//! its figures say little.

#[path = "load/push.rs"]
mod push;

use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A listener that takes every simulated logger.
const LISTENER: &str = r#"
[[listener]]
name = "loggers"
protocol = "logger"
address = ["127.0.0.1:0"]
enroll = "accept"
connections_max = 20000
connections_per_address_max = 20000
secrets = ["text:IJKLMNOPQRSTUVWX"]
[listener.logger]
aes_keys = ["text:0000000000123456"]
[web]
address = "off"
"#;
/// Who reports, under full load and paced.
const REPORTERS: [&str; 4] = ["--loggers", "200", "--window", "8"];
/// Packets a second of the paced run.
const PACE: &str = "2000";
/// The number of the first idle gateway: those before it warm the server up.
const IDLE_FIRST: u64 = 1000;
/// How long the server may take to start.
const START_WITHIN: Duration = Duration::from_mins(1);
/// How often a process is asked whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long all idle loggers may take to be there.
const IDLE_WITHIN: Duration = Duration::from_mins(5);
/// Memory is looked at this often until it falls no more: what logins needed is given back in between.
const SETTLING: Duration = Duration::from_secs(1);
/// Looks without a lower figure after which memory is settled.
const SETTLED_AFTER: u32 = 5;
/// Syncs that are timed to know the disk.
const SYNCS: usize = 300;
/// Bytes written before each of them: a commit of moderate load.
const SYNC_BYTES: usize = 64 * 1024;

/// A part of the benchmark: its name and what it does.
type Part = (&'static str, fn(&Scale) -> io::Result<()>);

const PARTS: [Part; 5] = [
    ("full", full),
    ("paced", paced),
    ("push", push::push),
    ("idle-configured", idle_configured),
    ("idle-enrolled", idle_enrolled),
];

/// How much of it.
struct Scale {
    seconds: &'static str,
    idle: u64,
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
    let scale = if quick { Scale { seconds: "3", idle: 1_000 } } else { Scale { seconds: "15", idle: 10_000 } };
    let cores = std::thread::available_parallelism()?;
    say(format_args!("{cores} cores, shared by server and loggers; {}", sync_times()?))?;
    if quick {
        say("quick: short runs and few loggers, so these figures say little")?;
    }
    for (name, part) in PARTS.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name)) {
        say(format_args!("\n{name}"))?;
        part(&scale)?;
    }
    Ok(())
}

fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Prints a figure beside its goal.
fn figure(what: &str, measured: &str, goal: &str) -> io::Result<()> {
    say(format_args!("  {what:<52} {measured:>22}   {goal}"))
}

/// As fast as it goes.
fn full(scale: &Scale) -> io::Result<()> {
    say("  200 loggers, national dialect, 50 readings a packet, window 8, as fast as packets are acknowledged")?;
    load(&["--seconds", scale.seconds], "goal 800,000 (aim 1,400,000)", "")
}

/// At a steady pace.
fn paced(scale: &Scale) -> io::Result<()> {
    say("  the same loggers at 2,000 packets a second together")?;
    load(&["--seconds", scale.seconds, "--rate", PACE], "", "goal 10 ms where a sync takes under 1 ms")
}

/// One run of simulated loggers against an empty store.
fn load(arguments: &[&str], rate_goal: &str, p99_goal: &str) -> io::Result<()> {
    let server = Server::start("")?;
    let output = server.simulate(&[&REPORTERS[..], arguments].concat()).output()?;
    let result: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| io::Error::other(format!("{error}: {}", String::from_utf8_lossy(&output.stderr))))?;
    let number = |pointer: &str| result.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let ms = |pointer: &str| format!("{:.1} ms", number(pointer));
    let readings = number("/readings_acked");
    figure("readings stored and acknowledged a second", &thousands(number("/readings_per_second")), rate_goal)?;
    figure("packets a second", &thousands(number("/packets_per_second")), "")?;
    figure("packets not acknowledged", &thousands(number("/packets_unacknowledged")), "goal 0")?;
    figure("ack p50", &ms("/ack_ms/p50"), "")?;
    figure("ack p99", &ms("/ack_ms/p99"), p99_goal)?;
    figure("ack p99.9", &ms("/ack_ms/p999"), "")?;
    figure("ack longest", &ms("/ack_ms/max"), "")?;
    let share = server.processor_seconds()? * 1e9 / readings;
    figure("processor time of the server a reading", &format!("{share:.0} ns"), "")?;
    figure("memory of the server afterwards", &format!("{} KiB", server.resident_kib()?), "")
}

/// Loggers that stand in the configuration, with their names and secrets, as in an installation.
fn idle_configured(scale: &Scale) -> io::Result<()> {
    say(format_args!("  {} loggers of the configuration, logged in and silent", scale.idle))?;
    let mut devices = String::new();
    for gateway in IDLE_FIRST..IDLE_FIRST + scale.idle {
        write!(
            devices,
            "[[device]]\nid = \"tower-{gateway}\"\nidentity = \"330302D110/{gateway}\"\nsecret = \"text:IJKLMNOPQRSTUVWX\"\n"
        )
        .map_err(io::Error::other)?;
    }
    idle(&devices, scale.idle)
}

/// Loggers that nobody knew before.
fn idle_enrolled(scale: &Scale) -> io::Result<()> {
    say(format_args!("  {} loggers that enrol themselves, logged in and silent", scale.idle))?;
    idle("", scale.idle)
}

/// The memory of `count` loggers that say nothing.
fn idle(devices: &str, count: u64) -> io::Result<()> {
    let server = Server::start(devices)?;
    // What is needed once, however many loggers there are, is there after the first ones.
    server.simulate(&["--loggers", "10", "--packets", "3"]).output()?;
    let before = server.settled_kib()?;
    let (loggers, first) = (count.to_string(), IDLE_FIRST.to_string());
    let silent = ["--packets", "0", "--seconds", "3600", "--heartbeat", "3600"];
    let arguments = [&["--loggers", &loggers, "--first-gateway", &first], &silent[..]].concat();
    let mut simulation = Ended(server.simulate(&arguments).stdout(Stdio::null()).spawn()?);
    let began = Instant::now();
    while server.connected()? < count {
        if let Some(status) = simulation.0.try_wait()? {
            return Err(io::Error::other(format!("the loggers ended early: {status}")));
        }
        if began.elapsed() > IDLE_WITHIN {
            return Err(io::Error::other(format!("{} of {count} loggers are there", server.connected()?)));
        }
        std::thread::sleep(SETTLING);
    }
    let arrival = began.elapsed();
    let after = server.settled_kib()?;
    let each = after.saturating_sub(before) * 1024 / count;
    figure("memory of the server before", &format!("{before} KiB"), "")?;
    figure("memory with all of them", &format!("{after} KiB"), "")?;
    figure("memory of one", &format!("{each} bytes"), "goal 4,096 bytes")?;
    figure("until all were logged in, at most", &format!("{} s", arrival.as_secs() + 1), "")
}

/// A number for people: `1,600,106`.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How long this disk takes to sync a little.
fn sync_times() -> io::Result<String> {
    let path = work_directory().join("sync.probe");
    let mut file = std::fs::File::create(&path)?;
    let bytes = vec![1; SYNC_BYTES];
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&bytes)?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed());
    }
    std::fs::remove_file(path)?;
    times.sort();
    let share = |per_cent: usize| times.get(SYNCS * per_cent / 100).copied().unwrap_or_default();
    let kib = SYNC_BYTES / 1024;
    Ok(format!("a sync of {kib} KiB takes p50 {:.2?}, p90 {:.2?}, p99 {:.2?}", share(50), share(90), share(99)))
}

/// The build directory: on the disk whose syncs are meant, not in memory as `/tmp` may be.
fn work_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// A process that is ended with its part, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both only fail when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A head-end of its own, with an empty store.
struct Server {
    process: Ended,
    directory: PathBuf,
    address: String,
}

impl Server {
    fn start(devices: &str) -> io::Result<Self> {
        let directory = work_directory().join("load");
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        let file = directory.join("loggerhead.toml");
        let data = directory.join("data");
        std::fs::write(&file, format!("data_dir = \"{}\"\n{LISTENER}{devices}", data.display()))?;
        // Secrets that others may read draw a warning.
        std::fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_loggerhead"));
        command.arg("serve").arg("--config").arg(&file).args(["--set", "log.level=warn"]);
        let process = Ended(command.spawn()?);
        let mut server = Self { process, directory, address: String::new() };
        let began = Instant::now();
        while server.address.is_empty() {
            if let Some(status) = server.process.0.try_wait()? {
                return Err(io::Error::other(format!("the server ended early: {status}")));
            }
            if began.elapsed() > START_WITHIN {
                return Err(io::Error::other("the server does not start"));
            }
            std::thread::sleep(LOOK_EVERY);
            // Until it serves, nobody answers.
            let status = server.ask("/api/v1/status").and_then(|text| Ok(serde_json::from_str::<Value>(&text)?));
            let address = status.as_ref().ok().and_then(|status| status.pointer("/listeners/0/address")?.as_str());
            address.unwrap_or_default().clone_into(&mut server.address);
        }
        Ok(server)
    }

    fn simulate(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loggerhead"));
        command.args(["simulate", "logger", "--json", "--to", &self.address]).args(arguments);
        command
    }

    /// What its API answers, without the head.
    fn ask(&self, path: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(self.directory.join("data/api.sock"))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (_, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
        Ok(body.to_owned())
    }

    /// Devices that are connected, as its metrics say.
    fn connected(&self) -> io::Result<u64> {
        let text = self.ask("/metrics")?;
        let samples = text.lines().filter(|line| line.starts_with("loggerhead_devices{presence=\"connected-"));
        Ok(samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }

    /// Processor time of all its threads so far.
    fn processor_seconds(&self) -> io::Result<f64> {
        let stat = std::fs::read_to_string(self.proc("stat"))?;
        // User and system time are the 12th and 13th word after the name; the kernel counts in hundredths of a second.
        let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        Ok(words.skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum::<f64>() / 100.0)
    }

    /// Its resident memory, when it falls no more.
    fn settled_kib(&self) -> io::Result<u64> {
        let (mut least, mut looks) = (u64::MAX, 0);
        while looks < SETTLED_AFTER {
            std::thread::sleep(SETTLING);
            let now = self.resident_kib()?;
            looks = if now < least { 0 } else { looks + 1 };
            least = least.min(now);
        }
        Ok(least)
    }

    /// Its resident memory.
    fn resident_kib(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(self.proc("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        resident.and_then(|text| text.split_whitespace().next()?.parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.process.0.id().to_string()).join(file)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process ends after this; what it still writes goes with the next run.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
