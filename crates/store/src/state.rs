//! What the writer knows of its database, read from it at the start and after every failure.

use std::collections::BTreeMap;
use std::path::Path;

use loggerhead_model::{DeviceId, Quality};
use rusqlite::Connection;

use crate::body::body_of;
use crate::dictionary::{Dictionary, Tag};
use crate::error::database;
use crate::hot::{Hot, Latest};
use crate::identity::{Identities, SegmentSpan};
use crate::log::Batch;
use crate::salvage::{Table, Values};
use crate::segment::{GROUP_CHANNELS, Segment};
use crate::sequence::{Counted, count, rows_max};
use crate::{Limits, StoreError, schema};

/// The writer's knowledge.
pub(crate) struct State {
    pub(crate) connection: Connection,
    pub(crate) dictionary: Dictionary,
    pub(crate) identities: Identities,
    /// The last committed batch.
    pub(crate) cursor: u64,
}

/// A batch of the log that cannot be read.
#[derive(Debug)]
pub(crate) struct DamagedBatch {
    pub(crate) number: u64,
    pub(crate) what: String,
    /// What stands there; nothing when the page itself is damaged.
    pub(crate) body: Option<Vec<u8>>,
}

impl State {
    /// Reads everything that the writer needs, and what is not sealed.
    pub(crate) fn load(directory: &Path, limits: Limits) -> Result<(Self, Hot, Vec<DamagedBatch>), StoreError> {
        let connection = schema::open_writer(directory)?;
        let dictionary = load_dictionary(&connection, limits)?;
        let mut identities = Identities::default();
        let sealed_readings = load_segments(&connection, &mut identities)?;
        let (mut hot, damaged) = load_hot(&connection)?;
        hot.count_sealed(sealed_readings, 0);
        for channel in 0..dictionary.channels() {
            if let Some(latest) = hot.latest(channel) {
                identities.found(channel, latest.row.measured_at);
            }
        }
        let cursor = last_batch(&connection)?;
        Ok((Self { connection, dictionary, identities, cursor }, hot, damaged))
    }
}

/// The number of the last committed batch. The log never loses its last row, so none is ever used twice.
pub(crate) fn last_batch(connection: &Connection) -> Result<u64, StoreError> {
    connection
        .query_row("SELECT coalesce(max(number), 0) FROM log", [], |row| row.get(0))
        .map_err(database("reading the log"))
}

/// What is in the log and not in segments, with the latest reading of every channel; and what of the log is damaged.
pub(crate) fn load_hot(connection: &Connection) -> Result<(Hot, Vec<DamagedBatch>), StoreError> {
    let mut hot = Hot::default();
    load_sealed(connection, &mut hot)?;
    let log = Table::all(connection)?.iter().find(|table| table.name == "log").expect("every version has a log");
    let mut damaged = Vec::new();
    let mut apply = |number: i64, row: &Values, found: Option<i64>| {
        let number = u64::try_from(number).unwrap_or_default();
        let body = log.blob(row, "body");
        match Batch::decode(body) {
            Ok(batch) => hot.apply(number, log.integer(row, "committed_at").unwrap_or(i64::MAX), &batch),
            Err(broken) => damaged.push(DamagedBatch { number, what: broken.to_string(), body: Some(body.to_vec()) }),
        }
        if let Some(found) = found {
            damaged.push(DamagedBatch { number, what: format!("it has the number {found}"), body: None });
        }
    };
    let mut gaps = Vec::new();
    // As they stand, so that damage hides no more than what is on its page, and no number says how far to count.
    count(connection, log, &mut |counted| {
        match counted {
            Counted::Row { row, number } => apply(number, row, None),
            Counted::Misnumbered { row, number, found } => apply(number, row, Some(found)),
            Counted::Unknown { row } => {
                let what = "its number cannot be its own".to_owned();
                gaps.push(DamagedBatch { number: log.number(row).unwrap_or(0).cast_unsigned(), what, body: None });
            }
            Counted::Gap { what, after, .. } => {
                let after = after.and_then(|row| log.number(row)).unwrap_or(0);
                gaps.push(DamagedBatch { number: after.saturating_add(1).cast_unsigned(), what, body: None });
            }
        }
        Ok(())
    })?;
    damaged.extend(gaps);
    Ok((hot, damaged))
}

/// Reads how far groups are sealed. What cannot be is left out: more is then read from the log than is needed.
fn load_sealed(connection: &Connection, hot: &mut Hot) -> Result<(), StoreError> {
    let doing = database("reading what is sealed");
    let groups_max = rows_max(connection)? / i64::from(GROUP_CHANNELS);
    let sql = "SELECT channel_group, through, latest, checksum FROM sealed
               WHERE channel_group BETWEEN 0 AND ?1 AND through BETWEEN 0 AND (SELECT max(number) FROM log)";
    let mut statement = connection.prepare(sql).map_err(doing)?;
    let mut rows = statement.query([groups_max]).map_err(doing)?;
    while let Some(row) = rows.next().map_err(doing)? {
        let group: u32 = row.get(0).map_err(doing)?;
        let (through, latest) = match body_of(row, 0).map_err(doing)? {
            Ok(latest) => (row.get(1).map_err(doing)?, decode_latest(latest)),
            Err(broken) => (0, Err(broken)),
        };
        let latest = match latest {
            Ok(latest) => latest,
            Err(broken) => {
                tracing::error!(group, %broken, "what is known of a sealed group is damaged and made again");
                latest_of_segments(connection, group)?
            }
        };
        hot.found_sealed(group, through, latest);
    }
    Ok(())
}

/// The latest readings of a group, from all of its segments.
pub(crate) fn latest_of_segments(connection: &Connection, group: u32) -> Result<Vec<(u8, Latest)>, StoreError> {
    let doing = database("reading segments");
    let mut all: BTreeMap<u8, Latest> = BTreeMap::new();
    let sql = "SELECT channel_group, first_at, last_at, readings, body, checksum FROM segments
               WHERE channel_group = ?1 ORDER BY number";
    let mut statement = connection.prepare(sql).map_err(doing)?;
    let mut rows = statement.query([group]).map_err(doing)?;
    while let Some(row) = rows.next().map_err(doing)? {
        let decoded = body_of(row, 0).map_err(doing)?.and_then(decode_latest);
        for (place, latest) in decoded.unwrap_or_default() {
            if all.get(&place).is_none_or(|other| other.row.measured_at < latest.row.measured_at) {
                all.insert(place, latest);
            }
        }
    }
    Ok(all.into_iter().collect())
}

/// The last row of every chunk.
fn decode_latest(body: &[u8]) -> Result<Vec<(u8, Latest)>, crate::coding::Broken> {
    let segment = Segment::open(body)?;
    let mut latest = Vec::new();
    for chunk in segment.chunks() {
        let rows = segment.decode(chunk)?;
        if let Some(row) = rows.rows.last() {
            latest.push((chunk.place, Latest { row: *row, text: row.text(&rows.texts).map(Box::from) }));
        }
    }
    Ok(latest)
}

fn load_dictionary(connection: &Connection, limits: Limits) -> Result<Dictionary, StoreError> {
    let reading = database("reading the dictionary");
    let mut dictionary = Dictionary::new(limits);
    let mut statement = connection.prepare("SELECT id FROM names ORDER BY number").map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    while let Some(row) = rows.next().map_err(reading)? {
        let id = row.get_ref(0).map_err(reading)?.as_str().unwrap_or_default();
        let id =
            DeviceId::new(id).map_err(|error| StoreError::Damaged { what: format!("a device's name: {error}") })?;
        dictionary.load_device(id);
    }
    let mut next = 0;
    let select = "SELECT number, device, meter, function FROM channels ORDER BY number";
    let mut statement = connection.prepare(select).map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    while let Some(row) = rows.next().map_err(reading)? {
        let text = |column| row.get_ref(column).map(|value| value.as_str().unwrap_or_default());
        let (number, device) = (row.get(0).map_err(reading)?, row.get(1).map_err(reading)?);
        if number != next {
            return Err(StoreError::Damaged { what: format!("channel {next} has the number {number}") });
        }
        next = number + 1;
        dictionary.load_channel(number, device, text(2).map_err(reading)?, text(3).map_err(reading)?);
    }
    let select = "SELECT coding, code, quality, attributes, device FROM tags ORDER BY number";
    let mut statement = connection.prepare(select).map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    while let Some(row) = rows.next().map_err(reading)? {
        dictionary.load_tag(read_tag(row, 0).map_err(reading)?, row.get(4).map_err(reading)?);
    }
    let mut statement = connection.prepare("SELECT device, meter, attributes FROM meters").map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    while let Some(row) = rows.next().map_err(reading)? {
        let text = |column| row.get_ref(column).map(|value| value.as_str().unwrap_or_default());
        dictionary.load_meter(row.get(0).map_err(reading)?, text(1).map_err(reading)?, text(2).map_err(reading)?);
    }
    Ok(dictionary)
}

/// The tag whose four columns start at `column`.
pub(crate) fn read_tag(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Tag> {
    Ok(Tag {
        coding: row.get(column)?,
        code: row.get(column + 1)?,
        quality: if row.get::<_, u8>(column + 2)? == Quality::Good as u8 { Quality::Good } else { Quality::Bad },
        attributes: row.get(column + 3)?,
    })
}

/// Takes in which segments there are; gives how many readings they hold.
fn load_segments(connection: &Connection, identities: &mut Identities) -> Result<u64, StoreError> {
    let reading = database("reading which segments there are");
    let select =
        "SELECT channel_group, number, first_at, last_at, readings FROM segments ORDER BY channel_group, number";
    let mut statement = connection.prepare(select).map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    let groups_max = rows_max(connection)? / i64::from(GROUP_CHANNELS);
    let mut readings = 0;
    while let Some(row) = rows.next().map_err(reading)? {
        let span = SegmentSpan {
            number: row.get(1).map_err(reading)?,
            first_at: row.get(2).map_err(reading)?,
            last_at: row.get(3).map_err(reading)?,
            readings: row.get(4).map_err(reading)?,
        };
        let group: u32 = row.get(0).map_err(reading)?;
        if i64::from(group) > groups_max {
            return Err(StoreError::Damaged { what: format!("segment {} is of a group that cannot be", span.number) });
        }
        readings += span.readings;
        identities.replace(group, &[], [span]);
    }
    Ok(readings)
}
