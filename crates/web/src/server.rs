//! Accepts connections and serves the router on them, within limits of number and time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use loggerhead_headend::HeadEnd;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::access::{Caller, Token};
use crate::routes;
use crate::socket::{self, SocketFile};
use crate::state::{Api, STREAMS_MAX};

/// Connections on each listener at a time; more wait in the kernel.
pub const CONNECTIONS_MAX: usize = STREAMS_MAX + 512;
/// From a connection, or from the answer before, to the whole head of a request.
pub const HEAD_MAX: Duration = Duration::from_secs(15);
/// Bytes of a request's head, and of what is buffered of a connection.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// How long accepting pauses after the kernel refused, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A peer that takes no bytes and acknowledges none for so long is gone.
const DEAD_AFTER: Duration = Duration::from_mins(1);

/// Where to serve.
#[derive(Clone)]
pub struct Settings {
    /// Where the private socket is made.
    pub socket: PathBuf,
    /// A TCP address beside it.
    pub tcp: Option<Tcp>,
}

/// A TCP address that needs a token.
#[derive(Clone)]
pub struct Tcp {
    /// The address; port 0 takes any that is free.
    pub address: SocketAddr,
    /// What callers have to know.
    pub token: Token,
}

/// The API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another server answers on the socket.
    #[error("another server answers on {path}: stop it, or use another data directory", path = path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket stands where it should be.
    #[error("{path} is not a socket: move it away", path = path.display())]
    NotASocket {
        /// What stands there.
        path: PathBuf,
    },
    /// The system refused.
    #[error("the API cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// A running server of the API.
#[derive(Debug)]
pub struct Server {
    tcp_address: Option<SocketAddr>,
    /// Ends every task of the server, also when it is dropped without `shutdown`.
    stopping: DropGuard,
    listeners: Vec<JoinHandle<()>>,
    _file: SocketFile,
}

impl Server {
    /// Binds and serves. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// `InUse` when another server answers on the socket, `NotASocket` when another file stands there, `Listen` when the
    /// system refuses an address.
    pub async fn start(headend: HeadEnd, settings: Settings) -> Result<Self, ServeError> {
        let (unix, file) = socket::listen(&settings.socket)?;
        let tcp = match &settings.tcp {
            Some(tcp) => Some(bind(tcp.address).await?),
            None => None,
        };
        let tcp_address = tcp.as_ref().map(|(_, address)| *address);
        let stopping = CancellationToken::new();
        let api = Api::new(headend, settings.tcp.map(|tcp| tcp.token), stopping.clone());
        let router = routes::router(&api);
        let mut listeners = vec![tokio::spawn(accept(unix, router.clone(), stopping.clone()))];
        listeners.extend(tcp.map(|(tcp, _)| tokio::spawn(accept(tcp, router, stopping.clone()))));
        if let Some(address) = tcp_address.filter(|address| !address.ip().is_loopback()) {
            tracing::warn!(%address, "the API is served beyond this host without TLS: put it behind a proxy that has it");
        }
        Ok(Self { tcp_address, stopping: stopping.drop_guard(), listeners, _file: file })
    }

    /// The TCP address, with the real port where the settings said 0.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp_address
    }

    /// Ends live streams, lets requests that are being answered end `within` this time, and removes the socket.
    pub async fn shutdown(self, within: Duration) {
        drop(self.stopping);
        let mut listeners = self.listeners;
        let all = async {
            for listener in &mut listeners {
                // It ends by itself, or it panicked and is gone as well.
                drop(listener.await);
            }
        };
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::warn!("requests to the API were cut off by the end of the process");
            for listener in &listeners {
                listener.abort();
            }
        }
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_string(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Something that connections come from.
trait Listener: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Caller)>> + Send;
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Caller)> {
        let (stream, _) = Self::accept(self).await?;
        Ok((stream, Caller::Socket))
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Caller)> {
        let (stream, peer) = Self::accept(self).await?;
        let address: IpAddr = peer.ip().to_canonical();
        // A peer that vanished without a word is noticed; that these cannot be set is no reason to turn it away.
        let socket = SockRef::from(&stream);
        let keepalive = TcpKeepalive::new().with_time(DEAD_AFTER / 2).with_interval(DEAD_AFTER / 6);
        let set = stream
            .set_nodelay(true)
            .and_then(|()| socket.set_tcp_keepalive(&keepalive))
            .and_then(|()| socket.set_tcp_user_timeout(Some(DEAD_AFTER)));
        if let Err(error) = set {
            tracing::debug!(%peer, %error, "socket options of an API connection");
        }
        Ok((stream, Caller::Tcp(address)))
    }
}

/// Accepts until the server stops, then waits for the connections that are open.
async fn accept<L: Listener>(listener: L, router: Router, stopping: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let next = async {
            let place = place.await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(_) = connections.join_next() => {}
            (accepted, place) = next => match accepted {
                Ok((stream, caller)) => {
                    let connection = serve(stream, caller, router.clone(), stopping.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the API cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection until it ends; when the server stops, until the request on it is answered.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    caller: Caller,
    router: Router,
    stopping: CancellationToken,
) {
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller);
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(?caller, %error, "an API connection ended early");
    }
}
