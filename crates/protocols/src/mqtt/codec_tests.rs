//! Every packet of every version there and back, and what any bytes at all may do.

use proptest::prelude::*;

use super::decode::{decode, read};
use super::encode::encode;
use super::explain::explain;
use super::frame::{BODY_BYTES_MAX, head, put_varint, varint, varint_bytes};
use super::message::{
    Ack, ConnAck, Connect, Kind, Level, Notice, Options, Packet, Publish, Qos, RetainHandling, SubAck, Subscribe,
    Unsubscribe, Will,
};
use super::properties::{Id, Place, Properties, Row, Shape, Writer};
use super::reason::Reason;
use crate::Explain;
use crate::vectors::bytes_of;

/// Texts that a packet borrows from.
#[derive(Clone, Debug)]
struct Words {
    topic: String,
    filter: String,
    name: String,
    payload: Vec<u8>,
    id: u16,
    number: u32,
    flags: [bool; 6],
    qos: u8,
    reason: u8,
}

fn words() -> impl Strategy<Value = Words> {
    let topic = "[a-zA-Z/长$ ]{1,20}";
    let filter = prop_oneof![
        Just("#".to_owned()),
        Just("+/a/#".to_owned()),
        Just("$share/g/a".to_owned()),
        Just("a/b".to_owned())
    ];
    let numbers = (1..=u16::MAX, any::<u32>(), any::<[bool; 6]>(), 0..3_u8, any::<u8>());
    (topic, filter, ".{0,10}", prop::collection::vec(any::<u8>(), 0..300), numbers).prop_map(
        |(topic, filter, name, payload, (id, number, flags, qos, reason))| Words {
            topic,
            filter,
            name: name.replace('\0', ""),
            payload,
            id,
            number,
            flags,
            qos,
            reason,
        },
    )
}

/// One of every property that may stand there.
fn every_property(place: Place, words: &Words) -> Writer {
    let mut list = Writer::default();
    for id in 0..=0x2a {
        let Some(row) = Row::of(id).filter(|row| row.is_allowed(place)) else { continue };
        match row.shape {
            Shape::Flag => list.flag(row.id, words.flags[0]),
            Shape::Two => list.two(row.id, words.id),
            Shape::Four => list.four(row.id, words.number.max(1)),
            Shape::Varint => list.subscription_id((words.number % 268_435_455).max(1)),
            Shape::Text if row.id == Id::ResponseTopic => list.text(row.id, &words.topic),
            Shape::Text => list.text(row.id, &words.name),
            Shape::Binary => list.binary(row.id, &words.payload),
            Shape::Pair => list.user(&words.name, &words.topic).user("", &words.name),
        };
    }
    list
}

/// Does something with a packet of this kind made of these words.
fn with_packet(kind: Kind, level: Level, words: &Words, work: &mut dyn FnMut(&Packet<'_>)) {
    let place = Place::Packet(kind);
    let lists = [every_property(place, words), every_property(Place::Will, words)];
    let list = |index: usize| if level == Level::V5 { lists[index].list() } else { Properties::NONE };
    let properties = list(0);
    let [one, two, three, four, ..] = words.flags;
    let qos = Qos::of(words.qos).expect("0 to 2");
    let success = Reason::SUCCESS;
    let ack = Ack { id: words.id, reason: success, properties };
    let notice = Notice { reason: success, properties };
    let handling = if three { RetainHandling::Keep } else { RetainHandling::SendIfNew };
    let is_shared = words.filter.starts_with("$share");
    let options = match level {
        Level::V5 => Options { qos, no_local: one && !is_shared, as_published: two, handling },
        Level::V3 | Level::V4 => Options { qos, ..Options::default() },
    };
    let answer = |kind: Kind| {
        let has_reasons = kind == Kind::SubAck || level == Level::V5;
        SubAck {
            id: words.id,
            properties,
            reasons: if has_reasons { vec![words.qos, 0x80].into() } else { vec![].into() },
        }
    };
    let packet = match kind {
        Kind::Connect => Packet::Connect(Connect {
            level,
            clean_start: one,
            keep_alive_s: words.id,
            properties,
            client_id: &words.name,
            will: two.then(|| Will {
                qos,
                retain: three,
                properties: list(1),
                topic: &words.topic,
                payload: &words.payload,
            }),
            user: four.then_some(words.name.as_str()),
            password: four.then_some(words.payload.as_slice()),
        }),
        Kind::ConnAck => Packet::ConnAck(ConnAck { session_present: one, reason: Reason(words.reason), properties }),
        Kind::Publish => Packet::Publish(Publish {
            dup: one && qos != Qos::AtMostOnce,
            qos,
            retain: two,
            topic: &words.topic,
            id: if qos == Qos::AtMostOnce { 0 } else { words.id },
            properties,
            payload: &words.payload,
        }),
        Kind::PubAck => Packet::PubAck(ack),
        Kind::PubRec => Packet::PubRec(ack),
        Kind::PubRel => Packet::PubRel(ack),
        Kind::PubComp => Packet::PubComp(ack),
        Kind::Subscribe => {
            let filters = vec![(words.filter.as_str(), options), ("a", options)];
            Packet::Subscribe(Subscribe { id: words.id, properties, filters })
        }
        Kind::SubAck => Packet::SubAck(answer(kind)),
        Kind::Unsubscribe => {
            let filters = vec![words.filter.as_str(), "+"];
            Packet::Unsubscribe(Unsubscribe { id: words.id, properties, filters })
        }
        Kind::UnsubAck => Packet::UnsubAck(answer(kind)),
        Kind::PingReq => Packet::PingReq,
        Kind::PingResp => Packet::PingResp,
        Kind::Disconnect => Packet::Disconnect(notice),
        Kind::Auth => Packet::Auth(notice),
    };
    work(&packet);
}

proptest! {
    // MQTT 3.1.1: 3.1.2-9 3.1.2-18 3.1.2-19 3.1.2-20 3.1.2-21 3.1.3-1 3.9.3-1 3.9.3-2
    // MQTT 5.0: 3.1.2-9 3.1.2-16 3.1.2-17 3.1.2-18 3.1.2-19 3.1.3-1 3.4.2-1 3.5.2-1 3.6.2-1 3.7.2-1
    #[test]
    fn every_packet_comes_back(words in words()) {
        for level in Level::ALL {
            for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Auth || level == Level::V5) {
                with_packet(kind, level, &words, &mut |packet| {
                    let mut bytes = Vec::new();
                    encode(packet, level, &mut bytes);
                    let found = read(level, &bytes, BODY_BYTES_MAX);
                    assert_eq!(found, Ok(Some((packet.clone(), bytes.len()))), "{level:?}");
                    for cut in 0..bytes.len() {
                        assert_eq!(read(level, &bytes[..cut], BODY_BYTES_MAX), Ok(None), "cut at {cut}");
                    }
                    let version = Some(level.name());
                    let explanation = explain(&Explain { bytes: &bytes, version, ..Explain::default() });
                    // Which client identifiers may be is another matter.
                    let is_wrong = |field: &&crate::Field| {
                        field.judgement != crate::Judgement::Right && field.name != "client id"
                    };
                    let wrong: Vec<_> = explanation.fields.iter().filter(is_wrong).collect();
                    assert!(wrong.is_empty(), "{level:?} {wrong:?}");
                    let mut end = 0;
                    for field in &explanation.fields {
                        assert_eq!(field.range.start, end, "{level:?} {field:?}");
                        end = field.range.end;
                    }
                    assert_eq!(end, bytes.len(), "every byte is explained");
                });
            }
        }
    }

    #[test]
    fn no_bytes_break_the_codec(mut bytes in prop::collection::vec(any::<u8>(), 0..64), kind in 1..16_u8) {
        for level in Level::ALL {
            let _any_answer = read(level, &bytes, BODY_BYTES_MAX);
            // With a head that fits, more of them get as far as their body.
            if let Some(first) = bytes.first_mut() {
                *first = kind << 4 | (*first & 0x0f);
            }
            if let (Ok(length), true) = (u8::try_from(bytes.len().saturating_sub(2)), bytes.len() > 1) {
                bytes[1] = length;
            }
            let _any_answer = read(level, &bytes, BODY_BYTES_MAX);
        }
    }

    // MQTT 5.0: 1.5.5-1
    #[test]
    fn a_length_takes_as_few_bytes_as_it_needs(value in 0..=BODY_BYTES_MAX) {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        prop_assert_eq!(out.len(), varint_bytes(value));
        prop_assert_eq!(varint(&out), Ok(Some((u32::try_from(value).expect("below 2^28"), out.len()))));
    }
}

// MQTT 5.0: 3.2.2-15
// MQTT 3.1.1: 2.3.1-5 4.3.1-1
// MQTT 5.0: 2.2.1-2 2.2.2-1 3.2.2-1 4.3.1-1
#[test]
fn what_is_not_there_takes_no_bytes_but_the_length_of_no_properties() {
    let properties = Properties::NONE;
    let options = Options { qos: Qos::AtLeastOnce, ..Options::default() };
    let publish =
        Publish { dup: false, qos: Qos::AtMostOnce, retain: false, topic: "a", id: 0, properties, payload: b"" };
    let answer = SubAck { id: 1, properties, reasons: vec![1].into() };
    let ack = Ack { id: 1, reason: Reason::SUCCESS, properties };
    let accepted = ConnAck { session_present: false, reason: Reason::SUCCESS, properties };
    for (packet, old, new) in [
        (Packet::ConnAck(accepted), "2002 0000", "2003 0000 00"),
        (Packet::Publish(publish), "3003 0001 61", "3004 0001 61 00"),
        (Packet::PubAck(ack.clone()), "4002 0001", "4002 0001"),
        (Packet::PubRel(ack), "6202 0001", "6202 0001"),
        (
            Packet::Subscribe(Subscribe { id: 1, properties, filters: vec![("a", options)] }),
            "8206 0001 0001 61 01",
            "8207 0001 00 0001 61 01",
        ),
        (Packet::SubAck(answer), "9003 0001 01", "9004 0001 00 01"),
        (
            Packet::Unsubscribe(Unsubscribe { id: 1, properties, filters: vec!["a"] }),
            "a205 0001 0001 61",
            "a206 0001 00 0001 61",
        ),
        (Packet::Disconnect(Notice { reason: Reason::SUCCESS, properties }), "e000", "e000"),
    ] {
        for (level, digits) in [(Level::V4, old), (Level::V5, new)] {
            let mut bytes = Vec::new();
            encode(&packet, level, &mut bytes);
            assert_eq!(bytes, bytes_of(digits), "{level:?} {packet:?}");
        }
    }
    // Without that length it is not a packet of version 5.
    for digits in ["8206 0001 0001 61 01", "a205 0001 0001 61", "3003 0001 61", "2002 0000"] {
        assert!(read(Level::V5, &bytes_of(digits), BODY_BYTES_MAX).is_err(), "{digits}");
    }
}

#[test]
fn a_packet_over_the_limit_is_refused_before_it_came() {
    let breach = head(&[0x30, 0xff, 0x7f], 100).expect_err("too long");
    assert_eq!(breach.reason, Reason::PACKET_TOO_LARGE);
}

// MQTT 5.0: 3.3.2-8
#[test]
fn properties_stand_where_they_may_and_once() {
    let words = Words {
        topic: "t".to_owned(),
        filter: "t".to_owned(),
        name: "n".to_owned(),
        payload: vec![1],
        id: 1,
        number: 1,
        flags: [true; 6],
        qos: 0,
        reason: 0,
    };
    for kind in Kind::ALL {
        for id in (0..=0x2a).filter(|id| Row::of(*id).is_some_and(|row| !row.is_allowed(Place::Packet(kind)))) {
            let row = Row::of(id).expect("it was found");
            let mut list = Writer::default();
            match row.shape {
                Shape::Flag => list.flag(row.id, true),
                Shape::Two => list.two(row.id, 1),
                Shape::Four => list.four(row.id, 1),
                Shape::Varint => list.subscription_id(1),
                Shape::Text | Shape::Binary => list.binary(row.id, b"t"),
                Shape::Pair => list.user("a", "b"),
            };
            refused(kind, &words, list.list(), Reason::MALFORMED);
        }
    }
    let mut twice = Writer::default();
    twice.flag(Id::PayloadFormat, true).flag(Id::PayloadFormat, true);
    refused(Kind::Publish, &words, twice.list(), Reason::PROTOCOL_ERROR);
    let mut alias = Writer::default();
    alias.two(Id::TopicAlias, 0);
    refused(Kind::Publish, &words, alias.list(), Reason::TOPIC_ALIAS_NOT_VALID);
    let mut identifier = Writer::default();
    identifier.subscription_id(0);
    refused(Kind::Subscribe, &words, identifier.list(), Reason::PROTOCOL_ERROR);
}

/// A packet of this kind whose properties are these is refused.
#[track_caller]
fn refused(kind: Kind, words: &Words, list: Properties<'_>, expected: Reason) {
    if matches!(kind, Kind::PingReq | Kind::PingResp) {
        return;
    }
    let reason = with_list(kind, words, list);
    assert_eq!(reason, Some(expected), "{kind:?} {list:?}");
}

fn with_list(kind: Kind, words: &Words, list: Properties<'_>) -> Option<Reason> {
    let mut reason = None;
    with_packet(kind, Level::V5, words, &mut |packet| {
        let changed = match packet.clone() {
            Packet::Connect(one) => Packet::Connect(Connect { properties: list, ..one }),
            Packet::ConnAck(one) => Packet::ConnAck(ConnAck { properties: list, ..one }),
            Packet::Publish(one) => Packet::Publish(Publish { properties: list, ..one }),
            Packet::PubAck(one) => Packet::PubAck(Ack { properties: list, ..one }),
            Packet::PubRec(one) => Packet::PubRec(Ack { properties: list, ..one }),
            Packet::PubRel(one) => Packet::PubRel(Ack { properties: list, ..one }),
            Packet::PubComp(one) => Packet::PubComp(Ack { properties: list, ..one }),
            Packet::Subscribe(one) => Packet::Subscribe(Subscribe { properties: list, ..one }),
            Packet::SubAck(one) => Packet::SubAck(SubAck { properties: list, ..one }),
            Packet::Unsubscribe(one) => Packet::Unsubscribe(Unsubscribe { properties: list, ..one }),
            Packet::UnsubAck(one) => Packet::UnsubAck(SubAck { properties: list, ..one }),
            Packet::Disconnect(one) => Packet::Disconnect(Notice { properties: list, ..one }),
            Packet::Auth(one) => Packet::Auth(Notice { properties: list, ..one }),
            other @ (Packet::PingReq | Packet::PingResp) => other,
        };
        let mut bytes = Vec::new();
        encode(&changed, Level::V5, &mut bytes);
        let head = head(&bytes, BODY_BYTES_MAX).expect("our own head").expect("all of it");
        reason = decode(Level::V5, head, &bytes[head.head_bytes..]).err().map(|breach| breach.reason);
    });
    reason
}
