//! What a steward has to have stored, whatever becomes of the first tries.

use std::collections::BTreeMap;
use std::time::Duration;

use loggerhead_model::{Receipt, Records, Ticket};

use crate::{Now, Output};

/// How long after a failure of the store something is offered to it again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Things on their way to the store; those that it did not take are offered again.
pub(crate) struct Retry<T> {
    underway: BTreeMap<Ticket, T>,
    refused: Vec<T>,
    tickets: u64,
    again_at: Option<Duration>,
}

impl<T> Default for Retry<T> {
    fn default() -> Self {
        Self { underway: BTreeMap::new(), refused: Vec::new(), tickets: 0, again_at: None }
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
        self.refused.extend(self.underway.remove(&ticket));
        self.again_at = Some(now.elapsed + RETRY_AFTER);
    }

    /// Offers `new` to the store, and what was refused a while ago.
    pub(crate) fn offer(&mut self, now: Now, mut new: Vec<T>, records: impl Fn(&T) -> Records) -> Vec<Output> {
        if self.again_at.is_none_or(|at| at <= now.elapsed) {
            self.again_at = None;
            new.append(&mut self.refused);
        }
        let offered = new.into_iter().map(|one| {
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
