//! How the head-end is.

use loggerhead_store::{Condition, StoreHealth};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PresenceCounts, Time};

/// Whether the head-end does its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// It accepts devices and keeps what they send.
    pub ready: bool,
    /// Why it is not ready; empty when it is.
    pub reasons: Vec<String>,
}

/// A listener and where it really listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListenerAddress {
    /// Its name in the configuration.
    pub name: String,
    /// The address, with the real port where the configuration said 0.
    #[schema(example = "0.0.0.0:36829")]
    pub address: String,
}

/// How the head-end is, at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// When the API started.
    pub started_at: Time,
    /// Whether it does its work.
    pub readiness: Readiness,
    /// Where devices can connect.
    pub listeners: Vec<ListenerAddress>,
    /// Devices by state.
    pub devices: PresenceCounts,
    /// How the store is, and what it did since it was opened.
    pub store: StoreStatus,
}

/// How the store is, and what it did since it was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// Whether it can write.
    pub writable: bool,
    /// Since when it cannot write; it tries again by itself.
    pub failing_since: Option<Time>,
    /// Why it cannot write.
    pub reason: Option<String>,
    /// The last committed batch.
    pub cursor: u64,
    /// When it was committed.
    pub committed_at: Option<Time>,
    /// How long the last commit took with its sync, in milliseconds.
    pub commit_ms: f64,
    /// The longest commit so far, in milliseconds.
    pub commit_ms_max: f64,
    /// Packets that wait for the writer.
    pub queued_packets: usize,
    /// Readings that wait for the writer.
    pub queued_readings: usize,
    /// Commits that failed.
    pub failures: u64,
    /// Readings stored.
    pub readings: u64,
    /// Readings sent again with the same value.
    pub resent: u64,
    /// Readings sent again with another value.
    pub conflicts: u64,
    /// Readings not sealed yet.
    pub hot_readings: usize,
    /// Channels known.
    pub channels: usize,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Bytes of its write-ahead log.
    pub wal_bytes: u64,
}

impl From<StoreHealth> for StoreStatus {
    fn from(health: StoreHealth) -> Self {
        let writable = health.is_ok();
        let (failing_since, reason) = match health.condition {
            Condition::Ok => (None, None),
            Condition::Failing { since, reason } => (Some(Time(since)), Some(reason)),
        };
        Self {
            writable,
            failing_since,
            reason,
            cursor: health.cursor.number(),
            committed_at: health.committed_at.map(Time),
            commit_ms: health.commit_ms,
            commit_ms_max: health.commit_ms_max,
            queued_packets: health.queued_submissions,
            queued_readings: health.queued_readings,
            failures: health.failures,
            readings: health.readings,
            resent: health.resent,
            conflicts: health.conflicts,
            hot_readings: health.hot_readings,
            channels: health.channels,
            database_bytes: health.database_bytes,
            wal_bytes: health.wal_bytes,
        }
    }
}
