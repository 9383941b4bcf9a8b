//! Recorded packets: each is explained as its text says, and written again byte for byte.

use super::decode::read;
use super::encode::encode;
use super::explain::explain;
use super::frame::BODY_BYTES_MAX;
use super::message::{Level, Packet};
use crate::Explain;
use crate::vectors::{bytes_of, digits_of, render, vectors};

/// Explains a vector as its text says; what can be read is written again as it was.
#[track_caller]
fn check(hex: &str, expected: &str) {
    let bytes = bytes_of(hex);
    let explanation = explain(&Explain { bytes: &bytes, ..Explain::default() });
    let found = render(&bytes, &explanation, Some(digits_of));
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

vectors! { check:
    the_first_program "connect-3.1.1"
    a_conversation_of_version_5 "conversation-5"
    what_another_broker_answers "answers-5"
    a_packet_with_a_length_that_lies "wrong-length"
}
