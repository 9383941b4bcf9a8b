//! Publishers of QoS 0 and those who are behind.

use std::time::Duration;

use super::{House, Line, bytes, client, lasting, message};
use crate::mqtt::broker::fleeting::REST;
use crate::mqtt::message::{Level, Packet, Publish, Qos};

/// More messages than a queue takes.
const FLOOD: usize = 30_000;
/// As many of QoS 1.
const SAFE_FLOOD: u16 = 30_000;

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

/// A broker that stores nothing under `fast`, with a publisher and one who is subscribed to this topic.
fn safely_published_to(topic: &str) -> (House, Line, Line) {
    let mut house = House::with("[[topic]]\nfilter = 'fast'\ndurability = 'memory'");
    let (line, watcher) = (house.enter(client("p")), house.enter(client("w")));
    house.subscribe(watcher, topic, Qos::AtLeastOnce);
    (house, line, watcher)
}

/// Publishes the messages of a flood behind those that are acknowledged, so many at once as may wait, until they are not
/// acknowledged any more.
fn flood_safely(house: &mut House, line: Line, topic: &str, acknowledged: &mut u16) {
    while *acknowledged < SAFE_FLOOD {
        let end = *acknowledged + 1_000;
        let mut all = Vec::new();
        for number in *acknowledged + 1..=end {
            let text = number.to_string();
            let publish = Publish { qos: Qos::AtLeastOnce, id: number, ..message(topic, &text) };
            all.extend(bytes(&Packet::Publish(publish), Level::V5));
        }
        house.send(line, &all);
        hear_acknowledged(house, line, acknowledged);
        if *acknowledged < end {
            return;
        }
    }
}

/// What else of the flood is acknowledged.
fn hear_acknowledged(house: &mut House, line: Line, acknowledged: &mut u16) {
    *acknowledged += house.hear(line).iter().map(|heard| u16::from(heard.starts_with("PUBACK"))).sum::<u16>();
}

/// Whether each message of the flood came once, in order.
fn is_whole_and_safe(heard: &[String]) -> bool {
    let expected = (1..=SAFE_FLOOD).map(|number| format!(" {number}"));
    heard.len() == usize::from(SAFE_FLOOD) && heard.iter().zip(expected).all(|(one, end)| one.ends_with(&end))
}

#[test]
fn a_publisher_of_qos_1_rests_too_and_what_it_was_told_to_be_safe_arrives() {
    for topic in ["fast", "stored"] {
        let (mut house, line, watcher) = safely_published_to(topic);
        house.stall(watcher, true);
        let mut acknowledged = 0;
        flood_safely(&mut house, line, topic, &mut acknowledged);
        assert!((4_096..10_000).contains(&acknowledged), "{topic}: {acknowledged}");
        house.stall(watcher, false);
        hear_acknowledged(&mut house, line, &mut acknowledged);
        flood_safely(&mut house, line, topic, &mut acknowledged);
        assert_eq!(acknowledged, SAFE_FLOOD, "{topic}");
        assert!(is_whole_and_safe(&house.hear(watcher)), "{topic}");
        house.wait(Duration::from_secs(11));
        assert_eq!(house.events, [""; 0], "{topic}: nothing is dropped");
    }
}

#[test]
fn a_publisher_of_qos_1_does_not_rest_for_long_for_who_is_slow() {
    for topic in ["fast", "stored"] {
        let (mut house, line, watcher) = safely_published_to(topic);
        house.stall(watcher, true);
        let mut acknowledged = 0;
        flood_safely(&mut house, line, topic, &mut acknowledged);
        assert!(acknowledged < SAFE_FLOOD, "{topic}: {acknowledged}");
        house.pair.run_for(REST);
        hear_acknowledged(&mut house, line, &mut acknowledged);
        flood_safely(&mut house, line, topic, &mut acknowledged);
        assert_eq!(acknowledged, SAFE_FLOOD, "{topic}");
        house.stall(watcher, false);
        assert!((10_000..SAFE_FLOOD.into()).contains(&house.hear(watcher).len()), "{topic}: what had room");
        house.wait(Duration::from_secs(11));
        assert!(house.events.first().is_some_and(|told| told.ends_with(" queue-full")), "{topic}: {:?}", house.events);
    }
}

#[test]
fn nobody_rests_for_itself_nor_for_who_is_away() {
    let (mut house, line, watcher) = safely_published_to("fast");
    let away = house.enter(lasting("away"));
    house.subscribe(away, "fast", Qos::AtLeastOnce);
    house.cut(away);
    house.goodbye(watcher);
    house.subscribe(line, "fast", Qos::AtLeastOnce);
    house.stall(line, true);
    let mut all = Vec::new();
    for id in 1..=SAFE_FLOOD {
        let publish = Publish { qos: Qos::AtLeastOnce, id, ..message("fast", "x") };
        all.extend(bytes(&Packet::Publish(publish), Level::V5));
    }
    house.send(line, &all);
    house.stall(line, false);
    let mut acknowledged = 0;
    hear_acknowledged(&mut house, line, &mut acknowledged);
    assert_eq!(acknowledged, SAFE_FLOOD);
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
