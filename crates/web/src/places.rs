//! Places for connections, so that idle ones never keep out somebody who asks.
//!
//! A connection is idle until the head of a request is there, and again when its answer was sent. When all places are
//! taken, the connection that is idle for longest gives up its place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use tokio_util::sync::CancellationToken;

use crate::held::Held;

/// The places of one listener.
#[derive(Clone)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

struct Taken {
    max: usize,
    open: usize,
    /// Idle connections by when they became so, the first for longest.
    idle: BTreeMap<u64, CancellationToken>,
    turn: u64,
}

/// The place of one connection.
pub(crate) struct Place {
    places: Places,
    evicted: CancellationToken,
    /// Its key among the idle ones; none while it is busy.
    idle: Mutex<Option<u64>>,
}

/// That a connection is busy with a request.
pub(crate) struct Busy(Arc<Place>);

impl Places {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Mutex::new(Taken { max, open: 0, idle: BTreeMap::new(), turn: 0 })))
    }

    /// A place for a new connection, where need be that of an idle one; none when all are busy.
    pub(crate) fn enter(&self) -> Option<Place> {
        let evicted = CancellationToken::new();
        let mut taken = self.taken();
        if taken.open >= taken.max {
            taken.idle.pop_first()?.1.cancel();
        }
        taken.open += 1;
        let key = taken.begin_idle(evicted.clone());
        drop(taken);
        Some(Place { places: self.clone(), evicted, idle: Mutex::new(Some(key)) })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn begin_idle(&mut self, evicted: CancellationToken) -> u64 {
        self.turn += 1;
        self.idle.insert(self.turn, evicted);
        self.turn
    }
}

impl Place {
    /// Ends when the connection has to go.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Notes that a request came. One that was evicted at the same moment ends all the same.
    pub(crate) fn busy(place: &Arc<Self>) -> Busy {
        if let Some(key) = place.key().take() {
            place.places.taken().idle.remove(&key);
        }
        Busy(Arc::clone(place))
    }

    /// Whether no request is being answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.key().is_some()
    }

    fn key(&self) -> MutexGuard<'_, Option<u64>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let key = self.key().take();
        let mut taken = self.places.taken();
        taken.open -= 1;
        if let Some(key) = key {
            taken.idle.remove(&key);
        }
    }
}

impl Busy {
    /// Stays busy until the answer was sent or given up.
    pub(crate) fn until_sent(self, body: Body) -> Body {
        Held::body(body, self)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let key = self.0.places.taken().begin_idle(self.0.evicted.clone());
        *self.0.key() = Some(key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;

    use super::{Place, Places};

    #[test]
    fn the_one_that_is_idle_for_longest_goes_and_never_a_busy_one() {
        let places = Places::new(2);
        let [first, second] = [(); 2].map(|()| Arc::new(places.enter().expect("a free place")));
        let sending = Place::busy(&first).until_sent(Body::empty());
        let third = places.enter().expect("that of the second");
        assert!(second.evicted.is_cancelled() && !first.evicted.is_cancelled());
        drop(second);
        drop(sending);
        let fourth = places.enter().expect("that of the third");
        assert!(third.evicted.is_cancelled(), "it is idle for longer than the first");
        let _busy = [Place::busy(&first), Place::busy(&Arc::new(fourth))];
        drop(third);
        assert!(places.enter().is_none(), "all are busy");
    }
}
