//! The device's side where a device says its reports one after another, and each is answered once it is stored. How it says them
//! and how it is answered is the protocol's.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{Event, EventKind, Report, Severity, Ticket};

use crate::reconnect::Attempts;
use crate::simulated::Simulated;
use crate::{Fault, Input, Now, Output, Session};

/// How a protocol says reports and is answered.
pub(crate) trait Speech: Send {
    /// What tells one answer from another.
    type Mark: PartialEq + Send;

    /// A connection stands: nothing of the one before goes on in it.
    fn begin(&mut self);

    /// A report under this number, and what its answer will be known by.
    fn say(&self, sequence: u64, report: &Report) -> (Bytes, Self::Mark);

    /// Takes what the head-end sent.
    fn push(&mut self, bytes: &[u8]);

    /// The next answer in what was taken; none where there is no whole one yet.
    ///
    /// # Errors
    /// What is wrong with what the head-end sent.
    fn answer(&mut self) -> Result<Option<Self::Mark>, Fault>;

    /// That no answer came in time.
    fn unanswered(&self) -> Fault;
}

/// The pace of a device.
pub(crate) struct Pace {
    /// The first pause before it connects again.
    pub(crate) reconnect: Duration,
    /// Reports that may be on their way at once.
    pub(crate) window_max: usize,
    /// How long the head-end may take to answer.
    pub(crate) answer_wait: Duration,
}

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

/// A report that is not answered yet.
struct Sent<M> {
    mark: M,
    ticket: Ticket,
    bytes: Bytes,
}

/// The device's side of its conversations, over all its connections.
pub(crate) struct Reporter<S: Speech> {
    speech: S,
    pace: Pace,
    stage: Stage,
    outputs: VecDeque<Output>,
    /// What is not sent on this connection.
    waiting: VecDeque<Sent<S::Mark>>,
    /// What was sent and is not answered.
    flying: VecDeque<Sent<S::Mark>>,
    sequence: u64,
    attempts: Attempts,
    /// Since when it waits for an answer.
    asked_at: Option<Duration>,
}

impl<S: Speech> Reporter<S> {
    /// One that connects at once.
    pub(crate) fn new(speech: S, pace: Pace) -> Self {
        Self {
            speech,
            pace,
            stage: Stage::Connecting,
            outputs: VecDeque::from([Output::Connect]),
            waiting: VecDeque::new(),
            flying: VecDeque::new(),
            sequence: 0,
            attempts: Attempts::default(),
            asked_at: None,
        }
    }

    fn send_waiting(&mut self, now: Now) {
        while matches!(self.stage, Stage::In) && self.flying.len() < self.pace.window_max {
            let Some(next) = self.waiting.pop_front() else { break };
            self.outputs.push_back(Output::Send(next.bytes.clone()));
            self.asked_at.get_or_insert(now.elapsed);
            self.flying.push_back(next);
        }
    }
}

impl<S: Speech> Simulated for Reporter<S> {
    fn connected(&mut self, now: Now) {
        self.speech.begin();
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
        self.stage = Stage::Away(now.elapsed + self.attempts.pause(self.pace.reconnect));
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        self.speech.push(bytes);
        while let Some(mark) = self.speech.answer()? {
            let place = self.flying.iter().position(|sent| sent.mark == mark);
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
            Stage::In if self.asked_at.is_some_and(|at| now.elapsed >= at + self.pace.answer_wait) => {
                return Err(self.speech.unanswered());
            }
            Stage::Away(_) | Stage::Connecting | Stage::In | Stage::Ended => {}
        }
        Ok(())
    }

    fn next_wake(&self) -> Option<Duration> {
        match self.stage {
            Stage::Away(until) => Some(until),
            Stage::In => self.asked_at.map(|at| at + self.pace.answer_wait),
            Stage::Connecting | Stage::Ended => None,
        }
    }

    fn offer(&mut self, now: Now, ticket: Ticket, report: &Report) {
        self.sequence += 1;
        let (bytes, mark) = self.speech.say(self.sequence, report);
        self.waiting.push_back(Sent { mark, ticket, bytes });
        self.send_waiting(now);
    }

    fn end(&mut self) {
        self.stage = Stage::Ended;
    }

    fn outputs(&mut self) -> &mut VecDeque<Output> {
        &mut self.outputs
    }
}

impl<S: Speech> Session for Reporter<S> {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        self.take_in(now, input)
    }

    fn poll(&mut self) -> Output {
        self.next_output()
    }
}
