//! A listener of the relay and its settings.

use std::sync::Arc;

use super::session::HeadEnd;
use super::settings::Settings;
use crate::session::{Acceptor, Opening, Session};
use crate::{DeviceSettings, Now, SettingsError};

/// Makes the sessions of one listener.
struct SocksAcceptor {
    settings: Arc<Settings>,
}

impl Acceptor for SocksAcceptor {
    fn open(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        Box::new(HeadEnd::new(Arc::clone(&self.settings), now, &opening))
    }
}

/// Makes a listener's side from its settings and those of its users.
///
/// # Errors
/// `SettingsError` with the key's path, below that of the user where it is one of a user's.
pub(super) fn acceptor(
    table: &toml::Table,
    devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
) -> Result<Box<dyn Acceptor>, SettingsError> {
    let settings = Settings::of_listener(table)?;
    for device in devices {
        settings.limits_of(device.table).map_err(|error| SettingsError {
            key: format!("{}: {}", device.identity, error.key),
            reason: error.reason,
        })?;
    }
    Ok(Box::new(SocksAcceptor { settings: Arc::new(settings) }))
}

/// Checks a user's settings.
///
/// # Errors
/// `SettingsError` with the key's path.
pub(super) fn check_device(table: &toml::Table) -> Result<(), SettingsError> {
    Settings::of_listener(&toml::Table::new())?.limits_of(table).map(|_| ())
}
