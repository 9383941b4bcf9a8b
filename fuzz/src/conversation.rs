//! Both sides of a conversation while the store, the line and the clock do what they like.

use std::time::Duration;

use loggerhead_model::{CommandId, Order, Origin, Quality, Reading, Report, ReportBuilder, Ticket, Timestamp, Value};
use loggerhead_protocols::pair::{Fate, Happening, Pair, Wire};
use loggerhead_protocols::{CloseReason, Input};

use crate::choices::Choices;
use crate::peers::{self, Checks};

/// Most packets that are offered; a device's queue holds more.
const PACKETS_MAX: usize = 64;
/// Longest that the trouble lasts. Without an end an input of nothing but pauses plays whole days of resent packets.
const TROUBLE: Duration = Duration::from_mins(30);
/// Long enough for every wait of either side, one after another.
const RECOVERY: Duration = Duration::from_hours(1);

/// A packet is delivered only after its commit, and all of them are once the trouble is over.
///
/// Where damage cannot be found, a damaged packet may stand in the store as another one, or as none: then only the second
/// half holds.
///
/// # Panics
/// When one is not.
pub fn conversation(input: &[u8]) {
    let mut choices = Choices::new(input);
    let protocol = choices.protocol();
    let settings = choices.below(peers::SETTINGS);
    let mut pair = peers::head_end(protocol, settings);
    let device = peers::device(protocol, settings, &mut pair);
    pair.attach(device);
    let finds_damage = peers::checks(protocol, settings) == Checks::Believed;
    let mut offered = 0;
    // What nobody is told of cannot be told too early.
    let mut is_true = peers::is_told(protocol);
    while !choices.is_empty() {
        act(&mut pair, &mut offered, peers::reports(protocol), &mut choices);
        if !peers::finds_damage(protocol) {
            pair.wire.damage_up = None;
        }
        is_true &= finds_damage || pair.wire.damage_up.is_none();
    }
    if is_true {
        assert_delivered_after_commit(&pair);
    }
    pair.wire = Wire::default();
    pair.fates.clear();
    pair.fate = Fate::Commit;
    pair.reachable = true;
    pair.release(Fate::Commit);
    pair.run_for(RECOVERY);
    if is_true {
        assert_delivered_after_commit(&pair);
    }
    if !peers::is_told(protocol) {
        return;
    }
    let mut delivered = pair.delivered();
    delivered.sort_unstable();
    let all: Vec<_> = (0..offered).map(|number| Ticket(number as u64)).collect();
    assert_eq!(delivered, all, "delivered and offered differ");
}

fn act(pair: &mut Pair, offered: &mut usize, reports: bool, choices: &mut Choices<'_>) {
    match choices.below(9) {
        0 | 1 => {
            if reports && *offered < PACKETS_MAX {
                let origin = if choices.below(2) == 0 { Origin::Live } else { Origin::Resumed };
                pair.offer(Ticket(*offered as u64), packet(origin, *offered));
                *offered += 1;
            }
        }
        2 => {
            let left = TROUBLE.saturating_sub(pair.now().elapsed);
            pair.run_for(Duration::from_millis(choices.number() as u64).min(left));
        }
        3 => {
            let fate = fate(choices);
            pair.fates.push_back(fate);
        }
        4 => {
            let fate = fate(choices);
            pair.release(fate);
        }
        5 => pair.wire = wire(choices),
        6 => pair.reachable = choices.below(2) == 0,
        7 => {
            let newest = pair.happenings().filter(|what| matches!(what, Happening::Opened)).count();
            pair.tell(newest.saturating_sub(1), Input::Shutdown(CloseReason::Stopping));
        }
        _ => {
            let id = CommandId(pair.log.len() as u64);
            pair.command(id, Order::Query { from: None, to: None });
        }
    }
}

fn fate(choices: &mut Choices<'_>) -> Fate {
    match choices.below(4) {
        0 => Fate::Commit,
        1 => Fate::CommitAfter(Duration::from_millis(choices.number() as u64)),
        2 => Fate::Fail,
        _ => Fate::Hold,
    }
}

fn wire(choices: &mut Choices<'_>) -> Wire {
    let sometimes = |choices: &mut Choices<'_>| (choices.below(2) == 1).then(|| choices.number());
    Wire {
        cut_up_after: sometimes(choices),
        cut_down_after: sometimes(choices),
        damage_up: sometimes(choices).map(|place| (place, choices.byte().max(1))),
        piece_bytes_max: choices.number().max(1),
    }
}

/// A packet of one reading, whose value is its number.
fn packet(origin: Origin, number: usize) -> Report {
    let mut builder = ReportBuilder::new(origin, 0, 1);
    builder.meter("1", "").expect("one meter fits");
    let value = number.to_string();
    let reading = Reading {
        meter: "1",
        function: "1",
        coding: "01A10",
        code: "192",
        quality: Quality::Good,
        measured_at: Timestamp::from_unix_ms(1_767_225_600_000),
        value: Value::parse(&value),
        attributes: "",
    };
    builder.reading(&reading).expect("one reading fits");
    builder.finish()
}

/// Reads the log in order: what is delivered was committed further up.
fn assert_delivered_after_commit(pair: &Pair) {
    let mut committed = Vec::new();
    for what in pair.happenings() {
        if let Happening::Committed(_, place) = what {
            let records = pair.kept.get(*place).expect("a commit names what it kept");
            let readings = records.report.iter().flat_map(Report::readings);
            committed.extend(readings.map(|reading| reading.value.to_string()));
        }
        if let Happening::FileKept(bytes) = what {
            let lines = String::from_utf8_lossy(bytes);
            committed.extend(lines.lines().filter_map(|line| Some(line.rsplit_once(',')?.1.to_owned())));
        }
        if let Happening::Delivered(ticket) = what {
            assert!(committed.contains(&ticket.0.to_string()), "{ticket:?} was delivered before its commit");
        }
    }
}
