//! Says in words what a configuration makes the server do, and writes the commented example.

use std::fmt::Write as _;

use loggerhead_store::{FrameKeeping, Login};

use super::load::Loaded;
use super::schema::{self, Default, Key, Keys, Kind};
use super::types::{Config, Enroll, Listener, Web};

/// Most devices that are listed one by one.
const DEVICES_SHOWN_MAX: usize = 20;

/// What the server will do, for people; ends with a line end.
#[must_use]
pub fn explain(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    match loaded.files.as_slice() {
        [] => line("no configuration file: everything is as it is without one".to_owned()),
        files => files.iter().for_each(|file| line(format!("read {}", file.display()))),
    }
    line(format!("keeps everything in {}", config.data_dir.display()));
    line(format!("keeps {}", kept(config)));
    line(format!("answers operators on unix:{}", config.api_socket().display()));
    line(console(&config.web));
    config.listeners.iter().for_each(|listener| line(door(listener)));
    line(match config.devices.len() {
        0 => "knows no device from the configuration; `loggerhead device add` adds one".to_owned(),
        count => format!("knows {count} devices from the configuration:"),
    });
    for device in config.devices.iter().take(DEVICES_SHOWN_MAX) {
        let proof = match (device.login, &device.secret) {
            (Login::Cipher, _) => "its cipher key",
            (Login::Name, _) => "nothing but its name",
            (Login::Certificate, _) => "a certificate in its name",
            (Login::Secret, Some(_)) => "its own secret",
            (Login::Secret, None) => "a secret of its listener",
        };
        line(format!("  {} ({} {}) proves {proof}", device.id, device.protocol, device.identity));
    }
    if config.devices.len() > DEVICES_SHOWN_MAX {
        line(format!("  and {} more", config.devices.len() - DEVICES_SHOWN_MAX));
    }
    line(format!("a command expires when its device does not come within {} s", config.command_within.as_secs()));
    line(format!("stops within {} s when it is asked to", config.stop_within.as_secs()));
    text
}

fn console(web: &Web) -> String {
    let addresses: Vec<String> = web.addresses.iter().map(ToString::to_string).collect();
    let how = match (&web.tls, web.behind_proxy) {
        (Some(_), _) => " with TLS",
        (None, true) => " behind a proxy that has TLS",
        (None, false) => "",
    };
    match addresses.as_slice() {
        [] => "serves no console".to_owned(),
        addresses => format!("serves the console on {}{how}", addresses.join(", ")),
    }
}

fn kept(config: &Config) -> String {
    let days = |kept: Option<std::time::Duration>| match kept {
        None => "for ever".to_owned(),
        Some(time) => format!("for {} days", time.as_secs() / 86_400),
    };
    let frames = match config.frames {
        FrameKeeping::Keep => format!("raw frames {}", days(config.retention.frames)),
        FrameKeeping::Drop => "no raw frames".to_owned(),
    };
    format!("readings {}, events {}, {frames}", days(config.retention.readings), days(config.retention.events))
}

fn door(listener: &Listener) -> String {
    let addresses: Vec<String> = listener.addresses.iter().map(ToString::to_string).collect();
    let tls = if listener.tls.is_some() { " with TLS" } else { "" };
    let enroll = match listener.enroll {
        Enroll::Refuse => "refused",
        Enroll::Pending => "kept waiting when they prove a secret of the listener",
        Enroll::Accept => "let in when they prove a secret of the listener",
    };
    let proxies = match listener.proxies.len() {
        0 => String::new(),
        count => format!(", {count} of them proxies that say who connects"),
    };
    format!(
        "listener {}: {} on {}{tls}; at most {} connections, {} from one address{proxies}; unknown devices are {enroll}",
        listener.name,
        listener.protocol,
        addresses.join(", "),
        listener.connections_max,
        listener.connections_per_address_max,
    )
}

/// A complete commented configuration: every key with its meaning and its default. A key without a default is commented
/// out, and shows how it might be written.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Loggerhead. What stands here without # is what happens without it.\n\
         # Every key can also be set from the environment (LOGGERHEAD_STORE__FRAMES=false,\n\
         # LOGGERHEAD_LISTENER__LOGGER__ENROLL=pending) and from the command line (--set store.frames=false).\n\
         # A secret is written text:..., hex:... or file:/path.\n",
    );
    table(&mut text, "", schema::ROOT);
    text
}

fn table(text: &mut String, path: &str, keys: Keys) {
    for key in keys {
        match key.kind {
            Kind::Table(_) | Kind::Tables(_) => {}
            Kind::Text
            | Kind::Path
            | Kind::Word(_)
            | Kind::Flag
            | Kind::Count(..)
            | Kind::Texts
            | Kind::Secret
            | Kind::Secrets => {
                entry(text, key);
            }
        }
    }
    for key in keys {
        let (head, below) = match key.kind {
            Kind::Table(below) => (format!("[{path}{}]", key.name), below),
            Kind::Tables(below) => (format!("[[{path}{}]]", key.name), below),
            Kind::Text
            | Kind::Path
            | Kind::Word(_)
            | Kind::Flag
            | Kind::Count(..)
            | Kind::Texts
            | Kind::Secret
            | Kind::Secrets => {
                continue;
            }
        };
        // What is not there, a device or the files of TLS, and what changes who can connect stays out of an example that
        // works as it is.
        let wanted = !matches!(key.name, "device" | "tls" | "websocket");
        let mut part = String::new();
        table(&mut part, &format!("{path}{}.", key.name), below);
        let _ = write!(text, "\n# {}\n{}{head}\n", key.meaning, if wanted { "" } else { "#" });
        for line in part.lines() {
            let quiet = wanted || line.is_empty() || line.starts_with('#');
            let _ = writeln!(text, "{}{line}", if quiet { "" } else { "#" });
        }
    }
}

fn entry(text: &mut String, key: &Key) {
    let value = match key.default {
        Some(Default::Text(value)) => format!("{} = {value:?}", key.name),
        Some(Default::Flag(value)) => format!("{} = {value}", key.name),
        Some(Default::Count(value)) => format!("{} = {value}", key.name),
        None => format!("#{} = {}", key.name, key.example),
    };
    let words = match key.kind {
        Kind::Word(words) => format!(" ({})", words.join(" | ")),
        Kind::Count(min, max) => format!(" ({min} to {max})"),
        Kind::Text
        | Kind::Path
        | Kind::Flag
        | Kind::Texts
        | Kind::Secret
        | Kind::Secrets
        | Kind::Table(_)
        | Kind::Tables(_) => String::new(),
    };
    let _ = write!(text, "# {}{words}\n{value}\n", key.meaning);
}
