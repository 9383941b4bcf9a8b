//! Durations counted in buckets of constant relative width, as an HDR histogram does.
//!
//! Recording costs a few nanoseconds and never allocates; percentiles are right to `1 / SUB_BUCKETS` of their value.

use std::time::Duration;

/// Buckets per power of two: a percentile is off by less than 1.6 %.
const SUB_BUCKETS: u64 = 64;
/// `log2(SUB_BUCKETS)`.
const SUB_BUCKET_BITS: u32 = SUB_BUCKETS.ilog2();
/// Longest duration told apart from longer ones: 2^40 µs, twelve days.
const MICROS_BITS_MAX: u32 = 40;
/// How many buckets that makes.
const BUCKETS: usize = ((MICROS_BITS_MAX - SUB_BUCKET_BITS + 1) as usize) << SUB_BUCKET_BITS;

/// How long things took.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Box<[u64]>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into_boxed_slice(), count: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts one duration.
    pub(crate) fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(micros)) {
            *count += 1;
        }
        self.count += 1;
        self.max = self.max.max(duration);
    }

    /// Counts everything that `other` counted.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The duration that `per_mille` of a thousand did not exceed; zero when nothing was counted.
    pub(crate) fn percentile(&self, per_mille: u64) -> Duration {
        let rank = (self.count * per_mille).div_ceil(1000);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                return Duration::from_micros(upper_edge(index)).min(self.max);
            }
        }
        self.max
    }

    /// The longest duration.
    pub(crate) fn max(&self) -> Duration {
        self.max
    }
}

/// The bucket of a duration: exact below `SUB_BUCKETS`, then `SUB_BUCKETS` for every power of two.
fn bucket(micros: u64) -> usize {
    let micros = micros.min((1 << MICROS_BITS_MAX) - 1);
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(SUB_BUCKET_BITS + 1);
    let index = u64::from(shift) * SUB_BUCKETS + (micros >> shift);
    usize::try_from(index).unwrap_or(BUCKETS - 1)
}

/// The longest duration that falls into a bucket, in microseconds.
fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / SUB_BUCKETS).saturating_sub(1);
    let place = index - shift * SUB_BUCKETS;
    ((place + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BUCKETS, Histogram, MICROS_BITS_MAX, SUB_BUCKETS, bucket, upper_edge};

    #[test]
    fn every_duration_falls_into_a_bucket_that_is_wide_by_its_own_share() {
        for exponent in 0..MICROS_BITS_MAX {
            for micros in [1 << exponent, (1 << exponent) + 1, (2 << exponent) - 1] {
                let edge = upper_edge(bucket(micros));
                assert!(edge >= micros, "{micros} over its edge {edge}");
                assert!(edge - micros <= micros / SUB_BUCKETS, "{micros} far from its edge {edge}");
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut histogram = Histogram::default();
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        let mut twice = histogram.clone();
        twice.add(&histogram);
        for (per_mille, expected) in [(500, 500), (990, 990), (999, 999)] {
            let found = twice.percentile(per_mille).as_millis();
            assert!((expected..=expected + expected / 60).contains(&found), "{per_mille}: {found}");
        }
        assert_eq!((twice.max(), twice.count), (Duration::from_secs(1), 2000));
        assert_eq!(Histogram::default().percentile(990), Duration::ZERO);
    }
}
