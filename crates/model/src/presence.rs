//! Whether a device is there, and how we know.

use crate::Timestamp;

/// Only received bytes prove a device alive; an open socket proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Logged in and heard from within the time in which it is expected to speak.
    ConnectedFresh,
    /// Logged in, but silent for longer than it should be.
    ConnectedSilent,
    /// Was here, is not any more.
    Offline,
    /// Known to us, never seen.
    Never,
}

impl Presence {
    /// Every state, for counters.
    pub const ALL: [Self; 4] = [Self::ConnectedFresh, Self::ConnectedSilent, Self::Offline, Self::Never];

    /// The word that is stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ConnectedFresh => "connected-fresh",
            Self::ConnectedSilent => "connected-silent",
            Self::Offline => "offline",
            Self::Never => "never",
        }
    }
}

/// A state with what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Evidence {
    /// The state.
    pub presence: Presence,
    /// When this state began; our clock.
    pub since: Option<Timestamp>,
    /// When bytes were last received.
    pub last_bytes_at: Option<Timestamp>,
    /// When a reading was last received.
    pub last_reading_at: Option<Timestamp>,
    /// The address at the other end of the current or last session.
    pub peer: Option<String>,
    /// Why the last session ended.
    pub closed_because: Option<String>,
}
