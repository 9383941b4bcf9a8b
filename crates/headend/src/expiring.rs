//! A table with a limit whose rows run out.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// A full table looks for rows that ran out at most this often, so that a flood of new keys stays cheap.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Rows by key, each until its moment on the clock of `Now::elapsed`. When it is full and nothing ran out, a new row
/// takes the place of any other one.
#[derive(Debug)]
pub(crate) struct Expiring<K, V> {
    rows: HashMap<K, Row<V>>,
    rows_max: usize,
    swept_at: Duration,
}

#[derive(Debug)]
struct Row<V> {
    value: V,
    until: Duration,
}

impl<K: Clone + Eq + Hash, V> Expiring<K, V> {
    /// An empty table of at most `rows_max` rows.
    pub(crate) fn new(rows_max: usize) -> Self {
        Self { rows: HashMap::new(), rows_max, swept_at: Duration::ZERO }
    }

    /// The row of `key`, if it has not run out.
    pub(crate) fn find(&self, now: Duration, key: &K) -> Option<&V> {
        self.rows.get(key).filter(|row| now < row.until).map(|row| &row.value)
    }

    /// Puts a row in, for `keep` from `now`.
    pub(crate) fn insert(&mut self, now: Duration, key: K, value: V, keep: Duration) {
        if self.rows.len() >= self.rows_max && !self.rows.contains_key(&key) {
            self.make_room(now);
        }
        self.rows.insert(key, Row { value, until: now.saturating_add(keep) });
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, key: &K) {
        self.rows.remove(key);
    }

    /// Takes out every row whose key does not fit.
    pub(crate) fn retain(&mut self, fits: impl Fn(&K) -> bool) {
        self.rows.retain(|key, _| fits(key));
    }

    fn make_room(&mut self, now: Duration) {
        if now.saturating_sub(self.swept_at) >= SWEEP_EVERY {
            self.swept_at = now;
            self.rows.retain(|_, row| now < row.until);
        }
        if self.rows.len() >= self.rows_max {
            let victim = self.rows.keys().next().cloned();
            if let Some(victim) = victim {
                self.rows.remove(&victim);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Expiring;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_row_runs_out() {
        let mut table = Expiring::new(8);
        table.insert(Duration::ZERO, "a", 1, SECOND);
        assert_eq!(table.find(SECOND / 2, &"a"), Some(&1));
        assert_eq!(table.find(SECOND, &"a"), None);
    }

    #[test]
    fn a_flood_of_keys_stays_within_the_limit() {
        let mut table = Expiring::new(8);
        for key in 0..1_000 {
            table.insert(Duration::from_millis(key), key, (), SECOND);
            assert!(table.rows.len() <= 8);
            assert_eq!(table.find(Duration::from_millis(key), &key), Some(&()), "the newest is in");
        }
    }
}
