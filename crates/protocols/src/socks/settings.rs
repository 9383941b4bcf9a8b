//! The settings of a listener and of a user.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::area::Kind;
use super::message::Command;
use super::rules::{Action, RULES_MAX, Rule};
use crate::relay::RelayLimits;
use crate::relay::upstream::{Upstream, UpstreamError};
use crate::settings::read;
use crate::{SettingsError, none_of};

/// Longest wait for the other side: a client has given up by then.
const REACH_S_MAX: u32 = 300;
/// Longest wait for somebody who is to connect.
const ARRIVAL_S_MAX: u32 = 3_600;
/// A day: a relay that nobody uses for longer is forgotten at one of its ends.
const IDLE_S_MAX: u32 = 86_400;
/// Relays of a user at once; each holds two sockets of the process.
const AT_ONCE_MAX: u32 = 100_000;

/// Who has to log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Entry {
    /// Everybody, by user and password.
    #[default]
    Password,
    /// Who offers to; the others go on as nobody.
    Either,
    /// Nobody can.
    Nobody,
}

/// How a listener relays.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) entry: Entry,
    pub(super) limits: RelayLimits,
    /// How long somebody who is to connect may take.
    pub(super) arrival: Duration,
    pub(super) commands: Vec<Command>,
    pub(super) rules: Vec<Rule>,
    /// Through which proxy of others what no rule speaks of; none: straight.
    pub(super) upstream: Option<Arc<Upstream>>,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(default)]
struct Written {
    login: String,
    reach_s: u32,
    arrival_s: u32,
    idle_s: u32,
    relays_per_user_max: u32,
    commands: Vec<String>,
    upstream: String,
    rule: Vec<WrittenRule>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            login: "password".to_owned(),
            reach_s: 15,
            arrival_s: 120,
            idle_s: 600,
            relays_per_user_max: 1_000,
            commands: vec!["connect".to_owned()],
            upstream: String::new(),
            rule: Vec::new(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenRule {
    action: String,
    users: Vec<String>,
    from: Vec<String>,
    commands: Vec<String>,
    names: Vec<String>,
    to: Vec<String>,
    ports: Vec<String>,
    outgoing: String,
    upstream: Option<String>,
}

/// What is set for one user.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OfUser {
    relays_max: Option<u32>,
}

impl Settings {
    /// Reads `[listener.socks]`.
    ///
    /// # Errors
    /// `SettingsError` with the path of the first key that cannot be.
    pub(super) fn of_listener(table: &toml::Table) -> Result<Self, SettingsError> {
        let written: Written = read(table)?;
        let entry = match written.login.as_str() {
            "password" => Entry::Password,
            "either" => Entry::Either,
            "nobody" => Entry::Nobody,
            other => return Err(wrong("login", none_of(other, ["password", "either", "nobody"].into_iter()))),
        };
        let limits = RelayLimits {
            reach: within("reach_s", written.reach_s, REACH_S_MAX)?,
            idle: within("idle_s", written.idle_s, IDLE_S_MAX)?,
            at_once_max: bounded("relays_per_user_max", written.relays_per_user_max)?,
        };
        if written.rule.len() > RULES_MAX {
            return Err(wrong("rule", format!("{} rules over {RULES_MAX}", written.rule.len())));
        }
        let usual = upstream("upstream", &written.upstream)?;
        let rules = written.rule.iter().enumerate().map(|(index, written)| rule(index, written, usual.as_ref()));
        Ok(Self {
            entry,
            limits,
            arrival: within("arrival_s", written.arrival_s, ARRIVAL_S_MAX)?,
            commands: commands("commands", &written.commands)?,
            rules: rules.collect::<Result<_, _>>()?,
            upstream: usual,
        })
    }

    /// The limits of a user with these settings.
    ///
    /// # Errors
    /// `SettingsError` with the path of the first key that cannot be.
    pub(super) fn limits_of(&self, table: &toml::Table) -> Result<RelayLimits, SettingsError> {
        let of_user: OfUser = read(table)?;
        match of_user.relays_max {
            Some(max) => Ok(RelayLimits { at_once_max: bounded("relays_max", max)?, ..self.limits }),
            None => Ok(self.limits),
        }
    }
}

fn wrong(key: impl Into<String>, reason: impl Into<String>) -> SettingsError {
    SettingsError { key: key.into(), reason: reason.into() }
}

fn within(key: &str, seconds: u32, max: u32) -> Result<Duration, SettingsError> {
    if (1..=max).contains(&seconds) {
        Ok(Duration::from_secs(seconds.into()))
    } else {
        Err(wrong(key, format!("{seconds} is not from 1 to {max}")))
    }
}

fn bounded(key: &str, count: u32) -> Result<usize, SettingsError> {
    match usize::try_from(count) {
        Ok(max) if (1..=AT_ONCE_MAX).contains(&count) => Ok(max),
        _ => Err(wrong(key, format!("{count} is not from 1 to {AT_ONCE_MAX}"))),
    }
}

fn commands(path: &str, written: &[String]) -> Result<Vec<Command>, SettingsError> {
    let known = [Command::Connect, Command::Bind, Command::Associate];
    let command = |(index, word): (usize, &String)| {
        let found = known.into_iter().find(|command| command.word() == word);
        found.ok_or_else(|| wrong(format!("{path}[{index}]"), none_of(word, known.map(Command::word).into_iter())))
    };
    written.iter().enumerate().map(command).collect()
}

/// The proxy of others that a text names; an empty one and `straight` name none.
fn upstream(path: &str, text: &str) -> Result<Option<Arc<Upstream>>, SettingsError> {
    if matches!(text, "" | "straight") {
        return Ok(None);
    }
    text.parse().map(Arc::new).map(Some).map_err(|error: UpstreamError| wrong(path, error.to_string()))
}

fn rule(index: usize, written: &WrittenRule, usual: Option<&Arc<Upstream>>) -> Result<Rule, SettingsError> {
    let path = |key: &str| format!("rule[{index}].{key}");
    let action = match written.action.as_str() {
        "allow" => Action::Allow,
        "deny" => Action::Deny,
        other => return Err(wrong(path("action"), none_of(other, ["allow", "deny"].into_iter()))),
    };
    let words = Kind::WORDS.map(|(word, _)| word).join(", ");
    let right = format!("{words}, own, an address or a network such as 10.0.0.0/8");
    let outgoing = match written.outgoing.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| wrong(path("outgoing"), format!("{text:?} is no address")))?),
    };
    Ok(Rule {
        action,
        users: written.users.clone(),
        from: each(&path("from"), &written.from, "an address or a network such as 10.0.0.0/8")?,
        commands: commands(&path("commands"), &written.commands)?,
        names: written.names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        to: each(&path("to"), &written.to, &right)?,
        ports: each::<Ports>(&path("ports"), &written.ports, "a port or two such as 8000-8099")?
            .into_iter()
            .map(|Ports(range)| range)
            .collect(),
        outgoing,
        upstream: match &written.upstream {
            Some(text) => upstream(&path("upstream"), text)?,
            None => usual.cloned(),
        },
    })
}

fn each<T: FromStr>(path: &str, written: &[String], right: &str) -> Result<Vec<T>, SettingsError> {
    let read = |(index, text): (usize, &String)| {
        text.parse().map_err(|_| wrong(format!("{path}[{index}]"), format!("{text:?} cannot be: write {right}")))
    };
    written.iter().enumerate().map(read).collect()
}

/// One port, or those from the first to the second.
struct Ports(RangeInclusive<u16>);

impl FromStr for Ports {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.trim().parse().map_err(|_| ());
        let (first, last) = (port(first)?, port(last)?);
        if first > last { Err(()) } else { Ok(Self(first..=last)) }
    }
}
