//! Commands of whole conversations: each is explained as its text says.

use super::explain::explain;
use crate::Explain;
use crate::vectors::{bytes_of, render, vectors};

#[track_caller]
fn check(hex: &str, expected: &str) {
    let bytes = &bytes_of(hex);
    let found = render(bytes, &explain(&Explain { bytes, ..Explain::default() }), None);
    assert!(found == expected, "the text should be\n{found}");
}

vectors! { check:
    a_conversation_of_an_app_in_gbk "app-gbk"
    a_conversation_of_an_app_in_utf_8 "app-utf-8"
}
