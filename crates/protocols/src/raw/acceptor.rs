//! A listener of such devices and its settings.

use std::sync::Arc;

use super::session::HeadEnd;
use super::settings::Settings;
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
    let settings = Settings::of_listener(table)?;
    for device in devices {
        settings.with_device(device.table).map_err(|error| error.of(&device))?;
    }
    let settings = Arc::new(settings);
    Ok(opener::acceptor(move |now, opening| HeadEnd::new(Arc::clone(&settings), now, opening)))
}

/// Checks a device's settings.
///
/// # Errors
/// `SettingsError` with the key's path.
pub(super) fn check_device(table: &toml::Table) -> Result<(), SettingsError> {
    Settings::default().with_device(table).map(|_| ())
}
