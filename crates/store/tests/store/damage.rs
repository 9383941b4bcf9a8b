//! Bytes are flipped in the files of a real store: what is hit is named and set aside, and the rest goes on.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use loggerhead_model::{
    Direction, Event, EventKind, Evidence, Identity, Learnt, Presence, RawFrame, Severity, Timestamp,
};
use loggerhead_store::{
    Change, Damage, DeviceRecord, DeviceSource, DeviceState, Login, Options, Reader, Retention, Store, StoreError,
    VerifyReport, verify,
};
use rusqlite::{Connection, OptionalExtension};
use tempfile::TempDir;

use crate::common::{Commits, Point, device, lines, packet, store_packet, until};

pub(crate) const DEVICES: usize = 240;
const PAGE_BYTES: u64 = 8192;
/// Different ways in which bytes are flipped.
const SEEDS: u64 = 24;
/// When it all happened, ms since 1970.
pub(crate) const AT: i64 = 1_790_000_000_000;
/// When it came, by our clock: never long enough ago for anything to be done about its age.
const RECEIVED_AT: i64 = 4_000_000_000_000;

/// Long enough that each table has several pages.
pub(crate) fn long(kind: &str, number: usize) -> String {
    format!("{kind}-{number:03}-{}", "x".repeat(60))
}

fn keeping() -> Options {
    Options { retention: Retention { frames: None, events: None, readings: None }, ..Options::default() }
}

/// A store with several pages of everything: the same bytes in every run but for those of the first page.
pub(crate) async fn filled() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path(), keeping()).expect("a store");
    let mut state = 1;
    for round in 0..3 {
        for number in 0..DEVICES {
            let (meter, at) = (long("meter", number), AT + round * 60_000);
            let functions: Vec<String> = (0..4).map(|function| long("function", function)).collect();
            // Numbers that take room, so that segments do not all stand on one page.
            let values: Vec<String> = functions.iter().map(|_| (random(&mut state) >> 14).to_string()).collect();
            let points = functions.iter().zip(&values);
            let points: Vec<_> = points.map(|(function, value)| Point { meter: &meter, function, at, value }).collect();
            let mut records = packet(&long("device", number), &points);
            records.received_at = Timestamp::from_unix_ms(RECEIVED_AT);
            let bytes = Bytes::from(format!("frame {number} of {round}"));
            records.frame = Some(RawFrame { direction: Direction::In, bytes });
            // One after the other, so that each has a batch of its own.
            assert!(store_packet(&store, records).await);
        }
    }
    store.write_all((0..DEVICES).flat_map(changes).collect()).await.expect("a working store");
    assert_eq!(store.health().hot_readings, DEVICES * 12, "nothing is sealed while more comes");
    store.close().await;
    let sealing = Options { hot_readings_max: 0, log_tail_batches: 0, ..keeping() };
    let store = Store::open(directory.path(), sealing).expect("a store");
    until(|| store.reader().stats().expect("a readable store").log_batches == 1).await;
    store.close().await;
    let connection = Connection::open(database(directory.path())).expect("a database");
    // Free pages are there to be damaged as well.
    let same = "UPDATE log SET committed_at = 1; VACUUM;
                CREATE TABLE filler AS SELECT zeroblob(100000) AS zeros; DROP TABLE filler;";
    connection.execute_batch(same).expect("a database");
    truncate_wal(&connection);
    directory
}

/// So that the database file alone is the whole store.
pub(crate) fn truncate_wal(connection: &Connection) {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a database");
}

fn changes(number: usize) -> Vec<Change> {
    let id = device(&long("device", number));
    let mut learnt = Learnt::default();
    learnt.insert("word".to_owned(), "value".to_owned());
    let evidence = Evidence {
        presence: Presence::Never,
        since: None,
        last_bytes_at: None,
        last_reading_at: None,
        peer: Some("[::1]:9".to_owned()),
        closed_because: None,
    };
    let event = Event {
        at: Timestamp::from_unix_ms(AT),
        severity: Severity::Info,
        kind: EventKind::Login,
        device: Some(id.clone()),
        peer: None,
        text: long("event", number).into(),
    };
    let record = DeviceRecord {
        id: id.clone(),
        protocol: "logger".to_owned(),
        identity: Identity::new(&long("identity", number)).expect("a legal name"),
        state: DeviceState::Active,
        secret: None,
        login: Login::Secret,
        settings: String::new(),
        learnt,
        added_at: Timestamp::from_unix_ms(AT),
        source: DeviceSource::Operator,
        site: None,
    };
    vec![Change::Device(record), Change::Presence(id, evidence), Change::Events(vec![event])]
}

/// A copy of a store, to be damaged.
pub(crate) fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let path = entry.expect("a file").path();
        std::fs::copy(&path, to.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    to
}

pub(crate) fn database(directory: &Path) -> PathBuf {
    directory.join("loggerhead.db")
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("a writable file");
    file.write_all_at(bytes, at).expect("a writable file");
}

/// Overwrites the middle leaf of a table or an index.
pub(crate) fn damage_page(directory: &Path, tree: &str) {
    let connection = Connection::open(database(directory)).expect("a database");
    let sql = "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' ORDER BY path";
    let mut statement = connection.prepare(sql).expect("dbstat");
    let leaves: Vec<u64> =
        statement.query_map([tree], |row| row.get(0)).expect("pages").collect::<Result<_, _>>().expect("pages");
    let leaf = leaves.get(leaves.len() / 2).expect("a leaf");
    overwrite(&database(directory), (leaf - 1) * PAGE_BYTES, &[0xdb; 512]);
}

/// Changes one byte wherever these bytes stand in the file, also where they stood before a page was split.
fn damage_bytes(directory: &Path, bytes: &[u8]) {
    let all = std::fs::read(database(directory)).expect("a database");
    let places = all.windows(bytes.len()).enumerate().filter(|(_, window)| *window == bytes);
    let places: Vec<usize> = places.map(|(place, _)| place + bytes.len() / 2).collect();
    assert!(!places.is_empty(), "it is in the file");
    for place in places {
        overwrite(&database(directory), place as u64, &[all[place] ^ 1]);
    }
}

pub(crate) fn check(directory: &Path) -> VerifyReport {
    verify(directory, &mut |_| ()).expect("a store that can be read")
}

pub(crate) fn names(damage: &[Damage], text: &str) -> bool {
    damage.iter().any(|damage| format!("{} {} {}", damage.place, damage.what, damage.about).contains(text))
}

pub(crate) fn read(directory: &Path) -> BTreeSet<String> {
    lines(&Reader::open(directory).expect("a readable store")).into_iter().collect()
}

/// Verifies a damaged store: it names `place`, sets it aside, and what is left is sound and readable.
fn verify_names(directory: &Path, place: &str, before: &BTreeSet<String>) -> BTreeSet<String> {
    let report = check(directory);
    assert!(names(&report.damage, place), "{place}: {:#?}", report.damage);
    assert!(report.damage.iter().all(|damage| damage.quarantined), "{:#?}", report.damage);
    let again = check(directory);
    assert!(again.is_sound(), "{place}: {:#?}", again.damage);
    let after = read(directory);
    assert!(after.is_subset(before) && !after.is_empty(), "{place}");
    after
}

#[tokio::test]
async fn damage_is_named_and_set_aside_and_the_rest_is_readable() {
    let sound = filled().await;
    let before = read(sound.path());
    assert!(check(sound.path()).is_sound(), "{:#?}", check(sound.path()).damage);
    let connection = Connection::open(database(sound.path())).expect("a database");
    let body = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Vec<u8>>(0)).expect("a body");
    let bodies = [
        ("batch ", body("SELECT body FROM log ORDER BY number DESC LIMIT 1")),
        // The newest would be the same bytes as the latest readings of its group.
        ("segment ", body("SELECT body FROM segments ORDER BY number LIMIT 1")),
        ("block of frames ", body("SELECT body FROM frames ORDER BY number LIMIT 1")),
    ];
    for (place, body) in bodies {
        let damaged = copy(sound.path());
        damage_bytes(damaged.path(), &body[..body.len().min(60)]);
        let after = verify_names(damaged.path(), place, &before);
        assert_eq!(after == before, !place.starts_with("segment"), "{place}");
    }
    for (place, text) in [("event ", long("event", 7)), ("presence of ", "[::1]:9".to_owned())] {
        let damaged = copy(sound.path());
        damage_bytes(damaged.path(), text.as_bytes());
        assert_eq!(verify_names(damaged.path(), place, &before), before);
    }
    let damaged = copy(sound.path());
    damage_bytes(damaged.path(), long("event", 7).as_bytes());
    let report = check(damaged.path());
    assert!(names(&report.damage, "2026-"), "the time is named: {:#?}", report.damage);
    assert!(names(&report.damage, &long("device", 7)), "the device is named: {:#?}", report.damage);
}

#[tokio::test]
async fn a_damaged_page_hides_only_what_stands_on_it() {
    let sound = filled().await;
    let before = read(sound.path());
    let trees = [
        ("events", "event "),
        ("frames", "block of frames"),
        ("segments", "segment "),
        ("events_by_time", "index events_by_time"),
        ("segments_by_group", "index segments_by_group"),
        ("presence", "presence of"),
        ("learnt", "what was learnt about"),
        ("devices", "device between"),
        ("meters", "meter of device number"),
        ("names", "name of device number"),
        ("channels", "channel "),
        ("tags", "tag"),
    ];
    for (tree, place) in trees {
        let damaged = copy(sound.path());
        damage_page(damaged.path(), tree);
        let after = verify_names(damaged.path(), place, &before);
        assert!(tree == "segments" || after == before, "{tree}: {} of {}", after.len(), before.len());
        let kept = std::fs::read_dir(damaged.path()).expect("a directory");
        let kept = kept.filter(|entry| {
            entry.as_ref().expect("a file").file_name().to_string_lossy().contains("loggerhead.db.damaged-")
        });
        assert_eq!(kept.count(), 1, "the damaged file is kept");
    }
}

#[tokio::test]
async fn a_damaged_table_does_not_stop_the_store() {
    let sound = filled().await;
    let before = read(sound.path());
    for tree in ["names", "channels", "tags", "devices", "meters", "learnt", "presence", "sqlite_autoindex_channels_1"]
    {
        let damaged = copy(sound.path());
        damage_page(damaged.path(), tree);
        let store = Store::open(damaged.path(), Options::default()).expect("a store");
        let health = store.health();
        assert!(health.is_ok() && !health.damage.is_empty(), "{tree}: it is said");
        let point = Point { meter: "new", function: "1", at: AT, value: "7" };
        assert!(store_packet(&store, packet("new", &[point])).await, "{tree}: what is new is stored");
        store.close().await;
        let mut expected = before.clone();
        expected.insert(format!("new new 1 {AT} 7"));
        assert_eq!(read(damaged.path()), expected, "{tree}");
        let connection = Connection::open(database(damaged.path())).expect("a database");
        let sql = "SELECT text FROM events WHERE severity = 2 AND kind = 'system' LIMIT 1";
        let event: Option<String> = connection.query_row(sql, [], |row| row.get(0)).optional().expect("events");
        assert!(event.expect("an event").starts_with("the store is damaged: "), "{tree}");
        assert!(check(damaged.path()).is_sound(), "{tree}: {:#?}", check(damaged.path()).damage);
    }
}

/// Gives the row with the highest number another one.
fn damage_number(directory: &Path, table: &str, number: &str, wild: i64) {
    let connection = Connection::open(database(directory)).expect("a database");
    // SQLite itself writes it, so none of its own checks finds anything.
    let sql = format!(
        "UPDATE {table} SET {number} = ?1 WHERE rowid = (SELECT rowid FROM {table} ORDER BY {number} DESC LIMIT 1)"
    );
    assert_eq!(connection.execute(&sql, [wild]).expect("a database"), 1);
    truncate_wal(&connection);
}

#[tokio::test]
async fn a_wild_number_takes_no_memory_and_costs_no_reading() {
    let sound = filled().await;
    let store = Store::open(sound.path(), Options::default()).expect("a store");
    for _ in 0..4 {
        store.write(Change::Events(Vec::new())).await.expect("a working store");
    }
    store.close().await;
    let before = read(sound.path());
    let numbered = [
        ("log", "number"),
        ("names", "number"),
        ("channels", "number"),
        ("tags", "number"),
        ("sealed", "channel_group"),
        ("sealed", "through"),
        ("segments", "channel_group"),
    ];
    for wild in [i64::MAX, i64::from(u32::MAX), 1 << 40] {
        for (table, column) in numbered {
            let place = format!("{table}.{column} {wild}");
            let damaged = copy(sound.path());
            damage_number(damaged.path(), table, column, wild);
            if ["log", "sealed"].contains(&table) {
                assert_eq!(read(damaged.path()), before, "{place}: readable as it is");
            }
            let verified = copy(damaged.path());
            let report = check(verified.path());
            assert!(
                !report.is_sound() && report.damage.iter().all(|damage| damage.quarantined),
                "{place}: {:?}",
                report.damage
            );
            assert!(check(verified.path()).is_sound(), "{place}: {:?}", check(verified.path()).damage);
            let store = Store::open(damaged.path(), Options::default()).expect("a store");
            assert!(!store.health().damage.is_empty(), "{place}: it is said");
            let cursor = store.write(Change::Events(Vec::new())).await.expect("a working store");
            assert!(cursor.number() < 1_000_000, "{place}: {cursor:?}");
            let point = Point { meter: "new", function: "1", at: AT, value: "7" };
            assert!(store_packet(&store, packet("new", &[point])).await, "{place}: what is new is stored");
            store.close().await;
            let mut expected = before.clone();
            expected.insert(format!("new new 1 {AT} 7"));
            let after = read(damaged.path());
            assert_eq!(after, expected, "{place}: {} of {}", after.len(), expected.len());
        }
    }
}

/// The same bytes for the same seed.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[tokio::test]
async fn bytes_flipped_anywhere_are_outlived() {
    let sound = filled().await;
    let before = read(sound.path());
    let bytes = std::fs::read(database(sound.path())).expect("a database");
    let other = std::fs::read(database(filled().await.path())).expect("a database");
    let first_page = usize::try_from(PAGE_BYTES).expect("a small number");
    assert!(bytes[first_page..] == other[first_page..], "a seed damages the same in every run");
    let length = bytes.len() as u64;
    for seed in 1..=SEEDS {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let damaged = copy(sound.path());
        let path = database(damaged.path());
        if seed % 8 == 0 {
            let file = std::fs::OpenOptions::new().write(true).open(&path).expect("a writable file");
            file.set_len(PAGE_BYTES + random(&mut state) % (length - PAGE_BYTES)).expect("a shorter file");
        }
        // Not the first page: without the list of tables nothing can be read, which another test shows.
        for _ in 0..=random(&mut state) % 40 {
            let at = PAGE_BYTES + random(&mut state) % (length - PAGE_BYTES);
            if at < std::fs::metadata(&path).expect("a database").len() {
                overwrite(&path, at, &random(&mut state).to_le_bytes()[..1]);
            }
        }
        if let Ok(reader) = Reader::open(damaged.path()) {
            // It may end with an error that names the damage, and must end.
            let _ =
                reader.scan(&loggerhead_store::ReadingFilter::default(), &mut |_| std::ops::ControlFlow::Continue(()));
        }
        let opened = copy(damaged.path());
        verify(damaged.path(), &mut |_| ()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let again = check(damaged.path());
        assert!(again.is_sound(), "seed {seed}: {:#?}", again.damage);
        // Some may stand under a name that says that their own is lost.
        assert!(read(damaged.path()).len() <= before.len(), "seed {seed}: verified");
        let commits = Commits::default();
        let store =
            Store::open(opened.path(), commits.options()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        // What a damaged store does not take is given again when it works again.
        while !store_packet(&store, packet("new", &[Point { meter: "new", function: "1", at: AT, value: "7" }])).await {
            commits.next(&store).await;
        }
        store.close().await;
    }
}

#[tokio::test]
async fn damage_that_a_commit_meets_is_mended_and_nothing_is_acknowledged_before() {
    let sound = filled().await;
    let before = read(sound.path());
    for tree in ["events_by_device", "events_by_time"] {
        let damaged = copy(sound.path());
        damage_page(damaged.path(), tree);
        let commits = Commits::default();
        let store = Store::open(damaged.path(), commits.options()).expect("a store");
        let reader = store.reader();
        assert_eq!(lines(&reader).len(), before.len());
        for number in 0..DEVICES {
            // One that fails is given again, as a device would.
            let event = || changes(number).into_iter().find_map(events).expect("one");
            while store.write(Change::Events(event())).await.is_err() {
                // Others do not wait until it works again, and must not keep it from being mended.
                let _refused = store.write(Change::Events(event())).await;
                commits.next(&store).await;
            }
        }
        let health = store.health();
        assert!(health.is_ok() && health.failures > 0 && names(&health.damage, "malformed"), "{tree}: {health:#?}");
        assert_eq!(lines(&reader).len(), before.len(), "{tree}: readers see the new file");
        store.close().await;
        assert!(check(damaged.path()).is_sound(), "{tree}: {:#?}", check(damaged.path()).damage);
        assert_eq!(read(damaged.path()), before);
    }
}

fn events(change: Change) -> Option<Vec<Event>> {
    if let Change::Events(events) = change { Some(events) } else { None }
}

#[tokio::test]
async fn a_store_in_use_is_verified_and_left_alone() {
    let sound = filled().await;
    let damaged = copy(sound.path());
    damage_bytes(damaged.path(), long("event", 7).as_bytes());
    let store = Store::open(damaged.path(), Options::default()).expect("a store");
    let mut steps = Vec::new();
    let report = verify(damaged.path(), &mut |step| steps.push(step)).expect("a readable store");
    assert!(report.in_use && !report.is_sound());
    assert!(report.damage.iter().all(|damage| !damage.quarantined));
    assert!(steps.len() > DEVICES && steps.last().is_some_and(|last| last.done == last.total));
    store.close().await;
    assert!(!check(damaged.path()).in_use);
    assert!(check(damaged.path()).is_sound(), "it was set aside");
    assert!(check(sound.path()).is_sound());
}

#[tokio::test]
async fn a_damaged_write_ahead_log_is_named_and_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path(), Options::default()).expect("a store");
    for at in 1..=20 {
        assert!(store_packet(&store, packet("tower", &[Point { meter: "1", function: "1", at, value: "5" }])).await);
    }
    let sound = copy(directory.path());
    let all = read(directory.path());
    store.close().await;
    let wal = |directory: &TempDir| directory.path().join("loggerhead.db-wal");
    let length = std::fs::metadata(wal(&sound)).expect("a log").len();
    assert_eq!(read(copy(sound.path()).path()), all, "a copy taken in use is whole with its log");
    let damaged = copy(sound.path());
    overwrite(&wal(&damaged), length / 10 * 8, b"damaged");
    let store = Store::open(damaged.path(), Options::default()).expect("a store");
    let damage = store.health().damage;
    assert!(names(&damage, "write-ahead log frame"), "{damage:?}");
    assert!(store_packet(&store, packet("tower", &[Point { meter: "1", function: "1", at: 99, value: "5" }])).await);
    let left = lines(&store.reader()).len();
    assert!(left > 1 && left < all.len(), "{left}");
    store.close().await;
    let kept = std::fs::read_dir(damaged.path()).expect("a directory").filter(|entry| {
        entry.as_ref().expect("a file").file_name().to_string_lossy().starts_with("loggerhead.db-wal.damaged-")
    });
    assert_eq!(kept.count(), 1);
    let damaged = copy(sound.path());
    overwrite(&wal(&damaged), length / 10 * 8, b"damaged");
    let report = check(damaged.path());
    assert!(names(&report.damage, "write-ahead log"), "{:?}", report.damage);
    assert!(check(damaged.path()).is_sound());
    // A commit that did not arrive wholly was never acknowledged: that is no damage.
    let torn = copy(sound.path());
    overwrite(&wal(&torn), length - 8000, b"torn");
    assert!(check(torn.path()).is_sound());
}

#[tokio::test]
async fn a_store_beyond_repair_says_what_to_do() {
    let sound = filled().await;
    overwrite(&database(sound.path()), 0, &[0; 100]);
    for error in [
        Store::open(sound.path(), Options::default()).err().expect("a refusal"),
        verify(sound.path(), &mut |_| ()).expect_err("a refusal"),
    ] {
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("put a backup there as loggerhead.db"), "{error}");
    }
}
