//! Verbs that ask the running head-end: devices that come and go, commands and what becomes of them.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use crate::support::{HeadEnd, LOGGERS, Simulation, assert_fails, json, loggerhead, outcome, run, simulate};

/// The first simulated logger.
const FIRST: &str = "330302D110-01";

/// Only who is known may come in.
fn closed() -> String {
    LOGGERS.replace("enroll = \"accept\"", "enroll = \"refuse\"")
}

fn word<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// Starts a verb whose lines can be read as they come.
fn start(arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = loggerhead().args(arguments).stdout(Stdio::piped()).spawn().expect("the binary was built");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    (child, lines)
}

fn next_line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    lines.next().expect("a line").expect("a text")
}

#[test]
fn a_device_is_let_in_from_when_it_is_added_until_it_is_removed() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &closed());
    let address = head_end.address();
    let data = head_end.data().display().to_string();
    let at = ["--data", &data];
    let refused = ["simulate", "logger", "--to", &address, "--packets", "1", "--patience", "1", "--reconnect-ms", "50"];
    assert_fails(&refused, 1, "refused");

    let secret = directory.path().join("secret");
    std::fs::write(&secret, "IJKLMNOPQRSTUVWX\n").expect("a directory of this test");
    let secret = secret.display().to_string();
    let add = ["device", "add", "330302D110/01", "--id", "tower-1", "--secret-file", &secret, "--json"];
    let added = json(&[&add[..], &at[..]].concat());
    assert_eq!((word(&added, "/id"), word(&added, "/presence/state")), ("tower-1", "never"));
    assert_fails(&[&add[..], &at[..]].concat(), 1, "tower-1");
    simulate(&address, &["--packets", "2"]);
    let shown = json(&[&["device", "show", "tower-1", "--json"], &at[..]].concat());
    assert_eq!(word(&shown, "/presence/state"), "offline");
    assert_eq!(shown.pointer("/counters/packets").and_then(Value::as_u64), Some(2), "{shown}");
    let text = run(&[&["device", "show", "tower-1"], &at[..]].concat());
    assert!(text.contains("learnt") && text.contains("national") && !text.contains("IJKLMNOP"), "{text}");
    let listed = run(&[&["device", "list"], &at[..]].concat());
    assert!(listed.contains("tower-1") && listed.contains("offline"), "{listed}");
    let listed = json(&[&["device", "list", "--json"], &at[..]].concat());
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "the one of the configuration and this one: {listed}");

    let removed = json(&[&["device", "remove", "tower-1", "--json"], &at[..]].concat());
    assert_eq!(word(&removed, "/removed"), "tower-1");
    assert_fails(&refused, 1, "refused");
    assert_fails(&[&["device", "show", "tower-1"], &at[..]].concat(), 3, "loggerhead device list");
    assert_fails(&[&["device", "remove", "330302D110-06"], &at[..]].concat(), 1, "configuration");
    assert!(head_end.stop().success());
}

#[test]
fn devices_are_managed_while_no_server_runs() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    HeadEnd::configure(directory.path(), &closed());
    let config = directory.path().join("loggerhead.toml").display().to_string();
    let data = directory.path().join("data");
    let at = ["--config", &config];
    assert_fails(&[&["device", "list"], &at[..]].concat(), 4, "loggerhead serve");
    assert!(!data.exists(), "a look makes no store");

    let add = ["device", "add", "330302D110/01", "--id", "tower-1", "--secret", "text:IJKLMNOPQRSTUVWX", "--json"];
    assert_eq!(word(&json(&[&add[..], &at[..]].concat()), "/presence/state"), "never");
    assert_fails(&[&add[..], &at[..]].concat(), 1, "tower-1");
    let listed = json(&[&["device", "list", "--json"], &at[..]].concat());
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "the one of the configuration and this one: {listed}");
    let mut head_end = HeadEnd::start(directory.path(), &closed().replace("\"refuse\"", "\"pending\""));
    simulate(&head_end.address(), &["--packets", "1"]);
    let simulation = Simulation::start(&head_end.address(), &["--first-gateway", "2", "--seconds", "3600"]);
    head_end.wait_for_kind("pending");
    simulation.kill();
    assert!(head_end.stop().success());

    let shown = json(&[&["device", "show", "tower-1", "--json"], &at[..]].concat());
    assert_eq!(word(&shown, "/presence/state"), "offline");
    let accepted = json(&[&["device", "accept", "330302D110-02", "--json"], &at[..]].concat());
    assert_eq!(word(&accepted, "/state"), "active");
    run(&[&["device", "remove", "tower-1"], &at[..]].concat());
    assert_fails(&[&["device", "show", "tower-1"], &at[..]].concat(), 3, "loggerhead device list");
    let head_end = HeadEnd::start(directory.path(), &closed());
    simulate(&head_end.address(), &["--first-gateway", "2", "--packets", "1"]);
    assert!(head_end.stop().success());
}

#[test]
fn an_unknown_device_waits_until_it_is_accepted() {
    // A bare one has no secret to prove, only its cipher key, which is not enough to be let in unseen.
    for (enroll, dialect) in [("pending", "national"), ("pending", "bare"), ("accept", "bare")] {
        let directory = tempfile::tempdir().expect("a directory for this test");
        let configuration = LOGGERS.replace("enroll = \"accept\"", &format!("enroll = \"{enroll}\""));
        let mut head_end = HeadEnd::start(directory.path(), &configuration);
        let data = head_end.data().display().to_string();
        let devices = ["--dialect", dialect, "--rate", "20", "--seconds", "3600", "--reconnect-ms", "50"];
        let mut simulation = Simulation::start(&head_end.address(), &devices);
        head_end.wait_for_kind("pending");
        let listed = run(&["device", "list", "--data", &data]);
        assert!(listed.lines().any(|line| line.starts_with(FIRST) && line.contains("pending")), "{listed}");
        let accepted = json(&["device", "accept", FIRST, "--data", &data, "--json"]);
        assert_eq!(word(&accepted, "/state"), "active");
        simulation.wait_acknowledged(10);
        simulation.finish();
        assert!(head_end.stop().success());
    }
}

#[test]
fn a_device_that_is_there_answers_commands() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    let data = head_end.data().display().to_string();
    let at = ["--data", data.as_str(), "--wait", "120"];
    let load = ["--loggers", "2", "--dialect", "national,zhejiang", "--rate", "50", "--seconds", "3600"];
    let mut simulation = Simulation::start(&head_end.address(), &load);
    simulation.wait_acknowledged(100);
    for device in [FIRST, "330302D110-02"] {
        let period = json(&[&["command", device, "period", "15", "--json"], &at[..]].concat());
        assert_eq!(word(&period, "/state"), "answered", "{period}");
        let query = json(&[&["command", device, "query", "--json"], &at[..]].concat());
        assert_eq!(word(&query, "/state"), "answered", "{query}");
        assert!(word(&query, "/detail").contains("50 readings"), "{query}");
    }
    let (from, to) = ("2026-01-01T00:00:00+08:00", "2026-01-02T00:00:00+08:00");
    let text = run(&[&["command", FIRST, "query", "--from", from, "--to", to], &at[..]].concat());
    assert!(text.contains("answered"), "{text}");
    let listed = json(&["command", FIRST, "list", "--json", "--data", &data]);
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    simulation.finish();
    assert!(head_end.stop().success());
}

#[test]
fn what_was_asked_for_is_stored_as_such() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let socket = format!("unix:{}", directory.path().join("loggers.sock").display());
    let configuration = LOGGERS.replace("127.0.0.1:0", &socket);
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
    for place in [&first, &second] {
        std::fs::create_dir(place).expect("a directory of this test");
    }
    let head_end = HeadEnd::start(&first, &configuration);
    let load = ["--packets", "5", "--meters", "2", "--seconds", "3600", "--reconnect-ms", "50"];
    let mut simulation = Simulation::start(&socket, &[&load[..], &["--start", "2026-01-31T00:00:00Z"]].concat());
    simulation.wait_acknowledged(50);
    assert!(head_end.stop().success());

    // Another head-end has none of it and asks for it.
    let known = "[[device]]\nprotocol = \"logger\"\nidentity = \"330302D110/01\"\n";
    let head_end = HeadEnd::start(&second, &format!("{configuration}{known}"));
    let data = head_end.data().display().to_string();
    let span = ["--from", "2026-01-30", "--to", "2026-02-02", "--json", "--data", &data];
    let query = json(&[&["command", FIRST, "query"], &span[..]].concat());
    assert_eq!(word(&query, "/state"), "answered", "{query}");
    simulation.finish();
    assert!(head_end.stop().success());
    let stored = run(&["export", "readings", "--data", &data]);
    assert_eq!(stored.lines().skip(1).filter(|line| line.contains(",queried,")).count(), 10, "{stored}");
}

#[test]
fn a_command_waits_for_its_device_and_fails_with_it() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &closed());
    let data = head_end.data().display().to_string();
    let at = ["--data", data.as_str()];
    let (name, secret) = (["--id", "tower-1"], ["--secret", "text:IJKLMNOPQRSTUVWX"]);
    run(&[&["device", "add", "330302D110/01"], &name[..], &secret[..], &at[..]].concat());
    let kept = json(&[&["command", "tower-1", "period", "5", "--wait", "0", "--json"], &at[..]].concat());
    assert_eq!(word(&kept, "/state"), "accepted");
    assert_fails(&[&["command", "tower-1", "period", "5", "--wait", "1"], &at[..]].concat(), 1, "not connected");

    let (mut waiting, mut lines) = start(&[&["command", "tower-1", "query", "--wait", "120"], &at[..]].concat());
    assert!(next_line(&mut lines).contains("accepted"));
    let simulation = Simulation::start(&head_end.address(), &["--rate", "50", "--seconds", "3600"]);
    let rest: String = lines.map_while(Result::ok).collect();
    assert!(waiting.wait().expect("it is ours").success(), "it came with the next connection: {rest}");
    assert!(rest.contains("answered"), "{rest}");
    simulation.finish();

    let (mut waiting, mut lines) = start(&[&["command", "tower-1", "describe", "--wait", "120"], &at[..]].concat());
    assert!(next_line(&mut lines).contains("accepted"));
    run(&[&["device", "remove", "tower-1"], &at[..]].concat());
    let rest: String = lines.map_while(Result::ok).collect();
    assert_eq!(waiting.wait().expect("it is ours").code(), Some(1), "{rest}");
    assert!(rest.contains("failed"), "{rest}");
    assert_fails(&[&["command", "tower-1", "period", "5"], &at[..]].concat(), 3, "loggerhead device list");
    assert_fails(&[&["command", "tower-1", "period", "0"], &at[..]].concat(), 2, "1..=9999");
    assert!(head_end.stop().success());
}

#[test]
fn a_command_whose_device_does_not_come_expires() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &format!("command_s = 1\n{LOGGERS}"));
    let data = head_end.data().display().to_string();
    // The one device of the configuration never connects.
    let asked = outcome(&["command", "330302D110-06", "period", "5", "--wait", "120", "--data", &data]);
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert_eq!(asked.status.code(), Some(1), "{said}");
    assert!(said.contains("accepted") && said.contains("expired"), "{said}");
    assert!(head_end.stop().success());
}
