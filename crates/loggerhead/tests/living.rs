//! The life of a head-end: who is let in, how it stops, how it takes a new configuration.

use serde_json::Value;

use crate::support::{
    Api, HeadEnd, LOGGERS, Signal, Simulation, assert_same, exported, journalled, outcome, signal, simulate,
};

fn count(result: &Value, key: &str) -> u64 {
    result.get(key).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {key} in {result}"))
}

#[test]
fn a_wrong_secret_is_refused_and_a_right_one_is_not() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let mut head_end = HeadEnd::start(directory.path(), LOGGERS);
    let address = head_end.address();
    let wrong = ["--md5-key", "text:wrong", "--packets", "1", "--patience", "2", "--reconnect-ms", "50"];
    let output = outcome(&[&["simulate", "logger", "--json", "--to", &address][..], &wrong[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let told = outcome(&[&["simulate", "logger", "--to", &address][..], &wrong[..]].concat());
    assert!(String::from_utf8_lossy(&told.stdout).contains("--md5-key"), "it says what to look at");
    let result: Value = serde_json::from_slice(&output.stdout).expect("the result is JSON");
    assert_eq!((count(&result, "devices_logged_in"), count(&result, "packets_acked")), (0, 0), "{result}");
    let refused = result.pointer("/errors/refused").and_then(Value::as_u64).unwrap_or(0);
    assert!(refused > 0, "{result}");
    head_end.wait_for_kind("refused");
    simulate(&address, &["--first-gateway", "2", "--packets", "1"]);
}

#[test]
fn who_fails_too_often_waits_and_who_was_there_before_does_not() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let mut head_end = HeadEnd::start(directory.path(), LOGGERS);
    let address = head_end.address();
    simulate(&address, &["--packets", "1"]);
    let wrong = ["--md5-key", "text:wrong", "--first-gateway", "2", "--seconds", "3600", "--reconnect-ms", "10"];
    let guessing = Simulation::start(&address, &wrong);
    head_end.wait_for("330302D110/02: throttled");
    let metrics = Api::Unix(head_end.data()).get("/metrics").body;
    let refused = |reason: &str| metrics.lines().any(|line| line.contains(&format!("reason=\"{reason}\"")));
    assert!(refused("wrong-proof") && refused("throttled"), "{metrics}");
    simulate(&address, &["--packets", "1"]);
    guessing.kill();
    // A logger whose key was corrected is let in when its time is over.
    simulate(&address, &["--first-gateway", "2", "--packets", "1", "--patience", "120", "--reconnect-ms", "100"]);
    assert!(head_end.stop().success());
}

#[test]
fn a_stop_keeps_what_was_acknowledged_and_refuses_nothing_that_was_sent() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let socket = format!("unix:{}", directory.path().join("loggers.sock").display());
    let configuration = LOGGERS.replace("127.0.0.1:0", &socket);
    let head_end = HeadEnd::start(directory.path(), &configuration);
    let arguments = ["--loggers", "6", "--dialect", "all", "--window", "8", "--reconnect-ms", "50"];
    let mut simulation = Simulation::start(&socket, &[&arguments[..], &["--seconds", "3600"]].concat());
    simulation.wait_acknowledged(500);
    let data = head_end.data();
    assert!(head_end.stop().success());
    let before = exported(&data);
    let head_end = HeadEnd::start(directory.path(), &configuration);
    simulation.wait_acknowledged(500);
    let (_, journal) = simulation.finish();
    assert!(head_end.stop().success());
    let (acknowledged, stored) = (journalled(&journal), exported(&data));
    assert!(before.len() >= 500);
    assert_same(&stored, &acknowledged);
}

#[test]
fn a_reload_applies_what_can_be_and_names_what_takes_a_restart() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let mut head_end = HeadEnd::start(directory.path(), LOGGERS);
    let address = head_end.address();
    let top = "stop_s = 7\n[log]\nlevel = \"info,loggerhead_headend=debug\"\n[store]\nframes = false\n";
    let device = "[[device]]\nidentity = \"330302D110/77\"\n";
    let listener = LOGGERS.replace("[listener.logger]", "[listener.socket]\nkeepalive_idle_s = 5\n[listener.logger]");
    HeadEnd::configure(directory.path(), &format!("{top}{listener}{device}"));
    signal(head_end.id(), Signal::SIGHUP);
    let warned = head_end.wait_for("takes effect at the next start only");
    assert_eq!(warned.get("key").and_then(Value::as_str), Some("store.frames"), "{warned}");
    let reloaded = head_end.wait_for("reloaded");
    assert_eq!((count(&reloaded, "devices_added"), count(&reloaded, "devices_changed")), (1, 0), "{reloaded}");
    assert_eq!(reloaded.get("listeners_changed").and_then(Value::as_str), Some("[\"loggers\"]"), "{reloaded}");
    simulate(&address, &["--packets", "1"]);
    assert_eq!(head_end.wait_for("closed").get("level").and_then(Value::as_str), Some("DEBUG"));
    HeadEnd::configure(directory.path(), &format!("[log]\nlevel = \"inof\"\n{LOGGERS}"));
    signal(head_end.id(), Signal::SIGHUP);
    let refused = head_end.wait_for_level("ERROR").to_string();
    assert!(refused.contains("log.level") && refused.contains("did you mean"), "{refused}");
    assert!(head_end.stop().success());
}

#[test]
fn a_listener_that_cannot_move_stays_where_it_was() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let address = |name: &str| format!("unix:{}", directory.path().join(name).display());
    let (here, there) = (address("here.sock"), address("there.sock"));
    let mut head_end = HeadEnd::start(directory.path(), &LOGGERS.replace("127.0.0.1:0", &here));
    std::fs::write(directory.path().join("there.sock"), "no socket").expect("a directory of this test");
    HeadEnd::configure(directory.path(), &LOGGERS.replace("127.0.0.1:0", &there));
    signal(head_end.id(), Signal::SIGHUP);
    let refused = head_end.wait_for_level("ERROR").to_string();
    assert!(refused.contains(&there), "{refused}");
    simulate(&here, &["--packets", "1"]);
    std::fs::remove_file(directory.path().join("there.sock")).expect("it was written");
    signal(head_end.id(), Signal::SIGHUP);
    head_end.wait_for("reloaded");
    simulate(&there, &["--packets", "1"]);
    assert!(head_end.stop().success());
}

#[test]
fn a_reload_opens_and_closes_listeners_and_keeps_connections() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let second = format!("unix:{}", directory.path().join("second.sock").display());
    let listener = |name: &str, address: &str| {
        LOGGERS.replace("\"loggers\"", &format!("{name:?}")).replace("127.0.0.1:0", address)
    };
    let first_only = LOGGERS.to_owned();
    let listener_of_second = listener("second", &second);
    let (second_listener, _) = listener_of_second.split_once("[[device]]").expect("the device follows");
    let mut head_end = HeadEnd::start(directory.path(), &first_only);
    let address = head_end.address();
    let mut simulation = Simulation::start(&address, &["--rate", "50", "--seconds", "3600", "--window", "4"]);
    simulation.wait_acknowledged(50);

    HeadEnd::configure(directory.path(), &format!("{second_listener}{first_only}"));
    signal(head_end.id(), Signal::SIGHUP);
    head_end.wait_for("reloaded");
    simulate(&second, &["--first-gateway", "2", "--packets", "2"]);

    HeadEnd::configure(directory.path(), "listener = \"this is no list\"");
    signal(head_end.id(), Signal::SIGHUP);
    head_end.wait_for_level("ERROR");
    simulate(&second, &["--first-gateway", "3", "--packets", "2"]);

    simulation.wait_acknowledged(50);
    let (result, _) = simulation.finish();
    assert_eq!(count(&result, "connections"), 1, "the connection outlived the reload: {result}");
    assert!(head_end.stop().success());
}
