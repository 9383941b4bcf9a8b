//! The post office: people, rooms, and the messages between them, whatever protocol each speaks.
//!
//! It does nothing by itself. A connection calls it, under one lock, and wakes whom its doings concern; the steward stores
//! what a connection left behind.

pub(crate) mod exchange;
mod id;
mod ledger;
mod notes;
mod rooms;
mod steward;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Note, Origin, Reading, Records, Report, ReportBuilder, Timestamp};

pub use id::MessageId;
pub use ledger::{MessageQuery, MessageState, Queue};
pub(crate) use rooms::{Notice, ROOM_START, RoomNews};
use rooms::{Room, Seat};

/// The shelf of the office's notes.
pub const SHELF: &str = "office";

/// Names that messages wait for or come from: names cost memory, and a sender may make them up.
const USERS_MAX: usize = 1_000_000;
/// What a message takes beside its texts.
const MESSAGE_OVERHEAD_BYTES: usize = 160;

/// The meter that stands for messages among the readings; the function is the receiver.
const METER: &str = "chat";

/// Whether the receiver of a message is there to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// It is connected, and has been heard from lately.
    There,
    /// It is not: the message waits.
    Away,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) unconfirmed: usize,
    pub(crate) history: usize,
}

/// A message between two users, or to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place among all messages; the order in which they are delivered.
    pub number: u64,
    /// Its name.
    pub id: MessageId,
    /// Who sent it.
    pub from: Arc<str>,
    /// To whom; a room with `#` before its name.
    pub to: Arc<str>,
    /// What was said.
    pub text: Box<str>,
    /// The account of its sender.
    pub device: DeviceId,
    /// When it was accepted.
    pub at: Timestamp,
    /// When it was sent to its receiver for the first time.
    pub sent_at: Option<Timestamp>,
    /// When its receiver confirmed it.
    pub confirmed_at: Option<Timestamp>,
}

impl Message {
    fn bytes(&self) -> usize {
        self.text.len() + self.from.len() + self.to.len() + MESSAGE_OVERHEAD_BYTES
    }

    /// What the store keeps of it.
    pub(crate) fn records(&self, now: Timestamp, notes: Vec<Note>) -> Records {
        let (device, received_at) = (self.device.clone(), now);
        Records { device, received_at, report: None, frame: None, events: Vec::new(), notes }
    }

    /// It as a reading of its sender: what it said to its receiver at that time.
    pub(crate) fn report(&self) -> Option<Report> {
        let mut builder = ReportBuilder::new(Origin::Live, self.text.len() + self.to.len(), 1);
        builder.meter(METER, "").ok()?;
        let reading = Reading::plain(METER, &self.to, &self.text, self.at);
        builder.reading(&reading).ok()?;
        Some(builder.finish())
    }

    /// How far it is; none for a message to a room.
    #[must_use]
    pub fn state(&self) -> Option<MessageState> {
        if self.room().is_some() {
            return None;
        }
        Some(match (self.sent_at, self.confirmed_at) {
            (_, Some(_)) => MessageState::Confirmed,
            (Some(_), None) => MessageState::Sent,
            (None, None) => MessageState::New,
        })
    }

    /// The room that it was said in.
    #[must_use]
    pub fn room(&self) -> Option<&str> {
        self.to.strip_prefix(ROOM_START)
    }

    /// The note that keeps it as it is.
    pub(crate) fn note(&self) -> Note {
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
    /// The rooms that it is a member of.
    rooms: BTreeMap<Arc<str>, Seat>,
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
        self.waiting.is_empty()
            && self.done.is_empty()
            && self.unconfirmed == 0
            && self.rooms.is_empty()
            && self.here.is_none()
    }
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Too much waits for its receiver.
    Receiver,
    /// Too many of its sender's wait.
    Sender,
    /// There are too many rooms, or members of one.
    Room,
}

/// A user with one of its connections.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) user: Arc<str>,
    connection: u64,
}

/// A message that was sent before.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// It is stored.
    Kept(Message),
    /// It is with the store.
    Underway,
}

impl Sent {
    fn of(waiting: &Waiting) -> Self {
        if waiting.is_kept { Self::Kept(waiting.message.clone()) } else { Self::Underway }
    }
}

/// What is sent to a user.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) message: Message,
    /// It did not have to wait.
    pub(crate) is_live: bool,
    /// It has not been sent before: to be noted.
    pub(crate) is_first: bool,
}

/// A message that its sender wants to be taken.
pub(crate) struct Letter<'a> {
    pub(crate) id: MessageId,
    pub(crate) from: &'a Arc<str>,
    pub(crate) to: &'a str,
    pub(crate) text: &'a str,
    pub(crate) device: &'a DeviceId,
    pub(crate) limits: QueueLimits,
}

/// The post office.
#[derive(Default)]
pub struct Office {
    inside: Mutex<Inside>,
}

/// What is behind the lock.
#[derive(Default)]
pub(crate) struct Inside {
    users: BTreeMap<Arc<str>, User>,
    rooms: BTreeMap<Arc<str>, Room>,
    /// Counts all news of rooms.
    news: u64,
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

impl std::fmt::Debug for Office {
    /// Nothing of what people say to each other.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Office").finish_non_exhaustive()
    }
}

impl Office {
    /// Takes in what was noted on the office's shelf in earlier runs, in the order of the keys. Comes before everything
    /// else.
    pub fn recall(&self, notes: &mut dyn Iterator<Item = (Bytes, Bytes)>) {
        self.with(|inside| inside.recall(notes));
    }

    /// A connection is gone: its user is not there any more, and a message that it left with the store is the steward's.
    pub(crate) fn leave(&self, place: Option<Place>, underway: Option<Box<Message>>) {
        if place.is_none() && underway.is_none() {
            return;
        }
        self.with(|inside| {
            if let Some(message) = underway {
                inside.adopt(message.to, message.number);
            }
            if let Some(place) = place {
                inside.detach(&place);
            }
        });
    }

    /// Does something with what is behind the lock, and wakes whom it concerns afterwards.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Inside) -> R) -> R {
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
    fn recall(&mut self, all: &mut dyn Iterator<Item = (Bytes, Bytes)>) {
        for (key, value) in all {
            if let Some(message) = notes::read(&key, &value) {
                self.revive(message);
            } else if let Some((room, user, read_through)) = notes::read_seat(&key, &value) {
                self.revive_seat(room, user, read_through);
            } else {
                self.unreadable += 1;
            }
        }
    }

    fn revive(&mut self, message: Message) {
        self.last_number = self.last_number.max(message.number);
        if message.to.starts_with(ROOM_START) {
            return self.revive_said(message);
        }
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
    pub(crate) fn attach(&mut self, name: &str, waker: Waker, now: Duration, online: Duration) -> Place {
        self.connections += 1;
        let connection = self.connections;
        let user = self.named(name);
        let here = Here { connection, waker, heard_at: now, online };
        let before = self.users.get_mut(&user).and_then(|own| own.here.replace(here));
        self.take_seats(&user);
        match before {
            // Its session looks whether it still has the name.
            Some(before) => self.wakers.push(before.waker),
            None => self.announce(&user, Notice::Entered),
        }
        Place { user, connection }
    }

    /// A connection of a user is gone.
    pub(crate) fn detach(&mut self, place: &Place) {
        let Some(user) = self.users.get_mut(&place.user) else { return };
        if user.here.take_if(|here| here.connection == place.connection).is_some() {
            self.announce(&place.user, Notice::Left);
        }
        self.forget_idle(&place.user);
    }

    /// Whether a connection is still the one of its user.
    pub(crate) fn holds(&self, place: &Place) -> bool {
        let here = self.users.get(&place.user).and_then(|user| user.here.as_ref());
        here.is_some_and(|here| here.connection == place.connection)
    }

    /// Whether a user is there.
    pub(crate) fn is_there(&self, name: &str, now: Duration) -> bool {
        self.users.get(name).is_some_and(|user| user.is_online(now))
    }

    /// What a user knows of a message that it has sent to another one.
    pub(crate) fn sent(&self, from: &str, to: &str, id: MessageId) -> Option<Sent> {
        let user = self.users.get(to)?;
        let done = user.done.iter().find(|message| message.id == id && *message.from == *from);
        let waiting =
            || user.waiting.values().find(|waiting| waiting.message.id == id && *waiting.message.from == *from);
        done.map(|message| Sent::Kept(message.clone())).or_else(|| waiting().map(Sent::of))
    }

    /// What two users said to each other and is known, in order.
    pub(crate) fn between(&self, one: &str, other: &str) -> Vec<Message> {
        let of = |to: &str, from: &str| -> Vec<Message> {
            let Some(user) = self.users.get(to) else { return Vec::new() };
            let waiting = user.waiting.values().filter(|waiting| waiting.is_kept).map(|waiting| &waiting.message);
            user.done.iter().chain(waiting).filter(|message| *message.from == *from).cloned().collect()
        };
        let mut all = of(one, other);
        if one != other {
            all.extend(of(other, one));
        }
        all.sort_unstable_by_key(|message| message.number);
        all
    }

    /// With whom a user has exchanged messages that are known.
    pub(crate) fn partners(&self, name: &str) -> BTreeSet<Arc<str>> {
        let Some(user) = self.users.get(name) else { return BTreeSet::new() };
        let waiting = user.waiting.values().filter(|waiting| waiting.is_kept).map(|waiting| &waiting.message);
        user.done.iter().chain(waiting).map(|message| Arc::clone(&message.from)).collect()
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
    pub(crate) fn heard(&mut self, place: &Place, now: Duration) {
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
    pub(crate) fn take(&mut self, letter: &Letter<'_>, now: Timestamp) -> Result<Message, Full> {
        let Letter { from, to, limits, .. } = *letter;
        let known = self.users.get(to);
        if known.is_none() && self.users.len() >= USERS_MAX {
            return Err(Full::Receiver);
        }
        let to = self.named(to);
        let sender = self.users.entry(Arc::clone(from)).or_default();
        if sender.unconfirmed >= limits.unconfirmed {
            self.forget_idle(&to);
            return Err(Full::Sender);
        }
        let message = self.write(letter, Arc::clone(&to), now);
        let bytes = message.bytes();
        let receiver = self.users.entry(to).or_default();
        if receiver.waiting.len() >= limits.messages || receiver.waiting_bytes.saturating_add(bytes) > limits.bytes {
            return Err(Full::Receiver);
        }
        receiver.waiting_bytes += bytes;
        let waiting = Waiting { message: message.clone(), is_kept: false, is_live: false };
        receiver.waiting.insert(message.number, waiting);
        self.last_number = message.number;
        if let Some(sender) = self.users.get_mut(&message.from) {
            sender.unconfirmed += 1;
            sender.last_at = Some(message.at);
        }
        Ok(message)
    }

    /// The next message, as its sender's letter says.
    fn write(&self, letter: &Letter<'_>, to: Arc<str>, now: Timestamp) -> Message {
        // A wrong clock must not give two messages one time, and so one place among the readings.
        let last = self.users.get(letter.from).and_then(|sender| sender.last_at);
        let next = last.map(|last| Timestamp::from_unix_ms(last.unix_ms().saturating_add(1)));
        Message {
            number: self.last_number + 1,
            id: letter.id,
            from: Arc::clone(letter.from),
            to,
            text: letter.text.into(),
            device: letter.device.clone(),
            at: next.filter(|next| *next > now).unwrap_or(now),
            sent_at: None,
            confirmed_at: None,
        }
    }

    /// A message is stored: it goes to its receiver, if that one is there.
    pub(crate) fn pass(&mut self, to: &str, number: u64, now: Duration) -> Receiver {
        if to.starts_with(ROOM_START) {
            return self.spread(to, number);
        }
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
    pub(crate) fn give_up(&mut self, to: &str, number: u64) {
        if to.starts_with(ROOM_START) {
            return self.unsay(to, number);
        }
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
    pub(crate) fn mail(&mut self, place: &Place, after: u64, count: usize, now: Timestamp) -> Vec<Mail> {
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
    pub(crate) fn confirm(
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
    pub(crate) fn confirmed(&mut self, message: Message, history: usize) {
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
    pub(crate) fn adopt(&mut self, to: Arc<str>, number: u64) {
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
        let find = |(to, number): &(Arc<str>, u64)| match self.rooms.get(to) {
            Some(room) => room.find(*number),
            None => Some(self.users.get(to)?.waiting.get(number)?.message.clone()),
        };
        orphans.iter().filter_map(find).collect()
    }
}
