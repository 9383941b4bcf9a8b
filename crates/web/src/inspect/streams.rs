//! Puts TCP conversations together again: both directions, whatever order their segments came in.

use std::collections::HashMap;
use std::net::SocketAddr;

use loggerhead_model::Timestamp;

use super::InspectError;

/// Bytes of all conversations together.
const BYTES_MAX: usize = 512 * 1024 * 1024;
/// Conversations of one capture.
const CONVERSATIONS_MAX: usize = 100_000;
/// Bytes of one direction that wait for a segment before them. What is missing for longer was not captured: no window
/// of a device is larger.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) sequence: u32,
    /// It has SYN set.
    pub(super) opens: bool,
    /// It has ACK set.
    pub(super) answers: bool,
    pub(super) bytes: &'a [u8],
    /// The number of its packet in the capture, counted from 1.
    pub(super) packet: u64,
    pub(super) at: Timestamp,
}

/// When a piece of a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where the piece ends: bytes from the start of the run.
    pub end: usize,
    /// The packet that completed it.
    pub packet: u64,
    /// When it was captured.
    pub at: Timestamp,
}

/// Bytes of one direction without a gap.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) from: SocketAddr,
    pub(super) bytes: Vec<u8>,
    pub(super) arrivals: Vec<Arrival>,
    /// Bytes that are missing before it.
    pub(super) missing_before: u64,
}

/// One conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    /// Who opened it, or spoke first in the capture.
    pub(super) opener: SocketAddr,
    pub(super) other: SocketAddr,
    /// What was said, in the order in which it began.
    pub(super) runs: Vec<Run>,
}

/// All conversations of a capture.
pub(super) struct Conversations {
    port: Option<u16>,
    open: HashMap<(SocketAddr, SocketAddr), usize>,
    all: Vec<(Half, Half)>,
    bytes: usize,
}

/// One direction.
struct Half {
    from: SocketAddr,
    /// The sequence number that comes next.
    next: Option<u32>,
    runs: Vec<Run>,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
}

struct Waiting {
    sequence: u32,
    bytes: Vec<u8>,
    packet: u64,
    at: Timestamp,
}

impl Conversations {
    /// Of all ports, or of those with `port` at either end.
    pub(super) fn new(port: Option<u16>) -> Self {
        Self { port, open: HashMap::new(), all: Vec::new(), bytes: 0 }
    }

    /// Takes the next segment of the capture.
    ///
    /// # Errors
    /// When a limit is reached.
    pub(super) fn take(&mut self, segment: &Segment<'_>) -> Result<(), InspectError> {
        if self.port.is_some_and(|port| port != segment.from.port() && port != segment.to.port()) {
            return Ok(());
        }
        self.bytes += segment.bytes.len();
        if self.bytes > BYTES_MAX || self.all.len() >= CONVERSATIONS_MAX {
            return Err(InspectError::TooLarge { bytes: BYTES_MAX, conversations: CONVERSATIONS_MAX });
        }
        let key = (segment.from.min(segment.to), segment.from.max(segment.to));
        let index = match self.open.get(&key) {
            Some(&index) if !self.is_reopened(index, segment) => index,
            Some(_) | None => {
                let (opener, other) = if segment.opens && segment.answers {
                    (segment.to, segment.from)
                } else {
                    (segment.from, segment.to)
                };
                self.all.push((Half::new(opener), Half::new(other)));
                self.open.insert(key, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        if let Some((opener, other)) = self.all.get_mut(index) {
            let half = if opener.from == segment.from { opener } else { other };
            half.take(segment);
        }
        Ok(())
    }

    /// Whether a segment opens a new conversation between the same ports.
    fn is_reopened(&self, index: usize, segment: &Segment<'_>) -> bool {
        let Some((opener, other)) = self.all.get(index) else { return true };
        let half = if opener.from == segment.from { opener } else { other };
        let first = segment.sequence.wrapping_add(1);
        let is_new = half.next.is_some_and(|next| next != first) && !half.runs.is_empty();
        segment.opens && !segment.answers && is_new
    }

    /// What was said in every conversation in which something was said.
    pub(super) fn finish(self) -> Vec<Conversation> {
        let whole = |(mut opener, mut other): (Half, Half)| {
            opener.flush();
            other.flush();
            let (opener_from, other_from) = (opener.from, other.from);
            let mut runs = opener.runs;
            runs.append(&mut other.runs);
            runs.sort_by_key(|run| run.arrivals.first().map_or(u64::MAX, |arrival| arrival.packet));
            Conversation { opener: opener_from, other: other_from, runs }
        };
        self.all.into_iter().map(whole).filter(|conversation| !conversation.runs.is_empty()).collect()
    }
}

impl Half {
    fn new(from: SocketAddr) -> Self {
        Self { from, next: None, runs: Vec::new(), waiting: Vec::new(), waiting_bytes: 0 }
    }

    fn take(&mut self, segment: &Segment<'_>) {
        let first = if segment.opens { segment.sequence.wrapping_add(1) } else { segment.sequence };
        self.next.get_or_insert(first);
        if segment.bytes.is_empty() {
            return;
        }
        let waiting =
            Waiting { sequence: first, bytes: segment.bytes.to_vec(), packet: segment.packet, at: segment.at };
        if self.ahead(first) > 0 {
            self.waiting_bytes += waiting.bytes.len();
            self.waiting.push(waiting);
            while self.waiting_bytes > WAITING_BYTES_MAX {
                self.skip_gap();
            }
        } else {
            self.append(&waiting);
            self.follow();
        }
    }

    /// How far a sequence number is ahead of the next one; below 0 for what was said before.
    fn ahead(&self, sequence: u32) -> i64 {
        let distance = sequence.wrapping_sub(self.next.unwrap_or(sequence));
        i64::from(i32::from_ne_bytes(distance.to_ne_bytes()))
    }

    /// Appends what is new in a segment that is not ahead.
    fn append(&mut self, segment: &Waiting) {
        let known = usize::try_from(-self.ahead(segment.sequence)).unwrap_or(0);
        let Some(new) = segment.bytes.get(known..).filter(|new| !new.is_empty()) else { return };
        if self.runs.is_empty() {
            self.begin(0);
        }
        let Some(run) = self.runs.last_mut() else { return };
        run.bytes.extend_from_slice(new);
        // A packet that waited is complete only with the one that it waited for.
        let packet = run.arrivals.last().map_or(segment.packet, |before| before.packet.max(segment.packet));
        run.arrivals.push(Arrival { end: run.bytes.len(), packet, at: segment.at });
        let length = u32::try_from(new.len()).unwrap_or(u32::MAX);
        self.next = self.next.map(|next| next.wrapping_add(length));
    }

    /// Appends what waited and is not ahead any more.
    fn follow(&mut self) {
        while let Some(index) = self.waiting.iter().position(|waiting| self.ahead(waiting.sequence) <= 0) {
            let waiting = self.waiting.swap_remove(index);
            self.waiting_bytes -= waiting.bytes.len();
            self.append(&waiting);
        }
    }

    /// Gives up what is missing before the nearest segment that waits.
    fn skip_gap(&mut self) {
        let nearest = self.waiting.iter().map(|waiting| waiting.sequence).min_by_key(|&sequence| self.ahead(sequence));
        let Some(sequence) = nearest else { return };
        let missing = u64::try_from(self.ahead(sequence)).unwrap_or(0);
        self.next = Some(sequence);
        self.begin(missing);
        self.follow();
    }

    fn begin(&mut self, missing_before: u64) {
        self.runs.push(Run { from: self.from, bytes: Vec::new(), arrivals: Vec::new(), missing_before });
    }

    fn flush(&mut self) {
        while !self.waiting.is_empty() {
            self.skip_gap();
        }
    }
}
