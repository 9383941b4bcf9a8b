use std::time::Duration;

use super::{House, bytes, client, lasting, message};
use crate::mqtt::decode::read;
use crate::mqtt::frame::BODY_BYTES_MAX;
use crate::mqtt::message::{Ack, ConnAck, Connect, Level, Notice, Packet, Publish, Qos, SubAck};
use crate::mqtt::properties::{Id, Properties, USER_PROPERTIES_MAX, Writer};
use crate::mqtt::reason::Reason;
use crate::mqtt::topic::LEVELS_MAX;

/// A client of version 5 that is in sends this, and is told why it is not in any more.
#[track_caller]
fn check(sent: &[u8], expected: &str) {
    let mut house = House::new();
    let line = house.enter(client("a"));
    house.send(line, sent);
    house.expect(line, &[expected]);
    assert!(!house.is_open(line));
    // Before version 5 there are no words for it.
    let mut house = House::new();
    let line = house.enter(Connect { level: Level::V4, ..client("a") });
    house.send(line, &[0xf0, 0x00]);
    house.expect(line, &[]);
    assert!(!house.is_open(line));
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

// MQTT 3.1.1: 1.5.3-1 3.1.3-4 3.1.3-10 3.1.3-11 3.8.3-1 3.10.3-1
// MQTT 5.0: 1.5.4-1 1.5.7-1 3.1.3-4 3.1.3-11 3.1.3-12 3.3.2-13 3.3.2-14 3.3.2-19 3.8.3-1 3.10.3-1
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
    // A client identifier, before anybody is in.
    let mut house = House::new();
    let line = house.open(Level::V4);
    let head = [0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
    house.send(line, &packet(0x10, with_text(&head, &[])));
    house.expect(line, &[]);
    assert!(!house.is_open(line));
}

// MQTT 3.1.1: 2.2.2-1 2.2.2-2 2.3.1-1 3.3.1-2 3.3.1-4 3.6.1-1 3.8.1-1 3.8.3-4 3.10.1-1 3.14.1-1 4.8.0-1
// MQTT 5.0: 2.1.3-1 2.2.1-3 3.3.1-2 3.3.1-4 3.6.1-1 3.8.1-1 3.8.3-5 3.10.1-1 3.14.1-1 3.15.1-1 4.13.1-1
#[test]
fn flags_and_identifiers_that_cannot_be_are_refused() {
    check(&[0x36, 0x05, 0x00, 0x01, b'a', 0, 1], "DISCONNECT 81");
    check(&[0x38, 0x04, 0x00, 0x01, b'a', 0], "DISCONNECT 81");
    check(&[0x80, 0x07, 0, 1, 0, 0, 1, b'a', 0], "DISCONNECT 81");
    check(&[0x32, 0x06, 0x00, 0x01, b'a', 0, 0, 0], "DISCONNECT 81");
    check(&[0x00, 0x00], "DISCONNECT 81");
    for first in [0xc1, 0xe1, 0xf1] {
        check(&[first, 0x00], "DISCONNECT 81");
    }
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
    let deep = "a/".repeat(1000);
    check(&bytes(&Packet::Publish(message(&deep, "x")), Level::V5), "DISCONNECT 90");
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
}

// MQTT 3.1.1: 3.1.0-1 3.1.2-1
// MQTT 5.0: 3.1.0-1 3.1.2-1
#[test]
fn who_does_not_begin_with_a_connect_is_closed() {
    for packet in [Packet::PingReq, Packet::Publish(message("a", "x"))] {
        let mut house = House::new();
        let line = house.open(Level::V4);
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

// MQTT 5.0: 3.1.2-29 3.2.2-19 3.2.2-20 3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3 3.9.2-1 3.9.2-2
// MQTT 5.0: 3.11.2-1 3.11.2-2 3.14.2-3 3.14.2-4
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
