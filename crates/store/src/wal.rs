//! Whether the write-ahead log is whole. SQLite takes its first damaged frame for its end and forgets what stands behind
//! it without a word; here it is named, and the file is kept.
//!
//! ```text
//! header:  magic u32 | version u32 | page bytes u32 | sequence u32 | salt 2 x u32 | checksum 2 x u32, all BE
//! frame:   page u32 | pages after this commit u32, 0 within one | salt 2 x u32 | checksum 2 x u32 | the page
//! ```
//! A checksum goes on from that of the frame before. Source: <https://sqlite.org/fileformat2.html#walformat>.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::StoreError;
use crate::damage::Damage;
use crate::error::file;
use crate::schema::FILE;
use crate::shared::now;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Without its lowest bit, which says that checksums are over big-endian numbers.
const MAGIC: u32 = 0x377f_0682;
/// The largest page of SQLite.
const PAGE_BYTES_MAX: u32 = 65_536;

type Sum = (u32, u32);

/// Damage that is proved: a commit behind a frame that does not fit. A last commit that is not whole is none, because a
/// process may end in the middle of writing it; nobody was told that it is stored.
///
/// # Errors
/// `File` when the log is there and cannot be read.
pub(crate) fn look(directory: &Path) -> Result<Option<Damage>, StoreError> {
    let path = path(directory);
    let reading = || file(format!("reading {}", path.display()));
    let wal = match File::open(&path) {
        Ok(wal) => wal,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(reading()(error)),
    };
    examine(&mut BufReader::with_capacity(1 << 20, wal)).map_err(reading())
}

/// Keeps the log as it is under another name, before SQLite cuts it.
///
/// # Errors
/// `File` when it cannot be copied.
pub(crate) fn keep(directory: &Path) -> Result<PathBuf, StoreError> {
    let kept = directory.join(format!("{FILE}-wal.damaged-{}", now().unix_ms()));
    std::fs::copy(path(directory), &kept).map_err(file("keeping the damaged write-ahead log"))?;
    Ok(kept)
}

fn path(directory: &Path) -> PathBuf {
    directory.join(format!("{FILE}-wal"))
}

fn examine(wal: &mut impl Read) -> std::io::Result<Option<Damage>> {
    let mut header = [0; HEADER_BYTES];
    if !fill(wal, &mut header)? || header.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let damage = |what: String| Some(Damage::new("write-ahead log", what));
    let big_endian = word(&header, 0) & 1 == 1;
    let page_bytes = word(&header, 8);
    let sum = add((0, 0), header.get(..24).unwrap_or_default(), big_endian);
    if word(&header, 0) & !1 != MAGIC || page_bytes > PAGE_BYTES_MAX || sum != (word(&header, 24), word(&header, 28)) {
        return Ok(damage("its header is damaged: everything in it is lost".to_owned()));
    }
    let salt = (word(&header, 16), word(&header, 20));
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes as usize];
    // The checksum of the frames so far, as they should be, and as the last frame says.
    let (mut sum, mut said) = (sum, sum);
    let (mut frames, mut broken, mut lost) = (0_u64, None, 0_u64);
    while fill(wal, &mut frame)? {
        frames += 1;
        let of_this_log = (word(&frame, 8), word(&frame, 12)) == salt;
        let mine = (word(&frame, 16), word(&frame, 20));
        let over = |from: Sum| {
            let sum = add(from, frame.get(..8).unwrap_or_default(), big_endian);
            add(sum, frame.get(FRAME_HEADER_BYTES..).unwrap_or_default(), big_endian)
        };
        if broken.is_none() {
            sum = over(sum);
            if !of_this_log || sum != mine {
                broken = Some(frames);
            }
        } else if of_this_log && over(said) == mine && word(&frame, 4) != 0 {
            lost += 1;
        }
        said = mine;
    }
    // One commit behind it may be the last one, of which not every frame arrived.
    Ok(broken.filter(|_| lost > 1).and_then(|broken| {
        damage(format!("frame {broken} of {frames} is damaged: it and {lost} commits behind it are lost"))
    }))
}

/// Fills the buffer; false at the end.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}

fn add(from: Sum, bytes: &[u8], big_endian: bool) -> Sum {
    let number = |bytes: &[u8; 4]| if big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
    let (pairs, _) = bytes.as_chunks::<8>();
    pairs.iter().fold(from, |(one, other), pair| {
        let (Some(first), Some(second)) = (pair.first_chunk(), pair.last_chunk()) else { return (one, other) };
        let one = one.wrapping_add(number(first)).wrapping_add(other);
        (one, other.wrapping_add(number(second)).wrapping_add(one))
    })
}
