//! Raw frames, many in one compressed block: frames of the same kind look alike.
//!
//! ```text
//! checksum CRC-32 u32 LE | version u8 | frames varint | entries | raw bytes varint | LZ4 block
//! entry: device varint, received_at signed (step from the entry before), direction u8, length varint
//! ```

use loggerhead_model::{Direction, RawFrame};

use crate::coding::{Broken, Slice, begin_body, end_body, open_body, put_signed, put_varint};

/// A block is closed when it holds this many bytes: what reading one frame unpacks.
pub(crate) const BLOCK_BYTES: usize = 1024 * 1024;

const VERSION: u8 = 1;
/// Most bytes that a body may claim: a full block and the longest frame of any protocol.
const RAW_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A closed block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// When the first of its frames was received, ms since 1970.
    pub(crate) first_at: i64,
    /// When the last of its frames was received, ms since 1970.
    pub(crate) last_at: i64,
    /// The numbers of the devices in it: sorted, as gaps.
    pub(crate) devices: Vec<u8>,
    /// The frames.
    pub(crate) body: Vec<u8>,
}

/// One frame of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) device: u32,
    pub(crate) received_at: i64,
    pub(crate) direction: Direction,
    pub(crate) length: usize,
}

/// Gathers frames into blocks.
#[derive(Debug, Default)]
pub(crate) struct Gatherer {
    entries: Vec<Entry>,
    raw: Vec<u8>,
}

impl Gatherer {
    /// Forgets what was gathered.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.raw.clear();
    }

    /// Adds a frame; gives a block when one is full.
    pub(crate) fn add(&mut self, device: u32, received_at: i64, frame: &RawFrame) -> Option<Block> {
        let direction = frame.direction;
        self.entries.push(Entry { device, received_at, direction, length: frame.bytes.len() });
        self.raw.extend_from_slice(&frame.bytes);
        if self.raw.len() >= BLOCK_BYTES { self.finish() } else { None }
    }

    /// Adds the frames of a block.
    pub(crate) fn add_all(&mut self, entries: &[Entry], raw: &[u8]) {
        self.entries.extend_from_slice(entries);
        self.raw.extend_from_slice(raw);
    }

    /// How many bytes the frames have.
    pub(crate) const fn bytes(&self) -> usize {
        self.raw.len()
    }

    /// The block of what is left.
    pub(crate) fn finish(&mut self) -> Option<Block> {
        let (first_at, last_at, devices) = beside(&self.entries)?;
        let mut body = Vec::new();
        begin_body(&mut body);
        body.push(VERSION);
        put_varint(&mut body, self.entries.len() as u64);
        let mut received_at = 0;
        for entry in &self.entries {
            put_varint(&mut body, u64::from(entry.device));
            put_signed(&mut body, entry.received_at.wrapping_sub(received_at));
            received_at = entry.received_at;
            body.push(match entry.direction {
                Direction::In => 0,
                Direction::Out => 1,
            });
            put_varint(&mut body, entry.length as u64);
        }
        put_varint(&mut body, self.raw.len() as u64);
        let start = body.len();
        body.resize(start + lz4_flex::block::get_maximum_output_size(self.raw.len()), 0);
        let room = body.get_mut(start..).unwrap_or_default();
        let written = lz4_flex::block::compress_into(&self.raw, room).expect("the room is the maximum");
        body.truncate(start + written);
        end_body(&mut body);
        self.clear();
        Some(Block { first_at, last_at, devices, body })
    }
}

/// What stands beside the body of these frames: the first and the last time, and the devices, sorted, as gaps.
pub(crate) fn beside(entries: &[Entry]) -> Option<(i64, i64, Vec<u8>)> {
    let first_at = entries.iter().map(|entry| entry.received_at).min()?;
    let last_at = entries.iter().map(|entry| entry.received_at).max()?;
    let mut numbers: Vec<u32> = entries.iter().map(|entry| entry.device).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut devices = Vec::with_capacity(numbers.len() + 4);
    let mut before = 0;
    for number in numbers {
        put_varint(&mut devices, u64::from(number - before));
        before = number;
    }
    Some((first_at, last_at, devices))
}

/// Whether the frames of a device are in a block, by its `devices`.
pub(crate) fn has_device(devices: &[u8], device: u32) -> Result<bool, Broken> {
    let mut slice = Slice::new(devices);
    let mut number = 0_u32;
    while !slice.is_empty() {
        number = number.saturating_add(slice.number()?);
        if number >= device {
            return Ok(number == device);
        }
    }
    Ok(false)
}

/// The numbers of the devices in a block, by its `devices`, in order.
pub(crate) fn devices(devices: &[u8]) -> Result<Vec<u32>, Broken> {
    let mut slice = Slice::new(devices);
    let (mut number, mut numbers) = (0_u32, Vec::new());
    while !slice.is_empty() {
        number = number.saturating_add(slice.number()?);
        numbers.push(number);
    }
    Ok(numbers)
}

/// The frames of a block, in order: their entries, and their bytes one behind the other.
pub(crate) fn decode(body: &[u8]) -> Result<(Vec<Entry>, Vec<u8>), Broken> {
    let mut slice = open_body(body)?;
    if slice.byte()? != VERSION {
        return Err(Broken("a block of frames of an unknown version"));
    }
    let count = slice.count()?;
    let mut entries = Vec::with_capacity(count);
    let mut received_at = 0_i64;
    for _ in 0..count {
        let device = slice.number()?;
        received_at = received_at.wrapping_add(slice.signed()?);
        let direction = match slice.byte()? {
            0 => Direction::In,
            1 => Direction::Out,
            _ => return Err(Broken("a frame of neither direction")),
        };
        let length = slice.number()? as usize;
        entries.push(Entry { device, received_at, direction, length });
    }
    let length = slice.varint()?;
    let sum: usize = entries.iter().map(|entry| entry.length).sum();
    if length > RAW_BYTES_MAX || length != sum as u64 {
        return Err(Broken("frames of another length than their block"));
    }
    let raw = lz4_flex::block::decompress(slice.rest(), sum).map_err(|_| Broken("frames that do not unpack"))?;
    if raw.len() == sum { Ok((entries, raw)) } else { Err(Broken("frames that end early")) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use loggerhead_model::{Direction, RawFrame};

    use super::{Gatherer, decode, has_device};

    #[test]
    fn frames_come_back() {
        let mut gatherer = Gatherer::default();
        for index in 0..100_u32 {
            let bytes = Bytes::from(format!("<root><common><type>report</type></common>{index}</root>"));
            assert!(gatherer.add(index % 7 * 1000, 5, &RawFrame { direction: Direction::In, bytes }).is_none());
        }
        let block = gatherer.finish().expect("a block");
        assert!(gatherer.finish().is_none());
        assert!(block.body.len() < 2000, "{}", block.body.len());
        let (entries, raw) = decode(&block.body).expect("what was written");
        assert_eq!(entries.len(), 100);
        assert!(raw.ends_with(b"99</root>"));
        assert_eq!(has_device(&block.devices, 6000), Ok(true));
        assert_eq!(has_device(&block.devices, 6001), Ok(false));
        assert_eq!(has_device(&block.devices, 0), Ok(true));
    }
}
