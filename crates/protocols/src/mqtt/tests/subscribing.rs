use super::{House, client, lasting, message};
use crate::mqtt::message::{Connect, Level, Options, Packet, Publish, Qos};
use crate::mqtt::properties::{Id, Writer};

// MQTT 3.1.1: 3.3.5-1
// MQTT 5.0: 3.3.4-2 3.3.4-3 3.3.4-4 3.3.4-5
#[test]
fn one_copy_carries_every_subscription_identifier() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(client("w"));
    house.subscribe_with(watcher, "a/#", Options::default(), Some(1));
    house.subscribe_with(watcher, "a/+", Options { qos: Qos::AtLeastOnce, ..Options::default() }, Some(2));
    house.subscribe(watcher, "#", Qos::AtMostOnce);
    let old = house.enter(Connect { level: Level::V4, ..client("o") });
    house.subscribe(old, "a/#", Qos::AtMostOnce);
    house.subscribe(old, "a/+", Qos::AtLeastOnce);
    house.publish(line, Qos::AtLeastOnce, 1, "a/b", "x");
    house.expect(old, &["#1 q1 a/b x"]);
    let heard = house.hear(watcher);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("#1 q1 a/b x"), "{heard:?}");
    assert!(heard[0].contains("SubscriptionId=1") && heard[0].contains("SubscriptionId=2"), "{heard:?}");
}

// MQTT 5.0: 3.8.3-3
#[test]
fn a_client_that_wants_nothing_of_its_own_gets_nothing_of_its_own() {
    let mut house = House::new();
    let line = house.enter(client("a"));
    let other = house.enter(client("b"));
    house.subscribe_with(line, "t", Options { no_local: true, ..Options::default() }, None);
    house.publish(line, Qos::AtMostOnce, 0, "t", "mine");
    house.publish(other, Qos::AtMostOnce, 0, "t", "theirs");
    house.expect(line, &["q0 t theirs"]);
}

// MQTT 3.1.1: 3.10.4-1 3.10.4-2 3.10.4-4 3.10.4-5
// MQTT 5.0: 3.10.4-1 3.10.4-2 3.10.4-4 3.10.4-5
#[test]
fn who_unsubscribes_gets_nothing_more() {
    for (level, answers) in [
        (Level::V4, ["UNSUBACK #2 []", "UNSUBACK #2 []", "UNSUBACK #2 []"]),
        (Level::V5, ["UNSUBACK #2 [11]", "UNSUBACK #2 [0]", "UNSUBACK #2 [11]"]),
    ] {
        let mut house = House::new();
        let line = house.enter(Connect { level, ..client("a") });
        house.subscribe(line, "t/+", Qos::AtMostOnce);
        // Another filter that takes the same topics is not the same.
        house.unsubscribe(line, "t/#");
        house.publish(line, Qos::AtMostOnce, 0, "t/x", "x");
        house.expect(line, &[answers[0], "q0 t/x x"]);
        house.unsubscribe(line, "t/+");
        house.unsubscribe(line, "t/+");
        house.publish(line, Qos::AtMostOnce, 0, "t/x", "x");
        house.expect(line, &answers[1..]);
    }
}

// MQTT 3.1.1: 4.7.2-1
// MQTT 5.0: 4.7.2-1
#[test]
fn system_topics_are_not_found_by_leading_wildcards() {
    let mut house = House::new();
    let line = house.enter(client("a"));
    house.subscribe(line, "#", Qos::AtMostOnce);
    house.subscribe(line, "+/x", Qos::AtMostOnce);
    house.publish(line, Qos::AtMostOnce, 0, "$SYS/x", "x");
    house.expect(line, &[]);
}

#[test]
fn members_of_a_group_take_turns() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let (one, two) = (house.enter(client("a")), house.enter(client("b")));
    for member in [one, two] {
        house.subscribe(member, "$share/g/t/#", Qos::AtLeastOnce);
    }
    for number in 1..=6 {
        house.publish(line, Qos::AtLeastOnce, number, "t/x", "x");
    }
    assert_eq!((house.hear(one).len(), house.hear(two).len()), (3, 3));
    house.cut(two);
    assert_eq!(house.hear(one).len(), 3, "what the other has not acknowledged");
    for number in 1..=4 {
        house.publish(line, Qos::AtMostOnce, 0, "t/x", &number.to_string());
    }
    assert_eq!(house.hear(one).len(), 4);
}

#[test]
fn what_a_member_of_a_group_leaves_behind_is_another_members_turn() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let (one, two) = (house.enter(client("a")), house.enter(client("b")));
    for member in [one, two] {
        house.subscribe(member, "$share/g/t/#", Qos::AtLeastOnce);
        house.subscribe(member, "$share/other/u", Qos::AtLeastOnce);
    }
    for number in 1..=4 {
        house.publish(line, Qos::AtLeastOnce, number, "t/x", &number.to_string());
    }
    house.expect(one, &["#1 q1 t/x 1", "#2 q1 t/x 3"]);
    house.expect(two, &["#1 q1 t/x 2", "#2 q1 t/x 4"]);
    house.ack(one, Packet::PubAck, 1);
    house.cut(one);
    house.expect(two, &["#3 q1 t/x 3"]);
}

#[test]
fn what_waited_for_a_member_whose_session_ends_lasts_as_long_as_the_next_one() {
    let mut list = Writer::default();
    list.four(Id::SessionExpiry, 5);
    let mut house = House::new();
    let line = house.enter(client("p"));
    let away = house.enter(Connect { properties: list.list(), ..client("a") });
    house.subscribe(away, "$share/g/t", Qos::ExactlyOnce);
    house.cut(away);
    for (number, qos) in [(1, Qos::AtLeastOnce), (2, Qos::ExactlyOnce)] {
        house.publish(line, qos, number, "t", &number.to_string());
    }
    let next = house.enter(lasting("b"));
    house.subscribe(next, "$share/g/t", Qos::ExactlyOnce);
    house.cut(next);
    house.wait(std::time::Duration::from_secs(10));
    house.kill();
    let (_, heard) = house.try_enter(lasting("b"));
    assert_eq!(heard, ["CONNACK 00 present", "#1 q1 t 1", "#2 q2 t 2"]);
}

// MQTT 5.0: 3.3.2-5 3.3.2-6
#[test]
fn a_message_whose_time_is_over_is_not_sent_and_others_say_how_long_they_last() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(lasting("w"));
    house.subscribe(watcher, "t", Qos::AtLeastOnce);
    house.cut(watcher);
    for (id, seconds) in [(1, 5), (2, 3600)] {
        let mut list = Writer::default();
        list.four(Id::MessageExpiry, seconds);
        let publish = Publish { qos: Qos::AtLeastOnce, id, properties: list.list(), ..message("t", "x") };
        house.say(line, &Packet::Publish(publish));
    }
    house.wait(std::time::Duration::from_secs(10));
    let mut list = Writer::default();
    list.four(Id::SessionExpiry, 60);
    let connect = Connect { clean_start: false, properties: list.list(), ..client("w") };
    let (_, heard) = house.try_enter(connect);
    assert_eq!(heard, ["CONNACK 00 present", "#1 q1 t x MessageExpiry=3590"]);
}
