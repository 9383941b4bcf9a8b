//! Proxies of others, through which connections go out: SOCKS 5 and HTTP CONNECT, the client's side of both.
//!
//! Bytes in, bytes out. Each read asks for exactly as many bytes as the next part of an answer has, so that what follows it is of
//! who was reached. Sources: RFC 1928, RFC 1929; RFC 9110 §9.3.6.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use bytes::Bytes;

use super::{Destination, Host, Unreached};
use crate::base64;
use crate::wire::hex;

/// Longest head of an answer over HTTP: what usual servers take of a request.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How every answer over HTTP begins.
const HTTP: &[u8] = b"HTTP/1.";
/// Longest user and password. Source: RFC 1929 §2.
const LOGIN_BYTES_MAX: usize = 255;

/// A proxy of others.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    kind: Kind,
    host: Box<str>,
    port: u16,
    login: Option<(Box<str>, Box<str>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Socks,
    Http,
}

/// A text that names no proxy. The text is not in it, for it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error(
    "it is no proxy: write socks5://HOST:PORT or http://HOST:PORT, with USER:PASSWORD@ before the host where it asks for that"
)]
pub struct UpstreamError;

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let (scheme, rest) = text.split_once("://").ok_or(UpstreamError)?;
        let kind = match scheme {
            "socks5" | "socks5h" => Kind::Socks,
            "http" => Kind::Http,
            _ => return Err(UpstreamError),
        };
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, rest),
        };
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').ok_or(UpstreamError)?;
            Ok((plain(user)?, plain(password)?))
        });
        let Destination { host, port } =
            address.strip_suffix('/').unwrap_or(address).parse().map_err(|_| UpstreamError)?;
        let host = match host {
            Host::Address(address) => address.to_string().into(),
            Host::Name(name) => name,
        };
        Ok(Self { kind, host, port, login: login.transpose()? })
    }
}

/// A part of a login without its percent signs.
fn plain(text: &str) -> Result<Box<str>, UpstreamError> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(UpstreamError)?;
        bytes.extend(hex(digits).ok_or(UpstreamError)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    let text = String::from_utf8(bytes).map_err(|_| UpstreamError)?;
    if (1..=LOGIN_BYTES_MAX).contains(&text.len()) { Ok(text.into()) } else { Err(UpstreamError) }
}

impl fmt::Display for Upstream {
    /// Without its login.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Socks => "socks5",
            Kind::Http => "http",
        };
        if self.host.contains(':') {
            return write!(formatter, "{scheme}://[{}]:{}", self.host, self.port);
        }
        write!(formatter, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Upstream {
    /// Without its login.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Upstream {
    /// Name or address of the proxy itself.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What is to be said once it is connected, to be led on to somebody.
    #[must_use]
    pub fn handshake(&self, to: &Destination) -> Handshake {
        let mut handshake = Handshake {
            to: to.clone(),
            login: self.login.clone(),
            stage: Stage::Head,
            head: Vec::new(),
            steps: VecDeque::new(),
        };
        match self.kind {
            Kind::Http => {
                handshake.ask_http();
                handshake.expect(Stage::Head, 1);
            }
            Kind::Socks => {
                let greeting = if self.login.is_some() { &[5, 2, 0, 2][..] } else { &[5, 1, 0] };
                handshake.steps.push_back(Step::Send(greeting.to_vec().into()));
                handshake.expect(Stage::Method, 2);
            }
        }
        handshake
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes.
    Send(Bytes),
    /// Read exactly so many bytes and take them.
    Read(usize),
    /// Whatever comes from now on is of who was reached.
    Done,
}

/// Which part of an answer has to come.
#[derive(Debug)]
enum Stage {
    /// The method that the proxy chose.
    Method,
    /// Whether the login will do.
    Login,
    /// What became of the request, and the first byte of an address that means nothing to us.
    Reply,
    /// The rest of that address.
    Rest,
    /// The head of an answer over HTTP.
    Head,
    /// Somebody was reached.
    Reached,
}

/// A proxy that is being asked.
#[derive(Debug)]
pub struct Handshake {
    to: Destination,
    login: Option<(Box<str>, Box<str>)>,
    stage: Stage,
    /// What has come of the head of an answer over HTTP.
    head: Vec<u8>,
    steps: VecDeque<Step>,
}

impl Handshake {
    /// What to do next.
    pub fn step(&mut self) -> Step {
        self.steps.pop_front().unwrap_or(Step::Done)
    }

    /// Takes what was read.
    ///
    /// # Errors
    /// Why the proxy does not lead on.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Unreached> {
        match (&mut self.stage, bytes) {
            (Stage::Method, [5, 0]) | (Stage::Login, [_, 0]) => self.ask_socks(),
            (Stage::Method, [5, 2]) => {
                let (user, password) = self.login.as_ref().ok_or(Unreached::Login)?;
                let mut login = vec![1];
                for text in [user, password] {
                    login.push(u8::try_from(text.len()).map_err(|_| Unreached::Failed)?);
                    login.extend_from_slice(text.as_bytes());
                }
                self.steps.push_back(Step::Send(login.into()));
                self.expect(Stage::Login, 2);
            }
            (Stage::Method, [5, 0xff]) | (Stage::Login, _) => return Err(Unreached::Login),
            (Stage::Reply, [5, 0, _, kind, first]) => {
                let rest = match kind {
                    1 => 4 - 1 + 2,
                    3 => usize::from(*first) + 2,
                    4 => 16 - 1 + 2,
                    _ => return Err(Unreached::Garbled),
                };
                self.expect(Stage::Rest, rest);
            }
            (Stage::Reply, [5, why, ..]) => return Err(refused(*why)),
            (Stage::Rest, _) => self.stage = Stage::Reached,
            (Stage::Head, _) => return self.head(bytes),
            (Stage::Method | Stage::Reply | Stage::Reached, _) => return Err(Unreached::Garbled),
        }
        Ok(())
    }

    fn expect(&mut self, stage: Stage, bytes: usize) {
        self.stage = stage;
        self.steps.push_back(Step::Read(bytes));
    }

    fn ask_socks(&mut self) {
        let mut request = vec![5, 1, 0];
        match &self.to.host {
            Host::Address(IpAddr::V4(address)) => {
                request.push(1);
                request.extend_from_slice(&address.octets());
            }
            Host::Address(IpAddr::V6(address)) => {
                request.push(4);
                request.extend_from_slice(&address.octets());
            }
            Host::Name(name) => {
                let (name, length) = (name.as_bytes(), u8::try_from(name.len()).unwrap_or(u8::MAX));
                request.extend_from_slice(&[3, length]);
                request.extend(name.iter().take(usize::from(length)));
            }
        }
        request.extend_from_slice(&self.to.port.to_be_bytes());
        self.steps.push_back(Step::Send(request.into()));
        self.expect(Stage::Reply, 5);
    }

    fn ask_http(&mut self) {
        let to = &self.to;
        let login = self.login.as_ref().map(|(user, password)| base64::encode(format!("{user}:{password}").as_bytes()));
        let login = login.map(|login| format!("Proxy-Authorization: Basic {login}\r\n")).unwrap_or_default();
        let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{login}\r\n");
        self.steps.push_back(Step::Send(request.into()));
    }
}

impl Handshake {
    /// Goes on until the blank line behind a head: `HTTP/1.1 200 whatever`.
    fn head(&mut self, bytes: &[u8]) -> Result<(), Unreached> {
        self.head.extend_from_slice(bytes);
        // What speaks something else may never come to a blank line.
        if self.head.iter().zip(HTTP).any(|(said, due)| said != due) || self.head.len() > HEAD_BYTES_MAX {
            return Err(Unreached::Garbled);
        }
        if !self.head.ends_with(b"\r\n\r\n") {
            self.expect(Stage::Head, 1);
            return Ok(());
        }
        let line = self.head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let code = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        match code {
            [b'2', _, _] => self.stage = Stage::Reached,
            // The answer itself is still to come.
            [b'1', _, _] => {
                self.head.clear();
                self.expect(Stage::Head, 1);
            }
            b"401" | b"407" => return Err(Unreached::Login),
            b"403" => return Err(Unreached::Forbidden),
            b"502" | b"503" => return Err(Unreached::Host),
            b"504" => return Err(Unreached::TimedOut),
            [_, _, _] => return Err(Unreached::Failed),
            _ => return Err(Unreached::Garbled),
        }
        Ok(())
    }
}

/// What a reply says. Source: RFC 1928 §6.
fn refused(why: u8) -> Unreached {
    match why {
        2 => Unreached::Forbidden,
        3 => Unreached::Network,
        4 => Unreached::Host,
        5 => Unreached::Refused,
        6 => Unreached::TimedOut,
        _ => Unreached::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::{HEAD_BYTES_MAX, Step, Upstream};
    use crate::relay::{Destination, Unreached};

    /// What is said to a proxy that answers with `answers`, whether it leads on, and what is left of its bytes.
    fn converse(proxy: &str, to: &str, answers: &[u8]) -> (String, Result<usize, Unreached>) {
        let to: Destination = to.parse().expect("a destination");
        let mut handshake = proxy.parse::<Upstream>().expect("a proxy").handshake(&to);
        let (mut said, mut rest) = (Vec::new(), answers);
        loop {
            let taken = match handshake.step() {
                Step::Send(bytes) => {
                    said.extend_from_slice(&bytes);
                    Ok(())
                }
                Step::Read(count) => {
                    let (now, later) = rest.split_at_checked(count).expect("the proxy says more");
                    rest = later;
                    handshake.take(now)
                }
                Step::Done => return (said.escape_ascii().to_string(), Ok(rest.len())),
            };
            if let Err(why) = taken {
                return (said.escape_ascii().to_string(), Err(why));
            }
        }
    }

    #[test]
    fn a_proxy_is_asked_in_its_own_way_and_what_follows_is_left() {
        let (said, left) =
            converse("socks5://h:1", "192.0.2.1:80", b"\x05\x00\x05\x00\x00\x01\x01\x02\x03\x04\x00\x50hello");
        assert_eq!((said.as_str(), left), ("\\x05\\x01\\x00\\x05\\x01\\x00\\x01\\xc0\\x00\\x02\\x01\\x00P", Ok(5)));
        let answers = b"\x05\x02\x01\x00\x05\x00\x00\x03\x02ab\x00\x50";
        let (said, left) = converse("socks5h://u:p%40s@[::1]:1080", "a.example:80", answers);
        let expected = "\\x05\\x02\\x00\\x02\\x01\\x01u\\x03p@s\\x05\\x01\\x00\\x03\\ta.example\\x00P";
        assert_eq!((said.as_str(), left), (expected, Ok(0)));
        let six = [b"\x05\x00\x05\x00\x00\x04".as_slice(), &[0; 18], b"x"].concat();
        assert_eq!(converse("socks5://h:1", "[2001:db8::1]:80", &six).1, Ok(1));

        let (said, left) = converse("http://u:p@h:3128/", "a.example:443", b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello");
        let expected = "CONNECT a.example:443 HTTP/1.1\\r\\nHost: a.example:443\\r\\n\
                        Proxy-Authorization: Basic dTpw\\r\\n\\r\\n";
        assert_eq!((said.as_str(), left), (expected, Ok(5)));
        let late = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello";
        assert_eq!(converse("http://h:1", "a:1", late).1, Ok(5));
        assert!(converse("http://h:1", "[::1]:5", b"HTTP/1.0 200\r\n\r\n").0.starts_with("CONNECT [::1]:5 HTTP/1.1"));
    }

    #[test]
    fn a_proxy_that_does_not_lead_on_says_why() {
        for (answers, why) in [
            (&b"\x05\xff"[..], Unreached::Login),
            (b"\x05\x02", Unreached::Login),
            (b"\x04\x00", Unreached::Garbled),
            (b"\x05\x00\x05\x02\x00\x01\x00", Unreached::Forbidden),
            (b"\x05\x00\x05\x05\x00\x01\x00", Unreached::Refused),
            (b"\x05\x00\x05\x00\x00\x09\x00", Unreached::Garbled),
        ] {
            assert_eq!(converse("socks5://h:1", "a:1", answers).1, Err(why), "{answers:?}");
        }
        assert_eq!(converse("socks5://u:p@h:1", "a:1", b"\x05\x02\x01\x01").1, Err(Unreached::Login));
        for (answer, why) in [
            ("HTTP/1.1 407 Log in\r\n\r\n", Unreached::Login),
            ("HTTP/1.1 403 No\r\n\r\n", Unreached::Forbidden),
            ("HTTP/1.1 502 Bad\r\n\r\n", Unreached::Host),
            ("HTTP/1.1 504 Late\r\n\r\n", Unreached::TimedOut),
            ("HTTP/1.1 405 Never\r\n\r\n", Unreached::Failed),
            ("HTTP/1.1 OK\r\n\r\n", Unreached::Garbled),
            // What speaks something else is not waited for.
            ("S", Unreached::Garbled),
            ("HTTP/2", Unreached::Garbled),
        ] {
            assert_eq!(converse("http://h:1", "a:1", answer.as_bytes()).1, Err(why), "{answer}");
        }
        let endless = [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &[b'x'; HEAD_BYTES_MAX]].concat();
        assert_eq!(converse("http://h:1", "a:1", &endless).1, Err(Unreached::Garbled));
    }

    #[test]
    fn only_a_proxy_is_one_and_its_password_is_never_shown() {
        for text in
            ["", "h:1", "ftp://h:1", "socks5://h", "socks5://:1", "http://u@h:1", "http://u:@h:1", "http://%zz:p@h:1"]
        {
            assert!(text.parse::<Upstream>().is_err(), "{text}");
        }
        let proxy: Upstream = "http://user:secret@[::1]:8080".parse().expect("a proxy");
        assert_eq!(format!("{proxy} {proxy:?}"), "http://[::1]:8080 http://[::1]:8080");
    }
}
