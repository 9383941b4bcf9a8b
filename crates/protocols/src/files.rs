//! Files that devices bring: what a session asks of the head-end, which alone has a disk.
//!
//! A session never holds a file: it says what comes, hands on the bytes as they come, and says when they are all there.

use std::fmt;

use bytes::Bytes;
use loggerhead_model::{DeviceId, FileName, Receipt, Sha256, Ticket};

/// A step of a file. A connection brings one file at a time.
#[derive(Debug)]
pub enum FileStep {
    /// Make room for a file, or find the part of it that is here. Answered by `FileNews::Begun` or `FileNews::Failed`.
    Begin(Box<FileOffer>),
    /// These bytes come next. Answered only when that fails.
    Write(Bytes),
    /// All bytes were handed on: verify the file, name it and keep it. Answered by `FileNews::Kept` or `FileNews::Failed`.
    Finish(Ticket),
}

/// A file that a device wants to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOffer {
    /// Whose it will be.
    pub device: DeviceId,
    /// Its name.
    pub name: FileName,
    /// Bytes of the whole file.
    pub size: u64,
    /// By which name its sender finds it again. Without one, nothing of a file that breaks off is kept.
    pub key: Option<String>,
    /// What its sender says of it besides, to be told back to it as it is. Its length is the protocol's to limit.
    pub metadata: Option<String>,
    /// Where its bytes begin.
    pub start: Start,
    /// What its bytes have to come to.
    pub sums: FileSums,
    /// What becomes of it where its device has a file of this name.
    pub collision: Collision,
}

/// Where the bytes that a sender is about to send begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind what is here of the file: the sender asks first.
    Behind,
    /// There; what is here and lies behind it is given up.
    At(u64),
}

/// Checksums that a sender gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSums {
    /// SHA-256 of the whole file.
    pub sha256: Option<Sha256>,
    /// MD5 of the whole file.
    pub md5: Option<[u8; 16]>,
}

/// What becomes of a file whose name is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Collision {
    /// It is refused.
    Error,
    /// It gets a number: `1 (2).jpg`.
    #[default]
    Suffix,
    /// It takes the place of the other one.
    Replace,
}

/// What became of a step.
#[derive(Debug)]
pub enum FileNews {
    /// The next byte to hand on is this one.
    Begun {
        /// Counted from 0; the size of the file where it is complete already.
        offset: u64,
    },
    /// The file is whole, verified and durable.
    Kept(KeptFile),
    /// It did not work, and the file is not open any more.
    Failed(FileFailure),
}

/// A file that is kept.
#[derive(Debug)]
pub struct KeptFile {
    /// The proof, which an acknowledgement costs.
    pub receipt: Receipt,
    /// The name that it has.
    pub name: FileName,
    /// What it is.
    pub sha256: Sha256,
}

/// Why a file is not taken. The word is what senders are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFailure {
    /// The device has a file of this name.
    Exists,
    /// It begins behind what is here.
    Gap {
        /// Bytes that are here.
        here: u64,
    },
    /// What is here under this key is of another size or sum.
    Differs,
    /// Over what one device, or all, may keep.
    Quota,
    /// The disk has no room.
    DiskFull,
    /// The bytes do not come to the sum that the sender gave.
    WrongSum,
    /// A newer connection goes on with the file.
    TakenOver,
    /// As many files as may be are on their way.
    Busy,
    /// The disk or the store failed; the log says how.
    Failed,
}

impl FileFailure {
    /// The word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Gap { .. } => "gap",
            Self::Differs => "differs",
            Self::Quota => "quota",
            Self::DiskFull => "disk-full",
            Self::WrongSum => "wrong-sum",
            Self::TakenOver => "taken-over",
            Self::Busy => "busy",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for FileFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => formatter.write_str("the device has a file of this name already"),
            Self::Gap { here } => write!(formatter, "only {here} bytes of the file are here: go on from there"),
            Self::Differs => formatter.write_str("what is here under this id is of another size or checksum"),
            Self::Quota => formatter.write_str("the file is over what may be kept"),
            Self::DiskFull => formatter.write_str("the disk has no room for the file"),
            Self::WrongSum => formatter.write_str("the bytes do not come to the checksum that was given"),
            Self::TakenOver => formatter.write_str("a newer connection goes on with the file"),
            Self::Busy => formatter.write_str("too many files are on their way: try again"),
            Self::Failed => formatter.write_str("the file could not be written"),
        }
    }
}

impl std::error::Error for FileFailure {}
