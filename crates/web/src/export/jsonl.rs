//! One JSON object a line; a missing cell is `null`.

use std::io::{self, Write};

use super::table::{Cell, Column, Rows, attributes, hex};

/// Writes rows in this format.
pub struct Jsonl<W> {
    out: W,
    columns: &'static [Column],
}

impl<W: Write> Jsonl<W> {
    /// Writes rows of these columns.
    pub fn new(out: W, columns: &'static [Column]) -> Self {
        Self { out, columns }
    }
}

impl<W: Write> Rows for Jsonl<W> {
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        for (index, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            write!(self.out, "{}\"{}\":", if index == 0 { '{' } else { ',' }, column.name)?;
            let out = &mut self.out;
            match cell {
                Cell::Text(text) => serde_json::to_writer(out, text)?,
                Cell::Time(time) => write!(out, "\"{time}\"")?,
                Cell::Number(number) => serde_json::to_writer(out, number)?,
                Cell::Count(count) => write!(out, "{count}")?,
                Cell::Bytes(bytes) => write!(out, "\"{}\"", hex(bytes))?,
                Cell::Attributes(lines) => serde_json::to_writer(out, &attributes(lines))?,
                Cell::Missing => out.write_all(b"null")?,
            }
        }
        self.out.write_all(b"}\n")
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}
