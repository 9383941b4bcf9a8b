//! Shows explanations as a table of bytes for people.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use loggerhead_protocols::Judgement;
use loggerhead_web::inspect::{Inspection, Part, Step};

/// Bytes in a line of the table.
const LINE_BYTES: usize = 16;
/// Columns that the bytes of a line take.
const LINE_COLUMNS: usize = 3 * LINE_BYTES;
/// Columns of a field's name.
const NAME_COLUMNS: usize = 10;

/// Prints everything for people.
///
/// # Errors
/// What the system says.
pub(super) fn print(inspection: &Inspection, colour: bool) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for part in &inspection.parts {
        if let Some(title) = &part.title {
            writeln!(out, "conversation of {title}")?;
        }
        let mut speaker: Option<(&str, u64)> = None;
        for step in part.steps() {
            if let Some(from) = &step.run.from
                && speaker != Some((from.as_str(), step.packet))
            {
                speaker = Some((from.as_str(), step.packet));
                writeln!(out, "\n{from} says{}", when(&step))?;
            }
            write_field(&mut out, &step, colour)?;
            for text in step.messages() {
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
    inspection.all_notes().iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
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
    let bytes = step.bytes();
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
