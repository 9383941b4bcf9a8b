//! The head-end's side of a connection to a robot: asks for variables in rounds, and writes what commands may write.
//!
//! One request is on its way at a time: simple proxies drop a second one. Source: \[1\].

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use loggerhead_model::{
    Command, CommandId, CommandState, DeviceId, Direction, Identity, Learnt, Order, RawFrame, Receipt, Records, Report,
    Ticket,
};

use super::frame::{Cutter, Frame, frame};
use super::message::{ErrorCode, Request, Response};
use super::readings::report;
use super::settings::Settings;
use crate::wire::hex;
use crate::{
    Answer, Claim, CloseReason, Company, Fault, FaultKind, Input, Now, Opening, Output, Proof, Question, Session,
    Verdict,
};

/// A variable of the proxy itself. Only proxies that know several variables at once have it. Source: \[2\].
const VERSION: &str = "@PROXY_VERSION";
/// Variables of one request: an answer of as many structures stays far below the longest frame.
const BATCH_MAX: usize = 64;
/// Orders that wait for their turn: an operator's, not a program's.
const ORDERS_MAX: usize = 16;
/// Bytes of the answers of a round that are kept as they came: what an inspector shows at once.
const ROUND_BYTES_MAX: usize = 64 * 1024;
/// Under which word the version of a proxy is remembered.
const LEARNT: &str = "proxy";

/// What the answer that is waited for belongs to.
enum Asked {
    /// The version of the proxy.
    Version,
    /// One variable, by its place.
    One(usize),
    /// So many variables from this place on.
    Many(usize, usize),
    /// Something that a command writes.
    Write,
}

/// How far the conversation is.
enum Stage {
    /// The robot's address waits for its verdict.
    Proving,
    /// It is known.
    In(DeviceId),
    Ended,
}

/// A command that is being written, variable by variable.
struct Writing {
    id: CommandId,
    rest: VecDeque<(String, String)>,
    /// What was written.
    told: Vec<String>,
}

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    settings: Arc<Settings>,
    stage: Stage,
    cutter: Cutter,
    outputs: VecDeque<Output>,
    request: u16,
    /// The request that is on its way, and until when its answer is waited for.
    asked: Option<(Asked, Duration)>,
    /// The proxy knows several variables at once; none before it said.
    knows_many: Option<bool>,
    /// The next variable of the round.
    next: usize,
    /// What the round has found.
    found: Vec<(String, String)>,
    /// The answers of the round as they came.
    heard: BytesMut,
    /// When the next round begins.
    round_at: Duration,
    /// The report that the store has not answered for.
    storing: Option<Ticket>,
    tickets: u64,
    orders: VecDeque<Writing>,
    /// Variables that the robot does not have, which is told once.
    missing: BTreeSet<String>,
    login_by: Duration,
}

impl HeadEnd {
    /// For a robot that has just been reached.
    pub(super) fn new(settings: Arc<Settings>, now: Now, opening: &Opening) -> Self {
        let address = opening.peer.parse::<SocketAddr>().map(|address| address.ip().to_string());
        let address = address.unwrap_or_else(|_| opening.peer.to_string());
        let first = match Identity::new(&address) {
            Ok(identity) => {
                let claim = Claim { identity, proof: Proof::Name, remember: None, company: Company::Alone };
                Output::Ask(Question::Prove(claim))
            }
            Err(_) => Output::Close(CloseReason::Refused),
        };
        Self {
            settings,
            stage: Stage::Proving,
            cutter: Cutter::default(),
            outputs: VecDeque::from([first]),
            request: 0,
            asked: None,
            knows_many: None,
            next: 0,
            found: Vec::new(),
            heard: BytesMut::new(),
            round_at: now.elapsed,
            storing: None,
            tickets: 0,
            orders: VecDeque::new(),
            missing: BTreeSet::new(),
            login_by: now.elapsed + opening.limits.login,
        }
    }

    fn verdict(&mut self, verdict: Verdict) -> Result<(), Fault> {
        if !matches!(self.stage, Stage::Proving) {
            return Ok(());
        }
        match verdict {
            Verdict::Refused(_) => self.close(CloseReason::Refused),
            Verdict::Accepted(admission) => {
                if !admission.settings.is_empty() {
                    let own = self.settings.with(&admission.settings).map_err(|error| {
                        Fault::new(FaultKind::NotProven, format!("the settings of {}: {error}", admission.device))
                    })?;
                    self.settings = Arc::new(own);
                }
                let rhythm = self.settings.poll + self.settings.answer;
                self.outputs.push_back(Output::ExpectWithin(rhythm));
                self.stage = Stage::In(admission.device);
            }
        }
        Ok(())
    }

    /// Asks for what is next, unless an answer is waited for.
    fn work(&mut self, now: Now) {
        while matches!(self.stage, Stage::In(_)) && self.asked.is_none() {
            if self.knows_many.is_none() {
                self.ask(now, Asked::Version, &Request::Read { is_wide: false, name: VERSION.to_owned() });
            } else if let Some((name, value)) = self.orders.front_mut().and_then(|order| order.rest.pop_front()) {
                self.ask(now, Asked::Write, &Request::Write { is_wide: false, name, value });
            } else if self.next == 0 && (now.elapsed < self.round_at || self.storing.is_some()) {
                return;
            } else if self.next < self.settings.variables.len() {
                if self.next == 0 {
                    self.round_at = (self.round_at + self.settings.poll).max(now.elapsed);
                }
                self.ask_next(now);
            } else {
                self.end_round(now);
                if self.settings.variables.is_empty() {
                    return;
                }
            }
        }
    }

    fn ask_next(&mut self, now: Now) {
        let (place, variables) = (self.next, &self.settings.variables);
        if self.knows_many == Some(true) {
            let names: Vec<String> = variables.iter().skip(place).take(BATCH_MAX).cloned().collect();
            self.next += names.len();
            self.ask(now, Asked::Many(place, names.len()), &Request::ReadMany(names));
        } else if let Some(name) = variables.get(place).cloned() {
            self.next += 1;
            self.ask(now, Asked::One(place), &Request::Read { is_wide: false, name });
        }
    }

    fn ask(&mut self, now: Now, asked: Asked, request: &Request) {
        self.request = self.request.wrapping_add(1);
        let bytes = frame(self.request, &request.write()).expect("names and values of settings and orders are short");
        if matches!(asked, Asked::Write) {
            self.keep(now, RawFrame { direction: Direction::Out, bytes: bytes.clone() });
        }
        self.outputs.push_back(Output::Send(bytes));
        self.asked = Some((asked, now.elapsed + self.settings.answer));
    }

    fn frame(&mut self, now: Now, frame: &Frame) -> Result<(), Fault> {
        if frame.id != self.request || self.asked.is_none() {
            let reason = format!("an answer to {} while {} is asked", frame.id, self.request);
            self.outputs.push_back(Output::Fault(Fault::new(FaultKind::OutOfOrder, reason)));
            return Ok(());
        }
        let response = Response::read(&frame.body)?;
        let Some((asked, _)) = self.asked.take() else { return Ok(()) };
        self.hear(now, &asked, frame);
        match asked {
            Asked::Version => self.version(&response),
            Asked::One(place) => self.value(place, response.is_success.then(|| first(response))),
            Asked::Many(place, count) if response.kind == 6 && response.values.len() == count => {
                for (offset, (code, value)) in response.values.into_iter().enumerate() {
                    self.value(place + offset, (code == ErrorCode::Success).then_some(value));
                }
            }
            Asked::Many(place, _) => {
                // A proxy that does not do what it should is asked for one at a time.
                self.knows_many = Some(false);
                self.next = place;
                self.round_at = self.round_at.min(now.elapsed);
                let reason = format!("several variables at once: {}", response.error.text());
                self.outputs.push_back(Output::Fault(Fault::new(FaultKind::OutOfOrder, reason)));
            }
            Asked::Write => self.written(response),
        }
        self.work(now);
        Ok(())
    }

    /// Keeps an answer for those who look: of a round with its values, of something written at once.
    fn hear(&mut self, now: Now, asked: &Asked, answer: &Frame) {
        let Some(bytes) = frame(answer.id, &answer.body) else { return };
        match asked {
            Asked::Version => {}
            Asked::One(_) | Asked::Many(..) => {
                if self.heard.len() + bytes.len() <= ROUND_BYTES_MAX {
                    self.heard.extend_from_slice(&bytes);
                }
            }
            Asked::Write => self.keep(now, RawFrame { direction: Direction::In, bytes }),
        }
    }

    /// Keeps what nobody waits for.
    fn keep(&mut self, now: Now, frame: RawFrame) {
        if let Some(records) = self.records(now, None, frame) {
            self.outputs.push_back(Output::Keep(records));
        }
    }

    fn records(&self, now: Now, report: Option<Report>, frame: RawFrame) -> Option<Records> {
        let Stage::In(device) = &self.stage else { return None };
        let device = device.clone();
        Some(Records {
            device,
            received_at: now.wall,
            report,
            frame: Some(frame),
            events: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// The simple proxies answer with an empty value: they do not have the variable.
    fn version(&mut self, response: &Response) {
        let version = response.values.first().map_or("", |(_, value)| value.trim());
        let knows_many = response.is_success && !version.is_empty();
        self.knows_many = Some(knows_many);
        let told = if knows_many { format!("C3 Bridge {version}") } else { "one variable at a time".to_owned() };
        let mut learnt = Learnt::new();
        learnt.insert(LEARNT.to_owned(), told);
        self.outputs.push_back(Output::Learnt(learnt));
    }

    /// The value of one variable. An empty one is that of a variable which the robot does not have. Source: \[1\].
    fn value(&mut self, place: usize, value: Option<String>) {
        let Some(name) = self.settings.variables.get(place).cloned() else { return };
        match value.filter(|value| !value.is_empty()) {
            Some(value) => self.found.push((name, value)),
            None => {
                if self.missing.insert(name.clone()) {
                    let reason = format!("the robot does not tell {name}");
                    self.outputs.push_back(Output::Fault(Fault::new(FaultKind::OutOfOrder, reason)));
                }
            }
        }
    }

    fn end_round(&mut self, now: Now) {
        self.next = 0;
        let found = std::mem::take(&mut self.found);
        let heard: Bytes = std::mem::take(&mut self.heard).freeze();
        let report = match report(&found, now.wall) {
            Ok(report) if !report.is_empty() => report,
            Ok(_) => return,
            Err(full) => {
                self.outputs.push_back(Output::Fault(Fault::new(FaultKind::TooLarge, full.to_string())));
                return;
            }
        };
        let frame = RawFrame { direction: Direction::In, bytes: heard };
        let Some(records) = self.records(now, Some(report), frame) else { return };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.storing = Some(ticket);
        self.outputs.push_back(Output::Store(ticket, records));
    }

    /// What a robot answered to a value that a command writes.
    fn written(&mut self, response: Response) {
        let (is_success, error) = (response.is_success, response.error);
        let Some(order) = self.orders.front_mut() else { return };
        order.told.push(first(response));
        if is_success && !order.rest.is_empty() {
            return;
        }
        let Some(order) = self.orders.pop_front() else { return };
        let state = if is_success {
            CommandState::Answered(format!("written: {}", order.told.join(", ")))
        } else {
            CommandState::Failed(format!("the robot says: {}", error.text()))
        };
        self.outputs.push_back(Output::Command(order.id, state));
    }

    fn command(&mut self, now: Now, command: &Command) {
        let taken = match self.stage {
            Stage::In(_) if self.orders.len() < ORDERS_MAX => writing(&command.order, &self.settings.writable),
            Stage::In(_) => Err(format!("{ORDERS_MAX} orders wait for this robot")),
            Stage::Proving | Stage::Ended => Err("the robot is not known yet".to_owned()),
        };
        match taken {
            Ok(rest) => {
                self.outputs.push_back(Output::Command(command.id, CommandState::Sent));
                self.orders.push_back(Writing { id: command.id, rest, told: Vec::new() });
                self.work(now);
            }
            Err(reason) => self.outputs.push_back(Output::Command(command.id, CommandState::Failed(reason))),
        }
    }

    fn stored(&mut self, ticket: Ticket, now: Now) {
        self.storing.take_if(|storing| *storing == ticket);
        self.work(now);
    }

    fn close(&mut self, reason: CloseReason) {
        if !matches!(self.stage, Stage::Ended) {
            self.stage = Stage::Ended;
            for order in std::mem::take(&mut self.orders) {
                let state = CommandState::Failed("the connection ended before the robot answered".to_owned());
                self.outputs.push_back(Output::Command(order.id, state));
            }
            self.outputs.push_back(Output::Close(reason));
        }
    }

    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        if matches!(self.stage, Stage::Proving) && now.elapsed >= self.login_by {
            self.close(CloseReason::Refused);
        }
        if self.asked.as_ref().is_some_and(|(_, until)| now.elapsed >= *until) {
            return Err(Fault::new(
                FaultKind::TooSlow,
                format!("no answer within {} s", self.settings.answer.as_secs()),
            ));
        }
        self.work(now);
        Ok(())
    }

    fn next_wake(&self) -> Option<Duration> {
        match (&self.stage, &self.asked) {
            (Stage::Proving, _) => Some(self.login_by),
            (Stage::In(_), Some((_, until))) => Some(*until),
            (Stage::In(_), None) => {
                (self.storing.is_none() && !self.settings.variables.is_empty()).then_some(self.round_at)
            }
            (Stage::Ended, _) => None,
        }
    }
}

/// The one value of a response.
fn first(response: Response) -> String {
    response.values.into_iter().next().map(|(_, value)| value).unwrap_or_default()
}

/// What an order writes, if all of it may be written.
fn writing(order: &Order, writable: &[String]) -> Result<VecDeque<(String, String)>, String> {
    let Order::Control { lines } = order else {
        return Err("a robot takes only values of its variables: send a control order".to_owned());
    };
    let pair = |line: &loggerhead_model::ControlLine| {
        if !writable.contains(&line.meter) {
            let name = &line.meter;
            return Err(format!("{name} may not be written: `writable` in the robot's settings does not name it"));
        }
        let value = hex(&line.hex).and_then(|bytes| String::from_utf8(bytes).ok());
        let value = value.filter(|value| value.len() <= VALUE_BYTES_MAX);
        Ok((line.meter.clone(), value.ok_or_else(|| format!("{}: the value is no text, or too long", line.meter))?))
    };
    let pairs = lines.iter().map(pair).collect::<Result<VecDeque<_>, String>>()?;
    if pairs.is_empty() { Err("nothing to write".to_owned()) } else { Ok(pairs) }
}

/// Longest value that is written: simple proxies read 2048 bytes at once. Source: \[1\].
const VALUE_BYTES_MAX: usize = 1_024;

impl Session for HeadEnd {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Bytes(bytes) if !matches!(self.stage, Stage::Ended) => {
                self.cutter.push(bytes);
                while let Some(frame) = self.cutter.cut() {
                    self.frame(now, &frame)?;
                }
            }
            Input::Eof => self.close(CloseReason::PeerDone),
            Input::Wake => self.wake(now)?,
            Input::Answer(Answer::Verdict(verdict)) => {
                self.verdict(verdict)?;
                self.work(now);
            }
            Input::Stored(receipt) => self.stored(Receipt::ticket(&receipt), now),
            Input::NotStored(ticket) => self.stored(ticket, now),
            Input::Command(command) => self.command(now, &command),
            Input::Shutdown(reason) => self.close(reason),
            Input::Disconnected => self.stage = Stage::Ended,
            Input::Bytes(_) | Input::Answer(_) | Input::Connected | Input::Offer(..) => {}
        }
        Ok(())
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Idle { wake_at: self.next_wake() })
    }

    fn wants_bytes(&self) -> bool {
        !matches!(self.stage, Stage::Proving)
    }
}
