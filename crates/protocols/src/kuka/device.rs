//! The robot's side: it connects, names itself in every document, and counts what is answered as delivered.
//!
//! It sends the document that the README advises. EthernetKRL has no login: a robot that is connected speaks.

use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::Report;

use super::frame::{Cut, Cutter, Framing};
use super::message::{read, write};
use super::readings;
use super::settings::RobotSide;
use crate::reporter::{Pace, Reporter, Speech};
use crate::{Fault, FaultKind, Opening, Session, SettingsError};

/// How long the head-end may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Documents on their way at once: as many as an EKI buffer holds. Source: \[1\], BUFFERING.
const WINDOW_MAX: usize = 16;
/// Where the head-end's answer has the number of the document.
const ANSWER: &str = "Server/Stored";

/// Documents, and the documents that answer them.
struct Writer {
    settings: RobotSide,
    cutter: Cutter,
}

/// Makes a robot.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "the contract gives every device its opening")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    let _ = opening;
    let settings = RobotSide::of(table)?;
    let pace = Pace {
        reconnect: Duration::from_millis(settings.reconnect_ms),
        window_max: WINDOW_MAX,
        answer_wait: ANSWER_WAIT,
    };
    Ok(Box::new(Reporter::new(Writer { settings, cutter: Cutter::new(Framing::default()) }, pace)))
}

impl Speech for Writer {
    /// The number of the document.
    type Mark = u64;

    fn begin(&mut self) {
        self.cutter = Cutter::new(Framing::default());
    }

    fn say(&self, sequence: u64, report: &Report) -> (Bytes, u64) {
        let number = sequence.to_string();
        let time = report.readings().next().map(|reading| reading.measured_at.to_string());
        let measured: Vec<(String, String)> =
            report.readings().map(|reading| (readings::path(&reading), reading.value.to_string())).collect();
        let mut values = vec![("Robot/Identity", self.settings.identity.as_str())];
        if !self.settings.secret.is_empty() {
            values.push(("Robot/Secret", &self.settings.secret));
        }
        values.push(("Robot/Sequence", &number));
        values.extend(time.as_deref().map(|time| ("Robot/Time", time)));
        values.extend(measured.iter().map(|(path, value)| (path.as_str(), value.as_str())));
        (write(&values).into(), sequence)
    }

    fn push(&mut self, bytes: &[u8]) {
        self.cutter.push(bytes);
    }

    fn answer(&mut self) -> Result<Option<u64>, Fault> {
        loop {
            let document = match self.cutter.cut() {
                Some(Cut::Frame(frame)) => read(&frame)?,
                Some(Cut::Fault(fault)) => return Err(fault),
                None => return Ok(None),
            };
            // Whatever else the head-end writes is for the robot's program.
            if let Some(number) = document.value(ANSWER).and_then(|text| text.parse().ok()) {
                return Ok(Some(number));
            }
        }
    }

    fn unanswered(&self) -> Fault {
        Fault::new(FaultKind::TooSlow, "no answer to a document")
    }
}
