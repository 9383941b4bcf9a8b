//! What the program says of itself: help, what is wrong with a configuration, exit codes.

use serde_json::Value;

use crate::support::{HeadEnd, LOGGERS, assert_fails, json, outcome, run};

/// Every verb that does something.
const VERBS: [&[&str]; 33] = [
    &["serve"],
    &["check"],
    &["decode"],
    &["export"],
    &["device"],
    &["device", "add"],
    &["device", "list"],
    &["device", "show"],
    &["device", "accept"],
    &["device", "remove"],
    &["command"],
    &["command", "tower-1", "period"],
    &["command", "tower-1", "query"],
    &["command", "tower-1", "list"],
    &["user"],
    &["user", "add"],
    &["user", "list"],
    &["user", "remove"],
    &["user", "password"],
    &["token"],
    &["token", "add"],
    &["token", "list"],
    &["token", "revoke"],
    &["backup"],
    &["send"],
    &["verify"],
    &["simulate"],
    &["simulate", "logger"],
    &["simulate", "kuka-eki"],
    &["simulate", "kuka-rsi"],
    &["simulate", "kuka-proxy"],
    &["simulate", "camera"],
    &["demo"],
];

#[test]
fn every_verb_explains_itself_with_an_example() {
    for verb in VERBS {
        let help = run(&[verb, &["--help"]].concat());
        let example = format!("loggerhead {}", verb.join(" "));
        let (_, examples) = help.split_once("Example").unwrap_or_else(|| panic!("{verb:?} has no example: {help}"));
        assert!(examples.contains(&example), "{verb:?}: {examples}");
    }
    let all = run(&["--help"]);
    assert!(all.contains("Exit codes:") && all.contains("loggerhead demo"), "{all}");
}

#[test]
fn a_wrong_configuration_is_refused_with_line_and_nearest_name() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let wrong =
        "[[listner]]\nname = \"a\"\n[[listener]]\nname = \"b\"\nprotocol = \"loger\"\nadress = \"127.0.0.1:0\"\n";
    HeadEnd::configure(directory.path(), wrong);
    let file = directory.path().join("loggerhead.toml").display().to_string();
    let expected = [
        (format!("{file}:2: listner: "), "\"listener\""),
        (format!("{file}:6: listener.b.protocol: "), "\"logger\""),
        (format!("{file}:7: listener.b.adress: "), "\"address\""),
    ];
    for verb in ["check", "serve"] {
        let output = outcome(&[verb, "--config", &file]);
        assert_eq!(output.status.code(), Some(2), "{verb}");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        for (place, name) in &expected {
            let line = said.lines().find(|line| line.contains(place.as_str()));
            assert!(line.is_some_and(|line| line.contains(name)), "{verb}: {place}{name}: {said}");
        }
    }
    let output = outcome(&["check", "--json", "--config", &file]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report.get("problems").and_then(Value::as_array).map(Vec::len), Some(3), "{report}");
}

#[test]
fn a_right_configuration_is_explained() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    HeadEnd::configure(directory.path(), LOGGERS);
    let file = directory.path().join("loggerhead.toml").display().to_string();
    let said = run(&["check", "--config", &file, "--set", "log.level=debug"]);
    assert!(said.contains("listener loggers: logger on 127.0.0.1:0") && said.contains("can start"), "{said}");
    assert!(said.contains("log.level = \"debug\"  (command line)"), "where it comes from: {said}");
    assert!(!said.contains("IJKLMNOPQRSTUVWX"), "a secret is never shown: {said}");
    let report = json(&["check", "--json", "--config", &file]);
    assert!(report.get("settings").and_then(Value::as_array).is_some_and(|all| !all.is_empty()), "{report}");
    assert!(!report.to_string().contains("IJKLMNOPQRSTUVWX"));
    // What it prints as an example is a configuration.
    std::fs::write(&file, run(&["check", "--example"])).expect("a directory of this test");
    let example = outcome(&["check", "--config", &file]);
    assert_ne!(example.status.code(), Some(1), "{}", String::from_utf8_lossy(&example.stdout));
}

#[test]
fn a_verb_that_cannot_do_its_work_says_why_by_its_exit_code() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let nothing = directory.path().join("nothing").display().to_string();
    let cases: [(&[&str], i32, &str); 10] = [
        (&["device", "list", "--data", &nothing], 4, "loggerhead serve"),
        (&["command", "tower-1", "period", "5", "--data", &nothing], 4, "loggerhead serve"),
        (&["export", "readings", "--data", &nothing], 3, "no store"),
        (&["verify", "--data", &nothing], 3, "no store"),
        (&["backup", "copy.db", "--data", &nothing], 3, "no store"),
        (&["export", "nonsense"], 2, "possible values"),
        (&["serve", "--config", &nothing], 2, "nothing"),
        (&["serve", "--data", &nothing, "--set", "log.levle=debug"], 2, "\"level\""),
        (&["simulate", "logger", "--to", "here"], 2, "HOST:PORT"),
        (&["simulate", "logger", "--to", "127.0.0.1:1", "--packets", "1", "--patience", "1"], 1, "refused"),
    ];
    for (arguments, code, words) in cases {
        assert_fails(arguments, code, words);
    }
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    let data = head_end.data().display().to_string();
    let second = outcome(&["serve", "--data", &data, "--set", "listener.logger.address=127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("in use by another process"), "{said}");
    assert!(head_end.stop().success());
}
