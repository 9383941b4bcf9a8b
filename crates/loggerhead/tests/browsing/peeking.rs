//! The broker as operators see it: sessions, and what was said on the wire.

use std::process::Command;

use super::{assert_quiet, house, signed_in, with_accounts};
use crate::support::{Api, HeadEnd};

/// Runs a client of another maker.
fn client(head_end: &HeadEnd, program: &str, arguments: &[&str]) {
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens").clone();
    let (host, port) = address.rsplit_once(':').expect("HOST:PORT");
    let mut command = Command::new(program);
    command.args(["-h", host, "-p", port, "-u", "admin", "-P", "123456", "-V", "5"]).args(arguments);
    let output = command.output().expect("./check installs mosquitto-clients");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A client that subscribes and goes, with two messages that wait for it.
pub(super) fn subscribed(head_end: &HeadEnd) {
    let filters = ["-t", "plant/#", "-t", "weather", "-t", "$SYS/#", "-t", "loggerhead/+/alarms"];
    let session = ["-i", "wall", "-c", "-x", "604800", "-q", "1", "-E"];
    client(head_end, "mosquitto_sub", &[&session[..], &filters[..]].concat());
    for message in ["on", "off"] {
        client(head_end, "mosquitto_pub", &["-t", "plant/boiler", "-q", "1", "-m", message]);
    }
}

#[test]
fn sessions_and_conversations_of_the_brokers_clients_are_seen() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = with_accounts(HeadEnd::start(directory.path(), &house()));
    let browser = signed_in(&head_end, "viewer");
    browser.open("/broker");
    browser.wait("document.getElementById('connection').dataset.state === 'live'");
    subscribed(&head_end);
    for words in ["wall", "plant", "Away", "7 d", "plant/#", "+ 1 more", "2 \u{b7} "] {
        browser.wait_text("#sessions tbody", words);
    }
    browser.enter("#device", "nobody\u{e007}");
    browser.wait_text("#sessions .empty", "No session");
    browser.open("/broker");
    browser.click("#sessions tbody a");
    browser.wait("location.pathname === '/devices/plant'");
    browser.click("a[href='/devices/plant/conversation']");
    for words in ["CONNECT", "CONNACK", "PUBLISH, QoS 1", "PUBACK"] {
        browser.wait_text("#conversation", words);
    }
    let shown = browser.text("#conversation");
    assert!(!shown.contains("123456") && !shown.contains("31 32 33 34 35 36"), "{shown}");
    assert_quiet(&browser);

    let sessions = Api::Unix(head_end.data()).get("/api/v1/broker/sessions?device=plant").json();
    let session = sessions.pointer("/sessions/0").expect("the session that lasts");
    let figures = ["client", "connected", "expiry_s", "queued", "subscriptions_count"].map(|name| &session[name]);
    assert_eq!(figures.map(ToString::to_string), ["\"wall\"", "false", "604800", "2", "4"]);
    assert!(head_end.stop().success());
}
