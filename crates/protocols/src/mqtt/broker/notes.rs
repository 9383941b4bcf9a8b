//! What the broker notes in the store, and how it reads it back.
//!
//! ```text
//! m number                a message of the log            r topic          the kept message of a topic
//! s client                a session                       p client         how far it is through the log
//! q client number         a copy of its own               d client number  done beyond that
//! o client packet id      a message of QoS 2 on its way   i client packet id  one received and not released
//! ```
//!
//! A key begins with its letter; a client stands there as `length u16 BE | text`, numbers are big endian, so that the
//! order of the keys is that of the numbers.

use std::sync::Arc;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Note, NoteChange, Timestamp};

use super::client::{Progress, Subscription, Will};
use super::message::Message;
use crate::mqtt::message::{Level, Options, Qos};
use crate::mqtt::properties::{put_binary, read_text};
use crate::mqtt::reason::Breach;
use crate::wire::Reader;

/// The broker's shelf.
const SHELF: &str = "mqtt";
/// The form of what is noted, so that a later one can be told from it.
const VERSION: u8 = 1;
/// In the place of a moment: there is none.
const NEVER: i64 = i64::MIN;

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mqtt) enum About<'a> {
    /// A message of the log.
    Message(u64),
    /// The kept message of a topic.
    Retained(&'a str),
    /// A session.
    Session(&'a str),
    /// How far a session is through the log.
    Progress(&'a str),
    /// A copy of a session's own.
    Own(&'a str, u64),
    /// A message of the log that a session is done with although it is not through the ones before.
    Done(&'a str, u64),
    /// A message of QoS 2 on its way to a session.
    Out(&'a str, u16),
    /// A message of QoS 2 received from a session and not released yet.
    In(&'a str, u16),
}

impl<'a> About<'a> {
    /// The key of the note.
    pub(in crate::mqtt) fn key(self) -> Bytes {
        let mut key = Vec::with_capacity(32);
        match self {
            Self::Message(number) => {
                key.push(b'm');
                key.extend_from_slice(&number.to_be_bytes());
            }
            Self::Retained(topic) => {
                key.push(b'r');
                key.extend_from_slice(topic.as_bytes());
            }
            Self::Session(client) => put_client(&mut key, b's', client, &[]),
            Self::Progress(client) => put_client(&mut key, b'p', client, &[]),
            Self::Own(client, number) => put_client(&mut key, b'q', client, &number.to_be_bytes()),
            Self::Done(client, number) => put_client(&mut key, b'd', client, &number.to_be_bytes()),
            Self::Out(client, id) => put_client(&mut key, b'o', client, &id.to_be_bytes()),
            Self::In(client, id) => put_client(&mut key, b'i', client, &id.to_be_bytes()),
        }
        key.into()
    }

    /// Reads a key.
    pub(in crate::mqtt) fn of_key(key: &'a [u8]) -> Option<Self> {
        let (letter, rest) = key.split_first()?;
        let mut reader = Reader::new(rest);
        Some(match letter {
            b'm' => Self::Message(u64::from_be_bytes(rest.try_into().ok()?)),
            b'r' => Self::Retained(str::from_utf8(rest).ok()?),
            b's' => Self::Session(read_text(&mut reader).ok()?),
            b'p' => Self::Progress(read_text(&mut reader).ok()?),
            b'q' => Self::Own(read_text(&mut reader).ok()?, u64::from_be_bytes(reader.rest().try_into().ok()?)),
            b'd' => Self::Done(read_text(&mut reader).ok()?, u64::from_be_bytes(reader.rest().try_into().ok()?)),
            b'o' => Self::Out(read_text(&mut reader).ok()?, u16::from_be_bytes(reader.rest().try_into().ok()?)),
            b'i' => Self::In(read_text(&mut reader).ok()?, u16::from_be_bytes(reader.rest().try_into().ok()?)),
            _ => return None,
        })
    }

    /// The note that keeps this.
    pub(in crate::mqtt) fn put(self, value: impl Into<Bytes>) -> Note {
        Note { shelf: SHELF, key: self.key(), change: NoteChange::Put(value.into()) }
    }

    /// The note that forgets it.
    pub(in crate::mqtt) fn forget(self) -> Note {
        Note { shelf: SHELF, key: self.key(), change: NoteChange::Forget }
    }

    /// The note that forgets everything from this to that.
    pub(in crate::mqtt) fn forget_through(self, last: About<'_>) -> Note {
        Note { shelf: SHELF, key: self.key(), change: NoteChange::ForgetThrough(last.key()) }
    }
}

fn put_client(key: &mut Vec<u8>, letter: u8, client: &str, rest: &[u8]) {
    key.push(letter);
    put_binary(key, client.as_bytes());
    key.extend_from_slice(rest);
}

/// The notes that forget everything about a session.
pub(in crate::mqtt) fn forget_session(client: &str) -> Vec<Note> {
    vec![
        About::Session(client).forget(),
        About::Progress(client).forget(),
        About::Own(client, 0).forget_through(About::Own(client, u64::MAX)),
        About::Done(client, 0).forget_through(About::Done(client, u64::MAX)),
        About::Out(client, 0).forget_through(About::Out(client, u16::MAX)),
        About::In(client, 0).forget_through(About::In(client, u16::MAX)),
    ]
}

/// `version u8 | qos u8 | retain u8 | number u64 | expires_at i64 | topic | publisher | properties u32 and bytes | payload`
pub(in crate::mqtt) fn of_message(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + message.bytes());
    out.extend_from_slice(&[VERSION, message.qos as u8, message.retain.into()]);
    out.extend_from_slice(&message.number.to_be_bytes());
    out.extend_from_slice(&message.expires_at.map_or(NEVER, Timestamp::unix_ms).to_be_bytes());
    put_binary(&mut out, message.topic.as_bytes());
    put_binary(&mut out, message.publisher.as_deref().unwrap_or_default().as_bytes());
    put_long(&mut out, &message.properties);
    out.extend_from_slice(&message.payload);
    out
}

/// Reads a message back. It takes all of the bytes.
pub(in crate::mqtt) fn to_message(value: &[u8]) -> Result<Message, Breach> {
    let mut reader = Reader::new(value);
    version(&mut reader)?;
    let qos = qos(&mut reader)?;
    let retain = reader.u8()? != 0;
    let number = u64::from_be_bytes(reader.array()?);
    let expires_at = moment(&mut reader)?;
    let topic = read_text(&mut reader)?;
    let publisher = Some(read_text(&mut reader)?).filter(|name| !name.is_empty()).map(Arc::from);
    let properties = read_long(&mut reader)?.into();
    let payload = Bytes::copy_from_slice(reader.rest());
    Ok(Message::of_parts(number, topic, payload, properties, qos, retain, publisher, expires_at))
}

/// A copy of a session's own: `qos u8 | retain u8 | subscription identifier u32 | message`.
pub(in crate::mqtt) fn of_own(qos: Qos, retain: bool, id: u32, message: &Message) -> Vec<u8> {
    let mut out = vec![qos as u8, retain.into()];
    out.extend_from_slice(&id.to_be_bytes());
    out.extend(of_message(message));
    out
}

/// Reads such a copy back.
pub(in crate::mqtt) fn to_own(value: &[u8]) -> Result<(Qos, bool, u32, Message), Breach> {
    let mut reader = Reader::new(value);
    let qos = qos(&mut reader)?;
    let retain = reader.u8()? != 0;
    let id = reader.u32_be()?;
    Ok((qos, retain, id, to_message(reader.rest())?))
}

/// What is noted of a session.
#[derive(Debug)]
pub(in crate::mqtt) struct SessionNote {
    pub(in crate::mqtt) device: DeviceId,
    pub(in crate::mqtt) expiry_s: u32,
    /// When it ends; none while it has a connection.
    pub(in crate::mqtt) ends_at: Option<Timestamp>,
    pub(in crate::mqtt) will: Option<Will>,
    pub(in crate::mqtt) subscriptions: Vec<(Box<str>, Subscription)>,
}

/// `version u8 | expiry u32 | ends_at i64 | device | will | count u32 | subscriptions`,
/// will: `u8` 0, or `u8` 1, `delay u32 | expires u8 | expiry u32 | message u32 and bytes`
pub(in crate::mqtt) fn of_session<'a>(
    device: &DeviceId,
    expiry_s: u32,
    ends_at: Option<Timestamp>,
    will: Option<&Will>,
    subscriptions: impl ExactSizeIterator<Item = (&'a Box<str>, &'a Subscription)>,
) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&expiry_s.to_be_bytes());
    out.extend_from_slice(&ends_at.map_or(NEVER, Timestamp::unix_ms).to_be_bytes());
    put_binary(&mut out, device.as_str().as_bytes());
    out.push(will.is_some().into());
    if let Some(will) = will {
        out.extend_from_slice(&will.delay_s.to_be_bytes());
        out.push(will.expiry_s.is_some().into());
        out.extend_from_slice(&will.expiry_s.unwrap_or_default().to_be_bytes());
        put_long(&mut out, &of_message(&will.message));
    }
    out.extend_from_slice(&u32::try_from(subscriptions.len()).unwrap_or(u32::MAX).to_be_bytes());
    for (filter, subscription) in subscriptions {
        put_binary(&mut out, filter.as_bytes());
        out.push(subscription.options.byte());
        out.extend_from_slice(&subscription.id.to_be_bytes());
        out.extend_from_slice(&subscription.since.to_be_bytes());
    }
    out
}

/// Reads a session back.
pub(in crate::mqtt) fn to_session(value: &[u8]) -> Result<SessionNote, Breach> {
    let mut reader = Reader::new(value);
    version(&mut reader)?;
    let expiry_s = reader.u32_be()?;
    let ends_at = moment(&mut reader)?;
    let device = DeviceId::new(read_text(&mut reader)?).map_err(|error| Breach::malformed(0, error.to_string()))?;
    let will = if reader.u8()? == 0 {
        None
    } else {
        let delay_s = reader.u32_be()?;
        let expires = reader.u8()? != 0;
        let expiry_s = Some(reader.u32_be()?).filter(|_| expires);
        Some(Will { delay_s, expiry_s, message: Arc::new(to_message(read_long(&mut reader)?)?) })
    };
    let count = reader.u32_be()?;
    let mut subscriptions = Vec::new();
    for _ in 0..count {
        let filter = read_text(&mut reader)?.into();
        let byte = reader.u8()?;
        let options = Options::of_byte(byte, Level::V5).ok_or_else(|| Breach::malformed(reader.offset(), "options"))?;
        let id = reader.u32_be()?;
        let since = u64::from_be_bytes(reader.array()?);
        subscriptions.push((filter, Subscription { options, id, since }));
    }
    Ok(SessionNote { device, expiry_s, ends_at, will, subscriptions })
}

/// `number u64 | step u8`
pub(in crate::mqtt) fn of_out(number: u64, progress: Progress) -> Vec<u8> {
    let mut out = number.to_be_bytes().to_vec();
    out.push(u8::from(progress == Progress::Released));
    out
}

/// Reads how far a message of QoS 2 is.
pub(in crate::mqtt) fn to_out(value: &[u8]) -> Result<(u64, Progress), Breach> {
    let mut reader = Reader::new(value);
    let number = u64::from_be_bytes(reader.array()?);
    Ok((number, if reader.u8()? == 0 { Progress::Sent } else { Progress::Released }))
}

fn version(reader: &mut Reader<'_>) -> Result<(), Breach> {
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(Breach::malformed(0, format!("a note of version {other}"))),
    }
}

fn qos(reader: &mut Reader<'_>) -> Result<Qos, Breach> {
    let at = reader.offset();
    Qos::of(reader.u8()?).ok_or_else(|| Breach::malformed(at, "QoS 3"))
}

fn moment(reader: &mut Reader<'_>) -> Result<Option<Timestamp>, Breach> {
    let unix_ms = i64::from_be_bytes(reader.array()?);
    Ok((unix_ms != NEVER).then(|| Timestamp::from_unix_ms(unix_ms)))
}

fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("a packet is shorter than 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

fn read_long<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Breach> {
    let length = reader.u32_be()?;
    Ok(reader.take(length as usize)?)
}
