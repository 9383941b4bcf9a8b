//! Whether a reading is new. Its identity is channel and `measured_at`.
//!
//! A reading that is newer than all of its channel is new; that is nearly every one, and costs one comparison. Any other
//! is looked for in the batch that is being put together, in the hot index, and in the sealed segments that reach over
//! its time.

use std::sync::{Arc, RwLock};

use foldhash::{HashMap, HashMapExt};
use loggerhead_model::Value;
use rusqlite::Connection;

use crate::StoreError;
use crate::body::body_of;
use crate::error::database;
use crate::hot::Hot;
use crate::lock::read;
use crate::log::Batch;
use crate::row::{Rows, same_value};
use crate::segment::{self, Segment, group_of, place_of};

/// Most rows of decoded chunks that are kept: 32 MiB. A device that sends its backlog asks for the same chunks again.
const CACHE_ROWS_MAX: usize = 1_000_000;

/// What is known of a reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: it is new.
    New,
    /// It is stored with this value.
    Same,
    /// It is stored with another value: its text.
    Other(String),
}

/// A sealed segment, and the times that it reaches over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentSpan {
    pub(crate) number: i64,
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
    pub(crate) readings: u64,
}

/// All identities.
#[derive(Default)]
pub(crate) struct Identities {
    newest: Vec<i64>,
    segments: Vec<Vec<SegmentSpan>>,
    staged: Option<HashMap<(u32, i64), usize>>,
    cache: HashMap<(i64, u8), Arc<Rows>>,
    cached_rows: usize,
}

impl Identities {
    /// Forgets which rows are in the batch.
    pub(crate) fn begin_batch(&mut self) {
        self.staged = None;
    }

    /// Takes in what the store was found with: nothing of a channel is newer than this.
    pub(crate) fn found(&mut self, channel: u32, newest: i64) {
        let slot = self.newest(channel);
        *slot = newest.max(*slot);
    }

    /// Replaces segments of a group by others; gives how many readings were in those that are gone.
    pub(crate) fn replace(&mut self, group: u32, gone: &[i64], added: impl IntoIterator<Item = SegmentSpan>) -> u64 {
        let index = group as usize;
        if index >= self.segments.len() {
            self.segments.resize_with(index + 1, Vec::new);
        }
        let mut readings = 0;
        if let Some(segments) = self.segments.get_mut(index) {
            segments.retain(|segment| {
                let stays = !gone.contains(&segment.number);
                readings += if stays { 0 } else { segment.readings };
                stays
            });
            segments.extend(added);
        }
        if !gone.is_empty() {
            self.cache.retain(|(number, _), _| !gone.contains(number));
            self.cached_rows = self.cache.values().map(|rows| rows.rows.len()).sum();
        }
        readings
    }

    /// What is known of a reading. A new one is known from now on, as the next row of `batch`.
    pub(crate) fn judge(
        &mut self,
        channel: u32,
        measured_at: i64,
        value: Value<'_>,
        batch: &Batch,
        hot: &RwLock<Hot>,
        connection: &Connection,
    ) -> Result<Known, StoreError> {
        let newest = self.newest(channel);
        if measured_at > *newest {
            *newest = measured_at;
        } else {
            let stored = |stored: Value<'_>| {
                if same_value(stored, value) { Known::Same } else { Known::Other(stored.to_string()) }
            };
            if let Some(row) = self.staged(batch).get(&(channel, measured_at)).and_then(|&row| batch.rows.get(row)) {
                return Ok(stored(row.value(&batch.texts)));
            }
            if let Some((row, texts)) = read(hot).find(channel, measured_at) {
                return Ok(stored(row.value(texts)));
            }
            if let Some(known) = self.sealed(channel, measured_at, stored, connection)? {
                return Ok(known);
            }
        }
        if let Some(staged) = &mut self.staged {
            staged.insert((channel, measured_at), batch.rows.len());
        }
        Ok(Known::New)
    }

    fn newest(&mut self, channel: u32) -> &mut i64 {
        let index = channel as usize;
        if index >= self.newest.len() {
            self.newest.resize(index + 1, i64::MIN);
        }
        self.newest.get_mut(index).expect("just made")
    }

    /// The rows of the batch by identity, made when first asked for.
    fn staged(&mut self, batch: &Batch) -> &HashMap<(u32, i64), usize> {
        self.staged.get_or_insert_with(|| {
            let mut staged = HashMap::with_capacity(batch.rows.len() * 2);
            staged.extend(
                batch
                    .channels
                    .iter()
                    .zip(&batch.rows)
                    .enumerate()
                    .map(|(index, (&channel, row))| ((channel, row.measured_at), index)),
            );
            staged
        })
    }

    fn sealed(
        &mut self,
        channel: u32,
        measured_at: i64,
        stored: impl Fn(Value<'_>) -> Known,
        connection: &Connection,
    ) -> Result<Option<Known>, StoreError> {
        let group = group_of(channel) as usize;
        let count = self.segments.get(group).map_or(0, Vec::len);
        // Late readings mostly belong to what was sealed last.
        for index in (0..count).rev() {
            let Some(&span) = self.segments.get(group).and_then(|segments| segments.get(index)) else { break };
            if span.first_at > measured_at || span.last_at < measured_at {
                continue;
            }
            let rows = self.chunk(span.number, place_of(channel), connection)?;
            if let Some((row, texts)) = rows.find(measured_at) {
                return Ok(Some(stored(row.value(texts))));
            }
        }
        Ok(None)
    }

    fn chunk(&mut self, number: i64, place: u8, connection: &Connection) -> Result<Arc<Rows>, StoreError> {
        if let Some(rows) = self.cache.get(&(number, place)) {
            return Ok(Arc::clone(rows));
        }
        let reading = database("reading a segment");
        let mut statement = connection.prepare_cached(segment::SELECT).map_err(reading)?;
        let mut found = statement.query([number]).map_err(reading)?;
        let rows = match found.next().map_err(reading)? {
            Some(row) => body_of(row, 0)
                .map_err(reading)?
                .and_then(Segment::open)
                .and_then(|segment| segment.chunk(place).map(|chunk| segment.decode(chunk)).transpose()),
            None => Ok(None),
        };
        let rows = match rows {
            Ok(rows) => rows.unwrap_or_default(),
            Err(broken) => {
                // What cannot be read cannot be compared; refusing the device would not bring it back.
                tracing::error!(segment = number, %broken, "a damaged segment: run verify");
                Rows::default()
            }
        };
        if self.cached_rows > CACHE_ROWS_MAX {
            self.cache.clear();
            self.cached_rows = 0;
        }
        // An empty chunk takes room as well.
        self.cached_rows += rows.rows.len() + 1;
        let rows = Arc::new(rows);
        self.cache.insert((number, place), Arc::clone(&rows));
        Ok(rows)
    }
}
