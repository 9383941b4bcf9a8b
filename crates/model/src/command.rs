//! What an operator asks of a device, and what became of it.

use std::fmt;

use crate::Timestamp;

/// Longest period that a device takes.
const PERIOD_MINUTES_MAX: u32 = 9999;
/// Most lines of a control order: one a meter, and no device has more meters.
const CONTROL_LINES_MAX: usize = 256;

/// Names a command; grows, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub u64);

/// One line of a control order: bytes that the device passes to a meter.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ControlLine {
    /// The device's name for the meter.
    pub meter: String,
    /// What to send to the meter, as hex digits.
    pub hex: String,
    /// How long the device waits for the meter, in milliseconds.
    pub timeout_ms: u32,
    /// How often the device tries again.
    pub retries: u8,
}

/// Which secret a `SetKey` order replaces in the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// The secret with which the device proves who it is.
    Login,
    /// The key of its cipher.
    Cipher,
    /// The initialisation vector of its cipher.
    CipherIv,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", tag = "order")]
pub enum Order {
    /// Report every so many minutes.
    Period {
        /// 1..=9999.
        minutes: u32,
    },
    /// Send current readings, or those measured in a span.
    Query {
        /// First moment of the span, device's clock.
        from: Option<Timestamp>,
        /// Last moment of the span, device's clock.
        to: Option<Timestamp>,
    },
    /// Describe yourself: network, meters, their functions.
    Describe,
    /// Pass bytes to meters.
    Control {
        /// At most one line a meter.
        lines: Vec<ControlLine>,
    },
    /// Replace a secret in the device.
    SetKey {
        /// Which one.
        kind: KeyKind,
        /// The new one. Never logged.
        key: String,
    },
}

impl fmt::Display for Order {
    /// In a few words; never a key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Period { minutes } => write!(formatter, "report every {minutes} minutes"),
            Self::Query { from: Some(from), to: Some(to) } => write!(formatter, "query from {from} to {to}"),
            Self::Query { from: Some(from), to: None } => write!(formatter, "query from {from} on"),
            Self::Query { from: None, to: Some(to) } => write!(formatter, "query up to {to}"),
            Self::Query { from: None, to: None } => formatter.write_str("query"),
            Self::Describe => formatter.write_str("describe"),
            Self::Control { lines } => write!(formatter, "control {} meters", lines.len()),
            Self::SetKey { .. } => formatter.write_str("set a key"),
        }
    }
}

/// An order that no device could be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrongOrder(String);

impl Order {
    /// Whether a device could be asked it.
    ///
    /// # Errors
    /// `WrongOrder` says what cannot be.
    pub fn check(&self) -> Result<(), WrongOrder> {
        let wrong = |detail: String| Err(WrongOrder(detail));
        match self {
            Self::Period { minutes } if !(1..=PERIOD_MINUTES_MAX).contains(minutes) => {
                wrong(format!("a period of {minutes} minutes is not in 1..={PERIOD_MINUTES_MAX}"))
            }
            Self::Query { from: Some(from), to: Some(to) } if from > to => {
                wrong(format!("the span from {from} to {to} ends before it begins"))
            }
            Self::Query { from: Some(_), to: None } | Self::Query { from: None, to: Some(_) } => {
                wrong("a span has both from and to".to_owned())
            }
            Self::Control { lines } if lines.is_empty() || lines.len() > CONTROL_LINES_MAX => {
                wrong(format!("{} lines are not in 1..={CONTROL_LINES_MAX}", lines.len()))
            }
            Self::SetKey { key, .. } if key.is_empty() => wrong("the key is empty".to_owned()),
            Self::Period { .. } | Self::Query { .. } | Self::Describe | Self::Control { .. } | Self::SetKey { .. } => {
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Order {
    /// Everything but keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Period { minutes } => write!(formatter, "Period({minutes} min)"),
            Self::Query { from, to } => write!(formatter, "Query({from:?}, {to:?})"),
            Self::Describe => formatter.write_str("Describe"),
            Self::Control { lines } => write!(formatter, "Control({} lines)", lines.len()),
            Self::SetKey { kind, .. } => write!(formatter, "SetKey({kind:?})"),
        }
    }
}

/// An order on its way to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name.
    pub id: CommandId,
    /// What is asked.
    pub order: Order,
    /// When it was asked; our clock.
    pub accepted_at: Timestamp,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "detail")]
pub enum CommandState {
    /// Taken; waits for its turn or for the device to connect.
    Accepted,
    /// On the wire.
    Sent,
    /// The device answered; its words.
    Answered(String),
    /// The device refused, or cannot do this; the reason.
    Failed(String),
    /// No answer in time.
    Expired,
}

impl CommandState {
    /// The words of the states, in their order.
    pub const WORDS: [&str; 5] = ["accepted", "sent", "answered", "failed", "expired"];

    /// The word for it that is counted and shown.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Answered(_) => "answered",
            Self::Failed(_) => "failed",
            Self::Expired => "expired",
        }
    }

    /// The device's words, or the reason of the failure.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Answered(detail) | Self::Failed(detail) => Some(detail),
            Self::Accepted | Self::Sent | Self::Expired => None,
        }
    }

    /// Whether nothing more will become of it.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        match self {
            Self::Accepted | Self::Sent => false,
            Self::Answered(_) | Self::Failed(_) | Self::Expired => true,
        }
    }
}
