//! How a store is to behave.

use std::time::Duration;

use crate::{Committed, Limits};

/// Most readings committed in one transaction, unless one packet alone has more.
pub const BATCH_READINGS_DEFAULT: usize = 20_000;
/// Most readings that wait for the writer. Two batches: one is being written while the next gathers.
pub const QUEUE_READINGS_DEFAULT: usize = 2 * BATCH_READINGS_DEFAULT;
/// Readings in memory and in the log at which sealing starts; 64 MiB of memory.
pub const HOT_READINGS_DEFAULT: usize = 2_000_000;
/// What a packet without readings counts for in the queue.
pub const SUBMISSION_READINGS_MIN: usize = 10;
/// Committed batches that stay in the log for subscribers that catch up.
pub const LOG_TAIL_BATCHES_DEFAULT: u64 = 2_000;

/// Called by the writer after every commit, in order. It must not wait.
pub type OnCommit = Box<dyn FnMut(Committed) + Send + Sync>;

/// For how long each kind of record is kept; `None`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Raw frames, by the time at which they were received.
    pub frames: Option<Duration>,
    /// Events and finished commands, by our clock.
    pub events: Option<Duration>,
    /// Readings and conflicts, by the device's clock.
    pub readings: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { frames: Some(Duration::from_hours(30 * 24)), events: None, readings: None }
    }
}

/// Whether the raw frames of packets are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameKeeping {
    /// They are, compressed.
    #[default]
    Keep,
    /// They are dropped.
    Drop,
}

/// How a store is to behave.
pub struct Options {
    /// Whether raw frames are kept.
    pub frames: FrameKeeping,
    /// For how long things are kept.
    pub retention: Retention,
    /// Most names and words that devices may bring.
    pub limits: Limits,
    /// Most readings committed in one transaction, unless one packet alone has more.
    pub batch_readings_max: usize,
    /// Most readings that wait for the writer; a packet counts as at least `SUBMISSION_READINGS_MIN`.
    pub queue_readings_max: usize,
    /// Readings not yet sealed at which sealing starts. At twice as many, the writer waits for it.
    pub hot_readings_max: usize,
    /// Committed batches that stay in the log for subscribers that catch up, even when all in them is sealed; at most as
    /// many as hold half of `hot_readings_max`.
    pub log_tail_batches: u64,
    /// Called after every commit.
    pub on_commit: Option<OnCommit>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frames: FrameKeeping::Keep,
            retention: Retention::default(),
            limits: Limits::default(),
            batch_readings_max: BATCH_READINGS_DEFAULT,
            queue_readings_max: QUEUE_READINGS_DEFAULT,
            hot_readings_max: HOT_READINGS_DEFAULT,
            log_tail_batches: LOG_TAIL_BATCHES_DEFAULT,
            on_commit: None,
        }
    }
}
