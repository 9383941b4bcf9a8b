//! The exchange of protocols that pass messages on and share nothing but the office between their listeners.

use std::sync::Arc;

use bytes::Bytes;
use loggerhead_model::DeviceId;

use super::Office;
use super::steward::Steward;
use crate::session::{Acceptor, Exchange, News, Opening, Session};
use crate::{DeviceSettings, Now, SettingsError, settings};

/// Makes a listener over an office from its settings.
pub(crate) type MakeListener = fn(Arc<Office>, &toml::Table) -> Result<Box<dyn Acceptor>, SettingsError>;

/// The office as all listeners share it.
struct Shared {
    office: Arc<Office>,
    listener: MakeListener,
}

/// An exchange with an office of its own.
pub(crate) fn exchange(listener: MakeListener) -> Arc<dyn Exchange> {
    Arc::new(Shared { office: Arc::default(), listener })
}

impl Exchange for Shared {
    fn over(&self, office: &Arc<Office>) -> Option<Arc<dyn Exchange>> {
        Some(Arc::new(Self { office: Arc::clone(office), listener: self.listener }))
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
        let listener = (self.listener)(Arc::clone(&self.office), settings)?;
        for device in devices {
            check_account(device.table).map_err(|error| error.of(&device))?;
        }
        Ok(listener)
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

/// An account has no settings of these protocols.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAccount {}

/// Checks an account's settings.
///
/// # Errors
/// `SettingsError` with the first key that there is.
pub(crate) fn check_account(table: &toml::Table) -> Result<(), SettingsError> {
    settings::read::<OfAccount>(table).map(|OfAccount {}| ())
}
