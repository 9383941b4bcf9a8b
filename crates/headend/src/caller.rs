//! Connections that the head-end opens: an address is called, and called again when its connection is over.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::listener::Listener;
use crate::socket::tune;

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

/// Calls one address.
pub(crate) struct Caller {
    /// `HOST:PORT`; a name is looked up at each call.
    to: String,
    /// Calls since the last one that led to something.
    attempts: u32,
    next_at: Instant,
    /// Since when the last connection stands or stood.
    stood_at: Option<Instant>,
}

impl Caller {
    /// One that calls at once.
    pub(crate) fn new(to: String) -> Self {
        Self { to, attempts: 0, next_at: Instant::now(), stood_at: None }
    }

    /// The next connection that stands. Comes to an end only with one; what is dropped while it waits is only the attempt.
    pub(crate) async fn call(&mut self, listener: &Listener) -> (TcpStream, SocketAddr) {
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

    async fn attempt(&self, listener: &Listener) -> io::Result<(TcpStream, SocketAddr)> {
        let stream = timeout(ANSWER_WITHIN, TcpStream::connect(&*self.to)).await.map_err(io::Error::from)??;
        tune(&stream, &listener.settings().sockets)?;
        let peer = stream.peer_addr()?;
        Ok((stream, peer))
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

    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::{Caller, PAUSE_MAX};
    use crate::testing::Bench;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_minute_and_differ() {
        let mut caller = Caller::new("127.0.0.1:1".to_owned());
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
    async fn a_peer_that_listens_is_reached_and_reached_again() {
        let bench = Bench::new().await;
        let peer = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = peer.local_addr().expect("it is bound");
        let mut caller = Caller::new(address.to_string());
        for attempts in 0..2 {
            let (called, accepted) = tokio::join!(caller.call(&bench.listener), peer.accept());
            assert_eq!(called.1, address);
            accepted.expect("somebody called");
            assert_eq!(caller.attempts, attempts, "a connection that did not last is no reason to hurry");
        }
    }
}
