//! What devices do is seen while they do it.

use super::{DEVICE, assert_quiet, head_end, signed_in};
use crate::support::Simulation;

/// Loggers that go on until they are ended.
const LOAD: [&str; 8] = ["--loggers", "2", "--meters", "1", "--rate", "4", "--seconds", "3600"];
/// What the first channel's latest reading is, to see it change.
const LATEST: &str = "[...document.querySelectorAll('#latest time')].map((time) => time.dateTime).join()";
/// Readings in the store, as the overview shows them.
const PACE: &str = "document.getElementById('pace').textContent";

#[test]
fn pages_follow_what_devices_do() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    let mut simulation = Simulation::start(&head_end.address(), &LOAD);
    simulation.wait_acknowledged(10);
    let browser = signed_in(&head_end, "viewer");
    browser.wait_text("#states", "2");
    let pace = browser.value(PACE);
    browser.wait(&format!("{PACE} !== {pace}"));

    browser.open(DEVICE);
    browser.wait("document.querySelector('#who [data-state=\"connected-fresh\"]')");
    let latest = browser.value(LATEST);
    browser.wait(&format!("{LATEST} !== {latest}"));
    browser.wait("document.getElementById('plot').dataset.drawn === 'yes'");

    simulation.kill();
    browser.wait("document.querySelector('#who [data-state=\"offline\"]')");
    browser.open("/devices?presence=offline");
    browser.wait("document.querySelectorAll('#list tbody [data-state=\"offline\"]').length === 2");
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}
