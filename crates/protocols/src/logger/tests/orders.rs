//! What operators ask of a device, and what becomes of it.

use std::time::Duration;

use loggerhead_model::{CommandId, CommandState, ControlLine, Direction, KeyKind, Order, Origin, Ticket};

use super::{Hand, acknowledging, attach, head_end, report};
use crate::logger::message::{Message, Talk};
use crate::pair::{Fate, Happening, Pair};
use crate::{CloseReason, Input};

/// The states of a command so far.
fn states(pair: &Pair, id: u64) -> Vec<CommandState> {
    let state = |what: &Happening| {
        if let Happening::Command(found, state) = what
            && *found == CommandId(id)
        {
            Some(state.clone())
        } else {
            None
        }
    };
    pair.happenings().filter_map(state).collect()
}

fn order(pair: &mut Pair, id: u64, order: Order) {
    pair.command(CommandId(id), order);
}

#[test]
fn every_order_is_sent_and_answered_in_every_dialect() {
    for (dialect, settings) in acknowledging() {
        let mut pair = head_end("", "");
        attach(&mut pair, dialect, settings);
        pair.run_for(Duration::from_secs(8));
        pair.offer(Ticket(0), report(Origin::Live, 0, 3));
        let line = ControlLine { meter: "1".to_owned(), hex: "68AA".to_owned(), timeout_ms: 200, retries: 1 };
        order(&mut pair, 1, Order::Period { minutes: 15 });
        order(&mut pair, 2, Order::Query { from: None, to: None });
        order(&mut pair, 3, Order::Describe);
        order(&mut pair, 4, Order::Control { lines: vec![line] });
        order(&mut pair, 5, Order::SetKey { kind: KeyKind::Cipher, key: "0".repeat(16) });
        pair.run_for(Duration::from_secs(5));
        let answered = |text: &str| vec![CommandState::Sent, CommandState::Answered(text.to_owned())];
        assert_eq!(states(&pair, 1), answered("period set"), "{}", dialect.name);
        assert_eq!(states(&pair, 2), answered("3 readings"), "{}", dialect.name);
        assert_eq!(states(&pair, 3).len(), 2, "{}", dialect.name);
        // A line of a meter says nothing but what the meter answered.
        let control = if dialect.meter_lines.is_some() { "meter 1: 68AA" } else { "meter 1: F0 68AA" };
        assert_eq!(states(&pair, 4), answered(control), "{}", dialect.name);
        let unsupported = CommandState::Failed("the device does not support it".to_owned());
        assert_eq!(states(&pair, 5), [CommandState::Sent, unsupported], "{}", dialect.name);
        let queried = pair.kept.iter().filter_map(|records| records.report.as_ref());
        assert_eq!(queried.filter(|report| report.origin == Origin::Queried).count(), 1, "{}", dialect.name);
    }
}

#[test]
fn what_is_said_can_be_looked_at_without_its_cipher_and_without_new_secrets() {
    for (dialect, settings) in acknowledging() {
        let mut pair = head_end("", "");
        attach(&mut pair, dialect, settings);
        pair.run_for(Duration::from_secs(8));
        order(&mut pair, 1, Order::Period { minutes: 15 });
        order(&mut pair, 2, Order::SetKey { kind: KeyKind::Login, key: "NEWSECRETNEWSECR".to_owned() });
        pair.offer(Ticket(0), report(Origin::Live, 0, 3));
        pair.run_for(Duration::from_secs(5));
        let sent = |what: &Happening| matches!(what, Happening::Sent(Direction::Out, _));
        let sent = pair.happenings().filter(|what| sent(what)).count();
        let texts: Vec<_> = pair.said.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        assert!(texts.len() >= 2 && texts.len() < sent, "{} of {sent}: {texts:?}", dialect.name);
        assert!(texts.iter().all(|text| text.contains("<root>")), "{}: {texts:?}", dialect.name);
        assert!(texts.iter().any(|text| text.contains("period")), "{}: {texts:?}", dialect.name);
        assert!(!texts.concat().contains("NEWSECRET"), "{}", dialect.name);
    }
}

#[test]
fn a_query_of_a_span_is_answered_with_what_was_measured_in_it() {
    for (dialect, settings) in acknowledging() {
        let mut pair = head_end("", "");
        attach(&mut pair, dialect, settings);
        pair.run_for(Duration::from_secs(8));
        pair.offer(Ticket(0), report(Origin::Live, 5, 3));
        pair.run_for(Duration::from_secs(1));
        let at = |seconds: i64| Some(loggerhead_model::Timestamp::from_unix_ms(1_767_225_600_000 + seconds * 1000));
        for (id, from, to) in [(1, at(0), at(10)), (2, at(5), None), (3, None, at(4)), (4, at(6), at(10))] {
            order(&mut pair, id, Order::Query { from, to });
        }
        pair.run_for(Duration::from_secs(5));
        let words = |id| match states(&pair, id).last() {
            Some(CommandState::Answered(words)) => words.clone(),
            other => panic!("{}: {other:?}", dialect.name),
        };
        assert_eq!(
            [1, 2, 3, 4].map(words),
            ["3 readings", "3 readings", "0 readings", "0 readings"],
            "{}",
            dialect.name
        );
        let queried = pair.kept.iter().filter_map(|records| records.report.as_ref());
        assert_eq!(queried.filter(|report| report.origin == Origin::Queried).count(), 2, "{}", dialect.name);
    }
}

#[test]
fn a_line_of_a_meter_is_an_order_and_its_answer_where_the_dialect_has_them() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "shanghai");
    let early = b"\x1f\x1f\xf2\0\0\0\x09A001|68AA";
    assert!(hand.send(&mut pair, early).is_empty());
    assert_eq!(super::faults(&pair), ["out-of-order"]);
    hand.log_in(&mut pair);
    pair.run_for(Duration::from_secs(1));
    let line = |hex: &str| ControlLine { meter: "A001".to_owned(), hex: hex.to_owned(), timeout_ms: 200, retries: 0 };
    order(&mut pair, 1, Order::Control { lines: vec![line("6810")] });
    assert_eq!(pair.take_received(hand.connection).as_ref(), b"\x1f\x1f\xf1\0\0\0\x09A001|6810");
    pair.send(hand.connection, early);
    assert_eq!(states(&pair, 1), [CommandState::Sent, CommandState::Answered("meter A001: 68AA".to_owned())]);
    pair.run_for(Duration::from_secs(1));
    order(&mut pair, 2, Order::Control { lines: vec![line("1"), line("2")] });
    assert!(matches!(states(&pair, 2).as_slice(), [CommandState::Failed(_)]), "one meter at a time");
    let wrong_side = b"\x1f\x1f\xf1\0\0\0\x09A001|6810";
    pair.send(hand.connection, wrong_side);
    assert_eq!(super::faults(&pair), ["out-of-order", "out-of-order"]);
}

#[test]
fn a_query_is_answered_only_when_its_readings_are_stored() {
    let mut pair = head_end("", "");
    attach(&mut pair, super::find("national").expect("a dialect"), "");
    pair.run_for(Duration::from_secs(2));
    pair.fate = Fate::Hold;
    order(&mut pair, 1, Order::Query { from: None, to: None });
    pair.run_for(Duration::from_secs(1));
    assert_eq!(states(&pair, 1), [CommandState::Sent]);
    pair.release(Fate::Fail);
    assert!(matches!(states(&pair, 1).last(), Some(CommandState::Failed(_))));
}

#[test]
fn a_frame_that_nobody_asked_for_waits_for_a_pause() {
    let mut pair = head_end("gap_ms = 200", "");
    let hand = Hand::new(&mut pair, "zhejiang");
    hand.log_in(&mut pair);
    let answers = hand.say(&mut pair, &Talk::Device(crate::logger::xml::Element::new("device", "")));
    assert!(matches!(answers.as_slice(), [Message::Talk(Talk::DeviceAck)]), "{answers:?}");
    pair.run_for(Duration::from_millis(199));
    assert!(pair.take_received(hand.connection).is_empty());
    pair.run_for(Duration::from_millis(1));
    let mut listener = hand;
    // What we ask of ourselves answers no frame, so it has the dialect's own sequence.
    listener.sequence = listener.dialect.sequence.expect("it has one");
    let asked = listener.hear(&mut pair);
    assert!(matches!(asked.as_slice(), [Message::Talk(Talk::Archives)]), "{asked:?}");
}

#[test]
fn an_order_without_an_answer_expires() {
    let mut pair = head_end("command_s = 7.0", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    order(&mut pair, 1, Order::Describe);
    order(&mut pair, 2, Order::Describe);
    pair.run_for(Duration::from_secs(8));
    assert_eq!(states(&pair, 1), [CommandState::Sent, CommandState::Expired]);
    assert_eq!(states(&pair, 2), [CommandState::Sent]);
    pair.tell(hand.connection, Input::Shutdown(CloseReason::Stopping));
    assert!(matches!(states(&pair, 2).last(), Some(CommandState::Failed(_))));
}

#[test]
fn an_order_that_cannot_be_said_fails_alone() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "supcon");
    hand.log_in(&mut pair);
    let line = ControlLine { meter: "1".to_owned(), hex: "00".repeat(40_000), timeout_ms: 200, retries: 1 };
    order(&mut pair, 1, Order::Control { lines: vec![line] });
    order(&mut pair, 2, Order::Describe);
    pair.run_for(Duration::from_secs(1));
    assert!(matches!(states(&pair, 1).as_slice(), [CommandState::Failed(_)]), "{:?}", states(&pair, 1));
    assert_eq!(states(&pair, 2), [CommandState::Sent]);
}

#[test]
fn an_order_reaches_a_device_that_never_pauses() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    for id in 1..3 {
        order(&mut pair, id, Order::Describe);
    }
    let mut hand = hand;
    for _ in 0..400 {
        hand.say(&mut pair, &Talk::Notify { note: String::new() });
        pair.run_for(Duration::from_millis(100));
        hand.sequence = [0; 4];
        if states(&pair, 1).len() == 1 {
            hand.say(&mut pair, &Talk::ArchivesAck(crate::logger::xml::Element::new("instruction", "")));
        }
    }
    assert_eq!((states(&pair, 1).len(), states(&pair, 2).len()), (2, 2));
}

#[test]
fn an_order_to_a_device_that_is_not_in_fails_at_once() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.request(&mut pair);
    order(&mut pair, 1, Order::Describe);
    assert!(matches!(states(&pair, 1).as_slice(), [CommandState::Failed(_)]));
}
