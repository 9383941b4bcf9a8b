//! How often a connection may do something.

use std::time::Duration;

/// What a connection may still do: as much at once as in a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Until when what was done so far lasts at the rate.
    until: Duration,
}

impl Rate {
    pub(crate) fn new(now: Duration) -> Self {
        Self { until: now }
    }

    /// Takes one of `rate` in a second.
    ///
    /// # Errors
    /// When there will be one.
    pub(crate) fn take(&mut self, now: Duration, rate: u32) -> Result<(), Duration> {
        let each = Duration::from_secs(1) / rate.max(1);
        let next = self.until.max(now) + each;
        let ready = next.saturating_sub(Duration::from_secs(1).max(each));
        if ready > now {
            return Err(ready);
        }
        self.until = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Rate;

    #[test]
    fn a_rate_allows_a_second_at_once_and_goes_on_at_its_pace() {
        let mut rate = Rate::new(Duration::ZERO);
        let now = Duration::from_secs(10);
        assert_eq!((0..100).take_while(|_| rate.take(now, 4).is_ok()).count(), 4);
        let next = now + Duration::from_millis(250);
        assert_eq!(rate.take(now, 4), Err(next));
        assert_eq!(rate.take(next, 4), Ok(()));
        assert_eq!(rate.take(next, 4), Err(next + Duration::from_millis(250)));
    }
}
