//! One reader of the live stream, over whatever transport: it shares the sheets of its filter with all others, and goes to
//! the store for what it missed.

use bytes::Bytes;
use loggerhead_headend::{Filter, Subscription};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::RecvError;

use super::Place;
use super::message::Form;
use super::press::{Sheet, Sheets, Writing};
use crate::state::Api;

/// A reader.
pub(super) struct Follower {
    api: Api,
    filter: Filter,
    form: Form,
    /// What it has seen.
    seen: Place,
    begun: bool,
    /// What everybody with its filter is told.
    sheets: Sheets,
    /// What it missed, which it is told from the store before the sheets go on.
    missed: Option<Subscription>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// Follows from a place on; from now on without one, or with one that is not in the log.
    pub(super) fn begin(
        api: &Api,
        filter: Filter,
        form: Form,
        place: Option<Place>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        // First the sheets, then the place: what is committed in between is in both, and told once.
        let sheets = api.press().follow(&filter, form);
        let last = api.headend().store().health().cursor.number();
        // A place beyond the log was another log's: it means from now on, which the first message says.
        let seen = place.filter(|place| place.batch <= last).unwrap_or(Place { batch: last, item: None });
        Self { api: api.clone(), filter, form, seen, begun: false, sheets, missed: None, _permit: permit }
    }

    /// The next bytes to write; none when the head-end stops. Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.begun = true;
            self.fall_behind();
            return Some(self.form.start(self.seen).into());
        }
        loop {
            if let Some(bytes) = self.next_missed().await {
                return Some(bytes);
            }
            match self.sheets.recv().await {
                Ok(sheet) => {
                    let unseen = self.see(&sheet);
                    if !unseen.is_empty() {
                        return Some(unseen);
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    self.fall_behind();
                    return Some(self.form.cut(self.seen).into());
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The place after everything that was written.
    pub(super) fn seen(&self) -> Place {
        self.seen
    }

    fn see(&mut self, sheet: &Sheet) -> Bytes {
        let unseen = sheet.unseen(self.seen);
        self.seen = sheet.place().map_or(self.seen, |place| self.seen.later(place));
        unseen
    }

    /// Goes to the store for what was committed since what was seen.
    fn fall_behind(&mut self) {
        let edge = self.api.headend().store().health().cursor;
        if self.seen.item.is_none() && self.seen.batch >= edge.number() {
            return;
        }
        self.missed = Some(self.api.headend().history(self.filter.clone(), self.seen.cursor(), edge));
    }

    /// Some of what was missed; none when there is no more of it.
    async fn next_missed(&mut self) -> Option<Bytes> {
        loop {
            let missed = self.missed.as_mut()?;
            // Held while the store is read and not while the reader takes it, so that a slow one holds nobody up.
            let turn = self.api.press().catch_ups.acquire().await.expect("the semaphore is never closed");
            let next = missed.next().await;
            drop(turn);
            let Some(live) = next else {
                let batch = missed.position().number().max(self.seen.batch);
                self.seen = self.seen.later(Place { batch, item: None });
                self.missed = None;
                return None;
            };
            let mut writing = Writing::new(self.form);
            writing.add(live);
            while !writing.is_full()
                && let Some(live) = missed.try_next()
            {
                writing.add(live);
            }
            let unseen = self.see(&writing.done());
            if !unseen.is_empty() {
                return Some(unseen);
            }
        }
    }
}
