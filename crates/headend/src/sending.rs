//! Handing an answer to a peer, which may be slow to take it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::time::timeout;

use crate::connection::Stream;

/// Sends what is left: a peer that does not take it within that time is gone, or does not want it. Nothing is read from the peer meanwhile, so that one that takes no answers is slowed
/// down.
///
/// # Errors
/// `TimedOut` when the peer does not take it, and what the stream says.
pub(crate) async fn send_patiently<S: Stream>(stream: &mut S, mut left: Bytes, within: Duration) -> io::Result<()> {
    let sent = timeout(within, poll_fn(|context| poll_send(stream, context, &mut left))).await;
    sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Sends `left`, as far as the peer takes it; nearly every answer is taken at once.
///
/// # Errors
/// What the stream says.
pub(crate) fn poll_send<S: Stream>(
    stream: &mut S,
    context: &mut Context<'_>,
    left: &mut Bytes,
) -> Poll<io::Result<()>> {
    while !left.is_empty() {
        match ready!(Pin::new(&mut *stream).poll_write(context, left))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => left.advance(count),
        }
    }
    Pin::new(stream).poll_flush(context)
}
