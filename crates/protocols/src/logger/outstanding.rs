//! What was handed to the store and not answered yet, so that acknowledgements leave in the order of the packets.

use std::collections::{BTreeSet, VecDeque};

use loggerhead_model::{CommandId, Receipt, Ticket};

use super::message::Ack;

/// Most packets of one session in the store's hands; beyond it nothing more is read from the device. A device that
/// does not wait for acknowledgements floods with its whole backlog of a thousand packets and more.
pub(super) const TICKETS_MAX: usize = 1024;
/// Stands among the missing for a packet without a number, and for more than `TICKETS_MAX`: only a new login makes up for it.
const NUMBERLESS: u64 = u64::MAX;

/// What follows when a packet was stored.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing.
    Nothing,
    /// An acknowledgement of this packet.
    Ack(Answer),
    /// An acknowledgement of the whole backlog that ends with this packet.
    AckAll(Answer),
    /// A command is answered with these words.
    Tell(CommandId, String),
}

impl Then {
    /// Acknowledges nothing.
    fn silence(&mut self) {
        if matches!(self, Self::Ack(_) | Self::AckAll(_)) {
            *self = Self::Nothing;
        }
    }
}

/// An acknowledgement with what it gives back of the packet's frame.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// What is said.
    pub ack: Ack,
    /// The frame's sequence.
    pub sequence: [u8; 4],
}

/// By what a packet is known when it comes again: a number made of what its device does not change then.
pub(super) type Mark = u64;

/// Where a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Nowhere; it stands for itself.
    Alone,
    /// To a backlog that is acknowledged as a whole, with its number in it.
    Backlog(Option<u64>),
}

enum State {
    Waiting,
    Stored(Receipt),
    Lost,
}

struct Entry {
    state: State,
    then: Then,
    part: Part,
    mark: Mark,
}

/// The packets in the store's hands, in the order in which they came.
#[derive(Default)]
pub(super) struct Outstanding {
    entries: VecDeque<Entry>,
    /// Ticket of the first entry.
    first: u64,
    /// Numbers in the backlog that the store lost and that did not come again. While there are some, the backlog as a whole
    /// is not acknowledged: its device would delete them.
    missing: BTreeSet<u64>,
    /// What came since the store lost a packet, and that packet. While it is not empty nothing is acknowledged: many devices
    /// take any acknowledgement for that of their oldest packet, and would delete the one that was lost. It ends when one of
    /// these comes again: a device sends again from the oldest on.
    hushed: BTreeSet<Mark>,
}

impl Outstanding {
    /// The ticket for one more packet.
    pub(super) fn push(&mut self, mut then: Then, part: Part, mark: Mark) -> Ticket {
        let ticket = self.first + self.entries.len() as u64;
        if self.hushed.contains(&mark) {
            self.hushed.clear();
        } else if !self.hushed.is_empty() {
            then.silence();
            self.hush(mark);
        }
        self.entries.push_back(Entry { state: State::Waiting, then, part, mark });
        Ticket(ticket)
    }

    /// Whether there is room for another packet.
    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < TICKETS_MAX
    }

    /// Whether the store has answered everything.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A packet is on disk.
    pub(super) fn stored(&mut self, receipt: Receipt) {
        if let Some(entry) = self.entry(receipt.ticket()) {
            entry.state = State::Stored(receipt);
        }
    }

    /// A packet is not on disk and never will be. Nothing that came together with it is acknowledged either, nor what comes
    /// until the device sends again.
    pub(super) fn lost(&mut self, ticket: Ticket) -> Option<CommandId> {
        let entry = self.entry(ticket)?;
        entry.state = State::Lost;
        let (told, part) = (std::mem::replace(&mut entry.then, Then::Nothing), entry.part);
        if let Part::Backlog(number) = part {
            let room = self.missing.len() < TICKETS_MAX;
            self.missing.insert(number.filter(|_| room).unwrap_or(NUMBERLESS));
        }
        for place in 0..self.entries.len() {
            if let Some(mark) = self.entries.get(place).map(|entry| entry.mark) {
                self.hush(mark);
            }
        }
        self.silence();
        if let Then::Tell(id, _) = told { Some(id) } else { None }
    }

    /// Acknowledges nothing of what came so far.
    fn silence(&mut self) {
        for entry in &mut self.entries {
            entry.then.silence();
        }
    }

    fn hush(&mut self, mark: Mark) {
        if self.hushed.len() < TICKETS_MAX {
            self.hushed.insert(mark);
        }
    }

    /// The device begins anew, and sends again what was not acknowledged.
    pub(super) fn begin_anew(&mut self) {
        self.silence();
        self.missing.clear();
        self.hushed.clear();
    }

    /// What follows for the oldest packet, if the store has answered for it.
    pub(super) fn next(&mut self) -> Option<(Option<Receipt>, Then)> {
        if matches!(self.entries.front()?.state, State::Waiting) {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.first += 1;
        if self.entries.is_empty() {
            // An idle connection keeps no memory.
            self.entries = VecDeque::new();
        }
        match entry.state {
            State::Stored(receipt) => {
                if let Part::Backlog(Some(number)) = entry.part {
                    self.missing.remove(&number);
                }
                let is_early = matches!(entry.then, Then::AckAll(_)) && !self.missing.is_empty();
                Some((Some(receipt), if is_early { Then::Nothing } else { entry.then }))
            }
            State::Waiting | State::Lost => Some((None, entry.then)),
        }
    }

    fn entry(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        let place = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use loggerhead_model::Ticket;

    use super::{Answer, Outstanding, Part, Then};
    use crate::logger::message::Ack;
    use crate::pair::receipt;

    fn pushed(count: u64) -> Outstanding {
        let mut outstanding = Outstanding::default();
        for number in 0..count {
            let answer = Answer { ack: Ack::Report, sequence: [0; 4] };
            assert_eq!(outstanding.push(Then::Ack(answer), Part::Alone, number), Ticket(number));
        }
        outstanding
    }

    #[test]
    fn acknowledgements_leave_in_the_order_of_the_packets() {
        let mut outstanding = pushed(3);
        outstanding.stored(receipt(1));
        assert!(outstanding.next().is_none());
        outstanding.stored(receipt(0));
        for expected in 0..2 {
            let (found, then) = outstanding.next().expect("stored");
            assert_eq!(found.expect("a receipt").ticket(), Ticket(expected));
            assert!(matches!(then, Then::Ack(_)));
        }
        assert!(outstanding.next().is_none());
    }

    #[test]
    fn a_lost_packet_silences_those_that_came_with_it() {
        let mut outstanding = pushed(2);
        outstanding.stored(receipt(1));
        assert_eq!(outstanding.lost(Ticket(0)), None);
        assert!(matches!(outstanding.next(), Some((None, Then::Nothing))));
        assert!(matches!(outstanding.next(), Some((Some(_), Then::Nothing))));
        // Neither is what comes next, until the device sends again: 7 is new, 0 was lost.
        for (ticket, mark, is_acknowledged) in [(2, 7, false), (3, 0, true), (4, 1, true), (5, 8, true)] {
            let answer = Answer { ack: Ack::Report, sequence: [0; 4] };
            assert_eq!(outstanding.push(Then::Ack(answer), Part::Alone, mark), Ticket(ticket));
            outstanding.stored(receipt(ticket));
            let next = outstanding.next();
            assert_eq!(matches!(next, Some((Some(_), Then::Ack(_)))), is_acknowledged, "{mark}: {next:?}");
        }
    }

    #[test]
    fn a_backlog_with_a_hole_is_not_acknowledged_as_a_whole() {
        let mut outstanding = Outstanding::default();
        let mut ticket = 0;
        let mut run = |outstanding: &mut Outstanding, numbers: &[u64], lost: Option<u64>| {
            let mut acknowledged = false;
            for &number in numbers {
                let answer = Answer { ack: Ack::Continuous { number: None }, sequence: [0; 4] };
                let then = if number == 4 { Then::AckAll(answer) } else { Then::Nothing };
                let pushed = outstanding.push(then, Part::Backlog(Some(number)), number);
                if lost == Some(number) {
                    outstanding.lost(pushed);
                } else {
                    outstanding.stored(receipt(ticket));
                }
                ticket += 1;
                acknowledged = matches!(outstanding.next(), Some((Some(_), Then::AckAll(_))));
            }
            acknowledged
        };
        assert!(run(&mut outstanding, &[1, 2, 3, 4], None));
        assert!(!run(&mut outstanding, &[1, 2, 3, 4], Some(2)));
        assert!(!run(&mut outstanding, &[4], None), "2 is still missing");
        assert!(run(&mut outstanding, &[2, 4], None));
        assert!(!run(&mut outstanding, &[3, 4], Some(3)));
        outstanding.begin_anew();
        assert!(run(&mut outstanding, &[4], None));
    }

    #[test]
    fn an_answer_for_an_unknown_ticket_is_nothing() {
        let mut outstanding = pushed(1);
        outstanding.stored(receipt(9));
        assert_eq!(outstanding.lost(Ticket(9)), None);
        assert!(outstanding.next().is_none());
    }
}
