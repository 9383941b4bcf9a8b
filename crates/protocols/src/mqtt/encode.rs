//! From packets to bytes, always in as few as the standard allows.
//!
//! `acknowledge` writes what tells a peer that its message is safe; it costs a receipt.

use bytes::Bytes;
use loggerhead_model::{Cursor, Receipt};

use super::frame::{put_varint, varint_bytes};
use super::message::{
    Ack, ConnAck, Connect, Kind, Level, Notice, Packet, Publish, Qos, SubAck, Subscribe, Unsubscribe,
};
use super::properties::{Properties, put_binary};
use super::reason::Reason;

/// The acknowledgements with which a server takes responsibility for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safe {
    /// QoS 1: done.
    PubAck,
    /// QoS 2: received.
    PubRec,
    /// QoS 2: released, and forgotten.
    PubComp,
}

impl Safe {
    /// The packet that says so.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::PubAck => Kind::PubAck,
            Self::PubRec => Kind::PubRec,
            Self::PubComp => Kind::PubComp,
        }
    }

    /// Whether the client may use the identifier again.
    #[must_use]
    pub const fn is_last(self) -> bool {
        matches!(self, Self::PubAck | Self::PubComp)
    }
}

/// One acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Which.
    pub safe: Safe,
    /// The message's number on this connection.
    pub id: u16,
    /// How it went; a failure where a refusal has to wait for its turn.
    pub reason: Reason,
}

/// Tells a peer that what it sent under these numbers is safe, all of which one receipt proves.
#[expect(clippy::needless_pass_by_value, reason = "acknowledging uses a receipt up")]
pub fn acknowledge(receipt: Receipt, level: Level, all: &[Acknowledged], out: &mut Vec<u8>) {
    debug_assert!(receipt.cursor() > Cursor::START, "a receipt is of a commit");
    for &Acknowledged { safe, id, reason } in all {
        put_ack(out, level, safe.kind(), &Ack { id, reason, properties: Properties::NONE });
    }
}

/// Tells a peer that its message is held in memory. Nothing proves that it is safe: that is what was set for its topic.
pub fn acknowledge_held(acknowledged: Acknowledged, level: Level, out: &mut Vec<u8>) {
    let Acknowledged { safe, id, reason } = acknowledged;
    put_ack(out, level, safe.kind(), &Ack { id, reason, properties: Properties::NONE });
}

/// Tells a peer of version 5 that its message is not taken; nothing else can say so.
pub fn refuse(kind: Kind, id: u16, reason: Reason, out: &mut Vec<u8>) {
    debug_assert!(reason.is_failure(), "{reason} refuses nothing");
    put_ack(out, Level::V5, kind, &Ack { id, reason, properties: Properties::NONE });
}

/// Appends a packet.
pub fn encode(packet: &Packet<'_>, level: Level, out: &mut Vec<u8>) {
    match packet {
        Packet::Connect(connect) => put_connect(out, connect),
        Packet::ConnAck(answer) => put_conn_ack(out, level, answer),
        Packet::Publish(publish) => put_publish(out, level, publish),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            put_ack(out, level, packet.kind(), ack);
        }
        Packet::Subscribe(subscribe) => put_subscribe(out, level, subscribe),
        Packet::Unsubscribe(unsubscribe) => put_unsubscribe(out, level, unsubscribe),
        Packet::SubAck(answer) | Packet::UnsubAck(answer) => put_sub_ack(out, level, packet.kind(), answer),
        Packet::PingReq | Packet::PingResp => out.extend_from_slice(&[(packet.kind() as u8) << 4, 0]),
        Packet::Disconnect(notice) | Packet::Auth(notice) => put_notice(out, level, packet.kind(), notice),
    }
}

/// A packet as bytes of its own.
#[must_use]
pub fn to_bytes(packet: &Packet<'_>, level: Level) -> Bytes {
    let mut out = Vec::new();
    encode(packet, level, &mut out);
    out.into()
}

/// Appends a packet whose body `body` writes: the length goes in front of it afterwards.
fn framed(out: &mut Vec<u8>, first: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(first);
    let start = out.len();
    body(out);
    let length = out.len() - start;
    let mut digits = Vec::with_capacity(4);
    put_varint(&mut digits, length);
    out.splice(start..start, digits);
}

fn first_byte(kind: Kind) -> u8 {
    let flags = if matches!(kind, Kind::PubRel | Kind::Subscribe | Kind::Unsubscribe) { 2 } else { 0 };
    (kind as u8) << 4 | flags
}

fn put_properties(out: &mut Vec<u8>, level: Level, properties: Properties<'_>) {
    if level == Level::V5 {
        put_varint(out, properties.bytes().len());
        out.extend_from_slice(properties.bytes());
    }
}

fn put_connect(out: &mut Vec<u8>, connect: &Connect<'_>) {
    let will = connect.will.as_ref();
    let flags = u8::from(connect.clean_start) << 1
        | u8::from(will.is_some()) << 2
        | will.map_or(0, |will| (will.qos as u8) << 3 | u8::from(will.retain) << 5)
        | u8::from(connect.password.is_some()) << 6
        | u8::from(connect.user.is_some()) << 7;
    framed(out, first_byte(Kind::Connect), |out| {
        put_binary(out, connect.level.protocol_name().as_bytes());
        out.extend_from_slice(&[connect.level as u8, flags]);
        out.extend_from_slice(&connect.keep_alive_s.to_be_bytes());
        put_properties(out, connect.level, connect.properties);
        put_binary(out, connect.client_id.as_bytes());
        if let Some(will) = will {
            put_properties(out, connect.level, will.properties);
            put_binary(out, will.topic.as_bytes());
            put_binary(out, will.payload);
        }
        if let Some(user) = connect.user {
            put_binary(out, user.as_bytes());
        }
        if let Some(password) = connect.password {
            put_binary(out, password);
        }
    });
}

fn put_conn_ack(out: &mut Vec<u8>, level: Level, answer: &ConnAck<'_>) {
    framed(out, first_byte(Kind::ConnAck), |out| {
        out.extend_from_slice(&[answer.session_present.into(), answer.reason.0]);
        put_properties(out, level, answer.properties);
    });
}

/// Appends a PUBLISH, whose length is known before.
///
/// # Panics
/// When the topic is longer than 65,535 bytes, which no topic that was read is.
pub fn put_publish(out: &mut Vec<u8>, level: Level, publish: &Publish<'_>) {
    let listed = publish.properties.bytes().len();
    let properties_bytes = if level == Level::V5 { varint_bytes(listed) + listed } else { 0 };
    let id_bytes = if publish.qos == Qos::AtMostOnce { 0 } else { 2 };
    let length = 2 + publish.topic.len() + id_bytes + properties_bytes + publish.payload.len();
    out.reserve(5 + length);
    let flags = u8::from(publish.dup) << 3 | (publish.qos as u8) << 1 | u8::from(publish.retain);
    out.push((Kind::Publish as u8) << 4 | flags);
    put_varint(out, length);
    let topic_bytes = u16::try_from(publish.topic.len()).expect("a topic is checked when it comes in");
    out.extend_from_slice(&topic_bytes.to_be_bytes());
    out.extend_from_slice(publish.topic.as_bytes());
    if publish.qos != Qos::AtMostOnce {
        out.extend_from_slice(&publish.id.to_be_bytes());
    }
    put_properties(out, level, publish.properties);
    out.extend_from_slice(publish.payload);
}

fn put_ack(out: &mut Vec<u8>, level: Level, kind: Kind, ack: &Ack<'_>) {
    let [high, low] = ack.id.to_be_bytes();
    let is_plain = level < Level::V5 || ack.reason == Reason::SUCCESS && ack.properties.is_empty();
    if is_plain {
        out.extend_from_slice(&[first_byte(kind), 2, high, low]);
    } else if ack.properties.is_empty() {
        out.extend_from_slice(&[first_byte(kind), 3, high, low, ack.reason.0]);
    } else {
        framed(out, first_byte(kind), |out| {
            out.extend_from_slice(&[high, low, ack.reason.0]);
            put_properties(out, level, ack.properties);
        });
    }
}

fn put_subscribe(out: &mut Vec<u8>, level: Level, subscribe: &Subscribe<'_>) {
    framed(out, first_byte(Kind::Subscribe), |out| {
        out.extend_from_slice(&subscribe.id.to_be_bytes());
        put_properties(out, level, subscribe.properties);
        for (filter, options) in &subscribe.filters {
            put_binary(out, filter.as_bytes());
            out.push(options.byte());
        }
    });
}

fn put_unsubscribe(out: &mut Vec<u8>, level: Level, unsubscribe: &Unsubscribe<'_>) {
    framed(out, first_byte(Kind::Unsubscribe), |out| {
        out.extend_from_slice(&unsubscribe.id.to_be_bytes());
        put_properties(out, level, unsubscribe.properties);
        for filter in &unsubscribe.filters {
            put_binary(out, filter.as_bytes());
        }
    });
}

fn put_sub_ack(out: &mut Vec<u8>, level: Level, kind: Kind, answer: &SubAck<'_>) {
    framed(out, first_byte(kind), |out| {
        out.extend_from_slice(&answer.id.to_be_bytes());
        put_properties(out, level, answer.properties);
        if kind == Kind::SubAck || level == Level::V5 {
            out.extend_from_slice(&answer.reasons);
        }
    });
}

fn put_notice(out: &mut Vec<u8>, level: Level, kind: Kind, notice: &Notice<'_>) {
    let first = first_byte(kind);
    if level < Level::V5 || notice.reason == Reason::SUCCESS && notice.properties.is_empty() {
        out.extend_from_slice(&[first, 0]);
    } else if notice.properties.is_empty() {
        out.extend_from_slice(&[first, 1, notice.reason.0]);
    } else {
        framed(out, first, |out| {
            out.push(notice.reason.0);
            put_properties(out, level, notice.properties);
        });
    }
}
