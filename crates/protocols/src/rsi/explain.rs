//! Every byte of a capture with its meaning: states of robots, answers, and what is neither.

use std::fmt::Write as _;

use super::frame::{document, find};
use super::message::values;
use crate::{Explain, Explanation, Fault, Field, Judgement};

/// Explains bytes of one direction.
#[must_use]
pub fn explain(what: &Explain<'_>) -> Explanation {
    let mut explanation = Explanation::default();
    let mut at = 0;
    while let Some((range, root)) = what.bytes.get(at..).and_then(|rest| find(rest, &["Rob", "Sen"])) {
        let range = at + range.start..at + range.end;
        between(&mut explanation, what.bytes, at, range.start);
        at = range.end;
        let bytes = what.bytes.get(range.clone()).unwrap_or_default();
        let (meaning, judgement) = match document(bytes, root).and_then(values) {
            Ok(values) => {
                let ipoc = values.iter().find(|(path, _)| path == "IPOC");
                let what = if root == "Rob" { "a state" } else { "an answer" };
                let told = match ipoc {
                    Some((_, ipoc)) => (format!("{what}, cycle {ipoc}, {} values", values.len() - 1), Judgement::Right),
                    None => (format!("{what} without an IPOC"), Judgement::Wrong),
                };
                let mut text = String::new();
                for (path, value) in values {
                    let _ = writeln!(text, "{path}: {value}");
                }
                explanation.messages.push((range.clone(), text));
                told
            }
            Err(Fault { reason, .. }) => (reason.into_owned(), Judgement::Wrong),
        };
        explanation.fields.push(Field { range, name: "datagram".to_owned(), meaning, judgement });
    }
    between(&mut explanation, what.bytes, at, what.bytes.len());
    explanation
}

/// What stands between two documents.
fn between(explanation: &mut Explanation, bytes: &[u8], start: usize, end: usize) {
    let rest = bytes.get(start..end).unwrap_or_default();
    if rest.is_empty() {
        return;
    }
    let is_blank = rest.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace());
    let (name, meaning, judgement) = if is_blank {
        ("blank", format!("{} bytes between documents", rest.len()), Judgement::Right)
    } else {
        ("unknown", format!("{} bytes of no document", rest.len()), Judgement::Wrong)
    };
    explanation.fields.push(Field { range: start..end, name: name.to_owned(), meaning, judgement });
}
