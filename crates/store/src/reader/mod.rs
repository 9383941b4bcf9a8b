//! Questions to a store. Nothing here writes.

mod access;
mod answer;
mod readings;
mod records;

use std::ops::{ControlFlow, Deref};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use foldhash::HashMap;
use loggerhead_model::{CommandId, Cursor, DeviceId, Learnt, Timestamp};
use rusqlite::Connection;

pub use self::answer::{
    Bucket, Catchup, Channel, ChannelId, Conflict, EventFilter, FrameFilter, ListOrder, ReadingFilter, Stats,
    StoredEvent, StoredFrame, StoredReading,
};
use crate::dictionary::Tag;
use crate::error::database;
use crate::hot::{Hot, Latest};
use crate::lock::{lock, read, write};
use crate::row::Rows;
use crate::shared::Shared;
use crate::state::load_hot;
use crate::{CommandRecord, Committed, DeviceRecord, PresenceRecord, Progress, StoreError, schema};

/// Most connections that are kept for the next question.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// Takes the key and the value of a note; says whether to go on.
pub type EachNote<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Answers questions about what is stored. Every call blocks; every one sees all that was committed before it.
#[derive(Clone)]
pub struct Reader {
    inner: Arc<Inner>,
}

struct Inner {
    directory: PathBuf,
    /// The store, when it is open in this process.
    live: Option<Arc<Shared>>,
    /// Connections, each with the generation of the file that it is of.
    idle: Mutex<Vec<(u64, Connection)>>,
    /// Tags never change once they are committed.
    tags: RwLock<HashMap<u32, Arc<Tag>>>,
}

/// A connection for one question.
struct Lent<'a> {
    inner: &'a Inner,
    generation: u64,
    connection: Option<Connection>,
}

/// What is in the log and not sealed: of the store in this process, or read from the log of another's.
enum Unsealed<'a> {
    Live(&'a RwLock<Hot>),
    Read(Box<Hot>),
}

impl Reader {
    pub(crate) fn live(shared: Arc<Shared>) -> Self {
        Self::new(shared.directory.clone(), Some(shared))
    }

    /// Reads a store that another process may be writing. One of an earlier version is brought to this one first.
    ///
    /// # Errors
    /// `Locked` while a process of an earlier version writes it, `Missing` without a store in `directory`, `Newer` for one of a later version, `Database` or `File` when it cannot
    /// be read.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        if schema::is_older(directory)? {
            // Questions are asked in the tables of this version.
            let _lock = crate::directory::lock(directory)?;
            drop(schema::open_writer(directory)?);
        }
        let reader = Self::new(directory.to_owned(), None);
        drop(reader.connection()?);
        Ok(reader)
    }

    /// Copies the store, as it is at one moment, to a new private file, while its writer goes on.
    ///
    /// # Errors
    /// `File` when `to` exists or cannot be written, `Database` when the copy fails.
    pub fn backup(&self, to: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
        crate::backup::backup(&self.inner.directory, to, progress)
    }

    fn new(directory: PathBuf, live: Option<Arc<Shared>>) -> Self {
        Self { inner: Arc::new(Inner { directory, live, idle: Mutex::default(), tags: RwLock::default() }) }
    }

    fn connection(&self) -> Result<Lent<'_>, StoreError> {
        let generation = self.inner.live.as_ref().map_or(0, |shared| shared.generation());
        let idle = {
            let mut idle = lock(&self.inner.idle);
            idle.retain(|(of, _)| *of == generation);
            idle.pop()
        };
        let connection = match idle {
            Some((_, connection)) => connection,
            None => schema::open_reader(&self.inner.directory)?,
        };
        Ok(Lent { inner: &self.inner, generation, connection: Some(connection) })
    }

    fn unsealed(&self) -> Result<Unsealed<'_>, StoreError> {
        if let Some(shared) = &self.inner.live {
            return Ok(Unsealed::Live(&shared.hot));
        }
        let connection = self.connection()?;
        let doing = database("reading the log");
        let transaction = connection.unchecked_transaction().map_err(doing)?;
        let (hot, damaged) = load_hot(&transaction)?;
        for batch in damaged {
            tracing::error!(batch = batch.number, what = batch.what, "a damaged batch: run verify");
        }
        transaction.commit().map_err(doing)?;
        Ok(Unsealed::Read(Box::new(hot)))
    }

    fn tag(&self, number: u32) -> Result<Arc<Tag>, StoreError> {
        if let Some(tag) = read(&self.inner.tags).get(&number) {
            return Ok(Arc::clone(tag));
        }
        let tag = Arc::new(readings::select_tag(&*self.connection()?, number)?);
        write(&self.inner.tags).insert(number, Arc::clone(&tag));
        Ok(tag)
    }

    /// The devices that were added at run time, by id.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn devices(&self) -> Result<Vec<DeviceRecord>, StoreError> {
        self.select_devices()
    }

    /// What was learnt about devices, also about those of the configuration.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn learnt(&self) -> Result<Vec<(DeviceId, Learnt)>, StoreError> {
        self.select_learnt()
    }

    /// The last known presence of every device that was ever seen.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn presence(&self) -> Result<Vec<PresenceRecord>, StoreError> {
        self.select_presence()
    }

    /// The newest commands first, at most `limit`; of one device or of all.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn commands(&self, device: Option<&DeviceId>, limit: usize) -> Result<Vec<CommandRecord>, StoreError> {
        self.select_commands(device, limit)
    }

    /// One command.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        self.select_command(id)
    }

    /// The notes of a shelf, key and value, in the order of their keys.
    ///
    /// # Errors
    /// `Database` when the store cannot be read.
    pub fn notes(&self, shelf: &str, each: &mut EachNote<'_>) -> Result<(), StoreError> {
        self.each_note(shelf, each)
    }

    /// The highest command id ever stored; 0 before the first.
    ///
    /// # Errors
    /// `Database` when the store cannot be read.
    pub fn last_command(&self) -> Result<CommandId, StoreError> {
        self.select_last_command()
    }

    /// The channels that fit the names in `filter` (its times are not looked at), in the order of device, meter and
    /// function.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn channels(&self, filter: &ReadingFilter) -> Result<Vec<Channel>, StoreError> {
        self.select_channels(filter)
    }

    /// The channel of these names.
    ///
    /// # Errors
    /// `Database` when the store cannot be read.
    pub fn channel(&self, device: &DeviceId, meter: &str, function: &str) -> Result<Option<Channel>, StoreError> {
        let filter = ReadingFilter {
            device: Some(device.clone()),
            meter: Some(meter.to_owned()),
            function: Some(function.to_owned()),
            ..ReadingFilter::default()
        };
        Ok(self.select_channels(&filter)?.pop())
    }

    /// The reading with the latest `measured_at` of each channel that fits the names in `filter`, in the order of
    /// `channels`.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn latest(
        &self,
        filter: &ReadingFilter,
        each: &mut dyn FnMut(StoredReading<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.each_latest(filter, each)
    }

    /// The readings of one channel with `from <= measured_at < to`, in the order of time.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn range(
        &self,
        channel: ChannelId,
        from: Timestamp,
        to: Timestamp,
        each: &mut dyn FnMut(StoredReading<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let Some(channel) = self.select_channel(channel)? else { return Ok(()) };
        let unsealed = self.unsealed()?;
        self.each_in_range(&channel, &unsealed, (from.unix_ms(), to.unix_ms()), each).map(|_| ())
    }

    /// `count` equal parts of `from <= measured_at < to`, each with what the readings of one channel in it come to.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn buckets(
        &self,
        channel: ChannelId,
        from: Timestamp,
        to: Timestamp,
        count: usize,
    ) -> Result<Vec<Bucket>, StoreError> {
        self.fill_buckets(channel, from, to, count)
    }

    /// All readings that fit, in the order of device, meter, function and time.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn scan(
        &self,
        filter: &ReadingFilter,
        each: &mut dyn FnMut(StoredReading<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let unsealed = self.unsealed()?;
        for channel in self.select_channels(filter)? {
            if self.each_in_range(&channel, &unsealed, readings::span(filter), each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The readings that were sent again with a different value, in the order in which they came; those behind the one
    /// with the number `beyond`.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn conflicts(
        &self,
        filter: &ReadingFilter,
        beyond: Option<u64>,
        each: &mut dyn FnMut(Conflict<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.each_conflict(filter, beyond, each)
    }

    /// The events that fit, in the order that the filter names.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn events(
        &self,
        filter: &EventFilter,
        each: &mut dyn FnMut(StoredEvent) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.each_event(filter, each)
    }

    /// The raw frames that fit, in the order in which they came.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn frames(
        &self,
        filter: &FrameFilter,
        each: &mut dyn FnMut(StoredFrame<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.each_frame(filter, each)
    }

    /// What was committed after `cursor`, batch by batch and at most `batches`, without frames and meter attributes.
    ///
    /// # Errors
    /// `Database` or `Damaged` when the store cannot be read.
    pub fn since(
        &self,
        cursor: Cursor,
        batches: usize,
        each: &mut dyn FnMut(Committed) -> ControlFlow<()>,
    ) -> Result<Catchup, StoreError> {
        self.each_since(cursor, batches, each)
    }

    /// How much is stored.
    ///
    /// # Errors
    /// `Database` when the store cannot be read.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        self.count()
    }
}

impl Deref for Lent<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("given back only when dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut idle = lock(&self.inner.idle);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.extend(self.connection.take().map(|connection| (self.generation, connection)));
        }
    }
}

impl Unsealed<'_> {
    fn latest(&self, channel: u32) -> Option<Latest> {
        match self {
            Self::Live(hot) => read(hot).latest(channel),
            Self::Read(hot) => hot.latest(channel),
        }
    }

    fn range(&self, channel: u32, from: i64, to: i64) -> Rows {
        match self {
            Self::Live(hot) => read(hot).range(channel, from, to),
            Self::Read(hot) => hot.range(channel, from, to),
        }
    }
}
