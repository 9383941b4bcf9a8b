//! One connection between a `Pair`'s two sides.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::Duration;

use bytes::BytesMut;
use loggerhead_model::DeviceId;

use super::Pair;
use super::files::Arriving;
use crate::{Question, Session};

/// Whether a session was woken by another one.
#[derive(Default)]
pub(super) struct Bell(AtomicBool);

impl Bell {
    /// Whether it rang since the last look.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One connection, with what is on its way in both directions.
#[expect(clippy::struct_excessive_bools, reason = "the two ends of a connection close on their own, in any order")]
pub(super) struct Connection {
    pub(super) session: Box<dyn Session>,
    pub(super) bell: Arc<Bell>,
    pub(super) wake_at: Option<Duration>,
    pub(super) up: BytesMut,
    pub(super) down: BytesMut,
    pub(super) up_bytes: usize,
    pub(super) down_bytes: usize,
    /// The head-end's end is open.
    pub(super) open: bool,
    /// The device's end is open.
    pub(super) joined: bool,
    /// The head-end was told that nothing more will come.
    pub(super) ended: bool,
    pub(super) device: Option<DeviceId>,
    pub(super) fleeting: bool,
    /// The peer reads nothing, and its session is asked for nothing.
    pub(super) stalled: bool,
    /// What the device's end received, where no device session reads it.
    pub(super) received: BytesMut,
    /// What the session asked and nobody answered yet.
    pub(super) questions: VecDeque<Question>,
    /// The peer is joined with somebody else, who got this.
    pub(super) relayed: Option<BytesMut>,
    /// The file that it brings.
    pub(super) file: Option<Arriving>,
}

impl Connection {
    /// One that has just been opened.
    pub(super) fn new(session: Box<dyn Session>, bell: Arc<Bell>) -> Self {
        Self {
            session,
            bell,
            wake_at: None,
            up: BytesMut::new(),
            down: BytesMut::new(),
            up_bytes: 0,
            down_bytes: 0,
            open: true,
            joined: true,
            ended: false,
            device: None,
            fleeting: false,
            stalled: false,
            received: BytesMut::new(),
            questions: VecDeque::new(),
            relayed: None,
            file: None,
        }
    }
}

impl Pair {
    /// Says whether the peer of `connection` takes nothing from now on, as when its line is full, or goes on.
    pub fn stall(&mut self, connection: usize, stalled: bool) {
        if let Some(peer) = self.connections.get_mut(connection) {
            peer.stalled = stalled;
        }
        self.drain(connection);
        self.settle();
    }
}
