//! Writes everything but readings.

use loggerhead_model::{Event, Note, NoteChange, Severity};
use rusqlite::{Connection, params};

use crate::dictionary::Added;
use crate::frames::Block;
use crate::intake::NewConflict;
use crate::{Change, CommandRecord, DeviceRecord, access};

/// A serde word without quotes, or JSON where it is more than a word.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The number under which a severity is kept, so that it can be compared.
pub(crate) const fn severity_number(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Error => 2,
    }
}

/// Writes what was given a number.
pub(crate) fn insert_added(connection: &Connection, added: &Added) -> rusqlite::Result<()> {
    for (number, id) in &added.devices {
        connection
            .prepare_cached("INSERT INTO names (number, id, checksum) VALUES (?1, ?2, row_checksum(?2))")?
            .execute((number, id.as_str()))?;
    }
    for (number, device, meter, function) in &added.channels {
        connection
            .prepare_cached(
                "INSERT INTO channels (number, device, meter, function, checksum)
                 VALUES (?1, ?2, ?3, ?4, row_checksum(?2, ?3, ?4))",
            )?
            .execute((number, device, meter, function))?;
    }
    for (number, tag, device) in &added.tags {
        connection
            .prepare_cached(
                "INSERT INTO tags (number, coding, code, quality, attributes, device, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, row_checksum(?2, ?3, ?4, ?5, ?6))",
            )?
            .execute((number, &tag.coding, &tag.code, tag.quality as u8, &tag.attributes, device))?;
    }
    for (device, meter, attributes) in &added.meters {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO meters (device, meter, attributes, checksum)
                 VALUES (?1, ?2, ?3, row_checksum(?1, ?2, ?3))",
            )?
            .execute((device, meter, attributes))?;
    }
    Ok(())
}

/// Writes blocks of frames.
pub(crate) fn insert_frames(connection: &Connection, batch: u64, blocks: &[Block]) -> rusqlite::Result<()> {
    blocks.iter().try_for_each(|block| insert_block(connection, None, batch, block))
}

/// Writes one block of frames; under a number that was freed, or the next one.
pub(crate) fn insert_block(
    connection: &Connection,
    number: Option<i64>,
    batch: u64,
    block: &Block,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO frames (number, batch, first_at, last_at, devices, body, checksum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, row_checksum(?2, ?3, ?4, ?5, substr(?6, 1, 4)))";
    let (devices, body) = (block.devices.as_slice(), block.body.as_slice());
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute((number, batch, block.first_at, block.last_at, devices, body)).map(|_| ())
}

/// Writes a conflict; false when the same one is known.
pub(crate) fn insert_conflict(connection: &Connection, batch: u64, conflict: &NewConflict) -> rusqlite::Result<bool> {
    let sql = "INSERT OR IGNORE INTO conflicts (channel, measured_at, value, first, tag, received_at, origin, batch,
                   checksum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, row_checksum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8))";
    let inserted = connection.prepare_cached(sql)?.execute(params![
        conflict.channel,
        conflict.measured_at,
        conflict.value,
        conflict.first,
        conflict.tag,
        conflict.received_at,
        conflict.origin as u8,
        batch
    ])?;
    Ok(inserted > 0)
}

/// Writes events.
pub(crate) fn insert_events(connection: &Connection, batch: u64, events: &[Event]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO events (batch, at, severity, kind, device, peer, text, checksum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, row_checksum(?1, ?2, ?3, ?4, ?5, ?6, ?7))";
    let mut statement = connection.prepare_cached(sql)?;
    for event in events {
        statement.execute(params![
            batch,
            event.at.unix_ms(),
            severity_number(event.severity),
            event.kind.word(),
            event.device.as_ref().map(loggerhead_model::DeviceId::as_str),
            event.peer,
            event.text
        ])?;
    }
    Ok(())
}

/// Keeps and forgets notes, in order.
pub(crate) fn apply_notes(connection: &Connection, notes: &[Note]) -> rusqlite::Result<()> {
    for Note { shelf, key, change } in notes {
        match change {
            NoteChange::Put(value) => connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO notes (shelf, key, value, checksum)
                     VALUES (?1, ?2, ?3, row_checksum(?1, ?2, ?3))",
                )?
                .execute((shelf, &**key, &**value))?,
            NoteChange::Forget => connection
                .prepare_cached("DELETE FROM notes WHERE shelf = ?1 AND key = ?2")?
                .execute((shelf, &**key))?,
            NoteChange::ForgetThrough(last) => connection
                .prepare_cached("DELETE FROM notes WHERE shelf = ?1 AND key BETWEEN ?2 AND ?3")?
                .execute((shelf, &**key, &**last))?,
        };
    }
    Ok(())
}

/// Makes a change. Events go to `events`, which are written with those of the batch.
pub(crate) fn apply(connection: &Connection, change: &Change, events: &mut Vec<Event>) -> rusqlite::Result<()> {
    match change {
        Change::Device(record) => put_device(connection, record)?,
        Change::RemoveDevice(id) => {
            for sql in ["DELETE FROM devices WHERE id = ?1", "DELETE FROM learnt WHERE device = ?1"] {
                connection.prepare_cached(sql)?.execute([id.as_str()])?;
            }
        }
        Change::Learnt(id, learnt) => {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO learnt (device, words, checksum) VALUES (?1, ?2, row_checksum(?1, ?2))",
                )?
                .execute((id.as_str(), json(learnt)?))?;
        }
        Change::Presence(id, evidence) => {
            let sql = "INSERT OR REPLACE INTO presence
                       (device, presence, since, last_bytes_at, last_reading_at, peer, closed_because, checksum)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, row_checksum(?1, ?2, ?3, ?4, ?5, ?6, ?7))";
            connection.prepare_cached(sql)?.execute(params![
                id.as_str(),
                evidence.presence.word(),
                evidence.since.map(loggerhead_model::Timestamp::unix_ms),
                evidence.last_bytes_at.map(loggerhead_model::Timestamp::unix_ms),
                evidence.last_reading_at.map(loggerhead_model::Timestamp::unix_ms),
                evidence.peer,
                evidence.closed_because
            ])?;
        }
        Change::Command(record) => put_command(connection, record)?,
        Change::Events(added) => events.extend_from_slice(added),
        Change::Access(change) => access::apply(connection, change)?,
    }
    Ok(())
}

fn put_device(connection: &Connection, record: &DeviceRecord) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO devices
               (id, protocol, identity, state, secret, login, settings, added_at, source, site, checksum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, row_checksum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10))";
    connection.prepare_cached(sql)?.execute(params![
        record.id.as_str(),
        record.protocol,
        record.identity.as_str(),
        json(&record.state)?,
        record.secret.as_ref().map(crate::Secret::expose),
        json(&record.login)?,
        record.settings,
        record.added_at.unix_ms(),
        json(&record.source)?,
        record.site.as_ref().map(loggerhead_model::Site::as_str)
    ])?;
    if record.learnt.is_empty() { Ok(()) } else { apply_learnt(connection, record) }
}

fn apply_learnt(connection: &Connection, record: &DeviceRecord) -> rusqlite::Result<()> {
    let change = Change::Learnt(record.id.clone(), record.learnt.clone());
    apply(connection, &change, &mut Vec::new())
}

fn put_command(connection: &Connection, record: &CommandRecord) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO commands (id, device, wanted, state, accepted_at, changed_at, checksum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, row_checksum(?2, ?3, ?4, ?5, ?6))";
    connection.prepare_cached(sql)?.execute(params![
        record.id.0,
        record.device.as_str(),
        json(&record.order)?,
        json(&record.state)?,
        record.accepted_at.unix_ms(),
        record.changed_at.unix_ms()
    ])?;
    Ok(())
}
