//! What the API says and is told, as types that both its server and its callers use.
//!
//! Times are RFC 3339. A value is the text that the device sent, with the number beside it where it is one.

mod access;
mod broker;
mod camera;
mod command;
mod device;
mod event;
mod explain;
mod file;
mod live;
mod message;
mod problem;
mod reading;
mod status;
mod time;

pub use access::{
    Account, AccountChange, AccountList, Acknowledgement, AuditEntry, AuditList, MadeToken, Me, NewAccount, NewToken,
    Note, OwnPassword, Scope, Session, SessionList, SetUp, SignIn, SignInLink, Token, TokenList,
};
pub use broker::{BrokerDrops, BrokerSession, BrokerSessionList, BrokerSubscription};
pub use camera::{Camera, CameraAccount, CameraAccountList, CameraAlarm, CameraList, NewCameraAlarm, NewCameraState};
pub use command::{Command, CommandList, ControlLine, NewCommand};
pub use device::{Counters, Device, DeviceList, NewDevice, Presence, PresenceCounts, SiteCounts, SiteList};
pub use event::{Event, EventList, Frame, FrameList, Sent, SentList};
pub(crate) use explain::judgement_word;
pub use explain::{ExplainRequest, ExplainedConversation, ExplainedField, Explanation};
pub use file::{File, FileList};
pub use live::{LiveGap, LiveStart, PresenceChange};
pub use message::{Message, MessageList, Queue, QueueList};
pub use problem::{ProblemDescription, ProblemDetails, ProblemKinds};
pub use reading::{
    Bucket, Buckets, Channel, ChannelList, Conflict, ConflictList, Latest, LatestList, LiveReading, LiveReadings,
    RangeReading, Readings, Sample, Shared, attributes,
};
pub use status::{
    AckWithin, Listener, ListenerAddress, ListenerList, Pace, Readiness, Status, StoreDamage, StoreStatus,
};
pub use time::Time;

/// The schema of a word of a closed list.
fn words(words: &[&str]) -> utoipa::openapi::schema::Object {
    utoipa::openapi::schema::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .enum_values(Some(words.iter().copied()))
        .build()
}
