//! Writes every message once for all subscribers who want to see the same.
//!
//! For each filter that somebody has there is one task. It takes from the hub what comes within a moment, writes a sheet of
//! ready WebSocket frames, and hands it to all of them; they share its bytes. The sheets that are not taken yet are
//! bounded: who falls behind loses sheets, notices, and goes to the store.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use loggerhead_headend::{Filter, HeadEnd, Live, Subscription};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::threads::Threads;
use super::{Place, frame, message_of};

/// Sheets that wait for the slowest of those who share them: two seconds of a store with 10,000 readings a second.
const SHEETS_MAX: usize = 64;
/// What comes within this time of the first goes out together: every subscriber costs one write a sheet, not one a commit.
/// Nobody sees the difference.
const SHEET_TIME: Duration = Duration::from_millis(25);
/// A sheet is ended when it is this long.
const SHEET_BYTES: usize = 64 * 1024;
/// Filters that are followed at a time. Each costs a task, and sheets as long as what it lets through.
const FILTERS_MAX: usize = 256;
/// Subscribers that read the store at a time: more would only slow each other, and the devices.
const CATCH_UPS_MAX: usize = 4;

/// Ready frames, one after the other.
#[derive(Default)]
pub(super) struct Sheet {
    bytes: Bytes,
    /// Where each frame begins, and the place after it; none for what has no place in the log.
    marks: Vec<(usize, Option<Place>)>,
}

/// A sheet that fills.
#[derive(Default)]
pub(super) struct Writing {
    bytes: Vec<u8>,
    marks: Vec<(usize, Option<Place>)>,
    payload: Vec<u8>,
}

/// Everything that is followed.
pub(crate) struct Press {
    headend: HeadEnd,
    threads: Threads,
    inside: Mutex<Inside>,
    /// Places for reading the store.
    pub(super) catch_ups: Semaphore,
}

#[derive(Default)]
struct Inside {
    followed: Vec<(Filter, broadcast::WeakSender<Arc<Sheet>>)>,
    tasks: JoinSet<()>,
}

impl Writing {
    /// Writes what a subscriber is told; nothing for what it may not see.
    pub(super) fn add(&mut self, live: Live) {
        self.payload.clear();
        let place = message_of(&mut self.payload, live);
        if !self.payload.is_empty() {
            self.marks.push((self.bytes.len(), place));
            frame::text(&mut self.bytes, &self.payload);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= SHEET_BYTES
    }

    pub(super) fn done(self) -> Sheet {
        Sheet { bytes: self.bytes.into(), marks: self.marks }
    }
}

impl Sheet {
    /// The frames behind those that were seen before. Places grow, so they are at the end.
    pub(super) fn unseen(&self, seen: Place) -> Bytes {
        let covered = self.marks.iter().rposition(|(_, place)| place.is_some_and(|place| seen.reaches(place)));
        let next = covered.map_or(0, |covered| covered + 1);
        self.marks.get(next).map_or_else(Bytes::new, |(start, _)| self.bytes.slice(*start..))
    }

    /// The place after all of it.
    pub(super) fn place(&self) -> Option<Place> {
        self.marks.iter().rev().find_map(|(_, place)| *place)
    }
}

impl Press {
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn start(headend: HeadEnd) -> io::Result<Arc<Self>> {
        let catch_ups = Semaphore::new(CATCH_UPS_MAX);
        Ok(Arc::new(Self { headend, threads: Threads::start()?, inside: Mutex::default(), catch_ups }))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sheets of a filter from now on; none when too many others are followed.
    pub(super) fn follow(self: &Arc<Self>, filter: &Filter) -> Option<broadcast::Receiver<Arc<Sheet>>> {
        let mut inside = self.inside();
        let same = inside.followed.iter().find(|(followed, _)| followed == filter);
        if let Some(sheets) = same.and_then(|(_, sheets)| sheets.upgrade()) {
            return Some(sheets.subscribe());
        }
        if inside.followed.len() >= FILTERS_MAX {
            return None;
        }
        let (sheets, first) = broadcast::channel(SHEETS_MAX);
        inside.followed.push((filter.clone(), sheets.downgrade()));
        // Before the place of whoever asks is looked up, so that nothing is between.
        let subscription = self.headend.subscribe(filter.clone(), None);
        let feeding = feed(Arc::downgrade(self), filter.clone(), subscription, sheets);
        inside.tasks.spawn_on(feeding, self.threads.handle());
        Some(first)
    }

    /// Whether nobody follows a filter any more; then it is followed no more.
    fn is_left(&self, filter: &Filter, sheets: &broadcast::Sender<Arc<Sheet>>) -> bool {
        let mut inside = self.inside();
        // Whoever comes now waits for this lock, and finds either the sheets or nothing.
        let left = sheets.receiver_count() == 0;
        if left {
            inside.followed.retain(|(followed, _)| followed != filter);
        }
        left
    }

    /// Serves a subscriber until it ends or the server stops.
    pub(super) fn keep(&self, serving: impl Future<Output = ()> + Send + 'static) {
        let mut inside = self.inside();
        while inside.tasks.try_join_next().is_some() {}
        inside.tasks.spawn_on(serving, self.threads.handle());
    }

    /// Waits until every subscriber was told that the server stops.
    pub(crate) async fn finished(&self) {
        let mut tasks = std::mem::take(&mut self.inside().tasks);
        while tasks.join_next().await.is_some() {}
    }
}

/// Writes sheets until nobody follows the filter, or the head-end stops.
async fn feed(
    press: Weak<Press>,
    filter: Filter,
    mut subscription: Subscription,
    sheets: broadcast::Sender<Arc<Sheet>>,
) {
    loop {
        let live = tokio::select! {
            live = subscription.next() => live,
            () = sheets.closed() => {
                if press.upgrade().is_none_or(|press| press.is_left(&filter, &sheets)) {
                    return;
                }
                continue;
            }
        };
        let Some(live) = live else { return };
        let mut writing = Writing::default();
        writing.add(live);
        let end = Instant::now() + SHEET_TIME;
        while !writing.is_full()
            && let Ok(Some(live)) = timeout_at(end, subscription.next()).await
        {
            writing.add(live);
        }
        // Nobody is there to take it when everybody has just gone.
        let _taken = sheets.send(Arc::new(writing.done()));
    }
}
