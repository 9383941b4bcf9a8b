//! Reads everything back against its checksums, and sets aside what is damaged.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::coding::Broken;
use crate::error::database;
use crate::log::Batch;
use crate::segment::Segment;
use crate::shared::now;
use crate::state::DamagedBatch;
use crate::{StoreError, directory, frames, schema};

/// Most complaints that SQLite itself is asked for.
const COMPLAINTS_MAX: u32 = 100;

/// How far a long job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Something that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// Which part of the store.
    pub place: String,
    /// How it shows.
    pub what: String,
    /// Whether it was set aside, so that the rest can be read without meeting it.
    pub quarantined: bool,
}

/// What was read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// Committed batches in the log.
    pub batches: u64,
    /// Sealed segments.
    pub segments: u64,
    /// Blocks of raw frames.
    pub frame_blocks: u64,
    /// Readings in segments, and in batches, of which some may be in segments as well.
    pub readings: u64,
    /// What is damaged.
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Reads everything in the store of `directory` back. No other process may have it open for writing. What is damaged is
/// named, moved to the table `quarantine` and left out from then on; the rest stays readable.
///
/// # Errors
/// `Missing` without a store, `Locked` while it is in use, `Newer` for one of a later version, `Database` or `File` when
/// nothing can be read at all.
pub fn verify(directory: &Path, progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport, StoreError> {
    if !directory.join(schema::FILE).exists() {
        return Err(StoreError::Missing { directory: directory.to_owned() });
    }
    let _lock = directory::lock(directory)?;
    let connection = schema::open_writer(directory)?;
    let total = connection
        .query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| row.get(0))
        .map_err(database("measuring the database"))?;
    let mut verifier = Verifier { connection: &connection, report: VerifyReport::default(), done: 0, total, progress };
    verifier.batches()?;
    verifier.segments()?;
    verifier.frames()?;
    verifier.latest()?;
    verifier.pages();
    let total = verifier.total;
    (verifier.progress)(Progress { done: total, total });
    Ok(verifier.report)
}

struct Verifier<'a> {
    connection: &'a Connection,
    report: VerifyReport,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(Progress),
}

/// A table of bodies.
struct Bodies {
    /// What one of them is called.
    name: &'static str,
    /// All numbers, from an index where there is one, so that a damaged page of the table hides none.
    numbers: &'static str,
    /// Number to body, and how many readings there should be.
    body: &'static str,
    /// What takes one out of its table.
    remove: &'static str,
}

const BATCHES: Bodies = Bodies {
    name: "batch",
    numbers: "WITH RECURSIVE numbers(number) AS (
                  SELECT (SELECT min(number) FROM log) UNION ALL
                  SELECT number + 1 FROM numbers WHERE number < (SELECT max(number) FROM log)
              ) SELECT number FROM numbers WHERE number IS NOT NULL",
    body: "SELECT body, readings FROM log WHERE number = ?1",
    // The number stays taken, and a batch without readings is sound.
    remove: "UPDATE log SET readings = 0, body = ?2 WHERE number = ?1",
};
const SEGMENTS: Bodies = Bodies {
    name: "segment",
    numbers: "SELECT number FROM segments INDEXED BY segments_by_group WHERE channel_group >= 0",
    body: "SELECT body, readings FROM segments WHERE number = ?1",
    remove: "DELETE FROM segments WHERE number = ?1 AND ?2 IS NOT NULL",
};
const FRAMES: Bodies = Bodies {
    name: "block of frames",
    numbers: "SELECT number FROM frames INDEXED BY frames_by_time WHERE last_at IS NOT NULL",
    body: "SELECT body, 0 FROM frames WHERE number = ?1",
    remove: "DELETE FROM frames WHERE number = ?1 AND ?2 IS NOT NULL",
};

impl Verifier<'_> {
    fn batches(&mut self) -> Result<(), StoreError> {
        self.report.batches = self.bodies(&BATCHES, |body, readings| {
            let batch = Batch::decode(body)?;
            if batch.rows.len() as u64 == readings { Ok(readings) } else { Err(Broken("another number of readings")) }
        })?;
        Ok(())
    }

    fn segments(&mut self) -> Result<(), StoreError> {
        self.report.segments = self.bodies(&SEGMENTS, |body, readings| {
            let segment = Segment::open(body)?;
            let mut rows = 0;
            for chunk in segment.chunks() {
                rows += segment.decode(chunk)?.rows.len() as u64;
            }
            if rows == readings { Ok(readings) } else { Err(Broken("another number of readings")) }
        })?;
        Ok(())
    }

    fn frames(&mut self) -> Result<(), StoreError> {
        self.report.frame_blocks = self.bodies(&FRAMES, |body, _| frames::decode(body).map(|_| 0))?;
        Ok(())
    }

    /// What each group keeps of its latest readings can be made again, so it is only named.
    fn latest(&mut self) -> Result<(), StoreError> {
        let doing = database("reading what is sealed");
        let mut statement = self.connection.prepare("SELECT channel_group, latest FROM sealed").map_err(doing)?;
        let mut rows = statement.query([]).map_err(doing)?;
        while let Ok(Some(row)) = rows.next() {
            let group: u32 = row.get(0).map_err(doing)?;
            let body = row.get_ref(1).map_err(doing)?.as_blob().unwrap_or_default();
            if let Err(broken) = Segment::open(body) {
                let place = format!("latest readings of group {group}");
                self.report.damage.push(Damage { place, what: broken.to_string(), quarantined: false });
            }
        }
        Ok(())
    }

    /// What SQLite itself finds, after what is damaged was taken out of its tables.
    fn pages(&mut self) {
        let mut complaints: Vec<String> = Vec::new();
        let sql = format!("PRAGMA integrity_check({COMPLAINTS_MAX})");
        let checked = self.connection.prepare(&sql).and_then(|mut statement| {
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.for_each(|complaint| complaints.push(complaint.unwrap_or_else(|error| error.to_string())));
            Ok(())
        });
        complaints.extend(checked.err().map(|error| error.to_string()));
        for complaint in
            complaints.iter().flat_map(|complaint| complaint.lines()).filter(|complaint| *complaint != "ok")
        {
            let place = "database pages".to_owned();
            self.report.damage.push(Damage { place, what: complaint.to_owned(), quarantined: false });
        }
    }

    /// Checks every body of a table; gives how many there are.
    fn bodies(&mut self, table: &Bodies, check: impl Fn(&[u8], u64) -> Result<u64, Broken>) -> Result<u64, StoreError> {
        let listing = database("listing what is stored");
        let mut statement = self.connection.prepare(table.numbers).map_err(listing)?;
        let numbers = statement.query_map([], |row| row.get::<_, i64>(0)).map_err(listing)?;
        let numbers: Vec<i64> = numbers.collect::<Result<_, _>>().map_err(listing)?;
        let mut count = 0;
        for number in numbers {
            count += 1;
            let found = self.read(table, number);
            let checked = match &found {
                Ok(Some((body, readings))) => check(body, *readings).map_err(|broken| broken.to_string()),
                Ok(None) => Err("it is listed, but not there".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            let body = found.ok().flatten().map(|(body, _)| body);
            self.done += body.as_ref().map_or(0, |body| body.len() as u64);
            match checked {
                Ok(readings) => self.report.readings += readings,
                Err(what) => self.set_aside(table, number, what, body.as_deref()),
            }
            (self.progress)(Progress { done: self.done.min(self.total), total: self.total });
        }
        Ok(count)
    }

    fn read(&self, table: &Bodies, number: i64) -> rusqlite::Result<Option<(Vec<u8>, u64)>> {
        let mut statement = self.connection.prepare_cached(table.body)?;
        statement.query_row([number], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }

    fn set_aside(&mut self, table: &Bodies, number: i64, what: String, body: Option<&[u8]>) {
        let place = format!("{} {number}", table.name);
        let moved = set_aside(self.connection, table, number, &place, &what, body);
        if let Err(error) = &moved {
            tracing::error!(place, %error, "damage cannot be set aside; readers step over it");
        }
        self.report.damage.push(Damage { place, what, quarantined: moved.is_ok() });
    }
}

fn set_aside(
    connection: &Connection,
    table: &Bodies,
    number: i64,
    place: &str,
    what: &str,
    body: Option<&[u8]>,
) -> rusqlite::Result<()> {
    let mut empty = Vec::new();
    Batch::default().encode(&mut empty);
    let transaction = connection.unchecked_transaction()?;
    let sql = "INSERT INTO quarantine (place, what, found_at, body) VALUES (?1, ?2, ?3, ?4)";
    transaction.execute(sql, (place, what, now().unix_ms(), body))?;
    transaction.execute(table.remove, (number, empty.as_slice()))?;
    transaction.commit()
}

/// Sets a batch aside that was found damaged while the log was read.
pub(crate) fn set_batch_aside(connection: &Connection, batch: &DamagedBatch) -> rusqlite::Result<()> {
    let number = i64::try_from(batch.number).unwrap_or(i64::MAX);
    let body: Option<Vec<u8>> = connection.query_row(BATCHES.body, [number], |row| row.get(0)).ok();
    set_aside(connection, &BATCHES, number, &format!("batch {number}"), &batch.what, body.as_deref())
}
