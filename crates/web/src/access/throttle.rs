//! Failures by address and by account, so that nothing can be found by trying. Each table of them is bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong secrets that an address may send at once, or that may be tried for an account.
pub const FAILURES_MAX: u32 = 10;
/// How long it takes until one wrong secret is forgotten.
pub const FAILURE_FORGOTTEN_AFTER: Duration = Duration::from_secs(6);
/// Addresses, and accounts, whose wrong secrets are counted at a time; beyond it the ones closest to being forgotten are.
pub const ADDRESSES_MAX: usize = 4096;

/// Failures by whom they are held against.
pub(crate) struct Throttle<K>(Mutex<HashMap<K, Failures>>);

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// As a bucket that fills by one with every failure and empties by one every `FAILURE_FORGOTTEN_AFTER`.
#[derive(Clone, Copy)]
struct Failures {
    empty_at: Instant,
}

impl<K: Eq + Hash + Clone> Throttle<K> {
    /// How long whatever comes from there is refused unheard; none when it is heard.
    pub(crate) fn refused_for(&self, key: &K, now: Instant) -> Option<Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = failures.get(key)?.empty_at.checked_duration_since(now)?;
        left.checked_sub(FAILURE_FORGOTTEN_AFTER * (FAILURES_MAX - 1)).filter(|wait| !wait.is_zero())
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, key: &K, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ADDRESSES_MAX && !failures.contains_key(key) {
            failures.retain(|_, failures| failures.empty_at > now);
            if failures.len() >= ADDRESSES_MAX
                && let Some(first) =
                    failures.iter().min_by_key(|(_, failures)| failures.empty_at).map(|(key, _)| key.clone())
            {
                failures.remove(&first);
            }
        }
        let entry = failures.entry(key.clone()).or_insert(Failures { empty_at: now });
        entry.empty_at = entry.empty_at.max(now) + FAILURE_FORGOTTEN_AFTER;
    }

    /// Takes one failure back that was none.
    pub(crate) fn forgive(&self, key: &K) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = failures.get_mut(key) {
            entry.empty_at = entry.empty_at.checked_sub(FAILURE_FORGOTTEN_AFTER).unwrap_or(entry.empty_at);
        }
    }
}

/// The address that failures are counted under: one host commonly owns a whole IPv6 /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::{Duration, Instant};

    use super::{ADDRESSES_MAX, FAILURE_FORGOTTEN_AFTER, FAILURES_MAX, Throttle, network};

    fn address(text: &str) -> IpAddr {
        network(text.parse().expect("an address"))
    }

    #[test]
    fn an_address_is_refused_after_its_failures_and_heard_again_later() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let (bad, neighbour, other) = (address("2001:db8::1"), address("2001:db8::2"), address("192.0.2.1"));
        for _ in 0..FAILURES_MAX - 1 {
            throttle.failed(&bad, now);
        }
        assert_eq!(throttle.refused_for(&bad, now), None, "one failure is left");
        throttle.failed(&bad, now);
        assert_eq!(throttle.refused_for(&bad, now), Some(FAILURE_FORGOTTEN_AFTER));
        assert!(throttle.refused_for(&neighbour, now).is_some(), "the same /64");
        assert_eq!(throttle.refused_for(&other, now), None);
        assert_eq!(throttle.refused_for(&bad, now + FAILURE_FORGOTTEN_AFTER), None);
    }

    #[test]
    fn the_table_of_failures_is_bounded() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for number in 0..u32::try_from(ADDRESSES_MAX).expect("small") + 100 {
            throttle.failed(&IpAddr::from(number.to_be_bytes()), now + Duration::from_micros(u64::from(number)));
        }
        assert!(throttle.0.lock().expect("not poisoned").len() <= ADDRESSES_MAX);
    }
}
