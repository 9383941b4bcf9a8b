//! What operators see of sessions that may outlive their connections, of a protocol that has such.

use std::sync::Arc;

use loggerhead_model::{DeviceId, Timestamp};

/// Which sessions are asked for.
#[derive(Clone, Debug, Default)]
pub struct SessionQuery {
    /// Only those of this device.
    pub device: Option<DeviceId>,
    /// Only those behind this name.
    pub after: Option<Arc<str>>,
    /// At most so many.
    pub limit: usize,
}

/// A session, with or without a connection, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingSession {
    /// What its client calls itself; no two sessions have the same.
    pub client: Arc<str>,
    /// Whose it is.
    pub device: DeviceId,
    /// Whether its client is there.
    pub is_connected: bool,
    /// Since when it is there, or away. None: since before the process started.
    pub since: Option<Timestamp>,
    /// Seconds for which it outlives a connection; 0 for not at all, none for ever.
    pub expiry_s: Option<u32>,
    /// When it ends, unless its client comes back before.
    pub ends_at: Option<Timestamp>,
    /// What it subscribes to, by name, as far as it is shown.
    pub subscriptions: Vec<StandingSubscription>,
    /// All of its subscriptions.
    pub subscriptions_count: usize,
    /// Messages to it that were sent and not acknowledged.
    pub in_flight: usize,
    /// Messages that wait until they can be sent, and are sent again until they are acknowledged; and their bytes.
    pub queued: usize,
    /// Bytes of those.
    pub queued_bytes: usize,
    /// Messages that wait and are sent once.
    pub fleeting: usize,
    /// Messages that it did not get, since the process started.
    pub lost: Lost,
}

/// A subscription of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingSubscription {
    /// The topics, as the client named them.
    pub filter: Box<str>,
    /// How surely it gets them, at most.
    pub qos: u8,
}

/// Messages that a session did not get, by what was in the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// As many or as many bytes waited for it as may.
    pub full: u64,
    /// Its connection took messages that are sent once more slowly than they came.
    pub slow: u64,
    /// It is sent once, and too much waited for all sessions together.
    pub overload: u64,
    /// Larger than its client takes.
    pub large: u64,
    /// Their time was over before they could be sent.
    pub expired: u64,
}
