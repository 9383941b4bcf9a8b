//! What is not as it was written.

use rusqlite::ErrorCode;

use crate::StoreError;

/// Something that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// Which part of the store.
    pub place: String,
    /// How it shows.
    pub what: String,
    /// The times and devices of what it held, as far as they are known; empty otherwise.
    pub about: String,
    /// Whether it was set aside, so that the rest can be used without meeting it.
    pub quarantined: bool,
}

impl Damage {
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), about: String::new(), quarantined: false }
    }

    /// Says it in the log.
    pub(crate) fn log(&self) {
        let Self { place, what, about, quarantined } = self;
        tracing::error!(place, what, about, quarantined, "the store is damaged");
    }
}

/// Whether an error means that something stored is not what was written, and not that reading failed.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    let in_file = matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
    in_file
        || matches!(
            error,
            rusqlite::Error::QueryReturnedNoRows
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..)
        )
}

impl StoreError {
    /// Whether something stored is not what was written.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Database { source, .. } => source.downcast_ref::<rusqlite::Error>().is_some_and(is_damage),
            Self::Locked { .. }
            | Self::Missing { .. }
            | Self::Newer { .. }
            | Self::File { .. }
            | Self::Failing { .. }
            | Self::Closed => false,
        }
    }
}
