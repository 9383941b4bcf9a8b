//! Conversations of both sides in memory.

use std::time::Duration;

use loggerhead_model::{
    CommandId, CommandState, DeviceId, Identity, Learnt, Order, Origin, Quality, Reading, Report, ReportBuilder,
    Ticket, Timestamp, Value,
};

use super::PROTOCOL;
use crate::pair::{Enrolled, Fate, Happening, Pair};
use crate::{Carrier, CloseReason, Input, Opening, Output};

const SECOND: Duration = Duration::from_secs(1);
const HELLO: &str = "{\"device\":\"shed\",\"secret\":\"S\"}\n";

/// A head-end that knows the device `shed` by its secret, and the one at 192.0.2.1 by its address.
fn head_end(listener: &str, device: &str) -> Pair {
    let acceptor = (PROTOCOL.acceptor)(&listener.parse().expect("TOML"), &mut std::iter::empty()).expect("settings");
    let mut pair = Pair::new(acceptor);
    for (identity, cipher_is_enough) in [("shed", false), ("192.0.2.1", true)] {
        let enrolled = Enrolled {
            device: DeviceId::new(identity).expect("a name"),
            secret: b"S".to_vec(),
            cipher_is_enough,
            settings: device.parse::<toml::Table>().expect("TOML").into(),
            learnt: Learnt::new(),
        };
        pair.enrolled.insert(Identity::new(identity).expect("a name"), enrolled);
    }
    pair
}

fn attach(pair: &mut Pair, secret: &str) {
    let opening = pair.opening();
    let settings = format!("identity = 'shed'\nsecret = '{secret}'").parse().expect("TOML");
    pair.attach((PROTOCOL.device)(&settings, opening).expect("settings"));
}

fn report(number: u64) -> Report {
    let mut builder = ReportBuilder::new(Origin::Live, 0, 2);
    builder.meter("1", "").expect("room");
    for function in ["power", "energy"] {
        let reading = Reading {
            meter: "1",
            function,
            coding: "",
            code: "",
            quality: Quality::Good,
            measured_at: Timestamp::from_unix_ms(i64::try_from(number).expect("small")),
            value: Value::parse("675.170000"),
            attributes: "",
        };
        builder.reading(&reading).expect("room");
    }
    builder.finish()
}

/// Every committed reading: device, meter, function, time, value.
fn kept(pair: &Pair) -> Vec<String> {
    let line = |device: &DeviceId, reading: Reading<'_>| {
        let (meter, function, value) = (reading.meter, reading.function, reading.value);
        format!("{device} {meter} {function} {} {value}", reading.measured_at)
    };
    let readings = pair.kept.iter().flat_map(|records| {
        records.report.iter().flat_map(Report::readings).map(|reading| line(&records.device, reading))
    });
    readings.collect()
}

fn received(pair: &mut Pair, connection: usize) -> String {
    String::from_utf8(pair.take_received(connection).to_vec()).expect("text")
}

fn faults(pair: &Pair) -> Vec<String> {
    let fault = |what: &Happening| if let Happening::Fault(fault) = what { Some(fault.to_string()) } else { None };
    pair.happenings().filter_map(fault).collect()
}

#[test]
fn a_day_of_a_device_that_numbers_its_lines() {
    let mut pair = head_end("", "");
    attach(&mut pair, "text:S");
    for number in 1..=40 {
        pair.offer(Ticket(number), report(number));
    }
    pair.run_for(SECOND);
    assert_eq!(pair.delivered(), (1..=40).map(Ticket).collect::<Vec<_>>());
    assert_eq!(kept(&pair).len(), 80);
    assert_eq!(kept(&pair)[0], "shed 1 power 1970-01-01T00:00:00.001Z 675.170000");
    assert!(pair.kept.iter().all(|records| records.frame.is_none()), "no secret is in a frame");
    assert!(faults(&pair).is_empty(), "{:?}", faults(&pair));
}

#[test]
fn a_device_prints_lines_of_the_form_that_is_set() {
    let numbered = "patterns = ['^P=(?<power>[0-9.]+) #(?<sequence>[0-9]+) by (?<device>\\w+)/(?<secret>\\w+)$']";
    let plain = "patterns = ['^(?<time>\\S+) (?<power>[0-9.]+)$']\nidentity = 'shed'\nanswer = \"ok\\n\"";
    for (listener, printed) in [
        (numbered, "secret = 'text:S'\nline = 'P={power} #{sequence} by {device}/{secret}'"),
        (plain, "line = '{time} {power}'\nanswer = 'ok'"),
    ] {
        let mut pair = head_end(listener, "");
        if let Some(shed) = pair.enrolled.get_mut(&Identity::new("shed").expect("a name")) {
            shed.cipher_is_enough = true;
        }
        let opening = pair.opening();
        let settings = format!("identity = 'shed'\n{printed}").parse().expect("TOML");
        pair.attach((PROTOCOL.device)(&settings, opening).expect("settings"));
        for number in 1..=40 {
            pair.offer(Ticket(number), report(number));
        }
        pair.run_for(SECOND);
        assert_eq!(pair.delivered(), (1..=40).map(Ticket).collect::<Vec<_>>(), "{printed}");
        assert_eq!(kept(&pair).len(), 40, "{:?}", faults(&pair));
        assert!(kept(&pair)[0].starts_with("shed  power "), "{:?}", kept(&pair));
    }
    for (settings, key) in [
        ("line = '{power}'", "line"),
        ("line = \"a {sequence}\\nb\"", "line"),
        ("answer = ''", "answer"),
        ("secret = 'S'", "secret"),
    ] {
        let mut pair = head_end("", "");
        let error = (PROTOCOL.device)(&settings.parse().expect("TOML"), pair.opening()).err();
        assert_eq!(error.map(|error| error.key).as_deref(), Some(key), "{settings}");
    }
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
fn a_break_at_any_byte_loses_nothing() {
    for cut in 0..400 {
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
        }
    }
}

#[test]
fn a_conversation_does_not_depend_on_pieces() {
    let script: String = std::iter::once(HELLO.to_owned())
        .chain((1..5).map(|n| format!("{{\"sequence\":{n},\"p\":{n}}}\r\n\nno JSON\n")))
        .chain(std::iter::once(format!("{{\"a\":\"{}\"}}\n{{\"sequence\":9,\"p\":9}}\n", "x".repeat(100))))
        .collect();
    let run = |piece: usize| {
        let mut pair = head_end("line_bytes_max = 64", "");
        pair.wire.piece_bytes_max = piece;
        let line = pair.connect();
        pair.send(line, script.as_bytes());
        (kept(&pair), received(&mut pair, line), faults(&pair))
    };
    let whole = run(usize::MAX);
    assert_eq!(whole.0.len(), 5, "{whole:?}");
    assert_eq!(whole.1, "OK 1\nOK 2\nOK 3\nOK 4\nOK 9\n");
    assert_eq!(whole.2.len(), 5, "{whole:?}");
    for piece in 1..64 {
        assert_eq!(run(piece), whole, "pieces of {piece}");
    }
}

#[test]
fn a_byte_damaged_anywhere_holds_no_conversation_up() {
    for place in 0..60 {
        let mut pair = head_end("", "");
        let line = pair.connect();
        pair.send(line, HELLO.as_bytes());
        let mut bytes = b"{\"sequence\":1,\"power\":12.5}\n".repeat(3);
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 0x15;
        }
        bytes.extend_from_slice(b"{\"sequence\":9,\"power\":1}\n");
        pair.send(line, &bytes);
        assert!(received(&mut pair, line).ends_with("OK 9\n"), "damaged at {place}");
        assert!(pair.is_open(line));
    }
}

#[test]
fn a_device_is_known_by_what_it_says_or_by_its_listener_or_by_its_address() {
    let cases = [
        ("", HELLO, Some("shed")),
        ("", "{\"device\":\"shed\",\"secret\":\"T\",\"a\":1}\n", None),
        ("", "{\"device\":\"shed\",\"a\":1}\n", None),
        ("", "{\"device\":\"other\",\"secret\":\"S\"}\n", None),
        ("", "{\"a\":1}\n", Some("192.0.2.1")),
        ("identity = 'shed'", "{\"secret\":\"S\"}\n", Some("shed")),
        ("identity = 'shed'", "{\"a\":1}\n", None),
        ("device = 'head/id'\nsecret = 'key'", "{\"head\":{\"id\":\"shed\"},\"key\":\"S\"}\n", Some("shed")),
    ];
    for (listener, line, known) in cases {
        let mut pair = head_end(listener, "");
        let connection = pair.connect();
        pair.send(connection, line.as_bytes());
        let device = pair.kept.first().map(|records| records.device.as_str());
        assert_eq!(device, known, "{line}");
        assert_eq!(pair.is_open(connection), known.is_some());
        assert_eq!(received(&mut pair, connection), "", "who is refused learns nothing");
    }
}

#[test]
fn a_line_of_another_device_is_dropped_and_counted() {
    let mut pair = head_end("", "");
    let line = pair.connect();
    pair.send(line, HELLO.as_bytes());
    pair.send(line, b"{\"device\":\"192.0.2.1\",\"a\":1}\n{\"device\":\"shed\",\"a\":2}\n");
    assert_eq!(kept(&pair), ["shed  a 2026-01-01T00:00:00.001Z 2"]);
    assert_eq!(faults(&pair).len(), 1, "{:?}", faults(&pair));
}

#[test]
fn patterns_and_channels_say_what_is_a_reading() {
    let own = "patterns = ['^(?<t>[-0-9.]+);(?<h>[0-9.]+);(?<time>[0-9.]+)$', '^(?<function>\\w+)=(?<value>.*)$']\n\
               ignore = ['^#']\nclock = 'unix_s'\nchannels = { t = '1/temperature', h = 'humidity' }\nanswer = '.'";
    let mut pair = head_end("", own);
    let line = pair.connect();
    pair.send(line, b"# ready\r\n21.50;40;1767225600.5\r\npump=on\r\nwhat?\r\n");
    let expected = [
        "192.0.2.1 1 temperature 2026-01-01T00:00:00.5Z 21.50",
        "192.0.2.1  humidity 2026-01-01T00:00:00.5Z 40",
        "192.0.2.1  pump 2026-01-01T00:00:00Z on",
    ];
    assert_eq!(kept(&pair), expected);
    assert_eq!(received(&mut pair, line), "..", "an answer without a number follows every stored line");
    assert_eq!(faults(&pair), ["malformed: a line that no pattern fits"]);
    assert_eq!(
        pair.kept.first().and_then(|records| records.frame.as_ref()).map(|frame| &*frame.bytes),
        Some(&b"21.50;40;1767225600.5"[..])
    );
}

#[test]
fn several_readings_of_one_line_without_times_have_times_of_their_own() {
    let mut pair = head_end("", "");
    let line = pair.connect();
    pair.send(
        line,
        b"[{\"meter\":\"1\",\"function\":\"p\",\"value\":1},{\"meter\":\"1\",\"function\":\"p\",\"value\":2}]\n",
    );
    let expected = ["192.0.2.1 1 p 2026-01-01T00:00:00Z 1", "192.0.2.1 1 p 2026-01-01T00:00:00.001Z 2"];
    assert_eq!(kept(&pair), expected);
    pair.send(line, b"{\"time\":\"noon\",\"a\":1}\n");
    assert_eq!(faults(&pair), ["malformed: \"noon\" is no time of the clock that is set"]);
    assert_eq!(kept(&pair).len(), 3, "what it measured is kept all the same");
}

#[test]
fn a_line_ends_with_its_datagram_and_with_the_end_of_the_stream() {
    let mut pair = head_end("", "");
    let line = pair.connect();
    pair.send(line, b"{\"a\":1}");
    assert!(kept(&pair).is_empty());
    pair.hang_up(line);
    pair.run_for(SECOND);
    assert_eq!(kept(&pair), ["192.0.2.1  a 2026-01-01T00:00:00Z 1"]);

    let acceptor = (PROTOCOL.acceptor)(&toml::Table::new(), &mut std::iter::empty()).expect("settings");
    let (now, opening) = (pair.now(), Opening { carrier: Carrier::Datagrams, ..pair.opening() });
    let mut session = acceptor.open(now, opening);
    session.handle(now, Input::Bytes(b"{\"a\":1}")).expect("a line");
    assert!(matches!(session.poll(), Output::Ask(_)), "a datagram needs no end of line");
}

#[test]
fn one_who_says_nothing_or_nothing_right_is_not_waited_for() {
    let mut pair = head_end("patterns = ['^(?<a>1)$']\nignore = ['']", "");
    let silent = pair.connect();
    let babbling = pair.connect();
    pair.send(babbling, b"x\ny\n");
    pair.run_for(SECOND * 6);
    assert!(!pair.is_open(silent));
    assert!(pair.is_open(babbling));
    pair.run_for(SECOND * 5);
    assert!(!pair.is_open(babbling), "it has not said who it is");

    let mut pair = head_end("", "");
    let line = pair.connect();
    pair.send(line, HELLO.as_bytes());
    pair.send(line, "no JSON\n".repeat(256).as_bytes());
    assert!(pair.is_open(line));
    pair.send(line, b"no JSON\n");
    assert!(!pair.is_open(line));
}

#[test]
fn nothing_is_asked_of_a_device_without_a_protocol() {
    let mut pair = head_end("", "");
    let line = pair.connect();
    pair.send(line, HELLO.as_bytes());
    pair.command(CommandId(1), Order::Control { lines: Vec::new() });
    let failed = |what: &Happening| matches!(what, Happening::Command(CommandId(1), CommandState::Failed(_)));
    assert!(pair.happenings().any(failed));
    assert_eq!(received(&mut pair, line), "");
}

#[test]
fn a_newer_connection_takes_over() {
    let mut pair = head_end("", "");
    let first = pair.connect();
    pair.send(first, HELLO.as_bytes());
    pair.tell(first, Input::Shutdown(CloseReason::TakenOver));
    assert!(!pair.is_open(first));
}
