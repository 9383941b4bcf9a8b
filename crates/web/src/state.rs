//! What every request shares: the head-end, the limits, the figures.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use loggerhead_headend::HeadEnd;
use loggerhead_model::Timestamp;
use loggerhead_store::{Reader, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::access::{Book, Hasher, Throttle, Token, Transport};
use crate::course::Course;
use crate::live::Press;
use crate::problem::{Problem, ProblemKind};
use crate::server::{ServeError, Waits};

/// Requests that are worked on at a time, live streams not counted.
pub const REQUESTS_MAX: usize = 256;
/// Questions to the store at a time: each holds a thread, and more than a few only slow each other down.
pub const QUERIES_MAX: usize = 4;
/// Live streams at a time. Each costs a connection and a bounded queue of batches that it shares with the others.
pub const STREAMS_MAX: usize = 2048;
/// What a caller is told to wait when a limit is reached, in seconds.
pub(crate) const RETRY_AFTER_S: u64 = 1;

/// What every request shares. Clones are handles of the same.
#[derive(Clone)]
pub(crate) struct Api(Arc<Shared>);

struct Shared {
    headend: HeadEnd,
    front: Front,
    book: Book,
    hasher: Hasher,
    addresses: Throttle<IpAddr>,
    names: Throttle<String>,
    figures: Figures,
    course: Course,
    requests: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    press: Arc<Press>,
    stopping: CancellationToken,
    started_at: Timestamp,
}

/// How the API is reached over TCP.
#[derive(Clone)]
pub(crate) struct Front {
    /// The machine token.
    pub(crate) token: Option<Token>,
    /// How bytes travel.
    pub(crate) transport: Transport,
    /// For how long peers are waited for.
    pub(crate) waits: Waits,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn count(&self) {
        self.count_up();
    }

    /// Counts, and says how many there are now.
    pub(crate) fn count_up(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the API did since it started.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) wrong_tokens: Counter,
    pub(crate) throttled: Counter,
    pub(crate) busy: Counter,
    /// Idle connections that made place for new ones.
    pub(crate) evicted: Counter,
    /// Connections that found no place.
    pub(crate) turned_away: Counter,
    /// Questions that were put to the store.
    pub(crate) queries: Counter,
    /// Streamed answers that were taken to their end.
    pub(crate) streamed_whole: Counter,
    /// Streamed answers that were cut: whoever asked went away, or the store failed.
    pub(crate) streamed_cut: Counter,
    /// By route and status. Routes are a closed list, so this is bounded.
    answers: Mutex<BTreeMap<(String, u16), u64>>,
}

/// An answer that is streamed; dropped before it is whole, it was cut, and nothing more is read for it.
pub(crate) struct Streaming {
    api: Api,
    is_whole: bool,
}

impl Streaming {
    /// Notes that its last bytes are on their way.
    pub(crate) fn whole(&mut self) {
        self.is_whole = true;
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let figures = self.api.figures();
        if self.is_whole { &figures.streamed_whole } else { &figures.streamed_cut }.count();
    }
}

impl Figures {
    pub(crate) fn answered(&self, route: &str, status: u16) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry((route.to_owned(), status)).or_default() += 1;
    }

    pub(crate) fn answers(&self) -> Vec<((String, u16), u64)> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().map(|(key, count)| (key.clone(), *count)).collect()
    }
}

impl Api {
    /// What requests to this head-end share. Streams end with `stopping`.
    ///
    /// # Errors
    /// `Store` when the store cannot say who may sign in, `Threads` when the system gives none for live push.
    pub(crate) async fn open(headend: HeadEnd, front: Front, stopping: CancellationToken) -> Result<Self, ServeError> {
        let store = headend.store().clone();
        let book = tokio::task::spawn_blocking(move || Book::load(&store)).await;
        let book = book.map_err(|_| StoreError::Closed)??;
        Ok(Self(Arc::new(Shared {
            press: Press::start(headend.clone()).map_err(ServeError::Threads)?,
            headend,
            front,
            book,
            hasher: Hasher::default(),
            addresses: Throttle::default(),
            names: Throttle::default(),
            figures: Figures::default(),
            course: Course::default(),
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            queries: Arc::new(Semaphore::new(QUERIES_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            stopping,
            started_at: now(),
        })))
    }

    pub(crate) fn headend(&self) -> &HeadEnd {
        &self.0.headend
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        self.0.front.token.as_ref()
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.0.front.transport
    }

    /// For how long peers are waited for.
    pub(crate) fn waits(&self) -> Waits {
        self.0.front.waits
    }

    /// Who may sign in.
    pub(crate) fn book(&self) -> &Book {
        &self.0.book
    }

    /// What is followed over WebSocket.
    pub(crate) fn press(&self) -> &Arc<Press> {
        &self.0.press
    }

    pub(crate) fn hasher(&self) -> &Hasher {
        &self.0.hasher
    }

    /// Wrong secrets by address.
    pub(crate) fn throttle(&self) -> &Throttle<IpAddr> {
        &self.0.addresses
    }

    /// Wrong passwords by the name that they were tried for.
    pub(crate) fn names(&self) -> &Throttle<String> {
        &self.0.names
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.0.figures
    }

    /// How fast readings came in.
    pub(crate) fn course(&self) -> &Course {
        &self.0.course
    }

    pub(crate) fn started_at(&self) -> Timestamp {
        self.0.started_at
    }

    /// Cancelled when the server stops.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.0.stopping.clone()
    }

    /// Live streams that are open now.
    pub(crate) fn streams_open(&self) -> usize {
        STREAMS_MAX - self.0.streams.available_permits()
    }

    /// A place among the requests.
    ///
    /// # Errors
    /// `Busy` when all are taken.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.place(&self.0.requests, REQUESTS_MAX, "requests are being answered")
    }

    /// A place among the live streams.
    ///
    /// # Errors
    /// `Busy` when all are taken.
    pub(crate) fn enter_stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.place(&self.0.streams, STREAMS_MAX, "live streams are open")
    }

    fn place(&self, places: &Arc<Semaphore>, max: usize, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(places).try_acquire_owned().map_err(|_| {
            self.0.figures.busy.count();
            Problem::new(ProblemKind::Busy, format!("{max} {what} already")).retry_after(RETRY_AFTER_S)
        })
    }

    /// Begins an answer that is streamed.
    pub(crate) fn streaming(&self) -> Streaming {
        Streaming { api: self.clone(), is_whole: false }
    }

    /// Asks the store on a thread that may block, once one of `QUERIES_MAX` places is free.
    ///
    /// # Errors
    /// `Store` when the store cannot answer.
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = Arc::clone(&self.0.queries).acquire_owned().await.expect("the semaphore is never closed");
        self.0.figures.queries.count();
        let reader = self.0.headend.store().reader();
        let answer = tokio::task::spawn_blocking(move || {
            let answer = question(&reader);
            drop(place);
            answer
        });
        match answer.await {
            Ok(answer) => Ok(answer?),
            Err(error) => {
                tracing::error!(%error, "a question to the store did not end well");
                Err(Problem::new(ProblemKind::Store, "the question ended before its answer"))
            }
        }
    }
}

/// Our clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond())
}
