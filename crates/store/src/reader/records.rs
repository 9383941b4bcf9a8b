//! Everything that is kept besides readings: devices, commands, events, frames, batches.

use std::borrow::Cow;
use std::ops::ControlFlow;

use foldhash::{HashMap, HashMapExt};
use loggerhead_model::{
    CommandId, Cursor, DeviceId, Event, EventKind, Evidence, Identity, Learnt, Reading, Records, Report, ReportBuilder,
    ReportFull, Severity, Site, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::de::DeserializeOwned;

use super::answer::{
    Catchup, Channel, ChannelId, EventFilter, FrameFilter, ListOrder, Stats, StoredEvent, StoredFrame,
};
use super::readings::{Tags, device_id};
use super::{EachNote, Reader};
use crate::body::body_of;
use crate::error::database;
use crate::lock::read;
use crate::log::{Batch, Packet};
use crate::state::{last_batch, load_hot};
use crate::tables::severity_number;
use crate::{Acknowledgement, CommandRecord, Committed, DeviceRecord, PresenceRecord, Secret, StoreError, frames};

/// Events with who took note of them, in the columns that `event` reads.
const EVENTS: &str = "SELECT number, batch, e.at, severity, kind, device, peer, text, by, a.at, note
                      FROM events e LEFT JOIN acknowledged a ON a.event = e.number";
/// Numbers of frames: that of the block, then the place in it.
const FRAMES_PER_BLOCK_BITS: u32 = 24;

pub(super) fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

pub(super) fn checked<T>(column: usize, result: Result<T, loggerhead_model::NameError>) -> rusqlite::Result<T> {
    result.map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<DeviceId> {
    checked(column, DeviceId::new(row.get_ref(column)?.as_str()?))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_unix_ms)
}

pub(super) fn time_if_any(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_unix_ms))
}

fn command(row: &Row<'_>) -> rusqlite::Result<CommandRecord> {
    Ok(CommandRecord {
        id: CommandId(row.get(0)?),
        device: id(row, 1)?,
        order: from_json(row, 2)?,
        state: from_json(row, 3)?,
        accepted_at: time(row, 4)?,
        changed_at: time(row, 5)?,
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let word = row.get_ref(4)?.as_str()?;
    let kind = EventKind::ALL.into_iter().find(|kind| kind.word() == word);
    let severity = match row.get(3)? {
        0 => Severity::Info,
        1 => Severity::Warning,
        _ => Severity::Error,
    };
    let device = row.get_ref(5)?.as_str_or_null()?.map(DeviceId::new).map(|device| checked(5, device)).transpose()?;
    let event = Event {
        at: time(row, 2)?,
        severity,
        // Only this program writes kinds; one that went is kept as what it is nearest to.
        kind: kind.unwrap_or(EventKind::System),
        device,
        peer: row.get(6)?,
        text: Cow::Owned(row.get(7)?),
    };
    let acknowledged = match row.get::<_, Option<String>>(8)? {
        Some(by) => Some(Acknowledgement { by, at: time(row, 9)?, note: row.get(10)? }),
        None => None,
    };
    Ok(StoredEvent { number: row.get(0)?, cursor: Cursor::new(row.get(1)?), event, acknowledged })
}

impl Reader {
    pub(super) fn list<T>(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(sql).map_err(database(doing))?;
        let rows = statement.query_map(parameters, read).map_err(database(doing))?;
        rows.collect::<Result<_, _>>().map_err(database(doing))
    }

    pub(super) fn select_devices(&self) -> Result<Vec<DeviceRecord>, StoreError> {
        let sql = "SELECT d.id, protocol, identity, state, secret, login, settings, added_at, source,
                   coalesce(words, '{}'), site FROM devices d LEFT JOIN learnt l ON l.device = d.id ORDER BY d.id";
        self.list("reading devices", sql, [], |row| {
            Ok(DeviceRecord {
                id: id(row, 0)?,
                protocol: row.get(1)?,
                identity: checked(2, Identity::new(row.get_ref(2)?.as_str()?))?,
                state: from_json(row, 3)?,
                secret: row.get::<_, Option<Vec<u8>>>(4)?.map(Secret::new),
                login: from_json(row, 5)?,
                settings: row.get(6)?,
                learnt: from_json(row, 9)?,
                added_at: time(row, 7)?,
                source: from_json(row, 8)?,
                site: row.get_ref(10)?.as_str_or_null()?.map(|site| checked(10, Site::new(site))).transpose()?,
            })
        })
    }

    pub(super) fn select_learnt(&self) -> Result<Vec<(DeviceId, Learnt)>, StoreError> {
        let sql = "SELECT device, words FROM learnt ORDER BY device";
        self.list("reading what was learnt", sql, [], |row| Ok((id(row, 0)?, from_json(row, 1)?)))
    }

    pub(super) fn select_presence(&self) -> Result<Vec<PresenceRecord>, StoreError> {
        let sql = "SELECT device, presence, since, last_bytes_at, last_reading_at, peer, closed_because
                   FROM presence ORDER BY device";
        self.list("reading presence", sql, [], |row| {
            let word = row.get_ref(1)?.as_str()?;
            let known = loggerhead_model::Presence::ALL.into_iter().find(|presence| presence.word() == word);
            let evidence = Evidence {
                presence: known.unwrap_or(loggerhead_model::Presence::Never),
                since: time_if_any(row, 2)?,
                last_bytes_at: time_if_any(row, 3)?,
                last_reading_at: time_if_any(row, 4)?,
                peer: row.get(5)?,
                closed_because: row.get(6)?,
            };
            Ok(PresenceRecord { device: id(row, 0)?, evidence })
        })
    }

    pub(super) fn select_commands(
        &self,
        device: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<CommandRecord>, StoreError> {
        let sql = "SELECT id, device, wanted, state, accepted_at, changed_at FROM commands
                   WHERE ?1 IS NULL OR device = ?1 ORDER BY id DESC LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.list("reading commands", sql, (device.map(DeviceId::as_str), limit), command)
    }

    pub(super) fn select_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        let sql = "SELECT id, device, wanted, state, accepted_at, changed_at FROM commands WHERE id = ?1";
        Ok(self.list("reading a command", sql, [id.0], command)?.pop())
    }

    pub(super) fn select_last_command(&self) -> Result<CommandId, StoreError> {
        let sql = "SELECT coalesce(max(id), 0) FROM commands";
        Ok(CommandId(self.list("reading commands", sql, [], |row| row.get(0))?.pop().unwrap_or(0)))
    }

    pub(super) fn each_note(&self, shelf: &str, each: &mut EachNote<'_>) -> Result<(), StoreError> {
        let doing = database("reading notes");
        let connection = self.connection()?;
        let sql = "SELECT key, value FROM notes WHERE shelf = ?1 ORDER BY key";
        let mut statement = connection.prepare_cached(sql).map_err(doing)?;
        let mut rows = statement.query([shelf]).map_err(doing)?;
        while let Some(row) = rows.next().map_err(doing)? {
            let bytes = |column| row.get_ref(column).map(|value| value.as_blob().unwrap_or_default());
            if each(bytes(0).map_err(doing)?, bytes(1).map_err(doing)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn each_event(
        &self,
        filter: &EventFilter,
        each: &mut dyn FnMut(StoredEvent) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let doing = database("reading events");
        let connection = self.connection()?;
        let (number, direction) = order(filter.order);
        let sql = format!(
            "{EVENTS} WHERE number {number} ?1 AND (?2 IS NULL OR device = ?2) AND (?3 IS NULL OR kind = ?3)
             AND severity >= ?4 AND e.at >= ?5 AND e.at < ?6 AND (?7 IS NULL OR (event IS NOT NULL) = ?7)
             ORDER BY number {direction}"
        );
        let mut statement = connection.prepare_cached(&sql).map_err(doing)?;
        let parameters = (
            beyond(filter.beyond, filter.order),
            filter.device.as_ref().map(DeviceId::as_str),
            filter.kind.map(EventKind::word),
            filter.severity.map_or(0, severity_number),
            filter.from.map_or(i64::MIN, Timestamp::unix_ms),
            filter.to.map_or(i64::MAX, Timestamp::unix_ms),
            filter.acknowledged,
        );
        let mut rows = statement.query(parameters).map_err(doing)?;
        while let Some(row) = rows.next().map_err(doing)? {
            if each(event(row).map_err(doing)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn each_frame(
        &self,
        filter: &FrameFilter,
        each: &mut dyn FnMut(StoredFrame<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let doing = database("reading frames");
        let connection = self.connection()?;
        let wanted = match &filter.device {
            Some(device) => match device_number(&connection, device)? {
                Some(number) => Some(number),
                None => return Ok(()),
            },
            None => None,
        };
        let (from, to) =
            (filter.from.map_or(i64::MIN, Timestamp::unix_ms), filter.to.map_or(i64::MAX, Timestamp::unix_ms));
        let beyond = beyond(filter.beyond, filter.order);
        let (number, direction) = order(filter.order);
        let sql = format!(
            "SELECT number, batch, first_at, last_at, devices, body, checksum FROM frames
             WHERE number {number}= ?1 AND last_at >= ?2 AND first_at < ?3 ORDER BY number {direction}"
        );
        let mut statement = connection.prepare_cached(&sql).map_err(doing)?;
        let mut rows = statement.query((beyond >> FRAMES_PER_BLOCK_BITS, from, to)).map_err(doing)?;
        while let Some(row) = rows.next().map_err(doing)? {
            let block: i64 = row.get(0).map_err(doing)?;
            let cursor = Cursor::new(row.get(1).map_err(doing)?);
            let devices = row.get_ref(4).map_err(doing)?.as_blob().unwrap_or_default();
            if wanted.is_some_and(|wanted| frames::has_device(devices, wanted) == Ok(false)) {
                continue;
            }
            let (entries, raw) = match body_of(row, 1).map_err(doing)?.and_then(frames::decode) {
                Ok(decoded) => decoded,
                Err(broken) => {
                    tracing::error!(block, %broken, "a damaged block of frames: run verify");
                    continue;
                }
            };
            let mut found = Vec::new();
            let mut start = 0;
            for (place, entry) in (0_i64..).zip(&entries) {
                let end = start + entry.length;
                let number = block << FRAMES_PER_BLOCK_BITS | place;
                let is_beyond = match filter.order {
                    ListOrder::OldestFirst => number > beyond,
                    ListOrder::NewestFirst => number < beyond,
                };
                let in_span = entry.received_at >= from && entry.received_at < to;
                if is_beyond && in_span && wanted.is_none_or(|wanted| wanted == entry.device) {
                    found.push((number, entry, raw.get(start..end).unwrap_or_default()));
                }
                start = end;
            }
            if filter.order == ListOrder::NewestFirst {
                found.reverse();
            }
            for (number, entry, bytes) in found {
                let device = device_of(&connection, entry.device)?;
                let frame = StoredFrame {
                    number: number.cast_unsigned(),
                    device: &device,
                    received_at: Timestamp::from_unix_ms(entry.received_at),
                    direction: entry.direction,
                    cursor,
                    bytes: Cow::Borrowed(bytes),
                };
                if each(frame).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(super) fn each_since(
        &self,
        cursor: Cursor,
        batches: usize,
        each: &mut dyn FnMut(Committed) -> ControlFlow<()>,
    ) -> Result<Catchup, StoreError> {
        let doing = database("reading the log");
        let connection = self.connection()?;
        let first: u64 =
            connection.query_row("SELECT coalesce(min(number), 1) FROM log", [], |row| row.get(0)).map_err(doing)?;
        if cursor.number() + 1 < first {
            return Ok(Catchup::Gap(Cursor::new(first - 1)));
        }
        let mut reached = cursor;
        let mut channels = HashMap::new();
        for number in (cursor.number() + 1..).take(batches) {
            let mut statement = connection.prepare_cached("SELECT body FROM log WHERE number = ?1").map_err(doing)?;
            let body: Option<Vec<u8>> = statement.query_row([number], |row| row.get(0)).optional().map_err(doing)?;
            let Some(body) = body else { break };
            let records = match Batch::decode(&body) {
                Ok(batch) => self.records(&connection, &batch, &mut channels)?,
                Err(broken) => return Err(StoreError::Damaged { what: format!("batch {number}: {broken}") }),
            };
            let events =
                self.list("reading events", &format!("{EVENTS} WHERE batch = ?1 ORDER BY number"), [number], event)?;
            reached = Cursor::new(number);
            let events = events.into_iter().map(|stored| stored.event).collect();
            if each(Committed { cursor: reached, records: records.into(), events }).is_break() {
                break;
            }
        }
        Ok(Catchup::UpTo(reached))
    }

    fn records(
        &self,
        connection: &Connection,
        batch: &Batch,
        channels: &mut HashMap<u32, Channel>,
    ) -> Result<Vec<Records>, StoreError> {
        let mut records = Vec::with_capacity(batch.packets.len());
        let mut tags = Tags::new(self);
        for &number in &batch.channels {
            if !channels.contains_key(&number)
                && let Some(channel) = self.select_channel(ChannelId(number))?
            {
                channels.insert(number, channel);
            }
        }
        let mut start = 0;
        for packet in &batch.packets {
            let end = start + packet.rows as usize;
            let report = report(batch, packet, start..end, channels, &mut tags)?;
            start = end;
            records.push(Records {
                device: device_of(connection, packet.device)?,
                received_at: Timestamp::from_unix_ms(packet.received_at),
                report: Some(report),
                frame: None,
                events: Vec::new(),
                notes: Vec::new(),
            });
        }
        Ok(records)
    }

    pub(super) fn count(&self) -> Result<Stats, StoreError> {
        let doing = database("counting");
        let connection = self.connection()?;
        // One moment for all: what is not sealed and what is are counted together.
        let transaction = connection.unchecked_transaction().map_err(doing)?;
        let number = |sql: &str| transaction.query_row(sql, [], |row| row.get::<_, u64>(0)).map_err(doing);
        let (hot_readings, sealed_readings) = if let Some(shared) = &self.inner.live {
            let hot = read(&shared.hot);
            (hot.rows() as u64, hot.sealed_readings())
        } else {
            let (hot, _) = load_hot(&transaction)?;
            (hot.rows() as u64, number("SELECT coalesce(sum(readings), 0) FROM segments")?)
        };
        Ok(Stats {
            cursor: Cursor::new(last_batch(&transaction)?),
            channels: number("SELECT coalesce(max(number) + 1, 0) FROM channels")?,
            readings: hot_readings + sealed_readings,
            hot_readings,
            log_batches: number("SELECT count(*) FROM log")?,
            conflicts: number("SELECT count(*) FROM conflicts")?,
            events: number("SELECT count(*) FROM events")?,
            database_bytes: number("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")?,
            free_bytes: number("SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size")?,
        })
    }
}

fn report(
    batch: &Batch,
    packet: &Packet,
    range: std::ops::Range<usize>,
    channels: &HashMap<u32, Channel>,
    tags: &mut Tags<'_>,
) -> Result<Report, StoreError> {
    let numbers = batch.channels.get(range.clone()).unwrap_or_default();
    let rows = batch.rows.get(range).unwrap_or_default();
    let origin = rows.first().map_or(loggerhead_model::Origin::Live, crate::row::Row::origin);
    let mut builder = ReportBuilder::new(origin, 0, packet.rows as usize);
    let full = |_: ReportFull| StoreError::Damaged { what: "a packet over its limits".to_owned() };
    let mut meter: Option<&str> = None;
    for (number, row) in numbers.iter().zip(rows) {
        let Some(channel) = channels.get(number) else { continue };
        let tag = tags.tag(row.tag)?;
        if meter != Some(&channel.meter) {
            builder.meter(&channel.meter, &channel.meter_attributes).map_err(full)?;
            meter = Some(&channel.meter);
        }
        let reading = Reading {
            meter: &channel.meter,
            function: &channel.function,
            coding: &tag.coding,
            code: &tag.code,
            quality: tag.quality,
            measured_at: Timestamp::from_unix_ms(row.measured_at),
            value: row.value(&batch.texts),
            attributes: &tag.attributes,
        };
        builder.reading(&reading).map_err(full)?;
    }
    Ok(builder.finish())
}

fn order(order: ListOrder) -> (&'static str, &'static str) {
    match order {
        ListOrder::OldestFirst => (">", "ASC"),
        ListOrder::NewestFirst => ("<", "DESC"),
    }
}

fn beyond(number: Option<u64>, order: ListOrder) -> i64 {
    let all = match order {
        ListOrder::OldestFirst => -1,
        ListOrder::NewestFirst => i64::MAX,
    };
    number.map_or(all, |number| i64::try_from(number).unwrap_or(i64::MAX))
}

fn device_number(connection: &Connection, device: &DeviceId) -> Result<Option<u32>, StoreError> {
    let doing = database("looking for a device");
    let mut statement = connection.prepare_cached("SELECT number FROM names WHERE id = ?1").map_err(doing)?;
    statement.query_row([device.as_str()], |row| row.get(0)).optional().map_err(doing)
}

fn device_of(connection: &Connection, number: u32) -> Result<DeviceId, StoreError> {
    let doing = database("looking for a device");
    let mut statement = connection.prepare_cached("SELECT id FROM names WHERE number = ?1").map_err(doing)?;
    let id: String = statement.query_row([number], |row| row.get(0)).map_err(doing)?;
    device_id(&id)
}
