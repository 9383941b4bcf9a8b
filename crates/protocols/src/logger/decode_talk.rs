//! The meaning of messages without readings, from the tree of their body.

use std::borrow::Cow;

use loggerhead_model::{ControlLine, KeyKind};

use super::message::{Ack, ControlResult, Outcome, Place, TALK_WORD_BYTES_MAX, Talk, Word};
use super::time::Zone;
use super::xml::{Element, same_name};
use crate::{Fault, FaultKind};

/// How long a device waits for a meter when an order does not say, in milliseconds.
pub(super) const CONTROL_TIMEOUT_MS: u32 = 200;
/// The words of types and operations that are known.
const KNOWN_WORDS: [&str; 29] = [
    "report",
    "continuous",
    "notify",
    "request",
    "sequence",
    "md5",
    "result",
    "time",
    "heart_result",
    "reply",
    "query",
    "report_ack",
    "continuous_ack",
    "data_ack",
    "record_arrive",
    "period",
    "period_ack",
    "auto_history",
    "auto_history_ack",
    "device",
    "device_ack",
    "archives",
    "archives_ack",
    "control",
    "control_ack",
    "setkey",
    "setkey_ack",
    "energy_data",
    "heart_beat",
];

/// The standard answer of the 2009 text: `<stand operation="NAME_ack"><return>1</return></stand>`.
pub(super) fn standard(word: Option<&Cow<'_, str>>, operation: &str, body: Option<&Element>) -> Option<Talk> {
    let body = body.filter(|body| same_name(&body.name, "stand"))?;
    let code = body.child("return")?.text.parse().ok()?;
    let name = operation.strip_suffix("_ack").or_else(|| word?.strip_suffix("_ack"))?;
    Some(Talk::Standard { name: name.to_owned(), code })
}

pub(super) fn acknowledgement(word: &str, body: &Element) -> Result<Option<Ack>, Fault> {
    let sequence = body.child_text("sequence");
    Ok(Some(match word {
        "report_ack" => Ack::Report,
        "record_arrive" => Ack::RecordArrive,
        "data_ack" => Ack::Data { sequence: Word::new(sequence)?, place: Place::Within },
        "continuous_ack" if !sequence.is_empty() => Ack::Data { sequence: Word::new(sequence)?, place: Place::Last },
        "continuous_ack" => Ack::Continuous { number: body.child_text("continuous_ack").parse().ok() },
        _ => return Ok(None),
    }))
}

/// `None` for the words of data.
pub(super) fn talk(word: &'static str, body: Element, zone: Zone) -> Result<Option<Talk>, Fault> {
    Ok(Some(match word {
        "request" => Talk::Request,
        "sequence" => Talk::Sequence { sequence: short(body.child_text("sequence"))? },
        "md5" => Talk::Md5 { md5: short(body.child_text("md5"))? },
        "result" => Talk::LoginResult {
            outcome: if body.child_text("result").eq_ignore_ascii_case("pass") { Outcome::Pass } else { Outcome::Fail },
            time: zone.read(body.child_text("time")),
        },
        "notify" => Talk::Notify { note: short(body.child_text("notify"))? },
        "time" => Talk::Time { time: zone.read(body.child_text("time")) },
        "heart_result" => Talk::HeartResult,
        "query" => Talk::Query { from: None, to: None },
        "period" => {
            let minutes = body.child_text("period");
            let minutes =
                minutes.parse().map_err(|_| Fault::new(FaultKind::Malformed, format!("period {minutes:.20}")))?;
            Talk::Period { minutes }
        }
        "period_ack" => Talk::PeriodAck,
        "auto_history" => Talk::AutoHistory,
        "auto_history_ack" => Talk::AutoHistoryAck,
        "device" => Talk::Device(body),
        "device_ack" => Talk::DeviceAck,
        "archives" => Talk::Archives,
        "archives_ack" => Talk::ArchivesAck(body),
        "control" => Talk::Control(controls(&body).map(control_line).collect()),
        "control_ack" => Talk::ControlAck(controls(&body).map(control_result).collect()),
        "setkey" => Talk::SetKey { kind: key_kind(body.child_text("type"))?, key: short(body.child_text("key"))? },
        "setkey_ack" => Talk::Unknown { kind: word.to_owned(), body: Some(body) },
        _ => return Ok(None),
    }))
}

fn short(text: &str) -> Result<String, Fault> {
    if text.len() > TALK_WORD_BYTES_MAX {
        let reason = format!("word of {} bytes over {TALK_WORD_BYTES_MAX}", text.len());
        return Err(Fault::new(FaultKind::TooLarge, reason));
    }
    Ok(text.to_owned())
}

/// The lines of a control order or of its answer, however deep they stand.
fn controls(body: &Element) -> impl Iterator<Item = &Element> {
    let inner = body.child("control_info").unwrap_or(body);
    inner.children.iter().filter(|child| same_name(&child.name, "control"))
}

fn control_line(line: &Element) -> ControlLine {
    let text = |name| line.attribute(name).unwrap_or_default();
    ControlLine {
        meter: text("meterId").to_owned(),
        hex: text("cmd").to_owned(),
        timeout_ms: text("timeout").parse().unwrap_or(CONTROL_TIMEOUT_MS),
        retries: text("retry").parse().unwrap_or(0),
    }
}

fn control_result(line: &Element) -> ControlResult {
    // Attributes in one device's firmware, elements in another's.
    let text = |name: &str| line.attribute(name).unwrap_or_else(|| line.child_text(name)).to_owned();
    ControlResult { index: text("idx"), meter: text("meterId"), error: text("err"), answer: text("data") }
}

fn key_kind(text: &str) -> Result<KeyKind, Fault> {
    match text {
        "0" => Ok(KeyKind::Login),
        "1" => Ok(KeyKind::Cipher),
        "2" => Ok(KeyKind::CipherIv),
        _ => Err(Fault::new(FaultKind::Malformed, format!("key of kind {text:.20}"))),
    }
}

/// The body of a message: its first element, with those that should stand in it but stand behind it. Where a dialect puts
/// what it says directly into the root, an element without a name holds it.
pub(super) fn body(bodies: Vec<Element>) -> Option<Element> {
    let mut bodies = bodies.into_iter();
    let mut first = bodies.next()?;
    if matches!(first.name.as_str(), "sequence" | "result" | "md5" | "time") && first.attributes.is_empty() {
        return Some(Element { children: std::iter::once(first).chain(bodies).collect(), ..Element::default() });
    }
    first.children.extend(bodies);
    Some(first)
}

/// Words that stand for several messages.
pub(super) fn is_group(word: &str) -> bool {
    matches!(word, "energy_data" | "heart_beat")
}

pub(super) fn known(word: &str) -> Option<&'static str> {
    let word = word.trim();
    KNOWN_WORDS.into_iter().find(|known| same_name(word, known))
}
