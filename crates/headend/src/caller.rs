//! Connections that the head-end opens: an address is called, and called again when its connection is over.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use loggerhead_protocols::relay::upstream::Upstream;
use loggerhead_protocols::relay::{Destination, Host};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::{Instant, sleep_until, timeout};

use crate::listener::Listener;
use crate::outgoing::connect_through;
use crate::socket::{Families, bind_udp, tune};

/// How long a peer may take to answer a call: the slowest mobile networks need some seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longest pause before the next call after one that failed, or whose connection did not last.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause there is: a peer that is there again is found within it.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// A connection that stood for so long was a good one: the next call comes soon.
const GOOD_AFTER: Duration = PAUSE_MAX;
/// How often the first pause is doubled at most: from a second to over a minute.
const DOUBLINGS_MAX: u32 = 6;

/// What stands before the address of a peer that is called over UDP.
const UDP: &str = "udp:";

/// Who was called.
pub(crate) enum Answered {
    /// A connection that stands.
    Tcp(TcpStream),
    /// A socket that is connected to the peer, which shows only later whether it is there.
    Udp(UdpSocket),
}

/// Calls one address.
pub(crate) struct Caller {
    /// `HOST:PORT` or `udp:HOST:PORT`; a name is looked up at each call.
    to: String,
    /// Through which proxy.
    through: Option<Upstream>,
    /// Calls since the last one that led to something.
    attempts: u32,
    next_at: Instant,
    /// Since when the last connection stands or stood.
    stood_at: Option<Instant>,
}

impl Caller {
    /// One that calls at once.
    pub(crate) fn new(to: String, through: Option<Upstream>) -> Self {
        Self { to, through, attempts: 0, next_at: Instant::now(), stood_at: None }
    }

    /// The next connection that stands. Comes to an end only with one; what is dropped while it waits is only the attempt.
    pub(crate) async fn call(&mut self, listener: &Listener) -> (Answered, SocketAddr) {
        if let Some(stood_at) = self.stood_at.take() {
            if stood_at.elapsed() >= GOOD_AFTER {
                self.attempts = 0;
            }
            self.set_pause();
        }
        loop {
            sleep_until(self.next_at).await;
            match self.attempt(listener).await {
                Ok(connected) => {
                    self.stood_at = Some(Instant::now());
                    return connected;
                }
                Err(error) => {
                    self.set_pause();
                    let pause_ms = self.next_at.saturating_duration_since(Instant::now()).as_millis();
                    tracing::info!(listener = listener.name, to = self.to, %error, pause_ms, "nobody answers there");
                }
            }
        }
    }

    async fn attempt(&self, listener: &Listener) -> io::Result<(Answered, SocketAddr)> {
        if let Some(to) = self.to.strip_prefix(UDP) {
            let mut found = timeout(ANSWER_WITHIN, lookup_host(to)).await.map_err(io::Error::from)??;
            let peer = found.next().ok_or_else(|| io::Error::other("no such host"))?;
            let any: SocketAddr = match peer {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = bind_udp(any, Families::Both, &listener.settings().sockets)?;
            socket.connect(peer).await?;
            return Ok((Answered::Udp(socket), peer));
        }
        let calling = async {
            let Some(through) = &self.through else {
                let stream = TcpStream::connect(&*self.to).await?;
                return Ok::<_, io::Error>((stream.peer_addr()?, stream));
            };
            let to: Destination = self.to.parse().map_err(io::Error::other)?;
            let stream = connect_through(through, &to).await?;
            // A name is looked up by the proxy, so the peer is known by the address of the proxy.
            let address = if let Host::Address(address) = to.host { address } else { stream.peer_addr()?.ip() };
            Ok((SocketAddr::new(address, to.port), stream))
        };
        let (peer, stream) = timeout(ANSWER_WITHIN, calling).await.map_err(io::Error::from)??;
        tune(&stream, &listener.settings().sockets)?;
        Ok((Answered::Tcp(stream), peer))
    }

    /// The next call waits: twice as long as the last one, and a random part less, so that many do not come at one moment.
    fn set_pause(&mut self) {
        let pause = PAUSE_MIN.saturating_mul(1 << self.attempts.min(DOUBLINGS_MAX)).min(PAUSE_MAX);
        self.attempts = self.attempts.saturating_add(1);
        self.next_at = Instant::now() + pause.mul_f64(rand::random_range(0.5..1.0));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::{Answered, Caller, PAUSE_MAX};
    use crate::testing::Bench;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_minute_and_differ() {
        let mut caller = Caller::new("127.0.0.1:1".to_owned(), None);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            caller.set_pause();
            pauses.push(caller.next_at - Instant::now());
        }
        assert!(pauses[0] <= Duration::from_secs(1) && pauses[0] >= Duration::from_millis(500), "{pauses:?}");
        assert!(pauses[3] >= Duration::from_secs(4) && pauses[3] <= Duration::from_secs(8), "{pauses:?}");
        assert!(pauses[8..].iter().all(|pause| *pause <= PAUSE_MAX && *pause >= PAUSE_MAX / 2), "{pauses:?}");
        assert!(pauses[8..].iter().any(|pause| *pause != pauses[8]), "{pauses:?}");
    }

    #[tokio::test]
    async fn a_peer_is_reached_through_a_proxy_and_known_by_its_own_address() {
        let bench = Bench::new().await;
        let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let through = format!("socks5://{}", proxy.local_addr().expect("it is bound")).parse().expect("a proxy");
        let mut caller = Caller::new("192.0.2.7:7000".to_owned(), Some(through));
        let leading = async {
            let (mut stream, _) = proxy.accept().await.expect("somebody calls");
            let mut greeting = [0; 3];
            stream.read_exact(&mut greeting).await.expect("a greeting");
            stream.write_all(&[5, 0]).await.expect("it is read");
            let mut request = [0; 10];
            stream.read_exact(&mut request).await.expect("a request");
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.expect("it is read");
            stream.write_all(b"hello").await.expect("it is read");
            request
        };
        let ((answered, peer), request) = tokio::join!(caller.call(&bench.listener), leading);
        let Answered::Tcp(mut stream) = answered else { panic!("a proxy leads over TCP") };
        assert_eq!(request, [5, 1, 0, 1, 192, 0, 2, 7, 0x1b, 0x58]);
        assert_eq!(peer.to_string(), "192.0.2.7:7000");
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.expect("what the peer says");
        assert_eq!(&hello, b"hello");
    }

    #[tokio::test]
    async fn a_peer_that_listens_is_reached_and_reached_again() {
        let bench = Bench::new().await;
        let peer = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = peer.local_addr().expect("it is bound");
        let mut caller = Caller::new(address.to_string(), None);
        for attempts in 0..2 {
            let (called, accepted) = tokio::join!(caller.call(&bench.listener), peer.accept());
            assert_eq!(called.1, address);
            accepted.expect("somebody called");
            assert_eq!(caller.attempts, attempts, "a connection that did not last is no reason to hurry");
        }
    }
}
