//! Fields as Protocol Buffers write them, of which Sparkplug needs four kinds. Source: \[6\].

/// Bytes that are not fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotFields;

/// What stands behind a field's number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Field<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1, lowest byte first.
    Eight([u8; 8]),
    /// Wire type 2: text, bytes, or a message.
    Bytes(&'a [u8]),
    /// Wire type 5, lowest byte first.
    Four([u8; 4]),
}

/// The fields of a message in their order: `number and wire type varint | value`, again and again. It ends after what is no
/// field.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        // Ten bytes of seven bits are the most that 64 bits take.
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Eight(self.array()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Field::Bytes(bytes)
            }
            5 => Field::Four(self.array()?),
            _ => return None,
        };
        Some((key >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), NotFields>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(NotFields))
    }
}

/// Writes a field.
pub(super) fn put(out: &mut Vec<u8>, number: u64, field: Field<'_>) {
    let (wire_type, bytes): (u64, &[u8]) = match &field {
        Field::Varint(value) => {
            put_varint(out, number << 3);
            return put_varint(out, *value);
        }
        Field::Eight(bytes) => (1, bytes),
        Field::Bytes(bytes) => (2, bytes),
        Field::Four(bytes) => (5, bytes),
    };
    put_varint(out, number << 3 | wire_type);
    if wire_type == 2 {
        put_varint(out, bytes.len() as u64);
    }
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::{Field, Fields, NotFields, put};

    #[test]
    fn fields_come_back_as_they_were_written() {
        let fields = [
            (1, Field::Varint(u64::MAX)),
            (2, Field::Bytes(b"abc")),
            (300, Field::Varint(150)),
            (4, Field::Four(1.5_f32.to_le_bytes())),
            (5, Field::Eight(1.5_f64.to_le_bytes())),
        ];
        let mut bytes = Vec::new();
        for (number, field) in fields {
            put(&mut bytes, number, field);
        }
        assert_eq!(Fields(&bytes).collect::<Result<Vec<_>, _>>().as_deref(), Ok(&fields[..]));
        // The encoding's own example: field 1 with 150.
        assert_eq!(Fields(&[0x08, 0x96, 0x01]).next(), Some(Ok((1, Field::Varint(150)))));
    }

    #[test]
    fn what_lies_about_its_length_ends_the_message() {
        for bytes in
            [&[0x08][..], &[0x0a, 5, 1], &[0x0b], &[0x09, 1, 2], &[0xff; 11], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]]
        {
            assert_eq!(Fields(bytes).collect::<Vec<_>>(), [Err(NotFields)], "{bytes:x?}");
        }
    }
}
