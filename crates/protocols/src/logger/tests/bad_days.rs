//! Lines that split, cut and damage; a store that fails; devices that fall silent.

use std::time::Duration;

use loggerhead_model::{Direction, EventKind, Origin, Report, ReportBuilder, Ticket};

use super::{
    Hand, acknowledging, assert_committed_before_delivered, attach, closed, faults, head_end, kept_values, report,
    values_of,
};
use crate::logger::message::{Ack, DataKind, Message, Talk};
use crate::pair::{Fate, Happening, Pair, Wire};
use crate::{CloseReason, Input};

const PACKETS: u64 = 2;
/// Long enough for a frame whose length was damaged to be given up.
const DAMAGE_SPAN: Duration = Duration::from_secs(90);

fn packet(ticket: Ticket) -> Report {
    report(if ticket.0 < 1 { Origin::Live } else { Origin::Resumed }, ticket.0, 1)
}

/// A whole conversation of three packets over `wire`, which is whole again after `repaired` seconds.
fn converse(dialect: &'static super::Dialect, settings: &str, wire: Wire, repaired: u64) -> Pair {
    let mut pair = head_end("", "");
    pair.wire = wire;
    // A quick reconnect, no description and no heartbeat keep the thousands of conversations of these tests short.
    attach(&mut pair, dialect, &format!("reconnect_ms = 400\nheartbeat_s = 100.0\ndescribe = false\n{settings}"));
    for ticket in 0..PACKETS {
        pair.offer(Ticket(ticket), packet(Ticket(ticket)));
    }
    pair.run_for(Duration::from_secs(repaired));
    pair.wire = Wire { piece_bytes_max: wire.piece_bytes_max, ..Wire::default() };
    pair.run_for(Duration::from_secs(45));
    pair
}

fn assert_all_there(pair: &Pair, hint: &dyn std::fmt::Display) {
    let mut delivered = pair.delivered();
    delivered.sort_unstable();
    assert_eq!(delivered, (0..PACKETS).map(Ticket).collect::<Vec<_>>(), "{hint}: {:#?}", pair.log);
    let mut kept = kept_values(pair);
    kept.sort_unstable();
    assert_eq!(kept, values_of((0..PACKETS).map(|ticket| packet(Ticket(ticket)))), "{hint}");
    assert_committed_before_delivered(pair, &packet);
}

#[test]
fn a_conversation_is_the_same_however_its_bytes_are_split() {
    for (dialect, settings) in acknowledging() {
        let whole = converse(dialect, settings, Wire::default(), 1);
        let talk = |pair: &Pair| -> Vec<(Direction, bytes::Bytes)> {
            pair.happenings()
                .filter_map(
                    |what| if let Happening::Sent(way, bytes) = what { Some((*way, bytes.clone())) } else { None },
                )
                .collect()
        };
        for piece_bytes_max in 1..60 {
            let wire = Wire { piece_bytes_max, ..Wire::default() };
            let split = converse(dialect, settings, wire, 1);
            assert_all_there(&split, &format!("{} in pieces of {piece_bytes_max}", dialect.name));
            assert_eq!(talk(&split).len(), talk(&whole).len(), "{} in pieces of {piece_bytes_max}", dialect.name);
            assert!(faults(&split).is_empty(), "{} in pieces of {piece_bytes_max}", dialect.name);
        }
    }
}

/// Bytes of one direction of a conversation that goes well.
fn bytes_sent(dialect: &'static super::Dialect, settings: &str, direction: Direction) -> usize {
    let pair = converse(dialect, settings, Wire::default(), 1);
    let sent = |what: &Happening| {
        if let Happening::Sent(way, bytes) = what
            && *way == direction
        {
            bytes.len()
        } else {
            0
        }
    };
    pair.happenings().map(sent).sum()
}

#[test]
fn a_line_cut_at_any_byte_from_the_device_loses_nothing() {
    for (dialect, settings) in acknowledging() {
        for cut in 0..=bytes_sent(dialect, settings, Direction::In) {
            let wire = Wire { cut_up_after: Some(cut), ..Wire::default() };
            assert_all_there(&converse(dialect, settings, wire, 1), &format_args!("{} cut after {cut}", dialect.name));
        }
    }
}

#[test]
fn a_line_cut_at_any_byte_from_the_head_end_loses_nothing() {
    for (dialect, settings) in acknowledging() {
        for cut in 0..=bytes_sent(dialect, settings, Direction::Out) {
            let wire = Wire { cut_down_after: Some(cut), ..Wire::default() };
            assert_all_there(&converse(dialect, settings, wire, 1), &format_args!("{} cut after {cut}", dialect.name));
        }
    }
}

#[test]
fn a_byte_damaged_anywhere_is_found_by_a_check_and_loses_nothing() {
    for (dialect, settings) in acknowledging().filter(|(dialect, _)| dialect.crc.is_some()) {
        for place in 0..bytes_sent(dialect, settings, Direction::In) {
            let wire = Wire { damage_up: Some((place, 0x5a)), ..Wire::default() };
            let mut pair = converse(dialect, settings, wire, 1);
            pair.run_for(DAMAGE_SPAN);
            assert_all_there(&pair, &format_args!("{} damaged at {place}", dialect.name));
            assert!(!faults(&pair).is_empty(), "{} damaged at {place}", dialect.name);
        }
    }
}

/// Without a check a damaged value is a value, but the device is rid of all its packets and the head-end goes on.
#[test]
fn a_byte_damaged_anywhere_holds_no_conversation_up() {
    for (dialect, settings) in acknowledging().filter(|(dialect, _)| dialect.crc.is_none()) {
        for place in 0..bytes_sent(dialect, settings, Direction::In) {
            let wire = Wire { damage_up: Some((place, 0x5a)), ..Wire::default() };
            let mut pair = converse(dialect, settings, wire, 1);
            pair.run_for(DAMAGE_SPAN);
            let mut delivered = pair.delivered();
            delivered.sort_unstable();
            let all: Vec<_> = (0..PACKETS).map(Ticket).collect();
            assert_eq!(delivered, all, "{} damaged at {place}: {:#?}", dialect.name, pair.log);
        }
    }
}

#[test]
fn a_store_that_fails_acknowledges_nothing_and_what_it_lost_comes_again() {
    for (dialect, settings) in acknowledging() {
        let mut pair = head_end("", "");
        attach(&mut pair, dialect, settings);
        pair.run_for(Duration::from_secs(8));
        pair.fate = Fate::Fail;
        for ticket in 0..PACKETS {
            pair.offer(Ticket(ticket), packet(Ticket(ticket)));
        }
        pair.run_for(Duration::from_secs(25));
        assert!(pair.delivered().is_empty(), "{}", dialect.name);
        pair.fate = Fate::CommitAfter(Duration::from_millis(300));
        pair.run_for(Duration::from_mins(2));
        assert_all_there(&pair, &dialect.name);
    }
}

#[test]
fn a_lost_packet_silences_what_was_in_flight_with_it() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    pair.fate = Fate::Hold;
    for number in 0..2 {
        hand.send(&mut pair, &hand.data(DataKind::Report, &report(Origin::Live, number, 1)));
    }
    pair.release(Fate::Fail);
    pair.fate = Fate::Commit;
    assert!(hand.hear(&mut pair).is_empty());
    // What follows would be taken for the acknowledgement of what was lost, until that has come again.
    assert!(hand.send(&mut pair, &hand.data(DataKind::Report, &report(Origin::Live, 3, 1))).is_empty());
    for number in [0, 1, 3, 4] {
        let answers = hand.send(&mut pair, &hand.data(DataKind::Report, &report(Origin::Live, number, 1)));
        assert!(matches!(answers.as_slice(), [Message::Ack(Ack::Report)]), "{answers:?}");
    }
}

#[test]
fn acknowledgements_keep_the_order_of_the_packets() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    pair.fates = [Fate::CommitAfter(Duration::from_secs(2)), Fate::Commit].into();
    for number in 0..2 {
        hand.send(&mut pair, &hand.data(DataKind::Report, &report(Origin::Live, number, 1)));
    }
    pair.run_for(Duration::from_secs(1));
    assert!(hand.hear(&mut pair).is_empty());
    pair.run_for(Duration::from_secs(2));
    assert_eq!(hand.hear(&mut pair).len(), 2);
}

#[test]
fn a_device_that_ends_its_side_still_gets_its_acknowledgement() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    pair.fate = Fate::Hold;
    hand.send(&mut pair, &hand.data(DataKind::Report, &report(Origin::Live, 0, 1)));
    pair.tell(hand.connection, Input::Eof);
    assert!(pair.is_open(hand.connection));
    pair.release(Fate::Commit);
    assert_eq!(hand.hear(&mut pair).len(), 1);
    assert_eq!(closed(&pair), ["closed by the device"]);
}

#[test]
fn a_stop_waits_for_the_store_but_not_for_ever() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    pair.fate = Fate::Hold;
    hand.send(&mut pair, &hand.data(DataKind::Report, &report(Origin::Live, 0, 1)));
    pair.tell(hand.connection, Input::Shutdown(CloseReason::Stopping));
    pair.run_for(Duration::from_secs(4));
    assert!(pair.is_open(hand.connection));
    pair.run_for(Duration::from_secs(1));
    assert_eq!(closed(&pair), ["the head-end is stopping"]);
}

#[test]
fn a_frame_over_its_limit_is_refused_before_it_comes() {
    for (dialect, head) in [
        ("national", &b"\x68\x68\x16\x16\xff\xff\xff\x7f\0\0\0\0"[..]),
        ("zhejiang", b"\x55\xaa\x55\xaa\xff\xff\xff\x7f\0\0\0\0"),
        ("shanghai", b"\x1f\x1f\x01\x7f\xff\xff\xff"),
        ("bare", b"\0\xff\xff\xf0aaaaaaaaaaaaaaaaaaaa"),
    ] {
        let mut pair = head_end("", "");
        let connection = pair.connect();
        pair.send(connection, head);
        pair.run_for(Duration::from_millis(1));
        assert_eq!(faults(&pair).first(), Some(&"too-large"), "{dialect}");
    }
}

#[test]
fn a_text_without_an_end_is_refused_at_the_limit() {
    for head in [&b"\x8b\xae\x9b\x0100f9<root>"[..], b"<?xml version=\"1.0\"?><root>"] {
        let mut pair = head_end("frame_bytes_max = 4096", "");
        let connection = pair.connect();
        pair.send(connection, head);
        for _ in 0..100 {
            pair.send(connection, &[b'a'; 100]);
        }
        assert_eq!(faults(&pair).first(), Some(&"too-large"));
    }
}

#[test]
fn a_frame_that_does_not_come_to_its_end_holds_up_no_other() {
    for (dialect, head) in [
        ("national", &b"\x68\x68\x16\x16\x04\x40\0\0\0\0\0\0"[..]),
        ("zhejiang", b"\x55\xaa\x55\xaa\x04\x40\0\0\0\0\0\0"),
        ("shanghai", b"\x1f\x1f\x03\0\0\x40\0"),
    ] {
        let mut pair = head_end("", "");
        let hand = Hand::new(&mut pair, dialect);
        hand.log_in(&mut pair);
        pair.send(hand.connection, head);
        let beat = Talk::Notify { note: String::new() };
        assert!(hand.say(&mut pair, &beat).is_empty(), "{dialect}");
        pair.run_for(Duration::from_secs(61));
        assert_eq!(hand.hear(&mut pair).len(), 1, "{dialect}");
        assert_eq!(hand.say(&mut pair, &beat).len(), 1, "{dialect}");
        assert_eq!(faults(&pair), ["malformed"], "{dialect}");
    }
}

#[test]
fn a_dialect_without_heads_that_is_out_of_step_is_given_up() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "bare");
    hand.log_in(&mut pair);
    pair.send(hand.connection, b"\0\0\x40\0");
    pair.run_for(Duration::from_mins(1));
    assert!(!pair.is_open(hand.connection));
    assert_eq!(faults(&pair), ["malformed"]);
}

#[test]
fn a_slow_line_may_take_its_time_over_a_large_frame() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    let frame = hand.data(DataKind::Report, &report(Origin::Live, 1, 500));
    for piece in frame.chunks(frame.len() / 4) {
        pair.send(hand.connection, piece);
        pair.run_for(Duration::from_secs(50));
    }
    assert_eq!(hand.hear(&mut pair).len(), 1);
    assert!(faults(&pair).is_empty());
}

#[test]
fn empty_data_is_acknowledged_and_unknown_messages_are_kept_for_people() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    let empty = ReportBuilder::new(Origin::Live, 0, 0).finish();
    let answers = hand.send(&mut pair, &hand.data(DataKind::Report, &empty));
    assert!(matches!(answers.as_slice(), [Message::Ack(Ack::Report)]), "{answers:?}");
    assert!(pair.kept[0].report.is_none());
    let unknown = Talk::Unknown { kind: "pack_lost".to_owned(), body: None };
    assert!(hand.say(&mut pair, &unknown).is_empty());
    assert_eq!(pair.kept[1].events[0].kind, EventKind::UnknownMessage);
    assert!(faults(&pair).is_empty() && pair.is_open(hand.connection));
}

#[test]
fn the_frame_is_kept_with_its_plain_text() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    let frame = hand.data(DataKind::Report, &report(Origin::Live, 0, 1));
    hand.send(&mut pair, &frame);
    let kept = pair.kept[0].frame.as_ref().expect("it is kept");
    assert_eq!(kept.bytes.len(), frame.len());
    assert!(kept.bytes.windows(6).any(|text| text == b"<data "));
}

#[test]
fn another_device_on_the_connection_is_not_believed() {
    let mut pair = head_end("", "");
    let mut hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    hand.envelope.gateway = "02".into();
    assert!(hand.send(&mut pair, &hand.data(DataKind::Report, &report(Origin::Live, 0, 1))).is_empty());
    assert_eq!(faults(&pair), ["not-proven"]);
    assert!(pair.kept.is_empty());
}

#[test]
fn a_silent_device_is_given_up_by_its_own_rhythm() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    let beat = Talk::Notify { note: String::new() };
    for _ in 0..4 {
        pair.run_for(Duration::from_mins(9));
        assert_eq!(hand.say(&mut pair, &beat).len(), 1);
    }
    pair.run_for(Duration::from_mins(22));
    assert!(pair.is_open(hand.connection), "2.5 times nine minutes are not over");
    pair.run_for(Duration::from_mins(1));
    assert_eq!(closed(&pair), ["silent for 1350 s"]);
    let expected: Vec<Duration> = pair
        .happenings()
        .filter_map(|what| if let Happening::ExpectWithin(span) = what { Some(*span) } else { None })
        .collect();
    assert_eq!(expected, [Duration::from_mins(10), Duration::from_secs(1350)]);
}

#[test]
fn the_interval_of_a_device_without_heartbeats_is_learnt_from_its_own_times() {
    let mut pair = head_end("", "");
    for number in 0..2 {
        let hand = Hand::new(&mut pair, "national");
        hand.log_in(&mut pair);
        let mut out = bytes::BytesMut::new();
        let at = loggerhead_model::Timestamp::from_unix_ms(1_767_225_600_000 + number * 1_800_000);
        let head = crate::logger::message::DataHead::new(DataKind::Report, at);
        crate::logger::encode::encode_data(&hand.sending(), &head, &report(Origin::Live, 1, 1), &mut out)
            .expect("it can be written");
        hand.send(&mut pair, &out);
        pair.run_for(Duration::from_mins(30));
        assert_eq!(pair.is_open(hand.connection), number == 1);
    }
}

#[test]
fn a_head_end_that_never_answers_is_left_and_tried_again() {
    let mut pair = head_end("", "");
    attach(&mut pair, super::find("national").expect("a dialect"), "answer_s = 5.0\nreconnect_ms = 1000");
    // Nothing that the head-end says arrives.
    pair.wire = Wire { cut_down_after: Some(0), ..Wire::default() };
    pair.run_for(Duration::from_mins(5));
    let opened = pair.happenings().filter(|what| matches!(what, Happening::Opened)).count();
    assert!((8..40).contains(&opened), "{opened}");
    pair.reachable = false;
    pair.run_for(Duration::from_mins(5));
    pair.reachable = true;
    pair.wire = Wire::default();
    pair.offer(Ticket(0), packet(Ticket(0)));
    pair.run_for(Duration::from_secs(31));
    assert_eq!(pair.delivered(), [Ticket(0)]);
}

#[test]
fn a_flood_that_does_not_wait_is_bounded() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    pair.fate = Fate::Hold;
    let frame = hand.data(DataKind::Continuous, &report(Origin::Resumed, 1, 1));
    for _ in 0..2000 {
        hand.send(&mut pair, &frame);
    }
    let asked = pair.happenings().filter(|what| matches!(what, Happening::Asked(_))).count();
    assert_eq!(asked, 1024);
    pair.fate = Fate::Commit;
    pair.release(Fate::Commit);
    assert_eq!(hand.hear(&mut pair).len(), 2000);
}

#[test]
fn the_interval_of_a_device_is_learnt_from_what_it_says_of_itself() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "zhejiang");
    hand.log_in(&mut pair);
    let mut device = crate::logger::xml::Element::new("device", "");
    device.children.push(crate::logger::xml::Element::new("period", "30"));
    assert_eq!(hand.say(&mut pair, &Talk::Device(device)).len(), 1);
    pair.run_for(Duration::from_mins(74));
    assert!(pair.is_open(hand.connection));
    pair.run_for(Duration::from_mins(1));
    assert_eq!(closed(&pair), ["silent for 4500 s"]);
}
