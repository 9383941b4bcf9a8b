//! The building-energy data-logger protocol, in every dialect that devices speak.

pub mod cipher;
pub mod compress;
pub mod crc;
pub mod decode;
pub mod dialect;
pub mod encode;
pub mod frame;
pub mod identity;
pub mod message;
pub mod text;
pub mod time;
pub mod xml;

use crate::session::{Acceptor, Opening, Session};
use crate::{DeviceSettings, Explain, Explanation, Protocol, SettingsError};

/// The row for the table of protocols.
pub const PROTOCOL: Protocol = Protocol {
    name: "logger",
    title: "building-energy data loggers, six dialects",
    port: 36829,
    acceptor,
    check_device,
    device,
    explain,
};

fn acceptor(
    _settings: &toml::Table,
    _devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
) -> Result<Box<dyn Acceptor>, SettingsError> {
    Err(unfinished())
}

fn check_device(_settings: &toml::Table) -> Result<(), SettingsError> {
    Ok(())
}

fn device(_settings: &toml::Table, _opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    Err(unfinished())
}

fn explain(_request: &Explain<'_>) -> Explanation {
    Explanation::default()
}

fn unfinished() -> SettingsError {
    SettingsError { key: "protocol".to_owned(), reason: "not built yet".to_owned() }
}
