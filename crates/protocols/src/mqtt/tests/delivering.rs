use super::{House, client, lasting};
use crate::mqtt::message::{Ack, Connect, Level, Packet, Qos};
use crate::mqtt::properties::{Id, Properties, Writer};
use crate::mqtt::reason::Reason;

// MQTT 3.1.1: 3.3.5-1 3.8.4-6 4.3.1-1
// MQTT 5.0: 3.3.4-2 3.8.4-8 4.3.1-1
#[test]
fn the_lower_of_two_levels_is_delivered() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    for (subscribed, expected) in
        [(Qos::AtMostOnce, "q0 t x"), (Qos::AtLeastOnce, "#1 q1 t x"), (Qos::ExactlyOnce, "#1 q2 t x")]
    {
        let watcher = house.enter(client("w"));
        house.subscribe(watcher, "t", subscribed);
        house.publish(line, Qos::ExactlyOnce, subscribed as u16 + 1, "t", "x");
        house.expect(watcher, &[expected]);
        house.goodbye(watcher);
    }
}

// MQTT 3.1.1: 2.3.1-4 4.3.2-1 4.6.0-5 4.6.0-6
// MQTT 5.0: 2.2.1-4 3.3.4-9 4.3.2-1 4.3.2-2 4.6.0-5 4.6.0-6 4.9.0-1 4.9.0-2
#[test]
fn no_more_is_under_way_than_the_client_takes() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let mut list = Writer::default();
    list.two(Id::ReceiveMaximum, 2);
    let watcher = house.enter(Connect { properties: list.list(), ..client("w") });
    house.subscribe(watcher, "t", Qos::AtLeastOnce);
    for number in 1..=4 {
        house.publish(line, Qos::AtLeastOnce, number, "t", &number.to_string());
    }
    house.publish(line, Qos::AtMostOnce, 0, "t", "5");
    house.expect(watcher, &["#1 q1 t 1", "#2 q1 t 2", "q0 t 5"]);
    house.ack(watcher, Packet::PubAck, 1);
    house.expect(watcher, &["#3 q1 t 3"]);
    house.ack(watcher, Packet::PubAck, 77);
    house.expect(watcher, &[]);
    house.ack(watcher, Packet::PubAck, 3);
    house.ack(watcher, Packet::PubAck, 2);
    house.expect(watcher, &["#4 q1 t 4"]);
}

#[test]
fn no_more_is_under_way_than_the_listener_says() {
    let mut house = House::with("in_flight_max = 3");
    let line = house.enter(client("p"));
    // Before version 5 a client cannot say how much it takes; of version 5 the lower figure counts.
    for (level, receive_max, expected) in [(Level::V4, None, 3), (Level::V5, Some(2), 2), (Level::V5, Some(9), 3)] {
        let mut list = Writer::default();
        if let Some(receive_max) = receive_max {
            list.two(Id::ReceiveMaximum, receive_max);
        }
        let watcher = house.enter(Connect { level, properties: list.list(), ..client("w") });
        house.subscribe(watcher, "t", Qos::AtLeastOnce);
        for number in 1..=5 {
            house.publish(line, Qos::AtLeastOnce, number, "t", "x");
        }
        assert_eq!(house.hear(watcher).len(), expected, "{level:?} {receive_max:?}");
    }
}

// MQTT 5.0: 3.1.2-24 3.1.2-25
#[test]
fn a_packet_over_the_clients_limit_is_left_out() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let mut list = Writer::default();
    list.four(Id::MaximumPacketSize, 40);
    let watcher = house.enter(Connect { properties: list.list(), ..client("w") });
    house.subscribe(watcher, "t", Qos::ExactlyOnce);
    let long = "x".repeat(50);
    for (number, payload) in [(1, "a"), (2, long.as_str()), (3, "b")] {
        house.publish(line, Qos::AtLeastOnce, number, "t", payload);
    }
    assert_eq!(house.hear(watcher).len(), 2);
}

// MQTT 3.1.1: 2.3.1-6 4.3.3-1
// MQTT 5.0: 2.2.1-5 4.3.3-1 4.3.3-2 4.3.3-4
#[test]
fn a_message_of_qos_2_goes_through_its_four_steps() {
    for lasts in [false, true] {
        let mut house = House::new();
        let line = house.enter(client("p"));
        let connect = if lasts { lasting("w") } else { Connect { level: Level::V4, ..client("w") } };
        let watcher = house.enter(connect);
        house.subscribe(watcher, "t", Qos::ExactlyOnce);
        house.publish(line, Qos::ExactlyOnce, 1, "t", "x");
        house.expect(watcher, &["#1 q2 t x"]);
        house.ack(watcher, Packet::PubRec, 1);
        house.ack(watcher, Packet::PubRec, 1);
        house.expect(watcher, &["PUBREL #1 00", "PUBREL #1 00"]);
        house.ack(watcher, Packet::PubComp, 1);
        house.expect(watcher, &[]);
        assert_eq!(house.noted(b'o'), 0);
    }
}

// MQTT 5.0: 3.6.2-1 3.6.2-2 3.6.2-3
#[test]
fn a_receiver_may_refuse_a_message_of_qos_2() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "t", Qos::ExactlyOnce);
    house.publish(line, Qos::ExactlyOnce, 1, "t", "x");
    house.expect(watcher, &["#1 q2 t x"]);
    let no = Ack { id: 1, reason: Reason::QUOTA_EXCEEDED, properties: Properties::NONE };
    house.say(watcher, &Packet::PubRec(no));
    house.ack(watcher, Packet::PubRec, 1);
    house.expect(watcher, &["PUBREL #1 92"]);
}

// MQTT 3.1.1: 2.3.1-3 3.3.1-1 4.3.2-1 4.3.3-1 4.4.0-1 4.6.0-1 4.6.0-5 4.6.0-6
// MQTT 5.0: 3.3.1-1 4.3.2-3 4.3.3-3 4.3.3-5 4.3.3-6 4.4.0-1 4.6.0-5 4.6.0-6
#[test]
fn what_was_under_way_is_sent_again_first_and_in_its_order() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(lasting("w"));
    house.subscribe(watcher, "t", Qos::ExactlyOnce);
    house.publish(line, Qos::AtLeastOnce, 1, "t", "1");
    house.publish(line, Qos::ExactlyOnce, 2, "t", "2");
    house.publish(line, Qos::ExactlyOnce, 3, "t", "3");
    house.expect(watcher, &["#1 q1 t 1", "#2 q2 t 2", "#3 q2 t 3"]);
    house.ack(watcher, Packet::PubRec, 3);
    house.expect(watcher, &["PUBREL #3 00"]);
    house.cut(watcher);
    house.publish(line, Qos::AtLeastOnce, 4, "t", "4");
    house.publish(line, Qos::AtMostOnce, 0, "t", "lost");
    let (watcher, heard) = house.try_enter(lasting("w"));
    let expected = ["CONNACK 00 present", "again #1 q1 t 1", "again #2 q2 t 2", "PUBREL #3 00", "#4 q1 t 4"];
    assert_eq!(heard, expected);
    house.ack(watcher, Packet::PubComp, 3);
    house.ack(watcher, Packet::PubAck, 1);
    house.expect(watcher, &[]);
}

#[test]
fn what_waits_for_one_session_has_a_limit() {
    let mut house = House::with("queue_messages_max = 3");
    let line = house.enter(client("p"));
    let watcher = house.enter(lasting("w"));
    house.subscribe(watcher, "t", Qos::AtLeastOnce);
    house.cut(watcher);
    for number in 1..=5 {
        house.publish(line, Qos::AtLeastOnce, number, "t", &number.to_string());
    }
    let (_, heard) = house.try_enter(lasting("w"));
    assert_eq!(heard, ["CONNACK 00 present", "#1 q1 t 1", "#2 q1 t 2", "#3 q1 t 3"]);
}

// MQTT 3.1.1: 3.1.2-5 4.1.0-1 4.5.0-1
// MQTT 5.0: 4.5.0-1
#[test]
fn messages_of_qos_1_and_2_wait_for_who_is_away() {
    let mut list = Writer::default();
    list.four(Id::SessionExpiry, 60);
    for connect in [lasting("w"), Connect { clean_start: false, properties: list.list(), ..client("w") }] {
        let mut house = House::new();
        let line = house.enter(client("p"));
        let watcher = house.enter(connect.clone());
        house.subscribe(watcher, "t", Qos::ExactlyOnce);
        house.cut(watcher);
        for (number, qos) in [(0, Qos::AtMostOnce), (1, Qos::AtLeastOnce), (2, Qos::ExactlyOnce)] {
            house.publish(line, qos, number, "t", &number.to_string());
        }
        let (_, mut heard) = house.try_enter(connect);
        heard.sort();
        assert_eq!(heard, ["#1 q1 t 1", "#2 q2 t 2", "CONNACK 00 present"]);
    }
}

// MQTT 5.0: 4.4.0-2 4.8.2-6
#[test]
fn what_was_refused_is_not_sent_again() {
    let mut list = Writer::default();
    list.four(Id::SessionExpiry, 60);
    let connect = || Connect { clean_start: false, properties: list.list(), ..client("w") };
    let mut house = House::new();
    let line = house.enter(client("p"));
    let watcher = house.enter(connect());
    house.subscribe(watcher, "t", Qos::ExactlyOnce);
    house.publish(line, Qos::AtLeastOnce, 1, "t", "x");
    house.publish(line, Qos::ExactlyOnce, 2, "t", "y");
    house.expect(watcher, &["#1 q1 t x", "#2 q2 t y"]);
    let refusal = |id| Ack { id, reason: Reason::QUOTA_EXCEEDED, properties: Properties::NONE };
    house.say(watcher, &Packet::PubAck(refusal(1)));
    house.say(watcher, &Packet::PubRec(refusal(2)));
    house.cut(watcher);
    let (_, heard) = house.try_enter(connect());
    assert_eq!(heard, ["CONNACK 00 present"]);
}

// MQTT 5.0: 4.8.2-3 4.8.2-4 4.8.2-5
#[test]
fn a_member_of_a_group_gets_what_its_subscription_allows_and_nobody_else_what_it_was_sent() {
    let mut list = Writer::default();
    list.four(Id::SessionExpiry, 5);
    let connect = || Connect { clean_start: false, properties: list.list(), ..client("a") };
    let mut house = House::new();
    let line = house.enter(client("p"));
    let member = house.enter(connect());
    house.subscribe(member, "$share/low/t", Qos::AtMostOnce);
    house.subscribe(member, "$share/high/t", Qos::ExactlyOnce);
    house.publish(line, Qos::ExactlyOnce, 1, "t", "x");
    let mut heard = house.hear(member);
    heard.sort();
    assert_eq!(heard, ["#1 q2 t x", "q0 t x"]);
    let other = house.enter(client("b"));
    house.subscribe(other, "$share/high/t", Qos::ExactlyOnce);
    // Whoever comes back in time gets it again.
    house.cut(member);
    let (member, heard) = house.try_enter(connect());
    assert_eq!(heard, ["CONNACK 00 present", "again #1 q2 t x"]);
    house.cut(member);
    house.wait(std::time::Duration::from_secs(10));
    assert_eq!(house.try_enter(connect()).1, ["CONNACK 00"], "its session has ended");
    house.expect(other, &[]);
}
