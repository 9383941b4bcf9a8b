//! The key of what protocols note in sealed form: a file beside the database, never in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::error::StartError;

/// Its name in the data directory. Who copies the database alone cannot read what is sealed.
const FILE: &str = "sealing.key";
/// How long it is.
const BYTES: usize = 32;

/// The key.
pub(crate) struct Key([u8; BYTES]);

impl Key {
    /// That of a data directory; a new one where there is none.
    ///
    /// # Errors
    /// `Key` when the file is not a key, may be read by others, or cannot be read or made.
    pub(crate) fn of_directory(directory: &Path) -> Result<Self, StartError> {
        let path = directory.join(FILE);
        Self::read_or_make(directory, &path).map_err(|reason| StartError::Key { path, reason: reason.to_string() })
    }

    fn read_or_make(directory: &Path, path: &Path) -> io::Result<Self> {
        match std::fs::metadata(path) {
            Ok(about) if about.mode() & 0o077 != 0 => {
                Err(io::Error::other("other users of this machine may read it: chmod 600"))
            }
            Ok(_) => {
                let bytes = std::fs::read(path)?;
                let count = bytes.len();
                let key = bytes.try_into().map_err(|_| {
                    io::Error::other(format!(
                        "{count} bytes, {BYTES} expected: put the one of your backup in its place"
                    ))
                })?;
                Ok(Self(key))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(directory, path),
            Err(error) => Err(error),
        }
    }

    /// Makes a key. It has its name only when it is whole and on disk.
    fn make(directory: &Path, path: &Path) -> io::Result<Self> {
        let key: [u8; BYTES] = rand::random();
        let temporary = path.with_extension("new");
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&key)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()?;
        Ok(Self(key))
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{FILE, Key};

    #[test]
    fn a_key_is_made_once_private_and_one_that_others_may_read_is_not_used() {
        let directory = tempfile::tempdir().expect("a directory");
        let key = Key::of_directory(directory.path()).expect("a new one");
        let path = directory.path().join(FILE);
        let about = std::fs::metadata(&path).expect("it is there");
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
        assert_eq!(Key::of_directory(directory.path()).expect("the same").bytes(), key.bytes());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("it is ours");
        assert!(Key::of_directory(directory.path()).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        std::fs::write(&path, "short").expect("written");
        assert!(Key::of_directory(directory.path()).is_err());
    }
}
