//! Tables whose rows are numbered one after the other: the log, names, channels and tags.
//!
//! What stands elsewhere names their rows by number, and memory is taken up to the highest. A number that does not follow
//! the one before is therefore damage, however sound its row is; it never says how far to count.

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::StoreError;
use crate::error::database;
use crate::salvage::{Found, Hints, Table, Values, walk};

/// A row of any table takes at least so many bytes of the file; so the file bounds how many there can be.
const ROW_BYTES_MIN: i64 = 16;

/// What a walk over numbered rows meets.
pub(crate) enum Counted<'a> {
    /// A row, with the number that it was given.
    Row { row: &'a Values, number: i64 },
    /// A row of which the number is damaged, with the one that it was given.
    Misnumbered { row: &'a Values, number: i64, found: i64 },
    /// A row behind unreadable ones, of which nobody knows what number it was given.
    Unknown { row: &'a Values },
    /// Rows that cannot be read, or that are not there, between two that can.
    Gap { what: String, after: Option<&'a Values>, before: Option<&'a Values> },
}

/// Told of everything that is met.
type Each<'a> = &'a mut dyn FnMut(Counted<'_>) -> Result<(), StoreError>;

/// The most rows that fit the file.
///
/// # Errors
/// `Database` when its size cannot be read.
pub(crate) fn rows_max(connection: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let bytes: i64 = connection.query_row(sql, [], |row| row.get(0)).map_err(database("measuring the database"))?;
    Ok(bytes / ROW_BYTES_MIN)
}

/// Whether the rows of a table are numbered one after the other.
pub(crate) fn is_counted(table: &Table) -> bool {
    ["log", "names", "channels", "tags"].contains(&table.name.as_str())
}

/// Meets every row of a table that is numbered so.
///
/// # Errors
/// What `each` says, and `Database` when reading fails for another reason than damage.
pub(crate) fn count(connection: &Connection, table: &Table, each: Each<'_>) -> Result<(), StoreError> {
    // The oldest batches leave the log; everything else is kept from its first row on.
    let next = if table.name == "log" { first_of_log(connection) } else { Some(0) };
    let mut counter =
        Counter { table, next, after_gap: false, held: None, last: None, rows_max: rows_max(connection)? };
    walk(connection, table, &Hints::default(), &mut |found| match found {
        Found::Row(row) => {
            let number = table.number(row);
            counter.decide(number, each)?;
            counter.held = Some(row.clone());
            Ok(())
        }
        Found::Gap { what, after, before } => {
            counter.decide(None, each)?;
            counter.after_gap = true;
            each(Counted::Gap { what, after, before })
        }
    })?;
    counter.decide(None, each)
}

/// The number of the first batch: two that follow each other outvote one that does not.
fn first_of_log(connection: &Connection) -> Option<i64> {
    let mut numbers = Vec::new();
    let sql = "SELECT number FROM log NOT INDEXED LIMIT 3";
    // What cannot be read here is met again by whoever counts.
    if let Ok(mut statement) = connection.prepare(sql)
        && let Ok(mut rows) = statement.query([])
    {
        while let Ok(Some(row)) = rows.next() {
            numbers.extend(row.get::<_, i64>(0));
        }
    }
    match numbers.as_slice() {
        &[first, second, third] if first.checked_add(1) != Some(second) && second.checked_add(1) == Some(third) => {
            Some(second - 1)
        }
        &[first, ..] => Some(first),
        [] => None,
    }
}

struct Counter<'a> {
    table: &'a Table,
    /// The number of the next row, as far as it is known.
    next: Option<i64>,
    after_gap: bool,
    /// The row that is decided on when the number of the one behind it is known.
    held: Option<Values>,
    last: Option<Values>,
    rows_max: i64,
}

impl Counter<'_> {
    /// Says of the row that is held what its number is; `behind`: the number of the row that stands behind it.
    fn decide(&mut self, behind: Option<i64>, each: Each<'_>) -> Result<(), StoreError> {
        let Some(row) = self.held.take() else { return Ok(()) };
        let found = self.table.number(&row).unwrap_or(i64::MIN);
        let next = self.next.unwrap_or(found);
        let after_gap = std::mem::replace(&mut self.after_gap, false);
        let follows = behind == next.checked_add(1);
        let confirmed = behind.is_none() || behind == found.checked_add(1);
        let possible = found > next && found - next <= self.rows_max && confirmed;
        let number = if found == next {
            each(Counted::Row { row: &row, number: next })?;
            next
        } else if possible && !(follows && behind.is_some()) {
            if !after_gap {
                let what = "they are not where they should be".to_owned();
                each(Counted::Gap { what, after: self.last.as_ref(), before: Some(&row) })?;
            }
            each(Counted::Row { row: &row, number: found })?;
            found
        } else if after_gap {
            each(Counted::Unknown { row: &row })?;
            next.saturating_sub(1)
        } else {
            each(Counted::Misnumbered { row: &row, number: next, found })?;
            next
        };
        self.next = number.checked_add(1);
        self.last = Some(row);
        Ok(())
    }
}

impl Table {
    /// A row with another number.
    pub(crate) fn renumbered(&self, row: &Values, number: i64) -> Values {
        let mut row = row.clone();
        if let Some(place) = self.number_place().and_then(|place| row.get_mut(place)) {
            *place = Value::Integer(number);
        }
        row
    }
}
