//! Passwords of cameras at rest: sealed, bound to the place where they stand.
//!
//! `nonce 12 | ChaCha20-Poly1305 of the password`, with the key of the note as what is authenticated beside it.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// What seals and opens.
pub(crate) struct Vault(LessSafeKey);

/// Random bytes, of which each is used once: the key holds for as long as the database does.
pub(crate) type NonceBytes = [u8; NONCE_LEN];

impl Vault {
    /// With a key that stands elsewhere.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key has the length of this cipher");
        Self(LessSafeKey::new(key))
    }

    /// Seals a password for a place.
    pub(crate) fn seal(&self, nonce: NonceBytes, place: &[u8], password: &str) -> Vec<u8> {
        let mut sealed = password.as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut sealed)
            .expect("a password is far shorter than what one nonce may seal");
        [&nonce[..], &sealed].concat()
    }

    /// Opens what was sealed for this place. `None`: another key, another place, or damage.
    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Box<str>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut bytes = sealed.to_vec();
        let opened = self.0.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place), &mut bytes).ok()?;
        str::from_utf8(opened).ok().map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::Vault;

    #[test]
    fn a_password_opens_in_its_place_with_its_key_and_nowhere_else() {
        let vault = Vault::new(&[7; 32]);
        let sealed = vault.seal([1; 12], b"place", "secret");
        assert!(!sealed.windows(6).any(|bytes| bytes == b"secret"));
        assert_eq!(vault.open(b"place", &sealed).as_deref(), Some("secret"));
        assert_eq!(vault.open(b"other", &sealed), None);
        assert_eq!(Vault::new(&[8; 32]).open(b"place", &sealed), None);
        for place in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            assert_eq!(vault.open(b"place", &damaged), None);
            assert_eq!(vault.open(b"place", &sealed[..place]), None);
        }
    }
}
