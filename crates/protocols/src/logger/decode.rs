//! From the text of a message to its meaning, in one pass, forgiving what devices get wrong.
//!
//! Readings go straight from the text into a report; everything else is small and becomes a tree first. Where the type and
//! the body of a message disagree, the body wins if there is something in it. Source: \[1\] annex 4, \[2\], \[3\].

use std::borrow::Cow;

use loggerhead_model::{Origin, Quality, Reading, ReportBuilder, ReportFull, Timestamp, Value};

use super::decode_talk::{acknowledgement, body, is_group, known, standard, talk};
use super::dialect::Dialect;
use super::message::{
    Ack, Data, DataHead, DataKind, Decoded, Envelope, IdStyle, Message, NAME_CHARS_MAX, Parser, Talk, Word,
};
use super::time::Zone;
use super::xml::{Element, Scanner, Tag, Token, same_name};
use crate::references::unescape;
use crate::{Fault, FaultKind};

/// The quality code that means valid in the 2009 text's table.
const VALID: &str = "192";
/// Least bytes of text that a reading takes, for reserving memory.
const READING_TEXT_BYTES: usize = 64;
/// Bytes of words that a report keeps for a reading: function and value where it is no number.
const READING_WORDS_BYTES: usize = 8;
/// Most `<type>` elements that are looked at; the 2008 template lists two.
const TYPES_MAX: usize = 4;

/// What the meaning of a message depends on beside its text.
#[derive(Clone, Copy, Debug)]
pub struct DecodeRules<'a> {
    /// The zone of its times.
    pub zone: Zone,
    /// Which quality codes are good.
    pub quality: QualityRule<'a>,
    /// Our clock, for readings for which no readable time came.
    pub received_at: Timestamp,
}

/// Which quality codes are good.
#[derive(Clone, Copy, Debug, Default)]
pub struct QualityRule<'a> {
    /// The codes; when there are none: 192, the empty one, and 0 from a device that never sent 192.
    pub good: &'a [Box<str>],
    /// This device has sent 192 before.
    pub saw_192: bool,
}

impl QualityRule<'_> {
    /// What a code means. The 2009 text contradicts itself about 0: no error in a remark, invalid in its table.
    #[must_use]
    #[inline]
    pub fn judge(&self, code: &str) -> Quality {
        let good = if self.good.is_empty() {
            code == VALID || code.is_empty() || (code == "0" && !self.saw_192)
        } else {
            self.good.iter().any(|good| **good == *code)
        };
        if good { Quality::Good } else { Quality::Bad }
    }
}

/// Gives a text its meaning. `kind` is the type of its frame.
///
/// # Errors
/// `Malformed` when it is not XML, holds a document type or names no sender; `TooLarge` over a limit of depth, names,
/// elements or readings.
pub fn decode<'a>(dialect: &Dialect, kind: u8, text: &'a str, rules: &DecodeRules<'_>) -> Result<Decoded<'a>, Fault> {
    let (decoded, zeros) = Decoder::new(text, *rules).run(dialect, kind)?;
    let Message::Data(data) = &decoded.message else { return Ok(decoded) };
    if zeros && data.saw_192 && !rules.quality.saw_192 {
        // The packet itself shows that this device's 0 means invalid, but some were judged before that was known.
        let quality = QualityRule { saw_192: true, ..rules.quality };
        return Ok(Decoder::new(text, DecodeRules { quality, ..*rules }).run(dialect, kind)?.0);
    }
    Ok(decoded)
}

/// The `<data>` element, as far as it was read.
#[derive(Default)]
struct DataBody {
    builder: Option<ReportBuilder>,
    sequence: Word,
    parser: Parser,
    time: Option<Timestamp>,
    time_text: Word,
    total: Option<u64>,
    current: Option<u64>,
    ack: Option<Word>,
    ack_number: Option<u64>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    saw_192: bool,
    saw_zero: bool,
    untimed: usize,
    /// Something stood in it.
    content: bool,
    /// Whose readings come.
    last: Option<LastMeter>,
}

/// Whose readings come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastMeter {
    /// Those of a meter.
    Named,
    /// Those of the device itself.
    Device,
}

struct Decoder<'a, 'r> {
    scanner: Scanner<'a>,
    rules: DecodeRules<'r>,
    envelope: Envelope<'a>,
    types: Vec<Cow<'a, str>>,
    operation: &'a str,
    data: Option<DataBody>,
    bodies: Vec<Element>,
    /// Attributes without a field of their own, while they are collected.
    lines: String,
}

impl<'a, 'r> Decoder<'a, 'r> {
    fn new(text: &'a str, rules: DecodeRules<'r>) -> Self {
        Self {
            scanner: Scanner::new(text),
            rules,
            envelope: Envelope::default(),
            types: Vec::new(),
            operation: "",
            data: None,
            bodies: Vec::new(),
            lines: String::new(),
        }
    }

    /// Also says whether a reading was judged good for its 0.
    fn run(mut self, dialect: &Dialect, kind: u8) -> Result<(Decoded<'a>, bool), Fault> {
        loop {
            match self.scanner.next()? {
                Token::Open(_) if self.scanner.depth() == 1 => {}
                Token::Open(tag) => self.child_of_root(&tag)?,
                Token::Close | Token::Text(_) | Token::Verbatim(_) => {}
                Token::End => break,
            }
        }
        self.check_names()?;
        let zeros = self.data.as_ref().is_some_and(|data| data.saw_zero);
        let message = self.message(dialect, kind)?;
        Ok((Decoded { envelope: self.envelope, message }, zeros))
    }

    fn check_names(&self) -> Result<(), Fault> {
        let Envelope { style, building, gateway } = &self.envelope;
        if building.is_empty() || (gateway.is_empty() && *style != IdStyle::Single) {
            return Err(Fault::new(FaultKind::Malformed, "no building or no gateway"));
        }
        let longest = building.chars().count().max(gateway.chars().count());
        if longest > NAME_CHARS_MAX {
            let reason = format!("name of {longest} characters over {NAME_CHARS_MAX}");
            return Err(Fault::new(FaultKind::TooLarge, reason));
        }
        Ok(())
    }

    fn child_of_root(&mut self, tag: &Tag<'a>) -> Result<(), Fault> {
        if same_name(tag.name, "common") {
            return self.each_child(Self::child_of_common);
        }
        if same_name(tag.name, "data") {
            self.operation = tag.attribute("operation").unwrap_or_default().trim();
            self.data.get_or_insert_default();
            return self.each_child(Self::child_of_data);
        }
        // An empty `<data/>` may stand before what belongs into it.
        if self.data.is_some() {
            return self.child_of_data(tag);
        }
        if self.name_in_common(tag)? {
            return Ok(());
        }
        if self.bodies.is_empty() {
            self.operation = tag.attribute("operation").unwrap_or_default().trim();
        }
        let body = self.scanner.element(tag)?;
        self.bodies.push(body);
        Ok(())
    }

    /// Hands every child of the element that was just opened to `child`, which reads it to its end.
    #[inline]
    fn each_child(&mut self, child: fn(&mut Self, &Tag<'a>) -> Result<(), Fault>) -> Result<(), Fault> {
        loop {
            match self.scanner.next()? {
                Token::Open(tag) => child(self, &tag)?,
                Token::Text(_) | Token::Verbatim(_) => {}
                Token::Close | Token::End => return Ok(()),
            }
        }
    }

    fn child_of_common(&mut self, tag: &Tag<'a>) -> Result<(), Fault> {
        if self.name_in_common(tag)? { Ok(()) } else { self.scanner.pass() }
    }

    /// Takes a name or a type; says whether it was one.
    fn name_in_common(&mut self, tag: &Tag<'a>) -> Result<bool, Fault> {
        let style = if same_name(tag.name, "building_id") {
            Some(IdStyle::Building)
        } else if same_name(tag.name, "project_id") {
            Some(IdStyle::Project)
        } else if same_name(tag.name, "id") {
            Some(IdStyle::Single)
        } else {
            None
        };
        if let Some(style) = style {
            self.envelope.style = style;
            self.envelope.building = trimmed(self.scanner.text()?);
        } else if same_name(tag.name, "gateway_id") {
            self.envelope.gateway = trimmed(self.scanner.text()?);
        } else if same_name(tag.name, "type") {
            let word = trimmed(self.scanner.text()?);
            if self.types.len() < TYPES_MAX {
                self.types.push(word);
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    #[inline]
    fn child_of_data(&mut self, tag: &Tag<'a>) -> Result<(), Fault> {
        match tag.name {
            "meter" => self.meter(tag),
            "function" => self.function(tag),
            other => self.field_of_data(&other.to_ascii_lowercase(), tag),
        }
    }

    fn field_of_data(&mut self, name: &str, tag: &Tag<'a>) -> Result<(), Fault> {
        match name {
            "meter" => return self.meter(tag),
            "function" => return self.function(tag),
            "meters" | "energy_items" => return self.each_child(Self::child_of_data),
            "energy_item" => return self.energy_item(tag),
            _ => {}
        }
        let text = trimmed(self.scanner.text()?);
        let zone = self.rules.zone;
        let data = self.data.get_or_insert_default();
        data.content |= !text.is_empty();
        match name {
            "sequence" => data.sequence = Word::new(&text)?,
            "parser" | "parse" => data.parser = parser(&text),
            "time" => {
                data.time = zone.read(&text);
                data.time_text = Word::new(&text).unwrap_or_default();
            }
            "total" => data.total = text.parse().ok(),
            "current" => data.current = text.parse().ok(),
            "ack" => data.ack = Some(Word::new(&text).unwrap_or_default()),
            "continuous_ack" => data.ack_number = text.parse().ok(),
            "begintime" | "star" | "start" => data.from = zone.read(&text),
            "endtime" | "end" => data.to = zone.read(&text),
            _ => {}
        }
        Ok(())
    }

    /// Looks up what readings need of the rest of the message, before the first of them.
    fn prepare(&mut self) -> Result<(), Fault> {
        let data = self.data.get_or_insert_default();
        if data.builder.is_some() {
            return Ok(());
        }
        let rest = self.scanner.rest();
        let no_time = data.time.is_none() && data.time_text.as_str().is_empty();
        if no_time || (data.parser == Parser::Absent && rest.contains("<pars")) {
            look_ahead(self.scanner.clone(), self.rules.zone, data)?;
        }
        let readings = rest.len() / READING_TEXT_BYTES + 1;
        data.builder = Some(ReportBuilder::new(Origin::Live, readings * READING_WORDS_BYTES, readings));
        data.content = true;
        Ok(())
    }

    fn meter(&mut self, tag: &Tag<'a>) -> Result<(), Fault> {
        let mut id = Cow::Borrowed("");
        self.lines.clear();
        for (name, value) in tag.attributes() {
            if name == "id" {
                id = unescape(value);
            } else {
                push_line(&mut self.lines, name, value);
            }
        }
        self.begin_meter(id.trim(), LastMeter::Named)?;
        self.each_child(Self::child_of_meter)
    }

    /// Begins a meter with the attributes that were collected.
    fn begin_meter(&mut self, id: &str, whose: LastMeter) -> Result<(), Fault> {
        self.prepare()?;
        let data = self.data.get_or_insert_default();
        data.last = Some(whose);
        data.builder.as_mut().map_or(Ok(()), |builder| builder.meter(id, &self.lines)).map_err(|full| too_many(&full))
    }

    #[inline]
    fn child_of_meter(&mut self, tag: &Tag<'a>) -> Result<(), Fault> {
        if same_name(tag.name, "function") { self.function(tag) } else { self.scanner.pass() }
    }

    #[inline]
    fn function(&mut self, tag: &Tag<'a>) -> Result<(), Fault> {
        if self.data.as_ref().is_none_or(|data| data.last.is_none()) {
            // Never seen without a meter, but a reading must not be lost for it.
            self.lines.clear();
            self.begin_meter("", LastMeter::Named)?;
        }
        let (mut id, mut coding, mut code) = (Cow::Borrowed(""), Cow::Borrowed(""), Cow::Borrowed(""));
        let mut time = None;
        self.lines.clear();
        for (name, value) in tag.attributes() {
            match name {
                "id" => id = unescape(value),
                "coding" => coding = unescape(value),
                "error" => code = unescape(value),
                "sample_time" => {
                    time = self.rules.zone.read(value);
                    if time.is_none() && !value.is_empty() {
                        push_line(&mut self.lines, name, value);
                    }
                }
                _ => push_line(&mut self.lines, name, value),
            }
        }
        let text = self.scanner.text()?;
        self.reading([stripped(&id), stripped(&coding), stripped(&code)], &text, time)
    }

    /// `<energy_item code="01000">1</energy_item>`: a reading of the device itself.
    fn energy_item(&mut self, tag: &Tag<'a>) -> Result<(), Fault> {
        if self.data.as_ref().is_none_or(|data| data.last != Some(LastMeter::Device)) {
            self.lines.clear();
            self.begin_meter("", LastMeter::Device)?;
        }
        let code = unescape(tag.attribute("code").unwrap_or_default());
        self.lines.clear();
        for (name, value) in tag.attributes().filter(|(name, _)| *name != "code") {
            push_line(&mut self.lines, name, value);
        }
        let text = self.scanner.text()?;
        self.reading([code.trim(), code.trim(), ""], &text, None)
    }

    /// Adds a reading with the attributes that were collected.
    #[inline]
    fn reading(
        &mut self,
        [function, coding, code]: [&str; 3],
        text: &str,
        time: Option<Timestamp>,
    ) -> Result<(), Fault> {
        let data = self.data.get_or_insert_default();
        data.saw_192 |= code == VALID;
        data.saw_zero |= code == "0";
        let time = time.or(data.time);
        data.untimed += usize::from(time.is_none());
        let reading = Reading {
            meter: "",
            function,
            coding,
            code,
            quality: self.rules.quality.judge(code),
            measured_at: time.unwrap_or(self.rules.received_at),
            value: if data.parser == Parser::No { Value::Text(text) } else { Value::parse(text) },
            attributes: &self.lines,
        };
        data.builder.as_mut().map_or(Ok(()), |builder| builder.reading(&reading)).map_err(|full| too_many(&full))
    }
}

/// What a message is made of, once all of it was read.
impl Decoder<'_, '_> {
    fn message(&mut self, dialect: &Dialect, kind: u8) -> Result<Message, Fault> {
        let by_type = self.types.iter().find_map(|word| known(word)).filter(|word| !is_group(word));
        // A list of all operations of a template says nothing.
        let by_body = known(self.operation).filter(|word| !is_group(word));
        let body = body(std::mem::take(&mut self.bodies));
        let has_content = match &self.data {
            Some(data) => data.content,
            None => body.as_ref().is_some_and(|body| !body.children.is_empty() || !body.text.is_empty()),
        };
        let word = if has_content { by_body.or(by_type) } else { by_type.or(by_body) };
        if let Some(data) = self.data.take() {
            return Ok(data_message(data, word));
        }
        if let Some(answer) = standard(self.types.first(), self.operation, body.as_ref()) {
            return Ok(Message::Talk(answer));
        }
        // Where the type names a group of messages or nothing, that of the frame is all there is.
        let says_nothing = self.types.iter().all(|word| known(word).is_some_and(is_group));
        let word = word.or_else(|| says_nothing.then(|| dialect.word_of(kind)).flatten());
        let Some(word) = word else {
            let kind = self.types.first().map(|word| word.chars().take(NAME_CHARS_MAX).collect());
            let kind = kind.or_else(|| body.as_ref().map(|body| body.name.clone())).unwrap_or_default();
            return Ok(Message::Talk(Talk::Unknown { kind, body }));
        };
        let body = body.unwrap_or_default();
        if let Some(ack) = acknowledgement(word, &body)? {
            return Ok(Message::Ack(ack));
        }
        match talk(word, body, self.rules.zone)? {
            Some(talk) => Ok(Message::Talk(talk)),
            // A type of data without its element: a packet without readings.
            None => Ok(data_message(DataBody::default(), Some(word))),
        }
    }
}

fn data_message(data: DataBody, word: Option<&str>) -> Message {
    let kind = match word {
        Some("query") => return Message::Talk(Talk::Query { from: data.from, to: data.to }),
        Some("continuous_ack") => return Message::Ack(Ack::Continuous { number: data.ack_number }),
        Some("continuous") => DataKind::Continuous,
        Some("reply") => DataKind::Reply,
        Some("report") => DataKind::Report,
        _ if data.total.is_some() => DataKind::Continuous,
        _ => DataKind::Report,
    };
    if let (Some(text), None) = (data.ack, &data.builder) {
        return Message::Ack(Ack::Energy { time: data.time_text, text });
    }
    let mut report = data.builder.unwrap_or_else(|| ReportBuilder::new(Origin::Live, 0, 0)).finish();
    report.origin = match kind {
        DataKind::Report => Origin::Live,
        DataKind::Continuous => Origin::Resumed,
        DataKind::Reply => Origin::Queried,
    };
    let DataBody { sequence, parser, time, time_text, total, current, saw_192, untimed, .. } = data;
    let head = DataHead { kind, sequence, parser, time, time_text, total, current };
    Message::Data(Data { head, report, saw_192, untimed })
}

fn parser(text: &str) -> Parser {
    if text.is_empty() {
        Parser::Absent
    } else if text.eq_ignore_ascii_case("no") {
        Parser::No
    } else {
        Parser::Yes
    }
}

/// Reads what stands behind the first meter but is needed for it.
fn look_ahead(mut scanner: Scanner<'_>, zone: Zone, data: &mut DataBody) -> Result<(), Fault> {
    loop {
        let tag = match scanner.next()? {
            Token::Open(tag) => tag,
            Token::Close | Token::Text(_) | Token::Verbatim(_) => continue,
            Token::End => return Ok(()),
        };
        if same_name(tag.name, "time") {
            let text = trimmed(scanner.text()?);
            data.time = zone.read(&text);
            data.time_text = Word::new(&text).unwrap_or_default();
        } else if same_name(tag.name, "parser") || same_name(tag.name, "parse") {
            data.parser = parser(scanner.text()?.trim());
        }
    }
}

/// `text.trim()`, at less cost for what neither begins nor ends with a blank.
#[inline]
fn stripped(text: &str) -> &str {
    match text.as_bytes() {
        [] | [b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~'] => text,
        _ => text.trim(),
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Adds `name TAB value` to lines; a break in a value would look like the next line.
fn push_line(lines: &mut String, name: &str, value: &str) {
    if !lines.is_empty() {
        lines.push('\n');
    }
    lines.push_str(name);
    lines.push('\t');
    let value = unescape(value);
    if value.bytes().any(|byte| byte.is_ascii_control()) {
        lines.extend(value.chars().map(|character| if character.is_control() { ' ' } else { character }));
    } else {
        lines.push_str(&value);
    }
}

fn too_many(full: &ReportFull) -> Fault {
    Fault::new(FaultKind::TooLarge, full.to_string())
}
