//! Lines as devices print them, each explained as its text says.

use super::explain::explain;
use crate::Explain;
use crate::vectors::{bytes_of, vectors};

/// The patterns with which the lines of text are read.
const PATTERNS: &str =
    "patterns = ['^(?<meter>\\w+) T=(?<temperature>[-0-9.]+)C H=(?<humidity>[0-9.]+)%$']\nignore = ['^#']";

fn check_by(settings: &str, hex: &str, expected: &str) {
    let (bytes, settings) = (bytes_of(hex), settings.parse().expect("TOML"));
    let explanation = explain(&Explain { bytes: &bytes, settings: Some(&settings), ..Explain::default() });
    let found = crate::vectors::render(&bytes, &explanation, Some(|bytes| bytes.escape_ascii().to_string()));
    assert!(found == expected, "the text should be\n{found}");
}

#[track_caller]
fn check(hex: &str, expected: &str) {
    check_by("", hex, expected);
}

#[track_caller]
fn check_text(hex: &str, expected: &str) {
    check_by(PATTERNS, hex, expected);
}

vectors! { check:
    a_document_with_a_number "json"
    several_at_once_and_what_is_none "json-list"
}

vectors! { check_text:
    a_line_that_a_pattern_fits_and_one_that_none_does "text"
}
