//! Packets for a store, and what it says of them.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loggerhead_model::{DeviceId, Origin, Quality, Reading, Records, Report, ReportBuilder, Ticket, Timestamp, Value};
use loggerhead_store::{Completion, Options, Outcome, Reader, ReadingFilter, Reply, Store};
use tokio::sync::Notify;

/// How long something that must happen may take before a test says that it never will, however busy the machine is.
const PATIENCE: Duration = Duration::from_mins(2);

/// One value of `channel` (meter and function `m/f`) at a time.
pub(crate) struct Point<'a> {
    pub(crate) meter: &'a str,
    pub(crate) function: &'a str,
    pub(crate) at: i64,
    pub(crate) value: &'a str,
}

pub(crate) fn device(name: &str) -> DeviceId {
    DeviceId::new(name).expect("a legal name")
}

pub(crate) fn report(points: &[Point<'_>]) -> Report {
    let mut builder = ReportBuilder::new(Origin::Live, 0, points.len());
    for point in points {
        builder.meter(point.meter, "addr\t1").expect("room");
        let reading = Reading {
            meter: point.meter,
            function: point.function,
            coding: "01A10",
            code: "192",
            quality: Quality::Good,
            measured_at: Timestamp::from_unix_ms(point.at),
            value: Value::parse(point.value),
            attributes: "",
        };
        builder.reading(&reading).expect("room");
    }
    builder.finish()
}

pub(crate) fn packet(name: &str, points: &[Point<'_>]) -> Records {
    Records {
        device: device(name),
        received_at: Timestamp::from_unix_ms(1_790_000_000_000),
        report: Some(report(points)),
        frame: None,
        events: Vec::new(),
        notes: Vec::new(),
    }
}

/// Waits for outcomes.
#[derive(Default)]
pub(crate) struct Outcomes {
    seen: Mutex<Vec<(Ticket, bool)>>,
    changed: Notify,
}

impl Completion for Outcomes {
    fn complete(&self, outcomes: &mut dyn Iterator<Item = Outcome>) {
        self.seen.lock().expect("no panic").extend(outcomes.map(|outcome| match outcome {
            Outcome::Stored(receipt) => (receipt.ticket(), true),
            Outcome::NotStored(ticket) => (ticket, false),
        }));
        self.changed.notify_one();
    }
}

impl Outcomes {
    pub(crate) async fn all(&self, count: usize) -> Vec<(Ticket, bool)> {
        loop {
            let changed = self.changed.notified();
            {
                let seen = self.seen.lock().expect("no panic");
                if seen.len() >= count {
                    return seen.clone();
                }
            }
            changed.await;
        }
    }
}

/// Submits one packet and waits until it is stored; whether it was.
pub(crate) async fn store_packet(store: &Store, records: Records) -> bool {
    let outcomes = Arc::new(Outcomes::default());
    let reply = Reply { ticket: Ticket(1), to: outcomes.clone() };
    store.submit(records, Some(reply)).await;
    outcomes.all(1).await.first().is_some_and(|(_, stored)| *stored)
}

/// Tells of every commit that subscribers hear of.
#[derive(Clone, Default)]
pub(crate) struct Commits(Arc<Notify>);

impl Commits {
    /// Options of a store that tells it of commits.
    pub(crate) fn options(&self) -> Options {
        let told = Arc::clone(&self.0);
        Options { on_commit: Some(Box::new(move |_| told.notify_one())), ..Options::default() }
    }

    /// Waits for a commit since the last wait; a store that failed makes one when it works again.
    pub(crate) async fn next(&self, store: &Store) {
        let waited = tokio::time::timeout(PATIENCE, self.0.notified()).await;
        waited.unwrap_or_else(|_| panic!("nothing is committed: {:#?}", store.health()));
    }
}

/// Waits for what maintenance does, of which nobody is told.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("what is waited for happens");
}

/// Every stored reading as `device meter function time value`, in the order of `scan`.
pub(crate) fn lines(reader: &Reader) -> Vec<String> {
    let mut lines = Vec::new();
    let scanned = reader.scan(&ReadingFilter::default(), &mut |stored| {
        let reading = stored.reading;
        let time = reading.measured_at.unix_ms();
        lines.push(format!("{} {} {} {time} {}", stored.device, reading.meter, reading.function, reading.value));
        ControlFlow::Continue(())
    });
    scanned.expect("a readable store");
    lines
}

pub(crate) fn open(directory: &std::path::Path) -> Store {
    Store::open(directory, Options::default()).expect("a store")
}
