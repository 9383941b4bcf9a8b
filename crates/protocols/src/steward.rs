//! What sessions without a peer have in common: what they must have stored, and what they found unreadable.

use std::collections::BTreeMap;
use std::time::Duration;

use loggerhead_model::{Event, EventKind, Receipt, Records, Severity, Ticket};

use crate::{Now, Output};

/// How long after a failure of the store something is offered to it again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Says what was left out at the start: so many of `what`. None when it was nothing.
pub(crate) fn unreadable(now: Now, count: u64, what: &str) -> Option<Output> {
    (count > 0).then(|| {
        Output::Event(Event {
            at: now.wall,
            severity: Severity::Error,
            kind: EventKind::System,
            device: None,
            peer: None,
            text: format!("{count} {what} cannot be read and are left out").into(),
        })
    })
}

/// Things on their way to the store, in their order; those that it did not take are offered again.
pub(crate) struct Retry<T> {
    underway: BTreeMap<Ticket, T>,
    waiting: Vec<T>,
    tickets: u64,
    again_at: Option<Duration>,
}

impl<T> Default for Retry<T> {
    fn default() -> Self {
        Self { underway: BTreeMap::new(), waiting: Vec::new(), tickets: 0, again_at: None }
    }
}

impl<T> Retry<T> {
    /// What a receipt says is stored.
    #[expect(clippy::needless_pass_by_value, reason = "a receipt is used up by what it allows")]
    pub(crate) fn stored(&mut self, receipt: Receipt) -> Option<T> {
        self.underway.remove(&receipt.ticket())
    }

    /// The store did not take it.
    pub(crate) fn not_stored(&mut self, now: Now, ticket: Ticket) {
        self.waiting.extend(self.underway.remove(&ticket));
        self.again_at = Some(now.elapsed + RETRY_AFTER);
    }

    /// Offers `new` to the store behind what it did not take, once that is due again.
    pub(crate) fn offer(
        &mut self,
        now: Now,
        new: impl IntoIterator<Item = T>,
        records: impl Fn(&T) -> Records,
    ) -> Vec<Output> {
        self.waiting.extend(new);
        if self.again_at.is_some_and(|at| now.elapsed < at) {
            return Vec::new();
        }
        self.again_at = None;
        let offered = std::mem::take(&mut self.waiting).into_iter().map(|one| {
            self.tickets += 1;
            let output = Output::Store(Ticket(self.tickets), records(&one));
            self.underway.insert(Ticket(self.tickets), one);
            output
        });
        offered.collect()
    }

    /// When something is to be offered again.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.again_at
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loggerhead_model::{DeviceId, Note, NoteChange, Records, Ticket, Timestamp};

    use super::{RETRY_AFTER, Retry};
    use crate::{Now, Output};

    fn at(elapsed: Duration) -> Now {
        Now { elapsed, wall: Timestamp::from_unix_ms(0) }
    }

    /// Offers them, and says what went to the store.
    fn offered(retry: &mut Retry<u8>, elapsed: Duration, new: &[u8]) -> Vec<(u64, u8)> {
        let records = |&one: &u8| Records {
            device: DeviceId::new("here").expect("an id"),
            received_at: Timestamp::from_unix_ms(0),
            report: None,
            frame: None,
            events: Vec::new(),
            notes: vec![Note { shelf: "test", key: vec![one].into(), change: NoteChange::Forget }],
        };
        let outputs = retry.offer(at(elapsed), new.iter().copied(), records);
        let shown = outputs.into_iter().map(|output| {
            let Output::Store(Ticket(ticket), records) = output else { panic!("{output:?}") };
            (ticket, records.notes[0].key[0])
        });
        shown.collect()
    }

    #[test]
    fn what_the_store_did_not_take_is_offered_again_in_its_order() {
        let mut retry = Retry::default();
        assert_eq!(offered(&mut retry, Duration::ZERO, &[7, 8]), [(1, 7), (2, 8)]);
        retry.not_stored(at(Duration::ZERO), Ticket(1));
        assert_eq!(offered(&mut retry, RETRY_AFTER / 2, &[9]), [], "the store still fails");
        assert_eq!(retry.due(), Some(RETRY_AFTER));
        assert_eq!(offered(&mut retry, RETRY_AFTER, &[]), [(3, 7), (4, 9)]);
        assert_eq!(retry.due(), None);
    }
}
