use super::{House, client, lasting, message};
use crate::mqtt::message::{Connect, Level, Options, Packet, Publish, Qos};
use crate::mqtt::properties::{Id, Writer};
use crate::pair::{Fate, Happening};

// MQTT 3.1.1: 3.3.4-1 4.3.2-2
// MQTT 5.0: 3.3.4-1 3.4.2-1 3.5.2-1 3.6.2-1 3.7.2-1 4.3.2-4
#[test]
fn ack_waits_for_commit() {
    let mut house = House::new();
    let line = house.enter(Connect { level: Level::V4, ..client("p") });
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "t", Qos::AtLeastOnce);
    house.pair.fate = Fate::Hold;
    house.publish(line, Qos::AtLeastOnce, 1, "t", "x");
    house.publish(line, Qos::ExactlyOnce, 2, "t", "y");
    house.expect(line, &[]);
    house.expect(watcher, &[]);
    house.pair.release(Fate::Commit);
    house.settle();
    house.expect(line, &["PUBACK #1 00", "PUBREC #2 00"]);
    assert_eq!(house.hear(watcher).len(), 2);
}

// MQTT 3.1.1: 4.8.0-2
// MQTT 5.0: 4.3.2-4 4.3.3-8
#[test]
fn a_message_that_was_not_stored_is_neither_acknowledged_nor_delivered() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "t", Qos::AtLeastOnce);
    house.pair.fate = Fate::Fail;
    house.publish(line, Qos::AtLeastOnce, 1, "t", "x");
    house.expect(line, &["DISCONNECT 80"]);
    let old = house.enter(Connect { level: Level::V4, ..client("o") });
    house.publish(old, Qos::AtLeastOnce, 1, "t", "x");
    house.expect(old, &[]);
    assert!(!house.is_open(old));
    house.pair.fate = Fate::Commit;
    assert!(!house.is_open(line));
    house.expect(watcher, &[]);
    let line = house.enter(client("p"));
    house.publish(line, Qos::AtLeastOnce, 1, "t", "x");
    house.expect(line, &["PUBACK #1 00"]);
    house.expect(watcher, &["#1 q1 t x"]);
}

// MQTT 3.1.1: 4.5.0-1
// MQTT 5.0: 4.5.0-1
#[test]
fn a_message_of_a_publisher_that_is_gone_before_its_commit_arrives_all_the_same() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "t", Qos::AtLeastOnce);
    house.pair.fate = Fate::Hold;
    house.publish(line, Qos::AtLeastOnce, 1, "t", "x");
    house.goodbye(line);
    house.expect(watcher, &["#1 q1 t x"]);
}

// MQTT 3.1.1: 2.3.1-6 3.3.4-1 4.3.3-2
// MQTT 5.0: 2.2.1-5 3.3.4-1 4.3.3-8 4.3.3-10 4.3.3-11 4.3.3-12
#[test]
fn a_message_of_qos_2_that_comes_again_is_passed_on_once() {
    for level in [Level::V4, Level::V5] {
        let mut house = House::new();
        let line = house.enter(Connect { level, ..client("p") });
        let watcher = house.enter(client("w"));
        house.subscribe(watcher, "t", Qos::ExactlyOnce);
        house.publish(line, Qos::ExactlyOnce, 5, "t", "x");
        let again = Publish { dup: true, qos: Qos::ExactlyOnce, id: 5, ..message("t", "x") };
        house.say(line, &Packet::Publish(again));
        house.expect(line, &["PUBREC #5 00", "PUBREC #5 00"]);
        house.ack(line, Packet::PubRel, 5);
        house.expect(line, &["PUBCOMP #5 00"]);
        house.expect(watcher, &["#1 q2 t x"]);
        // The identifier is free again.
        house.publish(line, Qos::ExactlyOnce, 5, "t", "y");
        house.expect(line, &["PUBREC #5 00"]);
        house.expect(watcher, &["#2 q2 t y"]);
    }
}

// MQTT 3.1.1: 4.3.3-2
// MQTT 5.0: 3.4.2-1 3.5.2-1 3.6.2-1 3.7.2-1 3.7.2-2 3.7.2-3 4.3.3-11
#[test]
fn an_unknown_release_is_answered() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    house.ack(line, Packet::PubRel, 5);
    house.expect(line, &["PUBCOMP #5 92"]);
    let line = house.enter(Connect { level: Level::V4, ..client("q") });
    house.ack(line, Packet::PubRel, 5);
    house.expect(line, &["PUBCOMP #5 00"]);
}

// MQTT 5.0: 3.3.4-7 3.14.2-1 3.14.4-1 3.14.4-2 4.9.0-1 4.9.0-2
#[test]
fn more_messages_than_were_allowed_end_the_connection() {
    let mut house = House::with("receive_max = 2");
    let line = house.enter(client("p"));
    for id in 1..=3 {
        house.publish(line, Qos::ExactlyOnce, id, "t", "x");
    }
    house.expect(line, &["PUBREC #1 10", "PUBREC #2 10", "DISCONNECT 93"]);
    assert!(!house.is_open(line));
}

// MQTT 3.1.1: 3.3.1-10 3.3.1-11
// MQTT 5.0: 3.3.1-6 3.3.1-7 3.3.1-13
#[test]
fn a_kept_message_waits_for_later_subscribers() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    house.retain(line, "a/b", "one");
    house.retain(line, "a/b", "two");
    let watcher = house.enter(client("w"));
    house.subscribe_with(watcher, "a/#", Options { qos: Qos::AtLeastOnce, ..Options::default() }, Some(7));
    house.publish(line, Qos::AtMostOnce, 0, "a/b", "three");
    let options = Options { handling: crate::mqtt::message::RetainHandling::SendIfNew, ..Options::default() };
    house.subscribe_with(watcher, "a/#", options, Some(7));
    let second = house.enter(client("v"));
    house.subscribe_with(second, "a/#", Options { as_published: true, ..Options::default() }, None);
    house.retain(line, "a/b", "");
    house.expect(second, &["kept q0 a/b "]);
    house.subscribe(second, "a/+", Qos::AtMostOnce);
    house.expect(second, &[]);
}

// MQTT 3.1.1: 3.3.1-8
// MQTT 5.0: 3.3.1-9 3.3.1-10 3.3.1-11 3.8.4-4
#[test]
fn retain_handling_says_which_kept_messages_come() {
    use crate::mqtt::message::RetainHandling::{Keep, Send, SendIfNew};
    let mut house = House::new();
    let line = house.enter(client("p"));
    house.retain(line, "a", "x");
    for (handling, first, second) in [(Send, 1, 1), (SendIfNew, 1, 0), (Keep, 0, 0)] {
        let watcher = house.enter(client("w"));
        for expected in [first, second] {
            let options = Options { handling, ..Options::default() };
            let filters = vec![("a", options)];
            let properties = crate::mqtt::properties::Properties::NONE;
            house.say(watcher, &Packet::Subscribe(crate::mqtt::message::Subscribe { id: 1, properties, filters }));
            let heard = house.hear(watcher);
            assert_eq!(heard.iter().filter(|packet| *packet == "kept q0 a x").count(), expected, "{handling:?}");
        }
        house.goodbye(watcher);
    }
}

// MQTT 5.0: 3.1.2-27 3.1.3-10 3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20
#[test]
fn properties_go_on_to_subscribers_in_their_order() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(client("w"));
    let old = house.enter(Connect { level: Level::V4, ..client("o") });
    house.subscribe(watcher, "t", Qos::AtMostOnce);
    house.subscribe(old, "t", Qos::AtMostOnce);
    let mut list = Writer::default();
    list.user("b", "1").text(Id::ContentType, "text").user("a", "2").user("b", "3");
    list.flag(Id::PayloadFormat, true)
        .text(Id::ResponseTopic, "r")
        .binary(Id::CorrelationData, b"c")
        .two(Id::TopicAlias, 3);
    house.say(line, &Packet::Publish(Publish { properties: list.list(), ..message("t", "x") }));
    let text = "q0 t x User=b:1 ContentType=text User=a:2 User=b:3 PayloadFormat=1 ResponseTopic=r CorrelationData=c";
    house.expect(watcher, &[text]);
    house.expect(old, &["q0 t x"]);
}

// MQTT 5.0: 3.1.2-26 3.3.2-11
#[test]
fn an_alias_stands_for_its_topic() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let mut list = Writer::default();
    list.two(Id::TopicAliasMaximum, 1);
    let watcher = house.enter(Connect { properties: list.list(), ..client("w") });
    house.subscribe(watcher, "#", Qos::AtMostOnce);
    let mut alias = Writer::default();
    alias.two(Id::TopicAlias, 2);
    for topic in ["a", "", "b", ""] {
        house.say(line, &Packet::Publish(Publish { properties: alias.list(), ..message(topic, "x") }));
    }
    house.expect(watcher, &["q0 a x TopicAlias=1", "q0  x TopicAlias=1", "q0 b x", "q0 b x"]);
    let mut unknown = Writer::default();
    unknown.two(Id::TopicAlias, 3);
    house.say(line, &Packet::Publish(Publish { properties: unknown.list(), ..message("", "x") }));
    house.expect(line, &["DISCONNECT 94"]);
}

#[test]
fn readings_are_stored_before_they_are_acknowledged() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    house.pair.fate = Fate::Hold;
    house.publish(line, Qos::AtLeastOnce, 1, "readings/meter/energy", "675.170000");
    house.expect(line, &[]);
    house.pair.release(Fate::Commit);
    let stored =
        |house: &House| house.pair.kept.iter().filter_map(|records| records.report.clone()).collect::<Vec<_>>();
    let reports = stored(&house);
    let readings: Vec<_> = reports.iter().flat_map(loggerhead_model::Report::readings).collect();
    assert_eq!(readings.len(), 1);
    assert_eq!((readings[0].meter, readings[0].function), ("meter", "energy"));
    assert_eq!(readings[0].value.to_string(), "675.170000");
    house.settle();
    house.expect(line, &["PUBACK #1 10"]);
    house.pair.fate = Fate::Commit;
    house.publish(line, Qos::AtLeastOnce, 2, "readings", "nonsense");
    house.expect(line, &["PUBACK #2 99"]);
    assert!(house.pair.happenings().any(|what| matches!(what, Happening::Fault(_))));
}

#[test]
fn readings_of_all_devices_are_passed_on_and_the_latest_is_kept() {
    use loggerhead_model::{DeviceId, Quality, Reading, Timestamp, Value};
    let mut house = House::with("readings = true");
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "loggerhead/+/readings/#", Qos::AtLeastOnce);
    let device = DeviceId::new("tower").expect("short enough");
    let reading = |at, value| Reading {
        meter: "a/b",
        function: "f",
        coding: "01A10",
        code: "192",
        quality: Quality::Good,
        measured_at: Timestamp::from_unix_ms(at),
        value: Value::parse(value),
        attributes: "",
    };
    for (at, value) in [(2000, "2.50"), (1000, "1.50")] {
        house.stored(&device, &[reading(at, value)]);
    }
    let heard = house.hear(watcher);
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].starts_with("q0 loggerhead/tower/readings/a_b/f {"), "{heard:?}");
    let late = house.enter(client("l"));
    let filters = vec![("loggerhead/tower/#", Options::default())];
    let properties = crate::mqtt::properties::Properties::NONE;
    house.say(late, &Packet::Subscribe(crate::mqtt::message::Subscribe { id: 1, properties, filters }));
    let heard = house.hear(late);
    let is_latest =
        |packet: &String| packet.starts_with("kept q0 loggerhead/tower/readings/a_b/f") && packet.contains("2.50");
    assert!(heard.len() == 2 && heard.iter().any(is_latest), "{heard:?}");
    let line = house.enter(client("p"));
    house.publish(line, Qos::AtLeastOnce, 1, "loggerhead/tower/x", "x");
    house.expect(line, &["PUBACK #1 87"]);
}

const HELD: &str =
    "[[topic]]\nfilter = 'fast/disk'\ndurability = 'disk'\n[[topic]]\nfilter = 'fast/#'\ndurability = 'memory'";

#[test]
fn what_may_be_held_in_memory_is_acknowledged_at_once_and_in_its_turn() {
    let mut house = House::with(HELD);
    let (line, watcher) = (house.enter(client("p")), house.enter(client("w")));
    house.subscribe(watcher, "#", Qos::ExactlyOnce);
    house.pair.fate = Fate::Hold;
    house.publish(line, Qos::AtLeastOnce, 1, "fast/a", "x");
    house.publish(line, Qos::ExactlyOnce, 2, "fast/a", "y");
    house.publish(line, Qos::ExactlyOnce, 2, "fast/a", "y");
    house.expect(watcher, &["#1 q1 fast/a x", "#2 q2 fast/a y"]);
    // The second time is acknowledged by the store, whose turn comes later.
    house.expect(line, &["PUBACK #1 00", "PUBREC #2 00"]);
    house.publish(line, Qos::AtLeastOnce, 3, "fast/b", "x");
    house.publish(line, Qos::AtLeastOnce, 4, "fast/disk", "x");
    house.publish(line, Qos::AtLeastOnce, 5, "slow", "x");
    house.expect(watcher, &["#3 q1 fast/b x"]);
    house.expect(line, &[]);
    house.pair.release(Fate::Commit);
    house.settle();
    house.expect(line, &["PUBREC #2 00", "PUBACK #3 00", "PUBACK #4 00", "PUBACK #5 00"]);
}

#[test]
fn what_is_held_in_memory_waits_for_sessions_until_the_process_ends() {
    let mut house = House::with(HELD);
    let line = house.enter(lasting("s"));
    house.subscribe(line, "fast/#", Qos::ExactlyOnce);
    house.cut(line);
    let publisher = house.enter(client("p"));
    house.publish(publisher, Qos::ExactlyOnce, 1, "fast/a", "two");
    house.publish(publisher, Qos::AtLeastOnce, 2, "fast/a", "one");
    let (line, heard) = house.try_enter(lasting("s"));
    assert_eq!(heard, ["CONNACK 00 present", "#1 q2 fast/a two", "#2 q1 fast/a one"]);
    house.ack(line, Packet::PubRec, 1);
    house.expect(line, &["PUBREL #1 00"]);
    house.kill();
    // Only that the receiver may forget the identifier was noted.
    let (_, heard) = house.try_enter(lasting("s"));
    assert_eq!(heard, ["CONNACK 00 present", "PUBREL #1 00"]);
}

#[test]
fn readings_are_stored_whatever_is_held_in_memory() {
    let mut house = House::with("[[topic]]\nfilter = '#'\ndurability = 'memory'");
    let line = house.enter(client("p"));
    house.pair.fate = Fate::Hold;
    house.publish(line, Qos::AtLeastOnce, 1, "readings/1/f", "21.5");
    house.expect(line, &[]);
    house.pair.release(Fate::Commit);
    house.settle();
    house.expect(line, &["PUBACK #1 10"]);
}

// MQTT 3.1.1: 3.1.2-7 3.3.1-5 3.3.1-6 3.3.1-7 3.3.1-8 3.3.1-9 3.3.1-10 3.3.1-11 3.3.1-12
// MQTT 5.0: 3.3.1-5 3.3.1-6 3.3.1-7 3.3.1-8 3.3.1-9 3.3.1-12 3.3.1-13
#[test]
fn the_last_message_that_was_to_be_kept_comes_for_a_new_subscription_as_it_was_published() {
    for level in [Level::V4, Level::V5] {
        let mut house = House::new();
        let line = house.enter(Connect { level, ..client("p") });
        let subscribed = |house: &mut House, name: &str| {
            let watcher = house.enter(Connect { level, ..client(name) });
            let filters = vec![("t", Options { qos: Qos::ExactlyOnce, ..Options::default() })];
            let properties = crate::mqtt::properties::Properties::NONE;
            house.say(watcher, &Packet::Subscribe(crate::mqtt::message::Subscribe { id: 1, properties, filters }));
            let heard: Vec<_> = house.hear(watcher).into_iter().filter(|one| !one.starts_with("SUBACK")).collect();
            (watcher, heard)
        };
        house.retain(line, "t", "one");
        let (watcher, heard) = subscribed(&mut house, "w");
        assert_eq!(heard, ["kept #1 q1 t one"], "with the QoS that it was published with");
        // One of QoS 0 takes its place; who is subscribed gets it without the flag.
        house.say(line, &Packet::Publish(Publish { retain: true, ..message("t", "two") }));
        house.expect(watcher, &["q0 t two"]);
        assert_eq!(subscribed(&mut house, "x").1, ["kept q0 t two"]);
        // What is not to be kept changes nothing.
        house.publish(line, Qos::AtMostOnce, 0, "t", "three");
        house.expect(watcher, &["q0 t three"]);
        // It is not part of its publisher's session.
        house.goodbye(line);
        assert_eq!(subscribed(&mut house, "y").1, ["kept q0 t two"]);
        let line = house.enter(Connect { level, ..client("p") });
        if level == Level::V5 {
            let other = house.enter(client("z"));
            house.subscribe_with(other, "t", Options { as_published: true, ..Options::default() }, None);
            house.hear(other);
            house.say(line, &Packet::Publish(Publish { retain: true, ..message("t", "four") }));
            house.publish(line, Qos::AtMostOnce, 0, "t", "five");
            house.expect(other, &["kept q0 t four", "q0 t five"]);
            house.expect(watcher, &["q0 t four", "q0 t five"]);
        }
        // An empty one is passed on, takes it away and is not kept itself.
        house.say(line, &Packet::Publish(Publish { retain: true, ..message("t", "") }));
        house.expect(watcher, &["q0 t "]);
        assert_eq!(subscribed(&mut house, "v").1, Vec::<String>::new());
    }
}

// MQTT 5.0: 3.2.2-17 3.2.2-18 3.3.2-9 3.3.2-12
#[test]
fn every_alias_up_to_the_maximum_is_taken_and_no_other() {
    let mut house = House::with("topic_aliases_max = 3");
    let line = house.enter(client("p"));
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "#", Qos::AtMostOnce);
    let say = |house: &mut House, topic: &str, number| {
        let mut alias = Writer::default();
        alias.two(Id::TopicAlias, number);
        house.say(line, &Packet::Publish(Publish { properties: alias.list(), ..message(topic, "x") }));
    };
    for number in 1..=3 {
        say(&mut house, &format!("t{number}"), number);
    }
    for number in 1..=3 {
        say(&mut house, "", number);
    }
    house.expect(watcher, &["q0 t1 x", "q0 t2 x", "q0 t3 x", "q0 t1 x", "q0 t2 x", "q0 t3 x"]);
    say(&mut house, "t", 4);
    house.expect(line, &["DISCONNECT 94"]);
    // Where none are allowed, none are taken.
    let mut house = House::with("topic_aliases_max = 0");
    let line = house.enter(client("p"));
    let mut alias = Writer::default();
    alias.two(Id::TopicAlias, 1);
    house.say(line, &Packet::Publish(Publish { properties: alias.list(), ..message("t", "x") }));
    house.expect(line, &["DISCONNECT 94"]);
}
