//! What packets say. Every text and every list is borrowed from the bytes that it came in.

use std::borrow::Cow;

use super::properties::Properties;
use super::reason::Reason;

/// The fifteen kinds of packets. Source: \[2\] table 2-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Kind {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl Kind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::ConnAck,
        Self::Publish,
        Self::PubAck,
        Self::PubRec,
        Self::PubRel,
        Self::PubComp,
        Self::Subscribe,
        Self::SubAck,
        Self::Unsubscribe,
        Self::UnsubAck,
        Self::PingReq,
        Self::PingResp,
        Self::Disconnect,
        Self::Auth,
    ];

    /// The kind with this number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        usize::from(number).checked_sub(1).and_then(|place| Self::ALL.get(place)).copied()
    }

    /// The standard's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }

    /// Whether the lower half of the first byte may be this. Source: \[2\] table 2-2 and §3.3.1.
    #[must_use]
    pub const fn allows(self, flags: u8) -> bool {
        match self {
            Self::Publish => flags & 0b0110 != 0b0110 && flags & 0b1110 != 0b1000,
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => flags == 0b0010,
            Self::Connect
            | Self::ConnAck
            | Self::PubAck
            | Self::PubRec
            | Self::PubComp
            | Self::SubAck
            | Self::UnsubAck
            | Self::PingReq
            | Self::PingResp
            | Self::Disconnect
            | Self::Auth => flags == 0,
        }
    }
}

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// 3.1: `MQIsdp`, level 3.
    V3 = 3,
    /// 3.1.1: `MQTT`, level 4.
    V4 = 4,
    /// 5.
    V5 = 5,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::V3, Self::V4, Self::V5];

    /// The name that stands in a CONNECT.
    #[must_use]
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Self::V3 => "MQIsdp",
            Self::V4 | Self::V5 => "MQTT",
        }
    }

    /// As people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V3 => "3.1",
            Self::V4 => "3.1.1",
            Self::V5 => "5",
        }
    }
}

/// How surely a message arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Qos {
    /// Sent once, perhaps lost.
    #[default]
    AtMostOnce = 0,
    /// Sent until it is acknowledged.
    AtLeastOnce = 1,
    /// Passed on once.
    ExactlyOnce = 2,
}

impl Qos {
    /// The level with this number.
    #[must_use]
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A client asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Which version it speaks.
    pub level: Level,
    /// It wants no session from before. Before version 5 it wants none afterwards either.
    pub clean_start: bool,
    /// Longest pause between two of its packets, in seconds; 0 for any.
    pub keep_alive_s: u16,
    /// Of version 5.
    pub properties: Properties<'a>,
    /// Its name for itself; may be empty.
    pub client_id: &'a str,
    /// What is published for it when it is gone.
    pub will: Option<Will<'a>>,
    /// The account.
    pub user: Option<&'a str>,
    /// What proves it.
    pub password: Option<&'a [u8]>,
}

/// What is published for a client that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// How surely.
    pub qos: Qos,
    /// Whether it is kept for later subscribers.
    pub retain: bool,
    /// Of version 5.
    pub properties: Properties<'a>,
    /// Where.
    pub topic: &'a str,
    /// What.
    pub payload: &'a [u8],
}

/// The answer to a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// There is a session from before.
    pub session_present: bool,
    /// The reason code; before version 5 the return code.
    pub reason: Reason,
    /// Of version 5.
    pub properties: Properties<'a>,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// It may have been sent before.
    pub dup: bool,
    /// How surely it arrives.
    pub qos: Qos,
    /// To be kept, or sent because it was kept.
    pub retain: bool,
    /// Where; empty when an alias stands for it.
    pub topic: &'a str,
    /// Its number on this connection; 0 with QoS 0.
    pub id: u16,
    /// Of version 5.
    pub properties: Properties<'a>,
    /// What.
    pub payload: &'a [u8],
}

/// A step of the delivery of a message: PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The message's number on this connection.
    pub id: u16,
    /// Whether it went well; before version 5 always.
    pub reason: Reason,
    /// Of version 5.
    pub properties: Properties<'a>,
}

/// What to do with messages that were kept, when a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// Send them.
    #[default]
    Send = 0,
    /// Send them if the subscription is new.
    SendIfNew = 1,
    /// Do not send them.
    Keep = 2,
}

/// How a subscription wants its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// At most how surely.
    pub qos: Qos,
    /// Not what the same client publishes.
    pub no_local: bool,
    /// With the flag RETAIN as it was published.
    pub as_published: bool,
    /// What to do with messages that were kept.
    pub handling: RetainHandling,
}

impl Options {
    /// The byte in a SUBSCRIBE.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.qos as u8 | (self.no_local as u8) << 2 | (self.as_published as u8) << 3 | (self.handling as u8) << 4
    }

    /// From the byte in a SUBSCRIBE; before version 5 only the QoS may be in it.
    #[must_use]
    pub fn of_byte(byte: u8, level: Level) -> Option<Self> {
        let handling = match byte >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::Keep,
            _ => return None,
        };
        if level < Level::V5 && byte > 2 {
            return None;
        }
        let (no_local, as_published) = (byte & 4 != 0, byte & 8 != 0);
        Some(Self { qos: Qos::of(byte & 3)?, no_local, as_published, handling })
    }
}

/// A client wants messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Its number on this connection.
    pub id: u16,
    /// Of version 5.
    pub properties: Properties<'a>,
    /// Which, and how.
    pub filters: Vec<(&'a str, Options)>,
}

/// A client does not want messages any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Its number on this connection.
    pub id: u16,
    /// Of version 5.
    pub properties: Properties<'a>,
    /// Which.
    pub filters: Vec<&'a str>,
}

/// The answer to a SUBSCRIBE or an UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The number of what it answers.
    pub id: u16,
    /// Of version 5.
    pub properties: Properties<'a>,
    /// A reason code for each filter, in their order; an UNSUBACK before version 5 has none.
    pub reasons: Cow<'a, [u8]>,
}

/// An end, or a step of an authentication: DISCONNECT or AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// Why.
    pub reason: Reason,
    /// Of version 5.
    pub properties: Properties<'a>,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(SubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Notice<'a>),
    Auth(Notice<'a>),
}

impl Packet<'_> {
    /// What kind of packet it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Connect(_) => Kind::Connect,
            Self::ConnAck(_) => Kind::ConnAck,
            Self::Publish(_) => Kind::Publish,
            Self::PubAck(_) => Kind::PubAck,
            Self::PubRec(_) => Kind::PubRec,
            Self::PubRel(_) => Kind::PubRel,
            Self::PubComp(_) => Kind::PubComp,
            Self::Subscribe(_) => Kind::Subscribe,
            Self::SubAck(_) => Kind::SubAck,
            Self::Unsubscribe(_) => Kind::Unsubscribe,
            Self::UnsubAck(_) => Kind::UnsubAck,
            Self::PingReq => Kind::PingReq,
            Self::PingResp => Kind::PingResp,
            Self::Disconnect(_) => Kind::Disconnect,
            Self::Auth(_) => Kind::Auth,
        }
    }
}
