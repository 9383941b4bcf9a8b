//! What a client is sent: messages that wait for it, within what it takes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use loggerhead_model::{Note, Timestamp};

use super::broker::client::{Client, Copied, Progress};
use super::broker::fleeting::Taken;
use super::broker::message::{Known, Way};
use super::broker::notes::{About, of_out};
use super::encode::encode;
use super::message::{Ack, Level, Packet, Qos};
use super::properties::Properties;
use super::reason::Reason;
use super::session::HeadEnd;
use super::work::Waiting;
use crate::{CloseReason, Now};

/// Bytes that are written at once: as much as a socket takes without waiting.
const SEND_BYTES: usize = 64 * 1024;

/// Bytes that are made room for at once: the packet with which `SEND_BYTES` are reached is seldom longer than the difference.
const ROOM_BYTES: usize = SEND_BYTES + 4096;

/// What a client takes, and what of it is used.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Messages of QoS 1 and 2 at once.
    pub(super) receive_max: u16,
    /// Bytes of one packet.
    pub(super) packet_bytes_max: usize,
    /// Topic aliases.
    pub(super) aliases_max: u16,
    /// Messages of QoS 1 and 2 that are under way.
    flying: usize,
    /// Their bytes, as long as they may have to be sent again.
    flying_bytes: usize,
    /// What most clients have none of.
    memory: Option<Box<Memory>>,
}

/// What is remembered of a connection.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// What was under way on an earlier connection and has to be sent again first.
    resend: VecDeque<u16>,
    /// Our aliases of topics.
    aliases: BTreeMap<Box<str>, u16>,
    /// Topics that stand behind the client's aliases, from 1 on.
    topics: Vec<Option<Box<str>>>,
}

impl Peer {
    /// A client that says so of itself; what it does not say has no limit, but for aliases, of which it takes none.
    pub(super) fn new(receive_max: Option<u16>, packet_bytes_max: Option<u32>, aliases_max: Option<u16>) -> Self {
        Self {
            receive_max: receive_max.unwrap_or(u16::MAX),
            packet_bytes_max: packet_bytes_max.map_or(usize::MAX, |bytes| bytes as usize),
            aliases_max: aliases_max.unwrap_or(0),
            flying: 0,
            flying_bytes: 0,
            memory: None,
        }
    }

    /// Has these sent again before anything else.
    pub(super) fn send_again(&mut self, ids: VecDeque<u16>) {
        if !ids.is_empty() {
            self.memory.get_or_insert_default().resend = ids;
        }
    }

    /// A message is under way from now on.
    fn take_off(&mut self, copy: Option<&Copied>) {
        self.flying += 1;
        self.flying_bytes += copy.map_or(0, |copy| copy.message.bytes());
    }

    /// A message under way does not have to be sent again.
    pub(super) fn arrive(&mut self, copy: Option<Copied>) {
        self.flying_bytes = self.flying_bytes.saturating_sub(copy.map_or(0, |copy| copy.message.bytes()));
    }

    /// A message is not under way any more.
    pub(super) fn land(&mut self, copy: Option<Copied>) {
        self.flying = self.flying.saturating_sub(1);
        self.arrive(copy);
    }

    fn has_again(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| !memory.resend.is_empty())
    }

    fn next_again(&mut self) -> Option<u16> {
        self.memory.as_mut()?.resend.pop_front()
    }

    /// The topic behind an alias of the client.
    pub(super) fn topic_of(&self, alias: u16) -> Option<&str> {
        self.memory.as_ref()?.topics.get(usize::from(alias).checked_sub(1)?)?.as_deref()
    }

    /// The client gives a topic an alias, which is at least 1 and at most what is set.
    pub(super) fn set_topic(&mut self, alias: u16, topic: &str) {
        let topics = &mut self.memory.get_or_insert_default().topics;
        let count = usize::from(alias);
        if topics.len() < count {
            topics.resize(count, None);
        }
        if let Some(known) = count.checked_sub(1).and_then(|place| topics.get_mut(place)) {
            *known = Some(topic.into());
        }
    }
}

/// What sending has to have stored.
#[derive(Default)]
struct Wanted {
    /// Before a message goes out under an identifier.
    starts: Vec<(u16, Note)>,
    /// Before a client may forget an identifier.
    releases: Vec<(u16, Note)>,
    /// Some time.
    kept: Vec<Note>,
}

/// What became of writing a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Sent,
    TooLarge,
}

impl HeadEnd {
    /// Writes what waits for the client, up to `SEND_BYTES`.
    pub(super) fn send(&mut self, now: Now) {
        self.may_have_mail = false;
        let Some(place) = self.place else { return };
        let (broker, level) = (Arc::clone(&self.broker), self.level);
        let (peer, out) = (&mut self.peer, &mut self.work.get_or_insert_default().out);
        let mut wanted = Wanted::default();
        let more = broker.with(|inside| {
            let horizon = inside.horizon();
            let client = inside.client(place)?;
            client.is_woken = false;
            let wanted = &mut wanted;
            let mut sending = Sending { client, peer, level, now: now.wall, out, wanted, horizon, sent: 0, safe: 0 };
            sending.again();
            sending.fleeting();
            sending.safely();
            let (more, sent, messages) = (sending.has_more(), sending.sent, sending.safe);
            client.tidy();
            inside.figures.sent += sent;
            inside.relieve(place.client, Taken { bytes: out.len(), messages });
            Some(more)
        });
        let Some(more) = more else {
            return self.end(Reason::SESSION_TAKEN_OVER, CloseReason::TakenOver);
        };
        self.may_have_mail = more;
        for (id, note) in wanted.starts {
            self.store(now, vec![note], None, Waiting::Start(id));
        }
        for (id, note) in wanted.releases {
            self.store(now, vec![note], None, Waiting::Release(id));
        }
        self.keep(now, wanted.kept);
    }

    /// It is noted under which identifier a message of QoS 2 goes out: it may go.
    pub(super) fn started(&mut self, now: Now, id: u16) {
        let Some(place) = self.place else { return };
        let (broker, level) = (Arc::clone(&self.broker), self.level);
        let (peer, out) = (&mut self.peer, &mut self.work.get_or_insert_default().out);
        let notes = broker.with(|inside| {
            let horizon = inside.horizon();
            let client = inside.client(place)?;
            let flight = client.flight_mut(id)?;
            if flight.progress == Progress::Noting {
                flight.progress = Progress::Sent;
            }
            if write(flight.copy.as_ref()?, id, false, level, now.wall, peer, out) == Written::Sent {
                inside.figures.sent += 1;
                return None;
            }
            client.losses().lost.large += 1;
            let flight = client.land(id)?;
            peer.land(flight.copy);
            let mut notes = client.finish(flight.noted, Qos::ExactlyOnce, horizon);
            notes.push(About::Out(&client.id, id).forget());
            Some(notes)
        });
        self.keep(now, notes.unwrap_or_default());
    }
}

/// One round of sending, under the broker's lock.
struct Sending<'a> {
    client: &'a mut Client,
    peer: &'a mut Peer,
    level: Level,
    now: Timestamp,
    out: &'a mut Vec<u8>,
    wanted: &'a mut Wanted,
    horizon: u64,
    sent: u64,
    /// Of these, those that were taken from the queue of QoS 1 and 2.
    safe: usize,
}

impl Sending<'_> {
    fn has_room(&self) -> bool {
        self.out.len() < SEND_BYTES
    }

    fn may_fly(&self) -> bool {
        self.has_room() && self.may_fly_later()
    }

    fn has_more(&self) -> bool {
        let mail = self.client.mail.as_ref();
        let (fleeting, safe) = mail.map_or((0, 0), |mail| (mail.fleeting.len(), mail.queue.len()));
        fleeting > 0 || self.may_fly_later() && (self.peer.has_again() || safe > 0)
    }

    /// Whether the client takes one more, and acknowledges what it takes: as many bytes may be under way as may wait.
    fn may_fly_later(&self) -> bool {
        let bytes_max = self.client.limits.as_ref().map_or(usize::MAX, |limits| limits.bytes);
        self.peer.flying < usize::from(self.peer.receive_max) && self.peer.flying_bytes < bytes_max
    }

    /// What was under way on an earlier connection, in its order. Source: \[1\] §4.4, \[2\] §4.4.
    fn again(&mut self) {
        while self.may_fly() {
            let Some(id) = self.peer.next_again() else { break };
            let Some(flight) = self.client.flight(id) else { continue };
            self.peer.take_off(flight.copy.as_ref());
            let number = flight.noted.number();
            match (flight.progress, &flight.copy) {
                (Progress::Noting, _) => {
                    let note = About::Out(&self.client.id, id).put(of_out(number, Progress::Sent));
                    self.wanted.starts.push((id, note));
                }
                (Progress::Sent, Some(copy)) => {
                    self.sent += 1;
                    write(copy, id, true, self.level, self.now, self.peer, self.out);
                }
                (Progress::Releasing, _) => {
                    let note = About::Out(&self.client.id, id).put(of_out(number, Progress::Released));
                    self.wanted.releases.push((id, note));
                }
                (Progress::Sent, None) | (Progress::Released, _) => {
                    let ack = Ack { id, reason: Reason::SUCCESS, properties: Properties::NONE };
                    encode(&Packet::PubRel(ack), self.level, self.out);
                }
            }
        }
    }

    fn fleeting(&mut self) {
        // Once for all that is written: growing would copy it several times.
        let bytes = self.client.mail.as_ref().map_or(0, |mail| mail.fleeting.packet_bytes());
        self.out.reserve(bytes.min(ROOM_BYTES));
        while self.has_room() {
            let Some(copy) = self.client.pop_fleeting() else { break };
            if copy.message.is_expired(self.now) {
                self.client.losses().lost.expired += 1;
                continue;
            }
            match write(&copy, 0, false, self.level, self.now, self.peer, self.out) {
                Written::Sent => self.sent += 1,
                Written::TooLarge => self.client.losses().lost.large += 1,
            }
        }
    }

    fn safely(&mut self) {
        while !self.peer.has_again() && self.may_fly() {
            let Some(copy) = self.client.pop() else { break };
            if copy.message.is_expired(self.now) {
                self.client.losses().lost.expired += 1;
                self.wanted.kept.extend(self.client.finish(copy.noted, copy.qos, self.horizon));
                continue;
            }
            let (noted, qos) = (copy.noted, copy.qos);
            let number = noted.number();
            let id = match self.client.start(copy) {
                Ok(id) => id,
                Err(copy) => {
                    self.client.put_back(copy);
                    break;
                }
            };
            self.safe += 1;
            let Some(flight) = self.client.flight(id) else { break };
            self.peer.take_off(flight.copy.as_ref());
            if flight.progress == Progress::Noting {
                let note = About::Out(&self.client.id, id).put(of_out(number, Progress::Sent));
                self.wanted.starts.push((id, note));
                continue;
            }
            let Some(copy) = &flight.copy else { continue };
            if write(copy, id, false, self.level, self.now, self.peer, self.out) == Written::Sent {
                self.sent += 1;
            } else {
                self.client.losses().lost.large += 1;
                self.peer.land(self.client.land(id).and_then(|flight| flight.copy));
                self.wanted.kept.extend(self.client.finish(noted, qos, self.horizon));
            }
        }
    }
}

/// Appends the PUBLISH of a copy, unless the client does not take packets of that size.
fn write(
    copy: &Copied,
    id: u16,
    dup: bool,
    level: Level,
    now: Timestamp,
    peer: &mut Peer,
    out: &mut Vec<u8>,
) -> Written {
    let start = out.len();
    let message = &copy.message;
    let is_common = copy.qos == Qos::AtMostOnce && !copy.retain && copy.ids.is_empty();
    let mut is_new = false;
    if is_common && peer.aliases_max == 0 && (level < Level::V5 || message.expires_at.is_none()) {
        out.extend_from_slice(message.common_frame(level));
    } else {
        let alias = if level == Level::V5 { peer.alias(&message.topic) } else { None };
        is_new = matches!(alias, Some((_, Known::New)));
        let way = Way { qos: copy.qos, id, dup, retain: copy.retain, subscription_ids: &copy.ids, alias };
        message.write(level, &way, now, out);
    }
    if out.len() - start > peer.packet_bytes_max {
        out.truncate(start);
        // The client did not hear of the alias that would have been new with this packet.
        if is_new {
            peer.forget_alias(&message.topic);
        }
        return Written::TooLarge;
    }
    Written::Sent
}

impl Peer {
    /// The alias of a topic, while there are any: those that are used first keep theirs.
    fn alias(&mut self, topic: &str) -> Option<(u16, Known)> {
        if self.aliases_max == 0 {
            return None;
        }
        let aliases = &mut self.memory.get_or_insert_default().aliases;
        if let Some(alias) = aliases.get(topic) {
            return Some((*alias, Known::Before));
        }
        let next = u16::try_from(aliases.len() + 1).ok().filter(|next| *next <= self.aliases_max)?;
        aliases.insert(topic.into(), next);
        Some((next, Known::New))
    }

    fn forget_alias(&mut self, topic: &str) {
        if let Some(memory) = &mut self.memory {
            memory.aliases.remove(topic);
        }
    }
}
