//! The head-end's side: asks for the proof, reads heads, hands the bytes of files on.
//!
//! It holds no more of a file than came in one piece: while a step of the file is being taken, it wants no bytes.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Event, EventKind, FileName, Identity, Severity, Ticket};

use super::answer;
use super::frame::{HEAD_BYTES_MAX, Heads, LENGTH_BYTES};
use super::legitimacy::{Auth, HELLO, NONCE_BYTES};
use super::message::FileHead;
use super::settings::Settings;
use crate::peer::address;
use crate::session::{Claim, Company, Proof, Question, Verdict};
use crate::{
    Answer, CloseReason, Fault, FaultKind, FileFailure, FileNews, FileOffer, FileStep, Input, KeptFile, Now, Opening,
    Output, Session, Start,
};

/// Most bytes that are held while something has to be waited for: a head, and what one read brings behind it.
const HELD_BYTES_MAX: usize = LENGTH_BYTES + HEAD_BYTES_MAX + 64 * 1024;

enum Stage {
    /// It was sent a challenge.
    Challenged,
    /// Somebody is asked whether it is who it says it is; then it is greeted, or its file begins.
    Proving(Identity, Option<FileHead>),
    /// The head of a file comes next.
    Waiting,
    /// The head-end makes room for the file.
    Beginning(FileHead),
    /// So many bytes of the file are to come.
    Data(FileHead, u64),
    /// The head-end verifies and keeps the file.
    Finishing(FileHead),
    Ended,
}

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    settings: Arc<Settings>,
    peer: Arc<str>,
    nonce: [u8; NONCE_BYTES],
    stage: Stage,
    outputs: VecDeque<Output>,
    heads: Heads,
    /// Who it proved to be.
    device: Option<(Identity, DeviceId)>,
    tickets: u64,
    heard_at: Duration,
    speak_by: Duration,
    login_by: Duration,
    has_spoken: bool,
    /// It will send nothing more.
    is_done: bool,
}

impl HeadEnd {
    pub(super) fn new(settings: Arc<Settings>, now: Now, opening: &Opening) -> Self {
        let nonce = *opening.entropy.first_chunk().expect("there are more random bytes than a challenge has");
        let (stage, outputs) = match settings.auth {
            Auth::None => (Stage::Waiting, VecDeque::new()),
            Auth::Any | Auth::HmacMd5 | Auth::Md5Hex | Auth::HmacSha256 => {
                (Stage::Challenged, VecDeque::from([Output::Send(Bytes::copy_from_slice(&nonce))]))
            }
        };
        Self {
            settings,
            peer: Arc::clone(&opening.peer),
            nonce,
            stage,
            outputs,
            heads: Heads::default(),
            device: None,
            tickets: 0,
            heard_at: now.elapsed,
            speak_by: now.elapsed + opening.limits.first_frame,
            login_by: now.elapsed + opening.limits.login,
            has_spoken: false,
            is_done: false,
        }
    }

    /// Whether bytes can be worked on now.
    fn may_go_on(&self) -> bool {
        match self.stage {
            Stage::Challenged | Stage::Waiting | Stage::Data(..) => true,
            Stage::Proving(..) | Stage::Beginning(_) | Stage::Finishing(_) | Stage::Ended => false,
        }
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        self.heard_at = now.elapsed;
        self.has_spoken = true;
        if matches!(self.stage, Stage::Ended) {
            return Ok(());
        }
        let held = self.heads.held_bytes() + bytes.len();
        if !self.may_go_on() && held > HELD_BYTES_MAX {
            return Err(Fault::new(FaultKind::TooLarge, format!("{held} bytes came while an answer was due")));
        }
        self.heads.push(bytes);
        Ok(())
    }

    /// Goes on until something has to be waited for.
    fn work(&mut self) -> Result<(), Fault> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Ended) {
                Stage::Challenged => match self.settings.auth.answer_bytes(self.heads.held()) {
                    Some(length) if self.heads.held_bytes() >= length => self.prove_answer(length)?,
                    Some(_) | None => {
                        self.stage = Stage::Challenged;
                        return Ok(());
                    }
                },
                Stage::Waiting => {
                    self.stage = Stage::Waiting;
                    match self.heads.cut().and_then(|head| head.map(|head| FileHead::parse(&head.json)).transpose()) {
                        Ok(Some(head)) => self.introduce(head)?,
                        Ok(None) => return Ok(()),
                        Err(fault) => return Err(self.tell_fault(fault, None)),
                    }
                }
                Stage::Data(head, left) => {
                    let bytes = self.heads.take(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - bytes.len() as u64;
                    let is_more = !bytes.is_empty();
                    if is_more {
                        self.outputs.push_back(Output::File(FileStep::Write(bytes)));
                    }
                    if left > 0 {
                        self.stage = Stage::Data(head, left);
                        return Ok(());
                    }
                    self.tickets += 1;
                    self.outputs.push_back(Output::File(FileStep::Finish(Ticket(self.tickets))));
                    self.stage = Stage::Finishing(head);
                }
                other @ (Stage::Proving(..) | Stage::Beginning(_) | Stage::Finishing(_) | Stage::Ended) => {
                    self.stage = other;
                    return Ok(());
                }
            }
        }
    }

    fn prove(&mut self, identity: Identity, proof: Proof, head: Option<FileHead>) {
        let claim = Claim { identity: identity.clone(), proof, remember: None, company: Company::Many };
        self.outputs.push_back(Output::Ask(Question::Prove(claim)));
        self.stage = Stage::Proving(identity, head);
    }

    /// Asks whether the answer to the challenge is right.
    fn prove_answer(&mut self, length: usize) -> Result<(), Fault> {
        let answer = self.heads.take(length);
        let identity = identity(&address(&self.peer))?;
        let check = self.settings.auth.check();
        self.prove(identity, Proof::Response { challenge: self.nonce.into(), answer: (*answer).into(), check }, None);
        Ok(())
    }

    /// Asks whether the sender is who the head of its file, or else its address, says it is; unless that is known.
    fn introduce(&mut self, head: FileHead) -> Result<(), Fault> {
        let named =
            head.device.as_deref().map(identity).transpose().map_err(|fault| self.tell_fault(fault, Some(&head)))?;
        let who = match (&self.device, named) {
            (Some((known, _)), Some(named)) if *known != named => named,
            (Some(_), _) => return self.begin(head),
            (None, Some(named)) => named,
            (None, None) => identity(&address(&self.peer))?,
        };
        let proof = match &head.secret {
            Some(secret) => Proof::secret(secret.as_bytes()),
            None => Proof::Name,
        };
        self.prove(who, proof, Some(head));
        Ok(())
    }

    fn verdict(&mut self, verdict: Verdict) -> Result<(), Fault> {
        match (std::mem::replace(&mut self.stage, Stage::Ended), verdict) {
            (Stage::Proving(identity, head), Verdict::Accepted(admission)) => {
                self.device = Some((identity, admission.device));
                if let Some(head) = head {
                    return self.begin(head);
                }
                self.outputs.push_back(Output::Send(Bytes::from_static(HELLO)));
                self.stage = Stage::Waiting;
            }
            (Stage::Proving(..), Verdict::Refused(_)) => self.close(CloseReason::Refused),
            (other, _) => self.stage = other,
        }
        Ok(())
    }

    /// Asks the head-end to make room for a file.
    fn begin(&mut self, head: FileHead) -> Result<(), Fault> {
        let Some((_, device)) = &self.device else { return Ok(()) };
        let wrong = |reason: String| Fault::new(FaultKind::Malformed, reason);
        let name = match FileName::of_sender(&head.name) {
            Ok(name) if self.settings.portable && !name.is_portable() => {
                Err(wrong("a name that not every system can have".to_owned()))
            }
            Ok(name) => Ok(name),
            Err(error) => Err(wrong(format!("the name of a file: {error}"))),
        };
        let name = match name {
            Ok(_) if head.offset.is_some_and(|offset| offset > head.size) => {
                let fault = wrong(format!("an offset beyond the {} bytes of the file", head.size));
                return Err(self.tell_fault(fault, Some(&head)));
            }
            Ok(name) => name,
            Err(fault) => return Err(self.tell_fault(fault, Some(&head))),
        };
        let offer = FileOffer {
            device: device.clone(),
            name,
            size: head.size,
            key: head.id.clone(),
            metadata: None,
            start: if head.resume { Start::Behind } else { Start::At(head.offset.unwrap_or(0)) },
            sums: head.sums,
            collision: self.settings.collision,
        };
        self.outputs.push_back(Output::File(FileStep::Begin(Box::new(offer))));
        self.stage = Stage::Beginning(head);
        Ok(())
    }

    fn file(&mut self, now: Now, news: FileNews) {
        match (std::mem::replace(&mut self.stage, Stage::Ended), news) {
            (Stage::Beginning(head), FileNews::Begun { offset }) => {
                if head.resume {
                    self.outputs.push_back(Output::Send(answer::offset(offset)));
                }
                let left = head.size.saturating_sub(offset);
                self.stage = Stage::Data(head, left);
            }
            (Stage::Finishing(head), FileNews::Kept(file)) => self.kept(&head, file),
            (Stage::Beginning(head) | Stage::Data(head, _) | Stage::Finishing(head), FileNews::Failed(failure)) => {
                self.failed(now, &head, &failure);
            }
            (other, _) => self.stage = other,
        }
    }

    fn kept(&mut self, head: &FileHead, file: KeptFile) {
        if head.listens() {
            self.outputs.push_back(Output::Send(answer::kept(file)));
        }
        self.stage = Stage::Waiting;
    }

    fn failed(&mut self, now: Now, head: &FileHead, failure: &FileFailure) {
        // What was to be done with it is of no use any more.
        self.outputs.retain(|output| !matches!(output, Output::File(_)));
        let reason = failure.to_string();
        self.tell_failure(failure.word(), &reason, Some(head));
        self.outputs.push_back(Output::Event(Event {
            at: now.wall,
            severity: Severity::Warning,
            kind: EventKind::File,
            device: self.device.as_ref().map(|(_, device)| device.clone()),
            peer: Some(self.peer.to_string()),
            text: Cow::Owned(format!("a file of {} bytes is not kept: {reason}", head.size)),
        }));
        self.close(CloseReason::Fault(reason.into()));
    }

    /// Tells a sender what is wrong, where its head asks for answers or the listener says so.
    fn tell_fault(&mut self, fault: Fault, head: Option<&FileHead>) -> Fault {
        self.tell_failure(fault.kind.word(), &fault.reason, head);
        fault
    }

    fn tell_failure(&mut self, word: &str, reason: &str, head: Option<&FileHead>) {
        if head.is_some_and(FileHead::listens) {
            self.outputs.push_back(Output::Send(answer::failed(word, reason)));
        } else if self.settings.reply {
            self.outputs.push_back(Output::Send(answer::failed_line(word, reason)));
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.stage = Stage::Ended;
        self.outputs.push_back(Output::Close(reason));
    }

    /// Ends a conversation whose peer will send nothing more, once nothing is waited for.
    fn end(&mut self) {
        if !self.is_done {
            return;
        }
        let broken = match &self.stage {
            Stage::Data(head, left) => {
                Some(format!("the sender ended after {} of {} bytes of a file", head.size - left, head.size))
            }
            Stage::Waiting if self.heads.held_bytes() > 0 => Some("the sender ended within a head".to_owned()),
            Stage::Challenged | Stage::Waiting => None,
            Stage::Proving(..) | Stage::Beginning(_) | Stage::Finishing(_) | Stage::Ended => return,
        };
        let fault = broken.map(|reason| Fault::new(FaultKind::Damaged, reason));
        self.outputs.extend(fault.map(Output::Fault));
        self.close(CloseReason::PeerDone);
    }

    /// When the sender has been silent for too long.
    fn silent_at(&self) -> Duration {
        if matches!(self.stage, Stage::Ended) {
            Duration::MAX
        } else if self.device.is_some() {
            self.heard_at + self.settings.idle()
        } else if self.has_spoken {
            self.login_by
        } else {
            self.speak_by
        }
    }
}

fn identity(name: &str) -> Result<Identity, Fault> {
    Identity::new(name).map_err(|error| Fault::new(FaultKind::Malformed, format!("the name of a device: {error}")))
}

impl Session for HeadEnd {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Bytes(bytes) => self.bytes(now, bytes)?,
            Input::Eof => self.is_done = true,
            Input::Wake if now.elapsed >= self.silent_at() => {
                self.close(CloseReason::Silent(now.elapsed.saturating_sub(self.heard_at)));
            }
            Input::Answer(Answer::Verdict(verdict)) => self.verdict(verdict)?,
            Input::Answer(Answer::File(news)) => {
                // Keeping a large file takes its time, which is not the sender's.
                self.heard_at = now.elapsed;
                self.file(now, news);
            }
            Input::Shutdown(reason) if !matches!(self.stage, Stage::Ended) => self.close(reason),
            Input::Disconnected => self.stage = Stage::Ended,
            Input::Command(command) => {
                let state = loggerhead_model::CommandState::Failed("senders of files take no commands".to_owned());
                self.outputs.push_back(Output::Command(command.id, state));
            }
            Input::Wake
            | Input::Shutdown(_)
            | Input::Answer(_)
            | Input::Stored(_)
            | Input::NotStored(_)
            | Input::Connected
            | Input::Offer(..) => {}
        }
        self.work()?;
        self.end();
        Ok(())
    }

    fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        // An idle connection keeps no memory for what it is not doing.
        self.outputs = VecDeque::new();
        Output::Idle { wake_at: Some(self.silent_at()).filter(|at| *at != Duration::MAX) }
    }

    fn wants_bytes(&self) -> bool {
        self.may_go_on()
    }
}
