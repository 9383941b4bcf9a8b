//! Messages between people, and what waits for whom.

use loggerhead_protocols::office;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::{Time, words};

/// A message between people, or in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Its place among all messages; grows in the order in which they were accepted.
    pub number: u64,
    /// Its name, a UUID.
    pub id: String,
    /// Who sent it.
    pub from: String,
    /// To whom; none for a message in a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// In which room; none for a message to a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// What was said.
    pub text: String,
    /// The account of its sender, as a device.
    pub device: String,
    /// When it was accepted, which is when it was stored.
    pub at: Time,
    /// How far it is; none for a message in a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = state_words)]
    pub state: Option<String>,
    /// When it was sent to its receiver for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Time>,
    /// When its receiver confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Time>,
}

/// A page of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageList {
    /// The messages of this page, in the order that was asked for.
    pub messages: Vec<Message>,
    /// `after` of the next page; none on the last.
    pub next: Option<u64>,
}

/// What waits for a person, and what it sent that waits for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// The person.
    pub name: String,
    /// Whether it is connected and was heard from lately.
    pub here: bool,
    /// Messages to it that it has not confirmed.
    pub waiting: usize,
    /// Their size in bytes, with what the office needs for them.
    pub waiting_bytes: usize,
    /// When the oldest of them was accepted.
    pub waiting_since: Option<Time>,
    /// Messages of it that nobody has confirmed.
    pub unconfirmed: usize,
}

/// A page of queues, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueList {
    /// The queues of this page.
    pub queues: Vec<Queue>,
    /// `after` of the next page; none on the last.
    pub next: Option<String>,
}

fn state_words() -> Object {
    words(&office::MessageState::ALL.map(office::MessageState::word))
}

impl From<office::Message> for Message {
    fn from(message: office::Message) -> Self {
        let room = message.room().map(str::to_owned);
        Self {
            number: message.number,
            id: message.id.to_string(),
            from: message.from.to_string(),
            to: room.is_none().then(|| message.to.to_string()),
            room,
            device: message.device.to_string(),
            at: Time(message.at),
            state: message.state().map(|state| state.word().to_owned()),
            sent_at: message.sent_at.map(Time),
            confirmed_at: message.confirmed_at.map(Time),
            text: message.text.into(),
        }
    }
}

impl From<office::Queue> for Queue {
    fn from(queue: office::Queue) -> Self {
        Self {
            name: queue.name.to_string(),
            here: queue.is_here,
            waiting: queue.waiting,
            waiting_bytes: queue.waiting_bytes,
            waiting_since: queue.waiting_since.map(Time),
            unconfirmed: queue.unconfirmed,
        }
    }
}
