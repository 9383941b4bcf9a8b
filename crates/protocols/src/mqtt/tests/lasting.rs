use std::time::Duration;

use super::{House, client, lasting};
use crate::mqtt::message::{Packet, Qos};

// MQTT 3.1.1: 3.1.2-4 3.1.2-5 3.1.2-7 3.3.1-5 4.5.0-1
// MQTT 5.0: 3.1.2-5 3.1.2-23 4.5.0-1
#[test]
fn sessions_subscriptions_and_kept_messages_survive_a_kill() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(lasting("w"));
    house.subscribe(watcher, "t/+", Qos::AtLeastOnce);
    house.retain(line, "kept", "x");
    house.publish(line, Qos::AtLeastOnce, 1, "t/1", "before");
    house.expect(watcher, &["#1 q1 t/1 before"]);
    house.ack(watcher, Packet::PubAck, 1);
    house.cut(watcher);
    house.publish(line, Qos::AtLeastOnce, 2, "t/2", "while away");
    house.expect(line, &["PUBACK #1 00", "PUBACK #2 00"]);
    house.kill();
    let (watcher, heard) = house.try_enter(lasting("w"));
    assert_eq!(heard, ["CONNACK 00 present", "#1 q1 t/2 while away"]);
    house.say(watcher, &super::subscription("kept"));
    let mut heard = house.hear(watcher);
    heard.sort();
    assert_eq!(heard, ["SUBACK #1 [0]", "kept q0 kept x"]);
    let line = house.enter(client("p"));
    house.publish(line, Qos::AtLeastOnce, 1, "t/3", "after");
    house.expect(watcher, &["#2 q1 t/3 after"]);
}

// MQTT 3.1.1: 4.3.3-1 4.3.3-2
// MQTT 5.0: 4.3.3-3 4.3.3-5 4.3.3-6 4.3.3-10
#[test]
fn nothing_acknowledged_is_lost_and_nothing_of_qos_2_is_doubled_by_a_kill_at_any_step() {
    for steps in 0..=4 {
        let mut house = House::new();
        let line = house.enter(lasting("p"));
        let watcher = house.enter(lasting("w"));
        house.subscribe(watcher, "t", Qos::ExactlyOnce);
        let mut received = Vec::new();
        let mut take = |heard: Vec<String>| {
            received.extend(heard.into_iter().filter(|packet| packet.contains(" t x") && !packet.starts_with("again")));
        };
        if steps >= 1 {
            house.publish(line, Qos::ExactlyOnce, 7, "t", "x");
            house.expect(line, &["PUBREC #7 00"]);
        }
        if steps >= 2 {
            take(house.hear(watcher));
        }
        if steps >= 3 {
            house.ack(watcher, Packet::PubRec, 1);
            house.expect(watcher, &["PUBREL #1 00"]);
        }
        if steps >= 4 {
            house.ack(watcher, Packet::PubComp, 1);
        }
        house.kill();
        let (line, heard) = house.try_enter(lasting("p"));
        assert_eq!(heard, ["CONNACK 00 present"]);
        let (watcher, heard) = house.try_enter(lasting("w"));
        assert_eq!(heard[0], "CONNACK 00 present");
        match steps {
            // It was given its identifier and noted, so it may have been sent.
            1 | 2 => assert_eq!(heard[1..], ["again #1 q2 t x"]),
            3 => assert_eq!(heard[1..], ["PUBREL #1 00"]),
            // Nothing was sent yet, or all of it is done.
            _ => assert_eq!(heard.len(), 1),
        }
        // The publisher sends again what it does not know to be released; the broker knows it.
        if steps >= 1 {
            house.publish(line, Qos::ExactlyOnce, 7, "t", "x");
            house.expect(line, &["PUBREC #7 00"]);
            house.ack(line, Packet::PubRel, 7);
            house.expect(line, &["PUBCOMP #7 00"]);
            house.expect(watcher, &[]);
        }
    }
}

// MQTT 5.0: 4.3.2-3
#[test]
fn a_session_is_through_the_log_as_far_as_it_acknowledged() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(lasting("w"));
    house.subscribe(watcher, "t", Qos::AtLeastOnce);
    for number in 1..=200_u16 {
        house.publish(line, Qos::AtLeastOnce, number, "t", &number.to_string());
        house.ack(watcher, Packet::PubAck, number);
    }
    house.wait(Duration::from_secs(11));
    assert_eq!(house.noted(b'm'), 0, "what everybody has is forgotten");
    house.kill();
    let (_, heard) = house.try_enter(lasting("w"));
    assert_eq!(heard, ["CONNACK 00 present"]);
    let line = house.enter(client("p"));
    house.publish(line, Qos::AtLeastOnce, 1, "t", "new");
    house.kill();
    let (_, heard) = house.try_enter(lasting("w"));
    assert_eq!(heard, ["CONNACK 00 present", "#1 q1 t new"], "numbers go on after a restart");
}

// MQTT 5.0: 4.8.2-4
#[test]
fn a_member_of_a_group_finds_its_messages_after_a_kill_and_no_other_does() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    for name in ["a", "b"] {
        let member = house.enter(lasting(name));
        house.subscribe(member, "$share/g/t", Qos::AtLeastOnce);
        house.cut(member);
    }
    for number in 1..=4 {
        house.publish(line, Qos::AtLeastOnce, number, "t", &number.to_string());
    }
    house.kill();
    let (_, mut all) = house.try_enter(lasting("a"));
    all.extend(house.try_enter(lasting("b")).1);
    let mut payloads: Vec<_> = all.iter().filter_map(|packet| packet.split_once(" t ")).map(|(_, text)| text).collect();
    payloads.sort_unstable();
    assert_eq!(payloads, ["1", "2", "3", "4"]);
}

// MQTT 3.1.1: 3.1.2-8
// MQTT 5.0: 3.1.2-7
#[test]
fn a_will_is_published_after_a_kill() {
    use crate::mqtt::message::{Connect, Will};
    let mut house = House::new();
    let properties = crate::mqtt::properties::Properties::NONE;
    let will = Will { qos: Qos::AtLeastOnce, retain: true, properties, topic: "gone", payload: b"a" };
    house.enter(Connect { will: Some(will), ..lasting("a") });
    house.kill();
    house.wait(Duration::from_secs(1));
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "gone", Qos::AtMostOnce);
    assert_eq!(house.noted(b'r'), 1);
}
