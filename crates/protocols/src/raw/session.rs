//! The head-end's side of one connection, or of one peer of a UDP socket: lines in, and an answer to those that have a number.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{CommandState, DeviceId, Direction, Identity, RawFrame, Receipt, Records, Ticket, Timestamp};

use super::answer;
use super::frame::{Cut, Cutter};
use super::message::{Entry, read, value};
use super::readings::report;
use super::settings::{SEQUENCE_PLACE, Settings, Word};
use crate::peer::address;
use crate::{
    Answer, Carrier, Claim, CloseReason, Company, Fault, FaultKind, Input, Now, Opening, Output, Proof, Question,
    Session, Verdict,
};

/// Lines that wait for the store: more are left with the transport, which slows the device down.
const WAITING_MAX: usize = 64;
/// Bytes that may come while the session waits for an answer: what one read takes, and the longest line before it.
const HELD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most faults of a device that is not known yet: some lines of a start that nobody described.
const FAULTS_BEFORE_LOGIN_MAX: u32 = 16;
/// Most faults of one that is, between two lines that were understood.
const FAULTS_IN_A_ROW_MAX: u32 = 256;
/// Longest number of a line; counters of devices have ten digits.
const SEQUENCE_BYTES_MAX: usize = 64;
/// How long a connection that ends waits for the store, so that what is committed is acknowledged too.
const WIND_UP_WAIT: Duration = Duration::from_secs(5);

/// How far a device has come.
enum Stage {
    /// Nothing has come from it.
    Strange,
    /// Its first line waits for the verdict on who it is.
    Proving(Bytes),
    /// It is known.
    In(DeviceId),
    Ended,
}

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    settings: Arc<Settings>,
    cutter: Cutter,
    /// A line ends with its datagram.
    carrier: Carrier,
    stage: Stage,
    /// The name under which it came in, where its lines say one.
    name: Option<String>,
    peer: Arc<str>,
    outputs: VecDeque<Output>,
    /// What waits for the store, each with the number to acknowledge.
    waiting: BTreeMap<Ticket, Option<String>>,
    tickets: u64,
    faults: u32,
    /// The latest time given to something without one, so that no two have the same.
    received_last: Timestamp,
    heard_at: Duration,
    speak_by: Duration,
    login_by: Duration,
    ending: Option<(Duration, CloseReason)>,
}

impl HeadEnd {
    /// For a device that has just connected, or sent its first datagram.
    pub(super) fn new(settings: Arc<Settings>, now: Now, opening: Opening) -> Self {
        Self {
            cutter: Cutter::new(settings.line_bytes_max),
            settings,
            carrier: opening.carrier,
            stage: Stage::Strange,
            name: None,
            peer: opening.peer,
            outputs: VecDeque::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
            faults: 0,
            received_last: Timestamp::from_unix_ms(i64::MIN),
            heard_at: now.elapsed,
            speak_by: now.elapsed + opening.limits.first_frame.min(opening.limits.login),
            login_by: now.elapsed + opening.limits.login,
            ending: None,
        }
    }

    fn may_go_on(&self) -> bool {
        matches!(self.stage, Stage::Strange | Stage::In(_)) && self.waiting.len() < WAITING_MAX
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
        if self.carrier == Carrier::Datagrams && !bytes.ends_with(b"\n") {
            self.cutter.push(b"\n");
        }
        Ok(())
    }

    /// Takes lines until there are none, or until something has to be waited for.
    fn work(&mut self, now: Now) -> Result<(), Fault> {
        while self.may_go_on() {
            // What a peer that ended has not ended ends there.
            let cut = self.cutter.cut();
            match cut.or_else(|| self.ending.as_ref().and_then(|_| self.cutter.cut_rest())) {
                Some(Cut::Line(line)) => self.line(now, line)?,
                Some(Cut::Fault(fault)) => self.fault(fault)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Counts what a device did wrong, and gives up on one that does little else.
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

    fn line(&mut self, now: Now, line: Bytes) -> Result<(), Fault> {
        match (&self.stage, read(&line, &self.settings)) {
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
            (Stage::In(_), Err(fault)) => self.fault(fault),
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
            (None, None) => Identity::new(&address(&self.peer)),
        };
        let identity = match identity {
            Ok(identity) => identity,
            Err(error) => return self.fault(Fault::new(FaultKind::Malformed, format!("the device's name: {error}"))),
        };
        self.name = said.map(str::to_owned);
        let proof = match value(entries, self.settings.name_of(Word::Secret)) {
            Some(secret) => Proof::secret(secret.as_bytes()),
            None => Proof::Name,
        };
        let claim = Claim { identity, proof, remember: None, company: Company::Alone };
        self.outputs.push_back(Output::Ask(Question::Prove(claim)));
        self.stage = Stage::Proving(line);
        Ok(())
    }

    fn verdict(&mut self, now: Now, verdict: Verdict) -> Result<(), Fault> {
        let Stage::Proving(line) = &self.stage else { return Ok(()) };
        let line = line.clone();
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
                    self.cutter.set_line_bytes_max(own.line_bytes_max);
                    self.settings = Arc::new(own);
                }
                self.faults = 0;
                self.outputs.push_back(Output::ExpectWithin(self.settings.expect));
                self.stage = Stage::In(admission.device);
                self.line(now, line)
            }
        }
    }

    /// Keeps what a line of a known device says.
    fn keep(&mut self, now: Now, device: DeviceId, line: Bytes, entries: &[Entry]) -> Result<(), Fault> {
        let settings = Arc::clone(&self.settings);
        let other = value(entries, settings.name_of(Word::Device)).filter(|name| self.name.as_deref() != Some(name));
        if let Some(other) = other {
            let reason = format!("a line of {other:?} on a connection of {device}: each device has its own");
            return self.fault(Fault::new(FaultKind::OutOfOrder, reason));
        }
        let sequence = value(entries, settings.name_of(Word::Sequence));
        if sequence.is_some_and(|number| number.len() > SEQUENCE_BYTES_MAX || number.chars().any(char::is_control)) {
            let reason = format!("a number of over {SEQUENCE_BYTES_MAX} bytes, or of no characters");
            return self.fault(Fault::new(FaultKind::TooLarge, reason));
        }
        let mut wrong_time = None;
        let report = report(entries, &settings, |entry| match entry.value(settings.name_of(Word::Time)) {
            Some(time) => settings.time(time.trim()).unwrap_or_else(|| {
                wrong_time = Some(format!("{time:?} is no time of the clock that is set"));
                self.received_at(now)
            }),
            None => self.received_at(now),
        });
        let report = match report {
            Ok(report) => report,
            Err(error) => return self.fault(Fault::new(FaultKind::TooLarge, error.to_string())),
        };
        match wrong_time {
            Some(reason) => self.fault(Fault::new(FaultKind::Malformed, reason))?,
            None => self.faults = 0,
        }
        let is_secret = value(entries, settings.name_of(Word::Secret)).is_some();
        let answer = self.answer_due(sequence);
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, answer);
        let records = Records {
            device,
            received_at: now.wall,
            report: (!report.is_empty()).then_some(report),
            // A secret is in no frame that can be looked at.
            frame: (!is_secret).then_some(RawFrame { direction: Direction::In, bytes: line }),
            events: Vec::new(),
            notes: Vec::new(),
        };
        self.outputs.push_back(Output::Store(ticket, records));
        Ok(())
    }

    /// The number to answer with; `None` where nothing is to be said.
    fn answer_due(&self, sequence: Option<&str>) -> Option<String> {
        let answer = &self.settings.answer;
        if answer.is_empty() || (answer.contains(SEQUENCE_PLACE) && sequence.is_none()) {
            return None;
        }
        Some(sequence.unwrap_or_default().to_owned())
    }

    /// Our clock, a little later than for what came before: devices send several lines within a millisecond.
    fn received_at(&mut self, now: Now) -> Timestamp {
        let next = self.received_last.unix_ms().saturating_add(1);
        self.received_last = Timestamp::from_unix_ms(now.wall.unix_ms().max(next));
        self.received_last
    }

    fn stored(&mut self, receipt: Receipt) {
        if let Some(Some(sequence)) = self.waiting.remove(&receipt.ticket()) {
            let answer = answer::encode(receipt, &self.settings.answer, &sequence);
            self.outputs.push_back(Output::Send(answer));
        }
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

    /// When the device has been silent for too long.
    fn silent_at(&self) -> Duration {
        match self.stage {
            Stage::Strange if self.cutter.taken_bytes() == 0 => self.speak_by,
            Stage::Strange | Stage::Proving(_) => self.login_by,
            Stage::In(_) => self.heard_at + self.settings.idle,
            Stage::Ended => Duration::MAX,
        }
    }

    fn wake(&mut self, now: Now) {
        if now.elapsed >= self.silent_at() {
            self.close(CloseReason::Silent(now.elapsed.saturating_sub(self.heard_at)));
        }
    }

    /// Ends a connection that was to end and waits for nothing any more.
    fn end(&mut self, now: Now) {
        let has_said_all = self.waiting.is_empty() && self.cutter.held_bytes() == 0;
        let is_due = |(by, _): &mut (Duration, CloseReason)| *by <= now.elapsed || has_said_all;
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
            Input::Eof => self.wind_up(now, CloseReason::PeerDone),
            Input::Wake => self.wake(now),
            Input::Answer(Answer::Verdict(verdict)) => self.verdict(now, verdict)?,
            Input::Stored(receipt) => self.stored(receipt),
            Input::NotStored(ticket) => drop(self.waiting.remove(&ticket)),
            Input::Command(command) => {
                let reason = "the device has no protocol, so nothing can be asked of it".to_owned();
                self.outputs.push_back(Output::Command(command.id, CommandState::Failed(reason)));
            }
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
