//! How the store is.

use loggerhead_model::{Cursor, Timestamp};

use crate::Damage;

/// Whether the store can write.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Condition {
    /// It can.
    #[default]
    Ok,
    /// It cannot; it tries again by itself.
    Failing {
        /// Since when; our clock.
        since: Timestamp,
        /// What happened at the last attempt.
        reason: String,
    },
}

/// How the store is, and what it did since it was opened.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct StoreHealth {
    /// Whether it can write.
    pub condition: Condition,
    /// Packets that wait for the writer.
    pub queued_submissions: usize,
    /// Readings that wait for the writer.
    pub queued_readings: usize,
    /// The last committed batch.
    pub cursor: Cursor,
    /// When it was committed; our clock.
    pub committed_at: Option<Timestamp>,
    /// How long the last commit took with its sync, in milliseconds.
    pub commit_ms: f64,
    /// The longest commit so far, in milliseconds.
    pub commit_ms_max: f64,
    /// Commits that failed.
    pub failures: u64,
    /// Readings stored.
    pub readings: u64,
    /// Readings sent again with the same value, which were acknowledged but not stored again.
    pub resent: u64,
    /// Readings sent again with a different value.
    pub conflicts: u64,
    /// Packets that were not stored and not acknowledged because their device is over a limit.
    pub refused: u64,
    /// What was found damaged since the store was opened, and set aside; at most the first 100.
    pub damage: Vec<Damage>,
    /// Readings not sealed yet.
    pub hot_readings: usize,
    /// Devices known.
    pub devices: usize,
    /// Channels known.
    pub channels: usize,
    /// Tags known: coding, code, quality and attributes together.
    pub tags: usize,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Bytes of its write-ahead log.
    pub wal_bytes: u64,
}

impl StoreHealth {
    /// Whether the store can write.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.condition == Condition::Ok
    }
}
