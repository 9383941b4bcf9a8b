//! Whatever happens in whatever order: what must always hold.

use std::time::Duration;

use loggerhead_model::{CommandId, Order, Origin, Report, Ticket};
use proptest::prelude::*;

use super::{
    acknowledging, assert_committed_before_delivered, attach, head_end, kept_values, report, table, values_of,
};
use crate::logger::PROTOCOL;
use crate::logger::dialect::find;
use crate::pair::{Fate, Happening, Pair, Wire};
use crate::{CloseReason, Input};

#[derive(Clone, Copy, Debug)]
enum Operation {
    Offer { resumed: bool },
    Run { ms: u64 },
    Fate(Fate),
    Release(Fate),
    Wire(Wire),
    Reachable(bool),
    Shutdown,
    Command,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Commit),
        Just(Fate::Fail),
        Just(Fate::Hold),
        (1..5000_u64).prop_map(|ms| Fate::CommitAfter(Duration::from_millis(ms))),
    ]
}

fn wire() -> impl Strategy<Value = Wire> {
    let cut = proptest::option::of(0..3000_usize);
    let damage = proptest::option::of((0..3000_usize, 1..255_u8));
    (1..2000_usize, cut.clone(), cut, damage).prop_map(|(piece_bytes_max, cut_up_after, cut_down_after, damage_up)| {
        Wire { piece_bytes_max, cut_up_after, cut_down_after, damage_up }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => any::<bool>().prop_map(|resumed| Operation::Offer { resumed }),
        4 => (0..20_000_u64).prop_map(|ms| Operation::Run { ms }),
        2 => fate().prop_map(Operation::Fate),
        2 => fate().prop_map(Operation::Release),
        2 => wire().prop_map(Operation::Wire),
        1 => any::<bool>().prop_map(Operation::Reachable),
        1 => Just(Operation::Shutdown),
        1 => Just(Operation::Command),
    ]
}

fn packet(origins: &[Origin], ticket: Ticket) -> Report {
    let origin = usize::try_from(ticket.0).ok().and_then(|place| origins.get(place)).copied();
    report(origin.unwrap_or(Origin::Live), ticket.0, 1)
}

fn act(pair: &mut Pair, origins: &mut Vec<Origin>, operation: Operation) {
    match operation {
        Operation::Offer { resumed } => {
            let ticket = Ticket(origins.len() as u64);
            origins.push(if resumed { Origin::Resumed } else { Origin::Live });
            pair.offer(ticket, packet(origins, ticket));
        }
        Operation::Run { ms } => pair.run_for(Duration::from_millis(ms)),
        Operation::Fate(fate) => pair.fate = fate,
        Operation::Release(fate) => pair.release(fate),
        Operation::Wire(wire) => pair.wire = wire,
        Operation::Reachable(reachable) => pair.reachable = reachable,
        Operation::Shutdown => {
            let newest = pair.happenings().filter(|what| matches!(what, Happening::Opened)).count();
            pair.tell(newest.saturating_sub(1), Input::Shutdown(CloseReason::Stopping));
        }
        Operation::Command => {
            let id = CommandId(pair.log.len() as u64);
            pair.command(id, Order::Query { from: None, to: None });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every acknowledged packet was committed before, and once the trouble is over all of them are delivered.
    #[test]
    fn nothing_is_lost_and_nothing_delivered_that_is_not_stored(
        dialect in 0..7_usize,
        operations in proptest::collection::vec(operation(), 0..40),
    ) {
        // The seventh is a device that opens a connection for every message.
        let visiting = (find("shanghai").expect("a dialect"), "connections = 'per-message'");
        let (dialect, settings) = acknowledging().nth(dialect).unwrap_or(visiting);
        let mut pair = head_end("", "");
        attach(&mut pair, dialect, settings);
        let mut origins = Vec::new();
        for mut operation in operations {
            // Without a check in its frames a dialect cannot tell a damaged value from a true one.
            if let Operation::Wire(wire) = &mut operation && dialect.crc.is_none() {
                wire.damage_up = None;
            }
            act(&mut pair, &mut origins, operation);
        }
        assert_committed_before_delivered(&pair, &|ticket| packet(&origins, ticket));
        pair.wire = Wire::default();
        pair.fate = Fate::Commit;
        pair.reachable = true;
        pair.release(Fate::Commit);
        pair.run_for(Duration::from_mins(30));
        let mut delivered = pair.delivered();
        delivered.sort_unstable();
        let all: Vec<Ticket> = (0..origins.len() as u64).map(Ticket).collect();
        prop_assert_eq!(&delivered, &all, "{}", dialect.name);
        let mut kept = kept_values(&pair);
        kept.sort_unstable();
        let mut wanted = values_of(all.iter().map(|&ticket| packet(&origins, ticket)));
        wanted.sort_unstable();
        prop_assert_eq!(kept, wanted, "{}", dialect.name);
        assert_committed_before_delivered(&pair, &|ticket| packet(&origins, ticket));
    }

    /// Bytes of any kind are survived by both sides, and nothing is stored for them.
    #[test]
    fn no_bytes_break_a_session(bytes in proptest::collection::vec(any::<u8>(), 0..4000), head in 0..7_usize) {
        let heads: [&[u8]; 7] = [
            b"", b"\x68\x68\x16\x16", b"\x55\xaa\x55\xaa", b"\x1f\x1f\x01", b"\x8b\xae\x9b\x01", b"<?xml", b"\0\0\0\x10",
        ];
        let mut pair = head_end("", "");
        let connection = pair.connect();
        pair.send(connection, heads[head]);
        pair.send(connection, &bytes);
        pair.run_for(Duration::from_secs(20));
        prop_assert!(pair.kept.is_empty());
        prop_assert!(!pair.is_open(connection));
        let opening = pair.opening();
        let settings = table("aes_key = 'text:0000000000123456'");
        let mut device = (PROTOCOL.device)(&settings, opening).expect("settings");
        // Every fault of a head-end is the device's to survive.
        prop_assert!(device.handle(pair.now(), Input::Connected).is_ok());
        prop_assert!(device.handle(pair.now(), Input::Bytes(heads[head])).is_ok());
        prop_assert!(device.handle(pair.now(), Input::Bytes(&bytes)).is_ok());
    }
}
