//! What bytes mean, for people: the handshake of either side, then every frame and every text in it.

use std::ops::Range;

use super::message::{Reply, Request};
use crate::websocket::frame::{Kind, Reader, Sender, Taken};
use crate::websocket::handshake::EMPTY_LINE;
use crate::{Explain, Explanation, Field, Judgement};

/// Characters of a text that are shown.
const SHOWN_CHARS_MAX: usize = 200;

/// Gives every byte its meaning.
#[must_use]
pub fn explain(what: &Explain<'_>) -> Explanation {
    let mut explanation = Explanation::default();
    let mut start = 0;
    let begins = |word: &[u8]| what.bytes.starts_with(word);
    if begins(b"GET ") || begins(b"HTTP/") {
        let end = memchr::memmem::find(what.bytes, EMPTY_LINE).map(|end| end + EMPTY_LINE.len());
        start = end.unwrap_or(what.bytes.len());
        let head = String::from_utf8_lossy(what.bytes.get(..start).unwrap_or_default());
        let first = shown(head.lines().next().unwrap_or_default());
        let (meaning, judgement) = match end {
            Some(_) => (first, Judgement::Right),
            None => (format!("{first}; no empty line yet"), Judgement::Odd),
        };
        field(&mut explanation, 0..start, "handshake", meaning, judgement);
    }
    frames(what.bytes, start, &mut explanation);
    explanation
}

/// Frame after frame, until one breaks the rules.
fn frames(bytes: &[u8], mut start: usize, explanation: &mut Explanation) {
    // Only a client masks.
    let is_masked = bytes.get(start + 1).is_some_and(|second| second & 0x80 != 0);
    let sender = if is_masked { Sender::Client } else { Sender::Server };
    let mut reader = Reader::of(sender, Kind::Text);
    let mut text: Vec<u8> = Vec::new();
    let mut text_start = start;
    while let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) {
        let length = frame_bytes(rest, sender).filter(|length| *length <= rest.len());
        let range = start..start + length.unwrap_or(rest.len());
        let mut taken = Taken::default();
        let read = reader.read(bytes.get(range.clone()).unwrap_or_default(), &mut taken);
        if text.is_empty() {
            text_start = start;
        }
        text.append(&mut taken.payload);
        let (meaning, judgement) = match (read, length) {
            (Err(violation), _) => (violation.reason.to_owned(), Judgement::Wrong),
            (Ok(()), None) => ("not at its end yet".to_owned(), Judgement::Odd),
            (Ok(()), Some(_)) => described(&taken, &text),
        };
        let is_wrong = judgement == Judgement::Wrong;
        field(explanation, range.clone(), "frame", meaning, judgement);
        if !taken.ends.is_empty() {
            explanation.messages.push((text_start..range.end, pretty(&std::mem::take(&mut text))));
        }
        start = range.end;
        if (is_wrong || taken.closed.is_some()) && start < bytes.len() {
            let judgement = if is_wrong { Judgement::Wrong } else { Judgement::Odd };
            return field(explanation, start..bytes.len(), "rest", "not read any more", judgement);
        }
    }
}

/// The length of a whole frame by its header. `None`: the header is not complete, or says more than there can be.
fn frame_bytes(bytes: &[u8], sender: Sender) -> Option<usize> {
    let word = bytes.get(1)? & 0x7f;
    let number = |range: Range<usize>| {
        bytes.get(range).map(|digits| digits.iter().fold(0_u64, |number, digit| number << 8 | u64::from(*digit)))
    };
    let (header, payload) = match word {
        126 => (4, number(2..4)?),
        127 => (10, number(2..10)?),
        short => (2, u64::from(short)),
    };
    let mask = if sender == Sender::Client { 4 } else { 0 };
    usize::try_from(payload).ok()?.checked_add(header + mask)
}

fn described(taken: &Taken, text: &[u8]) -> (String, Judgement) {
    if let Some(code) = taken.closed {
        return (format!("close {code}"), Judgement::Right);
    }
    if taken.ping.is_some() || taken.pong.is_some() {
        return (if taken.ping.is_some() { "ping" } else { "pong" }.to_owned(), Judgement::Right);
    }
    if taken.ends.is_empty() {
        return ("a piece of a text".to_owned(), Judgement::Right);
    }
    match str::from_utf8(text) {
        Err(_) => ("a text that is not UTF-8".to_owned(), Judgement::Wrong),
        // A password is nobody's business.
        Ok(text) => match (serde_json::from_str::<Request>(text), serde_json::from_str::<Reply>(text)) {
            (Ok(Request::Login { name, .. }), _) => (format!("a login of {}", shown(&name)), Judgement::Right),
            (Ok(_), _) => (format!("a request: {}", shown(text)), Judgement::Right),
            (_, Ok(_)) => (format!("a reply: {}", shown(text)), Judgement::Right),
            (Err(_), Err(_)) => (format!("a text: {}", shown(text)), Judgement::Right),
        },
    }
}

/// A text for people, without passwords.
fn pretty(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match serde_json::from_str::<Request>(&text) {
        Ok(Request::Login { name, .. }) => format!("login of {}", shown(&name)),
        Ok(_) | Err(_) => shown(&text),
    }
}

fn field(
    explanation: &mut Explanation,
    range: Range<usize>,
    name: &str,
    meaning: impl Into<String>,
    judgement: Judgement,
) {
    explanation.fields.push(Field { range, name: name.to_owned(), meaning: meaning.into(), judgement });
}

/// Enough of a text for people.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect()
}
