//! The folder of files: private, on the disk of the database. A file is called by its number there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use loggerhead_model::FileState;

use super::OpenError;

/// Its name in the data directory.
const FOLDER: &str = "files";
/// Files on their way.
const INCOMING: &str = "incoming";
/// Files that are complete.
const KEPT: &str = "kept";
/// Files that no record speaks of: nothing is thrown away because a record is damaged.
const LOST: &str = "lost";

pub(super) struct Folder {
    root: PathBuf,
}

fn opening(doing: impl Into<String>) -> impl FnOnce(io::Error) -> OpenError {
    let doing = doing.into();
    move |source| OpenError::Folder { doing, source }
}

impl Folder {
    pub(super) fn open(directory: &Path) -> Result<Self, OpenError> {
        let root = directory.join(FOLDER);
        for path in [&root, &root.join(INCOMING), &root.join(KEPT)] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(opening(format!("making {}", path.display())))?;
        }
        let folder = Self { root };
        folder.sync(directory).map_err(opening("bringing the folder of files to disk"))?;
        Ok(folder)
    }

    fn incoming(&self, number: u64) -> PathBuf {
        self.root.join(INCOMING).join(number.to_string())
    }

    fn kept(&self, number: u64) -> PathBuf {
        self.root.join(KEPT).join(number.to_string())
    }

    fn sync(&self, directory: &Path) -> io::Result<()> {
        File::open(&self.root)?.sync_all()?;
        File::open(directory)?.sync_all()
    }

    /// Makes the file of a number.
    pub(super) fn create(&self, number: u64) -> io::Result<File> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.incoming(number))?;
        // A part that its sender is told of has to be there after an end of the power.
        File::open(self.root.join(INCOMING))?.sync_all()?;
        Ok(file)
    }

    /// Opens a part, to go on with it.
    pub(super) fn open_part(&self, number: u64) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.incoming(number))
    }

    /// Opens a file that is complete.
    pub(super) fn open_kept(&self, number: u64) -> io::Result<File> {
        File::open(self.kept(number))
    }

    /// Puts a file in its place whose record says that it is complete. One that is there stays.
    pub(super) fn keep(&self, number: u64) -> io::Result<()> {
        self.rename(&self.incoming(number), &self.kept(number))
    }

    /// Takes a file out of its place, before its record is forgotten.
    pub(super) fn take_out(&self, number: u64) -> io::Result<()> {
        self.rename(&self.kept(number), &self.incoming(number))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                File::open(self.root.join(KEPT))?.sync_all()?;
                File::open(self.root.join(INCOMING))?.sync_all()
            }
        }
    }

    /// Bytes of a part that are here.
    pub(super) fn part_bytes(&self, number: u64) -> u64 {
        fs::metadata(self.incoming(number)).map_or(0, |about| about.len())
    }

    /// Removes a file. What cannot be removed is found at the next start.
    pub(super) fn remove(&self, number: u64) {
        for path in [self.incoming(number), self.kept(number)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "a file cannot be removed");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Bytes that are free on the disk.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let about = nix::sys::statvfs::statvfs(&self.root)?;
        Ok(about.blocks_available().saturating_mul(about.fragment_size()))
    }

    /// The numbers of files in one of the folders.
    fn numbers(&self, name: &str) -> Result<Vec<u64>, OpenError> {
        let path = self.root.join(name);
        let reading = || opening(format!("reading {}", path.display()));
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&path).map_err(reading())? {
            let name = entry.map_err(reading())?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        Ok(numbers)
    }

    /// The highest number of any file.
    pub(super) fn last_number(&self) -> Result<u64, OpenError> {
        let lost = if self.root.join(LOST).exists() { self.numbers(LOST)? } else { Vec::new() };
        let numbers = [self.numbers(INCOMING)?, self.numbers(KEPT)?, lost].concat();
        Ok(numbers.into_iter().max().unwrap_or(0))
    }

    /// Brings the folder to what the records say: puts files in their places, removes parts that nobody can go on with, and
    /// sets complete files aside that no record speaks of.
    pub(super) fn tidy_up(&self, state: impl Fn(u64) -> Option<FileState>) -> Result<(), OpenError> {
        for number in self.numbers(INCOMING)? {
            match state(number) {
                Some(FileState::Partial) => {}
                Some(FileState::Complete) => {
                    let doing = || opening(format!("putting {} in its place", self.incoming(number).display()));
                    self.keep(number).map_err(doing())?;
                }
                None => self.remove_part(number)?,
            }
        }
        for number in self.numbers(KEPT)? {
            if state(number) != Some(FileState::Complete) {
                let lost = self.root.join(LOST);
                let doing = || opening(format!("setting aside {}", self.kept(number).display()));
                DirBuilder::new().recursive(true).mode(0o700).create(&lost).map_err(doing())?;
                fs::rename(self.kept(number), lost.join(number.to_string())).map_err(doing())?;
                tracing::warn!(path = %lost.join(number.to_string()).display(), "no record speaks of this file");
            }
        }
        Ok(())
    }

    fn remove_part(&self, number: u64) -> Result<(), OpenError> {
        let path = self.incoming(number);
        fs::remove_file(&path).map_err(opening(format!("removing {}", path.display())))
    }
}
