//! What comes before every command that exists: is it allowed, and is it time?

use std::time::Duration;

use super::commands::{Access, Command};
use super::message::Reply;
use super::session::HeadEnd;
use crate::Now;

/// What is to be done with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// It is run.
    Run,
    /// It is not run; the peer is told this.
    Skip(Reply<'static>),
    /// It waits until then; so does everything behind it.
    Wait(Duration),
}

/// Says what is to be done with a command of this session.
pub(super) fn pass(session: &mut HeadEnd, now: Now, command: &Command) -> Pass {
    if let Err(at) = session.rate.take(now.elapsed, session.settings.rate) {
        return Pass::Wait(at);
    }
    if command.access == Access::Users && session.place.is_none() {
        return Pass::Skip(Reply::LogInFirst);
    }
    Pass::Run
}
