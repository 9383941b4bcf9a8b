//! Rows of what is stored in formats of other programs: what `export` writes and the console downloads.

mod csv;
mod jsonl;
mod parquet;
mod table;

use std::fmt::Write as _;
use std::io;

use loggerhead_model::{Origin, Quality};
use loggerhead_store::StoredReading;

pub use csv::Csv;
pub use jsonl::Jsonl;
pub use parquet::Parquet;
pub use table::{Cell, Column, ColumnKind, Rows};

/// The columns of readings.
pub const READINGS: &[Column] = &[
    Column::new("device", ColumnKind::Text),
    Column::new("meter", ColumnKind::Text),
    Column::new("function", ColumnKind::Text),
    Column::new("measured_at", ColumnKind::Time),
    Column::new("received_at", ColumnKind::Time),
    Column::new("value", ColumnKind::Number),
    Column::new("text", ColumnKind::Text),
    Column::new("quality", ColumnKind::Text),
    Column::new("code", ColumnKind::Text),
    Column::new("coding", ColumnKind::Text),
    Column::new("origin", ColumnKind::Text),
    Column::new("attributes", ColumnKind::Attributes),
];

/// Writes a reading as a row of the columns `READINGS`.
///
/// # Errors
/// What the system says.
pub fn reading(rows: &mut dyn Rows, stored: &StoredReading<'_>) -> io::Result<()> {
    let reading = &stored.reading;
    let mut text = String::new();
    write!(text, "{}", reading.value).expect("a text takes everything");
    rows.row(&[
        Cell::Text(stored.device.as_str()),
        Cell::Text(reading.meter),
        Cell::Text(reading.function),
        Cell::Time(reading.measured_at),
        Cell::Time(stored.received_at),
        reading.value.number().map_or(Cell::Missing, Cell::Number),
        Cell::Text(&text),
        Cell::Text(match reading.quality {
            Quality::Good => "good",
            Quality::Bad => "bad",
        }),
        Cell::Text(reading.code),
        Cell::Text(reading.coding),
        Cell::Text(match stored.origin {
            Origin::Live => "live",
            Origin::Resumed => "resumed",
            Origin::Queried => "queried",
        }),
        Cell::Attributes(reading.attributes),
    ])
}
