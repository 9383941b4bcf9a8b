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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Attempts;

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
