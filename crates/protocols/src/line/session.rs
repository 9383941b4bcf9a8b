//! The head-end's side of one connection: lines in, questions, records and lines out.
//!
//! Commands are done one after another: the next one is not looked at before the store has answered for the one before.
//! What the peer is sent comes before its next command is done, so that a reply says that all before it was said.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use loggerhead_model::{CommandState, DeviceId, Note, Receipt, Records, Ticket};

use super::commands;
use super::filter::{self, Pass};
use super::frame::{Cut, Lines};
use super::message::{self, Delivery, MessageId, Reply, ReplyEnd, Request};
use super::settings::{OnOversize, Settings};
use crate::office::{Full, Letter, Mail, Message, Office, Place};
use crate::rate::Rate;
use crate::{
    Admission, Answer, Claim, CloseReason, Fault, FaultKind, Input, Limits, Now, Opening, Output, Question, Session,
    Verdict,
};

/// Logins of one connection that may fail: a person mistypes, a program guesses.
const LOGINS_MAX: u32 = 5;
/// Messages that are taken out of the office at once, so that nobody waits for long behind its lock.
const MAIL_MAX: usize = 64;
/// What is written reaches this before it leaves, if there is more: one write with one line more still fits a datagram.
const WRITE_BYTES: usize = 8 * 1024;
/// How long a connection that ends waits for the store, so that what is committed is answered too.
const WIND_UP_WAIT: Duration = Duration::from_secs(5);
/// What the peer is told when the store does not take something.
const NOT_STORED: &str = "the store could not keep it, try again";

/// For what the next command has to wait.
enum Waiting {
    /// Nothing.
    Nothing,
    /// A login is being judged.
    Verdict(Box<str>),
    /// A message is being stored.
    Message(Box<Message>),
    /// That a message is confirmed is being stored.
    Confirmation(Box<Message>),
}

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    pub(super) settings: Arc<Settings>,
    /// The user, once it has logged in.
    pub(super) place: Option<Place>,
    pub(super) rate: Rate,
    office: Arc<Office>,
    device: Option<DeviceId>,
    lines: Lines,
    /// A line that the filter lets wait, and until when.
    held: Option<(Duration, Vec<u8>)>,
    waiting: Waiting,
    outputs: VecDeque<Output>,
    out: Vec<u8>,
    /// The user was sent everything up to this message.
    sent_through: u64,
    may_have_mail: bool,
    logins: u32,
    ids: u64,
    tickets: u64,
    entropy: [u8; 32],
    waker: Waker,
    limits: Limits,
    opened_at: Duration,
    heard_at: Duration,
    has_line: bool,
    now: Now,
    ending: Option<(Duration, CloseReason)>,
    is_over: bool,
}

impl HeadEnd {
    /// For a peer that has just connected.
    pub(super) fn new(office: Arc<Office>, settings: Arc<Settings>, now: Now, opening: Opening) -> Self {
        let mut session = Self {
            settings,
            place: None,
            rate: Rate::new(now.elapsed),
            office,
            device: None,
            lines: Lines::default(),
            held: None,
            waiting: Waiting::Nothing,
            outputs: VecDeque::new(),
            out: Vec::new(),
            sent_through: 0,
            may_have_mail: false,
            logins: 0,
            ids: 0,
            tickets: 0,
            entropy: opening.entropy,
            waker: opening.waker,
            limits: opening.limits,
            opened_at: now.elapsed,
            heard_at: now.elapsed,
            has_line: false,
            now,
            ending: None,
            is_over: false,
        };
        let welcome = Arc::clone(&session.settings);
        if !welcome.welcome.is_empty() {
            session.say(Reply::Welcome(&welcome.welcome));
        }
        session
    }

    /// Sends a reply.
    pub(super) fn say(&mut self, reply: Reply<'_>) {
        self.settings.style.write(reply, &mut self.out);
        if self.settings.style.end == ReplyEnd::None || self.out.len() >= WRITE_BYTES {
            self.flush();
        }
    }

    /// Asks whether the peer is who it says it is.
    pub(super) fn claim(&mut self, claim: Claim) {
        self.waiting = Waiting::Verdict(claim.identity.as_str().into());
        self.outputs.push_back(Output::Ask(Question::Prove(claim)));
    }

    /// A login failed. The peer is told the same whatever is wrong with it.
    pub(super) fn refused(&mut self) {
        self.say(Reply::Wrong);
        self.logins += 1;
        if self.logins >= LOGINS_MAX {
            self.close(CloseReason::Refused);
        }
    }

    fn accepted(&mut self, now: Now, admission: Admission) {
        let Waiting::Verdict(name) = std::mem::replace(&mut self.waiting, Waiting::Nothing) else { return };
        let (waker, online) = (self.waker.clone(), self.settings.online);
        let before = self.place.take();
        self.place = Some(self.office.with(|inside| {
            if let Some(before) = before.filter(|before| *before.user != *name) {
                inside.detach(&before);
            }
            inside.attach(&name, waker, now.elapsed, online)
        }));
        self.device = Some(admission.device);
        self.logins = 0;
        self.outputs.push_back(Output::ExpectWithin(online));
        self.say(Reply::LoggedIn);
        self.sent_through = 0;
        self.may_have_mail = true;
    }

    /// Has a message stored, to be passed on then.
    pub(super) fn send(&mut self, now: Now, to: &str, text: &str) {
        let (Some(place), Some(device)) = (&self.place, &self.device) else { return };
        self.ids += 1;
        let id = MessageId::make(&self.entropy, self.ids);
        let letter = Letter { id, from: &place.user, to, text, device, limits: self.settings.queue };
        match self.office.with(|inside| inside.take(&letter, now.wall)) {
            Ok(message) => {
                let report = self.settings.readings.then(|| message.report()).flatten();
                let records = Records { report, ..message.records(now.wall, vec![message.note()]) };
                self.waiting = Waiting::Message(Box::new(message));
                self.store(records);
            }
            Err(Full::Receiver | Full::Room) => self.say(Reply::ReceiverFull),
            Err(Full::Sender) => self.say(Reply::SenderFull),
        }
    }

    /// Has it stored that the user has a message.
    pub(super) fn confirm(&mut self, now: Now, id: MessageId) {
        let (Some(place), history) = (&self.place, self.settings.queue.history) else { return };
        let found = self.office.with(|inside| inside.confirm(place, id, history, now.wall));
        if let Some((message, notes)) = found {
            let records = message.records(now.wall, notes);
            self.waiting = Waiting::Confirmation(Box::new(message));
            self.store(records);
        }
    }

    fn store(&mut self, records: Records) {
        self.tickets += 1;
        self.outputs.push_back(Output::Store(Ticket(self.tickets), records));
    }

    /// What was asked for is on disk, as the receipt says.
    fn stored(&mut self, now: Now, receipt: Receipt) {
        if receipt.ticket() != Ticket(self.tickets) {
            return;
        }
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Message(message) => {
                let receiver = self.office.with(|inside| inside.pass(&message.to, message.number, now.elapsed));
                // One's own comes before the answer to the next command, like everybody else's.
                self.may_have_mail |= self.place.as_ref().is_some_and(|place| place.user == message.to);
                if let Some(reply) = message::accepted(receipt, receiver) {
                    self.say(reply);
                }
            }
            Waiting::Confirmation(message) => {
                let history = self.settings.queue.history;
                self.office.with(|inside| inside.confirmed(*message, history));
            }
            other @ (Waiting::Nothing | Waiting::Verdict(_)) => self.waiting = other,
        }
    }

    fn not_stored(&mut self, ticket: Ticket) {
        if ticket != Ticket(self.tickets) {
            return;
        }
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Message(message) => {
                self.office.with(|inside| inside.give_up(&message.to, message.number));
                self.say(Reply::Failed(NOT_STORED));
            }
            Waiting::Confirmation(_) => self.say(Reply::Failed(NOT_STORED)),
            other @ (Waiting::Nothing | Waiting::Verdict(_)) => self.waiting = other,
        }
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) {
        self.heard_at = now.elapsed;
        if self.is_over {
            return;
        }
        if let Some(place) = &self.place {
            self.office.with(|inside| inside.heard(place, now.elapsed));
            // What came while it was silent waits for it.
            self.may_have_mail = true;
        }
        self.lines.push(bytes);
    }

    /// Sends what has come for the user. False when there is nothing.
    fn deliver(&mut self) -> bool {
        let Some(place) = self.place.as_ref().filter(|_| self.may_have_mail) else { return false };
        let (after, wall) = (self.sent_through, self.now.wall);
        let mail = self.office.with(|inside| inside.mail(place, after, MAIL_MAX, wall));
        self.may_have_mail = mail.len() == MAIL_MAX;
        let mut first: Vec<(DeviceId, Vec<Note>)> = Vec::new();
        for one in mail.iter().filter(|one| one.is_first) {
            let message = &one.message;
            match first.last_mut().filter(|(device, _)| *device == message.device) {
                Some((_, notes)) => notes.push(message.note()),
                None => first.push((message.device.clone(), vec![message.note()])),
            }
        }
        // That they were sent is noted before they are: what their receiver says of them comes after it.
        let received_at = wall;
        self.outputs.extend(first.into_iter().map(|(device, notes)| {
            Output::Keep(Records { device, received_at, report: None, frame: None, events: Vec::new(), notes })
        }));
        for Mail { message, is_live, .. } in &mail {
            let delivery = Delivery { from: &message.from, text: &message.text, id: message.id };
            self.say(if *is_live { Reply::Live(delivery) } else { Reply::Stored(delivery) });
            self.sent_through = message.number;
        }
        !mail.is_empty()
    }

    /// Does the next command. False when there is none, or when it has to wait.
    fn next_command(&mut self) -> bool {
        if self.is_over || !matches!(self.waiting, Waiting::Nothing) {
            return false;
        }
        let now = self.now;
        if self.held.as_ref().is_some_and(|(until, _)| *until > now.elapsed) {
            return false;
        }
        if let Some((_, line)) = self.held.take() {
            self.line(now, line);
            return true;
        }
        match self.lines.cut(self.settings.terminator, self.settings.line_bytes_limit) {
            Some(Cut::Line(line)) => {
                self.has_line = true;
                self.line(now, line);
                true
            }
            Some(Cut::TooLong(fault)) => {
                self.too_long(fault);
                true
            }
            None => false,
        }
    }

    fn line(&mut self, now: Now, line: Vec<u8>) {
        let settings = Arc::clone(&self.settings);
        let text = settings.style.encoding.decode(&line);
        let request = Request::parse(&text);
        let Some(command) = commands::find(request.key) else { return self.say(Reply::Unknown(request.key)) };
        match filter::pass(self, now, command) {
            Pass::Run => (command.run)(self, now, request),
            Pass::Skip(reply) => self.say(reply),
            Pass::Wait(until) => {
                drop(text);
                self.held = Some((until, line));
            }
        }
    }

    fn too_long(&mut self, fault: Fault) {
        let reason = CloseReason::Fault(fault.reason.clone());
        self.outputs.push_back(Output::Fault(fault));
        match self.settings.on_oversize {
            OnOversize::Close => self.close(reason),
            OnOversize::ErrorThenClose => {
                self.say(Reply::TooLong);
                self.close(reason);
            }
            OnOversize::DiscardLine => self.say(Reply::TooLong),
        }
    }

    /// Says what is left to say, and closes.
    fn close(&mut self, because: CloseReason) {
        if !self.is_over {
            self.is_over = true;
            self.flush();
            self.outputs.push_back(Output::Close(because));
        }
    }

    fn flush(&mut self) {
        if !self.out.is_empty() {
            self.outputs.push_back(Output::Send(std::mem::take(&mut self.out).into()));
        }
    }

    /// By when something has to happen, and what it is called when it does not.
    fn deadline(&self) -> Option<(Duration, CloseReason)> {
        let (first_frame, login) = (self.limits.first_frame, self.limits.login);
        let silent = |since: Duration, limit: Duration| (since + limit, CloseReason::Silent(limit));
        let is_idle = matches!(self.waiting, Waiting::Nothing) && self.held.is_none();
        let unterminated = (is_idle && self.lines.held() > 0).then(|| {
            let reason = format!("{} bytes without the end of a line", self.lines.held());
            (self.heard_at + first_frame, CloseReason::Fault(reason.into()))
        });
        let entering = match (&self.place, self.has_line) {
            (None, false) => Some(silent(self.opened_at, first_frame.min(login))),
            (None, true) => Some((self.opened_at + login, CloseReason::Refused)),
            (Some(_), _) => self.settings.idle.map(|idle| silent(self.heard_at, idle)),
        };
        unterminated.into_iter().chain(entering).chain(self.ending.clone()).min_by_key(|(at, _)| *at)
    }

    fn wake(&mut self, now: Now) {
        self.may_have_mail = true;
        if self.place.as_ref().is_some_and(|place| !self.office.with(|inside| inside.holds(place))) {
            self.say(Reply::Kicked);
            return self.close(CloseReason::TakenOver);
        }
        if let Some((_, because)) = self.deadline().filter(|(at, _)| *at <= now.elapsed) {
            if let CloseReason::Fault(reason) = &because {
                self.outputs.push_back(Output::Fault(Fault::new(FaultKind::TooSlow, reason.clone())));
            }
            self.close(because);
        }
    }

    fn shutdown(&mut self, now: Now, because: CloseReason) {
        if because == CloseReason::TakenOver && !self.is_over {
            self.say(Reply::Kicked);
            // The name is another one's now.
            return self.close(because);
        }
        if matches!(self.waiting, Waiting::Nothing) {
            return self.close(because);
        }
        self.ending.get_or_insert((now.elapsed + WIND_UP_WAIT, because));
    }

    /// The connection is gone.
    fn leave(&mut self) {
        self.is_over = true;
        let waiting = std::mem::replace(&mut self.waiting, Waiting::Nothing);
        let underway = if let Waiting::Message(message) = waiting { Some(message) } else { None };
        self.office.leave(self.place.take(), underway);
    }
}

impl Session for HeadEnd {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        self.now = now;
        match input {
            Input::Bytes(bytes) => self.bytes(now, bytes),
            Input::Eof => {
                self.ending.get_or_insert((now.elapsed + WIND_UP_WAIT, CloseReason::PeerDone));
            }
            Input::Wake => self.wake(now),
            Input::Answer(Answer::Verdict(Verdict::Accepted(admission))) => self.accepted(now, admission),
            Input::Answer(Answer::Verdict(Verdict::Refused(_))) => {
                self.waiting = Waiting::Nothing;
                self.refused();
            }
            Input::Stored(receipt) => self.stored(now, receipt),
            Input::NotStored(ticket) => self.not_stored(ticket),
            Input::Command(command) => {
                let state = CommandState::Failed("a user of the line protocol takes no commands".to_owned());
                self.outputs.push_back(Output::Command(command.id, state));
            }
            Input::Shutdown(because) => self.shutdown(now, because),
            Input::Disconnected => self.leave(),
            Input::Answer(_) | Input::Connected | Input::Offer(..) => {}
        }
        Ok(())
    }

    fn poll(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if !self.is_over && (self.deliver() || self.next_command()) {
                // What is written leaves before more is done, unless something has to be done first.
                if self.outputs.is_empty() && matches!(self.waiting, Waiting::Nothing) {
                    self.flush();
                }
                continue;
            }
            if !self.out.is_empty() {
                self.flush();
                continue;
            }
            if matches!(self.waiting, Waiting::Nothing)
                && self.held.is_none()
                && let Some((_, because)) = self.ending.take()
            {
                self.close(because);
                continue;
            }
            // An idle connection keeps no memory for what it is not doing.
            self.outputs = VecDeque::new();
            let held = self.held.as_ref().filter(|_| !self.is_over).map(|(until, _)| *until);
            let deadline = self.deadline().filter(|_| !self.is_over).map(|(at, _)| at);
            return Output::Idle { wake_at: held.into_iter().chain(deadline).min() };
        }
    }

    fn wants_bytes(&self) -> bool {
        self.ending.is_none() && self.held.is_none() && matches!(self.waiting, Waiting::Nothing)
    }
}

impl Drop for HeadEnd {
    fn drop(&mut self) {
        self.leave();
    }
}
