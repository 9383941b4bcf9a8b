//! What an operator asks of a device, and what became of it.

use std::fmt;

use crate::Timestamp;

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
