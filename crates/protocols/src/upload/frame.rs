//! Cuts the head of a file from a stream: a length before it, or none.
//!
//! Long form: `length: i32 LE, bytes of the head, 1..=HEAD_BYTES_MAX | head`. Short form: the head alone, which ends where
//! its object does. What follows are bytes of the file, whatever the packets. Source: \[1\] §3.1, §3.2.

use bytes::{Bytes, BytesMut};

use crate::{Fault, FaultKind};

/// Longest head: the two high bytes of a length are zero, which tells it from JSON.
pub const HEAD_BYTES_MAX: usize = 65_535;
/// Bytes of the length.
pub const LENGTH_BYTES: usize = 4;

/// In which form a head came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadForm {
    /// Its length stands before it.
    Long,
    /// Nothing stands before it.
    Short,
}

/// The head of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// In which form it came.
    pub form: HeadForm,
    /// JSON, as far as anybody knows.
    pub json: Bytes,
}

/// What came and is not a file's yet.
#[derive(Debug, Default)]
pub struct Heads {
    held: BytesMut,
    scan: Scan,
}

/// How far an object without a length was followed; each byte is looked at once.
#[derive(Debug, Default)]
struct Scan {
    at: usize,
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Scan {
    /// Where the object ends, once it does.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for &byte in bytes.get(self.at..)? {
            self.at += 1;
            if self.escaped {
                self.escaped = false;
            } else if self.in_text {
                self.escaped = byte == b'\\';
                self.in_text = byte != b'"';
            } else {
                match byte {
                    b'"' => self.in_text = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                if self.depth == 0 {
                    return Some(self.at);
                }
            }
        }
        None
    }
}

impl Heads {
    /// Takes in bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Bytes that were not cut.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// What was not cut.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Takes up to so many bytes of what was not cut.
    pub fn take(&mut self, bytes_max: usize) -> Bytes {
        let taken = self.held.split_to(self.held.len().min(bytes_max)).freeze();
        if self.held.is_empty() {
            // What holds nothing keeps no memory.
            self.held = BytesMut::new();
        }
        taken
    }

    /// Cuts the head at the front. `None`: wait for more bytes.
    ///
    /// # Errors
    /// `Malformed` when it begins neither with a length nor with `{`; `TooLarge` when it does not end in time.
    pub fn cut(&mut self) -> Result<Option<Head>, Fault> {
        let Some(&[first, second, third, fourth]) = self.held.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        if third == 0 && fourth == 0 {
            return self.cut_long(usize::from(u16::from_le_bytes([first, second])));
        }
        if first != b'{' {
            let number = i32::from_le_bytes([first, second, third, fourth]);
            let reason = format!("{number} is no length of 1 to {HEAD_BYTES_MAX}, and no object begins");
            return Err(Fault::new(FaultKind::Malformed, reason));
        }
        match self.scan.end(&self.held) {
            Some(end) if end <= HEAD_BYTES_MAX => {
                self.scan = Scan::default();
                Ok(Some(Head { form: HeadForm::Short, json: self.take(end) }))
            }
            None if self.held.len() <= HEAD_BYTES_MAX => Ok(None),
            Some(_) | None => {
                Err(Fault::new(FaultKind::TooLarge, format!("a head that does not end within {HEAD_BYTES_MAX} bytes")))
            }
        }
    }

    fn cut_long(&mut self, length: usize) -> Result<Option<Head>, Fault> {
        if length == 0 {
            return Err(Fault::new(FaultKind::Malformed, "a head of 0 bytes"));
        }
        if self.held.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        drop(self.take(LENGTH_BYTES));
        Ok(Some(Head { form: HeadForm::Long, json: self.take(length) }))
    }
}

/// JSON with its length before it, as a head in the long form and every answer has it.
///
/// # Panics
/// For a text of 4 GiB.
#[must_use]
pub fn with_length(json: &str) -> Bytes {
    let length = u32::try_from(json.len()).expect("our own heads and answers are short");
    [&length.to_le_bytes(), json.as_bytes()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::{HEAD_BYTES_MAX, HeadForm, Heads};

    /// The heads that are cut, and what is left; `Err` with the word of the fault.
    fn check(bytes: &[u8], heads: &[(HeadForm, &str)], left: Result<&str, &str>) {
        let mut cutter = Heads::default();
        let mut found = Vec::new();
        let mut fault = None;
        for byte in bytes {
            cutter.push(&[*byte]);
            match cutter.cut() {
                Ok(head) => {
                    found.extend(head.map(|head| (head.form, String::from_utf8_lossy(&head.json).into_owned())));
                }
                Err(broken) => {
                    fault = Some(broken.kind.word());
                    break;
                }
            }
        }
        let found: Vec<_> = found.iter().map(|(form, json)| (*form, json.as_str())).collect();
        assert_eq!(found, heads);
        match left {
            Ok(left) => assert_eq!((fault, cutter.held()), (None, left.as_bytes())),
            Err(word) => assert_eq!(fault, Some(word)),
        }
    }

    #[test]
    fn both_forms_are_told_apart_byte_by_byte() {
        check(
            b"\x02\0\0\0{}{\"a\": \"}\\\"\"}",
            &[(HeadForm::Long, "{}"), (HeadForm::Short, "{\"a\": \"}\\\"\"}")],
            Ok(""),
        );
        // 123 is the code of `{`: as a length it has zeros behind it.
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(114));
        let bytes = [b"{\0\0\0", long.as_bytes()].concat();
        check(&bytes, &[(HeadForm::Long, &long)], Ok(""));
        check(b"\x05\0\0\0{}", &[], Ok("\x05\0\0\0{}"));
    }

    #[test]
    fn what_begins_otherwise_is_refused() {
        check(b"\0\0\0\0", &[], Err("malformed"));
        check(b"\xff\xff\xff\xff", &[], Err("malformed"));
        check(b"\0\0\x01\0", &[], Err("malformed"));
        check(b"GET / HTTP/1.0\r\n", &[], Err("malformed"));
        check(&[b"{\"", "a".repeat(HEAD_BYTES_MAX).as_bytes()].concat(), &[], Err("too-large"));
    }
}
