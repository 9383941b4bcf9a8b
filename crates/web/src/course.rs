//! Readings a second over the last minutes, so that whoever opens the console sees at once how it went until then.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::api::Pace;
use crate::state::Api;

/// From one rate to the next: loggers report every few seconds, so shorter ones would be noise.
const STEP: Duration = Duration::from_secs(2);
/// Rates that are kept: five minutes, what somebody who comes to look wants to know.
const RATES_MAX: usize = 150;

/// The last rates.
#[derive(Debug, Default)]
pub(crate) struct Course(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// When was it looked last, and how many readings were there.
    last: Option<(Instant, u64)>,
    rates: VecDeque<f64>,
}

impl Course {
    /// The rates, the newest last.
    pub(crate) fn rates(&self) -> Vec<f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).rates.iter().copied().collect()
    }

    /// Takes note that there are so many readings by now.
    fn note(&self, now: Instant, readings: u64) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, were)) = noted.last.replace((now, readings)) {
            let seconds = now.saturating_duration_since(before).as_secs_f64();
            // A counter that went back began anew.
            let came = f64::from(u32::try_from(readings.saturating_sub(were)).unwrap_or(u32::MAX));
            if noted.rates.len() == RATES_MAX {
                noted.rates.pop_front();
            }
            noted.rates.push_back(if seconds > 0.0 { came / seconds } else { 0.0 });
        }
    }
}

/// Takes note of how it goes until the server stops.
pub(crate) async fn keep(api: Api, stopping: CancellationToken) {
    let mut steps = tokio::time::interval(STEP);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = steps.tick() => api.course().note(Instant::now(), Pace::from(&api.headend().metrics()).readings),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Course, RATES_MAX, STEP};

    #[test]
    fn the_last_rates_are_kept_and_no_more() {
        let course = Course::default();
        let begin = Instant::now();
        let mut readings = 0;
        for (step, came) in (0..).zip([0, 10, 0, 40]) {
            readings += came;
            course.note(begin + STEP * step, readings);
        }
        assert_eq!(course.rates(), [5.0, 0.0, 20.0]);
        for step in 4..1000 {
            course.note(begin + STEP * step, readings);
        }
        assert_eq!(course.rates(), [0.0; RATES_MAX]);
    }
}
