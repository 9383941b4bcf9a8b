use std::time::Duration;

use super::{House, bytes, client, lasting, message};
use crate::mqtt::decode::read;
use crate::mqtt::frame::BODY_BYTES_MAX;
use crate::mqtt::message::{Ack, ConnAck, Connect, Level, Notice, Options, Packet, Publish, Qos, SubAck, Subscribe};
use crate::mqtt::properties::{Id, Properties, USER_PROPERTIES_MAX, Writer};
use crate::mqtt::reason::Reason;
use crate::mqtt::topic::LEVELS_MAX;
use crate::vectors::bytes_of;

/// A client of version 5 that is in sends this, and is told why it is not in any more.
#[track_caller]
fn check(sent: &[u8], expected: &str) {
    let mut house = House::new();
    let line = house.enter(client("a"));
    house.send(line, sent);
    house.expect(line, &[expected]);
    assert!(!house.is_open(line));
}

/// A client of version 3.1.1 that is in sends this: there are no words for it, so that its connection only ends.
#[track_caller]
fn check_old(digits: &str) {
    let mut house = House::new();
    let line = house.enter(Connect { level: Level::V4, ..client("a") });
    house.send(line, &bytes_of(digits));
    house.expect(line, &[]);
    assert!(!house.is_open(line), "{digits}");
}

// MQTT 3.1.1: 4.8.0-1
// MQTT 5.0: 1.5.5-1 3.14.2-1 4.13.1-1 4.13.2-1
#[test]
fn a_length_that_lies_is_found_out() {
    check(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01], "DISCONNECT 81");
    check(&[0x30, 0x80, 0x00], "DISCONNECT 81");
    check(&[0x30, 0xff, 0xff, 0xff, 0x7f], "DISCONNECT 95");
    check(&[0x82, 0x02, 0x00, 0x01], "DISCONNECT 81");
    check(&[0x30, 0x05, 0x00, 0xff, b'a', 0, 0], "DISCONNECT 81");
}

#[test]
fn a_length_of_five_bytes_is_refused_before_its_fifth_byte_is_believed() {
    for first in [0x10, 0x30, 0x82, 0xe0] {
        check(&[first, 0x80, 0x80, 0x80, 0x80, 0x01], "DISCONNECT 81");
        check(&[first, 0x80, 0x80, 0x80, 0x80], "DISCONNECT 81");
    }
    let mut house = House::new();
    let line = house.open(Level::V5);
    house.send(line, &[0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    house.expect(line, &[]);
    assert!(!house.is_open(line));
}

// MQTT 3.1.1: 3.3.2-1 4.7.3-1
// MQTT 5.0: 3.3.2-1 4.7.3-1
#[test]
fn a_topic_of_no_length_is_refused_unless_an_alias_stands_for_it() {
    check(&[0x30, 0x03, 0x00, 0x00, 0x00], "DISCONNECT 82");
    check(&[0x30, 0x06, 0x00, 0x00, 0x03, 0x23, 0x00, 0x01], "DISCONNECT 94");
    check(&[0x82, 0x06, 0, 1, 0, 0, 0, 0], "DISCONNECT 8f");
    let mut house = House::new();
    let line = house.enter(Connect { level: Level::V4, ..client("a") });
    house.send(line, &[0x30, 0x02, 0x00, 0x00]);
    assert!(!house.is_open(line));
}

// MQTT 3.1.1: 4.7.3-3
// MQTT 5.0: 4.7.3-3
#[test]
fn topics_as_deep_as_they_may_be_are_taken_and_deeper_ones_are_not() {
    let levels = |count: usize| vec!["a"; count].join("/");
    let mut house = House::new();
    let line = house.enter(client("a"));
    let deepest = levels(LEVELS_MAX);
    house.subscribe(line, &deepest, Qos::AtMostOnce);
    house.subscribe(line, &format!("{}/#", levels(LEVELS_MAX - 1)), Qos::AtMostOnce);
    house.publish(line, Qos::AtLeastOnce, 1, &deepest, "x");
    house.expect(line, &["PUBACK #1 00", &format!("q0 {deepest} x")]);
    let deeper = levels(LEVELS_MAX + 1);
    check(&bytes(&Packet::Publish(message(&deeper, "x")), Level::V5), "DISCONNECT 90");
    check(&bytes(&super::subscription(&deeper), Level::V5), "DISCONNECT 8f");
    check(&bytes(&Packet::Publish(message(&"/".repeat(60_000), "x")), Level::V5), "DISCONNECT 90");
}

#[test]
fn identifiers_that_a_subscriber_never_releases_hold_up_only_itself() {
    let mut house = House::with("queue_messages_max = 5");
    let (publisher, watcher) = (house.enter(client("p")), house.enter(client("w")));
    let mut list = Writer::default();
    list.two(Id::ReceiveMaximum, 3);
    let stuck = house.enter(Connect { properties: list.list(), ..client("s") });
    house.subscribe(stuck, "t", Qos::ExactlyOnce);
    house.subscribe(watcher, "t", Qos::AtMostOnce);
    for number in 1..=50 {
        house.publish(publisher, Qos::AtLeastOnce, number, "t", "x");
    }
    assert_eq!(house.hear(watcher).len(), 50);
    assert_eq!(house.hear(stuck).len(), 3);
    assert_eq!(house.hear(publisher).len(), 50);
}

#[test]
fn what_is_never_acknowledged_takes_no_more_bytes_than_may_wait() {
    for (qos, ack) in [(Qos::AtLeastOnce, Packet::PubAck as fn(_) -> _), (Qos::ExactlyOnce, Packet::PubRec)] {
        let mut house = House::with("queue_bytes_max = 100000\n[[topic]]\nfilter = '#'\ndurability = 'memory'");
        let (publisher, stuck) = (house.enter(client("p")), house.enter(client("s")));
        house.subscribe(stuck, "t", qos);
        let long = "x".repeat(30_000);
        for number in 1..=20 {
            house.publish(publisher, qos, number, "t", &long);
        }
        assert_eq!(house.hear(publisher).len(), 20, "{qos:?}");
        assert_eq!(house.hear(stuck).len(), 4, "{qos:?}: as many as fill it");
        for id in 1..=4 {
            house.ack(stuck, ack, id);
            if qos == Qos::ExactlyOnce {
                house.ack(stuck, Packet::PubComp, id);
            }
        }
        let messages = house.hear(stuck).iter().filter(|heard| heard.contains(" t x")).count();
        assert_eq!(messages, 3, "{qos:?}: those that had room to wait");
    }
}

// MQTT 3.1.1: 1.5.3-1 3.1.3-4 3.1.3-10 3.1.3-11 3.8.3-1 3.10.3-1
// MQTT 5.0: 1.5.4-1 1.5.7-1 3.1.3-4 3.1.3-11 3.1.3-12 3.3.2-13 3.3.2-19 3.8.3-1 3.10.3-1
#[test]
fn texts_with_surrogates_are_refused_wherever_they_stand() {
    let surrogate = [0xed, 0xa0, 0x80];
    let with_text = |head: &[u8], tail: &[u8]| {
        let mut body = head.to_vec();
        body.extend([0x00, 0x03].iter().chain(&surrogate).chain(tail));
        body
    };
    let packet = |first: u8, body: Vec<u8>| [&[first, u8::try_from(body.len()).expect("short")], &body[..]].concat();
    check(&packet(0x30, with_text(&[], &[0x00])), "DISCONNECT 81");
    check(&packet(0x82, with_text(&[0, 1, 0], &[0])), "DISCONNECT 81");
    check(&packet(0xa2, with_text(&[0, 1, 0], &[])), "DISCONNECT 81");
    // A user property, a content type, a response topic.
    check(&packet(0x30, [&[0, 1, b'a', 9, 0x26, 0, 1, b'n'], &with_text(&[], &[])[..]].concat()), "DISCONNECT 81");
    for id in [0x03, 0x08] {
        check(&packet(0x30, [&[0, 1, b'a', 6, id], &with_text(&[], &[])[..]].concat()), "DISCONNECT 81");
    }
    check(&packet(0x30, [&[0, 1, b'a', 9, 0x26], &with_text(&[], &[0, 1, b'n'])[..]].concat()), "DISCONNECT 81");
    for digits in ["3005 0003 eda080", "8208 0001 0003 eda080 00", "a207 0001 0003 eda080"] {
        check_old(digits);
    }
    // A client identifier, the topic of a will and a user, before anybody is in.
    for level in [Level::V4, Level::V5] {
        let no_properties = if level == Level::V5 { "00" } else { "" };
        for (flags, rest) in [
            ("02", "0003 eda080".to_owned()),
            ("06", format!("0001 61 {no_properties} 0003 eda080 0001 78")),
            ("82", "0001 61 0003 eda080".to_owned()),
        ] {
            let mut house = House::new();
            let line = house.open(level);
            let body = bytes_of(&format!("00044d515454 0{} {flags} 0000 {no_properties} {rest}", level as u8));
            house.send(line, &packet(0x10, body));
            let expected: &[&str] = if level == Level::V5 { &["CONNACK 81"] } else { &[] };
            house.expect(line, expected);
            assert!(!house.is_open(line), "{level:?} {flags}");
        }
    }
}

// MQTT 3.1.1: 2.2.2-1 2.2.2-2 2.3.1-1 3.3.1-2 3.3.1-4 3.6.1-1 3.8.1-1 3.8.3-4 3.10.1-1 3.14.1-1 4.8.0-1
// MQTT 5.0: 2.1.3-1 2.2.1-3 3.3.1-2 3.3.1-4 3.6.1-1 3.8.1-1 3.8.3-5 3.10.1-1 3.14.1-1 3.15.1-1 4.13.1-1
#[test]
fn flags_and_identifiers_that_cannot_be_are_refused() {
    for digits in [
        // QoS 3; a copy of QoS 0; the identifier 0.
        "3605 0001 61 0001 00",
        "3804 0001 61 00",
        "3206 0001 61 0000 00",
        "8207 0000 00 0001 61 00",
        "a206 0000 00 0001 61",
        // Flags that are not 0010, or not 0.
        "8007 0001 00 0001 61 00",
        "a006 0001 00 0001 61",
        "6002 0001",
        "4102 0001",
        "5102 0001",
        "7102 0001",
        "c100",
        "e100",
        "f100",
        // No type of a packet, and options that are reserved.
        "0000",
        "8207 0001 00 0001 61 03",
        "8207 0001 00 0001 61 30",
        "8207 0001 00 0001 61 40",
        "8207 0001 00 0001 61 80",
    ] {
        check(&bytes_of(digits), "DISCONNECT 81");
    }
    for digits in [
        "3605 0001 61 0001",
        "3803 0001 61",
        "3205 0001 61 0000",
        "8206 0000 0001 61 00",
        "a205 0000 0001 61",
        "8006 0001 0001 61 00",
        "a005 0001 0001 61",
        "6002 0001",
        "4102 0001",
        "5102 0001",
        "7102 0001",
        "c100",
        "e100",
        "0000",
        "f000",
        "8206 0001 0001 61 03",
        "8206 0001 0001 61 04",
        "8206 0001 0001 61 80",
    ] {
        check_old(digits);
    }
}

// MQTT 5.0: 3.3.2-14 3.3.4-6 3.8.3-4
#[test]
fn what_a_client_may_not_say_in_properties_and_options_is_refused() {
    // A response topic with a wildcard, the identifier of a subscription, none of its own from a group.
    check(&bytes_of("3008 0001 61 04 08 0001 23 00"), "DISCONNECT 82");
    check(&bytes_of("3006 0001 61 02 0b 01"), "DISCONNECT 82");
    let options = Options { no_local: true, ..Options::default() };
    let subscribe = Subscribe { id: 1, properties: Properties::NONE, filters: vec![("$share/g/t", options)] };
    check(&bytes(&Packet::Subscribe(subscribe), Level::V5), "DISCONNECT 82");
}

// MQTT 3.1.1: 1.5.3-1 1.5.3-2 3.3.2-1 3.3.2-2 3.8.3-3 3.10.3-2 4.7.3-2
// MQTT 5.0: 1.5.4-1 1.5.4-2 3.3.2-1 3.3.2-2 3.8.3-2 3.10.3-2 4.7.3-2
#[test]
fn topics_that_cannot_be_are_refused() {
    check(&[0x30, 0x04, 0x00, 0x01, b'#', 0], "DISCONNECT 90");
    check(&[0x30, 0x03, 0x00, 0x00, 0], "DISCONNECT 82");
    check(&[0x30, 0x05, 0x00, 0x02, 0xc3, 0x28, 0], "DISCONNECT 81");
    check(&[0x30, 0x06, 0x00, 0x03, 0xed, 0xa0, 0x80, 0], "DISCONNECT 81");
    check(&[0x30, 0x04, 0x00, 0x01, 0, 0], "DISCONNECT 81");
    check(&[0x82, 0x08, 0, 1, 0, 0, 2, b'a', b'#', 0], "DISCONNECT 8f");
    check(&[0x82, 0x03, 0, 1, 0], "DISCONNECT 82");
    check(&bytes_of("8207 0001 00 0001 00 00"), "DISCONNECT 81");
    check(&bytes_of("a203 0001 00"), "DISCONNECT 82");
    let deep = "a/".repeat(1000);
    check(&bytes(&Packet::Publish(message(&deep, "x")), Level::V5), "DISCONNECT 90");
    for digits in [
        // A wildcard, no letter, no UTF-8, U+0000.
        "3003 0001 23",
        "3003 0001 2b",
        "3002 0000",
        "3004 0002 c328",
        "3003 0001 00",
        // Filters of the same kind, a wildcard that is not the last, and none at all.
        "8205 0001 0000 00",
        "8206 0001 0001 00 00",
        "8207 0001 0002 6123 00",
        "8202 0001",
        "a202 0001",
    ] {
        check_old(digits);
    }
}

// MQTT 3.1.1: 3.1.0-2
// MQTT 5.0: 3.1.0-2
#[test]
fn packets_that_only_a_server_sends_are_refused() {
    let properties = Properties::NONE;
    let (reason, reasons) = (Reason::SUCCESS, vec![0].into());
    let answer = SubAck { id: 1, properties, reasons };
    for packet in [
        Packet::Connect(client("a")),
        Packet::ConnAck(ConnAck { session_present: false, reason, properties }),
        Packet::SubAck(answer.clone()),
        Packet::UnsubAck(answer),
        Packet::PingResp,
        Packet::Auth(Notice { reason, properties }),
    ] {
        check(&bytes(&packet, Level::V5), "DISCONNECT 82");
    }
    check_old("100d 00044d515454 04 02 0000 0001 61");
}

// MQTT 3.1.1: 3.1.0-1 3.1.2-1
// MQTT 5.0: 3.1.0-1 3.1.2-1
#[test]
fn who_does_not_begin_with_a_connect_is_closed() {
    for (packet, level) in [
        (Packet::PingReq, Level::V4),
        (Packet::Publish(message("a", "x")), Level::V4),
        (Packet::Publish(message("a", "x")), Level::V5),
    ] {
        let mut house = House::new();
        let line = house.open(level);
        house.say(line, &packet);
        house.expect(line, &[]);
        assert!(!house.is_open(line));
    }
    let mut house = House::new();
    let line = house.open(Level::V4);
    house.send(line, b"GET / HTTP/1.1\r\n\r\n");
    assert!(!house.is_open(line));
}

#[test]
fn who_says_nothing_is_closed() {
    let mut house = House::new();
    let line = house.open(Level::V4);
    house.send(line, &[0x10]);
    house.wait(Duration::from_secs(20));
    assert!(!house.is_open(line));
}

#[test]
fn thousands_of_user_properties_are_taken_and_tens_of_thousands_are_not() {
    let mut list = Writer::default();
    for _ in 0..USER_PROPERTIES_MAX {
        list.user("", "");
    }
    let mut house = House::new();
    let line = house.enter(client("a"));
    let publish = Publish { qos: Qos::AtLeastOnce, id: 1, properties: list.list(), ..message("t", "x") };
    house.say(line, &Packet::Publish(publish));
    house.expect(line, &["PUBACK #1 10"]);
    list.user("", "");
    check(
        &bytes(&Packet::Publish(Publish { properties: list.list(), ..message("t", "x") }), Level::V5),
        "DISCONNECT 97",
    );
}

#[test]
fn two_clients_that_fight_for_a_name_harm_nobody_else() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "t", Qos::AtLeastOnce);
    for number in 1..=50 {
        let fighter = house.enter(lasting("fight"));
        house.subscribe(fighter, "t", Qos::AtLeastOnce);
        house.publish(line, Qos::AtLeastOnce, number, "t", "x");
    }
    assert_eq!(house.hear(watcher).len(), 50);
    assert_eq!(house.noted(b's'), 1);
}

#[test]
fn identifiers_that_are_never_released_are_bounded() {
    let mut house = House::with("receive_max = 10");
    let line = house.enter(client("a"));
    for id in 1..=11 {
        house.publish(line, Qos::ExactlyOnce, id, "t", "x");
    }
    assert!(!house.is_open(line));
    let heard = house.hear(line);
    assert_eq!(heard.last().map(String::as_str), Some("DISCONNECT 93"));
}

#[test]
fn a_conversation_is_the_same_however_its_bytes_are_split() {
    let publish = Publish { qos: Qos::AtLeastOnce, id: 3, ..message("t", "payload") };
    let ack = Ack { id: 9, reason: Reason::SUCCESS, properties: Properties::NONE };
    let all =
        [Packet::Connect(client("a")), Packet::PingReq, Packet::Publish(publish), Packet::PubRel(ack), Packet::PingReq];
    let all: Vec<u8> = all.iter().flat_map(|packet| bytes(packet, Level::V5)).collect();
    let mut expected = None;
    for piece in 1..=all.len() {
        let mut house = House::new();
        house.pair.wire.piece_bytes_max = piece;
        let line = house.open(Level::V5);
        house.send(line, &all);
        let mut heard = house.hear(line);
        // Acknowledgements wait for their commit, so a PINGRESP may come before one.
        heard.sort();
        assert_eq!(expected.get_or_insert_with(|| heard.clone()), &heard, "pieces of {piece}");
    }
}

#[test]
fn a_conversation_that_is_cut_anywhere_harms_nobody() {
    let publish = Publish { qos: Qos::ExactlyOnce, id: 3, ..message("t", "x") };
    let all: Vec<u8> = [Packet::Connect(lasting("a")), Packet::Publish(publish)]
        .iter()
        .flat_map(|one| bytes(one, Level::V4))
        .collect();
    for end in 0..all.len() {
        let mut house = House::new();
        let line = house.open(Level::V4);
        house.send(line, &all[..end]);
        house.cut(line);
        house.enter(lasting("a"));
    }
}

// MQTT 5.0: 3.14.2-3 3.14.2-4
#[test]
fn who_breaks_a_rule_is_told_which_where_there_is_room_for_words() {
    for (packet_bytes_max, expected) in [(1000, Some("topic alias 65 over 64")), (20, None)] {
        let mut list = Writer::default();
        list.four(Id::MaximumPacketSize, packet_bytes_max);
        let mut house = House::new();
        let line = house.enter(Connect { properties: list.list(), ..client("a") });
        let mut list = Writer::default();
        list.two(Id::TopicAlias, 65);
        house.say(line, &Packet::Publish(Publish { properties: list.list(), ..message("t", "x") }));
        let heard = house.take(line);
        assert!(heard.len() <= packet_bytes_max as usize, "{heard:?}");
        let (packet, _) = read(Level::V5, &heard, BODY_BYTES_MAX).expect("our own packet").expect("a whole one");
        let Packet::Disconnect(notice) = packet else { panic!("{packet:?}") };
        assert_eq!(notice.reason, Reason::TOPIC_ALIAS_NOT_VALID);
        assert_eq!(notice.properties.text(Id::ReasonString), expected);
    }
}
