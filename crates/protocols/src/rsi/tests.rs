//! Conversations of both sides in memory.

use std::time::Duration;

use loggerhead_model::{
    CommandId, CommandState, ControlLine, DeviceId, Identity, Learnt, Order, Origin, Quality, Reading, Report,
    ReportBuilder, Ticket, Timestamp, Value,
};

use super::PROTOCOL;
use super::pins::Pins;
use super::session::HeadEnd;
use super::settings::Settings;
use crate::pair::{Enrolled, Fate, Happening, Pair};
use crate::{Answer, CloseReason, Input, Output, Session};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// A head-end that knows the robot at 192.0.2.1.
fn head_end(listener: &str, device: &str) -> Pair {
    let acceptor = (PROTOCOL.acceptor)(&listener.parse().expect("TOML"), &mut std::iter::empty()).expect("settings");
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

fn attach(pair: &mut Pair) {
    let opening = pair.opening();
    pair.attach((PROTOCOL.device)(&toml::Table::new(), opening).expect("settings"));
}

fn state(ipoc: &str, delay: u64) -> String {
    format!("<Rob Type=\"KUKA\"><AIPos A1=\"1.5\"/><Delay D=\"{delay}\"/><IPOC>{ipoc}</IPOC></Rob>")
}

fn answer(ipoc: &str) -> String {
    format!("<Sen Type=\"ImFree\"><IPOC>{ipoc}</IPOC></Sen>")
}

fn received(pair: &mut Pair, connection: usize) -> String {
    String::from_utf8(pair.take_received(connection).to_vec()).expect("text")
}

fn faults(pair: &Pair) -> Vec<String> {
    let fault = |what: &Happening| if let Happening::Fault(fault) = what { Some(fault.to_string()) } else { None };
    pair.happenings().filter_map(fault).collect()
}

/// The last committed value of a function.
fn last(pair: &Pair, function: &str) -> String {
    let readings = pair.kept.iter().flat_map(|records| records.report.iter().flat_map(Report::readings));
    let found = readings.filter(|reading| reading.function == function).last();
    found.map(|reading| reading.value.to_string()).unwrap_or_default()
}

fn closed(pair: &Pair) -> Option<&CloseReason> {
    pair.happenings().rev().find_map(|what| if let Happening::Closed(reason) = what { Some(reason) } else { None })
}

#[test]
fn every_cycle_is_answered_while_states_are_recorded_at_their_own_rate() {
    let mut pair = head_end("record_ms = 100", "");
    attach(&mut pair);
    pair.run_for(MS * 999);
    let answers =
        pair.happenings().filter(|what| matches!(what, Happening::Sent(_, bytes) if bytes.starts_with(b"<Sen")));
    assert_eq!(answers.count(), 250);
    assert_eq!(pair.kept.len(), 10);
    assert_eq!(
        (last(&pair, "cycles"), last(&pair, "late"), last(&pair, "lost")),
        ("226".into(), "0".into(), "0".into())
    );
    assert!(faults(&pair).is_empty(), "{:?}", faults(&pair));
}

#[test]
fn what_the_robot_says_is_recorded() {
    let mut pair = head_end("record_ms = 0", "");
    let mut builder = ReportBuilder::new(Origin::Live, 0, 1);
    builder.meter("Rob", "").expect("room");
    let reading = Reading {
        meter: "Rob",
        function: "AIPos/@A1",
        coding: "",
        code: "",
        quality: Quality::Good,
        measured_at: Timestamp::from_unix_ms(0),
        value: Value::parse("12.5"),
        attributes: "",
    };
    builder.reading(&reading).expect("room");
    attach(&mut pair);
    pair.offer(Ticket(7), builder.finish());
    pair.run_for(MS);
    assert_eq!(last(&pair, "AIPos/@A1"), "12.5");
    assert_eq!(pair.delivered(), [Ticket(7)]);
}

#[test]
fn the_number_of_a_cycle_is_echoed_unchanged_and_no_cycle_is_answered_twice() {
    let mut pair = head_end("", "");
    let line = pair.connect();
    for (ipoc, is_answered) in [("00100", true), ("104", true), ("104", false), ("100", false), ("108", true)] {
        pair.send(line, state(ipoc, 0).as_bytes());
        let expected = if is_answered { answer(ipoc) } else { String::new() };
        assert_eq!(received(&mut pair, line), expected, "{ipoc}");
    }
    // A controller that was started anew counts from the beginning.
    pair.send(line, state("5000", 0).as_bytes());
    pair.send(line, state("12", 0).as_bytes());
    assert_eq!(received(&mut pair, line), answer("5000") + &answer("12"));
    assert_eq!(faults(&pair).len(), 2, "{:?}", faults(&pair));
}

#[test]
fn what_is_no_state_is_not_answered() {
    let mut pair = head_end("", "");
    let line = pair.connect();
    pair.send(line, state("4", 0).as_bytes());
    received(&mut pair, line);
    for wrong in
        ["<Sen Type=\"x\"><IPOC>8</IPOC></Sen>", "x", "<Rob><IPOC>8</IPOC>", "<Rob></Rob>", "<Rob><A><B/></A></Rob>"]
    {
        pair.send(line, wrong.as_bytes());
        assert_eq!(received(&mut pair, line), "", "{wrong}");
    }
    assert_eq!(faults(&pair).len(), 5);
    pair.send(line, state("8", 0).as_bytes());
    assert_eq!(received(&mut pair, line), answer("8"));
}

#[test]
fn lost_and_late_cycles_are_counted() {
    let mut pair = head_end("record_ms = 0", "");
    let line = pair.connect();
    for (ipoc, delay) in [("4", 2), ("8", 2), ("20", 2), ("24", 5), ("9000", 0), ("9004", 1)] {
        pair.send(line, state(ipoc, delay).as_bytes());
        pair.run_for(Duration::from_millis(if ipoc == "20" { 15 } else { 4 }));
    }
    assert_eq!((last(&pair, "lost"), last(&pair, "late"), last(&pair, "cycles")), ("2".into(), "4".into(), "6".into()));
    let lags = pair.kept.iter().flat_map(|records| records.report.iter().flat_map(Report::readings));
    let lags = lags.filter(|reading| reading.function == "lag_ms").map(|reading| reading.value.to_string());
    assert_eq!(lags.collect::<Vec<_>>(), ["0", "0", "0", "11", "0", "0"]);
}

#[test]
fn a_robot_that_is_only_to_be_heard_is_never_answered() {
    let mut pair = head_end("", "only_send = true\nrecord_ms = 0");
    let line = pair.connect();
    pair.send(line, state("4", 0).as_bytes());
    pair.send(line, state("8", 0).as_bytes());
    assert_eq!(received(&mut pair, line), "");
    assert_eq!(pair.kept.len(), 2);
}

#[test]
fn a_busy_store_holds_no_answer_up_and_what_it_did_not_keep_is_counted() {
    let mut pair = head_end("record_ms = 0", "");
    let line = pair.connect();
    pair.fates.extend([Fate::Hold, Fate::Fail]);
    for ipoc in ["4", "8", "12"] {
        pair.send(line, state(ipoc, 0).as_bytes());
    }
    assert_eq!(received(&mut pair, line), answer("4") + &answer("8") + &answer("12"));
    pair.release(Fate::Commit);
    pair.send(line, state("16", 0).as_bytes());
    pair.send(line, state("20", 0).as_bytes());
    assert_eq!(received(&mut pair, line), answer("16") + &answer("20"));
    assert_eq!(last(&pair, "unrecorded"), "3");
    assert_eq!(pair.kept.len(), 2);
}

/// An order for one value, as an operator gives it.
fn order(path: &str, value: &str, timeout_ms: u32) -> Order {
    let hex = crate::vectors::digits_of(value.as_bytes()).replace(' ', "");
    Order::Control { lines: vec![ControlLine { meter: path.to_owned(), hex, timeout_ms, retries: 0 }] }
}

#[test]
fn corrections_are_zero_until_an_allowed_one_is_asked_for_and_after_it() {
    let mut pair = head_end("", "corrections = [{ element = 'RKorr/@X', max = 0.5 }]");
    let line = pair.connect();
    let x = |pair: &mut Pair, ipoc: &str| {
        pair.send(line, state(ipoc, 0).as_bytes());
        let said = received(pair, line);
        said.split('"').nth(3).expect("an X").to_owned()
    };
    assert_eq!(x(&mut pair, "4"), "0.0000");
    pair.command(CommandId(1), order("RKorr/@X", "2", 8));
    pair.command(CommandId(2), order("RKorr/@Z", "2", 8));
    assert_eq!(x(&mut pair, "8"), "0.5000");
    pair.run_for(MS * 8);
    assert_eq!(x(&mut pair, "16"), "0.0000");
    pair.command(CommandId(3), order("RKorr/@X", "0.1", 1_000));
    let before = pair.now().wall;
    pair.run_for(MS);
    assert_eq!(x(&mut pair, "9000"), "0.0000", "another run of the interface");
    pair.command_of(before, CommandId(4), order("RKorr/@X", "0.1", 1_000));
    assert_eq!(x(&mut pair, "9004"), "0.0000", "what was asked for before moves nothing");
    pair.command(CommandId(5), order("RKorr/@X", "0.1", 1_000));
    assert_eq!(x(&mut pair, "9008"), "0.1000");
    let end = |what: &Happening| {
        let Happening::Command(id, state) = what else { return None };
        let is_answered = matches!(state, CommandState::Answered(_));
        (is_answered || matches!(state, CommandState::Failed(_))).then_some((id.0, is_answered))
    };
    let ends = pair.happenings().filter_map(end);
    assert_eq!(ends.collect::<Vec<_>>(), [(1, true), (2, false), (3, true), (4, false), (5, true)]);
}

#[test]
fn the_first_peer_of_an_address_is_the_robot_until_it_is_silent() {
    let mut pair = head_end("", "");
    let (robot, other) = (pair.connect(), pair.connect());
    pair.send(robot, state("4", 0).as_bytes());
    pair.send(other, state("4", 0).as_bytes());
    pair.send(robot, state("8", 0).as_bytes());
    assert_eq!(received(&mut pair, robot), answer("4") + &answer("8"));
    assert_eq!(received(&mut pair, other), "");
    assert!(faults(&pair)[0].contains("another peer"), "{:?}", faults(&pair));
    pair.run_for(SECOND * 6);
    assert!(!pair.is_open(robot) && matches!(closed(&pair), Some(CloseReason::Silent(_))));
    let next = pair.connect();
    pair.send(next, state("4", 0).as_bytes());
    assert_eq!(received(&mut pair, next), answer("4"));
}

#[test]
fn who_is_not_known_is_not_answered_and_not_asked_about_each_cycle() {
    let mut pair = head_end("", "");
    pair.enrolled.clear();
    let line = pair.connect();
    for cycle in 1..=100 {
        pair.send(line, state(&(cycle * 4).to_string(), 0).as_bytes());
    }
    assert_eq!(received(&mut pair, line), "");
    assert_eq!(pair.happenings().filter(|what| matches!(what, Happening::Refused(..))).count(), 1);
    pair.run_for(SECOND * 11);
    assert!(!pair.is_open(line));
    assert!(pair.kept.is_empty());
}

#[test]
fn a_flood_is_not_answered_beyond_its_rate() {
    let mut pair = head_end("", "");
    let line = pair.connect();
    for cycle in 1..=1_200 {
        pair.send(line, state(&cycle.to_string(), 0).as_bytes());
    }
    let said = received(&mut pair, line);
    assert_eq!(said.matches("<Sen").count(), 1_000);
    assert!(faults(&pair).iter().any(|fault| fault.contains("over 1000 states in a second")));
}

#[test]
fn a_robot_without_answers_stops_and_begins_again() {
    let mut pair = head_end("", "");
    attach(&mut pair);
    pair.run_for(MS * 20);
    let (listener, enrolled) = (
        pair.enrolled.clone(),
        Enrolled { cipher_is_enough: false, ..pair.enrolled.values().next().expect("one").clone() },
    );
    pair.tell(0, Input::Shutdown(CloseReason::Reconfigured));
    pair.enrolled.insert(Identity::new("192.0.2.1").expect("a name"), enrolled);
    pair.run_for(SECOND * 3);
    assert!(faults(&pair).iter().any(|fault| fault.contains("no answer within the cycle")));
    pair.enrolled = listener;
    pair.run_for(SECOND * 120);
    assert!(pair.is_open(pair.happenings().filter(|what| matches!(what, Happening::Opened)).count() - 1));
    assert_ne!(last(&pair, "late"), "");
}

#[test]
fn no_bytes_break_a_session() {
    let bytes = state("4", 0).into_bytes();
    for place in 0..bytes.len() {
        for byte in [0, b'<', b'>', b'"', b'/', 0xff] {
            let mut damaged = bytes.clone();
            damaged[place] = byte;
            let mut pair = head_end("", "");
            let line = pair.connect();
            pair.send(line, &damaged);
            pair.send(line, &bytes[..place]);
            assert!(pair.is_open(line));
        }
    }
}

#[test]
fn a_verdict_that_nobody_asked_for_changes_nothing() {
    let mut pair = head_end("", "");
    let mut session = HeadEnd::new(Settings::default().into(), Pins::default(), pair.now(), pair.opening());
    session
        .handle(pair.now(), Input::Answer(Answer::Verdict(crate::Verdict::Refused(crate::Refusal::Full))))
        .expect("no fault");
    assert!(matches!(session.poll(), Output::Idle { wake_at: Some(_) }));
}
