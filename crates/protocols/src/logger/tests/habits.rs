//! What single makers do, as whole conversations of a hand with the head-end.

use std::io::Write as _;
use std::time::Duration;

use bytes::BytesMut;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use loggerhead_model::{Origin, Ticket};

use super::{Hand, acknowledging, attach, closed, faults, head_end, kept_values, report, values_of};
use crate::logger::cipher::Key;
use crate::logger::dialect::{ALL_DIALECTS, CipherUse};
use crate::logger::encode::{Secrecy, assemble};
use crate::logger::message::{DataKind, Message, Talk};
use crate::pair::Happening;

const TEXT: &str = "<root><common><building_id>330302D110</building_id><gateway_id>01</gateway_id><type>energy_data</type>\
    </common><data operation=\"report\"><time>20260102030000</time><meter id=\"1\"><function id=\"WPP\">7.5</function>\
    </meter></data></root>";

fn zlib(text: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

/// A frame of this type around `body`, enciphered as data is.
fn frame(hand: &Hand, kind: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    assemble(&hand.sending(), kind, Secrecy::Data, &mut out, |out| out.extend_from_slice(body)).expect("a frame");
    out
}

#[test]
fn compressed_and_plain_bodies_share_a_connection() {
    // Type 4 of the Shanghai family is zlib within the cipher; type 6 is another kind of data.
    for (dialect, kinds) in
        [("national", &[0_u8][..]), ("zhejiang", &[0]), ("shanghai", &[3, 4, 6]), ("supcon", &[5]), ("bare", &[0])]
    {
        let mut pair = head_end("report_answer = 'report-ack'", "");
        let hand = Hand::new(&mut pair, dialect);
        hand.log_in(&mut pair);
        for &kind in kinds {
            for body in [zlib(TEXT), TEXT.as_bytes().to_vec()] {
                let answers = hand.send(&mut pair, &frame(&hand, kind, &body));
                assert!(matches!(answers.as_slice(), [Message::Ack(_)]), "{dialect} {kind}: {answers:?}");
            }
        }
        assert_eq!((kept_values(&pair), pair.kept.len()), (vec!["7.5".to_owned()], 2 * kinds.len()), "{dialect}");
        let mut pair = head_end("compression = 'off'", "");
        let hand = Hand::new(&mut pair, dialect);
        hand.log_in(&mut pair);
        assert!(hand.send(&mut pair, &frame(&hand, kinds[0], &zlib(TEXT))).is_empty(), "{dialect}");
        assert_eq!(faults(&pair), ["undecipherable"], "{dialect}");
    }
}

#[test]
fn a_wrong_key_gets_nothing_stored_in_any_dialect() {
    for (dialect, settings) in acknowledging().filter(|(dialect, _)| dialect.cipher != CipherUse::Never) {
        let mut pair = head_end("", "");
        attach(&mut pair, dialect, &format!("aes_key = 'text:7777777777777777'\n{settings}"));
        pair.offer(Ticket(0), report(Origin::Live, 0, 1));
        pair.run_for(Duration::from_mins(1));
        assert!(pair.delivered().is_empty() && pair.kept.iter().all(|records| records.report.is_none()));
        let found = faults(&pair);
        assert!(found.contains(&"undecipherable"), "{}: {found:?}", dialect.name);
        if dialect.cipher == CipherUse::Always {
            assert!(!pair.happenings().any(|what| matches!(what, Happening::Accepted(_))), "{}", dialect.name);
        }
        // A key that the listener knows, but not the device's own.
        if dialect.cipher != CipherUse::Always {
            for scope in ["connection", "name"] {
                let mut pair = head_end(&format!("login_scope = '{scope}'"), "aes_key = 'text:9999999999999999'");
                let mut hand = Hand::new(&mut pair, dialect.name);
                hand.log_in(&mut pair);
                if scope == "name" {
                    hand.connection = pair.connect();
                }
                assert!(hand.send(&mut pair, &frame(&hand, 3, TEXT.as_bytes())).is_empty(), "{}", dialect.name);
                assert_eq!(faults(&pair), ["undecipherable"], "{}", dialect.name);
                assert!(pair.kept.is_empty(), "{}", dialect.name);
            }
        }
        // A key that the listener knows, but another than that of the login.
        let mut pair = head_end("", "");
        let mut hand = Hand::new(&mut pair, dialect.name);
        hand.log_in(&mut pair);
        assert_eq!(hand.send(&mut pair, &frame(&hand, 3, TEXT.as_bytes())).len(), usize::from(dialect.name != "bare"));
        hand.key = Key::new(*b"9999999999999999", *b"9999999999999999");
        assert!(hand.send(&mut pair, &frame(&hand, 3, TEXT.as_bytes())).is_empty(), "{}", dialect.name);
        assert_eq!(faults(&pair), ["undecipherable"], "{}", dialect.name);
    }
}

#[test]
fn a_device_of_any_dialect_that_falls_silent_is_given_up() {
    for dialect in ALL_DIALECTS {
        let mut pair = head_end("login_scope = 'connection'", "");
        let hand = Hand::new(&mut pair, dialect.name);
        hand.log_in(&mut pair);
        pair.run_for(Duration::from_mins(9));
        assert_eq!(hand.say(&mut pair, &Talk::Notify { note: String::new() }).len(), 1, "{}", dialect.name);
        pair.run_for(Duration::from_secs(22 * 60 + 29));
        assert!(pair.is_open(hand.connection), "{}: 2.5 times nine minutes are not over", dialect.name);
        pair.run_for(Duration::from_secs(1));
        assert_eq!(closed(&pair), ["silent for 1350 s"], "{}", dialect.name);
    }
}

#[test]
fn what_comes_at_the_wrong_time_is_counted_and_changes_nothing() {
    for dialect in ALL_DIALECTS {
        let mut pair = head_end("login_scope = 'connection'", "");
        let hand = Hand::new(&mut pair, dialect.name);
        let early = [Talk::Md5 { md5: "0".repeat(32) }, Talk::Notify { note: String::new() }, Talk::PeriodAck];
        for talk in &early {
            assert!(hand.say(&mut pair, talk).is_empty(), "{} {talk:?}", dialect.name);
        }
        hand.log_in(&mut pair);
        for talk in [Talk::DeviceAck, Talk::Archives, Talk::Md5 { md5: String::new() }] {
            assert!(hand.say(&mut pair, &talk).is_empty(), "{} {talk:?}", dialect.name);
        }
        assert_eq!(faults(&pair), ["out-of-order"; 6], "{}", dialect.name);
        // An answer to an order that nobody gave is no fault: it may have expired.
        assert!(hand.say(&mut pair, &Talk::PeriodAck).is_empty(), "{}", dialect.name);
        let readings = report(Origin::Live, 1, 1);
        hand.send(&mut pair, &hand.data(DataKind::Report, &readings));
        assert_eq!(kept_values(&pair), values_of(std::iter::once(readings)), "{}", dialect.name);
        assert_eq!(faults(&pair).len(), 6, "{}", dialect.name);
    }
}
