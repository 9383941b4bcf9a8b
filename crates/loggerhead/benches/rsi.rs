//! Whether a robot in cycles of 4 ms is answered in each of them while data loggers load the same head-end.
//!
//! `cargo bench -p loggerhead --bench rsi [-- [--quick] [--full]]`
//!
//! Three processes on the same cores: the server, 200 data loggers, and this one with a robot that sends its state every 4 ms for a
//! minute, by a clock that waits for nobody. The loggers send 2,000 packets a second, or with `--full` as fast as they are
//! acknowledged, which leaves no core free. An answer is late when it comes more than a cycle after its state, by the times at which
//! the system had both; the server says the same of its side, from the moment at which the system had the state. Ends with an error
//! when an answer was late by either.

#[path = "rsi/robot.rs"]
mod robot;

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Listeners of both, and the robot.
const CONFIGURATION: &str = r#"
[[listener]]
name = "loggers"
protocol = "logger"
address = ["127.0.0.1:0"]
enroll = "accept"
secrets = ["text:IJKLMNOPQRSTUVWX"]
[listener.logger]
aes_keys = ["text:0000000000123456"]

[[listener]]
name = "cycles"
protocol = "rsi"
address = ["udp:127.0.0.1:0"]
[listener.rsi]
record_ms = 100

[[device]]
id = "arm"
protocol = "rsi"
identity = "127.0.0.1"
login = "name"

[web]
address = "off"
"#;
/// How long the server may take to start.
const START_WITHIN: Duration = Duration::from_mins(1);
/// How often it is asked whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the loggers report before the robot begins, so that their logins are over.
const WARM_UP: Duration = Duration::from_secs(2);

/// From one state to the next.
const CYCLE: Duration = Duration::from_millis(4);
/// The bound of the server's histogram that is a cycle.
const CYCLE_BOUND: &str = "0.004";
/// The server's histogram of how long answers took.
const ANSWERS: &str = "loggerhead_datagram_answer_seconds";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let seconds = if has("--quick") { 3_u32 } else { 60 };
    let server = Server::start()?;
    let (robots, loggers) = (server.address("cycles")?, server.address("loggers")?);
    let cores = std::thread::available_parallelism()?;
    let pace = if has("--full") { "as fast as they are acknowledged" } else { "2,000 packets a second together" };
    say(format_args!("{cores} cores, shared by server, robot and loggers; 200 loggers, {pace}"))?;
    let load_seconds = (u64::from(seconds) + 2 * WARM_UP.as_secs()).to_string();
    let mut load = vec!["logger", "--to", &loggers, "--loggers", "200", "--window", "8", "--seconds", &load_seconds];
    if !has("--full") {
        load.extend(["--rate", "2000"]);
    }
    let load = Running(simulate(&load).spawn()?);
    std::thread::sleep(WARM_UP);
    let robots = robots.parse().map_err(io::Error::other)?;
    let robot = std::thread::spawn(move || robot::run(robots, CYCLE, seconds * 250));
    let robot = robot.join().map_err(|_| io::Error::other("the robot broke"))??;
    let (answers, in_time) = (server.answers(Answers::All)?, server.answers(Answers::InTime)?);
    let load = load.result()?;
    let number = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    let late_here = answers - in_time;
    say(format_args!("  cycles of 4 ms                        {:>10}", robot.cycles))?;
    say(format_args!("  late answers, as the robot has them   {:>10}   goal 0", robot.late))?;
    say(format_args!("  late answers, as the server has them  {late_here:>10}   goal 0, of {answers}"))?;
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1.0)] {
        say(format_args!("  answer, {name:<30}{:>10.3} ms", ms(robot.quantile(part))))?;
    }
    say(format_args!("  a state left late by, at most         {:>10.3} ms", ms(robot.left_late)))?;
    say(format_args!("  readings of loggers a second          {:>10.0}", number(&load, "/readings_per_second")))?;
    say(format_args!("  packets not acknowledged              {:>10}", number(&load, "/packets_unacknowledged")))?;
    if robot.late > 0 || late_here > 0 {
        return Err(io::Error::other(format!("{} answers were late, {late_here} on the server's side", robot.late)));
    }
    Ok(())
}

fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// A simulation whose result is JSON.
fn simulate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loggerhead"));
    command.arg("simulate").args(arguments).arg("--json").stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

fn result(output: &[u8]) -> io::Result<Value> {
    serde_json::from_slice(output).map_err(|error| io::Error::other(format!("a simulation said nothing: {error}")))
}

/// A process that is killed when it is dropped.
struct Running(Child);

impl Running {
    /// What it says at its end.
    fn result(mut self) -> io::Result<Value> {
        let mut said = Vec::new();
        self.0.stdout.take().map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut said))?;
        self.0.wait()?;
        result(&said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Which of the server's answers.
#[derive(Clone, Copy)]
enum Answers {
    All,
    InTime,
}

/// A head-end whose store is on the disk that holds the build directory. The process ends before its directory goes.
struct Server {
    _process: Running,
    directory: TempDir,
}

impl Server {
    fn start() -> io::Result<Self> {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let file = directory.path().join("loggerhead.toml");
        std::fs::write(&file, format!("data_dir = \"{}\"\n{CONFIGURATION}", directory.path().join("data").display()))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_loggerhead"));
        command.arg("serve").arg("--config").arg(&file).args(["--set", "log.level=error"]).stdin(Stdio::null());
        let server = Self { _process: Running(command.spawn()?), directory };
        let deadline = Instant::now() + START_WITHIN;
        while server.address("cycles").is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other("the server does not start"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(server)
    }

    /// What is at this path of the API.
    fn ask(&self, path: &str) -> io::Result<String> {
        let mut socket = UnixStream::connect(self.directory.path().join("data/api.sock"))?;
        write!(socket, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
        Ok(body.to_owned())
    }

    /// How many answers the server has counted: all, or those within a bound.
    fn answers(&self, what: Answers) -> io::Result<u64> {
        let line = match what {
            Answers::All => format!("{ANSWERS}_count{{protocol=\"rsi\"}} "),
            Answers::InTime => format!("{ANSWERS}_bucket{{protocol=\"rsi\",le=\"{CYCLE_BOUND}\"}} "),
        };
        let figures = self.ask("/metrics")?;
        let value = figures.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok());
        value.ok_or_else(|| io::Error::other(format!("no figure {line}")))
    }

    /// Where the listener of this name listens.
    fn address(&self, listener: &str) -> io::Result<String> {
        let status = result(self.ask("/api/v1/status")?.as_bytes())?;
        let mut listeners = status.get("listeners").and_then(Value::as_array).into_iter().flatten();
        let found = listeners.find(|known| known.get("name").is_some_and(|name| name == listener));
        let address = found.and_then(|known| known.get("address")?.as_str());
        let address = address.ok_or_else(|| io::Error::other(format!("no listener {listener}")))?;
        Ok(address.strip_prefix("udp:").unwrap_or(address).to_owned())
    }
}
