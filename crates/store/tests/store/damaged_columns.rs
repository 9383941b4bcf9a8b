//! Values are changed where they stand, into others that could be: table and index agree, and nothing is out of range.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use loggerhead_model::{Event, EventKind, Role, Severity, Timestamp};
use loggerhead_store::{
    AccessChange, Account, Acknowledgement, ApiToken, AuditEntry, Change, FrameFilter, Options, Reader, Store,
    WebSession,
};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::common::{Point, device, open, packet, store_packet};
use crate::damage::{AT, check, copy, database, filled, long, names, read, truncate_wal};

/// A copy of a store in which one statement changed one row.
fn changed(sound: &Path, sql: &str) -> TempDir {
    let damaged = copy(sound);
    let connection = Connection::open(database(damaged.path())).expect("a database");
    assert_eq!(connection.execute(sql, []).expect("a legal change"), 1, "{sql}");
    truncate_wal(&connection);
    damaged
}

/// Every raw frame with the number of its batch.
fn frames(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let read = Reader::open(directory).expect("a readable store").frames(&FrameFilter::default(), &mut |frame| {
        let text = String::from_utf8_lossy(&frame.bytes).into_owned();
        found.insert(format!("{} {} {text}", frame.cursor.number(), frame.device));
        ControlFlow::Continue(())
    });
    read.expect("a readable store");
    found
}

/// Verifies a damaged store: it names `place`, and everything is there afterwards.
fn verified(damaged: &Path, place: &str, readings: &BTreeSet<String>, all_frames: &BTreeSet<String>) {
    let report = check(damaged);
    assert!(names(&report.damage, place), "{place}: {:#?}", report.damage);
    assert!(report.damage.iter().all(|damage| damage.quarantined), "{place}: {:#?}", report.damage);
    assert!(check(damaged).is_sound(), "{place}: {:#?}", check(damaged).damage);
    assert_eq!(&read(damaged), readings, "{place}");
    assert_eq!(&frames(damaged), all_frames, "{place}");
}

#[tokio::test]
async fn columns_beside_a_sealed_body_are_noticed_and_told_again_from_it() {
    let sound = filled().await;
    let (readings, all_frames) = (read(sound.path()), frames(sound.path()));
    for change in ["channel_group = channel_group + 1", "channel_group = channel_group - 1", "last_at = last_at + 1"] {
        let sql = format!("UPDATE segments SET {change} WHERE number = 5");
        let damaged = changed(sound.path(), &sql);
        let met = read(damaged.path());
        assert!(met.is_subset(&readings) && met.len() < readings.len(), "{sql}: a reader takes nothing for another's");
        verified(damaged.path(), "segment 5", &readings, &all_frames);
    }
    for change in ["batch = batch + 1", "batch = batch - 1", "devices = x'05'", "first_at = first_at - 1"] {
        let sql = format!("UPDATE frames SET {change} WHERE number = 300");
        let damaged = changed(sound.path(), &sql);
        assert_eq!(read(damaged.path()), readings, "{sql}");
        let met = frames(damaged.path());
        assert!(met.is_subset(&all_frames) && met.len() == all_frames.len() - 1, "{sql}");
        verified(damaged.path(), "block of frames 300", &readings, &all_frames);
    }
}

#[tokio::test]
async fn how_far_is_sealed_is_believed_only_as_it_was_written() {
    let sound = filled().await;
    let store = open(sound.path());
    // Readings of a channel of group 0 that no segment has.
    for at in [AT + 600_000, AT + 660_000] {
        let (meter, function) = (long("meter", 0), long("function", 0));
        let point = Point { meter: &meter, function: &function, at, value: "6" };
        assert!(store_packet(&store, packet(&long("device", 0), &[point])).await);
    }
    store.close().await;
    let (readings, all_frames) = (read(sound.path()), frames(sound.path()));
    let changes = [
        ("through = (SELECT max(number) FROM log) WHERE channel_group = 0", "latest readings of group 0"),
        ("through = through - 1 WHERE channel_group = 3", "latest readings of group 3"),
        ("channel_group = channel_group + 1 WHERE channel_group = (SELECT max(channel_group) FROM sealed)", "group 15"),
    ];
    for (change, place) in changes {
        let damaged = changed(sound.path(), &format!("UPDATE sealed SET {change}"));
        assert_eq!(read(damaged.path()), readings, "{change}: readable as it is");
        verified(copy(damaged.path()).path(), place, &readings, &all_frames);
        let sealing = Options { hot_readings_max: 0, log_tail_batches: 0, ..Options::default() };
        let store = Store::open(damaged.path(), sealing).expect("a store");
        assert!(names(&store.health().damage, place), "{change}: {:#?}", store.health().damage);
        assert!(store_packet(&store, packet("new", &[Point { meter: "1", function: "1", at: AT, value: "7" }])).await);
        store.close().await;
        let mut expected = readings.clone();
        expected.insert(format!("new 1 1 {AT} 7"));
        assert_eq!(read(damaged.path()), expected, "{change}");
        assert!(check(damaged.path()).is_sound(), "{change}: {:#?}", check(damaged.path()).damage);
    }
}

/// One row of each table of who may look and do, and of what they did; two accounts.
fn access() -> Vec<Change> {
    let at = Timestamp::from_unix_ms(AT);
    let account = |name: &str, role| {
        Change::Access(AccessChange::Account(Account {
            name: name.to_owned(),
            role,
            password: None,
            created_at: at,
            changed_at: at,
        }))
    };
    let session = WebSession {
        hash: [1; 32],
        account: "bob".to_owned(),
        created_at: at,
        seen_at: at,
        peer: "192.0.2.1".to_owned(),
        agent: "a browser".to_owned(),
    };
    let token = ApiToken {
        id: 0,
        name: "a program".to_owned(),
        hash: [2; 32],
        role: Role::Viewer,
        devices: vec![device("tower")],
        created_by: "ada".to_owned(),
        created_at: at,
        expires_at: Some(at),
    };
    let entry = AuditEntry {
        at,
        who: "bob".to_owned(),
        peer: "192.0.2.1".to_owned(),
        action: "sign-in".to_owned(),
        target: String::new(),
        outcome: "done".to_owned(),
    };
    let event = Event {
        at,
        severity: Severity::Warning,
        kind: EventKind::System,
        device: None,
        peer: None,
        text: "something".into(),
    };
    vec![
        account("ada", Role::Admin),
        account("bob", Role::Viewer),
        Change::Access(AccessChange::Session(session)),
        Change::Access(AccessChange::Token(token)),
        Change::Access(AccessChange::Audit(entry)),
        Change::Events(vec![event.clone(), event]),
    ]
}

#[tokio::test]
async fn a_damaged_account_lets_nobody_in_and_is_named() {
    let sound = tempfile::tempdir().expect("a directory");
    let store = open(sound.path());
    store.write_all(access()).await.expect("a working store");
    // Events are written last, so that one can be taken note of only afterwards.
    let note = Acknowledgement { by: "bob".to_owned(), at: Timestamp::from_unix_ms(AT), note: String::new() };
    store.write(Change::Access(AccessChange::Acknowledge(1, note))).await.expect("a working store");
    store.close().await;
    let known = |reader: &Reader| {
        let names: Vec<String> =
            reader.accounts().expect("a readable store").into_iter().map(|account| account.name).collect();
        let sessions = reader.web_sessions().expect("a readable store").len();
        (names.join(" "), sessions, reader.tokens().expect("a readable store").len())
    };
    let all = ("ada bob", 1, 1);
    let changes = [
        ("accounts SET role = 'admin' WHERE name = 'bob'", "account bob", ("ada", 1, 1)),
        ("accounts SET name = 'eve' WHERE name = 'bob'", "account eve", ("ada", 1, 1)),
        ("web_sessions SET account = 'ada'", "sign-in of 32 bytes", ("ada bob", 0, 1)),
        ("tokens SET devices = '[]'", "token 1", ("ada bob", 1, 0)),
        ("tokens SET expires_at = NULL", "token 1", ("ada bob", 1, 0)),
        ("audit SET who = 'ada'", "line of the audit log 1", all),
        ("acknowledged SET event = 2", "acknowledgement of event 2", all),
    ];
    for (change, place, (names_left, sessions, tokens)) in changes {
        let damaged = changed(sound.path(), &format!("UPDATE {change}"));
        let left = (names_left.to_owned(), sessions, tokens);
        assert_eq!(known(&Reader::open(damaged.path()).expect("a readable store")), left, "{change}");
        let verified = copy(damaged.path());
        let report = check(verified.path());
        assert!(names(&report.damage, place), "{change}: {:#?}", report.damage);
        assert!(report.damage.iter().all(|damage| damage.quarantined), "{change}: {:#?}", report.damage);
        assert!(check(verified.path()).is_sound(), "{change}");
        let store = open(damaged.path());
        assert_eq!(known(&store.reader()), left, "{change}");
        // What grows with time is looked at when it is verified.
        assert_eq!(names(&store.health().damage, place), left != (all.0.to_owned(), all.1, all.2), "{change}");
        store.close().await;
    }
}
