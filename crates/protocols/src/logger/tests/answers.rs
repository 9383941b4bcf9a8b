//! Every answer to data, in every dialect: what is acknowledged, and what must not be.

use std::time::Duration;

use loggerhead_model::{Direction, EventKind, Origin, Report, Ticket};

use super::{
    Hand, acknowledging, assert_committed_before_delivered, attach, faults, head_end, kept_values, report, values_of,
};
use crate::logger::dialect::{ALL_DIALECTS, DataAnswer};
use crate::logger::message::{Ack, DataHead, DataKind, IdStyle, Message, Talk};
use crate::pair::{Fate, Happening, Pair, Wire};

const PACKETS: u64 = 12;

/// Backlog first, then what is measured now.
fn packet(ticket: Ticket) -> Report {
    report(if ticket.0 < PACKETS / 2 { Origin::Resumed } else { Origin::Live }, ticket.0, 2)
}

/// Answers that a device can wait for, to backlog and to what is sent as it is measured.
fn answers() -> impl Iterator<Item = (DataAnswer, DataAnswer)> {
    let to_backlog = DataAnswer::ALL.into_iter().filter(|answer| *answer != DataAnswer::Nothing);
    let to_reports = [DataAnswer::ReportAck, DataAnswer::EnergyOk, DataAnswer::DataAck, DataAnswer::RecordArrive];
    // An answer without a number that may be for either kind would be taken for the other's.
    let as_well = move |answer: DataAnswer| to_reports.contains(&answer).then_some(answer);
    to_backlog.map(move |answer| (answer, as_well(answer).unwrap_or(DataAnswer::ReportAck)))
}

fn all_delivered(pair: &Pair, hint: &str) {
    let mut delivered = pair.delivered();
    delivered.sort_unstable();
    assert_eq!(delivered, (0..PACKETS).map(Ticket).collect::<Vec<_>>(), "{hint}: {:#?}", pair.log);
    assert_committed_before_delivered(pair, &packet);
    let mut kept = kept_values(pair);
    kept.sort_unstable();
    let mut wanted = values_of((0..PACKETS).map(|ticket| packet(Ticket(ticket))));
    wanted.sort_unstable();
    assert_eq!(kept, wanted, "{hint}");
}

/// Every dialect with every answer, after `trouble`.
fn every_answer(trouble: &dyn Fn(&mut Pair)) {
    for dialect in ALL_DIALECTS {
        for (to_backlog, to_reports) in answers() {
            let settings =
                format!("continuous_answer = '{}'\nreport_answer = '{}'", to_backlog.word(), to_reports.word());
            let mut pair = head_end("", &settings);
            attach(&mut pair, dialect, &format!("describe = false\nreconnect_ms = 2000\n{settings}"));
            pair.run_for(Duration::from_secs(2));
            trouble(&mut pair);
            for ticket in 0..PACKETS {
                pair.offer(Ticket(ticket), packet(Ticket(ticket)));
            }
            pair.run_for(Duration::from_secs(15));
            assert_committed_before_delivered(&pair, &packet);
            pair.wire = Wire::default();
            pair.fates.clear();
            pair.fate = Fate::Commit;
            pair.run_for(Duration::from_mins(2));
            all_delivered(&pair, &format!("{} {settings}", dialect.name));
        }
    }
}

#[test]
fn every_answer_to_data_reaches_a_device_of_every_dialect() {
    every_answer(&|_| {});
}

#[test]
fn no_answer_speaks_for_what_the_store_lost() {
    for lost in [0, 2, 7] {
        every_answer(&|pair| {
            pair.fates = (0..lost).map(|_| Fate::Commit).chain([Fate::Fail]).collect();
        });
    }
}

#[test]
fn every_answer_may_be_lost() {
    for cut in [150, 700] {
        every_answer(&|pair| {
            let sent = pair
                .happenings()
                .map(|what| if let Happening::Sent(Direction::Out, bytes) = what { bytes.len() } else { 0 });
            let cut_down_after = Some(sent.sum::<usize>() + cut);
            pair.wire = Wire { cut_down_after, ..Wire::default() };
        });
    }
}

/// A packet of a backlog of `total`.
fn backlog(hand: &Hand, current: u64, total: u64) -> bytes::BytesMut {
    let mut out = bytes::BytesMut::new();
    let at = loggerhead_model::Timestamp::from_unix_ms(1_767_225_600_000);
    let mut head = DataHead::new(DataKind::Continuous, at);
    (head.current, head.total) = (Some(current), Some(total));
    crate::logger::encode::encode_data(&hand.sending(), &head, &report(Origin::Resumed, current, 1), &mut out)
        .expect("it can be written");
    out
}

#[test]
fn a_whole_backlog_is_acknowledged_only_when_nothing_of_it_is_missing() {
    for (answer, dialect, end) in [
        ("at-end", "national", Ack::Continuous { number: None }),
        ("record-arrive", "supcon", Ack::Continuous { number: None }),
    ] {
        let mut pair = head_end("", &format!("continuous_answer = '{answer}'"));
        let hand = Hand::new(&mut pair, dialect);
        hand.log_in(&mut pair);
        let ends = |messages: &[Message]| messages.iter().any(|what| matches!(what, Message::Ack(ack) if *ack == end));
        for current in 1..4 {
            pair.fate = if current == 2 { Fate::Fail } else { Fate::Commit };
            let answers = hand.send(&mut pair, &backlog(&hand, current, 3));
            assert!(!ends(&answers), "{answer}: packet 2 is missing, {answers:?}");
        }
        assert!(!ends(&hand.send(&mut pair, &backlog(&hand, 3, 3))), "{answer}: packet 2 is still missing");
        hand.send(&mut pair, &backlog(&hand, 2, 3));
        assert!(ends(&hand.send(&mut pair, &backlog(&hand, 3, 3))), "{answer}");
    }
}

#[test]
fn a_device_that_asks_may_send_what_it_kept() {
    for (dialect, settings) in acknowledging() {
        let mut pair = head_end("", "");
        attach(&mut pair, dialect, &format!("ask_history = true\ndescribe = false\n{settings}"));
        for ticket in 0..PACKETS {
            pair.offer(Ticket(ticket), packet(Ticket(ticket)));
        }
        pair.run_for(Duration::from_mins(1));
        all_delivered(&pair, dialect.name);
        assert!(faults(&pair).is_empty(), "{}", dialect.name);
        let mut pair = head_end("", "");
        let hand = Hand::new(&mut pair, dialect.name);
        hand.log_in(&mut pair);
        let answers = hand.say(&mut pair, &Talk::AutoHistory);
        assert!(matches!(answers.as_slice(), [Message::Talk(Talk::AutoHistoryAck)]), "{answers:?}");
    }
}

#[test]
fn a_device_that_describes_itself_is_known_by_it_in_every_dialect() {
    for (dialect, settings) in acknowledging() {
        let mut pair = head_end("after_login = 'archives'", "");
        attach(&mut pair, dialect, &format!("describe = true\n{settings}"));
        pair.run_for(Duration::from_secs(3));
        let learnt = &pair.enrolled.values().next().expect("one device").learnt;
        assert_eq!(learnt.get("factory").map(String::as_str), Some("simulated"), "{}", dialect.name);
        let told =
            pair.kept.iter().flat_map(|records| &records.events).filter(|event| event.kind == EventKind::DeviceInfo);
        assert_eq!(told.count(), 2, "{}: of itself, and of its meters", dialect.name);
    }
}

#[test]
fn the_usual_answers_are_those_of_the_dialect_and_of_who_is_named() {
    let answer = |dialect: &str, style: IdStyle, kind: DataKind, listener: &str| {
        let mut pair = head_end(listener, "");
        let mut hand = Hand::new(&mut pair, dialect);
        hand.envelope.style = style;
        hand.log_in(&mut pair);
        let frame = match kind {
            DataKind::Continuous => backlog(&hand, 1, 3),
            DataKind::Report | DataKind::Reply => hand.data(kind, &report(Origin::Live, 1, 1)),
        };
        match hand.send(&mut pair, &frame).as_slice() {
            [] => "nothing".to_owned(),
            [Message::Ack(ack)] => format!("{ack:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
            other => panic!("{other:?}"),
        }
    };
    for (dialect, report, continuous) in [
        ("national", "Report", "Report"),
        ("zhejiang", "Report", "Report"),
        ("shanghai", "Energy", "Energy"),
        ("supcon", "Data", "Data"),
        ("bare", "nothing", "Continuous"),
        ("plain", "nothing", "Continuous"),
    ] {
        assert_eq!(answer(dialect, IdStyle::Building, DataKind::Report, ""), report, "{dialect}");
        assert_eq!(answer(dialect, IdStyle::Building, DataKind::Continuous, ""), continuous, "{dialect}");
        let none = "report_answer = 'none'\ncontinuous_answer = 'none'";
        assert_eq!(answer(dialect, IdStyle::Building, DataKind::Report, none), "nothing", "{dialect}");
        assert_eq!(answer(dialect, IdStyle::Building, DataKind::Continuous, none), "nothing", "{dialect}");
    }
    assert_eq!(answer("national", IdStyle::Project, DataKind::Report, ""), "nothing");
    assert_eq!(answer("national", IdStyle::Project, DataKind::Continuous, ""), "Continuous");
}
