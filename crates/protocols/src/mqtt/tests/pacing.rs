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
    assert_eq!(
        house.events,
        ["admin 10000 queue-full", "10000 messages for client slow were dropped: too many wait for it"]
    );

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

/// A broker that takes little, a publisher, and one who is subscribed and reads nothing.
fn overloaded() -> (House, Line, Line) {
    let mut house = House::with("overload_bytes = 200000");
    let (line, slow) = (house.enter(client("p")), house.enter(client("slow")));
    house.subscribe(slow, "t/#", Qos::AtLeastOnce);
    house.stall(slow, true);
    (house, line, slow)
}

#[test]
fn what_waits_for_all_sheds_qos_0_first_and_acknowledges_only_what_arrives() {
    let (mut house, line, slow) = overloaded();
    let other = house.enter(client("other"));
    house.subscribe(other, "t/#", Qos::AtMostOnce);
    let long = "x".repeat(30_000);
    let mut answers = Vec::new();
    for number in 1..=20 {
        house.publish(line, Qos::AtLeastOnce, number, "t/safe", &long);
        house.publish(line, Qos::AtMostOnce, 0, "t/fleeting", &long);
        answers.extend(house.hear(line));
    }
    let expected: Vec<_> = (1..=20).map(|number| format!("PUBACK #{number} 00")).collect();
    assert_eq!(answers, expected, "each is stored and acknowledged");
    assert_eq!(house.hear(other).len(), 40, "who keeps up misses nothing");

    house.stall(slow, false);
    let heard = house.hear(slow);
    let of = |topic: &str| heard.iter().filter(|packet| packet.contains(topic)).count();
    assert_eq!(of("t/safe"), 20, "what was acknowledged arrives");
    let shed = 20 - of("t/fleeting");
    assert!((10..20).contains(&shed), "{shed}");
    house.wait(Duration::from_secs(11));
    let told = format!("{shed} messages for client slow were dropped: too much waits for all clients");
    assert_eq!(house.events, [format!("admin {shed} overload"), told]);
    let sessions = house.sessions(&crate::standing::SessionQuery { limit: 10, ..Default::default() });
    let lost = sessions.iter().find(|session| &*session.client == "slow").expect("it is there").lost;
    assert_eq!((lost.overload, lost.slow, lost.full), (shed as u64, 0, 0));
    let watcher = house.enter(client("w"));
    house.say(watcher, &super::subscription("$SYS/broker/#"));
    let heard = house.hear(watcher);
    for expected in [&format!("publish/messages/shed {shed}"), "publish/messages/dropped 0", "messages/waiting/bytes 0"]
    {
        assert!(heard.contains(&format!("kept q0 $SYS/broker/{expected}")), "{expected}: {heard:?}");
    }
}

#[test]
fn a_message_counts_once_for_however_many_it_waits() {
    let mut house = House::with("overload_bytes = 200000");
    let line = house.enter(client("p"));
    let many: Vec<_> = (0..20).map(|number| house.enter(client(&format!("slow-{number}")))).collect();
    for slow in &many {
        house.subscribe(*slow, "t", Qos::AtMostOnce);
        house.stall(*slow, true);
    }
    let long = "x".repeat(30_000);
    for _ in 0..4 {
        house.publish(line, Qos::AtMostOnce, 0, "t", &long);
    }
    for slow in many {
        house.stall(slow, false);
        assert_eq!(house.hear(slow).len(), 4);
    }
}

#[test]
fn nothing_waits_for_who_is_gone() {
    let (mut house, line, _) = overloaded();
    let long = "x".repeat(30_000);
    for number in 1..=20 {
        house.publish(line, Qos::AtLeastOnce, number, "t", &long);
        house.publish(line, Qos::AtMostOnce, 0, "t", &long);
    }
    // A clean start ends the session before, so that there is room for everybody again.
    house.enter(client("slow"));
    let (one, two) = (house.enter(client("one")), house.enter(client("two")));
    for subscriber in [one, two] {
        house.subscribe(subscriber, "t", Qos::AtMostOnce);
        house.stall(subscriber, true);
    }
    for _ in 0..4 {
        house.publish(line, Qos::AtMostOnce, 0, "t", &long);
    }
    house.stall(one, false);
    assert_eq!(house.hear(one).len(), 4);
}
