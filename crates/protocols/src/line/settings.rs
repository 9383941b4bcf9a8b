//! What can be set for a listener.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::frame::{LINE_BYTES_LIMIT_MAX, Terminator};
use super::message::{Punctuation, ReplyEnd, Style};
use super::program::Program;
use super::text::{Controls, Encoding};
use crate::SettingsError;
use crate::office::QueueLimits;

/// A line with its end is shorter than this, unless set otherwise. Source: \[1\] §2.1.
const LINE_BYTES_LIMIT_DEFAULT: usize = 1_024;
/// Shortest limit: the longest command of ours with a name and the name of a message.
const LINE_BYTES_LIMIT_MIN: usize = 64;
/// What connects is told, unless set otherwise. Source: \[1\] §2.2.
const WELCOME_DEFAULT: &str = "Welcome to SuperSocket Chat Server";
/// Longest text for it.
const WELCOME_BYTES_MAX: usize = 512;
/// Seconds without a byte after which a user is not there any more. Source: \[1\] §2.2.
const ONLINE_S_DEFAULT: u32 = 10;
/// Seconds without a byte after which a connection is closed: three lost heartbeats of the slowest phones.
const IDLE_S_DEFAULT: u32 = 300;
/// Commands of one connection in a second: far above what people type, and what a program needs.
const RATE_DEFAULT: u32 = 100;
/// Messages that wait for one user.
const QUEUE_MESSAGES_DEFAULT: usize = 1_000;
/// Bytes of messages that wait for one user.
const QUEUE_BYTES_DEFAULT: usize = 1024 * 1024;
/// Messages of one user that nobody has confirmed: ten full queues.
const UNCONFIRMED_DEFAULT: usize = 10_000;
/// Confirmed messages that are still known of each user.
const HISTORY_DEFAULT: usize = 100;
/// Longest wait in seconds that can be set: a day.
const WAIT_S_MAX: u32 = 86_400;
/// More commands a second than a connection can bring.
const RATE_MAX: u32 = 1_000_000;

/// What is done about a line that is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnOversize {
    /// The connection is closed without a word. Source: \[1\] §2.1.
    #[default]
    Close,
    /// It is told so, and closed.
    ErrorThenClose,
    /// It is told so, and goes on behind the line.
    DiscardLine,
}

/// What the text of a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ChatText {
    /// One word, as in the original.
    #[default]
    Word,
    /// The rest of the line.
    Rest,
}

/// The settings of a listener.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) program: Program,
    pub(super) style: Style,
    pub(super) terminator: Terminator,
    pub(super) line_bytes_limit: usize,
    pub(super) on_oversize: OnOversize,
    pub(super) chat_text: ChatText,
    pub(super) welcome: Box<str>,
    pub(super) online: Duration,
    /// None: never.
    pub(super) idle: Option<Duration>,
    pub(super) rate: u32,
    pub(super) queue: QueueLimits,
    /// Whether messages stand among the readings as well.
    pub(super) readings: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    program: Program,
    encoding: Encoding,
    punctuation: Punctuation,
    controls: Controls,
    terminator: Terminator,
    reply_end: ReplyEnd,
    line_bytes_limit: usize,
    on_oversize: OnOversize,
    chat_text: ChatText,
    welcome: String,
    online_s: u32,
    idle_s: u32,
    rate: u32,
    queue_messages_max: usize,
    queue_bytes_max: usize,
    unconfirmed_max: usize,
    history_messages_max: usize,
    readings: bool,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            program: Program::default(),
            encoding: Encoding::default(),
            punctuation: Punctuation::default(),
            controls: Controls::default(),
            terminator: Terminator::default(),
            reply_end: ReplyEnd::default(),
            line_bytes_limit: LINE_BYTES_LIMIT_DEFAULT,
            on_oversize: OnOversize::default(),
            chat_text: ChatText::default(),
            welcome: WELCOME_DEFAULT.to_owned(),
            online_s: ONLINE_S_DEFAULT,
            idle_s: IDLE_S_DEFAULT,
            rate: RATE_DEFAULT,
            queue_messages_max: QUEUE_MESSAGES_DEFAULT,
            queue_bytes_max: QUEUE_BYTES_DEFAULT,
            unconfirmed_max: UNCONFIRMED_DEFAULT,
            history_messages_max: HISTORY_DEFAULT,
            readings: true,
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
        within("line_bytes_limit", written.line_bytes_limit, LINE_BYTES_LIMIT_MIN, LINE_BYTES_LIMIT_MAX)?;
        within("online_s", count(written.online_s), 1, count(WAIT_S_MAX))?;
        within("idle_s", count(written.idle_s), 0, count(WAIT_S_MAX))?;
        within("rate", count(written.rate), 1, count(RATE_MAX))?;
        within("queue_messages_max", written.queue_messages_max, 1, usize::MAX)?;
        within("unconfirmed_max", written.unconfirmed_max, 1, usize::MAX)?;
        within("queue_bytes_max", written.queue_bytes_max, written.line_bytes_limit, usize::MAX)?;
        within("welcome", written.welcome.len(), 0, WELCOME_BYTES_MAX)?;
        if written.welcome.contains(['\r', '\n']) {
            return Err(wrong("welcome", "is one line".to_owned()));
        }
        Ok(Self {
            program: written.program,
            style: Style {
                encoding: written.encoding,
                punctuation: written.punctuation,
                controls: written.controls,
                end: written.reply_end,
            },
            terminator: written.terminator,
            line_bytes_limit: written.line_bytes_limit,
            on_oversize: written.on_oversize,
            chat_text: written.chat_text,
            welcome: written.welcome.into(),
            online: Duration::from_secs(written.online_s.into()),
            idle: (written.idle_s > 0).then(|| Duration::from_secs(written.idle_s.into())),
            rate: written.rate,
            queue: QueueLimits {
                messages: written.queue_messages_max,
                bytes: written.queue_bytes_max,
                unconfirmed: written.unconfirmed_max,
                history: written.history_messages_max,
            },
            readings: written.readings,
        })
    }
}

/// The settings of a simulated user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeviceSide {
    pub(super) user: String,
    /// With what it proves who it is: `text:PASSWORD`.
    pub(super) secret: String,
    pub(super) encoding: Encoding,
    pub(super) punctuation: Punctuation,
    pub(super) heartbeat_s: u32,
    pub(super) reconnect_ms: u64,
}

impl Default for DeviceSide {
    fn default() -> Self {
        Self {
            user: "330302D110/01".to_owned(),
            secret: "text:IJKLMNOPQRSTUVWX".to_owned(),
            encoding: Encoding::default(),
            punctuation: Punctuation::default(),
            heartbeat_s: 5,
            reconnect_ms: 1_000,
        }
    }
}

impl DeviceSide {
    /// From the table of a simulated user.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of(table: &toml::Table) -> Result<Self, SettingsError> {
        let side: Self = read(table)?;
        if side.heartbeat_s == 0 || side.reconnect_ms == 0 {
            return Err(wrong("heartbeat_s", "takes at least 1, and so does reconnect_ms".to_owned()));
        }
        for (key, word) in [("user", side.user.as_str()), ("secret", side.password()?)] {
            if word.is_empty() || word.contains(|character: char| character == ' ' || character.is_control()) {
                return Err(wrong(key, "is one word".to_owned()));
            }
        }
        Ok(side)
    }

    /// The password.
    ///
    /// # Errors
    /// `SettingsError` when it is not written as text.
    pub(super) fn password(&self) -> Result<&str, SettingsError> {
        self.secret.strip_prefix("text:").ok_or_else(|| wrong("secret", "write it as text:...".to_owned()))
    }
}

fn wrong(key: &str, reason: String) -> SettingsError {
    SettingsError { key: key.to_owned(), reason }
}

/// Reads a table.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
pub(super) fn read<T: DeserializeOwned>(table: &toml::Table) -> Result<T, SettingsError> {
    serde_path_to_error::deserialize(table.clone()).map_err(|error| {
        let key = error.path().to_string();
        SettingsError { key, reason: error.into_inner().to_string().trim().to_owned() }
    })
}
