//! The names of messages.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

/// The name of a message: 36 characters, lower-case digits in groups of 8, 4, 4, 4 and 12.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; 16]);

impl MessageId {
    /// A name that nobody else has, made of the random bytes of a session and a count of its own.
    #[must_use]
    pub fn make(entropy: &[u8; 32], count: u64) -> Self {
        let mut bytes: [u8; 16] = Md5::new().chain_update(entropy).chain_update(count.to_be_bytes()).finalize().into();
        // Version 4, variant 1: random, as far as anybody can tell.
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Reads one in upper or lower case. `None` for everything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut groups = text.split('-');
        let mut digits = String::with_capacity(32);
        for length in [8, 4, 4, 4, 12] {
            digits.push_str(groups.next().filter(|group| group.len() == length)?);
        }
        let is_right = groups.next().is_none() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u128::from_str_radix(&digits, 16).ok().filter(|_| is_right)?;
        Some(Self(number.to_be_bytes()))
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                formatter.write_char('-')?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for MessageId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::MessageId;

    #[test]
    fn a_message_is_named_by_36_characters() {
        let id = MessageId::make(&[7; 32], 1);
        let text = id.to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(MessageId::parse(&text), Some(id));
        assert_eq!(MessageId::parse(&text.to_uppercase()), Some(id));
        assert_ne!(MessageId::make(&[7; 32], 2), id);
        for bad in ["", "1", &text[1..], &format!("{text}0"), &text.replace('-', "+")] {
            assert_eq!(MessageId::parse(bad), None, "{bad}");
        }
    }
}
