//! What the head-end says of devices of any protocol: `loggerhead/DEVICE/presence`, `events`, `alarms` and `command/state`, as
//! JSON.

use loggerhead_model::{DeviceId, Event, Evidence, Severity};
use serde_json::json;

use super::broker::spoken;
use super::message::Publish;
use crate::News;

/// A message of the head-end.
pub(super) struct Spoken {
    topic: String,
    payload: Vec<u8>,
    retain: bool,
}

impl Spoken {
    /// As a packet for the broker.
    pub(super) fn publish(&self) -> Publish<'_> {
        Publish { retain: self.retain, ..spoken(&self.topic, &self.payload) }
    }
}

/// What is said of news. Readings and commands are said elsewhere.
pub(super) fn messages(device: &DeviceId, news: News<'_>) -> Vec<Spoken> {
    let topic = |last: &str| format!("loggerhead/{device}/{last}");
    match news {
        News::Readings(_) | News::Command { .. } => Vec::new(),
        News::Presence(evidence) => {
            vec![Spoken { topic: topic("presence"), payload: presence(evidence), retain: true }]
        }
        News::Event(event) => {
            // An alarm that is kept would be raised again by everyone who subscribes later.
            let spoken = |last| Spoken { topic: topic(last), payload: happened(event), retain: false };
            match event.severity {
                Severity::Info => vec![spoken("events")],
                Severity::Warning | Severity::Error => vec![spoken("events"), spoken("alarms")],
            }
        }
        // An empty payload takes away what was kept.
        News::Removed => ["presence", "command/state"]
            .map(|last| Spoken { topic: topic(last), payload: Vec::new(), retain: true })
            .into(),
    }
}

/// What is said of a command.
pub(super) fn command(device: &DeviceId, payload: &[u8]) -> Spoken {
    Spoken { topic: format!("loggerhead/{device}/command/state"), payload: payload.to_vec(), retain: true }
}

fn presence(evidence: &Evidence) -> Vec<u8> {
    let time = |at: Option<loggerhead_model::Timestamp>| at.map(|at| at.to_string());
    let object = json!({
        "presence": evidence.presence,
        "since": time(evidence.since),
        "last_bytes_at": time(evidence.last_bytes_at),
        "last_reading_at": time(evidence.last_reading_at),
        "peer": evidence.peer,
        "closed_because": evidence.closed_because,
    });
    object.to_string().into_bytes()
}

fn happened(event: &Event) -> Vec<u8> {
    let object = json!({
        "at": event.at.to_string(),
        "severity": event.severity,
        "kind": event.kind.word(),
        "peer": event.peer,
        "text": event.text,
    });
    object.to_string().into_bytes()
}
