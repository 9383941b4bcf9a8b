//! The random text that a device has to join with its secret.

use md5::{Digest, Md5};

use super::identity::ProofOrder;
use super::settings::SequenceShape;
use crate::Form;

/// Letters and digits that nobody takes for one another.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// One more than the largest challenge of digits.
const DIGITS_END: u64 = 100_000_000;

/// A challenge that nobody can foresee who does not know `entropy`. `attempt` makes it another one every time.
pub(super) fn challenge(shape: SequenceShape, entropy: &[u8; 32], attempt: u32) -> String {
    let hash: [u8; 16] = Md5::new().chain_update(entropy).chain_update(attempt.to_be_bytes()).finalize().into();
    match shape {
        SequenceShape::Digits => {
            let number = hash.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte));
            format!("{:08}", number % DIGITS_END)
        }
        SequenceShape::Letters => {
            let letter = |byte: &u8| LETTERS.get(usize::from(byte % 32)).map_or('A', |&letter| char::from(letter));
            hash.iter().map(letter).collect()
        }
    }
}

/// The rule for a peer whose cipher or dialect is not that of the device it says it is: it does the work of judging an
/// answer and believes none.
pub(super) fn believe_nothing(challenge: &[u8], answer: &[u8], secret: &[u8]) -> Option<Form> {
    ProofOrder::Both.check()(challenge, answer, secret).filter(|_| std::hint::black_box(false))
}

#[cfg(test)]
mod tests {
    use super::{believe_nothing, challenge};
    use crate::logger::identity::ProofOrder;
    use crate::logger::settings::SequenceShape;

    #[test]
    fn every_attempt_has_a_challenge_of_its_own() {
        let digits = challenge(SequenceShape::Digits, &[7; 32], 1);
        assert!(digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits}");
        let letters = challenge(SequenceShape::Letters, &[7; 32], 1);
        assert!(letters.len() == 16 && letters.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{letters}");
        assert_ne!(digits, challenge(SequenceShape::Digits, &[7; 32], 2));
        assert_ne!(digits, challenge(SequenceShape::Digits, &[8; 32], 1));
    }

    #[test]
    fn a_right_answer_of_the_wrong_peer_is_not_believed() {
        let answer = ProofOrder::Both.prove(b"12345678", b"secret");
        assert!(ProofOrder::Both.check()(b"12345678", &answer, b"secret").is_some());
        assert!(believe_nothing(b"12345678", &answer, b"secret").is_none());
    }
}
