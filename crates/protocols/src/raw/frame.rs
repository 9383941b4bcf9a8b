//! Cuts lines from a stream, or from one datagram.

use bytes::{Buf, Bytes, BytesMut};

use crate::{Fault, FaultKind};

/// Longest line, unless settings say otherwise: far above what a device prints, and a JSON document of some hundred values.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// What was cut off.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut {
    /// A line without its end; CR before LF belongs to the end. May be blank.
    Line(Bytes),
    /// A line that was too long and is dropped.
    Fault(Fault),
}

/// Cuts lines: `text LF` or `text CR LF`. The last one needs no end where the datagram or the stream ends.
#[derive(Debug)]
pub struct Cutter {
    line_bytes_max: usize,
    buffer: BytesMut,
    /// Bytes of the buffer in which no end was found.
    searched: usize,
    /// The rest of a line that is too long is passed over.
    is_dropping: bool,
    taken_bytes: usize,
}

impl Cutter {
    /// For lines of at most so many bytes.
    #[must_use]
    pub fn new(line_bytes_max: usize) -> Self {
        Self { line_bytes_max, buffer: BytesMut::new(), searched: 0, is_dropping: false, taken_bytes: 0 }
    }

    /// Lines may be so long from now on.
    pub(super) fn set_line_bytes_max(&mut self, line_bytes_max: usize) {
        self.line_bytes_max = line_bytes_max;
    }

    /// Takes bytes in; cut afterwards until there is nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line that has its end.
    pub fn cut(&mut self) -> Option<Cut> {
        loop {
            let end = memchr::memchr(b'\n', self.buffer.get(self.searched..).unwrap_or_default());
            let Some(end) = end.map(|place| self.searched + place) else { return self.hold() };
            let line = self.take(end);
            self.buffer.advance(1);
            self.taken_bytes += 1;
            if std::mem::take(&mut self.is_dropping) {
                continue;
            }
            return Some(if line.len() > self.line_bytes_max { self.too_long() } else { Cut::Line(without_cr(line)) });
        }
    }

    /// What stands without an end, where none will come any more.
    pub fn cut_rest(&mut self) -> Option<Cut> {
        let line = self.take(self.buffer.len());
        let is_dropping = std::mem::take(&mut self.is_dropping);
        (!line.is_empty() && !is_dropping).then(|| Cut::Line(without_cr(line)))
    }

    /// Bytes that wait for the end of their line.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes that were cut off or dropped so far.
    #[must_use]
    pub fn taken_bytes(&self) -> usize {
        self.taken_bytes
    }

    /// Keeps a line that has not ended, unless it is too long already.
    fn hold(&mut self) -> Option<Cut> {
        self.searched = self.buffer.len();
        if self.is_dropping || self.buffer.len() > self.line_bytes_max {
            let _dropped = self.take(self.buffer.len());
            if !std::mem::replace(&mut self.is_dropping, true) {
                return Some(self.too_long());
            }
        }
        if self.buffer.is_empty() {
            // An idle connection keeps no memory for what it is not doing.
            self.buffer = BytesMut::new();
        }
        None
    }

    fn take(&mut self, count: usize) -> Bytes {
        self.searched = 0;
        self.taken_bytes += count;
        self.buffer.split_to(count).freeze()
    }

    fn too_long(&self) -> Cut {
        Cut::Fault(Fault::new(FaultKind::TooLarge, format!("a line of over {} bytes", self.line_bytes_max)))
    }
}

fn without_cr(mut line: Bytes) -> Bytes {
    if line.ends_with(b"\r") {
        line.truncate(line.len() - 1);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{Cut, Cutter};

    /// The lines that are cut from pieces; `!` stands for one that was too long.
    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let mut cutter = Cutter::new(4);
        let mut lines = Vec::new();
        let text = |cut| match cut {
            Cut::Line(line) => String::from_utf8(line.to_vec()).expect("text"),
            Cut::Fault(_) => "!".to_owned(),
        };
        for piece in pieces {
            cutter.push(piece);
            lines.extend(std::iter::from_fn(|| cutter.cut()).map(text));
            assert!(cutter.held_bytes() <= 4, "what is held is bounded");
        }
        lines.extend(cutter.cut_rest().map(text));
        assert_eq!(cutter.taken_bytes(), pieces.iter().map(|piece| piece.len()).sum::<usize>());
        lines
    }

    #[test]
    fn lines_end_with_lf_or_cr_lf_or_where_nothing_follows() {
        assert_eq!(cut(&[b"a\nb\r\n\r\nc\rd\ne"]), ["a", "b", "", "c\rd", "e"]);
        assert_eq!(cut(&[b"a", b"b", b"\r", b"\n", b"c\r"]), ["ab", "c"]);
        assert!(cut(&[b""]).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_to_its_end_and_told_once() {
        assert_eq!(cut(&[b"12345\nok"]), ["!", "ok"]);
        assert_eq!(cut(&[b"12345", b"678", b"9\nok\n", b"1234\n"]), ["!", "ok", "1234"]);
        assert_eq!(cut(&[b"12345", b"6"]), ["!"]);
    }
}
