//! Rows that have a body: it has a checksum of its own, and the row one of what stands beside it.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::coding::{Broken, CHECKSUM_BYTES};
use crate::schema::checksum;

/// Columns that are bodies.
const BODIES: [&str; 2] = ["body", "latest"];

/// What of a row its checksum covers, given the name of each column: of a body, the checksum in front of it.
pub(crate) fn covered<'a>(column: &str, value: ValueRef<'a>) -> ValueRef<'a> {
    if BODIES.contains(&column) { head(value) } else { value }
}

/// The same in SQL.
pub(crate) fn covered_in_sql(column: &str, value: &str) -> String {
    if BODIES.contains(&column) { format!("substr({value}, 1, {CHECKSUM_BYTES})") } else { value.to_owned() }
}

fn head(value: ValueRef<'_>) -> ValueRef<'_> {
    match value {
        ValueRef::Blob(body) => ValueRef::Blob(body.get(..CHECKSUM_BYTES).unwrap_or(body)),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => value,
    }
}

/// The body of a row of which the columns from `first` on are `.., body, checksum`, if what stands beside it is what was
/// written with it. Whether the body itself is, says whoever decodes it.
pub(crate) fn body_of<'a>(row: &'a Row<'_>, first: usize) -> rusqlite::Result<Result<&'a [u8], Broken>> {
    let last = row.as_ref().column_count() - 1;
    let body = row.get_ref(last - 1)?;
    let beside = (first..last - 1).map(|column| row.get_ref(column)).collect::<rusqlite::Result<Vec<_>>>()?;
    let covered = checksum(beside.into_iter().chain(std::iter::once(head(body))));
    Ok(if row.get_ref(last)? == ValueRef::Integer(i64::from(covered)) {
        Ok(body.as_blob().unwrap_or_default())
    } else {
        Err(Broken("the checksum of its columns does not fit"))
    })
}
