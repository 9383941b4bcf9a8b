//! What is refused before there is a request, told like every other problem.
//!
//! Bytes that are no HTTP never become a request that a route could answer: the HTTP library writes the head of an answer
//! with a status and nothing else. Here such a head is exchanged for a whole answer on its way out. Every answer of a route
//! says what browsers may do with it, so one that does not is the library's own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::access::HEADERS;
use crate::places::Place;
use crate::problem::{PROBLEM_TYPE, Problem, ProblemKind};
use crate::routes::HEAD_BYTES_MAX;

/// How the head of every refusal begins.
const REFUSAL: &[u8] = b"HTTP/1.1 4";
/// The statuses of a head over the library's limits: of its address, of its headers.
const TOO_LARGE: [&[u8]; 2] = [b"14 ", b"31 "];

/// A connection on which refusals are told.
pub(crate) struct Told<S> {
    stream: S,
    /// Nothing that is written while it is busy is the library's own; none when it became something else.
    place: Weak<Place>,
    /// What is written in place of a bare head, and how much of it is.
    refusal: Option<(Vec<u8>, usize)>,
}

impl<S> Told<S> {
    pub(crate) fn new(stream: S, place: &Arc<Place>) -> Self {
        Self { stream, place: Arc::downgrade(place), refusal: None }
    }

    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// Whether these bytes, all that is to be written, are a bare head.
    fn is_bare(&self, bytes: &[u8]) -> bool {
        let is_ours = || {
            let [(name, _), ..] = &HEADERS;
            bytes.windows(name.as_str().len()).any(|window| window.eq_ignore_ascii_case(name.as_str().as_bytes()))
        };
        bytes.starts_with(REFUSAL)
            && bytes.ends_with(b"\r\n\r\n")
            && self.place.upgrade().is_some_and(|place| place.is_idle())
            && !is_ours()
    }
}

/// A whole answer that tells this problem, after which the connection ends.
pub(crate) fn answer(problem: Problem) -> Vec<u8> {
    let retry_after_s = problem.retry_after_s();
    let details = problem.details();
    let status = StatusCode::from_u16(details.status).expect("problems have real statuses");
    let body = serde_json::to_vec(&details).expect("texts and numbers are JSON");
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {PROBLEM_TYPE}\r\ncontent-length: {}\r\nconnection: close\r\n",
        body.len()
    )
    .into_bytes();
    for (name, value) in &HEADERS {
        answer.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if let Some(seconds) = retry_after_s {
        answer.extend_from_slice(format!("retry-after: {seconds}\r\n").as_bytes());
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(&body);
    answer
}

/// What stands behind the bare head of a refusal.
fn told(head: &[u8]) -> Vec<u8> {
    let status = head.get(REFUSAL.len()..).unwrap_or_default();
    answer(if TOO_LARGE.iter().any(|large| status.starts_with(large)) {
        Problem::new(ProblemKind::HeadTooLarge, format!("a head over {HEAD_BYTES_MAX} bytes"))
    } else {
        Problem::new(ProblemKind::BadRequest, "the head of the request is not HTTP/1.1")
    })
}

impl<S: AsyncRead + Unpin> AsyncRead for Told<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Told<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, refusal, .. } = if self.refusal.is_none() && self.is_bare(bytes) {
            let this = self.get_mut();
            this.refusal = Some((told(bytes), 0));
            this
        } else {
            self.get_mut()
        };
        let Some((answer, written)) = refusal else { return Pin::new(stream).poll_write(context, bytes) };
        while let Some(rest) = answer.get(*written..).filter(|rest| !rest.is_empty()) {
            let took = ready!(Pin::new(&mut *stream).poll_write(context, rest))?;
            if took == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += took;
        }
        *refusal = None;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [only] => self.poll_write(context, only),
            _ => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::Told;
    use crate::places::{Place, Places};

    const BARE: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    /// What arrives of these bytes through a pipe that takes `room` at a time.
    async fn told(place: &Arc<Place>, bytes: &str, room: usize) -> String {
        let (ours, mut theirs) = tokio::io::duplex(room);
        let mut stream = Told::new(ours, place);
        let mut received = String::new();
        let writing = async move { stream.write_all(bytes.as_bytes()).await.expect("a pipe") };
        let (read, ()) = tokio::join!(theirs.read_to_string(&mut received), writing);
        read.expect("text");
        received
    }

    #[tokio::test]
    async fn a_bare_refusal_is_told_whole_and_nothing_else_is_touched() {
        let place = Arc::new(Places::new(1).enter().expect("a free place"));
        for room in [1, 7, 4096] {
            let answer = told(&place, BARE, room).await;
            assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
            assert!(answer.contains("/api/v1/problems/bad-request"), "{answer}");
        }
        let large = told(&place, &BARE.replace("400 Bad Request", "431 x"), 4096).await;
        assert!(large.contains("/api/v1/problems/head-too-large"), "{large}");
        let ours = BARE.replace("connection: close", "content-security-policy: x");
        let longer = format!("{BARE}and a body");
        for other in [ours.as_str(), &longer, "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 4"] {
            assert_eq!(told(&place, other, 4096).await, other);
        }
        let _sending = Place::busy(&place).until_sent(Body::empty());
        assert_eq!(told(&place, BARE, 4096).await, BARE, "it is part of an answer");
    }
}
