//! How the head-end is.

use loggerhead_headend::config::Enroll;
use loggerhead_headend::{ListenerStatus, Metrics};
use loggerhead_store::{Condition, Damage, StoreHealth};
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

/// A listener and what it lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listener {
    /// Its name in the configuration.
    #[schema(example = "loggers")]
    pub name: String,
    /// What is spoken there.
    #[schema(example = "logger")]
    pub protocol: String,
    /// Where it really listens.
    pub addresses: Vec<String>,
    /// What becomes of unknown devices: `refuse`, `pending`, `accept`.
    pub enroll: String,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Connections that are open now.
    pub connections: usize,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_address_max: usize,
    /// Seconds from the connection to its first whole frame.
    pub first_frame_s: u64,
    /// Seconds from the connection to its login.
    pub login_s: u64,
}

/// Every listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListenerList {
    /// The listeners.
    pub listeners: Vec<Listener>,
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
    /// What devices sent, and how fast it was acknowledged.
    pub pace: Pace,
    /// How the store is, and what it did since it was opened.
    pub store: StoreStatus,
}

/// What devices sent since the process started, and how fast it was acknowledged. Two answers make a rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pace {
    /// Connections of devices that are open now.
    pub connections: u64,
    /// Packets received.
    pub packets: u64,
    /// Readings received, resent ones too.
    pub readings: u64,
    /// Packets acknowledged.
    pub acks: u64,
    /// How many of them within which time, from their bytes to the acknowledgement written.
    pub ack: Vec<AckWithin>,
    /// Readings a second over the last five minutes, one figure for two seconds, the newest last.
    pub course: Vec<f64>,
}

/// Packets that were acknowledged within a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AckWithin {
    /// The time in milliseconds.
    pub at_most_ms: f64,
    /// How many were acknowledged within it.
    pub count: u64,
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
    /// Packets that were not stored and not acknowledged because their device is over a limit.
    pub refused: u64,
    /// What was found damaged since the server started, and set aside; at most the first 100.
    pub damage: Vec<StoreDamage>,
    /// Readings not sealed yet.
    pub hot_readings: usize,
    /// Devices known.
    pub devices: usize,
    /// Channels known.
    pub channels: usize,
    /// Different tags known: coding, code, quality and attributes of readings.
    pub tags: usize,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Bytes of its write-ahead log.
    pub wal_bytes: u64,
}

impl From<ListenerStatus> for Listener {
    fn from(status: ListenerStatus) -> Self {
        Self {
            name: status.name,
            protocol: status.protocol,
            addresses: status.addresses.iter().map(ToString::to_string).collect(),
            enroll: match status.enroll {
                Enroll::Refuse => "refuse",
                Enroll::Pending => "pending",
                Enroll::Accept => "accept",
            }
            .to_owned(),
            tls: status.has_tls,
            connections: status.connections,
            connections_max: status.connections_max,
            connections_per_address_max: status.connections_per_address_max,
            first_frame_s: status.first_frame.as_secs(),
            login_s: status.login.as_secs(),
        }
    }
}

impl From<&Metrics> for Pace {
    /// The sums over all protocols.
    fn from(metrics: &Metrics) -> Self {
        let mut pace = Self::default();
        for row in &metrics.protocols {
            pace.connections += row.connections_open;
            pace.packets += row.packets;
            pace.readings += row.readings;
            pace.acks += row.ack_latency.count;
            for (place, (bound_s, count)) in row.ack_latency.buckets.iter().enumerate() {
                match pace.ack.get_mut(place) {
                    Some(within) => within.count += count,
                    None => pace.ack.push(AckWithin { at_most_ms: bound_s * 1000.0, count: *count }),
                }
            }
        }
        pace
    }
}

/// Something in the store that is not what was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreDamage {
    /// Which part of the store.
    pub place: String,
    /// How it shows.
    pub what: String,
    /// The times and devices of what it held, as far as they are known.
    pub about: String,
}

impl From<Damage> for StoreDamage {
    fn from(damage: Damage) -> Self {
        Self { place: damage.place, what: damage.what, about: damage.about }
    }
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
            refused: health.refused,
            damage: health.damage.into_iter().map(StoreDamage::from).collect(),
            hot_readings: health.hot_readings,
            devices: health.devices,
            channels: health.channels,
            tags: health.tags,
            database_bytes: health.database_bytes,
            wal_bytes: health.wal_bytes,
        }
    }
}
