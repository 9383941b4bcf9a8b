//! Parquet: columns, compressed with zstd, in row groups.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;

use super::table::{Cell, Column, ColumnKind, Rows, attributes};

/// Rows of one group: some ten megabytes of memory, and large enough to compress well.
const GROUP_ROWS_MAX: usize = 131_072;

/// Writes rows in this format.
pub struct Parquet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Gathered>,
    rows: usize,
}

/// The values of a column that are not written yet, and for each row whether it has one.
struct Gathered {
    values: Values,
    present: Vec<i16>,
}

enum Values {
    Texts(Vec<ByteArray>),
    Numbers(Vec<f64>),
    Counts(Vec<i64>),
}

impl<W: Write + Send> Parquet<W> {
    /// Writes the head of the file.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(out: W, columns: &[Column]) -> io::Result<Self> {
        let mut schema = String::from("message rows {");
        for column in columns {
            let (kind, meaning) = match column.kind {
                ColumnKind::Text => ("BYTE_ARRAY", " (STRING)"),
                ColumnKind::Attributes => ("BYTE_ARRAY", " (JSON)"),
                ColumnKind::Bytes => ("BYTE_ARRAY", ""),
                ColumnKind::Time => ("INT64", " (TIMESTAMP(MILLIS,true))"),
                ColumnKind::Count => ("INT64", ""),
                ColumnKind::Number => ("DOUBLE", ""),
            };
            write!(schema, " OPTIONAL {kind} {}{meaning};", column.name).expect("a text takes everything");
        }
        schema.push('}');
        let schema = Arc::new(parse_message_type(&schema).map_err(failed)?);
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(failed)?;
        let columns = columns.iter().map(|column| Gathered {
            values: match column.kind {
                ColumnKind::Text | ColumnKind::Attributes | ColumnKind::Bytes => Values::Texts(Vec::new()),
                ColumnKind::Time | ColumnKind::Count => Values::Counts(Vec::new()),
                ColumnKind::Number => Values::Numbers(Vec::new()),
            },
            present: Vec::new(),
        });
        Ok(Self { writer, columns: columns.collect(), rows: 0 })
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group: SerializedRowGroupWriter<'_, W> = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            column.write(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl Gathered {
    fn push(&mut self, cell: Cell<'_>) {
        let texts = |values: &mut Values, bytes: Vec<u8>| {
            if let Values::Texts(texts) = values {
                texts.push(ByteArray::from(bytes));
            }
        };
        let present = match cell {
            Cell::Missing | Cell::Attributes("") => false,
            Cell::Text(text) => {
                texts(&mut self.values, text.as_bytes().to_vec());
                true
            }
            Cell::Bytes(bytes) => {
                texts(&mut self.values, bytes.to_vec());
                true
            }
            Cell::Attributes(lines) => {
                texts(&mut self.values, attributes(lines).to_string().into_bytes());
                true
            }
            Cell::Time(time) => self.count(time.unix_ms()),
            Cell::Count(count) => self.count(i64::try_from(count).unwrap_or(i64::MAX)),
            Cell::Number(number) => {
                if let Values::Numbers(numbers) = &mut self.values {
                    numbers.push(number);
                }
                true
            }
        };
        self.present.push(i16::from(present));
    }

    fn count(&mut self, count: i64) -> bool {
        if let Values::Counts(counts) = &mut self.values {
            counts.push(count);
        }
        true
    }

    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let present = Some(self.present.as_slice());
        match &mut self.values {
            Values::Texts(texts) => {
                writer.typed::<ByteArrayType>().write_batch(texts, present, None)?;
                texts.clear();
            }
            Values::Numbers(numbers) => {
                writer.typed::<DoubleType>().write_batch(numbers, present, None)?;
                numbers.clear();
            }
            Values::Counts(counts) => {
                writer.typed::<Int64Type>().write_batch(counts, present, None)?;
                counts.clear();
            }
        }
        self.present.clear();
        Ok(())
    }
}

impl<W: Write + Send> Rows for Parquet<W> {
    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(*cell);
        }
        self.rows += 1;
        if self.rows == GROUP_ROWS_MAX {
            self.write_group().map_err(failed)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.write_group().map_err(failed)?;
        self.writer.close().map_err(failed)?;
        Ok(())
    }
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
