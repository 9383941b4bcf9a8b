//! What clients and relays really send: each is explained as its text says.

use super::explain::explain;
use crate::Explain;
use crate::vectors::{bytes_of, digits_of, vectors};

#[track_caller]
fn check(hex: &str, expected: &str) {
    let bytes = bytes_of(hex);
    let found =
        crate::vectors::render(&bytes, &explain(&Explain { bytes: &bytes, ..Explain::default() }), Some(digits_of));
    assert!(found == expected, "the text should be\n{found}");
}

vectors! { check:
    curl_by_name_with_a_login "curl-socks5-hostname-login"
    curl_by_name_of_version_4 "curl-socks4a"
    curl_by_address_of_version_4 "curl-socks4"
    ncat_without_a_login "ncat-socks5"
    a_relay_answers_a_login "relay-login"
    a_relay_answers_version_4 "relay-socks4"
}
