//! What has come for a person, on its way to it; and how an older client, which confirms nothing, shows that it has it:
//! by the pong to the ping that was sent behind it.

use std::sync::Arc;

use loggerhead_model::{DeviceId, Note};

use super::legacy;
use super::message::{self, Person, Reply, Said};
use super::session::{HeadEnd, Voice, Waiting};
use crate::Output;
use crate::office::{Mail, Message, MessageId, Notice, RoomNews};

/// Messages that are taken out of the office at once, so that nobody waits for long behind its lock.
const MAIL_MAX: usize = 64;
/// Deliveries to an older client whose pongs have not come; the next ones wait for them.
const UNPROVEN_MAX: usize = 16;

/// What an older client was sent before a ping.
pub(super) struct Unproven {
    ping: u64,
    ids: Vec<MessageId>,
    /// The last message of the room.
    said: Option<u64>,
}

impl HeadEnd {
    /// Sends what has come for the person. False when there is nothing, or when it has to wait.
    pub(super) fn deliver(&mut self) -> bool {
        let Some(place) = self.place.as_ref().filter(|_| self.may_have_mail) else { return false };
        if self.unproven.len() >= UNPROVEN_MAX {
            return false;
        }
        let (after, wall) = (self.sent_through, self.now.wall);
        let (mail, talk, news) = self.office.with(|inside| {
            (inside.mail(place, after, MAIL_MAX, wall), inside.talk(place, MAIL_MAX), inside.news(place))
        });
        self.may_have_mail = mail.len() == MAIL_MAX || talk.len() == MAIL_MAX;
        if let Some(last) = mail.last() {
            self.sent_through = last.message.number;
        }
        self.note_first(&mail);
        match self.voice {
            Voice::Json => self.tell(&mail, &talk, &news),
            Voice::Legacy => self.tell_legacy(&mail, &talk, &news),
        }
        !(mail.is_empty() && talk.is_empty() && news.is_empty())
    }

    /// That messages were sent is noted before they are: what their receiver says of them comes after it.
    fn note_first(&mut self, mail: &[Mail]) {
        let mut first: Vec<(DeviceId, Vec<Note>)> = Vec::new();
        for message in mail.iter().filter(|one| one.is_first).map(|one| &one.message) {
            match first.last_mut().filter(|(device, _)| *device == message.device) {
                Some((_, notes)) => notes.push(message.note()),
                None => first.push((message.device.clone(), vec![message.note()])),
            }
        }
        for (device, notes) in first {
            let records = self.records(notes);
            self.outputs.extend(records.map(|records| Output::Keep(loggerhead_model::Records { device, ..records })));
        }
    }

    fn tell(&mut self, mail: &[Mail], talk: &[Message], news: &[RoomNews]) {
        for message in mail.iter().map(|mail| &mail.message).chain(talk) {
            self.say(&Reply::Message { message: Said::from(message) });
        }
        for RoomNews { room, user, notice, .. } in news {
            let room = message::room_of(room).map(str::to_owned);
            let people = vec![Person { name: user.to_string(), here: *notice == Notice::Entered }];
            self.say(&Reply::Presence { room, people });
        }
    }

    fn tell_legacy(&mut self, mail: &[Mail], talk: &[Message], news: &[RoomNews]) {
        let settings = Arc::clone(&self.settings);
        let own = &settings.legacy;
        for Mail { message, .. } in mail {
            self.write(&message.text);
        }
        let said: Vec<_> = talk.iter().filter(|message| *message.to == *own.room).collect();
        for message in &said {
            let text = legacy::broadcast(message.at, own.utc_offset_min, &message.from, &own.colon, &message.text);
            self.write(&text);
        }
        for RoomNews { user, notice, .. } in news.iter().filter(|news| *news.room == *own.room) {
            let what = if *notice == Notice::Entered { legacy::ENTERED } else { legacy::LEFT };
            let text = legacy::broadcast(self.now.wall, own.utc_offset_min, user, &own.colon, what);
            self.write(&text);
        }
        let said = said.last().map(|message| message.number);
        if said.is_some() || !mail.is_empty() {
            let ids = mail.iter().map(|mail| mail.message.id).collect();
            let ping = self.ping();
            self.unproven.push_back(Unproven { ping, ids, said });
        }
    }

    /// An older client has answered a ping: it has everything before it.
    pub(super) fn proven(&mut self, ping: u64) {
        let mut said = None;
        while let Some(proven) = self.unproven.pop_front_if(|first| first.ping <= ping) {
            said = proven.said.or(said);
            self.proven.extend(proven.ids);
        }
        self.may_have_mail = true;
        let (Some(place), Some(through)) = (&self.place, said) else { return };
        let room = &self.settings.legacy.room;
        let note = self.office.with(|inside| inside.read(place, room, through));
        self.outputs.extend(note.and_then(|note| self.records(vec![note])).map(Output::Keep));
    }

    /// Has it stored that a message is confirmed that an older client has. False when there is none.
    pub(super) fn confirm_proven(&mut self) -> bool {
        if !matches!(self.waiting, Waiting::Nothing) {
            return false;
        }
        let Some(id) = self.proven.pop_front() else {
            self.proven = std::collections::VecDeque::new();
            return false;
        };
        self.confirm(id);
        true
    }
}
