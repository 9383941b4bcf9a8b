//! Something that happened and that an operator may want to know later.

use std::borrow::Cow;

use crate::{DeviceId, Timestamp};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Normal life.
    Info,
    /// Recovered, but worth a look when it repeats.
    Warning,
    /// Needs a person.
    Error,
}

/// What kind of thing happened. The word is what is stored, counted and filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A device proved who it is.
    Login,
    /// A device's session ended; the text says why.
    Logout,
    /// A device was not let in.
    Refused,
    /// A peer broke the rules of its protocol.
    Fault,
    /// A newer connection of the same device replaced an older one.
    Takeover,
    /// A device sent a different value for a reading that is stored already.
    Conflict,
    /// A well-formed message that nobody here understands.
    UnknownMessage,
    /// A device said something about itself, such as its hardware and its meters.
    DeviceInfo,
    /// An unknown device asked to be let in and waits for an operator.
    Pending,
    /// A device was added, changed or removed.
    Device,
    /// A command changed its state.
    Command,
    /// A peer was joined with somebody else, or was not.
    Relay,
    /// A file is here, or was not taken, or went.
    File,
    /// The head-end itself: start, stop, reload, disk trouble.
    System,
}

impl EventKind {
    /// Every kind, for filters and counters.
    pub const ALL: [Self; 14] = [
        Self::Login,
        Self::Logout,
        Self::Refused,
        Self::Fault,
        Self::Takeover,
        Self::Conflict,
        Self::UnknownMessage,
        Self::DeviceInfo,
        Self::Pending,
        Self::Device,
        Self::Command,
        Self::Relay,
        Self::File,
        Self::System,
    ];

    /// The word that is stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Refused => "refused",
            Self::Fault => "fault",
            Self::Takeover => "takeover",
            Self::Conflict => "conflict",
            Self::UnknownMessage => "unknown-message",
            Self::DeviceInfo => "device-info",
            Self::Pending => "pending",
            Self::Device => "device",
            Self::Command => "command",
            Self::Relay => "relay",
            Self::File => "file",
            Self::System => "system",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Event {
    /// Our clock.
    pub at: Timestamp,
    /// How much it matters.
    pub severity: Severity,
    /// What kind of thing it was.
    pub kind: EventKind,
    /// The device that it is about, where one is known.
    pub device: Option<DeviceId>,
    /// The address at the other end, where there is one.
    pub peer: Option<String>,
    /// What happened, in lower case with values; never a secret, never a whole frame.
    pub text: Cow<'static, str>,
}
