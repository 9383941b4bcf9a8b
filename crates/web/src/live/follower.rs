//! One reader of the live stream, over whatever transport: it shares the sheets of its filter with all others, and goes to
//! the store for what it missed.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use loggerhead_headend::{Filter, Subscription};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::RecvError;

use super::Place;
use super::message::Form;
use super::press::{Sheet, Sheets, Turn, Writing};
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
    missed: Missed,
    _permit: OwnedSemaphorePermit,
}

/// What a reader missed, which it is told from the store before the sheets go on.
enum Missed {
    Nothing,
    /// It waits for its turn, and costs nothing until then.
    Something(Pin<Box<dyn Future<Output = Turn> + Send>>),
    Past {
        past: Subscription,
        turn: Turn,
    },
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
        Self { api: api.clone(), filter, form, seen, begun: false, sheets, missed: Missed::Nothing, _permit: permit }
    }

    /// The next bytes to write; none when the head-end stops. Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.begun = true;
            if self.seen.item.is_some() || self.seen.batch < self.api.headend().store().health().cursor.number() {
                self.fall_behind();
            }
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

    /// Lets it wait for its turn to read the store.
    fn fall_behind(&mut self) {
        let press = Arc::clone(self.api.press());
        self.missed = Missed::Something(Box::pin(async move { press.turn().await }));
    }

    /// Some of what was missed; none when there is no more of it.
    async fn next_missed(&mut self) -> Option<Bytes> {
        loop {
            let past = match &mut self.missed {
                Missed::Nothing => return None,
                Missed::Something(turn) => {
                    let turn = turn.await;
                    // Only now, so that nothing more is missed of what came while it waited.
                    let edge = self.api.headend().store().health().cursor;
                    let past = self.api.headend().history(self.filter.clone(), self.seen.cursor(), edge);
                    self.missed = Missed::Past { past, turn };
                    continue;
                }
                Missed::Past { turn, .. } if turn.is_over() => {
                    self.fall_behind();
                    continue;
                }
                Missed::Past { past, .. } => past,
            };
            let Some(live) = past.next().await else {
                let batch = past.position().number().max(self.seen.batch);
                self.seen = self.seen.later(Place { batch, item: None });
                self.missed = Missed::Nothing;
                return None;
            };
            let mut writing = Writing::new(self.form);
            writing.add(live);
            while !writing.is_full()
                && let Some(live) = past.try_next()
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
