//! How a sender proves that it knows the secret: an answer to 16 random bytes. Source: \[1\] §3.1.

use md5::{Digest, Md5};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::message::digits;
use crate::{Check, Form};

/// Bytes of the challenge.
pub const NONCE_BYTES: usize = 16;
/// What a sender that answered right is told.
pub const HELLO: &[u8; 5] = b"hello";
/// Bytes of a block of MD5 and of SHA-256.
const BLOCK_BYTES: usize = 64;

/// Which answers are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// Nobody is asked.
    #[default]
    None,
    /// The first two below, told apart by what comes.
    Any,
    /// HMAC-MD5 of the challenge, 16 bytes.
    HmacMd5,
    /// MD5 of secret and challenge, 32 hex digits.
    Md5Hex,
    /// HMAC-SHA-256 of the challenge, 32 bytes.
    HmacSha256,
}

impl Auth {
    /// The proof of this name, for a sender that has to choose one.
    ///
    /// # Errors
    /// What there is, where it is none of them.
    pub fn of_word(word: &str) -> Result<Self, String> {
        match word {
            "hmac-md5" => Ok(Self::HmacMd5),
            "md5-hex" => Ok(Self::Md5Hex),
            "hmac-sha256" => Ok(Self::HmacSha256),
            _ => Err("hmac-md5, md5-hex or hmac-sha256".to_owned()),
        }
    }

    /// What a sender answers to a challenge.
    #[must_use]
    pub fn answer(self, nonce: &[u8], secret: &[u8]) -> Vec<u8> {
        match self {
            Self::HmacSha256 => hmac::<Sha256>(secret, nonce),
            Self::Md5Hex => md5_hex(secret, nonce).into_bytes(),
            Self::None | Self::Any | Self::HmacMd5 => hmac::<Md5>(secret, nonce),
        }
    }

    /// How many bytes the answer has that begins with these; `None`: wait for more.
    ///
    /// Sixteen bytes of an HMAC are all hex digits once in 2^64 times, so what comes tells which form it is, and nobody is
    /// asked to prove twice.
    pub(super) fn answer_bytes(self, begun: &[u8]) -> Option<usize> {
        match self {
            Self::None => Some(0),
            Self::HmacMd5 => Some(16),
            Self::Md5Hex | Self::HmacSha256 => Some(32),
            Self::Any => {
                let first = begun.get(..16)?;
                let is_hex = first.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                Some(if is_hex { 32 } else { 16 })
            }
        }
    }

    /// Whether an answer fits challenge and secret.
    pub(super) fn check(self) -> Check {
        match self {
            Self::HmacSha256 => |nonce, answer, secret| fits(answer, &Self::HmacSha256.answer(nonce, secret)),
            Self::HmacMd5 => |nonce, answer, secret| fits(answer, &Self::HmacMd5.answer(nonce, secret)),
            Self::Md5Hex => |nonce, answer, secret| fits(answer, &Self::Md5Hex.answer(nonce, secret)),
            Self::None | Self::Any => |nonce, answer, secret| {
                let [hmac, hex] = [Self::HmacMd5, Self::Md5Hex].map(|form| form.answer(nonce, secret));
                fits(answer, &hmac).or_else(|| fits(answer, &hex))
            },
        }
    }
}

/// Whether two are the same, found out in the same time whichever byte differs.
fn fits(answer: &[u8], right: &[u8]) -> Option<Form> {
    bool::from(answer.ct_eq(right)).then_some(Form::ONLY)
}

fn md5_hex(secret: &[u8], nonce: &[u8]) -> String {
    digits(&Md5::new().chain_update(secret).chain_update(nonce).finalize())
}

/// HMAC (RFC 2104) by a hash with blocks of `BLOCK_BYTES`.
fn hmac<D: Digest>(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let hashed;
    let secret = if secret.len() > BLOCK_BYTES {
        hashed = D::digest(secret);
        &hashed[..]
    } else {
        secret
    };
    let pad = |mask: u8| {
        let mut block = [mask; BLOCK_BYTES];
        block.iter_mut().zip(secret).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = D::new().chain_update(pad(0x36)).chain_update(message).finalize();
    D::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{Auth, digits, hmac, md5_hex};

    #[test]
    fn the_answers_of_the_source_are_right() {
        let nonce: Vec<u8> = (0..16).collect();
        let hmac_md5 = hmac::<md5::Md5>(b"password", &nonce);
        assert_eq!(digits(&hmac_md5), "9b87e124ec5a1cffd6b47517e5614c7a");
        assert_eq!(md5_hex(b"password", &nonce), "0e691d4969e9b89f9ee8e53a821119be");
        assert!(Auth::Any.check()(&nonce, &hmac_md5, b"password").is_some());
        assert!(Auth::Any.check()(&nonce, b"0e691d4969e9b89f9ee8e53a821119be", b"password").is_some());
        assert!(Auth::Any.check()(&nonce, &hmac_md5, b"Password").is_none());
        assert!(Auth::Md5Hex.check()(&nonce, &hmac_md5, b"password").is_none());
        assert!(Auth::HmacMd5.check()(&nonce, b"", b"password").is_none());
    }

    #[test]
    fn an_hmac_is_that_of_the_standard() {
        // RFC 4231, test cases 2 and 6.
        let short = hmac::<sha2::Sha256>(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(digits(&short), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = hmac::<sha2::Sha256>(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(digits(&long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn what_comes_tells_how_long_it_is() {
        assert_eq!(Auth::Any.answer_bytes(&[0x9b; 15]), None);
        assert_eq!(Auth::Any.answer_bytes(&[0x9b; 16]), Some(16));
        assert_eq!(Auth::Any.answer_bytes(b"0e691d4969e9b89f"), Some(32));
        assert_eq!(Auth::Any.answer_bytes(b"0E691D4969E9B89F"), Some(16), "the digits of the source are small");
    }
}
