//! Asks the API of a running server, over its private socket or over TCP with a token.

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use loggerhead_web::Token;
use loggerhead_web::api::ProblemDetails;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

/// Longest time until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest time to a whole answer: twice what the server allows itself.
const ANSWER_MAX: Duration = Duration::from_mins(1);
/// Largest answer: a page of 100,000 readings with long names.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Where the server is.
#[derive(Clone)]
enum Endpoint {
    Unix(PathBuf),
    Tcp { address: String, token: Token },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Tcp { address, .. } => formatter.write_str(address),
        }
    }
}

/// Asks one server. Every question takes a connection of its own.
#[derive(Clone)]
pub(crate) struct Client {
    endpoint: Endpoint,
}

/// The server did not answer what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens there.
    #[error(
        "no server answers on {endpoint}: start one with `loggerhead serve`, or say where it is with --data, --config or \
         --address"
    )]
    NoServer {
        /// Where.
        endpoint: String,
    },
    /// The socket belongs to somebody else.
    #[error("{endpoint} may not be opened by this user: run this as the user of the server")]
    NotAllowed {
        /// Where.
        endpoint: String,
    },
    /// The connection broke.
    #[error("{endpoint}: {reason}")]
    Broken {
        /// Where.
        endpoint: String,
        /// What happened.
        reason: String,
    },
    /// The server says what is wrong.
    #[error("{}: {}", .0.detail, remedy(.0))]
    Problem(Box<ProblemDetails>),
    /// The server says something that this program does not understand.
    #[error("{endpoint} answered {status} in a way that this version does not understand: {reason}")]
    NotUnderstood {
        /// Where.
        endpoint: String,
        /// The status.
        status: StatusCode,
        /// What was not understood.
        reason: String,
    },
}

/// What to do about a problem, in words of the command line where the server's are those of its API.
fn remedy(problem: &ProblemDetails) -> &str {
    match problem.kind.rsplit('/').next() {
        Some("bad-request") => "correct it; --help of the verb has examples",
        Some("unknown-device") => "`loggerhead device list` shows the devices, `loggerhead device add` adds one",
        _ => &problem.remedy,
    }
}

/// The text as one part of a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a text takes everything");
        }
    }
    encoded
}

impl Client {
    /// Asks the server whose private socket this is.
    pub(crate) fn unix(socket: &Path) -> Self {
        Self { endpoint: Endpoint::Unix(socket.to_owned()) }
    }

    /// Asks the server at `HOST:PORT`.
    pub(crate) fn tcp(address: &str, token: Token) -> Self {
        Self { endpoint: Endpoint::Tcp { address: address.to_owned(), token } }
    }

    /// Asks for what is at `path`.
    ///
    /// # Errors
    /// `ClientError` says whether nobody answered, or what the server finds wrong.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, String::new()).await
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// As `get`.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_string(body).expect("what is asked is JSON");
        self.ask(Method::POST, path, body).await
    }

    /// Changes what is at `path` by `body`.
    ///
    /// # Errors
    /// As `get`.
    pub(crate) async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_string(body).expect("what is asked is JSON");
        self.ask(Method::PATCH, path, body).await
    }

    /// Removes what is at `path`.
    ///
    /// # Errors
    /// As `get`.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), ClientError> {
        // An answer without a body reads as null.
        self.ask(Method::DELETE, path, String::new()).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: String) -> Result<T, ClientError> {
        let asking = async {
            let (response, connection) = self.send(method, path, body).await?;
            let status = response.status();
            let body = self.whole(response.into_body()).await;
            connection.abort();
            let body = body?;
            if !status.is_success() {
                return Err(self.refusal(status, &body));
            }
            let body: &[u8] = if body.is_empty() { b"null" } else { &body };
            serde_json::from_slice(body).map_err(|error| self.not_understood(status, error.to_string()))
        };
        self.within(ANSWER_MAX, asking).await
    }

    async fn within<T>(
        &self,
        max: Duration,
        asking: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let late = |_| self.broken(format!("no answer within {} s", max.as_secs()));
        tokio::time::timeout(max, asking).await.map_err(late)?
    }

    /// Connects and asks. The connection lives as long as its task.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(Response<Incoming>, JoinHandle<()>), ClientError> {
        match &self.endpoint {
            Endpoint::Unix(socket) => {
                let stream = self.connected(UnixStream::connect(socket)).await?;
                self.exchange(stream, self.request(method, path, body, "localhost", None)?).await
            }
            Endpoint::Tcp { address, token } => {
                let stream = self.connected(TcpStream::connect(address)).await?;
                self.exchange(stream, self.request(method, path, body, address, Some(token))?).await
            }
        }
    }

    async fn connected<S>(&self, connecting: impl Future<Output = io::Result<S>>) -> Result<S, ClientError> {
        match tokio::time::timeout(CONNECT_MAX, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                let kind = error.kind();
                if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
                    Err(ClientError::NoServer { endpoint: self.endpoint.to_string() })
                } else if kind == io::ErrorKind::PermissionDenied {
                    Err(ClientError::NotAllowed { endpoint: self.endpoint.to_string() })
                } else {
                    Err(self.broken(error.to_string()))
                }
            }
            Err(_) => Err(self.broken(format!("no connection within {} s", CONNECT_MAX.as_secs()))),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: String,
        host: &str,
        token: Option<&Token>,
    ) -> Result<Request<String>, ClientError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, host).header(ACCEPT, "*/*");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token.bearer());
        }
        request.body(body).map_err(|error| self.broken(error.to_string()))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<String>,
    ) -> Result<(Response<Incoming>, JoinHandle<()>), ClientError> {
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.broken(error.to_string()))?;
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the API ended early");
            }
        });
        let response = sender.send_request(request).await.map_err(|error| self.broken(error.to_string()))?;
        Ok((response, connection))
    }

    async fn whole(&self, mut body: Incoming) -> Result<BytesMut, ClientError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = piece(&mut body).await {
            let piece = piece.map_err(|error| self.broken(error.to_string()))?;
            if whole.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(self.broken(format!("an answer of over {ANSWER_BYTES_MAX} bytes")));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice(body) {
            Ok(details) => ClientError::Problem(Box::new(details)),
            Err(error) => self.not_understood(status, error.to_string()),
        }
    }

    fn not_understood(&self, status: StatusCode, reason: String) -> ClientError {
        ClientError::NotUnderstood { endpoint: self.endpoint.to_string(), status, reason }
    }

    fn broken(&self, reason: String) -> ClientError {
        ClientError::Broken { endpoint: self.endpoint.to_string(), reason }
    }
}

/// The next bytes of a body; none at its end.
async fn piece(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(bytes)) => return Some(Ok(bytes)),
            // Trailers say nothing here.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, ClientError, encoded};

    #[test]
    fn a_name_stands_in_a_path_or_a_query() {
        assert_eq!(encoded("tower-1"), "tower-1");
        assert_eq!(encoded("a b/?&=塔"), "a%20b%2F%3F%26%3D%E5%A1%94");
    }

    #[tokio::test]
    async fn without_a_server_the_error_says_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("api.sock");
        let asked = Client::unix(&socket).get::<serde_json::Value>("/api/v1/devices").await;
        assert!(matches!(&asked, Err(ClientError::NoServer { .. })), "{asked:?}");
        drop(std::os::unix::net::UnixListener::bind(&socket).expect("bound"));
        let asked = Client::unix(&socket).get::<serde_json::Value>("/api/v1/devices").await;
        let error = asked.expect_err("a dead socket").to_string();
        assert!(error.contains("loggerhead serve"), "{error}");
    }
}
