//! A file of every reading that the head-end acknowledged, to compare with what it exports.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use loggerhead_model::{DeviceId, Report};

/// Names of the columns, as `export readings` calls them.
const HEADER: &str = "device,meter,function,measured_at,text\n";

/// The file. Written to before an acknowledgement counts, so that it never lacks one that was counted.
pub(crate) struct Journal {
    file: Mutex<File>,
}

impl Journal {
    /// Starts an empty journal at `path`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(HEADER.as_bytes())?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Adds the readings of an acknowledged packet.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn acknowledged(&self, device: &DeviceId, report: &Report) -> io::Result<()> {
        let mut lines = String::new();
        for reading in report.readings() {
            let (meter, function, at, value) = (reading.meter, reading.function, reading.measured_at, reading.value);
            writeln!(lines, "{device},{meter},{function},{at},{value}").map_err(io::Error::other)?;
        }
        // Whole lines in one write: what stands in the file can be read at any moment.
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(lines.as_bytes())
    }
}
