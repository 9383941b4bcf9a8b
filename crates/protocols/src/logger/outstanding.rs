//! What was handed to the store and not answered yet, so that acknowledgements leave in the order of the packets.

use std::collections::VecDeque;

use loggerhead_model::{CommandId, Receipt, Ticket};

use super::message::Ack;

/// Most packets of one session in the store's hands; beyond it nothing more is read from the device. A device that
/// does not wait for acknowledgements floods with its whole backlog of a thousand packets and more.
pub(super) const TICKETS_MAX: usize = 1024;

/// What follows when a packet was stored.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing.
    Nothing,
    /// An acknowledgement.
    Ack(Answer),
    /// A command is answered with these words.
    Tell(CommandId, String),
}

/// An acknowledgement with what it gives back of the packet's frame.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// What is said.
    pub ack: Ack,
    /// The frame's sequence.
    pub sequence: [u8; 4],
}

enum State {
    Waiting,
    Stored(Receipt),
    Lost,
}

struct Entry {
    state: State,
    then: Then,
}

/// The packets in the store's hands, in the order in which they came.
#[derive(Default)]
pub(super) struct Outstanding {
    entries: VecDeque<Entry>,
    /// Ticket of the first entry.
    first: u64,
}

impl Outstanding {
    /// The ticket for one more packet.
    pub(super) fn push(&mut self, then: Then) -> Ticket {
        let ticket = self.first + self.entries.len() as u64;
        self.entries.push_back(Entry { state: State::Waiting, then });
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

    /// A packet is not on disk and never will be. Nothing that came together with it is acknowledged either: many devices
    /// take any acknowledgement for that of their oldest packet, and would drop the one that was lost.
    pub(super) fn lost(&mut self, ticket: Ticket) -> Option<CommandId> {
        let entry = self.entry(ticket)?;
        entry.state = State::Lost;
        let told = match std::mem::replace(&mut entry.then, Then::Nothing) {
            Then::Tell(id, _) => Some(id),
            Then::Nothing | Then::Ack(_) => None,
        };
        self.silence();
        told
    }

    /// Acknowledges nothing of what came so far.
    pub(super) fn silence(&mut self) {
        for entry in self.entries.iter_mut().filter(|entry| matches!(entry.then, Then::Ack(_))) {
            entry.then = Then::Nothing;
        }
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
            State::Stored(receipt) => Some((Some(receipt), entry.then)),
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

    use super::{Answer, Outstanding, Then};
    use crate::logger::message::Ack;
    use crate::pair::receipt;

    fn pushed(count: u64) -> Outstanding {
        let mut outstanding = Outstanding::default();
        for number in 0..count {
            let answer = Answer { ack: Ack::Report, sequence: [0; 4] };
            assert_eq!(outstanding.push(Then::Ack(answer)), Ticket(number));
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
        let answer = Answer { ack: Ack::Report, sequence: [0; 4] };
        assert_eq!(outstanding.push(Then::Ack(answer)), Ticket(2));
        outstanding.stored(receipt(2));
        assert!(matches!(outstanding.next(), Some((Some(_), Then::Ack(_)))));
    }

    #[test]
    fn an_answer_for_an_unknown_ticket_is_nothing() {
        let mut outstanding = pushed(1);
        outstanding.stored(receipt(9));
        assert_eq!(outstanding.lost(Ticket(9)), None);
        assert!(outstanding.next().is_none());
    }
}
