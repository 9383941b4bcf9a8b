//! The head-end's side of one connection: a handshake, then texts both ways.
//!
//! Texts are answered one after another: the next one is not looked at before the store has answered for the one before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use loggerhead_model::{CommandState, DeviceId, Identity, Note, Receipt, Records, Ticket};

use super::frame::{Gathered, Texts};
use super::legacy;
use super::mail::Unproven;
use super::message::{self, Reason, Reply};
use super::requests;
use super::settings::Settings;
use crate::office::{Message, MessageId, Office, Place, Receiver};
use crate::rate::Rate;
use crate::websocket::frame::{self, Sender, code};
use crate::websocket::handshake::{self, EMPTY_LINE, REQUEST_BYTES_MAX, Refusal};
use crate::{
    Admission, Answer, Claim, CloseReason, Company, Fault, FaultKind, Input, Limits, Now, Opening, Output, Proof,
    Question, Session, Verdict,
};

/// Where clients of the JSON format connect.
const PATH: &str = "/chat";
/// Logins of one connection that may fail: a person mistypes, a program guesses.
const LOGINS_MAX: u32 = 5;
/// What is written reaches this before it leaves, if there is more.
const WRITE_BYTES: usize = 8 * 1024;
/// How long a connection that ends waits for the store, so that what is committed is answered too.
const WIND_UP_WAIT: Duration = Duration::from_secs(5);

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    Json,
    Legacy,
}

/// How far a connection is.
enum Stage {
    /// The request has not come to its end.
    Shaking(Vec<u8>),
    /// An older client's name is being judged; then it is sent this.
    Judged(Texts, String),
    Open(Texts),
    /// Nothing that comes is read any more.
    Deaf,
}

/// For what the next text has to wait.
pub(super) enum Waiting {
    Nothing,
    /// A login is being judged.
    Verdict(Box<str>),
    /// A message is being stored.
    Message(Box<Message>),
    /// That a message is confirmed is being stored; then this is said.
    Confirmation(Box<Message>, Reply),
    /// That it is a member of this room is being stored.
    Join(Box<str>),
    /// That it is none any more.
    Leave(Box<str>),
    /// Something else is being stored; then this is said.
    Answer(Reply),
}

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    pub(super) settings: Arc<Settings>,
    pub(super) office: Arc<Office>,
    pub(super) voice: Voice,
    /// The person, once it has logged in.
    pub(super) place: Option<Place>,
    pub(super) device: Option<DeviceId>,
    pub(super) waiting: Waiting,
    pub(super) outputs: VecDeque<Output>,
    /// It was sent everything to itself up to this message.
    pub(super) sent_through: u64,
    pub(super) may_have_mail: bool,
    /// What an older client was sent and has not shown that it has.
    pub(super) unproven: VecDeque<Unproven>,
    /// Messages to an older client that it has shown that it has.
    pub(super) proven: VecDeque<MessageId>,
    pub(super) now: Now,
    stage: Stage,
    /// Whole texts of the last read.
    texts: VecDeque<String>,
    rate: Rate,
    /// Until when the rate lets the next text wait.
    held_until: Option<Duration>,
    out: Vec<u8>,
    logins: u32,
    ids: u64,
    tickets: u64,
    pings: u64,
    entropy: [u8; 32],
    waker: Waker,
    limits: Limits,
    opened_at: Duration,
    heard_at: Duration,
    pinged_at: Duration,
    ending: Option<(Duration, CloseReason)>,
    is_over: bool,
}

impl HeadEnd {
    /// For a peer that has just connected.
    pub(super) fn new(office: Arc<Office>, settings: Arc<Settings>, now: Now, opening: &Opening) -> Self {
        Self {
            settings,
            office,
            voice: Voice::Json,
            place: None,
            device: None,
            waiting: Waiting::Nothing,
            outputs: VecDeque::new(),
            sent_through: 0,
            may_have_mail: false,
            unproven: VecDeque::new(),
            proven: VecDeque::new(),
            now,
            stage: Stage::Shaking(Vec::new()),
            texts: VecDeque::new(),
            rate: Rate::new(now.elapsed),
            held_until: None,
            out: Vec::new(),
            logins: 0,
            ids: 0,
            tickets: 0,
            pings: 0,
            entropy: opening.entropy,
            waker: opening.waker.clone(),
            limits: opening.limits,
            opened_at: now.elapsed,
            heard_at: now.elapsed,
            pinged_at: now.elapsed,
            ending: None,
            is_over: false,
        }
    }

    /// For a person whom the console has signed in, over a WebSocket that stands already.
    pub(super) fn of_person(
        person: Identity,
        office: Arc<Office>,
        settings: Arc<Settings>,
        now: Now,
        opening: &Opening,
    ) -> Self {
        let texts = Texts::of(Sender::Client, settings.text_bytes_limit);
        let mut session = Self::new(office, settings, now, opening);
        session.stage = Stage::Open(texts);
        session.claim(person, Proof::SignedIn);
        session
    }

    /// Sends a text.
    pub(super) fn write(&mut self, text: &str) {
        self.out.extend(frame::text(text));
        if self.out.len() >= WRITE_BYTES {
            self.flush();
        }
    }

    /// Answers a client of the JSON format; the texts of older ones have no answers.
    pub(super) fn say(&mut self, reply: &Reply) {
        if self.voice == Voice::Json {
            self.write(&reply.text());
        }
    }

    /// Sends a ping; its number comes back in the pong.
    pub(super) fn ping(&mut self) -> u64 {
        self.pings += 1;
        self.pinged_at = self.now.elapsed;
        self.out.extend(frame::ping(&self.pings.to_be_bytes()));
        self.pings
    }

    /// A name for a message of a client that gives none.
    pub(super) fn new_id(&mut self) -> MessageId {
        self.ids += 1;
        MessageId::make(&self.entropy, self.ids)
    }

    /// Asks whether the peer is who it says it is.
    pub(super) fn claim(&mut self, identity: Identity, proof: Proof) {
        self.waiting = Waiting::Verdict(identity.as_str().into());
        let claim = Claim { identity, proof, remember: None, company: Company::Alone };
        self.outputs.push_back(Output::Ask(Question::Prove(claim)));
    }

    /// Has records stored, for which the next text waits.
    pub(super) fn store(&mut self, waiting: Waiting, records: Records) {
        self.waiting = waiting;
        self.tickets += 1;
        self.outputs.push_back(Output::Store(Ticket(self.tickets), records));
    }

    /// Records with these notes alone.
    pub(super) fn records(&self, notes: Vec<Note>) -> Option<Records> {
        let (device, received_at) = (self.device.clone()?, self.now.wall);
        Some(Records { device, received_at, report: None, frame: None, events: Vec::new(), notes })
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        self.heard_at = now.elapsed;
        if let Some(place) = &self.place {
            self.office.with(|inside| inside.heard(place, now.elapsed));
            // What came while it was silent waits for it.
            self.may_have_mail = true;
        }
        let Stage::Shaking(request) = &mut self.stage else { return self.frames(bytes) };
        let before = request.len();
        // The empty line may begin in what came before.
        let from = before.saturating_sub(EMPTY_LINE.len() - 1);
        request.extend(bytes.iter().take(REQUEST_BYTES_MAX - before));
        let end = request.get(from..).and_then(|new| memchr::memmem::find(new, EMPTY_LINE));
        let Some(end) = end.map(|end| from + end + EMPTY_LINE.len()) else {
            let is_short = request.len() < REQUEST_BYTES_MAX;
            return if is_short { Ok(()) } else { self.refuse(&handshake::TOO_LONG) };
        };
        let Stage::Shaking(request) = std::mem::replace(&mut self.stage, Stage::Deaf) else { return Ok(()) };
        self.shake(request.get(..end).unwrap_or_default())?;
        self.frames(bytes.get(end - before..).unwrap_or_default())
    }

    /// Answers a whole request.
    fn shake(&mut self, request: &[u8]) -> Result<(), Fault> {
        let settings = Arc::clone(&self.settings);
        let is_legacy = handshake::target(request).is_some_and(legacy::is_path);
        let read = match handshake::read(request, &settings.origins) {
            Ok(read) => read,
            Err(refusal) if refusal == handshake::PLAIN && is_legacy => {
                self.outputs.push_back(Output::Send(legacy::plain_answer().into()));
                self.close(CloseReason::PeerDone);
                return Ok(());
            }
            Err(refusal) => return self.refuse(&refusal),
        };
        let texts = Texts::of(Sender::Client, settings.text_bytes_limit);
        if is_legacy {
            let name = legacy::name(read.target).filter(|name| message::is_name(name));
            let Some(identity) = name.and_then(|name| Identity::new(&name).ok()) else {
                return self.refuse(&Refusal::bad("say who it is: ?name=USER"));
            };
            self.voice = Voice::Legacy;
            self.stage = Stage::Judged(texts, read.response(None));
            self.claim(identity, Proof::Name);
            return Ok(());
        }
        if read.target.split('?').next() != Some(PATH) {
            return self.refuse(&Refusal::not_found("connect to /chat"));
        }
        let subprotocol = read.offer("chat");
        self.outputs.push_back(Output::Send(read.response(subprotocol).into()));
        self.stage = Stage::Open(texts);
        Ok(())
    }

    fn refuse(&mut self, refusal: &Refusal) -> Result<(), Fault> {
        self.stage = Stage::Deaf;
        self.outputs.push_back(Output::Send(refusal.response().into()));
        Err(Fault::new(FaultKind::Malformed, format!("no WebSocket: {}", refusal.reason)))
    }

    fn frames(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let (Stage::Open(texts) | Stage::Judged(texts, _)) = &mut self.stage else { return Ok(()) };
        let mut gathered = Gathered::default();
        let read = texts.read(bytes, &mut gathered);
        self.texts.extend(gathered.texts);
        if let Some(ping) = gathered.ping {
            self.out.extend(frame::pong(&ping));
        }
        if let Some(pong) = gathered.pong.and_then(|pong| pong.try_into().ok()) {
            self.proven(u64::from_be_bytes(pong));
        }
        if let Err(violation) = read {
            let kind = if violation.code == code::TOO_BIG { FaultKind::TooLarge } else { FaultKind::Malformed };
            self.end(violation.code, CloseReason::Fault(violation.reason.into()));
            return Err(Fault::new(kind, format!("WebSocket: {}", violation.reason)));
        }
        if gathered.closed.is_some() {
            self.ending.get_or_insert((self.now.elapsed + WIND_UP_WAIT, CloseReason::PeerDone));
        }
        Ok(())
    }

    fn verdict(&mut self, now: Now, verdict: Verdict) {
        let Waiting::Verdict(name) = std::mem::replace(&mut self.waiting, Waiting::Nothing) else { return };
        match (verdict, std::mem::replace(&mut self.stage, Stage::Deaf)) {
            (Verdict::Accepted(Admission { device, .. }), Stage::Judged(texts, response)) => {
                self.stage = Stage::Open(texts);
                self.outputs.push_back(Output::Send(response.into()));
                self.enter(now, &name, device);
                let room = self.settings.legacy.room.clone();
                self.join(&room);
            }
            (Verdict::Accepted(Admission { device, .. }), stage) => {
                self.stage = stage;
                self.enter(now, &name, device);
            }
            (Verdict::Refused(_), Stage::Judged(..)) => {
                self.outputs.push_back(Output::Send(Refusal::forbidden("this name may not connect").response().into()));
                self.close(CloseReason::Refused);
            }
            (Verdict::Refused(_), stage) => {
                self.stage = stage;
                self.not_proven();
            }
        }
    }

    /// A login failed. The peer is told the same whatever is wrong with it.
    pub(super) fn not_proven(&mut self) {
        self.say(&Reply::Refused { id: None, reason: Reason::NotProven });
        self.logins += 1;
        if self.logins >= LOGINS_MAX {
            self.close(CloseReason::Refused);
        }
    }

    fn enter(&mut self, now: Now, name: &str, device: DeviceId) {
        let (waker, online) = (self.waker.clone(), self.settings.silence);
        let (place, rooms, partners) = self.office.with(|inside| {
            let place = inside.attach(name, waker, now.elapsed, online);
            (place, inside.rooms_of(name), inside.partners(name))
        });
        self.place = Some(place);
        self.device = Some(device);
        self.outputs.push_back(Output::ExpectWithin(online));
        self.say(&requests::welcome(name, &rooms, &partners, self.settings.ping));
        self.may_have_mail = true;
    }

    fn stored(&mut self, now: Now, receipt: Receipt) {
        if receipt.ticket() != Ticket(self.tickets) {
            return;
        }
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Message(message) => {
                let receiver = self.office.with(|inside| inside.pass(&message.to, message.number, now.elapsed));
                self.may_have_mail = true;
                self.say(&message::accepted(receipt, &message, receiver == Receiver::There));
            }
            Waiting::Confirmation(message, reply) => {
                let history = self.settings.queue.history;
                self.office.with(|inside| inside.confirmed(*message, history));
                self.say(&message::confirmed(receipt, reply));
            }
            Waiting::Join(room) => {
                let room = message::room_of(&room).unwrap_or_default().to_owned();
                self.say(&message::confirmed(receipt, Reply::Joined { room }));
            }
            Waiting::Leave(room) => {
                let room = message::room_of(&room).unwrap_or_default().to_owned();
                self.say(&message::confirmed(receipt, Reply::Parted { room }));
            }
            Waiting::Answer(reply) => self.say(&message::confirmed(receipt, reply)),
            other @ (Waiting::Nothing | Waiting::Verdict(_)) => self.waiting = other,
        }
    }

    fn not_stored(&mut self, ticket: Ticket) {
        if ticket != Ticket(self.tickets) {
            return;
        }
        let waiting = std::mem::replace(&mut self.waiting, Waiting::Nothing);
        let mut id = None;
        match (waiting, &self.place) {
            (Waiting::Message(message), _) => {
                self.office.with(|inside| inside.give_up(&message.to, message.number));
                id = Some(message.id.to_string());
            }
            (Waiting::Confirmation(message, _), _) => id = Some(message.id.to_string()),
            (Waiting::Join(room), Some(place)) => drop(self.office.with(|inside| inside.part(place, &room))),
            // It is a member again, as it still is on disk.
            (Waiting::Leave(room), Some(place)) => drop(self.office.with(|inside| inside.join(place, &room))),
            (Waiting::Join(_) | Waiting::Leave(_) | Waiting::Answer(_), _) => {}
            (other @ (Waiting::Nothing | Waiting::Verdict(_)), _) => {
                self.waiting = other;
                return;
            }
        }
        self.say(&Reply::Refused { id, reason: Reason::NotStored });
    }

    /// Answers the next text. False when there is none, or when it has to wait.
    fn next_text(&mut self) -> bool {
        if !matches!(self.waiting, Waiting::Nothing) || self.held_until.is_some_and(|until| until > self.now.elapsed) {
            return false;
        }
        self.held_until = None;
        if self.texts.is_empty() {
            return false;
        }
        if let Err(at) = self.rate.take(self.now.elapsed, self.settings.rate) {
            self.held_until = Some(at);
            return false;
        }
        if let Some(text) = self.texts.pop_front() {
            match self.voice {
                Voice::Json => requests::answer(self, &text),
                Voice::Legacy => requests::hear(self, &text),
            }
        }
        true
    }

    /// Says what is left to say, and closes.
    pub(super) fn close(&mut self, because: CloseReason) {
        self.end(code::of(&because), because);
    }

    fn end(&mut self, code: u16, because: CloseReason) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        if matches!(self.stage, Stage::Open(_)) {
            self.out.extend(frame::close(code));
        }
        self.stage = Stage::Deaf;
        self.flush();
        self.outputs.push_back(Output::Close(because));
    }

    fn flush(&mut self) {
        if !self.out.is_empty() {
            self.outputs.push_back(Output::Send(std::mem::take(&mut self.out).into()));
        }
    }

    /// By when something has to happen, and what it is called when it does not.
    fn deadline(&self) -> Option<(Duration, CloseReason)> {
        let silent = |since: Duration, limit: Duration| (since + limit, CloseReason::Silent(limit));
        let entering = match (&self.stage, &self.place) {
            (_, Some(_)) => silent(self.heard_at, self.settings.silence),
            (Stage::Shaking(_), None) => silent(self.opened_at, self.limits.first_frame.min(self.limits.login)),
            (_, None) => (self.opened_at + self.limits.login, CloseReason::Refused),
        };
        [entering].into_iter().chain(self.ending.clone()).min_by_key(|(at, _)| *at)
    }

    fn ping_at(&self) -> Option<Duration> {
        self.place.as_ref().map(|_| self.heard_at.max(self.pinged_at) + self.settings.ping)
    }

    fn wake(&mut self, now: Now) {
        self.may_have_mail = true;
        if self.place.as_ref().is_some_and(|place| !self.office.with(|inside| inside.holds(place))) {
            return self.replaced();
        }
        if let Some((_, because)) = self.deadline().filter(|(at, _)| *at <= now.elapsed) {
            return self.close(because);
        }
        if self.ping_at().is_some_and(|at| at <= now.elapsed) {
            self.ping();
        }
    }

    /// The name is another connection's now.
    fn replaced(&mut self) {
        self.say(&Reply::Replaced);
        self.close(CloseReason::TakenOver);
    }

    fn shutdown(&mut self, now: Now, because: CloseReason) {
        if because == CloseReason::TakenOver {
            return self.replaced();
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
            Input::Bytes(bytes) if !self.is_over => self.bytes(now, bytes)?,
            Input::Eof => {
                self.ending.get_or_insert((now.elapsed + WIND_UP_WAIT, CloseReason::PeerDone));
            }
            Input::Wake if !self.is_over => self.wake(now),
            Input::Answer(Answer::Verdict(verdict)) => self.verdict(now, verdict),
            Input::Stored(receipt) => self.stored(now, receipt),
            Input::NotStored(ticket) => self.not_stored(ticket),
            Input::Command(command) => {
                let state = CommandState::Failed("a person takes no commands".to_owned());
                self.outputs.push_back(Output::Command(command.id, state));
            }
            Input::Shutdown(because) if !self.is_over => self.shutdown(now, because),
            Input::Disconnected => self.leave(),
            Input::Bytes(_)
            | Input::Wake
            | Input::Shutdown(_)
            | Input::Answer(_)
            | Input::Connected
            | Input::Offer(..) => {}
        }
        Ok(())
    }

    fn poll(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if !self.is_over && (self.deliver() || self.confirm_proven() || self.next_text()) {
                continue;
            }
            if !self.out.is_empty() {
                self.flush();
                continue;
            }
            if matches!(self.waiting, Waiting::Nothing)
                && self.texts.is_empty()
                && !self.is_over
                && let Some((_, because)) = self.ending.take()
            {
                self.close(because);
                continue;
            }
            // An idle connection keeps no memory for what it is not doing.
            (self.outputs, self.texts) = (VecDeque::new(), std::mem::take(&mut self.texts));
            if self.is_over {
                return Output::Idle { wake_at: None };
            }
            let deadline = self.deadline().map(|(at, _)| at);
            return Output::Idle { wake_at: [self.held_until, deadline, self.ping_at()].into_iter().flatten().min() };
        }
    }

    fn wants_bytes(&self) -> bool {
        self.ending.is_none() && self.texts.is_empty() && matches!(self.waiting, Waiting::Nothing)
    }
}

impl Drop for HeadEnd {
    fn drop(&mut self) {
        self.leave();
    }
}
