//! Devices that open a connection for every message.

use std::time::Duration;

use loggerhead_model::{Origin, Ticket};

use super::{Hand, attach, closed, faults, head_end, is_fail, is_pass, kept_values, report, values_of};
use crate::logger::dialect::find;
use crate::logger::message::{DataKind, Talk};
use crate::pair::{Happening, Pair, Wire};

const SECRET: &str = "IJKLMNOPQRSTUVWX";

/// Plays every step on a connection of its own.
fn log_in_by_visits(pair: &mut Pair) {
    let challenge = Hand::new(pair, "shanghai").request(pair);
    assert!(is_pass(&Hand::new(pair, "shanghai").prove(pair, &challenge, SECRET)));
}

#[test]
fn a_login_holds_for_later_connections_for_a_while() {
    let mut pair = head_end("", "");
    log_in_by_visits(&mut pair);
    let frame = report(Origin::Live, 1, 2);
    let visit = Hand::new(&mut pair, "shanghai");
    let data = visit.data(DataKind::Report, &frame);
    assert_eq!(visit.send(&mut pair, &data).len(), 1);
    let beat = Hand::new(&mut pair, "shanghai");
    assert_eq!(beat.say(&mut pair, &Talk::Notify { note: String::new() }).len(), 1);
    assert!(faults(&pair).is_empty());
    pair.run_for(Duration::from_mins(11));
    let late = Hand::new(&mut pair, "shanghai");
    assert!(late.send(&mut pair, &data).is_empty());
    assert_eq!(faults(&pair).last(), Some(&"out-of-order"));
    assert_eq!(pair.kept.len(), 1);
}

#[test]
fn connections_that_are_never_closed_are_given_up() {
    let mut pair = head_end("", "");
    log_in_by_visits(&mut pair);
    let visit = Hand::new(&mut pair, "shanghai");
    visit.send(&mut pair, &visit.data(DataKind::Report, &report(Origin::Live, 1, 1)));
    pair.run_for(Duration::from_mins(2));
    assert!(!pair.is_open(visit.connection));
    assert_eq!(closed(&pair).last().map(String::as_str), Some("silent for 60 s"));
}

#[test]
fn a_challenge_over_connections_is_good_once_and_not_for_long() {
    let mut pair = head_end("", "");
    let challenge = Hand::new(&mut pair, "shanghai").request(&mut pair);
    assert!(is_fail(&Hand::new(&mut pair, "shanghai").prove(&mut pair, &challenge, "wrong")));
    assert!(Hand::new(&mut pair, "shanghai").prove(&mut pair, &challenge, SECRET).is_empty());
    let challenge = Hand::new(&mut pair, "shanghai").request(&mut pair);
    pair.run_for(Duration::from_secs(61));
    assert!(Hand::new(&mut pair, "shanghai").prove(&mut pair, &challenge, SECRET).is_empty());
}

#[test]
fn the_device_side_delivers_by_visits() {
    let mut pair = head_end("", "");
    attach(&mut pair, find("shanghai").expect("a dialect"), "connections = 'per-message'\nheartbeat_s = 20");
    pair.run_for(Duration::from_secs(5));
    for ticket in 0..5 {
        pair.offer(Ticket(ticket), report(Origin::Live, ticket, 2));
    }
    pair.run_for(Duration::from_mins(5));
    assert_eq!(pair.delivered(), (0..5).map(Ticket).collect::<Vec<_>>(), "{:#?}", pair.log);
    assert_eq!(kept_values(&pair), values_of((0..5).map(|number| report(Origin::Live, number, 2))));
    assert!(faults(&pair).is_empty(), "{:?}", faults(&pair));
    let connections = pair.happenings().filter(|what| matches!(what, Happening::Opened)).count();
    assert!(connections > 10, "{connections}");
}

#[test]
fn a_stranger_on_the_connection_does_not_log_its_device_out() {
    let mut pair = head_end("", "");
    let mut hand = Hand::new(&mut pair, "shanghai");
    hand.log_in(&mut pair);
    hand.envelope.gateway = "02".into();
    let data = hand.data(DataKind::Report, &report(Origin::Live, 1, 1));
    assert!(hand.send(&mut pair, &data).is_empty());
    hand.envelope.gateway = "01".into();
    let data = hand.data(DataKind::Report, &report(Origin::Live, 2, 1));
    assert_eq!(hand.send(&mut pair, &data).len(), 1);
    assert_eq!(pair.kept.len(), 1);
}

#[test]
fn the_device_side_begins_again_when_the_head_end_has_forgotten_it() {
    let mut pair = head_end("", "");
    attach(&mut pair, find("shanghai").expect("a dialect"), "connections = 'per-message'\nreconnect_max_s = 2.0");
    // The request is answered, then the line is down until the challenge is forgotten.
    pair.wire = Wire { cut_up_after: Some(300), ..Wire::default() };
    pair.run_for(Duration::from_millis(100));
    pair.reachable = false;
    pair.run_for(Duration::from_mins(2));
    pair.reachable = true;
    pair.wire = Wire::default();
    pair.offer(Ticket(0), report(Origin::Live, 0, 1));
    pair.run_for(Duration::from_secs(30));
    assert_eq!(pair.delivered(), [Ticket(0)], "{:#?}", pair.log);
    // A login that has run out is made anew, too.
    pair.reachable = false;
    pair.run_for(Duration::from_mins(11));
    pair.reachable = true;
    pair.offer(Ticket(1), report(Origin::Live, 1, 1));
    pair.run_for(Duration::from_mins(1));
    assert_eq!(pair.delivered(), [Ticket(0), Ticket(1)], "{:#?}", pair.log);
}
