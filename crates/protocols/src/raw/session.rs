//! The head-end's side of one connection, or of one peer of a UDP socket: lines in, and an answer to those that have a number.

use std::sync::Arc;

use bytes::Bytes;
use loggerhead_model::{CommandState, DeviceId, Direction, Identity, RawFrame, Records};

use super::answer;
use super::frame::{Cut, Cutter};
use super::message::{Entry, read, value};
use super::readings::report;
use super::settings::{Settings, Word};
use crate::peer::address;
use crate::recorder::{Recorder, Stage, answer_due, check_sequence};
use crate::{Answer, Carrier, CloseReason, Fault, FaultKind, Input, Now, Opening, Output, Session, Verdict};

/// Bytes that may come while the session waits for an answer: what one read takes, and the longest line before it.
const HELD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    recorder: Recorder,
    settings: Arc<Settings>,
    cutter: Cutter,
    /// A line ends with its datagram.
    carrier: Carrier,
    /// The name under which it came in, where its lines say one.
    name: Option<String>,
}

impl HeadEnd {
    /// For a device that has just connected, or sent its first datagram.
    pub(super) fn new(settings: Arc<Settings>, now: Now, opening: &Opening) -> Self {
        Self {
            recorder: Recorder::new(now, opening),
            cutter: Cutter::new(settings.line_bytes_max),
            settings,
            carrier: opening.carrier,
            name: None,
        }
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        if !self.recorder.hear(now, self.cutter.held_bytes() + bytes.len(), HELD_BYTES_MAX)? {
            return Ok(());
        }
        self.cutter.push(bytes);
        if self.carrier.is_datagrams() && !bytes.ends_with(b"\n") {
            self.cutter.push(b"\n");
        }
        Ok(())
    }

    /// Takes lines until there are none, or until something has to be waited for.
    fn work(&mut self, now: Now) -> Result<(), Fault> {
        while self.recorder.may_go_on() {
            // What a peer that ended has not ended ends there.
            let cut = self.cutter.cut();
            match cut.or_else(|| if self.recorder.is_ending() { self.cutter.cut_rest() } else { None }) {
                Some(Cut::Line(line)) => self.line(now, line)?,
                Some(Cut::Fault(fault)) => self.recorder.fault(fault)?,
                None => break,
            }
        }
        Ok(())
    }

    fn line(&mut self, now: Now, line: Bytes) -> Result<(), Fault> {
        match (&self.recorder.stage, read(&line, &self.settings)) {
            // A device's own patterns may read what those of its listener do not.
            (Stage::Strange, read) => match read.unwrap_or_default() {
                entries if entries.is_empty() && self.is_passed_over(&line) => Ok(()),
                entries => self.introduce(line, &entries),
            },
            (Stage::In(_), Ok(entries)) if entries.is_empty() => Ok(()),
            (Stage::In(device), Ok(entries)) => {
                let device = device.clone();
                self.keep(now, device, line, &entries)
            }
            (Stage::In(_), Err(fault)) => self.recorder.fault(fault),
            (Stage::Proving(_) | Stage::Ended, _) => Ok(()),
        }
    }

    /// Whether a line says nothing because it is blank, or because settings say so.
    fn is_passed_over(&self, line: &[u8]) -> bool {
        read(line, &self.settings).is_ok_and(|entries| entries.is_empty())
    }

    /// Asks whether the device is who its first line, its listener or else its address says it is.
    fn introduce(&mut self, line: Bytes, entries: &[Entry]) -> Result<(), Fault> {
        let said = value(entries, self.settings.name_of(Word::Device));
        let identity = match (said, &self.settings.identity) {
            (Some(name), _) => Identity::new(name),
            (None, Some(identity)) => Ok(identity.clone()),
            (None, None) => Identity::new(&address(&self.recorder.peer)),
        };
        let identity = match identity {
            Ok(identity) => identity,
            Err(error) => {
                let reason = format!("the device's name: {error}");
                return self.recorder.fault(Fault::new(FaultKind::Malformed, reason));
            }
        };
        self.name = said.map(str::to_owned);
        let secret = value(entries, self.settings.name_of(Word::Secret));
        self.recorder.introduce(identity, secret, line);
        Ok(())
    }

    fn verdict(&mut self, now: Now, verdict: Verdict) -> Result<(), Fault> {
        let admitted = self.recorder.verdict(verdict, |own| {
            if !own.is_empty() {
                self.settings = Arc::new(self.settings.with_device(own)?);
                self.cutter.set_line_bytes_max(self.settings.line_bytes_max);
            }
            Ok(self.settings.expect)
        })?;
        admitted.map_or(Ok(()), |line| self.line(now, line))
    }

    /// Keeps what a line of a known device says.
    fn keep(&mut self, now: Now, device: DeviceId, line: Bytes, entries: &[Entry]) -> Result<(), Fault> {
        let settings = Arc::clone(&self.settings);
        let other = value(entries, settings.name_of(Word::Device)).filter(|name| self.name.as_deref() != Some(name));
        if let Some(other) = other {
            let reason = format!("a line of {other:?} on a connection of {device}: each device has its own");
            return self.recorder.fault(Fault::new(FaultKind::OutOfOrder, reason));
        }
        let sequence = value(entries, settings.name_of(Word::Sequence));
        if let Err(fault) = check_sequence(sequence) {
            return self.recorder.fault(fault);
        }
        let mut wrong_time = None;
        let report = report(entries, &settings, |entry| match entry.value(settings.name_of(Word::Time)) {
            Some(time) => settings.time(time.trim()).unwrap_or_else(|| {
                wrong_time = Some(format!("{time:?} is no time of the clock that is set"));
                self.recorder.received_at(now)
            }),
            None => self.recorder.received_at(now),
        });
        let report = match report {
            Ok(report) => report,
            Err(error) => return self.recorder.fault(Fault::new(FaultKind::TooLarge, error.to_string())),
        };
        match wrong_time {
            Some(reason) => self.recorder.fault(Fault::new(FaultKind::Malformed, reason))?,
            None => self.recorder.understood(),
        }
        let is_secret = value(entries, settings.name_of(Word::Secret)).is_some();
        let answer = answer_due(&settings.answer, sequence);
        let records = Records {
            device,
            received_at: now.wall,
            report: (!report.is_empty()).then_some(report),
            // A secret is in no frame that can be looked at.
            frame: (!is_secret).then_some(RawFrame { direction: Direction::In, bytes: line }),
            events: Vec::new(),
            notes: Vec::new(),
        };
        self.recorder.store(records, answer);
        Ok(())
    }

    /// Whether a whole line has come.
    fn has_begun(&self) -> bool {
        self.cutter.taken_bytes() > 0
    }
}

impl Session for HeadEnd {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Bytes(bytes) => self.bytes(now, bytes)?,
            Input::Eof => self.recorder.wind_up(now, CloseReason::PeerDone),
            Input::Wake => self.recorder.wake(now, self.settings.idle, self.has_begun()),
            Input::Answer(Answer::Verdict(verdict)) => self.verdict(now, verdict)?,
            Input::Stored(receipt) => self
                .recorder
                .stored(receipt, |receipt, sequence| answer::encode(receipt, &self.settings.answer, sequence)),
            Input::NotStored(ticket) => self.recorder.not_stored(ticket),
            Input::Command(command) => {
                let reason = "the device has no protocol, so nothing can be asked of it".to_owned();
                self.recorder.outputs.push_back(Output::Command(command.id, CommandState::Failed(reason)));
            }
            Input::Shutdown(reason) => self.recorder.shut_down(now, reason),
            Input::Disconnected => self.recorder.stage = Stage::Ended,
            Input::Answer(_) | Input::Connected | Input::Offer(..) => {}
        }
        self.work(now)?;
        self.recorder.end(now, self.cutter.held_bytes() == 0);
        Ok(())
    }

    fn poll(&mut self) -> Output {
        self.recorder.poll(self.settings.idle, self.has_begun())
    }

    fn wants_bytes(&self) -> bool {
        self.recorder.may_go_on()
    }
}
