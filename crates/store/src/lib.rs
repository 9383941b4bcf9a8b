//! Durable records: what an acknowledgement means.
//!
//! One writer commits everything that is queued in one transaction with one sync, then tells whoever waits. Readings
//! go to a log in the order in which they came; sealing moves them into compressed segments in the background.
//! Nothing here knows a protocol or a connection.

mod access;
mod backup;
mod blocks;
mod body;
mod change;
mod coding;
mod column;
mod damage;
mod device;
mod dictionary;
mod directory;
mod error;
mod frames;
mod health;
mod hot;
mod identity;
mod intake;
mod limits;
mod lock;
mod log;
mod maintenance;
mod mend;
mod options;
mod queue;
mod reader;
mod retention;
mod row;
mod salvage;
mod schema;
mod seal;
mod segment;
mod sequence;
mod shared;
mod state;
mod step;
mod submission;
mod survey;
mod tables;
mod verify;
mod wal;
mod writer;

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};

use loggerhead_model::{Cursor, Records};

pub use self::access::{
    AUDIT_ENTRIES_MAX, AccessChange, Account, Acknowledgement, ApiToken, AuditEntry, AuditFilter, HASH_BYTES, Hash,
    StoredAudit, WebSession,
};
pub use self::backup::backup;
pub use self::change::{Change, CommandRecord};
pub use self::damage::Damage;
pub use self::device::{DeviceRecord, DeviceSource, DeviceState, Login, PresenceRecord, Secret};
pub use self::error::StoreError;
pub use self::health::{Condition, StoreHealth};
pub use self::limits::{
    CHANNELS_DEFAULT, CHANNELS_PER_DEVICE_DEFAULT, DEVICES_DEFAULT, Limits, TAGS_DEFAULT, TAGS_PER_DEVICE_DEFAULT,
};
use self::maintenance::Maintenance;
pub use self::options::{
    BATCH_READINGS_DEFAULT, FrameKeeping, HOT_READINGS_DEFAULT, LOG_TAIL_BATCHES_DEFAULT, OnCommit, Options,
    QUEUE_READINGS_DEFAULT, Retention, SUBMISSION_READINGS_MIN,
};
use self::queue::Queue;
pub use self::reader::{
    Bucket, Catchup, Channel, ChannelId, Conflict, EachNote, EventFilter, FrameFilter, ListOrder, Reader,
    ReadingFilter, Stats, StoredEvent, StoredFrame, StoredReading,
};
use self::shared::{Alarm, Shared, Status};
pub use self::submission::{Committed, Completion, Outcome, Reply};
pub use self::verify::{Progress, VerifyReport, verify};
use self::writer::Writer;

/// A store that is open for writing. Clones are handles of the same store.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    reader: Reader,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Store {
    /// Opens the store in `directory`, and makes both when they are not there: the directory for this user alone, the
    /// files as well. What is damaged in it is set aside and said in the log, in events and in `health`.
    ///
    /// # Errors
    /// `Locked` while another process has it open, `Newer` for a store of a later version, `Damaged` when nothing in it can
    /// be read, `Database` or `File` when it cannot be opened.
    pub fn open(directory: &Path, mut options: Options) -> Result<Self, StoreError> {
        directory::create(directory)?;
        let lock = directory::lock(directory)?;
        directory::create_database(directory)?;
        let (state, hot, damage) = writer::first_load(directory, options.limits)?;
        let events = writer::damage_events(&damage);
        let status = Status { damage, cursor: state.cursor, known: state.dictionary.counts(), ..Status::default() };
        let on_commit = options.on_commit.take();
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            queue: Queue::new(options.queue_readings_max),
            options,
            hot: RwLock::new(hot),
            status: Mutex::new(status),
            alarm: Alarm::default(),
            generation: AtomicU64::new(0),
        });
        if !events.is_empty() {
            shared.queue.announce(events);
        }
        let writer = Writer::new(Arc::clone(&shared), state, on_commit, lock);
        let maintenance = Maintenance::new(Arc::clone(&shared));
        let starting = || error::file("starting a thread of the store");
        let threads = vec![
            thread::Builder::new().name("store-writer".into()).spawn(|| writer.run()).map_err(starting())?,
            thread::Builder::new().name("store-sealer".into()).spawn(|| maintenance.run()).map_err(starting())?,
        ];
        let reader = Reader::live(Arc::clone(&shared));
        Ok(Self { shared, reader, threads: Arc::new(Mutex::new(threads)) })
    }

    /// Hands records to the writer; waits while its queue is full. The outcome goes to `reply`.
    pub async fn submit(&self, records: Records, reply: Option<Reply>) {
        if let Err(Some(reply)) = self.shared.queue.submit(records, reply).await {
            reply.to.complete(&mut std::iter::once(Outcome::NotStored(reply.ticket)));
        }
    }

    /// Hands records to the writer if its queue has room at once; otherwise they are not stored. The outcome goes to `reply`.
    pub fn offer(&self, records: Records, reply: Option<Reply>) {
        if let Err(Some(reply)) = self.shared.queue.offer(records, reply) {
            reply.to.complete(&mut std::iter::once(Outcome::NotStored(reply.ticket)));
        }
    }

    /// Makes a change; it is durable when this returns.
    ///
    /// # Errors
    /// `Failing` when it could not be committed, `Closed` after `close`.
    pub async fn write(&self, change: Change) -> Result<Cursor, StoreError> {
        self.write_all(vec![change]).await
    }

    /// Makes changes in one commit; they are durable when this returns.
    ///
    /// # Errors
    /// `Failing` when they could not be committed, `Closed` after `close`.
    pub async fn write_all(&self, changes: Vec<Change>) -> Result<Cursor, StoreError> {
        self.shared.queue.change(changes).await
    }

    /// Answers questions about everything that is committed.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// How the store is.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        self.shared.health()
    }

    /// Copies the store, as it is at one moment, to a new private file, while writing goes on. Blocks.
    ///
    /// # Errors
    /// `File` when `to` exists or cannot be written, `Database` when the copy fails.
    pub fn backup(&self, to: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
        backup(&self.shared.directory, to, progress)
    }

    /// Commits what is queued, then closes. Submissions after it are not stored.
    pub async fn close(self) {
        let threads = self.end();
        let join = tokio::task::spawn_blocking(move || join(threads));
        // The threads of a store end without a result; a panic in one was printed where it happened.
        let _ = join.await;
    }

    fn end(&self) -> Vec<JoinHandle<()>> {
        self.shared.queue.close();
        self.shared.alarm.stop();
        std::mem::take(&mut *lock::lock(&self.threads))
    }
}

impl Drop for Store {
    /// The last handle takes the threads with it, so that the directory is free when it is gone.
    fn drop(&mut self) {
        if Arc::strong_count(&self.threads) == 1 {
            join(self.end());
        }
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // The threads of a store end without a result; a panic in one was printed where it happened.
        let _ = thread.join();
    }
}
