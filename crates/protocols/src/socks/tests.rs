//! Whole conversations in memory: versions, logins, rules, pieces, and what was sent ahead.

use std::fmt::Write as _;
use std::time::Duration;

use loggerhead_model::{DeviceId, Identity, Learnt};

use super::PROTOCOL;
use super::message::{pack, unpack};
use crate::pair::{Enrolled, Happening, Pair};
use crate::relay::Unreached;
use crate::vectors::{bytes_of, digits_of};

/// A listener with these settings, one user `alice` with the password `secret`, and one `gate` whose name is enough.
fn pair(settings: &str) -> Pair {
    let settings = settings.parse().expect("TOML");
    let acceptor = (PROTOCOL.acceptor)(&settings, &mut std::iter::empty()).expect("settings that can be");
    let mut pair = Pair::new(acceptor);
    let enrolled = |device: &str, secret: &[u8], name_is_enough| Enrolled {
        device: DeviceId::new(device).expect("short"),
        secret: secret.to_vec(),
        cipher_is_enough: name_is_enough,
        settings: toml::Table::new().into(),
        learnt: Learnt::new(),
    };
    pair.enrolled.insert(Identity::new("alice").expect("short"), enrolled("alice", b"secret", false));
    pair.enrolled.insert(Identity::new("gate").expect("short"), enrolled("gate", b"other", true));
    for (name, address) in [("example.org", "1.1.1.1"), ("evil.example", "127.0.0.1"), ("six.example", "2606:4700::1")]
    {
        pair.names.insert(name.to_owned(), address.parse().expect("an address"));
    }
    pair
}

/// What the head-end says and does when a peer sends these bytes, in pieces of `piece`.
fn talk(pair: &mut Pair, bytes: &[u8], piece: usize) -> String {
    let connection = pair.connect();
    pair.wire.piece_bytes_max = piece;
    let from = pair.log.len();
    pair.send(connection, bytes);
    pair.run_for(Duration::from_mins(1));
    let mut text = String::new();
    for entry in pair.log.iter().skip(from).filter(|entry| entry.connection == connection) {
        let line = match &entry.what {
            Happening::Sent(loggerhead_model::Direction::Out, bytes) => match std::str::from_utf8(bytes) {
                Ok(said) if said.starts_with("HTTP") => "http".to_owned(),
                Ok(_) | Err(_) => digits_of(bytes).replace(' ', ""),
            },
            Happening::Reached(address) => format!("reached {address}"),
            Happening::Joined(_) => "joined".to_owned(),
            Happening::Closed(reason) => format!("closed: {reason}"),
            Happening::Event(event) => format!("{}: {}", event.kind.word(), event.text),
            Happening::Accepted(device) => format!("accepted {device}"),
            Happening::Refused(..) => "refused".to_owned(),
            Happening::Sent(..)
            | Happening::Opened
            | Happening::Broken(_)
            | Happening::Asked(_)
            | Happening::Committed(..)
            | Happening::FileKept(_)
            | Happening::Lost(_)
            | Happening::Fault(_)
            | Happening::Learnt(_)
            | Happening::ExpectWithin(_)
            | Happening::Ordered(..)
            | Happening::Command(..)
            | Happening::Delivered(_)
            | Happening::Left(_) => continue,
        };
        writeln!(text, "{line}").expect("memory");
    }
    if let Some(relayed) = pair.relayed(connection) {
        writeln!(text, "relayed {:?}", String::from_utf8_lossy(relayed)).expect("memory");
    }
    text
}

/// The same however the bytes come.
#[track_caller]
fn check(settings: &str, hex: &str, expected: &[&str]) {
    let bytes = bytes_of(hex);
    let pieces = if expected.contains(&"http") { vec![usize::MAX] } else { vec![usize::MAX, 1, 2, 3, 7] };
    for piece in pieces {
        let said = talk(&mut pair(settings), &bytes, piece);
        let said: Vec<&str> = said.lines().collect();
        assert_eq!(said, expected, "{hex} in pieces of {piece}");
    }
}

/// `example.org:80` by name, and `GET /` behind it.
const NAME: &str = "0501 00 03 0b 6578616d706c652e6f7267 0050 474554202f";

#[test]
fn version_5_without_a_login() {
    let done = "05000001c00002021267";
    check(
        "login = 'nobody'",
        &format!("05 02 00 02 {NAME}"),
        &["0500", "reached 1.1.1.1:80", done, "joined", "relayed \"GET /\""],
    );
    // By address, with a reserved byte that is not 0; by IPv6.
    check(
        "login = 'either'",
        "05 01 00 05 01 ff 01 01010101 01bb",
        &["0500", "reached 1.1.1.1:443", done, "joined", "relayed \"\""],
    );
    check(
        "login = 'either'",
        "05 01 00 05 01 00 04 26064700000000000000000000001111 01bb",
        &[
            "0500",
            "reached [2606:4700::1111]:443",
            "050000040000000000000000000000000000000112 67".replace(' ', "").as_str(),
            "joined",
            "relayed \"\"",
        ],
    );
    // An address written as a name is one.
    check(
        "login = 'nobody'",
        "05 01 00 05 01 00 03 07 312e312e312e31 0050",
        &["0500", "reached 1.1.1.1:80", done, "joined", "relayed \"\""],
    );
}

#[test]
fn version_5_with_a_login_and_whatever_is_wrong_is_answered_alike() {
    let in_good_order = format!("05 02 00 02 01 05 616c696365 06 736563726574 {NAME}");
    check(
        "",
        &in_good_order,
        &[
            "0502",
            "accepted alice",
            "0100",
            "reached 1.1.1.1:80",
            "05000001c00002021267",
            "joined",
            "relayed \"GET /\"",
        ],
    );
    let refused = ["0502", "refused", "0101", "closed: refused"];
    check("", "05 01 02 01 05 616c696365 06 736563726575", &refused);
    check("", "05 01 02 01 05 616c696366 06 736563726574", &refused);
    check("", "05 01 02 01 05 616c696365 00", &refused);
    check("", "05 01 02 01 00 06 736563726574", &["0502", "0101", "closed: a user whose name cannot be one"]);
    check("", "05 01 00", &["05ff", "closed: none of the methods that are offered will do"]);
    check("", "05 00", &["05ff", "closed: none of the methods that are offered will do"]);
    check("login = 'nobody'", "05 01 02", &["05ff", "closed: none of the methods that are offered will do"]);
    check("", "05 01 02 02 05", &["0502", "closed: no whole request in time"]);
}

#[test]
fn version_4_and_4a() {
    let granted = "005a1267c0000202";
    check(
        "login = 'either'",
        "04 01 0050 01010101 00 474554",
        &["reached 1.1.1.1:80", granted, "joined", "relayed \"GET\""],
    );
    check(
        "login = 'nobody'",
        "04 01 0050 00000001 626f62 00 6578616d706c652e6f7267 00 474554",
        &["reached 1.1.1.1:80", granted, "joined", "relayed \"GET\""],
    );
    // IPv6 is reached for who speaks version 4, but cannot be told to it.
    check(
        "login = 'nobody'",
        "04 01 0050 00000001 00 7369782e6578616d706c65 00",
        &["reached [2606:4700::1]:80", "005a126700000000", "joined", "relayed \"\""],
    );
    let rejected = "005b000000000000";
    check("", "04 01 0050 01010101 616c696365 00 474554", &["refused", rejected, "closed: refused"]);
    check(
        "",
        "04 01 0050 01010101 67617465 00 474554",
        &["accepted gate", "reached 1.1.1.1:80", granted, "joined", "relayed \"GET\""],
    );
    check("", "04 01 0050 01010101 00", &[rejected, "closed: version 4 without a user, where everybody has to log in"]);
    let long = format!("04 01 0050 01010101 {}", "61".repeat(256));
    check("login = 'nobody'", &long, &[rejected, "closed: a text over 255 bytes"]);
    check(
        "login = 'nobody'",
        "04 01 0050 00000001 00 00",
        &[rejected, "closed: a name that is empty or has characters that no name has"],
    );
}

#[test]
fn a_connection_from_elsewhere_is_told_twice() {
    let settings = "login = 'nobody'\ncommands = ['bind']";
    check(
        settings,
        "05 01 00 05 02 00 01 01010101 0014 616263",
        &["0500", "reached 1.1.1.1:20", "05000001c00002021267", "05000001c00002030014", "joined", "relayed \"abc\""],
    );
    check(
        settings,
        "04 02 0014 01010101 00",
        &["reached 1.1.1.1:20", "005a1267c0000202", "005a0014c0000203", "joined", "relayed \"\""],
    );
}

#[test]
fn datagrams_are_of_version_5() {
    let settings = "login = 'nobody'\ncommands = ['udp']";
    check(settings, "05 01 00 05 03 00 01 00000000 0000", &["0500", "05000001c00002021267", "joined", "relayed \"\""]);
    check(settings, "04 03 0000 00000000 00", &["005b000000000000", "closed: command 3; 1, 2 and 3 are known"]);
    let datagram = bytes_of("0000 00 03 01 61 0035 6162");
    let (to, content) = unpack(&datagram).expect("a datagram");
    assert_eq!((to.to_string().as_str(), content), ("a:53", &b"ab"[..]));
    let mut packed = Vec::new();
    pack("192.0.2.1:53".parse().expect("an address"), b"ab", &mut packed);
    assert_eq!(packed, bytes_of("0000 00 01 c0000201 0035 6162"));
    for wrong in ["", "0000", "0000 01 01 c0000201 0035 6162", "0000 00 02 c0000201 0035", "0000 00 01 c00002"] {
        assert!(unpack(&bytes_of(wrong)).is_none(), "{wrong}");
    }
}

#[test]
fn what_cannot_be_asked_for_is_answered_as_the_standard_says() {
    let ask = |rest: &str| format!("05 01 00 05 {rest}");
    let nowhere = |code: &str| format!("05{code}0001000000000000");
    let open = "login = 'nobody'";
    check(open, &ask("09 00 01 01010101 0050"), &["0500", &nowhere("07"), "closed: command 9; 1, 2 and 3 are known"]);
    check(
        open,
        &ask("02 00 01 01010101 0050"),
        &["0500", "refused: bind 1.1.1.1:80: the listener does not do that", &nowhere("07"), "closed: refused"],
    );
    check(
        open,
        &ask("01 00 02 01010101 0050"),
        &["0500", &nowhere("08"), "closed: type of address 2; 1, 3 and 4 are known"],
    );
    check(
        open,
        &ask("01 00 03 03 610062 0050"),
        &["0500", &nowhere("01"), "closed: a name that is empty or has characters that no name has"],
    );
    check(
        open,
        &ask("01 00 03 00 0050"),
        &["0500", &nowhere("01"), "closed: a name that is empty or has characters that no name has"],
    );
    check(
        open,
        &ask("01 00 03 03 612e62 0050"),
        &["0500", &nowhere("04"), "relay: connect a.b:80: the name leads nowhere", "closed: the name leads nowhere"],
    );
    check(
        open,
        "05 01 00 04 01 00 01 01010101 0050",
        &["0500", &nowhere("01"), "closed: request of version 4 after 5"],
    );
    check(open, "06 01 00", &["closed: version 6; 4 and 5 are spoken here"]);
    check(
        open,
        "474554202f20485454502f312e310d0a",
        &["http", "closed: text, as of HTTP, where SOCKS begins with 4 or 5"],
    );
    check(open, "", &["closed: no whole greeting in time"]);
    check(open, "05 02 00", &["closed: no whole greeting in time"]);
}

#[test]
fn forged_requests_are_refused() {
    let forbidden = |wanted: &str| {
        vec![
            "0500".to_owned(),
            "0502000100 0000000000".replace(' ', ""),
            format!("refused: connect {wanted}: not allowed by the rules"),
            "closed: not allowed by the rules".to_owned(),
        ]
    };
    for (address, wanted) in [
        ("01 7f000001", "127.0.0.1:80"),
        ("01 a9fea9fe", "169.254.169.254:80"),
        ("01 0a000001", "10.0.0.1:80"),
        ("01 00000000", "0.0.0.0:80"),
        ("04 00000000000000000000000000000001", "[::1]:80"),
        ("04 00000000000000000000ffff7f000001", "[::ffff:127.0.0.1]:80"),
        ("04 00000000000000000000ffffa9fea9fe", "[::ffff:169.254.169.254]:80"),
        ("04 0064ff9b0000000000000000a9fea9fe", "[64:ff9b::a9fe:a9fe]:80"),
        ("04 20027f00000100000000000000000000", "[2002:7f00:1::]:80"),
        ("04 fe800000000000000000000000000001", "[fe80::1]:80"),
        ("04 fd000ec2000000000000000000000254", "[fd00:ec2::254]:80"),
        ("03 0c 6576696c2e6578616d706c65", "evil.example:80"),
        ("03 09 3132372e302e302e31", "127.0.0.1:80"),
        ("03 05 5b3a3a315d", "[::1]:80"),
    ] {
        let expected = forbidden(wanted);
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let said = talk(&mut pair("login = 'nobody'"), &bytes_of(&format!("05 01 00 05 01 00 {address} 0050")), 9);
        assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{address}");
    }
}

#[test]
fn why_nobody_was_reached_is_said() {
    for (why, code) in [
        (Unreached::Failed, "01"),
        (Unreached::Login, "01"),
        (Unreached::NoProxy, "01"),
        (Unreached::Garbled, "01"),
        (Unreached::Full, "02"),
        (Unreached::Network, "03"),
        (Unreached::Host, "04"),
        (Unreached::Refused, "05"),
        (Unreached::TimedOut, "06"),
    ] {
        let mut pair = pair("login = 'nobody'");
        pair.unreached = Some(why);
        let said = talk(&mut pair, &bytes_of("05 01 00 05 01 00 01 01010101 0050"), 1);
        assert!(said.contains(&format!("\n05{code}0001000000000000\n")), "{why:?}: {said}");
        assert!(said.ends_with(&format!("closed: {}\n", why.word())), "{said}");
    }
}

#[test]
fn both_sides_of_the_protocol_understand_each_other() {
    for (settings, device, reached) in [
        ("", "identity = 'alice'\nsecret = 'text:secret'\nhost = 'example.org'", true),
        ("", "identity = 'alice'\nsecret = 'text:wrong'", false),
        ("login = 'nobody'", "host = '2606:4700::1'", true),
        ("login = 'nobody'", "version = '4'\nhost = 'example.org'", true),
        ("login = 'nobody'", "version = '4'\nhost = '10.0.0.1'", false),
    ] {
        let mut pair = pair(settings);
        let session = (PROTOCOL.device)(&device.parse().expect("TOML"), pair.opening()).expect("settings that can be");
        pair.attach(session);
        pair.run_for(Duration::from_secs(1));
        let joined = |what: &Happening| {
            let Happening::Event(event) = what else { return false };
            event.text.starts_with("joined with")
        };
        assert_eq!(pair.happenings().any(joined), reached, "{device}: {:?}", pair.log);
    }
}

#[test]
fn settings_that_cannot_be_are_named() {
    for (settings, key) in [
        ("login = 'no'", "login"),
        ("reach_s = 0", "reach_s"),
        ("idle_s = 100000", "idle_s"),
        ("relays_per_user_max = 0", "relays_per_user_max"),
        ("commands = ['connect', 'listen']", "commands[1]"),
        ("[[rule]]\naction = 'permit'", "rule[0].action"),
        ("[[rule]]\naction = 'allow'\nto = ['10.0.0.0/33']", "rule[0].to[0]"),
        ("[[rule]]\naction = 'allow'\nports = ['90-80']", "rule[0].ports[0]"),
        ("[[rule]]\naction = 'allow'\nfrom = ['example.org']", "rule[0].from[0]"),
        ("[[rule]]\naction = 'allow'\noutgoing = 'eth0'", "rule[0].outgoing"),
    ] {
        let made = (PROTOCOL.acceptor)(&settings.parse().expect("TOML"), &mut std::iter::empty());
        assert_eq!(made.err().map(|error| error.key).as_deref(), Some(key), "{settings}");
    }
}
