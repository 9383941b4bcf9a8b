//! What a C3 Bridge does beside reading and writing variables: programs, motion, keys, files, and what it says of itself.
//!
//! Each type is a row of names and shapes, which is all that is needed to read, write and explain it. Source: \[2\].

use super::text::Writing;
use crate::Fault;
use crate::wire::Reader;

/// How a field stands on the wire; numbers have their high byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// One byte: a number, or a flag.
    U8,
    /// Two bytes.
    U16,
    /// Four.
    U32,
    /// Two, with a sign.
    I16,
    /// Four, with a sign.
    I32,
    /// A wide text behind its length.
    Text,
    /// Wide texts behind their count of two bytes.
    Texts,
    /// Whatever follows.
    Rest,
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Any of the numbers.
    Number(i64),
    /// A text.
    Text(String),
    /// Several.
    Texts(Vec<String>),
    /// Bytes whose meaning is not told here.
    Rest(Vec<u8>),
}

type Fields = &'static [(&'static str, Shape)];

/// A type of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// On the wire.
    pub kind: u8,
    /// What it does, for people.
    pub title: &'static str,
    request: Fields,
    response: Fields,
}

const fn row(kind: u8, title: &'static str, request: Fields, response: Fields) -> Service {
    Service { kind, title, request, response }
}

const FROM_TO: Fields = &[("flags", Shape::I32), ("from", Shape::Text), ("to", Shape::Text)];
const PART: Fields = &[("step", Shape::U8), ("part", Shape::Rest)];
const NAME: Fields = &[("name", Shape::Text)];
const PROPERTIES: Fields = &[
    ("type", Shape::I32),
    ("size", Shape::U32),
    ("size_high", Shape::U32),
    ("attributes", Shape::I32),
    ("created", Shape::U32),
    ("created_high", Shape::U32),
    ("created_bias", Shape::I32),
    ("accessed", Shape::U32),
    ("accessed_high", Shape::U32),
    ("accessed_bias", Shape::I32),
    ("changed", Shape::U32),
    ("changed_high", Shape::U32),
    ("changed_bias", Shape::I32),
    ("mode", Shape::I32),
    ("name", Shape::Text),
];
const INFORMATION: Fields = &[
    ("version", Shape::U8),
    ("revision", Shape::U8),
    ("edition", Shape::U8),
    ("year", Shape::U16),
    ("month", Shape::U16),
    ("weekday", Shape::U16),
    ("day", Shape::U16),
    ("hour", Shape::U16),
    ("minute", Shape::U16),
    ("second", Shape::U16),
    ("millisecond", Shape::U16),
    ("computer", Shape::Text),
];

/// The type that controls a program.
pub const PROGRAM: u8 = 10;
/// The type that moves the robot.
pub const MOTION: u8 = 11;
/// The type that presses keys of the panel.
pub const KEY: u8 = 12;
/// The type that asks what the proxy is.
pub const INFORMATION_OF_PROXY: u8 = 13;
/// The type that asks which types it knows.
pub const FEATURES: u8 = 14;
/// The type that confirms all messages of the robot.
pub const CONFIRM_ALL: u8 = 63;
/// Bytes of the types that a proxy knows: a bit for each.
pub const FEATURES_BYTES: usize = 32;

/// Types without a row are not described by any source: 15 and 16, and of 50 to 65 those that no proxy does.
static SERVICES: [Service; 18] = [
    row(
        PROGRAM,
        "controls a program",
        &[
            ("command", Shape::U8),
            ("interpreter", Shape::I16),
            ("name", Shape::Text),
            ("parameters", Shape::Text),
            ("force", Shape::U8),
        ],
        &[("command", Shape::U8)],
    ),
    row(MOTION, "moves the robot", &[("motion", Shape::U8), ("position", Shape::Text)], &[("motion", Shape::U8)]),
    row(
        KEY,
        "presses a key",
        &[
            ("action", Shape::U8),
            ("interpreter_or_axis", Shape::I32),
            ("key", Shape::I32),
            ("backward", Shape::U8),
            ("released", Shape::U8),
        ],
        &[("action", Shape::U8)],
    ),
    row(INFORMATION_OF_PROXY, "asks what the proxy is", &[], INFORMATION),
    row(FEATURES, "asks which types the proxy knows", &[], &[("types", Shape::Rest)]),
    row(
        17,
        "measures how long variables take",
        &[("writes", Shape::U8), ("count", Shape::U8), ("iterations", Shape::U32), ("variables", Shape::Rest)],
        &[
            ("writes", Shape::U8),
            ("count", Shape::U8),
            ("iterations", Shape::U32),
            ("began_at_ms", Shape::U32),
            ("ended_at_ms", Shape::U32),
            ("took_ms", Shape::U32),
        ],
    ),
    row(
        20,
        "sets attributes of a file",
        &[("attributes", Shape::I32), ("mask", Shape::I32), ("name", Shape::Text)],
        &[],
    ),
    row(
        21,
        "lists a folder",
        &[("type", Shape::I32), ("flags", Shape::I32), ("path", Shape::Text)],
        &[("names", Shape::Texts), ("details", Shape::Texts)],
    ),
    row(
        22,
        "creates a file",
        &[
            ("type", Shape::U16),
            ("part", Shape::U8),
            ("always", Shape::U8),
            ("name", Shape::Text),
            ("template", Shape::Text),
        ],
        &[],
    ),
    row(23, "deletes a file", &[("always", Shape::U8), ("name", Shape::Text)], &[]),
    row(24, "copies a file", FROM_TO, &[]),
    row(25, "moves a file", FROM_TO, &[]),
    row(26, "asks about a file", &[("mask", Shape::I32), ("name", Shape::Text)], PROPERTIES),
    row(27, "asks for the full name of a file", NAME, NAME),
    row(28, "asks for the name of a file in the robot", NAME, NAME),
    row(29, "writes a file", PART, PART),
    row(30, "reads a file", PART, PART),
    row(CONFIRM_ALL, "confirms all messages", &[], &[]),
];

impl Service {
    /// The row of a type.
    #[must_use]
    pub fn find(kind: u8) -> Option<&'static Self> {
        SERVICES.iter().find(|service| service.kind == kind)
    }

    /// Reads the fields of a request, to its end. Fields at its end may be left out.
    ///
    /// # Errors
    /// `Malformed` when a field is cut, or something follows the last one.
    pub(super) fn request(&self, reader: &mut Reader<'_>) -> Result<Vec<Value>, Fault> {
        read(self.request, reader)
    }

    /// Reads the fields of a response without its footer. One that failed may have none.
    ///
    /// # Errors
    /// As `request`.
    pub(super) fn response(&self, reader: &mut Reader<'_>) -> Result<Vec<Value>, Fault> {
        read(self.response, reader)
    }

    /// The fields of a request for people: `command 2, interpreter 1`.
    pub(super) fn request_text(&self, values: &[Value]) -> String {
        text(self.request, values)
    }

    /// The same of a response.
    pub(super) fn response_text(&self, values: &[Value]) -> String {
        text(self.response, values)
    }

    /// Appends the fields of a request.
    pub(super) fn write_request(&self, values: &[Value], out: &mut Vec<u8>) {
        write(self.request, values, out);
    }

    /// Appends the fields of a response.
    pub(super) fn write_response(&self, values: &[Value], out: &mut Vec<u8>) {
        write(self.response, values, out);
    }
}

fn read(fields: Fields, reader: &mut Reader<'_>) -> Result<Vec<Value>, Fault> {
    let mut values = Vec::new();
    for (_, shape) in fields {
        if reader.rest().is_empty() {
            break;
        }
        values.push(match shape {
            Shape::U8 => Value::Number(reader.u8()?.into()),
            Shape::U16 => Value::Number(reader.u16_be()?.into()),
            Shape::U32 => Value::Number(reader.u32_be()?.into()),
            Shape::I16 => Value::Number(i16::from_be_bytes(reader.array()?).into()),
            Shape::I32 => Value::Number(i32::from_be_bytes(reader.array()?).into()),
            Shape::Text => Value::Text(Writing::Wide.read(reader)?),
            Shape::Texts => {
                let count = reader.u16_be()?;
                Value::Texts((0..count).map(|_| Writing::Wide.read(reader)).collect::<Result<_, _>>()?)
            }
            Shape::Rest => Value::Rest(reader.take(reader.rest().len())?.to_vec()),
        });
    }
    Ok(values)
}

/// A number that does not fit its field, or a value of another kind, is written as 0 or nothing.
fn write(fields: Fields, values: &[Value], out: &mut Vec<u8>) {
    for ((_, shape), value) in fields.iter().zip(values) {
        match (shape, value) {
            (Shape::U8, Value::Number(number)) => out.push(u8::try_from(*number).unwrap_or_default()),
            (Shape::U16, Value::Number(number)) => {
                out.extend_from_slice(&u16::try_from(*number).unwrap_or_default().to_be_bytes());
            }
            (Shape::U32, Value::Number(number)) => {
                out.extend_from_slice(&u32::try_from(*number).unwrap_or_default().to_be_bytes());
            }
            (Shape::I16, Value::Number(number)) => {
                out.extend_from_slice(&i16::try_from(*number).unwrap_or_default().to_be_bytes());
            }
            (Shape::I32, Value::Number(number)) => {
                out.extend_from_slice(&i32::try_from(*number).unwrap_or_default().to_be_bytes());
            }
            (Shape::Text, Value::Text(text)) => Writing::Wide.write(text, out),
            (Shape::Texts, Value::Texts(texts)) => {
                let texts = texts.get(..usize::from(u16::MAX)).unwrap_or(texts);
                out.extend_from_slice(&u16::try_from(texts.len()).unwrap_or_default().to_be_bytes());
                for text in texts {
                    Writing::Wide.write(text, out);
                }
            }
            (Shape::Rest, Value::Rest(bytes)) => out.extend_from_slice(bytes),
            (_, Value::Number(_) | Value::Text(_) | Value::Texts(_) | Value::Rest(_)) => {}
        }
    }
}

fn text(fields: Fields, values: &[Value]) -> String {
    let one = |((name, _), value): (&(&str, Shape), &Value)| match value {
        Value::Number(number) => format!("{name} {number}"),
        Value::Text(text) => format!("{name} {text:?}"),
        Value::Texts(texts) => format!("{name} {texts:?}"),
        Value::Rest(bytes) => format!("{name} ({} bytes)", bytes.len()),
    };
    fields.iter().zip(values).map(one).collect::<Vec<_>>().join(", ")
}

/// The types that a proxy knows, as it tells them: a bit for each, that of type 0 the last one.
#[must_use]
pub fn features(kinds: &[u8]) -> [u8; FEATURES_BYTES] {
    let mut bits = [0_u8; FEATURES_BYTES];
    for kind in kinds {
        let place = FEATURES_BYTES - 1 - usize::from(kind / 8);
        if let Some(byte) = bits.get_mut(place) {
            *byte |= 1 << (kind % 8);
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::{SERVICES, Service, Shape, Value, features, read, write};
    use crate::wire::Reader;

    #[test]
    fn every_type_reads_as_it_was_written_and_is_refused_when_it_is_cut() {
        for Service { kind, request, response, .. } in &SERVICES {
            for fields in [request, response] {
                let values: Vec<Value> = fields
                    .iter()
                    .map(|(name, shape)| match shape {
                        Shape::U8 | Shape::U16 | Shape::U32 => Value::Number(200),
                        Shape::I16 | Shape::I32 => Value::Number(-2),
                        Shape::Text => Value::Text((*name).to_owned()),
                        Shape::Texts => Value::Texts(vec![(*name).to_owned(), "塔".to_owned()]),
                        Shape::Rest => Value::Rest(vec![1, 2, 3]),
                    })
                    .collect();
                let mut bytes = Vec::new();
                write(fields, &values, &mut bytes);
                assert_eq!(read(fields, &mut Reader::new(&bytes)), Ok(values.clone()), "{kind}");
                for cut in 0..bytes.len() {
                    // What stands before the cut is read; nothing is made up behind it.
                    let read = read(fields, &mut Reader::new(bytes.split_at(cut).0));
                    let is_less = |read: &Vec<Value>| read.len() < values.len() || read.last() != values.last();
                    assert!(read.as_ref().map_or(true, is_less), "{kind} cut at {cut}: {read:?}");
                }
            }
        }
    }

    #[test]
    fn each_type_that_is_known_is_a_bit() {
        let bits = features(&[0, 1, 9, 255]);
        assert_eq!((bits[31], bits[30], bits[0]), (0b11, 0b10, 0b1000_0000));
    }
}
