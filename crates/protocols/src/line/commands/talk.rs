//! `Chat TO TEXT`: a message to another user, or to oneself.

use super::{Access, Command};
use crate::Now;
use crate::line::message::{Reply, Request};
use crate::line::session::HeadEnd;
use crate::line::settings::ChatText;
use crate::office::ROOM_START;

/// Longest name of a user that a message is sent to.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// Stores a message and passes it on.
pub(super) const CHAT: Command = Command { name: "Chat", access: Access::Users, run };

fn run(session: &mut HeadEnd, now: Now, request: Request<'_>) {
    let parts = match session.settings.chat_text {
        ChatText::Word => request.exactly().map(|[to, text]| (to, text)),
        ChatText::Rest => request.first_and_rest(),
    };
    match parts
        .filter(|(to, _)| to.len() <= NAME_BYTES_MAX && !to.contains(char::is_control) && !to.starts_with(ROOM_START))
    {
        Some((to, text)) => session.send(now, to, text),
        None => session.say(Reply::Wrong),
    }
}
