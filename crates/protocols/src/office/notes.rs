//! What the office notes in the store: every message, under its number, as it stands, and every member of a room.
//!
//! Key of a member: `p | room | user`, names as below; value: `version u8 | read through u64 BE`.
//!
//! Key of a message: `m | number u64 BE`. Value: `version u8 | id 16 | at i64 | sent_at i64 | confirmed_at i64 | from | to | device | text`,
//! names as `length u16 BE | UTF-8`.

use bytes::Bytes;
use loggerhead_model::{DeviceId, Note, NoteChange, Timestamp};

use super::{Message, MessageId, SHELF};
use crate::Fault;
use crate::wire::Reader;

/// The form of what is noted, so that a later one can be told from it.
const VERSION: u8 = 1;
/// In the place of a moment: there is none.
const NEVER: i64 = i64::MIN;
/// What the notes of messages begin with.
const MESSAGE: u8 = b'm';
/// What the notes of members begin with.
const SEAT: u8 = b'p';

fn key(number: u64) -> Bytes {
    [&[MESSAGE], &number.to_be_bytes()[..]].concat().into()
}

/// The note that keeps a message.
pub(crate) fn put(message: &Message) -> Note {
    let mut value = vec![VERSION];
    value.extend_from_slice(&message.id.0);
    for moment in [Some(message.at), message.sent_at, message.confirmed_at] {
        value.extend_from_slice(&moment.map_or(NEVER, Timestamp::unix_ms).to_be_bytes());
    }
    for text in [&*message.from, &*message.to, message.device.as_str()] {
        put_name(text, &mut value);
    }
    value.extend_from_slice(message.text.as_bytes());
    Note { shelf: SHELF, key: key(message.number), change: NoteChange::Put(value.into()) }
}

/// The note that forgets a message.
pub(crate) fn forget(number: u64) -> Note {
    Note { shelf: SHELF, key: key(number), change: NoteChange::Forget }
}

fn put_name(name: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(name.len()).expect("a name is shorter than the longest line");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(name.as_bytes());
}

fn seat_key(room: &str, user: &str) -> Bytes {
    let mut key = vec![SEAT];
    put_name(room, &mut key);
    put_name(user, &mut key);
    key.into()
}

/// The note that keeps a member of a room, and up to which message it has read.
pub(crate) fn put_seat(room: &str, user: &str, read_through: u64) -> Note {
    let value = [&[VERSION], &read_through.to_be_bytes()[..]].concat();
    Note { shelf: SHELF, key: seat_key(room, user), change: NoteChange::Put(value.into()) }
}

/// The note that forgets a member.
pub(crate) fn forget_seat(room: &str, user: &str) -> Note {
    Note { shelf: SHELF, key: seat_key(room, user), change: NoteChange::Forget }
}

/// Reads the note of a member back: room, user, and how far it has read. `None`: it is not one of ours.
pub(crate) fn read_seat<'a>(key: &'a [u8], value: &[u8]) -> Option<(&'a str, &'a str, u64)> {
    let mut reader = Reader::new(key.strip_prefix(&[SEAT])?);
    let (room, user) = (name(&mut reader).ok()??, name(&mut reader).ok()??);
    let read_through = value.strip_prefix(&[VERSION])?.try_into().ok()?;
    reader.rest().is_empty().then_some((room, user, u64::from_be_bytes(read_through)))
}

/// Reads a note back. `None`: it is not one of ours.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Option<Message> {
    let number = u64::from_be_bytes(key.strip_prefix(&[MESSAGE])?.try_into().ok()?);
    message(number, value).ok().flatten()
}

fn message(number: u64, value: &[u8]) -> Result<Option<Message>, Fault> {
    let mut reader = Reader::new(value);
    if reader.u8()? != VERSION {
        return Ok(None);
    }
    let id = MessageId(reader.array()?);
    let (at, sent_at, confirmed_at) = (moment(&mut reader)?, moment(&mut reader)?, moment(&mut reader)?);
    let (from, to) = (name(&mut reader)?, name(&mut reader)?);
    let device = name(&mut reader)?.and_then(|name| DeviceId::new(name).ok());
    let text = str::from_utf8(reader.rest()).ok();
    let whole = || {
        let (from, to, text) = (from?.into(), to?.into(), text?.into());
        Some(Message { number, id, from, to, text, device: device?, at: at?, sent_at, confirmed_at })
    };
    Ok(whole())
}

fn moment(reader: &mut Reader<'_>) -> Result<Option<Timestamp>, Fault> {
    let unix_ms = i64::from_be_bytes(reader.array()?);
    Ok((unix_ms != NEVER).then(|| Timestamp::from_unix_ms(unix_ms)))
}

fn name<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, Fault> {
    let length = reader.u16_be()?;
    Ok(str::from_utf8(reader.take(length.into())?).ok())
}
