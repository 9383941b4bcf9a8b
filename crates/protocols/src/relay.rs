//! Leading a peer on to somebody else: what a session asks the head-end for, and where that may lead.
//!
//! The session reads who is wanted and by which rules; the head-end resolves names, shows each address to the rules,
//! connects, and joins the two streams. A session never sees the other one's bytes.

pub mod upstream;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Longest name of a host. Source: RFC 1035 §2.3.4.
pub const HOST_BYTES_MAX: usize = 255;

/// Who is wanted, as the peer said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name that is not resolved yet.
    Name(Box<str>),
}

/// Who is wanted, and at which port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Name or address.
    pub host: Host,
    /// TCP or UDP port.
    pub port: u16,
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Address(address.ip()), port: address.port() }
    }
}

/// The IPv4 address that an IPv6 address leads to, by whichever way one is wrapped in the other.
#[must_use]
pub fn bare(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match six.segments() {
        // Mapped, translated (NAT64), 6to4, and compatible, but for :: and ::1.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..]
        | [0, 0, 0, 0, 0, 0, high @ 1..=u16::MAX, low] => four(high, low),
        _ => address,
    }
}

/// A text that is no `HOST:PORT`.
#[derive(Debug, thiserror::Error)]
#[error("it is no destination: write HOST:PORT or [IPV6]:PORT")]
pub struct DestinationError;

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or(DestinationError)?;
        let port = port.parse().map_err(|_| DestinationError)?;
        if host.is_empty() || host.len() > HOST_BYTES_MAX || host.contains([':', '[', ']', '/', '@']) {
            return Err(DestinationError);
        }
        Ok(Self { host: Host::Name(host.into()), port })
    }
}

impl fmt::Display for Destination {
    /// `example.org:443`, `[2001:db8::1]:443`. What a terminal would obey is escaped.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(formatter),
            Host::Name(name) => write!(formatter, "{}:{}", name.escape_debug(), self.port),
        }
    }
}

/// An address that a name or a peer led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// An IPv4 address in the form of IPv6 stands here as IPv4.
    pub address: SocketAddr,
    /// It is one of the machine's own addresses, or one that leads to it by way of a translator (`bare`).
    pub is_own: bool,
}

/// By which way an allowed place is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// From which of the machine's addresses; none: as the system finds right.
    pub outgoing: Option<IpAddr>,
    /// Through which proxy of others; none: straight.
    pub upstream: Option<Arc<upstream::Upstream>>,
}

/// Says whether the peer may be led to a place that it asked for by this name or address, and by which way.
pub type Permit = Arc<dyn Fn(&Host, Place) -> Option<Route> + Send + Sync>;

/// How somebody is to be reached.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// By a connection to them.
    Connect,
    /// By a connection from them, for so long. `Answer::Reached` first tells where we wait; then `Question::Arrival` is to be
    /// asked, and tells who came.
    Await(Duration),
    /// By datagrams to and from anybody, as long as the peer's connection stands. The destination is the peer's own port,
    /// or 0.
    Datagrams(Packing),
}

/// To whom a datagram goes, and what.
pub type Unpack = fn(&[u8]) -> Option<(Destination, &[u8])>;

/// Appends from whom a datagram comes, and what.
pub type Pack = fn(SocketAddr, &[u8], &mut Vec<u8>);

/// How datagrams of others are wrapped on their way to the peer and from it.
#[derive(Clone, Copy)]
pub struct Packing {
    /// To whom a datagram of the peer goes, and what; `None`: to nobody.
    pub unpack: Unpack,
    /// Appends a datagram for the peer: from whom, and what.
    pub pack: Pack,
}

impl fmt::Debug for Packing {
    /// Nothing but the word.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Packing")
    }
}

/// What is asked for.
#[derive(Clone)]
pub struct Reach {
    /// Who is wanted.
    pub to: Destination,
    /// How.
    pub manner: Manner,
    /// Asked for every address.
    pub permit: Permit,
    /// How long it may take and how much of it there may be.
    pub limits: RelayLimits,
}

impl fmt::Debug for Reach {
    /// Everything but the rules.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reach")
            .field("to", &self.to)
            .field("manner", &self.manner)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// How long a relay may take and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Until the other side is reached, resolving included.
    pub reach: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
    /// At once of the same user, or of the same address where nobody is logged in.
    pub at_once_max: usize,
}

/// Why nobody was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// The rules do not allow it.
    Forbidden,
    /// The proxy on the way does not take the login that it was given, or wants one.
    Login,
    /// The proxy on the way is not there.
    NoProxy,
    /// What is said to be a proxy does not answer as one.
    Garbled,
    /// This user has as many relays as may be.
    Full,
    /// The name leads nowhere.
    Unresolved,
    /// Nobody listens there.
    Refused,
    /// No way leads to the network.
    Network,
    /// No way leads to the host.
    Host,
    /// Nobody answered in time.
    TimedOut,
    /// Something else, such as that the system has no more sockets.
    Failed,
}

impl Unreached {
    /// The word for operators.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Forbidden => "not allowed by the rules",
            Self::Login => "the proxy does not take the login",
            Self::NoProxy => "the proxy is not there",
            Self::Garbled => "the proxy does not answer as one",
            Self::Full => "too many relays at once",
            Self::Unresolved => "the name leads nowhere",
            Self::Refused => "refused",
            Self::Network => "network unreachable",
            Self::Host => "host unreachable",
            Self::TimedOut => "no answer in time",
            Self::Failed => "failed",
        }
    }
}
