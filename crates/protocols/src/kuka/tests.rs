//! Conversations of both sides in memory.

use std::time::Duration;

use loggerhead_model::{
    CommandId, CommandState, ControlLine, DeviceId, Direction, Identity, Learnt, Order, Origin, Quality, Reading,
    Report, ReportBuilder, Ticket, Timestamp, Value,
};

use super::PROTOCOL;
use crate::pair::{Enrolled, Fate, Happening, Pair};
use crate::{Carrier, CloseReason, FaultKind, Input};

const SECOND: Duration = Duration::from_secs(1);
/// A document as the README advises, without readings.
const HELLO: &str = "<Robot><Identity>R1</Identity><Secret>S</Secret></Robot>";

/// A head-end that knows a robot by its secret, and one by its address.
fn head_end(listener: &str, device: &str) -> Pair {
    let acceptor = (PROTOCOL.acceptor)(&listener.parse().expect("TOML"), &mut std::iter::empty()).expect("settings");
    let mut pair = Pair::new(acceptor);
    for (name, secret, needs_none) in [("R1", "S", false), ("192.0.2.1", "", true)] {
        let enrolled = Enrolled {
            device: DeviceId::new(name).expect("a name"),
            secret: secret.as_bytes().to_vec(),
            cipher_is_enough: needs_none,
            settings: device.parse::<toml::Table>().expect("TOML").into(),
            learnt: Learnt::new(),
        };
        pair.enrolled.insert(Identity::new(name).expect("a name"), enrolled);
    }
    pair
}

fn attach(pair: &mut Pair, secret: &str) {
    let settings = format!("identity = 'R1'\nsecret = '{secret}'").parse().expect("TOML");
    let opening = pair.opening();
    pair.attach((PROTOCOL.device)(&settings, opening).expect("settings"));
}

fn report(number: u64) -> Report {
    let mut builder = ReportBuilder::new(Origin::Live, 0, 0);
    builder.meter("Robot", "").expect("room");
    for function in ["AxisAct/@A1", "Override"] {
        let text = format!("{number}.5");
        let reading = Reading {
            meter: "Robot",
            function,
            coding: "",
            code: "",
            quality: Quality::Good,
            measured_at: Timestamp::from_unix_ms(1_767_225_600_000 + i64::try_from(number).expect("small")),
            value: Value::parse(&text),
            attributes: "",
        };
        builder.reading(&reading).expect("room");
    }
    builder.finish()
}

/// The committed readings, a line each, without packets that came twice.
fn kept(pair: &Pair) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for records in &pair.kept {
        for reading in records.report.iter().flat_map(Report::readings) {
            let line = format!(
                "{} {} {} {} {}",
                records.device, reading.meter, reading.function, reading.measured_at, reading.value
            );
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

fn received(pair: &mut Pair, connection: usize) -> String {
    String::from_utf8(pair.take_received(connection).to_vec()).expect("text")
}

fn faults(pair: &Pair) -> Vec<String> {
    let fault = |what: &Happening| if let Happening::Fault(fault) = what { Some(fault.to_string()) } else { None };
    pair.happenings().filter_map(fault).collect()
}

fn closed(pair: &Pair) -> Option<&CloseReason> {
    pair.happenings().rev().find_map(|what| if let Happening::Closed(reason) = what { Some(reason) } else { None })
}

#[test]
fn a_robot_reports_and_is_answered_after_the_commit() {
    let mut pair = head_end("", "");
    attach(&mut pair, "text:S");
    pair.run_for(SECOND);
    for number in 1..=40 {
        pair.offer(Ticket(number), report(number));
    }
    pair.run_for(SECOND);
    assert_eq!(pair.delivered(), (1..=40).map(Ticket).collect::<Vec<_>>());
    assert_eq!(kept(&pair).len(), 80);
    assert_eq!(kept(&pair)[0], "R1 Robot AxisAct/@A1 2026-01-01T00:00:00.001Z 1.5");
    let first = pair.kept[0].frame.as_ref().expect("a frame").bytes.clone();
    let first = String::from_utf8(first.to_vec()).expect("text");
    assert!(first.starts_with("<Robot><Identity>R1</Identity><Secret>***</Secret><Sequence>1</Sequence>"), "{first}");
    assert!(faults(&pair).is_empty());
}

#[test]
fn ack_waits_for_commit() {
    let mut pair = head_end("", "");
    pair.fate = Fate::Hold;
    let line = pair.connect();
    pair.send(line, b"<Robot><Identity>R1</Identity><Secret>S</Secret><Sequence>7</Sequence><A>1</A></Robot>");
    pair.send(line, b"<Robot><Sequence>8</Sequence><A>2</A></Robot>");
    assert_eq!(received(&mut pair, line), "");
    pair.release(Fate::Commit);
    assert_eq!(received(&mut pair, line), "<Server><Stored>7</Stored></Server><Server><Stored>8</Stored></Server>");
    assert_eq!(pair.kept[1].frame.as_ref().expect("a frame").bytes, "<Robot><Sequence>8</Sequence><A>2</A></Robot>");
}

#[test]
fn what_the_store_lost_is_not_answered_and_comes_again() {
    let mut pair = head_end("", "");
    pair.fates.extend([Fate::Commit, Fate::Fail, Fate::Commit]);
    attach(&mut pair, "text:S");
    for number in 1..=3 {
        pair.offer(Ticket(number), report(number));
    }
    pair.run_for(SECOND);
    assert_eq!(pair.delivered(), [Ticket(1), Ticket(3)]);
    pair.run_for(SECOND * 60);
    assert_eq!(pair.delivered(), [Ticket(1), Ticket(3), Ticket(2)]);
    assert_eq!(kept(&pair).len(), 6);
}

#[test]
fn a_conversation_does_not_depend_on_pieces() {
    let script: String = std::iter::once(HELLO.to_owned())
        .chain((1..5).map(|n| format!("\r\n<Robot><Sequence>{n}</Sequence><P X=\"{n}\"></P><Bad></Robot>")))
        .chain((5..9).map(|n| {
            format!("<Robot><Sequence>{n}</Sequence><Time>2026-01-01T00:00:0{n}Z</Time><P X=\"{n}\"/></Robot>")
        }))
        .collect();
    let run = |piece: usize| {
        let mut pair = head_end("", "");
        pair.wire.piece_bytes_max = piece;
        let line = pair.connect();
        pair.send(line, script.as_bytes());
        (kept(&pair), received(&mut pair, line), faults(&pair))
    };
    let whole = run(usize::MAX);
    assert_eq!(whole.0.len(), 4, "{whole:?}");
    assert_eq!(whole.2.len(), 4, "{whole:?}");
    for piece in 1..64 {
        assert_eq!(run(piece), whole, "pieces of {piece}");
    }
}

#[test]
fn a_break_at_any_byte_loses_nothing() {
    let mut pair = head_end("", "");
    attach(&mut pair, "text:S");
    pair.offer(Ticket(1), report(1));
    pair.run_for(SECOND);
    let sent = |pair: &Pair| {
        let bytes = |what: &Happening| if let Happening::Sent(_, bytes) = what { bytes.len() } else { 0 };
        pair.happenings().map(bytes).max().unwrap_or(0)
    };
    for cut in 0..sent(&pair) {
        for up in [true, false] {
            let mut pair = head_end("", "");
            if up {
                pair.wire.cut_up_after = Some(cut);
            } else {
                pair.wire.cut_down_after = Some(cut);
            }
            attach(&mut pair, "text:S");
            pair.offer(Ticket(1), report(1));
            pair.run_for(SECOND * 20);
            pair.wire = crate::pair::Wire::default();
            pair.run_for(SECOND * 120);
            assert_eq!(pair.delivered(), [Ticket(1)], "cut after {cut}, up {up}");
            assert_eq!(kept(&pair).len(), 2);
        }
    }
}

#[test]
fn a_byte_damaged_anywhere_holds_no_conversation_up() {
    for place in 0..200 {
        let mut pair = head_end("", "");
        let line = pair.connect();
        pair.send(line, HELLO.as_bytes());
        let mut bytes = b"<Robot><Sequence>1</Sequence><P X=\"1\" Y=\"2\"></P><Mode>T1</Mode></Robot>".repeat(3);
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 0x15;
        }
        bytes.extend_from_slice(b"<Robot><Sequence>9</Sequence><P X=\"1\"></P></Robot>");
        pair.send(line, &bytes);
        assert!(received(&mut pair, line).ends_with("<Server><Stored>9</Stored></Server>"), "damaged at {place}");
        assert!(pair.is_open(line));
    }
}

#[test]
fn a_robot_is_known_by_what_it_says_or_by_its_address() {
    let cases = [
        ("<Robot><Identity>R1</Identity><Secret>S</Secret><A>1</A></Robot>", Some("R1")),
        ("<Robot><Identity>R1</Identity><Secret>T</Secret><A>1</A></Robot>", None),
        ("<Robot><Identity>R1</Identity><A>1</A></Robot>", None),
        ("<Robot><Identity>R2</Identity><Secret>S</Secret><A>1</A></Robot>", None),
        ("<Robot><A>1</A></Robot>", Some("192.0.2.1")),
    ];
    for (document, known) in cases {
        let mut pair = head_end("", "");
        let line = pair.connect();
        pair.send(line, document.as_bytes());
        let device = pair.kept.first().map(|records| records.device.as_str());
        assert_eq!(device, known, "{document}");
        assert_eq!(pair.is_open(line), known.is_some());
        assert_eq!(received(&mut pair, line), "", "who is refused learns nothing");
    }
}

#[test]
fn names_of_paths_are_settings() {
    let listener =
        "identity = 'M/@Name'\nsecret = 'M/@Key'\ntime = 'M/T'\nsequence = 'M/N'\nanswer = '<S><N>{sequence}</N></S>'";
    let mut pair = head_end(listener, "");
    let line = pair.connect();
    pair.send(line, b"<M Name=\"R1\" Key=\"S\"><T>2026-02-03T04:05:06Z</T><N>&lt;1</N><V>5</V></M>");
    assert_eq!(kept(&pair), ["R1 M V 2026-02-03T04:05:06Z 5"]);
    assert_eq!(received(&mut pair, line), "<S><N>&lt;1</N></S>");
}

#[test]
fn an_answer_without_a_number_follows_every_document() {
    let mut pair = head_end("answer = '<S/>'", "");
    let line = pair.connect();
    pair.send(line, b"<Robot><A>1</A></Robot><Robot/>");
    assert_eq!(received(&mut pair, line), "<S/><S/>");
    let mut pair = head_end("answer = ''", "");
    let line = pair.connect();
    pair.send(line, b"<Robot><Sequence>1</Sequence></Robot>");
    assert_eq!(received(&mut pair, line), "");
    assert_eq!(pair.kept.len(), 1);
}

#[test]
fn the_robots_own_configuration_says_what_is_a_reading() {
    let file = include_str!("vectors/configuration.txt");
    let listener = format!("events = ['Robot/Message']\nconfiguration = '''{file}'''");
    let mut pair = head_end(&listener, "");
    let line = pair.connect();
    let document = "<Robot><AxisAct A1=\"1\" A9=\"2\"></AxisAct><Frame X=\"3\" A=\"4\" S=\"5\"></Frame>\
                    <Message>door open</Message></Robot>";
    pair.send(line, document.as_bytes());
    pair.send(line, document.as_bytes());
    let lines = kept(&pair);
    let functions: Vec<_> = lines.iter().map(|line| line.rsplit_once("Robot ").expect("a meter").1).collect();
    // Two documents within a millisecond have times of their own.
    let expected =
        ["AxisAct/@A1 2026-01-01T00:00:00Z 1", "Frame/@X 2026-01-01T00:00:00Z 3", "Frame/@A 2026-01-01T00:00:00Z 4"];
    assert_eq!(functions[..3], expected);
    assert_eq!(functions[3], "AxisAct/@A1 2026-01-01T00:00:00.001Z 1");
    let events: Vec<_> = pair.kept.iter().flat_map(|records| &records.events).map(|event| &*event.text).collect();
    assert_eq!(events, ["Robot/Message: door open"], "a text that stays is told once");
    let unknown = "out-of-order: 2 values that the configuration does not name, as Robot/AxisAct/@A9";
    assert_eq!(faults(&pair), [unknown, unknown]);
}

#[test]
fn raw_elements_are_readings() {
    let file = "<ETHERNETKRL><SEND><RAW><ELEMENT Tag='Line' Type='STREAM' EOS='13,10'/></RAW></SEND></ETHERNETKRL>";
    let mut pair = head_end(&format!("configuration = \"{file}\""), "");
    let line = pair.connect();
    pair.send(line, b"12.5\r\nsome text\r\n\x01\xff\r\nrest");
    let values: Vec<_> = kept(&pair).iter().map(|line| line.split_once('Z').expect("a time").1.to_owned()).collect();
    assert_eq!(values, [" 12.5", " some text", " 01ff"]);
    assert!(kept(&pair)[0].starts_with("192.0.2.1  Line "));
}

#[test]
fn only_what_is_allowed_is_written_into_a_robot() {
    let order = |path: &str| Order::Control {
        lines: vec![ControlLine { meter: path.to_owned(), hex: "3530".to_owned(), timeout_ms: 0, retries: 0 }],
    };
    let mut pair = head_end("", "writable = ['Server/Override']");
    let line = pair.connect();
    pair.command(CommandId(1), order("Server/Override"));
    pair.send(line, HELLO.as_bytes());
    pair.command(CommandId(2), order("Server/Override"));
    pair.command(CommandId(3), order("Server/Speed"));
    assert_eq!(received(&mut pair, line), "<Server><Override>50</Override></Server>");
    let written = &pair.kept.last().expect("what was written is kept").frame.as_ref().expect("as it went out");
    assert_eq!(
        (written.direction, &*written.bytes),
        (Direction::Out, &b"<Server><Override>50</Override></Server>"[..])
    );
    let state =
        |what: &Happening| if let Happening::Command(id, state) = what { Some((id.0, state.clone())) } else { None };
    let states: Vec<_> = pair.happenings().filter_map(state).collect();
    assert!(matches!(&states[0], (1, CommandState::Failed(_))));
    assert!(matches!(&states[1..3], [(2, CommandState::Sent), (2, CommandState::Answered(_))]));
    assert!(matches!(&states[3], (3, CommandState::Failed(reason)) if reason.contains("writable")));
    // Nothing may be written unless somebody allowed it.
    let mut pair = head_end("", "");
    let line = pair.connect();
    pair.send(line, HELLO.as_bytes());
    pair.command(CommandId(1), order("Server/Override"));
    assert_eq!(received(&mut pair, line), "");
}

#[test]
fn silence_ends_a_connection() {
    let mut pair = head_end("expect_s = 5\nidle_s = 20", "");
    let mute = pair.connect();
    let stranger = pair.connect();
    let known = pair.connect();
    pair.send(stranger, b"<Robot");
    pair.send(known, HELLO.as_bytes());
    pair.run_for(SECOND * 19);
    assert!(!pair.is_open(mute) && !pair.is_open(stranger) && pair.is_open(known));
    assert!(pair.happenings().any(|what| matches!(what, Happening::ExpectWithin(span) if *span == SECOND * 5)));
    pair.run_for(SECOND);
    assert!(!pair.is_open(known));
    assert_eq!(closed(&pair), Some(&CloseReason::Silent(SECOND * 20)));
}

#[test]
fn endless_and_senseless_bytes_end_a_connection_of_nobody() {
    let mut pair = head_end("", "");
    let line = pair.connect();
    pair.send(line, format!("<R>{}", "x".repeat(70_000)).as_bytes());
    assert_eq!(faults(&pair).len(), 1);
    pair.send(line, &b"<a></b>".repeat(20));
    assert!(!pair.is_open(line));
    let broken =
        pair.happenings().find_map(|what| if let Happening::Broken(fault) = what { Some(fault.kind) } else { None });
    assert_eq!(broken, Some(FaultKind::Malformed));
    assert!(pair.kept.is_empty());
}

#[test]
fn a_flood_that_does_not_wait_is_bounded() {
    let mut pair = head_end("", "");
    pair.fate = Fate::Hold;
    let line = pair.connect();
    pair.send(line, HELLO.as_bytes());
    for _ in 0..100 {
        pair.send(line, &b"<Robot><A>1</A></Robot>".repeat(1_000));
    }
    let asked = pair.happenings().filter(|what| matches!(what, Happening::Asked(_))).count();
    assert_eq!(asked, 64, "the rest stays with the transport");
    pair.fate = Fate::Commit;
    pair.release(Fate::Commit);
    assert_eq!(pair.kept.len(), 100_001);
}

#[test]
fn an_end_waits_for_the_store() {
    for end in [Input::Eof, Input::Shutdown(CloseReason::Stopping)] {
        let mut pair = head_end("", "");
        pair.fate = Fate::Hold;
        let line = pair.connect();
        pair.send(line, b"<Robot><Sequence>1</Sequence></Robot>");
        pair.tell(line, end);
        pair.run_for(SECOND);
        assert!(pair.is_open(line));
        pair.release(Fate::Commit);
        assert_eq!(received(&mut pair, line), "<Server><Stored>1</Stored></Server>");
        assert!(!pair.is_open(line));
    }
    let mut pair = head_end("", "");
    let line = pair.connect();
    pair.send(line, HELLO.as_bytes());
    pair.tell(line, Input::Shutdown(CloseReason::TakenOver));
    assert!(!pair.is_open(line));
}

#[test]
fn a_newer_connection_takes_over() {
    let mut pair = head_end("", "");
    let older = pair.connect();
    pair.send(older, HELLO.as_bytes());
    let newer = pair.connect();
    pair.send(newer, HELLO.as_bytes());
    assert!(!pair.is_open(older) && pair.is_open(newer));
}

#[test]
fn over_datagrams_nothing_of_one_goes_on_in_the_next() {
    let mut pair = head_end("", "");
    pair.carrier = Carrier::Datagrams;
    let line = pair.connect();
    // The byte by which a peer makes itself known, two documents in one datagram, and half of one.
    pair.send(line, b"\0");
    pair.send(line, format!("{HELLO}<Robot><Sequence>1</Sequence><A>1</A></Robot>").as_bytes());
    pair.send(line, b"<Robot><Sequence>2</Sequence><A>2</A>");
    pair.send(line, b"<Robot><Sequence>3</Sequence><A>3</A></Robot>");
    pair.send(line, b"</Robot>");
    pair.send(line, b"<Other><Robot");
    pair.send(line, b"<Robot><Sequence>4</Sequence></Robot>");
    let answers = ["1", "3", "4"].map(|number| format!("<Server><Stored>{number}</Stored></Server>"));
    assert_eq!(received(&mut pair, line), answers.concat());
    let faults = faults(&pair);
    let parts = ["a datagram ends within", "a closing tag that does not fit", "a datagram ends within"];
    assert!(faults.len() == 3 && faults.iter().zip(parts).all(|(fault, part)| fault.contains(part)), "{faults:?}");
}

#[test]
fn a_robot_over_datagrams_sends_again_what_was_not_answered() {
    let mut pair = head_end("", "");
    pair.carrier = Carrier::Datagrams;
    pair.fates.extend([Fate::Commit, Fate::Fail]);
    attach(&mut pair, "text:S");
    for number in 1..=3 {
        pair.offer(Ticket(number), report(number));
    }
    pair.run_for(SECOND * 60);
    let mut delivered = pair.delivered();
    delivered.sort_unstable_by_key(|ticket| ticket.0);
    assert_eq!(delivered, [Ticket(1), Ticket(2), Ticket(3)]);
    assert_eq!(kept(&pair).len(), 6);
}

#[test]
fn raw_elements_over_datagrams_are_whole_in_each() {
    let check = |element: &str, datagrams: &[&[u8]], expected: &[&str]| {
        let file = format!("<ETHERNETKRL><SEND><RAW>{element}</RAW></SEND></ETHERNETKRL>");
        let mut pair = head_end(&format!("configuration = \"{file}\""), "");
        pair.carrier = Carrier::Datagrams;
        let line = pair.connect();
        for datagram in datagrams {
            pair.send(line, datagram);
        }
        let value = |line: &String| line.split_once("Z ").expect("a time").1.to_owned();
        assert_eq!(kept(&pair).iter().map(value).collect::<Vec<_>>(), expected);
        assert_eq!(faults(&pair).len(), 1, "the datagram that is not whole: {:?}", faults(&pair));
    };
    check("<ELEMENT Tag='B' Type='BYTE' Size='3'/>", &[b"abcdef", b"gh", b"ijk"], &["abc", "def", "ijk"]);
    check("<ELEMENT Tag='L' Type='STREAM' EOS='13,10'/>", &[b"1\r\n2\r\n", b"3", b"4\r\n"], &["1", "2", "4"]);
}
