//! The dialects: how frames look, how their words are spelt, and which answers their devices wait for.
//!
//! A dialect is a value. Nothing outside this file names one. Source: \[2\] and \[3\]; `vectors/` for `NATIONAL`, `ZHEJIANG`
//! and `SUPCON`.

use super::cipher::Padding;
use super::crc::CrcVariant;
use super::xml_write::Style;

/// One way to speak the protocol.
#[derive(Debug)]
pub struct Dialect {
    /// The word for it in settings, logs and metrics.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// The bytes that a frame may begin with; empty when it begins with its length.
    pub heads: &'static [&'static [u8]],
    /// The byte behind the head that gives the frame's type.
    pub kinds: Kinds,
    /// How the frame says where it ends.
    pub length: Length,
    /// The sequence that we send where nothing was received that it has to repeat; `None` where frames have none.
    pub sequence: Option<[u8; 4]>,
    /// The check that we send before a device has shown its own; `None` where frames have none.
    pub crc: Option<CrcVariant>,
    /// The bytes that a frame ends with.
    pub tail: &'static [u8],
    /// Which bodies are enciphered.
    pub cipher: CipherUse,
    /// What fills the last block of a body that we send.
    pub padding: Padding,
    /// How we lay out XML.
    pub style: Style,
    /// The frame types of lines to and from meters; `None` where such orders are XML.
    pub meter_lines: Option<MeterLines>,
    /// How its words differ from the national ones.
    pub words: Words,
    /// What its devices wait for.
    pub habits: Habits,
}

/// The types of frames: the byte of each word. A word that is not listed has `other`.
#[derive(Debug)]
pub enum Kinds {
    /// Frames have none.
    Absent,
    /// One byte behind the head.
    Byte {
        /// Bytes with the national words that they stand for; the first of a byte is what it means in a frame without words.
        words: &'static [(u8, &'static str)],
        /// For every other word.
        other: u8,
    },
}

/// How a frame says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// u32 LE, bytes of sequence and body.
    Little,
    /// u32 BE, bytes of body.
    Big,
    /// Four ASCII hex digits, bytes of body. They are not to be trusted: XML ends at `</root>` whatever they say.
    Hex,
    /// Not at all: XML ends at `</root>`.
    RootEnd,
}

/// Which bodies are enciphered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherUse {
    /// None.
    Never,
    /// All.
    Always,
    /// Those of these frame types, unless they begin as plain XML. Those that we send ourselves as a head-end are plain.
    Kinds(&'static [u8]),
}

/// The frame types of `meter|hex` lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterLines {
    /// Bytes for a meter.
    pub order: u8,
    /// What it answered.
    pub answer: u8,
}

impl MeterLines {
    /// What a line of this type is.
    pub(super) fn word_of(self, kind: u8) -> Option<&'static str> {
        match kind {
            kind if kind == self.order => Some("control as a line"),
            kind if kind == self.answer => Some("control_ack as a line"),
            _ => None,
        }
    }
}

/// How words differ from the national ones.
#[derive(Debug)]
pub struct Words {
    /// National words with what stands in `<type>` instead; the national word is then in `operation` alone.
    pub types: &'static [(&'static str, &'static str)],
    /// The element around auto-history and its answer.
    pub history: &'static str,
    /// The element around a query without a span.
    pub query: Query,
    /// Where meters stand in a data message.
    pub meters: Meters,
    /// The element that says whether values are numbers; empty when none is sent.
    pub parser: &'static str,
}

/// How current readings are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// `<data operation="query"/>`
    Data,
    /// `<net_query operation="query"><query>query</query></net_query>`
    Net,
}

/// Where meters stand in a data message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meters {
    /// Directly in it.
    Direct,
    /// In `<meters>`; readings of the device itself before that in `<energy_items>`.
    Wrapped,
}

/// What devices wait for, unless settings of a device say otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Answer to stored readings of a device that names a building.
    pub report: DataAnswer,
    /// Answer to stored readings of a device that names a project.
    pub report_of_project: DataAnswer,
    /// Answer to a stored packet of a backlog, of a device that names a building.
    pub continuous: DataAnswer,
    /// Answer to a stored packet of a backlog, of a device that names a project.
    pub continuous_of_project: DataAnswer,
    /// What follows a login.
    pub after_login: AfterLogin,
    /// How long a login lasts.
    pub login: LoginScope,
    /// How a device shows that it knows a secret.
    pub proof: ProofStep,
}

/// An answer to stored data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAnswer {
    /// None.
    Nothing,
    /// `report_ack` with `pass`.
    ReportAck,
    /// `continuous_ack` with the packet's number, for every packet.
    ContinuousNumbered,
    /// `continuous_ack` without a number, for every packet.
    ContinuousEmpty,
    /// `continuous_ack` without a number, after the last packet only.
    ContinuousAtEnd,
    /// `energy_data` with the packet's time and `OK`.
    EnergyOk,
    /// `data_ack`, and `continuous_ack` of the same form after the last packet.
    DataAck,
    /// `record_arrive`, and an empty `continuous_ack` after the last packet.
    RecordArrive,
}

impl DataAnswer {
    /// Every answer.
    pub const ALL: [Self; 8] = [
        Self::Nothing,
        Self::ReportAck,
        Self::ContinuousNumbered,
        Self::ContinuousEmpty,
        Self::ContinuousAtEnd,
        Self::EnergyOk,
        Self::DataAck,
        Self::RecordArrive,
    ];

    /// The word for it in settings.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::ReportAck => "report-ack",
            Self::ContinuousNumbered => "numbered",
            Self::ContinuousEmpty => "empty",
            Self::ContinuousAtEnd => "at-end",
            Self::EnergyOk => "energy-ack",
            Self::DataAck => "data-ack",
            Self::RecordArrive => "record-arrive",
        }
    }

    /// The answer of that word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|answer| answer.word() == word)
    }
}

/// What follows a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLogin {
    /// Readings.
    Readings,
    /// The device may describe itself; it sends readings after it was asked for its meters.
    Archives,
}

/// How long a login lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginScope {
    /// As long as its connection.
    Connection,
    /// Also for later connections from the same address under the same name, for a while.
    Name,
}

/// How a device shows that it knows a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofStep {
    /// Request, challenge, proof, result.
    Challenge,
    /// Request, result: its messages decipher under its key.
    Cipher,
}

const NATIONAL_WORDS: Words =
    Words { types: &[], history: "Instruction", query: Query::Data, meters: Meters::Direct, parser: "parser" };

const NATIONAL_HABITS: Habits = Habits {
    report: DataAnswer::ReportAck,
    report_of_project: DataAnswer::Nothing,
    continuous: DataAnswer::ReportAck,
    continuous_of_project: DataAnswer::ContinuousNumbered,
    after_login: AfterLogin::Readings,
    login: LoginScope::Connection,
    proof: ProofStep::Challenge,
};

static NATIONAL: Dialect = Dialect {
    name: "national",
    title: "national frame of the ministry's guideline",
    heads: &[&[0x68, 0x68, 0x16, 0x16]],
    kinds: Kinds::Absent,
    length: Length::Little,
    sequence: Some([0; 4]),
    crc: Some(CrcVariant::A2),
    tail: &[0x55, 0xaa, 0x55, 0xaa],
    cipher: CipherUse::Always,
    padding: Padding::Zero,
    style: Style::FLAT,
    meter_lines: None,
    words: NATIONAL_WORDS,
    habits: NATIONAL_HABITS,
};

static ZHEJIANG: Dialect = Dialect {
    name: "zhejiang",
    title: "national frame with head and tail swapped, seen in Zhejiang",
    heads: &[&[0x55, 0xaa, 0x55, 0xaa]],
    kinds: Kinds::Absent,
    length: Length::Little,
    sequence: Some([0, 1, 0, 0]),
    crc: Some(CrcVariant::A3),
    tail: &[0x68, 0x68, 0x16, 0x16],
    cipher: CipherUse::Always,
    padding: Padding::Zero,
    style: Style::INDENTED,
    meter_lines: None,
    words: Words { history: "instruction", query: Query::Net, ..NATIONAL_WORDS },
    habits: Habits {
        report_of_project: DataAnswer::ReportAck,
        continuous_of_project: DataAnswer::ReportAck,
        after_login: AfterLogin::Archives,
        ..NATIONAL_HABITS
    },
};

static SHANGHAI: Dialect = Dialect {
    name: "shanghai",
    title: "typed frame of the Shanghai family",
    heads: &[&[0x1f, 0x1f]],
    kinds: Kinds::Byte {
        words: &[
            (1, "request"),
            (1, "sequence"),
            (1, "md5"),
            (1, "result"),
            (2, "notify"),
            (2, "time"),
            (2, "heart_result"),
            (3, "report"),
            (3, "continuous"),
            (3, "reply"),
            (3, "continuous_ack"),
            (5, "control_ack"),
            (6, "report"),
        ],
        other: 4,
    },
    length: Length::Big,
    sequence: None,
    crc: None,
    tail: &[],
    cipher: CipherUse::Kinds(&[3, 4, 6]),
    padding: Padding::Pkcs7,
    style: Style::FLAT,
    meter_lines: Some(MeterLines { order: 0xf1, answer: 0xf2 }),
    words: Words {
        types: &[
            ("request", "id_validate"),
            ("sequence", "id_validate"),
            ("md5", "id_validate"),
            ("result", "id_validate"),
            ("notify", "heart_beat"),
            ("time", "heart_beat"),
            ("report", "energy_data"),
            ("continuous", "energy_data"),
            ("reply", "energy_data"),
        ],
        meters: Meters::Wrapped,
        parser: "",
        ..NATIONAL_WORDS
    },
    habits: Habits {
        report: DataAnswer::EnergyOk,
        report_of_project: DataAnswer::EnergyOk,
        continuous: DataAnswer::EnergyOk,
        continuous_of_project: DataAnswer::EnergyOk,
        login: LoginScope::Name,
        ..NATIONAL_HABITS
    },
};

static SUPCON: Dialect = Dialect {
    name: "supcon",
    title: "plain typed frame of Supcon-type devices",
    heads: &[&[0x8b, 0xae, 0x9b]],
    kinds: Kinds::Byte {
        words: &[
            (1, "request"),
            (2, "sequence"),
            (3, "md5"),
            (4, "result"),
            (5, "report"),
            (6, "continuous"),
            (7, "data_ack"),
            (7, "record_arrive"),
            (8, "continuous_ack"),
            (9, "notify"),
            (0x0a, "time"),
            (0x10, "time"),
        ],
        other: 5,
    },
    length: Length::Hex,
    sequence: None,
    crc: None,
    tail: &[],
    cipher: CipherUse::Never,
    padding: Padding::Zero,
    style: Style::STANDALONE,
    meter_lines: None,
    words: Words { history: "supcon", ..NATIONAL_WORDS },
    habits: Habits {
        report: DataAnswer::DataAck,
        report_of_project: DataAnswer::DataAck,
        continuous: DataAnswer::DataAck,
        continuous_of_project: DataAnswer::DataAck,
        ..NATIONAL_HABITS
    },
};

static BARE: Dialect = Dialect {
    name: "bare",
    title: "length and cipher, nothing else",
    heads: &[],
    kinds: Kinds::Absent,
    length: Length::Big,
    sequence: None,
    crc: None,
    tail: &[],
    cipher: CipherUse::Always,
    padding: Padding::Pkcs7,
    style: Style::FLAT,
    meter_lines: None,
    words: NATIONAL_WORDS,
    habits: Habits {
        report: DataAnswer::Nothing,
        continuous: DataAnswer::ContinuousNumbered,
        proof: ProofStep::Cipher,
        ..NATIONAL_HABITS
    },
};

static PLAIN: Dialect = Dialect {
    name: "plain",
    title: "XML documents one after another",
    heads: &[b"<?xml", b"<root"],
    kinds: Kinds::Absent,
    length: Length::RootEnd,
    sequence: None,
    crc: None,
    tail: &[],
    cipher: CipherUse::Never,
    padding: Padding::Zero,
    style: Style::FLAT,
    meter_lines: None,
    words: NATIONAL_WORDS,
    habits: Habits { report: DataAnswer::Nothing, continuous: DataAnswer::ContinuousNumbered, ..NATIONAL_HABITS },
};

/// Every dialect, in the order in which they are looked for: the one without a head last.
pub static ALL_DIALECTS: [&Dialect; 6] = [&NATIONAL, &ZHEJIANG, &SHANGHAI, &SUPCON, &PLAIN, &BARE];

/// The dialect of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Dialect> {
    ALL_DIALECTS.into_iter().find(|dialect| dialect.name == name)
}

impl Dialect {
    /// Most bytes before the body, where there is a body.
    pub(super) fn header_bytes(&self) -> usize {
        let head = if self.length == Length::RootEnd { 0 } else { self.heads.first().map_or(0, |head| head.len()) };
        let kind = match self.kinds {
            Kinds::Absent => 0,
            Kinds::Byte { .. } => 1,
        };
        let length = match self.length {
            Length::Little | Length::Big | Length::Hex => 4,
            Length::RootEnd => 0,
        };
        head + kind + length + self.sequence.map_or(0, |sequence| sequence.len())
    }

    /// The frame type of a national word.
    pub(super) fn kind_of(&self, word: &str) -> u8 {
        match self.kinds {
            Kinds::Absent => 0,
            Kinds::Byte { words, other } => {
                words.iter().find(|(_, known)| *known == word).map_or(other, |&(kind, _)| kind)
            }
        }
    }

    /// The first national word of a frame type.
    pub(super) fn word_of(&self, kind: u8) -> Option<&'static str> {
        match self.kinds {
            Kinds::Absent => None,
            Kinds::Byte { words, .. } => words.iter().find(|(known, _)| *known == kind).map(|&(_, word)| word),
        }
    }

    /// Whether frames of this type are known.
    pub(super) fn knows_kind(&self, kind: u8) -> bool {
        let is_line = self.meter_lines.is_some_and(|lines| lines.word_of(kind).is_some());
        match self.kinds {
            Kinds::Absent => true,
            Kinds::Byte { other, .. } => kind == other || is_line || self.word_of(kind).is_some(),
        }
    }

    /// What stands in `<type>` for a national word.
    pub(super) fn type_of<'a>(&self, word: &'a str) -> &'a str {
        self.words.types.iter().find(|(known, _)| *known == word).map_or(word, |&(_, spelt)| spelt)
    }
}

impl PartialEq for Dialect {
    /// By name.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Dialect {}
