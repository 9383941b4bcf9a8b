//! Makes segments: of what is not sealed yet, and of small segments that are better off together.

use rusqlite::Connection;

use crate::StoreError;
use crate::body::body_of;
use crate::error::database;
use crate::hot::{Latest, Taken};
use crate::row::{Row, Rows};
use crate::segment::{self, CHUNK_ROWS_MAX, Encoder, Given, Segment};
use crate::step::{Action, NewSegment};

/// Segments with fewer readings are merged; 64 for each channel are enough to pay for their directory.
const MERGE_BELOW: usize = 4096;
/// So many segments of about the same size are merged at a time: a reading is rewritten at most four times on its way
/// from one in a segment to `MERGE_BELOW`.
const MERGE_COUNT: usize = 8;

/// Makes segments; keeps its buffers.
#[derive(Debug, Default)]
pub(crate) struct Sealer {
    encoder: Encoder,
}

impl Sealer {
    /// Segments of a group: the first holds the first chunk of every channel, and so on.
    pub(crate) fn segments(&mut self, group: u32, channels: &[(u8, Rows)]) -> Vec<NewSegment> {
        let mut segments = Vec::new();
        for index in 0.. {
            let chunk = |(place, rows): &'_ (u8, Rows)| -> Option<(u8, std::ops::Range<usize>)> {
                let start = index * CHUNK_ROWS_MAX;
                let end = rows.rows.len().min(start + CHUNK_ROWS_MAX);
                (start < end).then_some((*place, start..end))
            };
            let mut chunks: Vec<Given<'_>> = Vec::new();
            for channel in channels {
                if let Some((place, range)) = chunk(channel) {
                    chunks.push((place, channel.1.rows.get(range).unwrap_or_default(), &channel.1.texts));
                }
            }
            if chunks.is_empty() {
                break;
            }
            segments.push(self.segment(group, &chunks));
        }
        segments
    }

    /// What seals a group.
    pub(crate) fn seal(&mut self, taken: &Taken) -> Action {
        self.seal_as(taken, &taken.sealing)
    }

    /// What seals a group without the readings that were measured before a time.
    pub(crate) fn seal_newer(&mut self, taken: &Taken, before: i64) -> Action {
        self.seal_as(taken, &newer(taken.sealing.to_vec(), before))
    }

    fn seal_as(&mut self, taken: &Taken, channels: &[(u8, Rows)]) -> Action {
        let &Taken { group, through, ref latest, .. } = taken;
        Action::Seal { group, through, latest: self.latest(latest), segments: self.segments(group, channels) }
    }

    /// What merges small segments of a group, if there are enough of about the same size.
    pub(crate) fn merge(&mut self, connection: &Connection, group: u32) -> Result<Option<Action>, StoreError> {
        let gone = select_mergeable(connection, group)?;
        if gone.is_empty() {
            return Ok(None);
        }
        let mut channels: Vec<(u8, Rows)> = Vec::new();
        for &number in &gone {
            let Some(chunks) = decode_all(connection, number)? else { return Ok(None) };
            for (place, rows) in chunks {
                add(&mut channels, place, &rows);
            }
        }
        for (_, rows) in &mut channels {
            rows.sort();
        }
        Ok(Some(Action::Replace { group, gone, segments: self.segments(group, &channels) }))
    }

    /// What takes readings measured before a time out of a segment.
    pub(crate) fn forget(
        &mut self,
        connection: &Connection,
        group: u32,
        number: i64,
        before: i64,
    ) -> Result<Option<Action>, StoreError> {
        let Some(channels) = decode_all(connection, number)? else { return Ok(None) };
        let channels = newer(channels, before);
        Ok(Some(Action::Replace { group, gone: vec![number], segments: self.segments(group, &channels) }))
    }

    fn segment(&mut self, group: u32, chunks: &[Given<'_>]) -> NewSegment {
        let time = |row: Option<&Row>| row.map_or(0, |row| row.measured_at);
        NewSegment {
            group,
            first_at: chunks.iter().map(|(_, rows, _)| time(rows.first())).min().unwrap_or(0),
            last_at: chunks.iter().map(|(_, rows, _)| time(rows.last())).max().unwrap_or(0),
            readings: chunks.iter().map(|(_, rows, _)| rows.len()).sum(),
            body: self.encoder.encode(chunks),
        }
    }

    /// The latest readings of a group as a segment of one row a channel.
    pub(crate) fn latest(&mut self, latest: &[(u8, Latest)]) -> Vec<u8> {
        let mut channels = Vec::with_capacity(latest.len());
        for (place, latest) in latest {
            let mut rows = Rows::default();
            rows.push(latest.row, latest.text.as_deref());
            channels.push((*place, rows));
        }
        let chunks: Vec<Given<'_>> =
            channels.iter().map(|(place, rows)| (*place, rows.rows.as_slice(), rows.texts.as_slice())).collect();
        self.encoder.encode(&chunks)
    }
}

/// Without the readings that were measured before a time.
fn newer(mut channels: Vec<(u8, Rows)>, before: i64) -> Vec<(u8, Rows)> {
    for (_, rows) in &mut channels {
        rows.rows.retain(|row| row.measured_at >= before);
    }
    channels.retain(|(_, rows)| !rows.rows.is_empty());
    channels
}

fn add(channels: &mut Vec<(u8, Rows)>, place: u8, rows: &Rows) {
    let index = channels.partition_point(|(other, _)| *other < place);
    if channels.get(index).is_none_or(|(other, _)| *other != place) {
        channels.insert(index, (place, Rows::default()));
    }
    if let Some((_, all)) = channels.get_mut(index) {
        for row in &rows.rows {
            all.push(*row, row.text(&rows.texts));
        }
    }
}

/// Everything in a segment, by place; nothing when it cannot be read, which is left to `verify`.
fn decode_all(connection: &Connection, number: i64) -> Result<Option<Vec<(u8, Rows)>>, StoreError> {
    let doing = database("reading a segment");
    let mut statement = connection.prepare_cached(segment::SELECT).map_err(doing)?;
    let mut rows = statement.query([number]).map_err(doing)?;
    let Some(row) = rows.next().map_err(doing)? else { return Ok(None) };
    let decoded = body_of(row, 0).map_err(doing)?.and_then(Segment::open).and_then(|segment| {
        segment.chunks().iter().map(|chunk| Ok((chunk.place, segment.decode(chunk)?))).collect::<Result<_, _>>()
    });
    match decoded {
        Ok(channels) => Ok(Some(channels)),
        Err(broken) => {
            tracing::error!(segment = number, %broken, "a damaged segment: run verify");
            Ok(None)
        }
    }
}

/// The segments to merge: the oldest of the size of which there are enough.
fn select_mergeable(connection: &Connection, group: u32) -> Result<Vec<i64>, StoreError> {
    let doing = database("looking for small segments");
    let sql = "SELECT number, readings FROM segments WHERE channel_group = ?1 AND readings < ?2 ORDER BY number";
    let mut statement = connection.prepare_cached(sql).map_err(doing)?;
    let mut rows = statement.query((group, MERGE_BELOW)).map_err(doing)?;
    // One list for each power of eight.
    let mut of_size: [Vec<i64>; 5] = Default::default();
    while let Some(row) = rows.next().map_err(doing)? {
        let readings: usize = row.get(1).map_err(doing)?;
        let size = readings.max(1).ilog2() / 3;
        if let Some(numbers) = of_size.get_mut(size as usize) {
            numbers.push(row.get(0).map_err(doing)?);
            if numbers.len() == MERGE_COUNT {
                return Ok(std::mem::take(numbers));
            }
        }
    }
    Ok(Vec::new())
}
