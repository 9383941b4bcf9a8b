//! What people do to devices: by mouse and by keyboard.

use super::{DEVICE, assert_quiet, head_end, signed_in};
use crate::support::{Simulation, simulate};

/// Keys without a letter, as WebDriver has them.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
/// A name that is a script where it is not shown as text.
const NAME: &str = "<img src=x onerror=alert(1)><script>alert(2)</script>";

#[test]
fn commands_reach_their_logger_and_guests_are_accepted_or_refused() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    let mut simulation = Simulation::start(&head_end.address(), &["--rate", "2", "--seconds", "3600", "--meters", "1"]);
    simulation.wait_acknowledged(2);
    let browser = signed_in(&head_end, "operator");
    browser.open(&format!("{DEVICE}/commands"));
    browser.click("#order option[value=period]");
    browser.click("form[data-api] button");
    browser.wait("document.querySelector('#commands [data-state=\"answered\"]')");
    browser.picture("device-commands-answered");

    let gate = head_end.addresses_of("gate")[0].clone();
    let guests = ["--loggers", "2", "--first-gateway", "7", "--rate", "2", "--seconds", "3600", "--reconnect-ms", "50"];
    let guests = Simulation::start(&gate, &guests);
    browser.open("/setup");
    browser.wait("document.querySelectorAll('#pending tbody tr').length === 2");
    // One that is refused while it tries again would wait again.
    guests.kill();
    browser.picture("setup-pending");
    browser.click("#pending tbody tr button.danger");
    browser.wait("document.querySelectorAll('#pending tbody tr').length === 1");
    browser.click("#pending tbody tr button");
    browser.wait("!document.querySelector('#pending tbody tr')");

    browser.open("/events?severity=warning");
    browser.wait("document.querySelector('#list form[data-api] button')");
    let open = browser.count("#list form[data-api]");
    browser.click("#list form[data-api] button");
    browser.wait(&format!("document.querySelectorAll('#list form[data-api]').length < {open}"));
    browser.wait_text("#list td", "operator");
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}

#[test]
fn a_device_is_added_by_keyboard_alone_and_its_name_is_text() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    simulate(&head_end.address(), &["--packets", "1", "--meters", "1"]);
    let browser = signed_in(&head_end, "admin");
    browser.open("/setup/add");
    let focus = |id: &str| {
        // Every field is reached in a page's worth of steps.
        for _ in 0..60 {
            if browser.value("document.activeElement.id") == id {
                return;
            }
            browser.press(TAB);
        }
        panic!("no way to {id} by keyboard");
    };
    browser.press(TAB);
    assert_eq!(browser.value("document.activeElement.className"), "skip", "the first stop leads to the content");
    browser.press(ENTER);
    focus("identity");
    browser.press("330302D110/42");
    focus("site");
    browser.press(NAME);
    browser.wait_text("#configuration", "identity = \"330302D110/42\"");
    browser.press(ENTER);
    browser.wait("location.pathname === '/devices/330302D110-42'");
    browser.wait_text("#facts", NAME);
    browser.open("/devices");
    browser.wait("document.getElementById('site').textContent.includes('<script>')");
    browser.press("/");
    browser.press("D110/42");
    browser.press(ENTER);
    browser.wait("document.querySelectorAll('#list tbody tr').length === 1");
    assert_eq!(browser.count("main img, main script"), 0, "a name is text");
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}
