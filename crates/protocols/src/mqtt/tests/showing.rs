//! What people see of conversations: packets in and out within a rate, without secrets.

use std::time::Duration;

use loggerhead_model::{Direction, RawFrame};

use super::authenticating::entered;
use super::{House, client, message};
use crate::Explain;
use crate::explain::Judgement;
use crate::mqtt::explain::explain;
use crate::mqtt::message::{Packet, Publish, Qos};
use crate::mqtt::properties::{Id, Writer};

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
fn nothing_is_kept_of_who_does_not_prove_itself() {
    let mut house = House::new();
    let (_, heard) = house.try_enter(crate::mqtt::message::Connect { password: Some(b"wrong"), ..client("c") });
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
