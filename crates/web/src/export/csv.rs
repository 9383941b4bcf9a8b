//! Comma-separated values as RFC 4180 says, with a head line, UTF-8, and LF at the end of a line.

use std::io::{self, Write};

use super::table::{Cell, Column, Rows, attributes, hex};

/// Writes rows in this format.
pub struct Csv<W> {
    out: W,
}

impl<W: Write> Csv<W> {
    /// Writes the head line.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(mut out: W, columns: &[Column]) -> io::Result<Self> {
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        writeln!(out, "{}", names.join(","))?;
        Ok(Self { out })
    }

    fn field(&mut self, text: &str) -> io::Result<()> {
        // Blanks at an end are quoted too: many programs would cut them off.
        let plain = !text.contains([',', '"', '\r', '\n']) && text.trim() == text;
        if plain {
            return self.out.write_all(text.as_bytes());
        }
        write!(self.out, "\"{}\"", text.replace('"', "\"\""))
    }
}

impl<W: Write> Rows for Csv<W> {
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                self.out.write_all(b",")?;
            }
            match cell {
                Cell::Text(text) => self.field(text)?,
                Cell::Time(time) => write!(self.out, "{time}")?,
                Cell::Number(number) => write!(self.out, "{number}")?,
                Cell::Count(count) => write!(self.out, "{count}")?,
                Cell::Bytes(bytes) => self.out.write_all(hex(bytes).as_bytes())?,
                Cell::Attributes("") | Cell::Missing => {}
                Cell::Attributes(lines) => self.field(&attributes(lines).to_string())?,
            }
        }
        self.out.write_all(b"\n")
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}
