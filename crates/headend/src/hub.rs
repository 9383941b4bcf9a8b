//! Committed batches on their way to whoever watches live.
//!
//! Every subscriber has a bounded queue of whole batches, shared with all others. One that falls behind loses batches
//! from its queue, notices, and reads them from the store; what the store does not have any more it is
//! told as a gap. The hub never holds up a commit.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use loggerhead_model::{Cursor, DeviceId, Event, Evidence, Origin, Reading, Records, Report, Timestamp};
use loggerhead_store::{Catchup, Committed, Reader};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::metrics::Counters;

/// Batches that wait for one subscriber: a few hundred milliseconds of a busy store.
pub const SUBSCRIBER_BATCHES_MAX: usize = 32;

/// Batches that are read from the store at once to catch up.
const CATCH_UP_BATCHES_MAX: usize = 16;

/// What a subscriber wants to see. Nothing set: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this device.
    pub device: Option<DeviceId>,
    /// Only readings of this meter.
    pub meter: Option<String>,
    /// Only readings of this function.
    pub function: Option<String>,
    /// Only these kinds of things.
    pub kinds: Kinds,
}

/// Kinds of things in the live stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// Readings.
    pub readings: bool,
    /// Events.
    pub events: bool,
    /// Changes of presence.
    pub presence: bool,
}

impl Default for Kinds {
    fn default() -> Self {
        Self { readings: true, events: true, presence: true }
    }
}

/// One thing in the live stream.
#[derive(Clone, Debug)]
pub enum Live {
    /// Readings of one packet, committed.
    Readings(Packet),
    /// An event, committed.
    Event {
        /// The batch in which it was committed.
        cursor: Cursor,
        /// Its place in the batch; see `Packet::place`.
        place: usize,
        /// What happened.
        event: Event,
    },
    /// A device's presence changed.
    Presence {
        /// Whose.
        device: DeviceId,
        /// To what, and why.
        evidence: Evidence,
    },
    /// Batches that this subscriber missed and that the store cannot give any more: those after `from`, up to `to`.
    Gap {
        /// The last batch that was seen.
        from: Cursor,
        /// The last batch that was missed.
        to: Cursor,
    },
}

/// The readings of one packet that fit a subscriber's filter.
#[derive(Clone, Debug)]
pub struct Packet {
    cursor: Cursor,
    records: Arc<[Records]>,
    place: usize,
    filter: Arc<Filter>,
}

impl Packet {
    /// The batch in which it was committed.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Its place in the batch: packets count from 0, then the events in the packets, then the events beside them. It
    /// does not depend on a filter.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }

    /// Whose it is.
    #[must_use]
    pub fn device(&self) -> Option<&DeviceId> {
        self.records.get(self.place).map(|records| &records.device)
    }

    /// When it was received; our clock.
    #[must_use]
    pub fn received_at(&self) -> Option<Timestamp> {
        self.records.get(self.place).map(|records| records.received_at)
    }

    /// How it reached us.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.records.get(self.place).and_then(|records| records.report.as_ref()).map(|report| report.origin)
    }

    /// Its readings that fit the filter, in the order in which they came.
    pub fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        let report = self.records.get(self.place).and_then(|records| records.report.as_ref());
        report.into_iter().flat_map(Report::readings).filter(|reading| self.filter.fits(reading))
    }
}

impl Filter {
    fn fits(&self, reading: &Reading<'_>) -> bool {
        self.meter.as_ref().is_none_or(|meter| meter == reading.meter)
            && self.function.as_ref().is_none_or(|function| function == reading.function)
    }

    fn fits_device(&self, device: Option<&DeviceId>) -> bool {
        self.device.as_ref().is_none_or(|wanted| Some(wanted) == device)
    }

    fn fits_packet(&self, records: &Records) -> bool {
        self.kinds.readings
            && self.fits_device(Some(&records.device))
            && records.report.as_ref().is_some_and(|report| report.readings().any(|reading| self.fits(&reading)))
    }
}

/// Where committed batches and changes of presence are published.
pub(crate) struct Hub {
    inside: Mutex<Inside>,
    counters: Arc<Counters>,
}

struct Inside {
    subscribers: Vec<Subscriber>,
    /// The last batch that was published.
    last: Cursor,
}

/// The hub's end of a subscription.
struct Subscriber {
    queue: mpsc::Sender<Arc<Committed>>,
    beside: Arc<Beside>,
}

/// What reaches a subscriber beside its queue.
#[derive(Default)]
struct Beside {
    /// Changes of presence that it has not seen: the newest of each device, so no limit is needed and none is lost.
    changes: Mutex<HashMap<DeviceId, Evidence>>,
    /// The last batch that did not fit its queue.
    missed: AtomicU64,
    news: Notify,
}

impl Beside {
    fn changes(&self) -> MutexGuard<'_, HashMap<DeviceId, Evidence>> {
        self.changes.lock().expect("nothing panics while it holds changes of presence")
    }

    fn take(&self) -> Option<(DeviceId, Evidence)> {
        let mut changes = self.changes();
        let device = changes.keys().next()?.clone();
        changes.remove_entry(&device)
    }
}

impl Hub {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { inside: Mutex::new(Inside { subscribers: Vec::new(), last: Cursor::START }), counters }
    }

    /// Where the log stood when nothing was published yet.
    pub(crate) fn begin_after(&self, cursor: Cursor) {
        let mut inside = self.lock();
        inside.last = inside.last.max(cursor);
    }

    /// Publishes a batch. Called by the store's writer: never waits, and costs nothing without subscribers.
    pub(crate) fn publish(&self, committed: Committed) {
        let mut inside = self.lock();
        inside.last = committed.cursor;
        if inside.subscribers.is_empty() {
            return;
        }
        let committed = Arc::new(committed);
        inside.subscribers.retain(|subscriber| match subscriber.queue.try_send(Arc::clone(&committed)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                // The batch is not queued: its subscriber will read it from the store.
                subscriber.beside.missed.store(committed.cursor.number(), Ordering::Relaxed);
                subscriber.beside.news.notify_one();
                true
            }
            Err(TrySendError::Closed(_)) => false,
        });
    }

    /// Publishes a change of presence.
    pub(crate) fn presence(&self, device: &DeviceId, evidence: &Evidence) {
        for subscriber in &self.lock().subscribers {
            subscriber.beside.changes().insert(device.clone(), evidence.clone());
            subscriber.beside.news.notify_one();
        }
    }

    /// Begins a subscription with the next batch.
    pub(crate) fn subscribe(&self, filter: Filter, reader: Reader) -> Subscription {
        let (sender, queue) = mpsc::channel(SUBSCRIBER_BATCHES_MAX);
        let beside = Arc::<Beside>::default();
        let mut inside = self.lock();
        inside.subscribers.push(Subscriber { queue: sender, beside: Arc::clone(&beside) });
        let last = inside.last;
        drop(inside);
        self.begin(filter, reader, queue, beside, last)
    }

    /// What was committed after `from`, up to `to`, for who missed it. It is not published to: however many read the past,
    /// a commit costs the same.
    pub(crate) fn history(&self, filter: Filter, reader: Reader, from: Cursor, to: Cursor) -> Subscription {
        let (_, queue) = mpsc::channel(1);
        let mut past = self.begin(filter, reader, queue, Arc::default(), from);
        past.behind = (from < to).then_some(to);
        past
    }

    fn begin(
        &self,
        filter: Filter,
        reader: Reader,
        queue: mpsc::Receiver<Arc<Committed>>,
        beside: Arc<Beside>,
        position: Cursor,
    ) -> Subscription {
        self.counters.subscribers.one_more();
        Subscription {
            filter: Arc::new(filter),
            queue,
            beside,
            reader,
            counters: Arc::clone(&self.counters),
            ready: VecDeque::new(),
            position,
            behind: None,
            held: None,
        }
    }

    /// Ends every subscription.
    pub(crate) fn close(&self) {
        self.lock().subscribers.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("nothing panics while it holds the hub")
    }
}

/// A live view of what is committed, or a view of what was.
pub struct Subscription {
    filter: Arc<Filter>,
    queue: mpsc::Receiver<Arc<Committed>>,
    beside: Arc<Beside>,
    reader: Reader,
    counters: Arc<Counters>,
    /// Things of a batch that was taken, not given out yet.
    ready: VecDeque<Live>,
    /// The last batch that was taken.
    position: Cursor,
    /// The store has to be read up to here before the queue goes on.
    behind: Option<Cursor>,
    /// The batch after the ones that were missed.
    held: Option<Arc<Committed>>,
}

impl Subscription {
    /// The next thing that fits the filter; `None` when the head-end stopped, or a history ended. Nothing is lost when the
    /// future is dropped before it is ready.
    pub async fn next(&mut self) -> Option<Live> {
        loop {
            if let Some(live) = self.try_next() {
                return Some(live);
            }
            if let Some(target) = self.behind {
                self.catch_up(target).await;
                continue;
            }
            tokio::select! {
                committed = self.queue.recv() => self.take(&committed?),
                () = self.beside.news.notified() => {}
            }
        }
    }

    /// The next thing that fits the filter and is here already; `None` is not the end.
    pub fn try_next(&mut self) -> Option<Live> {
        loop {
            if let Some(live) = self.ready.pop_front() {
                return Some(live);
            }
            if let Some((device, evidence)) = self.beside.take() {
                if self.filter.kinds.presence && self.filter.fits_device(Some(&device)) {
                    return Some(Live::Presence { device, evidence });
                }
            } else if self.behind.is_some() {
                return None;
            } else if let Some(held) = self.held.take() {
                self.take(&held);
            } else if let Ok(committed) = self.queue.try_recv() {
                self.take(&committed);
            } else {
                // What did not fit at the end of the queue has no successor there whose number would tell.
                let missed = Cursor::new(self.beside.missed.load(Ordering::Relaxed));
                if missed > self.position {
                    self.fall_behind(missed);
                }
                return None;
            }
        }
    }

    /// The last batch of which everything was given out or is about to be.
    #[must_use]
    pub fn position(&self) -> Cursor {
        self.position
    }

    fn take(&mut self, committed: &Arc<Committed>) {
        let number = committed.cursor.number();
        if number <= self.position.number() {
            return;
        }
        if number > self.position.number() + 1 {
            self.fall_behind(Cursor::new(number - 1));
            self.held = Some(Arc::clone(committed));
            return;
        }
        self.give(committed);
    }

    fn fall_behind(&mut self, target: Cursor) {
        self.counters.subscriber_gaps.one_more();
        self.behind = Some(target);
    }

    fn give(&mut self, committed: &Committed) {
        let cursor = committed.cursor;
        self.position = self.position.max(cursor);
        for (place, records) in committed.records.iter().enumerate() {
            if self.filter.fits_packet(records) {
                let (records, filter) = (Arc::clone(&committed.records), Arc::clone(&self.filter));
                self.ready.push_back(Live::Readings(Packet { cursor, records, place, filter }));
            }
        }
        let within = committed.records.iter().flat_map(|records| &records.events);
        let events = within.chain(committed.events.iter()).enumerate();
        for (number, event) in events {
            if self.filter.kinds.events && self.filter.fits_device(event.device.as_ref()) {
                let place = committed.records.len() + number;
                self.ready.push_back(Live::Event { cursor, place, event: event.clone() });
            }
        }
    }

    /// Reads some of what was missed from the store.
    async fn catch_up(&mut self, target: Cursor) {
        let (reader, position) = (self.reader.clone(), self.position);
        let reading = tokio::task::spawn_blocking(move || {
            let mut batches = Vec::new();
            let reached = reader.since(position, CATCH_UP_BATCHES_MAX, &mut |batch| {
                batches.push(batch);
                ControlFlow::Continue(())
            });
            (batches, reached)
        });
        let Ok((batches, reached)) = reading.await else {
            // The runtime is stopping: the queue ends as well.
            self.behind = None;
            return;
        };
        for batch in &batches {
            if batch.cursor > self.position {
                self.give(batch);
            }
        }
        let reached = match reached {
            Ok(Catchup::UpTo(cursor)) if cursor > position => cursor,
            Ok(Catchup::Gap(cursor)) if cursor > position => self.lose(cursor),
            Ok(Catchup::UpTo(_) | Catchup::Gap(_)) => self.lose(target),
            Err(error) => {
                tracing::warn!(%error, "a subscriber cannot catch up");
                self.lose(target)
            }
        };
        self.position = self.position.max(reached);
        if self.position >= target {
            self.behind = None;
        }
    }

    fn lose(&mut self, to: Cursor) -> Cursor {
        self.ready.push_back(Live::Gap { from: self.position, to });
        to
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.counters.subscribers.one_less();
    }
}

#[cfg(test)]
mod tests {
    use loggerhead_model::{Cursor, DeviceId, EventKind, Presence};

    use super::{Filter, Kinds, Live, SUBSCRIBER_BATCHES_MAX, Subscription};
    use crate::testing::{Bench, Line, SECRET};

    const READINGS: Kinds = Kinds { readings: true, events: false, presence: false };

    /// The value of every reading that comes, until `last` came.
    async fn values(subscription: &mut Subscription, last: &str) -> Vec<String> {
        let mut values = Vec::new();
        while values.last().is_none_or(|value| value != last) {
            match subscription.next().await.expect("the head-end runs") {
                Live::Readings(packet) => values.extend(packet.readings().map(|reading| reading.value.to_string())),
                other @ (Live::Event { .. } | Live::Presence { .. } | Live::Gap { .. }) => panic!("{other:?}"),
            }
        }
        values
    }

    async fn logged_in(bench: &mut Bench, name: &str, address: &str) -> Line {
        bench.device(name);
        let mut line = bench.connect(address);
        assert_eq!(line.ask(&format!("login {name} {SECRET}")).await, format!("welcome {name}"));
        line
    }

    #[tokio::test]
    async fn a_slow_subscriber_catches_up_from_the_store_and_misses_nothing() {
        let mut bench = Bench::new().await;
        let mut line = logged_in(&mut bench, "a", "10.0.0.1").await;
        let filter = Filter { kinds: READINGS, ..Filter::default() };
        let mut subscription = bench.core.hub.subscribe(filter, bench.core.store.reader());
        let count = SUBSCRIBER_BATCHES_MAX * 3;
        for number in 1..=count {
            // One commit each, since the ack is awaited.
            assert_eq!(line.ask(&format!("put {number}")).await, format!("ack {number}"));
        }
        let expected: Vec<_> = (1..=count).map(|number| number.to_string()).collect();
        assert_eq!(values(&mut subscription, &count.to_string()).await, expected);
        assert!(bench.core.counters.read().subscriber_gaps > 0);
    }

    #[tokio::test]
    async fn a_history_holds_what_was_committed_up_to_its_end() {
        let mut bench = Bench::new().await;
        let mut line = logged_in(&mut bench, "a", "10.0.0.1").await;
        for number in 1..=5 {
            assert_eq!(line.ask(&format!("put {number}")).await, format!("ack {number}"));
        }
        let filter = Filter { kinds: READINGS, ..Filter::default() };
        let reader = bench.core.store.reader();
        let edge = bench.core.store.health().cursor;
        let mut all = bench.core.hub.history(filter.clone(), reader.clone(), Cursor::START, edge);
        let mut new = bench.core.hub.subscribe(filter.clone(), reader.clone());
        line.ask("put 6").await;
        assert_eq!(values(&mut all, "5").await, ["1", "2", "3", "4", "5"]);
        // An ack does not wait for the hub, so the fifth may come after the beginning.
        let values = values(&mut new, "6").await;
        assert!(values == ["6"] || values == ["5", "6"], "{values:?}");
        let mut nothing = bench.core.hub.history(filter, reader, edge, edge);
        assert!(nothing.next().await.is_none());
    }

    #[tokio::test]
    async fn a_filter_lets_through_what_was_asked_for() {
        let mut bench = Bench::new().await;
        let mut one = logged_in(&mut bench, "a", "10.0.0.1").await;
        let mut other = logged_in(&mut bench, "b", "10.0.0.2").await;
        let device = Some(DeviceId::new("b").expect("a legal id"));
        let filter = Filter { device, meter: Some("m".into()), function: Some("f".into()), kinds: READINGS };
        let nothing = Filter { meter: Some("no such meter".into()), ..filter.clone() };
        let reader = bench.core.store.reader();
        let mut subscription = bench.core.hub.subscribe(filter, reader.clone());
        let mut silent = bench.core.hub.subscribe(nothing, reader);
        one.ask("put 1").await;
        other.ask("put 2").await;
        assert_eq!(values(&mut subscription, "2").await, ["2"]);
        assert!(silent.try_next().is_none());
    }

    #[tokio::test]
    async fn presence_and_events_are_live() {
        let mut bench = Bench::new().await;
        let kinds = Kinds { readings: false, ..Kinds::default() };
        let filter = Filter { kinds, ..Filter::default() };
        let mut subscription = bench.core.hub.subscribe(filter, bench.core.store.reader());
        let _line = logged_in(&mut bench, "a", "10.0.0.1").await;
        let (mut fresh, mut login) = (false, false);
        while !(fresh && login) {
            match subscription.next().await.expect("the head-end runs") {
                Live::Presence { evidence, .. } => fresh |= evidence.presence == Presence::ConnectedFresh,
                Live::Event { event, .. } => login |= event.kind == EventKind::Login,
                other @ (Live::Readings(_) | Live::Gap { .. }) => panic!("{other:?}"),
            }
        }
        bench.core.hub.close();
        while subscription.next().await.is_some() {}
    }
}
