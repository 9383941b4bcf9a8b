//! Bytes as text: base64, RFC 4648 §4.

const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes in base64.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0_usize, |group, at| group << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let sign = SIGNS.get(group >> (18 - 6 * at) & 0x3f).copied().unwrap_or(b'=');
            text.push(if at <= chunk.len() { char::from(sign) } else { '=' });
        }
    }
    text
}

/// The bytes that a text in base64 says, padded as it has to be; `None` for any other text.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let signs = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(signs.len() / 4 * 3 + 2);
    for chunk in signs.as_bytes().chunks(4) {
        let mut group = 0;
        for at in 0..4 {
            let value = chunk.get(at).map_or(Some(0), |sign| SIGNS.iter().position(|other| other == sign))?;
            group = group << 6 | u32::try_from(value).ok()?;
        }
        let [_, three @ ..] = group.to_be_bytes();
        bytes.extend(three.into_iter().take(chunk.len() - 1));
    }
    // One way to write it: nothing is hidden in bits that say nothing.
    (encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn base64_is_filled_up() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(decode("/+8="), Some(vec![0xff, 0xef]));
    }

    #[test]
    fn what_is_not_base64_is_not_read() {
        for text in
            ["Z", "Zg", "Zg=", "Zh==", "Zm9v=", "====", "Z===", "Zg==Zg==", "Zm9v!A==", "Zm 9", "Zm9\n", "\u{e9}aaa"]
        {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
