//! Recorded frames: each is explained as its text says, and written again byte for byte.

use std::fmt::Write;

use bytes::BytesMut;

use super::cipher::{Key, Padding, secret_bytes};
use super::decode::{DecodeRules, QualityRule, decode};
use super::encode::{Secrecy, Sending, assemble, encode, encode_data};
use super::explain::explain;
use super::frame::{Cut, Cutter, FRAME_BYTES_MAX};
use super::identity::ProofOrder;
use super::message::{Decoded, Envelope, Message};
use super::text::plain;
use super::time::Zone;
use super::xml_write::Style;
use crate::Explain;
use crate::vectors::{self, bytes_of, digits_of, vectors};

/// Bytes of a field that are shown.
const SHOWN_BYTES: usize = 16;

/// A frame as it stands in its file: lines of hex digits, remarks, and the key.
struct Vector {
    bytes: Vec<u8>,
    key: Option<Vec<u8>>,
}

fn read(file: &str) -> Vector {
    let key = file.lines().find_map(|line| line.strip_prefix("# key "));
    Vector { bytes: bytes_of(file), key: key.map(|key| secret_bytes(key).expect("a key").to_vec()) }
}

/// The first bytes of a field.
fn beginning(bytes: &[u8]) -> String {
    let more = if bytes.len() > SHOWN_BYTES { " .." } else { "" };
    digits_of(&bytes[..bytes.len().min(SHOWN_BYTES)]) + more
}

/// All that can be said about a frame: its fields, its text, its readings.
fn render(vector: &Vector) -> String {
    let keys: Vec<_> = vector.key.iter().map(|key| (key.clone(), key.clone())).collect();
    let explanation = explain(&Explain { bytes: &vector.bytes, keys: &keys, ..Explain::default() });
    let mut text = vectors::render(&vector.bytes, &explanation, Some(beginning));
    let (_, decoded_text) = first_frame(vector);
    if let Message::Data(data) = decoded(&decoded_text, vector).message {
        writeln!(text, "\n{:?}", data.head).expect("memory");
        for (meter, readings) in data.report.by_meter() {
            let attributes = meter.attributes.replace('\t', " ").replace('\n', ", ");
            writeln!(text, "meter {}: {attributes}", meter.id).expect("memory");
            for reading in readings {
                writeln!(
                    text,
                    "  {} {} {} {:?} {} = {}",
                    reading.function, reading.coding, reading.code, reading.quality, reading.measured_at, reading.value
                )
                .expect("memory");
            }
        }
    }
    text
}

fn key(vector: &Vector) -> Option<Key> {
    vector.key.as_ref().map(|key| Key::from_slices(key, key).expect("16 bytes"))
}

/// The frame with its body deciphered, and its text.
fn first_frame(vector: &Vector) -> (super::frame::Frame, String) {
    let mut cutter = Cutter::new(None, FRAME_BYTES_MAX);
    cutter.push(&vector.bytes);
    let Some(Cut::Frame(mut frame)) = cutter.cut().expect("in step") else { panic!("a frame") };
    if frame.is_enciphered() {
        key(vector).expect("a key").decipher(frame.body_mut()).expect("whole blocks");
    }
    let text = plain(frame.body()).expect("a text").text.into_owned();
    (frame, text)
}

fn decoded<'a>(text: &'a str, vector: &Vector) -> Decoded<'a> {
    let (frame, _) = first_frame(vector);
    let rules = DecodeRules {
        zone: Zone::default(),
        quality: QualityRule::default(),
        received_at: loggerhead_model::Timestamp::default(),
    };
    decode(frame.dialect, frame.kind, text, &rules).expect("a message")
}

fn check(file: &str, expected: &str) {
    let vector = read(file);
    let found = render(&vector);
    assert_eq!(found, expected, "explained as:\n{found}");
    rewrites(&vector);
}

/// The frame around a body comes out as it was, but for a tail that was lost.
fn rewrites(vector: &Vector) {
    let (frame, _) = first_frame(vector);
    let key = key(vector);
    let envelope = Envelope::default();
    let mut sending = Sending::new(frame.dialect, &envelope, key.as_ref());
    sending.sequence = frame.sequence;
    sending.crc = frame.crc.unwrap_or(sending.crc);
    let mut out = BytesMut::new();
    let blank: &[u8] = if key.is_none() { b"\n" } else { b"" };
    let body = [frame.body(), blank].concat();
    assemble(&sending, frame.kind, Secrecy::Data, &mut out, |out| out.extend_from_slice(&body)).expect("a frame");
    assert!(out.starts_with(&vector.bytes), "{out:02x?}");
    assert!(out.len() - vector.bytes.len() <= 1);
}

/// The whole frame comes out as it was from what it means.
fn reencodes(file: &str, padding: Padding, style: Style) {
    let vector = read(file);
    let (frame, text) = first_frame(&vector);
    let Decoded { envelope, message } = decoded(&text, &vector);
    let key = key(&vector);
    let mut sending = Sending::new(frame.dialect, &envelope, key.as_ref());
    (sending.sequence, sending.padding, sending.style) = (frame.sequence, padding, style);
    let mut out = BytesMut::new();
    match &message {
        Message::Talk(talk) => encode(&sending, talk, &mut out).expect("a frame"),
        Message::Data(data) => encode_data(&sending, &data.head, &data.report, &mut out).expect("a frame"),
        Message::Ack(ack) => panic!("{ack:?} is not recorded"),
    }
    assert_eq!(out, vector.bytes, "{}", String::from_utf8_lossy(&out));
}

vectors! { check:
    request_national "request-national"
    request_national_crc_low "request-national-crc-low"
    sequence_national "sequence-national"
    sequence_zhejiang "sequence-zhejiang"
    sequence_zhejiang_cut "sequence-zhejiang-cut"
    sequence_zhejiang_newline "sequence-zhejiang-newline"
    sequence_zhejiang_other "sequence-zhejiang-other"
    device_ack_zhejiang "device-ack-zhejiang"
    archives_zhejiang "archives-zhejiang"
    continuous_zhejiang "continuous-zhejiang"
    device_info_quicklz "device-info-quicklz"
    request_supcon "request-supcon"
}

#[test]
fn recorded_frames_are_written_again_from_their_meaning() {
    reencodes(include_str!("vectors/sequence-national.hex"), Padding::Digit, Style::FLAT);
    reencodes(include_str!("vectors/sequence-zhejiang.hex"), Padding::Zero, Style::INDENTED);
    reencodes(include_str!("vectors/sequence-zhejiang-other.hex"), Padding::Zero, Style::INDENTED);
    reencodes(include_str!("vectors/archives-zhejiang.hex"), Padding::Zero, Style::INDENTED);
    reencodes(include_str!("vectors/request-supcon.hex"), Padding::Zero, Style::STANDALONE);
    let in_one_line = Style { newline: "", ..Style::INDENTED };
    reencodes(include_str!("vectors/continuous-zhejiang.hex"), Padding::Zero, in_one_line);
}

#[test]
fn recorded_proofs_are_right_in_their_order_and_in_both() {
    let mut count = 0;
    for line in include_str!("vectors/proofs.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("four words");
        let order = ProofOrder::find(word()).expect("an order");
        let (challenge, secret, proof) = (word().as_bytes(), word().as_bytes(), word().as_bytes());
        let other = order.other();
        assert!(order.check()(challenge, proof, secret).is_some());
        // Joined in either order, these two texts are the same.
        let is_one = [challenge, secret].concat() == [secret, challenge].concat();
        let told = ProofOrder::Both.check()(challenge, proof, secret).map(ProofOrder::of);
        assert_eq!(told, Some(if is_one { ProofOrder::ChallengeFirst } else { order }));
        assert_eq!(other.check()(challenge, proof, secret).is_some(), is_one);
        assert!(order.check()(challenge, &proof.to_ascii_uppercase(), secret).is_some());
        assert!(order.prove(challenge, secret).eq_ignore_ascii_case(proof));
        for wrong in [&b""[..], &proof[1..], &[proof, b"0"].concat(), &[b'0'; 32]] {
            assert_eq!(ProofOrder::Both.check()(challenge, wrong, secret), None);
        }
        count += 1;
    }
    assert_eq!(count, 8);
}
