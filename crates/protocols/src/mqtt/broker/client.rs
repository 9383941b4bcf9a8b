//! The session of one client, with or without a connection: what it subscribes to, what waits for it, what is on its way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use loggerhead_model::{DeviceId, Note, Timestamp};

use super::fleeting::Fleeting;
use super::load::Load;
use super::message::Message;
use super::notes::{self, About};
use crate::mqtt::message::{Options, Qos};
use crate::standing::Lost;

/// Acknowledgements after which it is noted how far a session is through the log. What was acknowledged since the last
/// note may be sent again after the process was killed, as QoS 1 allows.
const NOTE_EVERY: u32 = 64;

/// A subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mqtt) struct Subscription {
    /// How it wants its messages.
    pub(in crate::mqtt) options: Options,
    /// Its identifier; 0 for none.
    pub(in crate::mqtt) id: u32,
    /// Messages of the log before this one are not for it.
    pub(in crate::mqtt) since: u64,
}

/// What is published for a client that is gone.
#[derive(Clone, Debug)]
pub(in crate::mqtt) struct Will {
    /// How long after its end.
    pub(in crate::mqtt) delay_s: u32,
    /// For how long after that it is wanted.
    pub(in crate::mqtt) expiry_s: Option<u32>,
    /// What.
    pub(in crate::mqtt) message: Arc<Message>,
}

/// A message for one client.
#[derive(Clone, Debug)]
pub(in crate::mqtt) struct Copied {
    /// What.
    pub(in crate::mqtt) message: Arc<Message>,
    /// Where it is noted.
    pub(in crate::mqtt) noted: Noted,
    /// How surely it is sent.
    pub(in crate::mqtt) qos: Qos,
    /// The flag RETAIN.
    pub(in crate::mqtt) retain: bool,
    /// The identifiers of the subscriptions that it fits.
    pub(in crate::mqtt) ids: Box<[u32]>,
}

/// Where a copy is found again after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mqtt) enum Noted {
    /// Nowhere.
    No,
    /// In the log, under this number.
    Log(u64),
    /// In a note of the session's own, under this number.
    Own(u64),
}

impl Noted {
    /// The number; 0 for what is not noted.
    pub(in crate::mqtt) const fn number(self) -> u64 {
        match self {
            Self::No => 0,
            Self::Log(number) | Self::Own(number) => number,
        }
    }
}

/// How far a message is that was given a packet identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mqtt) enum Progress {
    /// It is being noted that it goes out under this identifier; only QoS 2 has to wait for that.
    Noting,
    /// It was sent.
    Sent,
    /// It is being noted that the client has received it.
    Releasing,
    /// The client was told that it may forget the identifier.
    Released,
}

/// A message that was given a packet identifier.
#[derive(Clone, Debug)]
pub(in crate::mqtt) struct Flight {
    /// The message; gone once the client has received it.
    pub(in crate::mqtt) copy: Option<Copied>,
    /// Where it is noted.
    pub(in crate::mqtt) noted: Noted,
    /// How far it is.
    pub(in crate::mqtt) progress: Progress,
    /// Messages are sent again in this order.
    pub(in crate::mqtt) order: u64,
}

/// How many messages of QoS 1 and 2 may wait for one session, and how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mqtt) struct QueueLimits {
    pub(in crate::mqtt) messages: usize,
    pub(in crate::mqtt) bytes: usize,
    /// With more bytes than that in the whole broker, messages of QoS 0 are dropped.
    pub(in crate::mqtt) overload_bytes: usize,
}

/// What became of a message for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mqtt) enum Pushed {
    /// It waits, or nobody is there for it.
    Taken,
    /// It was dropped: too many wait for the session.
    Full,
    /// It was dropped: too much waits in the whole broker.
    Shed,
}

/// Messages that a session did not get.
#[derive(Debug, Default)]
pub(in crate::mqtt) struct Losses {
    /// All of them, by cause.
    pub(in crate::mqtt) lost: Lost,
    /// Those that were dropped because too many waited for it, and of which operators have not heard yet.
    pub(in crate::mqtt) dropped: u64,
    /// Those that were dropped because too much waited in the whole broker.
    pub(in crate::mqtt) shed: u64,
}

/// What has to be known so that messages of QoS 2 arrive once.
#[derive(Debug, Default)]
pub(in crate::mqtt) struct Exactly {
    /// Identifiers of messages of QoS 2 that the client sent and has not released.
    pub(in crate::mqtt) received: BTreeSet<u16>,
    /// Done beyond its place in the log.
    pub(in crate::mqtt) done: BTreeSet<u64>,
}

/// What waits for a client, and what is on its way to it.
#[derive(Default)]
pub(in crate::mqtt) struct Mail {
    /// What waits, of QoS 0.
    pub(in crate::mqtt) fleeting: Fleeting,
    /// What waits, of QoS 1 and 2.
    pub(in crate::mqtt) queue: VecDeque<Copied>,
    pub(super) queue_bytes: usize,
    /// What is on its way, of QoS 1 and 2.
    pub(in crate::mqtt) flights: BTreeMap<u16, Flight>,
    /// How many of these there were since there were none.
    order: u64,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.fleeting.is_empty() && self.is_all_safe()
    }

    /// Whether nothing of QoS 1 and 2 waits, or is on its way.
    fn is_all_safe(&self) -> bool {
        self.queue.is_empty() && self.flights.is_empty()
    }

    /// Has a message on its way.
    fn fly(&mut self, id: u16, copy: Option<Copied>, noted: Noted, progress: Progress) {
        self.order += 1;
        self.flights.insert(id, Flight { copy, noted, progress, order: self.order });
    }
}

/// The session of one client. What most clients have none of is on the heap: there may be a million of them.
pub(in crate::mqtt) struct Client {
    /// Its name.
    pub(in crate::mqtt) id: Arc<str>,
    /// The account that it belongs to.
    pub(in crate::mqtt) device: DeviceId,
    /// Counts its connections: an older one is not its any more.
    pub(in crate::mqtt) connection: u64,
    /// Wakes its connection, if it has one.
    pub(in crate::mqtt) waker: Option<Waker>,
    /// The connection was woken and has not looked yet.
    pub(in crate::mqtt) is_woken: bool,
    /// Seconds for which it outlives its connection; `u32::MAX` for ever.
    pub(in crate::mqtt) expiry_s: u32,
    /// When it ends; none while it has a connection, or never.
    pub(in crate::mqtt) ends_at: Option<Timestamp>,
    pub(in crate::mqtt) will: Option<Box<Will>>,
    /// When the will is published, once the connection is gone.
    pub(in crate::mqtt) will_at: Option<Timestamp>,
    pub(in crate::mqtt) subscriptions: BTreeMap<Box<str>, Subscription>,
    /// None while there is none: most clients are idle.
    pub(in crate::mqtt) mail: Option<Box<Mail>>,
    /// None before its client was there since the process started.
    pub(in crate::mqtt) limits: Option<Arc<QueueLimits>>,
    exactly: Option<Box<Exactly>>,
    last_id: u16,
    /// Acknowledgements since its place in the log was noted.
    unnoted: u32,
    pub(in crate::mqtt) losses: Option<Box<Losses>>,
    /// Since when its client is there, or away; none for since before the process started.
    pub(in crate::mqtt) since: Option<Timestamp>,
    /// What waits in the whole broker.
    load: Arc<Load>,
}

impl Client {
    /// A session that has just begun.
    pub(in crate::mqtt) fn new(id: Arc<str>, device: DeviceId, load: Arc<Load>) -> Self {
        Self {
            id,
            device,
            connection: 0,
            waker: None,
            is_woken: false,
            expiry_s: 0,
            ends_at: None,
            will: None,
            will_at: None,
            subscriptions: BTreeMap::new(),
            mail: None,
            limits: None,
            exactly: None,
            last_id: 0,
            unnoted: 0,
            losses: None,
            since: None,
            load,
        }
    }

    /// Whether it outlives its connection, and the process.
    pub(in crate::mqtt) const fn is_durable(&self) -> bool {
        self.expiry_s > 0
    }

    /// What it did not get, to be counted.
    pub(in crate::mqtt) fn losses(&mut self) -> &mut Losses {
        self.losses.get_or_insert_default()
    }

    /// What is known of its messages of QoS 2, to be changed.
    pub(in crate::mqtt) fn exactly(&mut self) -> &mut Exactly {
        self.exactly.get_or_insert_default()
    }

    /// Whether it sent a message of QoS 2 under this identifier and has not released it.
    pub(in crate::mqtt) fn has_received(&self, id: u16) -> bool {
        self.exactly.as_ref().is_some_and(|exactly| exactly.received.contains(&id))
    }

    /// Messages of QoS 2 that it sent and has not released.
    pub(in crate::mqtt) fn received_count(&self) -> usize {
        self.exactly.as_ref().map_or(0, |exactly| exactly.received.len())
    }

    /// Whether it has a message of the log beyond its place there.
    pub(in crate::mqtt) fn is_done(&self, number: u64) -> bool {
        self.exactly.as_ref().is_some_and(|exactly| exactly.done.contains(&number))
    }

    /// Whether as many messages wait for it as may.
    pub(in crate::mqtt) fn is_full(&self) -> bool {
        self.limits.as_ref().is_some_and(|limits| self.queue_messages() >= limits.messages)
    }

    fn mail(&mut self) -> &mut Mail {
        self.mail.get_or_insert_default()
    }

    /// Gives the memory for its mail back when there is none any more.
    pub(in crate::mqtt) fn tidy(&mut self) {
        self.mail.take_if(|mail| mail.is_empty());
    }

    /// Lets a message wait for it.
    pub(in crate::mqtt) fn push(&mut self, copy: Copied) -> Pushed {
        let is_fleeting = copy.qos == Qos::AtMostOnce;
        if self.waker.is_none() && (is_fleeting || !self.is_durable()) {
            return Pushed::Taken;
        }
        let limits = self.limits.as_deref();
        // Who keeps up has nothing that waits, and takes no memory for long.
        let overload_bytes = limits.map_or(usize::MAX, |limits| limits.overload_bytes);
        if is_fleeting
            && self.load.bytes() > overload_bytes
            && self.mail.as_ref().is_some_and(|mail| !mail.fleeting.is_empty())
        {
            let losses = self.losses();
            losses.lost.overload += 1;
            losses.shed += 1;
            return Pushed::Shed;
        }
        let bytes_max = limits.map_or(usize::MAX, |limits| limits.bytes);
        self.load.add(&copy);
        let pushed =
            if is_fleeting { self.mail().fleeting.push(copy, bytes_max) } else { self.push_safe(copy, bytes_max) };
        let Err(refused) = pushed else { return Pushed::Taken };
        self.load.remove(&refused);
        let losses = self.losses();
        *(if is_fleeting { &mut losses.lost.slow } else { &mut losses.lost.full }) += 1;
        losses.dropped += 1;
        Pushed::Full
    }

    fn push_safe(&mut self, copy: Copied, bytes_max: usize) -> Result<(), Copied> {
        let bytes = self.queue_bytes() + copy.message.bytes();
        if self.is_full() || bytes > bytes_max {
            return Err(copy);
        }
        let mail = self.mail();
        mail.queue_bytes = bytes;
        mail.queue.push_back(copy);
        Ok(())
    }

    /// Bytes of what waits, of QoS 1 and 2.
    pub(in crate::mqtt) fn queue_bytes(&self) -> usize {
        self.mail.as_ref().map_or(0, |mail| mail.queue_bytes)
    }

    /// How many these are.
    pub(in crate::mqtt) fn queue_messages(&self) -> usize {
        self.mail.as_ref().map_or(0, |mail| mail.queue.len())
    }

    /// The next message of QoS 1 or 2.
    pub(in crate::mqtt) fn pop(&mut self) -> Option<Copied> {
        let mail = self.mail.as_mut()?;
        let copy = mail.queue.pop_front()?;
        mail.queue_bytes = mail.queue_bytes.saturating_sub(copy.message.bytes());
        self.load.remove(&copy);
        if mail.queue.is_empty() {
            mail.queue = VecDeque::new();
        }
        Some(copy)
    }

    /// Puts the message back that was taken last.
    pub(in crate::mqtt) fn put_back(&mut self, copy: Copied) {
        self.load.add(&copy);
        let mail = self.mail();
        mail.queue_bytes += copy.message.bytes();
        mail.queue.push_front(copy);
    }

    /// The next message of QoS 0.
    pub(in crate::mqtt) fn pop_fleeting(&mut self) -> Option<Copied> {
        let copy = self.mail.as_mut()?.fleeting.pop()?;
        self.load.remove(&copy);
        Some(copy)
    }

    /// Drops what waits of QoS 0: its connection is gone.
    pub(in crate::mqtt) fn drop_fleeting(&mut self) {
        let Some(mail) = &mut self.mail else { return };
        let gone = std::mem::take(&mut mail.fleeting);
        for copy in gone.copies() {
            self.load.remove(copy);
        }
        self.tidy();
    }

    /// Gives a message a packet identifier; gives the message back when all are in use.
    pub(in crate::mqtt) fn start(&mut self, copy: Copied) -> Result<u16, Copied> {
        let waits = copy.qos == Qos::ExactlyOnce && self.is_durable() && copy.noted != Noted::No;
        let mail = self.mail.get_or_insert_default();
        if mail.flights.len() >= usize::from(u16::MAX) {
            return Err(copy);
        }
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !mail.flights.contains_key(&self.last_id) {
                break;
            }
        }
        let (noted, progress) = (copy.noted, if waits { Progress::Noting } else { Progress::Sent });
        mail.fly(self.last_id, Some(copy), noted, progress);
        Ok(self.last_id)
    }

    /// Puts back what was on its way when the process ended.
    pub(in crate::mqtt) fn restart(&mut self, id: u16, noted: Noted, progress: Progress, copy: Option<Copied>) {
        self.last_id = id;
        self.mail().fly(id, copy, noted, progress);
    }

    /// What is on its way under this identifier.
    pub(in crate::mqtt) fn flight(&self, id: u16) -> Option<&Flight> {
        self.mail.as_ref()?.flights.get(&id)
    }

    /// The same, to be changed.
    pub(in crate::mqtt) fn flight_mut(&mut self, id: u16) -> Option<&mut Flight> {
        self.mail.as_mut()?.flights.get_mut(&id)
    }

    /// Takes off its way what is on it under this identifier.
    pub(in crate::mqtt) fn land(&mut self, id: u16) -> Option<Flight> {
        let flight = self.mail.as_mut()?.flights.remove(&id);
        self.tidy();
        flight
    }

    /// The identifiers of everything on its way, in the order in which it was sent.
    pub(in crate::mqtt) fn under_way(&self) -> VecDeque<u16> {
        let flights = self.mail.iter().flat_map(|mail| &mail.flights);
        let mut ids: Vec<_> = flights.map(|(id, flight)| (flight.order, *id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// A message has arrived, or is given up: what is to be noted. `horizon` is the first message of the log that was not
    /// passed on yet.
    pub(in crate::mqtt) fn finish(&mut self, noted: Noted, qos: Qos, horizon: u64) -> Vec<Note> {
        if !self.is_durable() {
            return Vec::new();
        }
        match noted {
            Noted::No => Vec::new(),
            Noted::Own(number) => vec![About::Own(&self.id, number).forget()],
            Noted::Log(number) => {
                let mut notes = Vec::new();
                let low = self.low(horizon);
                self.unnoted += 1;
                if qos == Qos::ExactlyOnce && number >= low {
                    self.exactly().done.insert(number);
                    notes.push(About::Done(&self.id, number).put(Vec::new()));
                }
                let is_last = self.mail.as_ref().is_none_or(|mail| mail.is_all_safe());
                // A message of QoS 2 must not come again, so that its end is noted at once.
                if is_last || self.unnoted >= NOTE_EVERY || qos == Qos::ExactlyOnce {
                    notes.extend(self.note_progress(low));
                }
                notes
            }
        }
    }

    /// Takes away what waits for it and what is on its way under topics that it may not read any more; what is to be noted.
    pub(in crate::mqtt) fn withdraw(&mut self, may: &dyn Fn(&str) -> bool, horizon: u64) -> Vec<Note> {
        let is_allowed = |copy: &Copied| may(&copy.message.topic);
        let Some(mail) = &mut self.mail else { return Vec::new() };
        let (kept, mut gone): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut mail.queue).into_iter().partition(is_allowed);
        for copy in &gone {
            self.load.remove(copy);
        }
        mail.queue_bytes = kept.iter().map(|copy| copy.message.bytes()).sum();
        mail.queue = kept;
        let mut notes = Vec::new();
        let is_gone = |flight: &Flight| flight.copy.as_ref().is_some_and(|copy| !is_allowed(copy));
        for (id, flight) in std::mem::take(&mut mail.flights) {
            if is_gone(&flight) {
                notes.push(About::Out(&self.id, id).forget());
                gone.extend(flight.copy);
            } else {
                mail.flights.insert(id, flight);
            }
        }
        // How far it is through the log can be said only now that all that stays is in its place.
        for copy in gone {
            notes.extend(self.finish(copy.noted, copy.qos, horizon));
        }
        self.tidy();
        notes
    }

    /// Notes how far it is through the log.
    pub(in crate::mqtt) fn note_progress(&mut self, low: u64) -> Vec<Note> {
        self.unnoted = 0;
        let mut notes = vec![About::Progress(&self.id).put(low.to_be_bytes().to_vec())];
        if let Some(exactly) = &mut self.exactly
            && exactly.done.first().is_some_and(|first| *first < low)
        {
            exactly.done = exactly.done.split_off(&low);
            notes.push(About::Done(&self.id, 0).forget_through(About::Done(&self.id, low.saturating_sub(1))));
        }
        notes
    }

    /// The first message of the log that it may still need.
    pub(in crate::mqtt) fn low(&self, horizon: u64) -> u64 {
        let Some(mail) = &self.mail else { return horizon };
        let of_log = |noted: Noted| if let Noted::Log(number) = noted { Some(number) } else { None };
        let queued = mail.queue.iter().find_map(|copy| of_log(copy.noted));
        let flying = mail.flights.values().filter_map(|flight| of_log(flight.noted)).min();
        queued.into_iter().chain(flying).min().unwrap_or(u64::MAX).min(horizon)
    }

    /// The note of the session itself.
    pub(in crate::mqtt) fn note(&self) -> Note {
        let (will, subscriptions) = (self.will.as_deref(), self.subscriptions.iter());
        let value = notes::of_session(&self.device, self.expiry_s, self.ends_at, will, subscriptions);
        About::Session(&self.id).put(value)
    }
}

impl Drop for Client {
    /// Whatever ends a session, nothing waits for it any more. It is dropped under the broker's lock.
    fn drop(&mut self) {
        self.drop_fleeting();
        for copy in self.mail.iter().flat_map(|mail| &mail.queue) {
            self.load.remove(copy);
        }
    }
}
