//! The post office: users, and the messages between them, shared by all connections of all listeners.
//!
//! It does nothing by itself. A connection calls it, under one lock, and wakes whom its doings concern; the steward stores
//! what a connection left behind.

mod notes;
pub(super) mod steward;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Note, Records, Timestamp};

use super::message::{MessageId, Receiver};
use super::settings::QueueLimits;

/// Names that messages wait for or come from: names cost memory, and a sender may make them up.
const USERS_MAX: usize = 1_000_000;
/// What a message takes beside its texts.
const MESSAGE_OVERHEAD_BYTES: usize = 160;

/// A message between two users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its place among all messages; the order in which they are delivered.
    pub(super) number: u64,
    pub(super) id: MessageId,
    pub(super) from: Arc<str>,
    pub(super) to: Arc<str>,
    pub(super) text: Box<str>,
    /// The account of its sender.
    pub(super) device: DeviceId,
    /// When it was accepted.
    pub(super) at: Timestamp,
    /// When it was sent to its receiver for the first time.
    pub(super) sent_at: Option<Timestamp>,
    /// When its receiver confirmed it.
    pub(super) confirmed_at: Option<Timestamp>,
}

impl Message {
    fn bytes(&self) -> usize {
        self.text.len() + self.from.len() + self.to.len() + MESSAGE_OVERHEAD_BYTES
    }

    /// What the store keeps of it.
    pub(super) fn records(&self, now: Timestamp, notes: Vec<Note>) -> Records {
        let (device, received_at) = (self.device.clone(), now);
        Records { device, received_at, report: None, frame: None, events: Vec::new(), notes }
    }

    /// The note that keeps it as it is.
    pub(super) fn note(&self) -> Note {
        notes::put(self)
    }
}

/// A message that waits, and where it is.
struct Waiting {
    message: Message,
    /// It is stored.
    is_kept: bool,
    /// Its receiver was there when it was stored, and has not been sent it.
    is_live: bool,
}

/// A user: what waits for it, and its connection.
#[derive(Default)]
struct User {
    waiting: BTreeMap<u64, Waiting>,
    waiting_bytes: usize,
    /// Messages that it confirmed, the last ones.
    done: VecDeque<Message>,
    /// Messages that it sent and nobody confirmed.
    unconfirmed: usize,
    /// When its last message was accepted: two of them never have one time.
    last_at: Option<Timestamp>,
    here: Option<Here>,
}

/// The connection of a user.
struct Here {
    connection: u64,
    waker: Waker,
    heard_at: Duration,
    online: Duration,
}

impl User {
    /// Its connection has been heard from lately.
    fn is_online(&self, now: Duration) -> bool {
        self.here.as_ref().is_some_and(|here| now.saturating_sub(here.heard_at) < here.online)
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.done.is_empty() && self.unconfirmed == 0 && self.here.is_none()
    }
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Too much waits for its receiver.
    Receiver,
    /// Too many of its sender's wait.
    Sender,
}

/// A user with one of its connections.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) user: Arc<str>,
    connection: u64,
}

/// What is sent to a user.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) message: Message,
    /// It did not have to wait.
    pub(super) is_live: bool,
    /// It has not been sent before: to be noted.
    pub(super) is_first: bool,
}

/// A message that its sender wants to be taken.
pub(super) struct Letter<'a> {
    pub(super) id: MessageId,
    pub(super) from: &'a Arc<str>,
    pub(super) to: &'a str,
    pub(super) text: &'a str,
    pub(super) device: &'a DeviceId,
    pub(super) limits: QueueLimits,
}

/// The post office.
#[derive(Default)]
pub(super) struct Office {
    inside: Mutex<Inside>,
}

/// What is behind the lock.
#[derive(Default)]
pub(super) struct Inside {
    users: BTreeMap<Arc<str>, User>,
    /// The number of the last message.
    last_number: u64,
    /// Counts all connections.
    connections: u64,
    /// Whom to wake once the lock is given back.
    wakers: Vec<Waker>,
    /// Messages whose sender is gone before they were stored.
    orphans: BTreeSet<(Arc<str>, u64)>,
    steward: Option<Waker>,
    /// What of the notes could not be read.
    unreadable: u64,
}

impl Office {
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
    /// Takes in what was noted.
    pub(super) fn recall(&mut self, all: &mut dyn Iterator<Item = (Bytes, Bytes)>) {
        for (key, value) in all {
            match notes::read(&key, &value) {
                Some(message) => self.revive(message),
                None => self.unreadable += 1,
            }
        }
    }

    fn revive(&mut self, message: Message) {
        self.last_number = self.last_number.max(message.number);
        let sender = self.users.entry(Arc::clone(&message.from)).or_default();
        sender.last_at = sender.last_at.max(Some(message.at));
        if message.confirmed_at.is_none() {
            sender.unconfirmed += 1;
        }
        let receiver = self.users.entry(Arc::clone(&message.to)).or_default();
        if message.confirmed_at.is_some() {
            receiver.done.push_back(message);
        } else {
            receiver.waiting_bytes += message.bytes();
            receiver.waiting.insert(message.number, Waiting { message, is_kept: true, is_live: false });
        }
    }

    /// A user has logged in. An older connection is not its any more.
    pub(super) fn attach(&mut self, name: &str, waker: Waker, now: Duration, online: Duration) -> Place {
        self.connections += 1;
        let connection = self.connections;
        let user = self.named(name);
        if let Some(own) = self.users.get_mut(&user) {
            own.here = Some(Here { connection, waker, heard_at: now, online });
        }
        Place { user, connection }
    }

    /// A connection of a user is gone.
    pub(super) fn detach(&mut self, place: &Place) {
        let Some(user) = self.users.get_mut(&place.user) else { return };
        user.here.take_if(|here| here.connection == place.connection);
        self.forget_idle(&place.user);
    }

    fn named(&mut self, name: &str) -> Arc<str> {
        if let Some((known, _)) = self.users.get_key_value(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.users.insert(Arc::clone(&name), User::default());
        name
    }

    fn forget_idle(&mut self, name: &Arc<str>) {
        if self.users.get(name).is_some_and(User::is_idle) {
            self.users.remove(name);
        }
    }

    /// A user was heard from.
    pub(super) fn heard(&mut self, place: &Place, now: Duration) {
        if let Some(here) = self.here(place) {
            here.heard_at = now;
        }
    }

    fn here(&mut self, place: &Place) -> Option<&mut Here> {
        let here = self.users.get_mut(&place.user)?.here.as_mut()?;
        (here.connection == place.connection).then_some(here)
    }

    /// Takes a message, to be stored with the note that it gives and passed on then.
    ///
    /// # Errors
    /// `Full` when a limit is reached.
    pub(super) fn take(&mut self, letter: &Letter<'_>, now: Timestamp) -> Result<Message, Full> {
        let Letter { id, from, to, text, device, limits } = *letter;
        let known = self.users.get(to);
        if known.is_none() && self.users.len() >= USERS_MAX {
            return Err(Full::Receiver);
        }
        let to = self.named(to);
        let number = self.last_number + 1;
        let sender = self.users.entry(Arc::clone(from)).or_default();
        if sender.unconfirmed >= limits.unconfirmed {
            self.forget_idle(&to);
            return Err(Full::Sender);
        }
        // A wrong clock must not give two messages one time, and so one place among the readings.
        let next = sender.last_at.map(|last| Timestamp::from_unix_ms(last.unix_ms().saturating_add(1)));
        let at = next.filter(|next| *next > now).unwrap_or(now);
        let (from, device, text) = (Arc::clone(from), device.clone(), text.into());
        let message =
            Message { number, id, from, to: Arc::clone(&to), text, device, at, sent_at: None, confirmed_at: None };
        let bytes = message.bytes();
        let receiver = self.users.entry(to).or_default();
        if receiver.waiting.len() >= limits.messages || receiver.waiting_bytes.saturating_add(bytes) > limits.bytes {
            return Err(Full::Receiver);
        }
        receiver.waiting_bytes += bytes;
        receiver.waiting.insert(number, Waiting { message: message.clone(), is_kept: false, is_live: false });
        self.last_number = number;
        if let Some(sender) = self.users.get_mut(&message.from) {
            sender.unconfirmed += 1;
            sender.last_at = Some(at);
        }
        Ok(message)
    }

    /// A message is stored: it goes to its receiver, if that one is there.
    pub(super) fn pass(&mut self, to: &str, number: u64, now: Duration) -> Receiver {
        let Some(receiver) = self.users.get_mut(to) else { return Receiver::Away };
        let is_online = receiver.is_online(now);
        if let Some(waiting) = receiver.waiting.get_mut(&number) {
            waiting.is_kept = true;
            waiting.is_live = is_online;
        }
        if !is_online {
            return Receiver::Away;
        }
        self.wakers.extend(receiver.here.as_ref().map(|here| here.waker.clone()));
        Receiver::There
    }

    /// A message is not stored: it never was.
    pub(super) fn give_up(&mut self, to: &str, number: u64) {
        let Some((to, _)) = self.users.get_key_value(to) else { return };
        let to = Arc::clone(to);
        if let Some(message) = self.remove(&to, number) {
            self.forget_idle(&message.from);
        }
        self.forget_idle(&to);
    }

    /// Takes a message out of what waits.
    fn remove(&mut self, to: &Arc<str>, number: u64) -> Option<Message> {
        let receiver = self.users.get_mut(to)?;
        let message = receiver.waiting.remove(&number)?.message;
        receiver.waiting_bytes = receiver.waiting_bytes.saturating_sub(message.bytes());
        let next = receiver.waiting.range(number..).next().is_some();
        if next {
            // What waited behind it may go now.
            self.wakers.extend(receiver.here.as_ref().map(|here| here.waker.clone()));
        }
        if let Some(sender) = self.users.get_mut(&message.from) {
            sender.unconfirmed = sender.unconfirmed.saturating_sub(1);
        }
        Some(message)
    }

    /// The next messages behind `after` for a user, in order; none that overtakes one that is not stored yet. They count
    /// as sent now.
    pub(super) fn mail(&mut self, place: &Place, after: u64, count: usize, now: Timestamp) -> Vec<Mail> {
        let mut mail = Vec::new();
        let Some(user) = self.users.get_mut(&place.user) else { return mail };
        if user.here.as_ref().is_none_or(|here| here.connection != place.connection) {
            return mail;
        }
        for (_, waiting) in user.waiting.range_mut(after.saturating_add(1)..).take(count) {
            if !waiting.is_kept {
                break;
            }
            let is_first = waiting.message.sent_at.is_none();
            waiting.message.sent_at.get_or_insert(now);
            let is_live = std::mem::take(&mut waiting.is_live);
            mail.push(Mail { message: waiting.message.clone(), is_live, is_first });
        }
        mail
    }

    /// A user confirms a message. The message as it is then, and what is to be stored for that; none where nothing of that
    /// name waits for the user.
    pub(super) fn confirm(
        &self,
        place: &Place,
        id: MessageId,
        history: usize,
        now: Timestamp,
    ) -> Option<(Message, Vec<Note>)> {
        let user = self.users.get(&place.user)?;
        let waiting = user.waiting.values().find(|waiting| waiting.is_kept && waiting.message.id == id)?;
        let message = Message { confirmed_at: Some(now), ..waiting.message.clone() };
        let too_many = (user.done.len() + 1).saturating_sub(history);
        let mut notes = vec![message.note()];
        notes.extend(user.done.iter().chain([&message]).take(too_many).map(|old| notes::forget(old.number)));
        Some((message, notes))
    }

    /// It is stored that a message is confirmed.
    pub(super) fn confirmed(&mut self, message: Message, history: usize) {
        let (from, to) = (Arc::clone(&message.from), Arc::clone(&message.to));
        if self.remove(&to, message.number).is_none() {
            return;
        }
        if let Some(receiver) = self.users.get_mut(&to) {
            receiver.done.push_back(message);
            let too_many = receiver.done.len().saturating_sub(history);
            receiver.done.drain(..too_many);
        }
        self.forget_idle(&from);
        self.forget_idle(&to);
    }

    /// A connection is gone before it knew whether a message was stored: the steward stores it.
    /// Without one, as in a listener with an office of its own, it must not hold up what comes behind it.
    pub(super) fn adopt(&mut self, to: Arc<str>, number: u64) {
        match &self.steward {
            Some(steward) => {
                self.wakers.push(steward.clone());
                self.orphans.insert((to, number));
            }
            None => self.give_up(&to, number),
        }
    }

    /// Messages that lost their connection.
    fn orphans(&mut self) -> Vec<Message> {
        let orphans = std::mem::take(&mut self.orphans);
        let find = |(to, number): &(Arc<str>, u64)| Some(self.users.get(to)?.waiting.get(number)?.message.clone());
        orphans.iter().filter_map(find).collect()
    }
}
