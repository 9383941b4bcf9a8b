//! Bytes for one meter, and what it answered, as a line of text in a frame of its own: `meter|hex`. Source: \[3\].
//!
//! Such a frame names no sender, so it means something only on the connection of a device that is logged in.

use loggerhead_model::ControlLine;

use super::decode_talk::CONTROL_TIMEOUT_MS;
use super::dialect::Dialect;
use super::message::{ControlResult, NAME_CHARS_MAX, Talk};
use crate::{Fault, FaultKind};

/// Most characters of one line; a meter's bytes are far fewer.
const LINE_CHARS_MAX: usize = 4096;

/// What a frame of this type says, if it is one of a line.
///
/// # Errors
/// `Malformed` when it is no line, `TooLarge` over `NAME_CHARS_MAX` or `LINE_CHARS_MAX`.
pub(super) fn read(dialect: &Dialect, kind: u8, body: &[u8]) -> Result<Option<Talk>, Fault> {
    let Some(lines) = dialect.meter_lines.filter(|lines| lines.word_of(kind).is_some()) else {
        return Ok(None);
    };
    if body.len() > LINE_CHARS_MAX {
        let reason = format!("line of {} bytes over {LINE_CHARS_MAX}", body.len());
        return Err(Fault::new(FaultKind::TooLarge, reason));
    }
    let text = str::from_utf8(body).ok().map(|text| text.trim_matches(['\0', ' ', '\t', '\r', '\n']));
    let Some((meter, hex)) = text.and_then(|text| text.split_once('|')) else {
        return Err(Fault::new(FaultKind::Malformed, "a line that is not of the form meter|hex"));
    };
    if meter.chars().count() > NAME_CHARS_MAX {
        return Err(Fault::new(FaultKind::TooLarge, format!("name of a meter over {NAME_CHARS_MAX} characters")));
    }
    let (meter, hex) = (meter.to_owned(), hex.to_owned());
    Ok(Some(if kind == lines.order {
        Talk::Control(vec![ControlLine { meter, hex, timeout_ms: CONTROL_TIMEOUT_MS, retries: 0 }])
    } else {
        Talk::ControlAck(vec![ControlResult { meter, answer: hex, ..ControlResult::default() }])
    }))
}

/// The type and the line of a frame that says `talk`, if it is said as a line.
///
/// # Errors
/// `Malformed` when it speaks of more or fewer meters than one.
pub(super) fn write(dialect: &Dialect, talk: &Talk) -> Result<Option<(u8, String)>, Fault> {
    let Some(kinds) = dialect.meter_lines else { return Ok(None) };
    let (kind, lines): (u8, Vec<(&str, &str)>) = if let Talk::Control(lines) = talk {
        (kinds.order, lines.iter().map(|line| (&*line.meter, &*line.hex)).collect())
    } else if let Talk::ControlAck(results) = talk {
        (kinds.answer, results.iter().map(|result| (&*result.meter, &*result.answer)).collect())
    } else {
        return Ok(None);
    };
    match lines.as_slice() {
        [(meter, hex)] => Ok(Some((kind, format!("{meter}|{hex}")))),
        lines => Err(Fault::new(FaultKind::Malformed, format!("{} meters in one order, one needed", lines.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::{read, write};
    use crate::logger::dialect::find;

    #[test]
    fn a_line_names_its_meter() {
        let shanghai = find("shanghai").expect("a dialect");
        for (kind, body) in [(0xf1, "A001|68AA16"), (0xf2, "A001|68AA16"), (0xf2, "A001|")] {
            let talk = read(shanghai, kind, body.as_bytes()).expect("a line").expect("of a meter");
            assert_eq!(write(shanghai, &talk).expect("one meter"), Some((kind, body.to_owned())));
        }
        assert_eq!(read(shanghai, 3, b"A001|68").expect("another type"), None);
        for bad in [&b""[..], b"A001", b"\xff|00"] {
            assert!(read(shanghai, 0xf2, bad).is_err());
        }
        assert!(read(shanghai, 0xf2, "9".repeat(5000).as_bytes()).is_err());
    }
}
