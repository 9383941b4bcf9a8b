//! A listener of robots and its settings.

use std::sync::Arc;

use super::pins::Pins;
use super::session::HeadEnd;
use super::settings::Settings;
use crate::session::{Acceptor, Opening, Session};
use crate::{DeviceSettings, Now, SettingsError};

/// Makes the sessions of one listener.
struct RsiAcceptor {
    settings: Arc<Settings>,
    pins: Pins,
}

impl Acceptor for RsiAcceptor {
    fn open(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        Box::new(HeadEnd::new(Arc::clone(&self.settings), self.pins.clone(), now, opening))
    }

    fn answers_in_cycles(&self) -> bool {
        true
    }
}

/// Makes a listener's side from its settings and those of the robots that it serves.
///
/// # Errors
/// `SettingsError` with the key's path, below that of the robot where it is one of a robot's.
pub(super) fn acceptor(
    table: &toml::Table,
    devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
) -> Result<Box<dyn Acceptor>, SettingsError> {
    let settings = Settings::default().with(table)?;
    for device in devices {
        settings.with(device.table).map_err(|error| error.of(&device))?;
    }
    Ok(Box::new(RsiAcceptor { settings: Arc::new(settings), pins: Pins::default() }))
}

/// Checks a robot's settings.
///
/// # Errors
/// `SettingsError` with the key's path.
pub(super) fn check_device(table: &toml::Table) -> Result<(), SettingsError> {
    Settings::default().with(table).map(|_| ())
}
