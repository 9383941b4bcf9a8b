//! Other ways to see what is stored, which a setting turns on: edge nodes of Sparkplug B, and sensors of Home Assistant.

use loggerhead_model::{DeviceId, Reading, Timestamp};

use super::broker::{Inside, spoken};
use super::home_assistant::Discovery;
use super::message::Publish;
use super::sparkplug::view::{Saying, View};
use crate::News;

/// The views that are turned on.
#[derive(Debug, Default)]
pub(super) struct Views {
    pub(super) sparkplug: Option<View>,
    pub(super) home_assistant: Option<Discovery>,
}

impl Views {
    /// Whether there is one.
    pub(super) fn is_any(&self) -> bool {
        self.sparkplug.is_some() || self.home_assistant.is_some()
    }
}

impl Inside {
    /// Readings of one report are to be shown, each by `show_reading`.
    pub(super) fn name_channels(&mut self, device: &DeviceId, readings: &[Reading<'_>], now: Timestamp) {
        let said = self.views.sparkplug.as_mut().and_then(|view| view.name(device, readings, now));
        self.say(said, now);
    }

    /// Shows a reading in all views; it is passed on under `topic`.
    pub(super) fn show_reading(&mut self, device: &DeviceId, reading: &Reading<'_>, topic: &str, now: Timestamp) {
        let said = self.views.sparkplug.as_mut().and_then(|view| view.reading(device, reading, now));
        self.say(said, now);
        let said = self.views.home_assistant.as_mut().and_then(|discovery| discovery.of(device, reading, topic));
        if let Some((topic, payload)) = said {
            self.proclaim(&Publish { retain: true, ..spoken(&topic, &payload) }, now);
        }
    }

    /// Shows in all views what else became known of a device.
    pub(super) fn show(&mut self, device: &DeviceId, news: News<'_>, now: Timestamp) {
        let said = self.views.sparkplug.as_mut().and_then(|view| match news {
            News::Presence(evidence) => view.presence(device, evidence.presence, now),
            News::Removed => view.removed(device, now),
            News::Readings(_) | News::Event(_) | News::Command { .. } => None,
        });
        self.say(said, now);
        if matches!(news, News::Removed)
            && let Some(discovery) = &mut self.views.home_assistant
        {
            for topic in discovery.removed(device) {
                self.proclaim(&Publish { retain: true, ..spoken(&topic, b"") }, now);
            }
        }
    }

    /// Somebody published to a topic that may command an edge node of the view.
    pub(super) fn answer_command(&mut self, topic: &str, payload: &[u8], now: Timestamp) {
        let said = self.views.sparkplug.as_mut().and_then(|view| view.commanded(topic, payload, now));
        self.say(said, now);
    }

    fn say(&mut self, said: Option<Saying>, now: Timestamp) {
        if let Some((topic, payload)) = said {
            self.proclaim(&spoken(&topic, &payload), now);
        }
    }
}
