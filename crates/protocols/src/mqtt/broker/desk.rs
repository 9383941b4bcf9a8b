//! What operators see of the sessions.

use std::ops::Bound;
use std::sync::Arc;

use super::client::Client;
use super::timing::FOR_EVER;
use super::{Broker, Inside};
use crate::standing::{SessionQuery, StandingSession, StandingSubscription};

/// Sessions that are looked at while everybody else waits: a device with few among a million would hold them up.
const LOOKED_AT_MAX: usize = 10_000;
/// Subscriptions of one session that are shown: people read no more, and a session may have thousands.
const SHOWN_MAX: usize = 100;

impl Broker {
    /// The sessions that are asked for, by name.
    pub(in crate::mqtt) fn sessions(&self, query: &SessionQuery) -> Vec<StandingSession> {
        let (mut found, mut after) = (Vec::new(), query.after.clone());
        while found.len() < query.limit {
            let reached = self.with(|inside| inside.look_through(query, after.as_ref(), &mut found));
            match reached {
                Some(name) => after = Some(name),
                None => break,
            }
        }
        found
    }
}

impl Inside {
    /// Looks at the next sessions; the name of the last of them, unless there are no more.
    fn look_through(
        &self,
        query: &SessionQuery,
        after: Option<&Arc<str>>,
        found: &mut Vec<StandingSession>,
    ) -> Option<Arc<str>> {
        let from = after.map_or(Bound::Unbounded, |name| Bound::Excluded(&**name));
        for (place, (name, number)) in self.by_id.range::<str, _>((from, Bound::Unbounded)).enumerate() {
            if let Some(client) = self.clients.get(*number as usize).and_then(Option::as_deref)
                && query.device.as_ref().is_none_or(|device| *device == client.device)
            {
                found.push(client.standing());
            }
            if found.len() >= query.limit || place + 1 == LOOKED_AT_MAX {
                return Some(Arc::clone(name));
            }
        }
        None
    }
}

impl Client {
    fn standing(&self) -> StandingSession {
        let subscriptions = self.subscriptions.iter().take(SHOWN_MAX);
        let shown = subscriptions
            .map(|(filter, of)| StandingSubscription { filter: filter.clone(), qos: of.options.qos as u8 })
            .collect();
        let mail = self.mail.as_deref();
        StandingSession {
            client: Arc::clone(&self.id),
            device: self.device.clone(),
            is_connected: self.waker.is_some(),
            since: self.since,
            expiry_s: Some(self.expiry_s).filter(|seconds| *seconds != FOR_EVER),
            ends_at: self.ends_at,
            subscriptions: shown,
            subscriptions_count: self.subscriptions.len(),
            in_flight: mail.map_or(0, |mail| mail.flights.len()),
            queued: self.queue_messages(),
            queued_bytes: self.queue_bytes(),
            fleeting: mail.map_or(0, |mail| mail.fleeting.len()),
            lost: self.losses.as_ref().map(|losses| losses.lost).unwrap_or_default(),
        }
    }
}
