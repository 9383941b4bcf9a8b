//! Where the parts of a frame stand, from its first bytes: which dialect, how long, and whether that can be.

use std::ops::Range;

use memchr::memmem;

use super::dialect::{ALL_DIALECTS, CipherUse, Dialect, Kinds, Length};
use super::text;
use crate::wire::Reader;
use crate::{Fault, FaultKind};

/// Most bytes of a text whose length has four hex digits.
const HEX_BODY_BYTES_MAX: usize = 0xffff;
/// Bytes of a check.
const CRC_BYTES: usize = 2;
/// Bytes that the end of an XML text is looked for in again when more bytes came: `</root` and blanks.
pub(super) const ROOT_END_OVERLAP: usize = 64;

/// What stands where a head may be.
pub(super) enum Head {
    /// The head of a dialect, or the length of the one without.
    Whole(&'static Dialect),
    /// The beginning of one; more bytes will tell.
    Cut,
    /// None.
    Absent,
}

/// The head at the start of `bytes`: of `dialect`, or of any.
pub(super) fn head_at(dialect: Option<&'static Dialect>, bytes: &[u8]) -> Head {
    match (dialect, head_at_garbage(dialect, bytes)) {
        (Some(dialect), Head::Absent) if dialect.heads.is_empty() => Head::Whole(dialect),
        (None, Head::Absent) => {
            // By elimination: a length below 16 MiB begins with a zero, and no head does.
            let bare = ALL_DIALECTS.into_iter().find(|dialect| dialect.heads.is_empty());
            bare.filter(|_| bytes.first() == Some(&0)).map_or(Head::Absent, Head::Whole)
        }
        (_, head) => head,
    }
}

/// The same behind garbage, where a dialect without a head cannot be found.
pub(super) fn head_at_garbage(dialect: Option<&'static Dialect>, bytes: &[u8]) -> Head {
    let mut cut = false;
    let candidates =
        ALL_DIALECTS.iter().copied().filter(|candidate| dialect.is_none_or(|dialect| dialect == *candidate));
    for candidate in candidates {
        for head in candidate.heads {
            if bytes.starts_with(head) {
                return Head::Whole(candidate);
            }
            cut |= head.starts_with(bytes);
        }
    }
    if cut { Head::Cut } else { Head::Absent }
}

/// Where the parts of a frame stand, from its first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub kind: u8,
    pub sequence: [u8; 4],
    /// What the length says, where it says something.
    pub length: Option<usize>,
    pub body: Range<usize>,
    /// Behind the check, before the tail.
    pub end: usize,
    /// False for what may be a frame only where one has to begin.
    pub is_sane: bool,
}

/// What the bytes at a head say of a frame.
pub(super) enum Measured {
    /// Too few of them.
    Short,
    /// It is all there, but perhaps for its tail.
    Whole(Shape),
    /// It cannot be one.
    Refused(Fault),
}

/// Measures the frame at the start of `bytes`, which begin with a head of `dialect`. The end of a text is looked for from
/// `searched_bytes` on.
pub(super) fn measure(dialect: &Dialect, bytes: &[u8], frame_bytes_max: usize, searched_bytes: usize) -> Measured {
    if dialect.length == Length::RootEnd {
        return measure_text(bytes, 0, frame_bytes_max, searched_bytes).map_or_else(Measured::Refused, |end| {
            end.map_or(Measured::Short, |end| {
                Measured::Whole(Shape { kind: 0, sequence: [0; 4], length: None, body: 0..end, end, is_sane: true })
            })
        });
    }
    let Ok(header) = read_header(dialect, bytes) else { return Measured::Short };
    let start = dialect.header_bytes();
    let (body_end, check_bytes) = match dialect.length {
        Length::Little => (start + header.length.unwrap_or(0).saturating_sub(header.sequence.len()), CRC_BYTES),
        Length::Big | Length::Hex | Length::RootEnd => (start + header.length.unwrap_or(0), 0),
    };
    let shape = |body_end: usize| Shape {
        kind: header.kind,
        sequence: header.sequence,
        length: header.length,
        body: start..body_end,
        end: body_end + check_bytes,
        is_sane: header.is_known_kind,
    };
    if dialect.length == Length::Hex {
        return measure_hex(dialect, bytes, frame_bytes_max, searched_bytes, &header, shape);
    }
    let whole = shape(body_end);
    let frame_bytes = whole.end + dialect.tail.len();
    if frame_bytes > frame_bytes_max {
        let reason = format!("frame of {frame_bytes} bytes over {frame_bytes_max}");
        return Measured::Refused(Fault::new(FaultKind::TooLarge, reason));
    }
    let cipher_bytes = whole.body.len();
    if dialect.cipher == CipherUse::Always && (cipher_bytes == 0 || cipher_bytes % super::cipher::BLOCK_BYTES != 0) {
        let reason = format!("cipher of {cipher_bytes} bytes is not made of whole blocks of 16");
        return Measured::Refused(Fault::new(FaultKind::Malformed, reason));
    }
    if bytes.len() < whole.end { Measured::Short } else { Measured::Whole(whole) }
}

/// A frame whose length is only a help: text ends with its root element, and at the latest before the next head.
fn measure_hex(
    dialect: &Dialect,
    bytes: &[u8],
    frame_bytes_max: usize,
    searched_bytes: usize,
    header: &Header,
    shape: impl Fn(usize) -> Shape,
) -> Measured {
    let start = dialect.header_bytes();
    let body = bytes.get(start..).unwrap_or_default();
    let Some(first) = text::trim_start(body).first() else {
        return if body.len() > ROOT_END_OVERLAP { refused("a frame of blanks") } else { Measured::Short };
    };
    if *first != b'<' {
        let Some(length) = header.length else { return refused("a length that is not of hex digits") };
        let end = start + length;
        if end > frame_bytes_max {
            return Measured::Refused(Fault::new(
                FaultKind::TooLarge,
                format!("frame of {end} bytes over {frame_bytes_max}"),
            ));
        }
        return if bytes.len() < end { Measured::Short } else { Measured::Whole(shape(end)) };
    }
    let next_head = dialect.heads.iter().filter_map(|head| memmem::find(body, head)).min();
    let own = next_head.and_then(|next| bytes.get(..start + next)).unwrap_or(bytes);
    match measure_text(own, start, frame_bytes_max.min(start + HEX_BODY_BYTES_MAX), searched_bytes) {
        Err(fault) => Measured::Refused(fault),
        Ok(Some(end)) => Measured::Whole(shape(end)),
        Ok(None) if next_head.is_some() => refused("a text cut short by the next head"),
        Ok(None) => Measured::Short,
    }
}

/// Offset behind the root element of the text that begins at `start`; `None` while it is not there.
fn measure_text(bytes: &[u8], start: usize, limit: usize, searched_bytes: usize) -> Result<Option<usize>, Fault> {
    let looked_at = bytes.get(..bytes.len().min(limit)).unwrap_or_default();
    let mut from = start.max(searched_bytes);
    while let Some(found) = memmem::find(looked_at.get(from..).unwrap_or_default(), b"</root") {
        let behind = from + found + b"</root".len();
        let rest = looked_at.get(behind..).unwrap_or_default().trim_ascii_start();
        match rest.first() {
            Some(b'>') => return Ok(Some(looked_at.len() - rest.len() + 1)),
            Some(_) => from = behind,
            None => break,
        }
    }
    if bytes.len() > limit {
        return Err(Fault::new(FaultKind::TooLarge, format!("text without an end in {limit} bytes")));
    }
    Ok(None)
}

fn refused(reason: &'static str) -> Measured {
    Measured::Refused(Fault::new(FaultKind::Malformed, reason))
}

struct Header {
    kind: u8,
    is_known_kind: bool,
    length: Option<usize>,
    sequence: [u8; 4],
}

/// Reads everything before the body. `length` is `None` where it is not written as it should be.
fn read_header(dialect: &Dialect, bytes: &[u8]) -> Result<Header, Fault> {
    let mut reader = Reader::new(bytes);
    reader.take(dialect.heads.first().map_or(0, |head| head.len()))?;
    let kind = match dialect.kinds {
        Kinds::Absent => 0,
        Kinds::Byte { .. } => reader.u8()?,
    };
    let length = match dialect.length {
        Length::Little => usize::try_from(reader.u32_le()?).ok(),
        Length::Big => usize::try_from(reader.u32_be()?).ok(),
        Length::Hex => {
            let digits = reader.array::<4>()?;
            let digits = std::str::from_utf8(&digits).ok().filter(|digits| !digits.starts_with('+'));
            digits.and_then(|digits| usize::from_str_radix(digits, 16).ok())
        }
        Length::RootEnd => None,
    };
    let sequence = match dialect.sequence {
        Some(_) => reader.array()?,
        None => [0; 4],
    };
    Ok(Header { kind, is_known_kind: dialect.knows_kind(kind), length, sequence })
}

/// How much of a tail is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    Whole,
    Cut,
    Wrong,
}

pub(super) fn tail_at(dialect: &Dialect, bytes: &[u8]) -> Tail {
    if bytes.starts_with(dialect.tail) {
        Tail::Whole
    } else if dialect.tail.starts_with(bytes) {
        Tail::Cut
    } else {
        Tail::Wrong
    }
}
