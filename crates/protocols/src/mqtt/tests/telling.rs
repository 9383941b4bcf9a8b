//! What the head-end says of devices of any protocol.

use std::time::Duration;

use loggerhead_model::{DeviceId, Event, EventKind, Evidence, Presence, Severity, Timestamp};

use super::{House, client, lasting};
use crate::News;
use crate::mqtt::message::Qos;

const AT: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

fn tower() -> DeviceId {
    DeviceId::new("tower").expect("short enough")
}

fn evidence(presence: Presence) -> Evidence {
    let since = Some(AT);
    Evidence { presence, since, last_bytes_at: None, last_reading_at: None, peer: None, closed_because: None }
}

fn event(severity: Severity) -> Event {
    Event { at: AT, severity, kind: EventKind::Fault, device: Some(tower()), peer: None, text: "odd".into() }
}

#[test]
fn presence_is_kept_until_the_device_is_removed() {
    let mut house = House::new();
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "loggerhead/+/presence", Qos::AtMostOnce);
    for presence in [Presence::ConnectedFresh, Presence::Offline] {
        house.told(&tower(), News::Presence(&evidence(presence)));
        let expected = format!(
            "q0 loggerhead/tower/presence {{\"closed_because\":null,\"last_bytes_at\":null,\"last_reading_at\":null,\
             \"peer\":null,\"presence\":\"{}\",\"since\":\"2026-01-01T00:00:00Z\"}}",
            presence.word()
        );
        house.expect(watcher, &[&expected]);
    }
    let kept = |house: &mut House, name| {
        let late = house.enter(client(name));
        house.say(late, &super::subscription("loggerhead/#"));
        house.hear(late)
    };
    let heard = kept(&mut house, "late");
    assert!(heard.len() == 2 && heard.iter().any(|heard| heard.contains("\"offline\"")), "{heard:?}");
    house.told(&tower(), News::Removed);
    house.expect(watcher, &["q0 loggerhead/tower/presence "]);
    assert_eq!(kept(&mut house, "later"), ["SUBACK #1 [0]"]);
}

#[test]
fn an_event_is_passed_on_an_alarm_twice_and_neither_is_kept() {
    let mut house = House::new();
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "loggerhead/tower/#", Qos::AtMostOnce);
    for (severity, topics) in [
        (Severity::Info, &["events"][..]),
        (Severity::Warning, &["events", "alarms"]),
        (Severity::Error, &["events", "alarms"]),
    ] {
        house.told(&tower(), News::Event(&event(severity)));
        let heard = house.hear(watcher);
        assert_eq!(heard.len(), topics.len(), "{heard:?}");
        for (heard, topic) in heard.iter().zip(topics) {
            assert!(
                heard.starts_with(&format!("q0 loggerhead/tower/{topic} {{\"at\":\"2026-01-01T00:00:00Z\"")),
                "{heard}"
            );
            assert!(heard.contains("\"kind\":\"fault\"") && heard.contains("\"text\":\"odd\""), "{heard}");
        }
    }
    let late = house.enter(client("late"));
    house.subscribe(late, "loggerhead/#", Qos::AtMostOnce);
    house.expect(late, &[]);
}

#[test]
fn news_can_be_turned_off() {
    for (settings, wanted) in [("", true), ("news = false", false)] {
        assert_eq!(House::with(settings).wants_news(), wanted, "{settings}");
    }
}

#[test]
fn the_broker_says_how_it_stands_and_who_loses_messages() {
    let mut house = House::with("queue_messages_max = 2");
    let line = house.enter(lasting("slow"));
    house.subscribe(line, "t", Qos::AtLeastOnce);
    house.cut(line);
    let publisher = house.enter(client("p"));
    for number in 1..=5 {
        house.publish(publisher, Qos::AtLeastOnce, number, "t", "x");
    }
    house.retain(publisher, "k", "x");
    house.wait(Duration::from_secs(11));
    let watcher = house.enter(client("w"));
    house.say(watcher, &super::subscription("$SYS/broker/#"));
    let heard = house.hear(watcher);
    for expected in [
        "clients/connected 1",
        "clients/total 2",
        "subscriptions/count 1",
        "messages/received 6",
        "messages/waiting 2",
        "publish/messages/dropped 3",
    ] {
        assert!(heard.contains(&format!("kept q0 $SYS/broker/{expected}")), "{expected}: {heard:?}");
    }
    assert_eq!(house.events, ["admin 3 queue-full", "3 messages for client slow were dropped: too many wait for it"]);
}
