//! What the handles, the writer and the maintenance of one store share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use loggerhead_model::{Cursor, Timestamp};

use crate::damage::Damage;
use crate::dictionary::Counts;
use crate::health::Condition;
use crate::hot::Hot;
use crate::lock::{lock, read};
use crate::queue::Queue;
use crate::schema::FILE;
use crate::{Options, StoreHealth};

/// Shared by all threads of a store.
pub(crate) struct Shared {
    pub(crate) directory: PathBuf,
    pub(crate) options: Options,
    pub(crate) queue: Arc<Queue>,
    pub(crate) hot: RwLock<Hot>,
    pub(crate) status: Mutex<Status>,
    pub(crate) alarm: Alarm,
    /// Changes when another file takes the place of the database: connections of before still see the old one.
    pub(crate) generation: AtomicU64,
}

/// What the writer says of itself.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) condition: Condition,
    pub(crate) cursor: u64,
    pub(crate) committed_at: Option<Timestamp>,
    pub(crate) commit_ms: f64,
    pub(crate) commit_ms_max: f64,
    pub(crate) failures: u64,
    pub(crate) readings: u64,
    pub(crate) resent: u64,
    pub(crate) conflicts: u64,
    pub(crate) refused: u64,
    pub(crate) known: Counts,
    /// What was found damaged since the store was opened.
    pub(crate) damage: Vec<Damage>,
}

/// Wakes the maintenance.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    rung: Mutex<bool>,
    bell: Condvar,
    stop: AtomicBool,
}

impl Alarm {
    pub(crate) fn ring(&self) {
        *lock(&self.rung) = true;
        self.bell.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.ring();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Waits until it rings, or so long.
    pub(crate) fn wait(&self, at_most: Duration) {
        let rung = lock(&self.rung);
        let result = self.bell.wait_timeout_while(rung, at_most, |rung| !*rung);
        *result.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// Our clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond())
}

impl Shared {
    /// Which file is the database now.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How the store is.
    pub(crate) fn health(&self) -> StoreHealth {
        let (queued_submissions, queued_readings) = self.queue.depth();
        let hot_readings = read(&self.hot).rows();
        let bytes = |name: String| std::fs::metadata(self.directory.join(name)).map_or(0, |file| file.len());
        let status = lock(&self.status);
        StoreHealth {
            condition: status.condition.clone(),
            queued_submissions,
            queued_readings,
            cursor: Cursor::new(status.cursor),
            committed_at: status.committed_at,
            commit_ms: status.commit_ms,
            commit_ms_max: status.commit_ms_max,
            failures: status.failures,
            readings: status.readings,
            resent: status.resent,
            conflicts: status.conflicts,
            hot_readings,
            damage: status.damage.clone(),
            refused: status.refused,
            devices: status.known.devices,
            channels: status.known.channels,
            tags: status.known.tags,
            database_bytes: bytes(FILE.to_owned()),
            wal_bytes: bytes(format!("{FILE}-wal")),
        }
    }
}
