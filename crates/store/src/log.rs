//! A committed batch as it stands in the log: what every acknowledgement means.
//!
//! ```text
//! checksum CRC-32 u32 LE | version u8 | packets varint | rows varint
//! packets: device varint, received_at signed (step from the packet before), origin u8, rows varint
//! columns over all rows: channel, measured_at (signed steps), tag (signed steps), scale u8, number signed, texts
//! ```

use loggerhead_model::REPORT_READINGS_MAX;

use crate::coding::{Broken, begin_body, end_body, open_body, put_bytes, put_signed, put_varint};
use crate::row::{Row, TEXT};

const VERSION: u8 = 1;

/// One packet of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// The number of the device.
    pub(crate) device: u32,
    /// Our clock, ms since 1970.
    pub(crate) received_at: i64,
    /// How its readings reached us, as a number.
    pub(crate) origin: u8,
    /// How many readings of it are new.
    pub(crate) rows: u32,
}

/// The new readings of one commit, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// What they came in.
    pub(crate) packets: Vec<Packet>,
    /// The channel of each row.
    pub(crate) channels: Vec<u32>,
    /// The readings.
    pub(crate) rows: Vec<Row>,
    /// What text rows point to.
    pub(crate) texts: Vec<Box<str>>,
}

impl Batch {
    /// Forgets everything, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.packets.clear();
        self.channels.clear();
        self.rows.clear();
        self.texts.clear();
    }

    /// Writes the batch as a body, in place of what `body` held.
    pub(crate) fn encode(&self, body: &mut Vec<u8>) {
        begin_body(body);
        body.reserve(16 + self.packets.len() * 12 + self.rows.len() * 12);
        body.push(VERSION);
        put_varint(body, self.packets.len() as u64);
        put_varint(body, self.rows.len() as u64);
        let mut received_at = 0;
        for packet in &self.packets {
            put_varint(body, u64::from(packet.device));
            put_signed(body, packet.received_at.wrapping_sub(received_at));
            received_at = packet.received_at;
            body.push(packet.origin);
            put_varint(body, u64::from(packet.rows));
        }
        put_steps(body, self.channels.iter().map(|&channel| i64::from(channel)));
        put_steps(body, self.rows.iter().map(|row| row.measured_at));
        put_steps(body, self.rows.iter().map(|row| i64::from(row.tag)));
        body.extend(self.rows.iter().map(|row| row.scale));
        for row in self.rows.iter().filter(|row| row.scale != TEXT) {
            put_signed(body, row.number);
        }
        for text in self.rows.iter().filter_map(|row| row.text(&self.texts)) {
            put_bytes(body, text.as_bytes());
        }
        end_body(body);
    }

    /// Reads a body.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, Broken> {
        let mut slice = open_body(body)?;
        if slice.byte()? != VERSION {
            return Err(Broken("a batch of an unknown version"));
        }
        let packet_count = slice.count()?;
        let row_count = slice.count()?;
        let mut batch = Self::default();
        batch.packets.reserve(packet_count);
        batch.rows.reserve(row_count);
        let mut received_at = 0_i64;
        for _ in 0..packet_count {
            let device = slice.number()?;
            received_at = received_at.wrapping_add(slice.signed()?);
            let origin = slice.byte()?;
            let rows = slice.number()?;
            if rows as usize > REPORT_READINGS_MAX.min(row_count - batch.rows.len()) {
                return Err(Broken("a packet with more rows than its batch"));
            }
            batch.packets.push(Packet { device, received_at, origin, rows });
            let row = Row { measured_at: 0, received_at, number: 0, tag: 0, scale: 0, origin };
            batch.rows.resize(batch.rows.len() + rows as usize, row);
        }
        if batch.rows.len() != row_count {
            return Err(Broken("a batch with more rows than its packets"));
        }
        let mut channel = 0_i64;
        for _ in 0..row_count {
            channel = channel.wrapping_add(slice.signed()?);
            batch.channels.push(u32::try_from(channel).map_err(|_| Broken("a channel out of range"))?);
        }
        let mut measured_at = 0_i64;
        for row in &mut batch.rows {
            measured_at = measured_at.wrapping_add(slice.signed()?);
            row.measured_at = measured_at;
        }
        let mut tag = 0_i64;
        for row in &mut batch.rows {
            tag = tag.wrapping_add(slice.signed()?);
            row.tag = u32::try_from(tag).map_err(|_| Broken("a tag out of range"))?;
        }
        for (row, &scale) in batch.rows.iter_mut().zip(slice.take(row_count)?) {
            row.scale = scale;
        }
        for row in batch.rows.iter_mut().filter(|row| row.scale != TEXT) {
            row.number = slice.signed()?;
        }
        for row in batch.rows.iter_mut().filter(|row| row.scale == TEXT) {
            row.number = i64::try_from(batch.texts.len()).map_err(|_| Broken("too many texts"))?;
            batch.texts.push(Box::from(slice.text()?));
        }
        Ok(batch)
    }
}

fn put_steps(body: &mut Vec<u8>, numbers: impl Iterator<Item = i64>) {
    let mut before = 0_i64;
    for number in numbers {
        put_signed(body, number.wrapping_sub(before));
        before = number;
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Packet};
    use crate::row::{Row, TEXT};

    #[test]
    fn a_batch_comes_back() {
        let row = |measured_at, number, scale, received_at, origin| Row {
            measured_at,
            received_at,
            number,
            tag: 2,
            scale,
            origin,
        };
        let batch = Batch {
            packets: vec![
                Packet { device: 1, received_at: 1000, origin: 0, rows: 2 },
                Packet { device: 9, received_at: 999, origin: 1, rows: 0 },
                Packet { device: 9, received_at: 999, origin: 1, rows: 1 },
            ],
            channels: vec![70, 71, 3],
            rows: vec![row(5, -17, 3, 1000, 0), row(5, 0, TEXT, 1000, 0), row(-5, 1, TEXT, 999, 1)],
            texts: vec![Box::from("data0"), Box::from("")],
        };
        let mut body = Vec::new();
        batch.encode(&mut body);
        assert_eq!(Batch::decode(&body), Ok(batch));
        for length in 0..body.len() {
            assert!(Batch::decode(&body[..length]).is_err());
        }
    }
}
