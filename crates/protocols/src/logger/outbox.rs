//! A device's packets: those that wait, those that were sent, and which acknowledgement belongs to which.

use std::collections::VecDeque;
use std::time::Duration;

use loggerhead_model::{Report, Ticket, Timestamp};

use super::dialect::DataAnswer;
use super::message::{Ack, DataHead, DataKind, Word};
use super::time::Zone;

/// A packet of readings.
#[derive(Debug)]
pub(super) struct Packet {
    /// The name under which it was offered.
    pub ticket: Ticket,
    /// Its readings.
    pub report: Report,
    /// The device's own number of it, counted from 1 over the device's life.
    pub number: u64,
    /// Its place in the backlog, counted from 1 over the device's life; 0 for what is sent as it is measured.
    pub place: u64,
    /// When its readings were measured.
    pub measured_at: Timestamp,
    /// When it was sent last.
    sent_at: Duration,
    /// Places of the backlog when it was sent last.
    places: u64,
}

impl Packet {
    /// What is sent beside its readings.
    pub(super) fn head(&self, kind: DataKind, places: u64) -> DataHead {
        let mut head = DataHead::new(kind, self.measured_at);
        // Twenty digits fit a word.
        head.sequence = Word::new(&self.number.to_string()).unwrap_or_default();
        if kind == DataKind::Continuous {
            head.total = Some(places);
            head.current = Some(self.place);
        }
        head
    }

    /// The sequence of its frame, which its acknowledgement gives back.
    pub(super) fn sequence(&self) -> [u8; 4] {
        let [first, second, third, fourth, ..] = self.number.to_le_bytes();
        [first, second, third, fourth]
    }
}

/// How acknowledgements tell which packet they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matching {
    /// By the frame's sequence.
    Sequence,
    /// By what stands in them, and the oldest packet where nothing does.
    Words(Zone),
}

/// The packets of one device.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Packet>,
    sent: VecDeque<Packet>,
    numbers: u64,
    places: u64,
}

impl Outbox {
    /// Takes readings that wait to be sent.
    pub(super) fn push(&mut self, ticket: Ticket, report: Report, kind: DataKind, now: Timestamp) {
        self.numbers += 1;
        let place = if kind == DataKind::Continuous {
            self.places += 1;
            self.places
        } else {
            0
        };
        let measured_at = report.readings().next().map_or(now, |reading| reading.measured_at);
        let (number, sent_at) = (self.numbers, Duration::ZERO);
        self.waiting.push_back(Packet { ticket, report, number, place, measured_at, sent_at, places: 0 });
    }

    /// Packets in it.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.sent.len()
    }

    /// How many places the backlog has so far.
    pub(super) fn places(&self) -> u64 {
        self.places
    }

    /// The next packet to send, if it may be: fewer than `window` are unacknowledged, and none of them would be taken for
    /// it.
    pub(super) fn next(&mut self, window: usize, matching: Matching) -> Option<Packet> {
        if self.sent.len() >= window {
            return None;
        }
        let next = self.waiting.front()?;
        let is_double = matching != Matching::Sequence
            && next.place == 0
            && self.sent.iter().any(|sent| sent.measured_at == next.measured_at);
        if is_double { None } else { self.waiting.pop_front() }
    }

    /// A packet was sent and waits for its acknowledgement.
    pub(super) fn sent(&mut self, mut packet: Packet, now: Duration) {
        packet.sent_at = now;
        packet.places = self.places;
        self.sent.push_back(packet);
    }

    /// The packet that this acknowledges.
    pub(super) fn acknowledged(&mut self, ack: &Ack, sequence: [u8; 4], matching: Matching) -> Option<Packet> {
        let place = match (matching, ack) {
            (Matching::Sequence, _) => self.sent.iter().position(|packet| packet.sequence() == sequence),
            (Matching::Words(_), Ack::Data { sequence, .. }) => {
                self.sent.iter().position(|packet| sequence.as_str().parse() == Ok(packet.number))
            }
            (Matching::Words(_), Ack::Continuous { number: Some(number) }) => {
                self.sent.iter().position(|packet| packet.place == *number)
            }
            (Matching::Words(zone), Ack::Energy { time, .. }) => {
                self.sent.iter().position(|packet| zone.write(packet.measured_at) == time.as_str().as_bytes())
            }
            (Matching::Words(_), Ack::Continuous { number: None }) => {
                self.sent.iter().position(|packet| packet.place > 0)
            }
            (Matching::Words(_), Ack::Report | Ack::RecordArrive) => (!self.sent.is_empty()).then_some(0),
        };
        self.sent.remove(place?)
    }

    /// The backlog up to the first packet that was sent as its last, which an acknowledgement at the end is for.
    pub(super) fn backlog_acknowledged(&mut self) -> Vec<Packet> {
        let last = self.sent.iter().find(|packet| packet.place > 0 && packet.place == packet.places);
        let Some(place) = last.map(|packet| packet.place) else { return Vec::new() };
        let (done, rest) = self.sent.drain(..).partition(|packet| (1..=place).contains(&packet.place));
        self.sent = rest;
        let done: VecDeque<Packet> = done;
        done.into()
    }

    /// Everything that was sent waits again, in its order, before what was not sent yet.
    pub(super) fn rewind(&mut self) {
        while let Some(packet) = self.sent.pop_back() {
            let place = self.waiting.iter().position(|waiting| waiting.number > packet.number);
            self.waiting.insert(place.unwrap_or(self.waiting.len()), packet);
        }
    }

    /// When the first packet was sent that is still unacknowledged.
    pub(super) fn oldest_sent(&self) -> Option<Duration> {
        self.sent.iter().map(|packet| packet.sent_at).min()
    }
}

/// Whether a packet that is answered like this is ever acknowledged.
pub(super) fn is_acknowledged(answer: DataAnswer) -> bool {
    answer != DataAnswer::Nothing
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loggerhead_model::{Origin, ReportBuilder, Ticket, Timestamp};

    use super::{Matching, Outbox};
    use crate::logger::message::{Ack, DataKind};
    use crate::logger::time::Zone;

    fn outbox(count: u64) -> Outbox {
        let mut outbox = Outbox::default();
        for number in 0..count {
            let report = ReportBuilder::new(Origin::Resumed, 0, 0).finish();
            let at = Timestamp::from_unix_ms(1_000 * i64::try_from(number).expect("small"));
            outbox.push(Ticket(number), report, DataKind::Continuous, at);
        }
        outbox
    }

    #[test]
    fn a_window_bounds_what_is_unacknowledged_and_nothing_is_lost_over_a_reconnect() {
        let mut outbox = outbox(5);
        let words = Matching::Words(Zone::default());
        while let Some(packet) = outbox.next(3, words) {
            outbox.sent(packet, Duration::from_secs(1));
        }
        let second = outbox.acknowledged(&Ack::Continuous { number: Some(2) }, [0; 4], words).expect("it was sent");
        assert_eq!(second.ticket, Ticket(1));
        assert!(outbox.acknowledged(&Ack::Continuous { number: Some(2) }, [0; 4], words).is_none());
        assert_eq!(outbox.oldest_sent(), Some(Duration::from_secs(1)));
        outbox.rewind();
        let mut order = Vec::new();
        while let Some(packet) = outbox.next(9, words) {
            order.push(packet.ticket.0);
            outbox.sent(packet, Duration::ZERO);
        }
        assert_eq!(order, [0, 2, 3, 4]);
    }

    #[test]
    fn a_frame_sequence_names_its_packet() {
        let mut outbox = outbox(3);
        while let Some(packet) = outbox.next(9, Matching::Sequence) {
            outbox.sent(packet, Duration::ZERO);
        }
        let found = outbox.acknowledged(&Ack::Report, [3, 0, 0, 0], Matching::Sequence).expect("it was sent");
        assert_eq!(found.ticket, Ticket(2));
        assert!(outbox.acknowledged(&Ack::Report, [9, 0, 0, 0], Matching::Sequence).is_none());
    }
}
