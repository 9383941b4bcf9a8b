//! The device's side: a data logger that connects, proves who it is, and sends readings until they are acknowledged.
//!
//! It plays the device of every dialect for simulation and tests. It answers orders in a plausible way, but measures
//! nothing: readings are offered to it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use loggerhead_model::{Event, EventKind, Origin, Report, Severity, Ticket, Timestamp};

use super::decode::{DecodeRules, QualityRule, decode};
use super::device_answers::{archives, control, description, measured_within};
use super::device_settings::{Connections, DeviceSide, History, Introduction, Live};
use super::dialect::{DataAnswer, ProofStep};
use super::encode::{Sending, encode, encode_data};
use super::frame::{Cut, Cutter, FRAME_BYTES_MAX, Frame};
use super::identity::ProofOrder;
use super::message::{Ack, DataHead, DataKind, Message, Outcome, Talk};
use super::meter_line;
use super::outbox::{Matching, Outbox, Packet, is_acknowledged};
use super::text;
use crate::reconnect::Jitter;
use crate::{CloseReason, Fault, FaultKind, Input, Now, Opening, Output, Session};

/// Heartbeats that may stay unanswered; then the line is dead.
const HEARTBEATS_MISSED_MAX: u32 = 3;
/// How long a device that described itself waits to be asked for its meters before it sends readings all the same.
const ARCHIVES_WAIT: Duration = Duration::from_secs(5);
/// Bytes reserved for the first frame.
const FRAME_BYTES_RESERVED: usize = 4096;

/// How far the device has come.
enum Stage {
    /// It waits until then before it connects again.
    Away(Duration),
    /// It has asked for a connection.
    Connecting,
    /// It waits until then for an answer to this step of the login.
    Entering(Step, Duration),
    /// It has described itself and waits until then to be asked for its meters.
    Describing(Duration),
    /// It has asked whether it may send what it kept, and waits until then for the answer.
    Asking(Duration),
    /// It is in.
    In,
    /// It was told to end.
    Ended,
}

/// A step of the login.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// To ask to be let in.
    Request,
    /// To answer this challenge.
    Proof(String),
    /// All done.
    Done,
}

/// The device's side of its conversations, over all its connections.
pub(super) struct Device {
    settings: DeviceSide,
    cutter: Cutter,
    outputs: VecDeque<Output>,
    stage: Stage,
    /// The next step of the login, for a device that connects for every message.
    next_step: Step,
    outbox: Outbox,
    /// The readings that were acknowledged last, with which queries are answered.
    last: Option<Report>,
    out: BytesMut,
    frame_bytes: usize,
    heartbeat_at: Duration,
    heartbeats_missed: u32,
    attempts: u32,
    /// How proofs are made: where settings leave it open, in the order that was not refused last.
    md5_order: ProofOrder,
    jitter: Jitter,
}

impl Device {
    /// One that connects at once.
    pub(super) fn new(settings: DeviceSide, opening: &Opening) -> Self {
        let md5_order = settings.md5_order;
        Self {
            cutter: Cutter::new(Some(settings.dialect), FRAME_BYTES_MAX),
            settings,
            outputs: VecDeque::from([Output::Connect]),
            stage: Stage::Connecting,
            next_step: Step::Request,
            outbox: Outbox::default(),
            last: None,
            out: BytesMut::new(),
            frame_bytes: FRAME_BYTES_RESERVED,
            heartbeat_at: Duration::ZERO,
            heartbeats_missed: 0,
            attempts: 0,
            md5_order,
            jitter: Jitter::new(&opening.entropy),
        }
    }

    fn connected(&mut self, now: Now) -> Result<(), Fault> {
        self.cutter = Cutter::new(Some(self.settings.dialect), FRAME_BYTES_MAX);
        if self.settings.connections == Connections::Kept {
            self.next_step = Step::Request;
        }
        let talk = match self.next_step.clone() {
            Step::Request => Talk::Request,
            Step::Proof(challenge) => self.proof(&challenge),
            Step::Done => {
                self.stage = Stage::In;
                return self.send_waiting(now);
            }
        };
        self.stage = Stage::Entering(self.next_step.clone(), now.elapsed + self.settings.answer_wait);
        self.say(&talk)
    }

    fn disconnected(&mut self, now: Now) {
        self.outbox.rewind();
        match self.stage {
            Stage::Ended | Stage::Away(_) => return,
            Stage::Connecting => {}
            // A visit that ends without an answer may mean that the head-end has forgotten the steps before it.
            Stage::Entering(..) | Stage::Describing(_) | Stage::Asking(_) | Stage::In => self.next_step = Step::Request,
        }
        let wait = self.back_off();
        self.stage = Stage::Away(now.elapsed + wait);
    }

    /// The pause before the next attempt: twice the last one, and not the same for all devices of a site.
    fn back_off(&mut self) -> Duration {
        let doubled = self.settings.reconnect_min.saturating_mul(1 << self.attempts.min(16));
        self.attempts = self.attempts.saturating_add(1);
        let longest = doubled.min(self.settings.reconnect_max).max(self.settings.reconnect_min);
        longest / 2 + self.jitter.part_of(longest / 2)
    }

    /// Ends the connection; the driver says when it is gone.
    fn leave(&mut self, now: Now, reason: CloseReason) {
        self.outbox.rewind();
        let wait = self.back_off();
        self.stage = Stage::Away(now.elapsed + wait);
        self.outputs.push_back(Output::Close(reason));
    }

    /// Ends a connection that has served its one message, and comes back if there is more to say.
    fn turn(&mut self, now: Now) {
        let is_busy = self.next_step != Step::Done || self.outbox.len() > 0;
        self.stage = Stage::Away(if is_busy { now.elapsed } else { self.heartbeat_at.max(now.elapsed) });
        self.outputs.push_back(Output::Close(CloseReason::PeerDone));
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        self.heartbeats_missed = 0;
        self.cutter.push(bytes);
        while !matches!(self.stage, Stage::Away(_) | Stage::Connecting | Stage::Ended) {
            match self.cutter.cut() {
                Ok(Some(Cut::Frame(frame))) => self.frame(now, frame)?,
                Ok(Some(Cut::Fault(fault))) => self.outputs.push_back(Output::Fault(fault)),
                Ok(None) => break,
                Err(fault) => {
                    self.outputs.push_back(Output::Fault(fault));
                    self.leave(now, CloseReason::Fault("the head-end's frames make no sense".into()));
                }
            }
        }
        Ok(())
    }

    fn frame(&mut self, now: Now, mut frame: Frame) -> Result<(), Fault> {
        let sequence = frame.sequence;
        let understood = self.understand(now, &mut frame);
        match understood {
            Ok(Message::Ack(ack)) => self.acknowledged(now, &ack, sequence),
            Ok(Message::Talk(talk)) => self.talk(now, talk, sequence),
            Ok(Message::Data(_)) => {
                self.outputs.push_back(Output::Fault(Fault::new(FaultKind::OutOfOrder, "readings from a head-end")));
                Ok(())
            }
            Err(fault) => {
                self.outputs.push_back(Output::Fault(fault));
                Ok(())
            }
        }
    }

    fn understand(&self, now: Now, frame: &mut Frame) -> Result<Message, Fault> {
        if frame.is_enciphered() {
            let key = self.settings.key.as_ref();
            let key = key.ok_or_else(|| Fault::new(FaultKind::Undecipherable, "enciphered, but there is no key"))?;
            key.decipher(frame.body_mut())?;
        }
        if let Some(talk) = meter_line::read(frame.dialect, frame.kind, frame.body())? {
            return Ok(Message::Talk(talk));
        }
        let plain = text::plain(frame.body())?;
        let rules = DecodeRules { zone: self.settings.zone, quality: QualityRule::default(), received_at: now.wall };
        Ok(decode(frame.dialect, frame.kind, &plain.text, &rules)?.message)
    }

    /// The head-end has stored a packet.
    fn acknowledged(&mut self, now: Now, ack: &Ack, sequence: [u8; 4]) -> Result<(), Fault> {
        if let Ack::Energy { text, .. } = ack
            && !text.as_str().eq_ignore_ascii_case("ok")
        {
            let reason = format!("the head-end refuses a packet: {:?}", text.as_str());
            self.outputs.push_back(Output::Fault(Fault::new(FaultKind::OutOfOrder, reason)));
            return Ok(());
        }
        let is_at_end = self.settings.continuous_answer == DataAnswer::ContinuousAtEnd;
        let packets = if is_at_end && matches!(ack, Ack::Continuous { number: None }) {
            self.outbox.backlog_acknowledged()
        } else {
            self.outbox.acknowledged(ack, sequence, self.matching()).into_iter().collect()
        };
        if packets.is_empty() {
            return Ok(());
        }
        for packet in packets {
            self.delivered(packet);
        }
        if self.settings.connections == Connections::PerMessage {
            self.turn(now);
            return Ok(());
        }
        self.send_waiting(now)
    }

    fn delivered(&mut self, packet: Packet) {
        self.outputs.push_back(Output::Delivered(packet.ticket));
        self.last = Some(packet.report);
    }

    fn matching(&self) -> Matching {
        match self.settings.dialect.sequence {
            Some(_) => Matching::Sequence,
            None => Matching::Words(self.settings.zone),
        }
    }

    /// Sends what waits, as far as the window allows.
    fn send_waiting(&mut self, now: Now) -> Result<(), Fault> {
        if !matches!(self.stage, Stage::In) {
            return Ok(());
        }
        let window = match self.settings.connections {
            // Such a device sends its whole backlog before it waits.
            _ if self.settings.continuous_answer == DataAnswer::ContinuousAtEnd => self.settings.queue,
            Connections::Kept => self.settings.window,
            Connections::PerMessage => 1,
        };
        while let Some(packet) = self.outbox.next(window, self.matching()) {
            let kind = self.kind_of(packet.report.origin);
            let head = packet.head(kind, self.outbox.places());
            self.send_data(&head, &packet.report, packet.sequence())?;
            let answer = match kind {
                DataKind::Continuous => self.settings.continuous_answer,
                DataKind::Report | DataKind::Reply => self.settings.report_answer,
            };
            if is_acknowledged(answer) {
                self.outbox.sent(packet, now.elapsed);
            } else {
                // Such a dialect has no acknowledgement, so written is as far as its device knows.
                self.delivered(packet);
                if self.settings.connections == Connections::PerMessage {
                    self.turn(now);
                    break;
                }
            }
        }
        Ok(())
    }

    fn kind_of(&self, origin: Origin) -> DataKind {
        match (origin, self.settings.live) {
            (Origin::Live, Live::Report) => DataKind::Report,
            (Origin::Live, Live::Continuous) | (Origin::Resumed, _) => DataKind::Continuous,
            (Origin::Queried, _) => DataKind::Reply,
        }
    }

    fn send_data(&mut self, head: &DataHead, report: &Report, sequence: [u8; 4]) -> Result<(), Fault> {
        let mut out = self.buffer();
        let result = encode_data(&self.sending(sequence), head, report, &mut out);
        self.sent(out, result)
    }

    fn say(&mut self, talk: &Talk) -> Result<(), Fault> {
        self.say_with(talk, self.settings.dialect.sequence.unwrap_or_default())
    }

    fn say_with(&mut self, talk: &Talk, sequence: [u8; 4]) -> Result<(), Fault> {
        let mut out = self.buffer();
        let result = encode(&self.sending(sequence), talk, &mut out);
        self.sent(out, result)
    }

    /// The buffer of all frames: what of it was sent and dropped is used again.
    fn buffer(&mut self) -> BytesMut {
        let mut out = std::mem::take(&mut self.out);
        out.reserve(self.frame_bytes);
        out
    }

    fn sent(&mut self, mut out: BytesMut, result: Result<(), Fault>) -> Result<(), Fault> {
        let frame = out.split().freeze();
        self.out = out;
        result?;
        self.frame_bytes = self.frame_bytes.max(frame.len());
        self.outputs.push_back(Output::Send(frame));
        Ok(())
    }

    fn sending(&self, sequence: [u8; 4]) -> Sending<'_> {
        let settings = &self.settings;
        let mut sending = Sending::new(settings.dialect, &settings.envelope, settings.key.as_ref());
        sending.sequence = sequence;
        sending.crc = settings.crc.unwrap_or(sending.crc);
        sending.padding = settings.padding.unwrap_or(sending.padding);
        sending.zone = settings.zone;
        sending
    }

    fn proof(&self, challenge: &str) -> Talk {
        let digits = self.md5_order.prove(challenge.as_bytes(), &self.settings.secret);
        Talk::Md5 { md5: String::from_utf8_lossy(&digits).into_owned() }
    }

    fn tell(&mut self, now: Now, kind: EventKind, text: &'static str) {
        let (at, severity) = (now.wall, Severity::Info);
        self.outputs.push_back(Output::Event(Event {
            at,
            severity,
            kind,
            device: None,
            peer: None,
            text: text.into(),
        }));
    }

    /// Acts on what a head-end says.
    fn talk(&mut self, now: Now, talk: Talk, sequence: [u8; 4]) -> Result<(), Fault> {
        match talk {
            Talk::Sequence { sequence: challenge } => self.challenged(now, &challenge),
            Talk::LoginResult { outcome: Outcome::Pass, .. } => self.passed(now),
            Talk::LoginResult { outcome: Outcome::Fail, .. } => {
                self.next_step = Step::Request;
                if self.settings.md5_order == ProofOrder::Both {
                    self.md5_order = self.md5_order.other();
                }
                self.tell(now, EventKind::Refused, "the head-end refuses the login");
                self.leave(now, CloseReason::Refused);
                Ok(())
            }
            Talk::Time { .. } | Talk::HeartResult => {
                if self.settings.connections == Connections::PerMessage {
                    self.turn(now);
                }
                Ok(())
            }
            Talk::Archives => {
                self.say_with(&Talk::ArchivesAck(archives(&self.settings, self.last.as_ref())), sequence)?;
                if matches!(self.stage, Stage::Describing(_)) {
                    return self.introduced(now);
                }
                self.send_waiting(now)
            }
            Talk::Query { from, to } => self.query(now, from, to, sequence),
            Talk::Period { .. } => self.say_with(&Talk::PeriodAck, sequence),
            Talk::Control(lines) => self.say_with(&Talk::ControlAck(control(&lines, self.last.as_ref())), sequence),
            // A simulated device has its keys from its settings.
            Talk::SetKey { .. } => self.say_with(&Talk::Standard { name: "setkey".to_owned(), code: 0 }, sequence),
            Talk::AutoHistoryAck if matches!(self.stage, Stage::Asking(_)) => {
                self.stage = Stage::In;
                self.send_waiting(now)
            }
            Talk::DeviceAck | Talk::AutoHistoryAck | Talk::Unknown { .. } | Talk::Standard { .. } => Ok(()),
            Talk::Request
            | Talk::Md5 { .. }
            | Talk::Notify { .. }
            | Talk::PeriodAck
            | Talk::AutoHistory
            | Talk::Device(_)
            | Talk::ArchivesAck(_)
            | Talk::ControlAck(_) => {
                let reason = format!("{} from a head-end", talk.word());
                self.outputs.push_back(Output::Fault(Fault::new(FaultKind::OutOfOrder, reason)));
                Ok(())
            }
        }
    }

    fn challenged(&mut self, now: Now, challenge: &str) -> Result<(), Fault> {
        if !matches!(self.stage, Stage::Entering(Step::Request, _)) {
            return Ok(());
        }
        let step = Step::Proof(challenge.to_owned());
        if self.settings.connections == Connections::PerMessage {
            self.next_step = step;
            self.turn(now);
            return Ok(());
        }
        self.stage = Stage::Entering(step, now.elapsed + self.settings.answer_wait);
        self.say(&self.proof(challenge))
    }

    fn passed(&mut self, now: Now) -> Result<(), Fault> {
        let is_due = match &self.stage {
            Stage::Entering(Step::Proof(_), _) => true,
            Stage::Entering(Step::Request, _) => self.settings.dialect.habits.proof == ProofStep::Cipher,
            Stage::Entering(Step::Done, _)
            | Stage::Away(_)
            | Stage::Connecting
            | Stage::Describing(_)
            | Stage::Asking(_)
            | Stage::In
            | Stage::Ended => false,
        };
        if !is_due {
            return Ok(());
        }
        self.attempts = 0;
        self.heartbeats_missed = 0;
        // Devices that come back together, as after an outage, do not beat together.
        self.heartbeat_at =
            now.elapsed + self.settings.heartbeat / 2 + self.jitter.part_of(self.settings.heartbeat / 2);
        self.tell(now, EventKind::Login, "logged in");
        if self.settings.connections == Connections::PerMessage {
            self.next_step = Step::Done;
            self.turn(now);
            return Ok(());
        }
        match self.settings.introduction {
            Introduction::Describes => {
                self.stage = Stage::Describing(now.elapsed + ARCHIVES_WAIT);
                self.say(&Talk::Device(description(&self.settings)))
            }
            Introduction::Absent => self.introduced(now),
        }
    }

    /// The head-end knows what it needs; what is left is to ask for leave to send what was kept.
    fn introduced(&mut self, now: Now) -> Result<(), Fault> {
        match self.settings.history {
            History::Asked => {
                self.stage = Stage::Asking(now.elapsed + self.settings.answer_wait);
                self.say(&Talk::AutoHistory)
            }
            History::Sent => {
                self.stage = Stage::In;
                self.send_waiting(now)
            }
        }
    }

    /// Answers a query with what was measured last, if it lies within the span.
    fn query(
        &mut self,
        now: Now,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        sequence: [u8; 4],
    ) -> Result<(), Fault> {
        let report = measured_within(self.last.as_ref(), from, to);
        let measured_at = report.readings().next().map_or(now.wall, |reading| reading.measured_at);
        self.send_data(&DataHead::new(DataKind::Reply, measured_at), &report, sequence)
    }

    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        match self.stage {
            Stage::Away(until) if until <= now.elapsed => {
                self.stage = Stage::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            Stage::Entering(_, until) | Stage::Asking(until) if until <= now.elapsed => {
                self.next_step = Step::Request;
                self.leave(now, CloseReason::Silent(self.settings.answer_wait));
            }
            Stage::Describing(until) if until <= now.elapsed => self.introduced(now)?,
            Stage::In => self.beat(now)?,
            Stage::Away(_)
            | Stage::Connecting
            | Stage::Entering(..)
            | Stage::Describing(_)
            | Stage::Asking(_)
            | Stage::Ended => {}
        }
        Ok(())
    }

    /// Sends a heartbeat when it is due, and what was not acknowledged in time once more.
    fn beat(&mut self, now: Now) -> Result<(), Fault> {
        let is_late = |sent: Duration| sent + self.settings.ack_wait <= now.elapsed;
        if self.outbox.oldest_sent().is_some_and(is_late) {
            if self.settings.connections == Connections::PerMessage {
                self.next_step = Step::Request;
                self.leave(now, CloseReason::Silent(self.settings.ack_wait));
                return Ok(());
            }
            self.outbox.rewind();
            self.send_waiting(now)?;
        }
        if self.heartbeat_at > now.elapsed {
            return Ok(());
        }
        if self.heartbeats_missed >= HEARTBEATS_MISSED_MAX {
            let silence = self.settings.heartbeat.saturating_mul(HEARTBEATS_MISSED_MAX);
            self.leave(now, CloseReason::Silent(silence));
            return Ok(());
        }
        self.heartbeats_missed += 1;
        self.heartbeat_at = now.elapsed + self.settings.heartbeat;
        self.say(&Talk::Notify { note: String::new() })
    }

    fn offer(&mut self, now: Now, ticket: Ticket, report: Report) -> Result<(), Fault> {
        if self.outbox.len() >= self.settings.queue {
            let reason = format!("packet {} over a queue of {}", ticket.0, self.settings.queue);
            self.outputs.push_back(Output::Fault(Fault::new(FaultKind::TooLarge, reason)));
            return Ok(());
        }
        let kind = self.kind_of(report.origin);
        self.outbox.push(ticket, report, kind, now.wall);
        if let Stage::Away(until) = &mut self.stage
            && self.settings.connections == Connections::PerMessage
            && self.next_step == Step::Done
            && self.attempts == 0
        {
            *until = now.elapsed;
        }
        self.send_waiting(now)
    }

    fn due(&self) -> Option<Duration> {
        match self.stage {
            Stage::Away(until) | Stage::Entering(_, until) | Stage::Describing(until) | Stage::Asking(until) => {
                Some(until)
            }
            Stage::In => {
                let resend_at = self.outbox.oldest_sent().map(|sent| sent + self.settings.ack_wait);
                Some(resend_at.map_or(self.heartbeat_at, |at| at.min(self.heartbeat_at)))
            }
            Stage::Connecting | Stage::Ended => None,
        }
    }
}

impl Session for Device {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Bytes(bytes) => self.bytes(now, bytes),
            Input::Connected => self.connected(now),
            Input::Eof | Input::Disconnected => {
                self.disconnected(now);
                Ok(())
            }
            Input::Wake => self.wake(now),
            Input::Offer(ticket, report) => self.offer(now, ticket, report),
            Input::Shutdown(reason) => {
                self.stage = Stage::Ended;
                self.outputs.push_back(Output::Close(reason));
                Ok(())
            }
            Input::Answer(_) | Input::Stored(_) | Input::NotStored(_) | Input::Command(_) => Ok(()),
        }
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Idle { wake_at: self.due() })
    }
}

/// Makes the device's side from its settings.
///
/// # Errors
/// `SettingsError` with the key's path.
#[expect(clippy::needless_pass_by_value, reason = "the row of the table of protocols has this shape")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, crate::SettingsError> {
    Ok(Box::new(Device::new(DeviceSide::new(table)?, &opening)))
}
