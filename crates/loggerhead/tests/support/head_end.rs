//! A head-end as its own process.

use std::collections::HashMap;
use std::fmt::{Formatter, Write as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{PATIENCE, Signal, loggerhead, signal};

/// A listener that takes every simulated logger, and the one that proves itself by its cipher alone.
pub(crate) const LOGGERS: &str = r#"
[[listener]]
name = "loggers"
protocol = "logger"
address = ["127.0.0.1:0"]
enroll = "accept"
secrets = ["text:IJKLMNOPQRSTUVWX"]
[listener.logger]
aes_keys = ["text:0000000000123456"]

[[device]]
protocol = "logger"
identity = "330302D110/06"
login = "cipher"
[device.logger]
aes_key = "text:0000000000123456"
"#;

/// A running head-end. Killed when dropped.
pub(crate) struct HeadEnd {
    process: Child,
    lines: Receiver<Value>,
    /// What it said so far, for messages of failed tests.
    said: String,
    /// Where it listens, by name of the listener.
    addresses: HashMap<String, Vec<String>>,
    /// Where its API listens on TCP.
    api: Option<String>,
    directory: PathBuf,
}

/// A line of the log, in which no key stands twice: programs that read it would each take another one.
struct Line(Map<String, Value>);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object in which no key stands twice")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Line, A::Error> {
        let mut line = Map::new();
        while let Some((key, value)) = entries.next_entry::<String, Value>()? {
            if line.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format!("{key} stands twice")));
            }
        }
        Ok(Line(line))
    }
}

impl HeadEnd {
    /// Starts one in `directory` with `configuration`, and waits until it is ready.
    pub(crate) fn start(directory: &Path, configuration: &str) -> Self {
        let mut head_end = Self::spawn(directory, configuration);
        head_end.wait_ready();
        head_end
    }

    /// Starts one; it may not be ready yet.
    pub(crate) fn spawn(directory: &Path, configuration: &str) -> Self {
        Self::spawn_by(loggerhead(), directory, configuration)
    }

    /// Starts one by a command that runs the program with what is appended.
    pub(crate) fn spawn_by(mut command: Command, directory: &Path, configuration: &str) -> Self {
        Self::configure(directory, configuration);
        command.arg("serve").arg("--config").arg(directory.join("loggerhead.toml"));
        command.args(["--set", "log.format=json"]).stderr(Stdio::piped()).stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = command.spawn().expect("the binary was built for this test");
        let stderr = process.stderr.take().expect("it is piped");
        let (said, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line =
                    serde_json::from_str::<Line>(&line).map_or(Value::String(line), |Line(line)| Value::Object(line));
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            process,
            lines,
            said: String::new(),
            addresses: HashMap::new(),
            api: None,
            directory: directory.to_owned(),
        }
    }

    /// Writes the configuration in `directory`, for a start or a reload.
    pub(crate) fn configure(directory: &Path, configuration: &str) {
        let mut data = format!("data_dir = \"{}\"\n{configuration}", directory.join("data").display());
        if !configuration.contains("[web]") {
            // Tests run side by side, and the console has one usual port.
            data.push_str("\n[web]\naddress = \"off\"\n");
        }
        std::fs::write(directory.join("loggerhead.toml"), data).expect("a directory of this test");
    }

    /// Waits until it is ready, and learns where it listens.
    pub(crate) fn wait_ready(&mut self) {
        self.wait_for("ready");
    }

    /// Waits for a line with this message and gives it.
    pub(crate) fn wait_for(&mut self, message: &str) -> Value {
        self.wait_until("message", message)
    }

    /// Waits for an event of this kind and gives its line.
    pub(crate) fn wait_for_kind(&mut self, kind: &str) -> Value {
        self.wait_until("kind", kind)
    }

    /// Waits for a line of this level and gives it.
    pub(crate) fn wait_for_level(&mut self, level: &str) -> Value {
        self.wait_until("level", level)
    }

    fn wait_until(&mut self, key: &str, expected: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(error) => panic!("no line with {key} {expected} ({error}); it said:\n{}", self.said),
            };
            let _ = writeln!(self.said, "{line}");
            let word = |key: &str| line.get(key).and_then(Value::as_str);
            if let (Some("listening"), Some(listener), Some(address)) =
                (word("message"), word("listener"), word("address"))
            {
                self.addresses.entry(listener.to_owned()).or_default().push(address.to_owned());
            }
            if let (Some("api"), Some(address)) = (word("message"), word("address"))
                && !address.starts_with("unix:")
            {
                self.api = Some(address.to_owned());
            }
            if word(key) == Some(expected) {
                return line;
            }
        }
    }

    /// Where the listener `loggers` listens.
    pub(crate) fn address(&self) -> String {
        self.addresses_of("loggers").first().expect("the listener listens").clone()
    }

    /// Where a listener listens.
    pub(crate) fn addresses_of(&self, listener: &str) -> &[String] {
        self.addresses.get(listener).unwrap_or_else(|| panic!("no listener {listener}; it said:\n{}", self.said))
    }

    /// All that a listener answers to a peer who says this and no more.
    pub(crate) fn told(&self, listener: &str, said: &[u8]) -> Vec<u8> {
        let address = self.addresses_of(listener).first().expect("the listener listens");
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has one");
        stream.write_all(said).expect("it reads");
        stream.shutdown(Shutdown::Write).expect("it is open");
        let mut told = Vec::new();
        stream.read_to_end(&mut told).expect("it closes");
        told
    }

    /// Where its API listens on TCP.
    pub(crate) fn api_address(&self) -> String {
        self.api.clone().unwrap_or_else(|| panic!("no API on TCP; it said:\n{}", self.said))
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it is ours");
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait_end(mut self) {
        self.process.wait().expect("it is ours");
    }

    /// Tells it to stop in good order and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        signal(self.process.id(), Signal::SIGTERM);
        self.wait_for("stopped");
        self.process.wait().expect("it is ours")
    }
}

impl Drop for HeadEnd {
    fn drop(&mut self) {
        // It is gone already where the test ended well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
