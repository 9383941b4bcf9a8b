//! What was said to devices lately, for people who look at a conversation: what devices say is in the store, while answers to it
//! would cost a second commit each, so the last of them are kept in memory alone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use loggerhead_model::{DeviceId, Timestamp};
use loggerhead_store::FrameKeeping;

/// Bytes of everything that is kept, of all devices: some thousand answers.
const BYTES_MAX: usize = 1024 * 1024;
/// What a message takes besides its own bytes: its row, and what bytes are counted and allocated by.
const ROW_BYTES: usize = size_of::<Row>() + 64;

/// A message to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When; our clock.
    pub at: Timestamp,
    /// The message, without its cipher.
    pub bytes: Bytes,
}

struct Row {
    device: DeviceId,
    said: Said,
}

impl Row {
    fn bytes(&self) -> usize {
        ROW_BYTES + self.device.as_str().len() + self.said.bytes.len()
    }
}

/// The last messages to all devices, the oldest first. Holds its lock for a moment only.
pub(crate) struct SaidLately {
    rows: Mutex<Rows>,
    keeping: FrameKeeping,
}

#[derive(Default)]
struct Rows {
    queue: VecDeque<Row>,
    bytes: usize,
}

impl SaidLately {
    /// Nothing was said yet. Where frames are not kept, nothing will be.
    pub(crate) fn new(keeping: FrameKeeping) -> Self {
        Self { rows: Mutex::default(), keeping }
    }

    /// Keeps a message; the oldest ones go where there is no room.
    pub(crate) fn push(&self, device: &DeviceId, at: Timestamp, bytes: Bytes) {
        if self.keeping == FrameKeeping::Drop {
            return;
        }
        let row = Row { device: device.clone(), said: Said { at, bytes } };
        let mut rows = self.lock();
        rows.bytes += row.bytes();
        rows.queue.push_back(row);
        while rows.bytes > BYTES_MAX
            && let Some(oldest) = rows.queue.pop_front()
        {
            rows.bytes -= oldest.bytes();
        }
    }

    /// What was said to a device, the newest first.
    pub(crate) fn of(&self, device: &DeviceId) -> Vec<Said> {
        let rows = self.lock();
        rows.queue.iter().rev().filter(|row| row.device == *device).map(|row| row.said.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().expect("nobody panics while holding the lock")
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use loggerhead_model::{DeviceId, Timestamp};
    use loggerhead_store::FrameKeeping;

    use super::{BYTES_MAX, SaidLately};

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).expect("a legal name")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_ms(second * 1000)
    }

    #[test]
    fn the_last_messages_to_a_device_are_kept_the_newest_first() {
        let said = SaidLately::new(FrameKeeping::Keep);
        for (second, name) in [(1, "a"), (2, "b"), (3, "a")] {
            said.push(&device(name), at(second), Bytes::from(format!("{name}{second}")));
        }
        let found: Vec<_> = said.of(&device("a")).into_iter().map(|said| (said.at, said.bytes)).collect();
        assert_eq!(found, [(at(3), Bytes::from_static(b"a3")), (at(1), Bytes::from_static(b"a1"))]);
        assert_eq!(said.of(&device("c")), []);
    }

    #[test]
    fn what_was_said_has_a_limit_and_the_oldest_goes() {
        let said = SaidLately::new(FrameKeeping::Keep);
        said.push(&device("a"), at(0), Bytes::from_static(b"first"));
        for second in 1..200 {
            said.push(&device("b"), at(second), Bytes::from(vec![0; BYTES_MAX / 100]));
        }
        assert_eq!(said.of(&device("a")), []);
        let kept: usize = said.of(&device("b")).iter().map(|said| said.bytes.len()).sum();
        assert!((BYTES_MAX / 2..=BYTES_MAX).contains(&kept), "{kept}");
        assert_eq!(said.of(&device("b")).first().map(|said| said.at), Some(at(199)));
        said.push(&device("c"), at(200), Bytes::from(vec![0; BYTES_MAX + 1]));
        assert_eq!(said.of(&device("c")), [], "what alone is over the limit is not kept");
    }

    #[test]
    fn where_frames_are_not_kept_nothing_is() {
        let said = SaidLately::new(FrameKeeping::Drop);
        said.push(&device("a"), at(0), Bytes::from_static(b"x"));
        assert_eq!(said.of(&device("a")), []);
    }
}
