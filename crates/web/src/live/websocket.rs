//! The live stream over WebSocket: the same messages as over server-sent events, one frame each, written once for all who
//! want to see the same.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use loggerhead_protocols::websocket::handshake;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::follower::Follower;
use super::frame::{self, CloseCode, Incoming};
use super::message::Form;
use super::{LiveParams, beginning};
use crate::access::Viewer;
use crate::api::ProblemDetails;
use crate::extract::Params;
use crate::problem::{Problem, ProblemKind};
use crate::server::Waits;
use crate::state::Api;
use crate::told::Told;

/// How long saying goodbye may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// Pings that wait for their answer; who sends more at once is let go.
const PONGS_MAX: usize = 4;
/// Bytes that are read at a time.
const READ_BYTES: usize = 1024;

/// What happens from now on, or from a place in the log, over a WebSocket.
///
/// Every message is a JSON object with `event`, `id` and `data`, as over `/api/v1/live`. A slow subscriber is told `cut`
/// with the id after which it goes on from the store. Come back with the last id in `from`. Answers nothing but pings.
#[utoipa::path(
    get,
    path = "/api/v1/live/ws",
    tag = "live",
    operation_id = "follow_websocket",
    params(LiveParams),
    responses(
        (status = 101, description = "The WebSocket."),
        (status = 400, description = "A parameter cannot be, or the request opens no WebSocket.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 403, description = "A page of another site asks.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "Too many streams.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn open(
    State(api): State<Api>,
    viewer: Viewer,
    Params(params): Params<LiveParams>,
    mut request: Request,
) -> Result<Response, Problem> {
    let accept = accept(request.headers())?;
    let place = beginning(&HeaderMap::new(), params.from.as_deref())?;
    let filter = params.filter()?;
    let refused = |detail: &'static str| Problem::new(ProblemKind::BadRequest, detail);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| refused("this connection cannot become a WebSocket"))?;
    let permit = api.enter_stream()?;
    let follower = Follower::begin(&api, filter, Form::Frames, place, permit);
    let stream = Stream { follower, waits: api.waits(), stopping: api.stopping() };
    api.press().keep(async move {
        match upgrade.await {
            Ok(upgraded) => stream.serve(upgraded, viewer).await,
            Err(error) => tracing::debug!(%error, "a WebSocket did not come about"),
        }
    });
    let headers = [
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

/// What proves that the server understood the request.
///
/// # Errors
/// `BadRequest` when it opens no WebSocket of version 13.
pub(crate) fn accept(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let has = |name: HeaderName, word: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let opens = has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| opens).and_then(|key| key.to_str().ok());
    let Some(accept) = key.and_then(handshake::accept) else {
        return Err(Problem::new(ProblemKind::BadRequest, "this path is for WebSocket version 13"));
    };
    Ok(HeaderValue::try_from(accept).expect("base64 stands in a header"))
}

/// One subscriber.
struct Stream {
    follower: Follower,
    waits: Waits,
    stopping: CancellationToken,
}

/// Why a stream ends.
enum End {
    Close(CloseCode),
    /// The other side is gone or says goodbye.
    Gone,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// The two halves of what a subscriber sends.
struct Heard {
    /// It sent something since the last ping.
    alive: AtomicBool,
    pongs: mpsc::Sender<Vec<u8>>,
}

impl Stream {
    /// Serves until one side ends it. A plain socket is looked after by the threads that push; what TLS holds cannot be
    /// taken out of it, and stays with the threads that accepted it.
    async fn serve(self, upgraded: Upgraded, viewer: Viewer) {
        let upgraded = match upgraded.downcast::<TokioIo<Told<UnixStream>>>() {
            Ok(Parts { io, read_buf, .. }) => {
                let moved = io.into_inner().into_stream().into_std().and_then(UnixStream::from_std);
                return self.serve_moved(moved, read_buf, viewer).await;
            }
            Err(upgraded) => upgraded,
        };
        match upgraded.downcast::<TokioIo<Told<TcpStream>>>() {
            Ok(Parts { io, read_buf, .. }) => {
                let moved = io.into_inner().into_stream().into_std().and_then(TcpStream::from_std);
                self.serve_moved(moved, read_buf, viewer).await;
            }
            Err(upgraded) => self.run(TokioIo::new(upgraded), BytesMut::new(), viewer).await,
        }
    }

    async fn serve_moved(
        self,
        moved: io::Result<impl AsyncRead + AsyncWrite + Send + 'static>,
        received: Bytes,
        viewer: Viewer,
    ) {
        match moved {
            Ok(io) => self.run(io, received.into(), viewer).await,
            Err(error) => tracing::warn!(%error, "a WebSocket cannot be handed over to the threads that push"),
        }
    }

    async fn run(mut self, io: impl AsyncRead + AsyncWrite + Send + 'static, received: BytesMut, viewer: Viewer) {
        let (reader, mut writer) = tokio::io::split(io);
        let (pongs, mut answers) = mpsc::channel(PONGS_MAX);
        let heard = Heard { alive: AtomicBool::new(true), pongs };
        let stopping = self.stopping.clone();
        let end = tokio::select! {
            () = stopping.cancelled() => End::Close(CloseCode::GoingAway),
            () = viewer.ended() => End::Close(CloseCode::Policy),
            end = listen(reader, received, &heard) => end,
            Err(end) = self.tell(&mut writer, &mut answers, &heard.alive) => end,
        };
        if let End::Close(code) = end {
            // It may be gone as well.
            let _told = tokio::time::timeout(CLOSE_MAX, writer.write_all(&frame::close(code))).await;
        }
    }

    /// Tells everything, for ever.
    async fn tell(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        answers: &mut mpsc::Receiver<Vec<u8>>,
        alive: &AtomicBool,
    ) -> Result<(), End> {
        let Waits { ping, write: within, .. } = self.waits;
        let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + ping, ping);
        loop {
            tokio::select! {
                bytes = self.follower.next() => {
                    write(writer, &bytes.ok_or(End::Close(CloseCode::GoingAway))?, within).await?;
                }
                Some(pong) = answers.recv() => write(writer, &pong, within).await?,
                _ = pings.tick() => {
                    if !alive.swap(false, Ordering::Relaxed) {
                        return Err(End::Gone);
                    }
                    write(writer, &frame::ping(), within).await?;
                }
            }
        }
    }
}

/// Writes to a subscriber, who takes it within a time or is gone.
async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8], within: Duration) -> Result<(), End> {
    let written = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    tokio::time::timeout(within, written).await.map_err(|_| End::Gone)?.map_err(End::from)
}

/// Hears what a subscriber sends after what was `received` from it already, until it ends.
async fn listen(mut reader: impl AsyncRead + Unpin, mut received: BytesMut, heard: &Heard) -> End {
    loop {
        match frame::cut(&mut received) {
            Ok(Some(Incoming::Ping(payload))) => {
                if heard.pongs.try_send(frame::pong(&payload)).is_err() {
                    return End::Close(CloseCode::Policy);
                }
            }
            Ok(Some(Incoming::Pong | Incoming::Message)) => {}
            Ok(Some(Incoming::Close)) => return End::Close(CloseCode::Normal),
            Err(code) => return End::Close(code),
            Ok(None) => {
                received.reserve(READ_BYTES);
                match reader.read_buf(&mut received).await {
                    Ok(0) | Err(_) => return End::Gone,
                    Ok(_) => heard.alive.store(true, Ordering::Relaxed),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::accept;

    #[test]
    fn the_answer_proves_that_the_key_was_read() {
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        assert!(accept(&headers).is_err(), "no key");
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        // The example of RFC 6455 §1.3.
        assert_eq!(accept(&headers).expect("a WebSocket"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        assert!(accept(&headers).is_err(), "an old version");
    }
}
