//! Getting in, and not getting in.

use std::time::Duration;

use loggerhead_model::Origin;

use super::{Hand, acknowledging, attach, closed, faults, head_end, is_fail, is_pass, report};
use crate::logger::cipher::Key;
use crate::logger::crc::CrcVariant;
use crate::logger::dialect::ProofStep;
use crate::logger::encode::encode;
use crate::logger::identity::ProofOrder;
use crate::logger::message::{DataKind, IdStyle, Message, Talk};
use crate::pair::Happening;
use crate::{CloseReason, Refusal};

const SECRET: &str = "IJKLMNOPQRSTUVWX";

#[test]
fn a_wrong_proof_is_refused_in_full_and_the_connection_closed_a_little_later() {
    for dialect in ["national", "zhejiang", "shanghai", "supcon", "plain"] {
        let mut pair = head_end("", "");
        let hand = Hand::new(&mut pair, dialect);
        let challenge = hand.request(&mut pair);
        assert!(is_fail(&hand.prove(&mut pair, &challenge, "wrong")), "{dialect}");
        assert!(pair.is_open(hand.connection), "{dialect}: it has to have time to read it");
        pair.run_for(Duration::from_secs(1));
        assert_eq!(closed(&pair), ["refused"], "{dialect}");
    }
}

#[test]
fn nothing_tells_an_unknown_name_from_a_wrong_proof_a_wrong_key_or_a_wrong_dialect() {
    let course = |device: &str, change: &dyn Fn(&mut Hand)| {
        let mut pair = head_end("", device);
        let mut hand = Hand::new(&mut pair, "national");
        change(&mut hand);
        let challenge = hand.request(&mut pair);
        assert_eq!(challenge.len(), 8);
        // The right proof in every case but the first: it must not matter.
        let secret = if device == "wrong" { "" } else { SECRET };
        let answer = hand.prove(&mut pair, &challenge, secret);
        assert!(is_fail(&answer), "{device:?}: {answer:?}");
        pair.run_for(Duration::from_secs(1));
        let closes: Vec<Duration> = pair
            .log
            .iter()
            .filter(|entry| matches!(entry.what, Happening::Closed(CloseReason::Refused)))
            .map(|entry| entry.at)
            .collect();
        assert_eq!(closes, [Duration::from_secs(1)], "{device:?}");
    };
    course("", &|hand| hand.gateway("02"));
    course("aes_key = 'text:9999999999999999'", &|_| {});
    course("dialect = 'zhejiang'", &|_| {});
}

impl Hand {
    fn gateway(&mut self, gateway: &'static str) {
        self.envelope.gateway = gateway.into();
    }
}

#[test]
fn what_cannot_be_read_is_never_answered_and_all_of_it_alike() {
    let silent = |pair: &mut crate::pair::Pair, connection: usize, bytes: &[u8]| {
        pair.send(connection, bytes);
        assert!(pair.take_received(connection).is_empty());
        pair.run_for(Duration::from_secs(10));
        assert!(pair.take_received(connection).is_empty());
        assert_eq!(closed(pair), ["silent for 10 s"]);
    };
    // A key that nobody knows.
    let mut pair = head_end("", "");
    let mut hand = Hand::new(&mut pair, "national");
    hand.key = Key::new([7; 16], [7; 16]);
    let frame = hand.frame(&Talk::Request);
    silent(&mut pair, hand.connection, &frame);
    assert_eq!(faults(&pair), ["undecipherable", "too-slow"]);
    // A check that does not fit.
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    let mut frame = hand.frame(&Talk::Request);
    let place = frame.len() - 5;
    frame[place] ^= 1;
    silent(&mut pair, hand.connection, &frame);
    assert_eq!(faults(&pair), ["damaged", "too-slow"]);
    // A check that fits, but is not the one that is fixed.
    let mut pair = head_end("", "crc = 'a1'");
    let hand = Hand::new(&mut pair, "national");
    let frame = hand.frame(&Talk::Request);
    silent(&mut pair, hand.connection, &frame);
    assert_eq!(faults(&pair), ["damaged", "too-slow"]);
}

#[test]
fn a_device_whose_checks_are_off_is_let_in_with_any() {
    let mut pair = head_end("", "crc = 'off'");
    let hand = Hand::new(&mut pair, "national");
    let mut frame = hand.frame(&Talk::Request);
    let place = frame.len() - 5;
    frame[place] ^= 1;
    let answers = hand.send(&mut pair, &frame);
    assert!(matches!(answers.as_slice(), [Message::Talk(Talk::Sequence { .. })]), "{answers:?}");
}

#[test]
fn an_answer_carries_the_check_that_came() {
    for variant in CrcVariant::ALL {
        let mut pair = head_end("", "");
        let hand = Hand::new(&mut pair, "national");
        let mut frame = bytes::BytesMut::new();
        let mut sending = hand.sending();
        sending.crc = variant;
        encode(&sending, &Talk::Request, &mut frame).expect("it can be written");
        pair.send(hand.connection, &frame);
        let answer = pair.take_received(hand.connection);
        let end = answer.len() - 6;
        assert_eq!(variant.of(&answer[..end]), answer[end..end + 2], "{variant:?}");
    }
}

#[test]
fn data_before_the_login_is_refused_and_counted_never_stored_or_acknowledged() {
    for dialect in ["national", "zhejiang", "shanghai", "supcon", "bare", "plain"] {
        let mut pair = head_end("", "");
        let hand = Hand::new(&mut pair, dialect);
        let frame = hand.data(DataKind::Report, &report(Origin::Live, 1, 2));
        assert!(hand.send(&mut pair, &frame).is_empty(), "{dialect}");
        assert_eq!(faults(&pair), ["out-of-order"], "{dialect}");
        assert!(pair.kept.is_empty() && pair.is_open(hand.connection), "{dialect}");
    }
}

#[test]
fn a_request_starts_anew_at_any_time_and_a_challenge_is_good_once() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    let first = hand.request(&mut pair);
    let second = hand.request(&mut pair);
    assert_ne!(first, second);
    assert!(is_pass(&hand.prove(&mut pair, &second, SECRET)));
    assert!(hand.prove(&mut pair, &second, SECRET).is_empty());
    assert_eq!(faults(&pair), ["out-of-order"]);
    let third = hand.request(&mut pair);
    assert!(is_fail(&hand.prove(&mut pair, &first, SECRET)), "an older challenge");
    assert_ne!(third, second);
}

#[test]
fn a_device_that_starts_anew_is_not_logged_in_until_it_has_proven_itself() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.log_in(&mut pair);
    let challenge = hand.request(&mut pair);
    let frame = hand.data(DataKind::Report, &report(Origin::Live, 1, 2));
    assert!(hand.send(&mut pair, &frame).is_empty());
    assert!(pair.kept.is_empty());
    assert!(is_pass(&hand.prove(&mut pair, &challenge, SECRET)));
    assert_eq!(hand.send(&mut pair, &frame).len(), 1);
}

#[test]
fn a_silent_peer_is_given_up_by_its_deadlines() {
    let mut pair = head_end("", "");
    pair.connect();
    pair.run_for(Duration::from_secs(6));
    assert_eq!(closed(&pair), ["silent for 5 s"]);
    assert_eq!(faults(&pair), ["too-slow"]);
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    hand.request(&mut pair);
    pair.run_for(Duration::from_secs(11));
    assert_eq!(closed(&pair), ["silent for 10 s"]);
}

#[test]
fn a_peer_that_sends_nothing_but_faults_is_given_up() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "national");
    let frame = hand.data(DataKind::Report, &report(Origin::Live, 1, 1));
    for _ in 0..16 {
        hand.send(&mut pair, &frame);
        assert!(pair.is_open(hand.connection));
    }
    hand.send(&mut pair, &frame);
    assert!(!pair.is_open(hand.connection));
}

#[test]
fn a_cipher_is_proof_enough_only_where_it_is_said_to_be() {
    let mut pair = head_end("", "");
    let hand = Hand::new(&mut pair, "bare");
    assert!(is_pass(&hand.say(&mut pair, &Talk::Request)));
    let mut pair = head_end("", "");
    for known in pair.enrolled.values_mut() {
        known.cipher_is_enough = false;
    }
    let hand = Hand::new(&mut pair, "bare");
    assert!(is_fail(&hand.say(&mut pair, &Talk::Request)));
    // The key of another device proves nothing.
    let mut pair = head_end("", "aes_key = 'text:9999999999999999'");
    let hand = Hand::new(&mut pair, "bare");
    assert!(is_fail(&hand.say(&mut pair, &Talk::Request)));
    let refused = pair.happenings().any(|what| matches!(what, Happening::Refused(_, Refusal::WrongProof)));
    assert!(refused);
}

#[test]
fn a_device_side_that_is_refused_says_so_and_tries_again() {
    for (dialect, settings) in acknowledging().filter(|(dialect, _)| dialect.name != "bare") {
        let mut pair = head_end("", "");
        attach(&mut pair, dialect, &format!("secret = 'text:wrong'\n{settings}"));
        pair.run_for(Duration::from_mins(1));
        let refusals = pair.happenings().filter(|what| matches!(what, Happening::Refused(..))).count();
        assert!((3..40).contains(&refusals), "{}: {refusals}", dialect.name);
        let told = pair.happenings().filter(|what| matches!(what, Happening::Event(_))).count();
        assert_eq!(told, refusals, "{}", dialect.name);
    }
}

#[test]
fn the_order_of_a_proof_is_learnt_and_a_fixed_one_is_found_by_the_device_side() {
    for (dialect, settings) in acknowledging().filter(|(dialect, _)| dialect.habits.proof == ProofStep::Challenge) {
        for order in [ProofOrder::ChallengeFirst, ProofOrder::SecretFirst] {
            // The head-end takes both, and tells which it was.
            let mut pair = head_end("", "");
            attach(&mut pair, dialect, &format!("md5_order = '{}'\n{settings}", order.word()));
            pair.run_for(Duration::from_secs(5));
            let learnt = pair.enrolled.values().next().expect("one device").learnt.get("md5_order").cloned();
            assert_eq!(learnt.as_deref(), Some(order.word()), "{}", dialect.name);
            // A head-end that takes one: the other is refused, and a device that knows both finds the right one.
            let mut pair = head_end("", &format!("md5_order = '{}'", order.word()));
            attach(&mut pair, dialect, settings);
            pair.run_for(Duration::from_secs(20));
            let refused = pair.happenings().filter(|what| matches!(what, Happening::Refused(..))).count();
            let accepted = pair.happenings().filter(|what| matches!(what, Happening::Accepted(_))).count();
            let wrong_first = usize::from(order == ProofOrder::SecretFirst);
            assert_eq!((refused, accepted), (wrong_first, 1), "{} {order:?}", dialect.name);
            // One that knows only the wrong one never gets in.
            let mut pair = head_end("", &format!("md5_order = '{}'", order.word()));
            attach(&mut pair, dialect, &format!("md5_order = '{}'\n{settings}", order.other().word()));
            pair.run_for(Duration::from_secs(20));
            assert!(!pair.happenings().any(|what| matches!(what, Happening::Accepted(_))), "{}", dialect.name);
        }
    }
}

#[test]
fn what_is_learnt_at_a_login_is_told_once() {
    let mut pair = head_end("", "");
    for _ in 0..2 {
        let hand = Hand::new(&mut pair, "national");
        hand.log_in(&mut pair);
    }
    let learnt: Vec<_> = pair
        .happenings()
        .filter_map(|what| if let Happening::Learnt(learnt) = what { Some(learnt) } else { None })
        .collect();
    assert_eq!(learnt.len(), 1);
    let words: Vec<String> = learnt[0].iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(words, ["crc=a2", "dialect=national", "key=aes_keys[1]", "md5_order=sequence+key"]);
}

#[test]
fn a_project_is_answered_as_the_2009_text_has_it() {
    let mut pair = head_end("", "");
    let mut hand = Hand::new(&mut pair, "national");
    hand.envelope.style = IdStyle::Project;
    hand.log_in(&mut pair);
    let answers = hand.say(&mut pair, &Talk::Notify { note: String::new() });
    assert!(matches!(answers.as_slice(), [Message::Talk(Talk::HeartResult)]), "{answers:?}");
    let frame = hand.data(DataKind::Report, &report(Origin::Live, 1, 1));
    assert!(hand.send(&mut pair, &frame).is_empty());
    assert_eq!(pair.kept.len(), 1);
}

#[test]
fn mixed_dialects_share_one_listener() {
    let mut pair = head_end("", "");
    let hands: Vec<Hand> = ["national", "zhejiang", "shanghai", "supcon", "plain"]
        .into_iter()
        .zip(["01", "02", "03", "04", "05"])
        .map(|(dialect, gateway)| {
            let known = pair.enrolled.values().next().expect("one").clone();
            let identity = loggerhead_model::Identity::new(&format!("330302D110/{gateway}")).expect("a name");
            let device = loggerhead_model::DeviceId::from_identity(&identity);
            pair.enrolled.insert(identity, crate::pair::Enrolled { device, ..known });
            let mut hand = Hand::new(&mut pair, dialect);
            hand.gateway(gateway);
            hand
        })
        .collect();
    let challenges: Vec<String> = hands.iter().map(|hand| hand.request(&mut pair)).collect();
    for (hand, challenge) in hands.iter().zip(&challenges) {
        assert!(is_pass(&hand.prove(&mut pair, challenge, SECRET)), "{}", hand.dialect.name);
    }
    assert!(faults(&pair).is_empty());
}

#[test]
fn a_newer_connection_takes_over() {
    let mut pair = head_end("", "");
    let old = Hand::new(&mut pair, "national");
    old.log_in(&mut pair);
    let new = Hand::new(&mut pair, "national");
    new.log_in(&mut pair);
    assert!(!pair.is_open(old.connection) && pair.is_open(new.connection));
    assert_eq!(closed(&pair), ["a newer connection took over"]);
}
