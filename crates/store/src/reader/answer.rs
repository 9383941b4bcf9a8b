//! What a reader is asked with, and what it answers.

use std::borrow::Cow;

use loggerhead_model::{Cursor, DeviceId, Direction, Event, EventKind, Origin, Reading, Severity, Timestamp};

use crate::Acknowledgement;

/// The store's number of a channel: device, meter and function. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ChannelId(pub u32);

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Channel {
    /// Its number.
    pub id: ChannelId,
    /// Whose.
    pub device: DeviceId,
    /// The device's name for the meter.
    pub meter: String,
    /// The device's name for what the meter measures.
    pub function: String,
    /// What was last said of the meter: lines of `name TAB value`.
    pub meter_attributes: String,
}

/// Which readings. `None` fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadingFilter {
    /// Of this device.
    pub device: Option<DeviceId>,
    /// Of the meter of this name.
    pub meter: Option<String>,
    /// Of the function of this name.
    pub function: Option<String>,
    /// Measured at this moment or later.
    pub from: Option<Timestamp>,
    /// Measured before this moment.
    pub to: Option<Timestamp>,
}

/// A reading as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredReading<'a> {
    /// Whose.
    pub device: &'a DeviceId,
    /// The number of its channel.
    pub channel: ChannelId,
    /// The reading as it came.
    pub reading: Reading<'a>,
    /// When its packet was received; our clock.
    pub received_at: Timestamp,
    /// How it reached us.
    pub origin: Origin,
}

/// A reading that came again with another value; the first is the one that is kept as the reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict<'a> {
    /// Its number; grows in the order in which they came.
    pub number: u64,
    /// The reading that came later.
    pub later: StoredReading<'a>,
    /// The text of the value that was first.
    pub first: &'a str,
}

/// What the readings of a span come to. Only numbers of good quality count for `min`, `max` and `mean`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Bucket {
    /// First moment of the span.
    pub from: Timestamp,
    /// First moment after the span.
    pub to: Timestamp,
    /// Good numbers in it.
    pub count: u64,
    /// Readings in it that are not numbers, or not of good quality.
    pub bad: u64,
    /// Readings in it, good and bad, that the device kept while it could not send, and sent later.
    pub resumed: u64,
    /// The least; `None` without a good number.
    pub min: Option<f64>,
    /// The greatest; `None` without a good number.
    pub max: Option<f64>,
    /// The mean; `None` without a good number.
    pub mean: Option<f64>,
}

/// Which end of the list comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListOrder {
    /// In the order in which things happened.
    #[default]
    OldestFirst,
    /// Against it.
    NewestFirst,
}

/// Which events. `None` fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// About this device.
    pub device: Option<DeviceId>,
    /// Of this kind.
    pub kind: Option<EventKind>,
    /// At least this severe.
    pub severity: Option<Severity>,
    /// At this moment or later.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    /// Acknowledged by somebody, or by nobody yet.
    pub acknowledged: Option<bool>,
    /// Behind the one with this number, in the order asked for.
    pub beyond: Option<u64>,
    /// Which come first.
    pub order: ListOrder,
}

/// An event as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StoredEvent {
    /// Its number; grows in the order of commits.
    pub number: u64,
    /// The batch in which it was committed.
    pub cursor: Cursor,
    /// What happened.
    pub event: Event,
    /// Who took note of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
}

/// Which frames. `None` fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameFilter {
    /// From or to this device.
    pub device: Option<DeviceId>,
    /// Received at this moment or later.
    pub from: Option<Timestamp>,
    /// Received before this moment.
    pub to: Option<Timestamp>,
    /// Behind the one with this number, in the order asked for.
    pub beyond: Option<u64>,
    /// Which come first.
    pub order: ListOrder,
}

/// A raw frame as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFrame<'a> {
    /// Its number; grows in the order in which they came.
    pub number: u64,
    /// From or to this device.
    pub device: &'a DeviceId,
    /// Our clock.
    pub received_at: Timestamp,
    /// Which way it went.
    pub direction: Direction,
    /// The batch in which it was committed.
    pub cursor: Cursor,
    /// The frame.
    pub bytes: Cow<'a, [u8]>,
}

/// How far a catch-up came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Catchup {
    /// Everything up to here was given.
    UpTo(Cursor),
    /// Nothing was given: the log does not reach back so far. What is missing can be read as history; the log goes on
    /// after this cursor.
    Gap(Cursor),
}

/// How much is stored.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Stats {
    /// The last committed batch.
    pub cursor: Cursor,
    /// Channels known.
    pub channels: u64,
    /// Readings in all.
    pub readings: u64,
    /// Of these, in the log and not sealed yet.
    pub hot_readings: u64,
    /// Batches in the log.
    pub log_batches: u64,
    /// Readings sent again with a different value.
    pub conflicts: u64,
    /// Events.
    pub events: u64,
    /// Bytes of the database file.
    pub database_bytes: u64,
    /// Of these, free for what comes next.
    pub free_bytes: u64,
}
