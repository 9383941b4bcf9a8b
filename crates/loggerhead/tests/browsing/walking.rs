//! What people come for: thousands of devices, events, what was said, a new device, listeners.

use std::fmt::Write as _;
use std::fs;

use super::{CONSOLE, PASSWORD, assert_quiet, head_end, signed_in, with_accounts};
use crate::support::{HeadEnd, Simulation, run, simulate};

/// Devices of a large list.
const MANY: usize = 10_000;
/// What the list shows, row by row.
const ROWS: &str = "[...document.querySelectorAll('#list tbody th a')].map((link) => link.textContent)";

#[test]
fn ten_thousand_devices_are_searched_sorted_filtered_and_paged() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let mut configuration =
        format!("{CONSOLE}[[listener]]\nname = \"loggers\"\nprotocol = \"logger\"\naddress = [\"127.0.0.1:0\"]\n");
    for number in 0..MANY {
        let site = number % 7;
        write!(configuration, "[[device]]\nid = \"tower-{number:05}\"\nprotocol = \"logger\"\nidentity = \"T{number:05}/01\"\nsite = \"site {site}\"\nsecret = \"text:IJKLMNOPQRSTUVWX\"\n").expect("a text takes everything");
    }
    let head_end = with_accounts(HeadEnd::start(directory.path(), &configuration));
    let browser = signed_in(&head_end, "viewer");
    browser.wait_text("#states", "10\u{202f}000");
    browser.click("a[href='/devices']");
    browser.wait_text("#list-title", "10\u{202f}000 devices");
    assert_eq!(browser.count("#list tbody tr"), 50, "a page of them");
    browser.click("#list a[rel=next]");
    browser.wait(&format!("({ROWS})[0] === 'tower-00050'"));
    browser.click("#list thead th a");
    browser.wait(&format!("({ROWS})[0] === 'tower-09999'"));
    browser.enter("#search", "T04321");
    browser.press("\u{e007}");
    browser.wait(&format!("JSON.stringify({ROWS}) === '[\"tower-04321\"]'"));
    browser.open("/devices?presence=never");
    browser.click("#site option[value='site 3']");
    browser.wait_text("#list-title", "1\u{202f}429 devices");
    assert_eq!(browser.value(&format!("({ROWS})[0]")), "tower-00003");
    browser.picture("devices-many");
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}

#[test]
fn events_are_filtered_followed_and_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    let browser = signed_in(&head_end, "operator");
    browser.open("/events?kind=login");
    browser.wait("document.getElementById('connection').dataset.state === 'live'");
    assert_eq!(browser.count("#list tbody tr"), 0);
    simulate(&head_end.address(), &["--packets", "1", "--meters", "1", "--loggers", "2"]);
    browser.wait_text("#list tbody", "330302D110/02 logged in");
    assert_eq!(browser.count("#list tbody tr"), 2, "only what was asked for");
    browser.enter("#device", "330302D110-01\u{e007}");
    browser.wait("document.querySelectorAll('#list tbody tr').length === 1");
    browser.wait("location.search.includes('device=330302D110-01') && location.search.includes('kind=login')");

    let wrong = [
        "simulate",
        "logger",
        "--to",
        &head_end.address(),
        "--md5-key",
        "text:ZZZZZZZZZZZZZZZZ",
        "--first-gateway",
        "9",
        "--packets",
        "1",
        "--patience",
        "1",
    ];
    assert!(!crate::support::outcome(&wrong).status.success());
    browser.open("/events?severity=warning&seen=no");
    browser.wait_text("#list tbody", "Refused");
    browser.wait("document.querySelector('#list form[data-api] button')");
    browser.value("window.before = document.querySelector('#list tbody tr').id");
    browser.click("#list form[data-api] button");
    browser.wait("!document.getElementById(window.before)");
    browser.open("/events?severity=warning");
    browser.wait_text("#list td", "operator");
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}

#[test]
fn files_are_sent_found_downloaded_and_removed_by_keyboard() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    simulate(&head_end.address(), &["--packets", "1", "--meters", "1", "--functions", "1"]);
    let path = directory.path().join("\u{62a5}\u{544a}.csv");
    // Two pieces, and a little more than that.
    let bytes: Vec<u8> = (0..17_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    fs::write(&path, &bytes).expect("a directory of this test");
    let browser = signed_in(&head_end, "operator");
    browser.open("/files");
    browser.wait_text("#list .empty", "No file fits");
    browser.value("document.querySelector('details.sending summary').focus()");
    browser.press("\u{e007}");
    browser.enter("#whose", "330302D110-01");
    browser.enter("#which", path.to_str().expect("text"));
    browser.value(
        "window.seen = [], new MutationObserver(() => window.seen.push(document.getElementById('sent').value))
        .observe(document.getElementById('sent'), { attributes: true })",
    );
    browser.value("document.querySelector('#send button').focus()");
    browser.press("\u{e007}");
    browser.wait_text("#list tbody", "\u{62a5}\u{544a}.csv");
    browser.wait_text("#told", "Sent, verified and kept.");
    browser.wait_text("#list tbody", "complete");
    assert_eq!(browser.value("window.seen.includes(8 * 1024 * 1024)"), true, "the bar moves with the pieces");
    browser.enter("#search", "\u{544a}\u{e007}");
    browser.wait("location.search.includes('search=') && document.querySelectorAll('#list tbody tr').length === 1");
    browser.click("#list tbody th a");
    assert_eq!(fs::read(browser.downloaded("csv")).expect("it was saved"), bytes);
    browser.click("#list form[data-api] button");
    browser.agree();
    browser.wait_text("#list .empty", "No file fits");
    browser.open("/files");
    browser.value("document.querySelector('details.sending').open = true");
    browser.enter("#whose", "nobody");
    browser.enter("#which", path.to_str().expect("text"));
    browser.click("#send button");
    browser.wait_text("#send .problem:not([hidden])", "no device nobody");
    assert_eq!(browser.violations(), [""; 0]);
    browser.picture("files-refused");
    assert!(head_end.stop().success());
}

#[test]
fn a_device_is_added_with_its_keys_and_the_configuration_that_is_shown_does_the_same() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let strict = "[[listener]]\nname = \"loggers\"\nprotocol = \"logger\"\naddress = [\"127.0.0.1:0\"]\n";
    let head_end = with_accounts(HeadEnd::start(directory.path(), &format!("{CONSOLE}{strict}")));
    let load =
        ["simulate", "logger", "--to", &head_end.address(), "--packets", "1", "--meters", "1", "--patience", "2"];
    assert!(!crate::support::outcome(&load).status.success(), "nobody knows it yet");
    let browser = signed_in(&head_end, "admin");
    browser.open("/setup/add");
    browser.wait_text("#doors", &head_end.address());
    browser.click("#protocol option[value=mqtt]");
    browser.wait("!document.querySelector('#doors').innerText.includes('127.0.0.1')");
    assert!(browser.text("#doors").contains("No listener speaks mqtt"), "{}", browser.text("#doors"));
    assert!(browser.text("#doors").contains("address = [\"0.0.0.0:1883\"]"), "{}", browser.text("#doors"));
    browser.picture("setup-add-no-listener");
    browser.click("#protocol option[value=logger]");
    browser.enter("#identity", "330302D110/01");
    browser.enter("#site", "tower");
    browser.enter("#secret", "text:IJKLMNOPQRSTUVWX");
    browser.enter("#aes_key", "text:0000000000123456");
    browser.enter("#settings", "dialect = \"national\"\nnothing");
    browser.wait("!document.getElementById('settings').validity.valid");
    browser.value("document.getElementById('settings').value = ''");
    browser.enter("#settings", "dialect = \"national\"");
    browser.wait("document.getElementById('settings').validity.valid");
    let expected = "[[device]]\nprotocol = \"logger\"\nidentity = \"330302D110/01\"\nsite = \"tower\"\n\
                    secret = \"text:IJKLMNOPQRSTUVWX\"\n\n[device.logger]\naes_key = \"text:0000000000123456\"\ndialect = \"national\"";
    browser.wait_text("#configuration", expected);
    let shown = browser.text("#configuration");
    browser.picture("setup-add-filled");
    browser.click("#new-device button");
    browser.wait("location.pathname === '/devices/330302D110-01'");
    run(&load);
    assert_quiet(&browser);
    assert!(head_end.stop().success());

    let other = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(other.path(), &format!("{CONSOLE}{strict}\n{shown}\n"));
    run(&["simulate", "logger", "--to", &head_end.address(), "--packets", "1", "--meters", "1", "--patience", "2"]);
    assert!(head_end.stop().success());
}

#[test]
fn listeners_stand_with_their_limits_and_what_is_used_of_them() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let limited = "[[listener]]\nname = \"loggers\"\nprotocol = \"logger\"\naddress = [\"127.0.0.1:0\"]\nenroll = \"accept\"\n\
                   secrets = [\"text:IJKLMNOPQRSTUVWX\"]\nconnections_max = 1234\nconnections_per_address_max = 77\n\
                   [listener.logger]\naes_keys = [\"text:0000000000123456\"]\n";
    let head_end = with_accounts(HeadEnd::start(directory.path(), &format!("{CONSOLE}{limited}")));
    let mut load = Simulation::start(
        &head_end.address(),
        &["--loggers", "3", "--meters", "1", "--rate", "3", "--seconds", "3600"],
    );
    load.wait_acknowledged(3);
    let browser = super::Browser::start(&head_end.api_address());
    browser.sign_in("viewer", PASSWORD);
    browser.click("a[href='/setup']");
    browser.wait_text("#listeners tbody", "3 / 1\u{202f}234");
    for words in [head_end.address().as_str(), "77", "are let in"] {
        browser.wait_text("#listeners tbody", words);
    }
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}
