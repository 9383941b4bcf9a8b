//! Documents as robots write them: each is explained as its text says, and written again with the same values.

use std::fmt::Write as _;

use super::explain::explain;
use super::frame::{Cut, Cutter, Framing};
use super::message::{read, write};
use crate::{Explain, Judgement};

fn bytes_of(file: &str) -> Vec<u8> {
    let digits: Vec<u32> = file
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::chars)
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("a byte")).collect()
}

/// All that can be said about bytes.
pub(super) fn render(bytes: &[u8], settings: Option<&toml::Table>) -> String {
    let explanation = explain(&Explain { bytes, settings, ..Explain::default() });
    let mut text = String::new();
    let mut end = 0;
    for field in &explanation.fields {
        assert_eq!(field.range.start, end, "every byte belongs to one field");
        end = field.range.end;
        let judgement = match field.judgement {
            Judgement::Right => "",
            Judgement::Odd => " (odd)",
            Judgement::Wrong => " (wrong)",
        };
        let shown = bytes[field.range.clone()].escape_ascii().to_string();
        writeln!(text, "{:?} {}{judgement}: {}\n    {shown}", field.range, field.name, field.meaning).expect("memory");
    }
    assert_eq!(end, bytes.len(), "every byte belongs to a field");
    for (range, message) in &explanation.messages {
        write!(text, "\nmessage in {range:?}\n{message}").expect("memory");
    }
    text
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

macro_rules! vectors {
    ($($name:ident $file:literal)*) => {
        $(#[test]
        fn $name() {
            check(include_str!(concat!("vectors/", $file, ".hex")), include_str!(concat!("vectors/", $file, ".txt")));
        })*
    };
}

vectors! {
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
