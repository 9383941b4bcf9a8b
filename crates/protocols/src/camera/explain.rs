//! What bytes mean, for people: every command of either direction, and what is wrong with it.

use super::frame::first;
use super::message::{Command, Upload};
use super::settings::Settings;
use crate::encoding::Encoding;
use crate::{Explain, Explanation, Field, Judgement};

/// Characters of a text that are shown.
const SHOWN_CHARS_MAX: usize = 200;

/// Gives every byte its meaning. Without settings commands end with CR LF or LF, in UTF-8 where the bytes are that, else GBK.
#[must_use]
pub fn explain(what: &Explain<'_>) -> Explanation {
    let settings = what.settings.and_then(|table| Settings::of_listener(table).ok());
    let (mut style, framing) = settings.map(|settings| (settings.style, settings.framing)).unwrap_or_default();
    if what.settings.is_none() {
        style.encoding = if str::from_utf8(what.bytes).is_ok() { Encoding::Utf8 } else { Encoding::Gbk };
    }
    let mut explanation = Explanation::default();
    let mut add = |range: std::ops::Range<usize>, name: &str, meaning: String, judgement| {
        if !range.is_empty() {
            explanation.fields.push(Field { range, name: name.to_owned(), meaning, judgement });
        }
    };
    let mut start = 0;
    while let Some(rest) = what.bytes.get(start..).filter(|rest| !rest.is_empty()) {
        let Some((place, next)) = first(rest, framing) else {
            let meaning = format!("{} bytes without the end of a command", rest.len());
            add(start..start + rest.len(), "rest", meaning, Judgement::Odd);
            break;
        };
        add(start..start + place.start, "length", format!("{} bytes", place.len()), Judgement::Right);
        let text = style.encoding.decode(rest.get(place.clone()).unwrap_or_default());
        let (key, body) = style.split(&text);
        let range = start + place.start..start + place.end;
        let is_readable = !text.contains('\u{fffd}');
        match style.find(key) {
            Some((command, _)) => {
                let judgement = if is_readable { Judgement::Right } else { Judgement::Odd };
                let meaning = format!("{}: {}{}", command.name(), command.meaning(), parameters(command, body));
                add(range, "command", meaning, judgement);
            }
            None if key.eq_ignore_ascii_case("HB") || text.is_empty() => {
                add(range, "heartbeat", "somebody is there".to_owned(), Judgement::Right);
            }
            None => add(range, "command", format!("no command that is known: {}", shown(key)), Judgement::Wrong),
        }
        add(start + place.end..start + next, "end", "the command ends".to_owned(), Judgement::Right);
        start += next;
    }
    explanation
}

/// The parameters without passwords, which are nobody's business.
fn parameters(command: Command, body: &str) -> String {
    let first = || body.split_once('|').map_or(body, |(first, _)| first);
    let said = if matches!(command, Command::Login | Command::CreatDataSocket | Command::CameraLogin) {
        format!("{}|***", first())
    } else if command == Command::UploadCaramer {
        let Upload { id, current, total, .. } = Upload::parse(body);
        format!("{id}|***|{current}|{total}")
    } else if command == Command::DownloadSucess {
        let mut fields = body.rsplitn(4, '|');
        let [total, current, state] = [(); 3].map(|()| fields.next().unwrap_or_default());
        format!("{}|***|{state}|{current}|{total}", first())
    } else {
        body.to_owned()
    };
    if said.is_empty() { String::new() } else { format!(": {}", shown(&said)) }
}

/// Enough of a text for people.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect()
}
