//! What bytes mean, for people: every line of either direction, and what is wrong with it.

use super::commands;
use super::frame::Terminator;
use super::message::{MessageId, Request};
use super::settings::Settings;
use super::text::Encoding;
use crate::{Explain, Explanation, Field, Judgement};

/// Characters of a text that are shown.
const SHOWN_CHARS_MAX: usize = 200;

/// What replies are, by what they begin with.
const REPLIES: [(&str, &str); 9] = [
    ("Welcome", "the welcome"),
    ("登录成功", "logged in"),
    ("请先登录", "log in first"),
    ("不知道如何处理 ", "no such command"),
    ("参数错误", "wrong parameters"),
    ("消息未发送成功", "kept: its receiver is not there"),
    ("消息未保存", "not kept: too much waits"),
    ("您的账号已经在他处登录", "logged in elsewhere"),
    ("命令过长", "the line is too long"),
];

/// Gives every byte its meaning. Without settings the encoding is UTF-8 where the bytes are that, else gb2312.
#[must_use]
pub fn explain(what: &Explain<'_>) -> Explanation {
    let settings = what.settings.and_then(|table| Settings::of_listener(table).ok());
    let encoding = settings.as_ref().map_or_else(
        || if str::from_utf8(what.bytes).is_ok() { Encoding::Utf8 } else { Encoding::Gbk },
        |settings| settings.style.encoding,
    );
    let terminator = settings.as_ref().map_or(Terminator::CrLf, |settings| settings.terminator);
    let limit = settings.map_or(usize::MAX, |settings| settings.line_bytes_limit);
    let mut explanation = Explanation::default();
    let mut start = 0;
    while let Some(rest) = what.bytes.get(start..).filter(|rest| !rest.is_empty()) {
        let ending = terminator.bytes();
        let place = memchr::memmem::find(rest, ending);
        let length = place.unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or_default();
        if !line.is_empty() {
            explain_line(line, start, encoding, &mut explanation);
        }
        let end = start + length + if place.is_some() { ending.len() } else { 0 };
        if end - start >= limit
            && let Some(field) = explanation.fields.last_mut()
        {
            field.judgement = Judgement::Wrong;
            field.meaning = format!("{}; {} bytes reach the limit of {limit}", field.meaning, end - start);
        }
        match place {
            Some(_) => field(&mut explanation, start + length..end, "end", "the line ends", Judgement::Right),
            None => {
                if let Some(last) = explanation.fields.last_mut() {
                    last.judgement = Judgement::Odd;
                    last.meaning.push_str("; no end of the line yet");
                }
            }
        }
        start = end;
    }
    explanation
}

fn field(
    explanation: &mut Explanation,
    range: std::ops::Range<usize>,
    name: &str,
    meaning: impl Into<String>,
    judgement: Judgement,
) {
    explanation.fields.push(Field { range, name: name.to_owned(), meaning: meaning.into(), judgement });
}

fn explain_line(line: &[u8], start: usize, encoding: Encoding, explanation: &mut Explanation) {
    let text = encoding.decode(line);
    let judgement = if text.contains('\u{fffd}') { Judgement::Odd } else { Judgement::Right };
    let shown = shown(&text);
    let range = start..start + line.len();
    let request = Request::parse(&text);
    if let Some(command) = commands::find(request.key) {
        let key = start..start + command.name.len();
        field(explanation, key.clone(), "command", command.name, Judgement::Right);
        if key.end < range.end {
            let count = request.parameters().count();
            let body = if command.name == commands::check::CHECK.name {
                // A password is nobody's business.
                format!("{count} parameters")
            } else {
                format!("{count} parameters: {}", self::shown(request.body))
            };
            field(explanation, key.end..range.end, "parameters", body, judgement);
        }
        return;
    }
    let meaning = match reply(&text) {
        Some(meaning) => format!("{meaning}: {shown}"),
        None => format!("no command and no reply that is known: {shown}"),
    };
    let judgement = if reply(&text).is_some() { judgement } else { Judgement::Odd };
    field(explanation, range.clone(), "line", meaning, judgement);
    if let Some((said, id)) = message(&text) {
        explanation.messages.push((range, format!("{}\nid {id}", self::shown(said))));
    }
}

/// What a reply is.
fn reply(text: &str) -> Option<&'static str> {
    if text == "R" {
        return Some("a heartbeat is answered");
    }
    if text.trim_start_matches(['\n', '\r']).starts_with("异常信息") {
        return Some("a command failed");
    }
    if message(text).is_some() {
        let waited = text.contains("给你发送消息");
        return Some(if waited { "a message that waited" } else { "a message" });
    }
    REPLIES.iter().find(|(start, _)| text.starts_with(start)).map(|(_, meaning)| *meaning)
}

/// Everything but the name of a message, and the name.
fn message(text: &str) -> Option<(&str, MessageId)> {
    let (said, id) = text.rsplit_once(' ')?;
    let is_message = said.contains(" 给你发消息") || said.contains(" 给你发送消息");
    Some((said, MessageId::parse(id)?)).filter(|_| is_message)
}

/// Enough of a text for people.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect()
}
