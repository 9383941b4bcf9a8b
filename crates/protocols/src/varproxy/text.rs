//! The two writings of names and values: one byte a character (ISO 8859-1), or two (UTF-16, low byte first).

use crate::Fault;
use crate::wire::Reader;

/// How the texts of a message are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// A length counts bytes.
    Narrow,
    /// A length counts characters of two bytes.
    Wide,
}

impl Writing {
    /// The next text, behind its length.
    ///
    /// # Errors
    /// `Malformed` when the message is shorter.
    pub(super) fn read(self, reader: &mut Reader<'_>) -> Result<String, Fault> {
        let length = usize::from(reader.u16_be()?);
        match self {
            Self::Narrow => Ok(reader.take(length)?.iter().copied().map(char::from).collect()),
            Self::Wide => {
                let (units, _) = reader.take(length * 2)?.as_chunks::<2>();
                let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
                Ok(char::decode_utf16(units).map(|sign| sign.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
            }
        }
    }

    /// Appends a text with its length. What has no place in the writing becomes `?`, and what is longer than a length can
    /// say is cut.
    pub(super) fn write(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Narrow => {
                let bytes: Vec<u8> =
                    text.chars().take(usize::from(u16::MAX)).map(|sign| u8::try_from(sign).unwrap_or(b'?')).collect();
                out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
                out.extend_from_slice(&bytes);
            }
            Self::Wide => {
                let units: Vec<u16> = text.encode_utf16().take(usize::from(u16::MAX)).collect();
                out.extend_from_slice(&u16::try_from(units.len()).unwrap_or(u16::MAX).to_be_bytes());
                out.extend(units.into_iter().flat_map(u16::to_le_bytes));
            }
        }
    }
}
