//! What texts of clients ask for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{Identity, Note, Records};

use super::legacy;
use super::message::{
    HISTORY_ANSWER_MAX, Membership, NAMES_MAX, Person, Reason, Reply, Request, Said, is_name, room_of,
};
use super::session::{HeadEnd, Waiting};
use super::settings::LegacyTexts;
use crate::office::{Full, Letter, Message, MessageId, ROOM_START, Sent};
use crate::{Fault, FaultKind, Output, Proof};

/// What who has logged in is told.
pub(super) fn welcome(name: &str, rooms: &[(Arc<str>, u64)], partners: &BTreeSet<Arc<str>>, ping: Duration) -> Reply {
    let membership = |(room, read_through): &(Arc<str>, u64)| {
        Some(Membership { room: room_of(room)?.to_owned(), read_through: *read_through })
    };
    Reply::Welcome {
        name: name.to_owned(),
        rooms: rooms.iter().filter_map(membership).collect(),
        partners: partners.iter().map(ToString::to_string).collect(),
        ping_s: ping.as_secs(),
    }
}

/// Does what a text of the JSON format asks for.
pub(super) fn answer(session: &mut HeadEnd, text: &str) {
    let refuse = |session: &mut HeadEnd, reason| session.say(&Reply::Refused { id: None, reason });
    let Ok(request) = serde_json::from_str::<Request>(text) else {
        let fault = Fault::new(FaultKind::Malformed, format!("a text of {} bytes that is no request", text.len()));
        session.outputs.push_back(Output::Fault(fault));
        return refuse(session, Reason::Malformed);
    };
    if session.place.is_none() && !matches!(request, Request::Login { .. } | Request::Ping) {
        return refuse(session, Reason::LogInFirst);
    }
    match request {
        Request::Login { .. } if session.place.is_some() => refuse(session, Reason::LoggedIn),
        Request::Login { name, secret } => login(session, &name, secret),
        Request::Ping => session.say(&Reply::Pong),
        Request::Join { room } | Request::Leave { room } | Request::Read { room, .. } | Request::Members { room }
            if !is_name(&room) =>
        {
            refuse(session, Reason::Name);
        }
        Request::Join { room } => session.join(&format!("{ROOM_START}{room}")),
        Request::Leave { room } => session.part(room),
        Request::Read { room, number } => session.read(room, number),
        Request::Members { room } => session.members(room),
        Request::Say { id, room, to, text } => session.say_to(id, room, to, &text),
        Request::Confirm { id } => match MessageId::parse(&id) {
            Some(id) => session.confirm(id),
            None => refuse(session, Reason::Name),
        },
        Request::History { room, with, before, search } => session.history(room, with, before, search),
        Request::Presence { names } => {
            let now = session.now.elapsed;
            let people = session.office.with(|inside| {
                let person = |name: String| Person { here: inside.is_there(&name, now), name };
                names.into_iter().take(NAMES_MAX).map(person).collect()
            });
            session.say(&Reply::Presence { room: None, people });
        }
    }
}

/// Does what a text of an older client says.
pub(super) fn hear(session: &mut HeadEnd, text: &str) {
    let settings = Arc::clone(&session.settings);
    let own = &settings.legacy;
    if text == own.heartbeat {
        return session.write(&own.heartbeat_answer);
    }
    let id = session.new_id();
    match own.texts {
        LegacyTexts::Room => session.send(id, &own.room, text),
        LegacyTexts::Direct => {
            if let Some((to, said)) = legacy::direct(text, &own.separators).filter(|(to, _)| is_person(to)) {
                return session.send(id, to, said);
            }
            let fault = Fault::new(FaultKind::Malformed, "a text that says not for whom it is");
            session.outputs.push_back(Output::Fault(fault));
        }
    }
}

fn login(session: &mut HeadEnd, name: &str, secret: String) {
    // A name that cannot be one is refused like one that nobody has.
    let Some(identity) = Some(name).filter(|name| is_name(name)).and_then(|name| Identity::new(name).ok()) else {
        return session.not_proven();
    };
    let proof = Proof::secret(secret.into_bytes());
    session.claim(identity, proof);
}

/// A message with the note that keeps it.
fn noted(message: Message) -> (Message, Vec<Note>) {
    let note = message.note();
    (message, vec![note])
}

fn is_person(name: &str) -> bool {
    is_name(name) && !name.starts_with(ROOM_START)
}

impl HeadEnd {
    fn turn_down(&mut self, id: Option<MessageId>, reason: Reason) {
        self.say(&Reply::Refused { id: id.map(|id| id.to_string()), reason });
    }

    /// To be a member of a room.
    pub(super) fn join(&mut self, room: &str) {
        let Some(place) = &self.place else { return };
        match self.office.with(|inside| inside.join(place, room)) {
            Ok(Some(note)) => {
                let records = self.records(vec![note]);
                if let Some(records) = records {
                    self.store(Waiting::Join(room.into()), records);
                }
            }
            Ok(None) => self.say(&Reply::Joined { room: room_of(room).unwrap_or_default().to_owned() }),
            Err(_) => self.turn_down(None, Reason::Room),
        }
    }

    fn part(&mut self, room: String) {
        let Some(place) = &self.place else { return };
        let name = format!("{ROOM_START}{room}");
        let note = self.office.with(|inside| inside.part(place, &name));
        match note.and_then(|note| self.records(vec![note])) {
            Some(records) => self.store(Waiting::Leave(name.into()), records),
            None => self.say(&Reply::Parted { room }),
        }
    }

    fn read(&mut self, room: String, number: u64) {
        let Some(place) = &self.place else { return };
        let name = format!("{ROOM_START}{room}");
        let note = self.office.with(|inside| inside.read(place, &name, number));
        let reply = Reply::Read { room, number };
        match note.and_then(|note| self.records(vec![note])) {
            Some(records) => self.store(Waiting::Answer(reply), records),
            None => self.say(&reply),
        }
    }

    fn members(&mut self, room: String) {
        let Some(place) = &self.place else { return };
        let (name, now) = (format!("{ROOM_START}{room}"), self.now.elapsed);
        let members = self.office.with(|inside| inside.members(place, &name, now));
        let members = members.into_iter().map(|(name, here)| Person { name: name.to_string(), here }).collect();
        self.say(&Reply::Members { room, members });
    }

    fn say_to(&mut self, id: String, room: Option<String>, to: Option<String>, text: &str) {
        let to = match (room, to) {
            (Some(room), None) if is_name(&room) => Some(format!("{ROOM_START}{room}")),
            (None, Some(to)) if is_person(&to) => Some(to),
            _ => None,
        };
        match (MessageId::parse(&id), to) {
            (Some(id), Some(to)) => self.send(id, &to, text),
            (_, _) => self.say(&Reply::Refused { id: Some(id), reason: Reason::Name }),
        }
    }

    /// Has a message stored, to be passed on then; or says what became of it, where it was sent before.
    pub(super) fn send(&mut self, id: MessageId, to: &str, text: &str) {
        let (Some(place), Some(device)) = (&self.place, &self.device) else { return };
        let letter = Letter { id, from: &place.user, to, text, device, limits: self.settings.queue };
        let now = self.now;
        let is_room = to.starts_with(ROOM_START);
        let before = self.office.with(|inside| {
            let before = if is_room { inside.said(&place.user, to, id) } else { inside.sent(&place.user, to, id) };
            before.map(|before| (before, is_room || inside.is_there(to, now.elapsed)))
        });
        match before {
            Some((Sent::Kept(message), here)) => {
                return self.say(&Reply::Accepted { message: Said::from(&message), here });
            }
            Some((Sent::Underway, _)) => return self.turn_down(Some(id), Reason::Busy),
            None => {}
        }
        let taken = self.office.with(|inside| {
            if is_room { inside.say(&letter, now.wall) } else { inside.take(&letter, now.wall).map(noted) }
        });
        match taken {
            Ok((message, notes)) => {
                let report = self.settings.readings.then(|| message.report()).flatten();
                let records = Records { report, ..message.records(now.wall, notes) };
                self.store(Waiting::Message(Box::new(message)), records);
            }
            Err(Full::Receiver) => self.turn_down(Some(id), Reason::ReceiverFull),
            Err(Full::Sender) => self.turn_down(Some(id), Reason::SenderFull),
            Err(Full::Room) => self.turn_down(Some(id), Reason::Room),
        }
    }

    /// Has it stored that the person has a message.
    pub(super) fn confirm(&mut self, id: MessageId) {
        let (Some(place), history, now) = (&self.place, self.settings.queue.history, self.now.wall) else { return };
        let found = self.office.with(|inside| inside.confirm(place, id, history, now));
        let reply = Reply::Confirmed { id: id.to_string() };
        match found {
            Some((message, notes)) => {
                let records = message.records(now, notes);
                self.store(Waiting::Confirmation(Box::new(message), reply), records);
            }
            None => self.say(&reply),
        }
    }

    fn history(&mut self, room: Option<String>, with: Option<String>, before: Option<u64>, search: Option<String>) {
        let Some(place) = &self.place else { return };
        let known = match (&room, &with) {
            (Some(room), None) => {
                let name = format!("{ROOM_START}{room}");
                self.office.with(|inside| inside.history(place, &name))
            }
            (None, Some(with)) => self.office.with(|inside| inside.between(&place.user, with)),
            (Some(_), Some(_)) | (None, None) => return self.turn_down(None, Reason::Name),
        };
        let search = search.map(|search| search.to_lowercase()).unwrap_or_default();
        let is_asked_for = |message: &&Message| {
            before.is_none_or(|before| message.number < before) && message.text.to_lowercase().contains(&search)
        };
        let mut messages: Vec<_> =
            known.iter().rev().filter(is_asked_for).take(HISTORY_ANSWER_MAX).map(Said::from).collect();
        messages.reverse();
        self.say(&Reply::History { room, with, messages });
    }
}
