//! Putting the broker together again from what it noted before the process ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use loggerhead_model::Timestamp;

use super::client::{Client, Copied, Noted, Progress};
use super::message::{Message, after, before};
use super::notes::{self, About, SessionNote};
use super::timing::FOR_EVER;
use super::tree::{ClientNumber, Subscriber};
use super::{Inside, ids, split};
use crate::mqtt::message::Qos;

/// What was noted of one session, by the kinds of notes.
#[derive(Default)]
struct Found {
    session: Option<SessionNote>,
    low: u64,
    copies: Vec<Copied>,
    done: Vec<u64>,
    out: Vec<(u16, u64, Progress)>,
    received: Vec<u16>,
}

/// Everything that was noted.
#[derive(Default)]
struct Recalled {
    messages: BTreeMap<u64, Arc<Message>>,
    sessions: BTreeMap<Arc<str>, Found>,
}

impl Recalled {
    /// What was noted of one session.
    fn of(&mut self, client: &str) -> &mut Found {
        self.sessions.entry(Arc::from(client)).or_default()
    }
}

impl Inside {
    /// Takes in what was noted.
    pub(in crate::mqtt) fn recall(&mut self, now: Timestamp, all: &mut dyn Iterator<Item = (Bytes, Bytes)>) {
        let mut recalled = Recalled::default();
        for (key, value) in all {
            if self.read(&mut recalled, &key, &value).is_none() {
                self.unreadable += 1;
            }
        }
        self.trimmed = recalled.messages.keys().next().copied().unwrap_or(0);
        let mut sessions = Vec::new();
        let mut lost = Vec::new();
        for (id, mut found) in recalled.sessions {
            match found.session.take() {
                Some(session) => {
                    if let Some(number) = self.revive(&id, session, &found, now) {
                        sessions.push((number, found));
                    }
                }
                // Notes of a session that ended while they were on their way.
                None => lost.push(id),
            }
        }
        self.queue_up(&recalled.messages, &mut sessions);
        for (number, found) in sessions {
            self.fill(number, found);
        }
        if let Some(device) = self.device.clone() {
            self.chore(device, lost.iter().flat_map(|id| notes::forget_session(id)).collect(), now);
        }
    }

    /// Reads one note. `None`: it cannot be read.
    fn read(&mut self, recalled: &mut Recalled, key: &[u8], value: &[u8]) -> Option<()> {
        let about = About::of_key(key)?;
        match about {
            About::Message(number) => {
                self.last_number = self.last_number.max(number);
                recalled.messages.insert(number, Arc::new(notes::to_message(value).ok()?));
            }
            About::Retained(_) => self.retained.put(&Arc::new(notes::to_message(value).ok()?)),
            About::Session(client) => recalled.of(client).session = Some(notes::to_session(value).ok()?),
            About::Progress(client) => {
                let low = u64::from_be_bytes(value.try_into().ok()?);
                recalled.of(client).low = low;
                // The log may have been trimmed up to here.
                self.last_number = self.last_number.max(low.saturating_sub(1));
            }
            About::Own(client, number) => {
                let (qos, retain, id, message) = notes::to_own(value).ok()?;
                let noted = Noted::Own(number);
                let copy = Copied { message: Arc::new(message), noted, qos, retain, ids: ids(&[id]) };
                recalled.of(client).copies.push(copy);
                self.last_number = self.last_number.max(number);
            }
            About::Done(client, number) => recalled.of(client).done.push(number),
            About::Out(client, id) => {
                let (number, progress) = notes::to_out(value).ok()?;
                recalled.of(client).out.push((id, number, progress));
                self.last_number = self.last_number.max(number);
            }
            About::In(client, id) => recalled.of(client).received.push(id),
        }
        Some(())
    }

    /// Makes a session that has no connection yet.
    fn revive(&mut self, id: &Arc<str>, session: SessionNote, found: &Found, now: Timestamp) -> Option<ClientNumber> {
        let number = self.place_of(id, &session.device).ok()?;
        self.device = Some(session.device);
        for (filter, subscription) in &session.subscriptions {
            let (group, own) = split(filter);
            let options = subscription.options;
            let subscriber = Subscriber {
                client: number,
                id: subscription.id,
                qos: options.qos,
                no_local: options.no_local,
                as_published: options.as_published,
            };
            self.tree.put(own, group, subscriber);
        }
        // Numbers go on where they were, even if all of the log was trimmed.
        let since = session.subscriptions.iter().map(|(_, subscription)| subscription.since).max().unwrap_or(0);
        self.last_number = self.last_number.max(since.saturating_sub(1));
        let client = self.any(number)?;
        client.expiry_s = session.expiry_s;
        client.subscriptions = session.subscriptions.into_iter().collect();
        if !found.received.is_empty() || !found.done.is_empty() {
            let exactly = client.exactly();
            exactly.received = found.received.iter().copied().collect();
            exactly.done = found.done.iter().copied().collect();
        }
        // A session that had a connection when the process ended has lost it now.
        let lost_now = session.ends_at.is_none();
        client.since = session.ends_at.map(|ends_at| before(ends_at, session.expiry_s));
        let ends = if lost_now { after(now, session.expiry_s) } else { session.ends_at? };
        client.ends_at = (session.expiry_s != FOR_EVER).then_some(ends);
        client.will_at = session.will.as_ref().map(|will| after(now, will.delay_s.min(session.expiry_s)));
        client.will = session.will.map(Box::new);
        let moments = [client.ends_at, client.will_at];
        self.due.extend(moments.into_iter().flatten().map(|at| (at, number)));
        Some(number)
    }

    /// Lets every message of the log wait for the sessions that have not had it.
    fn queue_up(&mut self, messages: &BTreeMap<u64, Arc<Message>>, sessions: &mut [(ClientNumber, Found)]) {
        let places: BTreeMap<_, _> = sessions.iter().enumerate().map(|(place, (number, _))| (*number, place)).collect();
        let mut matching = Vec::new();
        for (&number, message) in messages {
            matching.clear();
            self.tree.find(&message.topic, &mut matching);
            matching.sort_unstable_by_key(|subscriber| subscriber.client);
            for of_one in matching.chunk_by(|one, other| one.client == other.client) {
                let Some(client) = of_one.first().map(|first| first.client) else { continue };
                let Some((_, found)) = places.get(&client).and_then(|place| sessions.get_mut(*place)) else { continue };
                let Some(client) = self.clients.get(client as usize).and_then(Option::as_deref) else { continue };
                if number < found.low || client.is_done(number) {
                    continue;
                }
                found.copies.extend(copy_for(client, of_one, number, message));
            }
        }
    }

    /// Gives a session what waits for it and what was on its way, in the order of the numbers.
    fn fill(&mut self, number: ClientNumber, found: Found) {
        let Found { mut copies, out, .. } = found;
        copies.sort_by_key(|copy| copy.noted.number());
        let Some(client) = self.any(number) else { return };
        for (id, message, progress) in out {
            let place = copies.iter().position(|copy| copy.noted.number() == message);
            let copy = place.map(|place| copies.remove(place));
            let noted = copy.as_ref().map_or(Noted::Log(message), |copy| copy.noted);
            match (progress, copy) {
                (Progress::Released, _) => client.restart(id, noted, Progress::Released, None),
                (_, Some(copy)) => client.restart(id, noted, Progress::Sent, Some(copy)),
                (_, None) => {}
            }
        }
        for copy in copies {
            client.push(copy);
        }
    }
}

/// The copy of a message for a session, if one of its subscriptions wants it.
fn copy_for(client: &Client, of_one: &[Subscriber], number: u64, message: &Arc<Message>) -> Option<Copied> {
    let is_own = message.publisher.as_ref() == Some(&client.id);
    let (mut qos, mut as_published, mut list, mut wanted) = (Qos::AtMostOnce, false, Vec::new(), false);
    for subscriber in of_one {
        let since = client
            .subscriptions
            .values()
            .filter(|own| own.id == subscriber.id && own.options.qos == subscriber.qos)
            .map(|own| own.since)
            .min();
        if is_own && subscriber.no_local || since.is_none_or(|since| number < since) {
            continue;
        }
        wanted = true;
        qos = qos.max(subscriber.qos);
        as_published |= subscriber.as_published;
        list.push(subscriber.id);
    }
    let qos = qos.min(message.qos);
    let retain = message.retain && as_published;
    (wanted && qos > Qos::AtMostOnce).then(|| Copied {
        message: Arc::clone(message),
        noted: Noted::Log(number),
        qos,
        retain,
        ids: ids(&list),
    })
}
