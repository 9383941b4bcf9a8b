//! What texts mean in the JSON format: requests of a client and what it is told.

use serde::{Deserialize, Serialize};

use loggerhead_model::Receipt;

use crate::office::Message;

/// Longest name of a person or of a room.
pub const NAME_BYTES_MAX: usize = 128;
/// Messages of one answer about what was said before.
pub const HISTORY_ANSWER_MAX: usize = 200;
/// Names that one request about who is there may have.
pub const NAMES_MAX: usize = 200;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Who it is.
    Login {
        /// Its account.
        name: String,
        /// Its password.
        secret: String,
    },
    /// To be a member of a room.
    Join {
        /// Which.
        room: String,
    },
    /// To be none any more.
    Leave {
        /// Of which.
        room: String,
    },
    /// A message, to a room or to a person. Said again under the same id by the same person, it is the same message.
    Say {
        /// Its name, a UUID that the client makes.
        id: String,
        /// To which room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<String>,
        /// To whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// What.
        text: String,
    },
    /// It has a message to itself.
    Confirm {
        /// Which.
        id: String,
    },
    /// It has everything in a room, up to a message.
    Read {
        /// Which room.
        room: String,
        /// The number of the message.
        number: u64,
    },
    /// What was said before, in a room or with a person: the last ones, the oldest first.
    History {
        /// In which room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<String>,
        /// With whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<String>,
        /// Only before this number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        /// Only what has this in it, in any case.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        search: Option<String>,
    },
    /// Who is a member of a room.
    Members {
        /// Which.
        room: String,
    },
    /// Who of these is there.
    Presence {
        /// Their names.
        names: Vec<String>,
    },
    /// Whether the head-end is there.
    Ping,
}

/// A message, as it is known now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Its name.
    pub id: String,
    /// Its place among all messages.
    pub number: u64,
    /// Who said it.
    pub from: String,
    /// To which room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// To whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What.
    pub text: String,
    /// When it was accepted.
    pub at: String,
    /// `new`, `sent` or `confirmed`, of a message to a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// When it was sent to its receiver for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<String>,
    /// When its receiver confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<String>,
}

impl From<&Message> for Said {
    fn from(message: &Message) -> Self {
        let room = message.room().map(str::to_owned);
        Self {
            id: message.id.to_string(),
            number: message.number,
            from: message.from.to_string(),
            to: room.is_none().then(|| message.to.to_string()),
            state: message.state().map(|state| state.word().to_owned()),
            room,
            text: message.text.to_string(),
            at: message.at.to_string(),
            sent_at: message.sent_at.map(|at| at.to_string()),
            confirmed_at: message.confirmed_at.map(|at| at.to_string()),
        }
    }
}

/// A person, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Its name.
    pub name: String,
    /// It is connected, and was heard from lately.
    pub here: bool,
}

/// A room of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its name.
    pub room: String,
    /// The person has confirmed everything up to this number.
    pub read_through: u64,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// It is logged in. What it missed follows.
    Welcome {
        /// Its name.
        name: String,
        /// Where it is a member.
        rooms: Vec<Membership>,
        /// With whom it has messages.
        partners: Vec<String>,
        /// After so many seconds of its silence it is asked whether it is there; it may do the same.
        ping_s: u64,
    },
    /// A message of it is stored.
    Accepted {
        /// The message.
        message: Said,
        /// Whether its receiver is there; true for a room.
        here: bool,
    },
    /// A request is not done.
    Refused {
        /// Which message it was about, if one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Why.
        reason: Reason,
    },
    /// A message for it.
    Message {
        /// The message.
        message: Said,
    },
    /// That it confirmed a message is stored, or there was none.
    Confirmed {
        /// Which.
        id: String,
    },
    /// It is a member now.
    Joined {
        /// Of which room.
        room: String,
    },
    /// It is none any more.
    Parted {
        /// Of which room.
        room: String,
    },
    /// How far it has read a room is stored.
    Read {
        /// Which.
        room: String,
        /// Up to which message.
        number: u64,
    },
    /// What was said before.
    History {
        /// In which room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<String>,
        /// With whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<String>,
        /// The oldest first.
        messages: Vec<Said>,
    },
    /// Who is a member of a room.
    Members {
        /// Which.
        room: String,
        /// They.
        members: Vec<Person>,
    },
    /// Who is there: of those whom it asked for, or a member of a room who has come or gone.
    Presence {
        /// Of which room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<String>,
        /// They.
        people: Vec<Person>,
    },
    /// Another connection has its name now; this one is closed.
    Replaced,
    /// The head-end is there.
    Pong,
}

/// Why a request is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is no request.
    Malformed,
    /// A name is empty, too long, or has control characters; or a message has no receiver, or two.
    Name,
    /// Log in first.
    LogInFirst,
    /// Name and password do not fit.
    NotProven,
    /// It is logged in already.
    LoggedIn,
    /// It is no member, or there are too many rooms or members.
    Room,
    /// Too much waits for the receiver.
    ReceiverFull,
    /// Too many of its messages wait.
    SenderFull,
    /// The message is with the store already: ask again soon.
    Busy,
    /// The store could not keep it: ask again.
    NotStored,
}

impl Reply {
    /// As text.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("texts, numbers and lists of them can be written")
    }
}

/// The answer to a message that is stored.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "a receipt is used up by the answer that it allows")]
pub(crate) fn accepted(receipt: Receipt, message: &Message, here: bool) -> Reply {
    let _ = receipt;
    Reply::Accepted { message: message.into(), here }
}

/// The answer to a confirmation that is stored.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "a receipt is used up by the answer that it allows")]
pub(crate) fn confirmed(receipt: Receipt, reply: Reply) -> Reply {
    let _ = receipt;
    reply
}

/// The name of a room, as clients know it.
pub(crate) fn room_of(to: &str) -> Option<&str> {
    to.strip_prefix(crate::office::ROOM_START)
}

/// Whether a name may be one of a person or of a room.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control)
}
