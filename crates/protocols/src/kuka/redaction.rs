//! Documents as they may be looked at: without the secret that proves who the robot is.

use bytes::Bytes;

use super::message::{Document, read};

/// What stands in the place of a secret; it does not tell its length.
const HIDDEN: &[u8] = b"***";

/// The document as it came, with the value at `path` hidden wherever it stands between tags or quotes. `None`: it cannot be
/// told where the secret stands, so that the document is better not kept.
pub(super) fn without_secret(frame: &Bytes, document: &Document, path: &str) -> Option<Bytes> {
    let Some(secret) = document.value(path) else { return Some(frame.clone()) };
    let secret = secret.as_bytes();
    let mut shown = Vec::with_capacity(frame.len());
    let mut rest: &[u8] = frame;
    while let Some((before, behind)) = split(rest, secret) {
        shown.extend_from_slice(before);
        shown.extend_from_slice(HIDDEN);
        rest = behind;
    }
    shown.extend_from_slice(rest);
    let is_hidden = |document: &Document| {
        document.values().filter(|(found, _)| found == path).all(|(_, value)| value.as_bytes() == HIDDEN)
    };
    read(&shown).is_ok_and(|document| is_hidden(&document)).then(|| shown.into())
}

/// What stands before and behind the first place where the secret is a whole value.
fn split<'a>(bytes: &'a [u8], secret: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let found = memchr::memmem::find_iter(bytes, secret).find_map(|place| {
        let (before, behind) = (bytes.get(..place)?, bytes.get(place + secret.len()..)?);
        let is_whole =
            matches!(before.last(), Some(b'>' | b'"' | b'\'')) && matches!(behind.first(), Some(b'<' | b'"' | b'\''));
        is_whole.then_some((before, behind))
    });
    found.filter(|_| !secret.is_empty())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::message::read;
    use super::without_secret;

    fn check(document: &'static str, path: &str, expected: Option<&str>) {
        let frame = Bytes::from_static(document.as_bytes());
        let shown = without_secret(&frame, &read(&frame).expect("a document"), path);
        assert_eq!(shown.as_deref(), expected.map(str::as_bytes), "{document}");
    }

    #[test]
    fn a_secret_is_hidden_wherever_it_is_a_value_or_the_document_is_not_shown() {
        check("<R><S>key</S><A>1</A></R>", "R/S", Some("<R><S>***</S><A>1</A></R>"));
        check("<R S='key' A=\"key\"><B>key 2</B></R>", "R/@S", Some("<R S='***' A=\"***\"><B>key 2</B></R>"));
        check("<R><A>1</A></R>", "R/S", Some("<R><A>1</A></R>"));
        check("<R><S></S></R>", "R/S", None);
        check("<R><S>k&lt;y</S></R>", "R/S", None);
        check("<R><S><![CDATA[key]]></S></R>", "R/S", None);
        check("<R><S>key</S><S>other</S></R>", "R/S", None);
    }
}
