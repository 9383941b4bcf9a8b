//! Readings: from the hot index and from segments, in the order of time.

use std::ops::ControlFlow;
use std::sync::Arc;

use loggerhead_model::{DeviceId, Origin, Reading, Timestamp, Value};
use rusqlite::{Connection, OptionalExtension};

use super::answer::{Bucket, Channel, ChannelId, Conflict, ReadingFilter, StoredReading};
use super::{Reader, Unsealed};
use crate::StoreError;
use crate::body::body_of;
use crate::damage::is_damage;
use crate::dictionary::Tag;
use crate::error::database;
use crate::identity::SegmentSpan;
use crate::row::{Row, Rows};
use crate::segment::{self, Segment, group_of, place_of};
use crate::state::read_tag;

/// Most buckets in one answer: more than a screen has columns.
pub(crate) const BUCKETS_MAX: usize = 10_000;

impl Reader {
    pub(super) fn select_channels(&self, filter: &ReadingFilter) -> Result<Vec<Channel>, StoreError> {
        let doing = database("reading channels");
        let connection = self.connection()?;
        let sql = "SELECT c.number, n.id, c.meter, c.function, coalesce(m.attributes, '')
                   FROM names n JOIN channels c ON c.device = n.number
                   LEFT JOIN meters m ON m.device = c.device AND m.meter = c.meter
                   WHERE (?1 IS NULL OR n.id = ?1) AND (?2 IS NULL OR c.meter = ?2) AND (?3 IS NULL OR c.function = ?3)
                   ORDER BY n.id, c.meter, c.function";
        let mut statement = connection.prepare_cached(sql).map_err(doing)?;
        let device = filter.device.as_ref().map(DeviceId::as_str);
        let mut rows = statement.query((device, &filter.meter, &filter.function)).map_err(doing)?;
        let mut channels: Vec<Channel> = Vec::new();
        while let Some(row) = rows.next().map_err(doing)? {
            let id = row.get_ref(1).map_err(doing)?.as_str().unwrap_or_default();
            // Channels of one device stand together; its name is kept once.
            let device = match channels.last() {
                Some(last) if last.device.as_str() == id => last.device.clone(),
                _ => device_id(id)?,
            };
            channels.push(Channel {
                id: ChannelId(row.get(0).map_err(doing)?),
                device,
                meter: row.get(2).map_err(doing)?,
                function: row.get(3).map_err(doing)?,
                meter_attributes: row.get(4).map_err(doing)?,
            });
        }
        Ok(channels)
    }

    pub(super) fn select_channel(&self, id: ChannelId) -> Result<Option<Channel>, StoreError> {
        let doing = database("reading a channel");
        let connection = self.connection()?;
        let sql = "SELECT n.id, c.meter, c.function, coalesce(m.attributes, '')
                   FROM channels c JOIN names n ON c.device = n.number
                   LEFT JOIN meters m ON m.device = c.device AND m.meter = c.meter WHERE c.number = ?1";
        let mut statement = connection.prepare_cached(sql).map_err(doing)?;
        let found = statement
            .query_row([id.0], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()
            .map_err(doing)?;
        found
            .map(|(device, meter, function, meter_attributes)| {
                Ok(Channel { id, device: device_id(&device)?, meter, function, meter_attributes })
            })
            .transpose()
    }

    pub(super) fn each_latest(
        &self,
        filter: &ReadingFilter,
        each: &mut dyn FnMut(StoredReading<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let unsealed = self.unsealed()?;
        let mut tags = Tags::new(self);
        for channel in self.select_channels(filter)? {
            let Some(latest) = unsealed.latest(channel.id.0) else { continue };
            let texts: Vec<Box<str>> = latest.text.into_iter().collect();
            let row = Row { number: if texts.is_empty() { latest.row.number } else { 0 }, ..latest.row };
            let tag = tags.tag(row.tag)?;
            if each(stored(&channel, &row, &texts, &tag)).is_break() {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn each_in_range(
        &self,
        channel: &Channel,
        unsealed: &Unsealed<'_>,
        (from, to): (i64, i64),
        each: &mut dyn FnMut(StoredReading<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let mut tags = Tags::new(self);
        self.each_row(channel.id.0, unsealed, (from, to), &mut |row, texts| {
            let tag = tags.tag(row.tag)?;
            Ok(each(stored(channel, row, texts, &tag)))
        })
    }

    /// Every row of a channel in a span, in the order of time. Segments are read one by one, so that it is cheap to stop.
    fn each_row(
        &self,
        channel: u32,
        unsealed: &Unsealed<'_>,
        (from, to): (i64, i64),
        each: EachRow<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let mut from = from;
        loop {
            match self.each_listed_row(channel, unsealed, (from, to), each)? {
                Walk::Done(flow) => return Ok(flow),
                Walk::Moved(next) => from = next,
            }
        }
    }

    fn each_listed_row(
        &self,
        channel: u32,
        unsealed: &Unsealed<'_>,
        (from, to): (i64, i64),
        each: EachRow<'_>,
    ) -> Result<Walk, StoreError> {
        // First what is not sealed: what gets sealed in between is then seen twice, not never, and left out below.
        let mut waiting = unsealed.range(channel, from, to);
        let connection = self.connection()?;
        let spans = select_spans(&connection, group_of(channel), from, to)?;
        let mut position = from;
        for (index, span) in spans.iter().enumerate() {
            if !read_chunk(&connection, span, place_of(channel), (position, to), &mut waiting)? {
                return Ok(Walk::Moved(position));
            }
            waiting.sort();
            let safe = spans.get(index + 1).map_or(i64::MAX, |next| next.first_at);
            let ready = waiting.rows.partition_point(|row| row.measured_at < safe);
            for row in waiting.rows.get(..ready).unwrap_or_default() {
                if each(row, &waiting.texts)?.is_break() {
                    return Ok(Walk::Done(ControlFlow::Break(())));
                }
            }
            position = position.max(safe);
            waiting.rows.drain(..ready);
            if waiting.rows.is_empty() {
                waiting.texts.clear();
            }
        }
        for row in &waiting.rows {
            if each(row, &waiting.texts)?.is_break() {
                return Ok(Walk::Done(ControlFlow::Break(())));
            }
        }
        Ok(Walk::Done(ControlFlow::Continue(())))
    }

    pub(super) fn fill_buckets(
        &self,
        channel: ChannelId,
        from: Timestamp,
        to: Timestamp,
        count: usize,
    ) -> Result<Vec<Bucket>, StoreError> {
        let unsealed = self.unsealed()?;
        let mut buckets = empty_buckets(from.unix_ms(), to.unix_ms(), count);
        let mut sums = vec![0.0; buckets.len()];
        let mut tags = Tags::new(self);
        let mut index = 0;
        let flow = self.each_row(channel.0, &unsealed, (from.unix_ms(), to.unix_ms()), &mut |row, texts| {
            while buckets.get(index).is_some_and(|bucket| bucket.to.unix_ms() <= row.measured_at) {
                index += 1;
            }
            let (Some(bucket), Some(sum)) = (buckets.get_mut(index), sums.get_mut(index)) else {
                return Ok(ControlFlow::Break(()));
            };
            bucket.resumed += u64::from(row.origin() == Origin::Resumed);
            let good = tags.tag(row.tag)?.quality == loggerhead_model::Quality::Good;
            match row.value(texts).number().filter(|_| good) {
                Some(number) => {
                    bucket.count += 1;
                    bucket.min = Some(bucket.min.map_or(number, |min| min.min(number)));
                    bucket.max = Some(bucket.max.map_or(number, |max| max.max(number)));
                    *sum += number;
                }
                None => bucket.bad += 1,
            }
            Ok(ControlFlow::Continue(()))
        })?;
        debug_assert!(flow.is_continue(), "every row of the span has its bucket");
        for (bucket, sum) in buckets.iter_mut().zip(sums).filter(|(bucket, _)| bucket.count > 0) {
            #[expect(clippy::cast_precision_loss, reason = "a count of readings is far below 2^52")]
            let count = bucket.count as f64;
            bucket.mean = Some(sum / count);
        }
        Ok(buckets)
    }

    pub(super) fn each_conflict(
        &self,
        filter: &ReadingFilter,
        beyond: Option<u64>,
        each: &mut dyn FnMut(Conflict<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let doing = database("reading conflicts");
        let connection = self.connection()?;
        let sql = "SELECT k.number, k.channel, k.measured_at, k.value, k.first, k.tag, k.received_at, k.origin
                   FROM conflicts k JOIN channels c ON c.number = k.channel JOIN names n ON n.number = c.device
                   WHERE k.number > ?1 AND (?2 IS NULL OR n.id = ?2) AND (?3 IS NULL OR c.meter = ?3)
                   AND (?4 IS NULL OR c.function = ?4) AND k.measured_at >= ?5 AND k.measured_at < ?6 ORDER BY k.number";
        let mut statement = connection.prepare_cached(sql).map_err(doing)?;
        let device = filter.device.as_ref().map(DeviceId::as_str);
        let (from, to) = span(filter);
        let names = (beyond.unwrap_or(0), device, &filter.meter, &filter.function, from, to);
        let mut rows = statement.query(names).map_err(doing)?;
        let mut tags = Tags::new(self);
        while let Some(row) = rows.next().map_err(doing)? {
            let Some(channel) = self.select_channel(ChannelId(row.get(1).map_err(doing)?))? else { continue };
            let tag = tags.tag(row.get(5).map_err(doing)?)?;
            let value: String = row.get(3).map_err(doing)?;
            let first: String = row.get(4).map_err(doing)?;
            let later = StoredReading {
                device: &channel.device,
                channel: channel.id,
                reading: reading(&channel, row.get(2).map_err(doing)?, Value::parse(&value), &tag),
                received_at: Timestamp::from_unix_ms(row.get(6).map_err(doing)?),
                origin: origin(row.get(7).map_err(doing)?),
            };
            if each(Conflict { number: row.get(0).map_err(doing)?, later, first: &first }).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Called with each row and the texts beside it.
type EachRow<'a> = &'a mut dyn FnMut(&Row, &[Box<str>]) -> Result<ControlFlow<()>, StoreError>;

/// How a walk over segments ended.
enum Walk {
    /// At its end, or where it was told to.
    Done(ControlFlow<()>),
    /// A segment was merged into another meanwhile: go on from this time with a new list.
    Moved(i64),
}

/// The times of a filter, as numbers.
pub(super) fn span(filter: &ReadingFilter) -> (i64, i64) {
    (filter.from.map_or(i64::MIN, Timestamp::unix_ms), filter.to.map_or(i64::MAX, Timestamp::unix_ms))
}

pub(super) fn device_id(text: &str) -> Result<DeviceId, StoreError> {
    DeviceId::new(text).map_err(|error| StoreError::Damaged { what: format!("a device's name: {error}") })
}

fn origin(number: u8) -> Origin {
    Row { measured_at: 0, received_at: 0, number: 0, tag: 0, scale: 0, origin: number }.origin()
}

/// Tags by number; readings next to each other mostly have the same.
pub(super) struct Tags<'a> {
    reader: &'a Reader,
    last: Option<(u32, Arc<Tag>)>,
}

impl<'a> Tags<'a> {
    pub(super) fn new(reader: &'a Reader) -> Self {
        Self { reader, last: None }
    }

    pub(super) fn tag(&mut self, number: u32) -> Result<Arc<Tag>, StoreError> {
        if let Some((_, tag)) = self.last.as_ref().filter(|(last, _)| *last == number) {
            return Ok(Arc::clone(tag));
        }
        let tag = self.reader.tag(number)?;
        self.last = Some((number, Arc::clone(&tag)));
        Ok(tag)
    }
}

/// Reads a tag from the database.
pub(super) fn select_tag(connection: &Connection, number: u32) -> Result<Tag, StoreError> {
    let doing = database("reading a tag");
    let sql = "SELECT coding, code, quality, attributes FROM tags WHERE number = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(doing)?;
    let found = statement.query_row([number], |row| read_tag(row, 0)).optional().map_err(doing)?;
    found.ok_or_else(|| StoreError::Damaged { what: format!("tag {number} is not in the dictionary") })
}

fn reading<'a>(channel: &'a Channel, measured_at: i64, value: Value<'a>, tag: &'a Tag) -> Reading<'a> {
    Reading {
        meter: &channel.meter,
        function: &channel.function,
        coding: &tag.coding,
        code: &tag.code,
        quality: tag.quality,
        measured_at: Timestamp::from_unix_ms(measured_at),
        value,
        attributes: &tag.attributes,
    }
}

fn stored<'a>(channel: &'a Channel, row: &Row, texts: &'a [Box<str>], tag: &'a Tag) -> StoredReading<'a> {
    StoredReading {
        device: &channel.device,
        channel: channel.id,
        reading: reading(channel, row.measured_at, row.value(texts), tag),
        received_at: Timestamp::from_unix_ms(row.received_at),
        origin: row.origin(),
    }
}

/// The segments of a group that reach into a span, by their first time.
fn select_spans(connection: &Connection, group: u32, from: i64, to: i64) -> Result<Vec<SegmentSpan>, StoreError> {
    let doing = database("looking for segments");
    let sql = "SELECT number, first_at, last_at, readings FROM segments
               WHERE channel_group = ?1 AND first_at < ?3 AND last_at >= ?2 ORDER BY first_at";
    let mut statement = connection.prepare_cached(sql).map_err(doing)?;
    let spans = statement.query_map((group, from, to), |row| {
        Ok(SegmentSpan { number: row.get(0)?, first_at: row.get(1)?, last_at: row.get(2)?, readings: row.get(3)? })
    });
    spans.map_err(doing)?.collect::<Result<_, _>>().map_err(doing)
}

/// Adds what a segment has of a channel in a span; false when the segment went since it was listed. A damaged one is
/// reported and left out, so that the rest can be read.
fn read_chunk(
    connection: &Connection,
    span: &SegmentSpan,
    place: u8,
    (from, to): (i64, i64),
    found: &mut Rows,
) -> Result<bool, StoreError> {
    let doing = database("reading a segment");
    let mut statement = connection.prepare_cached(segment::SELECT).map_err(doing)?;
    let mut rows = statement.query([span.number]).map_err(doing)?;
    let row = match rows.next() {
        Ok(row) => row,
        Err(error) if is_damage(&error) => {
            tracing::error!(segment = span.number, %error, "a damaged segment: run verify");
            return Ok(true);
        }
        Err(error) => return Err(doing(error)),
    };
    let Some(row) = row else { return Ok(false) };
    let body = body_of(row, 0).map_err(doing)?;
    let chunk = body
        .and_then(Segment::open)
        .and_then(|segment| segment.chunk(place).map(|chunk| segment.decode(chunk)).transpose());
    match chunk {
        Ok(Some(rows)) => {
            let start = rows.rows.partition_point(|row| row.measured_at < from);
            let end = rows.rows.partition_point(|row| row.measured_at < to);
            for row in rows.rows.get(start..end).unwrap_or_default() {
                found.push(*row, row.text(&rows.texts));
            }
        }
        Ok(None) => {}
        Err(broken) => tracing::error!(segment = span.number, %broken, "a damaged segment: run verify"),
    }
    Ok(true)
}

fn empty_buckets(from: i64, to: i64, count: usize) -> Vec<Bucket> {
    let count = count.clamp(1, BUCKETS_MAX);
    let length = i128::from(to.saturating_sub(from).max(0));
    let edge = |index: usize| {
        let offset = length * index as i128 / count as i128;
        Timestamp::from_unix_ms(from.saturating_add(i64::try_from(offset).unwrap_or(i64::MAX)))
    };
    (0..count)
        .map(|index| Bucket {
            from: edge(index),
            to: edge(index + 1),
            count: 0,
            bad: 0,
            resumed: 0,
            min: None,
            max: None,
            mean: None,
        })
        .collect()
}
