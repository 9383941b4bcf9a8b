//! The data directory: for this user alone, and for one writer at a time.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::StoreError;
use crate::error::file;
use crate::schema::FILE;

const LOCK_FILE: &str = "loggerhead.lock";
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes the directory where it is missing.
pub(crate) fn create(directory: &Path) -> Result<(), StoreError> {
    let making = || format!("making the directory {}", directory.display());
    let existed = directory.is_dir();
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(file(making()))?;
    if !existed {
        std::fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE)).map_err(file(making()))?;
    }
    Ok(())
}

/// Locks the directory for as long as the file is kept.
pub(crate) fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK_FILE);
    let lock = private(&path).map_err(file(format!("opening {}", path.display())))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { directory: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(file(format!("locking {}", path.display()))(source)),
    }
}

/// Makes the database file, so that it and what SQLite puts beside it are private from the first byte.
pub(crate) fn create_database(directory: &Path) -> Result<(), StoreError> {
    let path = directory.join(FILE);
    private(&path).map_err(file(format!("opening {}", path.display())))?;
    Ok(())
}

/// Makes a private file that was not there.
pub(crate) fn create_new(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)
}

fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
}
