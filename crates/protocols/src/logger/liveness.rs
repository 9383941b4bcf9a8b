//! How long a device may be silent, from what it sends: only received bytes count, never our own.

use std::time::Duration;

use super::settings::Settings;

/// Messages closer together than this are one burst, and say nothing of the device's interval.
const BURST: Duration = Duration::from_secs(1);
/// Shortest silence that is worth being told to operators.
const EXPECT_MIN: Duration = Duration::from_secs(30);
/// Longest interval that is believed; settings of devices end at 12 hours.
pub(super) const INTERVAL_MAX: Duration = Duration::from_hours(24);

/// What is known about a device's rhythm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    /// When bytes last came.
    last_bytes: Duration,
    /// When a message last came.
    last_message: Duration,
    /// The longest pause between messages of late.
    interval: Option<Duration>,
    /// What was said last of the silence to expect.
    told: Option<Duration>,
}

impl Liveness {
    /// From a moment at which bytes came.
    pub(super) fn new(now: Duration) -> Self {
        Self { last_bytes: now, last_message: now, interval: None, told: None }
    }

    /// Bytes came.
    pub(super) fn bytes(&mut self, now: Duration) {
        self.last_bytes = now;
    }

    /// When bytes last came.
    pub(super) fn last_bytes(&self) -> Duration {
        self.last_bytes
    }

    /// A message came.
    pub(super) fn message(&mut self, now: Duration) {
        let pause = now.saturating_sub(self.last_message);
        self.last_message = now;
        if pause < BURST {
            return;
        }
        let pause = pause.min(INTERVAL_MAX);
        // Follows a longer pause at once and a shorter one slowly: heartbeats between reports come and go.
        self.interval = Some(match self.interval {
            Some(known) if known > pause => known.saturating_sub(known.abs_diff(pause) / 8),
            Some(_) | None => pause,
        });
    }

    /// The device's interval as it was known from before, or as its own times tell.
    pub(super) fn suppose(&mut self, interval: Duration) {
        let interval = interval.min(INTERVAL_MAX);
        self.interval = Some(self.interval.map_or(interval, |known| known.max(interval)));
    }

    /// The interval in whole seconds, once there is one.
    pub(super) fn interval_s(&self) -> Option<u64> {
        self.interval.map(|interval| interval.as_secs())
    }

    /// The silence after which the connection is given up.
    pub(super) fn idle_max(&self, settings: &Settings) -> Duration {
        self.allowed(settings).map_or(settings.idle, |allowed| allowed.max(settings.idle))
    }

    /// When the connection is given up if nothing comes.
    pub(super) fn gives_up_at(&self, settings: &Settings) -> Duration {
        self.last_bytes + self.idle_max(settings)
    }

    /// The silence after which operators should see the device as silent, when it differs from what was said before.
    pub(super) fn news(&mut self, settings: &Settings) -> Option<Duration> {
        let idle_max = self.idle_max(settings);
        let expected = self.allowed(settings).map_or(idle_max, |allowed| allowed.max(EXPECT_MIN).min(idle_max));
        // A rhythm that wavers is not news.
        let is_news = self.told.is_none_or(|told| expected.abs_diff(told) > told / 4);
        is_news.then(|| {
            self.told = Some(expected);
            expected
        })
    }

    fn allowed(&self, settings: &Settings) -> Option<Duration> {
        self.interval.map(|interval| interval.mul_f64(settings.idle_intervals))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Liveness;
    use crate::logger::settings::Settings;

    fn after_messages_every(seconds: u64, count: u64) -> Liveness {
        let mut liveness = Liveness::new(Duration::ZERO);
        for number in 1..=count {
            liveness.bytes(Duration::from_secs(number * seconds));
            liveness.message(Duration::from_secs(number * seconds));
        }
        liveness
    }

    #[test]
    fn a_slow_device_is_given_more_time_and_a_quick_one_not_less() {
        let settings = Settings::default();
        assert_eq!(after_messages_every(60, 5).idle_max(&settings), Duration::from_mins(10));
        assert_eq!(after_messages_every(1800, 2).idle_max(&settings), Duration::from_mins(75));
        assert_eq!(after_messages_every(0, 9).idle_max(&settings), Duration::from_mins(10));
    }

    #[test]
    fn a_rhythm_is_told_once_until_it_changes() {
        let settings = Settings::default();
        let mut liveness = after_messages_every(60, 5);
        assert_eq!(liveness.news(&settings), Some(Duration::from_secs(150)));
        assert_eq!(liveness.news(&settings), None);
        liveness.suppose(Duration::from_mins(30));
        assert_eq!(liveness.news(&settings), Some(Duration::from_mins(75)));
    }
}
