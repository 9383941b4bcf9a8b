//! Devices of every dialect over every kind of socket, and what is stored of them.

use std::path::Path;

use serde_json::Value;

use crate::support::{
    DIALECTS, HeadEnd, LOGGERS, Signal, assert_same, exported, journalled, outcome, signal, simulate,
};

/// Sends packets with `arguments` to `to` and compares what was acknowledged with what is stored in the end.
fn check(directory: &Path, head_end: HeadEnd, simulations: &[(&str, &[&str])]) {
    let (data, mut acknowledged) = (head_end.data(), std::collections::BTreeMap::new());
    for (number, (to, arguments)) in simulations.iter().enumerate() {
        let journal = directory.join(format!("journal-{number}"));
        let journal_argument = ["--journal", journal.to_str().expect("a path of this test")];
        let result = simulate(to, &[arguments, &journal_argument[..]].concat());
        assert_eq!(result.get("packets_unacknowledged"), Some(&Value::from(0)), "{result}");
        let lines: Vec<String> =
            std::fs::read_to_string(&journal).expect("it was just written").lines().map(str::to_owned).collect();
        acknowledged.extend(journalled(&lines));
    }
    assert!(head_end.stop().success());
    assert!(!acknowledged.is_empty());
    assert_same(&exported(&data), &acknowledged);
}

#[test]
fn every_dialect_is_told_apart_on_one_port() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    let address = head_end.address();
    let arguments = ["--dialect", "all", "--loggers", "6", "--packets", "10", "--backlog", "5", "--window", "4"];
    check(directory.path(), head_end, &[(&address, &arguments)]);
}

#[test]
fn each_dialect_is_stored_and_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    let address = head_end.address();
    let arguments: Vec<[String; 10]> = (1..)
        .zip(DIALECTS)
        .map(|(gateway, dialect)| {
            [
                "--dialect",
                dialect,
                "--first-gateway",
                &gateway.to_string(),
                "--packets",
                "3",
                "--backlog",
                "2",
                "--window",
                "2",
            ]
            .map(str::to_owned)
        })
        .collect();
    let arguments: Vec<Vec<&str>> =
        arguments.iter().map(|arguments| arguments.iter().map(String::as_str).collect()).collect();
    let simulations: Vec<(&str, &[&str])> =
        arguments.iter().map(|arguments| (address.as_str(), arguments.as_slice())).collect();
    check(directory.path(), head_end, &simulations);
}

#[test]
fn devices_reach_a_head_end_over_ipv6_and_unix_sockets() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let socket = format!("unix:{}", directory.path().join("loggers.sock").display());
    let configuration = LOGGERS.replace(r#"["127.0.0.1:0"]"#, &format!(r#"["[::1]:0", "127.0.0.1:0", {socket:?}]"#));
    let head_end = HeadEnd::start(directory.path(), &configuration);
    let addresses = head_end.addresses_of("loggers").to_vec();
    let [v6, v4, unix] = addresses.as_slice() else { panic!("three addresses, not {addresses:?}") };
    let simulations: Vec<(&str, &[&str])> = vec![
        (v6, &["--first-gateway", "1", "--packets", "3"]),
        (v4, &["--first-gateway", "2", "--packets", "3"]),
        (unix, &["--first-gateway", "3", "--packets", "3"]),
    ];
    check(directory.path(), head_end, &simulations);
}

#[test]
fn devices_reach_a_head_end_over_tls() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let file = |name: &str| directory.path().join(name).to_str().expect("a path of this test").to_owned();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(file("cert.pem"), made.cert.pem()).expect("a directory of this test");
    std::fs::write(file("key.pem"), made.signing_key.serialize_pem()).expect("a directory of this test");
    let tls =
        format!("[listener.tls]\ncertificate = {:?}\nkey = {:?}\n[listener.logger]", file("cert.pem"), file("key.pem"));
    let head_end = HeadEnd::start(directory.path(), &LOGGERS.replace("[listener.logger]", &tls));
    let address = head_end.address().replace("127.0.0.1", "localhost");
    let plain = outcome(&["simulate", "logger", "--to", &address, "--packets", "1", "--patience", "1"]);
    assert!(!plain.status.success(), "a plain logger has nothing to say to TLS");
    let certificate = file("cert.pem");
    let arguments = ["--tls", "--ca", &certificate, "--packets", "5", "--loggers", "3", "--window", "2"];
    check(directory.path(), head_end, &[(&address, &arguments)]);
}

#[test]
fn a_certificate_is_read_again_when_its_file_changes_and_when_the_server_is_told() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let file = |name: &str| directory.path().join(name).to_str().expect("a path of this test").to_owned();
    // Both at once, as who renews certificates does, and a copy for those who believe this one.
    let issue = |copy: &str| {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let texts =
            [("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem()), (copy, made.cert.pem())];
        for (name, text) in texts {
            std::fs::write(file("new"), text).expect("a directory of this test");
            std::fs::rename(file("new"), file(name)).expect("a directory of this test");
        }
        file(copy)
    };
    let first = issue("first.pem");
    let tls =
        format!("[listener.tls]\ncertificate = {:?}\nkey = {:?}\n[listener.logger]", file("cert.pem"), file("key.pem"));
    let mut head_end = HeadEnd::start(directory.path(), &LOGGERS.replace("[listener.logger]", &tls));
    let address = head_end.address().replace("127.0.0.1", "localhost");
    let believing = |authority: &str| {
        let to = ["simulate", "logger", "--to", &address, "--tls", "--ca", authority, "--packets", "1"];
        outcome(&[&to[..], &["--patience", "1", "--reconnect-ms", "100"]].concat())
    };
    assert!(believing(&first).status.success());
    let second = issue("second.pem");
    head_end.wait_for("certificate read");
    assert!(believing(&second).status.success());
    let refused = believing(&first);
    let said = format!("{}{}", String::from_utf8_lossy(&refused.stdout), String::from_utf8_lossy(&refused.stderr));
    assert!(!refused.status.success() && said.contains("TLS: nobody in the file of --ca signed"), "{said}");
    signal(head_end.id(), Signal::SIGHUP);
    head_end.wait_for("certificate read");
    assert!(head_end.stop().success());
}
