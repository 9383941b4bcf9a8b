//! Lets a request through, or answers why not.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use loggerhead_model::DeviceId;

use super::audit::{self, Noted};
use super::cookie;
use super::policy::{self, DeviceAt, Need, Rule};
use super::secret::same;
use super::throttle::{FAILURES_MAX, network};
use super::viewer::Viewer;
use crate::problem::{Problem, ProblemKind};
use crate::state::{Api, now};

/// Where whoever is not signed in is led to.
const SIGN_IN: &str = "/login?next=";
/// The header with what only a page of the sign-in can know.
const CSRF_HEADER: &str = "x-csrf-token";
/// Paths for programs: a refusal there is a problem, not another page.
const FOR_PROGRAMS: [&str; 4] = ["/api/", "/healthz", "/readyz", "/metrics"];

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The private socket: whoever may open it, may ask.
    Socket,
    /// A TCP connection from this address, or a proxy that names it.
    Tcp(IpAddr),
}

impl fmt::Display for Caller {
    /// As the audit log has it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket => formatter.write_str("local"),
            Self::Tcp(address) => address.fmt(formatter),
        }
    }
}

impl<S: Sync + Send> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        caller(&parts.extensions)
    }
}

/// What the failures of a caller are held against; none for the private socket.
pub(super) fn held_against(caller: Caller) -> Option<IpAddr> {
    match caller {
        Caller::Socket => None,
        Caller::Tcp(address) => Some(network(address)),
    }
}

/// Finds out who asks, lets the request on to its handler when its route is for them, and notes what they changed.
pub(crate) async fn admit(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut asked, body) = request.into_parts();
    let (caller, asking) = match who(&api, &asked).await {
        Ok(known) => known,
        Err(problem) => return refusal(problem, &asked),
    };
    let viewer = match allowed(asking.clone(), &asked) {
        Ok(viewer) => viewer,
        Err(problem) => {
            let mut refused = refusal(problem, &asked);
            // The page that says so still shows the ways that are open.
            if let Some(asking) = asking {
                refused.extensions_mut().insert(asking);
            }
            return refused;
        }
    };
    asked.extensions.insert(caller);
    if let Some(viewer) = viewer.clone() {
        asked.extensions.insert(viewer);
    }
    let action = viewer.zip(rule(&asked).and_then(|rule| rule.action));
    let path = asked.uri.path().to_owned();
    let answering = next.run(Request::from_parts(asked, body));
    let Some((viewer, action)) = action else { return answering.await };
    let noting = async move {
        let response = answering.await;
        let target = response.extensions().get::<Noted>().map_or(path, |noted| noted.0.clone());
        let outcome = audit::outcome(response.status());
        match audit::write(&api, viewer.name(), caller, action, target, &outcome).await {
            Ok(()) => response,
            // It is done, and stands nowhere: whoever asked has to know.
            Err(problem) => problem.into_response(),
        }
    };
    // A task of its own, bounded like the request: whoever hangs up early must not stay out of the log.
    let noted = tokio::spawn(noting).await;
    noted.unwrap_or_else(|_| Problem::new(ProblemKind::Store, "the server is stopping").into_response())
}

/// From where somebody asks, and who it is.
async fn who(api: &Api, asked: &Parts) -> Result<(Caller, Option<Viewer>), Problem> {
    let caller = match caller(&asked.extensions)? {
        Caller::Socket => return Ok((Caller::Socket, Some(Viewer::local()))),
        Caller::Tcp(peer) => Caller::Tcp(api.transport().caller(peer, &asked.headers)),
    };
    let viewer = match bearer(api, caller, &asked.headers, Instant::now())? {
        Some(viewer) => Some(viewer),
        None => by_cookie(api, asked).await?,
    };
    Ok((caller, viewer))
}

fn caller(extensions: &Extensions) -> Result<Caller, Problem> {
    let caller = extensions.get::<Caller>().copied();
    // It did not come through a listener of this crate, so it is treated like the least trusted.
    caller.ok_or_else(|| Problem::new(ProblemKind::Unauthorized, "the request came from nowhere"))
}

/// Who the token in a request's `Authorization` belongs to; none without the header.
fn bearer(api: &Api, caller: Caller, headers: &HeaderMap, now: Instant) -> Result<Option<Viewer>, Problem> {
    let Some(sent) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let address = held_against(caller);
    if let Some(wait) = address.and_then(|address| api.throttle().refused_for(&address, now)) {
        api.figures().throttled.count();
        let seconds = wait.as_secs() + 1;
        let detail = format!("{FAILURES_MAX} wrong secrets from {caller}; heard again in {seconds} s");
        return Err(Problem::new(ProblemKind::Throttled, detail).retry_after(seconds));
    }
    let sent = token(sent.as_bytes());
    let machine = sent.zip(api.token()).is_some_and(|(sent, token)| token.fits(sent));
    let viewer = if machine { Some(Viewer::machine()) } else { sent.and_then(|sent| api.book().by_token(sent)) };
    if viewer.is_none() {
        if let Some(address) = address {
            api.throttle().failed(&address, now);
        }
        api.figures().wrong_tokens.count();
        tracing::warn!(%caller, "wrong API token");
        return Err(Problem::new(ProblemKind::Unauthorized, "the token is wrong, revoked or over its time"));
    }
    Ok(viewer)
}

/// Whose cookie a request carries; none without one that holds.
///
/// A browser sends the cookie whatever page makes it ask. So a change has to come from a page of this server, and to carry
/// what only such a page can read; a WebSocket, whose answers a foreign page could read, has to come from such a page.
async fn by_cookie(api: &Api, asked: &Parts) -> Result<Option<Viewer>, Problem> {
    let headers = &asked.headers;
    let change = audit::is_change(&asked.method);
    if change && !api.transport().is_same_origin(headers) {
        return Err(Problem::new(ProblemKind::ForeignPage, "the request comes from a page of another site"));
    }
    let Some(secret) = cookie::read(headers, api.transport()) else { return Ok(None) };
    let Some(viewer) = api.book().by_cookie(secret, now()).await else { return Ok(None) };
    let open = rule(asked).is_some_and(|rule| rule.need == Need::Nobody);
    let sent = headers.get(CSRF_HEADER).map(HeaderValue::as_bytes).unwrap_or_default();
    if change && !open && !viewer.csrf().is_some_and(|csrf| same(csrf.as_bytes(), sent)) {
        let detail = format!("the header {CSRF_HEADER} is missing or not that of this sign-in");
        return Err(Problem::new(ProblemKind::ForeignPage, detail));
    }
    if headers.contains_key(header::UPGRADE) && !api.transport().is_surely_same_origin(headers) {
        return Err(Problem::new(ProblemKind::ForeignPage, "a WebSocket is opened by a page of another site"));
    }
    Ok(Some(viewer))
}

/// The row of a request's route.
fn rule(asked: &Parts) -> Option<&'static Rule> {
    policy::rule(&asked.method, asked.extensions.get::<MatchedPath>()?.as_str())
}

/// The token in an `Authorization` header.
fn token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

/// Whether this request's route is for whoever asks.
fn allowed(viewer: Option<Viewer>, asked: &Parts) -> Result<Option<Viewer>, Problem> {
    let path = asked.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let rule = rule(asked);
    if rule.is_some_and(|rule| rule.need == Need::Nobody) {
        return Ok(viewer);
    }
    let Some(viewer) = viewer else {
        return Err(Problem::new(ProblemKind::Unauthorized, "nobody is signed in"));
    };
    let Some(rule) = rule else { return Err(no_route(path, asked)) };
    if let Need::Role(role) = rule.need
        && !viewer.may(role)
    {
        let detail = format!("{} is {}; this takes {}", viewer.name(), viewer.role().word(), role.word());
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    if viewer.devices().is_some_and(|devices| !device(rule, asked).is_some_and(|id| devices.contains(&id))) {
        let detail = format!("{} is for other devices, or for questions about single ones only", viewer.name());
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    Ok(Some(viewer))
}

/// What is said of a path or a method that no row names; then no handler hears of the request.
fn no_route(path: Option<&str>, asked: &Parts) -> Problem {
    let uri = asked.uri.path();
    match path.map(policy::methods).filter(|methods| !methods.is_empty()) {
        Some(methods) => {
            let detail = format!("{uri} does not take {}; it takes {methods}", &asked.method);
            Problem::new(ProblemKind::WrongMethod, detail).allow(methods)
        }
        None => Problem::new(ProblemKind::UnknownPath, format!("nothing at {uri}")),
    }
}

/// The one device that a request is about.
fn device(rule: &Rule, asked: &Parts) -> Option<DeviceId> {
    let text = match rule.device {
        DeviceAt::Nowhere => return None,
        DeviceAt::Path => in_path(rule.path, &asked.uri)?,
        DeviceAt::Query => in_query(&asked.uri)?,
    };
    DeviceId::new(&text).ok()
}

/// What stands in the path where the route has `{id}`.
fn in_path(route: &str, uri: &Uri) -> Option<String> {
    let place = route.split('/').position(|part| part == "{id}")?;
    decoded(uri.path().split('/').nth(place)?)
}

/// The one `device` of the query. Twice is none: handlers could take the other one.
fn in_query(uri: &Uri) -> Option<String> {
    let named = |pair: &str| pair.strip_prefix("device=").map(ToOwned::to_owned);
    let mut devices =
        uri.query()?.split('&').filter(|pair| decoded(pair).is_none_or(|pair| pair.starts_with("device=")));
    let first = devices.next()?;
    if devices.next().is_some() {
        return None;
    }
    decoded(&named(first)?.replace('+', " "))
}

/// Text without its percent escapes; none when they do not make text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits =
            std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// The answer to a request that is not let through: whoever only has to sign in is led to where that is done.
fn refusal(problem: Problem, asked: &Parts) -> Response {
    let path = asked.uri.path();
    let of_page =
        matches!(asked.method, Method::GET | Method::HEAD) && !FOR_PROGRAMS.iter().any(|start| path.starts_with(start));
    let next = asked.uri.path_and_query().map_or(path, |whole| whole.as_str());
    let place = HeaderValue::try_from(format!("{SIGN_IN}{}", encoded(next)));
    match place {
        Ok(place) if of_page && problem.kind() == ProblemKind::Unauthorized => {
            (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
        }
        Ok(_) | Err(_) => problem.into_response(),
    }
}

/// Text as the value of a parameter.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a text takes everything");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{decoded, encoded, in_path, in_query, token};

    #[test]
    fn the_scheme_has_any_case() {
        assert_eq!(token(b"bearer abc"), Some(&b"abc"[..]));
        assert_eq!(token(b"Basic abc"), None);
        assert_eq!(token(b"Bea"), None);
    }

    #[test]
    fn a_device_is_found_where_the_route_names_it_and_only_once() {
        let uri = |text: &str| text.parse::<axum::http::Uri>().expect("an address");
        let route = "/api/v1/devices/{id}/commands";
        assert_eq!(in_path(route, &uri("/api/v1/devices/a%2Db/commands")).as_deref(), Some("a-b"));
        assert_eq!(in_query(&uri("/x?limit=1&device=a+b")).as_deref(), Some("a b"));
        for bad in
            ["/x", "/x?limit=1", "/x?device=a&device=b", "/x?device=a&%64evice=b", "/x?%64evice=b", "/x?device=%f"]
        {
            assert_eq!(in_query(&uri(bad)), None, "{bad}");
        }
    }

    #[test]
    fn escapes_are_read_as_they_are_written() {
        for text in ["/devices?a=b&c=ä", "//evil.example", ""] {
            assert_eq!(decoded(&encoded(text)).as_deref(), Some(text));
        }
        assert!(["%", "%1", "%+1", "%ff"].iter().all(|bad| decoded(bad).is_none()));
    }
}
