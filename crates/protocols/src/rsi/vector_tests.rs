//! States and answers as robots and their peers write them, each explained as its text says.

use super::explain::explain;
use crate::Explain;
use crate::vectors::{bytes_of, vectors};

#[track_caller]
fn check(hex: &str, expected: &str) {
    let bytes = bytes_of(hex);
    let explanation = explain(&Explain { bytes: &bytes, ..Explain::default() });
    let found = crate::vectors::render(&bytes, &explanation, Some(|bytes| bytes.escape_ascii().to_string()));
    assert!(found == expected, "the text should be\n{found}");
}

vectors! { check:
    a_state "state"
    an_answer_with_corrections "answer"
    what_is_none_between_documents "damaged"
}
