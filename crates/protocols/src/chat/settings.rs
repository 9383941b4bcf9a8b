//! What can be set for a listener.

use std::time::Duration;

use serde::Deserialize;

use super::frame::TEXT_BYTES_LIMIT_MAX;
use super::legacy::UTC_OFFSET_MIN_MAX;
use super::message;
use crate::SettingsError;
use crate::office::{QueueLimits, ROOM_START};

/// Longest text of a client: a message of a few pages.
const TEXT_BYTES_DEFAULT: usize = 16 * 1024;
/// Shortest limit: a login with the longest names.
const TEXT_BYTES_MIN: usize = 512;
/// Seconds of silence after which a client is asked whether it is there: half of what proxies wait.
const PING_S_DEFAULT: u32 = 25;
/// Seconds of silence after which a client is gone: an answer to two pings is lost.
const SILENCE_S_DEFAULT: u32 = 60;
/// Requests of one connection in a second: far above what people type.
const RATE_DEFAULT: u32 = 100;
/// As in the office's other limits: messages and bytes that wait for one person.
const QUEUE_MESSAGES_DEFAULT: usize = 1_000;
const QUEUE_BYTES_DEFAULT: usize = 1024 * 1024;
/// Messages of one person that nobody has confirmed: ten full queues.
const UNCONFIRMED_DEFAULT: usize = 10_000;
/// Messages that stay known of each room, and confirmed ones of each person.
const HISTORY_DEFAULT: usize = 1_000;
/// China's, where the older clients are.
const UTC_OFFSET_MIN_DEFAULT: i32 = 8 * 60;
/// Longest wait in seconds that can be set: a day.
const WAIT_S_MAX: u32 = 86_400;
/// More requests a second than a connection can bring.
const RATE_MAX: u32 = 1_000_000;

/// What a text of an older client is. Source: \[1\] §2.6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LegacyTexts {
    /// Said in the room.
    #[default]
    Room,
    /// For one person: `toUser:message`.
    Direct,
}

/// The settings of a listener.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) origins: Vec<String>,
    pub(super) text_bytes_limit: usize,
    pub(super) ping: Duration,
    pub(super) silence: Duration,
    pub(super) rate: u32,
    pub(super) queue: QueueLimits,
    pub(super) readings: bool,
    pub(super) legacy: Legacy,
}

/// Those of older clients.
#[derive(Clone, Debug)]
pub(super) struct Legacy {
    /// With the sign that rooms begin with.
    pub(super) room: String,
    pub(super) texts: LegacyTexts,
    pub(super) separators: String,
    pub(super) colon: String,
    pub(super) utc_offset_min: i32,
    pub(super) heartbeat: String,
    pub(super) heartbeat_answer: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    origins: Vec<String>,
    text_bytes_limit: usize,
    ping_s: u32,
    silence_s: u32,
    rate: u32,
    queue_messages_max: usize,
    queue_bytes_max: usize,
    unconfirmed_max: usize,
    history_messages_max: usize,
    readings: bool,
    legacy_room: String,
    legacy_texts: LegacyTexts,
    legacy_separators: String,
    legacy_colon: String,
    utc_offset_min: i32,
    heartbeat: String,
    heartbeat_answer: String,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            text_bytes_limit: TEXT_BYTES_DEFAULT,
            ping_s: PING_S_DEFAULT,
            silence_s: SILENCE_S_DEFAULT,
            rate: RATE_DEFAULT,
            queue_messages_max: QUEUE_MESSAGES_DEFAULT,
            queue_bytes_max: QUEUE_BYTES_DEFAULT,
            unconfirmed_max: UNCONFIRMED_DEFAULT,
            history_messages_max: HISTORY_DEFAULT,
            readings: true,
            legacy_room: "lobby".to_owned(),
            legacy_texts: LegacyTexts::default(),
            legacy_separators: ":;：；".to_owned(),
            legacy_colon: ":".to_owned(),
            utc_offset_min: UTC_OFFSET_MIN_DEFAULT,
            heartbeat: "HB R".to_owned(),
            heartbeat_answer: "R".to_owned(),
        }
    }
}

impl Settings {
    /// From the table of a listener.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of_listener(table: &toml::Table) -> Result<Self, SettingsError> {
        let written: Written = read(table)?;
        let within = |key, value: usize, min, max| {
            let is_right = (min..=max).contains(&value);
            if is_right { Ok(()) } else { Err(wrong(key, format!("{value} is not from {min} to {max}"))) }
        };
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        within("text_bytes_limit", written.text_bytes_limit, TEXT_BYTES_MIN, TEXT_BYTES_LIMIT_MAX)?;
        within("ping_s", count(written.ping_s), 1, count(WAIT_S_MAX))?;
        within("silence_s", count(written.silence_s), count(written.ping_s) + 1, count(WAIT_S_MAX) + 1)?;
        within("rate", count(written.rate), 1, count(RATE_MAX))?;
        within("queue_messages_max", written.queue_messages_max, 1, usize::MAX)?;
        within("unconfirmed_max", written.unconfirmed_max, 1, usize::MAX)?;
        within("queue_bytes_max", written.queue_bytes_max, written.text_bytes_limit, usize::MAX)?;
        within("history_messages_max", written.history_messages_max, 1, usize::MAX)?;
        if !(-UTC_OFFSET_MIN_MAX..=UTC_OFFSET_MIN_MAX).contains(&written.utc_offset_min) {
            let reason =
                format!("{} is not from -{UTC_OFFSET_MIN_MAX} to {UTC_OFFSET_MIN_MAX}", written.utc_offset_min);
            return Err(wrong("utc_offset_min", reason));
        }
        if !message::is_name(&written.legacy_room) {
            return Err(wrong("legacy_room", "is a name of up to 128 bytes".to_owned()));
        }
        if written.legacy_separators.is_empty() {
            return Err(wrong("legacy_separators", "needs a character".to_owned()));
        }
        Ok(Self {
            origins: written.origins,
            text_bytes_limit: written.text_bytes_limit,
            ping: Duration::from_secs(written.ping_s.into()),
            silence: Duration::from_secs(written.silence_s.into()),
            rate: written.rate,
            queue: QueueLimits {
                messages: written.queue_messages_max,
                bytes: written.queue_bytes_max,
                unconfirmed: written.unconfirmed_max,
                history: written.history_messages_max,
            },
            readings: written.readings,
            legacy: Legacy {
                room: format!("{ROOM_START}{}", written.legacy_room),
                texts: written.legacy_texts,
                separators: written.legacy_separators,
                colon: written.legacy_colon,
                utc_offset_min: written.utc_offset_min,
                heartbeat: written.heartbeat,
                heartbeat_answer: written.heartbeat_answer,
            },
        })
    }
}

/// The settings of a simulated person.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeviceSide {
    pub(super) user: String,
    /// With what it proves who it is: `text:PASSWORD`.
    pub(super) secret: String,
    pub(super) reconnect_ms: u64,
}

impl Default for DeviceSide {
    fn default() -> Self {
        Self { user: "330302D110/01".to_owned(), secret: "text:IJKLMNOPQRSTUVWX".to_owned(), reconnect_ms: 1_000 }
    }
}

impl DeviceSide {
    /// From the table of a simulated person.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of(table: &toml::Table) -> Result<Self, SettingsError> {
        let side: Self = read(table)?;
        if side.reconnect_ms == 0 {
            return Err(wrong("reconnect_ms", "takes at least 1".to_owned()));
        }
        if !message::is_name(&side.user) {
            return Err(wrong("user", "is a name of up to 128 bytes".to_owned()));
        }
        if !side.secret.starts_with("text:") {
            return Err(wrong("secret", "write it as text:...".to_owned()));
        }
        Ok(side)
    }

    /// The password.
    pub(super) fn password(&self) -> &str {
        self.secret.strip_prefix("text:").unwrap_or_default()
    }
}

fn wrong(key: &str, reason: String) -> SettingsError {
    SettingsError { key: key.to_owned(), reason }
}

/// Reads a table.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
pub(super) fn read<T: serde::de::DeserializeOwned>(table: &toml::Table) -> Result<T, SettingsError> {
    serde_path_to_error::deserialize(table.clone()).map_err(|error| {
        let key = error.path().to_string();
        SettingsError { key, reason: error.into_inner().to_string().trim().to_owned() }
    })
}
