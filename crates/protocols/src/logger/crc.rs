//! The checks of frames: which sixteen-bit CRC over which bytes, and how it stands on the wire.
//!
//! Devices disagree in all of it, so a variant is a value that is learnt from what a device sends. Source: \[2\], \[3\], \[4\].

use crc::{CRC_16_KERMIT, CRC_16_XMODEM, Crc, Table};

// Sixteen tables, because a table of one entry per byte is slower than the cipher and the scanner together.
static XMODEM: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);
static KERMIT: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_KERMIT);

/// Offset of the sequence in a frame with a check: head and length stand before it.
const SEQUENCE_OFFSET: usize = 8;

/// One way to check a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrcVariant {
    /// XMODEM from the head to the end of the cipher, high byte first.
    A1,
    /// XMODEM from the head to the end of the cipher, low byte first.
    A2,
    /// XMODEM over sequence and cipher, low byte first.
    A3,
    /// KERMIT over the sequence with its bytes reversed and the cipher, high byte first.
    A4,
}

impl CrcVariant {
    /// Every variant.
    pub const ALL: [Self; 4] = [Self::A1, Self::A2, Self::A3, Self::A4];

    /// The word for it in settings and in what is learnt.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::A1 => "a1",
            Self::A2 => "a2",
            Self::A3 => "a3",
            Self::A4 => "a4",
        }
    }

    /// The variant of that word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.word().eq_ignore_ascii_case(word))
    }

    /// What it is, for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::A1 => "xmodem over head..body, high byte first",
            Self::A2 => "xmodem over head..body, low byte first",
            Self::A3 => "xmodem over sequence..body, low byte first",
            Self::A4 => "kermit over reversed sequence and body, high byte first",
        }
    }

    /// The two bytes that belong behind `covered`, which is a frame from its head to the end of its cipher.
    #[must_use]
    pub fn of(self, covered: &[u8]) -> [u8; 2] {
        let from_sequence = covered.get(SEQUENCE_OFFSET..).unwrap_or_default();
        match self {
            Self::A1 => XMODEM.checksum(covered).to_be_bytes(),
            Self::A2 => XMODEM.checksum(covered).to_le_bytes(),
            Self::A3 => XMODEM.checksum(from_sequence).to_le_bytes(),
            Self::A4 => {
                let (sequence, cipher) = from_sequence.split_at_checked(4).unwrap_or((from_sequence, &[]));
                let mut digest = KERMIT.digest();
                for &byte in sequence.iter().rev() {
                    digest.update(&[byte]);
                }
                digest.update(cipher);
                digest.finalize().to_be_bytes()
            }
        }
    }

    /// The variant under which `found` belongs behind `covered`; `first` is tried before the others, because a device
    /// keeps to one and because two variants give the same bytes now and then.
    #[must_use]
    pub fn matching(first: Self, covered: &[u8], found: [u8; 2]) -> Option<Self> {
        let others = Self::ALL.into_iter().filter(|&variant| variant != first);
        std::iter::once(first).chain(others).find(|variant| variant.of(covered) == found)
    }
}

#[cfg(test)]
mod tests {
    use super::{CrcVariant, KERMIT, XMODEM};

    #[test]
    fn algorithms_have_their_published_check_values() {
        assert_eq!(XMODEM.checksum(b"123456789"), 0x31c3);
        assert_eq!(KERMIT.checksum(b"123456789"), 0x2189);
    }

    #[test]
    fn every_variant_finds_itself_whichever_is_tried_first() {
        let covered: Vec<u8> = (0..60).collect();
        for variant in CrcVariant::ALL {
            for first in CrcVariant::ALL {
                assert_eq!(CrcVariant::matching(first, &covered, variant.of(&covered)), Some(variant));
            }
            assert_eq!(CrcVariant::find(variant.word()), Some(variant));
        }
        assert_eq!(CrcVariant::matching(CrcVariant::A1, &covered, [0, 0]), None);
    }
}
