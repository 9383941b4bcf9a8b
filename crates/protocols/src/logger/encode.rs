//! From the meaning of a message to the frame that says it: one frame, in one piece, of ASCII wherever the names are.
//!
//! `common` stands first in the root, with building, gateway and type in this order: several devices read by position.
//! Answers of every dialect with a limit of 1,024 bytes stay below it, because every text in them is bounded. Source:
//! \[1\] annex 4, \[2\], \[3\].

use bytes::{BufMut, BytesMut};
use loggerhead_model::{ControlLine, KeyKind, Receipt, Report, Timestamp, Value};

use super::cipher::{Key, Padding};
use super::crc::CrcVariant;
use super::dialect::{CipherUse, Dialect, Kinds, Length, Meters, Query};
use super::message::{Ack, ControlResult, DataHead, Envelope, IdStyle, Outcome, Parser, Place, Talk};
use super::meter_line;
use super::time::Zone;
use super::xml_write::{Style, Writer};
use crate::{Fault, FaultKind};

/// How to send, beside what is said.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// In which dialect.
    pub dialect: &'static Dialect,
    /// Under which name: the device's own, in both directions.
    pub envelope: &'a Envelope<'a>,
    /// The frame's sequence: that of the frame that is answered.
    pub sequence: [u8; 4],
    /// The key, where the dialect enciphers.
    pub key: Option<&'a Key>,
    /// The check, where the dialect has one.
    pub crc: CrcVariant,
    /// What fills the last block.
    pub padding: Padding,
    /// The zone of times.
    pub zone: Zone,
    /// How XML is laid out.
    pub style: Style,
}

impl<'a> Sending<'a> {
    /// As the dialect has it.
    #[must_use]
    pub fn new(dialect: &'static Dialect, envelope: &'a Envelope<'a>, key: Option<&'a Key>) -> Self {
        Self {
            dialect,
            envelope,
            sequence: dialect.sequence.unwrap_or_default(),
            key,
            crc: dialect.crc.unwrap_or(CrcVariant::A2),
            padding: dialect.padding,
            zone: Zone::default(),
            style: dialect.style,
        }
    }

    fn writer<'o>(&self, out: &'o mut BytesMut, word: &str, and: Option<&str>) -> Writer<'o> {
        let mut writer = Writer::new(out, self.style);
        writer.open("root", &[]);
        writer.open("common", &[]);
        match self.envelope.style {
            IdStyle::Building => writer.leaf("building_id", &self.envelope.building),
            IdStyle::Project => writer.leaf("project_id", &self.envelope.building),
            IdStyle::Single => writer.leaf("id", &self.envelope.building),
        }
        if self.envelope.style != IdStyle::Single {
            writer.leaf("gateway_id", &self.envelope.gateway);
        }
        writer.leaf("type", self.dialect.type_of(word));
        if let Some(and) = and {
            writer.leaf("type", and);
        }
        writer.close("common");
        writer
    }
}

/// Appends the frame of anything but data and its acknowledgements.
///
/// # Errors
/// `TooLarge` when the dialect's length cannot say how long it is, `Undecipherable` without a key where one is needed,
/// `Malformed` where it speaks of several meters and the dialect speaks of one.
pub fn encode(sending: &Sending<'_>, talk: &Talk, out: &mut BytesMut) -> Result<(), Fault> {
    if let Some((kind, line)) = meter_line::write(sending.dialect, talk)? {
        return assemble(sending, kind, Secrecy::Answer, out, |out| out.put_slice(line.as_bytes()));
    }
    let word = if let Talk::Standard { name, .. } = talk { &format!("{name}_ack") } else { talk.word() };
    // Where the type is a word for several messages, the second type has no place.
    let tells_time = matches!(talk, Talk::LoginResult { time: Some(_), .. });
    let and = (tells_time && sending.dialect.type_of(word) == word).then_some("time");
    assemble(sending, sending.dialect.kind_of(word), Secrecy::Answer, out, |out| {
        let mut writer = sending.writer(out, word, and);
        write_talk(&mut writer, sending, talk, word);
        writer.close("root");
    })
}

#[expect(clippy::too_many_lines, reason = "one arm for each message")]
fn write_talk(writer: &mut Writer<'_>, sending: &Sending<'_>, talk: &Talk, word: &str) {
    let words = &sending.dialect.words;
    let operation = [("operation", word)];
    match talk {
        Talk::Request => writer.empty("id_validate", &operation),
        Talk::Sequence { sequence } => wrapped(writer, "id_validate", word, &[("sequence", sequence)]),
        Talk::Md5 { md5 } => wrapped(writer, "id_validate", word, &[("md5", md5)]),
        Talk::LoginResult { outcome, time } => {
            writer.open("id_validate", &operation);
            writer.leaf(
                "result",
                match outcome {
                    Outcome::Pass => "pass",
                    Outcome::Fail => "fail",
                },
            );
            if let Some(time) = time {
                leaf_time(writer, "time", sending.zone, *time);
            }
            writer.close("id_validate");
        }
        Talk::Notify { note } if note.is_empty() => writer.empty("heart_beat", &operation),
        Talk::Notify { note } => wrapped(writer, "heart_beat", word, &[("notify", note)]),
        Talk::Time { time } => {
            writer.open("heart_beat", &operation);
            if let Some(time) = time {
                leaf_time(writer, "time", sending.zone, *time);
            }
            writer.close("heart_beat");
        }
        Talk::HeartResult => wrapped(writer, "id_validate", word, &[("heart_result", "0000")]),
        Talk::Query { from: None, to: None } => match words.query {
            Query::Data => writer.empty("data", &operation),
            Query::Net => wrapped(writer, "net_query", word, &[("query", "query")]),
        },
        Talk::Query { from, to } => {
            writer.open("data", &operation);
            for (name, time) in [("beginTime", from), ("endTime", to)] {
                if let Some(time) = time {
                    leaf_time(writer, name, sending.zone, *time);
                }
            }
            writer.close("data");
        }
        Talk::Period { minutes } => wrapped(writer, "config", word, &[("period", &minutes.to_string())]),
        Talk::PeriodAck => writer.empty("config", &operation),
        Talk::AutoHistory => writer.empty(words.history, &operation),
        Talk::AutoHistoryAck => wrapped(writer, words.history, word, &[("type", "1")]),
        Talk::Device(element) | Talk::ArchivesAck(element) => writer.element(element),
        Talk::DeviceAck => wrapped(writer, "device", word, &[("device_ack", "pass")]),
        Talk::Archives => writer.empty("instruction", &operation),
        Talk::Control(lines) => in_control(writer, word, |writer| {
            lines.iter().enumerate().for_each(|(index, line)| write_control_line(writer, index, line));
        }),
        Talk::ControlAck(results) => {
            in_control(writer, word, |writer| results.iter().for_each(|result| write_control_result(writer, result)));
        }
        Talk::SetKey { kind, key } => {
            let kind = match kind {
                KeyKind::Login => "0",
                KeyKind::Cipher => "1",
                KeyKind::CipherIv => "2",
            };
            wrapped(writer, "stand", word, &[("type", kind), ("key", key)]);
        }
        Talk::Standard { code, .. } => wrapped(writer, "stand", word, &[("return", &code.to_string())]),
        Talk::Unknown { body, .. } => {
            if let Some(body) = body {
                writer.element(body);
            }
        }
    }
}

fn write_control_line(writer: &mut Writer<'_>, index: usize, line: &ControlLine) {
    writer.empty(
        "control",
        &[
            ("idx", &(index + 1).to_string()),
            ("meterId", &line.meter),
            ("delay", "0"),
            ("timeout", &line.timeout_ms.to_string()),
            ("retry", &line.retries.to_string()),
            ("size", &(line.hex.len() / 2).to_string()),
            ("cmd", &line.hex),
        ],
    );
}

fn write_control_result(writer: &mut Writer<'_>, result: &ControlResult) {
    writer.empty(
        "control",
        &[("idx", &result.index), ("meterId", &result.meter), ("err", &result.error), ("data", &result.answer)],
    );
}

fn in_control(writer: &mut Writer<'_>, word: &str, lines: impl FnOnce(&mut Writer<'_>)) {
    writer.open("instruction", &[("operation", word)]);
    writer.open("control_info", &[]);
    lines(writer);
    writer.close("control_info");
    writer.close("instruction");
}

/// Appends the frame of an acknowledgement. It takes the receipt of what it acknowledges: without a commit there is none.
///
/// # Errors
/// As `encode`.
pub fn encode_ack(receipt: Receipt, sending: &Sending<'_>, ack: &Ack, out: &mut BytesMut) -> Result<(), Fault> {
    drop(receipt);
    let word = match ack {
        Ack::Report => "report_ack",
        Ack::Continuous { .. } | Ack::Data { place: Place::Last, .. } => "continuous_ack",
        Ack::Energy { .. } => "report",
        Ack::Data { place: Place::Within, .. } => "data_ack",
        Ack::RecordArrive => "record_arrive",
    };
    assemble(sending, sending.dialect.kind_of(word), Secrecy::Answer, out, |out| {
        let mut writer = sending.writer(out, word, None);
        match ack {
            Ack::Report => wrapped(&mut writer, "report_config", word, &[("report_ack", "pass")]),
            Ack::Continuous { number: None } => writer.empty("data", &[("operation", word)]),
            Ack::Continuous { number: Some(number) } => {
                wrapped(&mut writer, "data", word, &[("continuous_ack", &number.to_string())]);
            }
            Ack::Energy { time, text } => {
                wrapped(&mut writer, "data", word, &[("time", time.as_str()), ("ack", text.as_str())]);
            }
            Ack::Data { sequence, .. } => {
                writer.leaf("sequence", sequence.as_str());
                writer.leaf("result", "1");
            }
            Ack::RecordArrive => writer.empty("supcon", &[("operation", word)]),
        }
        writer.close("root");
    })
}

/// Appends the frame of readings.
///
/// # Errors
/// As `encode`.
pub fn encode_data(sending: &Sending<'_>, head: &DataHead, report: &Report, out: &mut BytesMut) -> Result<(), Fault> {
    let word = head.kind.word();
    assemble(sending, sending.dialect.kind_of(word), Secrecy::Data, out, |out| {
        let mut writer = sending.writer(out, word, None);
        writer.open("data", &[("operation", word)]);
        write_head(&mut writer, sending, head);
        write_meters(&mut writer, sending, head.time, report);
        writer.close("data");
        writer.close("root");
    })
}

fn write_head(writer: &mut Writer<'_>, sending: &Sending<'_>, head: &DataHead) {
    if !head.sequence.as_str().is_empty() {
        writer.leaf("sequence", head.sequence.as_str());
    }
    let name = if sending.dialect.words.parser.is_empty() { "parser" } else { sending.dialect.words.parser };
    match head.parser {
        Parser::Absent => {}
        Parser::Yes => writer.leaf(name, "yes"),
        Parser::No => writer.leaf(name, "no"),
    }
    if let Some(time) = head.time {
        leaf_time(writer, "time", sending.zone, time);
    } else if !head.time_text.as_str().is_empty() {
        writer.leaf("time", head.time_text.as_str());
    }
    for (name, number) in [("total", head.total), ("current", head.current)] {
        if let Some(number) = number {
            writer.leaf(name, &number.to_string());
        }
    }
}

fn write_meters(writer: &mut Writer<'_>, sending: &Sending<'_>, time: Option<Timestamp>, report: &Report) {
    let is_wrapped = sending.dialect.words.meters == Meters::Wrapped;
    let mut is_open = false;
    for (meter, readings) in report.by_meter() {
        // What a device reports about itself stands in a place of its own there.
        let is_own = is_wrapped && meter.id.is_empty() && meter.attributes.is_empty();
        if is_own {
            writer.open("energy_items", &[]);
        } else {
            if is_wrapped && !is_open {
                writer.open("meters", &[]);
                is_open = true;
            }
            writer.begin("meter");
            writer.attribute("id", meter.id);
            write_lines(writer, meter.attributes);
            writer.end_of_tag();
        }
        for reading in readings {
            let name = if is_own { "energy_item" } else { "function" };
            writer.begin(name);
            if is_own {
                writer.attribute("code", reading.function);
            } else {
                writer.attribute("id", reading.function);
                if !reading.coding.is_empty() {
                    writer.attribute("coding", reading.coding);
                }
                if !reading.code.is_empty() {
                    writer.attribute("error", reading.code);
                }
                if time != Some(reading.measured_at) {
                    writer.attribute("sample_time", digits(&sending.zone.write(reading.measured_at)));
                }
            }
            write_lines(writer, reading.attributes);
            writer.characters_of_tag();
            match reading.value {
                Value::Decimal(decimal) => writer.decimal(decimal),
                Value::Text(text) => writer.escaped(text),
            }
            writer.close_leaf(name);
        }
        writer.close(if is_own { "energy_items" } else { "meter" });
    }
    if is_open {
        writer.close("meters");
    }
}

fn write_lines(writer: &mut Writer<'_>, lines: &str) {
    for line in lines.lines() {
        let (name, value) = line.split_once('\t').unwrap_or((line, ""));
        writer.attribute(name, value);
    }
}

fn wrapped(writer: &mut Writer<'_>, element: &str, word: &str, leaves: &[(&str, &str)]) {
    writer.open(element, &[("operation", word)]);
    for (name, text) in leaves {
        writer.leaf(name, text);
    }
    writer.close(element);
}

fn leaf_time(writer: &mut Writer<'_>, name: &str, zone: Zone, time: Timestamp) {
    writer.leaf(name, digits(&zone.write(time)));
}

fn digits(digits: &[u8; 14]) -> &str {
    std::str::from_utf8(digits).expect("digits are ASCII")
}

/// Whether a body is enciphered where only those of data are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// Readings.
    Data,
    /// Everything else.
    Answer,
}

/// Appends a frame around the text that `write` appends.
pub(super) fn assemble(
    sending: &Sending<'_>,
    kind: u8,
    secrecy: Secrecy,
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut),
) -> Result<(), Fault> {
    let dialect = sending.dialect;
    let start = out.len();
    if dialect.length != Length::RootEnd {
        out.put_slice(dialect.heads.first().copied().unwrap_or_default());
    }
    if let Kinds::Byte { .. } = dialect.kinds {
        out.put_u8(kind);
    }
    let length_at = out.len();
    if dialect.length != Length::RootEnd {
        out.put_slice(&[0; 4]);
    }
    if dialect.sequence.is_some() {
        out.put_slice(&sending.sequence);
    }
    let body_at = out.len();
    write(out);
    let is_enciphered = match dialect.cipher {
        CipherUse::Never => false,
        CipherUse::Always => true,
        CipherUse::Kinds(kinds) => secrecy == Secrecy::Data && kinds.contains(&kind),
    };
    let finished = finish(sending, out, start, length_at, body_at, is_enciphered);
    if finished.is_err() {
        out.truncate(start);
    }
    finished
}

fn finish(
    sending: &Sending<'_>,
    out: &mut BytesMut,
    start: usize,
    length_at: usize,
    body_at: usize,
    is_enciphered: bool,
) -> Result<(), Fault> {
    let dialect = sending.dialect;
    if is_enciphered {
        let key = sending.key.ok_or_else(|| Fault::new(FaultKind::Undecipherable, "no key to encipher with"))?;
        sending.padding.fill(out, body_at);
        key.encipher(out.get_mut(body_at..).unwrap_or_default())?;
    }
    let body_bytes = out.len() - body_at;
    let too_large = || Fault::new(FaultKind::TooLarge, format!("body of {body_bytes} bytes over what a frame can say"));
    let length = match dialect.length {
        Length::Little => {
            let sequence_bytes = dialect.sequence.map_or(0, |sequence| sequence.len());
            u32::try_from(body_bytes + sequence_bytes).map_err(|_| too_large())?.to_le_bytes()
        }
        Length::Big => u32::try_from(body_bytes).map_err(|_| too_large())?.to_be_bytes(),
        Length::Hex => {
            let mut digits = [0; 4];
            let length = u16::try_from(body_bytes).map_err(|_| too_large())?;
            for (place, nibble) in digits.iter_mut().zip([length >> 12, length >> 8, length >> 4, length]) {
                *place = char::from_digit(u32::from(nibble & 0xf), 16).map_or(b'0', |digit| digit as u8);
            }
            digits
        }
        Length::RootEnd => return Ok(()),
    };
    if let Some(place) = out.get_mut(length_at..length_at + length.len()) {
        place.copy_from_slice(&length);
    }
    if dialect.crc.is_some() {
        let crc = sending.crc.of(out.get(start..).unwrap_or_default());
        out.put_slice(&crc);
    }
    out.put_slice(dialect.tail);
    Ok(())
}
