//! Properties of version 5: which there are, of what type, on which packets, and how often.
//!
//! A list of properties stays the bytes that it came in: it is checked once and read where it lies.

use super::frame::{put_varint, varint};
use super::message::Kind;
use super::reason::{Breach, Reason};
use crate::wire::Reader;

/// Most user properties that are looked through in one packet: a packet of nothing else holds more, and costs time.
pub const USER_PROPERTIES_MAX: usize = 4_096;

/// The type of a property's value. Source: \[2\] §1.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A byte that is 0 or 1.
    Flag,
    /// u16 BE.
    Two,
    /// u32 BE.
    Four,
    /// Variable byte integer.
    Varint,
    /// UTF-8 text behind its length.
    Text,
    /// Bytes behind their length.
    Binary,
    /// Two texts.
    Pair,
}

/// One row of the table of properties.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: Id,
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// A bit for each packet type; bit 0 stands for a will.
    places: u16,
}

/// The identifier of a property. Source: \[2\] §2.2.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the standard's; the table beside them says the rest")]
pub enum Id {
    PayloadFormat = 0x01,
    MessageExpiry = 0x02,
    ContentType = 0x03,
    ResponseTopic = 0x08,
    CorrelationData = 0x09,
    SubscriptionId = 0x0b,
    SessionExpiry = 0x11,
    AssignedClientId = 0x12,
    ServerKeepAlive = 0x13,
    AuthenticationMethod = 0x15,
    AuthenticationData = 0x16,
    RequestProblemInformation = 0x17,
    WillDelay = 0x18,
    RequestResponseInformation = 0x19,
    ResponseInformation = 0x1a,
    ServerReference = 0x1c,
    ReasonString = 0x1f,
    ReceiveMaximum = 0x21,
    TopicAliasMaximum = 0x22,
    TopicAlias = 0x23,
    MaximumQos = 0x24,
    RetainAvailable = 0x25,
    User = 0x26,
    MaximumPacketSize = 0x27,
    WildcardAvailable = 0x28,
    SubscriptionIdsAvailable = 0x29,
    SharedAvailable = 0x2a,
}

/// Where a list of properties stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the will of a CONNECT.
    Will,
    /// In a packet's variable header.
    Packet(Kind),
}

const WILL: u16 = 1;
const CONNECT: u16 = 1 << 1;
const CONNACK: u16 = 1 << 2;
const PUBLISH: u16 = 1 << 3;
/// CONNACK, the four acknowledgements of messages, SUBACK, UNSUBACK, DISCONNECT, AUTH.
const ANSWERS: u16 = CONNACK | 0b1111 << 4 | 1 << 9 | 1 << 11 | DISCONNECT | AUTH;
const SUBSCRIBE: u16 = 1 << 8;
const DISCONNECT: u16 = 1 << 14;
const AUTH: u16 = 1 << 15;
/// PINGREQ and PINGRESP have no properties.
const EVERYWHERE: u16 = !(0b11 << 12);

const fn row(id: Id, name: &'static str, shape: Shape, places: u16) -> Row {
    Row { id, name, shape, places }
}

/// Source: \[2\] table 2-4.
const ROWS: [Row; 27] = [
    row(Id::PayloadFormat, "payload format indicator", Shape::Flag, PUBLISH | WILL),
    row(Id::MessageExpiry, "message expiry interval", Shape::Four, PUBLISH | WILL),
    row(Id::ContentType, "content type", Shape::Text, PUBLISH | WILL),
    row(Id::ResponseTopic, "response topic", Shape::Text, PUBLISH | WILL),
    row(Id::CorrelationData, "correlation data", Shape::Binary, PUBLISH | WILL),
    row(Id::SubscriptionId, "subscription identifier", Shape::Varint, PUBLISH | SUBSCRIBE),
    row(Id::SessionExpiry, "session expiry interval", Shape::Four, CONNECT | CONNACK | DISCONNECT),
    row(Id::AssignedClientId, "assigned client identifier", Shape::Text, CONNACK),
    row(Id::ServerKeepAlive, "server keep alive", Shape::Two, CONNACK),
    row(Id::AuthenticationMethod, "authentication method", Shape::Text, CONNECT | CONNACK | AUTH),
    row(Id::AuthenticationData, "authentication data", Shape::Binary, CONNECT | CONNACK | AUTH),
    row(Id::RequestProblemInformation, "request problem information", Shape::Flag, CONNECT),
    row(Id::WillDelay, "will delay interval", Shape::Four, WILL),
    row(Id::RequestResponseInformation, "request response information", Shape::Flag, CONNECT),
    row(Id::ResponseInformation, "response information", Shape::Text, CONNACK),
    row(Id::ServerReference, "server reference", Shape::Text, CONNACK | DISCONNECT),
    row(Id::ReasonString, "reason string", Shape::Text, ANSWERS),
    row(Id::ReceiveMaximum, "receive maximum", Shape::Two, CONNECT | CONNACK),
    row(Id::TopicAliasMaximum, "topic alias maximum", Shape::Two, CONNECT | CONNACK),
    row(Id::TopicAlias, "topic alias", Shape::Two, PUBLISH),
    row(Id::MaximumQos, "maximum QoS", Shape::Flag, CONNACK),
    row(Id::RetainAvailable, "retain available", Shape::Flag, CONNACK),
    row(Id::User, "user property", Shape::Pair, EVERYWHERE),
    row(Id::MaximumPacketSize, "maximum packet size", Shape::Four, CONNECT | CONNACK),
    row(Id::WildcardAvailable, "wildcard subscription available", Shape::Flag, CONNACK),
    row(Id::SubscriptionIdsAvailable, "subscription identifiers available", Shape::Flag, CONNACK),
    row(Id::SharedAvailable, "shared subscription available", Shape::Flag, CONNACK),
];

impl Row {
    /// The row of an identifier.
    pub(super) fn of(id: u32) -> Option<&'static Self> {
        ROWS.iter().find(|row| row.id as u32 == id)
    }

    /// Whether it may stand there.
    pub(super) fn is_allowed(&self, place: Place) -> bool {
        let bit = match place {
            Place::Will => WILL,
            Place::Packet(kind) => 1 << (kind as u16),
        };
        self.places & bit != 0
    }

    /// Whether it may stand there more than once.
    fn repeats(&self, place: Place) -> bool {
        self.id == Id::User || self.id == Id::SubscriptionId && place == Place::Packet(Kind::Publish)
    }
}

/// The value of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A byte or an integer of two, four or a variable number of bytes.
    Number(u32),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// A name and its value.
    Pair(&'a str, &'a str),
}

/// A list of properties, checked; each is read where it lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    /// No properties.
    pub const NONE: Properties<'static> = Properties(&[]);

    /// Reads a list behind its length.
    ///
    /// # Errors
    /// `Malformed` for what the grammar or the table does not allow, `OutOfOrder` for a property that stands there twice
    /// or has a value that it must not have.
    pub(super) fn read(reader: &mut Reader<'a>, place: Place) -> Result<Self, Breach> {
        let length = read_varint(reader)?;
        if length == 0 {
            return Ok(Self(&[]));
        }
        let start = reader.offset();
        let bytes = reader.take(length as usize)?;
        check(bytes, place).map_err(|mut breach| {
            breach.fault.offset = breach.fault.offset.map(|offset| offset + start);
            breach
        })?;
        Ok(Self(bytes))
    }

    /// Properties that `Writer` wrote, or that were read before.
    pub(super) const fn of_checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes of all of them, without their length.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// All of them in the order in which they came.
    pub fn iter(self) -> impl Iterator<Item = (Id, Value<'a>)> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            let row = Row::of(read_varint(&mut reader).ok()?)?;
            Some((row.id, read_value(&mut reader, row).ok()?))
        })
    }

    /// The first with this identifier.
    #[must_use]
    pub fn find(self, id: Id) -> Option<Value<'a>> {
        if self.0.is_empty() {
            return None;
        }
        self.iter().find(|(found, _)| *found == id).map(|(_, value)| value)
    }

    /// The number with this identifier.
    #[must_use]
    pub fn number(self, id: Id) -> Option<u32> {
        if let Some(Value::Number(number)) = self.find(id) { Some(number) } else { None }
    }

    /// The number of two bytes with this identifier.
    #[must_use]
    pub fn two(self, id: Id) -> Option<u16> {
        self.number(id).and_then(|number| u16::try_from(number).ok())
    }

    /// The text with this identifier.
    #[must_use]
    pub fn text(self, id: Id) -> Option<&'a str> {
        if let Some(Value::Text(text)) = self.find(id) { Some(text) } else { None }
    }

    /// The bytes with this identifier.
    #[must_use]
    pub fn binary(self, id: Id) -> Option<&'a [u8]> {
        if let Some(Value::Binary(bytes)) = self.find(id) { Some(bytes) } else { None }
    }
}

/// Checks a list; offsets count from its start.
fn check(bytes: &[u8], place: Place) -> Result<(), Breach> {
    let mut reader = Reader::new(bytes);
    let (mut seen, mut users) = (0_u64, 0);
    while reader.offset() < bytes.len() {
        let at = reader.offset();
        let id = read_varint(&mut reader)?;
        let Some(row) = Row::of(id) else {
            return Err(Breach::malformed(at, format!("property {id:#04x}")));
        };
        if !row.is_allowed(place) {
            return Err(Breach::malformed(at, format!("{} in {place:?}", row.name)));
        }
        let bit = 1_u64 << (row.id as u8);
        if seen & bit != 0 && !row.repeats(place) {
            return Err(Breach::protocol(format!("{} twice", row.name)));
        }
        seen |= bit;
        users += usize::from(row.id == Id::User);
        if users > USER_PROPERTIES_MAX {
            let what = format!("over {USER_PROPERTIES_MAX} user properties");
            return Err(Breach::new(Reason::QUOTA_EXCEEDED, crate::FaultKind::TooLarge, what));
        }
        let value = read_value(&mut reader, row)?;
        check_value(row, value, place)?;
    }
    if seen & (1 << Id::AuthenticationData as u8) != 0 && seen & (1 << Id::AuthenticationMethod as u8) == 0 {
        return Err(Breach::protocol("authentication data without a method"));
    }
    Ok(())
}

/// Values that a property must not have. Source: \[2\] §3.1.2.11, §3.3.2.3.
fn check_value(row: &Row, value: Value<'_>, place: Place) -> Result<(), Breach> {
    match (row.shape, value) {
        (Shape::Flag, Value::Number(2..)) => return Err(Breach::protocol(format!("{} over 1", row.name))),
        (_, Value::Number(0)) => {}
        (_, Value::Text(topic)) if row.id == Id::ResponseTopic => {
            return super::topic::check_name(topic).map_err(|fault| Breach { reason: Reason::PROTOCOL_ERROR, fault });
        }
        _ => return Ok(()),
    }
    let never_zero = matches!(row.id, Id::SubscriptionId | Id::ReceiveMaximum | Id::MaximumPacketSize)
        || row.id == Id::TopicAlias && place == Place::Packet(Kind::Publish);
    if !never_zero {
        return Ok(());
    }
    let breach = Breach::protocol(format!("{} 0", row.name));
    Err(if row.id == Id::TopicAlias { Breach { reason: Reason::TOPIC_ALIAS_NOT_VALID, ..breach } } else { breach })
}

fn read_value<'a>(reader: &mut Reader<'a>, row: &Row) -> Result<Value<'a>, Breach> {
    Ok(match row.shape {
        Shape::Flag => Value::Number(reader.u8()?.into()),
        Shape::Two => Value::Number(reader.u16_be()?.into()),
        Shape::Four => Value::Number(reader.u32_be()?),
        Shape::Varint => Value::Number(read_varint(reader)?),
        Shape::Text => Value::Text(read_text(reader)?),
        Shape::Binary => Value::Binary(read_binary(reader)?),
        Shape::Pair => Value::Pair(read_text(reader)?, read_text(reader)?),
    })
}

/// Reads a variable byte integer.
pub(super) fn read_varint(reader: &mut Reader<'_>) -> Result<u32, Breach> {
    let at = reader.offset();
    match varint(reader.rest()) {
        Ok(Some((value, count))) => {
            reader.take(count)?;
            Ok(value)
        }
        Ok(None) => Err(Breach::malformed(at, "a length that is cut off")),
        Err(what) => Err(Breach::malformed(at, what)),
    }
}

/// Reads bytes behind their length.
pub(super) fn read_binary<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Breach> {
    let length = reader.u16_be()?;
    Ok(reader.take(length.into())?)
}

/// Reads text behind its length: well-formed UTF-8 without surrogates and without U+0000. Source: \[2\] §1.5.4.
pub(super) fn read_text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Breach> {
    let at = reader.offset();
    let bytes = read_binary(reader)?;
    let text = str::from_utf8(bytes)
        .map_err(|error| Breach::malformed(at + 2 + error.valid_up_to(), "text that is not UTF-8"))?;
    match memchr::memchr(0, bytes) {
        Some(place) => Err(Breach::malformed(at + 2 + place, "U+0000 in a text")),
        None => Ok(text),
    }
}

/// Appends bytes behind their length; what is over 65,535 is cut, since nothing else could be said.
pub(super) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(bytes.iter().take(length.into()));
}

/// Puts a list of properties together.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// A flag.
    pub fn flag(&mut self, id: Id, value: bool) -> &mut Self {
        self.0.extend_from_slice(&[id as u8, value.into()]);
        self
    }

    /// A number of two bytes.
    pub fn two(&mut self, id: Id, value: u16) -> &mut Self {
        self.0.push(id as u8);
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A number of four bytes.
    pub fn four(&mut self, id: Id, value: u32) -> &mut Self {
        self.0.push(id as u8);
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A subscription identifier.
    pub fn subscription_id(&mut self, value: u32) -> &mut Self {
        self.0.push(Id::SubscriptionId as u8);
        put_varint(&mut self.0, value as usize);
        self
    }

    /// A text.
    pub fn text(&mut self, id: Id, value: &str) -> &mut Self {
        self.binary(id, value.as_bytes())
    }

    /// Bytes.
    pub fn binary(&mut self, id: Id, value: &[u8]) -> &mut Self {
        self.0.push(id as u8);
        put_binary(&mut self.0, value);
        self
    }

    /// A user property.
    pub fn user(&mut self, name: &str, value: &str) -> &mut Self {
        self.0.push(Id::User as u8);
        put_binary(&mut self.0, name.as_bytes());
        put_binary(&mut self.0, value.as_bytes());
        self
    }

    /// Any property as it was read.
    pub fn put(&mut self, id: Id, value: Value<'_>) -> &mut Self {
        match (value, Row::of(id as u32).map(|row| row.shape)) {
            (Value::Number(number), Some(Shape::Two)) => self.two(id, u16::try_from(number).unwrap_or(u16::MAX)),
            (Value::Number(number), Some(Shape::Four)) => self.four(id, number),
            (Value::Number(number), Some(Shape::Varint)) => self.subscription_id(number),
            (Value::Number(number), _) => self.flag(id, number != 0),
            (Value::Text(text), _) => self.text(id, text),
            (Value::Binary(bytes), _) => self.binary(id, bytes),
            (Value::Pair(name, value), _) => self.user(name, value),
        }
    }

    /// The list.
    #[must_use]
    pub fn list(&self) -> Properties<'_> {
        Properties(&self.0)
    }

    /// The bytes of the list.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
