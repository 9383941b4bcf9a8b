//! `Confirm MSGID`: the receiver has a message.

use super::{Access, Command};
use crate::Now;
use crate::line::message::{MessageId, Reply, Request};
use crate::line::session::HeadEnd;

/// Takes a message out of one's own queue. What is not there is passed over in silence, as the original does.
pub(super) const CONFIRM: Command = Command { name: "Confirm", access: Access::Users, run };

fn run(session: &mut HeadEnd, now: Now, request: Request<'_>) {
    let Some([id]) = request.exactly() else { return session.say(Reply::Wrong) };
    if let Some(id) = MessageId::parse(id) {
        session.confirm(now, id);
    }
}
