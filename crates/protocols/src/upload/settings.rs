//! What can be set for a listener of files.

use std::time::Duration;

use serde::Deserialize;

use super::legitimacy::Auth;
use crate::settings::read;
use crate::{Collision, SettingsError};

/// Silence after which a sender is given up.
const IDLE_S: u64 = 60;
/// Longest silence that settings may allow: a day.
const IDLE_S_MAX: u64 = 86_400;

/// What is in force for a listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// How senders prove that they know the secret.
    pub(super) auth: Auth,
    /// Whether who did not ask is told of errors as well, in a line.
    pub(super) reply: bool,
    /// What becomes of a file whose name is taken.
    pub(super) collision: Collision,
    /// Whether names that not every system can have are refused.
    pub(super) portable: bool,
    idle_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { auth: Auth::default(), reply: false, collision: Collision::default(), portable: false, idle_s: IDLE_S }
    }
}

impl Settings {
    /// From the table of a listener.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of(table: &toml::Table) -> Result<Self, SettingsError> {
        let settings: Self = read(table)?;
        if !(1..=IDLE_S_MAX).contains(&settings.idle_s) {
            let reason = format!("{} is not from 1 to {IDLE_S_MAX}", settings.idle_s);
            return Err(SettingsError { key: "idle_s".to_owned(), reason });
        }
        Ok(settings)
    }

    /// Silence after which a sender is given up.
    pub(super) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_s)
    }
}

/// A device has no settings of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OfDevice {}

/// The settings of a simulated sender.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeviceSide {
    /// How it names itself.
    pub(super) identity: String,
    /// With what it proves who it is, as `text:`; empty for nothing.
    pub(super) secret: String,
    pub(super) reconnect_ms: u64,
}

impl Default for DeviceSide {
    fn default() -> Self {
        Self { identity: "330302D110/01".to_owned(), secret: "text:IJKLMNOPQRSTUVWX".to_owned(), reconnect_ms: 1_000 }
    }
}

impl DeviceSide {
    /// From the table of a simulated sender.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of(table: &toml::Table) -> Result<Self, SettingsError> {
        let side: Self = read(table)?;
        if side.reconnect_ms == 0 {
            let reason = "0 would never let it rest: 1 or more".to_owned();
            return Err(SettingsError { key: "reconnect_ms".to_owned(), reason });
        }
        if !side.secret.is_empty() && !side.secret.starts_with("text:") {
            return Err(SettingsError { key: "secret".to_owned(), reason: "write it as text:...".to_owned() });
        }
        Ok(side)
    }
}
