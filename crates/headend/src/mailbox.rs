//! What other tasks and the store's writer leave for one connection, which wakes once for all of it.

use std::collections::VecDeque;
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

/// What was left and not taken yet. Its length is bounded by what the connection has in the store's queue, and by
/// `WAITING_MAX` of the commands.
#[derive(Default)]
struct Inside {
    outcomes: VecDeque<Outcome>,
    /// On the heap, since most connections get none of it.
    seldom: Option<Box<Seldom>>,
    woken: bool,
    waker: Option<Waker>,
}

/// What is seldom left.
#[derive(Default)]
struct Seldom {
    commands: VecDeque<Command>,
    shutdown: Option<CloseReason>,
}

/// Something that was left.
#[derive(Debug)]
pub(crate) enum Letter {
    /// What became of records, in the order of their commit.
    Outcome(Outcome),
    /// Another session of the protocol woke this one.
    Woken,
    /// The conversation has to end.
    Shutdown(CloseReason),
    /// What an operator asks.
    Command(Command),
}

impl Mailbox {
    /// The letter that matters most, or wakes the task when there is one: acks wait for outcomes, and who has to end is
    /// asked for nothing more.
    pub(crate) fn poll_take(&self, context: &Context<'_>) -> Poll<Letter> {
        let mut inside = self.lock();
        if let Some(outcome) = take(&mut inside.outcomes) {
            return Poll::Ready(Letter::Outcome(outcome));
        }
        if std::mem::take(&mut inside.woken) {
            return Poll::Ready(Letter::Woken);
        }
        if let Some(seldom) = &mut inside.seldom {
            if let Some(reason) = seldom.shutdown.take() {
                inside.seldom = None;
                return Poll::Ready(Letter::Shutdown(reason));
            }
            if let Some(command) = take(&mut seldom.commands) {
                return Poll::Ready(Letter::Command(command));
            }
            inside.seldom = None;
        }
        match &mut inside.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Leaves a command.
    pub(crate) fn command(&self, command: Command) {
        self.leave(|inside| inside.seldom.get_or_insert_default().commands.push_back(command));
    }

    /// Ends the conversation; the first reason stands.
    pub(crate) fn shutdown(&self, reason: CloseReason) {
        self.leave(|inside| {
            inside.seldom.get_or_insert_default().shutdown.get_or_insert(reason);
        });
    }

    fn leave(&self, put: impl FnOnce(&mut Inside)) {
        let mut inside = self.lock();
        put(&mut inside);
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

/// The first of a queue, whose memory goes with the last.
fn take<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front()?;
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
    Some(first)
}

impl Wake for Mailbox {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.leave(|inside| inside.woken = true);
    }
}

impl Completion for Mailbox {
    fn complete(&self, outcomes: &mut dyn Iterator<Item = Outcome>) {
        self.leave(|inside| inside.outcomes.extend(outcomes));
    }
}
