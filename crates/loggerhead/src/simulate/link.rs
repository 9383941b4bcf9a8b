//! The socket of a simulated device: TCP, TLS over TCP, UDP, or a Unix socket.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use loggerhead_headend::outgoing::{connect_through, upstream_named};
use loggerhead_protocols::relay::upstream::Upstream;
use loggerhead_protocols::relay::{Destination, Host};
use loggerhead_protocols::{Carrier, Protocol};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UdpSocket, UnixStream, lookup_host};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a proxy may take to lead somebody on.
const PROXY_WITHIN: Duration = Duration::from_secs(30);

/// Where a head-end listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `HOST:PORT`, with an IPv6 address in brackets.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// `udp:HOST:PORT`.
    Udp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// `unix:PATH`; `unix:@NAME` is no file.
    Unix(PathBuf),
}

/// A text that is not an address.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an address: write HOST:PORT, [IPV6]:PORT, udp:HOST:PORT or unix:PATH")]
pub(crate) struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(error()) } else { Ok(Self::Unix(path.into())) };
        }
        let udp = text.strip_prefix("udp:");
        let (host, port) = udp.unwrap_or(text).rsplit_once(':').ok_or_else(error)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        if host.is_empty() || (bracketed.is_none() && host.contains(':')) {
            return Err(error());
        }
        let (host, port) = (host.to_owned(), port.parse().map_err(|_| error())?);
        Ok(if udp.is_some() { Self::Udp { host, port } } else { Self::Tcp { host, port } })
    }
}

impl Address {
    /// What goes there.
    pub(crate) fn carrier(&self) -> Carrier {
        match self {
            Self::Udp { .. } => Carrier::Datagrams,
            Self::Tcp { .. } | Self::Unix(_) => Carrier::Stream,
        }
    }

    /// Whether devices of this protocol can speak to there.
    ///
    /// # Errors
    /// When they do not go over UDP.
    pub(crate) fn check(&self, protocol: &Protocol) -> anyhow::Result<()> {
        if self.carrier() == Carrier::Datagrams && !protocol.transport.takes_datagrams() {
            anyhow::bail!("--to {self}: {} does not go over UDP, write HOST:PORT", protocol.name);
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Self::Udp { host, port } if host.contains(':') => write!(formatter, "udp:[{host}]:{port}"),
            Self::Udp { host, port } => write!(formatter, "udp:{host}:{port}"),
            Self::Tcp { host, port } => write!(formatter, "{host}:{port}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// By which way a head-end is reached: an option of all who connect to one.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Way {
    /// Connect through this proxy: socks5://USER:PASSWORD@HOST:PORT, http://..., or environment for the one in ALL_PROXY
    #[arg(long, value_name = "URL", value_parser = upstream_named)]
    pub(crate) proxy: Option<Upstream>,
}

impl Way {
    /// A connection for who waits on the thread of the runtime.
    ///
    /// # Errors
    /// Whatever the system or the proxy says.
    pub(crate) fn connect(&self, host: &str, port: u16) -> io::Result<std::net::TcpStream> {
        let Some(proxy) = &self.proxy else { return std::net::TcpStream::connect((host, port)) };
        let to = destination(host, port);
        let connecting = timeout(PROXY_WITHIN, connect_through(proxy, &to));
        let connected = tokio::task::block_in_place(|| Handle::current().block_on(connecting));
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}

/// What a proxy is asked for.
fn destination(host: &str, port: u16) -> Destination {
    Destination { host: host.parse().map_or_else(|_| Host::Name(host.into()), Host::Address), port }
}

/// How to reach a head-end.
#[derive(Clone)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: Address,
    /// Speaks TLS when there is one.
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// By which way.
    pub(crate) way: Way,
}

/// A connection that stands.
pub(crate) enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// UDP: what is written at once is one datagram.
    Udp(UdpSocket),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP. On the heap: it is far larger than the others.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Target {
    /// Connects.
    ///
    /// # Errors
    /// Whatever the system or TLS says.
    pub(crate) async fn connect(self) -> io::Result<Stream> {
        match self.address {
            Address::Unix(_) | Address::Udp { .. } if self.way.proxy.is_some() => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "a proxy leads to HOST:PORT alone"))
            }
            Address::Unix(path) => UnixStream::connect(socket_path(path)).await.map(Stream::Unix),
            Address::Udp { host, port } => {
                let to = lookup_host((host.as_str(), port)).await?.next().ok_or(io::ErrorKind::NotFound)?;
                let any: IpAddr =
                    if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                let socket = UdpSocket::bind((any, 0)).await?;
                socket.connect(to).await?;
                Ok(Stream::Udp(socket))
            }
            Address::Tcp { host, port } => {
                let stream = match &self.way.proxy {
                    Some(proxy) => connect_through(proxy, &destination(&host, port)).await?,
                    None => TcpStream::connect((host.as_str(), port)).await?,
                };
                stream.set_nodelay(true)?;
                let Some(tls) = self.tls else { return Ok(Stream::Tcp(stream)) };
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                let stream = TlsConnector::from(tls).connect(name, stream).await;
                Ok(Stream::Tls(Box::new(stream.map_err(perhaps_plain)?)))
            }
        }
    }
}

/// A handshake failed. A server that does not speak TLS closes at the first bytes of it.
fn perhaps_plain(error: io::Error) -> io::Error {
    let kind = error.kind();
    if !matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) {
        return error;
    }
    let words = "the server closed at the handshake of TLS; if it does not speak it there, leave --tls out";
    io::Error::new(kind, words)
}

/// A path that begins with `@` is a name and no file, which the system writes with a zero byte.
fn socket_path(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes() {
        [b'@', name @ ..] => OsString::from_vec([b"\0", name].concat()).into(),
        _ => path,
    }
}

impl Stream {
    /// Reads what has come into `buffer`.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Udp(socket) => socket.poll_recv(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    /// Writes a part of `slices`, all in one system call; of datagrams the first.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Udp(socket) => socket.poll_send(context, slices.first().map_or(&[], |slice| slice)),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    /// Sends what TLS still holds back.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Udp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Udp(_) => Poll::Ready(Ok(())),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_print_as_they_are_written() {
        for text in
            ["127.0.0.1:36829", "[::1]:36829", "head-end.example:4400", "udp:[::1]:54600", "unix:/run/loggers.sock"]
        {
            assert_eq!(text.parse::<Address>().expect("an address").to_string(), text);
        }
        for text in ["", "host", ":1", "::1:36829", "host:", "host:70000", "unix:", "[::1]"] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
