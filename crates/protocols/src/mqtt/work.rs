//! What a connection has begun and not ended: packets to be sent, messages to be passed on, requests to the store.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use loggerhead_model::{Note, Ticket};

use super::broker::fleeting::Rest;
use super::broker::message::{Message, Pending};
use super::encode::Acknowledged;
use crate::Output;

/// One acknowledgement that waits for its commit, with the message that is passed on then.
pub(super) struct Due {
    pub(super) acknowledged: Acknowledged,
    pub(super) pending: Option<Pending>,
}

/// What waits for the store.
pub(super) enum Waiting {
    /// Messages and releases, to be acknowledged.
    Messages(Vec<Due>),
    /// The client's entry, to be answered with these bytes.
    Entry(Vec<u8>),
    /// An answer that is ready.
    Answer(Vec<u8>),
    /// A message of QoS 2 that goes out under this identifier.
    Start(u16),
    /// One that the client has received.
    Release(u16),
}

/// The work of one connection. It is there while there is any: most connections are idle, and hold no memory for it.
#[derive(Default)]
pub(super) struct Work {
    pub(super) outputs: VecDeque<Output>,
    /// Bytes for the client, not given out yet.
    pub(super) out: Vec<u8>,
    /// At most `WAITING_MAX` before no more is read.
    pub(super) waiting: BTreeMap<Ticket, Waiting>,
    /// Acknowledgements of this round, and what has to be stored for them.
    pub(super) due: Vec<Due>,
    pub(super) due_notes: Vec<Note>,
    /// Messages of QoS 0 that came one after the other and are passed on together.
    pub(super) round: Vec<Arc<Message>>,
    /// The connection reads no further, while others are behind with what it published.
    pub(super) rest: Option<Rest>,
}

impl Work {
    /// Whether nothing of it is left.
    pub(super) fn is_done(&self) -> bool {
        let Self { outputs, out, waiting, due, due_notes, round, rest } = self;
        let is_said = outputs.is_empty() && out.is_empty();
        let is_stored = waiting.is_empty() && due.is_empty() && due_notes.is_empty();
        is_said && is_stored && round.is_empty() && rest.is_none()
    }
}
