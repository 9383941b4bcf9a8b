//! The tables, and how a store of an earlier version becomes one of this version.

use std::path::Path;
use std::time::Duration;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::damage::is_damage;
use crate::error::{database, file};
use crate::{StoreError, directory};

/// The file in the data directory.
pub(crate) const FILE: &str = "loggerhead.db";
/// "LgHd" in the file's header: what `file` and other tools see.
const APPLICATION_ID: i32 = 0x4c67_4864;
/// Log batches and segments are far over 4 KiB; measured: fewer pages in the write-ahead log for the same bytes.
const PAGE_BYTES: u32 = 8192;
const CACHE_KIB: i32 = 16 * 1024;
/// How long a statement waits for another process, such as a backup tool, that holds a lock.
const BUSY: Duration = Duration::from_secs(5);

/// How many versions there are; also the number of this one.
pub(crate) const VERSIONS: usize = 6;
/// The version from which on no row of a table with checksums is without one.
pub(crate) const EVERY_ROW_HAS_A_CHECKSUM: u32 = 6;
/// What makes version n + 1 out of version n. Never changed once released; only added to.
const MIGRATIONS: [&str; VERSIONS] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
];

/// Opens the database for writing, and brings it to this version.
pub(crate) fn open_writer(directory: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opening = database("opening the database");
    let mut connection = Connection::open_with_flags(directory.join(FILE), flags).map_err(opening)?;
    connection.busy_timeout(BUSY).map_err(opening)?;
    add_functions(&connection).map_err(opening)?;
    let found = version(&connection)?;
    if found == 0 {
        connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(opening)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(opening)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(opening)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(opening)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(opening)?;
    // The maintenance thread checkpoints, so that no commit has to.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(opening)?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(&mut connection, found, VERSIONS)?;
    Ok(connection)
}

/// Opens the database for reading.
pub(crate) fn open_reader(directory: &Path) -> Result<Connection, StoreError> {
    let opening = database("opening the database for reading");
    let file = directory.join(FILE);
    if !file.exists() {
        return Err(StoreError::Missing { directory: directory.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(opening)?;
    connection.busy_timeout(BUSY).map_err(opening)?;
    add_functions(&connection).map_err(opening)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(opening)?;
    connection.set_prepared_statement_cache_capacity(64);
    if version(&connection)? == 0 {
        return Err(StoreError::Missing { directory: directory.to_owned() });
    }
    Ok(connection)
}

/// Whether the store is of an earlier version than this program.
pub(crate) fn is_older(directory: &Path) -> Result<bool, StoreError> {
    Ok((version(&open_reader(directory)?)? as usize) < VERSIONS)
}

/// Opens a database of which parts cannot be read, for what can.
///
/// # Errors
/// `Damaged` when nothing can be read: it says what to do.
pub(crate) fn open_damaged(directory: &Path) -> Result<Connection, StoreError> {
    let path = directory.join(FILE);
    let beyond_repair = |error: rusqlite::Error| {
        if !is_damage(&error) {
            return database("opening the damaged database")(error);
        }
        let path = path.display();
        let what = format!(
            "{path} cannot be read at all ({error}): stop the server, move {FILE}* out of the directory, and put a backup \
             there as {FILE}, or start without one; devices send again what was not acknowledged"
        );
        StoreError::Damaged { what }
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(beyond_repair)?;
    connection.busy_timeout(BUSY).map_err(beyond_repair)?;
    add_functions(&connection).map_err(beyond_repair)?;
    // Finds a damaged page when it is read, not when something on it is used.
    connection.pragma_update(None, "cell_size_check", true).map_err(beyond_repair)?;
    // A file that was cut short is refused as a whole without it.
    connection.pragma_update(None, "writable_schema", true).map_err(beyond_repair)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(beyond_repair)?;
    Ok(connection)
}

/// Makes a database that is written as a whole and then synced.
pub(crate) fn create_file(path: &Path) -> Result<Connection, StoreError> {
    let making = database("making a new database");
    drop(directory::create_new(path).map_err(file(format!("making {}", path.display())))?);
    let mut connection = Connection::open(path).map_err(making)?;
    add_functions(&connection).map_err(making)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(making)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(making)?;
    connection.pragma_update(None, "journal_mode", "OFF").map_err(making)?;
    connection.pragma_update(None, "synchronous", "OFF").map_err(making)?;
    migrate(&mut connection, 0, VERSIONS)?;
    Ok(connection)
}

/// The tables of a version without anything in them, in memory.
pub(crate) fn pristine(version: u32) -> Result<Connection, StoreError> {
    let making = database("making a database in memory");
    let mut connection = Connection::open_in_memory().map_err(making)?;
    add_functions(&connection).map_err(making)?;
    migrate(&mut connection, 0, version as usize)?;
    Ok(connection)
}

/// The version of the schema; 0 before it has tables.
///
/// # Errors
/// `Newer` for a later version than this program knows, `Damaged` when it is not a store, `Database` when it cannot be read.
pub(crate) fn version(connection: &Connection) -> Result<u32, StoreError> {
    let reading = database("reading the schema version");
    let application = connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0));
    let application = application.map_err(reading)?;
    let found = connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).map_err(reading)?;
    let known = u32::try_from(VERSIONS).unwrap_or(u32::MAX);
    let is_ours = if found > 0 { application == APPLICATION_ID || application == 0 } else { application == 0 };
    if !is_ours {
        return Err(StoreError::Damaged { what: "the header of the database".to_owned() });
    }
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(found) }
}

fn migrate(connection: &mut Connection, found: u32, to: usize) -> Result<(), StoreError> {
    let migrating = database("bringing the database to this version");
    for (step, migration) in (1_u32..).zip(MIGRATIONS).take(to).skip(found as usize) {
        let transaction = connection.transaction().map_err(migrating)?;
        transaction.execute_batch(migration).map_err(migrating)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(migrating)?;
        transaction.pragma_update(None, "user_version", step).map_err(migrating)?;
        transaction.commit().map_err(migrating)?;
    }
    Ok(())
}

/// `row_checksum(column, ..)`: the CRC-32 of values with their types, for tables whose rows have no body with one.
fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("row_checksum", -1, flags, |context| Ok(row_checksum(context)))
}

fn row_checksum(context: &Context<'_>) -> u32 {
    checksum((0..context.len()).map(|index| context.get_raw(index)))
}

/// The CRC-32 of values with their types.
pub(crate) fn checksum<'a>(values: impl Iterator<Item = ValueRef<'a>>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut add = |kind: u8, bytes: &[u8]| {
        hasher.update(&[kind]);
        hasher.update(&bytes.len().to_le_bytes());
        hasher.update(bytes);
    };
    for value in values {
        match value {
            ValueRef::Null => add(0, &[]),
            ValueRef::Integer(number) => add(1, &number.to_le_bytes()),
            ValueRef::Real(number) => add(2, &number.to_le_bytes()),
            ValueRef::Text(text) => add(3, text),
            ValueRef::Blob(blob) => add(4, blob),
        }
    }
    hasher.finalize()
}
