//! Bytes of both sides: each is explained as its text says.

use std::fmt::Write as _;

use super::explain::explain;
use crate::{Explain, Judgement};

fn bytes_of(file: &str) -> Vec<u8> {
    let digits: Vec<u32> = file
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::chars)
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("a byte")).collect()
}

/// All that can be said about frames.
fn render(bytes: &[u8]) -> String {
    let explanation = explain(&Explain { bytes, ..Explain::default() });
    let mut text = String::new();
    let mut end = 0;
    for field in &explanation.fields {
        assert_eq!(field.range.start, end, "fields follow each other");
        end = field.range.end;
        let judgement = match field.judgement {
            Judgement::Right => "",
            Judgement::Odd => " (odd)",
            Judgement::Wrong => " (wrong)",
        };
        writeln!(text, "{:?} {}{judgement}: {}", field.range, field.name, field.meaning).expect("memory");
    }
    assert_eq!(end, bytes.len(), "every byte has a meaning");
    for (range, message) in &explanation.messages {
        writeln!(text, "\nmessage in {range:?}\n{message}").expect("memory");
    }
    text
}

#[track_caller]
fn check(hex: &str, expected: &str) {
    let found = render(&bytes_of(hex));
    assert!(found == expected, "the text should be\n{found}");
}

macro_rules! vectors {
    ($($name:ident $file:literal)*) => {
        $(#[test]
        fn $name() {
            check(include_str!(concat!("vectors/", $file, ".hex")), include_str!(concat!("vectors/", $file, ".txt")));
        })*
    };
}

vectors! {
    what_a_client_of_the_json_format_says "client"
    what_it_is_told "server"
    what_an_older_client_is_told "legacy-server"
}
