//! What operators may know of the office: messages and how far they are, and what waits for whom.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::Timestamp;

use super::{Inside, Message, Office, User, Waiting};

/// People or rooms that are looked through at a time: whoever talks waits meanwhile.
const LOOK_MAX: usize = 256;

/// How far a message to a person is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// It is stored, and was not sent to its receiver yet.
    New,
    /// It was sent to its receiver, who has not confirmed it.
    Sent,
    /// Its receiver has it.
    Confirmed,
}

impl MessageState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::New, Self::Sent, Self::Confirmed];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Sent => "sent",
            Self::Confirmed => "confirmed",
        }
    }
}

/// Which messages, in which order.
#[derive(Clone, Debug, Default)]
pub struct MessageQuery {
    /// Only from this person.
    pub from: Option<String>,
    /// Only to this person, or to a room with `#` before its name.
    pub to: Option<String>,
    /// Only in this state.
    pub state: Option<MessageState>,
    /// Only beyond this number, in the order that is asked for.
    pub beyond: Option<u64>,
    /// The oldest come first; else the newest.
    pub oldest_first: bool,
}

impl MessageQuery {
    fn takes(&self, message: &Message) -> bool {
        let is = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
        let is_beyond = self
            .beyond
            .is_none_or(|beyond| if self.oldest_first { message.number > beyond } else { message.number < beyond });
        is_beyond
            && is(&self.from, &message.from)
            && is(&self.to, &message.to)
            && self.state.is_none_or(|state| message.state() == Some(state))
    }
}

/// What waits for a person, and what it sent that waits for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The person.
    pub name: Arc<str>,
    /// It is connected, and was heard from lately.
    pub is_here: bool,
    /// Messages to it that it has not confirmed.
    pub waiting: usize,
    /// Their size, with what the office needs for them.
    pub waiting_bytes: usize,
    /// When the oldest of them was accepted.
    pub waiting_since: Option<Timestamp>,
    /// Messages of it that nobody has confirmed.
    pub unconfirmed: usize,
}

/// The first messages of a query.
struct Page<'a> {
    query: &'a MessageQuery,
    count: usize,
    found: BTreeMap<u64, Message>,
}

impl Page<'_> {
    fn take<'m>(&mut self, messages: impl Iterator<Item = &'m Message>) {
        for message in messages.filter(|message| self.query.takes(message)) {
            self.found.insert(message.number, message.clone());
            if self.found.len() <= self.count {
                continue;
            }
            if self.query.oldest_first {
                self.found.pop_last();
            } else {
                self.found.pop_first();
            }
        }
    }
}

impl Office {
    /// The first `count` messages that are stored and known. Those that were confirmed long ago are not known any more.
    #[must_use]
    pub fn messages(&self, query: &MessageQuery, count: usize) -> Vec<Message> {
        let mut page = Page { query, count, found: BTreeMap::new() };
        if let Some(to) = &query.to {
            self.with(|inside| {
                inside.users.get(to.as_str()).into_iter().for_each(|user| page.take(user.known()));
                inside.rooms.get(to.as_str()).into_iter().for_each(|room| page.take(kept(room.said.values())));
            });
        } else {
            self.visit(|inside| &inside.users, |_, user| page.take(user.known()));
            self.visit(|inside| &inside.rooms, |_, room| page.take(kept(room.said.values())));
        }
        let found = page.found.into_values();
        if query.oldest_first { found.collect() } else { found.rev().collect() }
    }

    /// The first `count` people behind `after`, by name, who are connected or for whom something waits.
    #[must_use]
    pub fn queues(&self, after: Option<&str>, count: usize, now: Duration) -> Vec<Queue> {
        self.with(|inside| {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let users = inside.users.range::<str, _>((start, Bound::Unbounded));
            let queues = users.map(|(name, user)| user.queue(name, now));
            queues.filter(|queue| queue.is_here || queue.waiting > 0 || queue.unconfirmed > 0).take(count).collect()
        })
    }

    /// Looks at every row of a table, a few at a time.
    fn visit<T>(&self, table: impl Fn(&Inside) -> &BTreeMap<Arc<str>, T>, mut look: impl FnMut(&Arc<str>, &T)) {
        let mut last: Option<Arc<str>> = None;
        loop {
            let (seen, at) = self.with(|inside| {
                let start = last.clone().map_or(Bound::Unbounded, Bound::Excluded);
                let (mut seen, mut at) = (0, None);
                for (name, row) in table(inside).range((start, Bound::Unbounded)).take(LOOK_MAX) {
                    look(name, row);
                    (seen, at) = (seen + 1, Some(Arc::clone(name)));
                }
                (seen, at)
            });
            if seen < LOOK_MAX {
                return;
            }
            last = at;
        }
    }
}

impl User {
    fn known(&self) -> impl Iterator<Item = &Message> {
        self.done.iter().chain(kept(self.waiting.values()))
    }

    fn queue(&self, name: &Arc<str>, now: Duration) -> Queue {
        Queue {
            name: Arc::clone(name),
            is_here: self.is_online(now),
            waiting: self.waiting.len(),
            waiting_bytes: self.waiting_bytes,
            waiting_since: self.waiting.values().next().map(|waiting| waiting.message.at),
            unconfirmed: self.unconfirmed,
        }
    }
}

/// Those that are stored.
fn kept<'a>(waiting: impl Iterator<Item = &'a Waiting>) -> impl Iterator<Item = &'a Message> {
    waiting.filter(|waiting| waiting.is_kept).map(|waiting| &waiting.message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Waker;
    use std::time::Duration;

    use loggerhead_model::{DeviceId, Timestamp};

    use super::{LOOK_MAX, MessageQuery, MessageState};
    use crate::office::{Letter, MessageId, Office, QueueLimits};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);
    const LIMITS: QueueLimits = QueueLimits { messages: 10, bytes: 10_000, unconfirmed: 1_000, history: 10 };

    fn send(office: &Office, from: &str, to: &str, text: &str) -> u64 {
        let (from, device) = (Arc::from(from), DeviceId::new("device").expect("a name"));
        office.with(|inside| {
            let id = MessageId::make(&[1; 32], inside.last_number);
            let letter = Letter { id, from: &from, to, text, device: &device, limits: LIMITS };
            let message = inside.take(&letter, NOW).expect("there is room");
            inside.pass(to, message.number, Duration::ZERO);
            message.number
        })
    }

    fn numbers(office: &Office, query: &MessageQuery, count: usize) -> Vec<u64> {
        office.messages(query, count).iter().map(|message| message.number).collect()
    }

    #[test]
    fn messages_are_found_by_who_sent_them_to_whom_and_how_far_they_are() {
        let office = Office::default();
        let first = send(&office, "a", "b", "one");
        let second = send(&office, "b", "a", "two");
        let third = send(&office, "a", "c", "three");
        let place = office.with(|inside| inside.attach("b", Waker::noop().clone(), Duration::ZERO, Duration::MAX));
        let mail = office.with(|inside| inside.mail(&place, 0, 10, NOW));
        let id = mail.first().expect("it waits").message.id;
        let state = |state| MessageQuery { state: Some(state), ..MessageQuery::default() };
        assert_eq!(numbers(&office, &state(MessageState::Sent), 9), [first]);
        let (message, _) = office.with(|inside| inside.confirm(&place, id, 10, NOW)).expect("it waits for b");
        office.with(|inside| inside.confirmed(message, 10));
        assert_eq!(numbers(&office, &state(MessageState::Confirmed), 9), [first]);
        assert_eq!(numbers(&office, &state(MessageState::New), 9), [third, second]);
        let from = MessageQuery { from: Some("a".to_owned()), oldest_first: true, ..MessageQuery::default() };
        assert_eq!(numbers(&office, &from, 9), [first, third]);
        assert_eq!(numbers(&office, &from, 1), [first]);
        assert_eq!(numbers(&office, &MessageQuery { beyond: Some(first), ..from }, 9), [third]);
        let to = MessageQuery { to: Some("a".to_owned()), ..MessageQuery::default() };
        assert_eq!(numbers(&office, &to, 9), [second]);
        let queues = office.queues(None, 9, Duration::ZERO);
        let seen: Vec<_> =
            queues.iter().map(|queue| (&*queue.name, queue.is_here, queue.waiting, queue.unconfirmed)).collect();
        assert_eq!(seen, [("a", false, 1, 1), ("b", true, 0, 1), ("c", false, 1, 0)]);
        assert_eq!(office.queues(Some("b"), 9, Duration::ZERO).len(), 1);
    }

    #[test]
    fn nobody_is_passed_over_or_seen_twice_by_looks_at_a_few() {
        let office = Office::default();
        let sent: Vec<_> = (0..=LOOK_MAX * 2).map(|number| send(&office, "a", &format!("{number}"), "hello")).collect();
        let query = MessageQuery { oldest_first: true, ..MessageQuery::default() };
        assert_eq!(numbers(&office, &query, usize::MAX), sent);
    }
}
