//! Where an export goes: standard output, or a private file that appears when it is complete.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Stdout, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// Where an export goes.
pub(super) enum Output {
    Standard(BufWriter<Stdout>),
    File(BufWriter<File>, Pending),
}

/// A file that has not got its name yet. Goes away when it never gets it.
pub(super) struct Pending {
    written: PathBuf,
    name: PathBuf,
    complete: bool,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.complete {
            let _ = std::fs::remove_file(&self.written); // there is nobody left to tell
        }
    }
}

impl Output {
    /// Opens standard output, or a file beside the one that is wanted.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Standard(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())));
        };
        let file_name = path.file_name().with_context(|| format!("{} is no file", path.display()))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(file_name);
        hidden.push(format!(".{}", std::process::id()));
        let written = path.with_file_name(hidden);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&written);
        let file = file.with_context(|| format!("{} cannot be made", written.display()))?;
        let pending = Pending { written, name: path.to_owned(), complete: false };
        Ok(Self::File(BufWriter::with_capacity(BUFFER_BYTES, file), pending))
    }

    /// Gives the file its name; everything before is on disk then.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn commit(self) -> io::Result<()> {
        match self {
            Self::Standard(mut out) => out.flush(),
            Self::File(out, mut pending) => {
                let file = out.into_inner()?;
                file.sync_all()?;
                std::fs::rename(&pending.written, &pending.name)?;
                pending.complete = true;
                Ok(())
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes),
            Self::File(out, _) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::File(out, _) => out.flush(),
        }
    }
}
