//! When a simulated device that has lost its head-end tries again.

use std::time::Duration;

/// Longest pause between two attempts to connect: a head-end that is there again is found within it.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// How often the first pause is doubled at most: about a thousandfold.
const DOUBLINGS_MAX: u32 = 10;

/// The attempts since the last one that led to something.
#[derive(Debug, Default)]
pub(crate) struct Attempts(u32);

impl Attempts {
    /// The pause before the next one: `first`, then twice the last one.
    pub(crate) fn pause(&mut self, first: Duration) -> Duration {
        let pause = first.saturating_mul(1 << self.0.min(DOUBLINGS_MAX)).min(PAUSE_MAX);
        self.0 = self.0.saturating_add(1);
        pause
    }

    /// The head-end is there.
    pub(crate) fn succeeded(&mut self) {
        self.0 = 0;
    }
}

/// Keeps devices that lost one head-end from coming back to it at one moment.
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    /// One that differs with the entropy.
    pub(crate) fn new(entropy: &[u8]) -> Self {
        // A state of zero would stay zero.
        Self(entropy.iter().fold(1, |seed: u64, &byte| seed.rotate_left(9) ^ u64::from(byte)) | 1)
    }

    /// A random part of `span`.
    pub(crate) fn part_of(&mut self, span: Duration) -> Duration {
        // xorshift64: jitter only has to differ between devices.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let part = u32::try_from(self.0 >> 40).unwrap_or(0);
        span.mul_f64(f64::from(part) / f64::from(1 << 24))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Attempts, Jitter};

    #[test]
    fn devices_of_one_site_wait_for_different_parts_of_a_span() {
        let span = Duration::from_secs(10);
        let (mut one, mut other) = (Jitter::new(&[0; 32]), Jitter::new(&[1; 32]));
        let parts: Vec<_> = (0..100).flat_map(|_| [one.part_of(span), other.part_of(span)]).collect();
        assert!(parts.iter().all(|part| *part < span));
        let distinct: std::collections::BTreeSet<_> = parts.iter().collect();
        assert_eq!(distinct.len(), parts.len());
    }

    #[test]
    fn pauses_double_up_to_a_minute_until_an_attempt_succeeds() {
        let mut attempts = Attempts::default();
        let mut pauses = |count: usize| -> Vec<u64> {
            (0..count).map(|_| attempts.pause(Duration::from_secs(9)).as_secs()).collect()
        };
        assert_eq!(pauses(5), [9, 18, 36, 60, 60]);
        assert_eq!(pauses(30).last(), Some(&60));
        attempts.succeeded();
        assert_eq!(attempts.pause(Duration::from_secs(9)).as_secs(), 9);
    }
}
