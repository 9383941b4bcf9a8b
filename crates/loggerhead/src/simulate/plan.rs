//! What one simulated device sends, and when.

use std::time::Duration;

use loggerhead_model::{Origin, Timestamp};
use loggerhead_protocols::Now;

/// The packets that one device has to send.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Packets kept from before the start, sent as resumed as fast as they are acknowledged.
    pub(crate) backlog: u64,
    /// Packets to send as live; `None`: until told to stop.
    pub(crate) live: Option<u64>,
    /// From one live packet to the next; `None`: as soon as the window has room.
    pub(crate) interval: Option<Duration>,
    /// From the login to the first live packet, so that devices do not all speak at once.
    pub(crate) phase: Duration,
    /// The device's clock at its first live packet; `None`: it is right.
    pub(crate) start: Option<Timestamp>,
    /// How far the device's clock goes on from packet to packet, in milliseconds.
    pub(crate) step_ms: i64,
    /// Whether the device stays connected when everything is sent, until told to stop.
    pub(crate) stay: bool,
}

/// The next packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Live or resumed.
    pub(crate) origin: Origin,
    /// The device's clock.
    pub(crate) measured_at: Timestamp,
    /// When it should leave, on the clock of the simulation.
    pub(crate) due: Duration,
}

/// How far a device has come.
#[derive(Debug)]
pub(crate) struct Progress {
    plan: Plan,
    /// When the first live packet is due, on the simulation's clock and on the device's.
    first_due: Duration,
    start: Timestamp,
    resumed: u64,
    live: u64,
}

impl Progress {
    /// Starts the plan of a device that logged in at `now`.
    pub(crate) fn begin(plan: Plan, now: Now) -> Self {
        let first_due = now.elapsed + plan.phase;
        let phase_ms = i64::try_from(plan.phase.as_millis()).unwrap_or(i64::MAX);
        let start = plan.start.unwrap_or(Timestamp::from_unix_ms(now.wall.unix_ms().saturating_add(phase_ms)));
        Self { plan, first_due, start, resumed: 0, live: 0 }
    }

    /// The next packet, if one is due.
    pub(crate) fn next(&mut self, now: Duration) -> Option<Packet> {
        if let Some(due) = self.live_due(now)
            && due <= now
            && (self.plan.interval.is_some() || self.resumed == self.plan.backlog)
        {
            let measured_at = self.clock(self.live.cast_signed());
            self.live += 1;
            return Some(Packet { origin: Origin::Live, measured_at, due });
        }
        (self.resumed < self.plan.backlog).then(|| {
            let measured_at = self.clock(self.resumed.cast_signed() - self.plan.backlog.cast_signed());
            self.resumed += 1;
            Packet { origin: Origin::Resumed, measured_at, due: now }
        })
    }

    /// When the next live packet is due; `None` when there is none.
    pub(crate) fn live_due(&self, now: Duration) -> Option<Duration> {
        if self.plan.live.is_some_and(|live| self.live >= live) {
            return None;
        }
        let sent = u32::try_from(self.live).unwrap_or(u32::MAX);
        Some(self.plan.interval.map_or(now, |interval| self.first_due + interval * sent))
    }

    /// True when nothing will follow and the device may leave.
    pub(crate) fn is_done(&self) -> bool {
        !self.plan.stay && self.resumed == self.plan.backlog && self.plan.live.is_some_and(|live| self.live >= live)
    }

    /// The device's clock `steps` packets after the first live one.
    fn clock(&self, steps: i64) -> Timestamp {
        Timestamp::from_unix_ms(self.start.unix_ms() + steps * self.plan.step_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loggerhead_model::{Origin, Timestamp};
    use loggerhead_protocols::Now;

    use super::{Plan, Progress};

    const PLAN: Plan = Plan {
        backlog: 2,
        live: Some(2),
        interval: Some(Duration::from_secs(10)),
        phase: Duration::from_secs(1),
        start: Some(Timestamp::from_unix_ms(100_000)),
        step_ms: 10_000,
        stay: false,
    };

    const fn at(elapsed_s: u64) -> Now {
        Now { elapsed: Duration::from_secs(elapsed_s), wall: Timestamp::from_unix_ms(7_000) }
    }

    fn packet(progress: &mut Progress, now_s: u64) -> Option<(Origin, i64, u64)> {
        let packet = progress.next(Duration::from_secs(now_s))?;
        Some((packet.origin, packet.measured_at.unix_ms(), packet.due.as_secs()))
    }

    #[test]
    fn a_backlog_fills_the_time_until_a_live_packet_is_due() {
        let mut progress = Progress::begin(PLAN, at(5));
        assert_eq!(packet(&mut progress, 5), Some((Origin::Resumed, 80_000, 5)));
        assert_eq!(packet(&mut progress, 7), Some((Origin::Live, 100_000, 6)));
        assert_eq!(packet(&mut progress, 7), Some((Origin::Resumed, 90_000, 7)));
        assert_eq!(packet(&mut progress, 7), None);
        assert!(!progress.is_done());
        assert_eq!(packet(&mut progress, 16), Some((Origin::Live, 110_000, 16)));
        assert!(progress.is_done());
        assert_eq!(packet(&mut progress, 60), None);
    }

    #[test]
    fn a_clock_that_is_right_shows_when_a_packet_is_due() {
        let mut progress = Progress::begin(Plan { backlog: 0, start: None, ..PLAN }, at(5));
        assert_eq!(packet(&mut progress, 6), Some((Origin::Live, 8_000, 6)));
        assert_eq!(packet(&mut progress, 16), Some((Origin::Live, 18_000, 16)));
    }

    #[test]
    fn without_an_interval_live_packets_follow_the_backlog_at_once() {
        let mut progress = Progress::begin(Plan { interval: None, ..PLAN }, at(0));
        let origins: Vec<_> = std::iter::from_fn(|| progress.next(Duration::ZERO)).map(|next| next.origin).collect();
        assert_eq!(origins, [Origin::Resumed, Origin::Resumed, Origin::Live, Origin::Live]);
    }
}
