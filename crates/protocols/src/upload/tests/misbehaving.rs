//! Senders that lie, break off, or break the rules.

use loggerhead_model::EventKind;

use super::{closed, faults, head_end, kept, long, received};
use crate::CloseReason;
use crate::pair::{Fate, Happening};

/// A listener that answers is sent this, and nothing else comes of it than a line with these words.
#[track_caller]
fn check(bytes: &[u8], words: &str) {
    for listener in ["reply = true\nportable = true", "portable = true"] {
        let mut pair = head_end(listener);
        let line = pair.connect();
        pair.send(line, bytes);
        let said = received(&mut pair, line);
        assert!(!pair.is_open(line) && kept(&pair).is_empty(), "{words}");
        let expected = if listener.contains("reply") { said.contains(words) } else { said.is_empty() };
        assert!(expected && (said.is_empty() || said.ends_with("}\n")), "{words}: {said:?}");
    }
}

#[test]
fn a_head_that_cannot_be_ends_the_conversation() {
    check(&[0, 0, 0, 0], "a head of 0 bytes");
    check(&(-1_i32).to_le_bytes(), "-1 is no length");
    check(&65_536_i32.to_le_bytes(), "65536 is no length");
    check(b"GET / HTTP/1.0\r\n\r\n", "no object begins");
    check(&long("{\"filename\": \"a\"}"), "filesize is missing");
    check(&long("{\"filename\": \"a\", \"filesize\": -1}"), "expected u64");
    check(&long("{\"filename\": \"a\", \"filesize\": 1e3}"), "expected u64");
    check(&long("{\"filename\": \"a\", \"filesize\": 99999999999999999999}"), "expected u64");
    check(&long("{\"filename\": \"a\", \"filesize\": 1, \"filesize\": 2}"), "stands twice");
    check(&long("[]"), "expected an object");
    check(&long("{\"filename\": \"a\", \"filesize\": 1, \"id\": \"x\", \"offset\": 2}"), "beyond the 1 bytes");
}

#[test]
fn a_name_that_cannot_be_ends_the_conversation_and_a_path_is_only_a_name() {
    for name in ["", "..", "a/..", "..\\\\..", "a\\u0000b", "a\\nb", "\\u202egpj.exe", "NUL", "com1.txt", "a?"] {
        check(format!("{{\"filename\": \"{name}\", \"filesize\": 1}}x").as_bytes(), "name");
    }
    check(format!("{{\"filename\": \"{}\", \"filesize\": 1}}x", "a".repeat(256)).as_bytes(), "256 bytes is over 255");
    let mut pair = head_end("");
    let line = pair.connect();
    for name in ["../../etc/passwd", "/etc/shadow", "C:\\\\boot.ini", "D:.jpg"] {
        pair.send(line, format!("{{\"filename\": \"{name}\", \"filesize\": 1}}x").as_bytes());
    }
    assert_eq!(kept(&pair), ["camera passwd x", "camera shadow x", "camera boot.ini x", "camera .jpg x"]);
}

#[test]
fn a_file_that_breaks_off_is_not_kept_and_nothing_goes_on_for_ever() {
    let mut pair = head_end("");
    let line = pair.connect();
    pair.send(line, &[&long("{\"filename\": \"a\", \"filesize\": 1000000}")[..], b"abc"].concat());
    pair.hang_up(line);
    assert_eq!(faults(&pair), ["damaged: the sender ended after 3 of 1000000 bytes of a file"]);
    assert_eq!(closed(&pair), Some(&CloseReason::PeerDone));
    assert!(kept(&pair).is_empty());
    let line = pair.connect();
    pair.send(line, b"{\"filename\"");
    pair.hang_up(line);
    assert_eq!(faults(&pair).last().map(String::as_str), Some("damaged: the sender ended within a head"));
}

#[test]
fn more_bytes_than_were_said_are_the_head_of_the_next_file() {
    let mut pair = head_end("reply = true");
    let line = pair.connect();
    pair.send(line, &[&long("{\"filename\": \"a\", \"filesize\": 3}")[..], b"abcdefgh"].concat());
    assert_eq!(kept(&pair), ["camera a abc"]);
    assert!(received(&mut pair, line).contains("no object begins") && !pair.is_open(line));
}

#[test]
fn a_file_that_is_not_kept_is_told_to_who_asked_and_to_operators() {
    let mut pair = head_end("");
    pair.fates.extend([Fate::Fail]);
    let line = pair.connect();
    pair.send(line, &[&long("{\"filename\": \"a\", \"filesize\": 3, \"reply\": true}")[..], b"abc"].concat());
    assert!(received(&mut pair, line).contains("\"error\":\"failed\""));
    assert!(!pair.is_open(line) && kept(&pair).is_empty());
    let sum = "0".repeat(64);
    let line = pair.connect();
    let head = format!("{{\"filename\": \"a\", \"filesize\": 3, \"sha256\": \"{sum}\", \"reply\": true}}");
    pair.send(line, &[&long(&head)[..], b"abc"].concat());
    assert!(received(&mut pair, line).contains("\"error\":\"wrong-sum\""));
    let told =
        pair.happenings().filter(|what| matches!(what, Happening::Event(event) if event.kind == EventKind::File));
    assert_eq!(told.count(), 2);
    // The sum of another program: `printf abc | md5sum`.
    let line = pair.connect();
    let head = "{\"filename\": \"a\", \"filesize\": 3, \"md5\": \"900150983cd24fb0d6963f7d28e17f72\"}";
    pair.send(line, &[&long(head)[..], b"abc"].concat());
    assert_eq!(kept(&pair), ["camera a abc"]);
}

#[test]
fn who_asks_for_answers_is_told_what_is_wrong_with_its_head() {
    for (keys, words) in [
        ("\"filename\": \"..\", \"reply\": true", "the name of a file"),
        ("\"filename\": \"a\", \"offset\": 4, \"reply\": true", "beyond the 3 bytes"),
        ("\"filename\": \"a\", \"device\": \"\", \"id\": \"x\", \"resume\": true", "the name of a device"),
    ] {
        let mut pair = head_end("");
        let line = pair.connect();
        pair.send(line, &long(&format!("{{\"filesize\": 3, {keys}}}")));
        let told = pair.take_received(line);
        let (length, json) = told.split_first_chunk().expect("an answer");
        assert_eq!(u32::from_le_bytes(*length) as usize, json.len());
        let told = String::from_utf8_lossy(json);
        assert!(told.contains("\"error\":\"malformed\"") && told.contains(words), "{told}");
        assert!(!pair.is_open(line) && kept(&pair).is_empty());
    }
}

#[test]
fn who_is_not_known_sends_nothing() {
    let mut pair = head_end("reply = true");
    pair.enrolled.clear();
    let line = pair.connect();
    pair.send(line, &[&long("{\"filename\": \"a\", \"filesize\": 3, \"reply\": true}")[..], b"abc"].concat());
    assert_eq!(received(&mut pair, line), "", "not even why");
    assert_eq!(closed(&pair), Some(&CloseReason::Refused));
    assert!(kept(&pair).is_empty());
}
