//! The head-end's side of one connection: packets in, questions, records and packets out.
//!
//! Here are the connection, its packets and its deadlines; a client's entry is in `entering.rs`, what it says once it is in
//! in `talk.rs`, what it is sent in `sending.rs`.

use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{CommandState, DeviceId, Note, Receipt, Records, Report, Ticket};

use super::access::{Asker, Rules};
use super::authenticating::Authentication;
use super::broker::timing::Leaving;
use super::broker::{Broker, Place};
use super::commands::Given;
use super::conversation::Allowances;
use super::decode::read;
use super::encode::{acknowledge, encode};
use super::entering::{Arriving, Attempt};
use super::frame::Gathering;
use super::message::{ConnAck, Level, Notice, Packet, Publish, Qos};
use super::properties::{Id, Properties, Writer};
use super::reason::{Breach, Reason};
use super::sending::Peer;
use super::settings::{CONNECT_BYTES_MAX, Settings};
use super::sparkplug::edges::Edges;
use super::work::{Due, Waiting, Work};
use crate::{Answer, CloseReason, Fault, FaultKind, Input, Now, Opening, Output, Session, Verdict};

/// Requests of one connection that the store has not answered: while there are so many, no more is read.
const WAITING_MAX: usize = 256;
/// How long a connection that ends waits for the store, so that what is committed is acknowledged too.
const WIND_UP_WAIT: Duration = Duration::from_secs(5);

/// How far a client has come.
pub(super) enum Stage {
    /// It has said nothing.
    Strange,
    /// It said who it is, and proves it in steps.
    Challenged(Box<Attempt>),
    /// Its proof is being judged.
    Proving(Box<Attempt>),
    /// Its session is being stored before it is told that it is in.
    Entering,
    /// It is in.
    In,
    /// It has ended.
    Ended,
}

/// The head-end's side of one connection.
pub(super) struct HeadEnd {
    pub(super) broker: Arc<Broker>,
    pub(super) settings: Arc<Settings>,
    pub(super) rules: Arc<Rules>,
    pub(super) stage: Stage,
    pub(super) level: Level,
    pub(super) client_id: Arc<str>,
    pub(super) user: Box<str>,
    pub(super) device: Option<DeviceId>,
    pub(super) place: Option<Place>,
    pub(super) peer: Peer,
    pub(super) work: Option<Box<Work>>,
    /// A command that the head-end has not taken yet.
    pub(super) given: Option<Box<Given>>,
    /// Messages of the client that it was not told to be safe.
    pub(super) taken: usize,
    /// What may have come for the client since it was last looked for.
    pub(super) may_have_mail: bool,
    /// Longest pause between two of its packets, in seconds; 0 for any.
    pub(super) keep_alive_s: u16,
    /// Whether the client has a session that outlives the connection, as it said in its CONNECT.
    pub(super) expiry_s: u32,
    /// What it said of that when it said goodbye.
    pub(super) expiry_at_end: Option<u32>,
    /// How it proves itself, where that takes more than a password.
    pub(super) authentication: Option<Box<Authentication>>,
    pub(super) leaving: Leaving,
    /// None once it is in.
    pub(super) arriving: Option<Box<Arriving>>,
    /// Edge nodes of Sparkplug B that report over it.
    pub(super) edges: Option<Box<Edges>>,
    /// What of the conversation may still be kept for them.
    pub(super) allowances: Allowances,
    gathering: Gathering,
    tickets: u64,
    heard_at: Duration,
    now: Now,
    ending: Option<Box<(Duration, CloseReason)>>,
}

impl HeadEnd {
    /// For a client that has just connected.
    pub(super) fn new(broker: Arc<Broker>, settings: Arc<Settings>, now: Now, opening: Opening) -> Self {
        Self {
            broker,
            rules: Arc::clone(&settings.rules),
            settings,
            stage: Stage::Strange,
            level: Level::V4,
            client_id: Arc::from(""),
            user: Box::default(),
            device: None,
            place: None,
            peer: Peer::new(None, None, None),
            work: None,
            given: None,
            taken: 0,
            may_have_mail: false,
            keep_alive_s: 0,
            expiry_s: 0,
            expiry_at_end: None,
            authentication: None,
            edges: None,
            leaving: Leaving::Abruptly,
            arriving: Some(Box::new(Arriving::new(now, opening))),
            allowances: Allowances::default(),
            gathering: Gathering::default(),
            tickets: 0,
            heard_at: now.elapsed,
            now,
            ending: None,
        }
    }

    /// Who asks, for the rules of topics.
    pub(super) fn asker(&self) -> Asker<'_> {
        Asker { client: &self.client_id, user: &self.user }
    }

    /// Its work, to be added to.
    pub(super) fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// Has the head-end do something.
    pub(super) fn say(&mut self, output: Output) {
        self.work().outputs.push_back(output);
    }

    /// Whether the store has something to answer.
    pub(super) fn waits(&self) -> bool {
        self.work.as_ref().is_some_and(|work| !work.waiting.is_empty())
    }

    fn may_go_on(&self) -> bool {
        self.ending.is_none()
            && self.given.is_none()
            && self.work.as_ref().is_none_or(|work| work.rest.is_none() && work.waiting.len() < WAITING_MAX)
            && matches!(self.stage, Stage::Strange | Stage::Challenged(_) | Stage::In)
    }

    fn packet_bytes_max(&self) -> usize {
        match self.stage {
            Stage::Strange | Stage::Challenged(_) => CONNECT_BYTES_MAX.min(self.settings.packet_bytes_max),
            Stage::Proving(_) | Stage::Entering | Stage::In | Stage::Ended => self.settings.packet_bytes_max,
        }
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Breach> {
        self.heard_at = now.elapsed;
        if matches!(self.stage, Stage::Ended) {
            return Ok(());
        }
        if self.gathering.is_empty() {
            let used = self.packets(now, bytes)?;
            self.gathering.push(bytes.get(used..).unwrap_or_default());
            return Ok(());
        }
        let held = self.gathering.len() + bytes.len();
        if !self.may_go_on() && held > self.settings.packet_bytes_max {
            let reason = format!("{held} bytes came while an answer was due");
            return Err(Fault::new(FaultKind::TooLarge, reason).into());
        }
        self.gathering.push(bytes);
        self.gathered(now)
    }

    /// Goes on with what was left over.
    fn gathered(&mut self, now: Now) -> Result<(), Breach> {
        let held = self.gathering.take();
        let used = self.packets(now, &held);
        self.gathering.put_back(held, *used.as_ref().unwrap_or(&0));
        used.map(|_| ())
    }

    /// Takes packets off the front of `bytes` until there are none, or until something has to be waited for.
    fn packets(&mut self, now: Now, bytes: &[u8]) -> Result<usize, Breach> {
        let used = self.each_packet(now, bytes);
        self.pass_round(now);
        let used = used?;
        self.store_due(now);
        self.ask_given();
        Ok(used)
    }

    fn each_packet(&mut self, now: Now, bytes: &[u8]) -> Result<usize, Breach> {
        let mut used = 0;
        while self.may_go_on() {
            let rest = bytes.get(used..).unwrap_or_default();
            let read = read(self.level, rest, self.packet_bytes_max());
            let Some((packet, count)) = read.inspect_err(|breach| self.refuse_malformed(rest, breach))? else { break };
            used += count;
            self.keep_packet(now, rest.get(..count).unwrap_or_default(), &packet);
            if !matches!(packet, Packet::Publish(Publish { qos: Qos::AtMostOnce, .. })) {
                self.pass_round(now);
            }
            self.packet(now, packet)?;
        }
        Ok(used)
    }

    fn packet(&mut self, now: Now, packet: Packet<'_>) -> Result<(), Breach> {
        let kind = packet.kind();
        if matches!(self.stage, Stage::Challenged(_)) {
            return self.challenged(packet);
        }
        match (packet, matches!(self.stage, Stage::In)) {
            (Packet::Connect(connect), false) => self.connect(&connect),
            (_, false) => Err(Breach::protocol(format!("a {} before the CONNECT", kind.name()))),
            (Packet::Publish(publish), true) => self.publish(now, &publish),
            (Packet::PubAck(ack), true) => {
                self.pub_ack(now, ack.id);
                Ok(())
            }
            (Packet::PubRec(ack), true) => {
                self.pub_rec(now, ack.id, ack.reason);
                Ok(())
            }
            (Packet::PubRel(ack), true) => {
                self.pub_rel(ack.id);
                Ok(())
            }
            (Packet::PubComp(ack), true) => {
                self.pub_comp(now, ack.id);
                Ok(())
            }
            (Packet::Subscribe(subscribe), true) => {
                self.subscribe(now, &subscribe);
                Ok(())
            }
            (Packet::Unsubscribe(unsubscribe), true) => {
                self.unsubscribe(now, &unsubscribe);
                Ok(())
            }
            (Packet::PingReq, true) => {
                encode(&Packet::PingResp, self.level, &mut self.work().out);
                Ok(())
            }
            (Packet::Disconnect(notice), true) => self.disconnect(now, &notice),
            (Packet::Auth(notice), true) => self.auth(&notice),
            (
                Packet::Connect(_) | Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp,
                true,
            ) => Err(Breach::protocol(format!("a {} from a client that is in", kind.name()))),
        }
    }

    /// Records in the name of the client's account.
    pub(super) fn records(&self, now: Now, notes: Vec<Note>, report: Option<Report>) -> Option<Records> {
        let device = self.device.clone()?;
        Some(Records { device, received_at: now.wall, report, frame: None, events: Vec::new(), notes })
    }

    /// Asks the store for something.
    pub(super) fn store(&mut self, now: Now, notes: Vec<Note>, report: Option<Report>, waiting: Waiting) {
        let Some(records) = self.records(now, notes, report) else { return };
        let ticket = self.next_ticket();
        let work = self.work();
        work.waiting.insert(ticket, waiting);
        work.outputs.push_back(Output::Store(ticket, records));
    }

    pub(super) fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Has notes kept for which nobody waits.
    pub(super) fn keep(&mut self, now: Now, notes: Vec<Note>) {
        if notes.is_empty() {
            return;
        }
        if let Some(records) = self.records(now, notes, None) {
            self.say(Output::Keep(records));
        }
    }

    /// Has the messages of this round stored, all at once.
    pub(super) fn store_due(&mut self, now: Now) {
        let Some(work) = self.work.as_mut().filter(|work| !work.due.is_empty()) else { return };
        let (due, notes) = (std::mem::take(&mut work.due), std::mem::take(&mut work.due_notes));
        self.store(now, notes, None, Waiting::Messages(due));
    }

    fn stored(&mut self, now: Now, receipt: Receipt) {
        let Some(waiting) = self.work().waiting.remove(&receipt.ticket()) else { return };
        match waiting {
            Waiting::Messages(due) => self.messages_stored(receipt, due),
            Waiting::Entry(answer) => self.enter(&answer),
            Waiting::Answer(answer) => self.work().out.extend_from_slice(&answer),
            Waiting::Start(id) => self.started(now, id),
            Waiting::Release(id) => self.released(id),
        }
    }

    /// Passes messages on and tells the client that they are safe.
    fn messages_stored(&mut self, receipt: Receipt, due: Vec<Due>) {
        let mut all = Vec::with_capacity(due.len());
        let (level, now, place) = (self.level, self.now.elapsed, self.place);
        let rest = self.broker.with(|inside| {
            inside.begin_round(now);
            for Due { mut acknowledged, pending } in due {
                let is_wanted = pending.as_ref().is_none_or(|pending| inside.route(pending));
                if !is_wanted && level == Level::V5 && acknowledged.reason == Reason::SUCCESS {
                    acknowledged.reason = Reason::NO_MATCHING_SUBSCRIBERS;
                }
                all.push(acknowledged);
            }
            place.and_then(|place| inside.rest(place))
        });
        self.pause(rest);
        self.taken = self.taken.saturating_sub(all.iter().filter(|one| one.safe.is_last()).count());
        acknowledge(receipt, level, &all, &mut self.work().out);
    }

    /// The store did not keep something. The client sends it again on its next connection, which it makes at once.
    fn not_stored(&mut self, ticket: Ticket) {
        let Some(waiting) = self.work().waiting.remove(&ticket) else { return };
        if let Waiting::Messages(due) = waiting {
            let place = self.place;
            self.broker.with(|inside| {
                for Due { acknowledged, pending } in &due {
                    let Some(pending) = pending else { continue };
                    inside.give_up(pending);
                    if let Some(client) = place.and_then(|place| inside.client(place)) {
                        client.exactly().received.remove(&acknowledged.id);
                    }
                }
            });
        }
        let reason = if matches!(self.stage, Stage::In) { Reason::UNSPECIFIED } else { Reason::SERVER_UNAVAILABLE };
        self.end(reason, CloseReason::Fault("the store could not keep a message".into()));
    }

    /// Says why, where the version can say it, and closes.
    pub(super) fn end(&mut self, reason: Reason, because: CloseReason) {
        self.say_end(reason, "");
        self.close(because);
    }

    /// Says why, and in which words, where there is room for them. Source: \[2\] §3.14.2.2.3.
    fn say_end(&mut self, reason: Reason, words: &str) {
        match self.stage {
            Stage::In if self.level == Level::V5 => {
                let (start, mut list) = (self.work().out.len(), Writer::default());
                if !words.is_empty() {
                    list.text(Id::ReasonString, words);
                }
                let properties = list.list();
                encode(&Packet::Disconnect(Notice { reason, properties }), self.level, &mut self.work().out);
                if self.work().out.len() - start > self.peer.packet_bytes_max {
                    self.work().out.truncate(start);
                    let properties = Properties::NONE;
                    encode(&Packet::Disconnect(Notice { reason, properties }), self.level, &mut self.work().out);
                }
            }
            Stage::Challenged(_) | Stage::Proving(_) | Stage::Entering => self.refuse(reason),
            Stage::Strange | Stage::In | Stage::Ended => {}
        }
    }

    /// Answers a CONNECT with no.
    pub(super) fn refuse(&mut self, reason: Reason) {
        let reason = if self.level == Level::V5 { reason } else { Reason(reason.return_code()) };
        let answer = ConnAck { session_present: false, reason, properties: Properties::NONE };
        encode(&Packet::ConnAck(answer), self.level, &mut self.work().out);
    }

    /// Closes once everything is sent.
    pub(super) fn close(&mut self, because: CloseReason) {
        self.stage = Stage::Ended;
        self.flush();
        self.say(Output::Close(because));
    }

    fn flush(&mut self) {
        if !self.work().out.is_empty() {
            let sent = self.take_out();
            self.say(sent);
        }
    }

    fn take_out(&mut self) -> Output {
        self.keep_sent(self.now);
        Output::Send(std::mem::take(&mut self.work().out).into())
    }

    fn breach(&mut self, breach: Breach) -> Fault {
        if matches!(self.stage, Stage::Strange) && breach.reason == Reason::UNSUPPORTED_VERSION {
            self.refuse(breach.reason);
        }
        self.say_end(breach.reason, &breach.fault.reason);
        self.stage = Stage::Ended;
        self.flush();
        breach.fault
    }

    fn wake(&mut self, now: Now) {
        let silence = now.elapsed.saturating_sub(self.heard_at);
        let is_late = self.deadline().is_some_and(|at| now.elapsed >= at);
        match self.stage {
            Stage::Strange if is_late => {
                let reason = CloseReason::Silent(now.elapsed.saturating_sub(self.heard_at));
                self.close(reason);
            }
            Stage::Challenged(_) | Stage::Proving(_) | Stage::Entering if is_late => {
                self.end(Reason::SERVER_UNAVAILABLE, CloseReason::Refused);
            }
            Stage::In if is_late => {
                self.end(Reason::KEEP_ALIVE_TIMEOUT, CloseReason::Silent(silence));
            }
            Stage::In => {
                self.may_have_mail = true;
                if let Some(work) = &mut self.work {
                    work.rest = work.rest.and_then(|rest| self.broker.with(|inside| inside.rest_on(rest, now.elapsed)));
                }
            }
            Stage::Strange | Stage::Challenged(_) | Stage::Proving(_) | Stage::Entering | Stage::Ended => {}
        }
        if let Some(ending) = self.ending.take_if(|ending| ending.0 <= now.elapsed) {
            self.close(ending.1);
        }
    }

    fn eof(&mut self, now: Now) {
        if !self.waits() && self.given.is_none() {
            self.close(CloseReason::PeerDone);
        } else {
            self.ending.get_or_insert_with(|| Box::new((now.elapsed + WIND_UP_WAIT, CloseReason::PeerDone)));
        }
    }

    fn shutdown(&mut self, now: Now, because: CloseReason) {
        let reason = match because {
            CloseReason::TakenOver => Reason::SESSION_TAKEN_OVER,
            CloseReason::Stopping => Reason::SHUTTING_DOWN,
            CloseReason::PeerDone
            | CloseReason::Silent(_)
            | CloseReason::Refused
            | CloseReason::Reconfigured
            | CloseReason::Fault(_) => Reason::ADMINISTRATIVE,
        };
        if !self.waits() && self.given.is_none() {
            return self.end(reason, because);
        }
        self.ending.get_or_insert_with(|| Box::new((now.elapsed + WIND_UP_WAIT, because)));
    }

    /// The connection is gone: the session goes on without it, or ends.
    fn leave(&mut self) {
        self.stage = Stage::Ended;
        let (place, leaving, expiry_s, wall) = (self.place.take(), self.leaving, self.expiry_at_end, self.now.wall);
        let Work { waiting, due, .. } = self.work.take().map(|work| *work).unwrap_or_default();
        self.broker.with(|inside| {
            let messages = waiting.into_values().filter_map(|waiting| match waiting {
                Waiting::Messages(due) => Some(due),
                Waiting::Entry(_) | Waiting::Answer(_) | Waiting::Start(_) | Waiting::Release(_) => None,
            });
            inside.adopt(messages.flatten().chain(due).filter_map(|due| due.pending));
            if let Some(place) = place {
                inside.detach(place, leaving, expiry_s, wall);
            }
        });
    }

    fn next_wake(&self) -> Option<Duration> {
        let rest = self.work.as_ref().and_then(|work| work.rest).map(|rest| rest.until);
        let ending = self.ending.as_ref().map(|ending| ending.0);
        self.deadline().into_iter().chain(rest).chain(ending).min()
    }

    /// Until when something has to come from the client.
    fn deadline(&self) -> Option<Duration> {
        match self.stage {
            Stage::Strange => self.arriving.as_ref().map(|arriving| arriving.first_frame_by.min(arriving.login_by)),
            Stage::Challenged(_) | Stage::Proving(_) | Stage::Entering => {
                self.arriving.as_ref().map(|arriving| arriving.login_by)
            }
            Stage::In => (self.keep_alive_s > 0).then(|| self.heard_at + silence_max(self.keep_alive_s)),
            Stage::Ended => None,
        }
    }

    fn take_in(&mut self, now: Now, input: Input<'_>) -> Result<(), Breach> {
        match input {
            Input::Bytes(bytes) => return self.bytes(now, bytes),
            Input::Eof => self.eof(now),
            Input::Wake => self.wake(now),
            Input::Answer(Answer::Verdict(Verdict::Accepted(admission))) => self.accepted(now, admission)?,
            Input::Answer(Answer::Verdict(Verdict::Refused(_))) => self.end(self.not_proven(), CloseReason::Refused),
            Input::Stored(receipt) => self.stored(now, receipt),
            Input::Answer(Answer::Ordered(taken)) => self.ordered(now, taken),
            Input::NotStored(ticket) => self.not_stored(ticket),
            Input::Command(command) => {
                let state = CommandState::Failed("a client of a broker takes no commands".to_owned());
                self.say(Output::Command(command.id, state));
            }
            Input::Shutdown(because) => self.shutdown(now, because),
            Input::Disconnected => self.leave(),
            Input::Answer(_) | Input::Connected | Input::Offer(..) => {}
        }
        if self.may_go_on() && !self.gathering.is_empty() {
            self.gathered(now)?;
        }
        self.ask_given();
        if !self.waits()
            && self.given.is_none()
            && let Some(ending) = self.ending.take()
        {
            self.close(ending.1);
        }
        Ok(())
    }
}

/// Silence that ends a connection of which this keep alive was agreed. Source: \[1\] §3.1.2.10, \[2\] §3.1.2.10.
pub(super) fn silence_max(keep_alive_s: u16) -> Duration {
    Duration::from_millis(u64::from(keep_alive_s) * 1500)
}

impl Session for HeadEnd {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        self.now = now;
        self.take_in(now, input).map_err(|breach| self.breach(breach))
    }

    fn poll(&mut self) -> Output {
        if let Some(output) = self.work.as_mut().and_then(|work| work.outputs.pop_front()) {
            return output;
        }
        if self.may_have_mail && matches!(self.stage, Stage::In) {
            let now = self.now;
            self.send(now);
        }
        if self.work.as_ref().is_some_and(|work| work.outputs.is_empty() && !work.out.is_empty()) {
            return self.take_out();
        }
        if let Some(output) = self.work.as_mut().and_then(|work| work.outputs.pop_front()) {
            return output;
        }
        self.work.take_if(|work| work.is_done());
        Output::Idle { wake_at: self.next_wake() }
    }

    fn wants_bytes(&self) -> bool {
        self.may_go_on()
    }
}

impl Drop for HeadEnd {
    fn drop(&mut self) {
        self.leave();
    }
}
