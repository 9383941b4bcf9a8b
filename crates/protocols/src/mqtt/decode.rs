//! From bytes to packets, with every rule that a packet alone can break.

use super::frame::{Head, head};
use super::message::{
    Ack, ConnAck, Connect, Kind, Level, Notice, Options, Packet, Publish, Qos, SubAck, Subscribe, Unsubscribe, Will,
};
use super::properties::{Id, Place, Properties, read_binary, read_text};
use super::reason::{Breach, Reason};
use super::topic;
use crate::FaultKind;
use crate::wire::Reader;

/// Most topic filters in one SUBSCRIBE or UNSUBSCRIBE: far above what clients send, and little work.
pub const FILTERS_MAX: usize = 4_096;

/// Reads the packet with which `bytes` begin, and how many bytes it takes. `None`: wait for more bytes.
///
/// # Errors
/// As `head` and `decode` say.
pub fn read(level: Level, bytes: &[u8], packet_bytes_max: usize) -> Result<Option<(Packet<'_>, usize)>, Breach> {
    let Some(head) = head(bytes, packet_bytes_max)? else { return Ok(None) };
    let Some(body) = bytes.get(head.head_bytes..head.packet_bytes()) else { return Ok(None) };
    Ok(Some((decode(level, head, body)?, head.packet_bytes())))
}

/// Reads the body of a packet. `level` is not looked at for a CONNECT, which says its own.
///
/// # Errors
/// `Malformed` for bytes that the grammar does not allow, `OutOfOrder` for what it allows only elsewhere, `TooLarge` for
/// over `FILTERS_MAX` filters; the reason code is the one of version 5.
pub fn decode(level: Level, head: Head, body: &[u8]) -> Result<Packet<'_>, Breach> {
    let mut reader = Reader::new(body);
    let packet = match head.kind {
        Kind::Connect => Packet::Connect(connect(&mut reader)?),
        Kind::ConnAck => Packet::ConnAck(conn_ack(&mut reader, level)?),
        Kind::Publish => return publish(&mut reader, level, head.flags).map(Packet::Publish),
        Kind::PubAck => Packet::PubAck(ack(&mut reader, level, head.kind)?),
        Kind::PubRec => Packet::PubRec(ack(&mut reader, level, head.kind)?),
        Kind::PubRel => Packet::PubRel(ack(&mut reader, level, head.kind)?),
        Kind::PubComp => Packet::PubComp(ack(&mut reader, level, head.kind)?),
        Kind::Subscribe => Packet::Subscribe(subscribe(&mut reader, level)?),
        Kind::SubAck => Packet::SubAck(sub_ack(&mut reader, level, head.kind)?),
        Kind::Unsubscribe => Packet::Unsubscribe(unsubscribe(&mut reader, level)?),
        Kind::UnsubAck => Packet::UnsubAck(sub_ack(&mut reader, level, head.kind)?),
        Kind::PingReq => Packet::PingReq,
        Kind::PingResp => Packet::PingResp,
        Kind::Disconnect => Packet::Disconnect(notice(&mut reader, level, head.kind)?),
        Kind::Auth if level < Level::V5 => return Err(Breach::malformed(0, "AUTH before version 5")),
        Kind::Auth => Packet::Auth(notice(&mut reader, level, head.kind)?),
    };
    if reader.rest().is_empty() {
        Ok(packet)
    } else {
        let what = format!("{} bytes behind a {}", reader.rest().len(), head.kind.name());
        Err(Breach::malformed(reader.offset(), what))
    }
}

/// The version that a CONNECT says with which `bytes` begin, whatever else is wrong with it.
#[must_use]
pub fn level_of(bytes: &[u8]) -> Option<Level> {
    let head = head(bytes, usize::MAX).ok()??;
    if head.kind != Kind::Connect {
        return None;
    }
    let body = bytes.get(head.head_bytes..)?;
    let name_bytes = u16::from_be_bytes(body.first_chunk::<2>().copied()?);
    let number = *body.get(2 + usize::from(name_bytes))?;
    Level::ALL.into_iter().find(|level| *level as u8 == number)
}

fn properties<'a>(reader: &mut Reader<'a>, level: Level, kind: Kind) -> Result<Properties<'a>, Breach> {
    if level < Level::V5 { Ok(Properties::NONE) } else { Properties::read(reader, Place::Packet(kind)) }
}

fn packet_id(reader: &mut Reader<'_>) -> Result<u16, Breach> {
    match reader.u16_be()? {
        0 => Err(Breach::malformed(reader.offset() - 2, "packet identifier 0")),
        id => Ok(id),
    }
}

/// Source: \[1\] §3.1, \[2\] §3.1.
fn connect<'a>(reader: &mut Reader<'a>) -> Result<Connect<'a>, Breach> {
    let name = read_text(reader)?;
    let number = reader.u8()?;
    let Some(level) = Level::ALL.into_iter().find(|level| *level as u8 == number) else {
        let known = Level::ALL.iter().any(|level| level.protocol_name() == name);
        return Err(if known { unsupported(number) } else { wrong_name() });
    };
    if level.protocol_name() != name {
        return Err(wrong_name());
    }
    let flags = reader.u8()?;
    let flags_at = reader.offset() - 1;
    let wrong = |what: &'static str| Err(Breach::malformed(flags_at, what));
    if flags & 1 != 0 {
        return wrong("the reserved flag of a CONNECT");
    }
    let Some(will_qos) = Qos::of(flags >> 3 & 3) else { return wrong("will QoS 3") };
    let has_will = flags & 4 != 0;
    if !has_will && flags & 0b0011_1000 != 0 {
        return wrong("will flags without a will");
    }
    if level < Level::V5 && flags & 0b1100_0000 == 0b0100_0000 {
        return wrong("a password without a user name");
    }
    let keep_alive_s = reader.u16_be()?;
    let properties = properties(reader, level, Kind::Connect)?;
    let client_id = read_text(reader)?;
    let will = if has_will { Some(will(reader, level, will_qos, flags & 0b0010_0000 != 0)?) } else { None };
    let user = if flags & 0b1000_0000 == 0 { None } else { Some(read_text(reader)?) };
    let password = if flags & 0b0100_0000 == 0 { None } else { Some(read_binary(reader)?) };
    let clean_start = flags & 2 != 0;
    Ok(Connect { level, clean_start, keep_alive_s, properties, client_id, will, user, password })
}

fn wrong_name() -> Breach {
    Breach::new(Reason::UNSUPPORTED_VERSION, FaultKind::Malformed, "a CONNECT of another protocol")
}

fn unsupported(number: u8) -> Breach {
    Breach::new(Reason::UNSUPPORTED_VERSION, FaultKind::OutOfOrder, format!("protocol level {number}"))
}

fn will<'a>(reader: &mut Reader<'a>, level: Level, qos: Qos, retain: bool) -> Result<Will<'a>, Breach> {
    let properties = if level < Level::V5 { Properties::NONE } else { Properties::read(reader, Place::Will)? };
    let topic = topic_name(reader)?;
    Ok(Will { qos, retain, properties, topic, payload: read_binary(reader)? })
}

fn topic_name<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Breach> {
    let at = reader.offset();
    let name = read_text(reader)?;
    topic::check_name(name).map_err(|fault| Breach { reason: Reason::TOPIC_NOT_VALID, fault: fault.at(at) })?;
    Ok(name)
}

fn topic_filter<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Breach> {
    let at = reader.offset();
    let filter = read_text(reader)?;
    topic::check_filter(filter).map_err(|fault| Breach { reason: Reason::FILTER_NOT_VALID, fault: fault.at(at) })?;
    Ok(filter)
}

/// Source: \[1\] §3.2, \[2\] §3.2.
fn conn_ack<'a>(reader: &mut Reader<'a>, level: Level) -> Result<ConnAck<'a>, Breach> {
    let flags = reader.u8()?;
    if flags > 1 {
        return Err(Breach::malformed(0, "reserved flags of a CONNACK"));
    }
    let reason = Reason(reader.u8()?);
    let properties = properties(reader, level, Kind::ConnAck)?;
    Ok(ConnAck { session_present: flags == 1, reason, properties })
}

/// Source: \[1\] §3.3, \[2\] §3.3. The rules of the flags are checked with the head.
fn publish<'a>(reader: &mut Reader<'a>, level: Level, flags: u8) -> Result<Publish<'a>, Breach> {
    let at = reader.offset();
    let topic = read_text(reader)?;
    let qos = Qos::of(flags >> 1 & 3).unwrap_or_default();
    let id = if qos == Qos::AtMostOnce { 0 } else { packet_id(reader)? };
    let properties = properties(reader, level, Kind::Publish)?;
    if !(topic.is_empty() && level == Level::V5) {
        topic::check_name(topic).map_err(|fault| Breach { reason: Reason::TOPIC_NOT_VALID, fault: fault.at(at) })?;
    } else if properties.find(Id::TopicAlias).is_none() {
        return Err(Breach::protocol("a PUBLISH with neither topic nor alias"));
    }
    let payload = reader.take(reader.rest().len())?;
    Ok(Publish { dup: flags & 8 != 0, qos, retain: flags & 1 != 0, topic, id, properties, payload })
}

/// Source: \[1\] §3.4 to §3.7, \[2\] §3.4 to §3.7.
fn ack<'a>(reader: &mut Reader<'a>, level: Level, kind: Kind) -> Result<Ack<'a>, Breach> {
    let id = packet_id(reader)?;
    let (reason, properties) = ending(reader, level, kind)?;
    Ok(Ack { id, reason, properties })
}

/// A reason code and properties that may be left out. Source: \[2\] §3.4.2.1.
fn ending<'a>(reader: &mut Reader<'a>, level: Level, kind: Kind) -> Result<(Reason, Properties<'a>), Breach> {
    if level < Level::V5 || reader.rest().is_empty() {
        return Ok((Reason::SUCCESS, Properties::NONE));
    }
    let reason = Reason(reader.u8()?);
    if !may_give(kind, reason) {
        return Err(Breach::protocol(format!("{reason} in a {}", kind.name())));
    }
    let left_out = reader.rest().is_empty();
    let properties = if left_out { Properties::NONE } else { properties(reader, level, kind)? };
    Ok((reason, properties))
}

/// Which reason codes a packet may carry. Source: \[2\] table 2-6.
fn may_give(kind: Kind, reason: Reason) -> bool {
    match (kind, reason.0) {
        (Kind::PubAck | Kind::PubRec, code) => {
            matches!(code, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
        }
        (Kind::PubRel | Kind::PubComp, code) => matches!(code, 0x00 | 0x92),
        (Kind::Disconnect, code) => {
            matches!(code, 0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8b | 0x8d..=0xa2) && !matches!(code, 0x91 | 0x92)
        }
        (Kind::Auth, code) => matches!(code, 0x00 | 0x18 | 0x19),
        _ => true,
    }
}

/// Source: \[1\] §3.8, \[2\] §3.8.
fn subscribe<'a>(reader: &mut Reader<'a>, level: Level) -> Result<Subscribe<'a>, Breach> {
    let id = packet_id(reader)?;
    let properties = properties(reader, level, Kind::Subscribe)?;
    let mut filters = Vec::new();
    while !reader.rest().is_empty() {
        more_filters(filters.len())?;
        let filter = topic_filter(reader)?;
        let at = reader.offset();
        let options = Options::of_byte(reader.u8()?, level)
            .ok_or_else(|| Breach::malformed(at, "subscription options that are reserved"))?;
        if options.no_local && topic::Shared::of(filter).is_some() {
            return Err(Breach::protocol("no local on a shared subscription"));
        }
        filters.push((filter, options));
    }
    if filters.is_empty() {
        return Err(Breach::protocol("a SUBSCRIBE without a topic filter"));
    }
    Ok(Subscribe { id, properties, filters })
}

fn more_filters(count: usize) -> Result<(), Breach> {
    if count < FILTERS_MAX {
        return Ok(());
    }
    let what = format!("over {FILTERS_MAX} topic filters in one packet");
    Err(Breach::new(Reason::QUOTA_EXCEEDED, FaultKind::TooLarge, what))
}

/// Source: \[1\] §3.10, \[2\] §3.10.
fn unsubscribe<'a>(reader: &mut Reader<'a>, level: Level) -> Result<Unsubscribe<'a>, Breach> {
    let id = packet_id(reader)?;
    let properties = properties(reader, level, Kind::Unsubscribe)?;
    let mut filters = Vec::new();
    while !reader.rest().is_empty() {
        more_filters(filters.len())?;
        filters.push(topic_filter(reader)?);
    }
    if filters.is_empty() {
        return Err(Breach::protocol("an UNSUBSCRIBE without a topic filter"));
    }
    Ok(Unsubscribe { id, properties, filters })
}

/// Source: \[1\] §3.9 and §3.11, \[2\] §3.9 and §3.11.
fn sub_ack<'a>(reader: &mut Reader<'a>, level: Level, kind: Kind) -> Result<SubAck<'a>, Breach> {
    let id = packet_id(reader)?;
    let properties = properties(reader, level, kind)?;
    let reasons = reader.take(reader.rest().len())?;
    let has_reasons = kind == Kind::SubAck || level == Level::V5;
    if reasons.is_empty() == has_reasons {
        let what = if has_reasons { "no reason code" } else { "reason codes before version 5" };
        return Err(Breach::malformed(reader.offset(), what));
    }
    if level < Level::V5 && reasons.iter().any(|code| !matches!(code, 0..=2 | 0x80)) {
        return Err(Breach::malformed(2, "a return code that is reserved"));
    }
    Ok(SubAck { id, properties, reasons: reasons.into() })
}

/// Source: \[1\] §3.14, \[2\] §3.14 and §3.15.
fn notice<'a>(reader: &mut Reader<'a>, level: Level, kind: Kind) -> Result<Notice<'a>, Breach> {
    let (reason, properties) = ending(reader, level, kind)?;
    Ok(Notice { reason, properties })
}
