//! The one thread that writes: takes all that is queued, commits it with one sync, then tells whoever waits.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use loggerhead_model::{Cursor, Event, EventKind, Receipt, Records, Severity, Ticket, Timestamp};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::damage::Damage;
use crate::dictionary::Added;
use crate::error::database;
use crate::health::Condition;
use crate::hot::Hot;
use crate::intake::{Intake, Stored};
use crate::lock::{lock, read, write};
use crate::log::Batch;
use crate::mend::{self, mend, set_aside};
use crate::queue::{Submission, Want, Work};
use crate::shared::{Shared, now};
use crate::state::{DamagedBatch, State};
use crate::step::{Carried, Step};
use crate::{Committed, Limits, OnCommit, Outcome, Reply, StoreError, survey, tables, wal};

/// How long the writer waits after a failure before it tries again, at first and at most.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often one process makes a new file in the place of a damaged one: what is damaged again and again is broken.
const MENDS_MAX: u32 = 3;
/// Most damaged things that are named in health and events; the log names all.
const DAMAGE_SHOWN_MAX: usize = 100;
/// A store that worked for so long after a failure starts over with short waits.
const SETTLED: Duration = Duration::from_secs(30);

/// The writer.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// `None` while nothing can be written.
    state: Option<State>,
    intake: Intake,
    body: Vec<u8>,
    retry: Duration,
    retry_at: Instant,
    resumed_at: Instant,
    /// Whether damage was met that is not mended yet.
    damaged: bool,
    mends: u32,
    on_commit: Option<OnCommit>,
    /// Keeps the directory locked until the last commit.
    _lock: File,
}

/// What one transaction is to do besides readings.
struct Extra<'a> {
    step: Option<&'a Step>,
    requests: &'a [crate::queue::Request],
    events: &'a [Event],
    /// Whether there is anything that subscribers hear of; maintenance alone makes no batch.
    makes_batch: bool,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, state: State, on_commit: Option<OnCommit>, lock: File) -> Self {
        let now = Instant::now();
        Self {
            shared,
            state: Some(state),
            intake: Intake::default(),
            body: Vec::new(),
            retry: RETRY_MIN,
            retry_at: now,
            resumed_at: now,
            damaged: false,
            mends: 0,
            on_commit,
            _lock: lock,
        }
    }

    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        loop {
            let full = read(&self.shared.hot).rows() > 2 * self.shared.options.hot_readings_max;
            let want = match &self.state {
                Some(_) if full => Want::Maintenance,
                Some(_) | None => Want::All { readings_max: self.shared.options.batch_readings_max },
            };
            let deadline = self.state.is_none().then_some(self.retry_at);
            let mut work = self.shared.queue.take(want, deadline);
            if self.state.is_none() && Instant::now() >= self.retry_at {
                self.resume();
            }
            let closed = work.closed;
            if !work.is_empty() {
                self.commit(&mut work);
            }
            if closed {
                break;
            }
        }
        if let Some(state) = &self.state {
            // So that the database file alone is the whole store.
            checkpoint(&state.connection, "PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }

    fn commit(&mut self, work: &mut Work) {
        let started = Instant::now();
        let replies = take_replies(&mut work.submissions);
        let epoch = read(&self.shared.hot).epoch();
        let step = work.step.take().filter(|step| step.epoch == epoch);
        let makes_batch = !work.submissions.is_empty() || !work.requests.is_empty();
        let extra = Extra { step: step.as_ref(), requests: &work.requests, events: &[], makes_batch };
        let submissions = work.submissions.drain(..).map(|submission| submission.records);
        match self.transact(submissions, &extra) {
            Ok((cursor, carried)) => {
                let restarts = carried.restart_wal;
                let committed = self.take_in(cursor, carried, step.as_ref(), started);
                let taken = std::mem::take(&mut self.intake.taken);
                let refused = taken.iter().filter(|taken| !**taken).count();
                lock(&self.shared.status).refused += refused as u64;
                tell(replies.into_iter().zip(taken), |ticket| issue(ticket, cursor));
                answer(&mut work.requests, || Ok(cursor));
                if let Some(on_commit) = self.on_commit.as_mut().filter(|_| makes_batch) {
                    on_commit(committed);
                }
                if let Some(state) = self.state.as_ref().filter(|_| restarts) {
                    checkpoint(&state.connection, "PRAGMA wal_checkpoint(PASSIVE)");
                }
            }
            Err(error) => {
                let reason = error.to_string();
                // What comes before it works again fails for that, and does not undo what is known.
                self.damaged |= error.is_damage();
                self.fail(&reason);
                tell(replies.into_iter().map(|reply| (reply, false)), Outcome::NotStored);
                answer(&mut work.requests, || Err(StoreError::Failing { reason: reason.clone() }));
            }
        }
    }

    /// One transaction with everything in it. On an error nothing of it is kept, and what is in memory may be wrong.
    fn transact(
        &mut self,
        submissions: impl Iterator<Item = Records>,
        extra: &Extra<'_>,
    ) -> Result<(Cursor, Carried), StoreError> {
        let Some(state) = &mut self.state else {
            let condition = lock(&self.shared.status).condition.clone();
            let reason = match condition {
                Condition::Failing { reason, .. } => reason,
                Condition::Ok => String::new(),
            };
            return Err(StoreError::Failing { reason });
        };
        let number = state.cursor + u64::from(extra.makes_batch);
        execute(&state.connection, "BEGIN IMMEDIATE").map_err(database("beginning a commit"))?;
        self.intake.begin();
        state.identities.begin_batch();
        for records in submissions {
            let mut stored = Stored {
                dictionary: &mut state.dictionary,
                identities: &mut state.identities,
                hot: &self.shared.hot,
                connection: &state.connection,
            };
            self.intake.add(records, self.shared.options.frames, &mut stored)?;
        }
        self.intake.finish();
        self.intake.events.extend_from_slice(extra.events);
        let added = state.dictionary.take_added();
        self.intake.batch.encode(&mut self.body);
        lock(&self.shared.status).conflicts += self.intake.conflicts.len() as u64;
        let carried = write_out(&state.connection, number, &added, &mut self.intake, &self.body, extra);
        Ok((Cursor::new(number), carried.map_err(database("committing"))?))
    }

    /// After a commit: brings memory up to date.
    fn take_in(&mut self, cursor: Cursor, carried: Carried, step: Option<&Step>, started: Instant) -> Committed {
        let state = self.state.as_mut().expect("a commit needs a state");
        let committed_at = now();
        let hot_rows = {
            let mut hot = write(&self.shared.hot);
            if cursor.number() > state.cursor {
                hot.apply(cursor.number(), committed_at.unix_ms(), &self.intake.batch);
            }
            hot.rows()
        };
        state.cursor = cursor.number();
        let removed = carried.committed(&mut state.identities, &self.shared.hot);
        if let Some(step) = step {
            // The maintenance may be gone; then nobody waits.
            let _ = step.done.send(removed);
        }
        if hot_rows > self.shared.options.hot_readings_max {
            self.shared.alarm.ring();
        }
        let took = started.elapsed().as_secs_f64() * 1000.0;
        let mut status = lock(&self.shared.status);
        status.cursor = cursor.number();
        status.committed_at = Some(committed_at);
        status.commit_ms = took;
        status.commit_ms_max = status.commit_ms_max.max(took);
        status.readings += self.intake.batch.rows.len() as u64;
        status.resent += self.intake.resent;
        status.known = state.dictionary.counts();
        drop(status);
        Committed {
            cursor,
            records: std::mem::take(&mut self.intake.records).into(),
            events: std::mem::take(&mut self.intake.events).into(),
        }
    }

    /// After a failed commit: what is in memory and what SQLite holds back may both be wrong, so both are given up.
    fn fail(&mut self, reason: &str) {
        if self.state.take().is_none() {
            return;
        }
        if self.resumed_at.elapsed() > SETTLED {
            self.retry = RETRY_MIN;
        }
        self.retry_at = Instant::now() + self.retry;
        tracing::error!(reason, "cannot store: nothing is acknowledged until it works again");
        let mut status = lock(&self.shared.status);
        status.failures += 1;
        let since = match status.condition {
            Condition::Failing { since, .. } => since,
            Condition::Ok => now(),
        };
        status.condition = Condition::Failing { since, reason: reason.to_owned() };
    }

    /// Tries to write again.
    fn resume(&mut self) {
        let since = match lock(&self.shared.status).condition {
            Condition::Failing { since, .. } => since,
            Condition::Ok => now(),
        };
        match self.try_resume(since) {
            Ok(()) => {
                tracing::warn!("stores again");
                self.resumed_at = Instant::now();
                lock(&self.shared.status).condition = Condition::Ok;
            }
            Err(error) => {
                self.state = None;
                self.damaged |= error.is_damage();
                tracing::debug!(%error, "still cannot store");
                let reason = error.to_string();
                lock(&self.shared.status).condition = Condition::Failing { since, reason };
            }
        }
        self.retry = (self.retry * 2).min(RETRY_MAX);
        self.retry_at = Instant::now() + self.retry;
    }

    fn try_resume(&mut self, since: Timestamp) -> Result<(), StoreError> {
        let mut damage = Vec::new();
        if self.damaged && self.mends < MENDS_MAX {
            self.mends += 1;
            let reason = match &lock(&self.shared.status).condition {
                Condition::Failing { reason, .. } => reason.clone(),
                Condition::Ok => String::new(),
            };
            damage = mend(&self.shared.directory)?;
            damage.insert(0, Damage { quarantined: true, ..Damage::new("database", reason) });
            damage.iter().for_each(Damage::log);
            self.damaged = false;
            self.shared.generation.fetch_add(1, Ordering::Release);
        }
        let (state, mut hot, batches) = State::load(&self.shared.directory, self.shared.options.limits)?;
        make_durable(&state.connection)?;
        damage.extend(quarantine(&state.connection, batches));
        hot.set_epoch(read(&self.shared.hot).epoch() + 1);
        *write(&self.shared.hot) = hot;
        self.state = Some(state);
        let event = Event {
            at: now(),
            severity: Severity::Warning,
            kind: EventKind::System,
            device: None,
            peer: None,
            text: format!("nothing could be stored from {since} on; it can again").into(),
        };
        let mut events = damage_events(&damage);
        events.push(event);
        {
            let mut status = lock(&self.shared.status);
            status.damage.extend(damage);
            status.damage.truncate(DAMAGE_SHOWN_MAX);
        }
        let started = Instant::now();
        let extra = Extra { step: None, requests: &[], events: &events, makes_batch: true };
        let (cursor, carried) = self.transact(std::iter::empty(), &extra)?;
        let committed = self.take_in(cursor, carried, None, started);
        if let Some(on_commit) = &mut self.on_commit {
            on_commit(committed);
        }
        Ok(())
    }
}

/// Writes one batch and everything that goes with it, and commits.
fn write_out(
    connection: &Connection,
    number: u64,
    added: &Added,
    intake: &mut Intake,
    body: &[u8],
    extra: &Extra<'_>,
) -> rusqlite::Result<Carried> {
    tables::insert_added(connection, added)?;
    for conflict in intake.conflicts.drain(..) {
        if tables::insert_conflict(connection, number, &conflict)? {
            intake.events.push(conflict.event);
        }
    }
    for request in extra.requests {
        for change in &request.changes {
            tables::apply(connection, change, &mut intake.events)?;
        }
    }
    tables::insert_events(connection, number, &intake.events)?;
    tables::insert_frames(connection, number, &intake.blocks)?;
    tables::apply_notes(connection, &intake.notes)?;
    let readings = i64::try_from(intake.batch.rows.len()).unwrap_or(i64::MAX);
    if extra.makes_batch {
        insert_batch(connection, number, readings, body)?;
    }
    let carried = extra.step.map(|step| step.carry_out(connection)).transpose()?;
    execute(connection, "COMMIT")?;
    Ok(carried.unwrap_or_default())
}

/// Copies the write-ahead log into the database. What cannot be copied now is copied later; it is durable where it is.
fn checkpoint(connection: &Connection, sql: &str) {
    if let Err(error) = connection.query_row(sql, [], |row| row.get::<_, i64>(0)) {
        tracing::debug!(%error, "the write-ahead log cannot be copied");
    }
}

/// Copies everything that is visible into the database file and syncs it. A commit whose sync failed may be visible in
/// the system's cache after all; without this, a resend of it would be acknowledged although it is not on disk.
fn make_durable(connection: &Connection) -> Result<(), StoreError> {
    let doing = database("bringing the database to disk");
    let frames = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let (all, copied) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], frames).map_err(doing)?;
    if all == copied {
        Ok(())
    } else {
        Err(StoreError::Failing { reason: format!("a reader holds up {} of {all} pages", all - copied) })
    }
}

/// Sets batches aside that cannot be read; their numbers stay taken. What cannot even be moved is stepped over.
fn quarantine(connection: &Connection, damaged: Vec<DamagedBatch>) -> Vec<Damage> {
    let mut found = Vec::new();
    let mut empty = Vec::new();
    Batch::default().encode(&mut empty);
    for DamagedBatch { number, what, body } in damaged {
        let damage = Damage { quarantined: true, ..Damage::new(format!("batch {number}"), what) };
        let moved = set_aside(connection, &damage, body.as_deref()).and_then(|()| {
            let sql = "UPDATE log SET readings = 0, body = ?2 WHERE number = ?1";
            connection.execute(sql, (number, &empty))
        });
        let damage = Damage { quarantined: moved.is_ok(), ..damage };
        damage.log();
        found.push(damage);
    }
    found
}

/// What operators are told of damage.
pub(crate) fn damage_events(damage: &[Damage]) -> Vec<Event> {
    let event = |damage: &Damage| {
        let about = if damage.about.is_empty() { String::new() } else { format!(" ({})", damage.about) };
        Event {
            at: now(),
            severity: Severity::Error,
            kind: EventKind::System,
            device: None,
            peer: None,
            text: format!("the store is damaged: {}: {}{about}", damage.place, damage.what).into(),
        }
    };
    damage.iter().take(DAMAGE_SHOWN_MAX).map(event).collect()
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

fn insert_batch(connection: &Connection, number: u64, readings: i64, body: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO log (number, committed_at, readings, body) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute((number, now().unix_ms(), readings, body)).map(|_| ())
}

fn take_replies(submissions: &mut [Submission]) -> Vec<Option<Reply>> {
    submissions.iter_mut().map(|submission| submission.reply.take()).collect()
}

fn issue(ticket: Ticket, cursor: Cursor) -> Outcome {
    Outcome::Stored(Receipt::issue(ticket, cursor))
}

/// Tells every connection in one call what became of its submissions: of those taken `outcome`, of others that they are
/// not stored.
fn tell(replies: impl Iterator<Item = (Option<Reply>, bool)>, outcome: impl Fn(Ticket) -> Outcome) {
    let mut replies: Vec<(Reply, bool)> =
        replies.filter_map(|(reply, taken)| reply.map(|reply| (reply, taken))).collect();
    let address = |(reply, _): &(Reply, bool)| Arc::as_ptr(&reply.to).cast::<()>() as usize;
    replies.sort_by_key(address);
    for of_one in replies.chunk_by(|one, other| address(one) == address(other)) {
        if let Some((first, _)) = of_one.first() {
            let outcomes = of_one.iter().map(|(reply, taken)| match taken {
                true => outcome(reply.ticket),
                false => Outcome::NotStored(reply.ticket),
            });
            first.to.complete(&mut { outcomes });
        }
    }
}

fn answer(requests: &mut Vec<crate::queue::Request>, result: impl Fn() -> Result<Cursor, StoreError>) {
    for request in requests.drain(..) {
        // Who asked may have stopped waiting.
        let _: Result<(), _> = oneshot::Sender::send(request.done, result());
    }
}

/// Reads the database for the first time, and makes it usable where it is damaged: gives what was found.
pub(crate) fn first_load(directory: &Path, limits: Limits) -> Result<(State, Hot, Vec<Damage>), StoreError> {
    mend::finish(directory)?;
    let mut found = Vec::new();
    if let Some(damage) = wal::look(directory)? {
        wal::keep(directory)?;
        found.push(Damage { quarantined: true, ..damage });
    }
    let sound = load_sound(directory, limits, &mut found)?;
    let (state, hot, batches) = if let Some(loaded) = sound {
        loaded
    } else {
        let lost = mend(directory)?;
        found.retain(|damage| !lost.iter().any(|other| other.place == damage.place));
        found.extend(lost);
        State::load(directory, limits)?
    };
    found.iter().for_each(Damage::log);
    found.extend(quarantine(&state.connection, batches));
    found.truncate(DAMAGE_SHOWN_MAX);
    Ok((state, hot, found))
}

/// What the writer needs, if everything is whole without which nothing can be stored; otherwise what is not is `found`.
fn load_sound(
    directory: &Path,
    limits: Limits,
    found: &mut Vec<Damage>,
) -> Result<Option<(State, Hot, Vec<DamagedBatch>)>, StoreError> {
    let loaded = match State::load(directory, limits) {
        Ok(loaded) => loaded,
        Err(error) if error.is_damage() => {
            found.push(Damage { quarantined: true, ..Damage::new("database", error.to_string()) });
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let damaged = survey::look_at_small_tables(&loaded.0.connection)?;
    let pages = loaded.2.iter().any(|batch| batch.body.is_none());
    if damaged.is_empty() && !pages {
        return Ok(Some(loaded));
    }
    found.extend(damaged.into_iter().map(|damage| Damage { quarantined: true, ..damage }));
    Ok(None)
}
