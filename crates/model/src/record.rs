//! What one packet asks the store to keep, all or nothing.

use bytes::Bytes;

use crate::{DeviceId, Event, Report, Timestamp};

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the device to us.
    In,
    /// From us to the device.
    Out,
}

/// One frame of a wire, kept so that history can be decoded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// Which way it went.
    pub direction: Direction,
    /// The frame. An enciphered part is replaced by its plain bytes, which have the same length: they compress, and the
    /// key turns them back into what was sent.
    pub bytes: Bytes,
}

/// Something that a protocol has to find again after a restart, such as a conversation that outlives its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whose notes these are: the word of the protocol.
    pub shelf: &'static str,
    /// Its name among them, in the protocol's own form. Notes are kept and read back in the order of their keys.
    pub key: Bytes,
    /// What becomes of it.
    pub change: NoteChange,
}

/// What becomes of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteChange {
    /// Kept in the place of what was there.
    Put(Bytes),
    /// Forgotten.
    Forget,
    /// Forgotten, with all others from its key to this one, both included.
    ForgetThrough(Bytes),
}

/// What one packet asks to keep. It is committed whole or not at all.
#[derive(Clone, Debug)]
pub struct Records {
    /// Whose.
    pub device: DeviceId,
    /// Our clock.
    pub received_at: Timestamp,
    /// Its readings.
    pub report: Option<Report>,
    /// The frame that it came in.
    pub frame: Option<RawFrame>,
    /// What else it means.
    pub events: Vec<Event>,
    /// What the protocol has to find again.
    pub notes: Vec<Note>,
}
