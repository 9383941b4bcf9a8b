//! What operators ask of a device, one thing at a time, and which answer belongs to it.

use std::collections::VecDeque;
use std::time::Duration;

use loggerhead_model::{CommandId, Order};

/// Most orders that wait for one device.
pub(super) const ORDERS_MAX: usize = 16;

/// Which answer an order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// `period_ack`, or the standard answer.
    Period,
    /// `reply`.
    Reply,
    /// `archives_ack`.
    Archives,
    /// `control_ack`.
    Control,
    /// The standard answer.
    SetKey,
}

impl Waiting {
    fn of(order: &Order) -> Self {
        match order {
            Order::Period { .. } => Self::Period,
            Order::Query { .. } => Self::Reply,
            Order::Describe => Self::Archives,
            Order::Control { .. } => Self::Control,
            Order::SetKey { .. } => Self::SetKey,
        }
    }

    /// The order that a standard answer is about.
    pub(super) fn named(name: &str) -> Option<Self> {
        [("period", Self::Period), ("query", Self::Reply), ("archives", Self::Archives), ("control", Self::Control)]
            .into_iter()
            .chain([("setkey", Self::SetKey)])
            .find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map(|(_, waiting)| waiting)
    }
}

struct Active {
    id: Option<CommandId>,
    waiting: Waiting,
    expires: Duration,
}

/// The orders of one session. An order without a command is our own.
#[derive(Default)]
pub(super) struct Orders {
    queue: VecDeque<(Option<CommandId>, Order)>,
    active: Option<Active>,
}

impl Orders {
    /// Takes an order, unless too many wait.
    pub(super) fn push(&mut self, id: Option<CommandId>, order: Order) -> Result<(), String> {
        if self.queue.len() >= ORDERS_MAX {
            return Err(format!("{ORDERS_MAX} commands are waiting for the device already"));
        }
        self.queue.push_back((id, order));
        Ok(())
    }

    /// When something has to be done next, given the earliest moment at which an order may be sent.
    pub(super) fn wake_at(&self, sendable_at: Duration) -> Option<Duration> {
        match &self.active {
            Some(active) => Some(active.expires),
            None => (!self.queue.is_empty()).then_some(sendable_at),
        }
    }

    /// The next order to send, if the device is not busy with one. It is answered or it expires.
    pub(super) fn start(&mut self, expires: Duration) -> Option<(Option<CommandId>, Order)> {
        if self.active.is_some() {
            return None;
        }
        let (id, order) = self.queue.pop_front()?;
        self.active = Some(Active { id, waiting: Waiting::of(&order), expires });
        Some((id, order))
    }

    /// The command whose time is over, if it is one; an order of our own ends without a word.
    pub(super) fn expired(&mut self, now: Duration) -> Option<CommandId> {
        self.active.take_if(|active| active.expires <= now).and_then(|active| active.id)
    }

    /// The command that this answers, if one waits for it; an order of our own ends without a word.
    pub(super) fn answered(&mut self, waiting: Waiting) -> Option<CommandId> {
        self.active.take_if(|active| active.waiting == waiting).and_then(|active| active.id)
    }

    /// Waits no longer for an answer.
    pub(super) fn drop_active(&mut self) {
        self.active = None;
    }

    /// Every command that is not answered, at the end of the session.
    pub(super) fn abandon(self) -> impl Iterator<Item = CommandId> {
        let active = self.active.and_then(|active| active.id);
        active.into_iter().chain(self.queue.into_iter().filter_map(|(id, _)| id))
    }

    /// Whether nothing waits, in either direction.
    pub(super) fn is_empty(&self) -> bool {
        self.active.is_none() && self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loggerhead_model::{CommandId, Order};

    use super::{ORDERS_MAX, Orders, Waiting};

    const SOON: Duration = Duration::from_secs(1);
    const LATE: Duration = Duration::from_secs(30);

    #[test]
    fn one_order_at_a_time_is_with_the_device() {
        let mut orders = Orders::default();
        orders.push(Some(CommandId(1)), Order::Describe).expect("room");
        orders.push(Some(CommandId(2)), Order::Period { minutes: 5 }).expect("room");
        assert_eq!(orders.wake_at(SOON), Some(SOON));
        assert_eq!(orders.start(LATE).and_then(|(id, _)| id), Some(CommandId(1)));
        assert!(orders.start(LATE).is_none());
        assert_eq!(orders.wake_at(SOON), Some(LATE));
        assert_eq!(orders.answered(Waiting::Period), None);
        assert_eq!(orders.answered(Waiting::Archives), Some(CommandId(1)));
        assert_eq!(orders.start(LATE).and_then(|(id, _)| id), Some(CommandId(2)));
        assert_eq!(orders.expired(SOON), None);
        assert_eq!(orders.expired(LATE), Some(CommandId(2)));
        assert!(orders.is_empty());
    }

    #[test]
    fn waiting_orders_are_bounded_and_none_is_forgotten() {
        let mut orders = Orders::default();
        for number in 0..=ORDERS_MAX as u64 {
            let pushed = orders.push(Some(CommandId(number)), Order::Describe);
            assert_eq!(pushed.is_ok(), number < ORDERS_MAX as u64);
        }
        assert!(orders.start(LATE).is_some());
        assert_eq!(orders.abandon().count(), ORDERS_MAX);
    }
}
