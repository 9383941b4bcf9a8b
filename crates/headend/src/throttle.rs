//! Failed proofs make the next one wait: per address, per identity, and per identity from one address.
//!
//! A few failures are free, since people mistype keys; then each one locks for twice as long, up to a limit. A device
//! that logged in from an address before is not locked out by what others do from that address or in its name, so that
//! one wrong logger behind a shared address, or a stranger who knows a name, cannot keep the right ones out.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use loggerhead_model::Identity;

use crate::expiring::Expiring;

/// Rows of each table: an attacker with more addresses than this is not stopped by counting addresses.
const ROWS_MAX: usize = 20_000;
/// Failures of one identity from one address before it has to wait.
const PAIR_FREE: u32 = 5;
/// Failures of one identity from anywhere before strangers have to wait.
const IDENTITY_FREE: u32 = 10;
/// Failures from one address before strangers there have to wait; many devices may share an address.
const ADDRESS_FREE: u32 = 20;
/// The first wait.
const LOCK_MIN: Duration = Duration::from_secs(1);
/// The longest wait: a device with a corrected key is back within this.
const LOCK_MAX: Duration = Duration::from_mins(5);
/// Failures are forgotten this long after the last one.
const FORGET_AFTER: Duration = Duration::from_mins(15);
/// A device that logged in from an address is known there for this long.
const KNOWN_FOR: Duration = Duration::from_hours(7 * 24);

/// Whether a claim is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It is.
    Open,
    /// It is not: too many failures.
    Locked,
}

/// Counts failures.
#[derive(Debug)]
pub(crate) struct Throttle {
    tables: Mutex<Tables>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    locked_until: Duration,
}

type Pair = (Identity, Option<IpAddr>);

#[derive(Debug)]
struct Tables {
    pairs: Expiring<Pair, Failures>,
    identities: Expiring<Identity, Failures>,
    addresses: Expiring<IpAddr, Failures>,
    known: Expiring<Pair, ()>,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        let tables = Tables {
            pairs: Expiring::new(ROWS_MAX),
            identities: Expiring::new(ROWS_MAX),
            addresses: Expiring::new(ROWS_MAX),
            known: Expiring::new(ROWS_MAX),
        };
        Self { tables: Mutex::new(tables) }
    }

    /// May a claim of `identity` from `address` be looked at now? None is a peer without an address, on a Unix socket.
    pub(crate) fn gate(&self, now: Duration, identity: &Identity, address: Option<IpAddr>) -> Gate {
        let tables = self.lock();
        let address = address.map(network);
        let pair = (identity.clone(), address);
        let locked = |failures: Option<&Failures>| failures.is_some_and(|failures| now < failures.locked_until);
        let stranger = tables.known.find(now, &pair).is_none();
        let shut = locked(tables.pairs.find(now, &pair))
            || stranger && locked(tables.identities.find(now, identity))
            || stranger && address.is_some_and(|address| locked(tables.addresses.find(now, &address)));
        if shut { Gate::Locked } else { Gate::Open }
    }

    /// A proof did not fit.
    pub(crate) fn failed(&self, now: Duration, identity: &Identity, address: Option<IpAddr>) {
        let mut tables = self.lock();
        let address = address.map(network);
        fail(&mut tables.pairs, now, (identity.clone(), address), PAIR_FREE);
        fail(&mut tables.identities, now, identity.clone(), IDENTITY_FREE);
        if let Some(address) = address {
            fail(&mut tables.addresses, now, address, ADDRESS_FREE);
        }
    }

    /// A proof did fit.
    pub(crate) fn succeeded(&self, now: Duration, identity: &Identity, address: Option<IpAddr>) {
        let mut tables = self.lock();
        let pair = (identity.clone(), address.map(network));
        tables.pairs.remove(&pair);
        tables.known.insert(now, pair, (), KNOWN_FOR);
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("nothing panics while it holds the throttle's tables")
    }
}

fn fail<K: Clone + Eq + std::hash::Hash>(table: &mut Expiring<K, Failures>, now: Duration, key: K, free: u32) {
    let mut failures = table.find(now, &key).copied().unwrap_or_default();
    failures.count = failures.count.saturating_add(1);
    if let Some(beyond) = failures.count.checked_sub(free + 1) {
        let lock = LOCK_MIN.saturating_mul(2_u32.saturating_pow(beyond)).min(LOCK_MAX);
        failures.locked_until = now.saturating_add(lock);
    }
    table.insert(now, key, failures, FORGET_AFTER);
}

/// The address whose owner is one party: an IPv4 address, or the 64-bit network of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use loggerhead_model::Identity;

    use super::{ADDRESS_FREE, FORGET_AFTER, Gate, IDENTITY_FREE, LOCK_MAX, LOCK_MIN, PAIR_FREE, Throttle};

    fn identity(text: &str) -> Identity {
        Identity::new(text).expect("a legal identity")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_failure_beyond_the_free_ones_locks_for_longer() {
        let (throttle, name, home) = (Throttle::new(), identity("b/1"), Some(address("10.0.0.1")));
        let mut now = Duration::ZERO;
        for _ in 0..PAIR_FREE {
            throttle.failed(now, &name, home);
            assert_eq!(throttle.gate(now, &name, home), Gate::Open);
        }
        let mut before = Duration::ZERO;
        for _ in 0..5 {
            throttle.failed(now, &name, home);
            assert_eq!(throttle.gate(now, &name, home), Gate::Locked);
            let mut waited = Duration::ZERO;
            while throttle.gate(now + waited, &name, home) == Gate::Locked {
                waited += LOCK_MIN;
            }
            assert!(waited > before, "{waited:?} after {before:?}");
            before = waited;
            now += waited;
        }
    }

    #[test]
    fn a_lock_ends_within_its_limit_and_failures_are_forgotten() {
        let (throttle, name, home) = (Throttle::new(), identity("b/1"), Some(address("10.0.0.1")));
        for _ in 0..100 {
            throttle.failed(Duration::ZERO, &name, home);
        }
        assert_eq!(throttle.gate(LOCK_MAX, &name, home), Gate::Open);
        throttle.failed(FORGET_AFTER, &name, home);
        assert_eq!(throttle.gate(FORGET_AFTER, &name, home), Gate::Open, "the first failure of a new count");
    }

    #[test]
    fn strangers_do_not_lock_out_a_device_at_its_own_address() {
        let (throttle, name, home, away) =
            (Throttle::new(), identity("b/1"), Some(address("10.0.0.1")), Some(address("192.0.2.7")));
        throttle.succeeded(Duration::ZERO, &name, home);
        for number in 0..IDENTITY_FREE + ADDRESS_FREE + 2 {
            throttle.failed(Duration::ZERO, &name, away);
            throttle.failed(Duration::ZERO, &identity(&format!("other/{number}")), home);
        }
        assert_eq!(throttle.gate(Duration::ZERO, &name, home), Gate::Open);
        assert_eq!(throttle.gate(Duration::ZERO, &name, Some(address("192.0.2.8"))), Gate::Locked, "by identity");
        assert_eq!(throttle.gate(Duration::ZERO, &identity("b/2"), home), Gate::Locked, "by address");
        assert_eq!(throttle.gate(Duration::ZERO, &identity("b/2"), None), Gate::Open, "a Unix socket");
    }

    #[test]
    fn an_ipv6_network_is_one_party_and_a_mapped_address_is_its_ipv4_address() {
        let throttle = Throttle::new();
        for number in 0..=ADDRESS_FREE {
            throttle.failed(Duration::ZERO, &identity("x"), Some(address(&format!("2001:db8::{number}"))));
            throttle.failed(Duration::ZERO, &identity("y"), Some(address("::ffff:10.0.0.1")));
        }
        assert_eq!(throttle.gate(Duration::ZERO, &identity("z"), Some(address("2001:db8::ffff"))), Gate::Locked);
        assert_eq!(throttle.gate(Duration::ZERO, &identity("z"), Some(address("2001:db8:0:1::1"))), Gate::Open);
        assert_eq!(throttle.gate(Duration::ZERO, &identity("z"), Some(address("10.0.0.1"))), Gate::Locked);
    }
}
