//! What people see: conversations, packet by packet, without secrets; and sessions.

use std::time::Duration;

use loggerhead_model::{DeviceId, Direction, RawFrame};

use super::authenticating::entered;
use super::{House, client, message};
use crate::Explain;
use crate::explain::Judgement;
use crate::mqtt::explain::explain;
use crate::mqtt::message::{Connect, Level, Packet, Publish, Qos};
use crate::mqtt::properties::{Id, Writer};
use crate::standing::{Lost, SessionQuery, StandingSession};
use crate::vectors::bytes_of;

/// What a packet is, and what it says to people.
fn shown(frame: &RawFrame) -> String {
    let explanation = explain(&Explain { bytes: &frame.bytes, ..Explain::default() });
    assert!(explanation.fields.iter().all(|field| field.judgement == Judgement::Right), "{explanation:?}");
    let way = if frame.direction == Direction::In { ">" } else { "<" };
    let said: Vec<_> = explanation.messages.into_iter().map(|(_, text)| text).collect();
    format!("{way} {}", said.join(" "))
}

fn names(house: &House) -> Vec<String> {
    house.frames.iter().map(|frame| shown(frame).split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

/// Whether any packet that is kept holds these bytes.
fn holds(house: &House, secret: &[u8]) -> bool {
    house.frames.iter().any(|frame| frame.bytes.windows(secret.len()).any(|part| part == secret))
}

#[test]
fn packets_in_and_out_are_kept_and_a_password_is_in_none() {
    let mut house = House::new();
    let line = house.enter(client("c"));
    house.subscribe(line, "t", Qos::AtLeastOnce);
    house.publish(line, Qos::AtLeastOnce, 7, "t", "21.5");
    let expected = ["> CONNECT", "< CONNACK", "> SUBSCRIBE", "< SUBACK", "> PUBLISH", "< PUBACK", "< PUBLISH"];
    assert_eq!(names(&house), expected);
    assert!(shown(&house.frames[0]).contains("client id: 1 bytes: \"c\""), "{}", shown(&house.frames[0]));
    assert!(holds(&house, b"21.5") && holds(&house, b"******") && !holds(&house, b"123456"));
}

#[test]
fn what_proves_a_password_is_in_no_packet_that_is_kept() {
    let mut house = House::new();
    let line = entered(&mut house, "c");
    house.goodbye(line);
    assert_eq!(names(&house), ["> CONNECT", "< AUTH", "> AUTH", "< CONNACK", "> DISCONNECT"]);
    // The nonces, the proofs and the salt of SCRAM are behind such letters.
    for part in [b",r=", b",p=", b",s=", &b"v="[..]] {
        assert!(!holds(&house, part), "{part:?}");
    }
    assert!(holds(&house, b"SCRAM-SHA-256"));
}

#[test]
fn which_version_is_spoken_is_said_or_told_to_be_a_guess() {
    let read = |digits: &str, opening: &str, version| {
        let (bytes, opening) = (bytes_of(digits), bytes_of(opening));
        let explanation = explain(&Explain { bytes: &bytes, opening: &opening, version, ..Explain::default() });
        let reasons = explanation.fields.iter().filter(|field| field.name == "reason").count();
        (reasons, explanation.notes.join(" "))
    };
    // A SUBACK: two return codes before version 5; in it, no properties and one reason code.
    let both = "9004 0001 00 01";
    let (reasons, note) = read(both, "", None);
    assert_eq!(reasons, 1);
    assert!(note.contains("read as version 5, though version 3.1.1 makes sense of them too"), "{note}");
    for (version, expected) in [("3.1", 2), ("3.1.1", 2), ("5", 1)] {
        assert_eq!(read(both, "", Some(version)), (expected, String::new()));
    }
    // What the client said before says it as well.
    for (level, expected) in [("04", 2), ("05", 1)] {
        let opening = format!("100e 00044d515454 {level} 02 0000 00 0001 61");
        assert_eq!(read(both, &opening, None), (expected, String::new()));
    }
    let (reasons, note) = read("9003 0001 00", "", None);
    assert!(reasons == 1 && note.contains("read as version 3.1.1;"), "{reasons} {note}");
    let (_, note) = read("e002 04 00", "", None);
    assert!(note.contains("read as version 5;"), "{note}");
    for same in ["d000", "4002 0001", "e000"] {
        assert_eq!(read(same, "", None).1, "", "{same}");
    }
}

#[test]
fn nothing_is_kept_of_who_does_not_prove_itself() {
    let mut house = House::new();
    let (_, heard) = house.try_enter(Connect { password: Some(b"wrong"), ..client("c") });
    assert_eq!(heard, ["CONNACK 86"]);
    assert_eq!(names(&house), [""; 0]);
}

#[test]
fn a_command_may_hold_a_key_and_is_not_kept_by_whatever_name_it_goes() {
    let mut house = House::with("publish = ['loggerhead/+/command']");
    let line = house.enter(client("c"));
    let order = r#"{"order":"set-key","kind":"login","key":"text:SECRET"}"#;
    for topic in ["loggerhead/other/command", ""] {
        let mut list = Writer::default();
        list.two(Id::TopicAlias, 1);
        let publish = Publish { qos: Qos::AtLeastOnce, id: 1, properties: list.list(), ..message(topic, order) };
        house.say(line, &Packet::Publish(publish));
        house.expect(line, &["PUBACK #1 00"]);
    }
    assert_eq!(names(&house), ["> CONNECT", "< CONNACK", "< PUBACK", "< PUBACK"]);
}

#[test]
fn of_an_account_that_never_rests_a_packet_is_kept_now_and_then() {
    let mut house = House::new();
    let lines = [house.enter(client("a")), house.enter(client("b"))];
    let large = "x".repeat(5_000);
    for line in lines {
        house.publish(line, Qos::AtMostOnce, 0, "t", &large);
        for _ in 0..100 {
            house.publish(line, Qos::AtMostOnce, 0, "t", "x");
        }
    }
    assert_eq!(house.frames.len(), 32);
    assert!(house.frames.iter().all(|frame| frame.bytes.len() < 100), "what nobody reads is not kept");
    house.wait(Duration::from_secs(10));
    for _ in 0..100 {
        house.publish(lines[0], Qos::AtMostOnce, 0, "t", "x");
    }
    assert_eq!(house.frames.len(), 34);
}

/// All sessions.
fn sessions(house: &House) -> Vec<StandingSession> {
    house.sessions(&SessionQuery { limit: 100, ..SessionQuery::default() })
}

/// A client of version 5 whose session lasts for an hour, and that takes so much.
fn staying(house: &mut House, name: &str, packet_bytes_max: Option<u32>) -> super::Line {
    let mut list = Writer::default();
    list.four(Id::SessionExpiry, 3_600);
    if let Some(bytes) = packet_bytes_max {
        list.four(Id::MaximumPacketSize, bytes);
    }
    house.enter(Connect { clean_start: false, properties: list.list(), ..client(name) })
}

#[test]
fn a_session_is_seen_with_its_connection_and_without_it() {
    let mut house = House::new();
    let began = house.pair.now().wall;
    let line = staying(&mut house, "s", None);
    house.subscribe(line, "a/#", Qos::AtLeastOnce);
    house.subscribe(line, "b", Qos::AtMostOnce);
    let there = sessions(&house).remove(0);
    let filters = |session: &StandingSession| -> Vec<_> {
        session.subscriptions.iter().map(|one| format!("{} {}", one.filter, one.qos)).collect()
    };
    assert_eq!(filters(&there), ["a/# 1", "b 0"]);
    assert!(there.is_connected);
    assert_eq!((&*there.client, there.device.as_str(), there.subscriptions_count), ("s", "admin", 2));
    assert_eq!((there.since, there.expiry_s, there.ends_at), (Some(began), Some(3_600), None));

    house.wait(Duration::from_mins(1));
    house.cut(line);
    let left = house.pair.now().wall;
    let other = house.enter(client("p"));
    house.publish(other, Qos::AtLeastOnce, 1, "a/b", "21.5");
    let away = sessions(&house).remove(1);
    assert!(!away.is_connected);
    assert_eq!((away.since, away.ends_at.map(|at| at.since(left))), (Some(left), Some(Duration::from_hours(1))));
    assert_eq!((away.queued, away.in_flight), (1, 0));
    assert!(away.queued_bytes >= "a/b21.5".len(), "{away:?}");

    // What was away stays so; of who was there it is not known how long it is away.
    house.kill();
    let [of_log] = &*sessions(&house) else { panic!("the session that lasts") };
    assert_eq!((of_log.is_connected, of_log.since, of_log.queued), (false, Some(left), 1));
    staying(&mut house, "s", None);
    assert_eq!(sessions(&house)[0].in_flight, 1);
    house.kill();
    assert_eq!((sessions(&house)[0].is_connected, sessions(&house)[0].since), (false, None));
}

#[test]
fn what_a_session_did_not_get_is_counted_by_what_was_in_the_way() {
    let mut house = House::with("queue_messages_max = 2");
    let line = staying(&mut house, "s", Some(40));
    house.subscribe(line, "t", Qos::AtLeastOnce);
    let other = house.enter(client("p"));
    let large = "x".repeat(100);
    house.publish(other, Qos::AtLeastOnce, 1, "t", &large);
    house.publish(other, Qos::AtMostOnce, 0, "t", &large);
    house.cut(line);
    let mut list = Writer::default();
    list.four(Id::MessageExpiry, 5);
    let brief = Publish { qos: Qos::AtLeastOnce, id: 1, properties: list.list(), ..message("t", "brief") };
    house.say(other, &Packet::Publish(brief));
    for _ in 0..4 {
        house.publish(other, Qos::AtLeastOnce, 1, "t", "x");
    }
    house.wait(Duration::from_secs(10));
    staying(&mut house, "s", Some(40));
    let lost = sessions(&house).into_iter().find(|session| &*session.client == "s").expect("it is there").lost;
    assert_eq!(lost, Lost { full: 3, slow: 0, overload: 0, large: 2, expired: 1 });
}

#[test]
fn sessions_come_page_by_page_and_by_account() {
    let mut house = House::new();
    for name in ["a", "b", "c", "d"] {
        house.enter(Connect { user: Some(if name < "c" { "admin" } else { "other" }), ..client(name) });
    }
    house.enter(Connect { level: Level::V4, ..client("e") });
    let page = |device: Option<&str>, after: Option<&str>, limit| -> Vec<String> {
        let device = device.map(|name| DeviceId::new(name).expect("short enough"));
        let found = house.sessions(&SessionQuery { device, after: after.map(Into::into), limit });
        found.iter().map(|session| session.client.to_string()).collect()
    };
    assert_eq!(page(None, None, 2), ["a", "b"]);
    assert_eq!(page(None, Some("b"), 10), ["c", "d", "e"]);
    assert_eq!(page(Some("admin"), None, 2), ["a", "b"]);
    assert_eq!(page(Some("admin"), Some("b"), 2), ["e"]);
    assert_eq!(page(Some("nobody"), None, 2), [""; 0]);
}
