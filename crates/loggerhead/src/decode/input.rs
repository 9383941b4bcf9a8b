//! What is to be decoded: a capture, hex digits, or bytes; told apart by what they look like.

use std::fs::File;
use std::io::{self, Read as _};

use anyhow::Context as _;

use crate::exit::{Exit, Failure};

/// Largest input. Captures are held in memory, because a conversation may run through all of them.
const INPUT_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// First bytes of captures: pcap in both byte orders and both precisions, pcapng.
const CAPTURES: [[u8; 4]; 5] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x0a, 0x0d, 0x0d, 0x0a],
];

/// What is to be decoded.
pub(super) enum Input {
    Capture(Vec<u8>),
    Bytes(Vec<u8>),
}

impl Input {
    /// Reads a file, or standard input for `-`.
    ///
    /// # Errors
    /// `NotFound` without the file, `Usage` when it is too large.
    pub(super) fn read(file: &str) -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        let limit = INPUT_BYTES_MAX + 1;
        if file == "-" {
            io::stdin().lock().take(limit).read_to_end(&mut bytes).context("standard input")?;
        } else {
            let opened = File::open(file).map_err(|error| {
                let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
                Failure::new(exit, format!("{file}: {error}"))
            })?;
            opened.take(limit).read_to_end(&mut bytes).with_context(|| file.to_owned())?;
        }
        if bytes.len() as u64 > INPUT_BYTES_MAX {
            return Err(
                Failure::new(Exit::Usage, format!("over {INPUT_BYTES_MAX} bytes: cut the capture first")).into()
            );
        }
        Ok(Self::of_bytes(bytes))
    }

    fn of_bytes(bytes: Vec<u8>) -> Self {
        if CAPTURES.iter().any(|magic| bytes.starts_with(magic)) {
            return Self::Capture(bytes);
        }
        // A frame of bytes that are all hex digits does not exist: every head has others.
        let text = std::str::from_utf8(&bytes).ok();
        match text.and_then(from_hex) {
            Some(decoded) => Self::Bytes(decoded),
            None => Self::Bytes(bytes),
        }
    }

    /// From hex digits.
    ///
    /// # Errors
    /// `Usage` when they are none.
    pub(super) fn of_hex(digits: &str) -> anyhow::Result<Self> {
        let decoded = from_hex(digits).ok_or_else(|| Failure::new(Exit::Usage, "--hex takes pairs of hex digits"))?;
        Ok(Self::Bytes(decoded))
    }
}

/// Reads hex digits with blanks, commas, colons, dashes and `0x` between them, and comments from `#` to the end of a line.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(digits, _)| digits));
    let is_between = |sign: char| sign.is_whitespace() || matches!(sign, ',' | ':' | '-');
    for word in lines.flat_map(|line| line.split(is_between)) {
        let word = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
        let digits: Vec<u32> = word.chars().map(|sign| sign.to_digit(16)).collect::<Option<_>>()?;
        for pair in digits.chunks(2) {
            let [high, low] = pair else { return None };
            bytes.push(u8::try_from(high << 4 | low).ok()?);
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Input, from_hex};

    #[test]
    fn hex_is_read_with_whatever_stands_between() {
        assert_eq!(
            from_hex("# a head\n6868 16:16-0xE4,00 # and more\n").as_deref(),
            Some(&[0x68, 0x68, 0x16, 0x16, 0xe4, 0][..])
        );
        assert_eq!(from_hex("686"), None);
        assert_eq!(from_hex("zz"), None);
    }

    #[test]
    fn inputs_are_told_apart_by_their_look() {
        assert!(matches!(Input::of_bytes(vec![0x0a, 0x0d, 0x0d, 0x0a]), Input::Capture(_)));
        assert!(matches!(Input::of_bytes(b"68 68".to_vec()), Input::Bytes(bytes) if bytes == b"hh"));
        assert!(matches!(Input::of_bytes(b"<root>".to_vec()), Input::Bytes(bytes) if bytes == b"<root>"));
    }
}
