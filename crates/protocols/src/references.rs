//! Character references of XML: the five that every XML knows, and numbers. No document can add to them.

use std::borrow::Cow;

use memchr::memchr;

/// Bytes of a reference without its `&`: `#x10FFFF;` and some zeros.
const REFERENCE_BYTES_MAX: usize = 12;
/// Bytes of a text below which it is looked through one by one.
const SHORT_BYTES: usize = 16;

/// `text` with its references replaced; one that is not known stays as it is.
#[inline]
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    // Most texts are a few characters, for which the set-up of a wide search costs more than the search.
    let bytes = text.as_bytes();
    let none = if bytes.len() < SHORT_BYTES { !bytes.contains(&b'&') } else { memchr(b'&', bytes).is_none() };
    if none { Cow::Borrowed(text) } else { replaced(text) }
}

#[cold]
fn replaced(text: &str) -> Cow<'static, str> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        plain.push_str(before);
        // Looked for only as far as a reference can be long, or a text of nothing but `&` would be read again for each.
        let end = behind.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';');
        let known = end.and_then(|end| Some((reference(behind.get(..end)?)?, behind.get(end + 1..)?)));
        if let Some((character, behind)) = known {
            plain.push(character);
            rest = behind;
        } else {
            plain.push('&');
            rest = behind;
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn reference(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|&character| !character.is_control() || character == '\t' || character == '\n')
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::unescape;

    #[test]
    fn references_are_replaced_where_they_are_known() {
        for (text, expected) in [
            ("a", "a"),
            ("&lt;&gt;&amp;&quot;&apos;", "<>&\"'"),
            ("&#65;&#x42;&#0;&#xffffffff;", "AB&#0;&#xffffffff;"),
            ("&nbsp;&&;&lt", "&nbsp;&&;&lt"),
        ] {
            assert_eq!(unescape(text), expected);
        }
        assert!(matches!(unescape("plain"), Cow::Borrowed("plain")));
        // Quick also for what is nothing but the beginnings of references.
        let much = "&".repeat(1024 * 1024);
        assert_eq!(unescape(&much), much);
    }
}
