//! What every format is given: columns, and rows of cells.

use std::io;

use loggerhead_model::Timestamp;

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Any text.
    Text,
    /// A moment.
    Time,
    /// A number that may have a fraction.
    Number,
    /// A whole number.
    Count,
    /// Bytes.
    Bytes,
    /// Lines of `name TAB value`, written as a JSON object.
    Attributes,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What stands in it.
    pub kind: ColumnKind,
}

impl Column {
    /// A column of this name.
    #[must_use]
    pub const fn new(name: &'static str, kind: ColumnKind) -> Self {
        Self { name, kind }
    }
}

/// What stands in one column of one row; of the column's kind, or missing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// A text.
    Text(&'a str),
    /// A moment.
    Time(Timestamp),
    /// A number.
    Number(f64),
    /// A whole number.
    Count(u64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Lines of `name TAB value`.
    Attributes(&'a str),
    /// Nothing.
    Missing,
}

/// A format: takes rows, each with a cell for every column.
pub trait Rows {
    /// Writes a row.
    ///
    /// # Errors
    /// What the system says.
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()>;

    /// Writes what is still to be written.
    ///
    /// # Errors
    /// What the system says.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Attributes as a JSON object.
pub(super) fn attributes(lines: &str) -> serde_json::Value {
    let pairs = lines.lines().map(|line| line.split_once('\t').unwrap_or((line, "")));
    serde_json::Value::Object(pairs.map(|(name, value)| (name.to_owned(), value.into())).collect())
}

/// Bytes as lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(digits, "{byte:02x}").expect("a text takes everything");
    }
    digits
}
