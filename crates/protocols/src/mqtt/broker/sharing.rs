//! Shared subscriptions: whose turn a message is, and what becomes of the turns of a member that is gone.

use loggerhead_model::Note;

use super::client::{Client, Copied, Noted};
use super::notes::{self, About};
use super::tree::{ClientNumber, Subscriber};
use super::{Inside, split};
use crate::mqtt::message::Qos;
use crate::mqtt::topic::matches;

/// A member that is connected and has room is asked before one that is not.
fn is_ready(clients: &[Option<Box<Client>>], number: ClientNumber) -> bool {
    let client = clients.get(number as usize).and_then(Option::as_deref);
    client.is_some_and(|client| client.waker.is_some() && !client.is_full())
}

impl Inside {
    /// One member of every group that gets a message of this topic.
    pub(super) fn choose(&mut self, topic: &str, found: &mut Vec<Subscriber>) {
        let clients = &self.clients;
        self.tree.choose(topic, &|number| is_ready(clients, number), found);
    }

    /// A session has ended. What was its turn in a group and has not arrived is another member's turn, but for messages of
    /// QoS 2 that may have arrived. What is to be noted of that. Source: \[2\] §4.8.2.
    pub(super) fn hand_on(&mut self, gone: &Client) -> Vec<Note> {
        let groups: Vec<_> = gone
            .subscriptions
            .keys()
            .map(|filter| split(filter))
            .filter_map(|(group, own)| Some((group?, own)))
            .collect();
        let mut notes = Vec::new();
        if groups.is_empty() {
            return notes;
        }
        for copy in unfinished(gone) {
            let topic = &*copy.message.topic;
            let Some((group, filter)) = groups.iter().find(|(_, filter)| matches(filter, topic)) else { continue };
            let clients = &self.clients;
            let member = self.tree.choose_of(group, filter, &|number| is_ready(clients, number));
            let Some(member) = member else { continue };
            let (own, qos) = (self.number(), member.qos.min(copy.message.qos));
            let mut noted = Noted::No;
            if let Some(client) = self.any(member.client).filter(|client| client.is_durable() && qos > Qos::AtMostOnce)
            {
                let retain = copy.message.retain && member.as_published;
                notes.push(About::Own(&client.id, own).put(notes::of_own(qos, retain, member.id, &copy.message)));
                noted = Noted::Own(own);
            }
            self.offer(&[member], &copy.message, noted);
        }
        notes
    }
}

/// What a session has not had for sure, in the order in which it would have been sent. What stands in the log was its own.
fn unfinished(gone: &Client) -> impl Iterator<Item = &Copied> {
    let under_way = gone.under_way().into_iter().filter_map(|id| gone.flight(id)?.copy.as_ref());
    let under_way = under_way.filter(|copy| copy.qos == Qos::AtLeastOnce);
    let queue = gone.mail.iter().flat_map(|mail| &mail.queue);
    under_way.chain(queue).filter(|copy| !matches!(copy.noted, Noted::Log(_)))
}
