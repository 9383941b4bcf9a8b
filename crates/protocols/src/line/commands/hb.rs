//! `HB R`: the heartbeat.

use super::{Access, Command};
use crate::Now;
use crate::line::message::{Reply, Request};
use crate::line::session::HeadEnd;

/// Answers at once. That the user is there follows from its bytes, whatever they say.
pub(super) const HB: Command = Command { name: "HB", access: Access::Users, run };

fn run(session: &mut HeadEnd, _now: Now, request: Request<'_>) {
    session.say(if request.exactly() == Some(["R"]) { Reply::Beat } else { Reply::Wrong });
}
