//! The payload of a Sparkplug B message, as far as readings need it. Source: \[5\] §6.4.
//!
//! Data sets, templates, files and bytes are no readings; they are told apart and left out.

use std::borrow::Cow;

use super::wire::{Field, Fields, NotFields, put};

/// The datatypes of \[5\] §6.4.16 that are written here.
const INT64: u64 = 4;
const UINT64: u64 = 8;
const DOUBLE: u64 = 10;
const BOOLEAN: u64 = 11;
const STRING: u64 = 12;
/// The property that says how good a value is. Source: \[5\] §6.4.14.
const QUALITY: &str = "Quality";

/// A value as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Said<'a> {
    /// There is none.
    Null,
    /// Of up to 32 bits; the datatype says whether it has a sign.
    Int(u64),
    /// Of 64 bits.
    Long(u64),
    Float(f32),
    Double(f64),
    Boolean(bool),
    Text(&'a str),
    /// Bytes, a data set, a template or something of another maker's.
    Other,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Metric<'a> {
    /// It may be missing where there is an alias.
    pub(super) name: Option<&'a str>,
    pub(super) alias: Option<u64>,
    /// Milliseconds since 1970.
    pub(super) time_ms: Option<u64>,
    /// 0 where it is missing.
    pub(super) datatype: u64,
    pub(super) is_historical: bool,
    pub(super) said: Said<'a>,
    /// As OPC counts: 192 is good.
    pub(super) quality: Option<u64>,
}

/// A payload.
#[derive(Clone, Debug)]
pub(super) struct Payload<'a> {
    bytes: &'a [u8],
    /// When it was sent, in milliseconds since 1970.
    pub(super) time_ms: Option<u64>,
    /// Counts the messages of an edge node, 0 to 255.
    pub(super) seq: Option<u64>,
}

impl<'a> Payload<'a> {
    /// Reads what stands beside the metrics.
    ///
    /// # Errors
    /// `NotFields` for bytes that are no such message.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, NotFields> {
        let mut payload = Self { bytes, time_ms: None, seq: None };
        for field in Fields(bytes) {
            match field? {
                (1, Field::Varint(value)) => payload.time_ms = Some(value),
                (3, Field::Varint(value)) => payload.seq = Some(value),
                _ => {}
            }
        }
        Ok(payload)
    }

    /// The metrics, read one after the other: a list of them could be far longer than the bytes.
    pub(super) fn metrics(&self) -> impl Iterator<Item = Result<Metric<'a>, NotFields>> + use<'a> {
        Fields(self.bytes).filter_map(|field| match field {
            Ok((2, Field::Bytes(bytes))) => Some(Metric::read(bytes)),
            Ok(_) => None,
            Err(wrong) => Some(Err(wrong)),
        })
    }
}

impl<'a> Metric<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, NotFields> {
        let said = Said::Other;
        let mut metric =
            Self { name: None, alias: None, time_ms: None, datatype: 0, is_historical: false, said, quality: None };
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(name)) => metric.name = Some(text(name)?),
                (2, Field::Varint(alias)) => metric.alias = Some(alias),
                (3, Field::Varint(time)) => metric.time_ms = Some(time),
                (4, Field::Varint(datatype)) => metric.datatype = datatype,
                (5, Field::Varint(is_historical)) => metric.is_historical = is_historical != 0,
                (7, Field::Varint(is_null)) if is_null != 0 => metric.said = Said::Null,
                (9, Field::Bytes(properties)) => metric.quality = quality(properties)?,
                (10, Field::Varint(value)) => metric.said = Said::Int(value),
                (11, Field::Varint(value)) => metric.said = Said::Long(value),
                (12, Field::Four(value)) => metric.said = Said::Float(f32::from_le_bytes(value)),
                (13, Field::Eight(value)) => metric.said = Said::Double(f64::from_le_bytes(value)),
                (14, Field::Varint(value)) => metric.said = Said::Boolean(value != 0),
                (15, Field::Bytes(value)) => metric.said = Said::Text(text(value)?),
                _ => {}
            }
        }
        Ok(metric)
    }
}

fn text(bytes: &[u8]) -> Result<&str, NotFields> {
    str::from_utf8(bytes).map_err(|_| NotFields)
}

/// The quality in a set of properties: names, and values in the same order.
fn quality(properties: &[u8]) -> Result<Option<u64>, NotFields> {
    let (mut names, mut place) = (0_usize, None);
    for field in Fields(properties) {
        if let (1, Field::Bytes(name)) = field? {
            if name == QUALITY.as_bytes() {
                place = Some(names);
            }
            names += 1;
        }
    }
    let Some(place) = place else { return Ok(None) };
    let values = Fields(properties).filter_map(|field| match field {
        Ok((2, Field::Bytes(value))) => Some(value),
        _ => None,
    });
    let Some(value) = values.into_iter().nth(place) else { return Ok(None) };
    for field in Fields(value) {
        if let (3, Field::Varint(quality)) = field? {
            return Ok(Some(quality));
        }
    }
    Ok(None)
}

impl<'a> Said<'a> {
    /// The value in digits or words; `None` for what is no reading. Nothing at all is an empty text.
    pub(super) fn words(self, datatype: u64) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Null => Cow::Borrowed(""),
            Self::Int(value) => Cow::Owned(signed(value, datatype).to_string()),
            Self::Long(value) if datatype == INT64 => Cow::Owned(value.cast_signed().to_string()),
            Self::Long(value) => Cow::Owned(value.to_string()),
            Self::Float(value) => Cow::Owned(value.to_string()),
            Self::Double(value) => Cow::Owned(value.to_string()),
            Self::Boolean(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Self::Text(value) => Cow::Borrowed(value),
            Self::Other => return None,
        })
    }
}

/// A whole number of up to 32 bits. Makers fill what is above a short one's sign with ones or with zeros.
fn signed(value: u64, datatype: u64) -> i64 {
    let [first, second, third, fourth, ..] = value.to_le_bytes();
    match datatype {
        1 => i64::from(first.cast_signed()),
        2 => i64::from(i16::from_le_bytes([first, second])),
        3 => i64::from(i32::from_le_bytes([first, second, third, fourth])),
        _ => i64::from(u32::from_le_bytes([first, second, third, fourth])),
    }
}

/// Puts a payload together.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Begins with when it is sent.
    pub(super) fn new(time_ms: u64) -> Self {
        let mut bytes = Vec::new();
        put(&mut bytes, 1, Field::Varint(time_ms));
        Self(bytes)
    }

    /// Adds a metric.
    pub(super) fn metric(&mut self, metric: &Metric<'_>) {
        let mut bytes = Vec::new();
        if let Some(name) = metric.name {
            put(&mut bytes, 1, Field::Bytes(name.as_bytes()));
        }
        for (number, value) in [(2, metric.alias), (3, metric.time_ms), (4, Some(metric.datatype).filter(|id| *id > 0))]
        {
            if let Some(value) = value {
                put(&mut bytes, number, Field::Varint(value));
            }
        }
        if metric.is_historical {
            put(&mut bytes, 5, Field::Varint(1));
        }
        if let Some(quality) = metric.quality {
            let (mut properties, mut value) = (Vec::new(), Vec::new());
            put(&mut value, 1, Field::Varint(3));
            put(&mut value, 3, Field::Varint(quality));
            put(&mut properties, 1, Field::Bytes(QUALITY.as_bytes()));
            put(&mut properties, 2, Field::Bytes(&value));
            put(&mut bytes, 9, Field::Bytes(&properties));
        }
        match metric.said {
            Said::Null => put(&mut bytes, 7, Field::Varint(1)),
            Said::Int(value) => put(&mut bytes, 10, Field::Varint(value)),
            Said::Long(value) => put(&mut bytes, 11, Field::Varint(value)),
            Said::Float(value) => put(&mut bytes, 12, Field::Four(value.to_le_bytes())),
            Said::Double(value) => put(&mut bytes, 13, Field::Eight(value.to_le_bytes())),
            Said::Boolean(value) => put(&mut bytes, 14, Field::Varint(u64::from(value))),
            Said::Text(value) => put(&mut bytes, 15, Field::Bytes(value.as_bytes())),
            Said::Other => {}
        }
        put(&mut self.0, 2, Field::Bytes(&bytes));
    }

    /// The bytes, with the message's number where it has one.
    pub(super) fn finish(mut self, seq: Option<u8>) -> Vec<u8> {
        if let Some(seq) = seq {
            put(&mut self.0, 3, Field::Varint(u64::from(seq)));
        }
        self.0
    }
}

/// A metric that says this of now.
pub(super) fn metric<'a>(name: &'a str, time_ms: u64, said: Said<'a>) -> Metric<'a> {
    let datatype = match said {
        Said::Boolean(_) => BOOLEAN,
        Said::Long(_) => UINT64,
        Said::Double(_) => DOUBLE,
        Said::Text(_) => STRING,
        Said::Null | Said::Int(_) | Said::Float(_) | Said::Other => 0,
    };
    let (name, time_ms) = (Some(name), Some(time_ms));
    Metric { name, alias: None, time_ms, datatype, is_historical: false, said, quality: None }
}

#[cfg(test)]
mod tests {
    use super::{Metric, Payload, Said, Writer, metric};
    use crate::wire::hex;

    #[test]
    fn a_payload_comes_back_as_it_was_written() {
        let all = [
            Metric { quality: Some(192), is_historical: true, ..metric("a/b", 5, Said::Double(1.5)) },
            Metric { name: None, alias: Some(7), ..metric("", 6, Said::Long(u64::MAX)) },
            metric("塔", 7, Said::Text("on")),
            metric("f", 7, Said::Float(0.5)),
            metric("i", 7, Said::Int(255)),
            metric("n", 7, Said::Null),
            metric("r", 7, Said::Boolean(true)),
        ];
        let mut writer = Writer::new(1);
        for metric in &all {
            writer.metric(metric);
        }
        let bytes = writer.finish(Some(255));
        let payload = Payload::read(&bytes).expect("what we wrote");
        assert_eq!((payload.time_ms, payload.seq), (Some(1), Some(255)));
        assert_eq!(payload.metrics().collect::<Result<Vec<_>, _>>().as_deref(), Ok(&all[..]));
    }

    #[test]
    fn a_payload_is_read_as_the_schema_says() {
        // Written by hand after the schema: timestamp 1, one metric (name "t", alias 3, datatype Float, 21.5), seq 0.
        let bytes = hex("0801120c0a017410032009650000ac411800").expect("hex digits");
        let payload = Payload::read(&bytes).expect("a payload");
        let metric = payload.metrics().next().expect("a metric").expect("which can be read");
        assert_eq!(
            (metric.name, metric.alias, metric.datatype, metric.said),
            (Some("t"), Some(3), 9, Said::Float(21.5))
        );
        assert_eq!((payload.time_ms, payload.seq), (Some(1), Some(0)));
    }

    #[test]
    fn a_value_is_said_in_the_sign_of_its_datatype() {
        for (said, datatype, expected) in [
            (Said::Int(0xffff_ffff), 1, Some("-1")),
            (Said::Int(0xff), 1, Some("-1")),
            (Said::Int(0xff85), 2, Some("-123")),
            (Said::Int(0xffff_ff85), 3, Some("-123")),
            (Said::Int(0xffff_ff85), 7, Some("4294967173")),
            (Said::Long(u64::MAX), 4, Some("-1")),
            (Said::Long(u64::MAX), 8, Some("18446744073709551615")),
            (Said::Float(21.3), 9, Some("21.3")),
            (Said::Double(-0.1), 10, Some("-0.1")),
            (Said::Boolean(true), 11, Some("true")),
            (Said::Text("on"), 12, Some("on")),
            (Said::Null, 9, Some("")),
            (Said::Other, 16, None),
        ] {
            assert_eq!(said.words(datatype).as_deref(), expected, "{said:?} {datatype}");
        }
    }
}
