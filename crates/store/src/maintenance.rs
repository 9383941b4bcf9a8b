//! The thread beside the writer: seals, merges, trims, forgets, and copies the write-ahead log into the database.
//!
//! Everything is prepared here and committed by the writer in small steps, so that no packet waits long. A crash
//! between two steps is harmless: what is not sealed is still in the log.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rusqlite::Connection;

use crate::hot::{Latest, Sealing};
use crate::lock::{read, write};
use crate::row::Row;
use crate::segment::{CHUNK_ROWS_MAX, Encoder, Given};
use crate::shared::Shared;
use crate::step::{Action, NewSegment, Step};
use crate::{StoreError, schema};

/// How often there is a look at what is to be done, when nobody rings.
const REST: Duration = Duration::from_millis(200);
/// Rows sealed in one step: a few milliseconds of the writer's time.
const STEP_ROWS: usize = 50_000;
/// Batches that leave the log in one step.
const STEP_BATCHES: u32 = 64;
/// Frames of the write-ahead log from which they are copied into the database: 8 MiB.
const COPY_FRAMES: i64 = 1024;
/// Frames from which the writer copies the rest itself, so that the write-ahead log starts over: 64 MiB.
const RESTART_FRAMES: i64 = 8 * 1024;

/// The maintenance thread.
pub(crate) struct Maintenance {
    shared: Arc<Shared>,
    connection: Option<Connection>,
    encoder: Encoder,
    trimmed: u64,
    copied_at: u64,
}

impl Maintenance {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, connection: None, encoder: Encoder::default(), trimmed: 0, copied_at: 0 }
    }

    /// Runs until the store is closed.
    pub(crate) fn run(mut self) {
        while !self.shared.alarm.is_stopped() {
            self.shared.alarm.wait(REST);
            self.round();
        }
    }

    fn round(&mut self) {
        while !self.shared.alarm.is_stopped() && read(&self.shared.hot).rows() > self.shared.options.hot_readings_max {
            if self.seal() == 0 {
                break;
            }
            self.trim();
            self.copy();
        }
        self.trim();
        self.copy();
    }

    /// Seals the groups with the oldest readings, as many as fit a step; gives how many rows.
    fn seal(&mut self) -> usize {
        let mut rows = 0;
        let mut actions = Vec::new();
        let epoch = read(&self.shared.hot).epoch();
        while rows < STEP_ROWS {
            let (group, sealing, through, latest) = {
                let mut hot = write(&self.shared.hot);
                if hot.epoch() != epoch {
                    return 0;
                }
                let Some((group, sealing, through)) = hot.begin_sealing() else { break };
                (group, sealing, through, hot.latest_of_group(group))
            };
            rows += sealing.iter().map(|(_, rows)| rows.rows.len()).sum::<usize>();
            let segments = self.encode(group, &sealing);
            let latest = self.encode_latest(&latest);
            actions.push(Action::Seal { group, through, latest, segments });
        }
        if actions.is_empty() || self.step(epoch, actions).is_none() {
            return 0;
        }
        rows
    }

    /// Takes what is sealed out of the log, all but its tail.
    fn trim(&mut self) {
        let (through, epoch) = {
            let hot = read(&self.shared.hot);
            let tail = hot.applied().saturating_sub(self.shared.options.log_tail_batches);
            (hot.sealed_through().min(tail), hot.epoch())
        };
        while through > self.trimmed && !self.shared.alarm.is_stopped() {
            let actions = vec![Action::TrimLog { through, batches_max: STEP_BATCHES }];
            match self.step(epoch, actions) {
                None => break,
                Some(removed) if removed < STEP_BATCHES as usize => self.trimmed = through,
                Some(_) => {}
            }
        }
    }

    /// Copies the write-ahead log into the database without holding up the writer, except for a short rest.
    fn copy(&mut self) {
        let applied = read(&self.shared.hot).applied();
        if applied == self.copied_at {
            return;
        }
        self.copied_at = applied;
        match self.try_copy() {
            Ok(frames) if frames > RESTART_FRAMES => {
                let epoch = read(&self.shared.hot).epoch();
                self.step(epoch, vec![Action::RestartWal]);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "cannot copy the write-ahead log");
                self.connection = None;
            }
        }
    }

    fn try_copy(&mut self) -> Result<i64, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => schema::open_writer(&self.shared.directory)?,
        };
        let wal = self.shared.directory.join(format!("{}-wal", schema::FILE));
        let frames = i64::try_from(std::fs::metadata(wal).map_or(0, |file| file.len())).unwrap_or(0) / 8192;
        let mut all = 0;
        if frames > COPY_FRAMES {
            all = connection
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))
                .map_err(crate::error::database("copying the write-ahead log"))?;
        }
        self.connection = Some(connection);
        Ok(all)
    }

    /// Has the writer carry out a step; gives how many rows it removed, nothing when it failed.
    fn step(&self, epoch: u64, actions: Vec<Action>) -> Option<usize> {
        let (done, removed) = sync_channel(1);
        self.shared.queue.step(Step { actions, epoch, done });
        removed.recv().ok()
    }

    /// Segments of a group: the first holds the first chunk of every channel, and so on.
    fn encode(&mut self, group: u32, sealing: &Sealing) -> Vec<NewSegment> {
        let mut segments = Vec::new();
        for index in 0.. {
            let chunks: Vec<Given<'_>> = sealing
                .iter()
                .filter_map(|(place, rows)| {
                    let chunk = rows.rows.chunks(CHUNK_ROWS_MAX).nth(index)?;
                    Some((*place, chunk, rows.texts.as_slice()))
                })
                .collect();
            if chunks.is_empty() {
                break;
            }
            segments.push(self.segment(group, &chunks));
        }
        segments
    }

    fn segment(&mut self, group: u32, chunks: &[Given<'_>]) -> NewSegment {
        let ends = |row: Option<&Row>| row.map_or(0, |row| row.measured_at);
        NewSegment {
            group,
            first_at: chunks.iter().map(|(_, rows, _)| ends(rows.first())).min().unwrap_or(0),
            last_at: chunks.iter().map(|(_, rows, _)| ends(rows.last())).max().unwrap_or(0),
            readings: chunks.iter().map(|(_, rows, _)| rows.len()).sum(),
            body: self.encoder.encode(chunks),
        }
    }

    fn encode_latest(&mut self, latest: &[(u8, Latest)]) -> Vec<u8> {
        let rows: Vec<(u8, [Row; 1], Vec<Box<str>>)> = latest
            .iter()
            .map(|(place, latest)| {
                let row = Row { number: if latest.text.is_some() { 0 } else { latest.row.number }, ..latest.row };
                (*place, [row], latest.text.iter().cloned().collect())
            })
            .collect();
        let chunks: Vec<Given<'_>> =
            rows.iter().map(|(place, row, texts)| (*place, row.as_slice(), texts.as_slice())).collect();
        self.encoder.encode(&chunks)
    }
}
