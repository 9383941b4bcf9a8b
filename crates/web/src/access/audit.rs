//! The audit log: who did what from where, and every sign-in. Never a secret.

use axum::http::{Method, StatusCode};
use axum::response::Response;
use loggerhead_store::{AccessChange, AuditEntry, Change};

use super::guard::Caller;
use crate::problem::Problem;
use crate::state::{Api, now};

/// What was done.
pub(super) const DONE: &str = "done";

/// What a handler says of what it did to what, instead of the path.
#[derive(Clone, Debug)]
pub(crate) struct Noted(pub(crate) String);

/// Adds what happened to an answer, for the audit log.
pub(crate) fn noted(target: impl Into<String>, mut response: Response) -> Response {
    response.extensions_mut().insert(Noted(target.into()));
    response
}

/// Writes a line. It is durable when this returns.
///
/// # Errors
/// `Store` when it cannot be kept.
pub(super) async fn write(
    api: &Api,
    who: &str,
    caller: Caller,
    action: &str,
    target: String,
    outcome: &str,
) -> Result<(), Problem> {
    let entry = AuditEntry {
        at: now(),
        who: who.to_owned(),
        peer: caller.to_string(),
        action: action.to_owned(),
        target,
        outcome: outcome.to_owned(),
    };
    tracing::info!(who = entry.who, peer = entry.peer, action, object = entry.target, outcome, "audit");
    api.headend().store().write(Change::Access(AccessChange::Audit(entry))).await?;
    Ok(())
}

/// What became of a request.
pub(super) fn outcome(status: StatusCode) -> String {
    if status.is_success() { DONE.to_owned() } else { format!("refused: {}", status.as_u16()) }
}

/// Whether a request may change something.
pub(super) fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
