//! One file on its way, in the hands of its sender's connection.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use loggerhead_model::{FileRecord, FileState, Ticket};
use loggerhead_protocols::{Collision, FileFailure, FileOffer, FileSums, KeptFile, Start};
use tokio::sync::OwnedSemaphorePermit;

use super::part::{Progress, Sums};
use super::{Files, Part, blocking, disk, failed, put};

/// Where a file is written, and by whom. A newer sender takes it over from one whose connection is dead.
#[derive(Default)]
pub(super) struct Slot {
    /// Goes up with every sender; one of an earlier epoch may write no more.
    epoch: AtomicU64,
    here: AtomicU64,
    senders: AtomicUsize,
    /// None while nobody is at it. Held while the disk is waited for, by the one sender that may write.
    pub(super) part: tokio::sync::Mutex<Option<Part>>,
    /// What the bytes of a part come to that nobody is at. Lost with the process; then they are read again.
    progress: Mutex<Option<Progress>>,
}

impl Slot {
    /// Bytes of the file that were taken.
    pub(super) fn here(&self) -> u64 {
        self.here.load(Ordering::Relaxed)
    }

    pub(super) fn found(&self, here: u64) {
        self.here.store(here, Ordering::Relaxed);
    }

    /// Leaves what the bytes come to, and gives what was left there.
    fn swap_progress(&self, progress: Option<Progress>) -> Option<Progress> {
        std::mem::replace(&mut *self.progress.lock().unwrap_or_else(PoisonError::into_inner), progress)
    }

    /// Whether a sender is at it.
    pub(super) fn is_open(&self) -> bool {
        self.senders.load(Ordering::Relaxed) > 0
    }

    /// Keeps everybody out who is at it now.
    pub(super) fn fence(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }
}

/// One file on its way. What it brought is put away when this is dropped: kept for its sender to go on, where it has a key
/// for it, and removed otherwise.
pub struct Upload {
    files: Files,
    slot: Arc<Slot>,
    epoch: u64,
    record: FileRecord,
    sums: FileSums,
    collision: Collision,
    is_settled: bool,
    _place: OwnedSemaphorePermit,
}

impl Upload {
    pub(super) fn new(
        files: Files,
        place: OwnedSemaphorePermit,
        slot: Arc<Slot>,
        record: FileRecord,
        offer: &FileOffer,
    ) -> Self {
        slot.senders.fetch_add(1, Ordering::Relaxed);
        let epoch = slot.fence();
        let (sums, collision) = (offer.sums, offer.collision);
        Self { files, slot, epoch, record, sums, collision, is_settled: false, _place: place }
    }

    /// One of a file that is complete: its sender did not hear of it.
    pub(super) fn complete(files: Files, place: OwnedSemaphorePermit, slot: Arc<Slot>, record: FileRecord) -> Self {
        slot.senders.fetch_add(1, Ordering::Relaxed);
        let (sums, collision) = (FileSums::default(), Collision::default());
        Self { files, slot, epoch: 0, record, sums, collision, is_settled: true, _place: place }
    }

    /// Goes on with the part that is here; a sender that was at it is kept out. None when it was finished or removed meanwhile.
    pub(super) async fn go_on(
        files: Files,
        place: OwnedSemaphorePermit,
        slot: Arc<Slot>,
        record: FileRecord,
        offer: &FileOffer,
    ) -> Result<Option<Self>, FileFailure> {
        let locked = Arc::clone(&slot);
        let mut held = locked.part.lock().await;
        let state = files.0.catalog().find(record.number).map(|entry| entry.record.state);
        if state != Some(FileState::Partial) {
            return Ok(None);
        }
        let mut upload = Self::new(files, place, slot, record, offer);
        // The collision of the day decides, and a sum that was given once holds.
        upload.sums.sha256 = offer.sums.sha256.or(upload.record.sha256);
        let slot = Arc::clone(&upload.slot);
        let mut known = slot.swap_progress(None);
        if let Some(mut before) = held.take() {
            before.flush().await.map_err(|error| disk(&error))?;
            known = before.progress();
        }
        let (files, number, start) = (upload.files.clone(), upload.record.number, offer.start);
        let wants_md5 = offer.sums.md5.is_some();
        let opened = blocking(move || {
            let file = files.0.folder.open_part(number)?;
            let here = file.metadata()?.len();
            match start {
                Start::At(offset) if offset > here => Ok(Err(here)),
                Start::At(offset) => Part::open(file, offset, wants_md5, known).map(|part| Ok((part, offset))),
                Start::Behind => Part::open(file, here, wants_md5, known).map(|part| Ok((part, here))),
            }
        });
        let (part, here) = opened.await.map_err(|error| disk(&error))?.map_err(|here| FileFailure::Gap { here })?;
        upload.slot.found(here);
        *held = Some(part);
        Ok(Some(upload))
    }

    /// Makes the file of a new record, and commits that where somebody may come back for it.
    pub(super) async fn create(&self) -> Result<(), FileFailure> {
        let (files, number, wants_md5) = (self.files.clone(), self.record.number, self.sums.md5.is_some());
        let mut held = self.slot.part.lock().await;
        self.check_epoch()?;
        let made = blocking(move || Part::open(files.0.folder.create(number)?, 0, wants_md5, None));
        *held = Some(made.await.map_err(|error| disk(&error))?);
        if self.record.key.is_some() {
            let note = put(&self.record);
            let kept = self.files.0.commit(&self.record.device, vec![note], None, Ticket(0)).await;
            kept.ok_or(FileFailure::Failed).map(drop)?;
        }
        Ok(())
    }

    /// The file as it is known.
    #[must_use]
    pub fn record(&self) -> &FileRecord {
        &self.record
    }

    /// The next byte to write: the size of the file when it is complete.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.slot.here()
    }

    fn check_epoch(&self) -> Result<(), FileFailure> {
        if self.slot.epoch.load(Ordering::Acquire) == self.epoch { Ok(()) } else { Err(FileFailure::TakenOver) }
    }

    /// Takes bytes that follow what is here; waits while the disk is behind.
    ///
    /// # Errors
    /// `TakenOver`, `DiskFull`, or `Failed`; `Differs` when there are more than the file has.
    pub async fn write(&self, bytes: Bytes) -> Result<(), FileFailure> {
        let mut held = self.slot.part.lock().await;
        self.check_epoch()?;
        if self.slot.here().saturating_add(bytes.len() as u64) > self.record.size {
            return Err(FileFailure::Differs);
        }
        let part = held.as_mut().ok_or(FileFailure::Failed)?;
        let count = bytes.len() as u64;
        part.write(bytes).await.map_err(|error| disk(&error))?;
        self.slot.here.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Gives up what is behind the first `offset` bytes.
    ///
    /// # Errors
    /// `TakenOver`, or `Failed` when the disk does not take it.
    pub async fn back_to(&self, offset: u64) -> Result<(), FileFailure> {
        let mut held = self.slot.part.lock().await;
        self.check_epoch()?;
        if let Some(mut part) = held.take() {
            part.flush().await.map_err(|error| disk(&error))?;
        }
        let (files, number, wants_md5) = (self.files.clone(), self.record.number, self.sums.md5.is_some());
        let opened = blocking(move || Part::open(files.0.folder.open_part(number)?, offset, wants_md5, None)).await;
        *held = Some(opened.map_err(|error| disk(&error))?);
        self.slot.found(offset);
        Ok(())
    }

    /// Leaves what came for its sender to go on with later. It is durable when this returns.
    ///
    /// # Errors
    /// `TakenOver`, `DiskFull` or `Failed`.
    pub async fn leave(mut self) -> Result<(), FileFailure> {
        let away = Self::put_away(self.files.clone(), Arc::clone(&self.slot), self.epoch, self.record.clone());
        away.await?;
        self.is_settled = true;
        Ok(())
    }

    /// Verifies the file, names it and keeps it. It is durable when this returns.
    ///
    /// # Errors
    /// `WrongSum` when it is not what was promised, and then it is removed; `Exists` where its name is taken by now;
    /// `TakenOver`, `DiskFull` or `Failed`.
    pub async fn finish(self, ticket: Ticket) -> Result<KeptFile, FileFailure> {
        // A task of its own: a connection that ends now must not leave the file between its name and its record.
        tokio::spawn(self.settle(ticket)).await.map_err(|error| failed(&error))?
    }

    async fn settle(mut self, ticket: Ticket) -> Result<KeptFile, FileFailure> {
        if self.record.state == FileState::Complete {
            return self.kept_already(ticket).await;
        }
        let slot = Arc::clone(&self.slot);
        let mut held = slot.part.lock().await;
        self.check_epoch()?;
        let part = held.as_mut().ok_or(FileFailure::Failed)?;
        let Sums { sha256, md5, size } = part.sync().await.map_err(|error| disk(&error))?;
        let is_promised = self.sums.sha256.is_none_or(|sum| sum == sha256)
            && (self.sums.md5.is_none() || self.sums.md5 == md5)
            && size == self.record.size;
        if !is_promised {
            drop(held);
            self.is_settled = true;
            self.files.remove(self.record.number).await.map_err(|error| failed(&error))?;
            return Err(FileFailure::WrongSum);
        }
        let naming = self.files.0.naming.lock().await;
        let named = self.files.0.catalog().name(&self.record.device, &self.record.name, self.collision);
        let (name, replaced) = named?;
        let record = FileRecord {
            name,
            sha256: Some(sha256),
            state: FileState::Complete,
            changed_at: self.files.0.clock.now().wall,
            ..self.record.clone()
        };
        let text = format!("file {} of {} bytes kept", record.name, record.size);
        let note = put(&record);
        let receipt = self.files.0.commit(&record.device, vec![note], Some(text), ticket).await;
        let receipt = receipt.ok_or(FileFailure::Failed)?;
        // From here on it is complete, and at the latest in its place at the next start.
        self.is_settled = true;
        let (files, number) = (self.files.clone(), record.number);
        blocking(move || files.0.folder.keep(number)).await.map_err(|error| failed(&error))?;
        *held = None;
        self.files.0.catalog().change(record.clone());
        drop(naming);
        if let Some(replaced) = replaced {
            self.files.remove(replaced).await.map_err(|error| failed(&error))?;
        }
        Ok(KeptFile { receipt, name: record.name, sha256 })
    }

    /// Says once more that a file is kept.
    async fn kept_already(&self, ticket: Ticket) -> Result<KeptFile, FileFailure> {
        let _held = self.slot.part.lock().await;
        if self.files.0.catalog().find(self.record.number).is_none() {
            // It was removed meanwhile: its record is not to come back.
            return Err(FileFailure::Gap { here: 0 });
        }
        let note = put(&self.record);
        let receipt = self.files.0.commit(&self.record.device, vec![note], None, ticket).await;
        let (Some(receipt), Some(sha256)) = (receipt, self.record.sha256) else { return Err(FileFailure::Failed) };
        Ok(KeptFile { receipt, name: self.record.name.clone(), sha256 })
    }

    /// Puts a file away that its sender left.
    ///
    /// # Errors
    /// `TakenOver`, `DiskFull` or `Failed`; what can be put away still is.
    async fn put_away(files: Files, slot: Arc<Slot>, epoch: u64, mut record: FileRecord) -> Result<(), FileFailure> {
        let mut held = slot.part.lock().await;
        if slot.epoch.load(Ordering::Acquire) != epoch {
            return Err(FileFailure::TakenOver);
        }
        let mut synced = Ok(());
        if let Some(mut part) = held.take() {
            synced = part.sync().await.map(drop).map_err(|error| disk(&error));
            slot.swap_progress(part.progress());
        }
        if record.key.is_none() {
            files.0.catalog().remove(record.number);
            blocking(move || files.0.folder.remove(record.number)).await;
            return synced;
        }
        let number = record.number;
        let here = blocking({
            let files = files.clone();
            move || files.0.folder.open_part(number).and_then(|part| part.metadata()).map(|about| about.len())
        });
        match here.await {
            Ok(here) => slot.found(here),
            Err(error) => synced = Err(failed(&error)),
        }
        record.changed_at = files.0.clock.now().wall;
        let note = put(&record);
        // When that fails, the part expires a little earlier.
        let _ = files.0.commit(&record.device, vec![note], None, Ticket(0)).await;
        files.0.catalog().change(record);
        synced
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.slot.senders.fetch_sub(1, Ordering::Relaxed);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_settled {
            return;
        }
        let away = Self::put_away(self.files.clone(), Arc::clone(&self.slot), self.epoch, self.record.clone());
        // Nobody is there to hear how it went; what the disk says is logged.
        self.files.0.leaving().spawn_on(async move { away.await.unwrap_or_default() }, &runtime);
    }
}
