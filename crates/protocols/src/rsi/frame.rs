//! One document from `<Rob` or `<Sen` to its end tag; each is a datagram of its own on the wire.

use std::ops::Range;

use memchr::memmem;

use crate::{Fault, FaultKind};

/// Longest document: 64 channels with their names have under 3 KiB. Source: \[1\].
pub const DATAGRAM_BYTES_MAX: usize = 4_096;

/// The document that fills a datagram, without the blanks and zero bytes around it.
///
/// # Errors
/// `TooLarge` over `DATAGRAM_BYTES_MAX`; `Malformed` when it is no text, or does not begin with `<root` and end with `</root>`.
pub fn document<'a>(datagram: &'a [u8], root: &str) -> Result<&'a str, Fault> {
    if datagram.len() > DATAGRAM_BYTES_MAX {
        return Err(Fault::new(
            FaultKind::TooLarge,
            format!("a datagram of {} bytes over {DATAGRAM_BYTES_MAX}", datagram.len()),
        ));
    }
    let malformed = |reason: String| Fault::new(FaultKind::Malformed, reason);
    let text = str::from_utf8(datagram).map_err(|error| malformed("no text".to_owned()).at(error.valid_up_to()))?;
    let text = text.trim_matches(|sign: char| sign == '\0' || sign.is_ascii_whitespace());
    let begins = text.strip_prefix('<').and_then(|tag| tag.strip_prefix(root));
    let begins = begins.is_some_and(|behind| behind.starts_with([' ', '>', '\t', '\r', '\n']));
    let ends = text.strip_suffix('>').and_then(|text| text.strip_suffix(root)).is_some_and(|text| text.ends_with("</"));
    if begins && ends { Ok(text) } else { Err(malformed(format!("no whole <{root}> document"))) }
}

/// The first whole document of one of these roots in bytes that hold several; where it stands, and its root.
#[must_use]
pub fn find<'a>(bytes: &[u8], roots: &[&'a str]) -> Option<(Range<usize>, &'a str)> {
    let found = roots.iter().filter_map(|root| {
        let start = memmem::find(bytes, format!("<{root}").as_bytes())?;
        let close = format!("</{root}>");
        let end = memmem::find(bytes.get(start..)?, close.as_bytes())?;
        Some((start..start + end + close.len(), *root))
    });
    found.min_by_key(|(range, _)| range.start)
}

#[cfg(test)]
mod tests {
    use super::{DATAGRAM_BYTES_MAX, document};

    fn check(datagram: &[u8], is_whole: bool) {
        assert_eq!(document(datagram, "Rob").is_ok(), is_whole, "{}", datagram.escape_ascii());
    }

    #[test]
    fn a_datagram_is_one_document() {
        check(b"<Rob Type=\"KUKA\"><IPOC>1</IPOC></Rob>", true);
        check(b"<Rob><IPOC>1</IPOC></Rob>\r\n\0", true);
        check(b"<Rob><IPOC>1</IPOC>", false);
        check(b"<Robot></Robot>", false);
        check(b"<Sen></Sen>", false);
        check(b"</Rob>", false);
        check(b"", false);
        check(b"<Rob>\xff</Rob>", false);
        let long = [&b"<Rob>"[..], &vec![b' '; DATAGRAM_BYTES_MAX - 11], b"</Rob>"].concat();
        check(&long, true);
        check(&[&long[..], b" "].concat(), false);
    }
}
