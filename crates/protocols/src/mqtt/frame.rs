//! Cutting packets from a stream: one byte of type and flags, the remaining length, the body.

use super::message::Kind;
use super::reason::Breach;
use crate::{Fault, FaultKind};

/// Largest body that a remaining length can say. Source: \[1\] §2.2.3, \[2\] §1.5.5.
pub const BODY_BYTES_MAX: usize = 268_435_455;
/// Bytes of the longest variable byte integer. Source: \[2\] §1.5.5.
const VARINT_BYTES_MAX: usize = 4;

/// The head of a packet, and how long all of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What kind of packet it is.
    pub kind: Kind,
    /// The lower four bits of the first byte.
    pub flags: u8,
    /// Bytes of the first byte and the remaining length.
    pub head_bytes: usize,
    /// Bytes behind them.
    pub body_bytes: usize,
}

impl Head {
    /// Bytes of the whole packet.
    #[must_use]
    pub const fn packet_bytes(&self) -> usize {
        self.head_bytes + self.body_bytes
    }
}

/// Reads the head of the packet with which `bytes` begin. `None`: wait for more bytes.
///
/// # Errors
/// `Malformed` for type 0, flags that the type does not have, and a length of five bytes or more bytes than it needs;
/// `TooLarge` when the packet is longer than `packet_bytes_max`.
pub fn head(bytes: &[u8], packet_bytes_max: usize) -> Result<Option<Head>, Breach> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let flags = first & 0x0f;
    let Some(kind) = Kind::of(first >> 4) else {
        return Err(Breach::malformed(0, format!("packet type {}", first >> 4)));
    };
    if !kind.allows(flags) {
        return Err(Breach::malformed(0, format!("flags {flags:04b} on {}", kind.name())));
    }
    let Some((body_bytes, length_bytes)) = varint(rest).map_err(|what| Breach::malformed(1, what))? else {
        return Ok(None);
    };
    let head = Head { kind, flags, head_bytes: 1 + length_bytes, body_bytes: body_bytes as usize };
    if head.packet_bytes() > packet_bytes_max {
        let reason = format!("packet of {} bytes over {packet_bytes_max}", head.packet_bytes());
        return Err(Fault::new(FaultKind::TooLarge, reason).at(1).into());
    }
    Ok(Some(head))
}

/// Reads a variable byte integer, and how many bytes it takes. `None`: wait for more bytes.
///
/// # Errors
/// What is wrong with it: a fifth byte, or bytes that add nothing.
pub fn varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, &'static str> {
    let mut value = 0_u32;
    for (index, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return if byte == 0 && index > 0 {
                Err("a length with more bytes than it needs")
            } else {
                Ok(Some((value, index + 1)))
            };
        }
    }
    if bytes.len() >= VARINT_BYTES_MAX { Err("a length of more than four bytes") } else { Ok(None) }
}

/// Appends a variable byte integer in as few bytes as it needs. At most `BODY_BYTES_MAX`.
pub fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    debug_assert!(value <= BODY_BYTES_MAX, "{value} does not fit a variable byte integer");
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// How many bytes `put_varint` takes.
#[must_use]
pub const fn varint_bytes(value: usize) -> usize {
    match value {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}

/// Bytes that came and are not a whole packet yet.
///
/// What comes in one piece is never copied: `Gathering` holds only what a read left over.
#[derive(Debug, Default)]
pub struct Gathering {
    held: Vec<u8>,
}

impl Gathering {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// How many bytes are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes everything out, to be given back with `put_back`.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Keeps what is behind the first `used` bytes of what was taken; an idle connection holds nothing.
    pub fn put_back(&mut self, mut taken: Vec<u8>, used: usize) {
        if used >= taken.len() {
            return;
        }
        taken.drain(..used);
        self.held = taken;
    }
}
