//! The inspector: what is pasted, what is dropped.

use std::fs;

use serde_json::json;

use super::{assert_quiet, head_end, signed_in};
use crate::support::{Recorder, simulate};

/// A request as a logger sent it.
const REQUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocols/src/logger/vectors/request-national.hex");
const KEY: &str = "text:0000000000123456";
/// Drops a file on the page.
const DROP: &str = "(async ([bytes]) => {
    const held = new DataTransfer();
    held.items.add(new File([new Uint8Array(bytes)], 'loggers.pcap'));
    document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: held }));
})(args)";

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
