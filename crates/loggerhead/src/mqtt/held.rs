//! Bytes that came and were not taken in yet.
//!
//! A thread has one buffer for all of its conversations: what comes is read and taken in while it is in the processor's cache,
//! and a conversation keeps no more than the beginning of a packet.

use std::cell::RefCell;
use std::io;
use std::task::{Poll, ready};

use tokio::io::ReadBuf;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What one conversation holds.
#[derive(Default)]
pub(super) struct Held {
    /// The thread's buffer, from a read until everything is taken in; otherwise no more than what is left.
    buffer: Vec<u8>,
    /// Where in it what came begins and ends.
    begin: usize,
    end: usize,
}

impl Held {
    /// What was not taken in yet.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.begin..self.end).unwrap_or_default()
    }

    /// Its first `count` bytes are taken in.
    pub(super) fn advance(&mut self, count: usize) {
        self.begin = self.end.min(self.begin + count);
    }

    /// Nothing of what is left can be taken in before more comes.
    pub(super) fn rest(&mut self) {
        let rest = self.bytes().to_vec();
        (self.begin, self.end) = (0, rest.len());
        let buffer = std::mem::replace(&mut self.buffer, rest);
        BUFFER.with_borrow_mut(|spare| {
            if spare.len() < buffer.len() {
                *spare = buffer;
            }
        });
    }

    /// Has `read` put more behind what is held; how many bytes came.
    ///
    /// # Errors
    /// What `read` says.
    pub(super) fn poll_fill(
        &mut self,
        read: impl FnOnce(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<usize>> {
        BUFFER.with_borrow_mut(|spare| {
            let held = self.bytes();
            if spare.len() < held.len() + READ_BYTES {
                spare.resize(held.len() + READ_BYTES, 0);
            }
            let (front, room) = spare.split_at_mut(held.len());
            let mut room = ReadBuf::new(room);
            ready!(read(&mut room))?;
            let came = room.filled().len();
            front.copy_from_slice(held);
            (self.begin, self.end) = (0, held.len() + came);
            std::mem::swap(&mut self.buffer, spare);
            Poll::Ready(Ok(came))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::{Held, READ_BYTES};

    fn fill(held: &mut Held, bytes: &[u8]) {
        let came = held.poll_fill(|room| {
            room.put_slice(bytes);
            Poll::Ready(Ok(()))
        });
        assert!(matches!(came, Poll::Ready(Ok(count)) if count == bytes.len()), "{came:?}");
    }

    #[test]
    fn what_is_left_stays_with_its_conversation_and_more_comes_behind_it() {
        let (mut one, mut other) = (Held::default(), Held::default());
        fill(&mut one, b"abcde");
        one.advance(3);
        one.rest();
        fill(&mut other, b"vwxyz");
        fill(&mut one, b"fg");
        assert_eq!((one.bytes(), other.bytes()), (&b"defg"[..], &b"vwxyz"[..]));
        other.rest();
        one.rest();
        fill(&mut other, &vec![b'-'; READ_BYTES]);
        assert_eq!(other.bytes().len(), 5 + READ_BYTES, "a packet may be longer than what is read at once");
        assert!(other.bytes().starts_with(b"vwxyz--"));
        assert_eq!(one.bytes(), b"defg");
    }

    #[test]
    fn nothing_is_lost_while_nothing_comes() {
        let mut held = Held::default();
        fill(&mut held, b"ab");
        held.advance(1);
        held.rest();
        assert!(held.poll_fill(|_| Poll::Pending).is_pending());
        assert_eq!(held.bytes(), b"b");
    }
}
