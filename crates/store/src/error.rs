//! What can go wrong with a store.

use std::path::PathBuf;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds this directory.
    #[error("{} is in use by another process", directory.display())]
    Locked {
        /// The data directory.
        directory: PathBuf,
    },
    /// There is no store in this directory.
    #[error("there is no store in {}", directory.display())]
    Missing {
        /// The data directory.
        directory: PathBuf,
    },
    /// A newer version of this program wrote the store.
    #[error("the store has schema version {found}, this program knows versions up to {known}: use a newer program")]
    Newer {
        /// The version in the store.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// A file or directory could not be worked with.
    #[error("{doing}: {source}")]
    File {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("{doing}: {source}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something in the store is not what was written there.
    #[error("damaged: {what}")]
    Damaged {
        /// Which part, and how it shows.
        what: String,
    },
    /// Nothing can be written at the moment; the store tries again by itself.
    #[error("the store cannot write: {reason}")]
    Failing {
        /// What happened at the last attempt.
        reason: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Makes an error of the database into one that says what was being done.
pub(crate) fn database(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + Copy {
    move |source| StoreError::Database { doing, source: Box::new(source) }
}

/// Makes an error of a file into one that says what was being done.
pub(crate) fn file(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> StoreError {
    let doing = doing.into();
    move |source| StoreError::File { doing, source }
}
