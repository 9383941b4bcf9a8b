//! The thread beside the writer: seals, merges, trims, forgets, and copies the write-ahead log into the database.
//!
//! Everything is prepared here and committed by the writer in small steps, so that no packet waits long. A crash
//! between two steps is harmless: what is not sealed is still in the log.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::error::database;
use crate::hot::Taken;
use crate::lock::{read, write};
use crate::seal::Sealer;
use crate::shared::{Shared, now};
use crate::step::{Action, Step};
use crate::{StoreError, blocks, retention, schema};

/// How often there is a look at what is to be done, when nobody rings.
const REST: Duration = Duration::from_millis(200);
/// How often there is a look at what is old.
const RETENTION_EVERY: Duration = Duration::from_mins(10);
/// For how long blocks of frames stay as they are, so that whoever pages through them is done.
const FRAMES_REST_MS: i64 = 10 * 60 * 1000;
/// Rows sealed in one step: a few milliseconds of the writer's time.
const STEP_ROWS: usize = 50_000;
/// Batches that leave the log in one step.
const STEP_BATCHES: u32 = 64;
/// Bytes of the write-ahead log from which it is copied into the database.
const COPY_BYTES: u64 = 8 * 1024 * 1024;
/// Pages of the write-ahead log from which the writer copies the rest itself, so that it starts over: 64 MiB.
const RESTART_PAGES: i64 = 8 * 1024;
/// Pages that may be left for the writer then: about a millisecond of its time.
const REST_PAGES: i64 = 64;
/// How often the rest is copied here before the writer gets it, however much comes in meanwhile.
const COPIES_MAX: u32 = 8;
/// Free pages that stay for what comes next: 16 MiB, or a quarter of the file.
const FREE_PAGES: i64 = 2 * 1024;
/// Pages that go back to the file system in one round.
const SHRINK_PAGES: u32 = 256;

/// The maintenance thread.
pub(crate) struct Maintenance {
    shared: Arc<Shared>,
    connection: Option<Connection>,
    /// The file that the connection is of.
    generation: u64,
    sealer: Sealer,
    /// Groups sealed since they were last looked at for merging.
    sealed: Vec<u32>,
    trimmed: u64,
    /// The batch at which the write-ahead log was last told to start over.
    restarted: u64,
    next_retention: Instant,
}

/// The maintenance cannot go on for now; the writer failed, or the store closes.
struct Interrupted;

impl Maintenance {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            connection: None,
            generation: 0,
            sealer: Sealer::default(),
            sealed: Vec::new(),
            trimmed: 0,
            restarted: 0,
            next_retention: Instant::now(),
        }
    }

    /// Runs until the store is closed.
    pub(crate) fn run(mut self) {
        while !self.shared.alarm.is_stopped() {
            self.shared.alarm.wait(REST);
            // What was interrupted is done in a later round.
            let _: Result<(), Interrupted> = self.round();
        }
    }

    fn round(&mut self) -> Result<(), Interrupted> {
        let generation = self.shared.generation();
        if self.generation != generation {
            self.connection = None;
            self.generation = generation;
        }
        while read(&self.shared.hot).rows() > self.shared.options.hot_readings_max {
            if self.seal()? == 0 {
                break;
            }
            self.trim()?;
            self.copy()?;
        }
        self.trim()?;
        self.copy()?;
        while let Some(group) = self.sealed.pop() {
            self.merge(group)?;
        }
        if Instant::now() >= self.next_retention {
            self.forget()?;
            self.merge_frames()?;
            self.next_retention = Instant::now() + RETENTION_EVERY;
        }
        self.shrink()
    }

    /// Seals the groups with the oldest readings, as many as fit a step; gives how many rows.
    fn seal(&mut self) -> Result<usize, Interrupted> {
        let mut rows = 0;
        let mut actions = Vec::new();
        let epoch = read(&self.shared.hot).epoch();
        while rows < STEP_ROWS {
            let Some(taken) = self.begin_sealing(epoch, i64::MAX)? else { break };
            rows += taken.sealing.iter().map(|(_, rows)| rows.rows.len()).sum::<usize>();
            actions.push(self.sealer.seal(&taken));
            self.sealed.push(taken.group);
        }
        if !actions.is_empty() {
            self.step(epoch, actions)?;
        }
        Ok(rows)
    }

    /// Sets the rows of the group with the oldest readings aside, if it has one measured before a time.
    fn begin_sealing(&self, epoch: u64, before: i64) -> Result<Option<Taken>, Interrupted> {
        let mut hot = write(&self.shared.hot);
        if hot.epoch() == epoch { Ok(hot.begin_sealing(before)) } else { Err(Interrupted) }
    }

    /// Merges small segments of a group as long as there are enough of them.
    fn merge(&mut self, group: u32) -> Result<(), Interrupted> {
        loop {
            let epoch = read(&self.shared.hot).epoch();
            let sealer = &mut self.sealer;
            let merged = connection(&mut self.connection, &self.shared).and_then(|open| sealer.merge(open, group));
            match self.heard(merged)? {
                Some(action) => self.step(epoch, vec![action])?,
                None => return Ok(()),
            };
        }
    }

    /// Takes what is sealed out of the log, all but its tail; not for a few batches with little in them.
    fn trim(&mut self) -> Result<(), Interrupted> {
        let options = &self.shared.options;
        let (through, worth, epoch) = {
            let hot = read(&self.shared.hot);
            let before_tail = hot.before_tail(options.log_tail_batches, (options.hot_readings_max / 2) as u64);
            let through = hot.sealed_through().min(before_tail);
            let readings = hot.logged_through(through);
            let batches = through.saturating_sub(self.trimmed);
            let worth = batches >= u64::from(STEP_BATCHES) || readings > (options.hot_readings_max / 16) as u64;
            (through, worth, hot.epoch())
        };
        while worth && through > self.trimmed {
            let removed = self.step(epoch, vec![Action::TrimLog { through, batches_max: STEP_BATCHES }])?;
            if removed < STEP_BATCHES as usize {
                self.trimmed = through;
                write(&self.shared.hot).trimmed(through);
            }
        }
        Ok(())
    }

    /// Forgets what is old.
    fn forget(&mut self) -> Result<(), Interrupted> {
        let retention = self.shared.options.retention;
        let now = now().unix_ms();
        for (action, full) in retention::removals(&retention, now) {
            let epoch = read(&self.shared.hot).epoch();
            while self.step(epoch, vec![action.clone()])? >= full {}
        }
        if let Some(before) = retention::readings_before(&retention, now) {
            self.forget_unsealed(before)?;
        }
        let old = connection(&mut self.connection, &self.shared)
            .and_then(|open| retention::old_segments(open, &retention, now));
        let (before, segments) = self.heard(old)?;
        for old in segments {
            let epoch = read(&self.shared.hot).epoch();
            let action = if old.wholly {
                Some(Action::Replace { group: old.group, gone: vec![old.number], segments: Vec::new() })
            } else {
                let sealer = &mut self.sealer;
                let rewritten = connection(&mut self.connection, &self.shared)
                    .and_then(|open| sealer.forget(open, old.group, old.number, before));
                self.heard(rewritten)?
            };
            if let Some(action) = action {
                self.step(epoch, vec![action])?;
            }
        }
        Ok(())
    }

    /// Forgets what was measured before a time and is not sealed yet, in memory and in the log: the rest of its group is
    /// sealed without it.
    fn forget_unsealed(&mut self, before: i64) -> Result<(), Interrupted> {
        let epoch = read(&self.shared.hot).epoch();
        while let Some(taken) = self.begin_sealing(epoch, before)? {
            let action = self.sealer.seal_newer(&taken, before);
            self.step(epoch, vec![action])?;
        }
        let through = {
            let hot = read(&self.shared.hot);
            hot.committed_before(before).min(hot.sealed_through())
        };
        while self.step(epoch, vec![Action::TrimLog { through, batches_max: STEP_BATCHES }])? >= STEP_BATCHES as usize {
        }
        write(&self.shared.hot).trimmed(through);
        Ok(())
    }

    /// Puts small blocks of frames together.
    fn merge_frames(&mut self) -> Result<(), Interrupted> {
        let before = now().unix_ms() - FRAMES_REST_MS;
        let mut from = 0;
        loop {
            let epoch = read(&self.shared.hot).epoch();
            let merged =
                connection(&mut self.connection, &self.shared).and_then(|open| blocks::merge(open, from, before));
            let Some((action, next)) = self.heard(merged)? else { return Ok(()) };
            self.step(epoch, vec![action])?;
            from = next;
        }
    }

    /// Copies the write-ahead log into the database without holding up the writer, except for a short rest.
    fn copy(&mut self) -> Result<(), Interrupted> {
        let wal = self.shared.directory.join(format!("{}-wal", schema::FILE));
        if std::fs::metadata(wal).map_or(0, |file| file.len()) < COPY_BYTES {
            return Ok(());
        }
        let mut pages = self.copy_once()?;
        let (applied, epoch) = {
            let hot = read(&self.shared.hot);
            (hot.applied(), hot.epoch())
        };
        if pages > RESTART_PAGES && applied != self.restarted {
            self.restarted = applied;
            // What came in meanwhile takes ever less time to copy; no commit waits for it here.
            for _ in 0..COPIES_MAX {
                let before = std::mem::replace(&mut pages, self.copy_once()?);
                if pages - before <= REST_PAGES {
                    break;
                }
            }
            self.step(epoch, vec![Action::RestartWal])?;
        }
        Ok(())
    }

    /// Copies what is in the write-ahead log at this moment; gives how many pages it has.
    fn copy_once(&mut self) -> Result<i64, Interrupted> {
        let pages = connection(&mut self.connection, &self.shared).and_then(|open| {
            open.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1))
                .map_err(database("copying the write-ahead log"))
        });
        self.heard(pages)
    }

    /// Gives a few free pages back, when there are far more than are needed.
    fn shrink(&mut self) -> Result<(), Interrupted> {
        let pages = connection(&mut self.connection, &self.shared).and_then(|open| {
            let sql = "SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count";
            open.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
                .map_err(database("counting free pages"))
        });
        let (free, all) = self.heard(pages)?;
        if free > FREE_PAGES.max(all / 4) {
            let epoch = read(&self.shared.hot).epoch();
            self.step(epoch, vec![Action::Shrink { pages_max: SHRINK_PAGES }])?;
        }
        Ok(())
    }

    /// Has the writer carry out a step; gives how many rows it removed.
    fn step(&self, epoch: u64, actions: Vec<Action>) -> Result<usize, Interrupted> {
        if self.shared.alarm.is_stopped() {
            return Err(Interrupted);
        }
        let (done, removed) = sync_channel(1);
        self.shared.queue.step(Step { actions, epoch, done });
        removed.recv().map_err(|_| Interrupted)
    }

    /// Gives up the round, and the connection with which it failed. The writer sees the same trouble and says so.
    fn heard<T>(&mut self, result: Result<T, StoreError>) -> Result<T, Interrupted> {
        result.map_err(|error| {
            tracing::debug!(%error, "maintenance is interrupted");
            self.connection = None;
            Interrupted
        })
    }
}

fn connection<'a>(kept: &'a mut Option<Connection>, shared: &Shared) -> Result<&'a Connection, StoreError> {
    if kept.is_none() {
        *kept = Some(schema::open_writer(&shared.directory)?);
    }
    kept.as_ref().ok_or(StoreError::Closed)
}
