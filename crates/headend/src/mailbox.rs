//! What other tasks and the store's writer leave for one connection, which wakes once for all of it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use loggerhead_model::Command;
use loggerhead_protocols::CloseReason;
use loggerhead_store::{Completion, Outcome};

/// The letters for one connection. Holds no memory while it is empty.
#[derive(Default)]
pub(crate) struct Mailbox {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    letters: Letters,
    waker: Option<Waker>,
}

/// What was left since the last look. Its length is bounded by what the connection has in the store's queue, and by
/// `COMMANDS_WAITING_MAX` of the commands.
#[derive(Default)]
pub(crate) struct Letters {
    /// What became of records, in the order of their commit.
    pub(crate) outcomes: Vec<Outcome>,
    /// What operators ask.
    pub(crate) commands: Vec<Command>,
    /// The conversation has to end.
    pub(crate) shutdown: Option<CloseReason>,
    /// Another session of the protocol woke this one.
    pub(crate) woken: bool,
}

impl Letters {
    fn is_empty(&self) -> bool {
        self.outcomes.is_empty() && self.commands.is_empty() && self.shutdown.is_none() && !self.woken
    }
}

impl Mailbox {
    /// Everything that was left, or wakes the task when something is.
    pub(crate) fn poll_take(&self, context: &Context<'_>) -> Poll<Letters> {
        let mut inside = self.lock();
        if !inside.letters.is_empty() {
            return Poll::Ready(std::mem::take(&mut inside.letters));
        }
        match &mut inside.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Leaves a command.
    pub(crate) fn command(&self, command: Command) {
        self.leave(|letters| letters.commands.push(command));
    }

    /// Ends the conversation; the first reason stands.
    pub(crate) fn shutdown(&self, reason: CloseReason) {
        self.leave(|letters| {
            letters.shutdown.get_or_insert(reason);
        });
    }

    fn leave(&self, put: impl FnOnce(&mut Letters)) {
        let mut inside = self.lock();
        put(&mut inside.letters);
        let waker = inside.waker.take();
        drop(inside);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("nothing panics while it holds a mailbox")
    }
}

impl Wake for Mailbox {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.leave(|letters| letters.woken = true);
    }
}

impl Completion for Mailbox {
    fn complete(&self, outcomes: &mut dyn Iterator<Item = Outcome>) {
        self.leave(|letters| letters.outcomes.extend(outcomes));
    }
}
