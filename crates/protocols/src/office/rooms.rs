//! Rooms: who is a member, what was said, and how far each member has read.
//!
//! What is said in a room is a message to the room. It is kept for those who are away, up to the room's history.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{Note, Timestamp};

use super::notes::{forget_seat, put_seat};
use super::{Full, Inside, Letter, Message, MessageId, Place, Receiver, Sent, Waiting, notes};

/// What the name of a room begins with; that of no receiver does.
pub(crate) const ROOM_START: char = '#';
/// Rooms there may be: each has a history, and anybody may open one.
const ROOMS_MAX: usize = 10_000;
/// Members of one room: each message wakes all who are there.
const MEMBERS_MAX: usize = 10_000;
/// Rooms that one user is a member of; all are looked at whenever something comes for it.
const ROOMS_OF_USER_MAX: usize = 100;
/// Comings and goings that are passed on to those who are slow; who misses some can ask who is there.
const NEWS_MAX: usize = 256;

/// What members are told of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It is there now.
    Entered,
    /// It is not there any more.
    Left,
}

/// What members are told of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomNews {
    number: u64,
    pub(crate) room: Arc<str>,
    pub(crate) user: Arc<str>,
    pub(crate) notice: Notice,
}

/// A room.
#[derive(Default)]
pub(super) struct Room {
    members: BTreeSet<Arc<str>>,
    pub(super) said: BTreeMap<u64, Waiting>,
    news: VecDeque<RoomNews>,
}

impl Room {
    /// A message in it.
    pub(super) fn find(&self, number: u64) -> Option<Message> {
        Some(self.said.get(&number)?.message.clone())
    }
}

/// A member's place in a room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seat {
    /// It has confirmed everything up to this message.
    read: u64,
    /// Its connection was sent everything up to this message.
    sent: u64,
    /// Its connection was told everything up to these news.
    told: u64,
}

impl Inside {
    pub(super) fn revive_said(&mut self, message: Message) {
        let sender = self.users.entry(Arc::clone(&message.from)).or_default();
        sender.last_at = sender.last_at.max(Some(message.at));
        let room = self.rooms.entry(Arc::clone(&message.to)).or_default();
        room.said.insert(message.number, Waiting { message, is_kept: true, is_live: false });
    }

    pub(super) fn revive_seat(&mut self, room: &str, user: &str, read_through: u64) {
        let user = self.named(user);
        let room = self.room(room);
        if let Some(known) = self.rooms.get_mut(&room) {
            known.members.insert(Arc::clone(&user));
        }
        let seat = Seat { read: read_through, ..Seat::default() };
        self.users.entry(user).or_default().rooms.insert(room, seat);
    }

    fn room(&mut self, name: &str) -> Arc<str> {
        if let Some((known, _)) = self.rooms.get_key_value(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.rooms.insert(Arc::clone(&name), Room::default());
        name
    }

    /// A connection has come that was sent nothing yet.
    pub(super) fn take_seats(&mut self, user: &Arc<str>) {
        let news = self.news;
        let Some(user) = self.users.get_mut(user) else { return };
        for seat in user.rooms.values_mut() {
            *seat = Seat { sent: seat.read, told: news, ..*seat };
        }
    }

    /// Tells the rooms of a user that it is there, or not any more.
    pub(super) fn announce(&mut self, user: &Arc<str>, notice: Notice) {
        let rooms: Vec<_> = self.users.get(user).map(|user| user.rooms.keys().cloned().collect()).unwrap_or_default();
        for room in rooms {
            self.tell(&room, user, notice);
        }
    }

    fn tell(&mut self, room: &Arc<str>, user: &Arc<str>, notice: Notice) {
        self.news += 1;
        let news = RoomNews { number: self.news, room: Arc::clone(room), user: Arc::clone(user), notice };
        let Some(known) = self.rooms.get_mut(room) else { return };
        known.news.push_back(news);
        let too_many = known.news.len().saturating_sub(NEWS_MAX);
        known.news.drain(..too_many);
        self.wake_members(room);
    }

    fn wake_members(&mut self, room: &str) {
        let Some(room) = self.rooms.get(room) else { return };
        let here = room.members.iter().filter_map(|member| self.users.get(member)?.here.as_ref());
        self.wakers.extend(here.map(|here| here.waker.clone()));
    }

    /// A user becomes a member of a room: the note that keeps it. What was said before is history for it. `None`: it is one
    /// already.
    ///
    /// # Errors
    /// `Full::Room` when there are too many rooms or members.
    pub(crate) fn join(&mut self, place: &Place, room: &str) -> Result<Option<Note>, Full> {
        let is_member = self.users.get(&place.user).is_some_and(|user| user.rooms.contains_key(room));
        if is_member {
            return Ok(None);
        }
        let seats = self.users.get(&place.user).map_or(0, |user| user.rooms.len());
        let is_full = match self.rooms.get(room) {
            Some(room) => room.members.len() >= MEMBERS_MAX,
            None => self.rooms.len() >= ROOMS_MAX,
        };
        if is_full || seats >= ROOMS_OF_USER_MAX {
            return Err(Full::Room);
        }
        let room = self.room(room);
        let last = self.rooms.get(&room).and_then(|room| room.said.keys().next_back().copied()).unwrap_or_default();
        if let Some(known) = self.rooms.get_mut(&room) {
            known.members.insert(Arc::clone(&place.user));
        }
        let seat = Seat { read: last, sent: last, told: self.news };
        self.users.entry(Arc::clone(&place.user)).or_default().rooms.insert(Arc::clone(&room), seat);
        self.tell(&room, &place.user, Notice::Entered);
        Ok(Some(put_seat(&room, &place.user, last)))
    }

    /// A user is no member any more: the note that forgets it. `None`: it is none.
    pub(crate) fn part(&mut self, place: &Place, room: &str) -> Option<Note> {
        let user = self.users.get_mut(&place.user)?;
        let (room, _) = user.rooms.remove_entry(room)?;
        self.tell(&room, &place.user, Notice::Left);
        if let Some(known) = self.rooms.get_mut(&room) {
            known.members.remove(&place.user);
            if known.members.is_empty() && known.said.is_empty() {
                self.rooms.remove(&room);
            }
        }
        Some(forget_seat(&room, &place.user))
    }

    /// Takes a message to a room, and what is to be stored for it: it, and that the oldest ones are not known any more.
    ///
    /// # Errors
    /// `Full::Room` when its sender is no member, `Full::Sender` when too many of it wait for the store.
    pub(crate) fn say(&mut self, letter: &Letter<'_>, now: Timestamp) -> Result<(Message, Vec<Note>), Full> {
        let is_member = self.users.get(letter.from).is_some_and(|user| user.rooms.contains_key(letter.to));
        let Some((name, room)) = self.rooms.get_key_value(letter.to).filter(|_| is_member) else {
            return Err(Full::Room);
        };
        let too_many = (room.said.len() + 1).saturating_sub(letter.limits.history.max(1));
        let old: Vec<u64> =
            room.said.iter().filter(|(_, waiting)| waiting.is_kept).map(|(number, _)| *number).take(too_many).collect();
        if old.len() < too_many {
            // Everything in it is with the store.
            return Err(Full::Sender);
        }
        let message = self.write(letter, Arc::clone(name), now);
        self.last_number = message.number;
        if let Some(sender) = self.users.get_mut(&message.from) {
            sender.last_at = Some(message.at);
        }
        let mut kept = vec![message.note()];
        if let Some(room) = self.rooms.get_mut(&message.to) {
            room.said.insert(message.number, Waiting { message: message.clone(), is_kept: false, is_live: false });
            for number in old {
                room.said.remove(&number);
                kept.push(notes::forget(number));
            }
        }
        Ok((message, kept))
    }

    /// A message to a room is stored: it goes to every member.
    pub(super) fn spread(&mut self, room: &str, number: u64) -> Receiver {
        if let Some(waiting) = self.rooms.get_mut(room).and_then(|room| room.said.get_mut(&number)) {
            waiting.is_kept = true;
        }
        self.wake_members(room);
        Receiver::There
    }

    /// A message to a room is not stored: it never was.
    pub(super) fn unsay(&mut self, room: &str, number: u64) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.said.remove(&number);
        }
        // What waited behind it may go now.
        self.wake_members(room);
    }

    /// What a user knows of a message that it has sent to a room.
    pub(crate) fn said(&self, from: &str, room: &str, id: MessageId) -> Option<Sent> {
        let said = self.rooms.get(room)?.said.values();
        said.rev().find(|waiting| waiting.message.id == id && *waiting.message.from == *from).map(Sent::of)
    }

    /// The next messages of a user's rooms, in the order of each room; none that overtakes one that is not stored yet.
    pub(crate) fn talk(&mut self, place: &Place, count: usize) -> Vec<Message> {
        let mut talk = Vec::new();
        if !self.holds(place) {
            return talk;
        }
        let Some(user) = self.users.get_mut(&place.user) else { return talk };
        for (name, seat) in &mut user.rooms {
            let Some(room) = self.rooms.get(name) else { continue };
            let next = room.said.range(seat.sent.saturating_add(1)..).take_while(|(_, waiting)| waiting.is_kept);
            for (number, waiting) in next.take(count.saturating_sub(talk.len())) {
                seat.sent = *number;
                talk.push(waiting.message.clone());
            }
        }
        talk
    }

    /// What a user is to be told of its rooms' members.
    pub(crate) fn news(&mut self, place: &Place) -> Vec<RoomNews> {
        let mut news = Vec::new();
        if !self.holds(place) {
            return news;
        }
        let Some(user) = self.users.get_mut(&place.user) else { return news };
        for (name, seat) in &mut user.rooms {
            let Some(room) = self.rooms.get(name) else { continue };
            let start = room.news.partition_point(|one| one.number <= seat.told);
            news.extend(room.news.range(start..).cloned());
            seat.told = room.news.back().map_or(seat.told, |last| last.number.max(seat.told));
        }
        news
    }

    /// A user has read everything in a room up to a message that it was sent: the note that keeps it. `None`: nothing new.
    pub(crate) fn read(&mut self, place: &Place, room: &str, through: u64) -> Option<Note> {
        let seat = self.users.get_mut(&place.user)?.rooms.get_mut(room)?;
        let through = through.min(seat.sent);
        if through <= seat.read {
            return None;
        }
        seat.read = through;
        Some(put_seat(room, &place.user, through))
    }

    /// The rooms of a user, and up to which message it has read each.
    pub(crate) fn rooms_of(&self, name: &str) -> Vec<(Arc<str>, u64)> {
        let Some(user) = self.users.get(name) else { return Vec::new() };
        user.rooms.iter().map(|(room, seat)| (Arc::clone(room), seat.read)).collect()
    }

    /// The members of a user's room, and whether each is there.
    pub(crate) fn members(&self, place: &Place, room: &str, now: Duration) -> Vec<(Arc<str>, bool)> {
        let is_member = self.users.get(&place.user).is_some_and(|user| user.rooms.contains_key(room));
        let Some(room) = self.rooms.get(room).filter(|_| is_member) else { return Vec::new() };
        room.members.iter().map(|member| (Arc::clone(member), self.is_there(member, now))).collect()
    }

    /// What was said in a user's room and is known, in order.
    pub(crate) fn history(&self, place: &Place, room: &str) -> Vec<Message> {
        let is_member = self.users.get(&place.user).is_some_and(|user| user.rooms.contains_key(room));
        let Some(room) = self.rooms.get(room).filter(|_| is_member) else { return Vec::new() };
        room.said.values().filter(|waiting| waiting.is_kept).map(|waiting| waiting.message.clone()).collect()
    }
}
