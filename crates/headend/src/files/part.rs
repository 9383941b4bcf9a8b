//! The bytes of a file on their way to the disk: two buffers of a fixed size, one being filled, one being written.
//!
//! They go around the system's cache where the file system can do that: a disk writes large blocks faster than the system
//! copies them twice, and the store's own syncs find no heap of other people's bytes before them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use loggerhead_model::Sha256;
use md5::Md5;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::task::JoinHandle;

/// What one write takes: large enough that a disk and a thread are not woken for little.
const BUFFER_BYTES: usize = 1024 * 1024;
/// What goes around the cache begins and ends at a multiple of this, in the file and in memory: no disk has larger sectors.
const BLOCK_BYTES: usize = 4096;

/// Bytes to be written at once, at a place in memory that a disk can take them from.
#[derive(Default)]
struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

/// What a thread that writes has in hand.
struct Work {
    file: File,
    written: u64,
    /// Whether writes go around the cache now, and whether they can.
    is_direct: bool,
    may_be_direct: bool,
    buffer: Buffer,
}

/// What bytes come to.
struct Hashes {
    sha256: Hasher,
    md5: Option<Md5>,
}

/// A file that is open.
pub(super) struct Part {
    /// None while a thread has it, and after a write that failed.
    work: Option<Work>,
    flying: Option<JoinHandle<io::Result<Work>>>,
    filling: Buffer,
    /// Of everything that was taken.
    hashes: Hashes,
    taken: u64,
}

/// What the first bytes of a file come to: who goes on behind them need not read them again.
pub(super) struct Progress {
    hashes: Hashes,
    written: u64,
}

/// What a file came to.
pub(super) struct Sums {
    pub(super) sha256: Sha256,
    pub(super) md5: Option<[u8; 16]>,
    pub(super) size: u64,
}

impl Buffer {
    fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..).unwrap_or_default()
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.memory.capacity() == 0 {
            self.memory.reserve_exact(BUFFER_BYTES + BLOCK_BYTES);
            self.start = self.memory.as_ptr().align_offset(BLOCK_BYTES);
            self.memory.resize(self.start, 0);
        }
        self.memory.extend_from_slice(bytes);
    }

    fn clear(&mut self) {
        self.memory.truncate(self.start);
    }
}

impl Work {
    fn new(file: File, written: u64) -> Self {
        Self { file, written, is_direct: false, may_be_direct: true, buffer: Buffer::default() }
    }

    /// Writes what the buffer holds.
    fn write(mut self) -> io::Result<Self> {
        let count = self.buffer.bytes().len();
        let is_of_blocks = self.written.is_multiple_of(BLOCK_BYTES as u64) && count.is_multiple_of(BLOCK_BYTES);
        self.go_around_cache(is_of_blocks && self.may_be_direct);
        let mut done = 0;
        while let Some(rest) = self.buffer.bytes().get(done..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // This file system has other blocks.
                Err(error) if self.is_direct && error.kind() == io::ErrorKind::InvalidInput => {
                    self.may_be_direct = false;
                    self.go_around_cache(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.written += count as u64;
        self.buffer.clear();
        Ok(self)
    }

    /// Turns writes around the cache on or off; where a file system knows no such thing, they stay off.
    fn go_around_cache(&mut self, is_direct: bool) {
        if is_direct == self.is_direct {
            return;
        }
        let flags = if is_direct { OFlag::O_DIRECT } else { OFlag::empty() };
        match fcntl(&self.file, FcntlArg::F_SETFL(flags)) {
            Ok(_) => self.is_direct = is_direct,
            Err(_) => self.may_be_direct = false,
        }
    }
}

impl Hashes {
    fn new(wants_md5: bool) -> Self {
        Self { sha256: Hasher::new(), md5: wants_md5.then(Md5::new) }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }
}

impl Part {
    /// Goes on with a file behind its first `from` bytes, and gives up what is behind them. These bytes are read again unless
    /// `known` is what they come to. Blocks.
    pub(super) fn open(mut file: File, from: u64, wants_md5: bool, known: Option<Progress>) -> io::Result<Self> {
        file.set_len(from)?;
        let fits = |known: &Progress| known.written == from && (known.hashes.md5.is_some() || !wants_md5);
        let hashes = if let Some(Progress { hashes, .. }) = known.filter(fits) {
            file.seek(SeekFrom::Start(from))?;
            hashes
        } else {
            read_again(&mut file, from, wants_md5)?
        };
        Ok(Self { work: Some(Work::new(file, from)), flying: None, filling: Buffer::default(), hashes, taken: from })
    }

    /// Takes bytes; waits for the disk when both buffers are full.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // Whatever place it begins at, a full buffer ends at the end of a block.
            let held = self.filling.bytes().len();
            let into_block = (self.taken - held as u64) % BLOCK_BYTES as u64;
            let room = BUFFER_BYTES - usize::try_from(into_block).unwrap_or(0) - held;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.filling.extend(now);
            self.hashes.update(now);
            self.taken += now.len() as u64;
            bytes = later;
            if now.len() == room {
                self.send_off().await?;
            }
        }
        Ok(())
    }

    /// Gives the full buffer to a thread, once it has the other one written.
    async fn send_off(&mut self) -> io::Result<()> {
        self.land().await?;
        let mut work = self.work.take().ok_or_else(broken)?;
        std::mem::swap(&mut work.buffer, &mut self.filling);
        self.flying = Some(tokio::task::spawn_blocking(move || work.write()));
        Ok(())
    }

    /// Waits for the thread that writes.
    async fn land(&mut self) -> io::Result<()> {
        if let Some(flying) = &mut self.flying {
            let landed = flying.await;
            self.flying = None;
            self.work = Some(landed.map_err(io::Error::other)??);
        }
        Ok(())
    }

    /// Writes everything that was taken.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if !self.filling.bytes().is_empty() {
            self.send_off().await?;
        }
        self.land().await
    }

    /// What was written comes to this; none after a write that failed, and while something is not written.
    pub(super) fn progress(self) -> Option<Progress> {
        let written = self.work.map(|work| work.written).filter(|written| *written == self.taken)?;
        Some(Progress { hashes: self.hashes, written })
    }

    /// Brings everything that was taken to disk, and says what it came to.
    pub(super) async fn sync(&mut self) -> io::Result<Sums> {
        self.flush().await?;
        let work = self.work.take().ok_or_else(broken)?;
        let synced = tokio::task::spawn_blocking(move || {
            work.file.sync_all()?;
            let size = work.file.metadata()?.len();
            Ok::<_, io::Error>((work, size))
        });
        let (work, size) = synced.await.map_err(io::Error::other)??;
        self.work = Some(work);
        let Hashes { sha256, md5 } = &self.hashes;
        Ok(Sums {
            sha256: sha256.clone().finalize().into(),
            md5: md5.as_ref().map(|md5| md5.clone().finalize().into()),
            size,
        })
    }
}

/// What the first `count` bytes of a file come to. It is behind them then.
fn read_again(file: &mut File, count: u64, wants_md5: bool) -> io::Result<Hashes> {
    file.seek(SeekFrom::Start(0))?;
    let mut hashes = Hashes::new(wants_md5);
    let mut buffer = vec![0; usize::try_from(count).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES)];
    let mut left = count;
    while left > 0 {
        buffer.truncate(usize::try_from(left).unwrap_or(BUFFER_BYTES));
        file.read_exact(&mut buffer)?;
        hashes.update(&buffer);
        left -= buffer.len() as u64;
    }
    Ok(hashes)
}

fn broken() -> io::Error {
    io::Error::other("a write before this one failed")
}
