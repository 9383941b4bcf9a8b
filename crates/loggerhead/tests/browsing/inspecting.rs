//! The inspector: what is pasted, what is dropped, one device live.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{assert_quiet, head_end, signed_in};
use crate::support::{Recorder, Simulation, outcome, simulate};

/// A request as a logger sent it.
const REQUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocols/src/logger/vectors/request-national.hex");
const KEY: &str = "text:0000000000123456";
/// Drops a file on the page.
const DROP: &str = "(async ([bytes]) => {
    const held = new DataTransfer();
    held.items.add(new File([new Uint8Array(bytes)], 'loggers.pcap'));
    document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: held }));
})(args)";

/// Where the protocols and their recorded bytes are.
const PROTOCOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocols/src");
/// Pastes digits and has them explained.
const PASTE: &str = "(([protocol, digits]) => {
    document.getElementById('result').replaceChildren();
    document.getElementById('protocol').value = protocol;
    document.getElementById('hex').value = digits;
    document.getElementById('inspect').requestSubmit();
    return Promise.resolve(true);
})(args)";
/// What stands in the table: each field's offset, bytes, name and meaning.
const ROWS: &str = "[...document.querySelectorAll('#result table.bytes tbody[data-judgement]')].map((body) =>
    [body.dataset.judgement, ...[...body.rows[0].cells].map((cell) => cell.textContent)])";
/// The newest packet that is shown.
const NEWEST: &str = "Math.max(0, ...[...document.querySelectorAll('#conversation details.packet')]
    .map((packet) => Number(packet.dataset.key) || 0))";
/// Most digits of a field that the page shows.
const DIGITS_MAX: usize = 2 * 4096;

/// The protocols that have recorded bytes, with the files of these.
fn recorded() -> Vec<(String, Vec<PathBuf>)> {
    let files = |folder: &Path| -> Vec<PathBuf> {
        let mut files: Vec<_> =
            fs::read_dir(folder).expect("a folder of the tree").flatten().map(|entry| entry.path()).collect();
        files.sort();
        files
    };
    let with_vectors = files(Path::new(PROTOCOLS)).into_iter().filter(|folder| folder.join("vectors").is_dir());
    let name = |folder: &Path| folder.file_name().and_then(|name| name.to_str()).expect("text").to_owned();
    let hex = |folder: &Path| {
        files(&folder.join("vectors"))
            .into_iter()
            .filter(|file| file.extension().is_some_and(|end| end == "hex"))
            .collect()
    };
    with_vectors.map(|folder| (name(&folder), hex(&folder))).collect()
}

/// The fields of what `decode` says of a file.
fn decoded(protocol: &str, file: &Path) -> Vec<Value> {
    let output = outcome(&["decode", protocol, file.to_str().expect("text"), "--json"]);
    let said: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{protocol} {}: {error}", file.display()));
    said.pointer("/conversations/0/fields").and_then(Value::as_array).expect("fields").clone()
}

#[test]
fn what_is_pasted_reads_as_with_decode_for_every_protocol() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    let browser = signed_in(&head_end, "viewer");
    browser.open("/inspector");
    let offered = browser.value("[...document.querySelectorAll('#protocol option')].map((option) => option.value)");
    let offered: BTreeSet<&str> = offered.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let recorded = recorded();
    assert_eq!(
        offered,
        recorded.iter().map(|(protocol, _)| protocol.as_str()).collect(),
        "every protocol of the table"
    );
    for (protocol, files) in &recorded {
        assert!(!files.is_empty(), "{protocol} has recorded bytes");
        for file in files {
            let name = file.display();
            let digits = fs::read_to_string(file).expect("a vector of the protocol");
            browser.promised(PASTE, &[json!(protocol), json!(digits)]);
            browser.wait("document.querySelector('#result table.bytes, #result .problem')");
            let rows = browser.value(ROWS);
            let rows = rows.as_array().expect("rows");
            let fields = decoded(protocol, file);
            assert_eq!(rows.len(), fields.len(), "{name}");
            for (row, field) in rows.iter().zip(&fields) {
                let text =
                    |value: &Value, at: &str| value.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
                let digits: String = text(row, "/2").split(" … ").next().expect("one").split_whitespace().collect();
                let expected = text(field, "/hex");
                assert_eq!(digits, expected.get(..DIGITS_MAX).unwrap_or(&expected), "{name}: {row}");
                let offset = field.get("offset").and_then(Value::as_u64).expect("a place");
                assert_eq!(text(row, "/1"), format!("{offset:08x}"), "{name}");
                assert_eq!(
                    (text(row, "/0"), text(row, "/3")),
                    (text(field, "/judgement"), text(field, "/name")),
                    "{name}"
                );
                let said =
                    field.get("messages").and_then(Value::as_array).expect("a list").iter().filter_map(Value::as_str);
                for words in said.chain([text(field, "/meaning").as_str()]) {
                    // A document's first line end is no part of what is shown.
                    assert!(text(row, "/4").contains(words.trim_start_matches('\n')), "{name}: {words:?} in {row}");
                }
            }
        }
    }
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}

#[test]
fn a_device_is_looked_for_among_several_and_followed() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    let load = ["--loggers", "2", "--meters", "1", "--rate", "4", "--seconds", "3600"];
    let mut simulation = Simulation::start(&head_end.address(), &load);
    simulation.wait_acknowledged(4);
    let browser = signed_in(&head_end, "viewer");
    browser.open("/inspector");
    browser.enter("#device", "330302d110\u{e007}");
    browser.wait_text("#choices", "330302D110-01");
    assert_eq!(browser.count("#choices li"), 3, "two that report and one of the configuration");
    browser.picture("inspector-several");
    browser.click("#choices a[href$='330302D110-02']");
    browser.wait(&format!("{NEWEST} > 0"));
    browser.wait("document.getElementById('connection').dataset.state === 'live'");
    let before = browser.value(NEWEST);
    browser.wait(&format!("{NEWEST} > {before}"));
    browser.wait_text("#conversation", "To the device");
    let answer = "document.querySelector('#conversation details[data-key^=said]')";
    browser.wait(&format!("{answer}.innerText.includes('330302D110/02')"));
    // What somebody opened stays open while others come, and what was opened as the newest closes.
    browser.value("window.opened = [...document.querySelectorAll('#conversation details')].at(3)");
    browser.value("window.opened.querySelector('summary').click()");
    let before = browser.value(NEWEST);
    browser.wait(&format!("{NEWEST} > {before}"));
    browser.wait("window.opened.open && document.querySelectorAll('#conversation details[open]').length === 2");
    browser.picture("inspector-followed");
    assert_eq!(browser.violations(), [""; 0]);

    browser.open("/inspector?device=330302D110%2F01");
    browser.wait(&format!("{NEWEST} > 0"));
    assert_eq!(browser.count("#choices"), 0, "a whole name is one device");
    browser.open("/inspector?device=nobody");
    browser.wait_text("#choices", "No device fits");
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}

#[test]
fn a_recorded_packet_is_explained_pasted_or_in_a_capture() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    let recorder = Recorder::start(&head_end.address());
    simulate(recorder.address(), &["--packets", "2", "--meters", "1"]);
    let browser = signed_in(&head_end, "viewer");
    browser.open("/inspector");
    let text = fs::read_to_string(REQUEST).expect("a vector of the protocol");
    let hex: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    browser.enter("#keys", KEY);
    browser.enter("#hex", &hex);
    browser.click("#inspect button");
    browser.wait_text("#result", "gateway_id");
    browser.wait_text("#result", "1100000140202");
    browser.wait_text("#result", "padding");
    browser.picture("inspector-pasted");
    assert!(!browser.text("#result").contains(KEY), "a key is not shown again");
    assert!(!browser.value("location.href").to_string().contains("0000000000123456"), "nor in the address");
    assert_eq!(browser.violations(), [""; 0]);

    browser.value("document.getElementById('hex').value = ''");
    browser.promised(DROP, &[json!(recorder.pcap())]);
    browser.wait_text("#result", "meter");
    browser.wait_text("#result", "127.0.0.1");
    browser.picture("inspector-dropped");
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}
