//! What goes to the writer, and what comes back.

use std::sync::Arc;

use loggerhead_model::{Cursor, Event, Receipt, Records, Ticket};

/// What became of records.
#[derive(Debug)]
pub enum Outcome {
    /// Committed and synced.
    Stored(Receipt),
    /// Not kept, and never will be.
    NotStored(Ticket),
}

/// Whom to tell. One for every connection.
pub trait Completion: Send + Sync {
    /// Takes the outcomes of one commit, in the order of submission. Called on the writer's thread: it must only hand
    /// them on.
    fn complete(&self, outcomes: &mut dyn Iterator<Item = Outcome>);
}

/// Where the outcome of a submission goes.
#[derive(Clone)]
pub struct Reply {
    /// The session's name for it.
    pub ticket: Ticket,
    /// Whom to tell. Submissions with the same `Arc` are told in one call.
    pub to: Arc<dyn Completion>,
}

/// What one commit added: for live subscribers.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its place in the log.
    pub cursor: Cursor,
    /// The packets, in order, with the readings that are new: resent ones are taken out, and so are packets without any
    /// new reading, frames and events.
    pub records: Arc<[Records]>,
    /// All events, those of packets first.
    pub events: Arc<[Event]>,
}
