//! What a peer did wrong.

use std::borrow::Cow;
use std::fmt;

/// The kinds of wrong; the word is what is counted and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// Bytes that the protocol's grammar does not allow.
    Malformed,
    /// Something over its limit.
    TooLarge,
    /// A checksum, a padding or a tail that does not fit.
    Damaged,
    /// Bytes that no known key turns into sense.
    Undecipherable,
    /// A legal message at the wrong time.
    OutOfOrder,
    /// A wrong proof of identity, or an identity that nobody knows.
    NotProven,
    /// Silence where something had to come.
    TooSlow,
}

impl FaultKind {
    /// Every kind, for counters.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::TooLarge,
        Self::Damaged,
        Self::Undecipherable,
        Self::OutOfOrder,
        Self::NotProven,
        Self::TooSlow,
    ];

    /// The word that is counted and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::Damaged => "damaged",
            Self::Undecipherable => "undecipherable",
            Self::OutOfOrder => "out-of-order",
            Self::NotProven => "not-proven",
            Self::TooSlow => "too-slow",
        }
    }
}

/// A peer broke the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of rule.
    pub kind: FaultKind,
    /// What was found, in lower case with the value: `length 70000 over 65536`. Never a secret, never a payload.
    pub reason: Cow<'static, str>,
    /// Where: bytes from the start of what was being read (the frame, or the text within it).
    pub offset: Option<usize>,
}

impl Fault {
    /// A fault without a place.
    pub fn new(kind: FaultKind, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, reason: reason.into(), offset: None }
    }

    /// The same fault, found `offset` bytes from the start of what was being read.
    #[must_use]
    pub fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }
}

impl fmt::Display for Fault {
    /// `damaged: crc 1234, 4321 expected (offset 228)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind.word(), self.reason)?;
        match self.offset {
            Some(offset) => write!(formatter, " (offset {offset})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
