//! Every byte of a capture with its meaning: documents, what stands between them, and what is none.

use std::fmt::Write as _;
use std::ops::Range;

use super::frame::{Cut, Cutter, DOCUMENT_BYTES_MAX, Framing};
use super::message::read;
use super::settings::Settings;
use crate::{Explain, Explanation, Fault, Field, Judgement};

/// Explains bytes of one direction.
#[must_use]
pub fn explain(what: &Explain<'_>) -> Explanation {
    // Settings that cannot be are refused before; here they are as good as none.
    let settings = what.settings.and_then(|table| Settings::of_listener(table).ok()).unwrap_or_default();
    let framing = settings.framing();
    let is_document = matches!(framing, Framing::Documents { .. });
    let mut cutter = Cutter::new(framing);
    let mut told = Told { bytes: what.bytes, at: 0, explanation: Explanation::default() };
    // In pieces, because a session looks at what it holds after each of them too.
    for piece in what.bytes.chunks(DOCUMENT_BYTES_MAX) {
        cutter.push(piece);
        while let Some(cut) = cutter.cut() {
            let end = cutter.taken_bytes();
            match cut {
                Cut::Frame(frame) if is_document => told.document(end - frame.len()..end, &frame),
                Cut::Frame(frame) => told.raw(end, frame.len()),
                Cut::Fault(fault) => told.dropped(end, &fault),
            }
        }
    }
    told.between(cutter.taken_bytes());
    if cutter.held_bytes() > 0 {
        let meaning = format!("{} bytes of a document or element that has not ended", cutter.held_bytes());
        told.field(what.bytes.len(), "begun", meaning, Judgement::Odd);
    }
    told.explanation
}

struct Told<'a> {
    bytes: &'a [u8],
    /// How far the fields reach.
    at: usize,
    explanation: Explanation,
}

impl Told<'_> {
    fn field(&mut self, end: usize, name: &str, meaning: String, judgement: Judgement) {
        if end > self.at {
            let range = self.at..end;
            self.explanation.fields.push(Field { range, name: name.to_owned(), meaning, judgement });
            self.at = end;
        }
    }

    /// What was passed over: blanks and remarks, or the rest of something that was dropped.
    fn between(&mut self, end: usize) {
        let skipped = self.bytes.get(self.at..end).unwrap_or_default();
        let is_blank = |byte: &u8| matches!(byte, 0 | b' ' | b'\t' | b'\r' | b'\n');
        if skipped.iter().all(is_blank) {
            self.field(end, "blank", format!("{} bytes between documents", skipped.len()), Judgement::Right);
        } else if skipped.trim_ascii_start().starts_with(b"<") || skipped.starts_with(&[0xef, 0xbb, 0xbf]) {
            let meaning = "a declaration, a remark or a mark before the document".to_owned();
            self.field(end, "before", meaning, Judgement::Right);
        } else {
            self.field(end, "dropped", format!("{} bytes of no document", skipped.len()), Judgement::Wrong);
        }
    }

    fn document(&mut self, range: Range<usize>, frame: &[u8]) {
        self.between(range.start);
        match read(frame) {
            Ok(document) => {
                let root = document.elements.first().map_or("", |root| &root.path);
                let values = document.values().count();
                self.field(range.end, "document", format!("<{root}>, {values} values"), Judgement::Right);
                let mut text = String::new();
                for (path, value) in document.values() {
                    let _ = writeln!(text, "{path}: {value}");
                }
                self.explanation.messages.push((range, text));
            }
            Err(fault) => self.field(range.end, "document", fault.to_string(), Judgement::Wrong),
        }
    }

    /// A raw element of so many bytes, and what closes it, which ends at `end`.
    fn raw(&mut self, end: usize, bytes: usize) {
        let start = self.at;
        self.field(end, "element", format!("raw, {bytes} bytes"), Judgement::Right);
        let value = self.bytes.get(start..start + bytes).unwrap_or_default();
        self.explanation.messages.push((start..start + bytes, format!("{}\n", value.escape_ascii())));
    }

    fn dropped(&mut self, end: usize, fault: &Fault) {
        self.field(end, "dropped", fault.to_string(), Judgement::Wrong);
    }
}
