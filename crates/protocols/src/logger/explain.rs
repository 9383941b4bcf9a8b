//! Gives every byte of a capture its meaning: frames of every dialect one after another, garbage between them, enciphered
//! or already plain, whole or cut short.

use bytes::BytesMut;
use loggerhead_model::Timestamp;

use super::cipher::{Key, Look};
use super::compress::Compression;
use super::crc::CrcVariant;
use super::decode::{DecodeRules, QualityRule, decode};
use super::dialect::{self, Dialect, Kinds, Length};
use super::frame::{FRAME_BYTES_MAX, is_enciphered};
use super::message::{Ack, Message, Outcome, Parser, Talk};
use super::meter_line;
use super::shape::{Head, Measured, Shape, Tail, head_at, measure, tail_at};
use super::text::{self, Charset, Plain};
use super::time::Zone;
use super::xml::root;
use super::xml_write::{Style, Writer};
use crate::{Explain, Explanation, Fault, Field, Judgement};

/// Explains the bytes of one direction of a conversation. Of the settings, `dialect` and `time_zone` help.
#[must_use]
pub fn explain(request: &Explain<'_>) -> Explanation {
    let setting = |name: &str| request.settings.and_then(|table| table.get(name)).and_then(toml::Value::as_str);
    let keys = request.keys.iter().filter_map(|(key, iv)| Key::from_slices(key, iv).ok()).collect();
    let mut explainer = Explainer {
        bytes: request.bytes,
        keys,
        dialect: setting("dialect").and_then(dialect::find),
        zone: setting("time_zone").and_then(|zone| Zone::parse(zone).ok()).unwrap_or_default(),
        at: 0,
        explanation: Explanation::default(),
    };
    while explainer.at < request.bytes.len() {
        explainer.step();
    }
    explainer.explanation
}

struct Explainer<'a> {
    bytes: &'a [u8],
    keys: Vec<Key>,
    dialect: Option<&'static Dialect>,
    zone: Zone,
    at: usize,
    explanation: Explanation,
}

/// What the bytes from some offset on are.
enum Found {
    Frame(&'static Dialect, Shape),
    /// A frame that goes on behind the last byte.
    Cut(&'static Dialect),
    Nothing(Option<Fault>),
}

impl Explainer<'_> {
    fn step(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        // NUL may be the first byte of a length.
        let blanks = rest.len() - rest.trim_ascii_start().len();
        if blanks > 0 {
            return self.field(blanks, "blanks", "between frames", Judgement::Right);
        }
        match self.found(self.at) {
            Found::Frame(dialect, shape) => match self.next_frame(self.at + 1, self.at + shape.end) {
                // The frame that begins here is believed unless a better one begins within it.
                Some(next) if !self.is_confirmed(self.at, dialect, &shape) => {
                    self.garbage(next, "no check fits, and a frame begins in it");
                }
                Some(_) | None => self.frame(dialect, &shape),
            },
            Found::Cut(dialect) => match self.next_frame(self.at + 1, self.bytes.len()) {
                Some(next) => self.garbage(next, "the beginning of a frame, cut short by the next"),
                None => self.cut_frame(dialect),
            },
            Found::Nothing(fault) => {
                let next = self.next_frame(self.at + 1, self.bytes.len()).unwrap_or(self.bytes.len());
                let reason = fault.map_or_else(|| "no head of any dialect".to_owned(), |fault| fault.to_string());
                self.garbage(next, &reason);
            }
        }
    }

    fn field(&mut self, length: usize, name: &str, meaning: impl Into<String>, judgement: Judgement) {
        let range = self.at..(self.at + length).min(self.bytes.len());
        if !range.is_empty() {
            self.at = range.end;
            self.explanation.fields.push(Field { range, name: name.to_owned(), meaning: meaning.into(), judgement });
        }
    }

    fn garbage(&mut self, end: usize, reason: &str) {
        let length = end - self.at;
        self.field(length, "garbage", format!("{length} bytes skipped: {reason}"), Judgement::Wrong);
    }

    fn found(&self, at: usize) -> Found {
        let rest = self.bytes.get(at..).unwrap_or_default();
        match head_at(self.dialect, rest) {
            Head::Whole(dialect) => match measure(dialect, rest, FRAME_BYTES_MAX, 0) {
                Measured::Whole(shape) => Found::Frame(dialect, shape),
                Measured::Short => Found::Cut(dialect),
                Measured::Refused(fault) => Found::Nothing(Some(fault)),
            },
            Head::Cut | Head::Absent => Found::Nothing(None),
        }
    }

    /// Where the first frame begins in a range that check or tail confirm.
    fn next_frame(&self, from: usize, to: usize) -> Option<usize> {
        (from..to).find(|&start| match self.found(start) {
            Found::Frame(dialect, shape) => {
                !dialect.heads.is_empty() && shape.is_sane && self.is_confirmed(start, dialect, &shape)
            }
            Found::Cut(_) | Found::Nothing(_) => false,
        })
    }

    fn is_confirmed(&self, at: usize, dialect: &Dialect, shape: &Shape) -> bool {
        let frame = self.bytes.get(at..).unwrap_or_default();
        dialect.crc.is_none_or(|usual| {
            let crc = frame.get(shape.body.end..).and_then(<[u8]>::first_chunk);
            let covered = frame.get(..shape.body.end).unwrap_or_default();
            crc.is_some_and(|&crc| CrcVariant::matching(usual, covered, crc).is_some())
                || tail_at(dialect, frame.get(shape.end..).unwrap_or_default()) == Tail::Whole
        })
    }

    /// The fields before the body.
    fn header(&mut self, dialect: &Dialect, shape: Option<&Shape>) {
        if dialect.length == Length::RootEnd {
            return;
        }
        let start = self.at;
        if let Some(head) = dialect.heads.first() {
            self.field(head.len(), "head", format!("{}: {}", dialect.name, dialect.title), Judgement::Right);
        }
        if let (Kinds::Byte { words, .. }, Some(&kind)) = (&dialect.kinds, self.bytes.get(self.at)) {
            let of_kind = words.iter().filter(|(byte, _)| *byte == kind).map(|&(_, word)| word);
            let of_line = dialect.meter_lines.and_then(|lines| lines.word_of(kind));
            let of_kind: Vec<_> = of_kind.chain(of_line).collect();
            let judgement = if of_kind.is_empty() { Judgement::Odd } else { Judgement::Right };
            let meaning = if of_kind.is_empty() { "other".to_owned() } else { of_kind.join(", ") };
            self.field(1, "type", meaning, judgement);
        }
        let Some(Shape { length, body, sequence, .. }) = shape else { return };
        // Blanks behind the text are the frame's where its length counts them.
        let behind = self.bytes.get(start + body.end..).unwrap_or_default();
        let blanks = behind.len() - behind.trim_ascii_start().len();
        let claimed = length.map_or_else(|| "no number".to_owned(), |length| length.to_string());
        let (meaning, judgement) = match dialect.length {
            Length::Little => {
                (format!("{claimed} bytes, low byte first: sequence and {} of body", body.len()), Judgement::Right)
            }
            Length::Big => (format!("{claimed} bytes of body, high byte first"), Judgement::Right),
            Length::Hex if length.is_some_and(|length| (body.len()..=body.len() + blanks).contains(&length)) => {
                (format!("{claimed} bytes of body"), Judgement::Right)
            }
            Length::Hex | Length::RootEnd => (
                format!("claims {claimed} bytes of body, {} up to the end of its root element", body.len()),
                Judgement::Odd,
            ),
        };
        self.field(4, "length", meaning, judgement);
        if dialect.sequence.is_some() {
            let code = u32::from_le_bytes(*sequence);
            self.field(
                sequence.len(),
                "sequence",
                format!("{code} low byte first; an answer repeats it"),
                Judgement::Right,
            );
        }
    }

    fn cut_frame(&mut self, dialect: &'static Dialect) {
        let whole_header = self.bytes.len() - self.at >= dialect.header_bytes();
        self.header(dialect, None);
        let left = self.bytes.len() - self.at;
        let what = if whole_header {
            "a frame that goes on behind the last byte"
        } else {
            "a header that goes on behind the last byte"
        };
        self.field(left, "cut", format!("{left} bytes of {what}"), Judgement::Wrong);
    }

    fn frame(&mut self, dialect: &'static Dialect, shape: &Shape) {
        let start = self.at;
        self.header(dialect, Some(shape));
        let frame = self.bytes.get(start..).unwrap_or_default();
        let body = frame.get(shape.body.clone()).unwrap_or_default();
        let enciphered = self.body(dialect, shape.kind, body);
        if let Some(usual) = dialect.crc {
            let mut covered = frame.get(..shape.body.end).unwrap_or_default().to_vec();
            if let (Some(cipher), Some(place)) = (enciphered, covered.get_mut(shape.body.clone())) {
                place.copy_from_slice(&cipher);
            }
            self.check(usual, &covered, Look::at(body) != Look::Nonsense);
        }
        let tail = dialect.tail;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let right = rest.iter().zip(tail).take_while(|(found, expected)| found == expected).count();
        if right == tail.len() {
            self.field(right, "tail", "end of the frame", Judgement::Right);
        } else if right > 0 {
            self.field(
                right,
                "tail",
                format!("{right} of {} bytes, the others are missing", tail.len()),
                Judgement::Odd,
            );
        } else if let Some(last) = self.explanation.fields.last_mut() {
            last.meaning.push_str("; the tail behind it is missing");
            last.judgement = Judgement::Odd;
        }
    }

    /// Explains a body. Gives back its cipher when it was plain already and a key is known, for the check.
    fn body(&mut self, dialect: &'static Dialect, kind: u8, body: &[u8]) -> Option<Vec<u8>> {
        if !is_enciphered(dialect, kind, body) || Look::at(body) != Look::Nonsense {
            self.plain_body(dialect, kind, body, "");
            let mut cipher = body.to_vec();
            let key = self.keys.iter().find(|_| is_enciphered(dialect, kind, b""))?;
            return key.encipher(&mut cipher).is_ok().then_some(cipher);
        }
        let Some(index) = self.keys.iter().position(|key| key.look(body) != Look::Nonsense) else {
            let (what, judgement) = match self.keys.len() {
                0 => ("no key given".to_owned(), Judgement::Odd),
                count => (format!("none of {count} keys fits"), Judgement::Wrong),
            };
            self.field(body.len(), "cipher", format!("{} bytes of AES-128-CBC, {what}", body.len()), judgement);
            return None;
        };
        let mut plain = body.to_vec();
        let deciphered = self.keys.get(index).is_some_and(|key| key.decipher(&mut plain).is_ok());
        if deciphered {
            self.plain_body(dialect, kind, &plain, &format!("AES-128-CBC, key {}; ", index + 1));
        } else {
            self.field(body.len(), "cipher", "not made of whole blocks", Judgement::Wrong);
        }
        None
    }

    /// Explains a body whose plain bytes are known. Cipher and plain bytes stand at the same offsets.
    fn plain_body(&mut self, dialect: &'static Dialect, kind: u8, body: &[u8], cipher: &str) {
        match meter_line::read(dialect, kind, body) {
            Ok(None) => {}
            Ok(Some(talk)) => return self.field(body.len(), "line", describe(&Message::Talk(talk)), Judgement::Right),
            Err(fault) => return self.field(body.len(), "line", fault.to_string(), Judgement::Wrong),
        }
        let plain = match text::plain(body) {
            Ok(plain) => plain,
            Err(fault) => return self.field(body.len(), "body", format!("{cipher}{fault}"), Judgement::Wrong),
        };
        let used = match plain.compression {
            Compression::Plain => {
                self.field(plain.range.start, "blanks", "before the text", Judgement::Odd);
                plain.range.clone()
            }
            Compression::Zlib | Compression::QuickLz => 0..body.len(),
        };
        let range = self.at..self.at + used.len();
        let (meaning, judgement) = self.meaning(dialect, kind, &plain);
        self.field(used.len(), "text", format!("{cipher}{meaning}"), judgement);
        self.explanation.messages.push((range, pretty(&plain.text)));
        let padding = body.get(used.end..).unwrap_or_default();
        let (meaning, judgement) = padding_meaning(padding);
        self.field(padding.len(), "padding", meaning, judgement);
    }

    fn meaning(&self, dialect: &Dialect, kind: u8, plain: &Plain<'_>) -> (String, Judgement) {
        let rules = DecodeRules { zone: self.zone, quality: QualityRule::default(), received_at: Timestamp::default() };
        let mut meaning = Vec::new();
        match plain.compression {
            Compression::Plain => {}
            Compression::Zlib | Compression::QuickLz => meaning.push(format!("{}, ", plain.compression.word())),
        }
        let declares_utf8 = plain
            .text
            .get(..plain.text.len().min(80))
            .is_some_and(|start| start.to_ascii_lowercase().contains("utf-8"));
        let mut judgement = Judgement::Right;
        let charset = match (plain.charset, declares_utf8) {
            (Charset::Utf8, _) => "utf-8",
            (Charset::Gb18030, false) => "gb18030",
            (Charset::Gb18030, true) => {
                judgement = Judgement::Odd;
                "gb18030 though it says utf-8"
            }
        };
        meaning.push(charset.to_owned());
        match decode(dialect, kind, &plain.text, &rules) {
            Ok(decoded) => {
                meaning.push(format!(": {} of {}", describe(&decoded.message), decoded.envelope));
                if let Message::Data(data) = &decoded.message
                    && data.untimed > 0
                {
                    judgement = Judgement::Odd;
                    meaning.push(format!("; {} readings without a readable time", data.untimed));
                }
            }
            Err(fault) => {
                judgement = Judgement::Wrong;
                meaning.push(format!(": {fault}"));
            }
        }
        (meaning.concat(), judgement)
    }

    fn check(&mut self, usual: CrcVariant, covered: &[u8], was_plain: bool) {
        let Some(&found) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<2>) else { return };
        let (meaning, judgement) = match CrcVariant::matching(usual, covered, found) {
            Some(variant) => (format!("{}: {}", variant.word(), variant.title()), Judgement::Right),
            // Nothing speaks against it: what is stored in plain bytes was checked when it came.
            None if was_plain => ("made over the cipher, which is not here".to_owned(), Judgement::Right),
            None => {
                let expected = CrcVariant::ALL.map(|variant| {
                    let [first, second] = variant.of(covered);
                    format!("{} {first:02x}{second:02x}", variant.word())
                });
                (format!("fits no variant; expected {}", expected.join(", ")), Judgement::Wrong)
            }
        };
        self.field(found.len(), "crc", meaning, judgement);
    }
}

/// What a message is, in a few words.
fn describe(message: &Message) -> String {
    match message {
        Message::Talk(talk) => describe_talk(talk),
        Message::Data(data) => {
            let place = match (data.head.current, data.head.total) {
                (Some(current), Some(total)) => format!(", packet {current} of {total}"),
                _ => String::new(),
            };
            let raw = if data.head.parser == Parser::No { ", raw values" } else { "" };
            format!("{}, {} readings{place}{raw}", data.head.kind.word(), data.report.len())
        }
        Message::Ack(Ack::Continuous { number: Some(number) }) => format!("continuous_ack {number}"),
        Message::Ack(Ack::Continuous { number: None }) => "continuous_ack".to_owned(),
        Message::Ack(Ack::Report) => "report_ack".to_owned(),
        Message::Ack(Ack::Energy { text, .. }) => format!("energy_data answer {}", text.as_str()),
        Message::Ack(Ack::Data { sequence, place }) => format!("data_ack {} ({place:?})", sequence.as_str()),
        Message::Ack(Ack::RecordArrive) => "record_arrive".to_owned(),
    }
}

fn describe_talk(talk: &Talk) -> String {
    let at = |time: &Option<Timestamp>| time.map_or_else(|| "unreadable".to_owned(), |time| time.to_string());
    match talk {
        Talk::LoginResult { outcome: Outcome::Pass, time: Some(time) } => format!("result pass, time {time}"),
        Talk::LoginResult { outcome: Outcome::Pass, time: None } => "result pass".to_owned(),
        Talk::LoginResult { outcome: Outcome::Fail, .. } => "result fail".to_owned(),
        Talk::Notify { note } if note.is_empty() => "notify".to_owned(),
        Talk::Notify { note } => format!("notify {note}"),
        Talk::Time { time } => format!("time {}", at(time)),
        Talk::Query { from: None, to: None } => "query".to_owned(),
        Talk::Query { from, to } => format!("query from {} to {}", at(from), at(to)),
        Talk::Period { minutes } => format!("period {minutes} min"),
        Talk::Device(element) | Talk::ArchivesAck(element) => {
            format!("{}({} parts)", talk.word(), element.children.len())
        }
        Talk::Control(lines) => format!("control({} lines)", lines.len()),
        Talk::ControlAck(results) => format!("control_ack({} lines)", results.len()),
        Talk::Standard { name, code } => format!("{name}_ack {code}"),
        Talk::Unknown { kind, .. } => format!("unknown type {kind:?}"),
        Talk::Request
        | Talk::Sequence { .. }
        | Talk::Md5 { .. }
        | Talk::HeartResult
        | Talk::PeriodAck
        | Talk::AutoHistory
        | Talk::AutoHistoryAck
        | Talk::DeviceAck
        | Talk::Archives
        | Talk::SetKey { .. } => talk.word().to_owned(),
    }
}

fn padding_meaning(padding: &[u8]) -> (String, Judgement) {
    let trimmed = padding.trim_ascii_start();
    let blanks = padding.len() - trimmed.len();
    let what = match trimmed {
        [] => return (format!("{blanks} blanks"), Judgement::Right),
        [0, ..] if trimmed.iter().all(|&byte| byte == 0) => "zero bytes".to_owned(),
        [b'0', ..] if trimmed.iter().all(|&byte| byte == b'0') => "digits 0".to_owned(),
        [count, ..] if usize::from(*count) == trimmed.len() && trimmed.iter().all(|byte| byte == count) => {
            "pkcs7".to_owned()
        }
        _ => return (format!("{} bytes of no known padding", padding.len()), Judgement::Odd),
    };
    let lead = if blanks > 0 { format!("{blanks} blanks, then ") } else { String::new() };
    (format!("{lead}{} {what}", trimmed.len()), Judgement::Right)
}

/// A text with an element a line; as it is where it cannot be read.
fn pretty(text: &str) -> String {
    let Ok(root) = root(text) else { return text.to_owned() };
    let mut out = BytesMut::new();
    Writer::new(&mut out, Style::INDENTED).element(&root);
    String::from_utf8_lossy(&out).into_owned()
}
