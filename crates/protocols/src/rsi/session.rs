//! The head-end's side: every state of a robot is answered at once, and now and then one is recorded.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{
    Command, CommandState, DeviceId, Direction, Event, EventKind, Identity, RawFrame, Records, Severity, Ticket,
    Timestamp,
};

use super::answer::Corrections;
use super::frame::document;
use super::message::{State, read};
use super::pins::{Pin, Pins};
use super::readings::report;
use super::settings::Settings;
use crate::rate::Rate;
use crate::{
    Answer, Claim, CloseReason, Company, Fault, FaultKind, Input, Now, Opening, Output, Proof, Question, Session,
    Verdict,
};

/// Answers in a second: four times what the fastest robot asks for, so that nobody uses us to flood it.
const ANSWERS_PER_SECOND_MAX: u32 = 1_000;
/// For so long whoever was not let in is not looked at again: its cycles would each be a login.
const DEAF_FOR: Duration = Duration::from_secs(10);
/// A longer gap between two cycles, or a step back of more, is a new run of the robot's interface and no loss.
const GAP_MAX: Duration = Duration::from_secs(1);
/// A robot sends every 4 or 12 ms, so one that is there is heard within this.
const EXPECT: Duration = Duration::from_secs(1);

/// How far a robot has come.
enum Stage {
    /// No state has come from it.
    Strange,
    /// Its first state waits for the verdict on who it is.
    Proving(Bytes),
    /// It is known.
    In(DeviceId),
    /// It was not let in.
    Deaf(Duration),
    Ended,
}

/// The cycle before.
#[derive(Clone, Copy)]
struct Last {
    ipoc_ms: u64,
    came_at: Duration,
    delay: Option<u64>,
}

/// What is counted of a conversation.
#[derive(Default)]
struct Figures {
    /// Cycles that came.
    cycles: u64,
    /// Cycles that are missing between those that came.
    lost: u64,
    /// Answers that the robot missed, as it counts them.
    late: u64,
    /// How much later than its robot sent it a cycle came, at most, since the last record; ms.
    lag_ms: u64,
    /// States that were due to be recorded while the store was busy.
    unrecorded: u64,
}

/// The head-end's side of one robot.
pub(super) struct HeadEnd {
    settings: Arc<Settings>,
    pins: Pins,
    pin: Option<Pin>,
    stage: Stage,
    peer: Arc<str>,
    outputs: VecDeque<Output>,
    rate: Rate,
    last: Option<Last>,
    /// When this run of the robot's interface began.
    began_at: Timestamp,
    /// The shortest step from one cycle to the next.
    cycle_ms: Option<u64>,
    figures: Figures,
    corrections: Corrections,
    record_at: Duration,
    /// The record that the store has not answered for.
    recording: Option<Ticket>,
    tickets: u64,
    heard_at: Duration,
    login_by: Duration,
}

impl HeadEnd {
    /// For a peer from which a datagram has come.
    pub(super) fn new(settings: Arc<Settings>, pins: Pins, now: Now, opening: Opening) -> Self {
        Self {
            settings,
            pins,
            pin: None,
            stage: Stage::Strange,
            peer: opening.peer,
            outputs: VecDeque::new(),
            rate: Rate::new(now.elapsed),
            last: None,
            began_at: now.wall,
            cycle_ms: None,
            figures: Figures::default(),
            corrections: Corrections::default(),
            record_at: now.elapsed,
            recording: None,
            tickets: 0,
            heard_at: now.elapsed,
            login_by: now.elapsed + opening.limits.first_frame.min(opening.limits.login),
        }
    }

    fn datagram(&mut self, now: Now, datagram: &[u8]) {
        if matches!(self.stage, Stage::Deaf(_) | Stage::Ended) {
            return;
        }
        match document(datagram, "Rob").and_then(read) {
            Ok(state) => self.state(now, datagram, &state),
            Err(fault) => self.outputs.push_back(Output::Fault(fault)),
        }
    }

    fn state(&mut self, now: Now, datagram: &[u8], state: &State) {
        match &self.stage {
            Stage::Strange => self.introduce(now, datagram),
            Stage::In(device) => {
                let device = device.clone();
                self.heard_at = now.elapsed;
                self.cycle(now, device, datagram, state);
            }
            Stage::Proving(_) | Stage::Deaf(_) | Stage::Ended => {}
        }
    }

    /// Asks whether the address is that of a robot.
    fn introduce(&mut self, now: Now, datagram: &[u8]) {
        let address = address(&self.peer);
        self.pin = self.pins.take(&address);
        let identity = match (&self.pin, Identity::new(&address)) {
            (Some(_), Ok(identity)) => identity,
            (None, _) => return self.ignore(now, "another peer of this address is the robot, until it is silent"),
            (_, Err(_)) => return self.ignore(now, "a peer without an address"),
        };
        let claim = Claim { identity, proof: Proof::Name, remember: None, company: Company::Alone };
        self.outputs.push_back(Output::Ask(Question::Prove(claim)));
        self.stage = Stage::Proving(Bytes::copy_from_slice(datagram));
    }

    fn ignore(&mut self, now: Now, reason: &'static str) {
        self.outputs.push_back(Output::Fault(Fault::new(FaultKind::OutOfOrder, reason)));
        self.stage = Stage::Deaf(now.elapsed + DEAF_FOR);
    }

    fn verdict(&mut self, now: Now, verdict: Verdict) -> Result<(), Fault> {
        let Stage::Proving(first) = &self.stage else { return Ok(()) };
        let first = first.clone();
        match verdict {
            Verdict::Refused(_) => {
                self.pin = None;
                self.stage = Stage::Deaf(now.elapsed + DEAF_FOR);
            }
            Verdict::Accepted(admission) => {
                if !admission.settings.is_empty() {
                    let own = self.settings.with(&admission.settings).map_err(|error| {
                        Fault::new(FaultKind::NotProven, format!("the settings of {}: {error}", admission.device))
                    })?;
                    self.settings = Arc::new(own);
                }
                self.outputs.push_back(Output::ExpectWithin(EXPECT));
                self.stage = Stage::In(admission.device);
                self.datagram(now, &first);
            }
        }
        Ok(())
    }

    /// Answers one cycle, and records it where that is due.
    fn cycle(&mut self, now: Now, device: DeviceId, datagram: &[u8], state: &State) {
        if let Err(fault) = self.follow(now, state) {
            self.outputs.push_back(Output::Fault(fault));
            return;
        }
        let mut said = None;
        if !self.settings.only_send {
            if self.rate.take(now.elapsed, ANSWERS_PER_SECOND_MAX).is_err() {
                let reason = format!("over {ANSWERS_PER_SECOND_MAX} states in a second: not answered");
                self.outputs.push_back(Output::Fault(Fault::new(FaultKind::TooLarge, reason)));
                return;
            }
            let answer = self.corrections.answer(&state.ipoc, &self.settings, now.elapsed);
            self.outputs.push_back(Output::Send(answer.clone()));
            said = Some(answer);
        }
        if now.elapsed >= self.record_at {
            self.record_at = (self.record_at + self.settings.record).max(now.elapsed);
            self.record(now, device, datagram, state, said);
        }
    }

    /// Counts a cycle, and what is missing before it.
    ///
    /// # Errors
    /// `OutOfOrder` for a cycle that came before, which is not answered.
    fn follow(&mut self, now: Now, state: &State) -> Result<(), Fault> {
        let Some(last) = self.last else {
            self.begin(now, state);
            return Ok(());
        };
        let gap_ms_max = u64::try_from(GAP_MAX.as_millis()).unwrap_or(u64::MAX);
        if state.ipoc_ms <= last.ipoc_ms && last.ipoc_ms - state.ipoc_ms <= gap_ms_max {
            let reason = format!("cycle {} after {}: not answered", state.ipoc_ms, last.ipoc_ms);
            return Err(Fault::new(FaultKind::OutOfOrder, reason));
        }
        let step_ms = state.ipoc_ms.saturating_sub(last.ipoc_ms);
        if step_ms == 0 || step_ms > gap_ms_max {
            self.begin(now, state);
            return Ok(());
        }
        let cycle_ms = self.cycle_ms.unwrap_or(step_ms).min(step_ms);
        self.cycle_ms = Some(cycle_ms);
        let lost = (step_ms / cycle_ms).saturating_sub(1);
        if lost > 0 {
            let reason = format!("{lost} cycles are missing before {}", state.ipoc_ms);
            self.outputs.push_back(Output::Fault(Fault::new(FaultKind::OutOfOrder, reason)));
        }
        let missed = match (last.delay, state.delay) {
            (Some(before), Some(delay)) => delay.saturating_sub(before),
            (_, _) => 0,
        };
        if missed > 0 {
            let reason = format!("the robot missed {missed} answers before {}", state.ipoc_ms);
            self.outputs.push_back(Output::Fault(Fault::new(FaultKind::TooSlow, reason)));
        }
        let lag = now.elapsed.saturating_sub(last.came_at).saturating_sub(Duration::from_millis(step_ms));
        let figures = &mut self.figures;
        figures.cycles += 1;
        figures.lost += lost;
        figures.late += missed;
        figures.lag_ms = figures.lag_ms.max(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX));
        self.last = Some(Last { ipoc_ms: state.ipoc_ms, came_at: now.elapsed, delay: state.delay });
        Ok(())
    }

    /// A run of the robot's interface begins: what was to be corrected in the one before is not corrected in this one.
    fn begin(&mut self, now: Now, state: &State) {
        let text = if self.last.is_some() { "its interface began anew" } else { "its interface began" };
        self.tell(now, text);
        self.corrections.clear();
        self.began_at = now.wall;
        self.figures.cycles += 1;
        self.last = Some(Last { ipoc_ms: state.ipoc_ms, came_at: now.elapsed, delay: state.delay });
    }

    fn tell(&mut self, now: Now, text: &'static str) {
        if let Stage::In(device) = &self.stage {
            self.outputs.push_back(Output::Event(Event {
                at: now.wall,
                severity: Severity::Info,
                kind: EventKind::DeviceInfo,
                device: Some(device.clone()),
                peer: Some(self.peer.to_string()),
                text: text.into(),
            }));
        }
    }

    /// Hands a state to the store, unless that is busy: a cycle waits for nothing. Its answer goes with it where answers can correct.
    fn record(&mut self, now: Now, device: DeviceId, datagram: &[u8], state: &State, said: Option<Bytes>) {
        if self.recording.is_some() {
            self.figures.unrecorded += 1;
            return;
        }
        let figures = &mut self.figures;
        let told = [
            ("cycles", figures.cycles),
            ("lost", figures.lost),
            ("late", figures.late),
            ("lag_ms", std::mem::take(&mut figures.lag_ms)),
            ("unrecorded", figures.unrecorded),
        ];
        let report = report(&state.values, &told, now.wall).expect("a state has fewer values than a report may have");
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.recording = Some(ticket);
        let records = |device, report, direction, bytes| Records {
            device,
            received_at: now.wall,
            report,
            frame: Some(RawFrame { direction, bytes }),
            events: Vec::new(),
            notes: Vec::new(),
        };
        let answer = said.filter(|_| !self.settings.corrections.is_empty());
        let answer = answer.map(|bytes| records(device.clone(), None, Direction::Out, bytes));
        let state = records(device, Some(report), Direction::In, Bytes::copy_from_slice(datagram));
        self.outputs.push_back(Output::Sample(ticket, state));
        if let Some(answer) = answer {
            // Nobody waits for what becomes of it.
            self.tickets += 1;
            self.outputs.push_back(Output::Sample(Ticket(self.tickets), answer));
        }
    }

    fn not_stored(&mut self, ticket: Ticket) {
        if self.recording.take_if(|waiting| *waiting == ticket).is_some() {
            self.figures.unrecorded += 1;
        }
    }

    /// Takes corrections, which go out with the next answers.
    fn command(&mut self, now: Now, command: &Command) {
        let taken = match self.stage {
            // What was meant for the robot as it stood then must not move it as it stands now.
            Stage::In(_) if command.accepted_at < self.began_at => {
                Err("it was asked for before this run of the robot's interface began: ask again".to_owned())
            }
            Stage::In(_) => self.corrections.take(&command.order, &self.settings, now.elapsed),
            Stage::Strange | Stage::Proving(_) | Stage::Deaf(_) | Stage::Ended => {
                Err("the robot is not known yet".to_owned())
            }
        };
        let state = match taken {
            Ok(told) => {
                self.outputs.push_back(Output::Command(command.id, CommandState::Sent));
                CommandState::Answered(told)
            }
            Err(reason) => CommandState::Failed(reason),
        };
        self.outputs.push_back(Output::Command(command.id, state));
    }

    fn close(&mut self, reason: CloseReason) {
        if !matches!(self.stage, Stage::Ended) {
            self.stage = Stage::Ended;
            self.pin = None;
            self.outputs.push_back(Output::Close(reason));
        }
    }

    /// When it ends unless something comes.
    fn ends_at(&self) -> Option<Duration> {
        match self.stage {
            Stage::Strange | Stage::Proving(_) => Some(self.login_by),
            Stage::In(_) => Some(self.heard_at + self.settings.silence),
            Stage::Deaf(until) => Some(until),
            Stage::Ended => None,
        }
    }

    fn wake(&mut self, now: Now) {
        if self.ends_at().is_some_and(|at| now.elapsed >= at) {
            let silent = CloseReason::Silent(now.elapsed.saturating_sub(self.heard_at));
            self.close(if matches!(self.stage, Stage::Deaf(_)) { CloseReason::Refused } else { silent });
        }
    }
}

/// The address of a peer without its port, or all of its name where it is none.
fn address(peer: &str) -> String {
    peer.parse::<SocketAddr>().map_or_else(|_| peer.to_owned(), |address| address.ip().to_string())
}

impl Session for HeadEnd {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Bytes(datagram) => self.datagram(now, datagram),
            Input::Eof => self.close(CloseReason::PeerDone),
            Input::Wake => self.wake(now),
            Input::Answer(Answer::Verdict(verdict)) => self.verdict(now, verdict)?,
            Input::Stored(receipt) => drop(self.recording.take_if(|waiting| *waiting == receipt.ticket())),
            Input::NotStored(ticket) => self.not_stored(ticket),
            Input::Command(command) => self.command(now, &command),
            Input::Shutdown(reason) => self.close(reason),
            Input::Disconnected => {
                self.stage = Stage::Ended;
                self.pin = None;
            }
            Input::Answer(_) | Input::Connected | Input::Offer(..) => {}
        }
        Ok(())
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Idle { wake_at: self.ends_at() })
    }

    fn wants_bytes(&self) -> bool {
        !matches!(self.stage, Stage::Proving(_))
    }
}
