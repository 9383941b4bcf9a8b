//! What devices do is seen while they do it.

use super::{DEVICE, assert_quiet, head_end, signed_in};
use crate::support::Simulation;

/// Loggers that go on until they are ended.
const LOAD: [&str; 8] = ["--loggers", "2", "--meters", "1", "--rate", "4", "--seconds", "3600"];
/// What the first channel's latest reading is, to see it change.
const LATEST: &str = "[...document.querySelectorAll('#latest time')].map((time) => time.dateTime).join()";
/// Readings in the store, as the overview shows them.
const PACE: &str = "document.getElementById('pace').textContent";

/// Takes from pages whatever they would do from time to time on their own: what is new has to be pushed to them.
const NO_POLLING: &str = "
    const later = window.setTimeout.bind(window);
    window.setInterval = () => 0;
    window.setTimeout = (work, wait = 0, ...more) => (wait < 1000 ? later(work, wait, ...more) : 0);
";
/// A script that counts in `window.quick` how many packets of this query in a row were seen in the page within a second of
/// their coming. `seen` is how far the page shows what came, `place` how far a `packet` is, up to which there are `count` readings.
fn watch(query: &str, seen: &str, place: &str) -> String {
    format!(
        "(async () => {{
            const {{ store }} = await (await fetch('/api/v1/status')).json();
            let count = store.readings;
            const script = document.querySelector('script[src$=\"chart.js\"]');
            if (script) window.chart = await import(script.src);
            const waiting = [];
            window.quick = 0;
            const packets = new EventSource(`/api/v1/live?kinds=readings&from=${{store.cursor}}&{query}`);
            packets.addEventListener('readings', ({{ data }}) => {{
                const packet = JSON.parse(data);
                count += packet.readings.length;
                waiting.push({{ at: performance.now(), place: {place} }});
            }});
            const look = () => {{
                while (waiting.length && {seen} >= waiting[0].place) {{
                    window.quick = performance.now() - waiting.shift().at < 1000 ? window.quick + 1 : 0;
                }}
                setTimeout(look, 10);
            }};
            look();
            return true;
        }})()"
    )
}

#[test]
fn overview_and_device_page_show_new_readings_within_a_second_without_asking_for_them() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    let load = ["--loggers", "4", "--meters", "1", "--functions", "1", "--rate", "4", "--seconds", "3600"];
    let mut simulation = Simulation::start(&head_end.address(), &load);
    simulation.wait_acknowledged(8);
    let browser = signed_in(&head_end, "viewer");
    browser.before_pages(NO_POLLING);
    let check = |path: &str, query: &str, seen: &str, place: &str| {
        browser.open(path);
        assert_eq!(browser.promised(&watch(query, seen, place), &[]), true, "{path}");
        browser.wait("window.quick >= 4");
    };
    let stored = "Number(document.querySelector('#store [data-figure=stored]').textContent.replace(/\\D/g, ''))";
    check("/", "", stored, "count");
    let rate = "Number(document.querySelector('[data-figure=readings]').textContent) > 0";
    browser.wait(rate);
    let newest = "window.chart.shown.flatMap(({ points }) => points).at(-1)?.at";
    let measured = "Date.parse({ ...packet, ...packet.readings[0] }.measured_at) / 1000";
    check(DEVICE, "device=330302D110-01", newest, measured);
    let latest = "Date.parse(document.querySelector('#latest time').dateTime) / 1000";
    check(DEVICE, "device=330302D110-01", latest, measured);
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}

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
