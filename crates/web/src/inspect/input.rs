//! What is to be explained: a capture, hex digits, or bytes; told apart by what they look like.

/// First bytes of captures: pcap in both byte orders and both precisions, pcapng.
const CAPTURES: [[u8; 4]; 5] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x0a, 0x0d, 0x0d, 0x0a],
];

/// What is to be explained.
pub enum Input {
    /// A pcap or pcapng file.
    Capture(Vec<u8>),
    /// Bytes of one direction of a conversation.
    Bytes(Vec<u8>),
}

impl Input {
    /// A capture by its first bytes, else hex digits where they are nothing else, else the bytes themselves.
    #[must_use]
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
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
}

/// Reads hex digits with blanks, commas, colons, dashes and `0x` between them, and comments from `#` to the end of a line.
/// None when they are none.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
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
