//! The proof of identity: MD5 over the challenge and a secret that both sides know, in one order or the other.
//!
//! It is weak by today's measure, and it is what the devices have. Source: \[1\] annex 4, which leaves the order open;
//! `vectors/proofs.txt`.

use md5::{Digest, Md5};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::{Check, Form};

/// Hex digits of a proof.
pub const PROOF_DIGITS: usize = 32;

/// The forms of a proof, as the head-end tells them.
const CHALLENGE_FIRST: Form = Form(0);
const SECRET_FIRST: Form = Form(1);

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

    /// The rule of this order, for `Proof::Response`. Both orders are worked out in any
    /// case, so that the time tells neither whether an answer fits nor in which order.
    #[must_use]
    pub fn check(self) -> Check {
        match self {
            Self::Both => |challenge, answer, secret| fits(answer, challenge, secret, [1, 1]),
            Self::ChallengeFirst => |challenge, answer, secret| fits(answer, challenge, secret, [1, 0]),
            Self::SecretFirst => |challenge, answer, secret| fits(answer, challenge, secret, [0, 1]),
        }
    }

    /// The order in which a proof was made that fitted in this form.
    #[must_use]
    pub fn of(form: Form) -> Self {
        if form == SECRET_FIRST { Self::SecretFirst } else { Self::ChallengeFirst }
    }

    /// The order to try when this one was refused.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Both | Self::ChallengeFirst => Self::SecretFirst,
            Self::SecretFirst => Self::ChallengeFirst,
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

/// In which of the orders that are believed, challenge first and secret first, the answer is a proof.
fn fits(answer: &[u8], challenge: &[u8], secret: &[u8], believed: [u8; 2]) -> Option<Form> {
    let [first, second] = believed.map(Choice::from);
    let first = is_proof(answer, ProofOrder::ChallengeFirst, challenge, secret) & first;
    let second = is_proof(answer, ProofOrder::SecretFirst, challenge, secret) & second;
    // Where both fit, the texts are the same in either order.
    let form = u8::conditional_select(&SECRET_FIRST.0, &CHALLENGE_FIRST.0, first);
    bool::from(first | second).then_some(Form(form))
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
