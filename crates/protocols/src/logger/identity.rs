//! The proof of identity: MD5 over the challenge and a secret that both sides know, in one order or the other.
//!
//! It is weak by today's measure, and it is what the devices have. Source: \[1\] annex 4, which leaves the order open;
//! `vectors/proofs.txt`.

use md5::{Digest, Md5};
use subtle::{Choice, ConstantTimeEq};

/// Hex digits of a proof.
pub const PROOF_DIGITS: usize = 32;

/// In which order challenge and secret are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProofOrder {
    /// Either; a head-end can take both at no cost.
    #[default]
    Both,
    /// The challenge, then the secret.
    ChallengeFirst,
    /// The secret, then the challenge.
    SecretFirst,
}

impl ProofOrder {
    /// Every order.
    pub const ALL: [Self; 3] = [Self::Both, Self::ChallengeFirst, Self::SecretFirst];

    /// The word for it in settings.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::ChallengeFirst => "sequence+key",
            Self::SecretFirst => "key+sequence",
        }
    }

    /// The order of that word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.word() == word)
    }

    /// The rule of this order, for `Proof::Response`: given challenge, answer and secret.
    #[must_use]
    pub fn check(self) -> fn(&[u8], &[u8], &[u8]) -> bool {
        match self {
            Self::Both => |challenge, answer, secret| {
                let first = is_proof(answer, Self::ChallengeFirst, challenge, secret);
                let second = is_proof(answer, Self::SecretFirst, challenge, secret);
                (first | second).into()
            },
            Self::ChallengeFirst => {
                |challenge, answer, secret| is_proof(answer, Self::ChallengeFirst, challenge, secret).into()
            }
            Self::SecretFirst => {
                |challenge, answer, secret| is_proof(answer, Self::SecretFirst, challenge, secret).into()
            }
        }
    }

    /// The proof in lower case, as nearly all devices write it. `Both` writes as `ChallengeFirst`.
    #[must_use]
    pub fn prove(self, challenge: &[u8], secret: &[u8]) -> [u8; PROOF_DIGITS] {
        let (first, second) = match self {
            Self::Both | Self::ChallengeFirst => (challenge, secret),
            Self::SecretFirst => (secret, challenge),
        };
        let digest = Md5::new().chain_update(first).chain_update(second).finalize();
        let mut digits = [0; PROOF_DIGITS];
        let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        for (place, nibble) in digits.iter_mut().zip(nibbles) {
            *place = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        digits
    }
}

/// Compares in a time that depends on the length of `answer` alone.
fn is_proof(answer: &[u8], order: ProofOrder, challenge: &[u8], secret: &[u8]) -> Choice {
    let expected = order.prove(challenge, secret);
    let mut found = [0; PROOF_DIGITS];
    for (place, byte) in found.iter_mut().zip(answer) {
        *place = byte.to_ascii_lowercase();
    }
    expected.ct_eq(&found) & Choice::from(u8::from(answer.len() == PROOF_DIGITS))
}
