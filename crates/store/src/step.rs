//! One small piece of maintenance: prepared on the maintenance thread, carried out by the writer in its next commit.

use std::sync::RwLock;
use std::sync::mpsc::SyncSender;

use rusqlite::Connection;

use crate::frames::Block;
use crate::hot::Hot;
use crate::identity::{Identities, SegmentSpan};
use crate::lock::write;
use crate::tables;

/// A segment that is ready to be inserted.
#[derive(Clone, Debug)]
pub(crate) struct NewSegment {
    pub(crate) group: u32,
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
    pub(crate) readings: usize,
    pub(crate) body: Vec<u8>,
}

/// What to do.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Put the unsealed rows of a group into segments.
    Seal {
        group: u32,
        /// The batch up to which all rows of the group are in segments then.
        through: u64,
        /// The latest reading of each channel, as a segment.
        latest: Vec<u8>,
        segments: Vec<NewSegment>,
    },
    /// Put others in the place of segments of a group; none, to forget them.
    Replace { group: u32, gone: Vec<i64>, segments: Vec<NewSegment> },
    /// Put one block of frames in the place of several.
    MergeFrames { number: i64, batch: u64, gone: Vec<i64>, block: Block },
    /// Remove the oldest batches of the log, up to this one; never the last.
    TrimLog { through: u64, batches_max: u32 },
    /// Remove rows of a table up to a time; `sql` takes the time and the most rows.
    Forget { sql: &'static str, before: i64, rows_max: u32 },
    /// Copy the rest of the write-ahead log after the commit, so that it starts over.
    RestartWal,
    /// Give free pages back to the file system.
    Shrink { pages_max: u32 },
}

/// Actions that are committed together.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) actions: Vec<Action>,
    /// The epoch of the hot index from which it was prepared; it is void in any other.
    pub(crate) epoch: u64,
    /// Told how many rows the last `TrimLog` or `Forget` removed; nothing when the commit failed.
    pub(crate) done: SyncSender<usize>,
}

/// What to do in memory once a step is committed.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    replaced: Vec<(u32, Vec<i64>, Vec<SegmentSpan>)>,
    sealed: Vec<(u32, u64)>,
    removed: usize,
    /// The write-ahead log is to start over.
    pub(crate) restart_wal: bool,
}

impl Step {
    /// Does everything in the transaction that is open.
    pub(crate) fn carry_out(&self, connection: &Connection) -> rusqlite::Result<Carried> {
        let mut carried = Carried::default();
        for action in &self.actions {
            match action {
                Action::Seal { group, through, latest, segments } => {
                    let spans = insert(connection, segments)?;
                    connection
                        .prepare_cached(
                            "INSERT OR REPLACE INTO sealed (channel_group, through, latest, checksum)
                             VALUES (?1, ?2, ?3, row_checksum(?1, ?2, substr(?3, 1, 4)))",
                        )?
                        .execute((group, through, latest))?;
                    carried.replaced.push((*group, Vec::new(), spans));
                    carried.sealed.push((*group, *through));
                }
                Action::Replace { group, gone, segments } => {
                    let mut statement = connection.prepare_cached("DELETE FROM segments WHERE number = ?1")?;
                    for number in gone {
                        statement.execute([number])?;
                    }
                    carried.replaced.push((*group, gone.clone(), insert(connection, segments)?));
                }
                Action::MergeFrames { number, batch, gone, block } => {
                    let mut statement = connection.prepare_cached("DELETE FROM frames WHERE number = ?1")?;
                    for gone in gone {
                        statement.execute([gone])?;
                    }
                    tables::insert_block(connection, Some(*number), *batch, block)?;
                }
                Action::TrimLog { through, batches_max } => {
                    let sql = "DELETE FROM log WHERE number IN (SELECT number FROM log WHERE number <= ?1
                               AND number < (SELECT max(number) FROM log) ORDER BY number LIMIT ?2)";
                    carried.removed = connection.prepare_cached(sql)?.execute((through, batches_max))?;
                }
                Action::Forget { sql, before, rows_max } => {
                    carried.removed = connection.prepare_cached(sql)?.execute((before, rows_max))?;
                }
                Action::RestartWal => carried.restart_wal = true,
                Action::Shrink { pages_max } => {
                    let sql = format!("PRAGMA incremental_vacuum({pages_max})");
                    let mut statement = connection.prepare(&sql)?;
                    let mut rows = statement.query([])?;
                    while rows.next()?.is_some() {}
                }
            }
        }
        Ok(carried)
    }
}

impl Carried {
    /// Brings memory up to date.
    pub(crate) fn committed(self, identities: &mut Identities, hot: &RwLock<Hot>) -> usize {
        let (mut readings_added, mut readings_gone) = (0, 0);
        let changes_readings = !self.replaced.is_empty();
        for (group, gone, added) in self.replaced {
            readings_added += added.iter().map(|span| span.readings).sum::<u64>();
            readings_gone += identities.replace(group, &gone, added);
        }
        if changes_readings {
            let mut hot = write(hot);
            hot.count_sealed(readings_added, readings_gone);
            for (group, through) in self.sealed {
                hot.end_sealing(group, through);
            }
        }
        self.removed
    }
}

fn insert(connection: &Connection, segments: &[NewSegment]) -> rusqlite::Result<Vec<SegmentSpan>> {
    let sql = "INSERT INTO segments (channel_group, first_at, last_at, readings, body, checksum)
               VALUES (?1, ?2, ?3, ?4, ?5, row_checksum(?1, ?2, ?3, ?4, substr(?5, 1, 4)))";
    let mut statement = connection.prepare_cached(sql)?;
    let mut spans = Vec::with_capacity(segments.len());
    for segment in segments {
        let readings = i64::try_from(segment.readings).unwrap_or(i64::MAX);
        let number =
            statement.insert((segment.group, segment.first_at, segment.last_at, readings, segment.body.as_slice()))?;
        let readings = segment.readings as u64;
        spans.push(SegmentSpan { number, first_at: segment.first_at, last_at: segment.last_at, readings });
    }
    Ok(spans)
}
