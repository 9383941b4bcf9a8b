//! A listener of people, over the office of messages.

use std::sync::Arc;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Identity};

use super::session::HeadEnd;
use super::settings::{self, Settings};
use crate::office::Office;
use crate::office::steward::Steward;
use crate::session::{Acceptor, Exchange, News, OpenSession, Opening, Session};
use crate::{DeviceSettings, Now, SettingsError};

/// The office as all listeners share it.
#[derive(Default)]
struct Shared {
    office: Arc<Office>,
}

/// Makes the sessions of one listener.
struct ChatAcceptor {
    office: Arc<Office>,
    settings: Arc<Settings>,
}

impl Acceptor for ChatAcceptor {
    fn open(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        Box::new(HeadEnd::new(Arc::clone(&self.office), Arc::clone(&self.settings), now, &opening))
    }

    fn for_person(&self, person: Identity) -> Option<OpenSession> {
        let (office, settings) = (Arc::clone(&self.office), Arc::clone(&self.settings));
        Some(Box::new(move |now, opening| Box::new(HeadEnd::of_person(person, office, settings, now, &opening))))
    }

    fn takes_people(&self) -> bool {
        true
    }
}

impl Exchange for Shared {
    fn over(&self, office: &Arc<Office>) -> Option<Arc<dyn Exchange>> {
        Some(Arc::new(Self { office: Arc::clone(office) }))
    }

    fn recall(&self, _now: Now, notes: &mut dyn Iterator<Item = (Bytes, Bytes)>) {
        // The office's own notes stand on its own shelf; this one's is that of an office for itself alone.
        self.office.recall(notes);
    }

    fn acceptor(
        &self,
        settings: &toml::Table,
        devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
    ) -> Result<Box<dyn Acceptor>, SettingsError> {
        let settings = Settings::of_listener(settings)?;
        for device in devices {
            check_device(device.table).map_err(|error| SettingsError {
                key: format!("{}: {}", device.identity, error.key),
                reason: error.reason,
            })?;
        }
        Ok(Box::new(ChatAcceptor { office: Arc::clone(&self.office), settings: Arc::new(settings) }))
    }

    fn wants_readings(&self) -> bool {
        false
    }

    fn wants_news(&self) -> bool {
        false
    }

    fn told(&self, _now: Now, _device: &DeviceId, _news: News<'_>) {}

    fn steward(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        Box::new(Steward::new(Arc::clone(&self.office), now, &opening))
    }
}

/// Makes an exchange with an office of its own.
pub(super) fn exchange() -> Arc<dyn Exchange> {
    Arc::new(Shared::default())
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

/// An account has no settings of this protocol.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAccount {}

/// Checks an account's settings.
///
/// # Errors
/// `SettingsError` with the first key that there is.
pub(super) fn check_device(table: &toml::Table) -> Result<(), SettingsError> {
    settings::read::<OfAccount>(table).map(|OfAccount {}| ())
}
