//! Signing in: by name and password, or by a link that opens once.
//!
//! Whoever is refused learns the same from every refusal, in the same time. Every try is in the audit log.

use std::time::Instant;

use axum::http::{HeaderMap, HeaderValue, header};
use loggerhead_model::Role;

use super::audit::{self, DONE};
use super::book::{Link, check_name};
use super::cookie;
use super::guard::{Caller, held_against};
use super::password::Password;
use super::throttle::{FAILURES_MAX, Throttle};
use super::viewer::Viewer;
use crate::problem::{Problem, ProblemKind};
use crate::state::{Api, now};

/// How much of what a browser says it is is kept.
const AGENT_BYTES_MAX: usize = 200;
/// In the audit log for a name that no account can have: people type passwords in the wrong field.
const NO_NAME: &str = "?";

/// Who tries to sign in.
pub(crate) struct Guest<'a> {
    pub(crate) caller: Caller,
    pub(crate) headers: &'a HeaderMap,
    /// Who was signed in before; that sign-in ends.
    pub(crate) before: Option<Viewer>,
}

/// A sign-in that was made.
pub(crate) struct Entered {
    pub(crate) viewer: Viewer,
    /// Sets its cookie.
    pub(crate) cookie: HeaderValue,
}

/// Signs in by name and password.
///
/// # Errors
/// `WrongPassword` for an unknown name as well, `Throttled`, `Busy`, or `Store`.
pub(crate) async fn by_password(
    api: &Api,
    guest: Guest<'_>,
    name: &str,
    password: Password,
) -> Result<Entered, Problem> {
    let known = check_name(name).is_ok();
    let shown = if known { name } else { NO_NAME };
    check(api, &guest, Some(shown)).await?;
    let kept = api.book().account(name).and_then(|account| account.password);
    if !api.hasher().verify(kept, password).await? {
        api.figures().wrong_tokens.count();
        audit::write(api, shown, guest.caller, "sign-in", String::new(), "refused: wrong name or password").await?;
        return Err(Problem::new(ProblemKind::WrongPassword, "no account has this name with this password"));
    }
    forgive(api, &guest, Some(shown));
    enter(api, guest, name, "sign-in").await
}

/// Signs in by a link that opens once.
///
/// # Errors
/// `WrongLink`, `Throttled`, or `Store`.
pub(crate) async fn by_link(api: &Api, guest: Guest<'_>, secret: &str) -> Result<Entered, Problem> {
    check(api, &guest, None).await?;
    let link = api.book().take_link(secret);
    let Some(Link::SignIn(name)) = link else {
        if let Some(link) = link {
            api.book().keep_link(secret, link);
        }
        return Err(wrong_link(api, &guest).await);
    };
    forgive(api, &guest, None);
    enter(api, guest, &name, "sign-in by link").await
}

/// Makes the first account with the link that was printed, and signs it in.
///
/// # Errors
/// `WrongLink` also when there is an account already, `BadRequest`, `Throttled`, `Busy`, or `Store`.
pub(crate) async fn set_up(
    api: &Api,
    guest: Guest<'_>,
    secret: &str,
    name: &str,
    password: Password,
) -> Result<Entered, Problem> {
    check(api, &guest, None).await?;
    let link = api.book().take_link(secret);
    if link != Some(Link::Setup) || api.book().has_accounts() {
        if let Some(link) = link {
            api.book().keep_link(secret, link);
        }
        return Err(wrong_link(api, &guest).await);
    }
    forgive(api, &guest, None);
    let made = async {
        check_name(name)?;
        let hash = api.hasher().hash(password).await?;
        api.book().add_account(name, Role::Admin, Some(hash)).await
    };
    if let Err(problem) = made.await {
        api.book().keep_link(secret, Link::Setup);
        return Err(problem);
    }
    audit::write(api, name, guest.caller, "account.add", format!("{name} admin, the first"), DONE).await?;
    enter(api, guest, name, "sign-in").await
}

/// Changes the password of an account that is signed in, ends its sign-ins, and begins a new one.
///
/// # Errors
/// `WrongPassword` for the old one, `BadRequest` for the new one, `Throttled`, `Busy`, or `Store`.
pub(crate) async fn change_password(
    api: &Api,
    guest: Guest<'_>,
    name: &str,
    old: Password,
    new: Password,
) -> Result<Entered, Problem> {
    check(api, &guest, Some(name)).await?;
    let kept = api.book().account(name).and_then(|account| account.password);
    // Whoever came by a link has no password to show.
    if kept.is_some() && !api.hasher().verify(kept, old).await? {
        return Err(Problem::new(ProblemKind::WrongPassword, "the old password is wrong"));
    }
    forgive(api, &guest, Some(name));
    let hash = api.hasher().hash(new).await?;
    api.book().change_account(name, None, Some(hash)).await?;
    enter(api, guest, name, "sign-in").await
}

async fn wrong_link(api: &Api, guest: &Guest<'_>) -> Problem {
    let written =
        audit::write(api, NO_NAME, guest.caller, "sign-in by link", String::new(), "refused: wrong link").await;
    let wrong = Problem::new(ProblemKind::WrongLink, "the link is used up, or of an earlier start of the server");
    written.err().unwrap_or(wrong)
}

async fn enter(api: &Api, guest: Guest<'_>, name: &str, action: &str) -> Result<Entered, Problem> {
    let agent = guest.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let agent: String = agent.chars().take(AGENT_BYTES_MAX).collect();
    let secret = api.book().sign_in(name, guest.caller.to_string(), agent).await?;
    if let Some(before) = guest.before.and_then(|viewer| viewer.session_hash()) {
        api.book().end_session(before).await?;
    }
    audit::write(api, name, guest.caller, action, String::new(), DONE).await?;
    let viewer = api.book().by_cookie(secret.expose(), now()).await;
    let viewer = viewer.ok_or_else(|| Problem::new(ProblemKind::Unauthorized, "the account was removed meanwhile"))?;
    Ok(Entered { viewer, cookie: cookie::set(secret.expose(), api.transport()) })
}

/// Counts a try against the address and the name, before anything is compared: tries at the same time count as well.
///
/// # Errors
/// `Throttled` when there were too many.
async fn check(api: &Api, guest: &Guest<'_>, name: Option<&str>) -> Result<(), Problem> {
    let now = Instant::now();
    let address = held_against(guest.caller);
    let by_address = address.and_then(|address| tried(api.throttle(), &address, now));
    let by_name = name.and_then(|name| tried(api.names(), &name.to_owned(), now));
    let Some(seconds) = by_address.or(by_name) else { return Ok(()) };
    if api.figures().throttled.count_up().is_power_of_two() {
        // Each of a flood would fill the log; the metrics count all of them.
        audit::write(api, name.unwrap_or(NO_NAME), guest.caller, "sign-in", String::new(), "refused: too many").await?;
    }
    let detail = format!("more than {FAILURES_MAX} tries; heard again in {seconds} s");
    Err(Problem::new(ProblemKind::Throttled, detail).retry_after(seconds))
}

/// Counts a try; the seconds to wait when there were too many.
fn tried<K: Eq + std::hash::Hash + Clone>(throttle: &Throttle<K>, key: &K, now: Instant) -> Option<u64> {
    if let Some(wait) = throttle.refused_for(key, now) {
        return Some(wait.as_secs() + 1);
    }
    throttle.failed(key, now);
    None
}

/// Takes a try back that was right.
fn forgive(api: &Api, guest: &Guest<'_>, name: Option<&str>) {
    if let Some(address) = held_against(guest.caller) {
        api.throttle().forgive(&address);
    }
    if let Some(name) = name {
        api.names().forgive(&name.to_owned());
    }
}
