//! Documents as robots write them: each is explained as its text says, and written again with the same values.

use super::explain::explain;
use super::frame::{Cut, Cutter, Framing};
use super::message::{read, write};
use crate::Explain;
use crate::vectors::{bytes_of, vectors};

/// All that can be said about bytes.
pub(super) fn render(bytes: &[u8], settings: Option<&toml::Table>) -> String {
    let explanation = explain(&Explain { bytes, settings, ..Explain::default() });
    crate::vectors::render(bytes, &explanation, Some(|bytes| bytes.escape_ascii().to_string()))
}

/// Explains a vector as its text says; documents are written again with the same values.
#[track_caller]
fn check(hex: &str, expected: &str) {
    let bytes = bytes_of(hex);
    let found = render(&bytes, None);
    assert!(found == expected, "the text should be\n{found}");
    let mut cutter = Cutter::new(Framing::default());
    cutter.push(&bytes);
    while let Some(cut) = cutter.cut() {
        let Cut::Frame(frame) = cut else { continue };
        let document = read(&frame).expect("a document");
        let values: Vec<(String, &str)> = document.values().map(|(path, value)| (path.into_owned(), value)).collect();
        let values: Vec<(&str, &str)> = values.iter().map(|(path, value)| (path.as_str(), *value)).collect();
        assert_eq!(write(&values).as_bytes(), &*frame);
    }
}

vectors! { check:
    a_position_and_a_status "status"
    a_stream_of_states "state-stream"
    what_is_whole_among_damage "damaged"
}

#[test]
fn raw_elements_are_explained_by_the_configuration() {
    let file = "<ETHERNETKRL><SEND><RAW><ELEMENT Tag='Line' EOS='13,10'/></RAW></SEND></ETHERNETKRL>";
    let settings = format!("configuration = \"{file}\"").parse().expect("TOML");
    let expected = "0..5 element: raw, 3 bytes\n    abc\\r\\n\n5..6 begun (odd): 1 bytes of a document or element that \
                    has not ended\n    d\n\nmessage in 0..3\nabc\n";
    assert_eq!(render(b"abc\r\nd", Some(&settings)), expected);
}
