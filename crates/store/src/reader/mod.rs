//! Questions to a store. Nothing here writes.

mod answer;

use std::ops::ControlFlow;
use std::path::Path;

use loggerhead_model::{CommandId, Cursor, DeviceId, Learnt, Timestamp};

pub use self::answer::{
    Bucket, Catchup, Channel, ChannelId, Conflict, EventFilter, EventOrder, FrameFilter, ReadingFilter, Stats,
    StoredEvent, StoredFrame, StoredReading,
};
use crate::{CommandRecord, Committed, DeviceRecord, PresenceRecord, StoreError};

/// Answers questions about what is stored. Every call blocks; every one sees all that was committed before it.
#[derive(Clone)]
pub struct Reader {}

impl Reader {
    /// Reads a store that another process may be writing.
    ///
    /// # Errors
    /// `Missing` without a store in `directory`, `Newer` for one of a later version, `Database` or `File` when it cannot
    /// be read.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Err(StoreError::Missing { directory: directory.to_owned() })
    }

    /// The devices that were added at run time, by id.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn devices(&self) -> Result<Vec<DeviceRecord>, StoreError> {
        Ok(Vec::new())
    }

    /// What was learnt about devices, also about those of the configuration.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn learnt(&self) -> Result<Vec<(DeviceId, Learnt)>, StoreError> {
        Ok(Vec::new())
    }

    /// The last known presence of every device that was ever seen.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn presence(&self) -> Result<Vec<PresenceRecord>, StoreError> {
        Ok(Vec::new())
    }

    /// The newest commands first, at most `limit`; of one device or of all.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn commands(&self, _device: Option<&DeviceId>, _limit: usize) -> Result<Vec<CommandRecord>, StoreError> {
        Ok(Vec::new())
    }

    /// One command.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn command(&self, _id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        Ok(None)
    }

    /// The highest command id ever stored; 0 before the first.
    ///
    /// # Errors
    /// `Database` when the store cannot be read.
    pub fn last_command(&self) -> Result<CommandId, StoreError> {
        Ok(CommandId(0))
    }

    /// The channels that fit the names in `filter` (its times are not looked at), in the order of device, meter and
    /// function.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn channels(&self, _filter: &ReadingFilter) -> Result<Vec<Channel>, StoreError> {
        Ok(Vec::new())
    }

    /// The channel of these names.
    ///
    /// # Errors
    /// `Database` when the store cannot be read.
    pub fn channel(&self, _device: &DeviceId, _meter: &str, _function: &str) -> Result<Option<Channel>, StoreError> {
        Ok(None)
    }

    /// The reading with the latest `measured_at` of each channel that fits the names in `filter`, in the order of
    /// `channels`.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn latest(
        &self,
        _filter: &ReadingFilter,
        _each: &mut dyn FnMut(StoredReading<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// The readings of one channel with `from <= measured_at < to`, in the order of time.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn range(
        &self,
        _channel: ChannelId,
        _from: Timestamp,
        _to: Timestamp,
        _each: &mut dyn FnMut(StoredReading<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// `count` equal parts of `from <= measured_at < to`, each with what the readings of one channel in it come to.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn buckets(
        &self,
        _channel: ChannelId,
        _from: Timestamp,
        _to: Timestamp,
        _count: usize,
    ) -> Result<Vec<Bucket>, StoreError> {
        Ok(Vec::new())
    }

    /// All readings that fit, in the order of device, meter, function and time.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn scan(
        &self,
        _filter: &ReadingFilter,
        _each: &mut dyn FnMut(StoredReading<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// The readings that were sent again with a different value, in the order in which they came.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn conflicts(
        &self,
        _filter: &ReadingFilter,
        _each: &mut dyn FnMut(Conflict<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// The events that fit, in the order that the filter names.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn events(
        &self,
        _filter: &EventFilter,
        _each: &mut dyn FnMut(StoredEvent) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// The raw frames that fit, in the order in which they came.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn frames(
        &self,
        _filter: &FrameFilter,
        _each: &mut dyn FnMut(StoredFrame<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// What was committed after `cursor`, batch by batch and at most `batches`, without frames and meter attributes.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn since(
        &self,
        cursor: Cursor,
        _batches: usize,
        _each: &mut dyn FnMut(Committed) -> ControlFlow<()>,
    ) -> Result<Catchup, StoreError> {
        Ok(Catchup::UpTo(cursor))
    }

    /// How much is stored.
    ///
    /// # Errors
    /// `Database` when the store cannot be read.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        Ok(Stats::default())
    }
}
