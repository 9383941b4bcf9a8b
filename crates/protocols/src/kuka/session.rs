//! The head-end's side of a conversation with a robot: documents in, answers and what commands write out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{
    Command, CommandState, DeviceId, Direction, Event, EventKind, Identity, RawFrame, Receipt, Records, Severity,
    Ticket, Timestamp,
};

use super::answer;
use super::frame::{Cut, Cutter, DOCUMENT_BYTES_MAX, Framing};
use super::message::{Document, read};
use super::orders;
use super::readings::report;
use super::redaction::without_secret;
use super::settings::{SEQUENCE_PLACE, Settings};
use crate::peer::address;
use crate::{
    Answer, Carrier, Claim, CloseReason, Company, Fault, FaultKind, Input, Now, Opening, Output, Proof, Question,
    Session, Verdict,
};

/// Documents that wait for the store: more are left with the transport, which slows the robot down.
const WAITING_MAX: usize = 64;
/// Bytes that may come while the session waits for an answer: what one read takes, and a document before it.
const HELD_BYTES_MAX: usize = 8 * DOCUMENT_BYTES_MAX;
/// Most faults of a robot that is not known yet.
const FAULTS_BEFORE_LOGIN_MAX: u32 = 16;
/// Most faults of one that is, between two documents that were understood.
const FAULTS_IN_A_ROW_MAX: u32 = 256;
/// Longest number of a document; a robot's counters have ten digits.
const SEQUENCE_BYTES_MAX: usize = 64;
/// Characters of an event: a robot's texts are of one line.
const EVENT_CHARS_MAX: usize = 500;
/// How long a connection that ends waits for the store, so that what is committed is acknowledged too.
const WIND_UP_WAIT: Duration = Duration::from_secs(5);

/// How far a robot has come.
enum Stage {
    /// Nothing has come from it.
    Strange,
    /// Its first frame waits for the verdict on who it is.
    Proving(Bytes),
    /// It is known.
    In(DeviceId),
    Ended,
}

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    settings: Arc<Settings>,
    carrier: Carrier,
    cutter: Cutter,
    stage: Stage,
    peer: Arc<str>,
    outputs: VecDeque<Output>,
    /// What waits for the store, each with the number to acknowledge.
    waiting: BTreeMap<Ticket, Option<String>>,
    tickets: u64,
    faults: u32,
    /// What an event said last, by path: a text that stands in every document is told once.
    told: BTreeMap<String, String>,
    /// The latest time given to a document without one, so that no two have the same.
    received_last: Timestamp,
    heard_at: Duration,
    speak_by: Duration,
    login_by: Duration,
    ending: Option<(Duration, CloseReason)>,
}

impl HeadEnd {
    /// For a robot that has just connected.
    pub(super) fn new(settings: Arc<Settings>, now: Now, opening: Opening) -> Self {
        Self {
            cutter: Cutter::new(settings.framing()),
            settings,
            carrier: opening.carrier,
            stage: Stage::Strange,
            peer: opening.peer,
            outputs: VecDeque::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
            faults: 0,
            told: BTreeMap::new(),
            received_last: Timestamp::from_unix_ms(i64::MIN),
            heard_at: now.elapsed,
            speak_by: now.elapsed + opening.limits.first_frame.min(opening.limits.login),
            login_by: now.elapsed + opening.limits.login,
            ending: None,
        }
    }

    fn may_go_on(&self) -> bool {
        let may_read = matches!(self.stage, Stage::Strange | Stage::In(_));
        may_read && self.waiting.len() < WAITING_MAX
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        self.heard_at = now.elapsed;
        if self.ending.is_some() || matches!(self.stage, Stage::Ended) {
            return Ok(());
        }
        let held = self.cutter.held_bytes() + bytes.len();
        if !self.may_go_on() && held > HELD_BYTES_MAX {
            return Err(Fault::new(FaultKind::TooLarge, format!("{held} bytes came while an answer was due")));
        }
        self.cutter.push(bytes);
        Ok(())
    }

    /// Takes frames until there are none, or until something has to be waited for.
    fn work(&mut self, now: Now) -> Result<(), Fault> {
        while self.may_go_on() {
            match self.cutter.cut() {
                Some(Cut::Frame(frame)) => self.frame(now, frame)?,
                Some(Cut::Fault(fault)) => self.fault(fault)?,
                None => {
                    // Bytes of a datagram never go on in the next one.
                    let fault = if self.carrier == Carrier::Datagrams { self.cutter.end() } else { None };
                    return fault.map_or(Ok(()), |fault| self.fault(fault));
                }
            }
        }
        Ok(())
    }

    /// Counts what a robot did wrong, and gives up on one that does little else.
    fn fault(&mut self, fault: Fault) -> Result<(), Fault> {
        self.faults += 1;
        let max = if matches!(self.stage, Stage::In(_)) { FAULTS_IN_A_ROW_MAX } else { FAULTS_BEFORE_LOGIN_MAX };
        if self.faults > max {
            let reason = format!("{} faults in a row, the last: {}", self.faults, fault.reason);
            return Err(Fault::new(fault.kind, reason));
        }
        self.outputs.push_back(Output::Fault(fault));
        Ok(())
    }

    fn frame(&mut self, now: Now, frame: Bytes) -> Result<(), Fault> {
        let is_document = matches!(self.settings.framing(), Framing::Documents { .. });
        let document = if is_document {
            match read(&frame) {
                Ok(document) => Some(document),
                Err(fault) => return self.fault(fault),
            }
        } else {
            None
        };
        match (&self.stage, document) {
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
        let name = value(&self.settings.identity).map_or_else(|| address(&self.peer), |name| name.trim().to_owned());
        let identity = match Identity::new(&name) {
            Ok(identity) => identity,
            Err(error) => return self.fault(Fault::new(FaultKind::Malformed, format!("the robot's name: {error}"))),
        };
        let proof = match value(&self.settings.secret) {
            Some(secret) => Proof::secret(secret.as_bytes()),
            None => Proof::Name,
        };
        let claim = Claim { identity, proof, remember: None, company: Company::Alone };
        self.outputs.push_back(Output::Ask(Question::Prove(claim)));
        self.stage = Stage::Proving(frame);
        Ok(())
    }

    fn verdict(&mut self, now: Now, verdict: Verdict) -> Result<(), Fault> {
        let Stage::Proving(frame) = &self.stage else { return Ok(()) };
        let frame = frame.clone();
        match verdict {
            Verdict::Refused(_) => {
                self.close(CloseReason::Refused);
                Ok(())
            }
            Verdict::Accepted(admission) => {
                if !admission.settings.is_empty() {
                    let own = self.settings.with_device(&admission.settings).map_err(|error| {
                        Fault::new(FaultKind::NotProven, format!("the settings of {}: {error}", admission.device))
                    })?;
                    self.settings = Arc::new(own);
                }
                self.faults = 0;
                self.outputs.push_back(Output::ExpectWithin(self.settings.expect));
                self.stage = Stage::In(admission.device);
                self.frame(now, frame)
            }
        }
    }

    /// Keeps what a document of a known robot says.
    fn document(&mut self, now: Now, device: DeviceId, frame: &Bytes, document: &Document) -> Result<(), Fault> {
        let settings = Arc::clone(&self.settings);
        let measured_at = match document.value(&settings.time).map(|time| Timestamp::parse(time.trim())) {
            Some(Ok(time)) => time,
            Some(Err(error)) => {
                self.fault(Fault::new(FaultKind::Malformed, error.to_string()))?;
                self.received_at(now)
            }
            None => self.received_at(now),
        };
        let sequence = document.value(&settings.sequence).map(str::trim).filter(|number| !number.is_empty());
        if sequence.is_some_and(|number| number.len() > SEQUENCE_BYTES_MAX) {
            let reason = format!("a number of over {SEQUENCE_BYTES_MAX} bytes");
            return self.fault(Fault::new(FaultKind::TooLarge, reason));
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
            self.outputs.push_back(Output::Fault(Fault::new(FaultKind::OutOfOrder, reason)));
        }
        self.faults = 0;
        let answer = self.answer_due(sequence);
        let report = report(&values, measured_at).expect("a document has fewer values than a report may have");
        self.store(
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
        let measured_at = self.received_at(now);
        let name = self.settings.configuration.as_ref().and_then(|configuration| configuration.sent.first());
        let mut value = String::with_capacity(frame.len());
        if frame.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            value.extend(frame.iter().copied().map(char::from));
        } else {
            let digits = frame.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            value.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
        }
        let report = report(&[(name.cloned().unwrap_or_default(), value)], measured_at).expect("one value fits");
        let answer = self.answer_due(None);
        self.store(
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

    /// The number to answer with; `None` where nothing is to be said.
    fn answer_due(&self, sequence: Option<&str>) -> Option<String> {
        let answer = &self.settings.answer;
        let wants_number = answer.contains(SEQUENCE_PLACE);
        if answer.is_empty() || (wants_number && sequence.is_none()) {
            return None;
        }
        Some(sequence.unwrap_or_default().to_owned())
    }

    /// Our clock, a little later than for the document before: robots send several within a millisecond.
    fn received_at(&mut self, now: Now) -> Timestamp {
        let next = self.received_last.unix_ms().saturating_add(1);
        self.received_last = Timestamp::from_unix_ms(now.wall.unix_ms().max(next));
        self.received_last
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
            peer: Some(self.peer.to_string()),
            text: format!("{path}: {value}").into(),
        })
    }

    fn store(&mut self, records: Records, answer: Option<String>) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, answer);
        self.outputs.push_back(Output::Store(ticket, records));
    }

    fn stored(&mut self, receipt: Receipt) {
        if let Some(Some(sequence)) = self.waiting.remove(&receipt.ticket()) {
            let answer = answer::encode(receipt, &self.settings.answer, &sequence);
            self.outputs.push_back(Output::Send(answer));
        }
    }

    /// Writes what an operator asks for, where the settings let it.
    fn command(&mut self, now: Now, command: &Command) {
        let state = match (&self.stage, orders::document(&command.order, &self.settings.writable)) {
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
                self.outputs.extend([Output::Send(document), Output::Keep(written)]);
                self.outputs.push_back(Output::Command(command.id, CommandState::Sent));
                CommandState::Answered("written; the robot confirms nothing by itself".to_owned())
            }
            (Stage::In(_), Err(reason)) => CommandState::Failed(reason),
            (Stage::Strange | Stage::Proving(_) | Stage::Ended, _) => {
                CommandState::Failed("the robot is not known yet".to_owned())
            }
        };
        self.outputs.push_back(Output::Command(command.id, state));
    }

    fn close(&mut self, reason: CloseReason) {
        if !matches!(self.stage, Stage::Ended) {
            self.stage = Stage::Ended;
            self.outputs.push_back(Output::Close(reason));
        }
    }

    /// Ends once the store has answered.
    fn wind_up(&mut self, now: Now, reason: CloseReason) {
        if !matches!(self.stage, Stage::Ended) {
            self.ending.get_or_insert((now.elapsed + WIND_UP_WAIT, reason));
        }
    }

    fn wake(&mut self, now: Now) {
        let silence = now.elapsed.saturating_sub(self.heard_at);
        match self.stage {
            Stage::Strange | Stage::Proving(_) if now.elapsed >= self.silent_at() => {
                self.close(CloseReason::Silent(silence));
            }
            Stage::In(_) if now.elapsed >= self.silent_at() => self.close(CloseReason::Silent(silence)),
            Stage::Strange | Stage::Proving(_) | Stage::In(_) | Stage::Ended => {}
        }
    }

    /// When the robot has been silent for too long.
    fn silent_at(&self) -> Duration {
        match self.stage {
            Stage::Strange if self.cutter.taken_bytes() == 0 => self.speak_by,
            Stage::Strange | Stage::Proving(_) => self.login_by,
            Stage::In(_) => self.heard_at + self.settings.idle,
            Stage::Ended => Duration::MAX,
        }
    }

    /// Ends a connection that was to end and waits for nothing any more.
    fn end(&mut self, now: Now) {
        let is_due = |(by, _): &mut (Duration, CloseReason)| *by <= now.elapsed || self.waiting.is_empty();
        if !matches!(self.stage, Stage::Proving(_))
            && let Some((_, reason)) = self.ending.take_if(is_due)
        {
            self.close(reason);
        }
    }
}

impl Session for HeadEnd {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Bytes(bytes) => self.bytes(now, bytes)?,
            Input::Eof => {
                self.work(now)?;
                self.wind_up(now, CloseReason::PeerDone);
            }
            Input::Wake => self.wake(now),
            Input::Answer(Answer::Verdict(verdict)) => self.verdict(now, verdict)?,
            Input::Stored(receipt) => self.stored(receipt),
            Input::NotStored(ticket) => drop(self.waiting.remove(&ticket)),
            Input::Command(command) => self.command(now, &command),
            Input::Shutdown(reason) => match reason {
                CloseReason::Stopping | CloseReason::Reconfigured => self.wind_up(now, reason),
                CloseReason::TakenOver
                | CloseReason::PeerDone
                | CloseReason::Silent(_)
                | CloseReason::Refused
                | CloseReason::Fault(_) => self.close(reason),
            },
            Input::Disconnected => self.stage = Stage::Ended,
            Input::Answer(_) | Input::Connected | Input::Offer(..) => {}
        }
        self.work(now)?;
        self.end(now);
        Ok(())
    }

    fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        // An idle connection keeps no memory for what it is not doing.
        self.outputs = VecDeque::new();
        let silent_at = Some(self.silent_at()).filter(|at| *at != Duration::MAX);
        let wake_at = silent_at.into_iter().chain(self.ending.as_ref().map(|(by, _)| *by)).min();
        Output::Idle { wake_at }
    }

    fn wants_bytes(&self) -> bool {
        self.may_go_on()
    }
}
