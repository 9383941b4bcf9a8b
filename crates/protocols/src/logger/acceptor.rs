//! A listener of data loggers: its settings, and the keys of all devices that may call it.

use std::sync::Arc;

use super::keys::Keyring;
use super::session::{HeadEnd, Listener};
use super::settings::{NamedKey, Settings};
use crate::session::Acceptor;
use crate::{DeviceSettings, SettingsError, opener};

/// Makes a listener's side from its settings and those of the devices that it serves.
///
/// # Errors
/// `SettingsError` with the key's path, below that of the device where it is one of a device's.
pub(super) fn acceptor(
    table: &toml::Table,
    devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
) -> Result<Box<dyn Acceptor>, SettingsError> {
    let (settings, mut keys) = Settings::of_listener(table)?;
    for device in devices {
        let own = settings.with_device(device.table).map_err(|error| error.of(&device))?;
        keys.extend(own.aes_key.map(|key| NamedKey { label: "aes_key of the device".into(), key }));
    }
    let listener = Arc::new(Listener { settings: Arc::new(settings), keyring: Keyring::new(keys.into_iter()) });
    Ok(opener::acceptor(move |now, opening| HeadEnd::new(Arc::clone(&listener), now, opening)))
}

/// Checks a device's settings.
///
/// # Errors
/// `SettingsError` with the key's path.
pub(super) fn check_device(table: &toml::Table) -> Result<(), SettingsError> {
    Settings::default().with_device(table).map(|_| ())
}
