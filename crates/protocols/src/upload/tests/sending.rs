//! Files that come as they should, or go on where they broke off.

use std::time::Duration;

use loggerhead_model::{Origin, Quality, Reading, Report, ReportBuilder, Ticket, Timestamp, Value};

use super::{PROTOCOL, faults, head_end, kept, long, received};
use crate::pair::{Fate, Pair};

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn both_forms_come_in_any_pieces_several_files_on_a_connection() {
    let files = [
        &long("{\"filename\": \"1.jpg\", \"filesize\": 3}")[..],
        b"abc",
        b"{\"filename\": \"\\u4f60.txt\", \"filesize\": 2}{}",
        b"{\"filename\": \"empty\", \"filesize\": 0}",
        &long("{\"filename\":\"1.jpg\",\"filesize\":1}"),
        b"x",
    ];
    for piece in [1, 2, 3, 5, 50, usize::MAX] {
        let mut pair = head_end("");
        pair.wire.piece_bytes_max = piece;
        let line = pair.connect();
        pair.send(line, &files.concat());
        pair.hang_up(line);
        let expected = ["camera 1.jpg abc", "camera \u{4f60}.txt {}", "camera empty ", "camera 1 (2).jpg x"];
        assert_eq!(kept(&pair), expected, "{piece}");
        assert!(faults(&pair).is_empty() && received(&mut pair, line).is_empty(), "nobody asked, nobody is answered");
    }
}

#[test]
fn an_answer_waits_for_the_disk_and_only_who_asked_gets_one() {
    let mut pair = head_end("");
    pair.fate = Fate::Hold;
    let line = pair.connect();
    pair.send(line, &[&long("{\"filename\": \"a\", \"filesize\": 3, \"reply\": true}")[..], b"abc"].concat());
    assert_eq!(received(&mut pair, line), "");
    pair.release(Fate::Commit);
    let answer = format!("{{\"name\":\"a\",\"sha256\":\"{ABC}\",\"status\":\"ok\"}}");
    assert_eq!(received(&mut pair, line).as_bytes(), long(&answer));
}

#[test]
fn a_file_that_broke_off_goes_on_where_it_did() {
    let mut pair = head_end("");
    let head =
        format!("{{\"filename\": \"a\", \"filesize\": 3, \"id\": \"x\", \"resume\": true, \"sha256\": \"{ABC}\"}}");
    let line = pair.connect();
    pair.send(line, &long(&head));
    assert_eq!(received(&mut pair, line).as_bytes(), long("{\"offset\":0}"));
    pair.send(line, b"ab");
    pair.hang_up(line);
    assert_eq!(faults(&pair), ["damaged: the sender ended after 2 of 3 bytes of a file"]);
    let line = pair.connect();
    pair.send(line, &long(&head));
    assert_eq!(received(&mut pair, line).as_bytes(), long("{\"offset\":2}"));
    pair.send(line, b"c");
    assert_eq!(kept(&pair), ["camera a abc"]);
    // The answer got lost: asked again, it says the same, and nothing is kept twice.
    let line = pair.connect();
    pair.send(line, &long(&head));
    let said = received(&mut pair, line);
    assert!(said.contains("{\"offset\":3}") && said.contains("\"status\":\"ok\""), "{said}");
    assert_eq!(kept(&pair), ["camera a abc"]);
}

#[test]
fn an_offset_is_believed_and_a_gap_refused() {
    let head = |offset: u64| format!("{{\"filename\": \"a\", \"filesize\": 3, \"id\": \"x\", \"offset\": {offset}}}");
    let mut pair = head_end("");
    let line = pair.connect();
    pair.send(line, &[&long(&head(0))[..], b"ax"].concat());
    pair.hang_up(line);
    // The sender goes back by one, and what it sent there is given up.
    let line = pair.connect();
    pair.send(line, &[&long(&head(1))[..], b"b"].concat());
    pair.hang_up(line);
    let line = pair.connect();
    pair.send(line, &[&long(&head(3))[..]].concat());
    assert!(!pair.is_open(line) && kept(&pair).is_empty(), "only two bytes are here");
    let line = pair.connect();
    pair.send(line, &[&long(&head(0))[..], b"abc"].concat());
    assert_eq!(kept(&pair), ["camera a abc"]);
}

fn report(number: u64) -> Report {
    let mut builder = ReportBuilder::new(Origin::Live, 0, 1);
    builder.meter("1", "").expect("room");
    let value = number.to_string();
    let reading = Reading {
        meter: "1",
        function: "1",
        coding: "",
        code: "",
        quality: Quality::Good,
        measured_at: Timestamp::from_unix_ms(1_767_225_600_000),
        value: Value::parse(&value),
        attributes: "",
    };
    builder.reading(&reading).expect("room");
    builder.finish()
}

fn attach(pair: &mut Pair) {
    let settings = "identity = 'T1'\nsecret = 'text:password'".parse().expect("TOML");
    let opening = pair.opening();
    pair.attach((PROTOCOL.device)(&settings, opening).expect("settings"));
}

#[test]
fn a_simulated_sender_sends_every_report_once_whatever_the_line_does() {
    let mut pair = head_end("");
    attach(&mut pair);
    pair.wire.cut_up_after = Some(250);
    pair.fates.extend([Fate::Fail, Fate::Commit, Fate::CommitAfter(Duration::from_secs(1))]);
    for number in 1..=5 {
        pair.offer(Ticket(number), report(number));
    }
    pair.run_for(Duration::from_mins(1));
    pair.wire.cut_up_after = None;
    pair.run_for(Duration::from_mins(10));
    assert_eq!(pair.delivered(), (1..=5).map(Ticket).collect::<Vec<_>>());
    let expected: Vec<_> = (1..=5).map(|n| format!("tower report-{n}.csv 1,1,2026-01-01T00:00:00Z,{n}\\n")).collect();
    assert_eq!(kept(&pair), expected);
}
