//! Channels and their readings.

use std::borrow::Cow;
use std::collections::BTreeMap;

use loggerhead_model::{Origin, Quality, Reading, Value};
use loggerhead_store::StoredReading;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::{Time, words};

/// A channel: what one function of one meter of one device measures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    /// Its number; never reused.
    pub id: u32,
    /// Whose.
    pub device: String,
    /// The device's name for the meter; may be empty where a device reports about itself.
    pub meter: String,
    /// The device's name for what the meter measures.
    pub function: String,
    /// What was last said of the meter.
    pub meter_attributes: BTreeMap<String, String>,
}

/// A page of channels, in the order of device, meter and function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelList {
    /// The channels of this page.
    pub channels: Vec<Channel>,
    /// `after` of the next page; none on the last.
    pub next: Option<u32>,
}

/// One value as the device sent it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sample<'a> {
    /// When it was measured; the device's clock.
    pub measured_at: Time,
    /// The value as a number; null where it is none.
    pub value: Option<f64>,
    /// The value exactly as it came.
    pub text: Cow<'a, str>,
    /// Whether the device vouches for it: `good` or `bad`.
    #[schema(schema_with = quality_words)]
    pub quality: Quality,
    /// The quality code as it came; empty when none was sent.
    pub code: Cow<'a, str>,
    /// Classification of the value by the device; empty when none was sent.
    pub coding: Cow<'a, str>,
    /// Whatever else was sent with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// A reading of a range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RangeReading<'a> {
    /// The value.
    #[serde(flatten)]
    pub sample: Sample<'a>,
    /// When its packet was received; our clock.
    pub received_at: Time,
    /// `live`: sent when measured. `resumed`: kept by the device and sent later. `queried`: sent because we asked.
    #[schema(schema_with = origin_words)]
    pub origin: Origin,
}

/// Readings of one channel, in the order of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Readings {
    /// Of which channel.
    pub channel: Channel,
    /// First moment of the span.
    pub from: Time,
    /// First moment after the span.
    pub to: Time,
    /// The readings.
    pub readings: Vec<RangeReading<'static>>,
    /// `from` of the next page; none when the span is complete.
    pub next: Option<Time>,
}

/// The latest reading of a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latest<'a> {
    /// The number of the channel.
    pub channel: u32,
    /// Whose.
    pub device: Cow<'a, str>,
    /// The device's name for the meter.
    pub meter: Cow<'a, str>,
    /// The device's name for what the meter measures.
    pub function: Cow<'a, str>,
    /// The reading.
    #[serde(flatten)]
    pub reading: RangeReading<'a>,
}

/// A page of latest readings, in the order of device, meter and function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LatestList {
    /// The readings of this page.
    pub readings: Vec<Latest<'static>>,
    /// `after` of the next page; none on the last.
    pub next: Option<u32>,
}

/// What the readings of a part of a span come to. Only numbers of good quality count for `min`, `max` and `mean`; a part
/// without any has none of them: a gap stays a gap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bucket {
    /// First moment of the part.
    pub from: Time,
    /// First moment after the part.
    pub to: Time,
    /// Good numbers in it.
    pub count: u64,
    /// Readings in it that are not numbers, or not of good quality.
    pub bad: u64,
    /// Readings in it, good and bad, that the device kept while it could not send, and sent later.
    pub resumed: u64,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// The mean.
    pub mean: Option<f64>,
}

/// A span of one channel, thinned to equal parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Buckets {
    /// Of which channel.
    pub channel: Channel,
    /// First moment of the span.
    pub from: Time,
    /// First moment after the span.
    pub to: Time,
    /// Its parts, without a hole between them.
    pub buckets: Vec<Bucket>,
}

/// A reading that came again with another value. The first is kept as the reading, this beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Conflict {
    /// Its number; grows in the order in which they came.
    pub number: u64,
    /// The value that came first, exactly as it came.
    pub first: String,
    /// The reading that came later.
    #[serde(flatten)]
    pub later: Latest<'static>,
}

/// A page of conflicts, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConflictList {
    /// The conflicts of this page.
    pub conflicts: Vec<Conflict>,
    /// `after` of the next page; none on the last.
    pub next: Option<u64>,
}

/// What the readings of a packet mostly have in common. In the live stream each of these is said once: beside the readings
/// where it is the same for all of them, otherwise in each reading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Shared<'a> {
    /// When it was measured; the device's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_at: Option<Time>,
    /// Whether the device vouches for the value: `good` or `bad`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = quality_words)]
    pub quality: Option<Quality>,
    /// The quality code as it came; empty when none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'a, str>>,
    /// Classification of the value by the device; empty when none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coding: Option<Cow<'a, str>>,
}

/// A reading in the live stream. Together with what its packet says of all readings it is whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveReading<'a> {
    /// The device's name for the meter.
    pub meter: Cow<'a, str>,
    /// The device's name for what the meter measures.
    pub function: Cow<'a, str>,
    /// The value as a number; null where it is none.
    pub value: Option<f64>,
    /// The value exactly as it came.
    pub text: Cow<'a, str>,
    /// What is not the same for all readings of the packet.
    #[serde(flatten)]
    pub own: Shared<'a>,
    /// Whatever else was sent with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// What one packet brought, in the live stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveReadings<'a> {
    /// The committed batch that it is in.
    pub cursor: u64,
    /// Whose.
    pub device: Cow<'a, str>,
    /// When the packet was received; our clock.
    pub received_at: Time,
    /// How it reached us.
    #[schema(schema_with = origin_words)]
    pub origin: Origin,
    /// What is the same for all its readings that fit the filter.
    #[serde(flatten)]
    pub shared: Shared<'a>,
    /// Its readings that fit the filter.
    pub readings: Vec<LiveReading<'a>>,
}

fn quality_words() -> Object {
    words(&["good", "bad"])
}

fn origin_words() -> Object {
    words(&["live", "resumed", "queried"])
}

/// Lines of `name TAB value` as a table.
#[must_use]
pub fn attributes(lines: &str) -> BTreeMap<String, String> {
    lines
        .lines()
        .map(|line| line.split_once('\t').unwrap_or((line, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A value exactly as it came.
fn text(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Decimal(decimal) => Cow::Owned(decimal.to_string()),
        Value::Text(text) => Cow::Borrowed(text),
    }
}

impl<'a> Sample<'a> {
    /// The value of a reading.
    #[must_use]
    pub fn new(reading: &Reading<'a>) -> Self {
        Self {
            measured_at: Time(reading.measured_at),
            value: reading.value.number(),
            text: text(reading.value),
            quality: reading.quality,
            code: Cow::Borrowed(reading.code),
            coding: Cow::Borrowed(reading.coding),
            attributes: attributes(reading.attributes),
        }
    }

    /// The same, borrowing nothing.
    fn into_owned(self) -> Sample<'static> {
        Sample {
            text: Cow::Owned(self.text.into_owned()),
            code: Cow::Owned(self.code.into_owned()),
            coding: Cow::Owned(self.coding.into_owned()),
            ..self
        }
    }
}

impl<'a> RangeReading<'a> {
    /// A stored reading without the names of its channel.
    #[must_use]
    pub fn new(stored: &StoredReading<'a>) -> Self {
        Self { sample: Sample::new(&stored.reading), received_at: Time(stored.received_at), origin: stored.origin }
    }
}

impl Latest<'static> {
    /// A stored reading with the names of its channel.
    #[must_use]
    pub fn new(stored: &StoredReading<'_>) -> Self {
        Self {
            channel: stored.channel.0,
            device: Cow::Owned(stored.device.as_str().to_owned()),
            meter: Cow::Owned(stored.reading.meter.to_owned()),
            function: Cow::Owned(stored.reading.function.to_owned()),
            reading: RangeReading {
                sample: Sample::new(&stored.reading).into_owned(),
                received_at: Time(stored.received_at),
                origin: stored.origin,
            },
        }
    }
}

impl<'a> Shared<'a> {
    /// All that one reading says.
    fn of(reading: &Reading<'a>) -> Self {
        Self {
            measured_at: Some(Time(reading.measured_at)),
            quality: Some(reading.quality),
            code: Some(Cow::Borrowed(reading.code)),
            coding: Some(Cow::Borrowed(reading.coding)),
        }
    }

    /// What all of these say; nothing where there are none.
    #[must_use]
    pub fn by_all(mut readings: impl Iterator<Item = Reading<'a>>) -> Self {
        let Some(first) = readings.next() else { return Self::default() };
        let mut shared = Self::of(&first);
        for reading in readings {
            shared.measured_at = shared.measured_at.filter(|moment| moment.0 == reading.measured_at);
            shared.quality = shared.quality.filter(|quality| *quality == reading.quality);
            shared.code = shared.code.filter(|code| code == reading.code);
            shared.coding = shared.coding.filter(|coding| coding == reading.coding);
        }
        shared
    }

    /// What is left to say of a reading.
    fn left(&self, reading: &Reading<'a>) -> Self {
        let Self { measured_at, quality, code, coding } = Self::of(reading);
        Self {
            measured_at: measured_at.filter(|_| self.measured_at.is_none()),
            quality: quality.filter(|_| self.quality.is_none()),
            code: code.filter(|_| self.code.is_none()),
            coding: coding.filter(|_| self.coding.is_none()),
        }
    }
}

impl<'a> LiveReading<'a> {
    /// A reading of a packet that says this of all of them.
    #[must_use]
    pub fn new(reading: &Reading<'a>, shared: &Shared<'a>) -> Self {
        Self {
            meter: Cow::Borrowed(reading.meter),
            function: Cow::Borrowed(reading.function),
            value: reading.value.number(),
            text: text(reading.value),
            own: shared.left(reading),
            attributes: attributes(reading.attributes),
        }
    }
}

impl From<loggerhead_store::Channel> for Channel {
    fn from(channel: loggerhead_store::Channel) -> Self {
        Self {
            id: channel.id.0,
            device: channel.device.as_str().to_owned(),
            meter: channel.meter,
            function: channel.function,
            meter_attributes: attributes(&channel.meter_attributes),
        }
    }
}

impl From<loggerhead_store::Bucket> for Bucket {
    fn from(bucket: loggerhead_store::Bucket) -> Self {
        Self {
            from: Time(bucket.from),
            to: Time(bucket.to),
            count: bucket.count,
            bad: bucket.bad,
            resumed: bucket.resumed,
            min: bucket.min,
            max: bucket.max,
            mean: bucket.mean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::attributes;

    #[test]
    fn attributes_are_lines_of_name_and_value() {
        let table = attributes("addr\t01\nnote\ta\tb\nbare");
        assert_eq!(table.get("addr").map(String::as_str), Some("01"));
        assert_eq!(table.get("note").map(String::as_str), Some("a\tb"));
        assert_eq!(table.get("bare").map(String::as_str), Some(""));
        assert!(attributes("").is_empty());
    }
}
