//! The two clocks of the process. Nothing else in this crate reads a clock on behalf of a session.

use std::time::{SystemTime, UNIX_EPOCH};

use loggerhead_model::Timestamp;
use loggerhead_protocols::Now;
use tokio::time::Instant;

/// Started once, copied freely.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Both clocks now.
    pub(crate) fn now(&self) -> Now {
        Now { elapsed: self.start.elapsed(), wall: wall() }
    }

    /// The moment at which `Now::elapsed` reads `elapsed`.
    pub(crate) fn moment(&self, elapsed: std::time::Duration) -> Instant {
        self.start + elapsed
    }
}

/// The wall clock, which may jump.
pub(crate) fn wall() -> Timestamp {
    let ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        // Before 1970: a machine without a battery for its clock. Its time is worth nothing anyway.
        Err(_) => 0,
    };
    Timestamp::from_unix_ms(ms)
}
