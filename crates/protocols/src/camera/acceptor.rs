//! A listener of apps and cameras, and the registry behind all listeners.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use loggerhead_model::{DeviceId, Reading};

use super::session::{HeadEnd, Side};
use super::settings::{Kind, OfDevice, Settings};
use crate::bindings::steward::Steward;
use crate::bindings::{ALARM, ONLINE, Registry};
use crate::session::{Acceptor, Exchange, News, Opening, Session};
use crate::{DeviceSettings, Now, SettingsError};

/// An alarm that is older is history: the latest reading of every channel is told once more at each start.
const ALARM_AGE_MS_MAX: i64 = 60_000;

/// The registry as all listeners share it.
#[derive(Default)]
struct Shared {
    registry: Arc<Registry>,
    has_listener: AtomicBool,
}

/// Makes the sessions of one listener.
struct CameraAcceptor {
    registry: Arc<Registry>,
    settings: Arc<Settings>,
}

impl Shared {
    /// A device reported something.
    fn heard(&self, now: Now, device: &DeviceId, reading: &Reading<'_>) {
        match reading.function {
            ONLINE => {
                let state = reading.value.to_string().parse().ok();
                self.registry.with(|inside| inside.said(now, device, state, reading.measured_at));
            }
            ALARM if now.wall.unix_ms().saturating_sub(reading.measured_at.unix_ms()) <= ALARM_AGE_MS_MAX => {
                self.registry.with(|inside| inside.alarm(now, device, &reading.value.to_string()));
            }
            _ => {}
        }
    }
}

impl Acceptor for CameraAcceptor {
    fn open(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        Box::new(HeadEnd::new(Arc::clone(&self.registry), Arc::clone(&self.settings), Side::Stranger, now, opening))
    }
}

impl Exchange for Shared {
    fn entrust(&self, key: &[u8; 32]) {
        self.registry.with(|inside| inside.entrust(key));
    }

    fn cameras(&self) -> Option<Arc<Registry>> {
        Some(Arc::clone(&self.registry))
    }

    fn recall(&self, _now: Now, notes: &mut dyn Iterator<Item = (Bytes, Bytes)>) {
        self.registry.with(|inside| inside.recall(notes));
    }

    fn acceptor(
        &self,
        settings: &toml::Table,
        devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
    ) -> Result<Box<dyn Acceptor>, SettingsError> {
        let settings = Settings::of_listener(settings)?;
        let mut cameras = Vec::new();
        for device in devices {
            let own = OfDevice::of(device.table).map_err(|error| error.of(&device))?;
            if own.kind == Kind::Camera {
                let source = own.source.as_deref().and_then(|source| DeviceId::new(source).ok());
                let source = source.unwrap_or_else(|| device.id.clone());
                cameras.push((device.identity.as_str().into(), device.id.clone(), source));
            }
        }
        self.has_listener.store(true, Ordering::Relaxed);
        self.registry.with(|inside| {
            inside.know(cameras);
            inside.settle_after = settings.settle;
            inside.missed_for = settings.missed_alarms;
        });
        Ok(Box::new(CameraAcceptor { registry: Arc::clone(&self.registry), settings: Arc::new(settings) }))
    }

    fn wants_readings(&self) -> bool {
        self.has_listener.load(Ordering::Relaxed)
    }

    fn wants_news(&self) -> bool {
        self.has_listener.load(Ordering::Relaxed)
    }

    fn told(&self, now: Now, device: &DeviceId, news: News<'_>) {
        match news {
            News::Presence(evidence) => self.registry.with(|inside| inside.presence(now, device, evidence)),
            News::Removed => self.registry.with(|inside| inside.removed(now, device)),
            News::Readings(readings) => readings.iter().for_each(|reading| self.heard(now, device, reading)),
            News::Event(_) | News::Command { .. } => {}
        }
    }

    fn steward(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        Box::new(Steward::new(Arc::clone(&self.registry), now, &opening))
    }
}

/// Makes a registry.
pub(super) fn exchange() -> Arc<dyn Exchange> {
    Arc::new(Shared::default())
}

/// Makes a listener with a registry of its own.
///
/// # Errors
/// `SettingsError` with the key's path, below that of the account or camera where it is one of theirs.
pub(super) fn acceptor(
    table: &toml::Table,
    devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
) -> Result<Box<dyn Acceptor>, SettingsError> {
    exchange().acceptor(table, devices)
}

/// Checks the settings of an account or a camera.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
pub(super) fn check_device(table: &toml::Table) -> Result<(), SettingsError> {
    OfDevice::of(table).map(|_| ())
}
