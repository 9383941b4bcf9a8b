//! `demo`: a whole head-end to look at, on a terminal and elsewhere.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{DIALECTS, Signal, exported, loggerhead, run, signal};

/// A demonstration with a logger of each dialect.
fn arguments(data: &Path) -> [String; 5] {
    ["demo", "--loggers", "6", "--data", &data.display().to_string()].map(str::to_owned)
}

/// Checks that nothing of a demonstration is left but its readings.
fn check_left(data: &Path) {
    run(&["verify", "--data", &data.display().to_string()]);
    assert!(!exported(data).is_empty());
    assert!(!data.join("api.sock").exists(), "its socket is gone");
}

/// Reads what a process prints until there is a text that `is_enough`.
fn read_until(out: &mut impl std::io::Read, is_enough: impl Fn(&str) -> bool) -> String {
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !is_enough(&text) {
        let length = out.read(&mut piece).expect("it prints");
        assert!(length > 0, "it ended with {text}");
        text.push_str(&String::from_utf8_lossy(piece.get(..length).unwrap_or_default()));
    }
    text
}

fn interrupted(mut demo: Child, mut out: impl std::io::Read) -> String {
    signal(demo.id(), Signal::SIGINT);
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("it prints text");
    let status = demo.wait().expect("it is ours");
    assert!(status.success(), "{status}: {rest}");
    rest
}

#[test]
fn on_a_terminal_a_table_is_drawn_until_ctrl_c() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let data = directory.path().join("data");
    let program = loggerhead().get_program().to_string_lossy().into_owned();
    // A shell that stays between would die of the typed Ctrl-C and tell its own end instead of the program's.
    let line = format!("exec '{program}' {}", arguments(&data).join(" "));
    // Gives it a terminal; what is typed there comes from a pipe.
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let mut demo = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`script` of util-linux");
    let mut out = demo.stdout.take().expect("it is piped");
    let drawn = read_until(&mut out, |text| text.contains("6 of 6 devices connected") && text.ends_with("stops.\r\n"));
    let table = drawn.rsplit("\x1b[H\x1b[2J").next().expect("a split has a part");
    assert!(drawn.matches("\x1b[H\x1b[2J").count() > 0, "it draws over what it drew: {drawn:?}");
    assert!(table.contains("DEVICE") && table.contains("LAST (1/1, kWh)"), "{table}");
    for dialect in DIALECTS {
        let row = table.lines().find(|line| line.contains(dialect));
        assert!(row.is_some_and(|row| row.contains("connected-fresh")), "{dialect}: {table}");
    }
    let mut typed = demo.stdin.take().expect("it is piped");
    typed.write_all(b"\x03").expect("a terminal reads");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("it prints text");
    let status = demo.wait().expect("it is ours");
    assert!(status.success(), "{status}: {rest}");
    assert!(rest.contains("acknowledged, 0 not"), "it ends with the sum: {rest}");
    check_left(&data);
}

#[test]
fn elsewhere_lines_or_json_are_printed_until_a_signal() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let data = directory.path().join("data");
    let start = |more: &[&str]| {
        let mut demo = loggerhead();
        demo.args(arguments(&data)).args(more).stdout(Stdio::piped());
        let mut demo = demo.spawn().expect("the binary was built for this test");
        let out = BufReader::new(demo.stdout.take().expect("it is piped"));
        (demo, out)
    };
    let (demo, mut out) = start(&[]);
    let said = read_until(&mut out, |text| text.contains("6 of 6 devices connected"));
    assert!(!said.contains('\x1b') && said.contains("export readings --data"), "{said}");
    // On this machine alone a client of MQTT needs no name.
    let broker =
        said.lines().find_map(|line| line.split_once(" mqtt sub ")?.1.split_once("--to ")).expect("it says where");
    let broker = ["--to", broker.1];
    run(&[&["mqtt", "pub", "readings/1/power", "21.50", "--qos", "1"], &broker[..]].concat());
    let heard = run(&[&["mqtt", "sub", "loggerhead/+/readings/#", "--count", "1"], &broker[..]].concat());
    assert!(heard.starts_with("loggerhead/"), "{heard}");
    assert!(interrupted(demo, out).contains("acknowledged, 0 not"));
    check_left(&data);

    // The same store again.
    let (demo, mut out) = start(&["--json"]);
    let mut line = String::new();
    out.read_line(&mut line).expect("it prints");
    let table: Value = serde_json::from_str(&line).expect("a line is JSON");
    assert!(table.get("devices").is_some_and(Value::is_array), "{table}");
    let rest = interrupted(demo, out);
    let sum: Value = serde_json::from_str(rest.lines().last().unwrap_or_default()).expect("the last line is JSON");
    assert_eq!(sum.get("packets_unacknowledged"), Some(&Value::from(0)), "{sum}");
    check_left(&data);
}
