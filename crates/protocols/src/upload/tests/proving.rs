//! Who may send, and how it is proven.

use std::time::Duration;

use super::{closed, head_end, kept, long, received};
use crate::CloseReason;
use crate::upload::legitimacy::Auth;

const FILE: &str = "{\"filename\": \"1.jpg\", \"filesize\": 3}";

/// Answers the challenge of a listener as `answer` does, and sends a file behind it.
fn check(auth: &str, answer: fn(&[u8]) -> Vec<u8>, is_right: bool) {
    let mut pair = head_end(&format!("auth = '{auth}'"));
    let line = pair.connect();
    pair.run_for(Duration::ZERO);
    let nonce = pair.take_received(line);
    assert_eq!(nonce.len(), 16, "{auth}");
    pair.send(line, &answer(&nonce));
    assert_eq!(received(&mut pair, line), if is_right { "hello" } else { "" }, "{auth}");
    pair.send(line, &[&long(FILE)[..], b"abc"].concat());
    assert_eq!(kept(&pair).len(), usize::from(is_right), "{auth}");
    assert_eq!(closed(&pair), (!is_right).then_some(&CloseReason::Refused), "{auth}");
}

fn answer(auth: Auth, nonce: &[u8], secret: &[u8]) -> Vec<u8> {
    // By the sums of other programs, written out: the rule under test has no say in it.
    let block = |mask: u8| {
        let mut block = vec![mask; 64];
        block.iter_mut().zip(secret).for_each(|(byte, key)| *byte ^= key);
        block
    };
    match auth {
        Auth::HmacSha256 => {
            use sha2::{Digest, Sha256};
            let inner = Sha256::digest([&block(0x36)[..], nonce].concat());
            Sha256::digest([&block(0x5c)[..], &inner].concat()).to_vec()
        }
        Auth::HmacMd5 => {
            use md5::{Digest, Md5};
            let inner = Md5::digest([&block(0x36)[..], nonce].concat());
            Md5::digest([&block(0x5c)[..], &inner].concat()).to_vec()
        }
        Auth::Md5Hex | Auth::Any | Auth::None => {
            use md5::{Digest, Md5};
            let sum = Md5::digest([secret, nonce].concat());
            sum.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
        }
    }
}

#[test]
fn every_form_of_the_proof_is_taken_where_it_is_wanted() {
    let hmac: fn(&[u8]) -> Vec<u8> = |nonce| answer(Auth::HmacMd5, nonce, b"password");
    let hex: fn(&[u8]) -> Vec<u8> = |nonce| answer(Auth::Md5Hex, nonce, b"password");
    let sha: fn(&[u8]) -> Vec<u8> = |nonce| answer(Auth::HmacSha256, nonce, b"password");
    check("any", hmac, true);
    check("any", hex, true);
    check("hmac-md5", hmac, true);
    check("md5-hex", hex, true);
    check("hmac-sha256", sha, true);
    check("md5-hex", sha, false);
    check("hmac-md5", hex, false);
    check("any", |nonce| answer(Auth::HmacMd5, nonce, b"Password"), false);
    check("any", |nonce| answer(Auth::Md5Hex, nonce, b"Password"), false);
    check("any", |_| answer(Auth::HmacMd5, &[0; 16], b"password"), false);
}

#[test]
fn every_connection_has_a_challenge_of_its_own() {
    let mut pair = head_end("auth = 'any'");
    let lines = [pair.connect(), pair.connect()];
    pair.run_for(Duration::ZERO);
    assert_ne!(pair.take_received(lines[0]), pair.take_received(lines[1]));
}

#[test]
fn a_proof_may_come_in_any_pieces_with_a_file_behind_it() {
    for piece in [1, 7, usize::MAX] {
        let mut pair = head_end("auth = 'any'");
        pair.wire.piece_bytes_max = piece;
        let line = pair.connect();
        pair.run_for(Duration::ZERO);
        let nonce = pair.take_received(line);
        let proof = answer(Auth::Md5Hex, &nonce, b"password");
        pair.send(line, &[&proof[..], FILE.as_bytes(), b"abc"].concat());
        assert_eq!(kept(&pair), ["camera 1.jpg abc"], "{piece}");
    }
}

#[test]
fn a_head_may_name_its_sender_who_then_has_to_prove_it() {
    let named = |secret: &str| format!("{{\"filename\": \"1.jpg\", \"filesize\": 3, \"device\": \"T1\"{secret}}}abc");
    for (secret, is_right) in [(", \"secret\": \"password\"", true), (", \"secret\": \"guess\"", false), ("", false)] {
        let mut pair = head_end("");
        let line = pair.connect();
        pair.send(line, named(secret).as_bytes());
        assert_eq!(kept(&pair).len(), usize::from(is_right), "{secret}");
        assert_eq!(pair.is_open(line), is_right, "{secret}");
    }
}

#[test]
fn silence_ends_a_conversation_at_every_stage() {
    let mut pair = head_end("auth = 'any'");
    pair.connect();
    pair.run_for(pair.limits.first_frame);
    assert!(matches!(closed(&pair), Some(CloseReason::Silent(_))), "nothing came");
    let mut pair = head_end("auth = 'any'");
    let line = pair.connect();
    pair.send(line, b"half");
    pair.run_for(pair.limits.login);
    assert!(matches!(closed(&pair), Some(CloseReason::Silent(_))), "half an answer came");
    let mut pair = head_end("idle_s = 30");
    let line = pair.connect();
    pair.send(line, &long(FILE));
    pair.run_for(Duration::from_secs(29));
    assert!(pair.is_open(line));
    pair.run_for(Duration::from_secs(1));
    assert!(matches!(closed(&pair), Some(CloseReason::Silent(_))), "half a file came");
    assert!(kept(&pair).is_empty());
}
