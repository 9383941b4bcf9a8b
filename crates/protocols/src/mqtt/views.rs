//! Other ways to see what is stored, which a setting turns on: edge nodes of Sparkplug B, and sensors of Home Assistant.

use loggerhead_model::{DeviceId, Timestamp};

use super::broker::{Inside, spoken};
use super::home_assistant::Discovery;
use super::message::Publish;
use super::readings;
use super::sparkplug::view::View;
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
    /// Shows in all views what became known of a device.
    pub(super) fn show(&mut self, device: &DeviceId, news: News<'_>, now: Timestamp) {
        let said = self.views.sparkplug.as_mut().and_then(|view| match news {
            News::Reading(reading) => view.reading(device, reading, now),
            News::Presence(evidence) => view.presence(device, evidence.presence, now),
            News::Removed => view.removed(device, now),
            News::Event(_) | News::Command { .. } => None,
        });
        if let Some((topic, payload)) = said {
            self.proclaim(&spoken(&topic, &payload), now);
        }
        let Some(discovery) = &mut self.views.home_assistant else { return };
        match news {
            News::Reading(reading) => {
                let said = discovery.of(device, reading, &readings::topic_of(device, reading));
                if let Some((topic, payload)) = said {
                    self.proclaim(&Publish { retain: true, ..spoken(&topic, &payload) }, now);
                }
            }
            News::Removed => {
                for topic in discovery.removed(device) {
                    self.proclaim(&Publish { retain: true, ..spoken(&topic, b"") }, now);
                }
            }
            News::Presence(_) | News::Event(_) | News::Command { .. } => {}
        }
    }

    /// Somebody published to a topic that may command an edge node of the view.
    pub(super) fn answer_command(&mut self, topic: &str, payload: &[u8], now: Timestamp) {
        let said = self.views.sparkplug.as_mut().and_then(|view| view.commanded(topic, payload, now));
        if let Some((topic, payload)) = said {
            self.proclaim(&spoken(&topic, &payload), now);
        }
    }
}
