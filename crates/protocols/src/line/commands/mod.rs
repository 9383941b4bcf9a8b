//! The commands: each is one file and one line in `ALL`.

pub(super) mod check;
pub(super) mod confirm;
pub(super) mod hb;
pub(super) mod talk;

use super::message::Request;
use super::session::HeadEnd;
use crate::Now;

/// A command.
pub(super) struct Command {
    /// Its name; it is found in any case.
    pub(super) name: &'static str,
    /// Who may give it.
    pub(super) access: Access,
    /// Does it.
    pub(super) run: fn(&mut HeadEnd, Now, Request<'_>),
}

/// Who may give a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody.
    Anyone,
    /// Who has logged in.
    Users,
}

/// Every command.
pub(super) static ALL: [&Command; 4] = [&check::CHECK, &talk::CHAT, &confirm::CONFIRM, &hb::HB];

/// The command of that name.
pub(super) fn find(key: &str) -> Option<&'static Command> {
    ALL.into_iter().find(|command| command.name.eq_ignore_ascii_case(key))
}
