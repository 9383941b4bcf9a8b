//! The one loop in which every connection of every protocol lives.
//!
//! Bytes, time, verdicts, commits and commands go into the session; what comes out is done, in order. While the loop
//! does something it does not read: a full queue of the store, or a peer that does not take its answers, stops the
//! peer by way of TCP. An idle connection holds no buffer.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Event, EventKind, Learnt, Records, Severity, Ticket};
use loggerhead_protocols::{
    Admission, Claim, CloseReason, Fault, Input, Opening, Output, Proof, Question, Refusal, Session, Verdict,
};
use loggerhead_store::{Completion, Outcome, Reply};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, timeout};

use crate::budget::Budget;
use crate::core::Core;
use crate::device::Device;
use crate::identity::Judgement;
use crate::listener::Pass;
use crate::mailbox::{Letters, Mailbox};
use crate::metrics::{ProtocolCounters, refusal_word};
use crate::presence::{Habit, Manner};

/// What one read takes at most: several packets of a busy logger. One such buffer for each thread.
const READ_BYTES_MAX: usize = 64 * 1024;
/// A peer that does not take an answer for this long is gone, or does not want it.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// After the peer ended its side: time for the store to answer what is in flight.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// After a request to shut down: time for the session to say goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_secs(5);
/// After our last byte: time for the peer to take it and close, so that no reset overtakes it.
const LINGER_WITHIN: Duration = Duration::from_secs(2);
/// What a peer may still send in that time.
const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// Events of one connection that are stored at once, and after which time one more is: 17,280 a day at most.
const EVENTS_BURST: u16 = 20;
const EVENT_EVERY: Duration = Duration::from_secs(5);

thread_local! {
    /// Bytes are the session's only during one call, so one buffer serves every connection of a thread.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into_boxed_slice());
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// For texts: `192.0.2.7:4711`, `[2001:db8::1]:4711`, `unix`.
    pub(crate) text: Arc<str>,
    /// For counting; none on a Unix socket.
    pub(crate) address: Option<IpAddr>,
}

/// A stream that a connection can live on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Serves one connection until it ends.
pub(crate) async fn serve<S: Stream>(core: Arc<Core>, pass: Pass, peer: Peer, stream: S) {
    let mut connection = Connection::open(core, pass, peer, stream);
    let ending = connection.live().await;
    connection.end(&ending).await;
}

/// Why a connection ended.
#[derive(Debug)]
enum Ending {
    /// The session closed it.
    Closed(CloseReason),
    /// The peer broke the rules.
    Fault(Fault),
    /// The connection broke.
    Lost(io::Error),
    /// The session was told to close, or to finish, and did not in time.
    Overdue(CloseReason),
}

/// What was waited for.
enum Happened {
    /// The session was fed with bytes.
    Fed(Result<(), Fault>),
    Eof,
    Letters(Letters),
    Due,
    Broke(io::Error),
}

struct Connection<S> {
    core: Arc<Core>,
    pass: Pass,
    peer: Peer,
    stream: S,
    session: Box<dyn Session>,
    mailbox: Arc<Mailbox>,
    counters: Arc<ProtocolCounters>,
    device: Option<Arc<Device>>,
    /// Asked during a round of outputs; answered after it.
    questions: VecDeque<Question>,
    /// When the bytes of what is with the store came. As long as the session's own limit of tickets.
    stores: VecDeque<(Ticket, Duration)>,
    /// When the bytes came of what is being acknowledged.
    acking: Option<Duration>,
    /// When the bytes came that are being worked on.
    fed_at: Duration,
    peer_ended: bool,
    fault: Option<Fault>,
    wake_at: Option<Duration>,
    end_by: Option<(Duration, CloseReason)>,
    sleep: Option<Pin<Box<Sleep>>>,
    events: Budget,
}

impl<S: Stream> Connection<S> {
    fn open(core: Arc<Core>, pass: Pass, peer: Peer, stream: S) -> Self {
        let now = core.clock.now();
        let listener = pass.listener();
        let opening =
            Opening { peer: Arc::clone(&peer.text), entropy: rand::random(), limits: listener.settings().limits };
        let session = listener.acceptor().open(now, opening);
        let counters = Arc::clone(&listener.counters);
        let mailbox = Arc::clone(pass.mailbox());
        Self {
            core,
            pass,
            peer,
            stream,
            session,
            mailbox,
            counters,
            device: None,
            questions: VecDeque::new(),
            stores: VecDeque::new(),
            acking: None,
            fed_at: now.elapsed,
            peer_ended: false,
            fault: None,
            wake_at: None,
            end_by: None,
            sleep: None,
            events: Budget::new(EVENTS_BURST, EVENT_EVERY),
        }
    }

    async fn live(&mut self) -> Ending {
        loop {
            if let Err(ending) = self.drain().await {
                return ending;
            }
            let happened = poll_fn(|context| self.poll_happened(context)).await;
            let taken = match happened {
                Happened::Fed(taken) => {
                    self.take(taken);
                    Ok(())
                }
                Happened::Eof => {
                    self.input(Input::Eof);
                    Ok(())
                }
                Happened::Due => self.due(),
                Happened::Letters(letters) => self.letters(letters).await,
                Happened::Broke(error) => Err(Ending::Lost(error)),
            };
            if let Err(ending) = taken {
                return ending;
            }
        }
    }

    /// The next thing that happens, in the order of how much it matters: commits first, since acks wait for them.
    fn poll_happened(&mut self, context: &mut Context<'_>) -> Poll<Happened> {
        if let Poll::Ready(letters) = self.mailbox.poll_take(context) {
            return Poll::Ready(Happened::Letters(letters));
        }
        if self.poll_due(context).is_ready() {
            return Poll::Ready(Happened::Due);
        }
        if self.peer_ended || !self.session.wants_bytes() {
            return Poll::Pending;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => {
                    self.peer_ended = true;
                    let now = self.core.clock.now();
                    self.end_by.get_or_insert((now.elapsed + FINISH_WITHIN, CloseReason::PeerDone));
                    Poll::Ready(Happened::Eof)
                }
                Ok(()) => Poll::Ready(Happened::Fed(self.feed(buffer.filled()))),
                Err(error) => Poll::Ready(Happened::Broke(error)),
            }
        })
    }

    /// Ready when `Idle::wake_at` or the last moment of this connection has come.
    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let last = self.end_by.as_ref().map(|(at, _)| *at);
        let Some(due) = self.wake_at.into_iter().chain(last).min() else {
            return Poll::Pending;
        };
        let moment = self.core.clock.moment(due);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(moment)));
        // A packet mostly moves the moment further away: the timer is left as it is, and looks again when it fires.
        if moment < sleep.deadline() {
            sleep.as_mut().reset(moment);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= moment {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(moment);
        }
    }

    fn due(&mut self) -> Result<(), Ending> {
        let now = self.core.clock.now();
        if let Some((_, reason)) = self.end_by.take_if(|(at, _)| *at <= now.elapsed) {
            return Err(Ending::Overdue(reason));
        }
        // A session that does not ask again is not woken again.
        self.wake_at = None;
        self.input(Input::Wake);
        Ok(())
    }

    /// Hands bytes to the session, in the moment in which they were read.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let now = self.core.clock.now();
        self.fed_at = now.elapsed;
        let count = bytes.len() as u64;
        self.counters.bytes_in.add(count);
        if let Some(device) = &self.device
            && let Some(evidence) = device.heard(now, count)
        {
            self.core.presence_changed(device, evidence);
        }
        self.session.handle(now, Input::Bytes(bytes))
    }

    fn input(&mut self, input: Input<'_>) {
        let taken = self.session.handle(self.core.clock.now(), input);
        self.take(taken);
    }

    /// A fault ends the conversation, but not before what is left to send is sent.
    fn take(&mut self, taken: Result<(), Fault>) {
        if let Err(fault) = taken {
            self.fault.get_or_insert(fault);
        }
    }

    async fn letters(&mut self, letters: Letters) -> Result<(), Ending> {
        for outcome in letters.outcomes {
            self.outcome(outcome);
            self.drain().await?;
        }
        if let Some(reason) = letters.shutdown {
            let by = self.core.clock.now().elapsed + GOODBYE_WITHIN;
            self.end_by = Some((by, reason.clone()));
            self.input(Input::Shutdown(reason));
            return Ok(());
        }
        for command in letters.commands {
            self.input(Input::Command(command));
            self.drain().await?;
        }
        Ok(())
    }

    fn outcome(&mut self, outcome: Outcome) {
        let (ticket, input) = match outcome {
            Outcome::Stored(receipt) => {
                self.counters.packets_stored.one_more();
                if let Some(device) = &self.device {
                    device.counters.packets.one_more();
                }
                (receipt.ticket(), Input::Stored(receipt))
            }
            Outcome::NotStored(ticket) => {
                self.counters.packets_not_stored.one_more();
                (ticket, Input::NotStored(ticket))
            }
        };
        // Commits come in the order of their requests, so this is the first one.
        if let Some(place) = self.stores.iter().position(|(waiting, _)| *waiting == ticket) {
            self.acking = self.stores.remove(place).map(|(_, fed_at)| fed_at);
        }
        self.input(input);
    }

    /// Does what the session says until it has nothing more to say.
    async fn drain(&mut self) -> Result<(), Ending> {
        loop {
            match self.session.poll() {
                Output::Idle { wake_at } => {
                    self.wake_at = wake_at;
                    if let Some(fault) = self.fault.take() {
                        return Err(Ending::Fault(fault));
                    }
                    let Some(question) = self.questions.pop_front() else {
                        self.acking = None;
                        return Ok(());
                    };
                    self.answer(question).await;
                }
                Output::Send(bytes) => self.send(bytes).await?,
                Output::Ask(question) => self.questions.push_back(question),
                Output::Store(ticket, records) => self.store(Some(ticket), records).await,
                Output::Keep(records) => self.store(None, records).await,
                Output::Close(reason) => {
                    return Err(self.fault.take().map_or(Ending::Closed(reason), Ending::Fault));
                }
                Output::Event(event) => self.event(event),
                Output::Fault(fault) => self.faulted(&fault),
                Output::Learnt(learnt) => self.learnt(learnt),
                Output::Remember { identity, note, keep } => {
                    let place = (self.pass.listener().protocol, identity, self.peer.address);
                    self.core.identities.remember(self.core.clock.now().elapsed, place, note, keep);
                }
                Output::ExpectWithin(limit) => {
                    if let Some(device) = &self.device {
                        device.expect_within(limit);
                    }
                }
                Output::Command(id, state) => self.core.command_moved(id, state),
                Output::Connect | Output::Delivered(_) => {
                    tracing::error!(peer = %self.peer.text, "a head-end session spoke as a device does");
                }
            }
        }
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Ending> {
        let writing = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_WITHIN, writing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Ending::Lost(error)),
            Err(_) => return Err(Ending::Overdue(CloseReason::Silent(WRITE_WITHIN))),
        }
        let count = bytes.len() as u64;
        self.counters.sends.one_more();
        self.counters.bytes_out.add(count);
        if let Some(device) = &self.device {
            device.counters.bytes_out.add(count);
        }
        if let Some(fed_at) = self.acking.take() {
            self.counters.ack_latency.record(self.core.clock.now().elapsed.saturating_sub(fed_at));
        }
        Ok(())
    }

    /// Hands records to the store's queue; waits while it is full, and does not read in that time.
    async fn store(&mut self, ticket: Option<Ticket>, records: Records) {
        let readings = records.report.as_ref().map_or(0, |report| report.len() as u64);
        self.counters.packets.one_more();
        self.counters.readings.add(readings);
        if let Some(device) = &self.device {
            device.read(self.core.clock.now(), readings);
        }
        let reply = ticket.map(|ticket| {
            self.stores.push_back((ticket, self.fed_at));
            Reply { ticket, to: Arc::clone(&self.mailbox) as Arc<dyn Completion> }
        });
        self.core.store.submit(records, reply).await;
    }

    fn learnt(&mut self, learnt: Learnt) {
        if let Some(device) = &self.device
            && device.learn(&learnt)
        {
            self.core.journal.learnt(&device.id, learnt);
        }
    }

    /// Counts an event always, and stores it within a rate.
    fn event(&mut self, mut event: Event) {
        self.counters.event(event.kind);
        event.peer.get_or_insert_with(|| self.peer.text.to_string());
        if event.device.is_none() {
            event.device = self.device.as_ref().map(|device| device.id.clone());
        }
        let now = self.core.clock.now().elapsed;
        if self.events.take(now) {
            log(self.pass.listener().protocol, &event);
            self.core.journal.event(now, event);
        } else {
            self.core.counters.events_dropped.one_more();
        }
    }

    fn tell(&mut self, severity: Severity, kind: EventKind, text: impl Into<Cow<'static, str>>) {
        let at = self.core.clock.now().wall;
        self.event(Event { at, severity, kind, device: None, peer: None, text: text.into() });
    }

    fn faulted(&mut self, fault: &Fault) {
        self.counters.fault(fault.kind);
        if let Some(device) = &self.device {
            device.counters.faults.one_more();
        }
        self.tell(Severity::Warning, EventKind::Fault, fault.to_string());
    }

    async fn answer(&mut self, question: Question) {
        match question {
            Question::Who(identity) => {
                let now = self.core.clock.now().elapsed;
                let protocol = self.pass.listener().protocol;
                let known = self.core.identities.known(now, protocol, &identity, self.peer.address);
                self.input(Input::Known(known));
            }
            Question::Prove(claim) => {
                let verdict = self.prove(&claim).await;
                self.input(Input::Verdict(verdict));
            }
        }
    }

    async fn prove(&mut self, claim: &Claim) -> Verdict {
        let now = self.core.clock.now().elapsed;
        let settings = self.pass.listener().settings();
        let judgement = self.core.identities.judge(now, &settings.admittance, claim, self.peer.address);
        let judged = match judgement {
            Judgement::Accepted(device) => Ok(device),
            Judgement::Refused(refusal) => Err(refusal),
            Judgement::Stranger(secret) => {
                self.core.enroll(&settings.admittance, &claim.identity, secret, &self.peer.text).await
            }
        };
        match judged.and_then(|device| self.admit(&device, claim, settings.connections_per_device_max)) {
            Ok(admission) => Verdict::Accepted(admission),
            Err(refusal) => {
                self.counters.refused(refusal);
                let text = format!("{}: {}", claim.identity, refusal_word(refusal));
                self.tell(Severity::Warning, EventKind::Refused, text);
                Verdict::Refused(refusal)
            }
        }
    }

    fn admit(&mut self, device: &Arc<Device>, claim: &Claim, sessions_max: usize) -> Result<Admission, Refusal> {
        let now = self.core.clock.now();
        if self.device.as_ref().is_some_and(|before| !Arc::ptr_eq(before, device)) {
            self.leave("logged in under another name", Manner::Good);
        }
        let habit = if claim.remember.is_some() { Habit::PerMessage } else { Habit::Keeps };
        let taken_over = device.enter(now, &self.pass, &self.peer.text, habit, sessions_max);
        // Who was removed since the claim was judged must not stay in.
        if !self.core.identities.holds(device) {
            device.leave(self.pass.number, "removed", Manner::Good);
            return Err(Refusal::Unknown);
        }
        self.core.identities.admitted(now.elapsed, device, claim, self.peer.address);
        self.counters.logins.one_more();
        self.device = Some(Arc::clone(device));
        if taken_over > 0 {
            self.tell(Severity::Info, EventKind::Takeover, "a newer connection took over");
        }
        // A device that connects for every message would fill the store with its logins.
        if !matches!(claim.proof, Proof::Remembered) {
            self.tell(Severity::Info, EventKind::Login, format!("{} logged in", claim.identity));
        }
        if let Some(evidence) = device.review(now) {
            self.core.presence_changed(device, evidence);
        }
        self.core.commands.deliver(device);
        let settings = Arc::clone(&device.rules().settings);
        Ok(Admission { device: device.id.clone(), settings, learnt: device.learnt() })
    }

    /// The session is not the device's any more.
    fn leave(&mut self, because: &str, manner: Manner) {
        let Some(device) = self.device.clone() else { return };
        if device.leave(self.pass.number, because, manner) {
            let now = self.core.clock.now();
            let changed = device.review(now);
            if let Some(evidence) = changed {
                self.tell(Severity::Info, EventKind::Logout, because.to_owned());
                self.core.presence_changed(&device, evidence);
            }
        }
        self.core.session_ended(&device, self.pass.number);
        self.device = None;
    }

    /// Tells everybody, and closes so that the last answer arrives.
    async fn end(&mut self, ending: &Ending) {
        let because = match ending {
            Ending::Closed(reason) | Ending::Overdue(reason) => reason.to_string(),
            Ending::Fault(fault) => {
                self.faulted(fault);
                fault.to_string()
            }
            Ending::Lost(error) => format!("the connection broke: {}", error.kind()),
        };
        let manner = match ending {
            Ending::Closed(CloseReason::PeerDone) | Ending::Overdue(CloseReason::PeerDone) => Manner::Good,
            Ending::Closed(_) | Ending::Overdue(_) | Ending::Fault(_) | Ending::Lost(_) => Manner::Bad,
        };
        self.leave(&because, manner);
        tracing::debug!(protocol = self.pass.listener().protocol, peer = %self.peer.text, because, "closed");
        if !matches!(ending, Ending::Lost(_)) {
            // Errors here change nothing: the conversation is over.
            let _closed = timeout(LINGER_WITHIN, linger(&mut self.stream)).await;
        }
    }
}

/// Ends our side, then takes what the peer still sends until it ends its own: closing a socket with unread bytes sends
/// a reset, which can overtake the last answer.
async fn linger<S: Stream>(stream: &mut S) -> io::Result<()> {
    stream.flush().await?;
    stream.shutdown().await?;
    let mut left = LINGER_BYTES_MAX;
    loop {
        let count = poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
                Poll::Ready(io::Result::Ok(buffer.filled().len()))
            })
        })
        .await?;
        left = left.saturating_sub(count);
        if count == 0 || left == 0 {
            return Ok(());
        }
    }
}

fn log(protocol: &'static str, event: &Event) {
    let device = event.device.as_ref().map_or("", DeviceId::as_str);
    let (peer, kind, text) = (event.peer.as_deref().unwrap_or(""), event.kind.word(), &event.text);
    match event.severity {
        Severity::Info | Severity::Warning => tracing::info!(protocol, device, peer, kind, "{text}"),
        Severity::Error => tracing::error!(protocol, device, peer, kind, "{text}"),
    }
}
