//! What the broker says of itself: `$SYS/broker/...`, and which sessions lose messages.

use loggerhead_model::{DeviceId, Timestamp};

use super::client::Pushed;
use super::{Inside, spoken};
use crate::DropCause;
use crate::mqtt::message::Publish;

/// Sessions of which operators hear in one round that messages were dropped: the others come in the next ones.
const LOSERS_MAX: usize = 10;

/// Counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::mqtt) struct Figures {
    /// Messages of clients that were taken.
    pub(in crate::mqtt) received: u64,
    /// Copies of messages that went out.
    pub(in crate::mqtt) sent: u64,
    /// Copies that were dropped because too many waited for a session.
    pub(in crate::mqtt) dropped: u64,
    /// Copies of QoS 0 that were dropped because too much waited in the whole broker.
    pub(in crate::mqtt) shed: u64,
}

impl Figures {
    /// Counts what became of a copy.
    pub(super) fn count(&mut self, pushed: Pushed) {
        match pushed {
            Pushed::Taken => {}
            Pushed::Full => self.dropped += 1,
            Pushed::Shed => self.shed += 1,
        }
    }
}

/// A session that lost messages since this was said of it last.
pub(in crate::mqtt) struct Loser {
    /// Whose it is.
    pub(in crate::mqtt) device: DeviceId,
    /// How many.
    pub(in crate::mqtt) count: u64,
    /// Why.
    pub(in crate::mqtt) cause: DropCause,
    /// What is to be said.
    pub(in crate::mqtt) text: String,
}

impl Inside {
    /// Says how things stand, to who is there and to later subscribers.
    pub(super) fn say_figures(&mut self, uptime_s: u64, now: Timestamp) {
        let Figures { received, sent, dropped, shed } = self.figures;
        let clients = self.clients.iter().flatten();
        let (total, connected) = (self.by_id.len(), clients.clone().filter(|client| client.waker.is_some()).count());
        let waiting: usize =
            clients.filter_map(|client| client.mail.as_ref()).map(|mail| mail.queue.len() + mail.fleeting.len()).sum();
        for (name, figure) in [
            ("uptime", uptime_s),
            ("clients/connected", connected as u64),
            ("clients/total", total as u64),
            ("subscriptions/count", self.tree.len() as u64),
            ("retained messages/count", self.retained.len() as u64),
            ("messages/received", received),
            ("messages/sent", sent),
            ("messages/waiting", waiting as u64),
            ("messages/waiting/bytes", self.load.bytes() as u64),
            ("publish/messages/dropped", dropped),
            ("publish/messages/shed", shed),
        ] {
            let (topic, payload) = (format!("$SYS/broker/{name}"), figure.to_string());
            self.proclaim(&Publish { retain: true, ..spoken(&topic, payload.as_bytes()) }, now);
        }
    }

    /// The sessions that lost messages since they were asked for last, once for each cause.
    pub(super) fn take_losers(&mut self) -> Vec<Loser> {
        let lost = self
            .clients
            .iter_mut()
            .flatten()
            .filter(|client| client.losses.as_ref().is_some_and(|losses| losses.dropped > 0 || losses.shed > 0));
        lost.take(LOSERS_MAX)
            .flat_map(|client| {
                let losses = client.losses();
                let full = (std::mem::take(&mut losses.dropped), DropCause::QueueFull, "too many wait for it");
                let shed = (std::mem::take(&mut losses.shed), DropCause::Overload, "too much waits for all clients");
                [full, shed].into_iter().filter(|(count, ..)| *count > 0).map(|(count, cause, why)| {
                    let text = format!("{count} messages for client {} were dropped: {why}", client.id);
                    Loser { device: client.device.clone(), count, cause, text }
                })
            })
            .collect()
    }
}
