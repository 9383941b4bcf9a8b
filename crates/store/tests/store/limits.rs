//! What devices may make the store remember has limits; who is over one is not acknowledged, and nobody else is held up.

use std::ops::ControlFlow;
use std::sync::Arc;

use loggerhead_model::{EventKind, Origin, Quality, Reading, Records, ReportBuilder, Ticket, Timestamp, Value};
use loggerhead_store::{EventFilter, Limits, Options, Reply, Store};

use crate::common::{Outcomes, Point, lines, packet, store_packet};

fn limited(directory: &std::path::Path) -> Store {
    let limits = Limits { devices: 3, channels_per_device: 2, channels: 4, tags_per_device: 2, tags: 3 };
    Store::open(directory, Options { limits, ..Options::default() }).expect("a store")
}

const fn point(meter: &str, at: i64) -> Point<'_> {
    Point { meter, function: "1", at, value: "5" }
}

/// A packet of one reading with a code of its own.
fn tagged(name: &str, meter: &str, code: &str, at: i64) -> Records {
    let mut builder = ReportBuilder::new(Origin::Live, 0, 1);
    builder.meter(meter, "").expect("room");
    let reading = Reading {
        meter,
        function: "1",
        coding: "01A10",
        code,
        quality: Quality::Good,
        measured_at: Timestamp::from_unix_ms(at),
        value: Value::parse("5"),
        attributes: "",
    };
    builder.reading(&reading).expect("room");
    Records { report: Some(builder.finish()), ..packet(name, &[]) }
}

fn refusals(store: &Store) -> Vec<String> {
    let filter = EventFilter { kind: Some(EventKind::Refused), ..EventFilter::default() };
    let mut found = Vec::new();
    let read = store.reader().events(&filter, &mut |stored| {
        let device = stored.event.device.as_ref().map_or("", |device| device.as_str());
        found.push(format!("{device}: {}", stored.event.text));
        ControlFlow::Continue(())
    });
    read.expect("a readable store");
    found
}

#[tokio::test]
async fn who_is_over_a_limit_is_not_acknowledged_and_nobody_else_is_held_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = limited(directory.path());
    assert!(store_packet(&store, packet("hostile", &[point("1", 1), point("2", 1)])).await);
    // Queued together, they are committed together.
    let outcomes = Arc::new(Outcomes::default());
    let packets = [
        packet("good", &[point("1", 1)]),
        packet("hostile", &[point("1", 2), point("3", 2)]),
        packet("hostile", &[point("4", 3)]),
        packet("good", &[point("1", 2)]),
        packet("hostile", &[point("1", 4), point("2", 4)]),
    ];
    for (ticket, records) in (0..).zip(packets) {
        let reply = Reply { ticket: Ticket(ticket), to: outcomes.clone() };
        store.submit(records, Some(reply)).await;
    }
    let mut seen = outcomes.all(5).await;
    seen.sort();
    let stored: Vec<bool> = seen.into_iter().map(|(_, stored)| stored).collect();
    assert_eq!(stored, [true, false, false, true, true]);
    let expected =
        ["good 1 1 1 5", "good 1 1 2 5", "hostile 1 1 1 5", "hostile 1 1 4 5", "hostile 2 1 1 5", "hostile 2 1 4 5"];
    assert_eq!(lines(&store.reader()), expected, "of a refused packet nothing is kept");
    let said = "hostile: packets are not stored and not acknowledged: more than 2 channels of one device (store.limits.channels_per_device)";
    assert_eq!(refusals(&store), [said], "it is said once an hour");
    let health = store.health();
    assert_eq!((health.refused, health.devices, health.channels), (2, 2, 3));
    assert!(health.is_ok());
}

#[tokio::test]
async fn each_limit_holds_in_all_and_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    for restarted in [false, true] {
        let store = limited(directory.path());
        let at = i64::from(restarted) * 10;
        assert!(store_packet(&store, tagged("a", "1", "1", at)).await);
        assert!(store_packet(&store, tagged("a", "1", "2", at + 1)).await);
        assert!(!store_packet(&store, tagged("a", "1", "3", at + 2)).await, "a third tag of one device");
        assert!(store_packet(&store, tagged("b", "1", "1", at)).await, "a tag that is known");
        assert!(store_packet(&store, tagged("b", "1", "4", at + 1)).await);
        assert!(!store_packet(&store, tagged("b", "1", "5", at + 2)).await, "a fourth tag in all");
        assert!(store_packet(&store, tagged("c", "1", "1", at)).await);
        assert!(!store_packet(&store, tagged("d", "1", "1", at)).await, "a fourth device");
        let long = "x".repeat(2000);
        assert!(!store_packet(&store, tagged("c", &long, "1", at)).await, "a name without end");
        assert_eq!(refusals(&store).len(), 4 + 4 * usize::from(restarted));
        store.close().await;
    }
    let store = limited(directory.path());
    assert!(store_packet(&store, tagged("b", "2", "1", 1)).await, "the fourth channel");
    assert!(!store_packet(&store, tagged("c", "2", "1", 1)).await, "a fifth channel in all");
    assert!(lines(&store.reader()).contains(&"b 2 1 1 5".to_owned()));
}
