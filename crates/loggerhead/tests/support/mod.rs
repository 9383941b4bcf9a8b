//! The built binary at work: a head-end on free ports, devices against it, and what is in its store.

mod export;
mod head_end;
mod http;
pub(crate) mod mqtt;
mod recorder;
mod simulation;

pub(crate) use self::export::{assert_same, exported, exported_by, journalled};
pub(crate) use self::head_end::{HeadEnd, LOGGERS};
pub(crate) use self::http::{Api, metric};
pub(crate) use self::recorder::Recorder;
pub(crate) use self::simulation::{Simulation, simulate};

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

pub(crate) use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

/// How long anything may take before a test says that it never will. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// The dialects, in the order in which `--dialect all` gives them to loggers.
pub(crate) const DIALECTS: [&str; 6] = ["national", "zhejiang", "shanghai", "supcon", "plain", "bare"];

/// Where chance begins in a test: at another place in each run, or at `TEST_SEED`.
#[expect(clippy::print_stdout, reason = "a random test says how to run it again")]
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}: run again with TEST_SEED={seed}");
    seed
}

/// The program under test.
pub(crate) fn loggerhead() -> Command {
    Command::new(env!("CARGO_BIN_EXE_loggerhead"))
}

/// Runs a verb to its end and gives what it printed; it must succeed.
#[track_caller]
pub(crate) fn run(arguments: &[&str]) -> String {
    printed(&outcome(arguments))
}

/// What a verb printed that must have succeeded.
#[track_caller]
pub(crate) fn printed(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// Runs a verb to its end and gives the JSON that it printed; it must succeed.
pub(crate) fn json(arguments: &[&str]) -> Value {
    let text = run(arguments);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} prints no JSON ({error}): {text}"))
}

/// Runs a verb to its end.
pub(crate) fn outcome(arguments: &[&str]) -> Output {
    loggerhead().args(arguments).output().expect("the binary was built for this test")
}

/// A data directory with the readings of two loggers of different dialects, and no server on it.
pub(crate) fn with_readings(directory: &Path) -> String {
    let head_end = HeadEnd::start(directory, LOGGERS);
    let load = ["--loggers", "2", "--dialect", "national,supcon", "--packets", "5", "--backlog", "5", "--meters", "2"];
    simulate(&head_end.address(), &load);
    let data = head_end.data();
    assert!(head_end.stop().success());
    data.display().to_string()
}

/// Runs a verb that must end with this code and say these words.
#[track_caller]
pub(crate) fn assert_fails(arguments: &[&str], code: i32, words: &str) {
    let output = outcome(arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(words), "{arguments:?} says what is wrong: {said}");
}

/// Changes what the system allows a running process, as the command of this name does.
pub(crate) fn prlimit(process: u32, limit: &str) {
    let status = Command::new("prlimit").args(["--pid", &process.to_string(), limit]).status();
    assert!(status.is_ok_and(|status| status.success()), "`prlimit {limit}` of util-linux for {process}");
}

/// Sends a signal to a process of this test.
pub(crate) fn signal(process: u32, signal: Signal) {
    let process = Pid::from_raw(i32::try_from(process).expect("a process has a small number"));
    nix::sys::signal::kill(process, signal).unwrap_or_else(|error| panic!("no {signal} for {process}: {error}"));
}
