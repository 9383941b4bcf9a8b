//! Requests and responses as clients and proxies write them, each explained as its text says.

use super::explain::explain;
use crate::Explain;
use crate::vectors::{bytes_of, digits_of, vectors};

#[track_caller]
fn check(hex: &str, expected: &str) {
    let bytes = bytes_of(hex);
    let explanation = explain(&Explain { bytes: &bytes, ..Explain::default() });
    let found = crate::vectors::render(&bytes, &explanation, Some(digits_of));
    assert!(found == expected, "the text should be\n{found}");
}

vectors! { check:
    what_a_client_asks "requests"
    what_proxies_answer "responses"
    what_a_client_asks_beside_variables "services"
    what_proxies_answer_to_that "served"
}
