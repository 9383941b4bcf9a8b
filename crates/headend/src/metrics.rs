//! Counters that the hot path can afford, and the plain figures that they are read out as.
//!
//! Every counter is one relaxed atomic. Nothing here knows how figures are printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loggerhead_model::EventKind;
use loggerhead_protocols::{ALL, DropCause, FaultKind, Refusal};

/// Upper ends of the latency buckets in microseconds: finest around the few milliseconds of a commit, and of a robot's cycle.
const LATENCY_US: [u64; 17] = [
    250, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 7_500, 10_000, 15_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// All figures at one moment. Counters count from the start of the process.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Figures of each protocol, in the order of the table of protocols.
    pub protocols: Vec<ProtocolMetrics>,
    /// Devices by the word of their presence.
    pub devices: Vec<(&'static str, u64)>,
    /// Times that accepting a connection failed in the kernel, such as for want of file descriptors.
    pub accept_errors: u64,
    /// Events that were counted but not stored: over the rate of their connection, or their queue was full.
    pub events_dropped: u64,
    /// Changes that wait to be written (presence, findings, events).
    pub journal_queue: u64,
    /// Who listens to the live stream now.
    pub subscribers: u64,
    /// Times that a subscriber fell behind and had to read the store.
    pub subscriber_gaps: u64,
    /// Commands by the word of their state, those that are remembered.
    pub commands: Vec<(&'static str, u64)>,
}

/// Figures of one protocol.
#[derive(Clone, Debug, Default)]
pub struct ProtocolMetrics {
    /// The protocol's word.
    pub protocol: &'static str,
    /// Connections that are open now.
    pub connections_open: u64,
    /// Connections that were accepted.
    pub connections_accepted: u64,
    /// Connections that were closed at once because a limit was reached, by the limit's word: `total`, `address`.
    pub connections_limited: Vec<(&'static str, u64)>,
    /// TLS handshakes and PROXY headers that failed or took too long.
    pub handshakes_failed: u64,
    /// Datagrams that found no room: their peer's queue, the table of peers or the system's buffer was full.
    pub datagrams_dropped: u64,
    /// Messages that were dropped, by cause.
    pub messages_dropped: Vec<(&'static str, u64)>,
    /// Devices let in.
    pub logins: u64,
    /// Claims not believed, by reason.
    pub refusals: Vec<(&'static str, u64)>,
    /// Faults of peers, by kind.
    pub faults: Vec<(&'static str, u64)>,
    /// Events of sessions, by kind.
    pub events: Vec<(&'static str, u64)>,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Packets that asked to be stored.
    pub packets: u64,
    /// Readings in those packets.
    pub readings: u64,
    /// Packets that are stored and were answered.
    pub packets_stored: u64,
    /// Packets that could not be stored, and were not acknowledged.
    pub packets_not_stored: u64,
    /// Writes to peers: one a frame.
    pub sends: u64,
    /// From a packet's bytes to its acknowledgement written.
    pub ack_latency: Histogram,
    /// From the moment at which the system had a datagram to what was sent back for it.
    pub answer_latency: Histogram,
}

/// How often a value fell below each bound.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Upper end of each bucket in seconds, and how many values are at or below it (cumulative).
    pub buckets: Vec<(f64, u64)>,
    /// All values.
    pub count: u64,
    /// Their sum in seconds.
    pub sum_seconds: f64,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn one_more(&self) {
        self.add(1);
    }

    pub(crate) fn one_less(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A counter for each of the `N` words of a closed list.
#[derive(Debug)]
pub(crate) struct Tally<const N: usize>([Counter; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl<const N: usize> Tally<N> {
    /// Counts the word at `place`; a place outside of the list counts nothing.
    pub(crate) fn count(&self, place: Option<usize>) {
        self.add(place, 1);
    }

    fn add(&self, place: Option<usize>, count: u64) {
        if let Some(counter) = place.and_then(|place| self.0.get(place)) {
            counter.add(count);
        }
    }

    fn read(&self, words: [&'static str; N]) -> Vec<(&'static str, u64)> {
        words.into_iter().zip(&self.0).map(|(word, counter)| (word, counter.value())).collect()
    }
}

/// How long things took.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    buckets: [Counter; LATENCY_US.len()],
    beyond: Counter,
    sum_us: Counter,
}

impl Timings {
    pub(crate) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = LATENCY_US.partition_point(|&bound| bound < us);
        self.buckets.get(place).unwrap_or(&self.beyond).one_more();
        self.sum_us.add(us);
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people; 2^53 microseconds are 285 years")]
    pub(crate) fn read(&self) -> Histogram {
        let mut count = 0;
        let buckets = LATENCY_US
            .iter()
            .zip(&self.buckets)
            .map(|(&bound, counter)| {
                count += counter.value();
                (bound as f64 / 1e6, count)
            })
            .collect();
        Histogram { buckets, count: count + self.beyond.value(), sum_seconds: self.sum_us.value() as f64 / 1e6 }
    }
}

/// Which limit closed a connection before it could say anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionLimit {
    Total,
    Address,
}

impl ConnectionLimit {
    const WORDS: [&'static str; 2] = ["total", "address"];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Address => "address",
        }
    }
}

/// The counters of one protocol.
#[derive(Debug, Default)]
pub(crate) struct ProtocolCounters {
    pub(crate) connections_open: Counter,
    pub(crate) connections_accepted: Counter,
    limited: Tally<{ ConnectionLimit::WORDS.len() }>,
    pub(crate) handshakes_failed: Counter,
    pub(crate) datagrams_dropped: Counter,
    messages_dropped: Tally<{ DropCause::ALL.len() }>,
    pub(crate) logins: Counter,
    refusals: Tally<{ REFUSALS.len() }>,
    faults: Tally<{ FaultKind::ALL.len() }>,
    events: Tally<{ EventKind::ALL.len() }>,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) packets: Counter,
    pub(crate) readings: Counter,
    pub(crate) packets_stored: Counter,
    pub(crate) packets_not_stored: Counter,
    pub(crate) sends: Counter,
    pub(crate) ack_latency: Timings,
    /// Of datagrams.
    pub(crate) answers: Timings,
}

/// Every reason for a refusal, for counters.
const REFUSALS: [Refusal; 5] =
    [Refusal::Unknown, Refusal::Pending, Refusal::WrongProof, Refusal::Throttled, Refusal::Full];

/// The word for a refusal that is counted and shown to operators.
pub(crate) const fn refusal_word(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "unknown",
        Refusal::Pending => "pending",
        Refusal::WrongProof => "wrong-proof",
        Refusal::Throttled => "throttled",
        Refusal::Full => "full",
    }
}

impl ProtocolCounters {
    pub(crate) fn limited(&self, limit: ConnectionLimit) {
        self.limited.count(ConnectionLimit::WORDS.iter().position(|&word| word == limit.word()));
    }

    pub(crate) fn messages_dropped(&self, cause: DropCause, count: u64) {
        self.messages_dropped.add(DropCause::ALL.iter().position(|&other| other == cause), count);
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refusals.count(REFUSALS.iter().position(|&other| other == refusal));
    }

    pub(crate) fn fault(&self, kind: FaultKind) {
        self.faults.count(FaultKind::ALL.iter().position(|&other| other == kind));
    }

    pub(crate) fn event(&self, kind: EventKind) {
        self.events.count(EventKind::ALL.iter().position(|&other| other == kind));
    }

    fn read(&self, protocol: &'static str) -> ProtocolMetrics {
        ProtocolMetrics {
            protocol,
            connections_open: self.connections_open.value(),
            connections_accepted: self.connections_accepted.value(),
            connections_limited: self.limited.read(ConnectionLimit::WORDS),
            handshakes_failed: self.handshakes_failed.value(),
            datagrams_dropped: self.datagrams_dropped.value(),
            messages_dropped: self.messages_dropped.read(DropCause::ALL.map(DropCause::word)),
            logins: self.logins.value(),
            refusals: self.refusals.read(REFUSALS.map(refusal_word)),
            faults: self.faults.read(FaultKind::ALL.map(FaultKind::word)),
            events: self.events.read(EventKind::ALL.map(EventKind::word)),
            bytes_in: self.bytes_in.value(),
            bytes_out: self.bytes_out.value(),
            packets: self.packets.value(),
            readings: self.readings.value(),
            packets_stored: self.packets_stored.value(),
            packets_not_stored: self.packets_not_stored.value(),
            sends: self.sends.value(),
            ack_latency: self.ack_latency.read(),
            answer_latency: self.answers.read(),
        }
    }
}

/// Every counter of the head-end.
#[derive(Debug)]
pub(crate) struct Counters {
    protocols: Vec<(&'static str, Arc<ProtocolCounters>)>,
    /// For a protocol that is not in the table, which only tests have.
    other: Arc<ProtocolCounters>,
    pub(crate) accept_errors: Counter,
    pub(crate) events_dropped: Counter,
    pub(crate) subscribers: Counter,
    pub(crate) subscriber_gaps: Counter,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            protocols: ALL.iter().map(|protocol| (protocol.name, Arc::default())).collect(),
            other: Arc::default(),
            accept_errors: Counter::default(),
            events_dropped: Counter::default(),
            subscribers: Counter::default(),
            subscriber_gaps: Counter::default(),
        }
    }

    /// The counters of the protocol of that name.
    pub(crate) fn protocol(&self, name: &str) -> Arc<ProtocolCounters> {
        Arc::clone(
            self.protocols.iter().find(|(known, _)| *known == name).map_or(&self.other, |(_, counters)| counters),
        )
    }

    /// What the counters say; what others know (devices, commands) stays empty.
    pub(crate) fn read(&self) -> Metrics {
        Metrics {
            protocols: self.protocols.iter().map(|(name, counters)| counters.read(name)).collect(),
            accept_errors: self.accept_errors.value(),
            events_dropped: self.events_dropped.value(),
            subscribers: self.subscribers.value(),
            subscriber_gaps: self.subscriber_gaps.value(),
            ..Metrics::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loggerhead_protocols::{FaultKind, Refusal};

    use super::{Counters, Timings};

    #[test]
    fn a_word_is_counted_under_itself() {
        let counters = Counters::new();
        counters.protocol("logger").refused(Refusal::WrongProof);
        counters.protocol("logger").fault(FaultKind::TooSlow);
        let metrics = counters.read();
        let logger = metrics.protocols.iter().find(|row| row.protocol == "logger").expect("in the table");
        assert!(logger.refusals.contains(&("wrong-proof", 1)), "{:?}", logger.refusals);
        assert!(logger.faults.contains(&("too-slow", 1)), "{:?}", logger.faults);
    }

    #[test]
    fn a_histogram_is_cumulative() {
        let timings = Timings::default();
        for us in [100, 250, 251, 9_000_000] {
            timings.record(Duration::from_micros(us));
        }
        let histogram = timings.read();
        assert_eq!(histogram.count, 4);
        assert_eq!(histogram.buckets.first(), Some(&(0.00025, 2)));
        assert_eq!(histogram.buckets.last().map(|&(_, count)| count), Some(3));
    }
}
