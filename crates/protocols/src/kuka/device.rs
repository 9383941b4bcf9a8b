//! The robot's side: it connects, names itself in every document, and counts what is answered as delivered.
//!
//! It sends the document that the README advises. EthernetKRL has no login: a robot that is connected speaks.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{Event, EventKind, Report, Severity, Ticket};

use super::frame::{Cut, Cutter, Framing};
use super::message::{read, write};
use super::readings;
use super::settings::RobotSide;
use crate::reconnect::Attempts;
use crate::{CloseReason, Fault, FaultKind, Input, Now, Opening, Output, Session, SettingsError};

/// How long the head-end may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Documents on their way at once: as many as an EKI buffer holds. Source: \[1\], BUFFERING.
const WINDOW_MAX: usize = 16;
/// Where the head-end's answer has the number of the document.
const ANSWER: &str = "Server/Stored";

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

/// A document that is not answered yet.
struct Sent {
    sequence: u64,
    ticket: Ticket,
    document: Bytes,
}

/// The robot's side of its conversations, over all its connections.
struct Device {
    settings: RobotSide,
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

/// Makes a robot.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "the contract gives every device its opening")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    let _ = opening;
    Ok(Box::new(Device {
        settings: RobotSide::of(table)?,
        stage: Stage::Connecting,
        outputs: VecDeque::from([Output::Connect]),
        cutter: Cutter::new(Framing::default()),
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
        let document = self.document(report);
        self.waiting.push_back(Sent { sequence: self.sequence, ticket, document });
        self.send_waiting(now);
    }

    fn document(&self, report: &Report) -> Bytes {
        let sequence = self.sequence.to_string();
        let time = report.readings().next().map(|reading| reading.measured_at.to_string());
        let measured: Vec<(String, String)> =
            report.readings().map(|reading| (readings::path(&reading), reading.value.to_string())).collect();
        let mut values = vec![("Robot/Identity", self.settings.identity.as_str())];
        if !self.settings.secret.is_empty() {
            values.push(("Robot/Secret", &self.settings.secret));
        }
        values.push(("Robot/Sequence", &sequence));
        values.extend(time.as_deref().map(|time| ("Robot/Time", time)));
        values.extend(measured.iter().map(|(path, value)| (path.as_str(), value.as_str())));
        write(&values).into()
    }

    fn connected(&mut self, now: Now) {
        self.cutter = Cutter::new(Framing::default());
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
            self.outputs.push_back(Output::Send(next.document.clone()));
            self.asked_at.get_or_insert(now.elapsed);
            self.flying.push_back(next);
        }
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        self.cutter.push(bytes);
        while let Some(cut) = self.cutter.cut() {
            let document = match cut {
                Cut::Frame(frame) => read(&frame)?,
                Cut::Fault(fault) => return Err(fault),
            };
            // Whatever else the head-end writes is for the robot's program.
            let Some(number) = document.value(ANSWER).and_then(|text| text.parse::<u64>().ok()) else { continue };
            let place = self.flying.iter().position(|sent| sent.sequence == number);
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
                return Err(Fault::new(FaultKind::TooSlow, "no answer to a document"));
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
