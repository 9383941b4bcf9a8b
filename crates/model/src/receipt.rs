//! The proof that records are on disk, which an acknowledgement costs.

use crate::Cursor;

/// Names one request to store within one session; chosen by the session, never reused there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Records are committed and synced. The encoder of an acknowledgement takes this by value, so an acknowledgement
/// without a commit does not compile.
#[derive(Debug)]
#[must_use = "a receipt that is dropped acknowledges nothing"]
pub struct Receipt {
    ticket: Ticket,
    cursor: Cursor,
}

impl Receipt {
    /// Says that what `ticket` asked to store is durable. Only the store's writer may call this, after its commit
    /// returned; `clippy.toml` bans it in every other crate.
    pub fn issue(ticket: Ticket, cursor: Cursor) -> Self {
        Self { ticket, cursor }
    }

    /// The request that this answers.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// The batch in which the records were committed.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }
}
