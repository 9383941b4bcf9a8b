//! Cuts frames: `id u16 BE | length u16 BE, bytes after this field | body`.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes before the body.
pub const HEAD_BYTES: usize = 4;
/// Longest frame: the largest length that there is.
pub const FRAME_BYTES_MAX: usize = HEAD_BYTES + u16::MAX as usize;

/// One request or response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Chosen by who asks, and echoed.
    pub id: u16,
    /// The type and what belongs to it.
    pub body: Bytes,
}

/// Takes bytes in and gives frames out. A frame has a length of two bytes, so what is held never exceeds one.
#[derive(Debug, Default)]
pub struct Cutter {
    held: BytesMut,
}

impl Cutter {
    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Bytes that were not cut yet.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// The next frame; `None`: wait for more bytes.
    pub fn cut(&mut self) -> Option<Frame> {
        let (&[id_high, id_low, high, low], _) = self.held.split_first_chunk::<HEAD_BYTES>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if self.held.len() < HEAD_BYTES + length {
            return None;
        }
        self.held.advance(HEAD_BYTES);
        let body = self.held.split_to(length).freeze();
        if self.held.is_empty() {
            // An idle connection keeps no memory for what it does not hold.
            self.held = BytesMut::new();
        }
        Some(Frame { id: u16::from_be_bytes([id_high, id_low]), body })
    }
}

/// A whole frame around a body. `None` when the body is longer than its length can say.
#[must_use]
pub fn frame(id: u16, body: &[u8]) -> Option<Bytes> {
    let length = u16::try_from(body.len()).ok()?;
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + body.len());
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(body);
    Some(frame.freeze())
}

#[cfg(test)]
mod tests {
    use super::{Cutter, frame};

    #[test]
    fn frames_are_cut_wherever_their_bytes_are_split() {
        let bytes = [frame(7, b"abc").expect("short"), frame(8, b"").expect("short")].concat();
        for piece in 1..bytes.len() {
            let mut cutter = Cutter::default();
            let mut found = Vec::new();
            for part in bytes.chunks(piece) {
                cutter.push(part);
                while let Some(frame) = cutter.cut() {
                    found.push((frame.id, frame.body.to_vec()));
                }
            }
            assert_eq!(found, [(7, b"abc".to_vec()), (8, Vec::new())]);
            assert_eq!(cutter.held_bytes(), 0);
        }
        assert!(frame(0, &vec![0; 65_536]).is_none());
    }
}
