use std::time::Duration;

use super::{House, client, lasting, message};
use crate::mqtt::message::{Connect, Level, Notice, Packet, Publish, Qos, Will};
use crate::mqtt::properties::{Id, Properties, Writer};
use crate::mqtt::reason::Reason;
use crate::vectors::bytes_of;

// MQTT 3.1.1: 3.1.2-24 3.1.4-4
#[test]
fn the_first_program_is_let_in_byte_for_byte() {
    let mut house = House::new();
    let line = house.open(Level::V4);
    house.send(line, &bytes_of("101f00044d51545404c20064000443303031000561646d696e0006313233343536"));
    assert_eq!(house.pair.take_received(line.number), bytes_of("20020000"));
    // It never pings: it is given up after one and a half times what it announced.
    house.wait(Duration::from_secs(149));
    assert!(house.is_open(line));
    house.wait(Duration::from_secs(2));
    assert!(!house.is_open(line));
}

// MQTT 3.1.1: 3.2.2-5
// MQTT 5.0: 3.1.4-2 3.2.2-7 3.2.2-8 3.2.2-19 3.2.2-20 3.14.0-1 4.13.2-1
#[test]
fn unknown_users_and_wrong_passwords_get_the_same_answer() {
    for level in [Level::V4, Level::V5] {
        let mut house = House::new();
        let mut answers = Vec::new();
        for (user, password) in [("admin", "wrong"), ("nobody", "123456"), ("admin", "")] {
            let connect = Connect { level, user: Some(user), password: Some(password.as_bytes()), ..client("a") };
            let (line, heard) = house.try_enter(connect);
            assert!(!house.is_open(line));
            answers.push(heard);
        }
        let expected = if level == Level::V5 { "CONNACK 86" } else { "CONNACK 04" };
        assert!(answers.iter().all(|heard| heard == &[expected]), "{answers:?}");
    }
}

#[test]
fn a_client_without_a_name_is_anonymous_and_refused_where_nobody_is_of_that_name() {
    let mut house = House::new();
    let (_, heard) = house.try_enter(Connect { user: None, password: None, ..client("a") });
    assert_eq!(heard, ["CONNACK 86"]);
}

// MQTT 3.1.1: 3.1.2-2
// MQTT 5.0: 3.1.2-2
#[test]
fn a_version_that_is_not_spoken_is_answered_so() {
    let mut house = House::new();
    let line = house.open(Level::V4);
    house.send(line, &bytes_of("100c 00044d515454 06 02 0000 0000"));
    assert_eq!(house.pair.take_received(line.number), bytes_of("20020001"));
    assert!(!house.is_open(line));
    let mut house = House::with("version_3_1 = false");
    let (_, heard) = house.try_enter(Connect { level: Level::V3, ..client("a") });
    assert_eq!(heard, ["CONNACK 01"]);
    let mut house = House::new();
    house.enter(Connect { level: Level::V3, ..client("a") });
}

// MQTT 3.1.1: 3.1.3-6 3.1.3-7 3.1.3-8 3.1.3-9
// MQTT 5.0: 3.1.3-6 3.1.3-7 3.1.3-8 3.2.2-16
#[test]
fn a_client_without_an_identifier_gets_one_and_is_told_where_the_version_can() {
    let mut house = House::new();
    let (line, heard) = house.try_enter(client(""));
    assert!(heard[0].starts_with("CONNACK 00 AssignedClientId=lh-"), "{heard:?}");
    assert!(house.is_open(line));
    let (_, another) = house.try_enter(client(""));
    assert!(another[0].starts_with("CONNACK 00 AssignedClientId=lh-") && another != heard, "{another:?}");
    house.enter(Connect { level: Level::V4, ..client("") });
    let (_, heard) = house.try_enter(lasting(""));
    assert_eq!(heard, ["CONNACK 02"], "a session that lasts needs a name");
}

// MQTT 3.1.1: 3.1.3-2 3.1.4-2 4.1.0-1 4.1.0-2
// MQTT 5.0: 3.1.3-2 3.1.4-3 3.14.2-1 3.14.4-1 3.14.4-2 4.1.0-1
#[test]
fn a_newer_connection_takes_the_session_over() {
    let mut house = House::new();
    let old = house.enter(client("a"));
    let new = house.enter(client("a"));
    house.expect(old, &["DISCONNECT 8e"]);
    assert!(!house.is_open(old));
    house.subscribe(new, "t", Qos::AtMostOnce);
    house.publish(new, Qos::AtMostOnce, 0, "t", "x");
    house.expect(new, &["q0 t x"]);
}

// MQTT 5.0: 3.1.3-8 3.1.4-2 3.2.2-6 3.2.2-8
#[test]
fn a_session_belongs_to_the_account_that_made_it() {
    let mut house = House::new();
    let owner = house.enter(lasting("a"));
    let (_, heard) = house.try_enter(Connect { user: Some("other"), ..client("a") });
    assert_eq!(heard, ["CONNACK 85"]);
    assert!(house.is_open(owner));
}

// MQTT 3.1.1: 3.1.2-4 3.1.2-6 3.1.3-2 3.1.4-3 3.2.2-1 3.2.2-2 3.2.2-3 4.1.0-1 4.1.0-2
// MQTT 5.0: 3.1.2-4 3.1.2-5 3.1.2-6 3.1.3-2 3.1.4-4 3.2.2-2 3.2.2-3 4.1.0-1
#[test]
fn a_session_is_there_again_unless_it_is_not_wanted() {
    let mut list = Writer::default();
    list.four(Id::SessionExpiry, 60);
    for level in [Level::V4, Level::V5] {
        let properties = if level == Level::V5 { list.list() } else { Properties::NONE };
        let connect = |clean_start| Connect { level, clean_start, properties, ..client("a") };
        let mut house = House::new();
        let watcher = house.enter(client("w"));
        // Whether a session was there, and its subscriptions with it.
        let mut enter = |connect: Connect<'_>, present: bool| {
            let (line, heard) = house.try_enter(connect);
            assert_eq!(heard, [if present { "CONNACK 00 present" } else { "CONNACK 00" }]);
            house.publish(watcher, Qos::AtMostOnce, 0, "t", "x");
            assert_eq!(house.hear(line).len(), usize::from(present));
            house.subscribe(line, "t", Qos::AtMostOnce);
            house.goodbye(line);
        };
        enter(connect(false), false);
        enter(connect(false), true);
        enter(connect(true), false);
        // Before version 5 a clean session ends with its connection; in it, how long it lasts is said apart.
        enter(connect(false), level == Level::V5);
    }
}

// MQTT 5.0: 3.1.2-23 4.1.0-1 4.1.0-2
#[test]
fn a_session_ends_when_its_time_is_over() {
    let mut house = House::new();
    let mut list = Writer::default();
    list.four(Id::SessionExpiry, 10);
    let connect = Connect { properties: list.list(), clean_start: false, ..client("a") };
    let line = house.enter(connect.clone());
    house.wait(Duration::from_secs(30));
    assert!(house.is_open(line), "while its connection is there, it lasts");
    house.cut(line);
    house.wait(Duration::from_secs(9));
    let (line, heard) = house.try_enter(connect.clone());
    assert_eq!(heard, ["CONNACK 00 present"]);
    house.cut(line);
    house.wait(Duration::from_secs(11));
    assert_eq!(house.noted(b's'), 0, "nothing of it stays in the store");
    let (_, heard) = house.try_enter(connect);
    assert_eq!(heard, ["CONNACK 00"]);
}

#[test]
fn how_long_a_session_lasts_is_limited_and_told() {
    let mut house = House::with("session_expiry_s_max = 60\nkeep_alive_s_max = 30");
    let mut list = Writer::default();
    list.four(Id::SessionExpiry, 3600);
    let (_, heard) = house.try_enter(Connect { properties: list.list(), keep_alive_s: 90, ..client("a") });
    assert_eq!(heard, ["CONNACK 00 SessionExpiry=60 ServerKeepAlive=30"]);
}

// MQTT 5.0: 3.14.2-2
#[test]
fn a_session_that_does_not_last_cannot_be_made_to_at_its_end() {
    let mut house = House::new();
    let line = house.enter(client("a"));
    let mut list = Writer::default();
    list.four(Id::SessionExpiry, 5);
    house.say(line, &Packet::Disconnect(Notice { reason: Reason::SUCCESS, properties: list.list() }));
    house.expect(line, &["DISCONNECT 82"]);
}

fn with_will<'a>(name: &'a str, delay: &'a Writer, level: Level) -> Connect<'a> {
    let will = Will {
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: delay.list(),
        topic: "gone",
        payload: name.as_bytes(),
    };
    Connect { level, will: Some(will), ..client(name) }
}

// MQTT 3.1.1: 3.1.2-8 3.1.2-10 3.1.2-12 3.14.4-3
// MQTT 5.0: 3.1.2-7 3.1.2-8 3.1.2-10 3.14.4-3
#[test]
fn a_will_is_published_unless_the_client_says_goodbye() {
    let mut house = House::new();
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "gone", Qos::AtLeastOnce);
    let none = Writer::default();
    for level in [Level::V4, Level::V5] {
        let line = house.enter(with_will("a", &none, level));
        house.goodbye(line);
        house.expect(watcher, &[]);
        let line = house.enter(with_will("b", &none, level));
        house.cut(line);
        assert_eq!(house.hear(watcher).len(), 1);
        let line = house.enter(with_will("c", &none, level));
        house.send(line, &[0xf1, 0x00]);
        assert_eq!(house.hear(watcher).len(), 1, "a breach of the rules");
    }
    let line = house.enter(with_will("d", &none, Level::V5));
    let notice = Notice { reason: Reason::DISCONNECT_WITH_WILL, properties: Properties::NONE };
    house.say(line, &Packet::Disconnect(notice));
    assert_eq!(house.hear(watcher).len(), 1);
}

#[test]
fn a_will_that_reports_is_stored_as_the_same_message_would_be() {
    let mut house = House::new();
    let properties = Properties::NONE;
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "readings/#", Qos::AtMostOnce);
    for (qos, topic, payload) in [
        (Qos::AtMostOnce, "readings/pump/online", &b"false"[..]),
        (Qos::AtLeastOnce, "readings", b"[{\"meter\":\"1\",\"function\":\"power\",\"value\":21.50}]"),
        (Qos::AtMostOnce, "readings", b"nonsense"),
    ] {
        let will = Will { qos, retain: false, properties, topic, payload };
        let line = house.enter(Connect { will: Some(will), ..client("a") });
        assert!(house.hear(watcher).is_empty(), "it lives");
        house.cut(line);
        assert_eq!(house.hear(watcher).len(), 1, "{topic}");
    }
    assert_eq!(house.reported, ["pump online false", "1 power 21.50"]);
    let complaint = "the will of client a: a value without a meter and a function in its topic";
    assert_eq!(house.events, [complaint]);
}

// MQTT 5.0: 3.1.2-8 3.1.2-10 3.1.3-9
#[test]
fn a_will_waits_for_its_delay_and_not_beyond_the_session() {
    let mut house = House::new();
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "gone", Qos::AtMostOnce);
    let (mut delay, mut list) = (Writer::default(), Writer::default());
    delay.four(Id::WillDelay, 5);
    list.four(Id::SessionExpiry, 60);
    let connect = Connect { properties: list.list(), clean_start: false, ..with_will("a", &delay, Level::V5) };
    let line = house.enter(connect.clone());
    house.cut(line);
    house.wait(Duration::from_secs(4));
    house.expect(watcher, &[]);
    // Back in time: nothing is published.
    let line = house.enter(connect);
    house.wait(Duration::from_secs(10));
    house.expect(watcher, &[]);
    house.cut(line);
    house.wait(Duration::from_secs(6));
    house.expect(watcher, &["q0 gone a"]);
    let line = house.enter(with_will("b", &delay, Level::V5));
    house.cut(line);
    house.expect(watcher, &["q0 gone b"]);
}

#[test]
fn a_will_to_a_forbidden_topic_keeps_the_client_out() {
    let mut house = House::new();
    let none = Writer::default();
    let (line, heard) = house.try_enter(Connect { user: Some("narrow"), ..with_will("a", &none, Level::V5) });
    assert_eq!(heard, ["CONNACK 87"]);
    assert!(!house.is_open(line));
}

// MQTT 3.1.1: 3.3.5-2
// MQTT 5.0: 3.1.2-29 3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.8.4-7 3.9.2-1 3.9.2-2
#[test]
fn an_account_reaches_only_its_topics() {
    let mut house = House::new();
    let line = house.enter(Connect { user: Some("narrow"), ..client("c1") });
    house.publish(line, Qos::AtLeastOnce, 1, "own/c1", "x");
    house.publish(line, Qos::AtLeastOnce, 2, "own/c2", "x");
    house.publish(line, Qos::ExactlyOnce, 3, "$SYS/x", "x");
    house.expect(line, &["PUBACK #1 10", "PUBACK #2 87", "PUBREC #3 87"]);
    let (number, level) = (line.number, line.level);
    let options = crate::mqtt::message::Options::default();
    let filters = vec![("own/+", options), ("#", options), ("$share/g/own/x", options)];
    let subscribe = crate::mqtt::message::Subscribe { id: 7, properties: Properties::NONE, filters };
    house.say(super::Line { number, level }, &Packet::Subscribe(subscribe));
    house.expect(line, &["SUBACK #7 [0, 87, 0]"]);
    // Before version 5 a message can only be acknowledged; it goes nowhere.
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "#", Qos::AtMostOnce);
    let old = house.enter(Connect { level: Level::V4, user: Some("narrow"), ..client("c3") });
    house.say(old, &Packet::Publish(Publish { qos: Qos::AtLeastOnce, id: 1, ..message("other", "x") }));
    house.expect(old, &["PUBACK #1 00"]);
    house.expect(watcher, &[]);
}

// MQTT 5.0: 3.1.2-21 3.1.2-22 3.2.2-21 3.2.2-22
#[test]
fn silence_is_measured_by_the_keep_alive_that_was_agreed() {
    for (settings, keep_alive_s, expected) in [("", 10, 15), ("keep_alive_s_max = 10", 100, 15), ("", 20, 30)] {
        let mut house = House::with(settings);
        let line = house.enter(Connect { keep_alive_s, ..client("a") });
        house.wait(Duration::from_secs(expected - 1));
        assert!(house.is_open(line), "{settings} {keep_alive_s}");
        house.wait(Duration::from_secs(2));
        assert!(!house.is_open(line), "{settings} {keep_alive_s}");
    }
}

// MQTT 3.1.1: 3.1.3-5
// MQTT 5.0: 3.1.3-5
#[test]
fn identifiers_of_clients_may_be_as_the_standard_says() {
    let letters: Vec<char> = ('0'..='9').chain('a'..='z').chain('A'..='Z').collect();
    let names = letters.chunks(23).map(|letters| letters.iter().collect::<String>());
    for level in [Level::V4, Level::V5] {
        let mut house = House::new();
        for name in names.clone().chain(["a".to_owned()]) {
            let (_, heard) = house.try_enter(Connect { level, ..client(&name) });
            assert_eq!(heard, ["CONNACK 00"], "{name}");
        }
    }
}

// MQTT 3.1.1: 3.2.2-4
// MQTT 5.0: 3.2.2-6
#[test]
fn no_session_is_present_in_a_refusal() {
    let mut house = House::new();
    let line = house.enter(lasting("a"));
    house.goodbye(line);
    for (level, expected) in [(Level::V4, "CONNACK 04"), (Level::V5, "CONNACK 86")] {
        let connect = Connect { level, clean_start: false, password: Some(b"wrong"), ..client("a") };
        let (line, heard) = house.try_enter(connect);
        assert_eq!(heard, [expected]);
        assert!(!house.is_open(line));
    }
}

// MQTT 3.1.1: 3.1.2-14
// MQTT 5.0: 3.1.2-12 3.1.4-5 3.2.2-9 3.2.2-10 3.2.2-12 3.2.2-13
#[test]
fn every_qos_and_kept_messages_are_served_so_that_no_limit_is_told() {
    for level in [Level::V4, Level::V5] {
        let mut house = House::new();
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let will = Will { qos, retain: true, properties: Properties::NONE, topic: "gone", payload: b"x" };
            // Neither a maximum of QoS nor that nothing is kept.
            let (line, heard) = house.try_enter(Connect { level, will: Some(will), ..client("a") });
            assert_eq!(heard, ["CONNACK 00"]);
            house.subscribe(line, "t", qos);
            house.cut(line);
            let watcher = house.enter(client("w"));
            house.say(
                watcher,
                &Packet::Subscribe(crate::mqtt::message::Subscribe {
                    id: 1,
                    properties: Properties::NONE,
                    filters: vec![(
                        "gone",
                        crate::mqtt::message::Options { qos: Qos::ExactlyOnce, ..Default::default() },
                    )],
                }),
            );
            let heard = house.hear(watcher);
            let kept = format!("q{} gone x", qos as u8);
            assert!(heard.iter().any(|one| one.starts_with("kept ") && one.ends_with(&kept)), "{heard:?}");
        }
    }
}
