//! A relay at work: both directions, the end of each on its own, and how long both may be silent.

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::Progress;
use super::datagrams::{Association, Moved};
use super::flow::Flow;
use crate::alarm::Alarm;
use crate::connection::Stream;
use crate::guest::Guest;
use crate::scratch;

/// A relay at work.
pub(super) struct Pump {
    other: Other,
    idle: Duration,
    moved_at: Duration,
    alarm: Alarm,
}

/// With whom the peer is joined.
pub(super) enum Other {
    Stream(Box<Streams>),
    Datagrams { running: Pin<Box<dyn Future<Output = ()> + Send>>, moved: Arc<Moved> },
}

/// Somebody else's stream, and what flows between it and the peer's.
pub(super) struct Streams {
    other: TcpStream,
    up: Flow,
    down: Flow,
    is_up_over: bool,
    is_down_over: bool,
}

impl Other {
    /// Somebody at a stream, to whom `ahead` goes first.
    pub(super) fn stream(other: TcpStream, ahead: Bytes) -> Self {
        let (up, down) = (Flow::new(ahead), Flow::new(Bytes::new()));
        Self::Stream(Box::new(Streams { other, up, down, is_up_over: false, is_down_over: false }))
    }

    /// Anybody by datagrams.
    pub(super) fn datagrams(guest: &Guest, association: Association) -> Self {
        let moved = Arc::<Moved>::default();
        let running = association.run(Arc::clone(&guest.core), Arc::clone(&guest.counters), Arc::clone(&moved));
        Self::Datagrams { running: Box::pin(running), moved }
    }

    /// Whether all is over.
    fn poll<S: Stream>(&mut self, context: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(streams) => streams.poll(context, stream),
            Self::Datagrams { running, .. } => {
                let _goes_on = running.as_mut().poll(context);
                // What comes on the connection itself means nothing; its end is that of the association.
                while ready!(scratch::poll_read(stream, context, <[u8]>::len))? > 0 {}
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl Streams {
    fn poll<S: Stream>(&mut self, context: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<()>> {
        let Self { other, up, down, .. } = self;
        if !self.is_up_over {
            let polled = match (stream as &mut dyn Any).downcast_mut::<TcpStream>() {
                Some(stream) => up.poll_tcp(context, stream, other),
                None => up.poll(context, stream, other),
            };
            self.is_up_over = over(polled)?;
        }
        if !self.is_down_over {
            let polled = match (stream as &mut dyn Any).downcast_mut::<TcpStream>() {
                Some(stream) => down.poll_tcp(context, other, stream),
                None => down.poll(context, other, stream),
            };
            self.is_down_over = over(polled)?;
        }
        if self.is_up_over && self.is_down_over { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

fn over(polled: Poll<io::Result<()>>) -> io::Result<bool> {
    match polled {
        Poll::Ready(flown) => flown.map(|()| true),
        Poll::Pending => Ok(false),
    }
}

impl Pump {
    pub(super) fn new(other: Other, idle: Duration, now: Duration) -> Self {
        Self { other, idle, moved_at: now, alarm: Alarm::default() }
    }

    /// Bytes that went to the other side, and back.
    pub(super) fn moved(&self) -> (u64, u64) {
        match &self.other {
            Other::Stream(streams) => (streams.up.moved(), streams.down.moved()),
            Other::Datagrams { moved, .. } => (moved.up.load(Ordering::Relaxed), moved.down.load(Ordering::Relaxed)),
        }
    }

    /// Datagrams that the rules did not let through, or that were none for this peer.
    pub(super) fn dropped(&self) -> u64 {
        match &self.other {
            Other::Stream(_) => 0,
            Other::Datagrams { moved, .. } => moved.dropped.load(Ordering::Relaxed),
        }
    }

    pub(super) fn poll<S: Stream>(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut S,
        guest: &Guest,
    ) -> Poll<Progress> {
        let before = self.moved();
        let polled = self.other.poll(context, stream);
        let (up, down) = self.moved();
        if (up, down) != before {
            self.moved_at = guest.relayed(up - before.0, down - before.1);
        }
        match polled {
            Poll::Ready(Ok(())) => return Poll::Ready(Progress::Ended),
            Poll::Ready(Err(error)) => return Poll::Ready(Progress::Broken(error)),
            Poll::Pending => {}
        }
        let silent_at = guest.core.clock.moment(self.moved_at + self.idle);
        self.alarm.poll_at(context, silent_at).map(|()| Progress::Idle(self.idle))
    }
}
