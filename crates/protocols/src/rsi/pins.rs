//! Which peer of an address is the robot: the first one that speaks as one, until it is silent.
//!
//! A second peer at the same address that sends states would otherwise take its place, and be answered instead of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The addresses that are taken, over all conversations of a listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Pins(Arc<Mutex<BTreeSet<String>>>);

impl Pins {
    /// Takes an address, unless it is taken.
    pub(super) fn take(&self, address: &str) -> Option<Pin> {
        let is_new = self.held().insert(address.to_owned());
        is_new.then(|| Pin { pins: self.clone(), address: address.to_owned() })
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A set of names is whole after every change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Pin {
    pins: Pins,
    address: String,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.pins.held().remove(&self.address);
    }
}
