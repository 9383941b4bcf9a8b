//! Secrets that we make ourselves: what a cookie, a token and a link say. Only their hashes are kept.

use std::fmt::Write as _;

use loggerhead_store::{HASH_BYTES, Hash};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// As many random bytes as the hash has: beyond all trying, so a plain hash is enough.
const SECRET_BYTES: usize = HASH_BYTES;
/// Begins every token, so that one that was published by mistake is found by a search.
pub(super) const TOKEN_START: &str = "lgh_";

/// Text that opens something. Wiped when dropped, never printed.
pub(crate) struct OneSecret(Zeroizing<String>);

impl OneSecret {
    /// Makes one that nobody has.
    pub(super) fn new(start: &str) -> Self {
        let bytes: Zeroizing<[u8; SECRET_BYTES]> = Zeroizing::new(rand::random());
        Self(Zeroizing::new(format!("{start}{}", hex(bytes.as_slice()))))
    }

    /// The text, for the one answer that shows it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub(super) fn hash(&self) -> Hash {
        hash(&self.0)
    }
}

/// What is kept of a secret.
pub(super) fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

/// What the pages of a sign-in send back with every change: whoever cannot read a page cannot know it, and it does not
/// open anything without the cookie.
pub(super) fn csrf(secret: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(b"csrf:");
    digest.update(secret.as_bytes());
    hex(&digest.finalize())
}

/// Whether two texts are the same; takes the same time wherever they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Bytes as digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a text takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{OneSecret, TOKEN_START, csrf, hash};

    #[test]
    fn no_secret_comes_twice_and_neither_hash_tells_it() {
        let (one, other) = (OneSecret::new(TOKEN_START), OneSecret::new(TOKEN_START));
        assert!(one.expose().starts_with(TOKEN_START) && one.expose().len() == TOKEN_START.len() + 64);
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.hash(), hash(one.expose()));
        assert_ne!(csrf(one.expose()), super::hex(&one.hash()), "what pages see opens nothing");
    }
}
