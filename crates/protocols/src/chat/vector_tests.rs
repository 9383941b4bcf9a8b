//! Bytes of both sides: each is explained as its text says.

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
    what_a_client_of_the_json_format_says "client"
    what_it_is_told "server"
    what_an_older_client_is_told "legacy-server"
}
