//! A message inside the broker: built once, shared by everybody who gets it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use loggerhead_model::{DeviceId, Note, Records, Report, Timestamp};

use super::tree::Subscriber;
use crate::mqtt::encode::put_publish;
use crate::mqtt::message::{Level, Publish, Qos};
use crate::mqtt::properties::{Id, Properties, Writer};

/// A message.
#[derive(Debug)]
pub(in crate::mqtt) struct Message {
    /// Its place in the log of messages; 0 when it is not there.
    pub(in crate::mqtt) number: u64,
    /// Where it was published.
    pub(in crate::mqtt) topic: Box<str>,
    /// What.
    pub(in crate::mqtt) payload: Bytes,
    /// The properties that go on to subscribers as they came.
    pub(in crate::mqtt) properties: Box<[u8]>,
    /// How surely it was published.
    pub(in crate::mqtt) qos: Qos,
    /// Whether it was to be kept.
    pub(in crate::mqtt) retain: bool,
    /// Who published it, where that matters.
    pub(in crate::mqtt) publisher: Option<Arc<str>>,
    /// After that moment of our clock nobody wants it.
    pub(in crate::mqtt) expires_at: Option<Timestamp>,
    /// For how many sessions it waits. Changed under the broker's lock alone.
    waiting: AtomicUsize,
    /// The PUBLISH with QoS 0 and without RETAIN, which most subscribers get alike: before version 5, and of it.
    frames: [OnceLock<Bytes>; 2],
}

/// How a copy of a message goes out.
#[derive(Clone, Copy, Debug)]
pub(in crate::mqtt) struct Way<'a> {
    /// How surely.
    pub(in crate::mqtt) qos: Qos,
    /// The packet identifier; 0 with QoS 0.
    pub(in crate::mqtt) id: u16,
    /// It may have been sent before.
    pub(in crate::mqtt) dup: bool,
    /// The flag RETAIN.
    pub(in crate::mqtt) retain: bool,
    /// Identifiers of the subscriptions that it fits.
    pub(in crate::mqtt) subscription_ids: &'a [u32],
    /// An alias, and whether it stands for the topic already.
    pub(in crate::mqtt) alias: Option<(u16, Known)>,
}

/// Whether the peer knows an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mqtt) enum Known {
    /// It is told now.
    New,
    /// It was told before.
    Before,
}

impl Message {
    /// A message that a client published, under its full topic.
    pub(in crate::mqtt) fn new(
        number: u64,
        topic: &str,
        publish: &Publish<'_>,
        publisher: Option<Arc<str>>,
        now: Timestamp,
    ) -> Self {
        Self {
            number,
            topic: topic.into(),
            payload: Bytes::copy_from_slice(publish.payload),
            properties: passed_on(publish.properties),
            qos: publish.qos,
            retain: publish.retain,
            publisher,
            expires_at: publish.properties.number(Id::MessageExpiry).map(|seconds| after(now, seconds)),
            waiting: AtomicUsize::new(0),
            frames: Default::default(),
        }
    }

    /// One of its parts, such as a will or what was read back.
    #[expect(clippy::too_many_arguments, reason = "each is a field")]
    pub(in crate::mqtt) fn of_parts(
        number: u64,
        topic: &str,
        payload: Bytes,
        properties: Box<[u8]>,
        qos: Qos,
        retain: bool,
        publisher: Option<Arc<str>>,
        expires_at: Option<Timestamp>,
    ) -> Self {
        Self {
            number,
            topic: topic.into(),
            payload,
            properties,
            qos,
            retain,
            publisher,
            expires_at,
            waiting: AtomicUsize::new(0),
            frames: Default::default(),
        }
    }

    /// Whether nobody wants it any more.
    pub(in crate::mqtt) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// What it takes in a queue.
    pub(in crate::mqtt) fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len()
    }

    /// It waits for one session more; whether that is the first.
    pub(super) fn waits_once_more(&self) -> bool {
        let before = self.waiting.load(Ordering::Relaxed);
        self.waiting.store(before + 1, Ordering::Relaxed);
        before == 0
    }

    /// It waits for one session less; whether that was the last.
    pub(super) fn waits_once_less(&self) -> bool {
        let left = self.waiting.load(Ordering::Relaxed).saturating_sub(1);
        self.waiting.store(left, Ordering::Relaxed);
        left == 0
    }

    /// The frame that most subscribers of QoS 0 share.
    pub(in crate::mqtt) fn common_frame(&self, level: Level) -> &Bytes {
        let [old, new] = &self.frames;
        let frame = if level == Level::V5 { new } else { old };
        frame.get_or_init(|| {
            let mut out = Vec::new();
            let way =
                Way { qos: Qos::AtMostOnce, id: 0, dup: false, retain: false, subscription_ids: &[], alias: None };
            self.write(level, &way, Timestamp::default(), &mut out);
            out.into()
        })
    }

    /// Appends the PUBLISH of a copy.
    pub(in crate::mqtt) fn write(&self, level: Level, way: &Way<'_>, now: Timestamp, out: &mut Vec<u8>) {
        let is_plain =
            level < Level::V5 || way.subscription_ids.is_empty() && way.alias.is_none() && self.expires_at.is_none();
        let mut list = Writer::default();
        if !is_plain {
            if let Some(at) = self.expires_at {
                list.four(Id::MessageExpiry, u32::try_from(at.since(now).as_secs()).unwrap_or(u32::MAX));
            }
            if let Some((alias, _)) = way.alias {
                list.two(Id::TopicAlias, alias);
            }
            for &id in way.subscription_ids {
                list.subscription_id(id);
            }
        }
        let mut bytes = list.into_bytes();
        let properties = if is_plain {
            &*self.properties
        } else {
            bytes.extend_from_slice(&self.properties);
            &bytes
        };
        let stands_for_topic = matches!(way.alias, Some((_, Known::Before)));
        let publish = Publish {
            dup: way.dup,
            qos: way.qos,
            retain: way.retain,
            topic: if stands_for_topic { "" } else { &self.topic },
            id: way.id,
            properties: Properties::of_checked(properties),
            payload: &self.payload,
        };
        put_publish(out, level, &publish);
    }
}

/// The moment so many seconds from now.
pub(in crate::mqtt) fn after(now: Timestamp, seconds: u32) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_add(i64::from(seconds) * 1000))
}

/// The moment so many seconds earlier.
pub(in crate::mqtt) fn before(at: Timestamp, seconds: u32) -> Timestamp {
    Timestamp::from_unix_ms(at.unix_ms().saturating_sub(i64::from(seconds) * 1000))
}

/// What of a publisher's properties is its subscribers' business, in its order. Source: \[2\] §3.3.2.3.
pub(in crate::mqtt) fn passed_on(properties: Properties<'_>) -> Box<[u8]> {
    if properties.is_empty() {
        return Box::default();
    }
    let mut list = Writer::default();
    for (id, value) in properties.iter() {
        let goes_on =
            matches!(id, Id::PayloadFormat | Id::ContentType | Id::ResponseTopic | Id::CorrelationData | Id::User);
        if goes_on {
            list.put(id, value);
        }
    }
    list.into_bytes().into()
}

/// A message that is passed on once it is stored.
#[derive(Debug)]
pub(in crate::mqtt) struct Pending {
    /// What.
    pub(in crate::mqtt) message: Arc<Message>,
    /// Members of shared subscriptions that get it, each with the number of its copy.
    pub(super) chosen: Vec<(Subscriber, u64)>,
    /// Whose.
    pub(in crate::mqtt) device: DeviceId,
    /// What has to be stored.
    pub(in crate::mqtt) notes: Vec<Note>,
    /// What a will reports; a connection stores the report of its message itself.
    pub(super) report: Option<Report>,
}

impl Pending {
    /// What has to be stored of it.
    pub(super) fn records(&self, received_at: Timestamp) -> Records {
        Records {
            device: self.device.clone(),
            received_at,
            report: self.report.clone(),
            frame: None,
            events: Vec::new(),
            notes: self.notes.clone(),
        }
    }
}
