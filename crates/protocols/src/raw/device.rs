//! The device's side: it prints what it measured as JSON, with its name and a number, and counts what is answered as delivered.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{Event, EventKind, Reading, Report, Severity, Ticket};

use super::frame::{Cut, Cutter, LINE_BYTES_MAX};
use super::settings::{DeviceSide, SEQUENCE_PLACE};
use crate::reconnect::Attempts;
use crate::{CloseReason, Fault, FaultKind, Input, Now, Opening, Output, Session, SettingsError};

/// How long the head-end may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Lines on their way at once: below what a head-end takes before it stops reading.
const WINDOW_MAX: usize = 16;

enum Stage {
    /// It waits until then before it connects again.
    Away(Duration),
    /// It has asked for a connection.
    Connecting,
    /// It is connected.
    In,
    /// It was told to end.
    Ended,
}

/// A line that is not answered yet.
struct Sent {
    answer: String,
    ticket: Ticket,
    line: Bytes,
}

/// The device's side of its conversations, over all its connections.
struct Device {
    settings: DeviceSide,
    stage: Stage,
    outputs: VecDeque<Output>,
    cutter: Cutter,
    /// What is not sent on this connection.
    waiting: VecDeque<Sent>,
    /// What was sent and is not answered.
    flying: VecDeque<Sent>,
    sequence: u64,
    attempts: Attempts,
    /// Since when it waits for an answer.
    asked_at: Option<Duration>,
}

/// Makes a device.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "the contract gives every device its opening")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    let _ = opening;
    Ok(Box::new(Device {
        settings: DeviceSide::of(table)?,
        stage: Stage::Connecting,
        outputs: VecDeque::from([Output::Connect]),
        cutter: Cutter::new(LINE_BYTES_MAX),
        waiting: VecDeque::new(),
        flying: VecDeque::new(),
        sequence: 0,
        attempts: Attempts::default(),
        asked_at: None,
    }))
}

impl Device {
    fn offer(&mut self, now: Now, ticket: Ticket, report: &Report) {
        self.sequence += 1;
        let answer = self.settings.answer.replace(SEQUENCE_PLACE, &self.sequence.to_string()).trim_end().to_owned();
        self.waiting.push_back(Sent { answer, ticket, line: self.line(report) });
        self.send_waiting(now);
    }

    /// A list: who it is, then each reading.
    fn line(&self, report: &Report) -> Bytes {
        let mut hello = serde_json::json!({ "device": self.settings.identity, "sequence": self.sequence });
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
        let line: Vec<_> = std::iter::once(hello).chain(report.readings().map(reading)).collect();
        format!("{}\n", serde_json::Value::from(line)).into()
    }

    fn connected(&mut self, now: Now) {
        self.cutter = Cutter::new(LINE_BYTES_MAX);
        self.asked_at = None;
        self.stage = Stage::In;
        self.outputs.push_back(Output::Event(Event {
            at: now.wall,
            severity: Severity::Info,
            kind: EventKind::Login,
            device: None,
            peer: None,
            text: "connected".into(),
        }));
        self.send_waiting(now);
    }

    fn disconnected(&mut self, now: Now) {
        // What was not answered is sent again, in its order, before anything new.
        while let Some(unsure) = self.flying.pop_back() {
            self.waiting.push_front(unsure);
        }
        if matches!(self.stage, Stage::Ended | Stage::Away(_)) {
            return;
        }
        self.stage = Stage::Away(now.elapsed + self.attempts.pause(Duration::from_millis(self.settings.reconnect_ms)));
    }

    fn send_waiting(&mut self, now: Now) {
        while matches!(self.stage, Stage::In) && self.flying.len() < WINDOW_MAX {
            let Some(next) = self.waiting.pop_front() else { break };
            self.outputs.push_back(Output::Send(next.line.clone()));
            self.asked_at.get_or_insert(now.elapsed);
            self.flying.push_back(next);
        }
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        self.cutter.push(bytes);
        while let Some(cut) = self.cutter.cut() {
            let line = match cut {
                Cut::Line(line) => line,
                Cut::Fault(fault) => return Err(fault),
            };
            let place = self.flying.iter().position(|sent| *sent.answer.as_bytes() == *line);
            if let Some(sent) = place.and_then(|place| self.flying.remove(place)) {
                self.attempts.succeeded();
                self.asked_at = (!self.flying.is_empty()).then_some(now.elapsed);
                self.outputs.push_back(Output::Delivered(sent.ticket));
                self.send_waiting(now);
            }
        }
        Ok(())
    }

    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        match self.stage {
            Stage::Away(until) if now.elapsed >= until => {
                self.stage = Stage::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            Stage::In if self.asked_at.is_some_and(|at| now.elapsed >= at + ANSWER_WAIT) => {
                return Err(Fault::new(FaultKind::TooSlow, "no answer to a line"));
            }
            Stage::Away(_) | Stage::Connecting | Stage::In | Stage::Ended => {}
        }
        Ok(())
    }

    fn next_wake(&self) -> Option<Duration> {
        match self.stage {
            Stage::Away(until) => Some(until),
            Stage::In => self.asked_at.map(|at| at + ANSWER_WAIT),
            Stage::Connecting | Stage::Ended => None,
        }
    }
}

impl Session for Device {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        let taken = match input {
            Input::Connected => {
                self.connected(now);
                Ok(())
            }
            Input::Disconnected => {
                self.disconnected(now);
                Ok(())
            }
            Input::Bytes(bytes) => self.bytes(now, bytes),
            Input::Wake => self.wake(now),
            Input::Eof => {
                self.outputs.push_back(Output::Close(CloseReason::PeerDone));
                Ok(())
            }
            Input::Offer(ticket, report) => {
                self.offer(now, ticket, &report);
                Ok(())
            }
            Input::Shutdown(reason) => {
                self.stage = Stage::Ended;
                self.outputs.push_back(Output::Close(reason));
                Ok(())
            }
            Input::Answer(_) | Input::Stored(_) | Input::NotStored(_) | Input::Command(_) => Ok(()),
        };
        if let Err(fault) = &taken {
            self.outputs.push_back(Output::Close(CloseReason::Fault(fault.reason.clone())));
        }
        taken
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Idle { wake_at: self.next_wake() })
    }
}
