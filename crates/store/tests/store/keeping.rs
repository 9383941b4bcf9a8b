//! What is stored is there, once, and stays there.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use loggerhead_model::{Cursor, Event, EventKind, Note, NoteChange, Records, Report, Severity, Timestamp};
use loggerhead_store::{Catchup, Change, Committed, EventFilter, Options, Reader, ReadingFilter, Store, StoreError};

use crate::common::{Point, device, lines, open, packet, store_packet};

const fn point<'a>(meter: &'a str, function: &'a str, at: i64, value: &'a str) -> Point<'a> {
    Point { meter, function, at, value }
}

#[tokio::test]
async fn what_is_acknowledged_is_there_after_a_restart_and_for_other_processes() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let points = [point("1", "1", 1000, "675.170000"), point("1", "2", 1000, "data0"), point("2", "1", 1000, "")];
    assert!(store_packet(&store, packet("tower", &points)).await);
    assert!(store_packet(&store, packet("tower", &[point("1", "1", 500, "1")])).await);
    let expected = ["tower 1 1 500 1", "tower 1 1 1000 675.170000", "tower 1 2 1000 data0", "tower 2 1 1000 "];
    assert_eq!(lines(&store.reader()), expected);
    assert_eq!(lines(&Reader::open(directory.path()).expect("a store")), expected);
    store.close().await;
    assert_eq!(lines(&open(directory.path()).reader()), expected);
}

#[tokio::test]
async fn a_resend_stores_nothing_and_another_value_is_kept_beside_the_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    assert!(store_packet(&store, packet("tower", &[point("1", "1", 1000, "5"), point("1", "1", 1000, "5")])).await);
    assert!(store_packet(&store, packet("tower", &[point("1", "1", 1000, "5.0"), point("1", "1", 2000, "6")])).await);
    assert!(store_packet(&store, packet("tower", &[point("1", "1", 1000, "7")])).await);
    assert!(store_packet(&store, packet("tower", &[point("1", "1", 1000, "7")])).await);
    assert_eq!(lines(&store.reader()), ["tower 1 1 1000 5", "tower 1 1 2000 6"]);
    let mut conflicts = Vec::new();
    let filter = ReadingFilter::default();
    let read = store.reader().conflicts(&filter, None, &mut |conflict| {
        conflicts.push(format!("{} after {}", conflict.later.reading.value, conflict.first));
        ControlFlow::Continue(())
    });
    read.expect("a readable store");
    assert_eq!(conflicts, ["7 after 5"]);
    let mut events = Vec::new();
    let filter = EventFilter { kind: Some(EventKind::Conflict), ..EventFilter::default() };
    let read = store.reader().events(&filter, &mut |event| {
        events.push(event.event.text.to_string());
        ControlFlow::Continue(())
    });
    read.expect("a readable store");
    assert_eq!(events, ["meter 1 function 1 at 1970-01-01T00:00:01Z: 7 came after 5"]);
    assert_eq!(store.health().conflicts, 2);
}

#[tokio::test]
async fn a_happening_whose_moment_is_taken_is_kept_at_the_next_and_told_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let told_of = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told_of);
    let on_commit = Box::new(move |committed: Committed| {
        let reports = committed.records.iter().filter_map(|records| records.report.as_ref());
        let readings = reports.flat_map(Report::readings);
        let told = readings.map(|reading| format!("{} {}", reading.measured_at.unix_ms(), reading.value));
        heard.lock().expect("no panic").extend(told);
    });
    let happening = |at: i64, what: &str| {
        let mut records = packet("tower", &[point("camera", "alarm", at, what)]);
        records.report.as_mut().expect("a report").happenings = true;
        records
    };
    let options = Options { on_commit: Some(on_commit), ..Options::default() };
    let store = Store::open(directory.path(), options).expect("an empty directory");
    let mut both = packet("tower", &[point("camera", "alarm", 1000, "motion"), point("camera", "alarm", 1000, "door")]);
    both.report.as_mut().expect("a report").happenings = true;
    assert!(store_packet(&store, both).await);
    assert!(store_packet(&store, happening(1000, "smoke")).await);
    let expected = ["tower camera alarm 1000 motion", "tower camera alarm 1001 door", "tower camera alarm 1002 smoke"];
    assert_eq!(lines(&store.reader()), expected);
    store.close().await;
    assert_eq!(*told_of.lock().expect("no panic"), ["1000 motion", "1001 door", "1002 smoke"]);
    let store = open(directory.path());
    for what in ["smoke", "door", "motion"] {
        assert!(store_packet(&store, happening(1000, what)).await);
    }
    assert_eq!(lines(&store.reader()), expected, "one that comes again is the same one, after a restart as well");
    assert_eq!(store.health().conflicts, 0);
    let words: Vec<_> = (0..400).map(|number| format!("alarm {number}")).collect();
    let points: Vec<_> = words.iter().map(|what| point("camera", "alarm", 5000, what)).collect();
    let mut flood = packet("tower", &points);
    flood.report.as_mut().expect("a report").happenings = true;
    assert!(store_packet(&store, flood).await);
    assert_eq!(lines(&store.reader()).len(), 3 + 251, "who raises more in one moment has no clock");
    assert_eq!(store.health().conflicts, 149);
}

#[tokio::test]
async fn a_second_writer_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    assert!(matches!(Store::open(directory.path(), Options::default()), Err(StoreError::Locked { .. })));
    store.close().await;
    assert!(Store::open(directory.path(), Options::default()).is_ok());
}

/// Everything that a subscriber is told.
fn told(committed: &Committed) -> String {
    let mut told = format!("{} {:?}", committed.cursor, committed.events);
    for records in &*committed.records {
        let readings: Vec<_> = records.report.iter().flat_map(Report::readings).collect();
        told.extend(["\n", records.device.as_str(), &records.received_at.to_string(), &format!("{readings:?}")]);
    }
    told
}

#[tokio::test]
async fn a_catch_up_gives_what_the_commits_gave() {
    let directory = tempfile::tempdir().expect("a directory");
    let live = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&live);
    let on_commit = Box::new(move |committed| heard.lock().expect("no panic").push(committed));
    let options = Options { on_commit: Some(on_commit), ..Options::default() };
    let store = Store::open(directory.path(), options).expect("a store");
    let event = Event {
        at: Timestamp::from_unix_ms(5),
        severity: Severity::Info,
        kind: EventKind::Login,
        device: Some(device("tower")),
        peer: Some("127.0.0.1:9".to_owned()),
        text: "hello".into(),
    };
    assert!(store_packet(&store, packet("tower", &[point("1", "1", 1, "1"), point("2", "1", 1, "text")])).await);
    assert!(store_packet(&store, packet("tower", &[point("1", "1", 1, "1")])).await);
    assert!(store_packet(&store, packet("tower", &[point("1", "1", 1, "1"), point("2", "1", 2, "3")])).await);
    let cursor = store.write(Change::Events(vec![event])).await.expect("a working store");
    // Subscribers are told after those who wait for an answer; the end of the store is after both.
    let reader = store.reader();
    store.close().await;
    let mut caught_up = Vec::new();
    let reached = reader.since(Cursor::START, 100, &mut |committed| {
        caught_up.push(committed);
        ControlFlow::Continue(())
    });
    assert_eq!(reached.expect("a readable store"), Catchup::UpTo(cursor));
    let heard: Vec<_> = live.lock().expect("no panic").iter().map(told).collect();
    assert_eq!(caught_up.iter().map(told).collect::<Vec<_>>(), heard);
    assert_eq!(caught_up.len(), 4);
    assert_eq!(caught_up.iter().map(|committed| committed.records.len()).collect::<Vec<_>>(), [1, 0, 1, 0]);
}

#[tokio::test]
async fn notes_are_kept_replaced_and_forgotten_with_their_records() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let put = |shelf, key: &'static str, value: &'static str| Note {
        shelf,
        key: key.into(),
        change: NoteChange::Put(value.into()),
    };
    let with = |notes: Vec<Note>| Records { notes, report: None, ..packet("tower", &[]) };
    let first = vec![put("one", "b", "1"), put("one", "a", "2"), put("one", "c", "3"), put("other", "a", "4")];
    assert!(store_packet(&store, with(first)).await);
    let forget = |key: &'static str, change| Note { shelf: "one", key: key.into(), change };
    let second = vec![put("one", "d", "5"), put("one", "b", "6"), forget("a", NoteChange::Forget)];
    assert!(store_packet(&store, with(second)).await);
    assert_eq!(notes(&store.reader(), "one"), ["b=6", "c=3", "d=5"]);
    store.close().await;
    let store = open(directory.path());
    assert!(store_packet(&store, with(vec![forget("b", NoteChange::ForgetThrough("c".into()))])).await);
    assert_eq!(notes(&store.reader(), "one"), ["d=5"]);
    assert_eq!(notes(&store.reader(), "other"), ["a=4"]);
}

fn notes(reader: &Reader, shelf: &str) -> Vec<String> {
    let mut notes = Vec::new();
    let mut each = |key: &[u8], value: &[u8]| {
        notes.push(format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
        ControlFlow::Continue(())
    };
    reader.notes(shelf, &mut each).expect("a store that answers");
    notes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_count_of_readings_is_exact_at_any_moment() {
    let directory = tempfile::tempdir().expect("a directory");
    // Everything is sealed and merged all the time.
    let options = Options { hot_readings_max: 4, log_tail_batches: 1, ..Options::default() };
    let store = Store::open(directory.path(), options).expect("a store");
    let reader = Reader::open(directory.path()).expect("a store");
    let (counting, done) = (store.reader(), Arc::new(AtomicBool::new(false)));
    let stop = Arc::clone(&done);
    let counter = std::thread::spawn(move || {
        let mut before = 0;
        while !stop.load(Ordering::Relaxed) {
            let readings = counting.stats().expect("a readable store").readings;
            assert!(readings >= before, "{readings} after {before}");
            before = readings;
        }
    });
    for at in 1..=300 {
        assert!(store_packet(&store, packet("tower", &[point("1", "1", at, "5"), point("2", "1", at, "6")])).await);
        let stored = 2 * u64::try_from(at).expect("a count");
        assert_eq!(store.reader().stats().expect("a readable store").readings, stored);
        assert_eq!(reader.stats().expect("a readable store").readings, stored);
    }
    done.store(true, Ordering::Relaxed);
    counter.join().expect("counts that never fall");
}
