//! A rate with a burst, for what peers can cause as often as they like.

use std::time::Duration;

/// What may still be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    left: u16,
    burst: u16,
    every: Duration,
    /// When it last gained one.
    gained_at: Duration,
}

impl Budget {
    /// `burst` at once, and one more after each `every`.
    pub(crate) const fn new(burst: u16, every: Duration) -> Self {
        Self { left: burst, burst, every, gained_at: Duration::ZERO }
    }

    /// Takes one, if there is one at `now` on the clock of `Now::elapsed`.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        let gained = now.saturating_sub(self.gained_at).as_millis() / self.every.as_millis().max(1);
        if gained > 0 {
            self.gained_at = now;
            self.left = self.burst.min(self.left.saturating_add(u16::try_from(gained).unwrap_or(self.burst)));
        }
        let there = self.left > 0;
        self.left = self.left.saturating_sub(1);
        there
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Budget;

    #[test]
    fn a_burst_is_free_and_then_the_rate_holds() {
        let every = Duration::from_secs(5);
        let mut budget = Budget::new(20, every);
        assert_eq!((0..1_000).filter(|_| budget.take(Duration::ZERO)).count(), 20);
        assert!(budget.take(every));
        assert!(!budget.take(every));
    }
}
