//! Every byte of what a sender sends: the proof, heads, and files.

use std::ops::Range;

use super::frame::{Head, HeadForm, Heads, LENGTH_BYTES};
use super::legitimacy::Auth;
use super::message::FileHead;
use super::settings::Settings;
use crate::{Explain, Explanation, Field, Judgement};

/// Where a head may stand behind a proof, where no settings say how long that is.
const PROOF_BYTES: [usize; 2] = [16, 32];

struct Told<'a> {
    bytes: &'a [u8],
    /// How far the fields reach.
    at: usize,
    explanation: Explanation,
}

/// Explains bytes of one direction.
#[must_use]
pub fn explain(what: &Explain<'_>) -> Explanation {
    let mut told = Told { bytes: what.bytes, at: 0, explanation: Explanation::default() };
    // Settings that cannot be are refused before; here they are as good as none.
    let settings = what.settings.and_then(|table| Settings::of(table).ok());
    if let Some(length) = proof_bytes(what.bytes, settings.as_ref()) {
        told.field(length, "proof", format!("{length} bytes that answer the challenge"), Judgement::Right);
    }
    while told.at < told.bytes.len() && told.file() {}
    told.explanation
}

/// How long the proof is that stands first.
fn proof_bytes(bytes: &[u8], settings: Option<&Settings>) -> Option<usize> {
    match settings.map(|settings| settings.auth) {
        Some(Auth::None) => None,
        Some(auth) => auth.answer_bytes(bytes).map(|length| length.min(bytes.len())),
        None => {
            let begins = |at: usize| bytes.get(at..).is_some_and(|bytes| head(bytes).is_some());
            PROOF_BYTES.into_iter().find(|&at| !begins(0) && begins(at))
        }
    }
}

/// The head at the front.
fn head(bytes: &[u8]) -> Option<Head> {
    let mut heads = Heads::default();
    heads.push(bytes);
    heads.cut().ok().flatten()
}

impl Told<'_> {
    fn field(&mut self, end: usize, name: &str, meaning: String, judgement: Judgement) -> Range<usize> {
        let range = self.at..end.min(self.bytes.len());
        if !range.is_empty() {
            self.at = range.end;
            self.explanation.fields.push(Field { range: range.clone(), name: name.to_owned(), meaning, judgement });
        }
        range
    }

    /// Explains a head and its file. False when nothing can stand behind them.
    fn file(&mut self) -> bool {
        let mut heads = Heads::default();
        heads.push(self.bytes.get(self.at..).unwrap_or_default());
        let all = self.bytes.len();
        let head = match heads.cut() {
            Ok(Some(head)) => head,
            Ok(None) => {
                self.field(all, "begun", "a head that has not ended".to_owned(), Judgement::Odd);
                return false;
            }
            Err(fault) => {
                self.field(all, "head", fault.to_string(), Judgement::Wrong);
                return false;
            }
        };
        if head.form == HeadForm::Long {
            self.field(self.at + LENGTH_BYTES, "length", format!("{} bytes", head.json.len()), Judgement::Right);
        }
        let end = self.at + head.json.len();
        let said = match FileHead::parse(&head.json) {
            Ok(said) => said,
            Err(fault) => {
                self.field(end, "head", fault.to_string(), Judgement::Wrong);
                self.field(all, "rest", "bytes of nobody knows what".to_owned(), Judgement::Odd);
                return false;
            }
        };
        let range = self.field(end, "head", format!("{:?}, {} bytes", said.name, said.size), Judgement::Right);
        // A secret is shown to nobody.
        let shown = FileHead { secret: said.secret.as_ref().map(|_| "...".to_owned()), ..said.clone() };
        self.explanation.messages.push((range, format!("{}\n", shown.write())));
        let left = said.size.saturating_sub(said.offset.unwrap_or(0));
        let here = (all - self.at) as u64;
        let end = usize::try_from(left.min(here)).map_or(all, |count| self.at + count);
        if left <= here {
            self.field(end, "file", format!("{left} bytes"), Judgement::Right);
            return true;
        }
        // Which bytes those are, the head-end's answer says.
        let missing = if said.resume { ", those that the head-end had not" } else { "" };
        let judgement = if said.resume { Judgement::Right } else { Judgement::Odd };
        self.field(end, "file", format!("{here} of {left} bytes{missing}"), judgement);
        false
    }
}
