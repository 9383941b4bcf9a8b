//! A camera: logs in, raises an alarm for each report that it is given, and counts it delivered when that is stored.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{Event, EventKind, Report, Severity, Ticket};

use super::frame::{BareLf, FRAME_BYTES_MAX, Frames, Framing};
use super::message::{Command, Spelling, Style};
use super::settings::DeviceSide;
use crate::reconnect::Attempts;
use crate::simulated::Simulated;
use crate::{Fault, FaultKind, Input, Now, Opening, Output, Session, SettingsError};

/// How long the head-end may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Longest type of an alarm.
const ALARM_BYTES_MAX: usize = 1_024;

enum Stage {
    /// It waits until then before it connects again.
    Away(Duration),
    Connecting,
    /// It waits until then for the answer to its login.
    Entering(Duration),
    In,
    Ended,
}

struct Alarm {
    ticket: Ticket,
    what: String,
    at_ms: i64,
}

/// A camera over all its connections.
struct Device {
    settings: DeviceSide,
    style: Style,
    stage: Stage,
    outputs: VecDeque<Output>,
    frames: Frames,
    /// What is offered and not acknowledged; the first one is on its way.
    waiting: VecDeque<Alarm>,
    sent_at: Option<Duration>,
    attempts: Attempts,
    beat_at: Duration,
}

/// Makes a camera.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "the contract gives every device its opening")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    let _ = opening;
    Ok(Box::new(Device {
        settings: DeviceSide::of(table)?,
        style: Style::default(),
        stage: Stage::Connecting,
        outputs: VecDeque::from([Output::Connect]),
        frames: Frames::default(),
        waiting: VecDeque::new(),
        sent_at: None,
        attempts: Attempts::default(),
        beat_at: Duration::ZERO,
    }))
}

impl Device {
    fn say(&mut self, command: Command, body: &str) {
        let (mut line, mut out) = (Vec::new(), Vec::new());
        self.style.write(command, Spelling::Full, body, &mut line);
        Framing::CrLf.put(&line, &mut out);
        self.outputs.push_back(Output::Send(Bytes::from(out)));
    }

    fn tell(&mut self, now: Now, kind: EventKind, severity: Severity, text: &'static str) {
        let event = Event { at: now.wall, severity, kind, device: None, peer: None, text: text.into() };
        self.outputs.push_back(Output::Event(event));
    }

    /// Sends the first of what waits, unless it is on its way.
    fn send_next(&mut self, now: Now) {
        if self.sent_at.is_some() || !matches!(self.stage, Stage::In) {
            return;
        }
        let Some(Alarm { ticket, what, at_ms }) = self.waiting.front() else { return };
        let alarm = format!("{}|{what}|{at_ms}", ticket.0);
        self.sent_at = Some(now.elapsed);
        self.beat_at = now.elapsed + Duration::from_secs(self.settings.heartbeat_s.into());
        self.say(Command::CameraAlarm, &alarm);
    }

    fn command(&mut self, now: Now, text: &str) -> Result<(), Fault> {
        let (key, body) = self.style.split(text);
        match self.style.find(key).map(|(command, _)| command) {
            Some(Command::CameraLoginOk) if matches!(self.stage, Stage::Entering(_)) => {
                self.stage = Stage::In;
                self.tell(now, EventKind::Login, Severity::Info, "logged in");
                self.beat_at = now.elapsed + Duration::from_secs(self.settings.heartbeat_s.into());
                self.send_next(now);
            }
            Some(Command::CameraLoginError) => {
                self.tell(now, EventKind::Refused, Severity::Warning, "refused");
                return Err(Fault::new(FaultKind::NotProven, "the head-end refuses"));
            }
            Some(Command::CameraAlarmOk) => {
                let is_first = |alarm: &mut Alarm| body == alarm.ticket.0.to_string();
                if let Some(alarm) = self.waiting.pop_front_if(is_first) {
                    self.attempts.succeeded();
                    self.sent_at = None;
                    self.outputs.push_back(Output::Delivered(alarm.ticket));
                    self.send_next(now);
                }
            }
            // Everything else asks for nothing.
            Some(_) | None => {}
        }
        Ok(())
    }
}

impl Simulated for Device {
    fn connected(&mut self, now: Now) {
        self.frames = Frames::default();
        self.sent_at = None;
        self.stage = Stage::Entering(now.elapsed + ANSWER_WAIT);
        let login = format!("{}|{}", self.settings.camera, self.settings.password().unwrap_or_default());
        self.say(Command::CameraLogin, &login);
    }

    fn disconnected(&mut self, now: Now) {
        if matches!(self.stage, Stage::Ended | Stage::Away(_)) {
            return;
        }
        let pause = self.attempts.pause(Duration::from_millis(self.settings.reconnect_ms));
        self.stage = Stage::Away(now.elapsed + pause);
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        self.frames.push(bytes);
        while let Some(body) = self.frames.cut(Framing::CrLf, BareLf::Data, FRAME_BYTES_MAX)? {
            let text = self.style.encoding.decode(&body).into_owned();
            self.command(now, &text)?;
        }
        Ok(())
    }

    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        match self.stage {
            Stage::Away(until) if now.elapsed >= until => {
                self.stage = Stage::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            Stage::Entering(until) if now.elapsed >= until => {
                return Err(Fault::new(FaultKind::TooSlow, "no answer to a login"));
            }
            Stage::In => {
                if self.sent_at.is_some_and(|at| now.elapsed >= at + ANSWER_WAIT) {
                    return Err(Fault::new(FaultKind::TooSlow, "an alarm was not acknowledged"));
                }
                if now.elapsed >= self.beat_at {
                    self.beat_at = now.elapsed + Duration::from_secs(self.settings.heartbeat_s.into());
                    self.outputs.push_back(Output::Send(Bytes::from_static(b"HB R\r\n")));
                }
            }
            Stage::Away(_) | Stage::Connecting | Stage::Entering(_) | Stage::Ended => {}
        }
        Ok(())
    }

    fn next_wake(&self) -> Option<Duration> {
        match self.stage {
            Stage::Away(until) | Stage::Entering(until) => Some(until),
            Stage::In => self.sent_at.map(|at| at + ANSWER_WAIT).into_iter().chain([self.beat_at]).min(),
            Stage::Connecting | Stage::Ended => None,
        }
    }

    fn offer(&mut self, now: Now, ticket: Ticket, report: &Report) {
        let values: Vec<_> = report.readings().map(|reading| reading.value.to_string()).collect();
        let mut what = values.join(",").replace(char::is_control, "_");
        what.truncate(what.floor_char_boundary(ALARM_BYTES_MAX));
        let measured_at = report.readings().next().map_or(now.wall, |reading| reading.measured_at);
        self.waiting.push_back(Alarm { ticket, what, at_ms: measured_at.unix_ms() });
        self.send_next(now);
    }

    fn end(&mut self) {
        self.stage = Stage::Ended;
    }

    fn outputs(&mut self) -> &mut VecDeque<Output> {
        &mut self.outputs
    }
}

impl Session for Device {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        self.take_in(now, input)
    }

    fn poll(&mut self) -> Output {
        self.next_output()
    }
}
