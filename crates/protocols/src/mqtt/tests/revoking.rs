//! Rights that end while something is kept that rests on them, and names that are chosen to gain some.

use std::sync::Arc;

use loggerhead_model::{DeviceId, Identity};

use super::{House, Line, client, lasting, message, subscription};
use crate::News;
use crate::mqtt::message::{Connect, Level, Packet, Publish, Qos, Will};
use crate::mqtt::properties::Properties;

/// Gives an account other rules, as a changed configuration does.
fn change(house: &mut House, account: &str, rules: &str) {
    let identity = Identity::new(account).expect("short enough");
    let known = house.pair.enrolled.get_mut(&identity).expect("an account of the house");
    known.settings = Arc::new(rules.parse().expect("TOML"));
}

/// Takes an account away.
fn remove(house: &mut House, account: &str) {
    house.pair.enrolled.remove(&Identity::new(account).expect("short enough"));
    house.told(&DeviceId::new(account).expect("short enough"), News::Removed);
}

fn of_other(connect: Connect<'_>) -> Connect<'_> {
    Connect { user: Some("other"), ..connect }
}

fn check_nothing(house: &mut House, line: Line) {
    house.expect(line, &[]);
}

#[test]
fn retained_message_of_a_revoked_publisher() {
    let mut house = House::new();
    let line = house.enter(of_other(client("p")));
    house.retain(line, "plant/a", "before");
    house.goodbye(line);
    change(&mut house, "other", "publish = ['elsewhere']");
    // What was acknowledged stays, as readings do. It can no more be changed by who lost the right.
    let line = house.enter(of_other(client("p")));
    let publish = Publish { retain: true, qos: Qos::AtLeastOnce, id: 9, ..message("plant/a", "after") };
    house.say(line, &Packet::Publish(publish));
    house.expect(line, &["PUBACK #9 87"]);
    house.publish(line, Qos::AtMostOnce, 0, "plant/a", "");
    remove(&mut house, "other");
    let (_, heard) = house.try_enter(of_other(client("p")));
    assert_eq!(heard, ["CONNACK 86"]);
    let reader = house.enter(client("r"));
    house.say(reader, &subscription("plant/#"));
    house.expect(reader, &["SUBACK #1 [0]", "kept q0 plant/a before"]);
    house.retain(reader, "plant/a", "");
    house.kill();
    let reader = house.enter(client("r"));
    house.say(reader, &subscription("plant/#"));
    house.expect(reader, &["SUBACK #1 [0]"]);
}

#[test]
fn session_of_a_revoked_subscriber() {
    let mut house = House::new();
    let line = house.enter(of_other(lasting("s")));
    house.subscribe(line, "plant/#", Qos::ExactlyOnce);
    house.subscribe(line, "own/s", Qos::AtLeastOnce);
    house.subscribe(line, "$share/g/plant/+", Qos::AtLeastOnce);
    let publisher = house.enter(client("p"));
    // One message of each kind is on its way, others wait.
    house.publish(publisher, Qos::ExactlyOnce, 1, "plant/a", "on its way");
    house.publish(publisher, Qos::AtLeastOnce, 2, "own/s", "on its way");
    house.hear(line);
    house.cut(line);
    house.publish(publisher, Qos::AtLeastOnce, 3, "plant/a", "secret");
    house.publish(publisher, Qos::AtLeastOnce, 4, "own/s", "waits");
    change(&mut house, "other", "subscribe = ['own/%c']");
    for kills in [false, true] {
        if kills {
            house.kill();
        }
        let (line, heard) = house.try_enter(of_other(lasting("s")));
        assert!(heard.iter().all(|heard| !heard.contains("plant")), "{heard:?}");
        assert_eq!(heard.iter().filter(|heard| heard.contains("own/s")).count(), 2, "{heard:?}");
        let publisher = house.enter(client("p"));
        house.publish(publisher, Qos::AtLeastOnce, 5, "plant/b", "secret");
        check_nothing(&mut house, line);
        house.cut(line);
    }
}

#[test]
fn session_of_an_account_that_is_removed() {
    let mut house = House::new();
    let will = Will {
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: Properties::NONE,
        topic: "plant/will",
        payload: b"gone",
    };
    let line = house.enter(of_other(Connect { will: Some(will), ..lasting("s") }));
    house.subscribe(line, "plant/#", Qos::AtLeastOnce);
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "plant/#", Qos::AtMostOnce);
    assert_eq!(house.noted(b's'), 1);
    remove(&mut house, "other");
    assert!(!house.is_open(line));
    check_nothing(&mut house, watcher);
    assert_eq!(house.noted(b's'), 0);
    // Whoever is given the name later begins anew.
    house.kill();
    let (_, heard) = house.try_enter(of_other(lasting("s")));
    assert_eq!(heard, ["CONNACK 00"]);
}

#[test]
fn wildcard_in_a_client_identifier_against_access_rules() {
    for name in ["+", "#", "a/b", "own/#", "%c", "%u", "a+"] {
        let mut house = House::with("publish = ['own/%c', 'own/%c/#']\nsubscribe = ['own/%c', 'own/%c/#']");
        let line = house.enter(client(name));
        for filter in ["own/+", "own/#", "own/other", "own/a/b", "#", &format!("own/{name}")] {
            house.say(line, &subscription(filter));
            let heard = house.hear(line);
            let is_refused = ["SUBACK #1 [87]", "DISCONNECT 8f"].iter().any(|no| heard.contains(&(*no).to_owned()));
            assert!(is_refused || !house.is_open(line), "{name} {filter}: {heard:?}");
        }
        let line = house.enter(client(name));
        house.publish(line, Qos::AtLeastOnce, 1, "own/other", "x");
        house.expect(line, &["PUBACK #1 87"]);
    }
}

#[test]
fn will_to_a_forbidden_topic() {
    for topic in ["own/other", "$SYS/x", "loggerhead/other/presence", "loggerhead/other/command"] {
        let mut house = House::with("publish = ['own/%c', 'loggerhead/#']");
        let watcher = house.enter(client("w"));
        house.subscribe(watcher, "#", Qos::AtMostOnce);
        house.subscribe(watcher, "$SYS/#", Qos::AtMostOnce);
        house.subscribe(watcher, "loggerhead/#", Qos::AtMostOnce);
        house.hear(watcher);
        let will = Will { qos: Qos::AtMostOnce, retain: true, properties: Properties::NONE, topic, payload: b"forged" };
        for level in [Level::V4, Level::V5] {
            let (line, heard) = house.try_enter(Connect { will: Some(will.clone()), level, ..client("c") });
            assert_eq!(heard, [if level == Level::V5 { "CONNACK 87" } else { "CONNACK 05" }], "{topic}");
            assert!(!house.is_open(line));
        }
        check_nothing(&mut house, watcher);
    }
}

#[test]
fn subscription_changes_during_a_takeover() {
    let mut house = House::new();
    let publisher = house.enter(client("p"));
    let old = house.enter(lasting("s"));
    house.subscribe(old, "a", Qos::AtLeastOnce);
    // What the old connection still says after the new one is in changes nothing of the session.
    let new = house.enter(lasting("s"));
    house.say(old, &subscription("b"));
    house.unsubscribe(old, "a");
    for (number, topic) in [(1, "a"), (2, "b")] {
        house.publish(publisher, Qos::AtLeastOnce, number, topic, "x");
    }
    house.expect(new, &["#1 q1 a x"]);
    assert!(!house.is_open(old));
    // A subscription that was answered before is the session's.
    house.subscribe(new, "c", Qos::AtLeastOnce);
    let newest = house.enter(lasting("s"));
    house.publish(publisher, Qos::AtLeastOnce, 3, "c", "y");
    assert!(house.hear(newest).contains(&"#2 q1 c y".to_owned()));
    assert_eq!(house.noted(b's'), 1);
}
