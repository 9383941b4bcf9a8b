//! What the messages say, in both directions and both versions. Whole messages only: `frame` says where they end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::frame::{TYPE_IPV4, TYPE_IPV6, TYPE_NAME, VERSION_4, VERSION_5, VERSION_LOGIN, is_4a};
use crate::relay::{Destination, Host, Unreached};
use crate::wire::Reader;
use crate::{Fault, FaultKind};

/// Nobody has to log in. Source: \[1\] §3.
pub const METHOD_NONE: u8 = 0;
/// User and password. Source: \[2\].
pub const METHOD_PASSWORD: u8 = 2;
/// None of the methods will do.
pub const METHOD_NO: u8 = 0xff;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A connection to the destination.
    Connect,
    /// A connection from the destination.
    Bind,
    /// Datagrams to and from anybody.
    Associate,
}

impl Command {
    /// Source: \[1\] §4.
    #[must_use]
    pub const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Connect),
            2 => Some(Self::Bind),
            3 => Some(Self::Associate),
            _ => None,
        }
    }

    /// Its byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Connect => 1,
            Self::Bind => 2,
            Self::Associate => 3,
        }
    }

    /// Its word in rules, events and explanations.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::Associate => "udp",
        }
    }
}

/// User and password.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// 0 to 255 bytes.
    pub user: &'a [u8],
    /// 0 to 255 bytes; a secret.
    pub password: &'a [u8],
}

/// A request of either version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The command's byte, which may be none that is known.
    pub command: u8,
    /// Who is wanted.
    pub to: Destination,
    /// Only version 4: who asks, without a proof.
    pub user: &'a [u8],
}

/// The reply to a request; version 5 has more words for a failure than version 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done.
    Done,
    /// Something else than all below.
    Failed,
    /// The rules do not allow it.
    Forbidden,
    /// No way leads to the network.
    Network,
    /// No way leads to the host, or its name leads nowhere.
    Host,
    /// Nobody listens there.
    Refused,
    /// Nobody answered in time.
    TimedOut,
    /// The command is not known or not allowed.
    Command,
    /// The type of address is not known.
    Address,
}

impl Reply {
    /// Every reply, at the place of its byte. Source: \[1\] §6.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Failed,
        Self::Forbidden,
        Self::Network,
        Self::Host,
        Self::Refused,
        Self::TimedOut,
        Self::Command,
        Self::Address,
    ];

    fn byte_5(self) -> u8 {
        let place = Self::ALL.iter().position(|reply| *reply == self);
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(1)
    }

    /// What it says.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "general failure",
            Self::Forbidden => "not allowed by the rules",
            Self::Network => "network unreachable",
            Self::Host => "host unreachable",
            Self::Refused => "connection refused",
            Self::TimedOut => "timed out",
            Self::Command => "command not supported",
            Self::Address => "type of address not supported",
        }
    }
}

impl From<Unreached> for Reply {
    fn from(why: Unreached) -> Self {
        match why {
            Unreached::Forbidden | Unreached::Full => Self::Forbidden,
            Unreached::Unresolved | Unreached::Host => Self::Host,
            Unreached::Refused => Self::Refused,
            Unreached::Network => Self::Network,
            Unreached::TimedOut => Self::TimedOut,
            Unreached::Login | Unreached::NoProxy | Unreached::Garbled | Unreached::Failed => Self::Failed,
        }
    }
}

/// Code of version 4: granted. Source: \[3\].
pub const GRANTED: u8 = 0x5a;
/// Code of version 4: refused or failed.
pub const REJECTED: u8 = 0x5b;

/// The methods of a greeting, one byte each.
///
/// # Errors
/// `Malformed` when it is not whole.
pub fn methods(bytes: &[u8]) -> Result<&[u8], Fault> {
    let mut reader = Reader::new(bytes);
    reader.take(1)?;
    let count = reader.u8()?;
    reader.take(usize::from(count))
}

/// Who logs in.
///
/// # Errors
/// `Malformed` for another version, or when it is not whole.
pub fn read_login(bytes: &[u8]) -> Result<Login<'_>, Fault> {
    let mut reader = Reader::new(bytes);
    let version = reader.u8()?;
    if version != VERSION_LOGIN {
        return Err(Fault::new(FaultKind::Malformed, format!("login of version {version}, 1 expected")).at(0));
    }
    let length = reader.u8()?;
    let user = reader.take(usize::from(length))?;
    let length = reader.u8()?;
    Ok(Login { user, password: reader.take(usize::from(length))? })
}

/// What is asked for by version 5. The reserved byte may be anything.
///
/// # Errors
/// `Malformed` for another version, for a name that cannot be one, or when it is not whole.
pub fn read_request_5(bytes: &[u8]) -> Result<Request<'_>, Fault> {
    let mut reader = Reader::new(bytes);
    let version = reader.u8()?;
    if version != VERSION_5 {
        return Err(Fault::new(FaultKind::Malformed, format!("request of version {version} after 5")).at(0));
    }
    let command = reader.u8()?;
    reader.take(1)?;
    Ok(Request { command, to: destination(&mut reader)?, user: b"" })
}

/// `type | address | port`, as in requests, replies and datagrams of version 5.
fn destination(reader: &mut Reader<'_>) -> Result<Destination, Fault> {
    let kind = reader.u8()?;
    let at = reader.offset();
    let host = match kind {
        TYPE_IPV4 => Host::Address(Ipv4Addr::from(reader.array::<4>()?).into()),
        TYPE_IPV6 => Host::Address(Ipv6Addr::from(reader.array::<16>()?).into()),
        TYPE_NAME => {
            let length = reader.u8()?;
            Host::Name(name(reader.take(usize::from(length))?).map_err(|fault| fault.at(at + 1))?)
        }
        other => return Err(Fault::new(FaultKind::Malformed, format!("type of address {other}")).at(at - 1)),
    };
    Ok(Destination { host, port: reader.u16_be()? })
}

/// A name of printable characters. An address in its place is one.
fn name(bytes: &[u8]) -> Result<Box<str>, Fault> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(Fault::new(FaultKind::Malformed, "a name that is empty or has characters that no name has"));
    }
    Ok(bytes.iter().copied().map(char::from).collect::<String>().into())
}

/// What is asked for by version 4 or 4a.
///
/// # Errors
/// `Malformed` for a name that cannot be one, or when it is not whole.
pub fn read_request_4(bytes: &[u8]) -> Result<Request<'_>, Fault> {
    let mut reader = Reader::new(bytes);
    reader.take(1)?;
    let (command, port, address) = (reader.u8()?, reader.u16_be()?, Ipv4Addr::from(reader.array::<4>()?));
    let mut texts = reader.rest().split(|byte| *byte == 0);
    let user = texts.next().unwrap_or_default();
    let host = if is_4a(bytes) {
        let at = reader.offset() + user.len() + 1;
        Host::Name(name(texts.next().unwrap_or_default()).map_err(|fault| fault.at(at))?)
    } else {
        Host::Address(address.into())
    };
    Ok(Request { command, to: Destination { host, port }, user })
}

/// To whom a datagram of a client goes, and what: `0 0 | fragment | type | address | port u16 BE | content`. `None` for one
/// that is not whole, and for a fragment: nobody sends them, and a relay may drop them. Source: \[1\] §7.
#[must_use]
pub fn unpack(datagram: &[u8]) -> Option<(Destination, &[u8])> {
    let mut reader = Reader::new(datagram);
    reader.take(2).ok()?;
    let fragment = reader.u8().ok()?;
    let to = destination(&mut reader).ok().filter(|_| fragment == 0)?;
    Some((to, reader.rest()))
}

/// Appends a datagram for a client: from whom, and what.
pub fn pack(from: SocketAddr, content: &[u8], into: &mut Vec<u8>) {
    into.extend([0, 0, 0]);
    put_destination(into, &from.into());
    into.extend(content);
}

/// A reply of version 5: which, and the address with it.
///
/// # Errors
/// `Malformed` for another version, a reply that nobody knows, or when it is not whole.
pub fn read_reply_5(bytes: &[u8]) -> Result<(Reply, Destination), Fault> {
    let mut reader = Reader::new(bytes);
    let (version, code) = (reader.u8()?, reader.u8()?);
    let reply = Reply::ALL.get(usize::from(code)).copied().filter(|_| version == VERSION_5);
    let reply =
        reply.ok_or_else(|| Fault::new(FaultKind::Malformed, format!("reply {code} of version {version}")).at(1))?;
    reader.take(1)?;
    Ok((reply, destination(&mut reader)?))
}

/// The method that the server chose.
#[must_use]
pub fn chosen(method: u8) -> [u8; 2] {
    [VERSION_5, method]
}

/// Whether a login was right; whatever is wrong with it, the answer is the same.
#[must_use]
pub fn login_answer(is_in: bool) -> [u8; 2] {
    [VERSION_LOGIN, u8::from(!is_in)]
}

/// A reply of version 5.
#[must_use]
pub fn reply_5(reply: Reply, address: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![VERSION_5, reply.byte_5(), 0];
    put_destination(&mut bytes, &address.into());
    bytes
}

/// A reply of version 4. An IPv6 address does not fit and stands as 0.0.0.0.
#[must_use]
pub fn reply_4(reply: Reply, address: SocketAddr) -> Vec<u8> {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let code = if reply == Reply::Done { GRANTED } else { REJECTED };
    [&[0, code][..], &address.port().to_be_bytes(), &ip.octets()].concat()
}

/// A greeting with these methods; more than 255 are cut.
#[must_use]
pub fn greeting(methods: &[u8]) -> Vec<u8> {
    let methods = methods.get(..methods.len().min(255)).unwrap_or_default();
    [&[VERSION_5, u8::try_from(methods.len()).unwrap_or(u8::MAX)], methods].concat()
}

/// A login; texts over 255 bytes are cut.
#[must_use]
pub fn write_login(user: &[u8], password: &[u8]) -> Vec<u8> {
    let mut bytes = vec![VERSION_LOGIN];
    for text in [user, password] {
        put_short(&mut bytes, text);
    }
    bytes
}

/// A request of version 5.
#[must_use]
pub fn request_5(command: Command, to: &Destination) -> Vec<u8> {
    let mut bytes = vec![VERSION_5, command.byte(), 0];
    put_destination(&mut bytes, to);
    bytes
}

/// A request of version 4, or of 4a for a name. `None`: an IPv6 address, which neither can say.
#[must_use]
pub fn request_4(command: Command, to: &Destination, user: &[u8]) -> Option<Vec<u8>> {
    let (address, name) = match &to.host {
        Host::Address(IpAddr::V4(address)) => (address.octets(), None),
        Host::Address(IpAddr::V6(_)) => return None,
        Host::Name(name) => ([0, 0, 0, 1], Some(name)),
    };
    let mut bytes = vec![VERSION_4, command.byte()];
    bytes.extend(to.port.to_be_bytes());
    bytes.extend(address);
    bytes.extend(user);
    bytes.push(0);
    if let Some(name) = name {
        bytes.extend(name.as_bytes());
        bytes.push(0);
    }
    Some(bytes)
}

fn put_destination(bytes: &mut Vec<u8>, to: &Destination) {
    match &to.host {
        Host::Address(IpAddr::V4(address)) => {
            bytes.push(TYPE_IPV4);
            bytes.extend(address.octets());
        }
        Host::Address(IpAddr::V6(address)) => {
            bytes.push(TYPE_IPV6);
            bytes.extend(address.octets());
        }
        Host::Name(name) => {
            bytes.push(TYPE_NAME);
            put_short(bytes, name.as_bytes());
        }
    }
    bytes.extend(to.port.to_be_bytes());
}

/// `length u8 | text`.
fn put_short(bytes: &mut Vec<u8>, text: &[u8]) {
    let text = text.get(..text.len().min(255)).unwrap_or_default();
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend(text);
}
