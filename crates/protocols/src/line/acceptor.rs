//! A listener of users, over the office of messages.

use std::sync::Arc;

use super::program::{Program, Small};
use super::session::HeadEnd;
use super::settings::Settings;
use crate::office::{self, Office};
use crate::session::{Acceptor, Exchange, Opening, Session};
use crate::{DeviceSettings, Now, SettingsError};

/// Makes the sessions of one listener.
struct LineAcceptor {
    office: Arc<Office>,
    settings: Arc<Settings>,
}

impl Acceptor for LineAcceptor {
    fn open(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        match self.settings.program {
            Program::Chat => Box::new(HeadEnd::new(Arc::clone(&self.office), Arc::clone(&self.settings), now, opening)),
            Program::Small(program) => Box::new(Small::new(program, &self.settings, now, &opening)),
        }
    }
}

/// Makes a listener over an office.
///
/// # Errors
/// `SettingsError` with the key's path.
fn listener(office: Arc<Office>, table: &toml::Table) -> Result<Box<dyn Acceptor>, SettingsError> {
    Ok(Box::new(LineAcceptor { office, settings: Arc::new(Settings::of_listener(table)?) }))
}

/// Makes an exchange with an office of its own.
pub(super) fn exchange() -> Arc<dyn Exchange> {
    office::exchange::exchange(listener)
}

/// Makes a listener with an office of its own.
///
/// # Errors
/// `SettingsError` with the key's path, below that of the account where it is one of an account's.
pub(super) fn acceptor(
    table: &toml::Table,
    devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
) -> Result<Box<dyn Acceptor>, SettingsError> {
    exchange().acceptor(table, devices)
}
