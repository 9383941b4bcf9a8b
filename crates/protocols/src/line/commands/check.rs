//! `Check ID PASSWORD`: the login.

use loggerhead_model::Identity;

use super::{Access, Command};
use crate::line::message::{Reply, Request};
use crate::line::session::HeadEnd;
use crate::{Claim, Company, Now, Proof};

/// Logs in, also again and under another name.
pub(in crate::line) const CHECK: Command = Command { name: "Check", access: Access::Anyone, run };

fn run(session: &mut HeadEnd, _now: Now, request: Request<'_>) {
    let Some([name, password]) = request.exactly() else { return session.say(Reply::Wrong) };
    // A name that cannot be one is refused like one that nobody has.
    let Ok(identity) = Identity::new(name) else { return session.refused() };
    let proof = Proof::secret(password.as_bytes());
    session.claim(Claim { identity, proof, remember: None, company: Company::Alone });
}
