//! Reads everything back against its checksums. In a store that is not in use, what is damaged is set aside.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::damage::Damage;
use crate::error::database;
use crate::log::Batch;
use crate::mend::{content, mend, set_aside};
use crate::salvage::{Hints, Table, Values};
use crate::survey::{Complaint, Met, complaints, survey};
use crate::{StoreError, directory, schema, wal};

/// How far a long job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What was read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// Whether a server has the store open: then damage is named, and nothing is set aside.
    pub in_use: bool,
    /// Committed batches in the log.
    pub batches: u64,
    /// Sealed segments.
    pub segments: u64,
    /// Blocks of raw frames.
    pub frame_blocks: u64,
    /// Rows of all other tables: events, devices, names, channels and more.
    pub rows: u64,
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

/// Reads everything in the store of `directory` back. What is damaged is named. While no server has the store open, it is
/// also set aside, into the table `quarantine` or a file beside the database, so that the rest can be used without meeting
/// it.
///
/// # Errors
/// `Missing` without a store, `Newer` for one of a later version, `Damaged` when nothing can be read at all, `Database` or
/// `File` when reading fails for another reason.
pub fn verify(directory: &Path, progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport, StoreError> {
    if !directory.join(schema::FILE).exists() {
        return Err(StoreError::Missing { directory: directory.to_owned() });
    }
    let lock = match directory::lock(directory) {
        Ok(lock) => Some(lock),
        Err(StoreError::Locked { .. }) => None,
        Err(error) => return Err(error),
    };
    match schema::is_older(directory) {
        // Where damage stops it, the tables of the version that it is of are looked at.
        Ok(true) if lock.is_some() => match schema::open_writer(directory) {
            Err(error) if !error.is_damage() => return Err(error),
            Ok(_) | Err(_) => {}
        },
        Err(error) if !error.is_damage() => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let log = wal::look(directory)?;
    if lock.is_none() {
        let connection = schema::open_reader(directory)?;
        let mut verifier = Verifier::new(&connection, progress)?;
        verifier.report.in_use = true;
        verifier.look()?;
        return Ok(verifier.finish(log));
    }
    let log = log.map(|damage| wal::keep(directory).map(|_| Damage { quarantined: true, ..damage })).transpose()?;
    let connection = schema::open_damaged(directory)?;
    let mut verifier = Verifier::new(&connection, progress)?;
    verifier.look()?;
    let way = verifier.set_aside()?;
    let mut report = verifier.finish(log);
    drop(connection);
    if let Way::Mend = way {
        // What the pages are said to have is gone with them; what was lost by it is named again.
        report.damage.retain(|damage| damage.quarantined || damage.is_of_pages());
        report.damage.iter_mut().for_each(|damage| damage.quarantined = true);
        report.damage.extend(mend(directory)?);
    }
    Ok(report)
}

/// How damage is set aside.
enum Way {
    /// Row by row, in the file; that is done.
    InPlace,
    /// By a new file.
    Mend,
}

struct Verifier<'a> {
    connection: &'a Connection,
    report: VerifyReport,
    complaints: Vec<Complaint>,
    bad: Vec<Bad>,
    gaps: bool,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(Progress),
}

/// A damaged row that can be read: its table, its key, what is kept of it, and its place in the report.
struct Bad {
    table: Table,
    key: Values,
    content: Vec<u8>,
    place: usize,
}

impl<'a> Verifier<'a> {
    fn new(connection: &'a Connection, progress: &'a mut dyn FnMut(Progress)) -> Result<Self, StoreError> {
        let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let total = connection.query_row(sql, [], |row| row.get(0)).map_err(database("measuring the database"))?;
        Ok(Self {
            connection,
            report: VerifyReport::default(),
            complaints: Vec::new(),
            bad: Vec::new(),
            gaps: false,
            done: 0,
            total,
            progress,
        })
    }

    fn look(&mut self) -> Result<(), StoreError> {
        let hints = Hints::default();
        for table in Table::all(self.connection)?.iter().filter(|table| table.name != "quarantine") {
            survey(self.connection, table, &hints, &mut |met| {
                self.meet(table, met);
                Ok(())
            })?;
        }
        self.complaints = complaints(self.connection, None)?;
        self.report.damage.extend(self.complaints.iter().map(|complaint| complaint.damage.clone()));
        Ok(())
    }

    fn meet(&mut self, table: &Table, met: Met<'_>) {
        let row = match met {
            Met::Sound { row, readings } => {
                self.report.readings += readings;
                row
            }
            Met::Bad { row, damage } => {
                let (key, content) = (table.key_of(row), content(table, row));
                self.bad.push(Bad { table: table.clone(), key, content, place: self.report.damage.len() });
                self.report.damage.push(damage);
                row
            }
            Met::Restored { row, damage } => {
                self.gaps = true;
                self.report.damage.push(damage);
                row
            }
            Met::Gap(damage) => {
                self.gaps = true;
                self.report.damage.push(damage);
                return;
            }
        };
        match table.name.as_str() {
            "log" => self.report.batches += 1,
            "segments" => self.report.segments += 1,
            "frames" => self.report.frame_blocks += 1,
            _ => self.report.rows += 1,
        }
        let bytes = |value: &Value| match value {
            Value::Null => 0,
            Value::Integer(_) | Value::Real(_) => size_of::<i64>(),
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
        };
        self.done += row.iter().map(bytes).sum::<usize>() as u64;
        (self.progress)(Progress { done: self.done.min(self.total), total: self.total });
    }

    /// Sets aside what can be set aside in the file itself: rows, when all pages are sound, and indexes that differ from
    /// their tables. Touching more could destroy what is still readable.
    fn set_aside(&mut self) -> Result<Way, StoreError> {
        let structure = self.gaps || self.complaints.iter().any(|complaint| complaint.index.is_none());
        let numbers = |bad: &Bad| ["names", "channels", "tags", "sealed"].contains(&bad.table.name.as_str());
        if structure || self.bad.iter().any(numbers) {
            return Ok(Way::Mend);
        }
        let doing = database("setting damage aside");
        let transaction = self.connection.unchecked_transaction().map_err(doing)?;
        for bad in &self.bad {
            let Some(damage) = self.report.damage.get_mut(bad.place) else { continue };
            damage.quarantined = true;
            set_aside(self.connection, damage, Some(&bad.content)).map_err(doing)?;
            remove(self.connection, bad).map_err(doing)?;
        }
        for index in self.complaints.iter().filter_map(|complaint| complaint.index.as_deref()) {
            self.connection.execute(&format!("REINDEX \"{}\"", index.replace('"', "")), []).map_err(doing)?;
        }
        transaction.commit().map_err(doing)?;
        if complaints(self.connection, None)?.is_empty() {
            let made_again = self.report.damage.iter_mut().filter(|damage| damage.is_of_pages());
            made_again.for_each(|damage| damage.quarantined = true);
            Ok(Way::InPlace)
        } else {
            Ok(Way::Mend)
        }
    }

    fn finish(self, log: Option<Damage>) -> VerifyReport {
        (self.progress)(Progress { done: self.total, total: self.total });
        let mut report = self.report;
        report.damage.extend(log);
        report
    }
}

fn remove(connection: &Connection, bad: &Bad) -> rusqlite::Result<()> {
    let (name, is_key) = (&bad.table.name, bad.table.is_key());
    if name == "log" {
        // The number stays taken, and a batch without readings is sound.
        let mut empty = Vec::new();
        Batch::default().encode(&mut empty);
        let sql = "UPDATE log SET readings = 0, body = ?2 WHERE number = ?1";
        return connection.execute(sql, (bad.key.first(), empty)).map(|_| ());
    }
    connection.execute(&format!("DELETE FROM {name} WHERE {is_key}"), params_from_iter(&bad.key)).map(|_| ())
}

impl Damage {
    /// Whether it is of pages or indexes, not of something that was stored.
    fn is_of_pages(&self) -> bool {
        ["index ", "table ", "pages "].iter().any(|start| self.place.starts_with(start))
    }
}
