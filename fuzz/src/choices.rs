//! Taking choices off the front of a fuzzer's bytes.

use loggerhead_protocols::{ALL, Protocol};

/// The bytes that are left. At their end every choice is 0.
#[derive(Clone, Copy)]
pub(crate) struct Choices<'a> {
    bytes: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    pub(crate) fn below(&mut self, limit: u8) -> u8 {
        self.byte().checked_rem(limit).unwrap_or_default()
    }

    pub(crate) fn number(&mut self) -> usize {
        usize::from(u16::from_be_bytes([self.byte(), self.byte()]))
    }

    pub(crate) fn protocol(&mut self) -> &'static Protocol {
        let place = usize::from(self.byte()).checked_rem(ALL.len()).unwrap_or_default();
        ALL.get(place).expect("a remainder is below the length")
    }
}
