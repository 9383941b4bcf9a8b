//! Durable records: what an acknowledgement means.
//!
//! One writer commits everything that is queued in one transaction with one sync, then tells whoever waits. Readings
//! go to a log in the order in which they came; sealing moves them into compressed segments in the background.
//! Nothing here knows a protocol or a connection.

mod change;
mod device;
mod error;
mod health;
mod options;
mod reader;
mod submission;
mod verify;

use std::path::Path;

use loggerhead_model::{Cursor, Records};

pub use self::change::{Change, CommandRecord};
pub use self::device::{DeviceRecord, DeviceSource, DeviceState, Login, PresenceRecord, Secret};
pub use self::error::StoreError;
pub use self::health::{Condition, StoreHealth};
pub use self::options::{
    BATCH_READINGS_DEFAULT, FrameKeeping, HOT_READINGS_DEFAULT, LOG_TAIL_BATCHES_DEFAULT, OnCommit, Options,
    QUEUE_READINGS_DEFAULT, Retention, SUBMISSION_READINGS_MIN,
};
pub use self::reader::{
    Bucket, Catchup, Channel, ChannelId, Conflict, EventFilter, EventOrder, FrameFilter, Reader, ReadingFilter, Stats,
    StoredEvent, StoredFrame, StoredReading,
};
pub use self::submission::{Committed, Completion, Outcome, Reply};
pub use self::verify::{Damage, Progress, VerifyReport, verify};

/// A store that is open for writing. Clones are handles of the same store.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Opens the store in `directory`, and makes both when they are not there: the directory for this user alone, the
    /// files as well.
    ///
    /// # Errors
    /// `Locked` while another process has it open, `Newer` for a store of a later version, `Damaged` when it cannot be
    /// understood, `Database` or `File` when it cannot be opened.
    pub fn open(directory: &Path, _options: Options) -> Result<Self, StoreError> {
        Err(StoreError::Missing { directory: directory.to_owned() })
    }

    /// Hands records to the writer; waits while its queue is full. The outcome goes to `reply`.
    pub async fn submit(&self, _records: Records, _reply: Option<Reply>) {}

    /// Makes a change; it is durable when this returns.
    ///
    /// # Errors
    /// `Failing` when it could not be committed, `Closed` after `close`.
    pub async fn write(&self, _change: Change) -> Result<Cursor, StoreError> {
        Err(StoreError::Closed)
    }

    /// Answers questions about everything that is committed.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader {}
    }

    /// How the store is.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        StoreHealth::default()
    }

    /// Copies the store, as it is at one moment, to a new private file, while writing goes on. Blocks.
    ///
    /// # Errors
    /// `File` when `to` exists or cannot be written, `Database` when the copy fails.
    pub fn backup(&self, _to: &Path, _progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    /// Commits what is queued, then closes. Submissions after it are not stored.
    pub async fn close(self) {}
}
