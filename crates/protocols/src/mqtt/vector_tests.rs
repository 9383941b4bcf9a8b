//! Recorded packets: each is explained as its text says, and written again byte for byte.

use std::fmt::Write as _;

use super::decode::read;
use super::encode::encode;
use super::explain::explain;
use super::frame::BODY_BYTES_MAX;
use super::message::{Level, Packet};
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

/// All that can be said about packets.
fn render(bytes: &[u8]) -> String {
    let explanation = explain(&Explain { bytes, ..Explain::default() });
    let mut text = String::new();
    for field in &explanation.fields {
        let judgement = match field.judgement {
            Judgement::Right => "",
            Judgement::Odd => " (odd)",
            Judgement::Wrong => " (wrong)",
        };
        let shown: Vec<_> = bytes[field.range.clone()].iter().map(|byte| format!("{byte:02x}")).collect();
        let (range, shown) = (&field.range, shown.join(" "));
        writeln!(text, "{range:?} {}{judgement}: {}\n    {shown}", field.name, field.meaning).expect("memory");
    }
    for (range, message) in &explanation.messages {
        writeln!(text, "\nmessage in {range:?}\n{message}").expect("memory");
    }
    text
}

/// Explains a vector as its text says; what can be read is written again as it was.
#[track_caller]
fn check(hex: &str, expected: &str) {
    let bytes = bytes_of(hex);
    let found = render(&bytes);
    assert!(found == expected, "the text should be\n{found}");
    let (mut rest, mut level, mut again) = (&*bytes, Level::V5, Vec::new());
    if hex.starts_with("# 3.1.1") {
        level = Level::V4;
    }
    while let Ok(Some((packet, count))) = read(level, rest, BODY_BYTES_MAX) {
        if let Packet::Connect(connect) = &packet {
            level = connect.level;
        }
        encode(&packet, level, &mut again);
        rest = &rest[count..];
    }
    assert_eq!(again, bytes[..bytes.len() - rest.len()]);
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
    the_first_program "connect-3.1.1"
    a_conversation_of_version_5 "conversation-5"
    what_another_broker_answers "answers-5"
    a_packet_with_a_length_that_lies "wrong-length"
}
