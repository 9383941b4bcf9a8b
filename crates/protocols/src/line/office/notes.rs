//! What the office notes in the store: every message, under its number, as it stands.
//!
//! Key: `m | number u64 BE`. Value: `version u8 | id 16 | at i64 | sent_at i64 | confirmed_at i64 | from | to | device | text`,
//! names as `length u16 BE | UTF-8`.

use bytes::Bytes;
use loggerhead_model::{DeviceId, Note, NoteChange, Timestamp};

use super::Message;
use crate::Fault;
use crate::line::message::MessageId;
use crate::wire::Reader;

/// The office's shelf.
const SHELF: &str = "line";
/// The form of what is noted, so that a later one can be told from it.
const VERSION: u8 = 1;
/// In the place of a moment: there is none.
const NEVER: i64 = i64::MIN;
/// What the notes of messages begin with.
const MESSAGE: u8 = b'm';

fn key(number: u64) -> Bytes {
    [&[MESSAGE], &number.to_be_bytes()[..]].concat().into()
}

/// The note that keeps a message.
pub(super) fn put(message: &Message) -> Note {
    let mut value = vec![VERSION];
    value.extend_from_slice(&message.id.0);
    for moment in [Some(message.at), message.sent_at, message.confirmed_at] {
        value.extend_from_slice(&moment.map_or(NEVER, Timestamp::unix_ms).to_be_bytes());
    }
    for name in [&*message.from, &*message.to, message.device.as_str()] {
        let length = u16::try_from(name.len()).expect("a name is shorter than the longest line");
        value.extend_from_slice(&length.to_be_bytes());
        value.extend_from_slice(name.as_bytes());
    }
    value.extend_from_slice(message.text.as_bytes());
    Note { shelf: SHELF, key: key(message.number), change: NoteChange::Put(value.into()) }
}

/// The note that forgets a message.
pub(super) fn forget(number: u64) -> Note {
    Note { shelf: SHELF, key: key(number), change: NoteChange::Forget }
}

/// Reads a note back. `None`: it is not one of ours.
pub(super) fn read(key: &[u8], value: &[u8]) -> Option<Message> {
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
