//! Frames come out of a stream however it is split, and whatever stands between them.

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::cipher::Key;
use super::dialect::{self, ALL_DIALECTS, Dialect, Length};
use super::encode::{Sending, encode};
use super::explain::explain;
use super::frame::{Cut, Cutter, FRAME_BYTES_MAX, GARBAGE_BYTES_MAX};
use super::message::{Envelope, IdStyle, Talk};
use crate::Explain;

fn dialect_of(name: &str) -> &'static Dialect {
    dialect::find(name).expect("a dialect")
}

fn frame(dialect: &'static Dialect, number: u32) -> BytesMut {
    let key = Key::new(*b"0000000000123456", *b"0000000000123456");
    let envelope = Envelope { style: IdStyle::Building, building: "b".into(), gateway: "g".into() };
    let mut out = BytesMut::new();
    let talk = Talk::Sequence { sequence: format!("{number}") };
    encode(&Sending::new(dialect, &envelope, Some(&key)), &talk, &mut out).expect("a frame");
    out
}

/// What a cutter finds: frames up to their check, and the words of faults. The last word is why it gave up.
fn cuts(cutter: &mut Cutter, pieces: &[&[u8]]) -> Vec<String> {
    let mut found = Vec::new();
    for piece in pieces {
        cutter.push(piece);
        loop {
            match cutter.cut() {
                Ok(Some(Cut::Frame(frame))) => {
                    found.push(format!("{} {} {:02x?} {:?}", frame.dialect.name, frame.kind, frame.body(), frame.crc));
                }
                Ok(Some(Cut::Fault(fault))) => found.push(fault.to_string()),
                Ok(None) => break,
                Err(fault) => {
                    found.push(format!("given up: {fault}"));
                    return found;
                }
            }
        }
    }
    found
}

/// Frames as numbers of bytes, faults as their words.
fn check(dialect: Option<&'static Dialect>, stream: &[u8], expected: &[&str]) {
    let short = |cut: String| match cut.split_once(" [") {
        Some((frame, _)) => frame.to_owned(),
        None => cut,
    };
    let whole: Vec<_> = cuts(&mut Cutter::new(dialect, FRAME_BYTES_MAX), &[stream]).into_iter().map(short).collect();
    assert_eq!(whole, expected);
    let bytes: Vec<_> = stream.chunks(1).collect();
    let split: Vec<_> = cuts(&mut Cutter::new(dialect, FRAME_BYTES_MAX), &bytes).into_iter().map(short).collect();
    assert_eq!(split, expected, "byte by byte");
}

#[test]
fn every_dialect_is_known_by_its_first_bytes() {
    for dialect in ALL_DIALECTS {
        let name = dialect.name;
        let kind = dialect.kind_of("sequence");
        let expected = format!("{name} {kind}");
        let stream = [frame(dialect, 1), frame(dialect, 2), frame(dialect, 3)].concat();
        check(None, &stream, &[&expected, &expected, &expected]);
        check(Some(dialect), &stream, &[&expected, &expected, &expected]);
        for other in ALL_DIALECTS.into_iter().filter(|other| *other != dialect && other.length != Length::Big) {
            let found = cuts(&mut Cutter::new(Some(other), FRAME_BYTES_MAX), &[&frame(dialect, 1)]);
            assert!(!found.iter().any(|found| found.starts_with(name)), "{name} is none of {}", other.name);
        }
    }
}

#[test]
fn a_drained_cutter_keeps_no_memory() {
    assert!(size_of::<Cutter>() <= 80, "{}", size_of::<Cutter>());
}

#[test]
fn a_tail_may_be_damaged_or_missing_where_the_check_fits() {
    for name in ["national", "zhejiang"] {
        let whole = frame(dialect_of(name), 1);
        let frame_word = format!("{name} 0");
        for kept in 0..4 {
            let cut = &whole[..whole.len() - 4 + kept];
            check(None, cut, &[&frame_word]);
            let fault = format!("damaged: tail of {kept} bytes, 4 expected");
            check(None, &[cut, &whole].concat(), &[&frame_word, &fault, &frame_word]);
        }
        let mut wrong = whole.to_vec();
        *wrong.last_mut().expect("a tail") ^= 1;
        let skipped = "malformed: 1 bytes skipped before a frame";
        check(
            None,
            &[&wrong[..], &whole].concat(),
            &[&frame_word, "damaged: tail of 3 bytes, 4 expected", skipped, &frame_word],
        );
    }
}

#[test]
fn a_wrong_check_is_left_to_the_session_and_a_wrong_tail_besides_is_no_frame() {
    let mut frame = frame(dialect_of("national"), 1).to_vec();
    let crc = frame.len() - 6;
    frame[crc] ^= 0xff;
    let mut cutter = Cutter::new(None, FRAME_BYTES_MAX);
    let found = cuts(&mut cutter, &[&frame]);
    assert!(found.len() == 1 && found[0].ends_with("None"), "{found:?}");
    frame[crc + 2] ^= 0xff;
    let found = cuts(&mut Cutter::new(None, FRAME_BYTES_MAX), &[&frame]);
    assert_eq!(found, [format!("damaged: neither check nor tail of the frame fit (offset {})", frame.len() - 4)]);
}

#[test]
fn garbage_is_skipped_up_to_a_limit() {
    for dialect in ALL_DIALECTS.into_iter().filter(|dialect| !dialect.heads.is_empty()) {
        let whole = frame(dialect, 1);
        let word = format!("{} {}", dialect.name, dialect.kind_of("sequence"));
        for head in dialect.heads {
            // A head in garbage that announces a frame which never comes, and one that is cut short.
            let garbage = [&b"garbage"[..], &head[..1], b"x", &head[..head.len() - 1]].concat();
            let fault = format!("malformed: {} bytes skipped before a frame", garbage.len());
            check(None, &[&garbage, &whole[..], &whole].concat(), &[&fault, &word, &word]);
        }
        let mut much = BytesMut::new();
        much.put_bytes(b'x', GARBAGE_BYTES_MAX + 1);
        much.extend_from_slice(&whole);
        let found = cuts(&mut Cutter::new(None, FRAME_BYTES_MAX), &[&much]);
        assert_eq!(found, ["given up: malformed: more than 65536 bytes without a valid frame"]);
    }
}

#[test]
fn a_false_head_does_not_swallow_true_frames() {
    let whole = frame(dialect_of("national"), 1);
    let false_head = [0x68, 0x68, 0x16, 0x16, 0x04, 0x40, 0, 0, 1, 2, 3, 4];
    let stream = [&b"x"[..], &false_head, &whole, &whole].concat();
    check(None, &stream, &["malformed: 13 bytes skipped before a frame", "national 0", "national 0"]);
}

#[test]
fn a_cipher_that_cannot_be_and_a_frame_that_is_too_large_are_rejected() {
    let whole = frame(dialect_of("national"), 1);
    for (length, fault) in [
        (4_u32, "malformed: cipher of 0 bytes is not made of whole blocks of 16"),
        (21, "malformed: cipher of 17 bytes is not made of whole blocks of 16"),
        (0, "malformed: cipher of 0 bytes is not made of whole blocks of 16"),
        (0x0010_0004, "too-large: frame of 1048594 bytes over 1048576"),
        (u32::MAX, "too-large: frame of 4294967309 bytes over 1048576"),
    ] {
        let mut stream = vec![0x68, 0x68, 0x16, 0x16];
        stream.extend(length.to_le_bytes());
        stream.extend([9; 23]);
        stream.extend(&whole);
        check(None, &stream, &[fault, "malformed: 31 bytes skipped before a frame", "national 0"]);
    }
}

#[test]
fn a_text_ends_where_it_ends_whatever_its_length_says() {
    let whole = frame(dialect_of("supcon"), 1);
    for length in [b"0000", b"00f9", b"ffff", b"zzzz"] {
        let mut lying = whole.to_vec();
        lying[4..8].copy_from_slice(length);
        check(None, &[&lying[..], &lying].concat(), &["supcon 2", "supcon 2"]);
    }
    let cut = &whole[..whole.len() / 2];
    let fault = format!("malformed: {} bytes skipped before a frame", cut.len());
    check(None, &[cut, &whole].concat(), &["malformed: a text cut short by the next head", &fault, "supcon 2"]);
}

/// A stream of frames of one dialect with anything between them.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = |dialect: &'static Dialect| {
        prop_oneof![
            4 => (0..100_u32).prop_map(move |number| frame(dialect, number).to_vec()),
            1 => (0..100_u32, 0..200_usize, any::<u8>()).prop_map(move |(number, at, byte)| {
                let mut frame = frame(dialect, number).to_vec();
                let at = at % frame.len();
                frame[at] = byte;
                frame
            }),
            1 => (0..100_u32, 0..200_usize).prop_map(move |(number, at)| {
                let frame = frame(dialect, number);
                frame[..at % frame.len()].to_vec()
            }),
            1 => prop::collection::vec(any::<u8>(), 0..40),
            1 => prop::collection::vec(prop::sample::select(&b"\xef\xbb\xbf \n\0"[..]), 0..6),
            1 => Just(b"\xef\xbb\xbf".to_vec()),
            1 => prop::sample::select(dialect.heads).prop_map(<[u8]>::to_vec),
        ]
    };
    let with_heads: Vec<_> = ALL_DIALECTS.into_iter().filter(|dialect| !dialect.heads.is_empty()).collect();
    prop::sample::select(with_heads)
        .prop_flat_map(move |dialect| prop::collection::vec(piece(dialect), 0..8).prop_map(|pieces| pieces.concat()))
}

proptest! {
    #[test]
    fn how_bytes_are_split_does_not_matter(stream in stream(), sizes in prop::collection::vec(1..50_usize, 1..20)) {
        let whole = cuts(&mut Cutter::new(None, FRAME_BYTES_MAX), &[&stream]);
        let single: Vec<_> = stream.chunks(1).collect();
        prop_assert_eq!(&whole, &cuts(&mut Cutter::new(None, FRAME_BYTES_MAX), &single));
        let mut pieces = Vec::new();
        let (mut rest, mut sizes) = (&stream[..], sizes.iter().cycle());
        while !rest.is_empty() {
            let size = rest.len().min(*sizes.next().expect("a cycle"));
            pieces.push(&rest[..size]);
            rest = &rest[size..];
        }
        prop_assert_eq!(&whole, &cuts(&mut Cutter::new(None, FRAME_BYTES_MAX), &pieces));
    }

    #[test]
    fn any_bytes_are_cut_and_explained(stream in stream(), noise in prop::collection::vec(any::<u8>(), 0..300)) {
        for bytes in [&stream, &noise] {
            for dialect in ALL_DIALECTS.into_iter().map(Some).chain([None]) {
                let _ = cuts(&mut Cutter::new(dialect, 1000), &[bytes]);
            }
            let key = b"0000000000123456".to_vec();
            for keys in [&[][..], &[(key.clone(), key)]] {
                let explanation = explain(&Explain { bytes, keys, ..Explain::default() });
                let mut end = 0;
                for field in &explanation.fields {
                    prop_assert_eq!(field.range.start, end);
                    prop_assert!(!field.range.is_empty());
                    end = field.range.end;
                }
                prop_assert_eq!(end, bytes.len());
            }
        }
    }
}

#[test]
fn a_plain_text_in_an_enciphered_frame_is_explained() {
    let key = Key::new(*b"0000000000123456", *b"0000000000123456");
    let mut cutter = Cutter::new(None, FRAME_BYTES_MAX);
    let whole = frame(dialect_of("national"), 1);
    cutter.push(&whole);
    let Ok(Some(Cut::Frame(mut frame))) = cutter.cut() else { panic!("a frame") };
    key.decipher(frame.body_mut()).expect("whole blocks");
    let kept = [&frame.into_bytes()[..], b"garbage", &whole].concat();
    let secret = b"0000000000123456".to_vec();
    let names = |keys: &[(Vec<u8>, Vec<u8>)]| {
        let explanation = explain(&Explain { bytes: &kept, keys, ..Explain::default() });
        let field = |field: &crate::Field| format!("{} {:?}", field.name, field.judgement);
        explanation.fields.iter().map(field).collect::<Vec<_>>().join(", ")
    };
    let known = "head Right, length Right, sequence Right, text Right, padding Right, crc Right, tail Right";
    assert_eq!(names(&[(secret.clone(), secret)]), format!("{known}, garbage Wrong, {known}"));
    let unknown = "head Right, length Right, sequence Right, cipher Odd, crc Right, tail Right";
    assert_eq!(names(&[]), format!("{known}, garbage Wrong, {unknown}"));
}

#[test]
fn a_large_frame_behind_garbage_is_not_waited_for() {
    let whole = frame(dialect_of("national"), 1);
    let mut stream = vec![b'x', 0x68, 0x68, 0x16, 0x16];
    stream.extend(0x000f_0004_u32.to_le_bytes());
    stream.extend(&whole);
    check(None, &stream, &["malformed: 9 bytes skipped before a frame", "national 0"]);
}
