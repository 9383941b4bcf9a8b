//! The device's side: it prints what it measured as JSON with its name and a number, or as lines of a form that is set, and counts what is
//! answered as delivered.

use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{Reading, Report};

use super::frame::{Cut, Cutter, LINE_BYTES_MAX};
use super::settings::DeviceSide;
use crate::recorder::SEQUENCE_PLACE;
use crate::reporter::{Pace, Reporter, Speech};
use crate::{Fault, FaultKind, Opening, Session, SettingsError};

/// How long the head-end may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Lines on their way at once: below what a head-end takes before it stops reading.
const WINDOW_MAX: usize = 16;

/// Lines, and the lines that answer them.
struct Printer {
    settings: DeviceSide,
    cutter: Cutter,
}

/// Makes a device.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "the contract gives every device its opening")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    let _ = opening;
    let settings = DeviceSide::of(table)?;
    let pace = Pace {
        reconnect: Duration::from_millis(settings.reconnect_ms),
        window_max: WINDOW_MAX,
        answer_wait: ANSWER_WAIT,
    };
    Ok(Box::new(Reporter::new(Printer { settings, cutter: Cutter::new(LINE_BYTES_MAX) }, pace)))
}

impl Printer {
    /// A list: who it is, then each reading.
    fn document(&self, sequence: u64, report: &Report) -> String {
        let mut hello = serde_json::json!({ "device": self.settings.identity, "sequence": sequence });
        if let (Some(hello), false) = (hello.as_object_mut(), self.settings.secret.is_empty()) {
            hello.insert("secret".to_owned(), self.settings.secret.as_str().into());
        }
        let reading = |reading: Reading<'_>| {
            serde_json::json!({
                "meter": reading.meter,
                "function": reading.function,
                "time": reading.measured_at.to_string(),
                "value": reading.value.to_string(),
            })
        };
        let list: Vec<_> = std::iter::once(hello).chain(report.readings().map(reading)).collect();
        serde_json::Value::from(list).to_string()
    }

    /// The line that is set, with what it tells in the place of each word.
    fn line(&self, number: &str, report: &Report) -> String {
        let place = |word: &str| format!("{{{word}}}");
        let Self { settings, .. } = self;
        let line =
            settings.line.replace(&place("device"), &settings.identity).replace(&place("secret"), &settings.secret);
        let line = line.replace(SEQUENCE_PLACE, number);
        report.readings().fold(line, |line, reading| {
            let line = line.replace(&place(reading.function), &reading.value.to_string());
            line.replace(&place("time"), &reading.measured_at.to_string())
        })
    }
}

impl Speech for Printer {
    /// The whole line.
    type Mark = Bytes;

    fn begin(&mut self) {
        self.cutter = Cutter::new(LINE_BYTES_MAX);
    }

    /// A line. What answers one without a number answers the first that waits.
    fn say(&self, sequence: u64, report: &Report) -> (Bytes, Bytes) {
        let number = sequence.to_string();
        let line =
            if self.settings.line.is_empty() { self.document(sequence, report) } else { self.line(&number, report) };
        let answer = self.settings.answer.replace(SEQUENCE_PLACE, &number).trim_end().to_owned();
        (format!("{line}\n").into(), answer.into())
    }

    fn push(&mut self, bytes: &[u8]) {
        self.cutter.push(bytes);
    }

    fn answer(&mut self) -> Result<Option<Bytes>, Fault> {
        match self.cutter.cut() {
            Some(Cut::Line(line)) => Ok(Some(line)),
            Some(Cut::Fault(fault)) => Err(fault),
            None => Ok(None),
        }
    }

    fn unanswered(&self) -> Fault {
        Fault::new(FaultKind::TooSlow, "no answer to a line")
    }
}
