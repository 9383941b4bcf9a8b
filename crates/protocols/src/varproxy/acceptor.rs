//! Robots that are called, and their settings.

use std::sync::Arc;

use super::session::HeadEnd;
use super::settings::Settings;
use crate::session::{Acceptor, Opening, Session};
use crate::{DeviceSettings, Now, SettingsError};

/// Makes the sessions of one listener.
struct ProxyAcceptor {
    settings: Arc<Settings>,
}

impl Acceptor for ProxyAcceptor {
    fn open(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        Box::new(HeadEnd::new(Arc::clone(&self.settings), now, &opening))
    }
}

/// Makes a listener's side from its settings and those of the robots that it calls.
///
/// # Errors
/// `SettingsError` with the key's path, below that of the robot where it is one of a robot's.
pub(super) fn acceptor(
    table: &toml::Table,
    devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
) -> Result<Box<dyn Acceptor>, SettingsError> {
    let settings = Settings::default().with(table)?;
    for device in devices {
        settings.with(device.table).map_err(|error| SettingsError {
            key: format!("{}: {}", device.identity, error.key),
            reason: error.reason,
        })?;
    }
    Ok(Box::new(ProxyAcceptor { settings: Arc::new(settings) }))
}

/// Checks a robot's settings.
///
/// # Errors
/// `SettingsError` with the key's path.
pub(super) fn check_device(table: &toml::Table) -> Result<(), SettingsError> {
    Settings::default().with(table).map(|_| ())
}
