//! What the frames mean, the same in every dialect: who speaks, and what it says.
//!
//! There are three groups, because each is written in a way of its own: talk is written as it stands, data straight from a
//! report, and acknowledgements only against a receipt.

use std::borrow::Cow;
use std::fmt;

use loggerhead_model::{ControlLine, KeyKind, Report, Timestamp};

use super::xml::Element;
use crate::{Fault, FaultKind};

/// Longest building and gateway in characters; the longest seen has 16.
pub const NAME_CHARS_MAX: usize = 64;
/// Longest word that has to be given back as it came, such as the number of a packet.
pub const WORD_BYTES_MAX: usize = 31;
/// Most characters in a challenge, a proof, a key and other single words of talk.
pub const TALK_WORD_BYTES_MAX: usize = 256;

/// Which element names the building; an answer uses the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IdStyle {
    /// `<building_id>` and `<gateway_id>`: the text of 2008.
    #[default]
    Building,
    /// `<project_id>` and `<gateway_id>`: the text of 2009.
    Project,
    /// One `<id>`, kept as the building; the gateway is empty.
    Single,
}

/// Who speaks, exactly as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// How it is written.
    pub style: IdStyle,
    /// The building, project or id.
    pub building: Cow<'a, str>,
    /// The gateway within it.
    pub gateway: Cow<'a, str>,
}

impl Envelope<'_> {
    /// One that can be kept.
    #[must_use]
    pub fn into_owned(self) -> Envelope<'static> {
        Envelope {
            style: self.style,
            building: Cow::Owned(self.building.into_owned()),
            gateway: Cow::Owned(self.gateway.into_owned()),
        }
    }
}

impl fmt::Display for Envelope<'_> {
    /// `330302D110/01`, or only the id where there is one.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            IdStyle::Building | IdStyle::Project => write!(formatter, "{}/{}", self.building, self.gateway),
            IdStyle::Single => formatter.write_str(&self.building),
        }
    }
}

/// A short text that has to be given back as it came; lives without an allocation.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Word {
    bytes: [u8; WORD_BYTES_MAX],
    length: u8,
}

impl Word {
    /// Takes up to `WORD_BYTES_MAX` bytes.
    ///
    /// # Errors
    /// `TooLarge` over that.
    pub fn new(text: &str) -> Result<Self, Fault> {
        let mut word = Self::default();
        let (Some(place), Ok(length)) = (word.bytes.get_mut(..text.len()), u8::try_from(text.len())) else {
            let reason = format!("word of {} bytes over {WORD_BYTES_MAX}", text.len());
            return Err(Fault::new(FaultKind::TooLarge, reason));
        };
        place.copy_from_slice(text.as_bytes());
        word.length = length;
        Ok(word)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Made of a whole text and never changed, so it is one.
        self.bytes.get(..usize::from(self.length)).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

/// A message with its sender, as it was read.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    /// Who speaks, or is spoken to.
    pub envelope: Envelope<'a>,
    /// What is said.
    pub message: Message,
}

/// What is said.
#[derive(Clone, Debug)]
pub enum Message {
    /// Login, heartbeat, orders, and everything else that carries no readings.
    Talk(Talk),
    /// Readings.
    Data(Data),
    /// Data was stored.
    Ack(Ack),
}

impl Message {
    /// The word of the national text for it.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Talk(talk) => talk.word(),
            Self::Data(data) => data.head.kind.word(),
            Self::Ack(_) => "an acknowledgement",
        }
    }
}

/// Everything but data and its acknowledgements.
#[derive(Clone, PartialEq)]
pub enum Talk {
    /// Device: let me in.
    Request,
    /// Head-end: prove who you are with this random text.
    Sequence {
        /// The random text.
        sequence: String,
    },
    /// Device: the proof.
    Md5 {
        /// Hex digits.
        md5: String,
    },
    /// Head-end: you are in, or not.
    LoginResult {
        /// Which of the two.
        outcome: Outcome,
        /// The time to set the device's clock by.
        time: Option<Timestamp>,
    },
    /// Device: heartbeat. Some say in it which role they have.
    Notify {
        /// `master`, or nothing.
        note: String,
    },
    /// Head-end: answer to a heartbeat, text of 2008.
    Time {
        /// The time to set the device's clock by; `None` when it was not readable.
        time: Option<Timestamp>,
    },
    /// Head-end: answer to a heartbeat, text of 2009.
    HeartResult,
    /// Head-end: send your readings.
    Query {
        /// First moment of a span.
        from: Option<Timestamp>,
        /// Last moment of a span.
        to: Option<Timestamp>,
    },
    /// Head-end: report every so many minutes.
    Period {
        /// Minutes.
        minutes: u32,
    },
    /// Device: it will.
    PeriodAck,
    /// Device: may I send what I kept?
    AutoHistory,
    /// Head-end: send it.
    AutoHistoryAck,
    /// Device: what I am.
    Device(Element),
    /// Head-end: noted.
    DeviceAck,
    /// Head-end: describe your meters.
    Archives,
    /// Device: my meters.
    ArchivesAck(Element),
    /// Head-end: pass this to meters.
    Control(Vec<ControlLine>),
    /// Device: what the meters answered.
    ControlAck(Vec<ControlResult>),
    /// Head-end: use another secret from now on.
    SetKey {
        /// Which.
        kind: KeyKind,
        /// The new one.
        key: String,
    },
    /// Device: the standard answer of 2009.
    Standard {
        /// What it answers: `setkey`.
        name: String,
        /// 1 done, 0 not supported, below 0 an error.
        code: i32,
    },
    /// Something that nobody here understands.
    Unknown {
        /// Its type, or its element where it has none.
        kind: String,
        /// Its first element.
        body: Option<Element>,
    },
}

impl fmt::Debug for Talk {
    /// Everything but challenges, proofs and keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoginResult { outcome, time } => write!(formatter, "LoginResult({outcome:?}, {time:?})"),
            Self::Notify { note } => write!(formatter, "Notify({note:?})"),
            Self::Time { time } => write!(formatter, "Time({time:?})"),
            Self::Query { from, to } => write!(formatter, "Query({from:?}, {to:?})"),
            Self::Period { minutes } => write!(formatter, "Period({minutes} min)"),
            Self::Device(element) | Self::ArchivesAck(element) => {
                write!(formatter, "{}({} parts)", self.word(), element.children.len())
            }
            Self::Control(lines) => write!(formatter, "Control({} lines)", lines.len()),
            Self::ControlAck(results) => write!(formatter, "ControlAck({results:?})"),
            Self::Standard { name, code } => write!(formatter, "Standard({name:?}, {code})"),
            Self::Unknown { kind, .. } => write!(formatter, "Unknown({kind:?})"),
            Self::Request
            | Self::Sequence { .. }
            | Self::Md5 { .. }
            | Self::HeartResult
            | Self::PeriodAck
            | Self::AutoHistory
            | Self::AutoHistoryAck
            | Self::DeviceAck
            | Self::Archives
            | Self::SetKey { .. } => formatter.write_str(self.word()),
        }
    }
}

impl Talk {
    /// The word of the national text for it; for `Standard` and `Unknown` only a hint.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Request => "request",
            Self::Sequence { .. } => "sequence",
            Self::Md5 { .. } => "md5",
            Self::LoginResult { .. } => "result",
            Self::Notify { .. } => "notify",
            Self::Time { .. } => "time",
            Self::HeartResult => "heart_result",
            Self::Query { .. } => "query",
            Self::Period { .. } => "period",
            Self::PeriodAck => "period_ack",
            Self::AutoHistory => "auto_history",
            Self::AutoHistoryAck => "auto_history_ack",
            Self::Device(_) => "device",
            Self::DeviceAck => "device_ack",
            Self::Archives => "archives",
            Self::ArchivesAck(_) => "archives_ack",
            Self::Control(_) => "control",
            Self::ControlAck(_) => "control_ack",
            Self::SetKey { .. } => "setkey",
            Self::Standard { name, .. } => name,
            Self::Unknown { kind, .. } => kind,
        }
    }
}

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Let in.
    Pass,
    /// Not let in.
    Fail,
}

/// What became of one line of a control order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlResult {
    /// The line's number in the order.
    pub index: String,
    /// The device's name for the meter.
    pub meter: String,
    /// `F0` done, `F1` meter unknown, `F2` serial port not set, `F3` no answer in time.
    pub error: String,
    /// What the meter answered, as hex digits.
    pub answer: String,
}

/// Why readings come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// Measured just now.
    Report,
    /// Kept by the device while it could not send.
    Continuous,
    /// Asked for with a query.
    Reply,
}

impl DataKind {
    /// The word of the national text.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Continuous => "continuous",
            Self::Reply => "reply",
        }
    }
}

/// What a device says of the form of its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parser {
    /// Nothing: they are numbers.
    #[default]
    Absent,
    /// They are numbers.
    Yes,
    /// They are the raw bytes that a meter answered, mostly as hex digits. Never taken for numbers.
    No,
}

/// What stands in a data message beside its readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHead {
    /// Why the readings come.
    pub kind: DataKind,
    /// The device's own number of the packet; empty when none was sent. Some devices never change it.
    pub sequence: Word,
    /// The form of the values.
    pub parser: Parser,
    /// When the readings were measured, unless one says otherwise.
    pub time: Option<Timestamp>,
    /// That time as it came, for answers that give it back.
    pub time_text: Word,
    /// Packets in the backlog.
    pub total: Option<u64>,
    /// This packet's place in it, counted from 1.
    pub current: Option<u64>,
}

impl DataHead {
    /// The head of a packet of numbers measured at `time`.
    #[must_use]
    pub fn new(kind: DataKind, time: Timestamp) -> Self {
        Self {
            kind,
            sequence: Word::default(),
            parser: Parser::Absent,
            time: Some(time),
            time_text: Word::default(),
            total: None,
            current: None,
        }
    }
}

/// Readings, with what the device said about them.
#[derive(Clone, Debug)]
pub struct Data {
    /// What stands beside the readings.
    pub head: DataHead,
    /// The readings; there may be none.
    pub report: Report,
    /// A reading carried the quality code 192: from now on this device's 0 means invalid.
    pub saw_192: bool,
    /// Readings for which the packet gives no readable time; they have `DecodeRules::received_at`.
    pub untimed: usize,
}

/// Data was stored. Which of these a device understands depends on its dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// `report_ack` with `pass`.
    Report,
    /// `continuous_ack`, with the packet's place in the backlog where the device wants it.
    Continuous {
        /// `DataHead::current` of the packet.
        number: Option<u64>,
    },
    /// `energy_data` with the packet's time and `OK`, or the reason of a failure.
    Energy {
        /// `DataHead::time_text` of the packet.
        time: Word,
        /// `OK`.
        text: Word,
    },
    /// `data_ack`, or `continuous_ack` of the same form for the last packet of a backlog.
    Data {
        /// `DataHead::sequence` of the packet.
        sequence: Word,
        /// Whether this was the last packet of a backlog.
        place: Place,
    },
    /// `record_arrive`.
    RecordArrive,
}

/// Where a packet stands in a backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Others follow, or there is no backlog.
    Within,
    /// It is the last.
    Last,
}
