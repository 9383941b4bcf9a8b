//! The files that devices bring: where they are kept, what is known of them, and how much there may be.
//!
//! `folder` has the disk, `catalog` what is known, `part` the bytes on their way. The record decides, and the folder follows:
//! a file is complete when its record says so, which is committed once its bytes are on disk; then it is put in its place, at
//! the next start if the process ends before that. It leaves its place before its record is forgotten. So whenever the process
//! ends, no file stands in its place without a record after the next start, and no record without its file. A sender has its
//! answer when both are on disk. No file on disk has the name that its sender gave it.

mod catalog;
mod folder;
mod part;
#[cfg(test)]
mod tests;
mod upload;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use loggerhead_model::{
    DeviceId, Event, EventKind, FileRecord, FileState, Note, NoteChange, Receipt, Records, Severity, Ticket, Timestamp,
};
use loggerhead_protocols::{FileFailure, FileOffer, Start};
use loggerhead_store::{Completion, Outcome, Reply, Store, StoreError};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use self::catalog::{Catalog, Entry, SHELF};
pub use self::catalog::{FileQuery, FileStatus};
use self::folder::Folder;
use self::part::Part;
pub use self::upload::Upload;
use crate::clock::Clock;
use crate::config;

/// Files on their way at once: each holds a few MiB and, while it moves, a thread.
const UPLOADS_MAX: usize = 128;
/// Of those, files of one device.
const UPLOADS_PER_DEVICE_MAX: usize = 16;
/// Files that are known: their records are held in memory, a few hundred bytes each.
pub const FILES_MAX: usize = 100_000;
/// Room on the disk that files leave to everything else: the database needs some to go on.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// How often parts are looked at that nobody goes on with.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// The files of a head-end. Clones are handles of the same.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    folder: Folder,
    store: Store,
    clock: Clock,
    limits: ArcSwap<config::Files>,
    catalog: Mutex<Catalog>,
    /// Held while a name is chosen and committed, so that no two files of a device get the same.
    naming: tokio::sync::Mutex<()>,
    places: Arc<Semaphore>,
    /// Uploads that were left and are being put away, and files whose bytes are being removed.
    leaving: Mutex<JoinSet<()>>,
}

/// Hands an outcome of the store to whoever waits for it.
struct Asked(Mutex<Option<oneshot::Sender<Outcome>>>);

impl Completion for Asked {
    fn complete(&self, outcomes: &mut dyn Iterator<Item = Outcome>) {
        let waiting = self.0.lock().expect("nothing panics while it holds a question to the store").take();
        if let Some((waiting, outcome)) = waiting.zip(outcomes.next()) {
            // Who asked may have stopped waiting.
            let _ = waiting.send(outcome);
        }
    }
}

impl Files {
    /// Opens the folder beside the database, and puts away what an end in the middle of something left there. Blocks.
    ///
    /// # Errors
    /// What the system says of the folder, and `Store` when the records cannot be read.
    pub(crate) fn open(
        directory: &Path,
        store: &Store,
        clock: Clock,
        limits: config::Files,
    ) -> Result<Self, OpenError> {
        let folder = Folder::open(directory)?;
        let mut catalog = Catalog::default();
        store.reader().notes(SHELF, &mut |key, value| {
            catalog.recall(key, value);
            std::ops::ControlFlow::Continue(())
        })?;
        for entry in catalog.entries() {
            entry.slot.found(match entry.record.state {
                FileState::Partial => folder.part_bytes(entry.record.number),
                FileState::Complete => entry.record.size,
            });
        }
        folder.tidy_up(|number| catalog.find(number).map(|entry| entry.record.state))?;
        catalog.number_after(folder.last_number()?);
        Ok(Self(Arc::new(Inner {
            folder,
            store: store.clone(),
            clock,
            limits: ArcSwap::from_pointee(limits),
            catalog: Mutex::new(catalog),
            naming: tokio::sync::Mutex::default(),
            places: Arc::new(Semaphore::new(UPLOADS_MAX)),
            leaving: Mutex::default(),
        })))
    }

    /// Goes over to other limits; what is here stays.
    pub(crate) fn limit(&self, limits: config::Files) {
        self.0.limits.store(Arc::new(limits));
    }

    /// Removes parts that nobody goes on with, for ever.
    pub(crate) async fn sweep(self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.remove_expired(self.0.clock.now().wall).await;
        }
    }

    /// Removes parts that nobody went on with until now.
    async fn remove_expired(&self, now: Timestamp) {
        let keep = self.0.limits.load().partial_keep;
        let expired = self.0.catalog().expired(now, keep);
        for number in expired {
            if let Err(error) = self.remove(number).await {
                tracing::warn!(number, %error, "an old part of a file cannot be removed");
            }
        }
    }

    /// Until when the part of a file is kept that is left now.
    #[must_use]
    pub fn kept_until(&self, record: &FileRecord) -> Timestamp {
        let keep_ms = i64::try_from(self.0.limits.load().partial_keep.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_unix_ms(record.changed_at.unix_ms().saturating_add(keep_ms))
    }

    /// Most bytes that a file may have.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        let limits = self.0.limits.load();
        limits.device_bytes_max.min(limits.total_bytes_max)
    }

    /// The files that a query asks for, the newest first.
    #[must_use]
    pub fn find(&self, query: &FileQuery) -> Vec<FileStatus> {
        self.0.catalog().list(query)
    }

    /// One file.
    #[must_use]
    pub fn status(&self, number: u64) -> Option<FileStatus> {
        self.0.catalog().find(number).map(Entry::status)
    }

    /// How many bytes are kept or on their way, of one device or of all.
    #[must_use]
    pub fn bytes(&self, device: Option<&DeviceId>) -> u64 {
        self.0.catalog().bytes(device)
    }

    /// A file that is complete, for reading. Blocks.
    ///
    /// # Errors
    /// `NotFound` without such a file, and what the system says.
    pub fn open_kept(&self, number: u64) -> io::Result<(FileRecord, std::fs::File)> {
        let record = self.0.catalog().find(number).map(|entry| entry.record.clone());
        let record = record.filter(|record| record.state == FileState::Complete).ok_or(io::ErrorKind::NotFound)?;
        Ok((record, self.0.folder.open_kept(number)?))
    }

    /// Forgets a file, then removes it. One that is on its way is given up. False when there is none.
    ///
    /// # Errors
    /// `Failing` when it could not be forgotten; then it stays.
    pub async fn remove(&self, number: u64) -> Result<bool, StoreError> {
        let Some(slot) = self.0.catalog().find(number).map(|entry| Arc::clone(&entry.slot)) else { return Ok(false) };
        slot.fence();
        let mut part = slot.part.lock().await;
        // Whoever was at it may have finished meanwhile, or somebody else removed it.
        let Some(record) = self.0.catalog().find(number).map(|entry| entry.record.clone()) else { return Ok(false) };
        let is_complete = record.state == FileState::Complete;
        let inner = Arc::clone(&self.0);
        if is_complete && let Err(error) = blocking(move || inner.folder.take_out(number)).await {
            // What is not there cannot be left behind.
            tracing::warn!(number, %error, "a file that is removed cannot be taken out of its place");
        }
        let text = format!("file {} of {} bytes removed ({})", record.name, record.size, record.state.word());
        let forget = Note { shelf: SHELF, key: key(number), change: NoteChange::Forget };
        let receipt = self.0.commit(&record.device, vec![forget], Some(text), Ticket(0)).await;
        let inner = Arc::clone(&self.0);
        if receipt.is_none() {
            if is_complete && let Err(error) = blocking(move || inner.folder.keep(number)).await {
                tracing::warn!(number, %error, "a file that stays is put back in its place at the next start");
            }
            return Err(StoreError::Failing { reason: "the record of the file stays".to_owned() });
        }
        *part = None;
        self.0.catalog().remove(number);
        // A disk takes its time to have much back, and nobody needs to wait: what an end leaves is removed at the next start.
        self.0.leaving().spawn_blocking(move || inner.folder.remove(number));
        Ok(true)
    }

    /// Makes room for a file, or finds the part of it that is here.
    ///
    /// # Errors
    /// `FileFailure` says why the file is not taken.
    pub async fn begin(&self, offer: FileOffer) -> Result<Upload, FileFailure> {
        let place = || Arc::clone(&self.0.places).try_acquire_owned().map_err(|_| FileFailure::Busy);
        let known = || offer.key.as_ref().and_then(|key| self.0.catalog().keyed(&offer.device, key));
        while let Some((record, slot)) = known() {
            let is_same = record.size == offer.size
                && (offer.sums.sha256.is_none() || record.sha256.is_none() || offer.sums.sha256 == record.sha256);
            match (record.state, offer.start) {
                (_, Start::Behind) | (FileState::Partial, Start::At(1..)) if !is_same => {
                    return Err(FileFailure::Differs);
                }
                (FileState::Complete, Start::Behind) => {
                    return Ok(Upload::complete(self.clone(), place()?, slot, record));
                }
                (FileState::Partial, Start::Behind | Start::At(_)) if is_same => {
                    if let Some(upload) = Upload::go_on(self.clone(), place()?, slot, record, &offer).await? {
                        return Ok(upload);
                    }
                }
                (FileState::Partial, _) => {
                    self.remove(record.number).await.map_err(|error| failed(&error))?;
                    break;
                }
                (FileState::Complete, Start::At(_)) => break,
            }
        }
        if let Start::At(1..) = offer.start {
            return Err(FileFailure::Gap { here: 0 });
        }
        self.make(place()?, offer).await
    }

    /// Makes a new file.
    async fn make(&self, place: tokio::sync::OwnedSemaphorePermit, offer: FileOffer) -> Result<Upload, FileFailure> {
        let now = self.0.clock.now().wall;
        let free = blocking({
            let inner = Arc::clone(&self.0);
            move || inner.folder.free_bytes()
        });
        let free = free.await.map_err(|error| failed(&error))?;
        let (record, slot) = {
            let mut catalog = self.0.catalog();
            let limits = self.0.limits.load();
            catalog.check(&offer, &limits, free.saturating_sub(FREE_BYTES_MIN))?;
            catalog.add(&offer, now)
        };
        // From here on, whatever fails is put away when the upload is dropped.
        let upload = Upload::new(self.clone(), place, slot, record, &offer);
        upload.create().await?;
        Ok(upload)
    }
}

/// The folder or the records of files cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What the system says.
    #[error("{doing}: {source}")]
    Folder {
        /// What was being done.
        doing: String,
        /// What the system says.
        source: io::Error,
    },
    /// What the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Inner {
    fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().expect("nothing panics while it holds the catalog of files")
    }

    /// Commits notes and an event of a device; the receipt when they are durable.
    async fn commit(
        &self,
        device: &DeviceId,
        notes: Vec<Note>,
        event: Option<String>,
        ticket: Ticket,
    ) -> Option<Receipt> {
        let now = self.clock.now().wall;
        let text = event.clone();
        let event = event.map(|text| Event {
            at: now,
            severity: Severity::Info,
            kind: EventKind::File,
            device: Some(device.clone()),
            peer: None,
            text: text.into(),
        });
        let records = Records {
            device: device.clone(),
            received_at: now,
            report: None,
            frame: None,
            events: event.into_iter().collect(),
            notes,
        };
        let (waiting, outcome) = oneshot::channel();
        let asked: Arc<dyn Completion> = Arc::new(Asked(Mutex::new(Some(waiting))));
        self.store.submit(records, Some(Reply { ticket, to: asked })).await;
        match outcome.await {
            Ok(Outcome::Stored(receipt)) => {
                if let Some(text) = text {
                    tracing::info!(device = device.as_str(), kind = EventKind::File.word(), "{text}");
                }
                Some(receipt)
            }
            Ok(Outcome::NotStored(_)) | Err(_) => None,
        }
    }

    /// What leaves now, without what has left.
    fn leaving(&self) -> MutexGuard<'_, JoinSet<()>> {
        let mut leaving = self.leaving.lock().expect("nothing panics while it holds what leaves");
        while leaving.try_join_next().is_some() {}
        leaving
    }
}

/// Keeps a record in the place of what was known of the file.
fn put(record: &FileRecord) -> Note {
    Note { shelf: SHELF, key: key(record.number), change: NoteChange::Put(catalog::note(record)) }
}

fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// Work that waits for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("work on files does not panic")
}

/// The disk or the store failed; the log says how.
fn failed(error: &dyn std::error::Error) -> FileFailure {
    tracing::error!(%error, "a file cannot be kept");
    FileFailure::Failed
}

/// What an error of the disk is to a sender.
fn disk(error: &io::Error) -> FileFailure {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
    if full.contains(&error.kind()) { FileFailure::DiskFull } else { failed(error) }
}
