//! What is known of all files, held in memory as in the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{DeviceId, FileName, FileRecord, FileState, Sha256, Timestamp};
use loggerhead_protocols::{Collision, FileFailure, FileOffer};
use serde::{Deserialize, Serialize};

use super::upload::Slot;
use super::{FILES_MAX, UPLOADS_PER_DEVICE_MAX};
use crate::config;

/// Where the records are among the notes of the store.
pub(super) const SHELF: &str = "files";

/// A file that is known.
pub(super) struct Entry {
    pub(super) record: FileRecord,
    pub(super) slot: Arc<Slot>,
}

/// Which files, the newest first. `None` fits all.
#[derive(Clone, Debug, Default)]
pub struct FileQuery {
    /// Of this device.
    pub device: Option<DeviceId>,
    /// With this in their names, whatever the case.
    pub text: Option<String>,
    /// Only this far.
    pub state: Option<FileState>,
    /// Only before the one of this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// A file as it stands now.
#[derive(Clone, Debug)]
pub struct FileStatus {
    /// What is known of it.
    pub record: FileRecord,
    /// Bytes of it that are here.
    pub here: u64,
    /// Whether a sender is at it now.
    pub is_open: bool,
}

impl Entry {
    pub(super) fn status(&self) -> FileStatus {
        FileStatus { record: self.record.clone(), here: self.slot.here(), is_open: self.slot.is_open() }
    }
}

#[derive(Default)]
pub(super) struct Catalog {
    entries: BTreeMap<u64, Entry>,
    usage: HashMap<DeviceId, u64>,
    next: u64,
}

/// A record as it stands in the store.
#[derive(Serialize, Deserialize)]
struct Written {
    device: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    metadata: Option<String>,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sha256: Option<Sha256>,
    complete: bool,
    begun_at: i64,
    changed_at: i64,
}

/// A record as the store keeps it.
pub(super) fn note(record: &FileRecord) -> Bytes {
    let written = Written {
        device: record.device.as_str().to_owned(),
        name: record.name.as_str().to_owned(),
        key: record.key.clone(),
        metadata: record.metadata.clone(),
        size: record.size,
        sha256: record.sha256,
        complete: record.state == FileState::Complete,
        begun_at: record.begun_at.unix_ms(),
        changed_at: record.changed_at.unix_ms(),
    };
    serde_json::to_vec(&written).expect("texts and numbers are JSON").into()
}

fn read(key: &[u8], value: &[u8]) -> Option<FileRecord> {
    let written: Written = serde_json::from_slice(value).ok()?;
    Some(FileRecord {
        number: u64::from_be_bytes(key.try_into().ok()?),
        device: DeviceId::new(&written.device).ok()?,
        name: FileName::of_sender(&written.name).ok()?,
        key: written.key,
        metadata: written.metadata,
        size: written.size,
        sha256: written.sha256,
        state: if written.complete { FileState::Complete } else { FileState::Partial },
        begun_at: Timestamp::from_unix_ms(written.begun_at),
        changed_at: Timestamp::from_unix_ms(written.changed_at),
    })
}

impl Catalog {
    /// Takes in what an earlier run noted.
    pub(super) fn recall(&mut self, key: &[u8], value: &[u8]) {
        if let Some(record) = read(key, value) {
            self.insert(record);
        } else {
            tracing::warn!("the record of a file cannot be read; the file is set aside");
        }
    }

    fn insert(&mut self, record: FileRecord) {
        self.next = self.next.max(record.number + 1);
        *self.usage.entry(record.device.clone()).or_default() += record.size;
        self.entries.insert(record.number, Entry { record, slot: Arc::default() });
    }

    /// Numbers of new files are over this one.
    pub(super) fn number_after(&mut self, last: u64) {
        self.next = self.next.max(last + 1);
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(super) fn find(&self, number: u64) -> Option<&Entry> {
        self.entries.get(&number)
    }

    /// The newest file that a device calls so.
    pub(super) fn keyed(&self, device: &DeviceId, key: &str) -> Option<(FileRecord, Arc<Slot>)> {
        let is_it = |entry: &&Entry| entry.record.device == *device && entry.record.key.as_deref() == Some(key);
        self.entries.values().rev().find(is_it).map(|entry| (entry.record.clone(), Arc::clone(&entry.slot)))
    }

    /// The complete file of a device that has this name.
    pub(super) fn named(&self, device: &DeviceId, name: &FileName) -> Option<&FileRecord> {
        let mut records = self.entries.values().map(|entry| &entry.record);
        records.find(|record| record.state == FileState::Complete && record.device == *device && record.name == *name)
    }

    /// The names of the complete files of a device.
    fn names(&self, device: &DeviceId) -> impl Iterator<Item = &FileName> {
        let records = self.entries.values().map(|entry| &entry.record);
        let complete = records.filter(|record| record.state == FileState::Complete && record.device == *device);
        complete.map(|record| &record.name)
    }

    /// The name that a file gets, and the file whose place it takes.
    ///
    /// # Errors
    /// `Exists` where the name is taken and may not be changed.
    pub(super) fn name(
        &self,
        device: &DeviceId,
        wanted: &FileName,
        collision: Collision,
    ) -> Result<(FileName, Option<u64>), FileFailure> {
        let Some(taken) = self.named(device, wanted) else { return Ok((wanted.clone(), None)) };
        match collision {
            Collision::Error => Err(FileFailure::Exists),
            Collision::Replace => Ok((wanted.clone(), Some(taken.number))),
            Collision::Suffix => {
                // A device that gives all of its files one name has many: they are looked through once.
                let taken: HashSet<_> = self.names(device).collect();
                let mut numbered = (2..=u32::MAX).map(|number| wanted.numbered(number));
                let free = numbered.find(|name| !taken.contains(name));
                free.map(|name| (name, None)).ok_or(FileFailure::Exists)
            }
        }
    }

    /// Whether there is room for a file.
    ///
    /// # Errors
    /// `Exists`, `Quota`, `Busy` or `DiskFull` where there is none.
    pub(super) fn check(&self, offer: &FileOffer, limits: &config::Files, free: u64) -> Result<(), FileFailure> {
        if offer.collision == Collision::Error && self.named(&offer.device, &offer.name).is_some() {
            return Err(FileFailure::Exists);
        }
        let over = |used: u64, max: u64| used.checked_add(offer.size).is_none_or(|bytes| bytes > max);
        if over(self.bytes(Some(&offer.device)), limits.device_bytes_max)
            || over(self.bytes(None), limits.total_bytes_max)
            || self.entries.len() >= FILES_MAX
        {
            return Err(FileFailure::Quota);
        }
        let open = |entry: &&Entry| entry.record.device == offer.device && entry.slot.is_open();
        if self.entries.values().filter(open).count() >= UPLOADS_PER_DEVICE_MAX {
            return Err(FileFailure::Busy);
        }
        // What is on its way has its room already, as far as it is not written.
        let coming: u64 = self
            .entries
            .values()
            .filter(|entry| entry.record.state == FileState::Partial)
            .map(|entry| entry.record.size.saturating_sub(entry.slot.here()))
            .sum();
        if over(coming, free) { Err(FileFailure::DiskFull) } else { Ok(()) }
    }

    /// Adds a file that begins.
    pub(super) fn add(&mut self, offer: &FileOffer, now: Timestamp) -> (FileRecord, Arc<Slot>) {
        let record = FileRecord {
            number: self.next,
            device: offer.device.clone(),
            name: offer.name.clone(),
            key: offer.key.clone(),
            metadata: offer.metadata.clone(),
            size: offer.size,
            sha256: offer.sums.sha256,
            state: FileState::Partial,
            begun_at: now,
            changed_at: now,
        };
        self.insert(record.clone());
        let slot = self.find(record.number).map(|entry| Arc::clone(&entry.slot)).unwrap_or_default();
        (record, slot)
    }

    /// A record changed; its size does not.
    pub(super) fn change(&mut self, record: FileRecord) {
        if let Some(entry) = self.entries.get_mut(&record.number) {
            entry.record = record;
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        let Some(entry) = self.entries.remove(&number) else { return };
        if let Some(used) = self.usage.get_mut(&entry.record.device) {
            *used = used.saturating_sub(entry.record.size);
            if *used == 0 {
                self.usage.remove(&entry.record.device);
            }
        }
    }

    pub(super) fn bytes(&self, device: Option<&DeviceId>) -> u64 {
        match device {
            Some(device) => self.usage.get(device).copied().unwrap_or(0),
            None => self.usage.values().sum(),
        }
    }

    /// Parts that nobody went on with for so long.
    pub(super) fn expired(&self, now: Timestamp, keep: Duration) -> Vec<u64> {
        let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let is_old = |entry: &&Entry| {
            entry.record.state == FileState::Partial
                && !entry.slot.is_open()
                && entry.record.changed_at.unix_ms().saturating_add(keep_ms) <= now.unix_ms()
        };
        self.entries.values().filter(is_old).map(|entry| entry.record.number).collect()
    }

    pub(super) fn list(&self, query: &FileQuery) -> Vec<FileStatus> {
        let text = query.text.as_ref().map(|text| text.to_lowercase());
        let fits = |entry: &&Entry| {
            let record = &entry.record;
            query.device.as_ref().is_none_or(|device| *device == record.device)
                && query.state.is_none_or(|state| state == record.state)
                && text.as_ref().is_none_or(|text| record.name.as_str().to_lowercase().contains(text.as_str()))
        };
        let before = query.before.unwrap_or(u64::MAX);
        let entries = self.entries.range(..before).rev().map(|(_, entry)| entry);
        entries.filter(fits).take(query.limit).map(Entry::status).collect()
    }
}

#[cfg(test)]
mod tests {
    use loggerhead_model::{DeviceId, FileName, FileRecord, FileState, Timestamp};
    use loggerhead_protocols::Collision;

    use super::{Catalog, FILES_MAX};

    #[test]
    fn as_many_files_of_one_name_are_numbered_as_there_may_be() {
        let (device, wanted) = (DeviceId::new("gate").expect("a name"), FileName::of_sender("1.jpg").expect("a name"));
        let at = Timestamp::from_unix_ms(0);
        let mut catalog = Catalog::default();
        for number in 1..u32::try_from(FILES_MAX).expect("a small number") {
            let name = if number == 1 { wanted.clone() } else { wanted.numbered(number) };
            catalog.insert(FileRecord {
                number: number.into(),
                device: device.clone(),
                name,
                key: None,
                metadata: None,
                size: 1,
                sha256: None,
                state: FileState::Complete,
                begun_at: at,
                changed_at: at,
            });
        }
        let (name, replaced) = catalog.name(&device, &wanted, Collision::Suffix).expect("a number is free");
        assert_eq!((name.as_str(), replaced), (format!("1 ({FILES_MAX}).jpg").as_str(), None));
        catalog.remove(7);
        assert_eq!(catalog.name(&device, &wanted, Collision::Suffix).expect("a number").0.as_str(), "1 (7).jpg");
    }
}
