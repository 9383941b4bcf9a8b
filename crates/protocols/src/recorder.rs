//! The head-end's side where a device says one thing after another, and each is answered once it is stored: who it is, what waits for
//! the store, what it did wrong, and how long it may be silent. What it says and how it is answered is the protocol's.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Identity, Receipt, Records, Ticket, Timestamp};

use crate::faults::Faults;
use crate::{
    Claim, CloseReason, Company, Fault, FaultKind, Now, Opening, Output, Proof, Question, SettingsError, Verdict,
};

/// What waits for the store: more is left with the transport, which slows the device down.
const WAITING_MAX: usize = 64;
/// Longest number by which something is answered; counters of devices have ten digits.
const SEQUENCE_BYTES_MAX: usize = 64;
/// How long a connection that ends waits for the store, so that what is committed is acknowledged too.
const WIND_UP_WAIT: Duration = Duration::from_secs(5);

/// What stands for that number in an answer.
pub(crate) const SEQUENCE_PLACE: &str = "{sequence}";

/// How far a device has come.
pub(crate) enum Stage {
    /// Nothing has come from it.
    Strange,
    /// Its first frame waits for the verdict on who it is.
    Proving(Bytes),
    /// It is known.
    In(DeviceId),
    Ended,
}

/// One connection of a device, or one peer of a UDP socket.
pub(crate) struct Recorder {
    pub(crate) stage: Stage,
    pub(crate) peer: Arc<str>,
    pub(crate) outputs: VecDeque<Output>,
    /// What waits for the store, each with the number to acknowledge.
    waiting: BTreeMap<Ticket, Option<String>>,
    tickets: u64,
    faults: Faults,
    /// The latest time given to something without one, so that no two have the same.
    received_last: Timestamp,
    heard_at: Duration,
    speak_by: Duration,
    login_by: Duration,
    ending: Option<(Duration, CloseReason)>,
}

impl Recorder {
    /// For a device that has just connected, or sent its first datagram.
    pub(crate) fn new(now: Now, opening: &Opening) -> Self {
        Self {
            stage: Stage::Strange,
            peer: Arc::clone(&opening.peer),
            outputs: VecDeque::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
            faults: Faults::default(),
            received_last: Timestamp::from_unix_ms(i64::MIN),
            heard_at: now.elapsed,
            speak_by: now.elapsed + opening.limits.first_frame.min(opening.limits.login),
            login_by: now.elapsed + opening.limits.login,
            ending: None,
        }
    }

    /// Whether what comes can be worked on now.
    pub(crate) fn may_go_on(&self) -> bool {
        matches!(self.stage, Stage::Strange | Stage::In(_)) && self.waiting.len() < WAITING_MAX
    }

    /// Whether nothing more will come.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Bytes came, and so many are held with them. False: they are of no use any more.
    ///
    /// # Errors
    /// `TooLarge` when more than `max` are held while an answer is due.
    pub(crate) fn hear(&mut self, now: Now, held_bytes: usize, max: usize) -> Result<bool, Fault> {
        self.heard_at = now.elapsed;
        if self.is_ending() || matches!(self.stage, Stage::Ended) {
            return Ok(false);
        }
        if !self.may_go_on() && held_bytes > max {
            return Err(Fault::new(FaultKind::TooLarge, format!("{held_bytes} bytes came while an answer was due")));
        }
        Ok(true)
    }

    /// Counts what a device did wrong.
    ///
    /// # Errors
    /// The fault, when the device does little else.
    pub(crate) fn fault(&mut self, fault: Fault) -> Result<(), Fault> {
        let told = self.faults.count(fault, matches!(self.stage, Stage::In(_)))?;
        self.outputs.push_back(told);
        Ok(())
    }

    /// Something was understood: what was wrong before it does not count any more.
    pub(crate) fn understood(&mut self) {
        self.faults.forgive();
    }

    /// Asks whether the device is who its first frame, or its address, says it is.
    pub(crate) fn introduce(&mut self, identity: Identity, secret: Option<&str>, frame: Bytes) {
        let proof = secret.map_or(Proof::Name, |secret| Proof::secret(secret.as_bytes()));
        let claim = Claim { identity, proof, remember: None, company: Company::Alone };
        self.outputs.push_back(Output::Ask(Question::Prove(claim)));
        self.stage = Stage::Proving(frame);
    }

    /// Takes the verdict: the frame that waited for it, where the device is in. `admit` takes the device's own settings and says how
    /// often it is expected.
    ///
    /// # Errors
    /// `NotProven` when its settings cannot be.
    pub(crate) fn verdict(
        &mut self,
        verdict: Verdict,
        admit: impl FnOnce(&toml::Table) -> Result<Duration, SettingsError>,
    ) -> Result<Option<Bytes>, Fault> {
        let Stage::Proving(frame) = &self.stage else { return Ok(None) };
        let frame = frame.clone();
        match verdict {
            Verdict::Refused(_) => {
                self.close(CloseReason::Refused);
                Ok(None)
            }
            Verdict::Accepted(admission) => {
                let expect = admit(&admission.settings).map_err(|error| {
                    Fault::new(FaultKind::NotProven, format!("the settings of {}: {error}", admission.device))
                })?;
                self.faults.forgive();
                self.outputs.push_back(Output::ExpectWithin(expect));
                self.stage = Stage::In(admission.device);
                Ok(Some(frame))
            }
        }
    }

    /// Our clock, a little later than for what came before: devices say several things within a millisecond.
    pub(crate) fn received_at(&mut self, now: Now) -> Timestamp {
        let next = self.received_last.unix_ms().saturating_add(1);
        self.received_last = Timestamp::from_unix_ms(now.wall.unix_ms().max(next));
        self.received_last
    }

    /// Has something stored, and answered then, where an answer is due.
    pub(crate) fn store(&mut self, records: Records, answer: Option<String>) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, answer);
        self.outputs.push_back(Output::Store(ticket, records));
    }

    /// Something is stored: `encode` makes the answer where one is due.
    pub(crate) fn stored(&mut self, receipt: Receipt, encode: impl FnOnce(Receipt, &str) -> Bytes) {
        if let Some(Some(sequence)) = self.waiting.remove(&receipt.ticket()) {
            let answer = encode(receipt, &sequence);
            self.outputs.extend([Output::Send(answer.clone()), Output::Said(answer)]);
        }
    }

    /// Something is not stored, and not answered.
    pub(crate) fn not_stored(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
    }

    /// Ends at once.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        if !matches!(self.stage, Stage::Ended) {
            self.stage = Stage::Ended;
            self.outputs.push_back(Output::Close(reason));
        }
    }

    /// Ends once the store has answered.
    pub(crate) fn wind_up(&mut self, now: Now, reason: CloseReason) {
        if !matches!(self.stage, Stage::Ended) {
            self.ending.get_or_insert((now.elapsed + WIND_UP_WAIT, reason));
        }
    }

    /// Ends as it is told to.
    pub(crate) fn shut_down(&mut self, now: Now, reason: CloseReason) {
        match reason {
            CloseReason::Stopping | CloseReason::Reconfigured => self.wind_up(now, reason),
            CloseReason::TakenOver
            | CloseReason::PeerDone
            | CloseReason::Silent(_)
            | CloseReason::Refused
            | CloseReason::Fault(_) => self.close(reason),
        }
    }

    /// When the device has been silent for too long: `idle` once it is known; `has_begun` when something whole has come.
    fn silent_at(&self, idle: Duration, has_begun: bool) -> Duration {
        match self.stage {
            Stage::Strange if !has_begun => self.speak_by,
            Stage::Strange | Stage::Proving(_) => self.login_by,
            Stage::In(_) => self.heard_at + idle,
            Stage::Ended => Duration::MAX,
        }
    }

    /// Ends a device that has been silent for too long.
    pub(crate) fn wake(&mut self, now: Now, idle: Duration, has_begun: bool) {
        if now.elapsed >= self.silent_at(idle, has_begun) {
            self.close(CloseReason::Silent(now.elapsed.saturating_sub(self.heard_at)));
        }
    }

    /// Ends a connection that was to end and waits for nothing any more; `has_said_all` when nothing is left of what came.
    pub(crate) fn end(&mut self, now: Now, has_said_all: bool) {
        let is_done = has_said_all && self.waiting.is_empty();
        let is_due = |(by, _): &mut (Duration, CloseReason)| *by <= now.elapsed || is_done;
        if !matches!(self.stage, Stage::Proving(_))
            && let Some((_, reason)) = self.ending.take_if(is_due)
        {
            self.close(reason);
        }
    }

    /// What to do next.
    pub(crate) fn poll(&mut self, idle: Duration, has_begun: bool) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        // An idle connection keeps no memory for what it is not doing.
        self.outputs = VecDeque::new();
        let silent_at = Some(self.silent_at(idle, has_begun)).filter(|at| *at != Duration::MAX);
        let wake_at = silent_at.into_iter().chain(self.ending.as_ref().map(|(by, _)| *by)).min();
        Output::Idle { wake_at }
    }
}

/// The number to answer with; `None` where nothing is to be said: without an answer, or without the number that it tells.
pub(crate) fn answer_due(answer: &str, sequence: Option<&str>) -> Option<String> {
    if answer.is_empty() || (answer.contains(SEQUENCE_PLACE) && sequence.is_none()) {
        return None;
    }
    Some(sequence.unwrap_or_default().to_owned())
}

/// A number that can be answered with.
///
/// # Errors
/// `TooLarge` for one over `SEQUENCE_BYTES_MAX`, or with what no line can hold.
pub(crate) fn check_sequence(sequence: Option<&str>) -> Result<(), Fault> {
    match sequence {
        Some(number) if number.len() > SEQUENCE_BYTES_MAX || number.chars().any(char::is_control) => Err(Fault::new(
            FaultKind::TooLarge,
            format!("a number of over {SEQUENCE_BYTES_MAX} bytes, or of no characters"),
        )),
        Some(_) | None => Ok(()),
    }
}
