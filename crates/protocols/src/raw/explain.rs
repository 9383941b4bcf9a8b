//! Every byte of a capture with its meaning: lines, and what could not be read in them.

use std::fmt::Write as _;

use super::frame::{Cut, Cutter};
use super::message::read;
use super::settings::Settings;
use crate::{Explain, Explanation, Field, Judgement};

/// Explains bytes of one direction.
#[must_use]
pub fn explain(what: &Explain<'_>) -> Explanation {
    // Settings that cannot be are refused before; here they are as good as none.
    let settings = what.settings.and_then(|table| Settings::of_listener(table).ok()).unwrap_or_default();
    let mut cutter = Cutter::new(settings.line_bytes_max);
    let mut explanation = Explanation::default();
    let mut at = 0;
    cutter.push(what.bytes);
    while let Some(cut) = cutter.cut().or_else(|| cutter.cut_rest()) {
        let range = at..cutter.taken_bytes();
        at = range.end;
        let (name, meaning, judgement) = match &cut {
            Cut::Fault(fault) => ("dropped", fault.to_string(), Judgement::Wrong),
            Cut::Line(line) => match read(line, &settings) {
                Err(fault) => ("line", fault.to_string(), Judgement::Wrong),
                Ok(entries) if entries.is_empty() => ("line", "passed over".to_owned(), Judgement::Right),
                Ok(entries) => {
                    let values: Vec<_> = entries.iter().flat_map(|entry| &entry.0).collect();
                    let mut text = String::new();
                    for (name, value) in &values {
                        let _ = writeln!(text, "{name}: {value}");
                    }
                    explanation.messages.push((range.clone(), text));
                    ("line", format!("{} values", values.len()), Judgement::Right)
                }
            },
        };
        explanation.fields.push(Field { range, name: name.to_owned(), meaning, judgement });
    }
    if at < what.bytes.len() {
        let meaning = "the rest of a line that was too long".to_owned();
        let field =
            Field { range: at..what.bytes.len(), name: "dropped".to_owned(), meaning, judgement: Judgement::Wrong };
        explanation.fields.push(field);
    }
    explanation
}
