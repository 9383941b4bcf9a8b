//! From the body of a frame to its text: decompress, drop what stands around the XML, and find out its characters.
//!
//! Source: \[2\] and \[3\] for paddings; \[4\] for a device that declares UTF-8 and writes GB2312.

use std::borrow::Cow;
use std::ops::Range;

use super::compress::{self, Compression};
use crate::{Fault, FaultKind};

/// In which characters a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, of which ASCII is a part.
    Utf8,
    /// GB18030, of which GBK and GB2312 are parts.
    Gb18030,
}

/// A body made readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain<'a> {
    /// The XML from its first `<` to its last `>`.
    pub text: Cow<'a, str>,
    /// Where that stands in the body, or in the decompressed body.
    pub range: Range<usize>,
    /// How the body was compressed.
    pub compression: Compression,
    /// In which characters it was written.
    pub charset: Charset,
}

/// Makes a deciphered body readable.
///
/// # Errors
/// `TooLarge` when it claims to be compressed from more than `INFLATED_BYTES_MAX`, `Malformed` when it does not
/// decompress, `Undecipherable` when there is no XML in it.
pub fn plain(body: &[u8]) -> Result<Plain<'_>, Fault> {
    match Compression::of(body) {
        Compression::Plain => {
            let (range, charset, text) = readable(body)?;
            Ok(Plain { text, range, compression: Compression::Plain, charset })
        }
        compression @ (Compression::Zlib | Compression::QuickLz) => {
            let inflated = match compression {
                Compression::QuickLz => compress::inflate_quicklz(body)?,
                Compression::Plain | Compression::Zlib => compress::inflate_zlib(body)?,
            };
            let (range, charset, text) = readable(&inflated)?;
            Ok(Plain { text: Cow::Owned(text.into_owned()), range, compression, charset })
        }
    }
}

fn readable(bytes: &[u8]) -> Result<(Range<usize>, Charset, Cow<'_, str>), Fault> {
    let start = bytes.len() - trim_start(bytes).len();
    let end = memchr::memrchr(b'>', bytes).map_or(0, |last| last + 1);
    let xml = bytes.get(start..end).filter(|xml| xml.starts_with(b"<"));
    let Some(xml) = xml else {
        return Err(Fault::new(FaultKind::Undecipherable, "no xml in the body").at(start));
    };
    Ok(match std::str::from_utf8(xml) {
        Ok(text) => (start..end, Charset::Utf8, Cow::Borrowed(text)),
        Err(_) => (start..end, Charset::Gb18030, encoding_rs::GB18030.decode_without_bom_handling(xml).0),
    })
}

/// The byte order mark of UTF-8, which some devices send.
pub(super) const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// `bytes` without blanks, byte order marks and NULs in front.
pub(super) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = match bytes {
            [b' ' | b'\t' | b'\r' | b'\n' | 0, rest @ ..] | [0xef, 0xbb, 0xbf, rest @ ..] => rest,
            _ => return bytes,
        };
    }
}

/// True when `text` begins as a message does, as far as it goes.
pub(super) fn looks_like_root(text: &[u8]) -> bool {
    [&b"<?xml"[..], b"<root", b"< root"].iter().any(|start| {
        let known = start.len().min(text.len());
        text.get(..known).is_some_and(|found| start.get(..known).is_some_and(|start| found.eq_ignore_ascii_case(start)))
    })
}

#[cfg(test)]
mod tests {
    use super::{Charset, plain};
    use crate::FaultKind;

    #[test]
    fn what_stands_around_the_xml_is_dropped() {
        for (body, range) in [
            (&b"<root></root>"[..], 0..13),
            (b"\n\xef\xbb\xbf <root></root>\0\0\0", 5..18),
            (b"<root></root>0000000", 0..13),
            (b"<root></root>\n\x07\x07\x07\x07\x07\x07\x07", 0..13),
        ] {
            let plain = plain(body).expect("xml");
            assert_eq!((plain.text.as_ref(), plain.range), ("<root></root>", range));
        }
    }

    #[test]
    fn what_is_not_utf_8_is_gb18030() {
        let plain = plain(b"<root>\xba\xa3\xd1\xce</root>").expect("xml");
        assert_eq!((plain.text.as_ref(), plain.charset), ("<root>\u{6d77}\u{76d0}</root>", Charset::Gb18030));
    }

    #[test]
    fn a_body_without_xml_is_undecipherable() {
        for body in [&b""[..], b"\0\0", b"abc", b"> <"] {
            assert_eq!(plain(body).expect_err("no xml").kind, FaultKind::Undecipherable);
        }
    }
}
