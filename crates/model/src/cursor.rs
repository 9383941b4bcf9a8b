//! A place in the log of committed batches.

use std::fmt;

/// The number of a committed batch: grows by one with every batch, never reused. `Cursor::START` is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Cursor(u64);

impl Cursor {
    /// Before the first batch.
    pub const START: Self = Self(0);

    /// The place right after batch `number`, counted from 1.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the batch.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
