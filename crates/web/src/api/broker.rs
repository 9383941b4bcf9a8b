//! Sessions of clients of the broker.

use loggerhead_protocols::standing::{Lost, StandingSession, StandingSubscription};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// A session of a client of the broker, with or without a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokerSession {
    /// What the client calls itself; no two sessions have the same.
    pub client: String,
    /// The device whose account it uses.
    pub device: String,
    /// Whether the client is connected.
    pub connected: bool,
    /// Since when it is connected, or away; null: since before the head-end started.
    pub since: Option<Time>,
    /// Seconds for which the session outlives a connection; 0 for not at all, null for ever.
    pub expiry_s: Option<u32>,
    /// When the session ends, unless the client comes back before.
    pub ends_at: Option<Time>,
    /// What it subscribes to, by topic filter; the first hundred.
    pub subscriptions: Vec<BrokerSubscription>,
    /// How many subscriptions it has.
    pub subscriptions_count: usize,
    /// Messages of QoS 1 and 2 that were sent and not acknowledged.
    pub in_flight: usize,
    /// Messages of QoS 1 and 2 that wait to be sent.
    pub queued: usize,
    /// Bytes of those.
    pub queued_bytes: usize,
    /// Messages of QoS 0 that wait to be sent.
    pub queued_qos0: usize,
    /// Messages that it did not get.
    pub dropped: BrokerDrops,
}

/// A subscription of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokerSubscription {
    /// The topic filter.
    pub filter: String,
    /// The highest quality of service that it takes.
    pub qos: u8,
}

/// Messages that a session did not get since the head-end started, by what was in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokerDrops {
    /// QoS 1 and 2: as many messages or bytes waited as may.
    pub queue_full: u64,
    /// QoS 0: the connection took them more slowly than they came.
    pub too_slow: u64,
    /// QoS 0: too much waited for all clients together.
    pub overload: u64,
    /// The packet was larger than the client takes.
    pub too_large: u64,
    /// The message expired before it could be sent.
    pub expired: u64,
}

/// A page of sessions, by client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokerSessionList {
    /// The sessions of this page.
    pub sessions: Vec<BrokerSession>,
    /// `after` of the next page; none on the last.
    pub next: Option<String>,
}

impl From<StandingSession> for BrokerSession {
    fn from(session: StandingSession) -> Self {
        let Lost { full, slow, overload, large, expired } = session.lost;
        let subscription =
            |StandingSubscription { filter, qos }| BrokerSubscription { filter: String::from(filter), qos };
        Self {
            client: session.client.to_string(),
            device: session.device.to_string(),
            connected: session.is_connected,
            since: session.since.map(Time),
            expiry_s: session.expiry_s,
            ends_at: session.ends_at.map(Time),
            subscriptions: session.subscriptions.into_iter().map(subscription).collect(),
            subscriptions_count: session.subscriptions_count,
            in_flight: session.in_flight,
            queued: session.queued,
            queued_bytes: session.queued_bytes,
            queued_qos0: session.fleeting,
            dropped: BrokerDrops { queue_full: full, too_slow: slow, overload, too_large: large, expired },
        }
    }
}
