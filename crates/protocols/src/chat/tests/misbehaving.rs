//! What clients should not do, and what becomes of it.

use std::time::Duration;

use loggerhead_model::{Origin, Quality, Reading, ReportBuilder, Ticket, Value};
use serde_json::{Value as Json, json};

use super::{House, MASK, pairs, said, upgrade};
use crate::pair::{Happening, Pair};
use crate::websocket::frame::masked_text;

const ID: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

fn told(house: &mut House, bytes: &[u8]) -> Option<u16> {
    let line = house.person("1");
    house.pair.send(line, bytes);
    house.pair.run_for(Duration::ZERO);
    let code = house.closed(line);
    assert!(!house.pair.is_open(line));
    code
}

#[test]
fn frames_that_may_not_be_end_the_connection_with_the_right_code() {
    let mut house = House::with("text_bytes_limit = 512");
    assert_eq!(told(&mut house, &masked_text(&"x".repeat(513), MASK)), Some(1009));
    // One that claims more than the limit is refused by its head.
    assert_eq!(told(&mut house, &[0x81, 0xfe, 2, 1, 0, 0, 0, 0]), Some(1009));
    assert_eq!(told(&mut house, &[0x81, 0x81, 0, 0, 0, 0, 0xff]), Some(1007));
    assert_eq!(told(&mut house, &[0x82, 0x80, 0, 0, 0, 0]), Some(1003));
    // Compressed: no extension was agreed on, so nothing is ever inflated.
    assert_eq!(told(&mut house, &[0xc1, 0x80, 0, 0, 0, 0]), Some(1002));
    assert_eq!(told(&mut house, &[0x81, 0x01, b'x']), Some(1002));
}

#[test]
fn what_is_no_request_is_refused_and_the_conversation_goes_on() {
    let mut house = House::new();
    let line = house.open("/chat");
    let reason = |house: &mut House, request: &Json| house.ask(line, request)[0]["reason"].clone();
    assert_eq!(reason(&mut house, &json!({"type": "join", "room": "a"})), json!("log_in_first"));
    assert_eq!(house.ask(line, &json!({"type": "ping"})), [json!({"type": "pong"})]);
    house.ask(line, &json!({"type": "login", "name": "1", "secret": "123456"}));
    let long = "x".repeat(129);
    for (request, expected) in [
        (json!({"type": "login", "name": "1", "secret": "123456"}), "logged_in"),
        (json!({"type": "dance"}), "malformed"),
        (json!([1, 2]), "malformed"),
        (json!({"type": "join", "room": ""}), "name"),
        (json!({"type": "join", "room": "a\u{7}"}), "name"),
        (json!({"type": "say", "id": "1", "to": "2", "text": "x"}), "name"),
        (json!({"type": "say", "id": ID, "text": "x"}), "name"),
        (json!({"type": "say", "id": ID, "to": "2", "room": "a", "text": "x"}), "name"),
        (json!({"type": "say", "id": ID, "to": long, "text": "x"}), "name"),
        (json!({"type": "say", "id": ID, "to": "#a", "text": "x"}), "name"),
        (json!({"type": "history"}), "name"),
    ] {
        assert_eq!(reason(&mut house, &request), json!(expected), "{request}");
    }
    assert_eq!(house.ask(line, &json!({"type": "ping"})), [json!({"type": "pong"})]);
}

#[test]
fn logins_that_fail_are_few_and_tell_nothing() {
    let mut house = House::new();
    let line = house.open("/chat");
    let refused = json!({"type": "refused", "reason": "not_proven"});
    for name in ["1", "nobody", "", "1"] {
        let told = house.ask(line, &json!({"type": "login", "name": name, "secret": "wrong"}));
        assert_eq!(told, std::slice::from_ref(&refused), "{name}");
    }
    house.ask(line, &json!({"type": "login", "name": "1", "secret": "wrong"}));
    assert!(!house.pair.is_open(line));
}

#[test]
fn what_waits_has_limits_and_the_sender_is_told() {
    let mut house = House::with("queue_messages_max = 2\nunconfirmed_max = 3");
    let one = house.person("1");
    let mut reasons = Vec::new();
    for to in ["2", "2", "2", "3", "3"] {
        let id = house.new_id();
        let told = house.ask(one, &json!({"type": "say", "id": id, "to": to, "text": "x"}));
        reasons.push(told[0]["reason"].as_str().unwrap_or("accepted").to_owned());
    }
    assert_eq!(reasons, ["accepted", "accepted", "receiver_full", "accepted", "sender_full"]);
}

#[test]
fn a_flood_waits_and_nothing_of_it_is_dropped() {
    let mut house = House::with("rate = 5");
    let one = house.person("1");
    house.pair.run_for(Duration::from_secs(2));
    let ping = masked_text(r#"{"type":"ping"}"#, MASK);
    house.pair.send(one, &ping.repeat(12));
    house.pair.run_for(Duration::ZERO);
    assert_eq!(house.told(one).len(), 5);
    house.pair.run_for(Duration::from_secs(2));
    assert_eq!(house.told(one).len(), 7);
}

#[test]
fn a_conversation_is_the_same_however_its_bytes_are_split() {
    let say = json!({"type": "say", "id": ID, "to": "1", "text": "你好"}).to_string();
    let login = json!({"type": "login", "name": "1", "secret": "123456"}).to_string();
    let texts = [masked_text(&login, MASK), masked_text(&say, MASK)].concat();
    for cut in 0..=texts.len() {
        let mut house = House::new();
        let line = house.open("/chat");
        house.pair.send(line, &texts[..cut]);
        house.pair.send(line, &texts[cut..]);
        house.pair.run_for(Duration::ZERO);
        let told = house.told(line);
        assert_eq!(said(&told), pairs(&[("1", "你好")]), "cut at {cut}");
        // Cut off there, it leaves nothing behind that is not whole.
        let mut house = House::new();
        let line = house.open("/chat");
        house.pair.send(line, &texts[..cut]);
        house.pair.hang_up(line);
        let (_, told) = house.enter("1");
        assert_eq!(said(&told).len(), usize::from(cut == texts.len()), "cut at {cut}");
    }
    let request = upgrade("/chat", "");
    for cut in 1..request.len() {
        let mut house = House::new();
        let line = house.pair.connect();
        house.pair.send(line, &request.as_bytes()[..cut]);
        assert!(house.pair.take_received(line).is_empty(), "cut at {cut}");
        house.pair.send(line, &request.as_bytes()[cut..]);
        assert!(house.pair.take_received(line).starts_with(b"HTTP/1.1 101 "), "cut at {cut}");
    }
}

#[test]
fn who_does_not_come_to_the_point_is_given_up() {
    let mut house = House::new();
    let mute = house.pair.connect();
    let stranger = house.open("/chat");
    house.pair.run_for(Duration::from_secs(11));
    assert!(!house.pair.is_open(mute) && house.pair.is_open(stranger));
    house.pair.run_for(Duration::from_mins(2));
    assert!(!house.pair.is_open(stranger));
    let line = house.pair.connect();
    house.pair.send(line, &vec![b'x'; 9_000]);
    house.pair.run_for(Duration::ZERO);
    assert!(house.pair.take_received(line).starts_with(b"HTTP/1.1 431 "));
}

#[test]
fn the_persons_side_delivers_what_it_is_given_once_whatever_the_line_does() {
    let mut house = House::new();
    let table = "user = '1'\nsecret = 'text:123456'".parse().expect("TOML");
    let opening = house.pair.opening();
    let device = (crate::chat::PROTOCOL.device)(&table, opening).expect("settings");
    house.pair.attach(device);
    for ticket in 0..3 {
        let value = ticket.to_string();
        let mut builder = ReportBuilder::new(Origin::Live, 64, 1);
        builder.meter("m", "").expect("short");
        let reading = Reading {
            meter: "m",
            function: "f",
            coding: "",
            code: "",
            quality: Quality::Good,
            measured_at: house.pair.now().wall,
            value: Value::parse(&value),
            attributes: "",
        };
        builder.reading(&reading).expect("short");
        house.pair.offer(Ticket(ticket), builder.finish());
    }
    house.pair.run_for(Duration::from_mins(2));
    let delivered = delivered(&house.pair);
    assert_eq!(delivered, [Ticket(0), Ticket(1), Ticket(2)]);
    let readings: usize =
        house.pair.kept.iter().filter_map(|kept| kept.report.as_ref()).map(loggerhead_model::Report::len).sum();
    assert_eq!(readings, 3);
}

fn delivered(pair: &Pair) -> Vec<Ticket> {
    let ticket = |what: &Happening| if let Happening::Delivered(ticket) = what { Some(*ticket) } else { None };
    pair.log.iter().filter_map(|entry| ticket(&entry.what)).collect()
}
