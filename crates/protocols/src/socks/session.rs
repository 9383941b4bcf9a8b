//! The head-end's side of a connection: who asks, for whom, and whether both are joined.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem::take;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use loggerhead_model::{CommandState, Event, EventKind, Identity, Severity};

use super::frame::{self, MESSAGE_BYTES_MAX, VERSION_4, VERSION_5};
use super::message::{self, Command, METHOD_NO, METHOD_NONE, METHOD_PASSWORD, Reply, Request};
use super::rules::{Asked, decide};
use super::settings::{Entry, Settings};
use crate::relay::{Host, Manner, Packing, Reach, RelayLimits, Unreached};
use crate::{
    Answer, Claim, CloseReason, Company, Fault, FaultKind, Input, Now, Opening, Output, Proof, Question, Session,
    Verdict,
};

/// What is said to who speaks HTTP to a relay, which browsers that are set up wrong do.
const NOT_HTTP: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    This is a SOCKS relay, not an HTTP proxy.\n";
/// Where nothing else is to be said. Source: \[1\] §6.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Which version is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Four,
    Five,
}

/// How far a conversation is.
enum Stage {
    /// Nothing whole has come.
    Strange,
    /// A login has to come.
    Entering,
    /// A login is being looked at. Of version 4: of a request, which waits.
    Proving,
    /// A request of version 5 has to come.
    Asking,
    /// Somebody is being reached.
    Reaching(Version, Command),
    /// Somebody is waited for.
    Awaiting(Version),
    /// Both are joined.
    Joined,
    Ended,
}

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    settings: Arc<Settings>,
    limits: RelayLimits,
    from: Option<IpAddr>,
    stage: Stage,
    /// What came and was not understood yet: one message at most, and what was sent ahead behind it.
    held: BytesMut,
    user: Option<String>,
    /// What was asked for, for texts.
    wanted: String,
    outputs: VecDeque<Output>,
    speak_by: Duration,
    ask_by: Duration,
}

impl HeadEnd {
    /// For a peer that has just connected.
    pub(super) fn new(settings: Arc<Settings>, now: Now, opening: &Opening) -> Self {
        Self {
            limits: settings.limits,
            settings,
            from: opening.peer.parse().ok().map(|peer: SocketAddr| peer.ip()),
            stage: Stage::Strange,
            held: BytesMut::new(),
            user: None,
            wanted: String::new(),
            outputs: VecDeque::new(),
            speak_by: now.elapsed + opening.limits.first_frame.min(opening.limits.login),
            ask_by: now.elapsed + opening.limits.login,
        }
    }

    fn send(&mut self, bytes: impl Into<Bytes>) {
        self.outputs.push_back(Output::Send(bytes.into()));
    }

    fn close(&mut self, reason: CloseReason) {
        self.stage = Stage::Ended;
        self.outputs.push_back(Output::Close(reason));
    }

    /// Takes messages as long as whole ones are there and nothing has to be waited for.
    fn work(&mut self, now: Now) -> Result<(), Fault> {
        loop {
            let taken = match self.stage {
                Stage::Strange => self.first(now)?,
                Stage::Entering => match frame::login(&self.held) {
                    Some(length) => self.enter(length)?,
                    None => false,
                },
                Stage::Asking => match self.request_5_length()? {
                    Some(length) => self.request_5(now, length)?,
                    None => false,
                },
                Stage::Proving | Stage::Reaching(..) | Stage::Awaiting(_) | Stage::Joined | Stage::Ended => false,
            };
            if !taken {
                return Ok(());
            }
        }
    }

    /// The first message says which version is spoken.
    fn first(&mut self, now: Now) -> Result<bool, Fault> {
        match self.held.first() {
            None => Ok(false),
            Some(&VERSION_5) => match frame::greeting(&self.held) {
                Some(length) => self.greeting(length),
                None => Ok(false),
            },
            Some(&VERSION_4) => match frame::request_4(&self.held) {
                Ok(Some(length)) => self.request_4(now, length),
                Ok(None) => Ok(false),
                Err(fault) => self.refuse(Version::Four, Reply::Failed, fault),
            },
            Some(letter) if letter.is_ascii_uppercase() => {
                self.send(NOT_HTTP);
                Err(Fault::new(FaultKind::Malformed, "text, as of HTTP, where SOCKS begins with 4 or 5").at(0))
            }
            Some(other) => {
                Err(Fault::new(FaultKind::Malformed, format!("version {other}; 4 and 5 are spoken here")).at(0))
            }
        }
    }

    fn greeting(&mut self, length: usize) -> Result<bool, Fault> {
        let greeting = self.held.split_to(length);
        let methods = message::methods(&greeting)?;
        let offers = |method| methods.contains(&method);
        let chosen = match self.settings.entry {
            Entry::Password | Entry::Either if offers(METHOD_PASSWORD) => METHOD_PASSWORD,
            Entry::Either | Entry::Nobody if offers(METHOD_NONE) => METHOD_NONE,
            Entry::Password | Entry::Either | Entry::Nobody => METHOD_NO,
        };
        self.send(message::chosen(chosen).to_vec());
        self.stage = match chosen {
            METHOD_PASSWORD => Stage::Entering,
            METHOD_NONE => Stage::Asking,
            _ => return Err(Fault::new(FaultKind::NotProven, "none of the methods that are offered will do")),
        };
        Ok(true)
    }

    fn enter(&mut self, length: usize) -> Result<bool, Fault> {
        let bytes = self.held.split_to(length);
        let login = message::read_login(&bytes)?;
        let Some(identity) = str::from_utf8(login.user).ok().and_then(|user| Identity::new(user).ok()) else {
            self.send(message::login_answer(false).to_vec());
            return Err(Fault::new(FaultKind::NotProven, "a user whose name cannot be one"));
        };
        let proof = Proof::secret(login.password);
        self.prove(identity, proof);
        Ok(false)
    }

    fn prove(&mut self, identity: Identity, proof: Proof) {
        self.user = Some(identity.to_string());
        let claim = Claim { identity, proof, remember: None, company: Company::Errands };
        self.outputs.push_back(Output::Ask(Question::Prove(claim)));
        self.stage = Stage::Proving;
    }

    fn verdict(&mut self, now: Now, verdict: Verdict) -> Result<(), Fault> {
        if !matches!(self.stage, Stage::Proving) {
            return Ok(());
        }
        // A request of version 4 waits for it; of version 5, it follows.
        let length_4 = if self.held.first() == Some(&VERSION_4) { frame::request_4(&self.held)? } else { None };
        let is_in = match verdict {
            Verdict::Refused(_) => false,
            Verdict::Accepted(admission) => {
                self.limits = self.settings.limits_of(&admission.settings).map_err(|error| {
                    Fault::new(FaultKind::NotProven, format!("the settings of {}: {error}", admission.device))
                })?;
                true
            }
        };
        match length_4 {
            Some(length) if is_in => {
                self.ask_4(now, length)?;
            }
            Some(_) => {
                self.send(message::reply_4(Reply::Forbidden, NOWHERE));
                self.close(CloseReason::Refused);
            }
            None => {
                self.send(message::login_answer(is_in).to_vec());
                self.stage = Stage::Asking;
                if !is_in {
                    self.close(CloseReason::Refused);
                }
            }
        }
        Ok(())
    }

    fn request_5_length(&mut self) -> Result<Option<usize>, Fault> {
        match frame::request_5(&self.held) {
            Err(fault) => self.refuse(Version::Five, Reply::Address, fault).map(|_| None),
            length => length,
        }
    }

    fn request_5(&mut self, now: Now, length: usize) -> Result<bool, Fault> {
        let bytes = self.held.split_to(length);
        match message::read_request_5(&bytes) {
            Ok(request) => self.ask(now, Version::Five, &request),
            Err(fault) => self.refuse(Version::Five, Reply::Failed, fault),
        }
    }

    /// A request of version 4 has a user at most, who may be one whose name is enough.
    fn request_4(&mut self, now: Now, length: usize) -> Result<bool, Fault> {
        let user = message::read_request_4(self.held.get(..length).unwrap_or_default());
        let user = match &user {
            Ok(request) => request.user,
            Err(fault) => return self.refuse(Version::Four, Reply::Failed, fault.clone()),
        };
        if self.settings.entry != Entry::Password {
            return self.ask_4(now, length);
        }
        if let Some(identity) = str::from_utf8(user).ok().and_then(|user| Identity::new(user).ok()) {
            self.prove(identity, Proof::Name);
            return Ok(false);
        }
        let fault = Fault::new(FaultKind::NotProven, "version 4 without a user, where everybody has to log in");
        self.refuse(Version::Four, Reply::Forbidden, fault)
    }

    fn ask_4(&mut self, now: Now, length: usize) -> Result<bool, Fault> {
        let bytes = self.held.split_to(length);
        let request = message::read_request_4(&bytes)?;
        self.ask(now, Version::Four, &request)
    }

    /// Says no, and ends with a fault of the peer.
    fn refuse(&mut self, version: Version, reply: Reply, fault: Fault) -> Result<bool, Fault> {
        self.reply(version, reply, NOWHERE);
        Err(fault)
    }

    fn reply(&mut self, version: Version, reply: Reply, address: SocketAddr) {
        self.send(match version {
            Version::Four => message::reply_4(reply, address),
            Version::Five => message::reply_5(reply, address),
        });
    }

    fn ask(&mut self, now: Now, version: Version, request: &Request<'_>) -> Result<bool, Fault> {
        // Version 4 has no datagrams.
        let known =
            Command::of(request.command).filter(|known| version == Version::Five || *known != Command::Associate);
        let Some(command) = known else {
            let fault = Fault::new(FaultKind::Malformed, format!("command {}; 1, 2 and 3 are known", request.command));
            return self.refuse(version, Reply::Command, fault);
        };
        self.wanted = format!("{} {}", command.word(), request.to);
        if !self.settings.commands.contains(&command) {
            self.tell(now, EventKind::Refused, "the listener does not do that");
            self.reply(version, Reply::Command, NOWHERE);
            self.close(CloseReason::Refused);
            return Ok(false);
        }
        let mut to = request.to.clone();
        // Some programs write an address where a name belongs.
        if let Host::Name(name) = &to.host
            && let Ok(address) = name.trim_matches(['[', ']']).parse()
        {
            to.host = Host::Address(address);
        }
        let asked = Asked { user: self.user.clone(), from: self.from, command };
        let settings = Arc::clone(&self.settings);
        let permit = Arc::new(move |host: &Host, place| decide(&settings, &asked, host, place));
        let manner = match command {
            Command::Connect => Manner::Connect,
            Command::Bind => Manner::Await(self.settings.arrival),
            Command::Associate => Manner::Datagrams(Packing { unpack: message::unpack, pack: message::pack }),
        };
        self.outputs.push_back(Output::Ask(Question::Reach(Reach { to, manner, permit, limits: self.limits })));
        self.stage = Stage::Reaching(version, command);
        Ok(false)
    }

    fn reached(&mut self, now: Now, reached: Result<SocketAddr, Unreached>) {
        let (version, is_there) = match self.stage {
            Stage::Reaching(version, command) => (version, command != Command::Bind),
            Stage::Awaiting(version) => (version, true),
            Stage::Strange | Stage::Entering | Stage::Proving | Stage::Asking | Stage::Joined | Stage::Ended => return,
        };
        match reached {
            Ok(address) if !is_there => {
                self.reply(version, Reply::Done, address);
                self.stage = Stage::Awaiting(version);
                self.outputs.push_back(Output::Ask(Question::Arrival));
            }
            Ok(address) => {
                self.reply(version, Reply::Done, address);
                self.stage = Stage::Joined;
                self.outputs.push_back(Output::Join(take(&mut self.held).freeze()));
            }
            Err(why) => {
                self.reply(version, why.into(), NOWHERE);
                match why {
                    Unreached::Forbidden | Unreached::Full => self.tell(now, EventKind::Refused, why.word()),
                    Unreached::Login
                    | Unreached::NoProxy
                    | Unreached::Garbled
                    | Unreached::Unresolved
                    | Unreached::Refused
                    | Unreached::Network
                    | Unreached::Host
                    | Unreached::TimedOut
                    | Unreached::Failed => self.tell(now, EventKind::Relay, why.word()),
                }
                self.close(CloseReason::Fault(Cow::Borrowed(why.word())));
            }
        }
    }

    /// Tells operators what became of what was asked for.
    fn tell(&mut self, now: Now, kind: EventKind, what: &str) {
        let severity = if kind == EventKind::Refused { Severity::Warning } else { Severity::Info };
        let text = format!("{}: {what}", self.wanted).into();
        self.outputs.push_back(Output::Event(Event { at: now.wall, severity, kind, device: None, peer: None, text }));
    }

    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        let (by, what) = match self.stage {
            Stage::Strange => (self.speak_by, "no whole greeting in time"),
            Stage::Entering | Stage::Asking => (self.ask_by, "no whole request in time"),
            Stage::Proving | Stage::Reaching(..) | Stage::Awaiting(_) | Stage::Joined | Stage::Ended => return Ok(()),
        };
        if now.elapsed < by { Ok(()) } else { Err(Fault::new(FaultKind::TooSlow, what)) }
    }
}

impl Session for HeadEnd {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Bytes(bytes) if self.wants_bytes() => {
                self.held.extend_from_slice(bytes);
                self.work(now)
            }
            Input::Answer(Answer::Verdict(verdict)) => {
                self.verdict(now, verdict)?;
                self.work(now)
            }
            Input::Answer(Answer::Reached(reached)) => {
                self.reached(now, reached);
                Ok(())
            }
            Input::Eof => {
                // One who waits for the other side, and has sent nothing for it, is gone.
                let waits = matches!(self.stage, Stage::Reaching(..) | Stage::Awaiting(_)) && self.held.is_empty();
                if waits || self.wants_bytes() {
                    self.close(CloseReason::PeerDone);
                }
                Ok(())
            }
            Input::Wake => self.wake(now),
            Input::Command(command) => {
                let why = CommandState::Failed("a relay takes no commands".to_owned());
                self.outputs.push_back(Output::Command(command.id, why));
                Ok(())
            }
            Input::Shutdown(reason) => {
                self.close(reason);
                Ok(())
            }
            Input::Disconnected => {
                self.stage = Stage::Ended;
                Ok(())
            }
            Input::Bytes(_)
            | Input::Answer(_)
            | Input::Stored(_)
            | Input::NotStored(_)
            | Input::Connected
            | Input::Offer(..) => Ok(()),
        }
    }

    fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        self.outputs = VecDeque::new();
        let wake_at = match self.stage {
            Stage::Strange => Some(self.speak_by),
            Stage::Entering | Stage::Asking => Some(self.ask_by),
            Stage::Proving | Stage::Reaching(..) | Stage::Awaiting(_) | Stage::Joined | Stage::Ended => None,
        };
        Output::Idle { wake_at }
    }

    fn wants_bytes(&self) -> bool {
        let is_open = matches!(self.stage, Stage::Strange | Stage::Entering | Stage::Asking);
        is_open && self.held.len() < MESSAGE_BYTES_MAX
    }
}
