//! Accepting connections, and owning them until they end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use loggerhead_protocols::{Carrier, CloseReason, Fault, FaultKind};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::caller::{Answered, Caller};
use crate::connection::{Stream, serve, serve_datagrams};
use crate::core::Core;
use crate::datagrams::{Called, Conversation, Datagrams};
use crate::guest::{Guest, Peer};
use crate::listener::{Listener, Pass};
use crate::proxy::client_behind;
use crate::socket::{SocketFile, reset_at_close, tune};

/// How long accepting pauses first when the process or the kernel is out of something. Trying again at once would use a
/// whole core and help nobody.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// How long it pauses at most: what is short may be there again within a second.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// One listening socket.
pub(crate) enum Door {
    Tcp(TcpListener),
    Udp(Datagrams),
    /// The file is removed when the listener is dropped.
    Unix {
        listener: UnixListener,
        _file: Option<SocketFile>,
    },
    /// Nobody comes in: the peer is called.
    Call(Caller),
}

enum Arrived {
    Tcp(TcpStream, SocketAddr),
    Udp(Conversation, SocketAddr),
    Unix(UnixStream),
    /// We called.
    Called(TcpStream, SocketAddr),
    /// We call: nobody has answered yet.
    CalledUdp(Called, SocketAddr),
}

impl Door {
    async fn accept(&mut self, listener: &Listener) -> io::Result<Arrived> {
        match self {
            Self::Tcp(door) => {
                let (stream, address) = door.accept().await?;
                tune(&stream, &listener.settings().sockets)?;
                Ok(Arrived::Tcp(stream, address))
            }
            Self::Udp(door) => {
                let settings = listener.settings();
                let silence = settings.sockets.datagram_silence;
                door.accept(settings.connections_max, silence)
                    .await
                    .map(|(conversation, address)| Arrived::Udp(conversation, address))
            }
            Self::Unix { listener: door, .. } => door.accept().await.map(|(stream, _)| Arrived::Unix(stream)),
            Self::Call(caller) => Ok(match caller.call(listener).await {
                (Answered::Tcp(stream), address) => Arrived::Called(stream, address),
                (Answered::Udp(socket), address) => Arrived::CalledUdp(Called::new(socket), address),
            }),
        }
    }

    /// Whether there may be one more connection beside so many: a peer is not called while it is there.
    fn takes_another(&self, connections: usize) -> bool {
        !matches!(self, Self::Call(_)) || connections == 0
    }
}

/// Lets peers in at a rate: as many at once as in a second.
#[derive(Clone, Copy, Debug)]
struct Turnstile {
    /// Until when those who are in last at the rate.
    until: Instant,
}

impl Turnstile {
    /// Until when it is shut, if it is.
    fn shut_until(self, now: Instant) -> Option<Instant> {
        self.until.checked_sub(Duration::from_secs(1)).filter(|opens_at| *opens_at > now)
    }

    /// One more is in, at so many in a second.
    fn count(&mut self, now: Instant, per_s_max: u32) {
        if let Some(each) = Duration::from_secs(1).checked_div(per_s_max) {
            self.until = self.until.max(now) + each;
        }
    }
}

/// Accepts until `stop`, then waits for the connections that are left; whoever stops tells them to end.
pub(crate) async fn keep(
    core: Arc<Core>,
    listener: Arc<Listener>,
    mut door: Door,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let mut pause = PAUSE_MIN;
    let mut turnstile = Turnstile { until: Instant::now() };
    loop {
        // Whoever has to wait stands in the kernel's queue, and costs nothing here.
        let shut_until = turnstile.shut_until(Instant::now());
        let may_accept = shut_until.is_none() && door.takes_another(connections.len());
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            () = sleep_until(shut_until.unwrap_or_else(Instant::now)), if shut_until.is_some() => {}
            arrived = door.accept(&listener), if may_accept => match arrived {
                Ok(arrived) => {
                    pause = PAUSE_MIN;
                    turnstile.count(Instant::now(), listener.settings().connects_per_s_max);
                    welcome(&core, &listener, tls.as_ref(), arrived, &mut connections);
                }
                Err(error) => {
                    core.counters.accept_errors.one_more();
                    if is_of_one_peer(&error) {
                        continue;
                    }
                    tracing::warn!(listener = listener.name, %error, "cannot accept a connection");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                    }
                }
            },
        }
    }
    drop(door);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

/// The peer was gone before it was accepted; the next one is not.
fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Interrupted
    )
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task broke");
    }
}

fn welcome(
    core: &Arc<Core>,
    listener: &Arc<Listener>,
    tls: Option<&TlsAcceptor>,
    arrived: Arrived,
    connections: &mut JoinSet<()>,
) {
    let peer = match &arrived {
        Arrived::Tcp(_, address)
        | Arrived::Udp(_, address)
        | Arrived::Called(_, address)
        | Arrived::CalledUdp(_, address) => Peer::at(*address),
        Arrived::Unix(_) => Peer { text: "unix".into(), address: None, certified: None },
    };
    let proxies = &listener.settings().proxies;
    let is_proxied =
        matches!(arrived, Arrived::Tcp(..)) && peer.address.is_some_and(|address| proxies.contains(&address));
    // Whose connection it is turns out later where a proxy is between.
    let pass = match listener.admit(peer.address.filter(|_| !is_proxied)) {
        Ok(pass) => pass,
        Err(limit) => {
            listener.counters.limited(limit);
            tracing::debug!(listener = listener.name, peer = %peer.text, limit = limit.word(), "no room");
            if let Arrived::Tcp(stream, _) = &arrived {
                reset_at_close(stream);
            }
            return;
        }
    };
    let core = Arc::clone(core);
    match (arrived, tls.cloned()) {
        (Arrived::Tcp(stream, _), tls) if is_proxied => connections.spawn(serve_proxied(core, pass, peer, stream, tls)),
        // The configuration has no TLS on UDP, and none towards peers that are called.
        (Arrived::Tcp(stream, _), None) | (Arrived::Called(stream, _), _) => {
            connections.spawn(serve(core, pass, peer, stream))
        }
        (Arrived::Udp(conversation, _), _) => {
            connections.spawn(serve_datagrams(core, pass, peer, conversation, Carrier::Datagrams))
        }
        (Arrived::CalledUdp(called, _), _) => {
            connections.spawn(serve_datagrams(core, pass, peer, called, Carrier::CalledDatagrams))
        }
        (Arrived::Unix(stream), None) => connections.spawn(serve(core, pass, peer, stream)),
        (Arrived::Tcp(stream, _), Some(tls)) => connections.spawn(serve_tls(core, pass, peer, stream, tls)),
        (Arrived::Unix(stream), Some(tls)) => connections.spawn(serve_tls(core, pass, peer, stream, tls)),
    };
}

/// The same for whom a proxy speaks. Its header counts towards the time to the first frame.
async fn serve_proxied(core: Arc<Core>, mut pass: Pass, proxy: Peer, mut stream: TcpStream, tls: Option<TlsAcceptor>) {
    let within = pass.listener().settings().limits.first_frame;
    let told = tokio::time::timeout(within, client_behind(&mut stream)).await;
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("nothing whole within {within:?}"));
    let peer = match told.unwrap_or_else(|_| Err(late())) {
        Ok(Some(client)) => Peer::at(client),
        Ok(None) => proxy,
        Err(error) => {
            pass.listener().counters.handshakes_failed.one_more();
            let kind = if error.kind() == io::ErrorKind::InvalidData {
                FaultKind::Malformed
            } else if error.kind() == io::ErrorKind::TimedOut {
                FaultKind::TooSlow
            } else {
                // Many only look whether we are there, again and again.
                tracing::debug!(proxy = %proxy.text, %error, "no PROXY header");
                return;
            };
            let fault = Fault::new(kind, format!("no PROXY header from a listed proxy: {error}"));
            Guest::new(core, pass, proxy).faulted(&fault);
            return;
        }
    };
    if let Some(Err(limit)) = peer.address.map(|address| pass.comes_from(address)) {
        pass.listener().counters.limited(limit);
        tracing::debug!(listener = pass.listener().name, peer = %peer.text, limit = limit.word(), "no room");
        reset_at_close(&stream);
        return;
    }
    match tls {
        Some(tls) => serve_tls(core, pass, peer, stream, tls).await,
        None => serve(core, pass, peer, stream).await,
    }
}

/// The same below TLS. The handshake counts towards the time to the first frame.
async fn serve_tls<S: Stream>(core: Arc<Core>, pass: Pass, peer: Peer, stream: S, tls: TlsAcceptor) {
    let within = pass.listener().settings().limits.first_frame;
    match tokio::time::timeout(within, tls.accept(stream)).await {
        // On the heap: the state of a TLS stream is large, and every task would be as large as the largest.
        Ok(Ok(stream)) => {
            let peer = peer.certified_by(stream.get_ref().1);
            serve(core, pass, peer, Box::new(stream)).await;
        }
        Ok(Err(error)) => {
            pass.listener().counters.handshakes_failed.one_more();
            tracing::debug!(peer = %peer.text, %error, "no TLS handshake");
        }
        Err(_) => {
            pass.listener().counters.handshakes_failed.one_more();
            tracing::debug!(peer = %peer.text, reason = %CloseReason::Silent(within), "no TLS handshake");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Turnstile;

    /// How many are let in at this moment, at this rate.
    fn let_in(turnstile: &mut Turnstile, now: Instant, per_s_max: u32) -> usize {
        let mut count = 0;
        while count < 1_000 && turnstile.shut_until(now).is_none() {
            turnstile.count(now, per_s_max);
            count += 1;
        }
        count
    }

    #[test]
    fn as_many_are_let_in_at_once_as_in_a_second_and_then_at_the_rate() {
        let now = Instant::now();
        let mut turnstile = Turnstile { until: now };
        let first = let_in(&mut turnstile, now, 10);
        assert!((10..=11).contains(&first), "{first}");
        assert_eq!(let_in(&mut turnstile, now, 10), 0);
        assert_eq!(let_in(&mut turnstile, now + Duration::from_millis(500), 10), 5);
        let opens_at = turnstile.shut_until(now).expect("it is shut");
        assert_eq!(let_in(&mut turnstile, opens_at, 10), 1);
        assert_eq!(let_in(&mut Turnstile { until: now }, now, 0), 1_000, "without a rate everybody is let in");
    }
}
