//! Simulated devices as their own process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;

use serde_json::Value;

use super::{PATIENCE, Signal, loggerhead, outcome, signal};

/// Runs `simulate logger` to its end and gives its result, which must be a success.
pub(crate) fn simulate(to: &str, arguments: &[&str]) -> Value {
    let output = outcome(&[&["simulate", "logger", "--json", "--to", to], arguments].concat());
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "simulate {arguments:?} --to {to}: {stdout}{stderr}");
    serde_json::from_str(&stdout).expect("the result is JSON")
}

/// Simulated devices at work whose acknowledged readings can be followed. Killed when dropped.
pub(crate) struct Simulation {
    process: Child,
    acknowledged: Receiver<String>,
    /// Every acknowledged reading so far, as lines of the journal.
    journal: Vec<String>,
    stderr: Option<JoinHandle<String>>,
}

impl Simulation {
    /// Starts them.
    pub(crate) fn start(to: &str, arguments: &[&str]) -> Self {
        let mut command = loggerhead();
        command.args(["simulate", "logger", "--json", "--to", to, "--journal", "/dev/stdout"]).args(arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary was built");
        let stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut stderr = process.stderr.take().expect("it is piped");
        let (acknowledge, acknowledged) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if acknowledge.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Self { process, acknowledged, journal: Vec::new(), stderr: Some(stderr) }
    }

    /// Takes note of what was acknowledged until now, and says how many readings that are.
    pub(crate) fn take_acknowledged(&mut self) -> usize {
        let before = self.journal.len();
        self.journal.extend(self.acknowledged.try_iter());
        self.journal.len() - before
    }

    /// Waits until `count` more readings are acknowledged.
    pub(crate) fn wait_acknowledged(&mut self, count: usize) {
        // What was acknowledged before now does not count.
        self.take_acknowledged();
        for _ in 0..count {
            match self.acknowledged.recv_timeout(PATIENCE) {
                Ok(line) => self.journal.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("nothing is acknowledged any more"),
                Err(RecvTimeoutError::Disconnected) => panic!("devices ended early: {}", self.last_words()),
            }
        }
    }

    /// Every acknowledged reading that was waited for, as lines of the journal.
    pub(crate) fn journal(&self) -> &[String] {
        &self.journal
    }

    /// What they said on standard error, when they have ended.
    fn last_words(&mut self) -> String {
        self.stderr.take().map(|stderr| stderr.join().expect("it only reads")).unwrap_or_default()
    }

    /// Ends them in the middle of whatever they do.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Tells the devices to send nothing more and waits until all is acknowledged. Gives the result and the journal.
    pub(crate) fn finish(mut self) -> (Value, Vec<String>) {
        signal(self.process.id(), Signal::SIGINT);
        self.journal.extend(self.acknowledged.iter());
        let status = self.process.wait().expect("it is ours");
        let stderr = self.last_words();
        let result = self.journal.pop().unwrap_or_default();
        assert!(status.success(), "devices ended with {status}: {result}\n{stderr}");
        (serde_json::from_str(&result).expect("the result is JSON"), std::mem::take(&mut self.journal))
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // It is gone already where the test ended well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
