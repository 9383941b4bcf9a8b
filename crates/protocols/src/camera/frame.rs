//! Cutting commands from a stream, and putting them into one.

use std::borrow::Cow;

use memchr::memmem;

use crate::wire::Reader;
use crate::{Fault, FaultKind};

/// Longest command that can be set: a reply with twenty long ids stays far below.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// How commands are told apart in the stream. Source: \[1\] §1.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub enum Framing {
    /// Each ends with CR LF.
    #[default]
    #[serde(rename = "\r\n", alias = "crlf")]
    CrLf,
    /// Each ends with LF.
    #[serde(rename = "\n", alias = "lf")]
    Lf,
    /// Each ends with `##`.
    #[serde(rename = "##")]
    Hashes,
    /// Each ends with a zero byte.
    #[serde(rename = "\0", alias = "nul")]
    Nul,
    /// `length u32 LE, bytes after this field` stands before each.
    #[serde(rename = "u32-le")]
    LengthLe,
    /// `length u32 BE, bytes after this field` stands before each.
    #[serde(rename = "u32-be")]
    LengthBe,
}

/// Which bytes end a command, or that its length comes first.
enum Mark {
    End(&'static [u8]),
    Length(fn([u8; 4]) -> u32),
}

impl Framing {
    fn mark(self) -> Mark {
        match self {
            Self::CrLf => Mark::End(b"\r\n"),
            Self::Lf => Mark::End(b"\n"),
            Self::Hashes => Mark::End(b"##"),
            Self::Nul => Mark::End(b"\0"),
            Self::LengthLe => Mark::Length(u32::from_le_bytes),
            Self::LengthBe => Mark::Length(u32::from_be_bytes),
        }
    }

    /// The text without what would end its command early: alarms come by other protocols as well, and passwords by listeners
    /// whose commands end otherwise.
    #[must_use]
    pub fn harmless(self, text: &str) -> Cow<'_, str> {
        const ENDS: [char; 3] = ['\r', '\n', '\0'];
        match self {
            Self::CrLf | Self::Lf | Self::Nul if text.contains(ENDS) => Cow::Owned(text.replace(ENDS, "_")),
            Self::Hashes if text.contains("##") || text.ends_with('#') => {
                let text = text.replace("##", "__");
                Cow::Owned(text.strip_suffix('#').map_or_else(|| text.clone(), |rest| format!("{rest}_")))
            }
            Self::CrLf | Self::Lf | Self::Nul | Self::Hashes | Self::LengthLe | Self::LengthBe => Cow::Borrowed(text),
        }
    }

    /// Appends a command.
    pub fn put(self, body: &[u8], out: &mut Vec<u8>) {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        match self {
            Self::LengthLe => out.extend_from_slice(&length.to_le_bytes()),
            Self::LengthBe => out.extend_from_slice(&length.to_be_bytes()),
            Self::CrLf | Self::Lf | Self::Hashes | Self::Nul => {}
        }
        out.extend_from_slice(body);
        if let Mark::End(end) = self.mark() {
            out.extend_from_slice(end);
        }
    }
}

/// Whether LF alone ends a command where CR LF does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareLf {
    /// It is data.
    Data,
    /// It ends one.
    Ends,
}

/// Where a command stands in the bytes at hand.
struct Place {
    start: usize,
    end: usize,
    /// Where the next one begins.
    next: usize,
}

/// Gathers bytes and gives commands.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    used: usize,
}

impl Frames {
    /// Takes bytes in. The caller stops reading while a command is left, so what is held is a command and one read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.used > 0 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next command without what frames it. `None`: wait for more bytes.
    ///
    /// # Errors
    /// `TooLarge` when it is longer than `max` bytes, with or without an end, or says so.
    pub fn cut(&mut self, framing: Framing, bare_lf: BareLf, max: usize) -> Result<Option<Vec<u8>>, Fault> {
        let rest = self.bytes.get(self.used..).unwrap_or_default();
        let Some(place) = find(rest, framing, bare_lf, max)? else { return Ok(None) };
        let body = rest.get(place.start..place.end).unwrap_or_default().to_vec();
        self.used += place.next;
        if self.used >= self.bytes.len() {
            // An idle connection holds no memory.
            *self = Self::default();
        }
        Ok(Some(body))
    }

    /// Bytes that wait for the rest of their command.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes.len() - self.used
    }
}

fn find(rest: &[u8], framing: Framing, bare_lf: BareLf, max: usize) -> Result<Option<Place>, Fault> {
    let too_large = |length: usize| {
        Err(Fault::new(FaultKind::TooLarge, format!("a command of {length} bytes is over the limit of {max}")))
    };
    match framing.mark() {
        Mark::Length(read) => {
            let Ok(field) = Reader::new(rest).array() else { return Ok(None) };
            let length = usize::try_from(read(field)).unwrap_or(usize::MAX);
            if length > max {
                return too_large(length);
            }
            let end = length + field.len();
            Ok((rest.len() >= end).then_some(Place { start: field.len(), end, next: end }))
        }
        Mark::End(ending) => {
            let is_lenient = framing == Framing::CrLf && bare_lf == BareLf::Ends;
            let searched: &[u8] = if is_lenient { b"\n" } else { ending };
            let Some(end) = memmem::find(rest, searched) else {
                let waits = rest.len().saturating_sub(ending.len() - 1);
                return if waits > max { too_large(waits) } else { Ok(None) };
            };
            let next = end + searched.len();
            let has_cr = is_lenient && rest.get(..end).is_some_and(|line| line.ends_with(b"\r"));
            let end = end - usize::from(has_cr);
            if end > max { too_large(end) } else { Ok(Some(Place { start: 0, end, next })) }
        }
    }
}

/// Where the first command of `bytes` stands and where the next one begins, for explanations.
#[must_use]
pub(super) fn first(bytes: &[u8], framing: Framing) -> Option<(std::ops::Range<usize>, usize)> {
    let place = find(bytes, framing, BareLf::Ends, FRAME_BYTES_MAX).ok().flatten()?;
    Some((place.start..place.end, place.next))
}

#[cfg(test)]
mod tests {
    use super::{BareLf, Frames, Framing};

    #[track_caller]
    fn check(input: &[u8], framing: Framing, bare_lf: BareLf, expected: &[&[u8]]) {
        for piece_bytes in 1..=input.len() {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for piece in input.chunks(piece_bytes) {
                frames.push(piece);
                while let Some(body) = frames.cut(framing, bare_lf, 64).expect("short") {
                    found.push(body);
                }
            }
            assert_eq!(found, expected, "in pieces of {piece_bytes}");
        }
    }

    #[test]
    fn every_framing_cuts_what_it_puts() {
        let bodies: [&[u8]; 3] = [b"HB R", b"", "东|;:".as_bytes()];
        for framing in [Framing::CrLf, Framing::Lf, Framing::Hashes, Framing::Nul, Framing::LengthLe, Framing::LengthBe]
        {
            let mut bytes = Vec::new();
            for body in bodies {
                framing.put(body, &mut bytes);
            }
            check(&bytes, framing, BareLf::Data, &bodies);
        }
    }

    #[test]
    fn nothing_that_is_told_ends_its_command_early() {
        for (text, framing, told) in [
            ("a\r\nb\nc\0d#", Framing::CrLf, "a__b_c_d#"),
            ("a#b##c###d#", Framing::Hashes, "a#b__c__#d_"),
            ("a\r\nb##", Framing::LengthBe, "a\r\nb##"),
        ] {
            assert_eq!(framing.harmless(text), told, "{framing:?}");
            let mut bytes = Vec::new();
            framing.put(told.as_bytes(), &mut bytes);
            check(&bytes, framing, BareLf::Ends, &[told.as_bytes()]);
        }
    }

    #[test]
    fn lf_alone_ends_a_command_only_where_it_may() {
        check(b"a\nb\r\nc\n", Framing::CrLf, BareLf::Data, &[b"a\nb"]);
        check(b"a\nb\r\nc\n", Framing::CrLf, BareLf::Ends, &[b"a", b"b", b"c"]);
    }

    #[test]
    fn a_command_that_is_too_long_or_says_so_is_refused_before_it_is_there() {
        for (input, framing, fits) in [
            (&b"12345678\r\n"[..], Framing::CrLf, true),
            (b"123456789\r\n", Framing::CrLf, false),
            (b"1234567890", Framing::CrLf, false),
            (b"\x08\0\0\0", Framing::LengthLe, true),
            (b"\x09\0\0\0", Framing::LengthLe, false),
            (b"\xff\xff\xff\xff", Framing::LengthBe, false),
        ] {
            let mut frames = Frames::default();
            frames.push(input);
            assert_eq!(frames.cut(framing, BareLf::Data, 8).is_ok(), fits, "{input:?}");
        }
    }
}
