//! Reads what is to be decoded: a file, standard input, or digits from the command line.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::Context as _;
use loggerhead_web::inspect::{Input, from_hex};

use crate::exit::{Exit, Failure};

/// Largest input. Captures are held in memory, because a conversation may run through all of them.
const INPUT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// `NotFound` without the file, `Usage` when it is too large.
pub(super) fn read(file: &str) -> anyhow::Result<Input> {
    let mut bytes = Vec::new();
    let limit = INPUT_BYTES_MAX + 1;
    if file == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes).context("standard input")?;
    } else {
        let opened = File::open(file).map_err(|error| Failure::of_file(Path::new(file), &error))?;
        opened.take(limit).read_to_end(&mut bytes).with_context(|| file.to_owned())?;
    }
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::new(Exit::Usage, format!("over {INPUT_BYTES_MAX} bytes: cut the capture first")).into());
    }
    Ok(Input::of_bytes(bytes))
}

/// From hex digits.
///
/// # Errors
/// `Usage` when they are none.
pub(super) fn of_hex(digits: &str) -> anyhow::Result<Input> {
    let decoded = from_hex(digits).ok_or_else(|| Failure::new(Exit::Usage, "--hex takes pairs of hex digits"))?;
    Ok(Input::Bytes(decoded))
}
