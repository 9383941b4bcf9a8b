//! Puts small blocks of frames together: a quiet installation makes one with every commit.

use rusqlite::Connection;

use crate::StoreError;
use crate::body::body_of;
use crate::damage::is_damage;
use crate::error::database;
use crate::frames::{self, BLOCK_BYTES, Gatherer};
use crate::step::Action;

/// Compressed bytes under which a block is small: so many take no longer to unpack than one that is full.
const SMALL_BYTES: i64 = 64 * 1024;
/// Fewer small blocks side by side are left as they are: a frame is rewritten about once for every factor of 16.
const COUNT_MIN: usize = 16;
/// Most blocks that are read for one.
const COUNT_MAX: usize = 1024;

/// What puts the next small blocks together, and where to go on. Only blocks whose frames were received before a time:
/// pages of an answer are told apart by the numbers of frames, which change.
///
/// # Errors
/// `Database` when the store cannot be read.
pub(crate) fn merge(connection: &Connection, from: i64, before: i64) -> Result<Option<(Action, i64)>, StoreError> {
    let doing = database("reading blocks of frames");
    let mut from = from;
    loop {
        let numbers = select_small(connection, from, before).map_err(doing)?;
        let (Some(&(first, _)), Some(&(last, _))) = (numbers.first(), numbers.last()) else { return Ok(None) };
        from = last + 1;
        let mut gatherer = Gatherer::default();
        let (mut gone, mut batch) = (Vec::new(), 0);
        for (number, of) in numbers {
            let sql = "SELECT batch, first_at, last_at, devices, body, checksum FROM frames WHERE number = ?1";
            let mut statement = connection.prepare_cached(sql).map_err(doing)?;
            let decoded = statement.query_row([number], |row| Ok(body_of(row, 0)?.and_then(frames::decode)));
            let (entries, raw) = match decoded {
                Ok(Ok(decoded)) => decoded,
                // A damaged one stays where it is, for `verify`; what is behind it is another run.
                Ok(Err(_)) => break,
                Err(error) if is_damage(&error) => break,
                Err(error) => return Err(doing(error)),
            };
            if gatherer.bytes() + raw.len() > BLOCK_BYTES {
                break;
            }
            gatherer.add_all(&entries, &raw);
            gone.push(number);
            batch = of;
        }
        if let (Some(&end), Some(block)) = (gone.last(), gatherer.finish().filter(|_| gone.len() > 1)) {
            return Ok(Some((Action::MergeFrames { number: first, batch, gone, block }, end + 1)));
        }
    }
}

/// The numbers and batches of enough small blocks side by side.
fn select_small(connection: &Connection, from: i64, before: i64) -> rusqlite::Result<Vec<(i64, u64)>> {
    let sql = "SELECT number, batch, last_at < ?2 AND length(body) < ?3 FROM frames WHERE number >= ?1 ORDER BY number";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((from, before, SMALL_BYTES))?;
    let mut run = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get(2)? {
            run.push((row.get(0)?, row.get(1)?));
        } else if run.len() < COUNT_MIN {
            run.clear();
        } else {
            break;
        }
        if run.len() == COUNT_MAX {
            break;
        }
    }
    Ok(if run.len() < COUNT_MIN { Vec::new() } else { run })
}
