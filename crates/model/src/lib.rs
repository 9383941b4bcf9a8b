//! The nouns that every part of Loggerhead shares: device, reading, record, event, presence, command, cursor.
//!
//! Nothing here does I/O, waits, or knows the name of a protocol. A protocol turns bytes into these values, the
//! store keeps them, the hub passes them on.

pub mod coding;
mod command;
mod cursor;
mod device;
mod event;
mod file;
mod presence;
mod reading;
mod receipt;
mod record;
mod report;
mod role;
mod time;

pub use command::{Command, CommandId, CommandState, ControlLine, KeyKind, Order, WrongOrder};
pub use cursor::Cursor;
pub use device::{
    DEVICE_ID_BYTES_MAX, DeviceId, IDENTITY_BYTES_MAX, Identity, Learnt, NameError, SITE_BYTES_MAX, Site,
};
pub use event::{Event, EventKind, Severity};
pub use file::{FILE_NAME_BYTES_MAX, FileName, FileRecord, FileState, Sha256};
pub use presence::{Evidence, Presence};
pub use reading::{DECIMAL_DIGITS_MAX, Decimal, Origin, Quality, Reading, Value};
pub use receipt::{Receipt, Ticket};
pub use record::{Direction, Note, NoteChange, RawFrame, Records};
pub use report::{Meter, REPORT_READINGS_MAX, REPORT_TEXT_BYTES_MAX, Report, ReportBuilder, ReportFull};
pub use role::Role;
pub use time::{TimeError, Timestamp};
