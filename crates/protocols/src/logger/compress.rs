//! The two compressions that devices use for a body: zlib, and QuickLZ 1.5 level 1. Source: \[2\], `vectors/device-info-quicklz.hex`.
//!
//! Nothing is compressed by us.

use std::io::Read;

use crate::wire::Reader;
use crate::{Fault, FaultKind};

/// Most bytes that a compressed body may become: four times the largest frame, for a text that compresses well.
pub const INFLATED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Entries of the table with which QuickLZ finds earlier text.
const HASH_ENTRIES: usize = 4096;
/// At the end of the text QuickLZ refers to nothing within this many bytes.
const QUICKLZ_TAIL_BYTES: usize = 11;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// zlib.
    Zlib,
    /// QuickLZ 1.5, level 1.
    QuickLz,
}

impl Compression {
    /// The compression that `body` begins with.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        match body {
            // Deflate with a window of 32 KiB, at one of its four levels. Less strict, a wrong key would look right too often.
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Self::Zlib,
            [flags, ..] if quicklz_header(body).is_ok() && flags & 0b1100_1100 == 0b0100_0100 => Self::QuickLz,
            _ => Self::Plain,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Zlib => "zlib",
            Self::QuickLz => "quicklz",
        }
    }
}

/// True when `body` begins as a compressed one does.
pub(super) fn looks_compressed(body: &[u8]) -> bool {
    Compression::of(body) != Compression::Plain
}

/// Inflates zlib; what stands behind its end is padding.
///
/// # Errors
/// `TooLarge` over `INFLATED_BYTES_MAX`, `Malformed` when it is not zlib.
pub(super) fn inflate_zlib(body: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut text = Vec::new();
    let limit = u64::try_from(INFLATED_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    flate2::read::ZlibDecoder::new(body)
        .take(limit)
        .read_to_end(&mut text)
        .map_err(|error| Fault::new(FaultKind::Malformed, format!("zlib: {error}")))?;
    if text.len() > INFLATED_BYTES_MAX {
        return Err(too_large("zlib", "more"));
    }
    Ok(text)
}

struct QuickLzHeader {
    header_bytes: usize,
    stored: bool,
    compressed_bytes: usize,
    text_bytes: usize,
}

/// `flags | compressed size | size`, both sizes u32 LE, or u8 where the second flag is not set; the first counts the header.
fn quicklz_header(body: &[u8]) -> Result<QuickLzHeader, Fault> {
    let mut reader = Reader::new(body);
    let flags = reader.u8()?;
    let (compressed, text) = if flags & 0b10 == 0 {
        (u32::from(reader.u8()?), u32::from(reader.u8()?))
    } else {
        (reader.u32_le()?, reader.u32_le()?)
    };
    let size = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    let header = QuickLzHeader {
        header_bytes: reader.offset(),
        stored: flags & 1 == 0,
        compressed_bytes: size(compressed),
        text_bytes: size(text),
    };
    if header.text_bytes > INFLATED_BYTES_MAX {
        return Err(too_large("quicklz", &header.text_bytes.to_string()));
    }
    if header.compressed_bytes < header.header_bytes || header.text_bytes == 0 {
        return Err(Fault::new(FaultKind::Malformed, "quicklz: sizes that cannot be"));
    }
    Ok(header)
}

/// Inflates one block of QuickLZ level 1; what stands behind it is padding.
///
/// # Errors
/// `TooLarge` when it claims over `INFLATED_BYTES_MAX`, `Malformed` when it is cut short or refers to what is not there.
pub(super) fn inflate_quicklz(body: &[u8]) -> Result<Vec<u8>, Fault> {
    let header = quicklz_header(body)?;
    let block =
        body.get(header.header_bytes..header.compressed_bytes).ok_or_else(|| bad_quicklz("cut short", body.len()))?;
    if header.stored {
        let text = block.get(..header.text_bytes).ok_or_else(|| bad_quicklz("cut short", body.len()))?;
        return Ok(text.to_vec());
    }
    let mut inflater = QuickLz {
        reader: Reader::new(block),
        text: Vec::with_capacity(header.text_bytes),
        table: vec![0; HASH_ENTRIES],
        hashed: 0,
    };
    inflater.run(header.text_bytes).map_err(|fault| fault.at(header.header_bytes + inflater.reader.offset()))?;
    Ok(inflater.text)
}

/// Thirty-two flag bits, then for each either a byte of text (0) or a reference to earlier text (1): the low four bits of
/// two bytes are its length less two, the other twelve its place in a table that both sides fill alike.
struct QuickLz<'a> {
    reader: Reader<'a>,
    text: Vec<u8>,
    /// Where text of each hash stood last.
    table: Vec<usize>,
    /// Bytes of text that are in the table.
    hashed: usize,
}

impl QuickLz<'_> {
    fn run(&mut self, text_bytes: usize) -> Result<(), Fault> {
        let references_end = text_bytes.saturating_sub(QUICKLZ_TAIL_BYTES);
        // The highest set bit marks the end of the flags.
        let mut flags = 1_u32;
        while self.text.len() < text_bytes {
            if flags == 1 {
                flags = self.reader.u32_le()?;
            }
            let reference = flags & 1 == 1;
            flags >>= 1;
            // Flags that were all taken leave the mark alone; a word of zero has lost it.
            if flags == 0 {
                return Err(bad_quicklz("flags without an end", self.text.len()));
            }
            if reference {
                self.reference(text_bytes)?;
            } else {
                self.text.push(self.reader.u8()?);
                if self.text.len() <= references_end + 1 {
                    self.hash_up_to(self.text.len().saturating_sub(2));
                }
            }
        }
        Ok(())
    }

    fn reference(&mut self, text_bytes: usize) -> Result<(), Fault> {
        let [low, high] = self.reader.array::<2>()?;
        let word = u16::from_le_bytes([low, high]);
        let length = match usize::from(word & 0xf) {
            0 => usize::from(self.reader.u8()?),
            short => short + 2,
        };
        let start = self.table.get(usize::from(word >> 4)).copied().unwrap_or_default();
        let end = self.text.len();
        if start >= end || length < 3 || end + length > text_bytes {
            return Err(bad_quicklz("a reference to what is not there", end));
        }
        for offset in 0..length {
            // A reference may reach into what it writes itself, so it is copied byte by byte.
            let byte = self.text.get(start + offset).copied().unwrap_or_default();
            self.text.push(byte);
        }
        self.hash_up_to(end + 1);
        self.hashed = self.text.len();
        Ok(())
    }

    /// Enters every three bytes of text that begin before `end`.
    fn hash_up_to(&mut self, end: usize) {
        while self.hashed < end {
            let Some(&[first, second, third]) = self.text.get(self.hashed..).and_then(<[u8]>::first_chunk) else {
                return;
            };
            let value = usize::from(first) | usize::from(second) << 8 | usize::from(third) << 16;
            if let Some(entry) = self.table.get_mut((value >> 12 ^ value) & (HASH_ENTRIES - 1)) {
                *entry = self.hashed;
            }
            self.hashed += 1;
        }
    }
}

fn bad_quicklz(what: &str, offset: usize) -> Fault {
    Fault::new(FaultKind::Malformed, format!("quicklz: {what}")).at(offset)
}

fn too_large(name: &str, claimed: &str) -> Fault {
    Fault::new(FaultKind::TooLarge, format!("{name} body of {claimed} over {INFLATED_BYTES_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Compression, INFLATED_BYTES_MAX, inflate_quicklz, inflate_zlib};
    use crate::FaultKind;

    #[test]
    fn zlib_comes_back_and_its_padding_is_dropped() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"<root/>").expect("memory takes it");
        let mut body = encoder.finish().expect("memory takes it");
        body.extend([0; 7]);
        assert_eq!(Compression::of(&body), Compression::Zlib);
        assert_eq!(inflate_zlib(&body).expect("zlib"), b"<root/>");
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b'<'; INFLATED_BYTES_MAX + 1]).expect("memory takes it");
        let bomb = encoder.finish().expect("memory takes it");
        assert_eq!(inflate_zlib(&bomb).expect_err("too large").kind, FaultKind::TooLarge);
        let claim = [0x57, 20, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(inflate_quicklz(&claim).expect_err("too large").kind, FaultKind::TooLarge);
    }

    #[test]
    fn a_reference_to_nothing_is_refused() {
        let body = [0x57, 20, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0x80, 0x13, 0, 0, 0, 0, 0, 0];
        assert_eq!(inflate_quicklz(&body).expect_err("nothing there").kind, FaultKind::Malformed);
    }
}
