//! What a simulation counts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use super::histogram::Histogram;

/// Counts of one worker, or of all of them together.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    /// Connections that stood.
    pub(crate) connections: u64,
    /// Connections that stand now.
    pub(crate) connected: u64,
    /// Times that the head-end let a device in.
    pub(crate) logins: u64,
    /// Devices that were let in at least once.
    pub(crate) devices: u64,
    /// Packets handed to a session for sending.
    pub(crate) packets: u64,
    /// Readings in them.
    pub(crate) readings: u64,
    /// Packets that the head-end acknowledged.
    pub(crate) packets_acked: u64,
    /// Readings in them.
    pub(crate) readings_acked: u64,
    /// Bytes written to sockets.
    pub(crate) bytes_sent: u64,
    /// Bytes read from sockets.
    pub(crate) bytes_received: u64,
    /// From the moment that a packet was due to its acknowledgement.
    pub(crate) latency: Histogram,
    /// When the first packet was due, on the simulation's clock.
    pub(crate) first_offered: Option<Duration>,
    /// When the last acknowledgement came.
    pub(crate) last_acked: Duration,
    /// What went wrong, by kind.
    pub(crate) errors: BTreeMap<Cow<'static, str>, u64>,
}

impl Tally {
    /// Counts something that went wrong.
    pub(crate) fn error(&mut self, kind: impl Into<Cow<'static, str>>) {
        *self.errors.entry(kind.into()).or_default() += 1;
    }

    /// Adds the counts of another worker.
    pub(crate) fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.connected += other.connected;
        self.logins += other.logins;
        self.devices += other.devices;
        self.packets += other.packets;
        self.readings += other.readings;
        self.packets_acked += other.packets_acked;
        self.readings_acked += other.readings_acked;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.latency.add(&other.latency);
        self.first_offered = self.first_offered.into_iter().chain(other.first_offered).min();
        self.last_acked = self.last_acked.max(other.last_acked);
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
    }
}
