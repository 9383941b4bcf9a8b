//! Lets a request through, or answers why not.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use loggerhead_model::DeviceId;

use super::policy::{self, DeviceAt, Need, Rule};
use super::throttle::{FAILURES_MAX, network};
use super::viewer::Viewer;
use crate::problem::{Problem, ProblemKind};
use crate::state::Api;

/// Where whoever is not signed in is led to.
const SIGN_IN: &str = "/login?next=";
/// Paths for programs: a refusal there is a problem, not another page.
const FOR_PROGRAMS: [&str; 4] = ["/api/", "/healthz", "/readyz", "/metrics"];

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The private socket: whoever may open it, may ask.
    Socket,
    /// A TCP connection from this address.
    Tcp(IpAddr),
}

/// Finds out who asks, and lets the request on to its handler when its route is for them.
pub(crate) async fn admit(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let viewer = match viewer(&api, &request).and_then(|viewer| allowed(viewer, &request)) {
        Ok(viewer) => viewer,
        Err(problem) => return refusal(problem, &request),
    };
    if let Some(viewer) = viewer {
        request.extensions_mut().insert(viewer);
    }
    next.run(request).await
}

/// Who asks; none when nobody is signed in.
fn viewer(api: &Api, request: &Request) -> Result<Option<Viewer>, Problem> {
    match request.extensions().get::<Caller>() {
        Some(Caller::Socket) => Ok(Some(Viewer::local())),
        Some(Caller::Tcp(address)) => bearer(api, *address, request.headers(), Instant::now()),
        // It did not come through a listener of this crate, so it is treated like the least trusted.
        None => Err(Problem::new(ProblemKind::Unauthorized, "the request came from nowhere")),
    }
}

/// Who the token in a request's `Authorization` belongs to; none without the header.
fn bearer(api: &Api, address: IpAddr, headers: &HeaderMap, now: Instant) -> Result<Option<Viewer>, Problem> {
    let Some(sent) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let failures = api.throttle();
    if let Some(wait) = failures.refused_for(&network(address), now) {
        api.figures().throttled.count();
        let seconds = wait.as_secs() + 1;
        let detail = format!("{FAILURES_MAX} wrong tokens from {address}; heard again in {seconds} s");
        return Err(Problem::new(ProblemKind::Throttled, detail).retry_after(seconds));
    }
    match (token(sent.as_bytes()), api.token()) {
        (Some(sent), Some(token)) if token.fits(sent) => Ok(Some(Viewer::machine())),
        (Some(_) | None, _) => {
            failures.failed(&network(address), now);
            api.figures().wrong_tokens.count();
            tracing::warn!(%address, "wrong API token");
            Err(Problem::new(ProblemKind::Unauthorized, "the token is wrong"))
        }
    }
}

/// The token in an `Authorization` header.
fn token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

/// Whether this request's route is for whoever asks.
fn allowed(viewer: Option<Viewer>, request: &Request) -> Result<Option<Viewer>, Problem> {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let rule = path.and_then(|path| policy::rule(request.method(), path));
    if rule.is_some_and(|rule| rule.need == Need::Nobody) {
        return Ok(viewer);
    }
    let Some(viewer) = viewer else {
        return Err(Problem::new(ProblemKind::Unauthorized, "nobody is signed in"));
    };
    let Some(rule) = rule else { return Err(no_route(path, request)) };
    if let Need::Role(role) = rule.need
        && !viewer.may(role)
    {
        let detail = format!("{} is {}; this takes {}", viewer.name(), viewer.role().word(), role.word());
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    if viewer.devices().is_some_and(|devices| !device(rule, request).is_some_and(|id| devices.contains(&id))) {
        let detail = format!("{} is for other devices, or for questions about single ones only", viewer.name());
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    Ok(Some(viewer))
}

/// What is said of a path or a method that no row names; then no handler hears of the request.
fn no_route(path: Option<&str>, request: &Request) -> Problem {
    let uri = request.uri().path();
    match path.map(policy::methods).filter(|methods| !methods.is_empty()) {
        Some(methods) => {
            let detail = format!("{uri} does not take {}; it takes {methods}", request.method());
            Problem::new(ProblemKind::WrongMethod, detail).allow(methods)
        }
        None => Problem::new(ProblemKind::UnknownPath, format!("nothing at {uri}")),
    }
}

/// The one device that a request is about.
fn device(rule: &Rule, request: &Request) -> Option<DeviceId> {
    let text = match rule.device {
        DeviceAt::Nowhere => return None,
        DeviceAt::Path => in_path(rule.path, request.uri())?,
        DeviceAt::Query => in_query(request.uri())?,
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
fn refusal(problem: Problem, request: &Request) -> Response {
    let path = request.uri().path();
    let of_page = matches!(*request.method(), Method::GET | Method::HEAD)
        && !FOR_PROGRAMS.iter().any(|start| path.starts_with(start));
    let next = request.uri().path_and_query().map_or(path, |whole| whole.as_str());
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
