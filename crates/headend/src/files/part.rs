//! The bytes of a file on their way to the disk: two buffers of a fixed size, one being filled, one being written.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use loggerhead_model::Sha256;
use md5::Md5;
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::task::JoinHandle;

/// What one write takes: large enough that a disk and a thread are not woken for little.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Behind so many bytes, the system is told to begin writing: the sync at the end has less to wait for.
const WRITE_OUT_BYTES: u64 = 8 * 1024 * 1024;

/// What a thread that writes has in hand.
struct Work {
    file: File,
    sha256: Hasher,
    md5: Option<Md5>,
    written: u64,
    told: u64,
    buffer: Vec<u8>,
}

/// A file that is open.
pub(super) struct Part {
    /// None while a thread has it, and after a write that failed.
    work: Option<Work>,
    flying: Option<JoinHandle<io::Result<Work>>>,
    filling: Vec<u8>,
}

/// What the first bytes of a file come to: who goes on behind them need not read them again.
pub(super) struct Progress {
    sha256: Hasher,
    md5: Option<Md5>,
    written: u64,
}

/// What a file came to.
pub(super) struct Sums {
    pub(super) sha256: Sha256,
    pub(super) md5: Option<[u8; 16]>,
    pub(super) size: u64,
}

impl Work {
    /// Writes what the buffer holds.
    fn write(mut self) -> io::Result<Self> {
        self.file.write_all(&self.buffer)?;
        self.sha256.update(&self.buffer);
        if let Some(md5) = &mut self.md5 {
            md5.update(&self.buffer);
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written - self.told >= WRITE_OUT_BYTES {
            write_out(&self.file, self.told, self.written - self.told);
            self.told = self.written;
        }
        Ok(self)
    }
}

/// Asks the system to begin writing. It may do as it likes: the sync at the end is what counts.
fn write_out(file: &File, from: u64, count: u64) {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    let (Ok(from), Ok(count)) = (i64::try_from(from), i64::try_from(count)) else { return };
    let _ = posix_fadvise(file, from, count, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

impl Part {
    /// Goes on with a file behind its first `from` bytes, and gives up what is behind them. These bytes are read again unless
    /// `known` is what they come to. Blocks.
    pub(super) fn open(mut file: File, from: u64, wants_md5: bool, known: Option<Progress>) -> io::Result<Self> {
        file.set_len(from)?;
        let fits = |known: &Progress| known.written == from && (known.md5.is_some() || !wants_md5);
        if let Some(Progress { sha256, md5, written }) = known.filter(fits) {
            file.seek(SeekFrom::Start(from))?;
            let work = Work { file, sha256, md5, written, told: from, buffer: Vec::new() };
            return Ok(Self { work: Some(work), flying: None, filling: Vec::new() });
        }
        file.seek(SeekFrom::Start(0))?;
        let (mut sha256, mut md5) = (Hasher::new(), wants_md5.then(Md5::new));
        let mut buffer = Vec::new();
        let mut left = from;
        while left > 0 {
            buffer.resize(usize::try_from(left).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES), 0);
            file.read_exact(&mut buffer)?;
            sha256.update(&buffer);
            if let Some(md5) = &mut md5 {
                md5.update(&buffer);
            }
            left -= buffer.len() as u64;
        }
        buffer.clear();
        let work = Work { file, sha256, md5, written: from, told: from, buffer };
        Ok(Self { work: Some(work), flying: None, filling: Vec::new() })
    }

    /// Takes bytes; waits for the disk when both buffers are full.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.filling.capacity() == 0 {
                self.filling.reserve_exact(BUFFER_BYTES);
            }
            let room = BUFFER_BYTES - self.filling.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.filling.extend_from_slice(now);
            bytes = later;
            if self.filling.len() == BUFFER_BYTES {
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
        if !self.filling.is_empty() {
            self.send_off().await?;
        }
        self.land().await
    }

    /// What was written comes to this; none after a write that failed.
    pub(super) fn progress(self) -> Option<Progress> {
        self.work.map(|Work { sha256, md5, written, .. }| Progress { sha256, md5, written })
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
        let sums = Sums {
            sha256: work.sha256.clone().finalize().into(),
            md5: work.md5.clone().map(|md5| md5.finalize().into()),
            size,
        };
        self.work = Some(work);
        Ok(sums)
    }
}

fn broken() -> io::Error {
    io::Error::other("a write before this one failed")
}
