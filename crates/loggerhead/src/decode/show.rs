//! Shows explanations: a table of bytes for people, JSON for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use loggerhead_protocols::{Field, Judgement};

use super::{Explained, Part};

/// Bytes in a line of the table.
const LINE_BYTES: usize = 16;
/// Columns that the bytes of a line take.
const LINE_COLUMNS: usize = 3 * LINE_BYTES;
/// Columns of a field's name.
const NAME_COLUMNS: usize = 10;

/// One field at its place in the conversation.
struct Step<'a> {
    run: &'a Explained,
    field: &'a Field,
    /// The packet that completed it.
    packet: u64,
}

/// The fields of both directions in the order in which they were complete.
fn steps(part: &Part) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for run in &part.runs {
        for field in &run.explanation.fields {
            let index = run.arrivals.partition_point(|arrival| arrival.end < field.range.end);
            let packet = run.arrivals.get(index).map_or(0, |arrival| arrival.packet);
            steps.push(Step { run, field, packet });
        }
    }
    steps.sort_by_key(|step| step.packet); // stable: fields of one packet keep their order
    steps
}

/// The texts whose bytes end in this field.
fn messages<'a>(step: &Step<'a>) -> impl Iterator<Item = &'a str> {
    let range = step.field.range.clone();
    let messages = step.run.explanation.messages.iter();
    messages.filter(move |(bytes, _)| range.contains(&(bytes.end.max(1) - 1))).map(|(_, text)| text.as_str())
}

/// Prints everything for people.
///
/// # Errors
/// What the system says.
pub(super) fn print(parts: &[Part], notes: &[String], colour: bool) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for part in parts {
        if let Some(title) = &part.title {
            writeln!(out, "conversation of {title}")?;
        }
        let mut speaker: Option<(&str, u64)> = None;
        for step in steps(part) {
            if let Some(from) = &step.run.from
                && speaker != Some((from.as_str(), step.packet))
            {
                speaker = Some((from.as_str(), step.packet));
                writeln!(out, "\n{from} says{}", when(&step))?;
            }
            write_field(&mut out, &step, colour)?;
            for text in messages(&step) {
                for line in text.lines() {
                    writeln!(out, "          | {line}")?;
                }
            }
        }
        if part.missing > 0 {
            writeln!(out, "{} bytes of this conversation are missing in the capture", part.missing)?;
        }
        writeln!(out, "\n{}", verdict(part))?;
    }
    notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    out.flush()
}

fn when(step: &Step<'_>) -> String {
    let arrival = step.run.arrivals.iter().find(|arrival| arrival.packet == step.packet);
    arrival.map(|arrival| format!(" (packet {}, {})", arrival.packet, arrival.at)).unwrap_or_default()
}

fn verdict(part: &Part) -> String {
    let count = |judgement| {
        let fields = part.explanations().flat_map(|explanation| &explanation.fields);
        fields.filter(|field| field.judgement == judgement).count()
    };
    let messages: usize = part.explanations().map(|explanation| explanation.messages.len()).sum();
    match (count(Judgement::Wrong), count(Judgement::Odd)) {
        (0, 0) => format!("{messages} messages; everything is right"),
        (wrong, odd) => format!("{messages} messages; fields that are wrong: {wrong}, odd but tolerated: {odd}"),
    }
}

fn write_field(out: &mut impl io::Write, step: &Step<'_>, colour: bool) -> io::Result<()> {
    let (paint, mark) = match step.field.judgement {
        Judgement::Right => ("\x1b[32m", ' '),
        Judgement::Odd => ("\x1b[33m", '?'),
        Judgement::Wrong => ("\x1b[31m", '!'),
    };
    let (paint, plain) = if colour { (paint, "\x1b[0m") } else { ("", "") };
    let bytes = step.run.bytes.get(step.field.range.clone()).unwrap_or_default();
    for (index, line) in bytes.chunks(LINE_BYTES).enumerate() {
        let mut digits = String::with_capacity(LINE_COLUMNS);
        for byte in line {
            write!(digits, "{byte:02x} ").expect("a text takes everything");
        }
        let offset = step.field.range.start + index * LINE_BYTES;
        let (name, meaning) = (&step.field.name, &step.field.meaning);
        if index == 0 {
            writeln!(out, "{offset:08x}  {digits:LINE_COLUMNS$} {paint}{mark} {name:NAME_COLUMNS$} {meaning}{plain}")?;
        } else {
            writeln!(out, "{offset:08x}  {}", digits.trim_end())?;
        }
    }
    Ok(())
}

/// Everything for programs.
pub(super) fn as_json(parts: &[Part], notes: &[String]) -> serde_json::Value {
    let part = |part: &Part| {
        let fields: Vec<_> = steps(part).iter().map(|step| field_json(step)).collect();
        serde_json::json!({ "conversation": part.title, "missing_bytes": part.missing, "fields": fields })
    };
    serde_json::json!({ "conversations": parts.iter().map(part).collect::<Vec<_>>(), "notes": notes })
}

fn field_json(step: &Step<'_>) -> serde_json::Value {
    let range = step.field.range.clone();
    let mut digits = String::with_capacity(2 * range.len());
    for byte in step.run.bytes.get(range.clone()).unwrap_or_default() {
        write!(digits, "{byte:02x}").expect("a text takes everything");
    }
    serde_json::json!({
        "from": step.run.from,
        "packet": (step.packet > 0).then_some(step.packet),
        "offset": range.start,
        "length": range.len(),
        "hex": digits,
        "name": step.field.name,
        "meaning": step.field.meaning,
        "judgement": match step.field.judgement {
            Judgement::Right => "right",
            Judgement::Odd => "odd",
            Judgement::Wrong => "wrong",
        },
        "messages": messages(step).collect::<Vec<_>>(),
    })
}
