//! What is old enough to be forgotten, kind by kind, in small steps.

use std::time::Duration;

use rusqlite::Connection;

use crate::error::database;
use crate::step::Action;
use crate::{Retention, StoreError};

/// Rows of a table that are removed in one step.
const STEP_ROWS: u32 = 500;
/// Blocks of frames that are removed in one step: about as many bytes as a batch has.
const STEP_BLOCKS: u32 = 8;
/// A segment that holds readings older than they may be by this part of their age, and at most by a day, is written
/// again without them; it is not worth it for less.
const SLACK_PART: i64 = 16;
const SLACK_MS_MAX: i64 = 24 * 60 * 60 * 1000;

const FRAMES: &str = "DELETE FROM frames WHERE number IN (SELECT number FROM frames WHERE last_at < ?1 LIMIT ?2)";
const EVENTS: &str = "DELETE FROM events WHERE number IN (SELECT number FROM events WHERE at < ?1 LIMIT ?2)";
/// The last command stays, so that no id is given twice.
const COMMANDS: &str = "DELETE FROM commands WHERE id IN (SELECT id FROM commands WHERE changed_at < ?1
    AND json_extract(state, '$.state') NOT IN ('accepted', 'sent') AND id < (SELECT max(id) FROM commands) LIMIT ?2)";
const CONFLICTS: &str =
    "DELETE FROM conflicts WHERE number IN (SELECT number FROM conflicts WHERE measured_at < ?1 LIMIT ?2)";

/// Removals by time. Each is to be repeated until it removes less than it may.
pub(crate) fn removals(retention: &Retention, now: i64) -> Vec<(Action, usize)> {
    let kinds = [
        (retention.frames, FRAMES, STEP_BLOCKS),
        (retention.events, EVENTS, STEP_ROWS),
        (retention.events, COMMANDS, STEP_ROWS),
        (retention.readings, CONFLICTS, STEP_ROWS),
    ];
    let mut removals = Vec::new();
    for (age, sql, rows_max) in kinds {
        if let Some(age) = age {
            removals.push((Action::Forget { sql, before: older_than(age, now), rows_max }, rows_max as usize));
        }
    }
    removals
}

fn older_than(age: Duration, now: i64) -> i64 {
    now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// The time before which readings are too old; `None` when they are kept for ever.
pub(crate) fn readings_before(retention: &Retention, now: i64) -> Option<i64> {
    retention.readings.map(|age| older_than(age, now))
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
    let Some(before) = readings_before(retention, now) else { return Ok((i64::MIN, Vec::new())) };
    let slack = (now.saturating_sub(before) / SLACK_PART).min(SLACK_MS_MAX);
    let doing = database("looking for old readings");
    // Found by the index alone; and nothing goes for a time that nobody wrote.
    let sql = "SELECT number, channel_group, last_at < ?1 FROM segments
               WHERE number IN (SELECT number FROM segments WHERE last_at < ?1 OR first_at < ?2)
               AND checksum = row_checksum(channel_group, first_at, last_at, readings, substr(body, 1, 4))
               ORDER BY number";
    let mut statement = connection.prepare_cached(sql).map_err(doing)?;
    let found = statement.query_map((before, before.saturating_sub(slack)), |row| {
        Ok(Old { number: row.get(0)?, group: row.get(1)?, wholly: row.get(2)? })
    });
    let found = found.map_err(doing)?.collect::<Result<_, _>>().map_err(doing)?;
    Ok((before, found))
}
