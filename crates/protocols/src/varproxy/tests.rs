//! Conversations of both sides in memory.

use std::time::Duration;

use loggerhead_model::{CommandId, CommandState, ControlLine, DeviceId, Identity, Learnt, Order, Report};

use super::frame::{Cutter, frame};
use super::message::{ErrorCode, Request, Response};
use super::services::{self, Service, Value};
use super::{PROTOCOL, Robot};
use crate::pair::{Enrolled, Fate, Happening, Pair};
use crate::{CloseReason, Input, Output, Session};

const SECOND: Duration = Duration::from_secs(1);

/// A head-end that knows the robot at 192.0.2.1.
fn head_end(device: &str) -> Pair {
    let acceptor = (PROTOCOL.acceptor)(&toml::Table::new(), &mut std::iter::empty()).expect("settings");
    let mut pair = Pair::new(acceptor);
    let enrolled = Enrolled {
        device: DeviceId::new("press").expect("a name"),
        secret: Vec::new(),
        cipher_is_enough: true,
        settings: device.parse::<toml::Table>().expect("TOML").into(),
        learnt: Learnt::new(),
    };
    pair.enrolled.insert(Identity::new("192.0.2.1").expect("a name"), enrolled);
    pair
}

fn robot(pair: &mut Pair, settings: &str) -> Box<dyn Session> {
    (PROTOCOL.device)(&settings.parse().expect("TOML"), pair.opening()).expect("settings")
}

fn attach(pair: &mut Pair, settings: &str) {
    let robot = robot(pair, settings);
    pair.attach(robot);
}

/// The committed readings of one report, a line.
fn kept(pair: &Pair, place: usize) -> String {
    let report = pair.kept.iter().filter_map(|records| records.report.as_ref()).nth(place);
    let shown =
        report.into_iter().flat_map(Report::readings).map(|reading| format!("{}={}", reading.function, reading.value));
    shown.collect::<Vec<_>>().join(" ")
}

fn faults(pair: &Pair) -> Vec<String> {
    let fault = |what: &Happening| if let Happening::Fault(fault) = what { Some(fault.to_string()) } else { None };
    pair.happenings().filter_map(fault).collect()
}

fn closed(pair: &Pair) -> Option<&CloseReason> {
    pair.happenings().rev().find_map(|what| if let Happening::Closed(reason) = what { Some(reason) } else { None })
}

/// How many requests were sent.
fn requests(pair: &Pair) -> usize {
    let is_request = |what: &&Happening| matches!(what, Happening::Sent(loggerhead_model::Direction::Out, _));
    pair.happenings().filter(is_request).count()
}

#[test]
fn variables_are_asked_for_in_rounds_and_become_readings() {
    let mut pair = head_end("variables = ['$OV_PRO', '$MODEL_NAME[]', '$POS_ACT']\npoll_ms = 500");
    attach(&mut pair, "");
    pair.run_for(SECOND * 2);
    assert_eq!(pair.kept.len(), 5);
    let expected = "$OV_PRO=100 $MODEL_NAME[]=#KR6R900 SIXX C4SR FLR $POS_ACT.X=525.0 $POS_ACT.Y=0.0 $POS_ACT.Z=890.0 \
                    $POS_ACT.A=180.0 $POS_ACT.B=0.0 $POS_ACT.C=180.0 $POS_ACT.S=2 $POS_ACT.T=35";
    assert_eq!(kept(&pair, 4), expected);
    assert_eq!(requests(&pair), 6, "the version, and one request a round");
    assert!(faults(&pair).is_empty());
}

#[test]
fn a_simple_proxy_is_asked_for_one_variable_at_a_time_and_what_it_does_not_have_is_told_once() {
    let mut pair = head_end("variables = ['$OV_PRO', '$NONE', '$MODE_OP']");
    attach(&mut pair, "is_simple = true");
    pair.run_for(SECOND * 2);
    assert_eq!(kept(&pair, 2), "$OV_PRO=100 $MODE_OP=#T1");
    assert_eq!(requests(&pair), 1 + 3 * 3);
    assert_eq!(faults(&pair), ["out-of-order: the robot does not tell $NONE"]);
}

#[test]
fn one_request_is_on_its_way_and_a_round_waits_for_the_store() {
    let mut pair = head_end("variables = ['$OV_PRO', '$MODE_OP']\npoll_ms = 10");
    pair.fate = Fate::Hold;
    let line = pair.connect();
    pair.run_for(Duration::from_millis(1));
    let answer = |pair: &mut Pair, value: &str| {
        let mut cutter = Cutter::default();
        cutter.push(&pair.take_received(line));
        let request = cutter.cut().expect("a request");
        assert!(cutter.cut().is_none(), "one at a time");
        let values = vec![(ErrorCode::Success, value.to_owned())];
        let error = ErrorCode::Success;
        let response = Response { kind: 0, values, fields: Vec::new(), error, is_success: true };
        pair.send(line, &frame(request.id, &response.write()).expect("short"));
    };
    for value in ["", "50", "#AUT"] {
        answer(&mut pair, value);
    }
    pair.run_for(SECOND);
    assert!(pair.take_received(line).is_empty(), "what was read is not stored yet");
    pair.release(Fate::Commit);
    pair.run_for(SECOND);
    assert_eq!(kept(&pair, 0), "$OV_PRO=50 $MODE_OP=#AUT");
    answer(&mut pair, "51");
}

#[test]
fn a_proxy_that_fails_at_several_variables_is_asked_for_each() {
    let mut pair = head_end("variables = ['A', 'B']");
    let line = pair.connect();
    pair.run_for(Duration::from_millis(1));
    let mut asked = Vec::new();
    for _ in 0..4 {
        let mut cutter = Cutter::default();
        cutter.push(&pair.take_received(line));
        let request = cutter.cut().expect("a request");
        let read = Request::read(&request.body).expect("a request");
        let (error, value) = match &read {
            Request::ReadMany(_) => (ErrorCode::NotImplemented, ""),
            Request::Read { .. }
            | Request::Write { .. }
            | Request::ReadArray(_)
            | Request::WriteArray { .. }
            | Request::WriteMany(_)
            | Request::Service(..)
            | Request::Other(_) => (ErrorCode::Success, "1"),
        };
        let values = if read.kind() == 6 { Vec::new() } else { vec![(error, value.to_owned())] };
        let (fields, is_success) = (Vec::new(), error == ErrorCode::Success);
        let response = Response { kind: read.kind(), values, fields, error, is_success };
        asked.push(read.kind());
        pair.send(line, &frame(request.id, &response.write()).expect("short"));
    }
    assert_eq!(asked, [0, 6, 0, 0]);
    assert_eq!(kept(&pair, 0), "A=1 B=1");
}

fn order(lines: &[(&str, &str)]) -> Order {
    let line = |(name, value): &(&str, &str)| ControlLine {
        meter: (*name).to_owned(),
        hex: crate::vectors::digits_of(value.as_bytes()).replace(' ', ""),
        timeout_ms: 0,
        retries: 0,
    };
    Order::Control { lines: lines.iter().map(line).collect() }
}

#[test]
fn only_what_both_sides_allow_is_written() {
    let mut pair = head_end("variables = ['$OV_PRO']\nwritable = ['$OV_PRO', '$BASE']");
    attach(&mut pair, "writable = ['$OV_PRO']");
    pair.run_for(SECOND / 10);
    pair.command(CommandId(1), order(&[("$OV_PRO", "42")]));
    pair.command(CommandId(2), order(&[("$TOOL", "1")]));
    pair.command(CommandId(3), order(&[("$BASE", "1")]));
    pair.run_for(SECOND);
    let end = |what: &Happening| {
        let Happening::Command(id, CommandState::Answered(text) | CommandState::Failed(text)) = what else {
            return None;
        };
        Some((id.0, text.clone()))
    };
    let mut ends: Vec<_> = pair.happenings().filter_map(end).collect();
    ends.sort();
    assert_eq!(ends[0], (1, "written: 42".to_owned()));
    assert!(ends[1].1.contains("may not be written"), "{ends:?}");
    assert_eq!(ends[2], (3, "the robot says: access denied".to_owned()));
    assert_eq!(kept(&pair, 1), "$OV_PRO=42");
    // What was written, and what the robot answered, can be looked at beside the answers of the rounds.
    let frames: Vec<_> = pair.kept.iter().filter_map(|records| records.frame.as_ref()).collect();
    let written: Vec<_> = frames.iter().filter(|frame| frame.direction == loggerhead_model::Direction::Out).collect();
    assert_eq!(written.len(), 2, "{frames:?}");
    assert!(written.first().is_some_and(|frame| frame.bytes.ends_with(b"$OV_PRO\0\x0242")), "{written:?}");
    assert!(frames.first().is_some_and(|frame| frame.bytes.ends_with(b"1\x000\x000\x00\x00\x01\x01")), "{frames:?}");
}

#[test]
fn a_robot_that_does_not_answer_is_given_up_and_what_is_no_message_too() {
    let mut pair = head_end("answer_s = 3");
    let line = pair.connect();
    pair.run_for(SECOND * 4);
    assert!(!pair.is_open(line));
    let broken = pair.happenings().any(|what| matches!(what, Happening::Broken(fault) if fault.reason.contains("3 s")));
    assert!(broken, "{:?}", closed(&pair));
    let line = pair.connect();
    pair.run_for(Duration::from_millis(1));
    pair.send(line, &[0, 9, 0, 0]);
    assert_eq!(faults(&pair).len(), 1, "an answer to another request");
    pair.send(line, &[0, 1, 0, 2, 0, 0]);
    assert!(!pair.is_open(line));
}

#[test]
fn who_is_not_known_is_not_asked() {
    let mut pair = head_end("");
    pair.enrolled.clear();
    attach(&mut pair, "");
    pair.run_for(SECOND);
    assert_eq!(requests(&pair), 0);
    assert_eq!(closed(&pair), Some(&CloseReason::Refused));
}

#[test]
fn a_conversation_does_not_depend_on_pieces() {
    let run = |piece: usize| {
        let mut pair = head_end("");
        pair.wire.piece_bytes_max = piece;
        attach(&mut pair, "");
        pair.run_for(SECOND);
        (kept(&pair, 0), pair.kept.len(), faults(&pair))
    };
    let whole = run(usize::MAX);
    assert!(whole.0.contains("$AXIS_ACT.A2=-90.0"), "{whole:?}");
    for piece in [1, 2, 3, 5, 7, 11, 64] {
        assert_eq!(run(piece), whole, "pieces of {piece}");
    }
}

/// What a simulated proxy answers to a body.
fn answer(settings: &str, body: &[u8]) -> Option<Response> {
    let mut pair = head_end("");
    let mut robot = robot(&mut pair, settings);
    let bytes = frame(7, body).expect("short");
    let _ = robot.handle(pair.now(), Input::Bytes(&bytes));
    let _connect = robot.poll();
    let Output::Send(bytes) = robot.poll() else { return None };
    let mut cutter = Cutter::default();
    cutter.push(&bytes);
    let response = cutter.cut().expect("a frame");
    assert_eq!(response.id, 7, "echoed");
    Some(Response::read(&response.body).expect("a response"))
}

#[test]
fn a_simulated_proxy_answers_as_its_kind_does() {
    let read = |name: &str| Request::Read { is_wide: false, name: name.to_owned() }.write();
    let told = |settings: &str, body: &[u8]| {
        let response = answer(settings, body).expect("an answer");
        let value = response.values.first().map(|(_, value)| value.clone()).unwrap_or_default();
        (value, response.error.number(), response.is_success)
    };
    assert_eq!(told("", &read("PING")), ("PONG".to_owned(), 1, true));
    assert_eq!(told("", &read("$NONE")), (String::new(), 3, false));
    assert_eq!(told("is_simple = true", &read("$NONE")), (String::new(), 1, true));
    let write = Request::Write { is_wide: false, name: "$OV_PRO".to_owned(), value: "1".to_owned() }.write();
    assert_eq!(told("", &write), (String::new(), 2, false));
    assert_eq!(told("is_simple = true", &write), (String::new(), 0, false));
    assert_eq!(told("writable = ['$OV_PRO']", &write), ("1".to_owned(), 1, true));
    assert_eq!(told("", &[15, 0]), (String::new(), 7, false));
    assert_eq!(told("", &[0, 0, 9, b'a']), (String::new(), 9, false));
    assert!(answer("is_simple = true", &[0, 0, 9, b'a']).is_none(), "it has no word for that");
}

#[test]
fn arrays_are_of_the_simple_kind_and_what_is_beside_variables_of_the_other_one() {
    let array = Request::ReadArray("$TIMER[]".to_owned()).write();
    let values = |response: &Response| response.values.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
    let read = answer("is_simple = true", &array).expect("an answer");
    assert_eq!(values(&read), ["0 250 1200 0 0 0 0 0 0 0"]);
    assert_eq!(answer("", &array).expect("an answer").error, ErrorCode::NotImplemented);
    let write = Request::WriteArray { name: "$TIMER".to_owned(), numbers: vec![7, -8] }.write();
    assert!(!answer("is_simple = true", &write).expect("an answer").is_success, "nobody allowed it");
    assert!(answer("is_simple = true\nwritable = ['$TIMER[]']", &write).expect("an answer").is_success);

    let pair = |name: &str| (name.to_owned(), "1".to_owned());
    let many = Request::WriteMany(vec![pair("$OV_PRO"), pair("$BASE")]).write();
    let written = answer("writable = ['$OV_PRO']", &many).expect("an answer");
    let codes: Vec<u16> = written.values.iter().map(|(code, _)| code.number()).collect();
    assert_eq!((codes, written.error, written.is_success), (vec![1, 2], ErrorCode::General, false));

    let service = |kind| Service::find(kind).expect("it has a row");
    let stop = Request::Service(service(services::PROGRAM), vec![Value::Number(3), Value::Number(1)]).write();
    assert_eq!(answer("", &stop).expect("an answer").error, ErrorCode::Access);
    assert_eq!(answer("writable = ['$PRO_STATE1']", &stop).expect("an answer").fields, [Value::Number(3)]);
    assert_eq!(answer("is_simple = true", &stop).expect("an answer").error, ErrorCode::General);
    let features = answer("", &[services::FEATURES]).expect("an answer").fields;
    let Some(Value::Rest(bits)) = features.first() else { panic!("{features:?}") };
    assert_eq!(bits.last(), Some(&0b1111_0011), "all below 8 but arrays");
    for kind in [services::INFORMATION_OF_PROXY, services::CONFIRM_ALL] {
        assert!(answer("", &[kind]).expect("an answer").is_success, "{kind}");
    }
    let moves = [&[services::MOTION, 1][..], &[0, 1, b'{', 0]].concat();
    assert_eq!(answer("", &moves).expect("an answer").error, ErrorCode::NotImplemented, "it does not move");
}

#[test]
fn what_one_client_writes_all_read() {
    let settings = "writable = ['$OV_PRO']".parse().expect("TOML");
    let robot = Robot::new(&settings).expect("settings");
    let now = head_end("").now();
    let ask = |client: &mut Box<dyn Session>, request: &Request| {
        client.handle(now, Input::Bytes(&frame(7, &request.write()).expect("short"))).expect("a message");
        let mut outputs = std::iter::repeat_with(|| client.poll());
        outputs.find_map(|output| if let Output::Send(bytes) = output { Some(bytes) } else { None }).expect("an answer")
    };
    let (mut one, mut other) = (robot.attend(), robot.attend());
    let name = || "$OV_PRO".to_owned();
    ask(&mut one, &Request::Write { is_wide: false, name: name(), value: "42".to_owned() });
    let read = ask(&mut other, &Request::Read { is_wide: false, name: name() });
    assert_eq!(Response::read(&read[4..]).expect("a response").values, [(ErrorCode::Success, "42".to_owned())]);
}
