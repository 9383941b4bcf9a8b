//! Whole texts out of WebSocket frames.

use crate::websocket::frame::{Kind, Reader, Sender, Taken, Violation, code};

/// Longest text that can be set as the limit.
pub const TEXT_BYTES_LIMIT_MAX: usize = 64 * 1024;

/// Gathers the texts of one side.
#[derive(Debug)]
pub struct Texts {
    reader: Reader,
    /// The text that has not come to its end.
    begun: Vec<u8>,
    limit: usize,
}

/// What bytes held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Whole texts, in order.
    pub texts: Vec<String>,
    /// What the last ping carried.
    pub ping: Option<Vec<u8>>,
    /// What the last pong carried.
    pub pong: Option<Vec<u8>>,
    /// The other side closes, with this code.
    pub closed: Option<u16>,
}

impl Texts {
    /// Of this side, each of `limit` bytes at most.
    #[must_use]
    pub fn of(sender: Sender, limit: usize) -> Self {
        Self { reader: Reader::of(sender, Kind::Text), begun: Vec::new(), limit }
    }

    /// Takes in bytes, however they are cut. What is held is one text at most.
    ///
    /// # Errors
    /// The first rule that is broken; `into` holds what came before it.
    pub fn read(&mut self, bytes: &[u8], into: &mut Gathered) -> Result<(), Violation> {
        let mut taken = Taken::default();
        let read = self.reader.read(bytes, &mut taken);
        (into.ping, into.pong, into.closed) = (taken.ping, taken.pong, taken.closed);
        let mut start = 0;
        for end in taken.ends {
            self.gather(taken.payload.get(start..end).unwrap_or_default())?;
            start = end;
            let text = String::from_utf8(std::mem::take(&mut self.begun))
                .map_err(|_| Violation { code: code::NOT_UTF_8, reason: "a text that is not UTF-8" })?;
            into.texts.push(text);
        }
        self.gather(taken.payload.get(start..).unwrap_or_default())?;
        read?;
        // Who announces too much is told at once, and not once it has come or has been waited for.
        self.has_room(self.reader.claimed())
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        self.has_room(bytes.len() as u64)?;
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    fn has_room(&mut self, more: u64) -> Result<(), Violation> {
        if more > self.limit.saturating_sub(self.begun.len()) as u64 {
            self.begun = Vec::new();
            return Err(Violation { code: code::TOO_BIG, reason: "a text over the limit" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Gathered, Sender, Texts};
    use crate::websocket::frame::{masked_text, text};

    #[track_caller]
    fn check(bytes: &[u8], limit: usize, expected: Result<&[&str], u16>) {
        for piece_bytes in 1..=bytes.len() {
            let (mut texts, mut found, mut ended) = (Texts::of(Sender::Client, limit), Vec::new(), None);
            for piece in bytes.chunks(piece_bytes) {
                let mut gathered = Gathered::default();
                ended = ended.or(texts.read(piece, &mut gathered).err().map(|violation| violation.code));
                found.extend(gathered.texts);
            }
            match expected {
                Ok(expected) => assert_eq!(
                    (&found[..], ended),
                    (&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..], None)
                ),
                Err(code) => assert_eq!(ended, Some(code), "in pieces of {piece_bytes}"),
            }
        }
    }

    #[test]
    fn texts_come_whole_however_they_are_cut() {
        let mut bytes = [masked_text("你好", [1, 2, 3, 4]), masked_text("", [0; 4]), masked_text("b", [9; 4])].concat();
        check(&bytes, 6, Ok(&["你好", "", "b"]));
        // The first half of a character in one fragment, the second in the next.
        let (first, second) = ("é".as_bytes()[0], "é".as_bytes()[1]);
        bytes = vec![0x01, 0x81, 0, 0, 0, 0, first, 0x80, 0x81, 0, 0, 0, 0, second];
        check(&bytes, 2, Ok(&["é"]));
    }

    #[test]
    fn what_may_not_be_ends_with_the_right_code() {
        check(&masked_text("1234567", [0; 4]), 6, Err(1009));
        // By its head alone, also that of a fragment.
        check(&[0x81, 0x87, 0, 0, 0, 0], 6, Err(1009));
        check(&[0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0], 6, Err(1009));
        check(&[0x01, 0x83, 0, 0, 0, 0, b'a', b'b', b'c', 0x80, 0x84, 0, 0, 0, 0], 6, Err(1009));
        check(&[0x81, 0x81, 0, 0, 0, 0, 0xff], 6, Err(1007));
        check(&[0x82, 0x80, 0, 0, 0, 0], 6, Err(1003));
        check(&[0xc1, 0x80, 0, 0, 0, 0], 6, Err(1002));
        check(&text("unmasked"), 100, Err(1002));
    }
}
