//! Connections that go out through a proxy of others.

use std::io;

use loggerhead_protocols::relay::upstream::{Step, Upstream, UpstreamError};
use loggerhead_protocols::relay::{Destination, Unreached};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What an error of the system says of who was to be reached.
const WHY: [(io::ErrorKind, Unreached); 4] = [
    (io::ErrorKind::ConnectionRefused, Unreached::Refused),
    (io::ErrorKind::TimedOut, Unreached::TimedOut),
    (io::ErrorKind::NetworkUnreachable, Unreached::Network),
    (io::ErrorKind::HostUnreachable, Unreached::Host),
];

/// The word for the proxy that the environment names.
const ENVIRONMENT: &str = "environment";
/// Where the environment names one.
const VARIABLES: [&str; 2] = ["ALL_PROXY", "all_proxy"];

/// The proxy that a text names, or that the environment does where the text is `environment`; nothing else looks there.
///
/// # Errors
/// `UpstreamError` for a text that names none, and for an environment that does not.
pub fn upstream_named(text: &str) -> Result<Upstream, UpstreamError> {
    if text != ENVIRONMENT {
        return text.parse();
    }
    VARIABLES.iter().find_map(|name| std::env::var(name).ok()).ok_or(UpstreamError)?.parse()
}

/// A connection to somebody through a proxy. It has no time limit of its own: whoever calls knows how long that may take.
///
/// # Errors
/// What the proxy says, and what the system says of the proxy.
pub async fn connect_through(upstream: &Upstream, to: &Destination) -> io::Result<TcpStream> {
    through(upstream, to).await.map_err(|why| io::Error::other(format!("through {upstream}: {}", why.word())))
}

/// The same, for whom why nobody was reached is enough.
///
/// # Errors
/// Why nobody was reached.
pub(crate) async fn through(upstream: &Upstream, to: &Destination) -> Result<TcpStream, Unreached> {
    let proxy = (upstream.host(), upstream.port());
    let mut stream = TcpStream::connect(proxy).await.map_err(|_| Unreached::NoProxy)?;
    let mut handshake = upstream.handshake(to);
    loop {
        match handshake.step() {
            Step::Send(bytes) => stream.write_all(&bytes).await.map_err(|error| why(&error))?,
            Step::Read(count) => {
                let mut bytes = vec![0; count];
                let ended = |error: io::Error| {
                    if error.kind() == io::ErrorKind::UnexpectedEof { Unreached::Garbled } else { why(&error) }
                };
                stream.read_exact(&mut bytes).await.map_err(ended)?;
                handshake.take(&bytes)?;
            }
            Step::Done => return Ok(stream),
        }
    }
}

/// Why nobody was reached, by an error of the system.
pub(crate) fn why(error: &io::Error) -> Unreached {
    let known = WHY.iter().find(|(kind, _)| *kind == error.kind());
    known.map_or(Unreached::Failed, |(_, why)| *why)
}
