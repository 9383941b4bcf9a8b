//! The head-end's side of a conversation with a robot: documents in, answers and what commands write out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{
    Command, CommandState, DeviceId, Direction, Event, EventKind, Identity, RawFrame, Records, Severity, Timestamp,
};

use super::answer;
use super::frame::{Cut, Cutter, DOCUMENT_BYTES_MAX, Framing};
use super::message::{Document, read};
use super::orders;
use super::readings::report;
use super::redaction::without_secret;
use super::settings::Settings;
use crate::peer::address;
use crate::recorder::{Recorder, Stage, answer_due, check_sequence};
use crate::{Answer, Carrier, CloseReason, Fault, FaultKind, Input, Now, Opening, Output, Session, Verdict};

/// Bytes that may come while the session waits for an answer: what one read takes, and a document before it.
const HELD_BYTES_MAX: usize = 8 * DOCUMENT_BYTES_MAX;
/// Characters of an event: a robot's texts are of one line.
const EVENT_CHARS_MAX: usize = 500;

/// A robot that is a server over UDP learns from this who it speaks to; between documents it is nothing. Source: \[3\].
const HERE: &[u8] = &[0];

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    recorder: Recorder,
    settings: Arc<Settings>,
    carrier: Carrier,
    cutter: Cutter,
    /// What an event said last, by path: a text that stands in every document is told once.
    told: BTreeMap<String, String>,
}

impl HeadEnd {
    /// For a robot that has just connected.
    pub(super) fn new(settings: Arc<Settings>, now: Now, opening: &Opening) -> Self {
        let mut recorder = Recorder::new(now, opening);
        if opening.carrier == Carrier::CalledDatagrams {
            recorder.outputs.push_back(Output::Send(Bytes::from_static(HERE)));
        }
        Self {
            recorder,
            cutter: Cutter::new(settings.framing()),
            settings,
            carrier: opening.carrier,
            told: BTreeMap::new(),
        }
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        if self.recorder.hear(now, self.cutter.held_bytes() + bytes.len(), HELD_BYTES_MAX)? {
            self.cutter.push(bytes);
        }
        Ok(())
    }

    /// Takes frames until there are none, or until something has to be waited for.
    fn work(&mut self, now: Now) -> Result<(), Fault> {
        while self.recorder.may_go_on() {
            match self.cutter.cut() {
                Some(Cut::Frame(frame)) => self.frame(now, frame)?,
                Some(Cut::Fault(fault)) => self.recorder.fault(fault)?,
                None => {
                    // Bytes of a datagram never go on in the next one.
                    let fault = if self.carrier.is_datagrams() { self.cutter.end() } else { None };
                    return fault.map_or(Ok(()), |fault| self.recorder.fault(fault));
                }
            }
        }
        Ok(())
    }

    fn frame(&mut self, now: Now, frame: Bytes) -> Result<(), Fault> {
        let is_document = matches!(self.settings.framing(), Framing::Documents { .. });
        let document = if is_document {
            match read(&frame) {
                Ok(document) => Some(document),
                Err(fault) => return self.recorder.fault(fault),
            }
        } else {
            None
        };
        match (&self.recorder.stage, document) {
            (Stage::Strange, document) => self.introduce(frame, document.as_ref()),
            (Stage::In(device), Some(document)) => {
                let device = device.clone();
                self.document(now, device, &frame, &document)
            }
            (Stage::In(device), None) => {
                let device = device.clone();
                self.raw(now, device, frame);
                Ok(())
            }
            (Stage::Proving(_) | Stage::Ended, _) => Ok(()),
        }
    }

    /// Asks whether the robot is who its first frame, or else its address, says it is.
    fn introduce(&mut self, frame: Bytes, document: Option<&Document>) -> Result<(), Fault> {
        let value = |path: &str| document.and_then(|document| document.value(path)).filter(|value| !value.is_empty());
        let name =
            value(&self.settings.identity).map_or_else(|| address(&self.recorder.peer), |name| name.trim().to_owned());
        let identity = match Identity::new(&name) {
            Ok(identity) => identity,
            Err(error) => {
                let reason = format!("the robot's name: {error}");
                return self.recorder.fault(Fault::new(FaultKind::Malformed, reason));
            }
        };
        self.recorder.introduce(identity, value(&self.settings.secret), frame);
        Ok(())
    }

    fn verdict(&mut self, now: Now, verdict: Verdict) -> Result<(), Fault> {
        let admitted = self.recorder.verdict(verdict, |own| {
            if !own.is_empty() {
                self.settings = Arc::new(self.settings.with_device(own)?);
            }
            Ok(self.settings.expect)
        })?;
        admitted.map_or(Ok(()), |frame| self.frame(now, frame))
    }

    /// Keeps what a document of a known robot says.
    fn document(&mut self, now: Now, device: DeviceId, frame: &Bytes, document: &Document) -> Result<(), Fault> {
        let settings = Arc::clone(&self.settings);
        let measured_at = match document.value(&settings.time).map(|time| Timestamp::parse(time.trim())) {
            Some(Ok(time)) => time,
            Some(Err(error)) => {
                self.recorder.fault(Fault::new(FaultKind::Malformed, error.to_string()))?;
                self.recorder.received_at(now)
            }
            None => self.recorder.received_at(now),
        };
        let sequence = document.value(&settings.sequence).map(str::trim).filter(|number| !number.is_empty());
        if let Err(fault) = check_sequence(sequence) {
            return self.recorder.fault(fault);
        }
        let (mut values, mut events, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for (path, value) in document.values().filter(|(path, _)| !settings.is_own(path)) {
            if settings.configuration.as_ref().is_some_and(|configuration| !configuration.sends(&path)) {
                unknown.push(path);
            } else if settings.events.iter().any(|event| *event == path) {
                events.extend(self.event(now, &device, &path, value));
            } else {
                values.push((path.into_owned(), value.to_owned()));
            }
        }
        if let Some(first) = unknown.first() {
            let reason = format!("{} values that the configuration does not name, as {first}", unknown.len());
            self.recorder.outputs.push_back(Output::Fault(Fault::new(FaultKind::OutOfOrder, reason)));
        }
        self.recorder.understood();
        let answer = answer_due(&settings.answer, sequence);
        let report = report(&values, measured_at).expect("a document has fewer values than a report may have");
        self.recorder.store(
            Records {
                device,
                received_at: now.wall,
                report: (!report.is_empty()).then_some(report),
                frame: without_secret(frame, document, &settings.secret)
                    .map(|bytes| RawFrame { direction: Direction::In, bytes }),
                events,
                notes: Vec::new(),
            },
            answer,
        );
        Ok(())
    }

    /// Keeps a raw element: its characters where it has some, else its bytes as hex digits.
    fn raw(&mut self, now: Now, device: DeviceId, frame: Bytes) {
        let measured_at = self.recorder.received_at(now);
        let name = self.settings.configuration.as_ref().and_then(|configuration| configuration.sent.first());
        let mut value = String::with_capacity(frame.len());
        if frame.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            value.extend(frame.iter().copied().map(char::from));
        } else {
            let digits = frame.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            value.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
        }
        let report = report(&[(name.cloned().unwrap_or_default(), value)], measured_at).expect("one value fits");
        let answer = answer_due(&self.settings.answer, None);
        self.recorder.store(
            Records {
                device,
                received_at: now.wall,
                report: Some(report),
                frame: Some(RawFrame { direction: Direction::In, bytes: frame }),
                events: Vec::new(),
                notes: Vec::new(),
            },
            answer,
        );
    }

    /// An event, unless the robot said the same the last time.
    fn event(&mut self, now: Now, device: &DeviceId, path: &str, value: &str) -> Option<Event> {
        let value: String = value.chars().take(EVENT_CHARS_MAX).collect();
        if self.told.insert(path.to_owned(), value.clone()).as_ref() == Some(&value) || value.is_empty() {
            return None;
        }
        Some(Event {
            at: now.wall,
            severity: Severity::Info,
            kind: EventKind::DeviceInfo,
            device: Some(device.clone()),
            peer: Some(self.recorder.peer.to_string()),
            text: format!("{path}: {value}").into(),
        })
    }

    /// Writes what an operator asks for, where the settings let it.
    fn command(&mut self, now: Now, command: &Command) {
        let state = match (&self.recorder.stage, orders::document(&command.order, &self.settings.writable)) {
            (Stage::In(device), Ok(document)) => {
                let document = Bytes::from(document);
                let written = Records {
                    device: device.clone(),
                    received_at: now.wall,
                    report: None,
                    frame: Some(RawFrame { direction: Direction::Out, bytes: document.clone() }),
                    events: Vec::new(),
                    notes: Vec::new(),
                };
                self.recorder.outputs.extend([Output::Send(document), Output::Keep(written)]);
                self.recorder.outputs.push_back(Output::Command(command.id, CommandState::Sent));
                CommandState::Answered("written; the robot confirms nothing by itself".to_owned())
            }
            (Stage::In(_), Err(reason)) => CommandState::Failed(reason),
            (Stage::Strange | Stage::Proving(_) | Stage::Ended, _) => {
                CommandState::Failed("the robot is not known yet".to_owned())
            }
        };
        self.recorder.outputs.push_back(Output::Command(command.id, state));
    }

    /// How long it may be silent. A robot that forgot us over UDP says nothing until it is called again, and nothing tells of that.
    fn idle(&self) -> Duration {
        if self.carrier == Carrier::CalledDatagrams { self.settings.expect } else { self.settings.idle }
    }

    /// Whether a whole frame has come.
    fn has_begun(&self) -> bool {
        self.cutter.taken_bytes() > 0
    }
}

impl Session for HeadEnd {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Bytes(bytes) => self.bytes(now, bytes)?,
            Input::Eof => {
                self.work(now)?;
                self.recorder.wind_up(now, CloseReason::PeerDone);
            }
            Input::Wake => self.recorder.wake(now, self.idle(), self.has_begun()),
            Input::Answer(Answer::Verdict(verdict)) => self.verdict(now, verdict)?,
            Input::Stored(receipt) => self
                .recorder
                .stored(receipt, |receipt, sequence| answer::encode(receipt, &self.settings.answer, sequence)),
            Input::NotStored(ticket) => self.recorder.not_stored(ticket),
            Input::Command(command) => self.command(now, &command),
            Input::Shutdown(reason) => self.recorder.shut_down(now, reason),
            Input::Disconnected => self.recorder.stage = Stage::Ended,
            Input::Answer(_) | Input::Connected | Input::Offer(..) => {}
        }
        self.work(now)?;
        self.recorder.end(now, true);
        Ok(())
    }

    fn poll(&mut self) -> Output {
        self.recorder.poll(self.idle(), self.has_begun())
    }

    fn wants_bytes(&self) -> bool {
        self.recorder.may_go_on()
    }
}
