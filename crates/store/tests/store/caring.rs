//! Retention, backup, verification, versions, and who may read the files.

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{Cursor, Direction, Event, EventKind, RawFrame, Severity, Timestamp};
use loggerhead_store::{
    Catchup, Change, EventFilter, FrameFilter, ListOrder, Options, Reader, Retention, Store, StoreError, verify,
};
use rusqlite::Connection;

use crate::common::{Point, device, lines, open, packet, store_packet, until};

/// Seals everything at once and keeps as little of the log as can be.
fn sealing() -> Options {
    Options { hot_readings_max: 0, log_tail_batches: 0, ..Options::default() }
}

/// A store with so many sealed readings of each of 100 channels.
async fn filled(directory: &Path, packets: i64) -> Vec<String> {
    let store = Store::open(directory, sealing()).expect("a store");
    let names: Vec<String> = (100..200).map(|number| number.to_string()).collect();
    for at in 0..packets {
        let value = format!("{}.5", at * 7);
        let points: Vec<_> =
            names.iter().map(|meter| Point { meter, function: "1", at: at * 1000, value: &value }).collect();
        let mut records = packet("tower", &points);
        records.frame = Some(RawFrame { direction: Direction::In, bytes: Bytes::from(format!("frame {at}")) });
        assert!(store_packet(&store, records).await);
    }
    // Every commit while there is something to seal waits for the sealer, and the last one finds nothing.
    while store.health().hot_readings > 0 {
        store.write(Change::Events(Vec::new())).await.expect("a working store");
    }
    let found = lines(&store.reader());
    store.close().await;
    found
}

#[tokio::test]
async fn files_are_for_their_owner_alone() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("data");
    let store = open(&directory);
    assert!(store_packet(&store, packet("tower", &[])).await);
    let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for entry in std::fs::read_dir(&directory).expect("a directory") {
        let path = entry.expect("a file").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    open(directory.path()).close().await;
    let connection = Connection::open(directory.path().join("loggerhead.db")).expect("a database");
    connection.pragma_update(None, "user_version", 99).expect("a database");
    drop(connection);
    let refused = Store::open(directory.path(), Options::default()).err().expect("a refusal");
    assert!(matches!(refused, StoreError::Newer { found: 99, .. }), "{refused}");
    assert!(matches!(Reader::open(directory.path()), Err(StoreError::Newer { .. })));
    assert!(matches!(verify(directory.path(), &mut |_| ()), Err(StoreError::Newer { .. })));
}

#[tokio::test]
async fn a_backup_of_a_store_in_use_is_a_store() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    assert!(store_packet(&store, packet("tower", &[Point { meter: "1", function: "1", at: 1, value: "5" }])).await);
    let copy = tempfile::tempdir().expect("a directory");
    let to = copy.path().join("loggerhead.db");
    let mut progress = Vec::new();
    store.backup(&to, &mut |step| progress.push(step)).expect("a backup");
    assert!(progress.last().is_some_and(|last| last.done == last.total && last.total > 0));
    assert!(matches!(store.backup(&to, &mut |_| ()), Err(StoreError::File { .. })), "nothing is overwritten");
    assert_eq!(std::fs::metadata(&to).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(lines(&Reader::open(copy.path()).expect("a store")), ["tower 1 1 1 5"]);
    assert!(verify(copy.path(), &mut |_| ()).expect("a store").is_sound());
}

#[tokio::test]
async fn what_is_old_is_forgotten_and_the_rest_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    filled(directory.path(), 3).await;
    let now = Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond());
    let retention = Retention {
        frames: Some(Duration::from_hours(1)),
        events: Some(Duration::from_hours(1)),
        readings: Some(Duration::from_hours(1)),
    };
    let store = Store::open(directory.path(), Options { retention, ..sealing() }).expect("a store");
    let fresh = Point { meter: "1", function: "1", at: now.unix_ms(), value: "5" };
    let mut records = packet("tower", &[fresh]);
    records.received_at = now;
    records.frame = Some(RawFrame { direction: Direction::In, bytes: Bytes::from_static(b"fresh") });
    assert!(store_packet(&store, records).await);
    let expected = [format!("tower 1 1 {} 5", now.unix_ms())];
    while lines(&store.reader()) != expected || frames(&store.reader(), &FrameFilter::default()) != ["fresh"] {
        store.write(Change::Events(Vec::new())).await.expect("a working store");
    }
    store.close().await;
    assert!(verify(directory.path(), &mut |_| ()).expect("a store").is_sound());
}

#[tokio::test]
async fn what_is_old_is_forgotten_before_it_is_sealed() {
    let directory = tempfile::tempdir().expect("a directory");
    let now = jiff::Timestamp::now().as_millisecond();
    let store = open(directory.path());
    let point = |meter, at| Point { meter, function: "1", at, value: "5" };
    assert!(store_packet(&store, packet("tower", &[point("1", 1), point("1", now), point("2", 2)])).await);
    assert!(store_packet(&store, packet("other", &[point("1", now - 2 * 3_600_000)])).await);
    assert_eq!(store.health().hot_readings, 4, "nothing is sealed");
    store.close().await;
    let kept = [format!("tower 1 1 {now} 5")];
    let retention =
        |readings| Options { retention: Retention { readings, ..Retention::default() }, ..Options::default() };
    // Other kinds have their own age: readings stay as long as nothing is said of them.
    let frames_only =
        Retention { frames: Some(Duration::from_secs(1)), events: Some(Duration::from_secs(1)), readings: None };
    let store =
        Store::open(directory.path(), Options { retention: frames_only, ..Options::default() }).expect("a store");
    assert!(store_packet(&store, packet("tower", &[point("1", now)])).await, "a resend");
    assert_eq!(lines(&store.reader()).len(), 4);
    store.close().await;
    let store = Store::open(directory.path(), retention(Some(Duration::from_hours(1)))).expect("a store");
    while lines(&store.reader()) != kept {
        store.write(Change::Events(Vec::new())).await.expect("a working store");
    }
    assert_eq!(store.reader().stats().expect("a readable store").readings, 1);
    store.close().await;
    let report = verify(directory.path(), &mut |_| ()).expect("a store");
    assert!(report.is_sound(), "{:?}", report.damage);
    assert_eq!(lines(&Reader::open(directory.path()).expect("a store")), kept, "and stays forgotten");
}

#[tokio::test]
async fn a_batch_dated_ahead_keeps_no_older_one_in_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    for at in 1..=3 {
        assert!(store_packet(&store, packet("tower", &[Point { meter: "1", function: "1", at, value: "5" }])).await);
    }
    store.close().await;
    let connection = Connection::open(directory.path().join("loggerhead.db")).expect("a database");
    let dated = "UPDATE log SET committed_at = iif(number = 1, 4000000000000, 1) WHERE number < 3";
    assert_eq!(connection.execute(dated, []).expect("a database"), 2);
    drop(connection);
    let retention = Retention { readings: Some(Duration::from_hours(1)), ..Retention::default() };
    let store = Store::open(directory.path(), Options { retention, ..Options::default() }).expect("a store");
    until(|| store.reader().stats().expect("a readable store").log_batches == 1).await;
    assert_eq!(store.health().cursor.number(), 3);
}

fn frames(reader: &Reader, filter: &FrameFilter) -> Vec<String> {
    let mut found = Vec::new();
    let read = reader.frames(filter, &mut |frame| {
        found.push(String::from_utf8_lossy(&frame.bytes).into_owned());
        ControlFlow::Continue(())
    });
    read.expect("a readable store");
    found
}

#[tokio::test]
async fn frames_are_found_by_device_and_page_by_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    for (number, name) in ["a", "b", "a", "a"].into_iter().enumerate() {
        let mut records = packet(name, &[]);
        records.frame = Some(RawFrame { direction: Direction::In, bytes: Bytes::from(number.to_string()) });
        assert!(store_packet(&store, records).await);
    }
    let reader = store.reader();
    let of_a = FrameFilter { device: Some(device("a")), ..FrameFilter::default() };
    assert_eq!(frames(&reader, &of_a), ["0", "2", "3"]);
    assert_eq!(frames(&reader, &FrameFilter { order: ListOrder::NewestFirst, ..of_a.clone() }), ["3", "2", "0"]);
    let mut first = None;
    let read = reader.frames(&of_a, &mut |frame| {
        first = Some(frame.number);
        ControlFlow::Break(())
    });
    read.expect("a readable store");
    assert_eq!(frames(&reader, &FrameFilter { beyond: first, ..of_a }), ["2", "3"]);
}

#[tokio::test]
async fn events_are_found_by_what_they_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let event = |at, kind, severity| Event {
        at: Timestamp::from_unix_ms(at),
        severity,
        kind,
        device: Some(device("tower")),
        peer: None,
        text: at.to_string().into(),
    };
    let events = vec![
        event(1, EventKind::Login, Severity::Info),
        event(2, EventKind::Fault, Severity::Warning),
        event(3, EventKind::Login, Severity::Error),
    ];
    store.write(Change::Events(events)).await.expect("a working store");
    let find = |filter: EventFilter| {
        let mut found = Vec::new();
        let read = store.reader().events(&filter, &mut |stored| {
            found.push(stored.event.text.into_owned());
            ControlFlow::Continue(())
        });
        read.expect("a readable store");
        found
    };
    let all = EventFilter::default;
    assert_eq!(find(EventFilter { kind: Some(EventKind::Login), ..all() }), ["1", "3"]);
    assert_eq!(
        find(EventFilter { severity: Some(Severity::Warning), order: ListOrder::NewestFirst, ..all() }),
        ["3", "2"]
    );
    assert_eq!(find(EventFilter { from: Some(Timestamp::from_unix_ms(2)), beyond: Some(2), ..all() }), ["3"]);
    assert_eq!(find(EventFilter { device: Some(device("other")), ..all() }), [""; 0]);
}

#[tokio::test]
async fn a_catch_up_from_before_the_tail_of_the_log_is_a_gap() {
    let directory = tempfile::tempdir().expect("a directory");
    filled(directory.path(), 5).await;
    let store = Store::open(directory.path(), sealing()).expect("a store");
    let since = || store.reader().since(Cursor::START, 10, &mut |_| ControlFlow::Continue(()));
    loop {
        store.write(Change::Events(Vec::new())).await.expect("a working store");
        if let Catchup::Gap(oldest) = since().expect("a readable store") {
            assert!(oldest > Cursor::START);
            break;
        }
    }
}

#[tokio::test]
async fn small_blocks_of_frames_become_few_and_lose_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let retention = Retention { frames: None, ..Retention::default() };
    let keeping = || Options { retention, ..Options::default() };
    let store = Store::open(directory.path(), keeping()).expect("a store");
    for number in 0..100 {
        let mut records = packet(if number % 2 == 0 { "even" } else { "odd" }, &[]);
        records.received_at = Timestamp::from_unix_ms(number);
        records.frame = Some(RawFrame { direction: Direction::In, bytes: Bytes::from(number.to_string()) });
        assert!(store_packet(&store, records).await);
    }
    store.close().await;
    let blocks = || -> u32 {
        let connection = Connection::open(directory.path().join("loggerhead.db")).expect("a database");
        connection.query_row("SELECT count(*) FROM frames", [], |row| row.get(0)).expect("frames")
    };
    // What is old is looked after when a store is opened; on a slow machine some of it was already.
    let store = Store::open(directory.path(), keeping()).expect("a store");
    while blocks() >= 16 {
        store.write(Change::Events(Vec::new())).await.expect("a working store");
    }
    let all: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(frames(&store.reader(), &FrameFilter::default()), all);
    let odd: Vec<String> = (0..100).filter(|number| number % 2 == 1).map(|number| number.to_string()).collect();
    let of_odd = FrameFilter { device: Some(device("odd")), ..FrameFilter::default() };
    assert_eq!(frames(&store.reader(), &of_odd), odd);
    store.close().await;
    assert!(verify(directory.path(), &mut |_| ()).expect("a store").is_sound());
}
