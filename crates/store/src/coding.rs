//! How numbers and texts stand in the bodies that this store writes: varints and checksums.

/// Bytes of the checksum in front of every body.
pub(crate) const CHECKSUM_BYTES: usize = 4;

/// A body is not what was written. Says what does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) &'static str);

/// Starts a body: room for its checksum.
pub(crate) fn begin_body(body: &mut Vec<u8>) {
    body.clear();
    body.extend_from_slice(&[0; CHECKSUM_BYTES]);
}

/// Ends a body: `checksum CRC-32 u32 LE | rest`.
pub(crate) fn end_body(body: &mut [u8]) {
    if let Some((checksum, rest)) = body.split_first_chunk_mut::<CHECKSUM_BYTES>() {
        *checksum = crc32fast::hash(rest).to_le_bytes();
    }
}

/// What stands behind the checksum, if it fits.
pub(crate) fn open_body(body: &[u8]) -> Result<Slice<'_>, Broken> {
    let (checksum, rest) = body.split_first_chunk::<CHECKSUM_BYTES>().ok_or(Broken("a body without a checksum"))?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*checksum) {
        return Err(Broken("the checksum does not fit"));
    }
    Ok(Slice { rest })
}

/// Appends `value` in 1 to 10 bytes of 7 bits, lowest first.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// Appends a signed number, small ones of either sign in few bytes.
#[inline]
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Appends `length varint | bytes`.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// 0, -1, 1, -2, .. as 0, 1, 2, 3, ..
#[inline]
pub(crate) const fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The number that `zigzag` was given.
#[inline]
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// The lowest eight bits.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lowest eight bits are what is asked for")]
pub(crate) const fn low_byte(value: u64) -> u8 {
    value as u8
}

/// Reads a body from its front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice<'a> {
    rest: &'a [u8],
}

impl<'a> Slice<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Broken> {
        let (&byte, rest) = self.rest.split_first().ok_or(Broken("a body ends early"))?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Broken("a number of over ten bytes"))
    }

    #[inline]
    pub(crate) fn signed(&mut self) -> Result<i64, Broken> {
        self.varint().map(unzigzag)
    }

    /// A varint that counts or names things.
    pub(crate) fn number(&mut self) -> Result<u32, Broken> {
        u32::try_from(self.varint()?).map_err(|_| Broken("a number over 32 bits"))
    }

    /// A varint that counts things of which each takes at least one more byte of this body.
    pub(crate) fn count(&mut self) -> Result<usize, Broken> {
        let count = self.number()? as usize;
        if count > self.rest.len() { Err(Broken("a count over the body")) } else { Ok(count) }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Broken("a body ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// What `put_bytes` wrote.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let length = self.count()?;
        self.take(length)
    }

    /// What `put_bytes` wrote, as text.
    pub(crate) fn text(&mut self) -> Result<&'a str, Broken> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Broken("a text that is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Slice, put_signed};

    #[test]
    fn a_number_comes_back() {
        let mut out = Vec::new();
        let numbers = [0, 1, -1, 63, 64, -64, -65, i64::MAX, i64::MIN, 675_170_000];
        for number in numbers {
            put_signed(&mut out, number);
        }
        let mut slice = Slice::new(&out);
        for number in numbers {
            assert_eq!(slice.signed(), Ok(number));
        }
        assert!(slice.is_empty());
        assert!(slice.byte().is_err());
    }
}
