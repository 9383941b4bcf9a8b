//! Publishers of QoS 0 and those who are behind.

use std::time::Duration;

use super::{House, Line, bytes, client, message};
use crate::mqtt::broker::fleeting::REST;
use crate::mqtt::message::{Level, Packet, Qos};

/// More messages than a queue takes.
const FLOOD: usize = 30_000;

/// A broker with a publisher and one who is subscribed.
fn published_to() -> (House, Line, Line) {
    let mut house = House::new();
    let (line, watcher) = (house.enter(client("p")), house.enter(client("w")));
    house.subscribe(watcher, "t", Qos::AtMostOnce);
    (house, line, watcher)
}

/// Publishes them all at once, and asks for a sign of life behind them.
fn flood(house: &mut House, line: Line) {
    let mut all = Vec::new();
    for number in 0..FLOOD {
        all.extend(bytes(&Packet::Publish(message("t", &number.to_string())), Level::V5));
    }
    all.extend(bytes(&Packet::PingReq, Level::V5));
    house.send(line, &all);
}

fn is_whole(heard: &[String]) -> bool {
    heard.len() == FLOOD && heard.iter().enumerate().all(|(number, one)| *one == format!("q0 t {number}"))
}

#[test]
fn a_flood_comes_whole_to_who_keeps_up() {
    let (mut house, line, watcher) = published_to();
    flood(&mut house, line);
    house.expect(line, &["PINGRESP"]);
    assert!(is_whole(&house.hear(watcher)));
}

#[test]
fn a_publisher_rests_until_others_have_caught_up() {
    let (mut house, line, watcher) = published_to();
    house.stall(watcher, true);
    flood(&mut house, line);
    house.expect(line, &[]);
    house.stall(watcher, false);
    house.expect(line, &["PINGRESP"]);
    assert!(is_whole(&house.hear(watcher)));
}

#[test]
fn nobody_rests_for_long_for_who_is_slow() {
    let mut house = House::new();
    let (line, slow) = (house.enter(client("p")), house.enter(client("slow")));
    let watcher = house.enter(client("w"));
    for subscriber in [slow, watcher] {
        house.subscribe(subscriber, "t", Qos::AtMostOnce);
    }
    house.stall(slow, true);
    flood(&mut house, line);
    house.expect(line, &[]);
    house.wait(REST);
    house.expect(line, &["PINGRESP"]);
    assert!(is_whole(&house.hear(watcher)));
    house.wait(Duration::from_secs(11));
    assert_eq!(house.events, ["admin 10000", "10000 messages for client slow were dropped: too many wait for it"]);

    house.stall(slow, false);
    assert_eq!(house.hear(slow).len(), 20_000);
    // It has caught up, so it is waited for again.
    house.stall(slow, true);
    flood(&mut house, line);
    house.expect(line, &[]);
}

#[test]
fn one_rest_is_for_all_who_are_behind() {
    let mut house = House::new();
    let line = house.enter(client("p"));
    for name in ["one", "two"] {
        let slow = house.enter(client(name));
        house.subscribe(slow, "t", Qos::AtMostOnce);
        house.stall(slow, true);
    }
    flood(&mut house, line);
    house.wait(REST);
    house.expect(line, &["PINGRESP"]);
}

#[test]
fn a_publisher_goes_on_when_who_it_rests_for_is_gone() {
    let (mut house, line, watcher) = published_to();
    house.stall(watcher, true);
    flood(&mut house, line);
    house.expect(line, &[]);
    house.enter(client("w"));
    house.expect(line, &["PINGRESP"]);
}

#[test]
fn messages_of_qos_0_that_wait_take_no_more_bytes_than_a_session_may() {
    let mut house = House::with("queue_bytes_max = 100000");
    let (line, slow) = (house.enter(client("p")), house.enter(client("slow")));
    house.subscribe(slow, "t", Qos::AtMostOnce);
    house.stall(slow, true);
    let long = "x".repeat(30_000);
    for _ in 0..5 {
        house.publish(line, Qos::AtMostOnce, 0, "t", &long);
    }
    house.stall(slow, false);
    assert_eq!(house.hear(slow).len(), 3);
}
