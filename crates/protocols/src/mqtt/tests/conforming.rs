//! Statements of the standards that no other test shows by the way; docs/mqtt-conformance.md lists all of them.

use std::time::Duration;

use super::{House, bytes, client, lasting, message};
use crate::mqtt::message::{Ack, Connect, Level, Options, Packet, Publish, Qos, Subscribe, Unsubscribe};
use crate::mqtt::properties::{Id, Properties, Writer};
use crate::mqtt::reason::Reason;
use crate::vectors::bytes_of;

/// A CONNECT with these flags, and with these bytes behind its keep alive and what properties it has, is refused: before version
/// 5 without a word.
#[track_caller]
fn check_refused(level: Level, flags: &str, rest: &str) {
    let properties = if level == Level::V5 { "00" } else { "" };
    let body = bytes_of(&format!("00044d515454 0{} {flags} 0000 {properties} {rest}", level as u8));
    let mut house = House::new();
    let line = house.open(level);
    house.send(line, &[&[0x10, u8::try_from(body.len()).expect("short")], &body[..]].concat());
    let expected: &[&str] = if level == Level::V5 { &["CONNACK 81"] } else { &[] };
    house.expect(line, expected);
    assert!(!house.is_open(line), "{level:?} {flags} {rest}");
}

// MQTT 3.1.1: 3.1.2-3 3.1.2-9 3.1.2-11 3.1.2-13 3.1.2-14 3.1.2-15 3.1.2-18 3.1.2-19 3.1.2-20 3.1.2-21 3.1.2-22 3.1.3-1
// MQTT 3.1.1: 3.1.3-3 3.1.4-1 3.2.2-6
// MQTT 5.0: 3.1.2-3 3.1.2-9 3.1.2-11 3.1.2-12 3.1.2-13 3.1.2-16 3.1.2-17 3.1.2-18 3.1.2-19 3.1.3-1 3.1.3-3 3.1.4-1
#[test]
fn a_connect_whose_flags_and_fields_do_not_fit_is_refused() {
    for level in [Level::V4, Level::V5] {
        // The reserved flag, the QoS and the RETAIN of no will, a will of QoS 3.
        for flags in ["03", "0a", "22", "1e"] {
            check_refused(level, flags, "0001 61");
        }
        // A name, a will, a user and a password that are not there, and what no flag says to be there.
        check_refused(level, "02", "");
        check_refused(level, "06", "0001 61");
        check_refused(level, "82", "0001 61");
        check_refused(level, "c2", "0001 61 0001 62");
        check_refused(level, "02", "0001 61 00");
        check_refused(level, "02", "0001 61 0001 62");
        check_refused(level, "82", "0001 61 0001 62 0001 63");
    }
    check_refused(Level::V4, "42", "0001 61 0001 62");
}

// MQTT 3.1.1: 3.1.2-1
// MQTT 5.0: 3.1.2-1
#[test]
fn another_protocol_is_not_spoken() {
    for digits in ["100d 00044d515458 04 02 0000 0001 61", "100e 00044d515458 05 02 0000 00 0001 61"] {
        let mut house = House::new();
        let line = house.open(Level::V4);
        house.send(line, &bytes_of(digits));
        house.expect(line, &["CONNACK 01"]);
        assert!(!house.is_open(line));
    }
}

// MQTT 3.1.1: 3.1.4-5
// MQTT 5.0: 3.1.4-6 3.2.0-2 3.14.0-1
#[test]
fn nothing_is_done_that_comes_behind_a_connect_which_is_refused() {
    let mut house = House::new();
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "#", Qos::AtMostOnce);
    for level in [Level::V4, Level::V5] {
        let connect = Connect { level, password: Some(b"wrong"), ..client("a") };
        let both = [Packet::Connect(connect), Packet::Publish(message("t", "x"))].map(|packet| bytes(&packet, level));
        let line = house.open(level);
        house.send(line, &both.concat());
        assert_eq!(house.hear(line).len(), 1, "one CONNACK");
        assert!(!house.is_open(line));
        house.expect(watcher, &[]);
    }
}

// MQTT 3.1.1: 3.2.0-1
// MQTT 5.0: 3.2.0-1 3.2.0-2
#[test]
fn what_comes_with_the_connect_is_done_after_its_answer() {
    let mut house = House::new();
    let line = house.open(Level::V4);
    let all = [Packet::Connect(Connect { level: Level::V4, ..client("a") }), super::subscription("t"), Packet::PingReq];
    house.send(line, &all.map(|packet| bytes(&packet, Level::V4)).concat());
    house.expect(line, &["CONNACK 00", "SUBACK #1 [0]", "PINGRESP"]);
}

// MQTT 3.1.1: 3.12.4-1
// MQTT 5.0: 3.12.4-1
#[test]
fn a_ping_is_answered_in_every_version() {
    for level in Level::ALL {
        let mut house = House::new();
        let line = house.enter(Connect { level, ..client("a") });
        house.say(line, &Packet::PingReq);
        house.expect(line, &["PINGRESP"]);
    }
}

// MQTT 3.1.1: 1.5.3-3 4.7.3-4
// MQTT 5.0: 1.5.4-3 4.7.3-4
#[test]
fn a_text_is_passed_on_as_it_is() {
    // A byte order mark in front, and a letter with its accent in one character and in two, which are different topics.
    let mut house = House::new();
    let line = house.enter(client("a"));
    for topic in ["\u{feff}t", "\u{e9}", "e\u{301}", "T", "t/", "/t", " t"] {
        house.subscribe(line, topic, Qos::AtMostOnce);
        house.publish(line, Qos::AtMostOnce, 0, topic, "x");
        house.publish(line, Qos::AtMostOnce, 0, "t", "other");
        house.expect(line, &[&format!("q0 {topic} x")]);
        house.unsubscribe(line, topic);
        house.hear(line);
    }
}

// MQTT 3.1.1: 3.3.1-3 4.3.2-2
// MQTT 5.0: 3.3.1-3 4.3.2-5
#[test]
fn a_flag_of_a_publisher_that_sends_again_does_not_go_on() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "t", Qos::ExactlyOnce);
    let again = Publish { dup: true, qos: Qos::AtLeastOnce, id: 1, ..message("t", "x") };
    house.say(line, &Packet::Publish(again.clone()));
    // After its acknowledgement the same identifier is of another message.
    house.say(line, &Packet::Publish(again));
    house.expect(watcher, &["#1 q1 t x", "#2 q1 t x"]);
}

// MQTT 5.0: 3.3.2-7
#[test]
fn an_alias_ends_with_its_connection() {
    let mut house = House::new();
    let mut list = Writer::default();
    list.four(Id::SessionExpiry, 60);
    let connect = || Connect { properties: list.list(), clean_start: false, ..client("p") };
    let mut alias = Writer::default();
    alias.two(Id::TopicAlias, 1);
    let line = house.enter(connect());
    house.say(line, &Packet::Publish(Publish { properties: alias.list(), ..message("t", "x") }));
    house.cut(line);
    let line = house.enter(connect());
    house.say(line, &Packet::Publish(Publish { properties: alias.list(), ..message("", "x") }));
    house.expect(line, &["DISCONNECT 94"]);
}

// MQTT 5.0: 3.3.4-8 3.3.4-10 4.9.0-3
#[test]
fn all_but_messages_goes_on_while_as_many_are_under_way_as_may_be() {
    let mut house = House::new();
    let publisher = house.enter(client("p"));
    let mut list = Writer::default();
    list.two(Id::ReceiveMaximum, 1);
    let line = house.enter(Connect { properties: list.list(), ..client("w") });
    house.subscribe(line, "t", Qos::AtLeastOnce);
    for number in [1, 2] {
        house.publish(publisher, Qos::AtLeastOnce, number, "t", "x");
    }
    house.expect(line, &["#1 q1 t x"]);
    house.say(line, &Packet::PingReq);
    house.publish(line, Qos::AtLeastOnce, 5, "u", "y");
    house.publish(line, Qos::ExactlyOnce, 6, "u", "y");
    house.ack(line, Packet::PubRel, 6);
    house.say(line, &super::subscription("u"));
    house.expect(line, &["PINGRESP", "PUBACK #5 10", "PUBREC #6 10", "PUBCOMP #6 00", "SUBACK #1 [0]"]);
    house.ack(line, Packet::PubAck, 1);
    house.expect(line, &["#2 q1 t x"]);
}

// MQTT 3.1.1: 2.3.1-7 3.8.4-1 3.8.4-2 3.8.4-4 3.8.4-5 3.9.3-1 3.9.3-2 3.10.4-1 3.10.4-6
// MQTT 5.0: 2.2.1-6 3.8.4-1 3.8.4-2 3.8.4-5 3.8.4-6 3.8.4-7 3.9.3-1 3.9.3-2 3.10.4-1 3.10.4-4 3.10.4-5 3.10.4-6
// MQTT 5.0: 3.11.2-1 3.11.2-2 3.11.3-1 3.11.3-2
#[test]
fn many_filters_in_one_packet_are_answered_in_their_order() {
    for (level, subscribed, unsubscribed) in [
        (Level::V4, "SUBACK #7 [2, 80, 0, 1]", "UNSUBACK #8 []"),
        (Level::V5, "SUBACK #7 [2, 87, 0, 1]", "UNSUBACK #8 [0, 11, 0]"),
    ] {
        let mut house = House::new();
        let line = house.enter(Connect { level, user: Some("narrow"), ..client("a") });
        let options = |qos| Options { qos, ..Options::default() };
        let filters = vec![
            ("own/a", options(Qos::ExactlyOnce)),
            ("other", options(Qos::AtMostOnce)),
            ("own/b", options(Qos::AtMostOnce)),
            ("own/c", options(Qos::AtLeastOnce)),
        ];
        house.say(line, &Packet::Subscribe(Subscribe { id: 7, properties: Properties::NONE, filters }));
        house.expect(line, &[subscribed]);
        let filters = vec!["own/c", "own/+", "own/a"];
        house.say(line, &Packet::Unsubscribe(Unsubscribe { id: 8, properties: Properties::NONE, filters }));
        house.expect(line, &[unsubscribed]);
    }
}

// MQTT 3.1.1: 3.8.4-3
// MQTT 5.0: 3.8.4-3
#[test]
fn a_subscription_that_comes_again_takes_the_place_of_the_first() {
    for level in [Level::V4, Level::V5] {
        let mut house = House::new();
        let line = house.enter(Connect { level, ..client("a") });
        house.retain(line, "t", "kept");
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
            let filters = vec![("t", Options { qos, ..Options::default() })];
            house.say(line, &Packet::Subscribe(Subscribe { id: 1, properties: Properties::NONE, filters }));
            let heard = house.hear(line);
            let kept = heard.iter().filter(|packet| packet.starts_with("kept ") && packet.ends_with(" t kept"));
            assert_eq!(kept.count(), 1, "it comes again: {heard:?}");
        }
        let publisher = house.enter(client("p"));
        house.publish(publisher, Qos::AtLeastOnce, 1, "t", "x");
        let heard = house.hear(line);
        assert!(heard.len() == 1 && heard[0].ends_with("q1 t x"), "once, and as the second wants it: {heard:?}");
    }
}

// MQTT 3.1.1: 3.10.4-3 3.10.4-4 3.10.4-5
// MQTT 5.0: 3.10.4-3
#[test]
fn what_is_under_way_is_finished_though_nobody_subscribes_any_more() {
    let mut house = House::new();
    let publisher = house.enter(client("p"));
    let line = house.enter(lasting("a"));
    house.subscribe(line, "t", Qos::ExactlyOnce);
    house.publish(publisher, Qos::ExactlyOnce, 1, "t", "x");
    house.expect(line, &["#1 q2 t x"]);
    house.unsubscribe(line, "t");
    house.ack(line, Packet::PubRec, 1);
    house.expect(line, &["UNSUBACK #2 []", "PUBREL #1 00"]);
    house.ack(line, Packet::PubComp, 1);
    house.publish(publisher, Qos::ExactlyOnce, 2, "t", "y");
    house.expect(line, &[]);
}

// MQTT 5.0: 4.8.2-6
#[test]
fn a_message_that_a_member_of_a_group_refuses_goes_to_no_other() {
    let mut house = House::new();
    let publisher = house.enter(client("p"));
    let members = ["a", "b"].map(|name| house.enter(client(name)));
    for line in members {
        house.subscribe(line, "$share/g/t", Qos::AtLeastOnce);
    }
    house.publish(publisher, Qos::AtLeastOnce, 1, "t", "x");
    let took: Vec<_> = members.iter().map(|line| house.hear(*line).len()).collect();
    assert_eq!(took.iter().sum::<usize>(), 1);
    let taker = members[usize::from(took[1] == 1)];
    let refusal = Ack { id: 1, reason: Reason::QUOTA_EXCEEDED, properties: Properties::NONE };
    house.say(taker, &Packet::PubAck(refusal));
    house.goodbye(taker);
    for line in members {
        house.expect(line, &[]);
    }
}

// MQTT 3.1.1: 3.1.2-16 3.1.2-17
// MQTT 5.0: 3.1.2-14 3.1.2-15
#[test]
fn a_will_is_kept_only_where_it_is_said_so() {
    for retain in [false, true] {
        let mut house = House::new();
        let will = crate::mqtt::message::Will {
            qos: Qos::AtLeastOnce,
            retain,
            properties: Properties::NONE,
            topic: "gone",
            payload: b"x",
        };
        let line = house.enter(Connect { will: Some(will), ..client("a") });
        house.cut(line);
        let late = house.enter(client("w"));
        house.say(late, &super::subscription("gone"));
        let heard = house.hear(late);
        assert_eq!(heard.contains(&"kept q0 gone x".to_owned()), retain, "{heard:?}");
    }
}

// MQTT 5.0: 4.3.3-9
#[test]
fn an_identifier_is_free_after_a_refusal() {
    let mut house = House::new();
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "#", Qos::AtMostOnce);
    let line = house.enter(Connect { user: Some("narrow"), ..client("c") });
    house.publish(line, Qos::ExactlyOnce, 3, "other", "x");
    house.publish(line, Qos::ExactlyOnce, 3, "own/c", "y");
    house.expect(line, &["PUBREC #3 87", "PUBREC #3 00"]);
    house.expect(watcher, &["q0 own/c y"]);
}

// MQTT 5.0: 4.3.3-7 4.3.3-13
#[test]
fn what_was_sent_does_not_expire() {
    let mut house = House::new();
    let publisher = house.enter(client("p"));
    let (mut lasts, mut expiry) = (Writer::default(), Writer::default());
    lasts.four(Id::SessionExpiry, 60);
    expiry.four(Id::MessageExpiry, 1);
    let connect = || Connect { properties: lasts.list(), clean_start: false, ..client("w") };
    let line = house.enter(connect());
    house.subscribe(line, "t", Qos::ExactlyOnce);
    let publish = Publish { qos: Qos::ExactlyOnce, id: 1, properties: expiry.list(), ..message("t", "x") };
    house.say(publisher, &Packet::Publish(publish));
    assert!(house.hear(line)[0].starts_with("#1 q2 t x"));
    house.cut(line);
    house.wait(Duration::from_secs(5));
    house.ack(publisher, Packet::PubRel, 1);
    house.expect(publisher, &["PUBREC #1 00", "PUBCOMP #1 00"]);
    let (_, heard) = house.try_enter(connect());
    assert!(heard.len() == 2 && heard[1].starts_with("again #1 q2 t x"), "{heard:?}");
}
