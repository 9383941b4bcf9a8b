//! What happens when nothing goes wrong.

use std::time::Duration;

use loggerhead_model::{EventKind, Origin, Ticket};

use super::{acknowledging, assert_committed_before_delivered, attach, head_end, kept_values, report, values_of};
use crate::pair::{Fate, Happening};

fn packet(ticket: Ticket) -> loggerhead_model::Report {
    report(if ticket.0 < 4 { Origin::Live } else { Origin::Resumed }, ticket.0, 3)
}

#[test]
fn every_dialect_logs_in_and_has_its_readings_stored_and_acknowledged() {
    for (dialect, settings) in acknowledging() {
        let mut pair = head_end("", "");
        attach(&mut pair, dialect, settings);
        pair.run_for(Duration::from_secs(8));
        let logins = pair.happenings().filter(|what| matches!(what, Happening::Accepted(_))).count();
        assert_eq!(logins, 1, "{}: {:#?}", dialect.name, pair.log);
        for ticket in 0..8 {
            pair.offer(Ticket(ticket), packet(Ticket(ticket)));
        }
        pair.run_for(Duration::from_mins(1));
        assert_eq!(pair.delivered(), (0..8).map(Ticket).collect::<Vec<_>>(), "{}: {:#?}", dialect.name, pair.log);
        assert_eq!(kept_values(&pair), values_of((0..8).map(|ticket| packet(Ticket(ticket)))), "{}", dialect.name);
        assert_committed_before_delivered(&pair, &packet);
        let faults: Vec<_> =
            pair.happenings().filter(|what| matches!(what, Happening::Fault(_) | Happening::Broken(_))).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", dialect.name);
        let unknown =
            pair.kept.iter().flat_map(|records| &records.events).any(|event| event.kind == EventKind::UnknownMessage);
        assert!(!unknown, "{}", dialect.name);
    }
}

#[test]
fn ack_waits_for_commit() {
    for (dialect, settings) in acknowledging() {
        let mut pair = head_end("", "");
        attach(&mut pair, dialect, settings);
        pair.run_for(Duration::from_secs(8));
        pair.fate = Fate::Hold;
        pair.offer(Ticket(0), packet(Ticket(0)));
        pair.run_for(Duration::from_secs(5));
        assert!(pair.delivered().is_empty(), "{}", dialect.name);
        pair.release(Fate::Commit);
        assert_eq!(pair.delivered(), [Ticket(0)], "{}", dialect.name);
    }
}
