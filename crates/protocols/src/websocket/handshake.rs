//! The request of HTTP that a WebSocket begins with, RFC 6455 §4.2.

use sha1::{Digest, Sha1};

use crate::base64;

/// Longest request; browsers send cookies with it, and common servers take as much.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// The end of a request.
pub const EMPTY_LINE: &[u8] = b"\r\n\r\n";
/// What is hashed after the client's key, RFC 6455 §1.3.
const KEY_END: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A key is 16 bytes in base64.
const KEY_LENGTH: usize = 24;

/// A request that is refused: the answer's status, and what to do next.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    status: &'static str,
    /// What to do next.
    pub reason: &'static str,
}

const fn bad(reason: &'static str) -> Refusal {
    Refusal { status: "400 Bad Request", reason }
}

/// The request is longer than it may be.
pub const TOO_LONG: Refusal =
    Refusal { status: "431 Request Header Fields Too Large", reason: "the request is over 8192 bytes" };

/// The request asks for no WebSocket.
pub const PLAIN: Refusal = Refusal { status: "426 Upgrade Required", reason: "connect with a WebSocket" };

impl Refusal {
    /// A request that is wrong in what is asked of it.
    #[must_use]
    pub const fn bad(reason: &'static str) -> Self {
        bad(reason)
    }

    /// Who asks may not.
    #[must_use]
    pub const fn forbidden(reason: &'static str) -> Self {
        Self { status: "403 Forbidden", reason }
    }

    /// There is nothing under that path.
    #[must_use]
    pub const fn not_found(reason: &'static str) -> Self {
        Self { status: "404 Not Found", reason }
    }

    /// The answer.
    #[must_use]
    pub fn response(&self) -> String {
        format!(
            "HTTP/1.1 {}\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\n\
             Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{}\n",
            self.status,
            self.reason.len() + 1,
            self.reason
        )
    }
}

/// The header fields of a request.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    /// The only field of that name.
    fn only(&self, name: &str) -> Option<&'a str> {
        let mut found = self.all(name);
        found.next().filter(|_| found.next().is_none())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1)
    }

    /// The words of a list, over all fields of that name.
    fn words(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim)
    }
}

/// A request for a WebSocket that may be.
pub struct Request<'a> {
    /// Path and query, as they came.
    pub target: &'a str,
    fields: Fields<'a>,
    /// The answer to its key.
    accept: String,
}

impl Request<'_> {
    /// The subprotocol among those the client offers that is this protocol: its name, or else its name and a version, as clients of
    /// MQTT 3.1 say `mqttv3.1`.
    #[must_use]
    pub fn offer(&self, protocol: &str) -> Option<&str> {
        let versions = |offered: &&str| {
            let version = offered.strip_prefix(protocol).and_then(|rest| rest.strip_prefix('v'));
            version.is_some_and(|version| version.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.')))
        };
        let offers = || self.fields.words("sec-websocket-protocol");
        offers().find(|offered| *offered == protocol).or_else(|| offers().find(versions))
    }

    /// The answer, after which frames follow.
    #[must_use]
    pub fn response(&self, subprotocol: Option<&str>) -> String {
        let accept = &self.accept;
        let subprotocol = subprotocol.map(|word| format!("Sec-WebSocket-Protocol: {word}\r\n")).unwrap_or_default();
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{subprotocol}\r\n"
        )
    }
}

/// Path and query of a request, whatever else is wrong with it.
#[must_use]
pub fn target(request: &[u8]) -> Option<&str> {
    str::from_utf8(request).ok()?.split(' ').nth(1)
}

/// Reads a whole request, up to its empty line. Pages of these origins may connect, and those of the host itself.
///
/// # Errors
/// Why it is refused.
pub fn read<'a>(request: &'a [u8], origins: &[String]) -> Result<Request<'a>, Refusal> {
    let text = std::str::from_utf8(request).map_err(|_| bad("the request is not text"))?;
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let ["GET", target, "HTTP/1.1"] = first.as_slice() else { return Err(bad("begin with GET over HTTP/1.1")) };
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':')?;
        (!name.is_empty() && !name.contains([' ', '\t'])).then_some((name, value.trim()))
    });
    let fields = Fields(fields.collect::<Option<_>>().ok_or(bad("a header field without a name"))?);
    let has = |name, word: &str| fields.words(name).any(|other| other.eq_ignore_ascii_case(word));
    if !has("upgrade", "websocket") || !has("connection", "upgrade") {
        return Err(PLAIN);
    }
    if fields.only("sec-websocket-version") != Some("13") {
        return Err(Refusal { status: "426 Upgrade Required", reason: "use version 13 of WebSocket" });
    }
    let host = fields.only("host").ok_or(bad("send one Host"))?;
    check_origin(&fields, host, origins)?;
    let accept = fields.only("sec-websocket-key").and_then(accept).ok_or(bad("send one key of 16 bytes"))?;
    Ok(Request { target, fields, accept })
}

/// What `Sec-WebSocket-Accept` says to a client with this key, so that it knows that it was understood; none for what is no
/// key. Source: RFC 6455 §4.2.2.
#[must_use]
pub fn accept(key: &str) -> Option<String> {
    is_key(key).then(|| base64::encode(&Sha1::new().chain_update(key).chain_update(KEY_END).finalize()))
}

/// Only browsers name an origin, and a page of somebody else shall not use its reader's network.
fn check_origin(fields: &Fields<'_>, host: &str, origins: &[String]) -> Result<(), Refusal> {
    let is_ours = |origin: &str| {
        let own = origin.split_once("://").is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host));
        own || origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    };
    if fields.all("origin").all(is_ours) {
        return Ok(());
    }
    Err(Refusal {
        status: "403 Forbidden",
        reason: "a page of this origin may not connect; see the origins of the listener",
    })
}

fn is_key(key: &str) -> bool {
    let is_sign = |sign: u8| sign.is_ascii_alphanumeric() || matches!(sign, b'+' | b'/');
    key.len() == KEY_LENGTH && key.strip_suffix("==").is_some_and(|signs| signs.bytes().all(is_sign))
}
