//! The robot's side: sends a state every cycle, by its own clock, and counts the answers that it misses.
//!
//! What it is given stands in its states until one of them is answered in time.

use std::collections::VecDeque;
use std::time::Duration;

use loggerhead_model::{Event, EventKind, Report, Severity, Ticket};

use super::frame::document;
use super::message::{values, write};
use super::settings::RobotSide;
use crate::reconnect::Attempts;
use crate::{CloseReason, Fault, FaultKind, Input, Now, Opening, Output, Session, SettingsError};

/// Answers that are missed in a row before a robot stops. Source: \[1\], Timeout.
const MISSES_MAX: u64 = 100;
/// The number of the first cycle; robots count from their start.
const IPOC_FIRST: u64 = 123_000;

enum Stage {
    /// It waits until then before it begins again.
    Away(Duration),
    /// It has asked for a socket.
    Connecting,
    /// The next state is due then.
    Running(Duration),
    Ended,
}

/// The robot's side of its conversations.
struct Device {
    settings: RobotSide,
    stage: Stage,
    outputs: VecDeque<Output>,
    /// What it was given and was not answered for; the first one stands in its states.
    waiting: VecDeque<(Ticket, Report)>,
    ipoc: u64,
    /// The last state has its answer.
    is_answered: bool,
    /// It has been answered since it began.
    is_greeted: bool,
    /// All answers that it missed.
    delay: u64,
    misses_in_a_row: u64,
    attempts: Attempts,
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
        waiting: VecDeque::new(),
        ipoc: IPOC_FIRST,
        is_answered: true,
        is_greeted: false,
        delay: 0,
        misses_in_a_row: 0,
        attempts: Attempts::default(),
    }))
}

impl Device {
    fn connected(&mut self, now: Now) {
        self.is_answered = true;
        self.is_greeted = false;
        self.misses_in_a_row = 0;
        self.stage = Stage::Running(now.elapsed);
    }

    /// The clock has come to the next cycle.
    fn cycle(&mut self, due: Duration) -> Result<(), Fault> {
        if !self.is_answered {
            self.delay += 1;
            self.misses_in_a_row += 1;
            if self.misses_in_a_row == MISSES_MAX {
                return Err(Fault::new(FaultKind::TooSlow, format!("{MISSES_MAX} answers in a row are missing")));
            }
            self.outputs.push_back(Output::Fault(Fault::new(FaultKind::TooSlow, "no answer within the cycle")));
        }
        self.ipoc += self.settings.cycle_ms;
        self.is_answered = false;
        self.stage = Stage::Running(due + Duration::from_millis(self.settings.cycle_ms));
        let state = self.state();
        self.outputs.push_back(Output::Send(state.into()));
        Ok(())
    }

    fn state(&self) -> String {
        let report = self.waiting.front().map(|(_, report)| report);
        let given: Vec<(&str, String)> = report
            .into_iter()
            .flat_map(Report::readings)
            .filter(|reading| super::message::is_path(reading.function))
            .map(|reading| (reading.function, reading.value.to_string()))
            .collect();
        let (delay, ipoc) = (self.delay.to_string(), self.ipoc.to_string());
        let mut said: Vec<(&str, &str)> = given.iter().map(|(path, value)| (*path, value.as_str())).collect();
        said.extend([("Delay/@D", delay.as_str()), ("IPOC", ipoc.as_str())]);
        write("Rob", ("Type", "KUKA"), &said)
    }

    fn answer(&mut self, now: Now, datagram: &[u8]) {
        let read = document(datagram, "Sen").and_then(values);
        let echoed = read.map(|values| values.into_iter().find(|(path, _)| path == "IPOC").map(|(_, ipoc)| ipoc));
        match echoed {
            // An answer to an earlier cycle came too late and was counted then.
            Ok(ipoc) if ipoc.as_ref() != Some(&self.ipoc.to_string()) => {}
            Ok(_) => self.answered(now),
            Err(fault) => self.outputs.push_back(Output::Fault(fault)),
        }
    }

    fn answered(&mut self, now: Now) {
        if std::mem::replace(&mut self.is_answered, true) {
            return;
        }
        self.misses_in_a_row = 0;
        self.attempts.succeeded();
        if !std::mem::replace(&mut self.is_greeted, true) {
            self.outputs.push_back(Output::Event(Event {
                at: now.wall,
                severity: Severity::Info,
                kind: EventKind::Login,
                device: None,
                peer: None,
                text: "answered".into(),
            }));
        }
        if let Some((ticket, _)) = self.waiting.pop_front() {
            self.outputs.push_back(Output::Delivered(ticket));
        }
    }

    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        match self.stage {
            Stage::Away(until) if now.elapsed >= until => {
                self.stage = Stage::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            // A clock that was held up goes on from now: robots do not catch up either.
            Stage::Running(due) if now.elapsed >= due => {
                let cycle = Duration::from_millis(self.settings.cycle_ms);
                let due = if now.elapsed >= due + cycle { now.elapsed } else { due };
                self.cycle(due)?;
            }
            Stage::Away(_) | Stage::Connecting | Stage::Running(_) | Stage::Ended => {}
        }
        Ok(())
    }

    fn next_wake(&self) -> Option<Duration> {
        match self.stage {
            Stage::Away(until) | Stage::Running(until) => Some(until),
            Stage::Connecting | Stage::Ended => None,
        }
    }
}

impl Session for Device {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        let taken = match input {
            Input::Connected => {
                self.connected(now);
                self.wake(now)
            }
            Input::Disconnected => {
                if !matches!(self.stage, Stage::Ended | Stage::Away(_)) {
                    let pause = self.attempts.pause(Duration::from_millis(self.settings.reconnect_ms));
                    self.stage = Stage::Away(now.elapsed + pause);
                }
                Ok(())
            }
            Input::Bytes(datagram) => {
                self.answer(now, datagram);
                Ok(())
            }
            Input::Wake => self.wake(now),
            Input::Eof => {
                self.outputs.push_back(Output::Close(CloseReason::PeerDone));
                Ok(())
            }
            Input::Offer(ticket, report) => {
                self.waiting.push_back((ticket, report));
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
