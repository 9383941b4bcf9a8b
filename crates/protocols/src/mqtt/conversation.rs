//! What of a conversation is kept, so that people can see it: packets of one account within a rate, and none of its secrets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use loggerhead_model::{DeviceId, Direction, RawFrame, Records};

use super::commands::device_of;
use super::decode::read;
use super::frame::{BODY_BYTES_MAX, head};
use super::message::{Kind, Packet, Publish};
use super::properties::Id;
use super::session::HeadEnd;
use crate::{Now, Output};

/// Packets of an account that are kept at once, and after which time one more is: an entry with what follows it can be seen,
/// and an account that never rests fills no disk.
const OF_ACCOUNT: Pace = Pace { at_once: 32, every: Duration::from_secs(5) };
/// The same of all accounts together: thousands that come in at once leave the store to messages.
const OF_ALL: Pace = Pace { at_once: 1_000, every: Duration::from_millis(50) };
/// Longest packet that is kept: people read no more.
const PACKET_BYTES_MAX: usize = 4 * 1024;
/// Packets that are held for a client that has not proven who it is: a CONNECT, and two steps of an authentication.
const EARLY_MAX: usize = 5;

/// As much at once, and then one after each span.
struct Pace {
    at_once: u64,
    every: Duration,
}

/// What of a pace is used. It is asked for every packet, by many connections, so that it takes no lock; two that ask in
/// the same moment may both be let through, which does no harm.
#[derive(Debug, Default)]
struct Allowance {
    /// Until when what was taken so far lasts at the pace, in milliseconds.
    until_ms: AtomicU64,
}

impl Allowance {
    fn after(&self, now: Duration, pace: &Pace) -> Option<u64> {
        let milliseconds = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let (now, every) = (milliseconds(now), milliseconds(pace.every));
        let until = self.until_ms.load(Ordering::Relaxed).max(now).saturating_add(every);
        (until <= now.saturating_add(every.saturating_mul(pace.at_once))).then_some(until)
    }
}

/// What all accounts have used.
#[derive(Debug, Default)]
pub(super) struct Kept {
    all: Arc<Allowance>,
    accounts: BTreeMap<DeviceId, Arc<Allowance>>,
}

impl Kept {
    /// What an account may still have kept, whatever number of connections it has.
    pub(super) fn of(&mut self, account: &DeviceId) -> Allowances {
        let own = match self.accounts.get(account) {
            Some(own) => Arc::clone(own),
            None => Arc::clone(self.accounts.entry(account.clone()).or_default()),
        };
        Allowances { own, all: Arc::clone(&self.all) }
    }

    /// An account is no more.
    pub(super) fn forget(&mut self, account: &DeviceId) {
        self.accounts.remove(account);
    }
}

/// What one account and all together may still have kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowances {
    own: Arc<Allowance>,
    all: Arc<Allowance>,
}

impl Allowances {
    fn are_left(&self, now: Duration) -> bool {
        self.own.after(now, &OF_ACCOUNT).is_some() && self.all.after(now, &OF_ALL).is_some()
    }

    fn take(&self, now: Duration) -> bool {
        let (Some(own), Some(all)) = (self.own.after(now, &OF_ACCOUNT), self.all.after(now, &OF_ALL)) else {
            return false;
        };
        self.own.until_ms.store(own, Ordering::Relaxed);
        self.all.until_ms.store(all, Ordering::Relaxed);
        true
    }
}

impl HeadEnd {
    /// Keeps a packet that came.
    pub(super) fn keep_packet(&mut self, now: Now, bytes: &[u8], packet: &Packet<'_>) {
        if self.keeps_more(now) && !self.is_secret(packet) {
            self.keep_frame(now, Direction::In, bytes, &secrets_in(packet));
        }
    }

    /// Keeps packets that are about to be sent.
    pub(super) fn keep_sent(&mut self, now: Now) {
        if !self.keeps_more(now) {
            return;
        }
        let out = std::mem::take(&mut self.work().out);
        let mut rest = out.as_slice();
        while self.keeps_more(now)
            && let Ok(Some(head)) = head(rest, usize::MAX)
            && let Some((bytes, behind)) = rest.split_at_checked(head.packet_bytes())
        {
            // Only these say anything that has to be hidden, and only they are looked into.
            let may_hold_a_secret = matches!(head.kind, Kind::ConnAck | Kind::Auth);
            let packet = may_hold_a_secret.then(|| read(self.level, bytes, BODY_BYTES_MAX).ok().flatten()).flatten();
            let secrets = packet.map(|(packet, _)| secrets_in(&packet)).unwrap_or_default();
            self.keep_frame(now, Direction::Out, bytes, &secrets);
            rest = behind;
        }
        self.work().out = out;
    }

    /// Who came in is known: what was said so far is kept in its name.
    pub(super) fn keep_early(&mut self, now: Now) {
        let early = self.arriving.as_mut().map(|arriving| std::mem::take(&mut arriving.early));
        for frame in early.into_iter().flatten() {
            self.sample(now, frame);
        }
    }

    fn keeps_more(&self, now: Now) -> bool {
        match &self.arriving {
            Some(arriving) if self.device.is_none() => arriving.early.len() < EARLY_MAX,
            Some(_) | None => self.allowances.are_left(now.elapsed),
        }
    }

    /// Whether all of a packet is a secret: a command may bring a key.
    fn is_secret(&self, packet: &Packet<'_>) -> bool {
        let Packet::Publish(publish) = packet else { return false };
        let topic = if publish.topic.is_empty() { self.known_topic(publish) } else { Some(publish.topic) };
        topic.is_none_or(|topic| device_of(topic).is_some())
    }

    /// The topic that the client gave an alias earlier.
    fn known_topic(&self, publish: &Publish<'_>) -> Option<&str> {
        let alias = publish.properties.two(Id::TopicAlias)?;
        self.peer.topic_of(alias)
    }

    fn keep_frame(&mut self, now: Now, direction: Direction, bytes: &[u8], secrets: &[Option<&[u8]>]) {
        if bytes.len() > PACKET_BYTES_MAX {
            return;
        }
        let frame = RawFrame { direction, bytes: hidden(bytes, secrets) };
        match &mut self.arriving {
            Some(arriving) if self.device.is_none() => arriving.early.push(frame),
            Some(_) | None => self.sample(now, frame),
        }
    }

    /// Hands a packet to the store, where there is room for it at once: no conversation waits for being seen.
    fn sample(&mut self, now: Now, frame: RawFrame) {
        if !self.allowances.take(now.elapsed) {
            return;
        }
        let Some(records) = self.records(now, Vec::new(), None) else { return };
        let ticket = self.next_ticket();
        self.say(Output::Sample(ticket, Records { frame: Some(frame), ..records }));
    }
}

/// The bytes of a packet, with an asterisk for every byte of these secrets, which are borrowed from it.
fn hidden(bytes: &[u8], secrets: &[Option<&[u8]>]) -> Bytes {
    let mut copy = BytesMut::from(bytes);
    for secret in secrets.iter().flatten() {
        let start = secret.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
        if let Some(place) = copy.get_mut(start..start.saturating_add(secret.len())) {
            place.fill(b'*');
        }
    }
    copy.freeze()
}

/// What of a packet nobody is to see: passwords, and what proves that somebody knows one.
fn secrets_in<'a>(packet: &Packet<'a>) -> [Option<&'a [u8]>; 2] {
    if let Packet::Connect(connect) = packet {
        return [connect.password, connect.properties.binary(Id::AuthenticationData)];
    }
    if let Packet::ConnAck(answer) = packet {
        return [None, answer.properties.binary(Id::AuthenticationData)];
    }
    if let Packet::Auth(notice) = packet {
        [None, notice.properties.binary(Id::AuthenticationData)]
    } else {
        [None, None]
    }
}
