//! The files of a head-end on a real disk, with a real store beside them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{DeviceId, FileName, FileState, Ticket, Timestamp};
use loggerhead_protocols::{Collision, FileFailure, FileOffer, FileSums, KeptFile, Start};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::upload::Slot;
use super::{FileQuery, Files, UPLOADS_PER_DEVICE_MAX, Upload};
use crate::clock::Clock;
use crate::config;

const MIB: u64 = 1024 * 1024;

/// Files in a directory of their own.
struct Site {
    files: Files,
    directory: TempDir,
}

impl Site {
    async fn open(limits: config::Files) -> Self {
        let directory = tempfile::tempdir().expect("a directory for this test");
        let files = opened(directory.path(), limits).await;
        Self { files, directory }
    }

    /// Ends, and opens the same again.
    async fn again(self) -> Self {
        let Self { files, directory } = self;
        settle(&files).await;
        files.0.store.clone().close().await;
        drop(files);
        Self { files: opened(directory.path(), config::Files::default()).await, directory }
    }

    /// The names in one of the folders, in order.
    fn names(&self, folder: &str) -> Vec<String> {
        let folder = self.directory.path().join("data/files").join(folder);
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    fn kept(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.directory.path().join("data/files/kept").join(name)).expect("it is kept")
    }

    async fn begin(&self, offer: FileOffer) -> Result<Upload, FileFailure> {
        self.files.begin(offer).await
    }

    /// Sends a whole file.
    async fn send(&self, offer: FileOffer, bytes: &[u8]) -> Result<KeptFile, FileFailure> {
        let upload = self.begin(offer).await?;
        upload.write(Bytes::copy_from_slice(bytes)).await?;
        upload.finish(Ticket(1)).await
    }
}

async fn opened(directory: &Path, limits: config::Files) -> Files {
    let data = directory.join("data");
    let opening = move || {
        let store = loggerhead_store::Store::open(&data, loggerhead_store::Options::default()).expect("a store");
        Files::open(&data, &store, Clock::start(), limits).expect("a folder")
    };
    tokio::task::spawn_blocking(opening).await.expect("opening does not panic")
}

/// Waits until every upload that was left is put away, and what was removed is gone.
async fn settle(files: &Files) {
    let leaving = std::mem::take(&mut *files.0.leaving());
    leaving.join_all().await;
}

fn offer(name: &str, size: usize) -> FileOffer {
    FileOffer {
        device: DeviceId::new("here").expect("an id"),
        name: FileName::of_sender(name).expect("a name"),
        size: size as u64,
        key: None,
        metadata: None,
        start: Start::At(0),
        sums: FileSums::default(),
        collision: Collision::Suffix,
    }
}

/// An offer of a sender that comes again.
fn resuming(name: &str, size: usize) -> FileOffer {
    FileOffer { key: Some("x".to_owned()), start: Start::Behind, ..offer(name, size) }
}

fn sum(bytes: &[u8]) -> FileSums {
    FileSums { sha256: Some(Sha256::digest(bytes).into()), md5: None }
}

fn other_device(offer: FileOffer) -> FileOffer {
    FileOffer { device: DeviceId::new("there").expect("an id"), ..offer }
}

#[track_caller]
fn failure<T>(result: Result<T, FileFailure>) -> FileFailure {
    result.err().expect("it is refused")
}

#[tokio::test]
async fn a_file_is_verified_named_kept_and_known_after_a_restart() {
    let site = Site::open(config::Files::default()).await;
    let bytes = vec![7; 3_000_000];
    let kept = site.send(FileOffer { sums: sum(&bytes), ..offer("dir/a.bin", bytes.len()) }, &bytes).await;
    let kept = kept.expect("it is taken");
    assert_eq!((kept.name.as_str(), Some(kept.sha256)), ("a.bin", sum(&bytes).sha256));
    let site = site.again().await;
    let query = FileQuery { text: Some("A.B".to_owned()), limit: 10, ..FileQuery::default() };
    let found = site.files.find(&query);
    let [status] = &found[..] else { panic!("{found:?}") };
    assert_eq!((status.record.state, status.here, status.is_open), (FileState::Complete, 3_000_000, false));
    let number = status.record.number;
    assert!(site.kept(&number.to_string()) == bytes);
    assert!(site.files.remove(number).await.expect("the store writes"));
    assert!(!site.files.remove(number).await.expect("the store writes"), "it is gone");
    assert_eq!((site.names("kept").len(), site.files.bytes(None)), (0, 0));
}

#[tokio::test]
async fn what_does_not_come_to_its_sum_leaves_nothing() {
    let site = Site::open(config::Files::default()).await;
    let wrong = FileOffer { sums: sum(b"hellp"), key: Some("x".to_owned()), ..offer("a", 5) };
    assert_eq!(failure(site.send(wrong, b"hello").await), FileFailure::WrongSum);
    let md5 = FileSums { sha256: None, md5: Some([0; 16]) };
    assert_eq!(failure(site.send(FileOffer { sums: md5, ..offer("a", 5) }, b"hello").await), FileFailure::WrongSum);
    let upload = site.begin(offer("a", 5)).await.expect("there is room");
    upload.write(Bytes::from_static(b"hell")).await.expect("it is less");
    assert_eq!(failure(upload.write(Bytes::from_static(b"oo")).await), FileFailure::Differs, "more than was said");
    drop(upload);
    settle(&site.files).await;
    assert_eq!((site.names("incoming"), site.names("kept"), site.files.bytes(None)), (vec![], vec![], 0));
}

#[tokio::test]
async fn a_name_that_is_taken_is_what_the_collision_says() {
    let site = Site::open(config::Files::default()).await;
    let with = |collision| FileOffer { collision, ..offer("a.txt", 1) };
    let mut names = Vec::new();
    for bytes in [b"1", b"2", b"3"] {
        names.push(site.send(with(Collision::Suffix), bytes).await.expect("it is taken").name.to_string());
    }
    assert_eq!(names, ["a.txt", "a (2).txt", "a (3).txt"]);
    assert_eq!(failure(site.send(with(Collision::Error), b"4").await), FileFailure::Exists);
    let theirs = site.send(other_device(with(Collision::Error)), b"5").await.expect("another device, another name");
    assert_eq!(theirs.name.as_str(), "a.txt");
    let instead = site.send(with(Collision::Replace), b"6").await.expect("it is taken");
    assert_eq!(instead.name.as_str(), "a.txt");
    let held: Vec<u8> = site.names("kept").iter().flat_map(|name| site.kept(name)).collect();
    assert_eq!(held, b"2356", "the first one is gone");
}

#[tokio::test]
async fn a_device_and_all_have_their_shares_and_get_them_back() {
    let limits = config::Files { device_bytes_max: 2 * MIB, total_bytes_max: 3 * MIB, ..config::Files::default() };
    let site = Site::open(limits).await;
    let size = 1_048_576;
    let part = site.begin(resuming("a", size)).await.expect("there is room");
    drop(part);
    settle(&site.files).await;
    let bytes = vec![0; size];
    site.send(offer("b", size), &bytes).await.expect("there is room");
    assert_eq!(failure(site.begin(offer("c", 1)).await), FileFailure::Quota, "a part has its room already");
    site.send(other_device(offer("a", size)), &bytes).await.expect("another device has room");
    assert_eq!(failure(site.begin(other_device(offer("b", 1))).await), FileFailure::Quota, "but all have no more");
    assert_eq!(failure(site.begin(offer("huge", usize::MAX)).await), FileFailure::Quota);
    site.files.remove(1).await.expect("the store writes");
    site.send(other_device(offer("b", size)), &bytes).await.expect("there is room again");
    assert_eq!(site.files.bytes(None), 3 * MIB);
}

#[tokio::test]
async fn a_device_brings_so_many_files_at_once_and_no_more() {
    let site = Site::open(config::Files::default()).await;
    let mut open = Vec::new();
    for _ in 0..UPLOADS_PER_DEVICE_MAX {
        open.push(site.begin(offer("a", 1)).await.expect("there is a place"));
    }
    assert_eq!(failure(site.begin(offer("a", 1)).await), FileFailure::Busy);
    site.begin(other_device(offer("a", 1))).await.expect("others have theirs");
    open.pop();
    site.begin(offer("a", 1)).await.expect("there is a place again");
}

#[tokio::test]
async fn a_part_with_a_key_goes_on_and_one_without_is_gone() {
    let mut site = Site::open(config::Files::default()).await;
    let bytes: Vec<u8> = (0..2_500_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let again = || FileOffer { sums: sum(&bytes), ..resuming("a", bytes.len()) };
    let gone = site.begin(offer("gone", 10)).await.expect("there is room");
    gone.write(Bytes::from_static(b"hello")).await.expect("it is written");
    drop(gone);
    // Left in order, in a hurry, and by an end of the process.
    for (end, how) in [(900_000, "leave"), (1_300_000, "drop"), (2_000_000, "again"), (2_100_000, "leave")] {
        let upload = site.begin(again()).await.expect("there is room");
        let here = usize::try_from(upload.offset()).expect("small");
        upload.write(Bytes::copy_from_slice(&bytes[here..end])).await.expect("it is written");
        if how == "leave" {
            upload.leave().await.expect("the disk takes it");
        } else {
            drop(upload);
            settle(&site.files).await;
        }
        if how == "again" {
            site = site.again().await;
        }
        let query = FileQuery { state: Some(FileState::Partial), limit: 10, ..FileQuery::default() };
        let here: Vec<u64> = site.files.find(&query).iter().map(|status| status.here).collect();
        assert_eq!(here, [end as u64], "{how}");
    }
    let other = FileOffer { size: 1, ..again() };
    assert_eq!(failure(site.begin(other).await), FileFailure::Differs);
    let ahead = FileOffer { start: Start::At(2_200_000), ..again() };
    assert_eq!(failure(site.begin(ahead).await), FileFailure::Gap { here: 2_100_000 });
    // What is behind the offset is given up, and comes once more.
    let upload = site.begin(FileOffer { start: Start::At(1_000_000), ..again() }).await.expect("it is here");
    upload.write(Bytes::from_static(b"what is wrong")).await.expect("it is written");
    upload.back_to(1_000_000).await.expect("the disk takes it");
    upload.write(Bytes::copy_from_slice(&bytes[1_000_000..])).await.expect("it is written");
    let kept = upload.finish(Ticket(1)).await.expect("it comes to its sum");
    assert_eq!(kept.name.as_str(), "a");
    // Its sender did not hear that, and asks again.
    let upload = site.begin(again()).await.expect("it is here");
    assert_eq!(upload.offset(), bytes.len() as u64);
    upload.finish(Ticket(2)).await.expect("it is kept");
    assert_eq!(site.names("kept").len(), 1);
}

#[tokio::test]
async fn a_newer_sender_keeps_an_older_one_out() {
    let site = Site::open(config::Files::default()).await;
    let old = site.begin(resuming("a", 6)).await.expect("there is room");
    old.write(Bytes::from_static(b"abc")).await.expect("it is written");
    let new = site.begin(resuming("a", 6)).await.expect("it goes on");
    assert_eq!(new.offset(), 3);
    assert_eq!(failure(old.write(Bytes::from_static(b"xyz")).await), FileFailure::TakenOver);
    drop(old);
    settle(&site.files).await;
    new.write(Bytes::from_static(b"def")).await.expect("it is written");
    new.finish(Ticket(1)).await.expect("it is whole");
    assert_eq!(site.kept(&site.names("kept")[0]), b"abcdef");
}

#[tokio::test]
async fn parts_expire_that_nobody_is_at() {
    let limits = config::Files { partial_keep: Duration::from_hours(1), ..config::Files::default() };
    let site = Site::open(limits).await;
    let open = site.begin(resuming("open", 5)).await.expect("there is room");
    let left = site.begin(FileOffer { key: Some("y".to_owned()), ..resuming("left", 5) }).await.expect("there is room");
    left.leave().await.expect("the disk takes it");
    site.send(offer("whole", 5), b"hello").await.expect("there is room");
    let until = site.files.kept_until(&site.files.status(2).expect("it is left").record);
    site.files.remove_expired(Timestamp::from_unix_ms(until.unix_ms() - 1)).await;
    assert_eq!(site.names("incoming"), ["1", "2"]);
    site.files.remove_expired(until).await;
    settle(&site.files).await;
    assert_eq!((site.names("incoming"), site.names("kept").len()), (vec!["1".to_owned()], 1));
    drop(open);
}

#[tokio::test]
async fn what_an_end_left_is_put_in_its_place_set_aside_or_removed() {
    let site = Site::open(config::Files::default()).await;
    site.send(offer("whole", 5), b"hello").await.expect("there is room");
    let part = site.begin(resuming("a", 5)).await.expect("there is room");
    part.write(Bytes::from_static(b"hel")).await.expect("it is written");
    part.leave().await.expect("the disk takes it");
    let root = site.directory.path().join("data/files");
    // An end between the record and the place of a file, a file without a record, and a part without one.
    std::fs::rename(root.join("kept/1"), root.join("incoming/1")).expect("it is there");
    std::fs::write(root.join("kept/41"), "whose?").expect("a directory of this test");
    std::fs::write(root.join("incoming/42"), "whose?").expect("a directory of this test");
    let site = site.again().await;
    assert_eq!((site.names("incoming"), site.names("kept")), (vec!["2".to_owned()], vec!["1".to_owned()]));
    assert_eq!((site.names("lost"), site.kept("1")), (vec!["41".to_owned()], b"hello".to_vec()));
    let upload = site.begin(resuming("a", 5)).await.expect("it goes on");
    assert_eq!(upload.offset(), 3);
    upload.write(Bytes::from_static(b"lo")).await.expect("it is written");
    upload.finish(Ticket(1)).await.expect("it is whole");
    let next = site.begin(offer("b", 1)).await.expect("there is room");
    assert!(next.record().number > 41, "no number is given twice");
}

fn slot(files: &Files, number: u64) -> Arc<Slot> {
    files.0.catalog().find(number).map(|entry| Arc::clone(&entry.slot)).expect("it is known")
}

#[tokio::test]
async fn a_sender_that_comes_while_its_file_is_finished_finds_it_complete() {
    let site = Site::open(config::Files::default()).await;
    let upload = site.begin(resuming("a", 5)).await.expect("there is room");
    upload.write(Bytes::from_static(b"hello")).await.expect("it is written");
    // It gets as far as its name, which somebody else holds until the sender is there again.
    let naming = site.files.0.naming.lock().await;
    let finishing = tokio::spawn(upload.finish(Ticket(1)));
    let slot = slot(&site.files, 1);
    while slot.part.try_lock().is_ok() {
        tokio::task::yield_now().await;
    }
    let (again, ()) = tokio::join!(site.begin(resuming("a", 5)), async { drop(naming) });
    let again = again.expect("it is here");
    assert_eq!((again.record().state, again.offset()), (FileState::Complete, 5));
    finishing.await.expect("it does not panic").expect("it is whole");
    again.finish(Ticket(2)).await.expect("it is kept");
    let site = site.again().await;
    assert_eq!((site.names("incoming"), site.names("kept")), (vec![], vec!["1".to_owned()]));
    assert_eq!(site.files.status(1).map(|status| status.record.state), Some(FileState::Complete));
}

#[tokio::test]
async fn a_file_that_is_removed_does_not_come_back_with_its_sender() {
    let site = Site::open(config::Files::default()).await;
    site.send(FileOffer { key: Some("y".to_owned()), ..resuming("whole", 5) }, b"hello").await.expect("there is room");
    let told_again = FileOffer { key: Some("y".to_owned()), ..resuming("whole", 5) };
    let told_again = site.begin(told_again).await.expect("it is here");
    let part = site.begin(resuming("a", 5)).await.expect("there is room");
    part.leave().await.expect("the disk takes it");
    assert!(site.files.remove(1).await.expect("the store writes"));
    // Who removes it comes first, and its sender is already there.
    let slot = slot(&site.files, 2);
    let held = slot.part.lock().await;
    let (removed, anew, ()) = tokio::join!(site.files.remove(2), site.begin(resuming("a", 5)), async { drop(held) });
    assert!(removed.expect("the store writes"));
    let anew = anew.expect("there is room");
    assert_eq!((anew.record().number, anew.offset()), (3, 0), "another one");
    assert_eq!(failure(told_again.finish(Ticket(1)).await), FileFailure::Gap { here: 0 });
    drop(anew);
    let site = site.again().await;
    let numbers: Vec<u64> = site
        .files
        .find(&FileQuery { limit: 10, ..FileQuery::default() })
        .iter()
        .map(|status| status.record.number)
        .collect();
    assert_eq!((numbers, site.names("kept")), (vec![3], vec![]));
}
