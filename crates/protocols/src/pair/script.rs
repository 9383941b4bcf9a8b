//! What a `Pair` is told to do, and what it reports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{
    CommandId, CommandState, Cursor, DeviceId, Direction, Event, Identity, Learnt, Order, Receipt, Ticket,
};

use crate::{Admission, CloseReason, Fault, Fit, Proof, Refusal, Verdict};

/// What the store does with the next records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Commits at once.
    Commit,
    /// Commits after a while.
    CommitAfter(Duration),
    /// Never keeps them.
    Fail,
    /// Neither, until `Pair::release`.
    Hold,
}

/// How bytes travel.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// Most bytes that arrive in one piece.
    pub piece_bytes_max: usize,
    /// The connection breaks after so many bytes from the device.
    pub cut_up_after: Option<usize>,
    /// The connection breaks after so many bytes from the head-end.
    pub cut_down_after: Option<usize>,
    /// This byte from the device, counted from 0 on each connection, is xored with this value.
    pub damage_up: Option<(usize, u8)>,
}

impl Default for Wire {
    fn default() -> Self {
        Self { piece_bytes_max: usize::MAX, cut_up_after: None, cut_down_after: None, damage_up: None }
    }
}

/// A device that the head-end knows.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Our name for it.
    pub device: DeviceId,
    /// What proves it.
    pub secret: Vec<u8>,
    /// Whether it may log in without its secret: knowing its cipher key, or its name where there is no proof, is enough.
    pub cipher_is_enough: bool,
    /// The protocol's own settings of it.
    pub settings: Arc<toml::Table>,
    /// What was learnt about it.
    pub learnt: Learnt,
}

impl Enrolled {
    /// Whether `proof` is this device's. `remembered` is until when a login of it holds, if one does.
    pub(super) fn judge(&self, proof: &Proof, remembered: Option<Duration>) -> Verdict {
        let proven = match proof {
            Proof::Response { .. } | Proof::Mutual { .. } => proof.fit(&self.secret),
            Proof::Cipher | Proof::Name => self.cipher_is_enough.then_some(Fit::default()),
            Proof::Remembered => remembered.map(|_| Fit::default()),
            // Nobody signs in to a conversation in memory.
            Proof::SignedIn => None,
        };
        match proven {
            Some(fit) => Verdict::Accepted(Admission {
                device: self.device.clone(),
                settings: Arc::clone(&self.settings),
                learnt: self.learnt.clone(),
                fit,
            }),
            None => Verdict::Refused(Refusal::WrongProof),
        }
    }
}

/// One thing that could be seen from outside.
#[derive(Debug)]
pub enum Happening {
    /// The device opened a connection.
    Opened,
    /// Bytes were put on the wire in one write.
    Sent(Direction, Bytes),
    /// A peer proved who it is.
    Accepted(DeviceId),
    /// A peer was not let in.
    Refused(Identity, Refusal),
    /// The session asked to store under this ticket.
    Asked(Ticket),
    /// The store committed what stands at this place in `Pair::kept`.
    Committed(Ticket, usize),
    /// A file of these bytes is kept.
    FileKept(Bytes),
    /// The store gave up.
    Lost(Ticket),
    /// The session told operators.
    Event(Event),
    /// The session counted a fault and went on.
    Fault(Fault),
    /// The session gave up because of a fault.
    Broken(Fault),
    /// The session learnt something.
    Learnt(Learnt),
    /// The session expects to hear from its peer this often.
    ExpectWithin(Duration),
    /// The session gave a command for this device.
    Ordered(DeviceId, Order),
    /// The peer may be joined with who is at this address.
    Reached(SocketAddr),
    /// It is joined; these bytes, which it sent ahead, go on first.
    Joined(Bytes),
    /// A command moved on.
    Command(CommandId, CommandState),
    /// The device's side counts this as delivered.
    Delivered(Ticket),
    /// The head-end closed the connection.
    Closed(CloseReason),
    /// The device closed the connection.
    Left(CloseReason),
}

/// A happening with its place and time.
#[derive(Debug)]
pub struct Entry {
    /// On the pair's clock.
    pub at: Duration,
    /// Number of the connection, counted from 0; the newest for what the device's side says.
    pub connection: usize,
    /// What happened.
    pub what: Happening,
}

#[expect(clippy::disallowed_methods, reason = "the scripted store stands in for the writer and has kept the records")]
pub(super) fn issue(ticket: Ticket, number: u64) -> Receipt {
    Receipt::issue(ticket, Cursor::new(number))
}

/// A receipt for tests of what an acknowledgement costs.
#[cfg(test)]
pub(crate) fn receipt(ticket: u64) -> Receipt {
    issue(Ticket(ticket), 1)
}
