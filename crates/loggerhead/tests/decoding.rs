//! `decode`: what was said on a wire, explained to its last byte.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{DIALECTS, HeadEnd, LOGGERS, Recorder, assert_fails, json, loggerhead, outcome, run, simulate};

/// The cipher key of simulated loggers and of the head-end under test.
const KEY: [&str; 2] = ["--aes-key", "text:0000000000123456"];
/// A request as a logger sent it.
const REQUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocols/src/logger/vectors/request-national.hex");

/// The texts of all messages that `from` says in what `decode --json` gives; everybody's where nobody is named.
fn messages<'a>(decoded: &'a Value, says: &dyn Fn(Option<&str>) -> bool) -> Vec<&'a str> {
    let conversations = decoded.get("conversations").and_then(Value::as_array).expect("a list of conversations");
    let fields = conversations.iter().filter_map(|conversation| conversation.get("fields")?.as_array()).flatten();
    let said = fields.filter(|field| says(field.get("from").and_then(Value::as_str)));
    said.filter_map(|field| field.get("messages")?.as_array()).flatten().filter_map(Value::as_str).collect()
}

#[test]
fn a_recorded_conversation_of_each_dialect_is_explained_in_both_directions() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    for (gateway, dialect) in (1..).zip(DIALECTS) {
        let recorder = Recorder::start(&head_end.address());
        let gateway: i32 = gateway;
        let who = ["--dialect", dialect, "--first-gateway", &gateway.to_string()];
        simulate(recorder.address(), &[&who[..], &["--packets", "2", "--backlog", "1", "--meters", "1"]].concat());
        for (name, bytes) in [("pcap", recorder.pcap()), ("pcapng", recorder.pcapng())] {
            let file = directory.path().join(format!("{dialect}.{name}"));
            std::fs::write(&file, bytes).expect("a directory of this test");
            check_conversation(dialect, &file, &head_end.address());
        }
    }
    assert!(head_end.stop().success());
}

fn check_conversation(dialect: &str, file: &Path, head_end: &str) {
    let file = file.to_str().expect("a path of this test");
    let text = run(&[&["decode", "--pcap", file], &KEY[..]].concat());
    assert!(text.contains("everything is right"), "{dialect}: {text}");
    let decoded = json(&[&["decode", file, "--json"], &KEY[..]].concat());
    let by_device = messages(&decoded, &|from| from != Some(head_end));
    let by_head_end = messages(&decoded, &|from| from == Some(head_end));
    let packets = by_device.iter().filter(|message| message.contains("<meter id="));
    assert_eq!(packets.count(), 3, "{dialect}: {by_device:#?}");
    assert!(!by_head_end.is_empty(), "{dialect}: the head-end said something: {text}");
    let bytes_explained: u64 = fields(&decoded).filter_map(|field| field.get("length")?.as_u64()).sum();
    let hex = fields(&decoded).filter_map(|field| field.get("hex")?.as_str()).map(str::len).sum::<usize>();
    assert_eq!(usize::try_from(bytes_explained), Ok(hex / 2), "{dialect}: a field shows the bytes that it has");
}

fn fields(decoded: &Value) -> impl Iterator<Item = &Value> {
    let conversations = decoded.get("conversations").and_then(Value::as_array).expect("a list of conversations");
    conversations.iter().filter_map(|conversation| conversation.get("fields")?.as_array()).flatten()
}

#[test]
fn hex_a_file_and_standard_input_are_explained_alike() {
    let digits = std::fs::read_to_string(REQUEST).expect("a vector");
    let of_file = run(&[&["decode", REQUEST], &KEY[..]].concat());
    assert!(of_file.contains("<type>request</type>") && of_file.contains("everything is right"), "{of_file}");
    // The vector begins with a remark, which ends with its line.
    assert_eq!(run(&[&["decode", "logger", "--hex", &digits], &KEY[..]].concat()), of_file);

    let mut decode = loggerhead();
    decode.args(["decode", "-"]).args(KEY).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut decode = decode.spawn().expect("the binary was built for this test");
    let mut stdin = decode.stdin.take().expect("it is piped");
    stdin.write_all(digits.as_bytes()).expect("it reads");
    drop(stdin);
    let output = decode.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), of_file);
}

#[test]
fn a_stored_frame_is_explained_again() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    simulate(&head_end.address(), &["--packets", "2", "--meters", "1", "--dialect", "zhejiang"]);
    let data = head_end.data();
    assert!(head_end.stop().success());
    let data = data.to_str().expect("a path of this test");
    let frames = run(&["export", "frames", "--data", data, "--format", "jsonl"]);
    let mut explained = 0;
    for line in frames.lines() {
        let frame: Value = serde_json::from_str(line).expect("a line is JSON");
        let hex = frame.get("bytes").and_then(Value::as_str).expect("a frame has bytes");
        let decoded = json(&["decode", "--json", "--hex", hex]);
        explained += messages(&decoded, &|_| true).iter().filter(|message| message.contains("<meter id=")).count();
    }
    assert_eq!(explained, 2, "{frames}");
}

#[test]
fn what_is_wrong_or_missing_is_told_by_the_exit_code() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let note = directory.path().join("note.txt");
    std::fs::write(&note, "no capture").expect("a directory of this test");
    let note = note.to_str().expect("a path of this test");
    let cases: [(&[&str], i32, &str); 7] = [
        (&["decode", "--hex", "0102030405"], 1, "garbage"),
        (&["decode", "--hex", "68681616 05000000 01000000 00 ffff 55aa55aa"], 1, "malformed"),
        (&["decode", "--hex", "686"], 2, "pairs of hex digits"),
        (&["decode"], 2, "--hex"),
        (&["decode", "--pcap", note], 2, "neither pcap nor pcapng"),
        (&["decode", "no-such-file"], 3, "no-such-file"),
        (&["decode", "no-protocol", note], 2, "no protocol"),
    ];
    for (arguments, code, words) in cases {
        assert_fails(arguments, code, words);
    }
}

#[test]
fn a_checksum_that_does_not_fit_is_wrong() {
    let decoded = json(&[&["decode", "--json", REQUEST], &KEY[..]].concat());
    let hex: String = fields(&decoded).filter_map(|field| field.get("hex")?.as_str()).collect();
    let (start, tail) = hex.split_at(hex.len() - "644155aa55aa".len());
    assert_eq!(tail, "644155aa55aa");
    let output = outcome(&[&["decode", "--hex", &format!("{start}644255aa55aa")], &KEY[..]].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("! crc"), "{said}");
}

#[test]
fn an_enciphered_frame_without_its_key_is_told_what_to_do() {
    let text = run(&["decode", REQUEST]);
    assert!(text.contains("--aes-key"), "{text}");
    let wrong = outcome(&["decode", REQUEST, "--aes-key", "text:6543210000000000"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", String::from_utf8_lossy(&wrong.stdout));
}
