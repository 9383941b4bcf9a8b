use std::time::Duration;

use loggerhead_model::{Origin, Reading, ReportBuilder, Ticket};

use super::{House, Line, bytes, client, message};
use crate::mqtt::decode::read;
use crate::mqtt::frame::BODY_BYTES_MAX;
use crate::mqtt::message::{ConnAck, Connect, Level, Notice, Packet, Publish, Qos};
use crate::mqtt::properties::{Id, Properties, Value, Writer};
use crate::mqtt::reason::Reason;
use crate::pair::Happening;
use crate::scram::{Challenge, Client, MECHANISM};
use crate::{Input, Output, Session};

/// One answer of the broker: its name and reason, and its authentication data.
#[derive(Debug, PartialEq)]
struct Answer {
    words: String,
    data: Vec<u8>,
}

/// Takes the only answer, which names the method unless it is an end.
fn hear(house: &mut House, line: Line) -> Answer {
    let bytes = house.take(line);
    let (packet, count) = read(line.level, &bytes, BODY_BYTES_MAX).expect("our own packets").expect("an answer");
    assert_eq!(count, bytes.len(), "one answer");
    let (Packet::ConnAck(ConnAck { reason, properties, .. })
    | Packet::Auth(Notice { reason, properties })
    | Packet::Disconnect(Notice { reason, properties })) = packet
    else {
        panic!("{packet:?}")
    };
    assert_eq!(properties.text(Id::AuthenticationMethod), (!reason.is_failure()).then_some(MECHANISM));
    let data = match properties.find(Id::AuthenticationData) {
        Some(Value::Binary(data)) => data.to_vec(),
        _ => Vec::new(),
    };
    Answer { words: format!("{} {:02x}", packet.kind().name(), reason.0), data }
}

fn properties(data: Option<&[u8]>) -> Writer {
    let mut list = Writer::default();
    list.text(Id::AuthenticationMethod, MECHANISM);
    if let Some(data) = data {
        list.binary(Id::AuthenticationData, data);
    }
    list
}

fn auth(house: &mut House, line: Line, reason: Reason, data: &[u8]) {
    house.say(line, &Packet::Auth(Notice { reason, properties: properties(Some(data)).list() }));
}

/// Connects with the first message of this client, up to the challenge.
fn challenged(house: &mut House, name: &str, scram: &Client) -> (Line, Answer) {
    let line = house.open(Level::V5);
    let list = properties(Some(&scram.first_message()));
    let connect = Connect { properties: list.list(), user: None, password: None, ..client(name) };
    house.say(line, &Packet::Connect(connect));
    let answer = hear(house, line);
    (line, answer)
}

/// Lets a client in that proves the secret.
pub(super) fn entered(house: &mut House, name: &str) -> Line {
    let scram = Client::new("admin", "first");
    let (line, asked) = challenged(house, name, &scram);
    assert_eq!(asked.words, "AUTH 18");
    let (last, expected) = scram.answer(&asked.data, b"123456").expect("our own challenge");
    auth(house, line, Reason::CONTINUE_AUTHENTICATION, &last);
    assert_eq!(hear(house, line), Answer { words: "CONNACK 00".into(), data: expected });
    line
}

// MQTT 5.0: 3.2.0-1 3.15.2-2 3.15.2-3 4.12.0-2 4.12.0-3 4.12.0-5
#[test]
fn both_sides_prove_that_they_know_the_password() {
    let mut house = House::new();
    let line = entered(&mut house, "a");
    house.subscribe(line, "t", Qos::AtMostOnce);
    house.publish(line, Qos::AtMostOnce, 0, "t", "x");
    house.expect(line, &["q0 t x"]);
}

// MQTT 5.0: 4.12.0-4
#[test]
fn who_does_not_prove_it_is_refused_like_who_is_not_known() {
    let mut house = House::new();
    let mut answers = Vec::new();
    for (user, secret) in [("admin", "1234567"), ("nobody", "123456"), ("nobody", "anonymous"), ("admin", "")] {
        let scram = Client::new(user, "n");
        let (line, asked) = challenged(&mut house, "a", &scram);
        let (last, _) = scram.answer(&asked.data, secret.as_bytes()).expect("our own challenge");
        auth(&mut house, line, Reason::CONTINUE_AUTHENTICATION, &last);
        answers.push((asked.words, asked.data.len(), hear(&mut house, line)));
        assert!(!house.is_open(line));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(answers[0].2.words, "CONNACK 86");
}

#[test]
fn the_first_message_may_come_after_the_connect() {
    let mut house = House::new();
    let line = house.open(Level::V5);
    let list = properties(None);
    house.say(line, &Packet::Connect(Connect { properties: list.list(), ..client("a") }));
    assert_eq!(hear(&mut house, line), Answer { words: "AUTH 18".into(), data: Vec::new() });
    let scram = Client::new("admin", "n");
    auth(&mut house, line, Reason::CONTINUE_AUTHENTICATION, &scram.first_message());
    let asked = hear(&mut house, line);
    let (last, expected) = scram.answer(&asked.data, b"123456").expect("our own challenge");
    auth(&mut house, line, Reason::CONTINUE_AUTHENTICATION, &last);
    assert_eq!(hear(&mut house, line), Answer { words: "CONNACK 00".into(), data: expected });
}

// MQTT 5.0: 3.15.2-1 4.12.1-1
#[test]
fn a_client_authenticates_again_while_it_goes_on() {
    let mut house = House::new();
    let line = entered(&mut house, "a");
    for nonce in ["second", "third"] {
        let scram = Client::new("admin", nonce);
        auth(&mut house, line, Reason::RE_AUTHENTICATE, &scram.first_message());
        let asked = hear(&mut house, line);
        assert_eq!(asked.words, "AUTH 18");
        house.publish(line, Qos::AtLeastOnce, 1, "t", "x");
        house.expect(line, &["PUBACK #1 10"]);
        let (last, expected) = scram.answer(&asked.data, b"123456").expect("our own challenge");
        auth(&mut house, line, Reason::CONTINUE_AUTHENTICATION, &last);
        assert_eq!(hear(&mut house, line), Answer { words: "AUTH 00".into(), data: expected });
    }
}

// MQTT 5.0: 4.12.1-2
#[test]
fn who_fails_to_authenticate_again_is_disconnected() {
    for (user, secret) in [("admin", "wrong"), ("other", "123456")] {
        let mut house = House::new();
        let line = entered(&mut house, "a");
        let scram = Client::new(user, "again");
        auth(&mut house, line, Reason::RE_AUTHENTICATE, &scram.first_message());
        let mut answer = hear(&mut house, line);
        if user == "admin" {
            let (last, _) = scram.answer(&answer.data, secret.as_bytes()).expect("our own challenge");
            auth(&mut house, line, Reason::CONTINUE_AUTHENTICATION, &last);
            answer = hear(&mut house, line);
        }
        assert_eq!(answer.words, "DISCONNECT 87");
        assert!(!house.is_open(line));
    }
}

// MQTT 5.0: 3.2.2-8 4.12.0-1
#[test]
fn a_method_that_is_not_known_is_refused() {
    let mut house = House::new();
    for method in ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256", ""] {
        let mut list = Writer::default();
        list.text(Id::AuthenticationMethod, method);
        let (line, heard) = house.try_enter(Connect { properties: list.list(), ..client("a") });
        assert_eq!(heard, ["CONNACK 8c"], "{method:?}");
        assert!(!house.is_open(line));
    }
}

// MQTT 5.0: 4.12.0-6 4.12.0-7
#[test]
fn whoever_named_no_method_neither_sends_an_auth_nor_is_sent_one() {
    let mut house = House::new();
    let line = house.enter(client("a"));
    auth(&mut house, line, Reason::RE_AUTHENTICATE, b"n,,n=admin,r=n");
    house.expect(line, &["DISCONNECT 82"]);
}

// MQTT 5.0: 3.1.2-30 3.15.2-1 4.12.0-2 4.12.0-3 4.12.1-1
#[test]
fn an_authentication_that_is_out_of_turn_ends_the_connection() {
    let first = Client::new("admin", "n").first_message();
    // Before it is in: another packet, another method, another reason, another user, what is not SCRAM.
    let check = |connect: Connect<'_>, packet: Packet<'_>, expected: &str| {
        let mut house = House::new();
        let line = house.open(Level::V5);
        house.say(line, &Packet::Connect(connect));
        house.take(line);
        house.say(line, &packet);
        assert_eq!(hear(&mut house, line).words, expected, "{packet:?}");
        assert!(!house.is_open(line));
    };
    let (bare, said) = (properties(None), properties(Some(&first)));
    let connect = || Connect { properties: bare.list(), ..client("a") };
    let notice = |reason, properties| Packet::Auth(Notice { reason, properties });
    check(connect(), Packet::Publish(Publish { ..message("t", "x") }), "CONNACK 82");
    check(connect(), Packet::Connect(client("a")), "CONNACK 82");
    check(connect(), notice(Reason::CONTINUE_AUTHENTICATION, Properties::NONE), "CONNACK 82");
    check(connect(), notice(Reason::RE_AUTHENTICATE, said.list()), "CONNACK 82");
    check(connect(), notice(Reason::CONTINUE_AUTHENTICATION, bare.list()), "CONNACK 86");
    let other = Connect { user: Some("other"), ..connect() };
    check(other, notice(Reason::CONTINUE_AUTHENTICATION, said.list()), "CONNACK 86");
    // Once it is in: a step that nobody asked for, and a beginning within one.
    for reasons in [&[Reason::CONTINUE_AUTHENTICATION][..], &[Reason::RE_AUTHENTICATE, Reason::RE_AUTHENTICATE]] {
        let mut house = House::new();
        let line = entered(&mut house, "a");
        for reason in reasons {
            house.take(line);
            auth(&mut house, line, *reason, &first);
        }
        assert_eq!(hear(&mut house, line).words, "DISCONNECT 82");
    }
}

#[test]
fn a_client_that_gives_up_or_falls_silent_is_let_go() {
    let mut house = House::new();
    let scram = Client::new("admin", "n");
    let (line, _) = challenged(&mut house, "a", &scram);
    house.goodbye(line);
    assert!(!house.is_open(line));
    let (line, _) = challenged(&mut house, "a", &scram);
    house.wait(Duration::from_secs(11));
    assert!(!house.is_open(line));
}

/// A device with these settings.
fn device(house: &mut House, settings: &str) -> Box<dyn Session> {
    let opening = house.pair.opening();
    (crate::mqtt::PROTOCOL.device)(&settings.parse().expect("TOML"), opening).expect("settings that can be")
}

/// What a device with this secret had acknowledged, and everything that both sides said.
fn reported(secret: &str) -> (Vec<Ticket>, Vec<u8>) {
    let mut house = House::new();
    let device = device(&mut house, &format!("user = 'admin'\nscram = true\nsecret = 'text:{secret}'"));
    house.pair.attach(device);
    let mut builder = ReportBuilder::new(Origin::Live, 32, 1);
    let at = house.pair.now().wall;
    builder.meter("1", "").expect("short enough");
    builder.reading(&Reading::plain("1", "power", "21.5", at)).expect("short enough");
    house.pair.offer(Ticket(1), builder.finish());
    house.pair.run_for(Duration::from_secs(2));
    let sent = |what: &Happening| if let Happening::Sent(_, bytes) = what { Some(bytes.to_vec()) } else { None };
    (house.pair.delivered(), house.pair.happenings().filter_map(sent).flatten().collect())
}

#[test]
fn a_device_reports_without_saying_its_secret() {
    let (delivered, said) = reported("123456");
    assert_eq!(delivered, [Ticket(1)]);
    assert!(!said.windows(6).any(|part| part == b"123456"));
    assert_eq!(reported("1234567").0, []);
}

#[test]
fn a_device_believes_no_head_end_that_does_not_know_its_secret() {
    let mut house = House::new();
    let now = house.pair.now();
    for challenges in [true, false] {
        let mut device = device(&mut house, "user = 'admin'\nscram = true\nsecret = 'text:123456'");
        device.handle(now, Input::Connected).expect("nothing was said");
        assert!(matches!(device.poll(), Output::Connect));
        let Output::Send(sent) = device.poll() else { panic!("it says who it is") };
        let Ok(Some((Packet::Connect(connect), _))) = read(Level::V5, &sent, BODY_BYTES_MAX) else {
            panic!("{sent:?}")
        };
        let first = connect.properties.binary(Id::AuthenticationData).expect("its first message");
        if challenges {
            let challenge = Challenge::to(first, &[0; 32], b"seed").expect("our own");
            let list = properties(Some(challenge.message()));
            let asked = Packet::Auth(Notice { reason: Reason::CONTINUE_AUTHENTICATION, properties: list.list() });
            device.handle(now, Input::Bytes(&bytes(&asked, Level::V5))).expect("a challenge");
        }
        let list = properties(Some(b"v=AAAA"));
        let answer = ConnAck { session_present: false, reason: Reason::SUCCESS, properties: list.list() };
        let fault = device.handle(now, Input::Bytes(&bytes(&Packet::ConnAck(answer), Level::V5)));
        assert!(fault.is_err_and(|fault| fault.reason.contains("does not prove")), "{challenges}");
    }
}
