//! What senders send: each is explained as its text says.

use super::explain::explain;
use crate::Explain;
use crate::vectors::{bytes_of, render, vectors};

#[track_caller]
fn check(hex: &str, expected: &str) {
    let bytes = bytes_of(hex);
    let explanation = explain(&Explain { bytes: &bytes, ..Explain::default() });
    let found = render(&bytes, &explanation, Some(|bytes| bytes.escape_ascii().to_string()));
    assert!(found == expected, "the text should be\n{found}");
}

vectors! { check:
    the_form_with_a_length "long"
    the_form_without_one "short"
    an_hmac_before_a_file "proof-hmac"
    hex_digits_before_a_file "proof-hex"
    our_own_keys "keys"
    a_file_that_breaks_off "broken"
    a_size_that_cannot_be "negative"
}
