//! The head-end's side of one connection: commands in, questions, records and commands out.
//!
//! Commands are done one after another: the next one is not looked at before the head-end or the store has answered for
//! the one before. What each of them does stands in `entering.rs`, `app.rs` and `camera.rs`.

mod app;
mod camera;
mod entering;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use loggerhead_model::{CommandState, DeviceId, Identity, Receipt, Records, Ticket};

use entering::Wish;

use super::frame::Frames;
use super::message::{Command, LOG_IN_FIRST, Spelling, state_word};
use super::settings::Settings;
use crate::bindings::{Binding, Draft, NonceBytes, Place, Push, Registry, Visit};
use crate::{
    Answer, Claim, CloseReason, Company, Fault, FaultKind, Input, Limits, Now, Opening, Output, Proof, Session, Verdict,
};

/// What is written reaches this before it leaves, if there is more.
const WRITE_BYTES: usize = 8 * 1024;
/// How long a connection that ends waits for the store, so that what is committed is answered too.
const WIND_UP_WAIT: Duration = Duration::from_secs(5);

/// Who is at the other end.
pub(super) enum Side {
    /// Nobody knows yet.
    Stranger,
    /// An app on its main connection; its place is what it is pushed things by.
    App(Place, DeviceId),
    /// An app on a data connection, whose port was its only credential.
    Data(Arc<str>, DeviceId),
    /// A camera.
    Camera(DeviceId),
}

/// For what the next command has to wait.
enum Waiting {
    Nothing,
    /// Whether an account or a camera has the name of a claim is being looked up.
    Name(Box<Claim>, Wish),
    /// The claim of this name is being judged.
    Claim(Box<str>, Wish),
    /// That an account logged in is being stored.
    Visit(Option<Visit>),
    /// The password of a camera is being judged.
    Password(Box<Upload>),
    /// A binding is being stored.
    Binding(Box<(Draft, Upload)>),
    /// A port is being looked for.
    Door,
    /// An alarm is being stored.
    Alarm(Box<str>),
}

/// An upload that is not answered yet.
struct Upload {
    camera: Box<str>,
    password: Box<str>,
    current: Box<str>,
    total: Box<str>,
}

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    settings: Arc<Settings>,
    registry: Arc<Registry>,
    side: Side,
    frames: Frames,
    /// How the peer wrote its last command, and so how it is answered.
    spelling: Spelling,
    waiting: Waiting,
    /// The list that is being downloaded, as it was at the beginning.
    snapshot: Option<Vec<Arc<Binding>>>,
    outputs: VecDeque<Output>,
    out: Vec<u8>,
    may_have_pushes: bool,
    failures: u32,
    unknown: u32,
    tickets: u64,
    nonces: u32,
    entropy: [u8; 32],
    peer: Arc<str>,
    waker: Waker,
    limits: Limits,
    opened_at: Duration,
    heard_at: Duration,
    has_command: bool,
    now: Now,
    ending: Option<(Duration, CloseReason)>,
    is_over: bool,
}

impl HeadEnd {
    /// For a peer that has just connected.
    pub(super) fn new(
        registry: Arc<Registry>,
        settings: Arc<Settings>,
        side: Side,
        now: Now,
        opening: Opening,
    ) -> Self {
        Self {
            spelling: settings.reply_names,
            settings,
            registry,
            side,
            frames: Frames::default(),
            waiting: Waiting::Nothing,
            snapshot: None,
            outputs: VecDeque::new(),
            out: Vec::new(),
            may_have_pushes: false,
            failures: 0,
            unknown: 0,
            tickets: 0,
            nonces: 0,
            entropy: opening.entropy,
            peer: opening.peer,
            waker: opening.waker,
            limits: opening.limits,
            opened_at: now.elapsed,
            heard_at: now.elapsed,
            has_command: false,
            now,
            ending: None,
            is_over: false,
        }
    }

    /// Sends a command.
    fn say(&mut self, command: Command, body: &str) {
        let mut line = Vec::new();
        let framing = self.settings.framing;
        self.settings.style.write(command, self.spelling, &framing.harmless(body), &mut line);
        framing.put(&line, &mut self.out);
        if self.out.len() >= WRITE_BYTES {
            self.flush();
        }
    }

    fn store(&mut self, records: Records) {
        self.tickets += 1;
        self.outputs.push_back(Output::Store(Ticket(self.tickets), records));
    }

    /// Bytes that seal one password. Each session has random ones of its own, and counts on from them.
    fn nonce(&mut self) -> NonceBytes {
        let mut nonce = NonceBytes::default();
        nonce.iter_mut().zip(self.entropy).for_each(|(to, from)| *to = from);
        let [.., a, b, c, d] = nonce;
        let counted = u32::from_be_bytes([a, b, c, d]).wrapping_add(self.nonces).to_be_bytes();
        self.nonces += 1;
        nonce.iter_mut().rev().zip(counted.iter().rev()).for_each(|(to, from)| *to = *from);
        nonce
    }

    fn fault(&mut self, kind: FaultKind, reason: impl Into<std::borrow::Cow<'static, str>>) {
        self.outputs.push_back(Output::Fault(Fault::new(kind, reason)));
    }

    /// A login failed. The peer is told the same whatever is wrong with it.
    fn refused(&mut self, command: Command, reason: &str) {
        self.say(command, reason);
        self.failures += 1;
        if self.failures >= self.settings.logins_max {
            self.close(CloseReason::Refused);
        }
    }

    /// Does the next command. False when there is none, or when it has to wait.
    fn next_command(&mut self) -> bool {
        if self.is_over || !matches!(self.waiting, Waiting::Nothing) {
            return false;
        }
        let settings = Arc::clone(&self.settings);
        match self.frames.cut(settings.framing, settings.bare_lf, settings.frame_bytes_max) {
            Ok(Some(body)) => {
                self.has_command = true;
                let text = settings.style.encoding.decode(&body);
                // Whatever else proves somebody alive has no answer.
                if !is_heartbeat(&text) {
                    let (key, body) = settings.style.split(&text);
                    self.command(key, body);
                }
                true
            }
            Ok(None) => false,
            Err(fault) => {
                let reason = CloseReason::Fault(fault.reason.clone());
                self.outputs.push_back(Output::Fault(fault));
                self.close(reason);
                true
            }
        }
    }

    fn command(&mut self, key: &str, body: &str) {
        let Some((command, spelling)) = self.settings.style.find(key) else {
            return self.unknown("a command that nobody knows");
        };
        self.spelling = spelling;
        match (command, &self.side) {
            (Command::CameraLogin, Side::Stranger) if self.settings.takes_cameras => {
                self.credentials(body, Wish::CameraLogin);
            }
            (Command::CameraAlarm, Side::Camera(device)) => {
                let device = device.clone();
                self.camera_alarm(&device, body);
            }
            (_, Side::Camera(_)) => self.unknown("a camera gives no such command"),
            (Command::Login, Side::Stranger | Side::App(..)) => self.credentials(body, Wish::Login),
            (Command::CreatDataSocket, Side::Stranger | Side::App(..)) => self.credentials(body, Wish::DataConnection),
            (Command::UploadCaramer, Side::App(..) | Side::Data(..)) => self.upload(body),
            (Command::DownLoadCaramer, Side::App(..) | Side::Data(..)) => self.download(body),
            (Command::CheckCaramerOnlineStatus, Side::App(..)) => self.states(body),
            (Command::UploadCaramer | Command::DownLoadCaramer | Command::CheckCaramerOnlineStatus, Side::Stranger) => {
                self.say(Command::LoginError, LOG_IN_FIRST);
                if self.settings.close_before_login {
                    self.close(CloseReason::Refused);
                }
            }
            _ => self.unknown("a command that nobody gives here"),
        }
    }

    /// Counts a command that cannot be done. The protocol has no word for it.
    fn unknown(&mut self, what: &'static str) {
        self.fault(FaultKind::Malformed, what);
        self.unknown += 1;
        if self.unknown >= self.settings.unknown_max {
            self.close(CloseReason::Fault(what.into()));
        }
    }

    fn verdict(&mut self, now: Now, verdict: Verdict) {
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Claim(name, wish) => self.judged(now, &name, wish, verdict),
            Waiting::Password(upload) => self.password_judged(*upload, &verdict),
            other @ (Waiting::Nothing
            | Waiting::Name(..)
            | Waiting::Visit(_)
            | Waiting::Binding(_)
            | Waiting::Door
            | Waiting::Alarm(_)) => self.waiting = other,
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "a receipt is used up by the answer that it allows")]
    fn stored(&mut self, now: Now, receipt: Receipt) {
        if receipt.ticket() != Ticket(self.tickets) {
            return;
        }
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Visit(before) => self.logged_in(now, before),
            Waiting::Binding(bound) => self.bound(&bound.0, &bound.1),
            Waiting::Alarm(number) => self.say(Command::CameraAlarmOk, &number),
            other @ (Waiting::Nothing
            | Waiting::Name(..)
            | Waiting::Claim(..)
            | Waiting::Password(_)
            | Waiting::Door) => self.waiting = other,
        }
    }

    fn not_stored(&mut self, ticket: Ticket) {
        if ticket != Ticket(self.tickets) {
            return;
        }
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Visit(_) => self.not_logged_in(),
            Waiting::Binding(bound) => self.not_bound(&bound.0, &bound.1),
            // No acknowledgement: the camera raises it again.
            Waiting::Alarm(_) => {}
            other @ (Waiting::Nothing
            | Waiting::Name(..)
            | Waiting::Claim(..)
            | Waiting::Password(_)
            | Waiting::Door) => self.waiting = other,
        }
    }

    /// Sends what is to be told unasked. False when there is nothing.
    fn deliver(&mut self) -> bool {
        let Side::App(place, _) = &self.side else { return false };
        // Nobody is told anything before it is told that it is in.
        if matches!(self.waiting, Waiting::Visit(_)) || !std::mem::take(&mut self.may_have_pushes) {
            return false;
        }
        let (pushes, dropped) = self.registry.with(|inside| inside.pushes(place));
        if dropped > 0 {
            self.fault(FaultKind::TooSlow, format!("{dropped} states and alarms came faster than it reads"));
        }
        for push in &pushes {
            self.push(push);
        }
        !pushes.is_empty()
    }

    fn push(&mut self, push: &Push) {
        match push {
            Push::State(camera, state) => {
                self.say(Command::PrushCaramerOnlineStatus, &format!("{camera}:{}", state_word(*state)));
            }
            Push::Alarm(camera, what) => self.say(Command::PrushCaramerAlarmInfo, &format!("{camera}:{what}")),
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
        let silent = |since: Duration, limit: Duration| (since + limit, CloseReason::Silent(limit));
        let is_idle = matches!(self.waiting, Waiting::Nothing);
        let unfinished = (is_idle && self.frames.held() > 0).then(|| {
            let reason = format!("{} bytes without the end of a command", self.frames.held());
            (self.heard_at + self.limits.first_frame, CloseReason::Fault(reason.into()))
        });
        let usual = match &self.side {
            Side::Stranger if self.has_command => Some((self.opened_at + self.limits.login, CloseReason::Refused)),
            Side::Stranger => Some(silent(self.opened_at, self.limits.first_frame.min(self.limits.login))),
            Side::App(..) => self.settings.idle.map(|idle| silent(self.heard_at, idle)),
            Side::Data(..) => Some(silent(self.heard_at, self.settings.data_idle)),
            // Silent for so long, it is away already; it may come anew.
            Side::Camera(_) => Some(silent(self.heard_at, self.settings.camera_silent * 2)),
        };
        unfinished.into_iter().chain(usual).chain(self.ending.clone()).min_by_key(|(at, _)| *at)
    }

    fn wake(&mut self, now: Now) {
        self.may_have_pushes = true;
        if let Some((_, because)) = self.deadline().filter(|(at, _)| *at <= now.elapsed) {
            if let CloseReason::Fault(reason) = &because {
                self.fault(FaultKind::TooSlow, reason.clone());
            }
            self.close(because);
        }
    }

    fn end_when_done(&mut self, now: Now, because: CloseReason) {
        self.ending.get_or_insert((now.elapsed + WIND_UP_WAIT, because));
    }

    /// The connection is gone.
    fn leave(&mut self) {
        self.is_over = true;
        let side = std::mem::replace(&mut self.side, Side::Stranger);
        if let Waiting::Binding(bound) = std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            self.registry.with(|inside| inside.adopt(bound.0));
        }
        if let Side::App(place, _) = side {
            self.registry.with(|inside| inside.detach(&place));
        }
    }
}

/// Whether a command says only that somebody is there. Source: \[1\] §1.3.
fn is_heartbeat(text: &str) -> bool {
    let word = text.split_once(|sign: char| !sign.is_alphanumeric()).map_or(text, |(word, _)| word);
    text.is_empty() || word.eq_ignore_ascii_case("HB")
}

/// That somebody of this name has this password.
fn claim(identity: Identity, password: &str, company: Company) -> Claim {
    let proof = Proof::secret(password.as_bytes());
    Claim { identity, proof, remember: None, company }
}

impl Session for HeadEnd {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        self.now = now;
        match input {
            Input::Bytes(bytes) => {
                self.heard_at = now.elapsed;
                if !self.is_over {
                    self.frames.push(bytes);
                }
            }
            Input::Eof => self.end_when_done(now, CloseReason::PeerDone),
            Input::Wake => self.wake(now),
            Input::Answer(Answer::Known(known)) => self.named(&known),
            Input::Answer(Answer::Verdict(verdict)) => self.verdict(now, verdict),
            Input::Answer(Answer::Door(port)) => self.door_opened(port),
            Input::Stored(receipt) => self.stored(now, receipt),
            Input::NotStored(ticket) => self.not_stored(ticket),
            Input::Command(command) => {
                let state = CommandState::Failed("the camera platform has no such command".to_owned());
                self.outputs.push_back(Output::Command(command.id, state));
            }
            Input::Shutdown(because) => self.end_when_done(now, because),
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
                continue;
            }
            if !self.out.is_empty() {
                self.flush();
                continue;
            }
            if matches!(self.waiting, Waiting::Nothing)
                && let Some((_, because)) = self.ending.take()
            {
                self.close(because);
                continue;
            }
            // An idle connection keeps no memory for what it is not doing.
            self.outputs = VecDeque::new();
            return Output::Idle { wake_at: self.deadline().filter(|_| !self.is_over).map(|(at, _)| at) };
        }
    }

    fn wants_bytes(&self) -> bool {
        self.ending.is_none() && matches!(self.waiting, Waiting::Nothing)
    }
}

impl Drop for HeadEnd {
    fn drop(&mut self) {
        self.leave();
    }
}
