//! The bytes of a file on their way to the disk: some come in, while a thread writes and hashes those before.

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Seek as _, SeekFrom, Write as _};

use bytes::Bytes;
use loggerhead_model::Sha256;
use md5::Md5;
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::task::JoinHandle;

/// What one write takes: large enough that a disk and a thread are not woken for little.
const WRITE_BYTES: usize = 1024 * 1024;
/// Most pieces of one write: as many as the system takes at once (`IOV_MAX`).
const PIECES_MAX: usize = 1024;
/// Behind so many bytes, the system is told to begin writing: the sync at the end has less to wait for.
const WRITE_OUT_BYTES: u64 = 8 * 1024 * 1024;
/// What the system was told to write so many bytes before is on disk by now, and leaves its cache: a file of any size takes
/// little of it, and fresh memory is slower than that which the bytes before have just left.
const LET_GO_BEHIND_BYTES: u64 = 16 * 1024 * 1024;

/// What bytes come to.
struct Hashers {
    sha256: Hasher,
    md5: Option<Md5>,
}

/// What a thread that writes has in hand.
struct Writer {
    file: File,
    hashers: Hashers,
    written: u64,
    told: u64,
}

/// A file that is open.
pub(super) struct Part {
    /// None while a thread has it, and after a write that failed.
    writer: Option<Writer>,
    writing: Option<JoinHandle<io::Result<Writer>>>,
    /// What came since.
    pieces: Vec<Bytes>,
    pieces_bytes: usize,
}

/// What the first bytes of a file come to: who goes on behind them need not read them again.
pub(super) struct Progress {
    hashers: Hashers,
    written: u64,
}

/// What a file came to.
pub(super) struct Sums {
    pub(super) sha256: Sha256,
    pub(super) md5: Option<[u8; 16]>,
    pub(super) size: u64,
}

impl Hashers {
    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// What the first bytes of a file come to, which are read.
    fn read(file: &mut File, mut left: u64, wants_md5: bool) -> io::Result<Self> {
        let mut hashers = Self { sha256: Hasher::new(), md5: wants_md5.then(Md5::new) };
        let mut buffer = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        while left > 0 {
            buffer.resize(usize::try_from(left).unwrap_or(WRITE_BYTES).min(WRITE_BYTES), 0);
            file.read_exact(&mut buffer)?;
            hashers.update(&buffer);
            left -= buffer.len() as u64;
        }
        Ok(hashers)
    }
}

impl Writer {
    fn write(mut self, pieces: &[Bytes]) -> io::Result<Self> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            let count = self.file.write_vectored(left)?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.written += count as u64;
            IoSlice::advance_slices(&mut left, count);
        }
        // Behind the write, which has brought them into the cache of this core.
        for piece in pieces {
            self.hashers.update(piece);
        }
        if self.written - self.told >= WRITE_OUT_BYTES {
            let from = self.told.saturating_sub(LET_GO_BEHIND_BYTES);
            write_out(&self.file, from, self.written - from);
            self.told = self.written;
        }
        Ok(self)
    }
}

/// Asks the system to begin writing, and to let go of what is written. It may do as it likes: the sync at the end is what
/// counts.
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
        let fits = |known: &Progress| known.written == from && (known.hashers.md5.is_some() || !wants_md5);
        let hashers = match known.filter(fits) {
            Some(known) => known.hashers,
            None => Hashers::read(&mut file, from, wants_md5)?,
        };
        file.seek(SeekFrom::Start(from))?;
        let writer = Some(Writer { file, hashers, written: from, told: from });
        Ok(Self { writer, writing: None, pieces: Vec::new(), pieces_bytes: 0 })
    }

    /// Takes bytes; waits for the disk when a thread still writes, and as much as it writes has come since.
    pub(super) async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.pieces_bytes += bytes.len();
        self.pieces.push(bytes);
        if self.pieces_bytes >= WRITE_BYTES || self.pieces.len() == PIECES_MAX {
            self.send_off().await?;
        }
        Ok(())
    }

    /// Gives what came to a thread, once it has the other written.
    async fn send_off(&mut self) -> io::Result<()> {
        self.land().await?;
        let writer = self.writer.take().ok_or_else(broken)?;
        let pieces = std::mem::take(&mut self.pieces);
        self.pieces_bytes = 0;
        self.writing = Some(tokio::task::spawn_blocking(move || writer.write(&pieces)));
        Ok(())
    }

    /// Waits for the thread that writes.
    async fn land(&mut self) -> io::Result<()> {
        if let Some(writing) = &mut self.writing {
            let landed = writing.await;
            self.writing = None;
            self.writer = Some(landed.map_err(io::Error::other)??);
        }
        Ok(())
    }

    /// Writes everything that was taken.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if !self.pieces.is_empty() {
            self.send_off().await?;
        }
        self.land().await
    }

    /// What was written comes to this; none after a write that failed.
    pub(super) fn progress(self) -> Option<Progress> {
        self.writer.map(|Writer { hashers, written, .. }| Progress { hashers, written })
    }

    /// Brings everything that was taken to disk, and says what it came to.
    pub(super) async fn sync(&mut self) -> io::Result<Sums> {
        self.flush().await?;
        let writer = self.writer.take().ok_or_else(broken)?;
        let synced = tokio::task::spawn_blocking(move || {
            writer.file.sync_all()?;
            let size = writer.file.metadata()?.len();
            Ok::<_, io::Error>((writer, size))
        });
        let (writer, size) = synced.await.map_err(io::Error::other)??;
        let Hashers { sha256, md5 } = &writer.hashers;
        let sums =
            Sums { sha256: sha256.clone().finalize().into(), md5: md5.clone().map(|md5| md5.finalize().into()), size };
        self.writer = Some(writer);
        Ok(sums)
    }
}

fn broken() -> io::Error {
    io::Error::other("a write before this one failed")
}
