//! Moving bytes from one TCP socket to another without copying them: through a pipe of the kernel.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What a pipe is to hold: several reads of a fast connection. The kernel may give less.
const PIPE_BYTES: usize = 1024 * 1024;

/// A pipe with bytes that are on their way.
pub(super) struct Pipe {
    into: OwnedFd,
    out: OwnedFd,
    held_bytes: usize,
}

impl Pipe {
    /// A new one; none where the system has no more.
    pub(super) fn open() -> Option<Self> {
        let (out, into) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
        let size = i32::try_from(PIPE_BYTES).unwrap_or(i32::MAX);
        // A smaller one does as well.
        let _size = fcntl(&into, FcntlArg::F_SETPIPE_SZ(size));
        Some(Self { into, out, held_bytes: 0 })
    }

    /// Whether bytes are on their way.
    pub(super) fn is_empty(&self) -> bool {
        self.held_bytes == 0
    }

    /// Takes what came on a socket; 0 at its end.
    pub(super) fn poll_fill(&mut self, from: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(context))?;
            let moved = from.try_io(Interest::READABLE, || {
                let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
                splice(from, None, &self.into, None, PIPE_BYTES, flags).map_err(io::Error::from)
            });
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                moved => {
                    self.held_bytes += moved.as_ref().unwrap_or(&0);
                    return Poll::Ready(moved);
                }
            }
        }
    }

    /// Gives a socket as much as it takes, and says how much.
    pub(super) fn poll_drain(&mut self, to: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_write_ready(context))?;
            let moved = to.try_io(Interest::WRITABLE, || {
                let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
                splice(&self.out, None, to, None, self.held_bytes, flags).map_err(io::Error::from)
            });
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                moved => {
                    self.held_bytes = self.held_bytes.saturating_sub(*moved.as_ref().unwrap_or(&0));
                    return Poll::Ready(moved);
                }
            }
        }
    }
}
