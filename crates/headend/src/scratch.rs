//! One buffer for each thread, into which every connection of the thread reads.
//!
//! Bytes are a session's only during one call, so no connection needs a buffer of its own, and an idle one holds none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// What one read takes at most: several packets of a busy logger.
const READ_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into_boxed_slice());
}

/// Reads what is there, and shows it; none of it at the end of the stream. What shows it must not read itself.
///
/// # Errors
/// What the stream says.
pub(crate) fn poll_read<S: AsyncRead + Unpin, T>(
    stream: &mut S,
    context: &mut Context<'_>,
    show: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(show(buffer.filled())))
    })
}
