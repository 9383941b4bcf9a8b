//! Every page, for everybody: in both languages and both looks, on a phone, a desk and a wall.

use serde_json::json;

use super::{CONSOLE, DEVICE, GATE, PASSWORD, assert_quiet, head_end, house, signed_in, with_accounts};
use crate::support::{Api, HeadEnd, LOGGERS, Simulation, simulate};
use crate::watching::Line;

/// Screens: what they are called, and their width and height in pixels.
const SCREENS: [(&str, u32, u32); 3] = [("phone", 390, 844), ("desk", 1280, 900), ("wall", 2560, 1440)];
/// Pages of everybody who is signed in, and what has to be there before they are looked at.
const PAGES: [(&str, &str, &str); 19] = [
    ("overview", "/", "document.querySelector('[data-figure=packets]').textContent !== '–'"),
    ("devices", "/devices", "document.querySelector('#list tbody tr')"),
    ("device", DEVICE, "document.getElementById('plot').dataset.drawn"),
    ("device-commands", "/devices/330302D110-01/commands", "document.querySelector('#commands tbody tr')"),
    ("device-conversation", "/devices/330302D110-01/conversation", "document.querySelector('table.bytes')"),
    ("device-history", "/devices/330302D110-01/history", "document.querySelector('#history tbody tr')"),
    ("broker-conversation", "/devices/plant/conversation", "document.querySelector('table.bytes')"),
    ("broker", "/broker", "document.querySelector('#sessions tbody tr')"),
    ("events", "/events", "document.querySelector('#list tbody tr')"),
    ("files", "/files", "document.querySelector('#list progress')"),
    ("chat", "/chat", "document.getElementById('chat-state').dataset.state === 'live'"),
    (
        "cameras",
        "/cameras",
        "document.querySelector('#cameras .chips form') && document.querySelector('#alarms tbody tr')",
    ),
    ("inspector", "/inspector", "true"),
    ("inspector-device", "/inspector?device=330302D110/01", "document.querySelector('table.bytes')"),
    ("setup", "/setup", "document.querySelector('#pending tbody tr')"),
    ("setup-add", "/setup/add", "document.getElementById('configuration').textContent"),
    ("setup-access", "/setup/access", "document.querySelector('tr[data-key=viewer]')"),
    ("setup-audit", "/setup/audit", "document.querySelector('#audit tbody tr')"),
    ("api", "/api", "true"),
];
/// How much wider than the window the page is, and what makes it so.
const TOO_WIDE: &str = "(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return '';
    const wide = [...document.body.querySelectorAll('*')].filter((one) => one.getBoundingClientRect().right > clientWidth + 1);
    return `${scrollWidth} over ${clientWidth}: ${wide.slice(0, 3).map((one) => one.outerHTML.slice(0, 120)).join(' | ')}`;
})()";

/// What somebody finds on the page as it is opened: on every screen, in light and in dark.
fn look(browser: &super::Browser, name: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (screen, width, height) in SCREENS {
        browser.resize(width, height);
        for theme in ["light", "dark"] {
            browser.value(&format!("document.documentElement.dataset.theme = '{theme}'"));
            browser.wait_frame();
            let place = format!("{name}-{language}-{screen}-{theme}");
            let too_wide = browser.value(TOO_WIDE);
            if too_wide != "" {
                found.push(format!("{place} is too wide: {too_wide}"));
            }
            // What a theme changes is colours; a wall shows what a desk does; a language changes neither.
            let found_by = match (screen, theme) {
                ("desk", "light") => browser.violations(),
                ("phone", "light") if language == "en" => browser.violations(),
                ("desk", "dark") if language == "en" => browser.violations_of(Some("color-contrast")),
                _ => Vec::new(),
            };
            found.extend(found_by.into_iter().map(|rule| format!("{place}: {rule}")));
            // Pictures take most of the time; people look at a phone by day and at a wall by night.
            if !matches!((screen, theme), ("phone", "dark") | ("wall", "light")) {
                browser.picture(&place);
            }
        }
    }
    found
}

/// Devices in every state, a command, an event that wants to be seen, and a guest who waits.
fn busy_house(directory: &std::path::Path) -> (HeadEnd, Simulation) {
    let head_end = with_accounts(HeadEnd::start(directory, &house()));
    let mut load = Simulation::start(
        &head_end.address(),
        &["--loggers", "3", "--meters", "3", "--functions", "3", "--rate", "3", "--backlog", "20", "--seconds", "3600"],
    );
    load.wait_acknowledged(3 * 3 * 3 * 21);
    simulate(&head_end.address(), &["--first-gateway", "8", "--packets", "3", "--meters", "1"]);
    let gate = head_end.addresses_of("gate").first().expect("the listener listens").clone();
    let guests = ["simulate", "logger", "--to", &gate, "--first-gateway", "30", "--packets", "1", "--patience", "1"];
    assert!(!crate::support::outcome(&guests).status.success(), "a guest is not let in before somebody says yes");
    let order = json!({"order": "describe"}).to_string();
    let asked = Api::Unix(head_end.data()).ask("POST", "/api/v1/devices/330302D110-01/commands", "", &order);
    assert_eq!(asked.status, 202, "{asked:?}");
    super::peeking::subscribed(&head_end);
    raise_an_alarm(&head_end);
    // A file that is whole, and a part of one.
    for length in [0, 5_000_000] {
        let head =
            format!("Tus-Resumable: 1.0.0\r\nUpload-Length: {length}\r\nUpload-Metadata: filename bGFyZ2UuYmlu\r\n");
        let begun = Api::Unix(head_end.data()).ask("POST", "/api/v1/uploads?device=330302D110-01", &head, "");
        assert_eq!(begun.status, 201, "{begun:?}");
    }
    (head_end, load)
}

/// An account has a camera, which is online and has raised an alarm.
fn raise_an_alarm(head_end: &HeadEnd) {
    let mut app = Line::open(head_end.addresses_of("cameras").first().expect("the listener listens"));
    app.ask("Login anna|123456");
    assert_eq!(app.ask("UploadCaramer front-door|123456|1|1"), "UploadSucess front-door|null|1|1");
    for (what, body) in [("state", json!({"state": true})), ("alarms", json!({"alarm": "motion"}))] {
        let path = format!("/api/v1/cameras/front-door/{what}");
        let said = Api::Unix(head_end.data()).ask("POST", &path, "", &body.to_string());
        assert_eq!(said.status, 204, "{said:?}");
    }
}

fn every_page_in(language: &str) {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (head_end, load) = busy_house(directory.path());
    let browser = super::Browser::start(&head_end.api_address());
    browser.open(&format!("/preferences?language={language}&next=/login"));
    let mut found = look(&browser, "sign-in", language);
    browser.sign_in("admin", PASSWORD);
    for (name, path, ready) in PAGES {
        browser.resize(1280, 900);
        browser.open(path);
        browser.wait(ready);
        assert_eq!(browser.value("document.documentElement.lang"), language);
        let foreign = "[...document.querySelectorAll('table.bytes span[lang]')].map((said) => said.textContent)";
        assert_eq!(browser.value(foreign), json!([]), "fields are told in the language of the page");
        found.extend(look(&browser, name, language));
    }
    if language == "zh" {
        browser.open("/events");
        // What a device says of itself is its own.
        let foreign = "[...document.querySelectorAll('#list [lang=en]')].map((said) => said.closest('tr').innerText)
            .filter((row) => !row.includes('设备信息'))";
        assert_eq!(browser.value(foreign), json!([]), "events are told in the language of the page");
    }
    load.kill();
    assert_quiet(&browser);
    assert_eq!(found, [""; 0], "{}", found.join("\n"));
    assert!(head_end.stop().success());
}

#[test]
fn every_page_is_for_everybody_in_english() {
    every_page_in("en");
}

#[test]
fn every_page_is_for_everybody_in_chinese() {
    every_page_in("zh");
}

#[test]
fn pages_without_anything_say_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = with_accounts(HeadEnd::start(directory.path(), &format!("{CONSOLE}{LOGGERS}{GATE}")));
    let browser = signed_in(&head_end, "admin");
    for (name, path, place, words) in [
        ("device-empty", "/devices/330302D110-06", "#latest .empty", "When it logs in and reports"),
        ("device-commands-empty", "/devices/330302D110-06/commands", "#commands", "Nothing was asked"),
        ("device-conversation-empty", "/devices/330302D110-06/conversation", "#conversation", "No packet is stored"),
        ("devices-none", "/devices?search=nothing", "#list .empty", "No device fits"),
        ("events-none", "/events?kind=takeover", "#list .empty", "No event fits"),
        ("files-none", "/files", "#list .empty", "No file fits"),
        ("broker-none", "/broker", "#sessions .empty", "No session"),
        ("chat-none", "/chat", ".empty", "[[listener]]"),
        ("cameras-none", "/cameras", "#cameras", "There is no camera yet"),
        ("inspector-none", "/inspector?device=nobody", "#choices", "No device fits"),
        ("missing", "/nowhere", "main", "nothing at this address"),
    ] {
        browser.open(path);
        browser.wait_text(place, words);
        browser.picture(name);
        assert!(browser.count("header nav a") > 0, "{path}: every page has the ways to the others");
        assert_eq!(browser.violations(), [""; 0], "{path}");
    }
    assert!(head_end.stop().success());
}

#[test]
fn a_time_tells_the_devices_own_by_keyboard_and_touch() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    simulate(&head_end.address(), &["--packets", "1", "--meters", "1", "--functions", "1"]);
    let browser = signed_in(&head_end, "viewer");
    browser.open(DEVICE);
    let time = "#latest time[data-clock=device]";
    browser.wait(&format!("document.querySelector('{time}').dataset.tip"));
    browser.value(&format!("document.querySelector('{time}').focus()"));
    browser.wait_text("#tip:not([hidden])", "by the device's clock");
    assert_eq!(browser.value(&format!("document.querySelector('{time}').getAttribute('aria-describedby')")), "tip");
    browser.press("\u{e00c}");
    browser.wait("document.getElementById('tip').hidden");
    browser.tap("#facts time, #latest time");
    browser.wait_text("#tip:not([hidden])", "by the device's clock");
    browser.picture("device-time");
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}
