//! Cutting lines from a stream.

use memchr::memmem;

use crate::{Fault, FaultKind};

/// Longest line that can be set.
pub const LINE_BYTES_LIMIT_MAX: usize = 64 * 1024;

/// What ends a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Terminator {
    /// CR LF; either alone is data. Source: \[1\] §2.1.
    #[default]
    CrLf,
    /// LF, with or without a CR before it.
    Lf,
}

impl Terminator {
    /// The bytes that end a line for certain.
    #[must_use]
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::CrLf => b"\r\n",
            Self::Lf => b"\n",
        }
    }
}

/// A line, or that there was one too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its bytes, without what ends it.
    Line(Vec<u8>),
    /// It reached the limit, with or without an end. It is not kept; `Lines::skip` goes on behind it.
    TooLong(Fault),
}

/// Gathers bytes and gives lines.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// So many of them are given out.
    used: usize,
    /// So many of them are known to hold no end of a line.
    searched: usize,
    /// A line that is too long goes on; what comes is dropped up to its end.
    skips: bool,
}

impl Lines {
    /// Takes bytes in. The caller stops reading while a line is left, so what is held is a line and one read at most.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.used > 0 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line: `bytes | terminator`, both together under `limit` bytes.
    ///
    /// `None`: wait for more bytes.
    pub fn cut(&mut self, terminator: Terminator, limit: usize) -> Option<Cut> {
        if self.skips && !self.skipped(terminator) {
            return None;
        }
        let start = self.used;
        let rest = self.bytes.get(start..).unwrap_or_default();
        // The end may stand across two reads.
        let from = self.searched.saturating_sub(terminator.bytes().len() - 1);
        let found = memmem::find(rest.get(from..).unwrap_or_default(), terminator.bytes()).map(|place| from + place);
        let length = found.map_or(rest.len(), |place| place + terminator.bytes().len());
        if length >= limit {
            self.skips = found.is_none();
            // The first half of its end may be the last byte.
            let kept = usize::from(self.skips && rest.last() == Some(&b'\r'));
            self.advance(length - kept);
            let what = if found.is_some() { "a line" } else { "a line without an end" };
            let reason = format!("{what} of {length} bytes reaches the limit of {limit}");
            return Some(Cut::TooLong(Fault::new(FaultKind::TooLarge, reason)));
        }
        let Some(place) = found else {
            self.searched = rest.len();
            return None;
        };
        let mut line = rest.get(..place).unwrap_or_default();
        if terminator == Terminator::Lf {
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        let line = line.to_vec();
        self.advance(length);
        Some(Cut::Line(line))
    }

    /// Drops bytes up to the end of the line that was too long. False while it has not come.
    fn skipped(&mut self, terminator: Terminator) -> bool {
        let rest = self.bytes.get(self.used..).unwrap_or_default();
        let found = memmem::find(rest, terminator.bytes());
        // The first half of an end may be the last byte.
        let kept = usize::from(rest.last() == Some(&b'\r'));
        let count = found.map_or(rest.len() - kept, |place| place + terminator.bytes().len());
        self.skips = found.is_none();
        self.advance(count);
        found.is_some()
    }

    fn advance(&mut self, count: usize) {
        self.used += count;
        self.searched = 0;
        if self.used >= self.bytes.len() {
            // An idle connection holds no memory.
            self.bytes = Vec::new();
            self.used = 0;
        }
    }

    /// Bytes that wait for the end of their line.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes.len() - self.used
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, Lines, Terminator};

    fn cut_all(lines: &mut Lines, terminator: Terminator, limit: usize) -> Vec<String> {
        let text = |cut| match cut {
            Cut::Line(line) => String::from_utf8(line).expect("ASCII"),
            Cut::TooLong(fault) => fault.reason.into_owned(),
        };
        std::iter::from_fn(|| lines.cut(terminator, limit)).map(text).collect()
    }

    #[track_caller]
    fn check(input: &[u8], terminator: Terminator, limit: usize, expected: &[&str]) {
        for piece_bytes in 1..=input.len() {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for piece in input.chunks(piece_bytes) {
                lines.push(piece);
                found.extend(cut_all(&mut lines, terminator, limit));
            }
            assert_eq!(found, expected, "in pieces of {piece_bytes}");
        }
    }

    #[test]
    fn a_line_ends_with_its_terminator_alone() {
        check(b"a\r\nb\nc\rd\r\r\n\r\nrest", Terminator::CrLf, 64, &["a", "b\nc\rd\r", ""]);
        check(b"a\r\nb\nc\rd\n\nrest", Terminator::Lf, 64, &["a", "b", "c\rd", ""]);
    }

    #[test]
    fn a_line_with_its_end_stays_under_the_limit() {
        for (length, fits) in [(1_021, true), (1_022, false)] {
            let mut lines = Lines::default();
            lines.push(&[&vec![b'x'; length][..], b"\r\n"].concat());
            assert_eq!(matches!(lines.cut(Terminator::CrLf, 1_024), Some(Cut::Line(_))), fits, "{length}");
        }
        for (length, fits) in [(1_023, true), (1_024, false)] {
            let mut lines = Lines::default();
            lines.push(&vec![b'x'; length]);
            assert_eq!(lines.cut(Terminator::CrLf, 1_024).is_none(), fits, "{length} without an end");
        }
    }

    #[test]
    fn what_follows_a_line_that_is_too_long_is_read() {
        let mut lines = Lines::default();
        for piece in [&b"123456789"[..], b"012345\r", b"\nok\r\n"] {
            lines.push(piece);
        }
        assert_eq!(cut_all(&mut lines, Terminator::CrLf, 8).len(), 2);
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in [&b"123456789"[..], b"0123456789012345\r", b"\nok\r\n"] {
            lines.push(piece);
            found.extend(cut_all(&mut lines, Terminator::CrLf, 8));
        }
        assert_eq!(found, ["a line without an end of 9 bytes reaches the limit of 8", "ok"]);
    }
}
