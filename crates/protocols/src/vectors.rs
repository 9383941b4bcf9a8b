//! Recorded bytes and everything that is said of them: what the vector tests of all protocols have in common.

use std::fmt::Write as _;

use crate::wire::hex;
use crate::{Explanation, Judgement};

/// Makes a test of each name, which gives `check` the bytes of a vector and the text that explains them.
macro_rules! vectors {
    ($check:ident: $($name:ident $file:literal)*) => {
        $(#[test]
        fn $name() {
            $check(include_str!(concat!("vectors/", $file, ".hex")), include_str!(concat!("vectors/", $file, ".txt")));
        })*
    };
}
pub(crate) use vectors;

/// The bytes of a file of hex digits; lines that begin with `#` are remarks.
pub(crate) fn bytes_of(file: &str) -> Vec<u8> {
    let digits = file.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    hex(&digits.collect::<String>()).expect("two hex digits for each byte")
}

/// Every field, with its bytes below it as `shown` writes them, and every message. Each byte has to belong to one field.
pub(crate) fn render(bytes: &[u8], explanation: &Explanation, shown: Option<fn(&[u8]) -> String>) -> String {
    let mut text = String::new();
    let mut end = 0;
    for field in &explanation.fields {
        assert_eq!(field.range.start, end, "every byte belongs to one field");
        end = field.range.end;
        let judgement = match field.judgement {
            Judgement::Right => "",
            Judgement::Odd => " (odd)",
            Judgement::Wrong => " (wrong)",
        };
        writeln!(text, "{:?} {}{judgement}: {}", field.range, field.name, field.meaning).expect("memory");
        if let Some(shown) = shown {
            writeln!(text, "    {}", shown(&bytes[field.range.clone()])).expect("memory");
        }
    }
    assert_eq!(end, bytes.len(), "every byte belongs to a field");
    for (range, message) in &explanation.messages {
        let message = message.strip_suffix('\n').unwrap_or(message);
        writeln!(text, "\nmessage in {range:?}\n{message}").expect("memory");
    }
    text
}

/// Bytes as two digits each.
pub(crate) fn digits_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
