//! How much waits in the whole broker, for all of its sessions.
//!
//! Each session has limits of its own, and many that stay within theirs can still be more than the machine has. Messages of
//! QoS 1 and 2 were acknowledged and wait; those of QoS 0 were promised to nobody, so they go first.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::client::Copied;
use super::message::Message;

/// What waits in a broker. Only who holds the broker's lock changes it, so nothing is lost between reading and writing.
#[derive(Debug, Default)]
pub(in crate::mqtt) struct Load {
    bytes: AtomicUsize,
}

impl Load {
    /// Bytes of memory that what waits takes: each message once, however many wait for it, and each of its copies.
    pub(in crate::mqtt) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A copy waits from now on.
    pub(super) fn add(&self, copy: &Copied) {
        let is_first = copy.message.waits_once_more();
        self.bytes.store(self.bytes() + taken(&copy.message, is_first), Ordering::Relaxed);
    }

    /// A copy waits no longer.
    pub(super) fn remove(&self, copy: &Copied) {
        let was_last = copy.message.waits_once_less();
        self.bytes.store(self.bytes().saturating_sub(taken(&copy.message, was_last)), Ordering::Relaxed);
    }
}

/// Bytes of a copy, and of its message where that counts.
fn taken(message: &Message, with_message: bool) -> usize {
    size_of::<Copied>() + if with_message { size_of::<Message>() + message.bytes() } else { 0 }
}
