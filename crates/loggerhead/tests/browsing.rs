//! The console in a real browser, against a real head-end with real simulated loggers.
//!
//! A browser takes seconds to start: few tests, each with one browser that does much. Pictures of pages are kept in
//! `target/screenshots`.

mod browser;
mod charting;
mod chatting;
mod entering;
mod following;
mod inspecting;
mod moving;
mod panel;
mod peeking;
mod seeing;
mod steering;
mod walking;
mod watching;

use std::path::Path;

use serde_json::json;

use self::browser::Browser;
use crate::support::{Api, HeadEnd, LOGGERS};

const PASSWORD: &str = "correct horse battery";
/// The first simulated logger.
const DEVICE: &str = "/devices/330302D110-01";
/// A console on any free port.
const CONSOLE: &str = "[web]\naddress = \"127.0.0.1:0\"\n";
/// A listener whose guests wait for a yes.
const GATE: &str = r#"
[[listener]]
name = "gate"
protocol = "logger"
address = ["127.0.0.1:0"]
enroll = "pending"
secrets = ["text:IJKLMNOPQRSTUVWX"]
[listener.logger]
aes_keys = ["text:0000000000123456"]
"#;

/// A broker, terminals, a chat, and cameras.
const OTHERS: &str = r#"
[[listener]]
name = "mqtt"
protocol = "mqtt"
address = ["127.0.0.1:0"]

[[listener]]
name = "lines"
protocol = "line"
address = ["127.0.0.1:0"]
[listener.line]
encoding = "utf-8"

[[listener]]
name = "chat"
protocol = "chat"
address = ["127.0.0.1:0"]

[[device]]
id = "plant"
protocol = "mqtt"
identity = "admin"
secret = "text:123456"

[[listener]]
name = "cameras"
protocol = "camera"
address = ["127.0.0.1:0"]
[listener.camera]
reply_names = "short"

[[device]]
protocol = "camera"
identity = "anna"
secret = "text:123456"

[[device]]
protocol = "camera"
identity = "front-door"
secret = "text:123456"
[device.camera]
kind = "camera"

[[device]]
id = "line-1"
protocol = "line"
identity = "1"
secret = "text:123456"
"#;

/// A configuration with a listener for devices of many kinds.
fn house() -> String {
    format!("{CONSOLE}{LOGGERS}{GATE}{OTHERS}")
}

/// A head-end with an account of each role, and nobody signed in.
fn head_end(directory: &Path) -> HeadEnd {
    with_accounts(HeadEnd::start(directory, &format!("{CONSOLE}{LOGGERS}{GATE}")))
}

/// A head-end with an account of each role made.
fn with_accounts(head_end: HeadEnd) -> HeadEnd {
    let api = Api::Unix(head_end.data());
    for role in ["admin", "operator", "viewer"] {
        let account = json!({"name": role, "role": role, "password": PASSWORD});
        let added = api.ask("POST", "/api/v1/accounts", "", &account.to_string());
        assert_eq!(added.status, 201, "{added:?}");
    }
    head_end
}

/// A browser with this account signed in; each account is named like its role.
fn signed_in(head_end: &HeadEnd, role: &str) -> Browser {
    let browser = Browser::start(&head_end.api_address());
    browser.sign_in(role, PASSWORD);
    browser
}

/// No page complained, and none asked another host for anything.
#[track_caller]
fn assert_quiet(browser: &Browser) {
    assert_eq!(browser.complaints(), [""; 0], "the console of the browser");
    assert_eq!(browser.foreign_requests(), [""; 0], "asked of other hosts");
}
