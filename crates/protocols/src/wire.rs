//! Reading peer bytes without ever indexing them, and hex digits.

use crate::{Fault, FaultKind};

/// The bytes that hex digits say, two for each; `None` where they do not.
pub(crate) fn hex(digits: &str) -> Option<Vec<u8>> {
    let half = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|&[high, low]| Some(half(high)? << 4 | half(low)?)).collect::<Option<_>>()?;
    rest.is_empty().then_some(bytes)
}

/// Reads fields off the front of a byte slice and remembers how far it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// `Malformed` when there are fewer.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            let reason = format!("{count} bytes expected, {} left", self.bytes.len());
            return Err(Fault::new(FaultKind::Malformed, reason).at(self.offset));
        };
        self.bytes = rest;
        self.offset += count;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// `Malformed` when there are fewer.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next two bytes, highest first.
    ///
    /// # Errors
    /// `Malformed` when there are fewer.
    pub(crate) fn u16_be(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next byte.
    ///
    /// # Errors
    /// `Malformed` at the end.
    pub(crate) fn u8(&mut self) -> Result<u8, Fault> {
        self.array().map(u8::from_be_bytes)
    }

    /// The next four bytes, lowest first.
    ///
    /// # Errors
    /// `Malformed` when there are fewer.
    pub(crate) fn u32_le(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next four bytes, highest first.
    ///
    /// # Errors
    /// `Malformed` when there are fewer.
    pub(crate) fn u32_be(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }
}
