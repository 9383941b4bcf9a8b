//! Cuts frames from the bytes of a connection, whatever dialect they are in, and finds the next one behind garbage.
//!
//! A frame is cut as soon as its body and check are there: its tail says nothing new, and a device that lost a byte of it
//! waits for an answer before it sends more. What the result is never depends on how the bytes were split on their way.
//! Limits come before memory: nothing is reserved for bytes that were only announced. Source: \[2\], \[3\].

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::crc::CrcVariant;
use super::dialect::{ALL_DIALECTS, CipherUse, Dialect, Length};
use super::shape::{Head, Measured, ROOT_END_OVERLAP, Shape, Tail, head_at, head_at_garbage, measure, tail_at};
use super::text;
use crate::{Fault, FaultKind};

/// Largest frame unless settings say otherwise; a report of 50 meters has 5 to 20 kB.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes without a valid frame before a connection is given up.
pub const GARBAGE_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of false frames that are checked while looking for the next one, so that nobody can make us compute for long.
const CHECKED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// In which dialect it is.
    pub dialect: &'static Dialect,
    /// Its type; 0 where frames have none.
    pub kind: u8,
    /// Its sequence, to be given back; zeros where frames have none.
    pub sequence: [u8; 4],
    /// The check that fits, if one does. `None` also where frames have none.
    pub crc: Option<CrcVariant>,
    bytes: BytesMut,
    body: Range<usize>,
}

impl Frame {
    /// The whole frame. Its tail is there only if it had come by then.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body.clone()).unwrap_or_default()
    }

    /// Its body, to be deciphered in place.
    pub fn body_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.body.clone()).unwrap_or_default()
    }

    /// True while its body has to be deciphered before it can be read.
    #[must_use]
    pub fn is_enciphered(&self) -> bool {
        is_enciphered(self.dialect, self.kind, self.body())
    }

    /// The frame as it is kept: whole, and plain where its body was deciphered in place.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes.freeze()
    }
}

pub(super) fn is_enciphered(dialect: &Dialect, kind: u8, body: &[u8]) -> bool {
    match dialect.cipher {
        CipherUse::Never => false,
        CipherUse::Always => true,
        CipherUse::Kinds(kinds) => kinds.contains(&kind) && !text::trim_start(body).starts_with(b"<"),
    }
}

/// The next thing that was found.
#[derive(Debug)]
pub enum Cut {
    /// A frame.
    Frame(Frame),
    /// Something that is no frame, or not quite one. What follows is looked at all the same.
    Fault(Fault),
}

/// Cuts the bytes of one connection. Holds no memory while nothing is left over.
#[derive(Debug)]
pub struct Cutter {
    buffer: BytesMut,
    /// The dialect that is expected: given by settings, or of the first valid frame.
    dialect: Option<&'static Dialect>,
    /// The check that fitted last.
    crc: Option<CrcVariant>,
    /// Bytes of the last frame's tail that came, while not all of them did.
    tail_bytes: Option<u8>,
    /// True while looking for a frame behind garbage.
    lost: bool,
    /// Bytes that were skipped since the last frame.
    skipped_bytes: u32,
    /// Bytes from which on the end of an XML text is looked for.
    searched_bytes: u32,
    frame_bytes_max: u32,
}

impl Cutter {
    /// For a new connection. Without `dialect` it is that of the first valid frame. `frame_bytes_max` counts everything from
    /// head to tail.
    #[must_use]
    pub fn new(dialect: Option<&'static Dialect>, frame_bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            dialect,
            crc: None,
            tail_bytes: None,
            lost: false,
            skipped_bytes: 0,
            searched_bytes: 0,
            frame_bytes_max: u32::try_from(frame_bytes_max).unwrap_or(u32::MAX),
        }
    }

    /// Bytes that wait to be looked at.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Takes in bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame or fault; `None` until more bytes come.
    ///
    /// # Errors
    /// `Malformed` when the connection has to be given up: over `GARBAGE_BYTES_MAX` without a valid frame, or a dialect
    /// without heads out of step.
    pub fn cut(&mut self) -> Result<Option<Cut>, Fault> {
        loop {
            if let Some(fault) = self.tail() {
                return Ok(Some(Cut::Fault(fault)));
            }
            let is_cut = self.separators();
            if is_cut {
                return Ok(None);
            }
            if self.buffer.is_empty() {
                // An idle connection keeps no memory.
                self.buffer = BytesMut::new();
                return Ok(None);
            }
            if self.lost {
                match self.find()? {
                    Some(fault) => return Ok(Some(Cut::Fault(fault))),
                    None if self.lost => return Ok(None),
                    None => continue,
                }
            }
            return match self.at_head() {
                Step::Wait => Ok(None),
                Step::Frame(frame) => Ok(Some(Cut::Frame(frame))),
                Step::Refused(fault) => {
                    self.lost = true;
                    self.searched_bytes = 0;
                    if self.dialect.is_some_and(|dialect| dialect.heads.is_empty()) {
                        return Err(fault);
                    }
                    self.skip(1)?;
                    Ok(Some(Cut::Fault(fault)))
                }
                Step::NoHead => {
                    self.lost = true;
                    continue;
                }
            };
        }
    }

    /// Drops what is left of the last frame's tail.
    fn tail(&mut self) -> Option<Fault> {
        let tail = self.dialect.map_or(&[][..], |dialect| dialect.tail);
        let mut found = usize::from(self.tail_bytes?);
        while let (Some(expected), Some(byte)) = (tail.get(found), self.buffer.first()) {
            if byte != expected {
                self.tail_bytes = None;
                let reason = format!("tail of {found} bytes, {} expected", tail.len());
                return Some(Fault::new(FaultKind::Damaged, reason));
            }
            self.buffer.advance(1);
            found += 1;
        }
        self.tail_bytes = (found < tail.len()).then(|| u8::try_from(found).unwrap_or(0));
        None
    }

    /// Drops what devices put between texts. NUL may be the first byte of a length while no dialect is known. True when
    /// more bytes have to tell.
    fn separators(&mut self) -> bool {
        let xml_follows = self.dialect.is_none_or(|dialect| matches!(dialect.length, Length::Hex | Length::RootEnd));
        if !xml_follows || self.lost {
            return false;
        }
        let rest = text::trim_start(&self.buffer);
        let dropped = self.buffer.len() - rest.len();
        let dropped = match self.dialect {
            Some(_) => dropped,
            None => self.buffer.iter().take(dropped).position(|&byte| byte == 0).unwrap_or(dropped),
        };
        self.buffer.advance(dropped);
        !self.buffer.is_empty() && text::BYTE_ORDER_MARK.starts_with(&self.buffer)
    }

    /// Looks at the first byte, where a frame has to begin.
    fn at_head(&mut self) -> Step {
        let Some(dialect) = (match head_at(self.dialect, &self.buffer) {
            Head::Whole(dialect) => Some(dialect),
            Head::Cut => return Step::Wait,
            Head::Absent => None,
        }) else {
            return Step::NoHead;
        };
        let limit = usize::try_from(self.frame_bytes_max).unwrap_or(usize::MAX);
        let searched = usize::try_from(self.searched_bytes).unwrap_or(0);
        let shape = match measure(dialect, &self.buffer, limit, searched) {
            Measured::Whole(shape) => shape,
            Measured::Short => {
                let searched = self.buffer.len().saturating_sub(ROOT_END_OVERLAP);
                self.searched_bytes = u32::try_from(searched).unwrap_or(0);
                return Step::Wait;
            }
            Measured::Refused(fault) => return Step::Refused(fault),
        };
        let (crc, tail) = self.check(dialect, &self.buffer, &shape);
        let tail_bytes = match (crc, tail) {
            (Some(_) | None, Tail::Whole) => dialect.tail.len(),
            (Some(_), Tail::Cut | Tail::Wrong) => 0,
            (None, Tail::Cut) => return Step::Wait,
            (None, Tail::Wrong) => {
                return Step::Refused(
                    Fault::new(FaultKind::Damaged, "neither check nor tail of the frame fit").at(shape.end),
                );
            }
        };
        Step::Frame(self.take(dialect, shape, crc, tail_bytes))
    }

    fn take(&mut self, dialect: &'static Dialect, shape: Shape, crc: Option<CrcVariant>, tail_bytes: usize) -> Frame {
        self.dialect = Some(dialect);
        self.crc = crc.or(self.crc);
        self.tail_bytes = (tail_bytes < dialect.tail.len()).then_some(0);
        self.skipped_bytes = 0;
        self.searched_bytes = 0;
        let end = shape.end + tail_bytes;
        let bytes = if end == self.buffer.len() { std::mem::take(&mut self.buffer) } else { self.buffer.split_to(end) };
        Frame { dialect, kind: shape.kind, sequence: shape.sequence, crc, bytes, body: shape.body }
    }

    /// Whether check and tail of a whole frame at the start of `bytes` fit.
    fn check(&self, dialect: &Dialect, bytes: &[u8], shape: &Shape) -> (Option<CrcVariant>, Tail) {
        let Some(usual) = dialect.crc else { return (None, Tail::Whole) };
        let covered = bytes.get(..shape.body.end).unwrap_or_default();
        let found = bytes.get(shape.body.end..).and_then(<[u8]>::first_chunk);
        let crc = found.and_then(|&found| CrcVariant::matching(self.crc.unwrap_or(usual), covered, found));
        (crc, tail_at(dialect, bytes.get(shape.end..).unwrap_or_default()))
    }

    /// Gives up the frame at the front, which does not come to its end, for a whole one behind its head. A device whose
    /// length was damaged on its way would otherwise go unheard until it has sent as much as that length says.
    ///
    /// # Errors
    /// `Malformed` when the connection has to be given up: a dialect without heads, or too much to skip.
    pub fn overtake(&mut self) -> Result<Option<Fault>, Fault> {
        if self.dialect.is_some_and(|dialect| dialect.heads.is_empty()) {
            return Err(Fault::new(FaultKind::Malformed, "a frame that does not come to its end"));
        }
        let Some(best) = self.search(1)?.0 else { return Ok(None) };
        self.skip(best.start)?;
        self.searched_bytes = 0;
        let reason = format!("a frame that does not come to its end, {} bytes skipped", best.start);
        Ok(Some(Fault::new(FaultKind::Malformed, reason)))
    }

    /// Looks for the next frame behind garbage.
    fn find(&mut self) -> Result<Option<Fault>, Fault> {
        let (best, pending) = self.search(0)?;
        let Some(best) = best else {
            self.skip(pending.unwrap_or(self.buffer.len()))?;
            return Ok(None);
        };
        self.skip(best.start)?;
        self.lost = false;
        let skipped = self.skipped_bytes;
        Ok((skipped > 0).then(|| Fault::new(FaultKind::Malformed, format!("{skipped} bytes skipped before a frame"))))
    }

    /// Of all frames from `from` on that check and tail confirm, the one that ends first, so that a false head that
    /// announces much does not swallow the true frames behind it; and where one may begin that is not whole yet.
    fn search(&self, from: usize) -> Result<(Option<Candidate>, Option<usize>), Fault> {
        let mut pending = None;
        let mut best: Option<Candidate> = None;
        let mut effort = Effort::default();
        let heads = || ALL_DIALECTS.iter().flat_map(|dialect| dialect.heads);
        for start in from..self.buffer.len() {
            if best.as_ref().is_some_and(|best| start >= best.end) {
                break;
            }
            if !self.buffer.get(start).is_some_and(|byte| heads().any(|head| head.first() == Some(byte))) {
                continue;
            }
            match self.candidate(start, &mut effort)? {
                Confirmed::Yes(found) if best.as_ref().is_none_or(|best| found.is_before(best)) => best = Some(found),
                Confirmed::Later => pending = pending.or(Some(start)),
                Confirmed::Yes(_) | Confirmed::No => {}
            }
        }
        Ok((best, pending))
    }

    /// Whether a frame begins at `start`, confirmed by all that its dialect offers.
    fn candidate(&self, start: usize, effort: &mut Effort) -> Result<Confirmed, Fault> {
        let limit = usize::try_from(self.frame_bytes_max).unwrap_or(usize::MAX).min(GARBAGE_BYTES_MAX);
        let bytes = self.buffer.get(start..).unwrap_or_default();
        let dialect = match head_at_garbage(self.dialect, bytes) {
            Head::Whole(dialect) => dialect,
            Head::Cut => return Ok(Confirmed::Later),
            Head::Absent => return Ok(Confirmed::No),
        };
        if dialect.length == Length::RootEnd {
            if effort.text_was_measured {
                return Ok(Confirmed::No);
            }
            effort.text_was_measured = true;
        }
        let shape = match measure(dialect, bytes, limit, 0) {
            Measured::Whole(shape) if shape.is_sane => shape,
            Measured::Short => return Ok(Confirmed::Later),
            Measured::Whole(_) | Measured::Refused(_) => return Ok(Confirmed::No),
        };
        match tail_at(dialect, bytes.get(shape.end..).unwrap_or_default()) {
            Tail::Whole => {}
            Tail::Cut => return Ok(Confirmed::Later),
            Tail::Wrong => return Ok(Confirmed::No),
        }
        if dialect.crc.is_some() {
            effort.checked_bytes += shape.end;
            if effort.checked_bytes > CHECKED_BYTES_MAX {
                return Err(Fault::new(FaultKind::Malformed, "too many false heads in garbage"));
            }
            if self.check(dialect, bytes, &shape).0.is_none() {
                return Ok(Confirmed::No);
            }
        }
        let end = start + shape.end + dialect.tail.len();
        Ok(Confirmed::Yes(Candidate { start, end, is_framed: dialect.length != Length::RootEnd }))
    }

    fn skip(&mut self, count: usize) -> Result<(), Fault> {
        self.buffer.advance(count.min(self.buffer.len()));
        self.skipped_bytes = self.skipped_bytes.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        if usize::try_from(self.skipped_bytes).is_ok_and(|skipped| skipped <= GARBAGE_BYTES_MAX) {
            return Ok(());
        }
        let reason = format!("more than {GARBAGE_BYTES_MAX} bytes without a valid frame");
        Err(Fault::new(FaultKind::Malformed, reason))
    }
}

/// What was spent on one look for a frame behind garbage.
#[derive(Default)]
struct Effort {
    checked_bytes: usize,
    /// All texts that begin behind the first end where it ends.
    text_was_measured: bool,
}

/// A frame behind garbage.
struct Candidate {
    start: usize,
    /// Behind its tail.
    end: usize,
    /// It has more than a text.
    is_framed: bool,
}

impl Candidate {
    /// Of two that end together, the text of a broken frame may reach into the whole one behind it.
    fn is_before(&self, other: &Self) -> bool {
        self.end < other.end || (self.end == other.end && self.is_framed && !other.is_framed)
    }
}

enum Confirmed {
    Yes(Candidate),
    /// More bytes will tell.
    Later,
    No,
}

enum Step {
    Wait,
    Frame(Frame),
    Refused(Fault),
    NoHead,
}
