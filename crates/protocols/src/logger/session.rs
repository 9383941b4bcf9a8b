//! The head-end's side of one connection: frames in, questions and acknowledgements out.
//!
//! Here are the connection, its frames and its deadlines; the steps of a login are in `login.rs`, what a device says once it
//! is in, and what it is asked, in `talk.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use loggerhead_model::{CommandState, DeviceId, Receipt, Ticket};

use super::cipher::Look;
use super::compress::Compression;
use super::crc::CrcVariant;
use super::decode::{DecodeRules, QualityRule, decode};
use super::dialect::Dialect;
use super::encode::{Sending, encode, encode_ack};
use super::frame::{Cut, Cutter, Frame};
use super::keys::Keyring;
use super::liveness::Liveness;
use super::login::Attempt;
use super::message::{Envelope, Message, Talk};
use super::meter_line;
use super::orders::Orders;
use super::outstanding::{Answer, Outstanding, Then};
use super::settings::{CompressionIn, CrcCheck, NamedKey, Settings};
use super::text;
use crate::faults::Faults;
use crate::{CloseReason, Fault, FaultKind, Input, Now, Opening, Output, Session};

/// How long a refused device may take to read that it is.
pub(super) const REFUSAL_WAIT: Duration = Duration::from_secs(1);
/// How long a connection that ends waits for the store, so that what is committed is acknowledged too.
const WIND_UP_WAIT: Duration = Duration::from_secs(5);
/// Silence after which a connection that came for a single message is given up; some devices never close theirs.
const FLEETING_IDLE: Duration = Duration::from_mins(1);
/// How long a frame may take to come whole before a whole one behind its head is taken instead. The longest of the field,
/// 20 kB, takes 20 s over a line of 9600 baud.
const FRAME_WAIT: Duration = Duration::from_mins(1);
/// Bytes reserved for an answer; nearly all are shorter.
const ANSWER_BYTES: usize = 512;
/// Outputs for which memory is kept between inputs: an idle connection keeps none.
const OUTPUTS_KEPT: usize = 0;

/// What all sessions of a listener share.
pub(super) struct Listener {
    /// What is in force while no device is known.
    pub settings: Arc<Settings>,
    /// The keys among which that of a new device is looked for.
    pub keyring: Keyring,
}

/// How far a peer has come.
pub(super) enum Stage {
    /// Nothing is known about it.
    Strange,
    /// It has said its name, and we have asked what is known under it.
    Asking(Box<Attempt>),
    /// It was given a challenge.
    Challenged(Box<Attempt>),
    /// Its proof is being judged.
    Proving(Box<Attempt>),
    /// It is logged in.
    In(Box<Member>),
    /// It was told that it is refused, and has until then to read it.
    Refused(Duration),
    /// It has ended.
    Closed,
}

impl Stage {
    /// The attempt whose name was asked about, or the stage as it is.
    pub(super) fn asking(self) -> Result<Box<Attempt>, Self> {
        if let Self::Asking(attempt) = self { Ok(attempt) } else { Err(self) }
    }

    /// The device that is logged in, if one is.
    pub(super) fn member(self) -> Option<Box<Member>> {
        if let Self::In(member) = self { Some(member) } else { None }
    }

    /// The attempt whose proof is being judged, or the stage as it is.
    pub(super) fn proving(self) -> Result<Box<Attempt>, Self> {
        if let Self::Proving(attempt) = self { Ok(attempt) } else { Err(self) }
    }
}

/// A device that is logged in.
pub(super) struct Member {
    /// Our name for it.
    pub device: DeviceId,
    /// Its names for itself, as it wrote them.
    pub envelope: Envelope<'static>,
    /// Its dialect.
    pub dialect: &'static Dialect,
    /// Its rhythm.
    pub liveness: Liveness,
    /// It has sent the quality code 192.
    pub saw_192: bool,
    /// For how long it came.
    pub visit: Visit,
    /// When it measured what it reported last in an earlier connection, until the first report of this one.
    pub reported_before: ReportedBefore,
}

/// For how long a device came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// For many messages.
    Stay,
    /// For this one; the login is an earlier connection's.
    Message,
}

/// What is known of a device's last report in an earlier connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportedBefore {
    /// When it measured it, in seconds since 1970; `None` when that is not known.
    At(Option<i64>),
    /// It has reported since; no matter.
    Past,
}

/// What a frame says of itself, to be given back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    /// In which dialect it came.
    pub dialect: &'static Dialect,
    /// Its sequence.
    pub sequence: [u8; 4],
    /// The check that fitted.
    pub crc: Option<CrcVariant>,
}

/// A message that was understood, with where it came from.
pub(super) struct Heard {
    /// Its frame.
    pub marks: Marks,
    /// Who says it; `None` when it is who is logged in.
    pub speaker: Option<Envelope<'static>>,
    /// What is said.
    pub message: Message,
    /// The frame, plain.
    pub raw: Bytes,
}

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    pub(super) listener: Arc<Listener>,
    pub(super) settings: Arc<Settings>,
    pub(super) cutter: Cutter,
    pub(super) outputs: VecDeque<Output>,
    pub(super) stage: Stage,
    /// The key of this connection.
    pub(super) key: Option<NamedKey>,
    /// The check that fitted last, which our answers carry too.
    pub(super) crc: Option<CrcVariant>,
    pub(super) outstanding: Outstanding,
    pub(super) orders: Option<Box<Orders>>,
    pub(super) entropy: [u8; 32],
    pub(super) attempts: u32,
    pub(super) last_sent: Duration,
    /// Since when an order waits for a pause.
    pub(super) ordered_at: Option<Duration>,
    first_frame_by: Duration,
    login_by: Duration,
    opened_at: Duration,
    /// Since when the first bytes of a frame wait for the others.
    begun_at: Option<Duration>,
    faults: Faults,
    has_spoken: bool,
    /// The connection ends at this moment, or as soon as the store has answered everything.
    ending: Option<Box<(Duration, CloseReason)>>,
    /// The wake that was asked for last. It stays while it is early enough, so that a driver need not move its timer for
    /// every byte.
    wake_at: Option<Duration>,
}

impl HeadEnd {
    /// For a peer that has just connected.
    pub(super) fn new(listener: Arc<Listener>, now: Now, opening: &Opening) -> Self {
        let settings = Arc::clone(&listener.settings);
        Self {
            cutter: Cutter::new(settings.dialect, settings.frame_bytes_max),
            listener,
            settings,
            outputs: VecDeque::new(),
            stage: Stage::Strange,
            key: None,
            crc: None,
            outstanding: Outstanding::default(),
            orders: None,
            entropy: opening.entropy,
            attempts: 0,
            last_sent: now.elapsed,
            ordered_at: None,
            first_frame_by: now.elapsed + opening.limits.first_frame,
            login_by: now.elapsed + opening.limits.login,
            opened_at: now.elapsed,
            begun_at: None,
            faults: Faults::default(),
            has_spoken: false,
            ending: None,
            wake_at: None,
        }
    }

    /// Whether the next frame can be looked at: no answer is due to us, and the store keeps up.
    fn may_go_on(&self) -> bool {
        self.outstanding.has_room() && matches!(self.stage, Stage::Strange | Stage::Challenged(_) | Stage::In(_))
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        if let Stage::In(member) = &mut self.stage {
            member.liveness.bytes(now.elapsed);
        }
        if matches!(self.stage, Stage::Refused(_)) || self.ending.is_some() {
            return Ok(());
        }
        let held = self.cutter.held_bytes() + bytes.len();
        if !self.wants_bytes() && held > self.settings.frame_bytes_max {
            let reason = format!("{held} bytes came while an answer was due, over {}", self.settings.frame_bytes_max);
            return Err(Fault::new(FaultKind::TooLarge, reason));
        }
        self.cutter.push(bytes);
        Ok(())
    }

    /// The device sends nothing more, but may still read.
    fn eof(&mut self, now: Now) {
        if self.ending.is_none() {
            self.ending = Some(Box::new((now.elapsed + WIND_UP_WAIT, CloseReason::PeerDone)));
        }
    }

    /// Reads frames until there are none, or until something has to be waited for.
    fn work(&mut self, now: Now) -> Result<(), Fault> {
        while self.may_go_on() {
            match self.cutter.cut()? {
                Some(Cut::Frame(frame)) => {
                    self.begun_at = None;
                    self.frame(now, frame)?;
                }
                Some(Cut::Fault(fault)) => self.fault(fault)?,
                None => break,
            }
        }
        let is_begun = self.may_go_on() && self.cutter.held_bytes() > 0;
        self.begun_at = is_begun.then(|| self.begun_at.unwrap_or(now.elapsed));
        Ok(())
    }

    /// Looks behind a frame that does not come to its end.
    fn overtake(&mut self, now: Now) -> Result<(), Fault> {
        if self.begun_at.is_none_or(|begun_at| begun_at + FRAME_WAIT > now.elapsed) {
            return Ok(());
        }
        self.begun_at = Some(now.elapsed);
        match self.cutter.overtake()? {
            Some(fault) => self.fault(fault),
            None => Ok(()),
        }
    }

    /// Counts what a peer did wrong, and gives up on one that does little else.
    pub(super) fn fault(&mut self, fault: Fault) -> Result<(), Fault> {
        let told = self.faults.count(fault, matches!(self.stage, Stage::In(_)))?;
        self.outputs.push_back(told);
        Ok(())
    }

    /// A peer that says something sensible has its faults forgiven.
    pub(super) fn forgive(&mut self) {
        self.faults.forgive();
    }

    /// A frame of a peer: decipher, check, understand, act.
    fn frame(&mut self, now: Now, mut frame: Frame) -> Result<(), Fault> {
        self.has_spoken = true;
        let fresh_key = match self.decipher(&mut frame) {
            Ok(fresh_key) => fresh_key,
            Err(fault) => return self.fault(fault),
        };
        let marks = Marks { dialect: frame.dialect, sequence: frame.sequence, crc: frame.crc };
        let kind = frame.kind;
        let understood = self.understand(now, marks, kind, frame.body());
        let (speaker, message) = match understood {
            Ok(understood) => understood,
            Err(fault) => return self.fault(fault),
        };
        let is_request = matches!(message, Message::Talk(Talk::Request));
        let is_foreign =
            matches!(self.stage, Stage::In(_)) && fresh_key.as_ref().is_some_and(|key| self.is_foreign(key));
        if is_foreign || (fresh_key.is_some() && self.key.is_some() && !is_request) {
            return self.fault(Fault::new(FaultKind::Undecipherable, "another key than that of the login"));
        }
        // What a device's own settings say of checks is known once it has said its name, so a request is let through here.
        let strict = matches!(self.stage, Stage::In(_) | Stage::Challenged(_)) || !is_request;
        if strict && !crc_fits(&self.settings, marks) {
            return self.fault(crc_fault());
        }
        if let Some(key) = fresh_key {
            self.key = Some(key);
        }
        self.crc = marks.crc.or(self.crc);
        self.hear(now, Heard { marks, speaker, message, raw: frame.into_bytes() })
    }

    /// Deciphers the body in place. Gives the key when it is not the one of the connection so far.
    fn decipher(&self, frame: &mut Frame) -> Result<Option<NamedKey>, Fault> {
        if !frame.is_enciphered() {
            return Ok(None);
        }
        if let Some(known) = &self.key
            && known.key.look(frame.body()) != Look::Nonsense
        {
            known.key.decipher(frame.body_mut())?;
            return Ok(None);
        }
        let Some(found) = self.listener.keyring.find(frame.body()) else {
            return Err(Fault::new(FaultKind::Undecipherable, "no known key fits"));
        };
        found.key.decipher(frame.body_mut())?;
        Ok(Some(found))
    }

    /// Who speaks, unless it is who is logged in, and what is said.
    fn understand(
        &self,
        now: Now,
        marks: Marks,
        kind: u8,
        body: &[u8],
    ) -> Result<(Option<Envelope<'static>>, Message), Fault> {
        let member = if let Stage::In(member) = &self.stage { Some(member) } else { None };
        let quality =
            QualityRule { good: &self.settings.good_codes, saw_192: member.is_some_and(|member| member.saw_192) };
        if let Some(talk) = meter_line::read(marks.dialect, kind, body)? {
            return match member {
                Some(_) => Ok((None, Message::Talk(talk))),
                None => Err(Fault::new(FaultKind::OutOfOrder, "a line of a meter before the login")),
            };
        }
        let rules = DecodeRules { zone: self.settings.zone, quality, received_at: now.wall };
        let plain = text::plain(body)?;
        if self.settings.compression == CompressionIn::Off && plain.compression != Compression::Plain {
            return Err(Fault::new(FaultKind::Undecipherable, "a compressed body, which settings forbid"));
        }
        let decoded = decode(marks.dialect, kind, &plain.text, &rules)?;
        let is_member = member.is_some_and(|member| same_name(&member.envelope, &decoded.envelope));
        Ok(((!is_member).then(|| decoded.envelope.into_owned()), decoded.message))
    }

    /// Writes talk to the peer, with the sequence of what it answers.
    pub(super) fn say(&mut self, now: Now, envelope: &Envelope<'_>, marks: Marks, talk: &Talk) -> Result<(), Fault> {
        let mut out = BytesMut::with_capacity(ANSWER_BYTES);
        encode(&self.sending(marks.dialect, envelope, marks.sequence), talk, &mut out)?;
        // A new secret is nothing to look at.
        let shown = (!matches!(talk, Talk::SetKey { .. })).then_some(marks.dialect);
        self.send(now, out.freeze(), shown);
        Ok(())
    }

    /// Writes what a receipt allows to be acknowledged.
    fn acknowledge(&mut self, now: Now, receipt: Receipt, answer: &Answer) -> Result<(), Fault> {
        let Stage::In(member) = &self.stage else { return Ok(()) };
        let mut out = BytesMut::with_capacity(ANSWER_BYTES);
        let sending = self.sending(member.dialect, &member.envelope, answer.sequence);
        encode_ack(receipt, &sending, &answer.ack, &mut out)?;
        let dialect = member.dialect;
        self.send(now, out.freeze(), Some(dialect));
        Ok(())
    }

    fn sending<'a>(&'a self, dialect: &'static Dialect, envelope: &'a Envelope<'a>, sequence: [u8; 4]) -> Sending<'a> {
        let mut sending = Sending::new(dialect, envelope, self.key.as_ref().map(|named| &*named.key));
        sending.sequence = sequence;
        sending.crc = self.settings.crc_sent.or(self.crc).unwrap_or(sending.crc);
        sending.padding = self.settings.padding.unwrap_or(sending.padding);
        sending.zone = self.settings.zone;
        sending
    }

    /// Lets out what the store's answers allow, in the order of the packets.
    fn answer_stored(&mut self, now: Now) -> Result<(), Fault> {
        while let Some((receipt, then)) = self.outstanding.next() {
            match (receipt, then) {
                (Some(receipt), Then::Ack(answer) | Then::AckAll(answer)) => self.acknowledge(now, receipt, &answer)?,
                (Some(_), Then::Tell(id, words)) => {
                    self.outputs.push_back(Output::Command(id, CommandState::Answered(words)));
                }
                (None, _) | (Some(_), Then::Nothing) => {}
            }
        }
        Ok(())
    }

    fn not_stored(&mut self, ticket: Ticket) {
        if let Some(id) = self.outstanding.lost(ticket) {
            let reason = "the device answered, but its readings could not be stored".to_owned();
            self.outputs.push_back(Output::Command(id, CommandState::Failed(reason)));
        }
    }

    /// Ends the connection at once.
    fn close(&mut self, reason: CloseReason) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        self.stage = Stage::Closed;
        for id in self.orders.take().into_iter().flat_map(|orders| orders.abandon()) {
            let reason = "the connection ended before the device answered".to_owned();
            self.outputs.push_back(Output::Command(id, CommandState::Failed(reason)));
        }
        self.outputs.push_back(Output::Close(reason));
    }

    /// Ends the connection once the store has answered everything, or a little later.
    fn wind_up(&mut self, now: Now, reason: CloseReason) {
        if self.outstanding.is_empty() {
            self.close(reason);
        } else if self.ending.is_none() {
            self.ending = Some(Box::new((now.elapsed + WIND_UP_WAIT, reason)));
        }
    }

    /// Ends the connection when nothing is left to answer.
    fn end_if_done(&mut self) {
        let is_asking = matches!(self.stage, Stage::Asking(_) | Stage::Proving(_) | Stage::Refused(_));
        if !is_asking
            && self.outstanding.is_empty()
            && let Some(ending) = self.ending.take()
        {
            self.close(ending.1);
        }
    }

    /// Does what is due.
    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        if self.ending.as_ref().is_some_and(|ending| ending.0 <= now.elapsed)
            && let Some(ending) = self.ending.take()
        {
            self.close(ending.1);
        }
        match &self.stage {
            Stage::Strange | Stage::Asking(_) | Stage::Challenged(_) | Stage::Proving(_) => {
                let by = self.login_due();
                if by <= now.elapsed {
                    let what = if self.has_spoken { "no login" } else { "no whole frame" };
                    let wait = by.saturating_sub(self.opened_at);
                    let reason = format!("{what} within {} s", wait.as_secs());
                    self.outputs.push_back(Output::Fault(Fault::new(FaultKind::TooSlow, reason)));
                    self.close(CloseReason::Silent(wait));
                }
            }
            Stage::Refused(until) if *until <= now.elapsed => self.close(CloseReason::Refused),
            Stage::In(member) if self.gives_up_at(member) <= now.elapsed => {
                let idle = self.gives_up_at(member).saturating_sub(member.liveness.last_bytes());
                self.close(CloseReason::Silent(idle));
            }
            Stage::In(_) => {
                self.order(now);
                self.overtake(now)?;
            }
            Stage::Refused(_) | Stage::Closed => {}
        }
        Ok(())
    }

    /// When a peer that is not logged in has to have come further.
    fn login_due(&self) -> Duration {
        if self.has_spoken { self.login_by } else { self.first_frame_by.min(self.login_by) }
    }

    fn gives_up_at(&self, member: &Member) -> Duration {
        match member.visit {
            Visit::Stay => member.liveness.gives_up_at(&self.settings),
            Visit::Message => member.liveness.last_bytes() + FLEETING_IDLE,
        }
    }

    /// When something is due next.
    fn due(&self) -> Option<Duration> {
        let stage = match &self.stage {
            Stage::Strange | Stage::Asking(_) | Stage::Challenged(_) | Stage::Proving(_) => Some(self.login_due()),
            Stage::Refused(until) => Some(*until),
            Stage::In(member) => {
                let orders = self.orders.as_ref().and_then(|orders| orders.wake_at(self.sendable_at()));
                let frame = self.begun_at.map(|begun_at| begun_at + FRAME_WAIT);
                orders.into_iter().chain(frame).chain([self.gives_up_at(member)]).min()
            }
            Stage::Closed => None,
        };
        let ending = self.ending.as_ref().map(|ending| ending.0);
        stage.into_iter().chain(ending).min()
    }
}

impl Session for HeadEnd {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        if matches!(self.stage, Stage::Closed) {
            return Ok(());
        }
        self.wake_at = self.wake_at.filter(|at| *at > now.elapsed);
        match input {
            Input::Bytes(bytes) => self.bytes(now, bytes)?,
            Input::Eof => self.eof(now),
            Input::Wake => self.wake(now)?,
            Input::Answer(crate::Answer::Known(known)) => self.known(now, known)?,
            Input::Answer(crate::Answer::Verdict(verdict)) => self.verdict(now, verdict)?,
            Input::Stored(receipt) => {
                self.outstanding.stored(receipt);
                self.answer_stored(now)?;
            }
            Input::NotStored(ticket) => {
                self.not_stored(ticket);
                self.answer_stored(now)?;
            }
            Input::Command(command) => self.command(now, command),
            Input::Shutdown(reason) => match reason {
                CloseReason::Stopping | CloseReason::Reconfigured => self.wind_up(now, reason),
                CloseReason::TakenOver
                | CloseReason::PeerDone
                | CloseReason::Silent(_)
                | CloseReason::Refused
                | CloseReason::Fault(_) => self.close(reason),
            },
            // These are of the device's side.
            Input::Answer(_) | Input::Connected | Input::Disconnected | Input::Offer(..) => {}
        }
        self.work(now)?;
        self.end_if_done();
        Ok(())
    }

    fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if self.outputs.capacity() > OUTPUTS_KEPT {
            self.outputs = VecDeque::new();
        }
        // A wake that is early does no harm, and a driver need not move its timer for every byte that comes.
        let due = self.due();
        if self.wake_at.is_none() || due.is_none() || due < self.wake_at {
            self.wake_at = due;
        }
        Output::Idle { wake_at: self.wake_at }
    }

    fn wants_bytes(&self) -> bool {
        self.ending.is_none() && self.may_go_on()
    }
}

/// Whether the check of a frame is one that settings believe.
pub(super) fn crc_fits(settings: &Settings, marks: Marks) -> bool {
    match settings.crc {
        CrcCheck::Off => true,
        CrcCheck::Learn => marks.dialect.crc.is_none() || marks.crc.is_some(),
        CrcCheck::Fixed(variant) => marks.dialect.crc.is_none() || marks.crc == Some(variant),
    }
}

/// What is said of a frame whose check is not believed.
pub(super) fn crc_fault() -> Fault {
    Fault::new(FaultKind::Damaged, "the check of the frame does not fit")
}

/// Whether two envelopes name the same device, however it is written.
fn same_name(one: &Envelope<'_>, other: &Envelope<'_>) -> bool {
    one.building == other.building && one.gateway == other.gateway
}

#[cfg(test)]
mod tests {
    use super::{HeadEnd, Member};

    /// Ten thousand idle devices are kept on one machine: what belongs to one is small, and bounded by this alone, because
    /// buffers, outputs and packets in the store's hands take no memory while there are none.
    #[test]
    fn an_idle_session_is_small() {
        let bytes = size_of::<HeadEnd>() + size_of::<Member>();
        assert!(bytes <= 720, "{bytes}");
    }
}
