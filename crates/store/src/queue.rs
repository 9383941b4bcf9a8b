//! What waits for the writer. Bounded: who submits waits while it is full.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use loggerhead_model::{Cursor, Event, Note, NoteChange, Records};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::options::SUBMISSION_READINGS_MIN;
use crate::step::Step;
use crate::{Change, Reply, StoreError};

/// Bytes of frame and texts that count as one reading in the queue's limit.
const BYTES_PER_READING: usize = 128;
/// Most changes in one transaction.
const CHANGES_MAX: usize = 1000;

/// Records on their way to the log.
pub(crate) struct Submission {
    pub(crate) records: Records,
    pub(crate) reply: Option<Reply>,
    weight: u32,
}

/// Changes on their way to their tables, and who waits for them.
pub(crate) struct Request {
    pub(crate) changes: Vec<Change>,
    pub(crate) done: oneshot::Sender<Result<Cursor, StoreError>>,
}

/// What the writer takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Want {
    /// Everything, but at most about so many readings.
    All {
        /// Unless one packet alone has more.
        readings_max: usize,
    },
    /// Steps of maintenance only: it has to catch up.
    Maintenance,
}

/// What one transaction commits.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) submissions: Vec<Submission>,
    pub(crate) requests: Vec<Request>,
    pub(crate) step: Option<Step>,
    /// Nothing will come after this.
    pub(crate) closed: bool,
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.submissions.is_empty() && self.requests.is_empty() && self.step.is_none()
    }
}

#[derive(Default)]
struct Waiting {
    submissions: VecDeque<Submission>,
    requests: VecDeque<Request>,
    step: Option<Step>,
    weight: usize,
    writer_sleeps: bool,
    closed: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.submissions.is_empty() && self.requests.is_empty()
    }
}

/// The queue. Shared by all handles of a store and its writer.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    room: Semaphore,
    room_max: u32,
    changes: Semaphore,
}

impl Queue {
    pub(crate) fn new(readings_max: usize) -> Arc<Self> {
        let room = readings_max.clamp(SUBMISSION_READINGS_MIN, Semaphore::MAX_PERMITS >> 1);
        Arc::new(Self {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            room: Semaphore::new(room),
            room_max: u32::try_from(room).unwrap_or(u32::MAX),
            changes: Semaphore::new(CHANGES_MAX),
        })
    }

    /// Adds records; waits for room. Gives them back when the store is closed.
    pub(crate) async fn submit(&self, records: Records, reply: Option<Reply>) -> Result<(), Option<Reply>> {
        let weight = self.weight(&records);
        let Ok(permit) = self.room.acquire_many(weight).await else { return Err(reply) };
        self.add(permit, Submission { records, reply, weight })
    }

    /// Adds records if there is room for them, and nobody waits for it. Gives them back otherwise.
    pub(crate) fn offer(&self, records: Records, reply: Option<Reply>) -> Result<(), Option<Reply>> {
        let weight = self.weight(&records);
        let Ok(permit) = self.room.try_acquire_many(weight) else { return Err(reply) };
        self.add(permit, Submission { records, reply, weight })
    }

    /// Which part of the room records take.
    fn weight(&self, records: &Records) -> u32 {
        let readings = records.report.as_ref().map_or(0, loggerhead_model::Report::len);
        let noted = |note: &Note| if let NoteChange::Put(value) = &note.change { value.len() } else { 0 };
        let bytes = records.frame.as_ref().map_or(0, |frame| frame.bytes.len())
            + records.notes.iter().map(noted).sum::<usize>();
        let weight = readings.max(SUBMISSION_READINGS_MIN).max(bytes / BYTES_PER_READING);
        u32::try_from(weight).unwrap_or(u32::MAX).min(self.room_max)
    }

    fn add(&self, permit: SemaphorePermit<'_>, submission: Submission) -> Result<(), Option<Reply>> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(submission.reply);
        }
        permit.forget();
        waiting.weight += submission.weight as usize;
        waiting.submissions.push_back(submission);
        self.wake(waiting);
        Ok(())
    }

    /// Adds changes, and waits until they are durable.
    pub(crate) async fn change(&self, changes: Vec<Change>) -> Result<Cursor, StoreError> {
        let _permit = self.changes.acquire().await.map_err(|_| StoreError::Closed)?;
        let (done, answer) = oneshot::channel();
        {
            let mut waiting = self.lock();
            if waiting.closed {
                return Err(StoreError::Closed);
            }
            waiting.requests.push_back(Request { changes, done });
            self.wake(waiting);
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Adds events of the store itself, for which nobody waits.
    pub(crate) fn announce(&self, events: Vec<Event>) {
        let (done, _) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.requests.push_back(Request { changes: vec![Change::Events(events)], done });
        self.wake(waiting);
    }

    /// Adds a step of maintenance. Only one waits at a time: the maintenance waits for its end.
    pub(crate) fn step(&self, step: Step) {
        let mut waiting = self.lock();
        if waiting.closed {
            return;
        }
        waiting.step = Some(step);
        self.wake(waiting);
    }

    /// Ends the queue: what waits is still taken, nothing is added.
    pub(crate) fn close(&self) {
        self.room.close();
        self.changes.close();
        let mut waiting = self.lock();
        waiting.closed = true;
        self.wake(waiting);
    }

    /// Takes what waits; waits until there is something, or until `deadline`.
    pub(crate) fn take(&self, want: Want, deadline: Option<Instant>) -> Work {
        let readings_max = match want {
            Want::All { readings_max } => Some(readings_max),
            Want::Maintenance => None,
        };
        let mut waiting = self.lock();
        while !waiting.closed && waiting.step.is_none() && (readings_max.is_none() || waiting.is_empty()) {
            waiting.writer_sleeps = true;
            waiting = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => break,
                Some(left) => self.filled.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
        waiting.writer_sleeps = false;
        let mut work = Work { step: waiting.step.take(), ..Work::default() };
        let readings_max = if waiting.closed { readings_max.or(Some(usize::MAX)) } else { readings_max };
        let mut weight = 0;
        if let Some(readings_max) = readings_max {
            let fits = |weight: usize, next: &Submission| weight == 0 || weight + next.weight as usize <= readings_max;
            while let Some(submission) = waiting.submissions.pop_front_if(|next| fits(weight, next)) {
                weight += submission.weight as usize;
                work.submissions.push(submission);
            }
            let changes = waiting.requests.len().min(CHANGES_MAX);
            work.requests.extend(waiting.requests.drain(..changes));
        }
        waiting.weight -= weight;
        work.closed = waiting.closed && waiting.is_empty();
        drop(waiting);
        self.room.add_permits(weight);
        work
    }

    /// Packets and readings that wait.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.submissions.len(), waiting.weight)
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let sleeps = std::mem::take(&mut waiting.writer_sleeps);
        drop(waiting);
        if sleeps {
            self.filled.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
