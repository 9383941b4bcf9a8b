//! One direction of a relay: from who sends to who receives, and then the end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes};
use tokio::net::TcpStream;

use super::pipe::Pipe;
use crate::connection::Stream;
use crate::scratch;

/// From so many bytes on, what is left goes through a pipe: it costs two files and some calls, which short conversations
/// are not worth.
const PIPE_FROM_BYTES: u64 = 256 * 1024;

enum Stage {
    Open,
    /// The sender has ended; the receiver is to be told.
    Ending,
    Over,
}

pub(super) struct Flow {
    stage: Stage,
    /// What was read and the receiver did not take yet: less than one read.
    held: Bytes,
    pipe: Option<Pipe>,
    /// The receiver may still hold back what was written.
    is_unflushed: bool,
    moved: u64,
}

impl Flow {
    /// One in which `ahead` goes first.
    pub(super) fn new(ahead: Bytes) -> Self {
        Self { stage: Stage::Open, held: ahead, pipe: None, is_unflushed: false, moved: 0 }
    }

    /// Bytes that the receiver took.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Passes on what there is; ready when the sender has ended and the receiver was told.
    ///
    /// # Errors
    /// What either stream says.
    pub(super) fn poll<A: Stream, B: Stream>(
        &mut self,
        context: &mut Context<'_>,
        from: &mut A,
        to: &mut B,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_held(context, to))?;
            if ready!(self.poll_end(context, to))? {
                return Poll::Ready(Ok(()));
            }
            let (held, moved) = (&mut self.held, &mut self.moved);
            // What the receiver does not take now is held, and given to it next time around, which waits for it.
            let mut giving = Context::from_waker(Waker::noop());
            let read = scratch::poll_read(from, context, |bytes| {
                if bytes.is_empty() {
                    return 0;
                }
                let taken = match Pin::new(&mut *to).poll_write(&mut giving, bytes) {
                    Poll::Ready(Ok(count)) => count,
                    Poll::Ready(Err(_)) | Poll::Pending => 0,
                };
                *moved += taken as u64;
                *held = Bytes::copy_from_slice(bytes.get(taken..).unwrap_or_default());
                bytes.len()
            });
            match read {
                Poll::Pending => return self.poll_flush(context, to),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(0)) => self.stage = Stage::Ending,
                Poll::Ready(Ok(_)) => self.is_unflushed = true,
            }
        }
    }

    /// As `poll`, between two sockets whose bytes the kernel can move itself.
    ///
    /// # Errors
    /// What either stream says.
    pub(super) fn poll_tcp(
        &mut self,
        context: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
    ) -> Poll<io::Result<()>> {
        if self.pipe.is_none() {
            if self.moved < PIPE_FROM_BYTES || !matches!(self.stage, Stage::Open) {
                return self.poll(context, from, to);
            }
            self.pipe = Pipe::open();
        }
        let Some(mut pipe) = self.pipe.take() else { return self.poll(context, from, to) };
        let polled = self.poll_pipe(context, &mut pipe, from, to);
        self.pipe = Some(pipe);
        polled
    }

    fn poll_pipe(
        &mut self,
        context: &mut Context<'_>,
        pipe: &mut Pipe,
        from: &mut TcpStream,
        to: &mut TcpStream,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_held(context, to))?;
        loop {
            while !pipe.is_empty() {
                match ready!(pipe.poll_drain(to, context))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => self.moved += count as u64,
                }
            }
            if ready!(self.poll_end(context, to))? {
                return Poll::Ready(Ok(()));
            }
            if ready!(pipe.poll_fill(from, context))? == 0 {
                self.stage = Stage::Ending;
            }
        }
    }

    /// Gives the receiver what is held.
    fn poll_held<B: Stream>(&mut self, context: &mut Context<'_>, to: &mut B) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            self.is_unflushed = true;
            match ready!(Pin::new(&mut *to).poll_write(context, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => {
                    self.moved += count as u64;
                    self.held.advance(count);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Tells the receiver of the end; whether it is over.
    fn poll_end<B: Stream>(&mut self, context: &mut Context<'_>, to: &mut B) -> Poll<io::Result<bool>> {
        match self.stage {
            Stage::Open => return Poll::Ready(Ok(false)),
            Stage::Ending => {
                match ready!(Pin::new(to).poll_shutdown(context)) {
                    // The receiver is gone already, in both directions.
                    Err(error) if error.kind() != io::ErrorKind::NotConnected => return Poll::Ready(Err(error)),
                    Ok(()) | Err(_) => self.stage = Stage::Over,
                }
            }
            Stage::Over => {}
        }
        Poll::Ready(Ok(true))
    }

    fn poll_flush<B: Stream>(&mut self, context: &mut Context<'_>, to: &mut B) -> Poll<io::Result<()>> {
        if self.is_unflushed {
            match Pin::new(to).poll_flush(context) {
                Poll::Ready(Ok(())) => self.is_unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}
