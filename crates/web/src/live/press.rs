//! Writes every message once for all subscribers who want to see the same.
//!
//! For each filter that somebody has there is one task. It takes from the hub what comes within a moment, writes a sheet of
//! ready messages, and hands it to all of them; they share its bytes. The sheets that are not taken yet are bounded: who
//! falls behind loses sheets, notices, and goes to the store.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use loggerhead_headend::{Filter, HeadEnd, Live, Subscription};
use tokio::sync::{Semaphore, broadcast, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::Place;
use super::message::Form;
use super::threads::Threads;

/// Sheets that wait for the slowest of those who share them: some seconds of a store with 10,000 readings a second.
const SHEETS_MAX: usize = 64;
/// What comes within this time of the first goes out together: every subscriber costs one write a sheet, not one a commit.
/// Nobody sees the difference.
const SHEET_TIME_MIN: Duration = Duration::from_millis(25);
/// The more subscribers a sheet has, the longer it is filled, by so much for each: 10,000 writes a second. What a write costs
/// does not depend on much else, and a tenth of a second for a thousand subscribers still is at once for people.
const SHEET_TIME_EACH: Duration = Duration::from_micros(100);
/// A sheet is ended when it is this long.
const SHEET_BYTES: usize = 64 * 1024;
/// After so long without anything that fits its filter, a sheet without messages says how far the log was looked through, so
/// that a reader who was told nothing for long does not go back as far.
const QUIET: Duration = Duration::from_secs(5);
/// Subscribers that read the store at a time: more would only slow each other, and the devices.
pub(crate) const CATCH_UPS_MAX: usize = 4;
/// How long one of them keeps its place. All at once would each be written to anew, and nobody would reach the sheets, which
/// are written once; but whoever takes slowly what was read for it holds the others up no longer than this.
const TURN_MAX: Duration = Duration::from_secs(1);

/// Sheets as they come, and how many were lost to who is slow.
pub(super) type Sheets = broadcast::Receiver<Arc<Sheet>>;

/// Ready messages, one after the other.
pub(super) struct Sheet {
    bytes: Bytes,
    /// Where each message begins, and the place after it; none for what has no place in the log.
    marks: Vec<(usize, Option<Place>)>,
    /// Up to where the log was looked through, when that is all there is to say.
    reached: Option<Place>,
}

/// A sheet that fills.
pub(super) struct Writing {
    form: Form,
    bytes: Vec<u8>,
    marks: Vec<(usize, Option<Place>)>,
}

/// Everything that is followed. Its filters are no more than the streams that may be open.
pub(crate) struct Press {
    headend: HeadEnd,
    threads: Threads,
    inside: Mutex<Inside>,
    /// Places for reading the store.
    catch_ups: Arc<Semaphore>,
}

/// A place among those who read the store, until it is dropped or its time is over.
pub(crate) struct Turn(oneshot::Sender<()>);

impl Turn {
    /// Whether somebody else has the place now.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_closed()
    }
}

#[derive(Default)]
struct Inside {
    followed: Vec<Followed>,
    tasks: JoinSet<()>,
}

/// What somebody follows, in which form.
struct Followed {
    filter: Filter,
    form: Form,
    sheets: broadcast::WeakSender<Arc<Sheet>>,
}

impl Followed {
    fn is(&self, filter: &Filter, form: Form) -> bool {
        self.form == form && self.filter == *filter
    }
}

impl Writing {
    pub(super) fn new(form: Form) -> Self {
        Self { form, bytes: Vec::new(), marks: Vec::new() }
    }

    /// Writes what a subscriber is told; nothing for what it may not see.
    pub(super) fn add(&mut self, live: Live) {
        let start = self.bytes.len();
        let place = self.form.live(&mut self.bytes, live);
        if self.bytes.len() > start {
            self.marks.push((start, place));
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= SHEET_BYTES
    }

    pub(super) fn done(self) -> Sheet {
        Sheet { bytes: self.bytes.into(), marks: self.marks, reached: None }
    }
}

impl Sheet {
    /// Nothing fitted the filter up to this place.
    fn quiet(reached: Place) -> Self {
        Self { bytes: Bytes::new(), marks: Vec::new(), reached: Some(reached) }
    }

    /// The messages behind those that were seen before. Places grow, so they are at the end.
    pub(super) fn unseen(&self, seen: Place) -> Bytes {
        let covered = self.marks.iter().rposition(|(_, place)| place.is_some_and(|place| seen.reaches(place)));
        let next = covered.map_or(0, |covered| covered + 1);
        self.marks.get(next).map_or_else(Bytes::new, |(start, _)| self.bytes.slice(*start..))
    }

    /// The place after all of it.
    pub(super) fn place(&self) -> Option<Place> {
        self.reached.or_else(|| self.marks.iter().rev().find_map(|(_, place)| *place))
    }
}

impl Press {
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn start(headend: HeadEnd) -> io::Result<Arc<Self>> {
        let catch_ups = Arc::new(Semaphore::new(CATCH_UPS_MAX));
        Ok(Arc::new(Self { headend, threads: Threads::start()?, inside: Mutex::default(), catch_ups }))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sheets of a filter from now on.
    pub(super) fn follow(self: &Arc<Self>, filter: &Filter, form: Form) -> Sheets {
        let mut inside = self.inside();
        let same = inside.followed.iter().find(|followed| followed.is(filter, form));
        if let Some(sheets) = same.and_then(|followed| followed.sheets.upgrade()) {
            return sheets.subscribe();
        }
        let (sheets, first) = broadcast::channel(SHEETS_MAX);
        inside.followed.push(Followed { filter: filter.clone(), form, sheets: sheets.downgrade() });
        // Before the place of whoever asks is looked up, so that nothing is between.
        let subscription = self.headend.subscribe(filter.clone());
        let feeding = feed(Arc::downgrade(self), filter.clone(), form, subscription, sheets);
        inside.tasks.spawn_on(feeding, self.threads.handle());
        first
    }

    /// Whether nobody follows a filter any more; then it is followed no more.
    fn is_left(&self, filter: &Filter, form: Form, sheets: &broadcast::Sender<Arc<Sheet>>) -> bool {
        let mut inside = self.inside();
        // Whoever comes now waits for this lock, and finds either the sheets or nothing.
        let left = sheets.receiver_count() == 0;
        if left {
            inside.followed.retain(|followed| !followed.is(filter, form));
        }
        left
    }

    /// Has the threads for live push do this until it ends or the server stops.
    pub(super) fn keep(&self, serving: impl Future<Output = ()> + Send + 'static) {
        let mut inside = self.inside();
        while inside.tasks.try_join_next().is_some() {}
        inside.tasks.spawn_on(serving, self.threads.handle());
    }

    /// A place for reading the store, when one is free.
    pub(crate) async fn turn(&self) -> Turn {
        let place = Arc::clone(&self.catch_ups).acquire_owned().await.expect("the semaphore is never closed");
        let (turn, mut given_back) = oneshot::channel();
        self.keep(async move {
            // Either is the end of it.
            let _end = timeout(TURN_MAX, &mut given_back).await;
            given_back.close();
            drop(place);
        });
        Turn(turn)
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
    form: Form,
    mut subscription: Subscription,
    sheets: broadcast::Sender<Arc<Sheet>>,
) {
    loop {
        let live = tokio::select! {
            live = timeout(QUIET, subscription.next()) => live,
            () = sheets.closed() => {
                if press.upgrade().is_none_or(|press| press.is_left(&filter, form, &sheets)) {
                    return;
                }
                continue;
            }
        };
        let sheet = match live {
            Ok(Some(live)) => fill(form, live, &mut subscription, sheet_time(sheets.receiver_count())).await,
            Ok(None) => return,
            Err(_) => Sheet::quiet(Place { batch: subscription.position().number(), item: None }),
        };
        // Nobody is there to take it when everybody has just gone.
        let _taken = sheets.send(Arc::new(sheet));
    }
}

/// Writes the sheet that begins with this, and with what comes within a time.
async fn fill(form: Form, first: Live, subscription: &mut Subscription, within: Duration) -> Sheet {
    let mut writing = Writing::new(form);
    writing.add(first);
    let end = Instant::now() + within;
    while !writing.is_full()
        && let Ok(Some(live)) = timeout_at(end, subscription.next()).await
    {
        writing.add(live);
    }
    writing.done()
}

/// For how long a sheet is filled.
fn sheet_time(subscribers: usize) -> Duration {
    let all = SHEET_TIME_EACH.saturating_mul(u32::try_from(subscribers).unwrap_or(u32::MAX));
    SHEET_TIME_MIN.max(all)
}
