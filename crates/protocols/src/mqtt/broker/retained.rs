//! The last message of every topic that was published to be kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use loggerhead_model::Timestamp;

use super::message::Message;
use crate::mqtt::topic::matches;

/// Most topics with a kept message: each is in memory and on disk for good.
const RETAINED_MAX: usize = 1_000_000;

/// Kept messages by their topic.
#[derive(Debug, Default)]
pub(in crate::mqtt) struct Retained {
    by_topic: BTreeMap<Box<str>, Arc<Message>>,
}

impl Retained {
    /// Whether one more topic can be kept.
    pub(in crate::mqtt) fn has_room(&self, topic: &str) -> bool {
        self.by_topic.len() < RETAINED_MAX || self.by_topic.contains_key(topic)
    }

    /// How many there are.
    pub(in crate::mqtt) fn len(&self) -> usize {
        self.by_topic.len()
    }

    /// Keeps a message in the place of its topic's last one; one without payload only takes that away.
    pub(in crate::mqtt) fn put(&mut self, message: &Arc<Message>) {
        if message.payload.is_empty() {
            self.by_topic.remove(&message.topic);
        } else {
            self.by_topic.insert(message.topic.clone(), Arc::clone(message));
        }
    }

    /// Takes out what nobody wants any more; the topics.
    pub(in crate::mqtt) fn expire(&mut self, now: Timestamp) -> Vec<Box<str>> {
        let over: Vec<_> =
            self.by_topic.iter().filter(|(_, kept)| kept.is_expired(now)).map(|(topic, _)| topic.clone()).collect();
        for topic in &over {
            self.by_topic.remove(topic);
        }
        over
    }

    /// Calls `each` with every kept message that a filter takes.
    pub(in crate::mqtt) fn find(&self, filter: &str, now: Timestamp, each: &mut dyn FnMut(&Arc<Message>)) {
        // What stands before the first wildcard is a range of the topics, so that the rest is not looked at.
        let fixed = filter.find(['+', '#']).map_or(filter, |end| filter.get(..end).unwrap_or_default());
        // `a/#` takes `a` as well, which stands before `a/`.
        let start = fixed.strip_suffix('/').unwrap_or(fixed);
        for (topic, message) in
            self.by_topic.range::<str, _>((std::ops::Bound::Included(start), std::ops::Bound::Unbounded))
        {
            if !topic.starts_with(start) {
                break;
            }
            if matches(filter, topic) && !message.is_expired(now) {
                each(message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use loggerhead_model::Timestamp;

    use super::Retained;
    use crate::mqtt::broker::message::Message;
    use crate::mqtt::message::Qos;

    fn message(topic: &str, payload: &'static str, expires_at: Option<i64>) -> Arc<Message> {
        let (payload, expires_at) = (Bytes::from(payload), expires_at.map(Timestamp::from_unix_ms));
        Arc::new(Message::of_parts(0, topic, payload, Box::default(), Qos::AtMostOnce, true, None, expires_at))
    }

    #[test]
    fn a_filter_finds_the_last_message_of_every_topic_that_it_takes() {
        let mut retained = Retained::default();
        for topic in ["a", "a/b", "a/b/c", "a0", "b/b", "$SYS/a"] {
            retained.put(&message(topic, "old", None));
            retained.put(&message(topic, "new", None));
        }
        retained.put(&message("a/over", "x", Some(5)));
        let find = |filter: &str| {
            let mut found = Vec::new();
            retained.find(filter, Timestamp::from_unix_ms(5), &mut |message| {
                assert_eq!(message.payload, "new");
                found.push(message.topic.to_string());
            });
            found
        };
        assert_eq!(find("#"), ["a", "a/b", "a/b/c", "a0", "b/b"]);
        assert_eq!(find("a/#"), ["a", "a/b", "a/b/c"]);
        assert_eq!(find("+/b"), ["a/b", "b/b"]);
        assert_eq!(find("a/+"), ["a/b"]);
        assert_eq!(find("a/b"), ["a/b"]);
        assert_eq!(find("$SYS/#"), ["$SYS/a"]);
        retained.put(&message("a/b", "", None));
        assert_eq!(retained.by_topic.len(), 6);
        assert_eq!(retained.expire(Timestamp::from_unix_ms(5)), [Box::from("a/over")]);
    }
}
