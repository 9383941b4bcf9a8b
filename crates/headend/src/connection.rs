//! The one loop in which every connection of every protocol lives.
//!
//! Bytes, time, verdicts, commits and commands go into the session; what comes out is done, in order. While the loop
//! does something it does not read: a full queue of the store, or a peer that does not take its answers, stops the
//! peer by way of TCP. An idle connection holds no buffer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{Records, Ticket};
use loggerhead_protocols::{CloseReason, Fault, Input, Opening, Output, Question, Session};
use loggerhead_store::{Completion, Outcome, Reply};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, timeout};

use crate::core::Core;
use crate::guest::{Guest, Peer};
use crate::listener::Pass;
use crate::mailbox::{Letters, Mailbox};
use crate::presence::Manner;

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
thread_local! {
    /// Bytes are the session's only during one call, so one buffer serves every connection of a thread.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into_boxed_slice());
}

/// A stream that a connection can live on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Serves one connection until it ends.
pub(crate) fn serve<S: Stream>(core: Arc<Core>, pass: Pass, peer: Peer, stream: S) -> impl Future<Output = ()> + Send {
    // Made outside of the future, which would keep the arguments as well.
    let mut connection = Connection::open(core, pass, peer, stream);
    async move {
        let ending = connection.live().await;
        Box::pin(connection.end(&ending)).await;
    }
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
    guest: Guest,
    stream: S,
    session: Box<dyn Session>,
    mailbox: Arc<Mailbox>,
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
}

impl<S: Stream> Connection<S> {
    fn open(core: Arc<Core>, pass: Pass, peer: Peer, stream: S) -> Self {
        let now = core.clock.now();
        let listener = pass.listener();
        let mailbox = Arc::clone(pass.mailbox());
        let opening = Opening {
            peer: Arc::clone(&peer.text),
            entropy: rand::random(),
            limits: listener.settings().limits,
            waker: Waker::from(Arc::clone(&mailbox)),
        };
        let session = listener.acceptor().open(now, opening);
        Self {
            guest: Guest::new(core, pass, peer),
            stream,
            session,
            mailbox,
            questions: VecDeque::new(),
            stores: VecDeque::new(),
            acking: None,
            fed_at: now.elapsed,
            peer_ended: false,
            fault: None,
            wake_at: None,
            end_by: None,
            sleep: None,
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
                    let now = self.guest.core.clock.now();
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
        let moment = self.guest.core.clock.moment(due);
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
        let now = self.guest.core.clock.now();
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
        let now = self.guest.core.clock.now();
        self.fed_at = now.elapsed;
        let count = bytes.len() as u64;
        self.guest.counters.bytes_in.add(count);
        if let Some(device) = &self.guest.device
            && let Some(evidence) = device.heard(now, count)
        {
            self.guest.core.presence_changed(device, evidence);
        }
        self.session.handle(now, Input::Bytes(bytes))
    }

    fn input(&mut self, input: Input<'_>) {
        let taken = self.session.handle(self.guest.core.clock.now(), input);
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
        if letters.woken {
            self.input(Input::Wake);
            self.drain().await?;
        }
        if let Some(reason) = letters.shutdown {
            let by = self.guest.core.clock.now().elapsed + GOODBYE_WITHIN;
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
                self.guest.counters.packets_stored.one_more();
                if let Some(device) = &self.guest.device {
                    device.counters.packets.one_more();
                }
                (receipt.ticket(), Input::Stored(receipt))
            }
            Outcome::NotStored(ticket) => {
                self.guest.counters.packets_not_stored.one_more();
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
                        self.rest();
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
                Output::Event(event) => self.guest.event(event),
                Output::Fault(fault) => self.guest.faulted(&fault),
                Output::Learnt(learnt) => self.guest.learnt(learnt),
                Output::Remember { identity, note, keep } => {
                    let place = (self.guest.pass.listener().protocol, identity, self.guest.peer.address);
                    self.guest.core.identities.remember(self.guest.core.clock.now().elapsed, place, note, keep);
                }
                Output::ExpectWithin(limit) => {
                    if let Some(device) = &self.guest.device {
                        device.expect_within(limit);
                    }
                }
                Output::Command(id, state) => self.guest.core.command_moved(id, state),
                Output::Connect | Output::Delivered(_) => {
                    tracing::error!(peer = %self.guest.peer.text, "a head-end session spoke as a device does");
                }
            }
        }
    }

    /// Nothing more to do: an idle connection holds no memory that it does not need.
    fn rest(&mut self) {
        self.acking = None;
        if self.questions.capacity() > 0 {
            self.questions = VecDeque::new();
        }
        if self.stores.is_empty() && self.stores.capacity() > 0 {
            self.stores = VecDeque::new();
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
            Err(_) => return Err(Ending::Lost(io::ErrorKind::TimedOut.into())),
        }
        let count = bytes.len() as u64;
        self.guest.counters.sends.one_more();
        self.guest.counters.bytes_out.add(count);
        if let Some(device) = &self.guest.device {
            device.counters.bytes_out.add(count);
        }
        if let Some(fed_at) = self.acking.take() {
            self.guest.counters.ack_latency.record(self.guest.core.clock.now().elapsed.saturating_sub(fed_at));
        }
        Ok(())
    }

    /// Hands records to the store's queue; waits while it is full, and does not read in that time.
    async fn store(&mut self, ticket: Option<Ticket>, records: Records) {
        let readings = records.report.as_ref().map_or(0, |report| report.len() as u64);
        self.guest.counters.packets.one_more();
        self.guest.counters.readings.add(readings);
        if let Some(device) = &self.guest.device {
            device.read(self.guest.core.clock.now(), readings);
        }
        let reply = ticket.map(|ticket| {
            self.stores.push_back((ticket, self.fed_at));
            Reply { ticket, to: Arc::clone(&self.mailbox) as Arc<dyn Completion> }
        });
        // On the heap: an idle connection would be larger by it.
        Box::pin(self.guest.core.store.submit(records, reply)).await;
    }

    async fn answer(&mut self, question: Question) {
        match question {
            Question::Who(identity) => {
                let now = self.guest.core.clock.now().elapsed;
                let protocol = self.guest.pass.listener().protocol;
                let known = self.guest.core.identities.known(now, protocol, &identity, self.guest.peer.address);
                self.input(Input::Known(known));
            }
            Question::Prove(claim) => {
                // On the heap, as the end is: it happens once, and every idle connection would be larger for it.
                let verdict = Box::pin(self.guest.prove(&claim)).await;
                self.input(Input::Verdict(verdict));
            }
        }
    }

    /// Tells everybody, and closes so that the last answer arrives.
    async fn end(&mut self, ending: &Ending) {
        let because = match ending {
            Ending::Closed(reason) | Ending::Overdue(reason) => reason.to_string(),
            Ending::Fault(fault) => {
                self.guest.faulted(fault);
                fault.to_string()
            }
            Ending::Lost(error) => format!("the connection broke: {}", error.kind()),
        };
        let manner = match ending {
            Ending::Closed(CloseReason::PeerDone) | Ending::Overdue(CloseReason::PeerDone) => Manner::Good,
            Ending::Closed(_) | Ending::Overdue(_) | Ending::Fault(_) | Ending::Lost(_) => Manner::Bad,
        };
        self.guest.leave(&because, manner);
        tracing::debug!(protocol = self.guest.pass.listener().protocol, peer = %self.guest.peer.text, because, "closed");
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loggerhead_model::{CommandState, EventKind, KeyKind, Order, Presence};
    use loggerhead_protocols::CloseReason;
    use loggerhead_store::EventFilter;
    use tokio::net::TcpStream;

    use super::serve;
    use crate::metrics::ConnectionLimit;
    use crate::testing::{Bench, SECRET};

    /// What one task of an idle connection takes on the heap, beside its session.
    const TASK_BYTES_MAX: usize = 1664;

    fn output_size<A, B, C, D, F: Future>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        let bytes = output_size(serve::<TcpStream>);
        assert!(bytes <= TASK_BYTES_MAX, "{bytes}");
    }

    #[tokio::test]
    async fn ack_waits_for_commit() {
        let mut bench = Bench::new().await;
        bench.device("a");
        let mut line = bench.connect("10.0.0.1");
        assert_eq!(line.ask(&format!("login a {SECRET}")).await, "welcome a");
        assert_eq!(line.ask("put 7").await, "ack 1");
        let stats = bench.core.store.reader().stats().expect("a store that answers");
        assert_eq!(stats.readings, 1, "committed before the ack was heard");
    }

    #[tokio::test]
    async fn every_packet_of_a_burst_is_answered_in_order() {
        let mut bench = Bench::new().await;
        bench.device("a");
        let mut line = bench.connect("10.0.0.1");
        line.say(&format!("login a {SECRET}")).await;
        assert_eq!(line.hear().await, "welcome a");
        for value in 1..=500 {
            line.say(&format!("put {value}")).await;
        }
        for number in 1..=500 {
            assert_eq!(line.hear().await, format!("ack {number}"));
        }
    }

    #[tokio::test]
    async fn what_is_in_flight_at_the_end_of_the_peer_is_still_stored() {
        let mut bench = Bench::new().await;
        bench.device("a");
        let mut line = bench.connect("10.0.0.1");
        assert_eq!(line.ask(&format!("login a {SECRET}")).await, "welcome a");
        line.say("put 1").await;
        line.done().await;
        line.rest().await;
        bench.core.store.clone().close().await;
        assert_eq!(bench.core.store.reader().stats().expect("a store that answers").readings, 1);
    }

    #[tokio::test]
    async fn a_newer_connection_takes_over() {
        let mut bench = Bench::new().await;
        let device = bench.device("a");
        let mut old = bench.connect("10.0.0.1");
        assert_eq!(old.ask(&format!("login a {SECRET}")).await, "welcome a");
        let mut new = bench.connect("10.0.0.2");
        assert_eq!(new.ask(&format!("login a {SECRET}")).await, "welcome a");
        assert_eq!(old.hear().await, "bye a newer connection took over");
        assert_eq!(old.rest().await, "");
        assert_eq!(new.ask("put 1").await, "ack 1");
        assert_eq!(device.evidence(bench.core.clock.now()).presence, Presence::ConnectedFresh);
    }

    #[tokio::test]
    async fn a_device_that_connects_per_message_may_come_back_without_a_proof_and_does_not_flap() {
        let mut bench = Bench::new().await;
        let device = bench.device("a");
        let mut first = bench.connect("10.0.0.1");
        assert_eq!(first.ask(&format!("stay a {SECRET}")).await, "welcome a");
        first.done().await;
        first.rest().await;
        assert_eq!(device.evidence(bench.core.clock.now()).presence, Presence::ConnectedFresh);
        let mut second = bench.connect("10.0.0.1");
        assert_eq!(second.ask("again a").await, "welcome a");
        let mut elsewhere = bench.connect("10.0.0.9");
        assert_eq!(elsewhere.ask("again a").await, "no");
    }

    #[tokio::test]
    async fn sessions_of_one_device_that_connects_per_message_have_a_limit() {
        let mut bench = Bench::new().await;
        bench.device("a");
        let mut lines = Vec::new();
        for _ in 0..3 {
            let mut line = bench.connect("10.0.0.1");
            assert_eq!(line.ask(&format!("stay a {SECRET}")).await, "welcome a");
            lines.push(line);
        }
        assert_eq!(lines[0].hear().await, "bye a newer connection took over");
        assert_eq!(lines[1].ask("put 1").await, "ack 1");
        assert_eq!(lines[2].ask("put 2").await, "ack 1");
    }

    #[tokio::test]
    async fn a_fault_ends_the_conversation_and_is_kept() {
        let mut bench = Bench::new().await;
        let device = bench.device("a");
        let mut line = bench.connect("10.0.0.1");
        assert_eq!(line.ask(&format!("login a {SECRET}")).await, "welcome a");
        line.say("nonsense").await;
        assert_eq!(line.rest().await, "");
        bench.core.journal.flushed().await;
        let mut kinds = Vec::new();
        let reader = bench.core.store.reader();
        let visited = reader.events(&EventFilter::default(), &mut |event| {
            kinds.push(event.event.kind);
            std::ops::ControlFlow::Continue(())
        });
        visited.expect("a store that answers");
        assert!(kinds.contains(&EventKind::Login) && kinds.contains(&EventKind::Fault), "{kinds:?}");
        let evidence = device.evidence(bench.core.clock.now());
        assert_eq!(evidence.presence, Presence::Offline);
        assert_eq!(evidence.closed_because.as_deref(), Some("malformed: no such line"));
    }

    #[tokio::test]
    async fn a_wrong_proof_is_refused_and_then_throttled_alike() {
        let mut bench = Bench::new().await;
        bench.device("a");
        for _ in 0..8 {
            let mut line = bench.connect("10.0.0.1");
            assert_eq!(line.ask("login a wrong").await, "no");
            assert_eq!(line.rest().await, "");
        }
        let mut line = bench.connect("10.0.0.1");
        assert_eq!(line.ask(&format!("login a {SECRET}")).await, "no", "locked, though the proof is right");
    }

    #[tokio::test]
    async fn a_command_waits_for_its_device_and_is_followed_to_its_answer() {
        let mut bench = Bench::new().await;
        let device = bench.device("a");
        let id = bench.core.command(&device.id, Order::Period { minutes: 5 }).await.expect("it is taken");
        let mut line = bench.connect("10.0.0.1");
        line.say(&format!("login a {SECRET}")).await;
        let mut heard = [line.hear().await, line.hear().await];
        heard.sort();
        assert_eq!(heard, [format!("command {} Period(5 min)", id.0), "welcome a".to_owned()]);
        assert_eq!(line.ask(&format!("done {} yes", id.0)).await, "ok");
        let status = bench.core.commands.find(id).expect("it is remembered");
        assert_eq!(status.state, CommandState::Answered("yes".to_owned()));
    }

    #[tokio::test]
    async fn a_device_that_took_a_new_secret_logs_in_with_it() {
        let mut bench = Bench::new().await;
        let device = bench.device("a");
        let mut line = bench.connect("10.0.0.1");
        assert_eq!(line.ask(&format!("login a {SECRET}")).await, "welcome a");
        let order = Order::SetKey { kind: KeyKind::Login, key: "another".to_owned() };
        let id = bench.core.command(&device.id, order).await.expect("it is taken");
        assert_eq!(line.hear().await, format!("command {} SetKey(Login)", id.0));
        assert_eq!(line.ask(&format!("done {} yes", id.0)).await, "ok");
        let mut new = bench.connect("10.0.0.1");
        assert_eq!(new.ask("login a another").await, "welcome a");
    }

    #[tokio::test]
    async fn a_listener_that_closes_says_goodbye_and_waits() {
        let mut bench = Bench::new().await;
        bench.device("a");
        let mut line = bench.connect("10.0.0.1");
        assert_eq!(line.ask(&format!("login a {SECRET}")).await, "welcome a");
        bench.listener.close(&CloseReason::Stopping);
        assert_eq!(line.rest().await, "bye the head-end is stopping\n");
        drop(line);
        assert!(bench.listener.admit(None).is_err(), "closed");
    }

    #[tokio::test]
    async fn connections_have_limits_in_total_and_per_address() {
        let bench = Bench::new().await;
        let here = Some("10.0.0.1".parse().expect("an address"));
        let passes: Vec<_> = (0..3).map(|_| bench.listener.admit(here).map_err(ConnectionLimit::word)).collect();
        assert!(passes.iter().all(Result::is_ok));
        assert_eq!(bench.listener.admit(here).map_err(ConnectionLimit::word).err(), Some("address"));
        let other = bench.listener.admit(None).map_err(ConnectionLimit::word);
        assert!(other.is_ok());
        assert_eq!(bench.listener.admit(None).map_err(ConnectionLimit::word).err(), Some("total"));
        drop(passes);
        assert!(bench.listener.admit(here).is_ok(), "a pass is given back");
        drop(other);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_take_its_answers_is_cut_off() {
        let mut bench = Bench::new().await;
        bench.device("a");
        let mut line = bench.connect("10.0.0.1");
        assert_eq!(line.ask(&format!("login a {SECRET}")).await, "welcome a");
        let flood = "expect 60\n".repeat(6_000);
        let mut sent = 0;
        // Answers of 3 bytes fill the 64 KiB between us after about 20,000 lines.
        while sent < 10 && line.try_flood(&flood, Duration::from_mins(1)).await {
            sent += 1;
        }
        assert!(sent < 10, "it was cut off");
    }
}
