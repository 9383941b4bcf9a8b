//! The cipher keys among which a listener looks for that of a device which has not said its name yet.
//!
//! A device names itself only inside what it enciphers, so every candidate is tried on the first block; that block is the
//! same in every message under one key, which makes it a finger-print worth remembering. Source: \[2\].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::cipher::{BLOCK_BYTES, Key, Look};
use super::settings::NamedKey;
use super::text;

/// Most first blocks that are remembered; beyond it all are forgotten and found again.
const RECENT_MAX: usize = 4096;

/// The candidate keys of one listener and its devices.
pub(super) struct Keyring {
    keys: Vec<NamedKey>,
    recent: Mutex<BTreeMap<[u8; BLOCK_BYTES], usize>>,
}

impl Keyring {
    /// Candidates in the order in which they are tried; one that stands there already is not taken twice.
    pub(super) fn new(candidates: impl Iterator<Item = NamedKey>) -> Self {
        let mut keys: Vec<NamedKey> = Vec::new();
        let mut known = BTreeSet::new();
        for candidate in candidates {
            // What a key makes of a fixed block tells it from all others without telling the key.
            let mut print = [0; BLOCK_BYTES];
            if candidate.key.encipher(&mut print).is_ok() && known.insert(print) {
                keys.push(candidate);
            }
        }
        Self { keys, recent: Mutex::new(BTreeMap::new()) }
    }

    /// The key under which `body` begins as a message does.
    pub(super) fn find(&self, body: &[u8]) -> Option<NamedKey> {
        let first = body.first_chunk::<BLOCK_BYTES>()?;
        let fits = |place: usize| {
            let candidate = self.keys.get(place)?;
            (candidate.key.look(body) == Look::Xml).then(|| candidate.clone())
        };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = recent.get(first).and_then(|&place| fits(place)) {
            return Some(found);
        }
        let Some((place, found)) = (0..self.keys.len()).find_map(|place| Some((place, fits(place)?))) else {
            drop(recent);
            return self.keys.iter().find(|candidate| is_compressed(&candidate.key, body)).cloned();
        };
        if recent.len() >= RECENT_MAX {
            recent.clear();
        }
        recent.insert(*first, place);
        Some(found)
    }
}

/// Whether `body` is a compressed message under this key. Its first block alone would say so too often.
fn is_compressed(key: &Key, body: &[u8]) -> bool {
    let mut plain = body.to_vec();
    key.look(body) == Look::Compressed && key.decipher(&mut plain).is_ok() && text::plain(&plain).is_ok()
}

/// Whether two places hold the same key.
pub(super) fn same(one: &Arc<Key>, other: &Arc<Key>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Keyring, RECENT_MAX};
    use crate::logger::cipher::Key;
    use crate::logger::settings::NamedKey;

    fn named(byte: u8) -> NamedKey {
        NamedKey { label: format!("key {byte}").into(), key: Arc::new(Key::new([byte; 16], [byte; 16])) }
    }

    #[test]
    fn the_key_of_a_message_is_found_and_remembered() {
        let keyring = Keyring::new([1, 2, 3, 2].map(named).into_iter());
        assert_eq!(keyring.keys.len(), 3);
        let mut body = *b"<root><common><b";
        named(3).key.encipher(&mut body).expect("a whole block");
        for _ in 0..2 {
            assert_eq!(keyring.find(&body).map(|key| key.label.to_string()).as_deref(), Some("key 3"));
        }
        assert_eq!(keyring.find(&[0; 16]).map(|key| key.label), None);
        assert_eq!(keyring.find(&[0; 5]).map(|key| key.label), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let keyring = Keyring::new([named(1)].into_iter());
        for number in 0..RECENT_MAX + 10 {
            let mut body = format!("<root>{number:>10}").into_bytes();
            named(1).key.encipher(&mut body).expect("a whole block");
            assert!(keyring.find(&body).is_some());
        }
        assert!(keyring.recent.lock().expect("nobody panicked").len() <= RECENT_MAX);
    }
}
