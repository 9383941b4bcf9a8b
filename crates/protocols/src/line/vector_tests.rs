//! Lines of real conversations: each is explained as its text says.

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
    the_replies_in_gb2312 "replies-gb2312"
    the_replies_in_gb2312_with_full_width_punctuation "replies-gb2312-full-width"
    the_replies_in_utf_8 "replies-utf-8"
    the_requests_of_a_conversation "requests"
}
