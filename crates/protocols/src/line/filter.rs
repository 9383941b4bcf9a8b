//! What comes before every command that exists: is it allowed, and is it time?

use std::time::Duration;

use super::commands::{Access, Command};
use super::message::Reply;
use super::session::HeadEnd;
use crate::Now;

/// What is to be done with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// It is run.
    Run,
    /// It is not run; the peer is told this.
    Skip(Reply<'static>),
    /// It waits until then; so does everything behind it.
    Wait(Duration),
}

/// Says what is to be done with a command of this session.
pub(super) fn pass(session: &mut HeadEnd, now: Now, command: &Command) -> Pass {
    if let Err(at) = session.rate.take(now.elapsed, session.settings.rate) {
        return Pass::Wait(at);
    }
    if command.access == Access::Users && session.place.is_none() {
        return Pass::Skip(Reply::LogInFirst);
    }
    Pass::Run
}

/// Commands that a connection may still give: as many at once as in a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Until when the commands so far last at the rate.
    until: Duration,
}

impl Rate {
    pub(super) fn new(now: Duration) -> Self {
        Self { until: now }
    }

    /// Takes one command of `rate` in a second.
    ///
    /// # Errors
    /// When there will be one.
    fn take(&mut self, now: Duration, rate: u32) -> Result<(), Duration> {
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
