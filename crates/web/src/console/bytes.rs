//! Explained bytes: each field in its colour, with its offset, what it says and whether that is right.

use std::fmt::Write as _;

use loggerhead_protocols::Judgement;
use maud::{Markup, html};

use super::visit::Visit;
use crate::api::judgement_word;
use crate::inspect::{Inspection, Part, Step};

/// Bytes in a line.
const LINE_BYTES: usize = 16;
/// Fields that are shown of one conversation: more is nothing that anybody looks through on a page.
const FIELDS_MAX: usize = 2_000;
/// Bytes of one field that are shown; the rest is counted.
const FIELD_BYTES_MAX: usize = 4_096;
/// Bytes beyond which a field's digits are scrolled, which takes a keyboard's focus.
const SCROLLED_BYTES: usize = 20 * LINE_BYTES;
/// Colours of fields, one after another.
const COLOURS: usize = 6;

/// Everything that could be said of an input.
pub(super) fn inspection(visit: &Visit, inspection: &Inspection) -> Markup {
    html! {
        @for note in &inspection.notes { p.note { (visit.texts.said(note)) } }
        @for each in &inspection.parts {
            @if let Some(title) = &each.title { h3 { (title) } }
            (part(visit, each))
        }
    }
}

/// One conversation.
pub(super) fn part(visit: &Visit, part: &Part) -> Markup {
    let steps = part.steps();
    let shown = steps.get(..FIELDS_MAX).unwrap_or(&steps);
    html! {
        (verdict(visit, part))
        @for note in part.explanations().flat_map(|explanation| &explanation.notes) { p.note { (visit.texts.said(note)) } }
        div.scroll tabindex="0" role="group" aria-label=(visit.t("bytes.label")) {
            table.bytes {
                caption.hidden { (visit.t("bytes.label")) }
                thead { tr {
                    th scope="col" { (visit.t("bytes.offset")) }
                    th scope="col" { (visit.t("bytes.bytes")) }
                    th scope="col" { (visit.t("bytes.field")) }
                    th scope="col" { (visit.t("bytes.meaning")) }
                } }
                @for (place, step) in shown.iter().enumerate() {
                    @if place == 0 || speaker(shown.get(place - 1)) != speaker(Some(step)) { (says(visit, step)) }
                    (field(visit, step, place))
                }
            }
        }
        @if shown.len() < steps.len() {
            p.note { (visit.texts.phrase("bytes.more", &[("count", html! { (steps.len() - shown.len()) })])) }
        }
        @if part.missing > 0 {
            p.problem { (visit.texts.phrase("bytes.missing", &[("count", html! { (part.missing) })])) }
        }
    }
}

fn speaker<'a>(step: Option<&Step<'a>>) -> Option<(Option<&'a str>, u64)> {
    step.map(|step| (step.run.from.as_deref(), step.packet))
}

fn says(visit: &Visit, step: &Step<'_>) -> Markup {
    let Some(from) = &step.run.from else { return html! {} };
    let values = [("from", html! { (from) }), ("packet", html! { (step.packet) })];
    html! { tbody { tr.says { th colspan="4" scope="rowgroup" { (visit.texts.phrase("bytes.says", &values)) } } } }
}

/// Whether all is right, or how much is not.
fn verdict(visit: &Visit, part: &Part) -> Markup {
    let count = |judgement| {
        let fields = part.explanations().flat_map(|explanation| &explanation.fields);
        fields.filter(|field| field.judgement == judgement).count()
    };
    let (wrong, odd) = (count(Judgement::Wrong), count(Judgement::Odd));
    let state = match (wrong, odd) {
        (0, 0) => "right",
        (0, _) => "odd",
        (_, _) => "wrong",
    };
    let values = [("wrong", html! { (wrong) }), ("odd", html! { (odd) })];
    html! {
        p.verdict { span.state data-state=(state) {
            @if wrong + odd == 0 { (visit.t("bytes.right")) } @else { (visit.texts.phrase("bytes.not_right", &values)) }
        } }
    }
}

fn field(visit: &Visit, step: &Step<'_>, place: usize) -> Markup {
    let bytes = step.bytes();
    let shown = bytes.get(..FIELD_BYTES_MAX).unwrap_or(bytes);
    let word = judgement_word(step.field.judgement);
    html! {
        tbody data-colour=(place % COLOURS) data-judgement=(word) {
            tr {
                td.mono { (format!("{:08x}", step.field.range.start)) }
                td { div.mono.hex tabindex=[(shown.len() > SCROLLED_BYTES).then_some("0")] {
                    (digits(shown))
                    @if shown.len() < bytes.len() { " … " (bytes.len() - shown.len()) }
                } }
                th scope="row" { (visit.texts.name(&step.field.name)) }
                td {
                    @if step.field.judgement != Judgement::Right {
                        span.state data-state=(word) { (visit.t(&format!("judgement.{word}"))) } " "
                    }
                    (visit.texts.field(&step.field.meaning))
                    @for text in step.messages() { pre tabindex="0" { code { (text) } } }
                }
            }
        }
    }
}

/// Pairs of hex digits, a line end after every line.
fn digits(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 3);
    for (place, byte) in bytes.iter().enumerate() {
        let between = match place {
            0 => "",
            place if place % LINE_BYTES == 0 => "\n",
            _ => " ",
        };
        write!(digits, "{between}{byte:02x}").expect("a text takes everything");
    }
    digits
}
