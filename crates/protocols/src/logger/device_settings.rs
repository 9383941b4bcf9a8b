//! What can be set for the device's side, which simulates a data logger.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::cipher::{Key, Padding, secret_bytes};
use super::crc::CrcVariant;
use super::dialect::{AfterLogin, CipherUse, DataAnswer, Dialect};
use super::identity::ProofOrder;
use super::message::{Envelope, IdStyle, NAME_CHARS_MAX};
use super::settings::{dialect_of, own_key, refused, wait};
use super::time::Zone;
use crate::SettingsError;
use crate::settings::read;

/// Most packets that a device may have unacknowledged.
const WINDOW_MAX: usize = 1024;
/// Most packets that a device keeps, unacknowledged and unsent.
const QUEUE_MAX: usize = 1_000_000;

/// How a device uses its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Connections {
    /// One for everything.
    Kept,
    /// A new one for every message.
    PerMessage,
}

/// As what readings are sent that were measured just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Live {
    /// `report`
    Report,
    /// `continuous`, where nothing else is acknowledged.
    Continuous,
}

/// Whether a device asks before it sends what it kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// It sends it at once.
    Sent,
    /// It asks with `auto_history` and waits for the answer.
    Asked,
}

/// What a device does of itself after its login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Introduction {
    /// Sends readings at once.
    Absent,
    /// Describes itself first and waits to be asked for its meters.
    Describes,
}

#[derive(Deserialize)]
#[serde(default)]
struct Written {
    dialect: String,
    building: String,
    gateway: String,
    id_style: String,
    secret: Option<String>,
    aes_key: Option<String>,
    aes_iv: Option<String>,
    crc: Option<String>,
    padding: Option<String>,
    md5_order: Option<String>,
    report_answer: Option<String>,
    continuous_answer: Option<String>,
    live: Live,
    connections: Connections,
    describe: Option<bool>,
    ask_history: bool,
    window: usize,
    queue: usize,
    heartbeat_s: f64,
    answer_s: f64,
    ack_s: f64,
    reconnect_ms: u64,
    reconnect_max_s: f64,
    time_zone: Option<String>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            dialect: "national".to_owned(),
            building: "330302D110".to_owned(),
            gateway: "01".to_owned(),
            id_style: "building".to_owned(),
            secret: None,
            aes_key: None,
            aes_iv: None,
            crc: None,
            padding: None,
            md5_order: None,
            report_answer: None,
            continuous_answer: None,
            live: Live::Report,
            connections: Connections::Kept,
            describe: None,
            ask_history: false,
            window: 8,
            queue: 1024,
            heartbeat_s: 60.0,
            answer_s: 30.0,
            ack_s: 10.0,
            reconnect_ms: 1000,
            reconnect_max_s: 30.0,
            time_zone: None,
        }
    }
}

/// What is in force for one simulated device.
pub(super) struct DeviceSide {
    pub dialect: &'static Dialect,
    pub envelope: Envelope<'static>,
    pub secret: Zeroizing<Vec<u8>>,
    pub key: Option<Key>,
    pub crc: Option<CrcVariant>,
    pub padding: Option<Padding>,
    /// How proofs are made; `Both` tries the other order after every refusal.
    pub md5_order: ProofOrder,
    /// What acknowledges readings that are sent as they are measured.
    pub report_answer: DataAnswer,
    /// What acknowledges readings of the backlog.
    pub continuous_answer: DataAnswer,
    pub live: Live,
    pub connections: Connections,
    pub introduction: Introduction,
    pub history: History,
    /// Packets that may be unacknowledged.
    pub window: usize,
    /// Packets that may be in hand.
    pub queue: usize,
    pub heartbeat: Duration,
    /// How long a head-end may take over a step of the login.
    pub answer_wait: Duration,
    /// How long a head-end may take to acknowledge a packet.
    pub ack_wait: Duration,
    pub reconnect_min: Duration,
    pub reconnect_max: Duration,
    pub zone: Zone,
}

impl DeviceSide {
    /// Reads a device's table.
    ///
    /// # Errors
    /// `SettingsError` with the key's path, when a word is unknown or its value cannot be.
    pub(super) fn new(table: &toml::Table) -> Result<Self, SettingsError> {
        let written: Written = read(table)?;
        let dialect = dialect_of(&written.dialect)?;
        let style = match written.id_style.as_str() {
            "building" => IdStyle::Building,
            "project" => IdStyle::Project,
            "single" => IdStyle::Single,
            other => return Err(refused("id_style", &format!("{other:?} is none of building, project, single"))),
        };
        let key = match (&written.aes_key, &written.aes_iv) {
            (Some(key), iv) => Some(own_key(key, iv.as_deref())?),
            (None, _) if dialect.cipher != CipherUse::Never => {
                return Err(refused("aes_key", &format!("missing: dialect {} enciphers", dialect.name)));
            }
            (None, _) => None,
        };
        let secret = written.secret.as_deref().map(secret_bytes).transpose();
        let is_project = style == IdStyle::Project;
        let habits = &dialect.habits;
        let usual_report = if is_project { habits.report_of_project } else { habits.report };
        let usual_continuous = if is_project { habits.continuous_of_project } else { habits.continuous };
        let describes = written.describe.unwrap_or(habits.after_login == AfterLogin::Archives);
        Ok(Self {
            dialect,
            envelope: Envelope {
                style,
                building: name("building", &written.building)?.into(),
                gateway: if style == IdStyle::Single { String::new() } else { name("gateway", &written.gateway)? }
                    .into(),
            },
            secret: secret.map_err(|reason| refused("secret", &reason))?.unwrap_or_default(),
            key,
            crc: written.crc.as_deref().map(|word| known("crc", word, CrcVariant::find)).transpose()?,
            padding: written.padding.as_deref().map(|word| known("padding", word, Padding::find)).transpose()?,
            md5_order: written
                .md5_order
                .as_deref()
                .map_or(Ok(ProofOrder::Both), |word| known("md5_order", word, ProofOrder::find))?,
            report_answer: written
                .report_answer
                .as_deref()
                .map_or(Ok(usual_report), |word| known("report_answer", word, DataAnswer::find))?,
            continuous_answer: written
                .continuous_answer
                .as_deref()
                .map_or(Ok(usual_continuous), |word| known("continuous_answer", word, DataAnswer::find))?,
            live: written.live,
            connections: written.connections,
            introduction: if describes { Introduction::Describes } else { Introduction::Absent },
            history: if written.ask_history { History::Asked } else { History::Sent },
            window: within("window", written.window, WINDOW_MAX)?,
            queue: within("queue", written.queue, QUEUE_MAX)?,
            heartbeat: wait("heartbeat_s", written.heartbeat_s, 0.1)?,
            answer_wait: wait("answer_s", written.answer_s, 0.1)?,
            ack_wait: wait("ack_s", written.ack_s, 0.1)?,
            reconnect_min: Duration::from_millis(written.reconnect_ms.max(1)),
            reconnect_max: wait("reconnect_max_s", written.reconnect_max_s, 0.1)?,
            zone: written.time_zone.as_deref().map_or(Ok(Zone::default()), Zone::parse)?,
        })
    }
}

fn name(key: &str, text: &str) -> Result<String, SettingsError> {
    let characters = text.chars().count();
    if (1..=NAME_CHARS_MAX).contains(&characters) {
        Ok(text.to_owned())
    } else {
        Err(refused(key, &format!("{characters} characters, 1..={NAME_CHARS_MAX} needed")))
    }
}

fn known<T>(key: &str, word: &str, find: fn(&str) -> Option<T>) -> Result<T, SettingsError> {
    find(word).ok_or_else(|| refused(key, &format!("{word:?} is not known")))
}

fn within(key: &str, value: usize, max: usize) -> Result<usize, SettingsError> {
    if (1..=max).contains(&value) { Ok(value) } else { Err(refused(key, &format!("{value} is not within 1..={max}"))) }
}

#[cfg(test)]
mod tests {
    use super::DeviceSide;
    use crate::logger::dialect::ALL_DIALECTS;

    fn check(table: &str, refused: Option<&str>) {
        let found = DeviceSide::new(&table.parse().expect("toml")).err().map(|error| error.to_string());
        match (found, refused) {
            (None, None) => {}
            (Some(found), Some(expected)) => assert!(found.starts_with(expected), "{found:?}, not {expected:?}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_device_is_described_by_its_dialect_and_its_keys() {
        for dialect in ALL_DIALECTS {
            check(
                &format!("dialect = '{}'\naes_key = 'text:0000000000123456'\nsecret = 'text:12345'", dialect.name),
                None,
            );
        }
        check("", Some("aes_key: missing: dialect national enciphers"));
        check("dialect = 'plain'\nwindow = 0", Some("window: 0 is not within"));
        check("dialect = 'plain'\nlive = 'backlog'", Some("live: unknown variant"));
        check("dialect = 'plain'\ncrc = 'a9'", Some("crc: \"a9\" is not known"));
        check("dialect = 'plain'\nbuilding = ''", Some("building: 0 characters"));
    }
}
