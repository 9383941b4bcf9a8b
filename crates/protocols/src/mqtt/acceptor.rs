//! A listener of clients, and the broker behind all listeners.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use loggerhead_model::DeviceId;

use super::broker::Broker;
use super::broker::steward::Steward;
use super::home_assistant::Discovery;
use super::session::HeadEnd;
use super::settings::Settings;
use super::sparkplug::view::View;
use super::{commands, news, readings};
use crate::session::{Acceptor, Exchange, News, Opening, Session};
use crate::standing::{SessionQuery, StandingSession};
use crate::{DeviceSettings, Now, SettingsError};

/// The broker as all listeners share it.
#[derive(Default)]
struct Shared {
    broker: Arc<Broker>,
    /// A listener passes readings on.
    passes_readings: AtomicBool,
    /// A listener passes presence and events on.
    passes_news: AtomicBool,
}

/// Makes the sessions of one listener.
struct MqttAcceptor {
    broker: Arc<Broker>,
    settings: Arc<Settings>,
}

impl Shared {
    fn has_views(&self) -> bool {
        self.broker.with(|inside| inside.views.is_any())
    }
}

impl Acceptor for MqttAcceptor {
    fn open(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        Box::new(HeadEnd::new(Arc::clone(&self.broker), Arc::clone(&self.settings), now, opening))
    }
}

impl Exchange for Shared {
    fn entrust(&self, key: &[u8; 32]) {
        self.broker.entrust(key);
    }

    fn sessions(&self, query: &SessionQuery) -> Option<Vec<StandingSession>> {
        Some(self.broker.sessions(query))
    }

    fn recall(&self, now: Now, notes: &mut dyn Iterator<Item = (Bytes, Bytes)>) {
        self.broker.with(|inside| inside.recall(now.wall, notes));
    }

    fn acceptor(
        &self,
        settings: &toml::Table,
        devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
    ) -> Result<Box<dyn Acceptor>, SettingsError> {
        let settings = Settings::of_listener(settings)?;
        for device in devices {
            settings.rules_of(device.table).map_err(|error| error.of(&device))?;
        }
        // Home Assistant shows what is passed on.
        let needs_all = settings.home_assistant.is_some();
        self.passes_readings.fetch_or(settings.readings || needs_all, Ordering::Relaxed);
        self.passes_news.fetch_or(settings.news || needs_all, Ordering::Relaxed);
        self.broker.with(|inside| {
            let views = &mut inside.views;
            if let (None, Some(group)) = (&views.sparkplug, &settings.sparkplug) {
                views.sparkplug = Some(View::new(group));
            }
            if let (None, Some(prefix)) = (&views.home_assistant, &settings.home_assistant) {
                views.home_assistant = Some(Discovery::new(prefix));
            }
        });
        Ok(Box::new(MqttAcceptor { broker: Arc::clone(&self.broker), settings: Arc::new(settings) }))
    }

    fn wants_readings(&self) -> bool {
        self.passes_readings.load(Ordering::Relaxed) || self.has_views()
    }

    fn wants_news(&self) -> bool {
        self.passes_news.load(Ordering::Relaxed) || self.has_views()
    }

    fn told(&self, now: Now, device: &DeviceId, news: News<'_>) {
        let (readings_too, news_too) =
            (self.passes_readings.load(Ordering::Relaxed), self.passes_news.load(Ordering::Relaxed));
        match news {
            News::Readings(all) => {
                self.broker.with(|inside| inside.name_channels(device, all, now.wall));
                for reading in all {
                    let topic = readings::topic_of(device, reading);
                    let measured_at = reading.measured_at;
                    self.broker.with(|inside| {
                        inside.show_reading(device, reading, &topic, now.wall);
                        if readings_too {
                            inside.announce(&topic, measured_at, now.wall, || readings::write_one(reading));
                        }
                    });
                }
            }
            News::Command { id, state, changed_at } => {
                let payload = commands::written(device, id, state, changed_at);
                let spoken = news::command(device, &payload);
                self.broker.with(|inside| {
                    if news_too {
                        inside.proclaim(&spoken.publish(), now.wall);
                    }
                    if state.is_finished() {
                        inside.ended(id, &payload, now.wall);
                    }
                });
            }
            News::Presence(_) | News::Event(_) | News::Removed => {
                let messages = news::messages(device, news);
                self.broker.with(|inside| {
                    inside.show(device, news, now.wall);
                    for said in messages.iter().filter(|_| news_too) {
                        inside.proclaim(&said.publish(), now.wall);
                    }
                    if matches!(news, News::Removed) {
                        inside.forsake(device, now.wall);
                        inside.kept.forget(device);
                    }
                });
            }
        }
    }

    fn steward(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        Box::new(Steward::new(Arc::clone(&self.broker), now, &opening))
    }
}

/// Makes a broker.
pub(super) fn exchange() -> Arc<dyn Exchange> {
    Arc::new(Shared::default())
}

/// Makes a listener with a broker of its own.
///
/// # Errors
/// `SettingsError` with the key's path, below that of the device where it is one of a device's.
pub(super) fn acceptor(
    table: &toml::Table,
    devices: &mut dyn Iterator<Item = DeviceSettings<'_>>,
) -> Result<Box<dyn Acceptor>, SettingsError> {
    exchange().acceptor(table, devices)
}

/// Checks a device's settings.
///
/// # Errors
/// `SettingsError` with the key's path.
pub(super) fn check_device(table: &toml::Table) -> Result<(), SettingsError> {
    Settings::of_listener(&toml::Table::new())?.rules_of(table).map(|_| ())
}
