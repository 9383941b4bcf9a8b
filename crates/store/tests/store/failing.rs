//! A disk that is full, that fails, or that is cut off: what was acknowledged is there, once; what was not is not
//! acknowledged; and work goes on by itself.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use loggerhead_model::{Direction, RawFrame, Records};
use loggerhead_store::{Options, Retention, Store, verify};

use crate::common::{Point, lines, packet, store_packet};
use crate::disk::{self, Fault, Plan};

const PACKETS: i64 = 12;
const METERS: [&str; 3] = ["1", "2", "3"];

fn small() -> Options {
    // Sealing, trimming and merging happen all the time.
    Options { hot_readings_max: 8, log_tail_batches: 2, retention: Retention::default(), ..Options::default() }
}

/// The packet of a moment: a reading of each meter, one of the moment before again, and a frame.
fn workload(number: i64) -> Records {
    let value = |at: i64| format!("{at}.50");
    let texts: Vec<String> = [number, number - 1].into_iter().map(value).collect();
    let mut points: Vec<Point<'_>> =
        METERS.iter().map(|meter| Point { meter, function: "1", at: number * 1000, value: &texts[0] }).collect();
    points.push(Point { meter: "1", function: "1", at: (number - 1) * 1000, value: &texts[1] });
    let mut records = packet(if number % 2 == 0 { "even" } else { "odd" }, &points);
    records.frame = Some(RawFrame { direction: Direction::In, bytes: Bytes::from(vec![b'x'; 3000]) });
    records
}

/// What `lines` shows of these packets.
fn expected(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    let mut expected = BTreeMap::new();
    for number in numbers {
        let device = if number % 2 == 0 { "even" } else { "odd" };
        for meter in METERS {
            expected.insert((device, meter, number), format!("{device} {meter} 1 {} {number}.50", number * 1000));
        }
        let before = number - 1;
        expected.insert((device, "1", before), format!("{device} 1 1 {} {before}.50", before * 1000));
    }
    expected.into_values().collect()
}

/// The power goes while the store works on a disk where nothing arrives any more; gives what is stored then.
fn after_power_cut(store: Store, directory: &Path) -> Vec<String> {
    disk::fail(directory, Plan { fault: Fault::Dead, first: 0, count: u64::MAX });
    drop(store);
    disk::cut_power(directory);
    let store = Store::open(directory, small()).expect("a store survives a power cut");
    let lines = lines(&store.reader());
    drop(store);
    let report = verify(directory, &mut |_| ()).expect("a store to verify");
    assert!(report.is_sound(), "{:?}", report.damage);
    lines
}

/// Runs the workload with faults; every packet is sent until it is acknowledged. Gives how many faults struck.
async fn run(plan: Plan) -> u64 {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = temporary.path().join("data");
    disk::insert(&directory);
    let store = Store::open(&directory, small()).expect("a store");
    disk::fail(&directory, plan);
    for number in 1..=PACKETS {
        while !store_packet(&store, workload(number)).await {}
    }
    let struck = disk::failed(&directory);
    // A fault may have struck the maintenance after the last packet; a packet sent again waits until all is well.
    while !store.health().is_ok() {
        store_packet(&store, workload(PACKETS)).await;
    }
    assert_eq!(lines(&store.reader()), expected(1..=PACKETS), "{plan:?}");
    assert_eq!(after_power_cut(store, &directory), expected(1..=PACKETS), "{plan:?} and a power cut");
    struck
}

/// Runs the workload for a fault at every single operation.
async fn run_everywhere(fault: Fault, count: u64) {
    let mut first = 0;
    while run(Plan { fault, first, count }).await > 0 {
        first += 1;
    }
    assert!(first > 10, "{first} operations are too few for a workload");
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_acknowledged() {
    run_everywhere(Fault::Full, 3).await;
}

#[tokio::test]
async fn a_failing_write_loses_nothing_that_was_acknowledged() {
    run_everywhere(Fault::Write, 1).await;
}

#[tokio::test]
async fn a_failing_sync_is_never_acknowledged_from_the_cache() {
    run_everywhere(Fault::Sync, 1).await;
    run_everywhere(Fault::Sync, 2).await;
}

#[tokio::test]
async fn a_death_at_any_operation_loses_nothing_that_was_acknowledged() {
    for first in 0.. {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = temporary.path().join("data");
        disk::insert(&directory);
        let store = Store::open(&directory, small()).expect("a store");
        disk::fail(&directory, Plan { fault: Fault::Dead, first, count: u64::MAX });
        let mut acknowledged = Vec::new();
        let mut last = 0;
        for number in 1..=PACKETS {
            last = number;
            if !store_packet(&store, workload(number)).await {
                break;
            }
            acknowledged.push(number);
        }
        let struck = disk::failed(&directory);
        let found = after_power_cut(store, &directory);
        // A packet whose commit was cut off may be there, wholly.
        let without = expected(acknowledged.iter().copied());
        let with = expected(acknowledged.iter().copied().chain([last]));
        assert!(found == without || found == with, "death at {first}: {found:?}");
        if struck == 0 {
            break;
        }
    }
}
