//! What is old enough to be forgotten, kind by kind, in small steps.

use rusqlite::Connection;

use crate::error::database;
use crate::step::Action;
use crate::{Retention, StoreError};

/// Rows of a table that are removed in one step.
const STEP_ROWS: u32 = 500;
/// Blocks of frames that are removed in one step: about as many bytes as a batch has.
const STEP_BLOCKS: u32 = 8;
/// A segment that holds readings this much older than they may be is written again without them; it is not worth it for
/// less.
const SLACK_MS: i64 = 24 * 60 * 60 * 1000;

const FRAMES: &str = "DELETE FROM frames WHERE number IN (SELECT number FROM frames WHERE last_at < ?1 LIMIT ?2)";
const EVENTS: &str = "DELETE FROM events WHERE number IN (SELECT number FROM events WHERE at < ?1 LIMIT ?2)";
/// The last command stays, so that no id is given twice.
const COMMANDS: &str = "DELETE FROM commands WHERE id IN (SELECT id FROM commands WHERE changed_at < ?1
    AND json_extract(state, '$.state') NOT IN ('accepted', 'sent') AND id < (SELECT max(id) FROM commands) LIMIT ?2)";
const CONFLICTS: &str =
    "DELETE FROM conflicts WHERE number IN (SELECT number FROM conflicts WHERE measured_at < ?1 LIMIT ?2)";

/// Removals by time. Each is to be repeated until it removes less than it may.
pub(crate) fn removals(retention: &Retention, now: i64) -> Vec<(Action, usize)> {
    let before = |age: std::time::Duration| now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let kinds = [
        (retention.frames, FRAMES, STEP_BLOCKS),
        (retention.events, EVENTS, STEP_ROWS),
        (retention.events, COMMANDS, STEP_ROWS),
        (retention.readings, CONFLICTS, STEP_ROWS),
    ];
    let mut removals = Vec::new();
    for (age, sql, rows_max) in kinds {
        if let Some(age) = age {
            removals.push((Action::Forget { sql, before: before(age), rows_max }, rows_max as usize));
        }
    }
    removals
}

/// A segment with readings that are too old.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Old {
    pub(crate) number: i64,
    pub(crate) group: u32,
    /// Whether nothing in it is to be kept.
    pub(crate) wholly: bool,
}

/// The segments with readings that are too old, and the time before which they are.
pub(crate) fn old_segments(
    connection: &Connection,
    retention: &Retention,
    now: i64,
) -> Result<(i64, Vec<Old>), StoreError> {
    let Some(age) = retention.readings else { return Ok((i64::MIN, Vec::new())) };
    let before = now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let doing = database("looking for old readings");
    let sql = "SELECT number, channel_group, last_at < ?1 FROM segments
               WHERE last_at < ?1 OR first_at < ?2 ORDER BY number";
    let mut statement = connection.prepare_cached(sql).map_err(doing)?;
    let found = statement.query_map((before, before.saturating_sub(SLACK_MS)), |row| {
        Ok(Old { number: row.get(0)?, group: row.get(1)?, wholly: row.get(2)? })
    });
    let found = found.map_err(doing)?.collect::<Result<_, _>>().map_err(doing)?;
    Ok((before, found))
}
