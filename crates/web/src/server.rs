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
use loggerhead_headend::tls::{self, FileError};
use loggerhead_model::Role;
use loggerhead_store::StoreError;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::access::{Caller, Link, Token, Transport};
use crate::course;
use crate::places::{Place, Places};
use crate::problem::{Problem, ProblemKind};
use crate::routes::{self, HEAD_BYTES_MAX, HEADERS_MAX};
use crate::socket::{self, SocketFile};
use crate::state::{Api, Front, STREAMS_MAX};
use crate::told::{self, Told};

/// Connections on each listener at a time. Beyond it the one that is idle for longest is closed for a new one; when none
/// is idle, the new one is turned away.
pub const CONNECTIONS_MAX: usize = STREAMS_MAX + 512;
/// Bytes that are buffered of a connection: a head that is too long is read to its end, so that it is answered like every
/// other problem. One beyond this is endless, and cut off.
const BUFFER_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;
/// Headers that are read, for the same reason.
const HEADERS_READ_MAX: usize = 4 * HEADERS_MAX;
/// How long accepting pauses after the kernel refused, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long telling a peer that there is no place may take.
const TURN_AWAY_MAX: Duration = Duration::from_secs(1);
/// A peer that takes no bytes and acknowledges none for so long is gone.
const DEAD_AFTER: Duration = Duration::from_mins(1);

/// Where to serve.
#[derive(Clone)]
pub struct Settings {
    /// Where the private socket is made.
    pub socket: PathBuf,
    /// TCP addresses beside it.
    pub web: Option<Web>,
    /// For how long peers are waited for.
    pub waits: Waits,
}

/// For how long peers are waited for. The defaults are right for people, browsers and proxies; tests take shorter ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// From a connection, or from the answer before, to the whole head of a request; with TLS to the end of the handshake.
    pub head: Duration,
    /// To the head of an answer, which begins when the whole body of the request is there. Bodies that are streamed go on.
    pub answer: Duration,
    /// How often a WebSocket is asked whether it is there; one that says nothing until the next time is gone. After as long
    /// without a message server-sent events say that they go on.
    pub ping: Duration,
    /// A subscriber that takes nothing for so long is gone.
    pub write: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            ping: Duration::from_secs(15),
            write: Duration::from_secs(30),
        }
    }
}

/// Where the console and the API are served to people.
#[derive(Clone)]
pub struct Web {
    /// The addresses; port 0 takes any that is free.
    pub addresses: Vec<SocketAddr>,
    /// How bytes travel there.
    pub transport: Transport,
    /// A token that may do everything.
    pub token: Option<Token>,
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
    /// An account that cannot be made.
    #[error("account {name}: {reason}")]
    Account {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The store cannot say who may sign in.
    #[error("reading who may sign in: {0}")]
    Store(#[from] StoreError),
    /// The system gave no threads.
    #[error("starting the threads for live push: {0}")]
    Threads(#[source] io::Error),
    /// A certificate that cannot be used.
    #[error("the console's certificate: {0}")]
    Tls(#[from] FileError),
    /// The system refused.
    #[error("the console cannot be served on {address}: {source}; set web.address to another address, or to \"off\"")]
    Web {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system refused the private socket.
    #[error("the API cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// A running server of the API.
pub struct Server {
    addresses: Vec<SocketAddr>,
    api: Api,
    /// Ends every task of the server, also when it is dropped without `shutdown`.
    stopping: DropGuard,
    listeners: Vec<JoinHandle<()>>,
    _file: SocketFile,
}

impl Server {
    /// Binds and serves. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// `InUse` when another server answers on the socket, `NotASocket` when another file stands there, `Listen` and `Web`
    /// when the system refuses an address, `Tls` for a certificate, `Store` when accounts cannot be read.
    pub async fn start(headend: HeadEnd, settings: Settings) -> Result<Self, ServeError> {
        let (unix, file) = socket::listen(&settings.socket)?;
        let waits = settings.waits;
        let mut doors = Vec::new();
        for address in settings.web.iter().flat_map(|web| &web.addresses) {
            doors.push(bind(*address).await?);
        }
        let addresses = doors.iter().map(|(_, address)| *address).collect();
        let front = match settings.web {
            Some(web) => Front { token: web.token, transport: web.transport, waits },
            None => Front { token: None, transport: Transport::Plain, waits },
        };
        let tls = match &front.transport {
            Transport::Tls(certificate) => Some(certificate.acceptor()?),
            Transport::Plain | Transport::Proxy => None,
        };
        let stopping = CancellationToken::new();
        let mut listeners = Vec::new();
        if let Transport::Tls(certificate) = &front.transport {
            listeners.push(tokio::spawn(tls::watch(vec![Arc::clone(certificate)], stopping.clone())));
        }
        let api = Api::open(headend, front, stopping.clone()).await?;
        listeners.push(tokio::spawn(course::keep(api.clone(), stopping.clone())));
        let reception = Reception { api: api.clone(), router: routes::router(&api), stopping: stopping.clone() };
        listeners.push(tokio::spawn(accept(unix, None, reception.clone())));
        for (door, _) in doors {
            listeners.push(tokio::spawn(accept(door, tls.clone(), reception.clone())));
        }
        Ok(Self { addresses, api, stopping: stopping.drop_guard(), listeners, _file: file })
    }

    /// The TCP addresses, with the real port where the settings said 0.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the first account is made: a link that opens once. None when there is an account, or no TCP address.
    #[must_use]
    pub fn setup_link(&self) -> Option<String> {
        if self.api.book().has_accounts() { None } else { self.link("setup-link", Link::Setup) }
    }

    /// Where an account is signed in without a password: a link that opens once. The account is made, with this role,
    /// when it is not there. None without a TCP address.
    ///
    /// # Errors
    /// `Account` when the account cannot be made.
    pub async fn sign_in_link(&self, account: &str, role: Role) -> Result<Option<String>, ServeError> {
        if self.api.book().account(account).is_none() {
            let made = self.api.book().add_account(account, role, None).await;
            made.map_err(|problem| ServeError::Account {
                name: account.to_owned(),
                reason: problem.detail().to_owned(),
            })?;
        }
        Ok(self.link("sign-in-link", Link::SignIn(account.to_owned())))
    }

    fn link(&self, page: &str, link: Link) -> Option<String> {
        let address = self.addresses.first()?;
        let scheme = match self.api.transport() {
            Transport::Plain | Transport::Proxy => "http",
            Transport::Tls(_) => "https",
        };
        Some(format!("{scheme}://{address}/{page}#{}", self.api.book().link(link).expose()))
    }

    /// Reads the certificate again; what was in use stays when the files are wrong, which the log says.
    pub fn reload_certificate(&self) {
        if let Transport::Tls(certificate) = self.api.transport() {
            tls::report(certificate, certificate.reload());
        }
    }

    /// Ends live streams, lets requests that are being answered end `within` this time, and removes the socket.
    pub async fn shutdown(self, within: Duration) {
        drop(self.stopping);
        let (mut listeners, api) = (self.listeners, self.api);
        let all = async {
            for listener in &mut listeners {
                // It ends by itself, or it panicked and is gone as well.
                drop(listener.await);
            }
            api.press().finished().await;
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
    let failed = |source| ServeError::Web { address, source };
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

/// What every connection is met with.
#[derive(Clone)]
struct Reception {
    api: Api,
    router: Router,
    stopping: CancellationToken,
}

/// Accepts until the server stops, then waits for the connections that are open.
async fn accept<L: Listener>(listener: L, tls: Option<TlsAcceptor>, reception: Reception) {
    let places = Places::new(CONNECTIONS_MAX);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = reception.stopping.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, caller)) => {
                    if let Some(place) = places.enter() {
                        connections.spawn(greet(stream, caller, place, tls.clone(), reception.clone()));
                    } else {
                        // Everybody who is in is being served: this one is told, and nobody loses anything.
                        reception.api.figures().turned_away.count();
                        tracing::debug!(?caller, "no place for a connection to the API: all are busy");
                        connections.spawn(turn_away(stream));
                    }
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

/// Says in plain HTTP that there is no place. With TLS nobody understands it, and the end of the connection says the same.
async fn turn_away(mut stream: impl AsyncWrite + Unpin) {
    let problem = Problem::new(ProblemKind::Busy, format!("all {CONNECTIONS_MAX} connections are busy"));
    // A peer that does not take these bytes does not hold anything up.
    let _told = tokio::time::timeout(TURN_AWAY_MAX, stream.write_all(&told::answer(problem.retry_after(1)))).await;
}

/// Notes that an idle connection made place for a new one.
fn evicted(api: &Api, caller: Caller) {
    api.figures().evicted.count();
    tracing::debug!(?caller, "an idle connection to the API made place for a new one");
}

/// Serves one connection, after its handshake where there is one.
async fn greet<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    caller: Caller,
    place: Place,
    tls: Option<TlsAcceptor>,
    reception: Reception,
) {
    let Some(tls) = tls else { return serve(stream, caller, place, reception).await };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(reception.api.waits().head, tls.accept(stream)) => shaken,
        () = place.evicted() => return evicted(&reception.api, caller),
        () = reception.stopping.cancelled() => return,
    };
    match shaken {
        Ok(Ok(stream)) => serve(stream, caller, place, reception).await,
        Ok(Err(error)) => tracing::debug!(?caller, %error, "no TLS with a peer of the API"),
        Err(_) => tracing::debug!(?caller, "a peer of the API did not finish its TLS handshake"),
    }
}

/// Serves one connection until it ends; when the server stops, until the request on it is answered.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    caller: Caller,
    place: Place,
    reception: Reception,
) {
    let Reception { api, router, stopping } = reception;
    let place = Arc::new(place);
    let stream = Told::new(stream, &place);
    let answer = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller);
        routes::uploads::override_method(&mut request);
        let busy = Place::busy(&place);
        let answer = router.clone().oneshot(request.map(Body::new));
        async move { answer.await.map(|response| response.map(|body| busy.until_sent(body))) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(api.waits().head)
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_READ_MAX)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = place.evicted() => return evicted(&api, caller),
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(?caller, %error, "an API connection ended early");
    }
}
