//! Messages of QoS 0 that wait for one connection, and the publishers that rest until everybody has caught up.
//!
//! Nothing but their publishers' pace can keep a queue from overflowing: messages of QoS 0 are not acknowledged, and those of
//! QoS 1 and 2 when they are safe, not when they have arrived. A publisher that meets a crowded queue of a connection reads no
//! further until all are calm again. Connections that do not catch up in time are slow: nobody rests for them for a while,
//! unless they have caught up, and what finds no room is dropped.

use std::collections::{BTreeSet, VecDeque};
use std::task::Waker;
use std::time::Duration;

use super::client::{Copied, Mail};
use super::tree::ClientNumber;
use super::{Inside, Place};

/// Messages that wait for one connection: what it does not take while so many came, it will not miss.
const MESSAGES_MAX: usize = 20_000;
/// With so many messages a queue is crowded: a few times of what is written at once, so that writing never has to wait.
const CROWDED_MESSAGES: usize = 4_096;
/// With so many bytes a queue is crowded: what a socket holds on its way to a fast peer.
const CROWDED_BYTES: usize = 4 * 1024 * 1024;
/// A queue with less than such a part of what makes it crowded is calm.
const CALM: usize = 4;
/// Bytes of a packet beside its topic, properties and payload, at most: its first byte, its length, and the lengths of topic and
/// properties.
const HEAD_BYTES_MAX: usize = 1 + 4 + 2 + 4;
/// How long a publisher rests before it is looked whether others catch up: many times as long as a busy machine needs to get round.
pub(in crate::mqtt) const REST: Duration = Duration::from_millis(100);
/// Those who are behind and take so much within a rest are catching up: ten megabytes a second, to which publishers are held.
const PROGRESS_BYTES: usize = 1024 * 1024;
/// So do those who take so many messages of QoS 1 and 2, which are small more often than not: ten thousand a second.
const PROGRESS_MESSAGES: usize = 1_024;
/// For how long nobody rests for who is slow: ten times as long as a rest in vain, which so costs publishers a tenth of their time
/// at most.
const SLOW_FOR: Duration = Duration::from_secs(1);

/// The queue of one connection.
#[derive(Default)]
pub(in crate::mqtt) struct Fleeting {
    copies: VecDeque<Copied>,
    bytes: usize,
    /// Before that nobody rests for it.
    slow_until: Duration,
}

impl Fleeting {
    pub(in crate::mqtt) fn len(&self) -> usize {
        self.copies.len()
    }

    pub(in crate::mqtt) fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// Bytes of the packets of what waits, about.
    pub(in crate::mqtt) fn packet_bytes(&self) -> usize {
        self.bytes + self.copies.len() * HEAD_BYTES_MAX
    }

    /// Lets a message wait; gives it back when there is no room for it.
    pub(super) fn push(&mut self, copy: Copied, bytes_max: usize) -> Result<(), Copied> {
        let bytes = self.bytes + copy.message.bytes();
        if self.copies.len() >= MESSAGES_MAX || bytes > bytes_max {
            return Err(copy);
        }
        self.bytes = bytes;
        self.copies.push_back(copy);
        Ok(())
    }

    /// What waits.
    pub(super) fn copies(&self) -> impl Iterator<Item = &Copied> {
        self.copies.iter()
    }

    /// The next message. The memory of the queue goes with the last.
    pub(super) fn pop(&mut self) -> Option<Copied> {
        let Some(copy) = self.copies.pop_front() else {
            self.copies = VecDeque::new();
            return None;
        };
        self.bytes = self.bytes.saturating_sub(copy.message.bytes());
        Some(copy)
    }
}

impl Mail {
    /// Whether one of its queues holds this part of what makes it crowded: one in `part`. A session for which less may wait
    /// never is: what does not fit there is to be dropped.
    fn is_crowded(&self, part: usize) -> bool {
        let is_crowded = |messages, bytes| messages >= CROWDED_MESSAGES / part || bytes >= CROWDED_BYTES / part;
        is_crowded(self.fleeting.len(), self.fleeting.bytes) || is_crowded(self.queue.len(), self.queue_bytes)
    }
}

/// Those who are behind, and those who rest for them.
#[derive(Default)]
pub(super) struct Crowd {
    /// When something was published last.
    now: Duration,
    /// Who is behind and may catch up. When there is nobody any more, this crowd is over.
    clients: BTreeSet<ClientNumber>,
    /// Of this crowd, counted from the first.
    number: u64,
    /// What they took since it was looked last.
    progress: Taken,
    /// When it is looked whether they catch up.
    looked_at: Duration,
    /// A message of this round was for one of them.
    is_met: bool,
    /// Wakes the publishers that rest for this crowd, each once for each rest.
    resting: Vec<Waker>,
}

/// What those who are behind have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::mqtt) struct Taken {
    pub(in crate::mqtt) bytes: usize,
    /// Messages of QoS 1 and 2.
    pub(in crate::mqtt) messages: usize,
}

/// The rest of a publisher. Whatever comes after its crowd is another one's: who has rested publishes before it rests again.
#[derive(Clone, Copy, Debug)]
pub(in crate::mqtt) struct Rest {
    crowd: u64,
    /// When it is looked again.
    pub(in crate::mqtt) until: Duration,
}

impl Crowd {
    /// A round of messages begins.
    pub(super) fn begin(&mut self, now: Duration) {
        self.now = now;
        self.is_met = false;
    }

    /// A message was left for a client that is connected.
    pub(super) fn look_at(&mut self, number: ClientNumber, mail: &Mail) {
        if self.now >= mail.fleeting.slow_until && mail.is_crowded(1) {
            if self.clients.is_empty() {
                self.number += 1;
                self.progress = Taken::default();
                self.looked_at = self.now + REST;
            }
            self.clients.insert(number);
            self.is_met = true;
        }
    }

    /// The rest of a publisher that is woken by `waker`.
    fn rest(&mut self, waker: Waker) -> Rest {
        self.resting.push(waker);
        Rest { crowd: self.number, until: self.looked_at }
    }
}

impl Inside {
    /// So much was sent to a client: when it was the last one behind, and is no more, all go on.
    pub(in crate::mqtt) fn relieve(&mut self, number: ClientNumber, sent: Taken) {
        if self.crowd.clients.contains(&number) {
            self.crowd.progress.bytes += sent.bytes;
            self.crowd.progress.messages += sent.messages;
        }
        if let Some(mail) = self.any(number).and_then(|client| client.mail.as_mut()) {
            if mail.is_crowded(CALM) {
                return;
            }
            mail.fleeting.slow_until = Duration::ZERO;
        }
        self.leave_crowd(number);
    }

    fn leave_crowd(&mut self, number: ClientNumber) {
        if self.crowd.clients.remove(&number) && self.crowd.clients.is_empty() {
            self.wakers.append(&mut self.crowd.resting);
        }
    }

    /// Messages are passed on from now on, one after the other.
    pub(in crate::mqtt) fn begin_round(&mut self, now: Duration) {
        self.crowd.begin(now);
    }

    /// How who has just published is to rest.
    pub(in crate::mqtt) fn rest(&mut self, publisher: Place) -> Option<Rest> {
        if !std::mem::take(&mut self.crowd.is_met) {
            return None;
        }
        let waker = self.client(publisher)?.waker.clone()?;
        Some(self.crowd.rest(waker))
    }

    /// How who rests is to go on resting: not when its crowd is over, and longer while they catch up.
    pub(in crate::mqtt) fn rest_on(&mut self, rest: Rest, now: Duration) -> Option<Rest> {
        if self.crowd.clients.is_empty() || rest.crowd != self.crowd.number {
            return None;
        }
        if now >= self.crowd.looked_at {
            let progress = std::mem::take(&mut self.crowd.progress);
            if progress.bytes < PROGRESS_BYTES && progress.messages < PROGRESS_MESSAGES {
                self.leave_behind(now);
                return None;
            }
            self.crowd.looked_at = now + REST;
        }
        Some(Rest { until: self.crowd.looked_at, ..rest })
    }

    /// All who are behind did not catch up in time: nobody rests for them for a while.
    fn leave_behind(&mut self, now: Duration) {
        for number in std::mem::take(&mut self.crowd.clients) {
            if let Some(mail) = self.any(number).and_then(|client| client.mail.as_mut()) {
                mail.fleeting.slow_until = now + SLOW_FOR;
            }
        }
        self.wakers.append(&mut self.crowd.resting);
    }

    /// The connection of a client is gone, and what waited for it with it: nobody rests for it.
    pub(in crate::mqtt) fn empty(&mut self, number: ClientNumber) {
        if let Some(client) = self.any(number) {
            client.drop_fleeting();
        }
        self.leave_crowd(number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Waker;
    use std::time::Duration;

    use loggerhead_model::DeviceId;

    use super::super::Inside;
    use super::super::client::{Client, Mail};
    use super::{CROWDED_BYTES, REST, Rest, Taken};

    /// A publisher meets a client that is behind.
    fn meet(inside: &mut Inside, now: Duration) -> Rest {
        let device = DeviceId::new("slow").expect("short enough");
        let mut client = Client::new(Arc::from("slow"), device, Arc::default());
        let mut mail = Box::<Mail>::default();
        mail.fleeting.bytes = CROWDED_BYTES;
        inside.crowd.begin(now);
        inside.crowd.look_at(0, &mail);
        mail.fleeting.bytes = 0;
        client.mail = Some(mail);
        inside.clients = vec![Some(Box::new(client))];
        assert!(inside.crowd.is_met, "it is crowded");
        inside.crowd.rest(Waker::noop().clone())
    }

    #[test]
    fn who_rested_for_one_crowd_neither_waits_for_the_next_nor_ends_its_rest() {
        let mut inside = Inside::default();
        let first = meet(&mut inside, Duration::ZERO);
        inside.relieve(0, Taken { bytes: CROWDED_BYTES, messages: 0 });
        let later = REST / 2;
        let second = meet(&mut inside, later);
        assert!(inside.rest_on(first, REST).is_none(), "its crowd is over");
        assert_eq!(inside.rest_on(second, REST).map(|rest| rest.until), Some(later + REST));
    }
}
