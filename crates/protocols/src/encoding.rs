//! Texts as bytes, for protocols whose peers write in an encoding of their own.

use std::borrow::Cow;

use encoding_rs::{EncoderResult, GBK};

/// In place of a character that an encoding does not have.
const UNMAPPABLE: u8 = b'?';

/// How texts are written on the wire, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub enum Encoding {
    /// Code page 936, which .NET calls gb2312.
    #[default]
    #[serde(rename = "gb2312", alias = "gbk")]
    Gbk,
    /// UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
    /// Seven bits.
    #[serde(rename = "ascii")]
    Ascii,
}

impl Encoding {
    /// The text in `bytes`. What cannot be read becomes U+FFFD, or `?` where the encoding is ASCII.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Gbk => GBK.decode_without_bom_handling(bytes).0,
            Self::Utf8 => String::from_utf8_lossy(bytes),
            Self::Ascii => match str::from_utf8(bytes) {
                Ok(text) if text.is_ascii() => Cow::Borrowed(text),
                _ => bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect(),
            },
        }
    }

    /// Appends `text`; a character that the encoding does not have becomes `?`.
    pub fn encode(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Ascii => {
                out.extend(
                    text.chars()
                        .map(|character| u8::try_from(character).ok().filter(u8::is_ascii))
                        .map(|byte| byte.unwrap_or(UNMAPPABLE)),
                );
            }
            Self::Gbk => encode_gbk(text, out),
        }
    }
}

/// As `Encoding::encode`. The encoder's own way of replacing writes numeric references.
fn encode_gbk(text: &str, out: &mut Vec<u8>) {
    let mut encoder = GBK.new_encoder();
    let mut rest = text;
    loop {
        let room = encoder
            .max_buffer_length_from_utf8_without_replacement(rest.len())
            .expect("a text of less than half of the address space");
        let start = out.len();
        out.resize(start + room, 0);
        let place = out.get_mut(start..).expect("it has just become that long");
        let (result, read, written) = encoder.encode_from_utf8_without_replacement(rest, place, true);
        out.truncate(start + written);
        rest = rest.get(read..).unwrap_or_default();
        match result {
            EncoderResult::Unmappable(_) => out.push(UNMAPPABLE),
            EncoderResult::InputEmpty | EncoderResult::OutputFull => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Encoding;

    fn encoded(encoding: Encoding, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        encoding.encode(text, &mut out);
        out
    }

    #[test]
    fn a_character_that_an_encoding_does_not_have_is_a_question_mark() {
        assert_eq!(encoded(Encoding::Gbk, "a😀登b"), b"a?\xb5\xc7b");
        assert_eq!(encoded(Encoding::Gbk, "😀\u{fffd}"), b"??");
        assert_eq!(encoded(Encoding::Ascii, "a登\u{e9}"), b"a??");
        assert_eq!(encoded(Encoding::Utf8, "登"), "登".as_bytes());
    }

    #[test]
    fn bytes_that_cannot_be_read_are_replaced_and_nothing_else_is_lost() {
        assert_eq!(Encoding::Gbk.decode(b"\xb5\xc7\xc2\xbc\xff ok"), "登录\u{fffd} ok");
        assert_eq!(Encoding::Utf8.decode(b"\xb5\xc7 ok"), "\u{fffd}\u{fffd} ok");
        assert_eq!(Encoding::Ascii.decode(b"\xb5\xc7 ok"), "?? ok");
    }
}
