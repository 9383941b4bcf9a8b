//! What bytes mean, for people: every byte of every packet, and what is wrong with it.

use std::fmt::Write as _;
use std::ops::Range;

use super::decode::{decode, level_of};
use super::entering::V3_CLIENT_ID_MAX;
use super::frame::{head, varint};
use super::message::{Kind, Level, Options};
use super::properties::{Place, Row, Shape};
use super::reason::Reason;
use crate::{Explain, Explanation, Field, Judgement};

/// Characters of a payload that are shown.
const SHOWN_CHARS_MAX: usize = 200;

/// Gives every byte its meaning. Where neither a CONNECT nor anybody says which version is spoken, and the bytes mean another thing
/// in another one, version 5 is assumed unless only version 3.1.1 makes sense of them; a note says so.
#[must_use]
pub fn explain(what: &Explain<'_>) -> Explanation {
    let named = || Level::ALL.into_iter().find(|level| what.version == Some(level.name()));
    if let Some(level) = level_of(what.bytes).or_else(|| level_of(what.opening)).or_else(named) {
        return explained(what.bytes, level);
    }
    let (new, old) = (explained(what.bytes, Level::V5), explained(what.bytes, Level::V4));
    if new == old {
        return new;
    }
    let (new_fits, old_fits) = (is_right(&new), is_right(&old));
    let (mut chosen, level) = if new_fits || !old_fits { (new, Level::V5) } else { (old, Level::V4) };
    let doubt = if new_fits && old_fits { ", though version 3.1.1 makes sense of them too" } else { "" };
    let version = level.name();
    chosen.notes.push(format!(
        "nothing here says which version of MQTT is spoken: read as version {version}{doubt}; decode takes --mqtt-version"
    ));
    chosen
}

fn is_right(explanation: &Explanation) -> bool {
    explanation.fields.iter().all(|field| field.judgement == Judgement::Right)
}

fn explained(bytes: &[u8], level: Level) -> Explanation {
    let mut explanation = Explanation::default();
    let mut start = 0;
    while let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) {
        let mut walk = Walk { bytes: rest, start, at: 0, end: rest.len(), level, fields: Vec::new() };
        let text = packet(&mut walk);
        start += walk.at;
        if let Some((range, text)) = text {
            explanation.messages.push((range, text));
        }
        explanation.fields.append(&mut walk.fields);
    }
    explanation
}

/// Goes through the bytes of one packet.
struct Walk<'a> {
    bytes: &'a [u8],
    /// Where they begin in all.
    start: usize,
    at: usize,
    /// Where what is being read ends.
    end: usize,
    level: Level,
    fields: Vec<Field>,
}

impl<'a> Walk<'a> {
    fn left(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    /// Gives the next bytes a meaning. Where there are fewer, what is left is wrong.
    fn take(&mut self, count: usize, name: &str, meaning: impl FnOnce(&'a [u8]) -> String) -> Option<&'a [u8]> {
        if count > self.left() {
            self.rest(&format!("{name}: {count} bytes expected, {} left", self.left()));
            return None;
        }
        let taken = self.bytes.get(self.at..self.at + count)?;
        self.push(count, name, meaning(taken), Judgement::Right);
        Some(taken)
    }

    fn push(&mut self, count: usize, name: &str, meaning: String, judgement: Judgement) {
        if count > 0 {
            let start = self.start + self.at;
            self.fields.push(Field { range: start..start + count, name: name.to_owned(), meaning, judgement });
            self.at += count;
        }
    }

    /// What is left makes no sense.
    fn rest(&mut self, why: &str) {
        self.push(self.left(), "rest", why.to_owned(), Judgement::Wrong);
    }

    fn byte(&mut self, name: &str, meaning: impl FnOnce(u8) -> String) -> Option<u8> {
        let mut value = 0;
        self.take(1, name, |bytes| {
            value = bytes.first().copied().unwrap_or_default();
            meaning(value)
        })?;
        Some(value)
    }

    fn two(&mut self, name: &str, meaning: impl FnOnce(u16) -> String) -> Option<u16> {
        let mut value = 0;
        self.take(2, name, |bytes| {
            value = bytes.first_chunk::<2>().copied().map_or(0, u16::from_be_bytes);
            meaning(value)
        })?;
        Some(value)
    }

    /// Bytes behind their length, as one field.
    fn long(&mut self, name: &str, show: fn(&[u8]) -> String) -> Option<&'a [u8]> {
        let length = self.bytes.get(self.at..self.end)?.first_chunk::<2>().copied().map(u16::from_be_bytes);
        let Some(length) = length else {
            self.rest(&format!("{name}: its length is cut off"));
            return None;
        };
        let taken = self.take(2 + usize::from(length), name, |bytes| {
            format!("{length} bytes: {}", show(bytes.get(2..).unwrap_or_default()))
        })?;
        taken.get(2..)
    }

    fn text(&mut self, name: &str) -> Option<&'a [u8]> {
        self.long(name, show)
    }
}

fn show(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => {
            let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            if shown.len() < text.len() {
                shown.push_str(" ..");
            }
            format!("{shown:?}")
        }
        Ok(_) | Err(_) => "binary".to_owned(),
    }
}

fn hide(bytes: &[u8]) -> String {
    if bytes.is_empty() { "nothing" } else { "not shown" }.to_owned()
}

/// One packet; the text for people where all of it is there.
fn packet(walk: &mut Walk<'_>) -> Option<(Range<usize>, String)> {
    let start = walk.start;
    let head = match head(walk.bytes, usize::MAX) {
        Ok(Some(head)) => head,
        Ok(None) => {
            walk.rest("a packet that is cut off in its head");
            return None;
        }
        Err(breach) => {
            walk.rest(&breach.to_string());
            return None;
        }
    };
    let flags = flags_text(head.kind, head.flags);
    walk.push(1, "type", format!("{}{flags}", head.kind.name()), Judgement::Right);
    walk.push(head.head_bytes - 1, "length", format!("{} bytes behind it", head.body_bytes), Judgement::Right);
    let Some(body) = walk.bytes.get(head.head_bytes..head.packet_bytes()) else {
        let held = walk.left();
        walk.rest(&format!("{held} of {} bytes: the packet is cut off", head.body_bytes));
        return None;
    };
    walk.end = head.packet_bytes();
    if body_fields(walk, head.kind, head.flags).is_some() && walk.left() > 0 {
        walk.rest("bytes behind the packet's last field");
    }
    if walk.left() > 0 {
        walk.rest("cannot be read");
    }
    let range = start..start + head.packet_bytes();
    match decode(walk.level, head, body) {
        Ok(_) => {
            let text = summary(&walk.fields);
            Some((range, format!("{} {text}", head.kind.name()).trim_end().to_owned()))
        }
        Err(breach) => {
            let place = breach.fault.offset.map_or(start, |offset| start + head.head_bytes + offset);
            mark_wrong(&mut walk.fields, place, &breach.to_string());
            None
        }
    }
}

/// Says at the field that holds `place` what is wrong there, unless a field is known to be wrong already.
fn mark_wrong(fields: &mut [Field], place: usize, why: &str) {
    if fields.iter().any(|field| field.judgement == Judgement::Wrong) {
        return;
    }
    let index = fields.iter().position(|field| field.range.contains(&place)).unwrap_or(fields.len().saturating_sub(1));
    if let Some(field) = fields.get_mut(index) {
        field.judgement = Judgement::Wrong;
        let _infallible = write!(field.meaning, "; {why}");
    }
}

/// What a packet says, on a line.
fn summary(fields: &[Field]) -> String {
    let kept = fields.iter().filter(|field| !matches!(field.name.as_str(), "type" | "length" | "properties"));
    kept.map(|field| format!("{}: {}", field.name, field.meaning)).collect::<Vec<_>>().join(", ")
}

fn flags_text(kind: Kind, flags: u8) -> String {
    if kind != Kind::Publish {
        return String::new();
    }
    let qos = flags >> 1 & 3;
    let dup = if flags & 8 != 0 { ", sent before" } else { "" };
    let retain = if flags & 1 != 0 { ", retain" } else { "" };
    format!(", QoS {qos}{dup}{retain}")
}

fn body_fields(walk: &mut Walk<'_>, kind: Kind, flags: u8) -> Option<()> {
    match kind {
        Kind::Connect => connect(walk),
        Kind::ConnAck => {
            walk.byte("flags", |flags| {
                if flags & 1 == 0 { "no session before" } else { "session present" }.to_owned()
            })?;
            let level = walk.level;
            walk.byte("reason", |code| conn_ack_reason(level, code))?;
            properties(walk, Place::Packet(kind))
        }
        Kind::Publish => publish(walk, flags),
        Kind::PubAck | Kind::PubRec | Kind::PubRel | Kind::PubComp => {
            packet_id(walk)?;
            ending(walk, kind)
        }
        Kind::Disconnect | Kind::Auth => ending(walk, kind),
        Kind::Subscribe | Kind::Unsubscribe => {
            packet_id(walk)?;
            properties(walk, Place::Packet(kind))?;
            while walk.left() > 0 {
                walk.text("filter")?;
                if kind == Kind::Subscribe {
                    let level = walk.level;
                    walk.byte("options", |byte| options_text(byte, level))?;
                }
            }
            Some(())
        }
        Kind::SubAck | Kind::UnsubAck => {
            packet_id(walk)?;
            properties(walk, Place::Packet(kind))?;
            while walk.left() > 0 {
                walk.byte("reason", |code| Reason(code).to_string())?;
            }
            Some(())
        }
        Kind::PingReq | Kind::PingResp => Some(()),
    }
}

fn connect(walk: &mut Walk<'_>) -> Option<()> {
    walk.text("protocol")?;
    let level = walk.byte("level", |level| {
        let known = Level::ALL.into_iter().find(|known| *known as u8 == level);
        known.map_or_else(|| format!("{level}, which is not known"), |known| format!("version {}", known.name()))
    })?;
    let flags = walk.byte("flags", connect_flags)?;
    walk.two("keep alive", |seconds| if seconds == 0 { "none".to_owned() } else { format!("{seconds} s") })?;
    properties(walk, Place::Packet(Kind::Connect))?;
    let place = walk.start + walk.at;
    let id = walk.text("client id")?;
    let wrong = match Level::ALL.into_iter().find(|known| *known as u8 == level) {
        Some(Level::V3) if !(1..=V3_CLIENT_ID_MAX).contains(&String::from_utf8_lossy(id).chars().count()) => {
            Some(format!("of version 3.1 it has 1 to {V3_CLIENT_ID_MAX} characters"))
        }
        Some(Level::V4) if id.is_empty() && flags & 2 == 0 => Some("who has no name starts clean".to_owned()),
        Some(Level::V3 | Level::V4 | Level::V5) | None => None,
    };
    if let Some(why) = wrong {
        mark_wrong(&mut walk.fields, place, &why);
    }
    if flags & 4 != 0 {
        properties(walk, Place::Will)?;
        walk.text("will topic")?;
        walk.text("will")?;
    }
    if flags & 0x80 != 0 {
        walk.text("user")?;
    }
    if flags & 0x40 != 0 {
        walk.long("password", hide)?;
    }
    Some(())
}

fn connect_flags(flags: u8) -> String {
    let mut words = Vec::new();
    let qos = format!("will QoS {}", flags >> 3 & 3);
    for (bit, word) in [(0x80, "user"), (0x40, "password"), (0x20, "will retain")] {
        if flags & bit != 0 {
            words.push(word);
        }
    }
    if flags & 4 != 0 {
        words.push(&qos);
    }
    words.push(if flags & 2 != 0 { "clean start" } else { "goes on with its session" });
    words.join(", ")
}

fn conn_ack_reason(level: Level, code: u8) -> String {
    if level == Level::V5 {
        return Reason(code).to_string();
    }
    let words = [
        "accepted",
        "protocol version not accepted",
        "client identifier not accepted",
        "server unavailable",
        "bad user name or password",
        "not authorized",
    ];
    format!("{code} {}", words.get(usize::from(code)).unwrap_or(&"reserved"))
}

fn publish(walk: &mut Walk<'_>, flags: u8) -> Option<()> {
    walk.text("topic")?;
    if flags & 0b110 != 0 {
        packet_id(walk)?;
    }
    properties(walk, Place::Packet(Kind::Publish))?;
    walk.take(walk.left(), "payload", |payload| format!("{} bytes: {}", payload.len(), show(payload)))?;
    Some(())
}

fn packet_id(walk: &mut Walk<'_>) -> Option<()> {
    walk.two("packet id", |id| id.to_string()).map(|_| ())
}

fn ending(walk: &mut Walk<'_>, kind: Kind) -> Option<()> {
    if walk.left() == 0 || walk.level < Level::V5 {
        return Some(());
    }
    walk.byte("reason", |code| Reason(code).to_string())?;
    if walk.left() == 0 { Some(()) } else { properties(walk, Place::Packet(kind)) }
}

fn options_text(byte: u8, level: Level) -> String {
    let Some(options) = Options::of_byte(byte, level) else { return format!("{byte:#04x}, which is reserved") };
    let mut text = format!("QoS {}", options.qos as u8);
    if level == Level::V5 {
        if options.no_local {
            text.push_str(", not one's own");
        }
        if options.as_published {
            text.push_str(", retain as published");
        }
        let _infallible = write!(text, ", retain handling {}", options.handling as u8);
    }
    text
}

fn properties(walk: &mut Walk<'_>, place: Place) -> Option<()> {
    if walk.level < Level::V5 {
        return Some(());
    }
    let (length, count) = match varint(walk.bytes.get(walk.at..walk.end)?) {
        Ok(Some(found)) => found,
        Ok(None) => {
            walk.rest("the length of the properties is cut off");
            return None;
        }
        Err(why) => {
            walk.rest(why);
            return None;
        }
    };
    walk.take(count, "properties", |_| format!("{length} bytes"))?;
    if length as usize > walk.left() {
        walk.rest(&format!("properties: {length} bytes expected, {} left", walk.left()));
        return None;
    }
    let outer = walk.end;
    walk.end = walk.at + length as usize;
    while walk.left() > 0 {
        let read = property(walk, place);
        if read.is_none() {
            walk.end = outer;
            return None;
        }
    }
    walk.end = outer;
    Some(())
}

fn property(walk: &mut Walk<'_>, place: Place) -> Option<()> {
    let id = *walk.bytes.get(walk.at)?;
    let Some(row) = Row::of(id.into()) else {
        walk.rest(&format!("property {id:#04x} is not known"));
        return None;
    };
    let rest = walk.bytes.get(walk.at + 1..walk.end)?;
    let long = |from: usize| {
        let length = rest.get(from..)?.first_chunk::<2>().copied().map(u16::from_be_bytes)?;
        Some((rest.get(from + 2..from + 2 + usize::from(length))?, from + 2 + usize::from(length)))
    };
    let number = |count: usize| {
        let bytes = rest.get(..count)?;
        Some((bytes.iter().fold(0_u32, |value, &byte| value << 8 | u32::from(byte)).to_string(), count))
    };
    let read = match row.shape {
        Shape::Flag => number(1),
        Shape::Two => number(2),
        Shape::Four => number(4),
        Shape::Varint => varint(rest).ok().flatten().map(|(value, count)| (value.to_string(), count)),
        Shape::Text | Shape::Binary => long(0).map(|(bytes, count)| (show(bytes), count)),
        Shape::Pair => long(0).and_then(|(name, from)| {
            let (value, count) = long(from)?;
            Some((format!("{} = {}", show(name), show(value)), count))
        }),
    };
    let Some((value, count)) = read else {
        walk.rest(&format!("{}: cut off", row.name));
        return None;
    };
    let judgement = if row.is_allowed(place) { Judgement::Right } else { Judgement::Wrong };
    let meaning = if row.is_allowed(place) { value } else { format!("{value}; it may not stand here") };
    walk.push(1 + count, row.name, meaning, judgement);
    Some(())
}
