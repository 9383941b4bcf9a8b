//! Sealed readings: the compressed columns of up to `GROUP_CHANNELS` neighbouring channels in one body.
//!
//! ```text
//! checksum CRC-32 u32 LE | version u8 | chunks varint | directory | columns
//! directory: for each chunk, by place: place u8, rows varint, fresh u8 (bit n: column n stands in this segment),
//!            for each fresh column: length varint, bytes
//! columns:   measured_at, received_at - measured_at, number, tag, scale, origin, texts
//! ```
//! A chunk is what one channel has in a segment. The meters of a device are read together, so neighbouring channels
//! mostly have the same times: a column that is the same as that of the chunk before stands there only once. For that
//! reason a segment holds a group of channels, and not one; a single chunk can still be decoded alone. Segments of the
//! same group may overlap in time: late readings come in a later segment.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::coding::{Broken, Slice, begin_body, end_body, open_body, put_bytes, put_varint};
use crate::column::{self, Scratch};
use crate::row::{Row, Rows, TEXT};

/// Channels that share segments: the meters of one or two devices.
pub(crate) const GROUP_CHANNELS: u32 = 64;
/// Most rows of one channel in a segment: bounds what decoding one chunk costs.
pub(crate) const CHUNK_ROWS_MAX: usize = 1024;

const VERSION: u8 = 1;
const COLUMNS: usize = 7;
/// Columns of numbers; the rest is texts.
const NUMBERS: usize = 6;
/// Texts shorter than this together do not get smaller.
const COMPRESS_BYTES_MIN: usize = 96;
/// Most bytes of the texts of one chunk, before memory is taken for them.
const TEXT_BYTES_MAX: usize = CHUNK_ROWS_MAX * loggerhead_model::REPORT_TEXT_BYTES_MAX;
const ZSTD_LEVEL: i32 = 3;

/// A segment by its number, as `body_of` takes it.
pub(crate) const SELECT: &str =
    "SELECT channel_group, first_at, last_at, readings, body, checksum FROM segments WHERE number = ?1";

/// The group to which a channel belongs.
pub(crate) const fn group_of(channel: u32) -> u32 {
    channel / GROUP_CHANNELS
}

/// The place of a channel in its group.
pub(crate) const fn place_of(channel: u32) -> u8 {
    (channel % GROUP_CHANNELS) as u8
}

/// What goes into a segment for one channel: its place in the group, its rows, and the texts that they point to.
pub(crate) type Given<'a> = (u8, &'a [Row], &'a [Box<str>]);

/// Puts segments together; keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    raw: [Vec<i64>; NUMBERS],
    column: Vec<u8>,
    directory: Vec<u8>,
    columns: Vec<u8>,
    scratch: Scratch,
}

impl Encoder {
    /// The body of a segment with these chunks, by place; each with 1 to `CHUNK_ROWS_MAX` rows.
    pub(crate) fn encode(&mut self, chunks: &[Given<'_>]) -> Vec<u8> {
        self.directory.clear();
        self.columns.clear();
        let mut before: [Vec<i64>; NUMBERS] = Default::default();
        for &(place, rows, texts) in chunks {
            self.directory.push(place);
            put_varint(&mut self.directory, rows.len() as u64);
            let distinct = self.split(rows, texts);
            let mut fresh = 0_u8;
            for (index, (raw, before)) in self.raw.iter().zip(&before).enumerate() {
                fresh |= u8::from(raw != before) << index;
            }
            fresh |= u8::from(!distinct.is_empty()) << NUMBERS;
            self.directory.push(fresh);
            for (index, (raw, before)) in self.raw.iter_mut().zip(&mut before).enumerate() {
                if fresh & (1 << index) != 0 {
                    self.column.clear();
                    column::encode(&mut self.column, raw, &mut self.scratch);
                    put_varint(&mut self.directory, self.column.len() as u64);
                    self.columns.extend_from_slice(&self.column);
                    std::mem::swap(raw, before);
                }
            }
            if !distinct.is_empty() {
                let texts = encode_texts(&distinct);
                put_varint(&mut self.directory, texts.len() as u64);
                self.columns.extend_from_slice(&texts);
            }
        }
        let mut body = Vec::with_capacity(16 + self.directory.len() + self.columns.len());
        begin_body(&mut body);
        body.push(VERSION);
        put_varint(&mut body, chunks.len() as u64);
        body.extend_from_slice(&self.directory);
        body.extend_from_slice(&self.columns);
        end_body(&mut body);
        body
    }

    /// Takes rows apart into columns; gives the distinct texts, to which the numbers of text rows now point.
    fn split<'a>(&mut self, rows: &[Row], texts: &'a [Box<str>]) -> Vec<&'a str> {
        self.raw.iter_mut().for_each(Vec::clear);
        let [measured, delay, number, tag, scale, origin] = &mut self.raw;
        let mut places = BTreeMap::new();
        let mut distinct = Vec::new();
        for row in rows {
            measured.push(row.measured_at);
            delay.push(row.received_at.wrapping_sub(row.measured_at));
            tag.push(i64::from(row.tag));
            scale.push(i64::from(row.scale));
            origin.push(i64::from(row.origin));
            number.push(if row.scale == TEXT {
                let text = row.text(texts).unwrap_or_default();
                *places.entry(text).or_insert_with(|| {
                    distinct.push(text);
                    i64::try_from(distinct.len() - 1).unwrap_or_default()
                })
            } else {
                row.number
            });
        }
        distinct
    }
}

/// `raw bytes varint | zstd`, or `0 | texts`.
fn encode_texts(texts: &[&str]) -> Vec<u8> {
    let mut raw = Vec::new();
    put_varint(&mut raw, texts.len() as u64);
    for text in texts {
        put_bytes(&mut raw, text.as_bytes());
    }
    let mut out = Vec::new();
    if raw.len() >= COMPRESS_BYTES_MIN
        && let Ok(compressed) = zstd::bulk::compress(&raw, ZSTD_LEVEL)
        && compressed.len() < raw.len()
    {
        put_varint(&mut out, raw.len() as u64);
        out.extend_from_slice(&compressed);
    } else {
        out.push(0);
        out.extend_from_slice(&raw);
    }
    out
}

fn decode_texts(bytes: &[u8]) -> Result<Vec<Box<str>>, Broken> {
    let mut slice = Slice::new(bytes);
    let length = slice.varint()?;
    let unpacked;
    if length > 0 {
        let length = usize::try_from(length).ok().filter(|&length| length <= TEXT_BYTES_MAX);
        let length = length.ok_or(Broken("more text than a chunk holds"))?;
        unpacked = zstd::bulk::decompress(slice.rest(), length).map_err(|_| Broken("texts that do not unpack"))?;
        slice = Slice::new(&unpacked);
    }
    let count = slice.count()?;
    (0..count).map(|_| slice.text().map(Box::from)).collect()
}

/// What one channel has in a segment.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The place of the channel in its group.
    pub(crate) place: u8,
    /// How many rows.
    pub(crate) rows: usize,
    columns: [Range<usize>; COLUMNS],
}

/// A segment whose checksum fits and whose directory is read.
#[derive(Debug)]
pub(crate) struct Segment<'a> {
    chunks: Vec<Chunk>,
    columns: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Checks a body and reads its directory.
    pub(crate) fn open(body: &'a [u8]) -> Result<Self, Broken> {
        let mut slice = open_body(body)?;
        if slice.byte()? != VERSION {
            return Err(Broken("a segment of an unknown version"));
        }
        let count = slice.count()?;
        let mut chunks: Vec<Chunk> = Vec::with_capacity(count.min(GROUP_CHANNELS as usize));
        let mut end = 0_usize;
        for _ in 0..count {
            let place = slice.byte()?;
            let rows = slice.number()? as usize;
            if rows > CHUNK_ROWS_MAX || u32::from(place) >= GROUP_CHANNELS {
                return Err(Broken("a chunk out of range"));
            }
            let fresh = slice.byte()?;
            let mut columns: [Range<usize>; COLUMNS] =
                chunks.last().map_or_else(Default::default, |chunk| chunk.columns.clone());
            if let Some(texts) = columns.last_mut() {
                *texts = 0..0;
            }
            for (index, column) in columns.iter_mut().enumerate() {
                if fresh & (1 << index) != 0 {
                    let length = slice.number()? as usize;
                    *column = end..end.saturating_add(length);
                    end = column.end;
                }
            }
            chunks.push(Chunk { place, rows, columns });
        }
        Ok(Self { chunks, columns: slice.rest() })
    }

    /// What is in it, by place.
    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The chunk of the channel at `place`.
    pub(crate) fn chunk(&self, place: u8) -> Option<&Chunk> {
        self.chunks.iter().find(|chunk| chunk.place == place)
    }

    /// The rows of a chunk, in the order of time.
    pub(crate) fn decode(&self, chunk: &Chunk) -> Result<Rows, Broken> {
        let mut numbers: [Vec<i64>; NUMBERS] = Default::default();
        for (range, numbers) in chunk.columns.iter().zip(&mut numbers) {
            let mut slice = Slice::new(self.column(range)?);
            numbers.reserve(chunk.rows);
            column::decode(&mut slice, chunk.rows, numbers)?;
        }
        let texts = match chunk.columns.last() {
            Some(range) if !range.is_empty() => decode_texts(self.column(range)?)?,
            _ => Vec::new(),
        };
        let [measured, delay, number, tag, scale, origin] = numbers;
        let mut rows = Vec::with_capacity(chunk.rows);
        let values = number.into_iter().zip(tag).zip(scale.into_iter().zip(origin));
        for ((measured_at, delay), ((number, tag), (scale, origin))) in measured.into_iter().zip(delay).zip(values) {
            let out_of_range = |_| Broken("a column out of range");
            rows.push(Row {
                measured_at,
                received_at: measured_at.wrapping_add(delay),
                number,
                tag: u32::try_from(tag).map_err(out_of_range)?,
                scale: u8::try_from(scale).map_err(out_of_range)?,
                origin: u8::try_from(origin).map_err(out_of_range)?,
            });
        }
        Ok(Rows { rows, texts })
    }

    fn column(&self, range: &Range<usize>) -> Result<&'a [u8], Broken> {
        self.columns.get(range.clone()).ok_or(Broken("a column beyond its segment"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Encoder, Segment};
    use crate::row::{Row, Rows, TEXT};

    fn encoded(chunks: &[(u8, Rows)]) -> Vec<u8> {
        let chunks: Vec<_> =
            chunks.iter().map(|(place, rows)| (*place, rows.rows.as_slice(), rows.texts.as_slice())).collect();
        Encoder::default().encode(&chunks)
    }

    fn check(chunks: &[(u8, Rows)]) -> usize {
        let body = encoded(chunks);
        let segment = Segment::open(&body).expect("what was written");
        for (place, rows) in chunks {
            let back = segment.decode(segment.chunk(*place).expect("its chunk")).expect("what was written");
            let values = |rows: &Rows| -> Vec<(i64, i64, u32, u8, String)> {
                let value = |row: &Row| row.value(&rows.texts).to_string();
                rows.rows
                    .iter()
                    .map(|row| (row.measured_at, row.received_at, row.tag, row.origin, value(row)))
                    .collect()
            };
            assert_eq!(values(&back), values(rows));
        }
        body.len()
    }

    #[test]
    fn channels_of_one_device_share_their_times() {
        let chunk = |channel: i64| {
            let mut rows = Rows::default();
            for index in 0..100_i64 {
                let measured_at = 1_790_000_000_000 + index * 60_000;
                let received_at = measured_at + 400 + index * 7919 % 2000;
                let number = (123_450 + channel * 1000 + index * 17 + index * channel % 13) * 10_000;
                rows.push(Row { measured_at, received_at, number, tag: 3, scale: 6, origin: 0 }, None);
            }
            rows
        };
        let chunks: Vec<_> = (0..50).map(|channel| (channel, chunk(i64::from(channel)))).collect();
        let bytes = check(&chunks);
        assert!(bytes < 50 * 100, "{bytes} bytes for 5000 readings");
    }

    proptest! {
        #[test]
        fn any_rows_come_back(values in prop::collection::vec((any::<i64>(), any::<i64>(), any::<i64>(), any::<u32>(), 0..20_u8, 0..3_u8, ".{0,40}"), 1..60)) {
            let mut rows = Rows::default();
            for (measured_at, received_at, number, tag, scale, origin, text) in values {
                let scale = if scale > 18 { TEXT } else { scale };
                let number = number % 1_000_000_000_000_000_000;
                rows.push(Row { measured_at, received_at, number, tag, scale, origin }, Some(&text));
            }
            check(&[(0, rows.clone()), (7, rows.clone()), (63, rows)]);
        }

        #[test]
        fn a_flipped_bit_is_noticed(byte in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut rows = Rows::default();
            rows.push(Row { measured_at: 1, received_at: 2, number: 3, tag: 0, scale: 0, origin: 0 }, None);
            let mut body = encoded(&[(5, rows)]);
            let place = byte.index(body.len());
            body[place] ^= 1 << bit;
            prop_assert!(Segment::open(&body).is_err());
        }
    }
}
