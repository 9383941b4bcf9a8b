//! What is told, and how it is written: as server-sent events, or as frames of WebSocket.

use loggerhead_headend::{Live, Packet};
use loggerhead_model::{Cursor, DeviceId, Evidence};
use serde::Serialize;

use super::{Place, frame};
use crate::api::{Event, LiveGap, LiveReading, LiveReadings, LiveStart, PresenceChange, Shared, Time};

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Server-sent events.
    Events,
    /// Frames of WebSocket, a JSON object in each.
    Frames,
}

/// What a message says.
#[derive(Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Readings(LiveReadings<'a>),
    Event(Event),
    Presence(PresenceChange),
    Gap(LiveGap),
    Start(LiveStart),
}

/// A message of a WebSocket.
#[derive(Serialize)]
struct Envelope<'a, 'b> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    data: &'a Told<'b>,
}

impl Form {
    /// Writes what a subscriber is told, nothing for an empty packet, and says the place after it, where it has one.
    pub(super) fn live(self, out: &mut Vec<u8>, live: Live) -> Option<Place> {
        let at = |cursor: Cursor, item: usize| Some(Place { batch: cursor.number(), item: Some(item) });
        let (event, place, told) = match live {
            Live::Readings(ref packet) => {
                ("readings", at(packet.cursor(), packet.place()), Told::Readings(readings(packet)?))
            }
            Live::Event { cursor, place, event } => {
                ("event", at(cursor, place), Told::Event(Event::new(None, cursor, event)))
            }
            Live::Presence { device, evidence } => ("presence", None, Told::Presence(change(&device, evidence))),
            Live::Gap { from, to } => {
                let gap = LiveGap { from: from.number(), to: to.number() };
                ("gap", Some(Place { batch: gap.to, item: None }), Told::Gap(gap))
            }
        };
        self.write(out, event, place, &told);
        place
    }

    /// The first message: after which place the stream begins.
    pub(super) fn start(self, place: Place) -> Vec<u8> {
        self.at("start", place)
    }

    /// Tells a slow subscriber after which place it goes on from the store.
    pub(super) fn cut(self, place: Place) -> Vec<u8> {
        self.at("cut", place)
    }

    fn at(self, event: &str, place: Place) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, event, Some(place), &Told::Start(LiveStart { cursor: place.cursor().number() }));
        out
    }

    /// JSON on one line holds no line end, which would end a server-sent event.
    fn write(self, out: &mut Vec<u8>, event: &str, place: Option<Place>, data: &Told<'_>) {
        let id = place.map(|place| place.to_string());
        match self {
            Self::Events => {
                if let Some(id) = id {
                    out.extend_from_slice(format!("id: {id}\n").as_bytes());
                }
                out.extend_from_slice(format!("event: {event}\ndata: ").as_bytes());
                serde_json::to_writer(&mut *out, data).expect("what the stream tells is JSON, and memory takes it");
                out.extend_from_slice(b"\n\n");
            }
            Self::Frames => {
                let payload = serde_json::to_vec(&Envelope { event, id, data });
                frame::text(out, &payload.expect("what the stream tells is JSON, and memory takes it"));
            }
        }
    }
}

fn readings(packet: &Packet) -> Option<LiveReadings<'_>> {
    let shared = Shared::by_all(packet.readings());
    Some(LiveReadings {
        cursor: packet.cursor().number(),
        device: packet.device()?.as_str().into(),
        received_at: Time(packet.received_at()?),
        origin: packet.origin()?,
        readings: packet.readings().map(|reading| LiveReading::new(&reading, &shared)).collect(),
        shared,
    })
}

fn change(device: &DeviceId, evidence: Evidence) -> PresenceChange {
    PresenceChange { device: device.as_str().to_owned(), presence: evidence.into() }
}
