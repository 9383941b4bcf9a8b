//! Events and raw frames.

use loggerhead_model::{Direction, Severity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::{Acknowledgement, Time, words};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number; grows in the order in which events were stored. None in the live stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The committed batch that it is in.
    pub cursor: u64,
    /// When it happened; our clock.
    pub at: Time,
    /// How much it matters.
    #[schema(schema_with = severity_words)]
    pub severity: Severity,
    /// What kind of thing it was.
    #[schema(schema_with = kind_words)]
    pub kind: String,
    /// The device that it is about, where one is known.
    pub device: Option<String>,
    /// The address at the other end, where there is one.
    pub peer: Option<String>,
    /// What happened.
    pub text: String,
    /// Who took note of it; none in the live stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
}

/// A page of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// The events of this page, in the order that was asked for.
    pub events: Vec<Event>,
    /// `after` of the next page; none on the last.
    pub next: Option<u64>,
}

/// A raw frame of a device's conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Frame {
    /// Its number; grows in the order in which frames were stored.
    pub number: u64,
    /// The committed batch that it is in.
    pub cursor: u64,
    /// When it was received or sent; our clock.
    pub received_at: Time,
    /// `in`: from the device to us. `out`: from us to the device.
    #[schema(schema_with = direction_words)]
    pub direction: Direction,
    /// How long it is.
    pub bytes: usize,
    /// The frame, as hex digits. An enciphered part is replaced by its plain bytes, of the same length.
    pub hex: String,
}

/// A page of frames, in the order that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FrameList {
    /// The frames of this page.
    pub frames: Vec<Frame>,
    /// `after` of the next page; none on the last.
    pub next: Option<u64>,
}

/// A message that was sent to a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sent {
    /// When it was sent; our clock.
    pub at: Time,
    /// How long it is.
    pub bytes: usize,
    /// The message, as hex digits. An enciphered part is replaced by its plain bytes, of the same length.
    pub hex: String,
}

/// What was sent to a device lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SentList {
    /// The messages, the newest first.
    pub sent: Vec<Sent>,
}

fn severity_words() -> Object {
    words(&["info", "warning", "error"])
}

fn kind_words() -> Object {
    words(&loggerhead_model::EventKind::ALL.map(loggerhead_model::EventKind::word))
}

fn direction_words() -> Object {
    words(&["in", "out"])
}

impl Event {
    /// The event as it is shown.
    pub(crate) fn new(number: Option<u64>, cursor: loggerhead_model::Cursor, event: loggerhead_model::Event) -> Self {
        Self {
            number,
            cursor: cursor.number(),
            at: Time(event.at),
            severity: event.severity,
            kind: event.kind.word().to_owned(),
            device: event.device.map(|device| device.as_str().to_owned()),
            peer: event.peer,
            text: event.text.into_owned(),
            acknowledged: None,
        }
    }

    /// An event as it is kept.
    pub(crate) fn stored(stored: loggerhead_store::StoredEvent) -> Self {
        let acknowledged = stored.acknowledged.map(Acknowledgement::from);
        Self { acknowledged, ..Self::new(Some(stored.number), stored.cursor, stored.event) }
    }
}
