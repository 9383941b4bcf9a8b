//! Stores of earlier versions are brought to this one, also where they are damaged.

use loggerhead_store::{Options, Reader, Store};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use tempfile::TempDir;

use crate::damage::{DEVICES, check, copy, damage_page, database, filled, names, read, truncate_wal};

/// What version 5 does not have.
const ADDED_BY_6: [&str; 8] =
    ["segments", "frames", "sealed", "accounts", "web_sessions", "tokens", "audit", "acknowledged"];

/// A store as version 5 left it, with devices and readings.
async fn version_5() -> TempDir {
    let directory = filled().await;
    let connection = Connection::open(database(directory.path())).expect("a database");
    for table in ADDED_BY_6 {
        connection.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN checksum")).expect("a database");
    }
    connection.execute_batch("PRAGMA user_version = 5").expect("a database");
    truncate_wal(&connection);
    directory
}

/// A store as version 4 left it, with devices and readings.
async fn version_4() -> TempDir {
    let directory = version_5().await;
    let connection = Connection::open(database(directory.path())).expect("a database");
    connection
        .create_scalar_function("text_checksum", -1, FunctionFlags::SQLITE_UTF8, |context| {
            let mut hasher = crc32fast::Hasher::new();
            for column in 0..context.len() {
                let (kind, bytes) = match context.get_raw(column) {
                    ValueRef::Null => (0, Vec::new()),
                    ValueRef::Integer(number) => (1, number.to_le_bytes().to_vec()),
                    ValueRef::Text(text) => (3, text.to_vec()),
                    ValueRef::Blob(_) | ValueRef::Real(_) => panic!("no such column"),
                };
                hasher.update(&[kind]);
                hasher.update(&bytes.len().to_le_bytes());
                hasher.update(&bytes);
            }
            Ok(hasher.finalize())
        })
        .expect("a function");
    let without_site = "
        CREATE TABLE before (
            id TEXT PRIMARY KEY, protocol TEXT NOT NULL, identity TEXT NOT NULL, state TEXT NOT NULL, secret BLOB,
            login TEXT NOT NULL, settings TEXT NOT NULL, added_at INTEGER NOT NULL, source TEXT NOT NULL
        ) WITHOUT ROWID;
        ALTER TABLE before ADD COLUMN checksum INTEGER;
        INSERT INTO before SELECT id, protocol, identity, state, secret, login, settings, added_at, source,
            text_checksum(id, protocol, identity, state, secret, login, settings, added_at, source) FROM devices;
        DROP TABLE devices;
        ALTER TABLE before RENAME TO devices;
        PRAGMA user_version = 4";
    connection.execute_batch(without_site).expect("a database");
    truncate_wal(&connection);
    directory
}

#[tokio::test]
async fn a_store_of_before_checksums_gets_them() {
    let before = version_5().await;
    let readings = read(copy(before.path()).path());
    let verified = copy(before.path());
    assert!(check(verified.path()).is_sound(), "{:#?}", check(verified.path()).damage);
    let store = Store::open(before.path(), Options::default()).expect("a store");
    assert!(store.health().damage.is_empty(), "{:#?}", store.health().damage);
    store.close().await;
    assert_eq!(read(before.path()), readings);
    let connection = Connection::open(database(before.path())).expect("a database");
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version");
    assert!(version > 5);
    // They are those of what stood there.
    let damage = "UPDATE segments SET channel_group = channel_group + 1 WHERE number = 5";
    assert_eq!(connection.execute(damage, []).expect("a database"), 1);
    drop(connection);
    assert!(names(&check(before.path()).damage, "segment 5"));
    assert_eq!(read(before.path()), readings);
}

#[tokio::test]
async fn a_damaged_store_of_an_earlier_version_is_mended_on_the_way_to_this_one() {
    let sound = [("frames", version_5().await), ("segments", version_5().await), ("devices", version_4().await)];
    for (tree, sound) in sound {
        let readings = read(copy(sound.path()).path());
        let damaged = copy(sound.path());
        damage_page(damaged.path(), tree);
        let verified = copy(damaged.path());
        let report = check(verified.path());
        assert!(!report.is_sound(), "{tree}");
        assert!(report.damage.iter().all(|damage| damage.quarantined), "{tree}: {:#?}", report.damage);
        assert!(check(verified.path()).is_sound(), "{tree}: {:#?}", check(verified.path()).damage);
        let store = Store::open(damaged.path(), Options::default()).expect("a store");
        assert!(!store.health().damage.is_empty(), "{tree}: it is said");
        let devices = store.reader().devices().expect("a readable store").len();
        assert!(if tree == "devices" { devices > 0 && devices < DEVICES } else { devices == DEVICES }, "{devices}");
        store.close().await;
        assert!(check(damaged.path()).is_sound(), "{tree}: {:#?}", check(damaged.path()).damage);
        for mended in [verified, damaged] {
            let left = read(mended.path());
            assert!(left.is_subset(&readings), "{tree}");
            assert_eq!(left == readings, tree != "segments", "{tree}: {} of {}", left.len(), readings.len());
            assert!(Reader::open(mended.path()).is_ok(), "{tree}: it is of this version");
        }
    }
}
