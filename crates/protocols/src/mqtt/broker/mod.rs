//! The broker: sessions, subscriptions, kept messages and wills, shared by all connections of all listeners.
//!
//! It does nothing by itself. A connection calls it, under one lock, and wakes whom its doings concern; the steward does
//! what is due while nobody is connected.

pub(super) mod client;
pub(super) mod desk;
pub(super) mod figures;
pub(super) mod fleeting;
pub(super) mod load;
pub(super) mod message;
pub(super) mod notes;
mod recall;
pub(super) mod replies;
pub(super) mod retained;
mod sharing;
pub(super) mod steward;
pub(super) mod timing;
pub(super) mod tree;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use loggerhead_model::{CommandId, DeviceId, Note, Records, Timestamp};

use self::client::{Client, Copied, Noted, Pushed, QueueLimits, Subscription, Will};
use self::figures::Figures;
use self::fleeting::Crowd;
use self::load::Load;
use self::message::{Message, Pending};
use self::notes::About;
use self::replies::Reply;
use self::retained::Retained;
use self::tree::{ClientNumber, Subscriber, Tree};
use super::conversation::Kept;
use super::encode::{Acknowledged, Safe};
use super::message::{Options, Publish, Qos, RetainHandling};
use super::properties::Properties;
use super::reason::Reason;
use super::topic::Shared;
use super::views::Views;

/// Subscriptions of all clients: each costs memory in the tree, and on disk for sessions that last.
const SUBSCRIPTIONS_MAX: usize = 5_000_000;
/// Sessions, with and without a connection: each costs about a kilobyte.
const SESSIONS_MAX: usize = 1_000_000;

/// The broker.
#[derive(Default)]
pub(super) struct Broker {
    inside: Mutex<Inside>,
    /// What salts of user names are made with.
    salts: OnceLock<[u8; 32]>,
}

/// What is behind the lock.
#[derive(Default)]
pub(super) struct Inside {
    clients: Vec<Option<Box<Client>>>,
    free: Vec<ClientNumber>,
    by_id: BTreeMap<Arc<str>, ClientNumber>,
    tree: Tree,
    retained: Retained,
    /// The number of the last message of the log.
    last_number: u64,
    /// Numbered, and not passed on yet.
    unrouted: BTreeSet<u64>,
    /// Counts all connections.
    connections: u64,
    /// Whom to wake once the lock is given back.
    wakers: Vec<Waker>,
    /// When something is due for a session without a connection.
    due: BTreeSet<(Timestamp, ClientNumber)>,
    /// What the steward is to have kept.
    chores: VecDeque<Records>,
    /// Messages whose publisher is gone before they were stored.
    orphans: VecDeque<Pending>,
    steward: Option<Waker>,
    pub(super) figures: Figures,
    /// Who waits for the end of a command.
    replies: BTreeMap<CommandId, Reply>,
    replies_bytes: usize,
    /// When the reading was measured that is kept for a topic.
    announced: BTreeMap<Box<str>, Timestamp>,
    /// The account of whoever came in last, in whose name the broker tidies up.
    device: Option<DeviceId>,
    /// Messages of the log before this one are forgotten.
    trimmed: u64,
    /// What of the notes could not be read.
    unreadable: u64,
    /// Reused for every message.
    found: Vec<Subscriber>,
    crowd: Crowd,
    load: Arc<Load>,
    pub(super) views: Views,
    pub(super) kept: Kept,
}

/// A client that comes in.
pub(super) struct Arrival {
    pub(super) client_id: Arc<str>,
    pub(super) device: DeviceId,
    pub(super) clean_start: bool,
    pub(super) expiry_s: u32,
    pub(super) will: Option<Will>,
    pub(super) limits: Arc<QueueLimits>,
    pub(super) waker: Waker,
}

/// A client that is in.
pub(super) struct Attached {
    /// Its number, and that of its connection.
    pub(super) place: Place,
    /// It had a session before.
    pub(super) session_present: bool,
    /// What is to be stored before it is told so; nothing for a session that does not last.
    pub(super) notes: Vec<Note>,
}

/// A client and one of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) client: ClientNumber,
    pub(super) connection: u64,
}

impl Broker {
    /// Takes the key that stands in no database: with it the salt of a name stays what it is, and cannot be foreseen.
    pub(super) fn entrust(&self, key: &[u8; 32]) {
        // It comes once.
        let _kept = self.salts.set(*key);
    }

    /// What salts of user names are made with; a key of nothing but zeros where none was entrusted.
    pub(super) fn salts(&self) -> &[u8; 32] {
        self.salts.get_or_init(|| [0; 32])
    }

    /// Does something with what is behind the lock, and wakes whom it concerns afterwards.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Inside) -> R) -> R {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut inside);
        let wakers = std::mem::take(&mut inside.wakers);
        drop(inside);
        for waker in wakers {
            waker.wake();
        }
        result
    }
}

impl Inside {
    /// The client, if this connection is still its own.
    pub(super) fn client(&mut self, place: Place) -> Option<&mut Client> {
        let client = self.clients.get_mut(place.client as usize)?.as_deref_mut()?;
        (client.connection == place.connection).then_some(client)
    }

    fn any(&mut self, number: ClientNumber) -> Option<&mut Client> {
        self.clients.get_mut(number as usize)?.as_deref_mut()
    }

    /// The first message of the log that is not passed on yet.
    pub(super) fn horizon(&self) -> u64 {
        self.unrouted.first().copied().unwrap_or(self.last_number + 1)
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Lets a client in. An older connection of it is woken and finds that it is not the client's any more.
    ///
    /// # Errors
    /// The reason why it cannot come in.
    pub(super) fn attach(&mut self, arrival: Arrival, now: Timestamp) -> Result<Attached, Reason> {
        let mut notes = Vec::new();
        let mut session_present = false;
        if let Some(&number) = self.by_id.get(&arrival.client_id) {
            if self.any(number).is_some_and(|client| client.device != arrival.device) {
                return Err(Reason::CLIENT_ID_NOT_VALID);
            }
            self.take_over(number, arrival.clean_start, now);
            let lasts = self.any(number).is_some_and(|client| client.is_durable());
            if arrival.clean_start || !lasts {
                notes.extend(self.end(number));
            } else {
                session_present = true;
            }
        }
        let number = self.place_of(&arrival.client_id, &arrival.device)?;
        self.device = Some(arrival.device);
        self.connections += 1;
        let connection = self.connections;
        let horizon = self.horizon();
        let Some(client) = self.any(number) else { return Err(Reason::UNSPECIFIED) };
        client.connection = connection;
        client.since = Some(now);
        client.waker = Some(arrival.waker);
        client.is_woken = true;
        client.expiry_s = arrival.expiry_s;
        client.ends_at = None;
        client.will = arrival.will.map(Box::new);
        client.will_at = None;
        client.limits = Some(arrival.limits);
        if client.is_durable() {
            notes.push(client.note());
            let low = client.low(horizon);
            notes.extend(client.note_progress(low));
        } else if session_present {
            // It lasted until now, and does not any more.
            notes.extend(notes::forget_session(&arrival.client_id));
        }
        Ok(Attached { place: Place { client: number, connection }, session_present, notes })
    }

    /// An older connection of a client goes, and what was due for its session with it.
    fn take_over(&mut self, number: ClientNumber, clean_start: bool, now: Timestamp) {
        let Some(client) = self.any(number) else { return };
        let was_there = client.waker.take();
        let delay_s = client.will.as_ref().map_or(0, |will| will.delay_s);
        // The will of a session that goes on is not published when the client is back in time.
        let is_due = clean_start || was_there.is_some() && delay_s == 0 || client.expiry_s == 0;
        let will = client.will.take().filter(|_| is_due);
        client.will_at = None;
        self.wakers.extend(was_there);
        self.empty(number);
        if let Some(will) = will {
            self.publish_will(number, &will, now);
        }
    }

    fn place_of(&mut self, id: &Arc<str>, device: &DeviceId) -> Result<ClientNumber, Reason> {
        if let Some(&number) = self.by_id.get(id) {
            return Ok(number);
        }
        if self.by_id.len() >= SESSIONS_MAX {
            return Err(Reason::QUOTA_EXCEEDED);
        }
        let client = Some(Box::new(Client::new(Arc::clone(id), device.clone(), Arc::clone(&self.load))));
        let number = if let Some(number) = self.free.pop() {
            number
        } else {
            self.clients.push(None);
            ClientNumber::try_from(self.clients.len() - 1).map_err(|_| Reason::QUOTA_EXCEEDED)?
        };
        if let Some(place) = self.clients.get_mut(number as usize) {
            *place = client;
        }
        self.by_id.insert(Arc::clone(id), number);
        Ok(number)
    }

    /// Ends a session; the notes that forget it, and those of what others get in its place.
    fn end(&mut self, number: ClientNumber) -> Vec<Note> {
        let Some(client) = self.clients.get_mut(number as usize).and_then(Option::take) else { return Vec::new() };
        for filter in client.subscriptions.keys() {
            let (group, own) = split(filter);
            self.tree.remove(own, group, number);
        }
        self.by_id.remove(&client.id);
        self.free.push(number);
        let mut notes = if client.is_durable() { notes::forget_session(&client.id) } else { Vec::new() };
        notes.extend(self.hand_on(&client));
        notes
    }

    /// Adds a subscription and lets what is kept for it wait. The notes of those copies.
    ///
    /// # Errors
    /// The reason why it is not taken.
    pub(super) fn subscribe(
        &mut self,
        place: Place,
        filter: &str,
        options: Options,
        id: u32,
        now: Timestamp,
    ) -> Result<Vec<Note>, Reason> {
        if self.tree.len() >= SUBSCRIPTIONS_MAX {
            return Err(Reason::QUOTA_EXCEEDED);
        }
        let since = self.last_number + 1;
        let client = self.client(place).ok_or(Reason::UNSPECIFIED)?;
        let before = client.subscriptions.get(filter).map(|before| before.since);
        let subscription = Subscription { options, id, since: before.unwrap_or(since) };
        client.subscriptions.insert(filter.into(), subscription);
        let (group, own) = split(filter);
        let Options { qos, no_local, as_published, handling } = options;
        self.tree.put(own, group, Subscriber { client: place.client, id, qos, no_local, as_published });
        let is_sent = match handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => before.is_none(),
            RetainHandling::Keep => false,
        };
        // Nobody in particular is meant by a shared subscription, so nothing that is kept goes to it.
        if !is_sent || group.is_some() {
            return Ok(Vec::new());
        }
        let mut kept = Vec::new();
        self.retained.find(own, now, &mut |message| kept.push(Arc::clone(message)));
        Ok(kept.into_iter().filter_map(|message| self.give(place.client, &message, qos, id)).collect())
    }

    /// Lets a kept message wait for a client.
    fn give(&mut self, number: ClientNumber, message: &Arc<Message>, qos: Qos, id: u32) -> Option<Note> {
        let qos = qos.min(message.qos);
        let own = if qos == Qos::AtMostOnce { 0 } else { self.number() };
        let client = self.any(number)?;
        let noted = if client.is_durable() && own > 0 { Noted::Own(own) } else { Noted::No };
        let copy = Copied { message: Arc::clone(message), noted, qos, retain: true, ids: ids(&[id]) };
        let is_noted = client.push(copy) == Pushed::Taken && noted != Noted::No;
        is_noted.then(|| About::Own(&client.id, own).put(notes::of_own(qos, true, id, message)))
    }

    /// Takes a subscription away; false when there was none.
    pub(super) fn unsubscribe(&mut self, place: Place, filter: &str) -> bool {
        let Some(client) = self.client(place) else { return false };
        let removed = client.subscriptions.remove(filter).is_some();
        let (group, own) = split(filter);
        self.tree.remove(own, group, place.client);
        removed
    }

    /// Takes away from a client what its account may not read any more; what is to be noted.
    pub(super) fn restrict(&mut self, place: Place, may: &dyn Fn(&str) -> bool) -> Vec<Note> {
        let horizon = self.horizon();
        let Some(client) = self.client(place) else { return Vec::new() };
        let gone: Vec<_> = client.subscriptions.keys().filter(|filter| !may(filter)).cloned().collect();
        if gone.is_empty() {
            return Vec::new();
        }
        for filter in gone {
            self.unsubscribe(place, &filter);
        }
        let Some(client) = self.client(place).filter(|client| client.is_durable()) else { return Vec::new() };
        let mut notes = client.withdraw(may, horizon);
        notes.push(client.note());
        notes
    }

    /// Passes messages on at once that are of QoS 0, or held in memory only. What is to be kept of them.
    pub(super) fn pass_fleeting(&mut self, messages: &[Arc<Message>], now: Duration) -> Vec<Note> {
        self.crowd.begin(now);
        self.figures.received += messages.len() as u64;
        let (mut found, mut notes) = (std::mem::take(&mut self.found), Vec::new());
        for message in messages {
            let (may_repeat, alone) = self.find_all(&message.topic, &mut found);
            if message.retain {
                notes.extend(self.keep(message));
            }
            self.pass_all(message, &mut found, alone, may_repeat);
            found.clear();
        }
        self.found = found;
        notes
    }

    /// Passes a stored reading on, and keeps it for later subscribers unless a later one is kept. It is in the store, so
    /// nothing is noted.
    pub(super) fn announce(
        &mut self,
        topic: &str,
        measured_at: Timestamp,
        now: Timestamp,
        payload: impl FnOnce() -> Vec<u8>,
    ) {
        let is_latest = self.announced.get(topic).is_none_or(|latest| *latest <= measured_at);
        let (is_kept, mut found) = (is_latest && self.retained.has_room(topic), std::mem::take(&mut self.found));
        let (may_repeat, alone) = self.find_all(topic, &mut found);
        if is_kept || !found.is_empty() {
            let payload = payload();
            let publish = Publish { retain: true, ..spoken(topic, &payload) };
            let message = Arc::new(Message::new(0, topic, &publish, None, now));
            if is_kept {
                self.announced.insert(topic.into(), measured_at);
                self.retained.put(&message);
            }
            self.pass_all(&message, &mut found, alone, may_repeat);
        }
        found.clear();
        self.found = found;
    }

    /// Passes on what the head-end itself says, and keeps it where that is said. Nothing is noted: the head-end says it
    /// again after a restart.
    pub(super) fn proclaim(&mut self, publish: &Publish<'_>, now: Timestamp) {
        let (topic, mut found) = (publish.topic, std::mem::take(&mut self.found));
        let (may_repeat, alone) = self.find_all(topic, &mut found);
        let is_kept = publish.retain && self.retained.has_room(topic);
        if is_kept || !found.is_empty() {
            let message = Arc::new(Message::new(0, topic, publish, None, now));
            if is_kept {
                self.retained.put(&message);
            }
            self.pass_all(&message, &mut found, alone, may_repeat);
        }
        found.clear();
        self.found = found;
    }

    /// All who get a message: how many of them for themselves, and whether one is among those more than once.
    fn find_all(&mut self, topic: &str, found: &mut Vec<Subscriber>) -> (bool, usize) {
        let may_repeat = self.find(topic, found);
        let alone = found.len();
        self.choose(topic, found);
        (may_repeat, alone)
    }

    /// Passes a message that is not in the log to all who were found.
    fn pass_all(&mut self, message: &Arc<Message>, found: &mut [Subscriber], alone: usize, may_repeat: bool) {
        let (alone, chosen) = found.split_at_mut_checked(alone).unwrap_or_default();
        self.pass(message, alone, may_repeat);
        for member in chosen {
            self.offer(std::slice::from_ref(member), message, Noted::No);
        }
    }

    /// The identifier of a message of QoS 2 is in use from now on; what is to be noted of it.
    pub(super) fn receive(&mut self, place: Place, acknowledged: Acknowledged) -> Option<Note> {
        let client = self.client(place).filter(|_| acknowledged.safe == Safe::PubRec)?;
        client.exactly().received.insert(acknowledged.id);
        client.is_durable().then(|| About::In(&client.id, acknowledged.id).put(Vec::new()))
    }

    /// Takes a message of QoS 1 or 2, to be passed on once its notes are stored.
    pub(super) fn take(
        &mut self,
        topic: &str,
        publish: &Publish<'_>,
        publisher: &Arc<str>,
        device: &DeviceId,
        now: Timestamp,
    ) -> Pending {
        self.figures.received += 1;
        let number = self.number();
        let message = Message::new(number, topic, publish, Some(Arc::clone(publisher)), now);
        self.pending(message, device.clone())
    }

    fn pending(&mut self, message: Message, device: DeviceId) -> Pending {
        let message = Arc::new(message);
        self.unrouted.insert(message.number);
        let mut notes = vec![About::Message(message.number).put(notes::of_message(&message))];
        if message.retain && self.retained.has_room(&message.topic) {
            notes.push(retained_note(&message));
        }
        let mut members = Vec::new();
        self.choose(&message.topic, &mut members);
        let mut chosen = Vec::with_capacity(members.len());
        for member in members {
            let own = self.number();
            let qos = member.qos.min(message.qos);
            if let Some(client) = self.any(member.client).filter(|client| client.is_durable() && qos > Qos::AtMostOnce)
            {
                let retain = message.retain && member.as_published;
                notes.push(About::Own(&client.id, own).put(notes::of_own(qos, retain, member.id, &message)));
            }
            chosen.push((member, own));
        }
        Pending { message, chosen, device, notes, report: None }
    }

    /// A message is stored: passes it on. False when nobody gets it.
    pub(super) fn route(&mut self, pending: &Pending) -> bool {
        let message = &pending.message;
        self.unrouted.remove(&message.number);
        if message.retain && self.retained.has_room(&message.topic) {
            self.retained.put(message);
        }
        let mut found = std::mem::take(&mut self.found);
        let may_repeat = self.find(&message.topic, &mut found);
        let is_wanted = !found.is_empty() || !pending.chosen.is_empty();
        self.pass(message, &mut found, may_repeat);
        found.clear();
        self.found = found;
        for (member, own) in &pending.chosen {
            let lasts = self.any(member.client).is_some_and(|client| client.is_durable());
            self.offer(std::slice::from_ref(member), message, if lasts { Noted::Own(*own) } else { Noted::No });
        }
        is_wanted
    }

    /// The publisher of a message is gone, or could not store it: the steward sees to it.
    pub(super) fn adopt(&mut self, pending: impl IntoIterator<Item = Pending>) {
        self.orphans.extend(pending);
        self.wakers.extend(self.steward.clone());
    }

    /// A message could not be stored, and its publisher was not told that it was.
    pub(super) fn give_up(&mut self, pending: &Pending) {
        self.unrouted.remove(&pending.message.number);
    }

    /// Keeps a message for later subscribers; its note.
    fn keep(&mut self, message: &Arc<Message>) -> Option<Note> {
        if !self.retained.has_room(&message.topic) {
            return None;
        }
        self.retained.put(message);
        Some(retained_note(message))
    }

    fn find(&mut self, topic: &str, found: &mut Vec<Subscriber>) -> bool {
        self.tree.find(topic, found)
    }

    fn pass(&mut self, message: &Arc<Message>, found: &mut [Subscriber], may_repeat: bool) {
        if may_repeat {
            found.sort_unstable_by_key(|subscriber| subscriber.client);
        }
        let noted = if message.number == 0 { Noted::No } else { Noted::Log(message.number) };
        for of_one in found.chunk_by(|one, other| one.client == other.client) {
            self.offer(of_one, message, noted);
        }
    }

    /// Lets one copy of a message wait for a client, whatever number of its subscriptions it fits.
    fn offer(&mut self, subscriptions: &[Subscriber], message: &Arc<Message>, noted: Noted) {
        let Some(number) = subscriptions.first().map(|first| first.client) else { return };
        let Some(client) = self.clients.get_mut(number as usize).and_then(Option::as_deref_mut) else { return };
        let is_own = message.publisher.as_ref() == Some(&client.id);
        let mut wanted = subscriptions.iter().filter(|subscription| !(is_own && subscription.no_local)).peekable();
        if wanted.peek().is_none() {
            return;
        }
        let (mut qos, mut as_published, mut list) = (Qos::AtMostOnce, false, Vec::new());
        for subscription in wanted {
            qos = qos.max(subscription.qos);
            as_published |= subscription.as_published;
            if subscription.id > 0 {
                list.push(subscription.id);
            }
        }
        let qos = qos.min(message.qos);
        let noted = if qos == Qos::AtMostOnce || !client.is_durable() { Noted::No } else { noted };
        let retain = message.retain && as_published;
        let pushed = client.push(Copied { message: Arc::clone(message), noted, qos, retain, ids: list.into() });
        self.figures.count(pushed);
        let Some(waker) = &client.waker else { return };
        // Who is behind with what it publishes itself would not read its way out of that while it rests.
        if !is_own && let Some(mail) = &client.mail {
            self.crowd.look_at(number, mail);
        }
        if !client.is_woken {
            client.is_woken = true;
            self.wakers.push(waker.clone());
        }
    }
}

fn retained_note(message: &Message) -> Note {
    let about = About::Retained(&message.topic);
    if message.payload.is_empty() { about.forget() } else { about.put(notes::of_message(message)) }
}

/// What the head-end says to those who are there.
pub(super) fn spoken<'a>(topic: &'a str, payload: &'a [u8]) -> Publish<'a> {
    let (qos, properties) = (Qos::AtMostOnce, Properties::NONE);
    Publish { dup: false, qos, retain: false, topic, id: 0, properties, payload }
}

fn ids(all: &[u32]) -> Box<[u32]> {
    all.iter().copied().filter(|id| *id > 0).collect()
}

/// The group and the filter of a shared subscription, or the filter alone.
fn split(filter: &str) -> (Option<&str>, &str) {
    match Shared::of(filter) {
        Some(shared) => (Some(shared.group), shared.filter),
        None => (None, filter),
    }
}
