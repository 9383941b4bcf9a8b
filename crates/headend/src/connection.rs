//! The one loop in which every connection of every protocol lives.
//!
//! Bytes, time, verdicts, commits and commands go into the session; what comes out is done, in order. While the loop
//! does something it does not read: a full queue of the store, or a peer that does not take its answers, stops the
//! peer by way of TCP. An idle connection holds no buffer, and what it seldom waits for is on the heap.

use std::any::Any;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Order, Records, Ticket};
use loggerhead_protocols::{
    Answer, Carrier, CloseReason, Fault, FileStep, Input, Now, Opening, Output, Question, Session, Untaken,
};
use loggerhead_store::{Completion, Outcome, Reply};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::alarm::Alarm;
use crate::core::Core;
use crate::data_doors;
use crate::ending::{Ending, close};
use crate::error::CommandError;
use crate::guest::{Guest, Peer};
use crate::listener::Pass;
use crate::mailbox::Letter;
use crate::relay::{Onward, Progress};
use crate::scratch;
use crate::sending::{poll_send, send_patiently};

/// After the peer ended its side: time for the store to answer what is in flight.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// After a request to shut down: time for the session to say goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_secs(5);

/// A stream that a connection can live on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Serves one connection until it ends.
pub(crate) fn serve<S: Stream>(core: Arc<Core>, pass: Pass, peer: Peer, stream: S) -> impl Future<Output = ()> + Send {
    let acceptor = pass.listener().acceptor();
    serve_by(core, pass, peer, stream, move |now, opening| acceptor.open(now, opening))
}

/// Serves one peer that sends datagrams until it is silent or told to end.
pub(crate) fn serve_datagrams<S: Stream>(
    core: Arc<Core>,
    pass: Pass,
    peer: Peer,
    conversation: S,
    carrier: Carrier,
) -> impl Future<Output = ()> + Send {
    let acceptor = pass.listener().acceptor();
    serve_by(core, pass, peer, conversation, move |now, opening| acceptor.open(now, Opening { carrier, ..opening }))
}

/// Serves one connection by the session that `open` makes.
pub(crate) fn serve_by<S: Stream>(
    core: Arc<Core>,
    pass: Pass,
    peer: Peer,
    stream: S,
    open: impl FnOnce(Now, Opening) -> Box<dyn Session>,
) -> impl Future<Output = ()> + Send {
    // Made outside of the future, which would keep the arguments as well.
    let mut connection = Connection::open(core, pass, peer, stream, open);
    async move {
        // What takes its time is on the heap: an idle connection would be larger for what happens now and then.
        let ending = loop {
            match poll_fn(|context| connection.poll_live(context)).await {
                Ok(chore) => {
                    if let Err(ending) = Box::pin(connection.work(*chore)).await {
                        break ending;
                    }
                }
                Err(ending) => break ending,
            }
        };
        Box::pin(connection.end(ending)).await;
    }
}

/// What was waited for.
enum Happened {
    /// The session was fed with bytes.
    Fed(Result<(), Fault>),
    Eof,
    /// The peer has ended its side while somebody else is being reached for it.
    HungUp,
    Letter(Letter),
    Due,
    /// On the way to somebody else, or from there.
    Onward(Progress),
    Lost(io::Error),
}

/// What a session says that takes its time.
enum Chore {
    /// The rest of what the peer did not take at once, and how long the whole was.
    Send(Bytes, u64),
    Store(Option<Ticket>, Records),
    Answer(Question),
    File(FileStep),
}

/// What a session asked for and was not answered.
#[derive(Default)]
struct Asked {
    /// Asked during a round of outputs; answered after it.
    questions: VecDeque<Question>,
    /// When the bytes of what is with the store came. As long as the session's own limit of tickets.
    stores: VecDeque<(Ticket, Duration)>,
    /// When the bytes came of what is being acknowledged.
    acking: Option<Duration>,
}

struct Connection<S> {
    guest: Guest,
    stream: S,
    session: Box<dyn Session>,
    /// None while there is nothing: an idle connection holds no memory for it.
    asked: Option<Box<Asked>>,
    /// When the bytes came that are being worked on.
    fed_at: Duration,
    /// The next `Input::Wake`.
    wake_at: Option<Duration>,
    alarm: Alarm,
    /// When it ends at the latest, and why.
    end_by: Option<Box<(Duration, CloseReason)>>,
    fault: Option<Box<Fault>>,
    peer_ended: bool,
    /// Somebody else whom the peer is led on to.
    onward: Option<Box<Onward>>,
}

impl<S: Stream> Connection<S> {
    fn open(
        core: Arc<Core>,
        pass: Pass,
        peer: Peer,
        stream: S,
        open: impl FnOnce(Now, Opening) -> Box<dyn Session>,
    ) -> Self {
        let now = core.clock.now();
        let listener = pass.listener();
        let opening = Opening {
            peer: Arc::clone(&peer.text),
            entropy: rand::random(),
            limits: listener.settings().limits,
            waker: Waker::from(Arc::clone(pass.mailbox())),
            carrier: Carrier::Stream,
            certified: peer.certified.as_ref().and_then(|names| names.first()).cloned(),
        };
        let session = open(now, opening);
        Self {
            guest: Guest::new(core, pass, peer),
            stream,
            session,
            asked: None,
            fed_at: now.elapsed,
            wake_at: None,
            alarm: Alarm::default(),
            end_by: None,
            fault: None,
            peer_ended: false,
            onward: None,
        }
    }

    fn asked(&mut self) -> &mut Asked {
        self.asked.get_or_insert_default()
    }

    /// Does what the session says and waits for what happens, until something takes time or the connection ends.
    fn poll_live(&mut self, context: &mut Context<'_>) -> Poll<Result<Box<Chore>, Ending>> {
        loop {
            if let Some(chore) = self.obey(context)? {
                return Poll::Ready(Ok(chore));
            }
            let happened = ready!(self.poll_happened(context));
            self.happened(happened)?;
        }
    }

    /// The next thing that happens, in the order of how much it matters: commits first, since acks wait for them.
    fn poll_happened(&mut self, context: &mut Context<'_>) -> Poll<Happened> {
        if let Poll::Ready(letter) = self.guest.pass.mailbox().poll_take(context) {
            return Poll::Ready(Happened::Letter(letter));
        }
        let last = self.end_by.as_ref().map(|end| end.0);
        if let Some(due) = self.wake_at.into_iter().chain(last).min()
            && self.alarm.poll_at(context, self.guest.core.clock.moment(due)).is_ready()
        {
            return Poll::Ready(Happened::Due);
        }
        if let Some(onward) = &mut self.onward {
            let progress = onward.poll(context, &mut self.stream, &self.guest);
            if progress.is_ready() || onward.is_joined() {
                return progress.map(Happened::Onward);
            }
            if let Some(stream) = (&mut self.stream as &mut dyn Any).downcast_mut::<TcpStream>()
                && let Poll::Ready(hung_up) = onward.poll_hang_up(context, stream)
            {
                return Poll::Ready(hung_up.map_or_else(Happened::Lost, |()| Happened::HungUp));
            }
        }
        if self.peer_ended || !self.session.wants_bytes() {
            return Poll::Pending;
        }
        let Self { stream, guest, session, fed_at, .. } = self;
        let read = ready!(scratch::poll_read(stream, context, |bytes| {
            (!bytes.is_empty()).then(|| {
                let now = guest.heard(bytes.len() as u64);
                *fed_at = now.elapsed;
                session.handle(now, Input::Bytes(bytes))
            })
        }));
        Poll::Ready(match read {
            Ok(Some(taken)) => Happened::Fed(taken),
            Ok(None) => Happened::Eof,
            Err(error) => Happened::Lost(error),
        })
    }

    fn happened(&mut self, happened: Happened) -> Result<(), Ending> {
        match happened {
            Happened::Fed(taken) => self.take(taken),
            Happened::Eof if !self.guest.pass.listener().settings().sockets.half_open => {
                return Err(Ending::Closed(CloseReason::PeerDone));
            }
            Happened::Eof => {
                self.peer_ended = true;
                self.end_within(FINISH_WITHIN, CloseReason::PeerDone);
                self.input(Input::Eof);
            }
            Happened::HungUp => self.input(Input::Eof),
            Happened::Letter(Letter::Outcome(outcome)) => self.outcome(outcome),
            Happened::Letter(Letter::Woken) => self.input(Input::Wake),
            Happened::Letter(Letter::Command(command)) => self.input(Input::Command(command)),
            Happened::Letter(Letter::Shutdown(reason)) => {
                self.end_by = None;
                self.end_within(GOODBYE_WITHIN, reason.clone());
                self.input(Input::Shutdown(reason));
            }
            Happened::Due => return self.due(),
            Happened::Onward(progress) => return self.led_on(progress),
            Happened::Lost(error) => return Err(Ending::Lost(error)),
        }
        Ok(())
    }

    fn led_on(&mut self, progress: Progress) -> Result<(), Ending> {
        match progress {
            Progress::Reached(reached) => self.input(Input::Answer(Answer::Reached(reached))),
            Progress::Ended => return Err(Ending::Closed(CloseReason::PeerDone)),
            Progress::Idle(limit) => return Err(Ending::Closed(CloseReason::Silent(limit))),
            Progress::Broken(error) => return Err(Ending::Lost(error)),
        }
        Ok(())
    }

    /// Ends the connection after `within`, unless an end is set already.
    fn end_within(&mut self, within: Duration, reason: CloseReason) {
        let by = self.guest.core.clock.now().elapsed + within;
        self.end_by.get_or_insert_with(|| Box::new((by, reason)));
    }

    fn due(&mut self) -> Result<(), Ending> {
        let now = self.guest.core.clock.now();
        if let Some(end) = self.end_by.take_if(|end| end.0 <= now.elapsed) {
            return Err(Ending::Overdue(end.1));
        }
        // A session that does not ask again is not woken again.
        self.wake_at = None;
        self.input(Input::Wake);
        Ok(())
    }

    fn input(&mut self, input: Input<'_>) {
        let taken = self.session.handle(self.guest.core.clock.now(), input);
        self.take(taken);
    }

    /// A fault ends the conversation, but not before what is left to send is sent.
    fn take(&mut self, taken: Result<(), Fault>) {
        if let Err(fault) = taken {
            self.fault.get_or_insert_with(|| Box::new(fault));
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.guest.answered(&outcome);
        let (ticket, input) = match outcome {
            Outcome::Stored(receipt) => (receipt.ticket(), Input::Stored(receipt)),
            Outcome::NotStored(ticket) => (ticket, Input::NotStored(ticket)),
        };
        // Commits come in the order of their requests, so this is the first one.
        let Asked { stores, acking, .. } = self.asked();
        if let Some(place) = stores.iter().position(|(waiting, _)| *waiting == ticket) {
            *acking = stores.remove(place).map(|(_, fed_at)| fed_at);
        }
        self.input(input);
    }

    /// Does what the session says until something takes time; none when it has nothing more to say.
    fn obey(&mut self, context: &mut Context<'_>) -> Result<Option<Box<Chore>>, Ending> {
        let chore = |chore| Ok(Some(Box::new(chore)));
        loop {
            match self.session.poll() {
                Output::Idle { wake_at } => {
                    self.wake_at = wake_at;
                    return self.idle();
                }
                Output::Send(mut bytes) => {
                    let count = bytes.len() as u64;
                    match poll_send(&mut self.stream, context, &mut bytes) {
                        Poll::Ready(sent) => self.sent(count, sent)?,
                        Poll::Pending => return chore(Chore::Send(bytes, count)),
                    }
                }
                Output::Store(ticket, records) => return chore(Chore::Store(Some(ticket), records)),
                Output::Keep(records) => return chore(Chore::Store(None, records)),
                Output::Sample(ticket, records) => self.sample(ticket, records),
                Output::File(step) => return chore(Chore::File(step)),
                Output::Ask(question) => self.asked().questions.push_back(question),
                Output::Join(ahead) => self.join(ahead)?,
                Output::Close(reason) => {
                    return Err(self.fault.take().map_or(Ending::Closed(reason), |fault| Ending::Fault(*fault)));
                }
                Output::Event(event) => self.guest.event(event),
                Output::Fault(fault) => self.guest.faulted(&fault),
                Output::Learnt(learnt) => self.guest.learnt(learnt),
                Output::Said(bytes) => self.guest.said(bytes),
                Output::Dropped(device, count, cause) => self.guest.core.messages_dropped(&device, count, cause),
                Output::Remember { identity, note, keep } => self.guest.remember(identity, note, keep),
                Output::ExpectWithin(limit) => self.guest.expect_within(limit),
                Output::Command(id, state) => self.guest.core.command_moved(id, state),
                Output::Connect | Output::Delivered(_) => {
                    tracing::error!(peer = %self.guest.peer.text, "a head-end session spoke as a device does");
                }
            }
        }
    }

    /// The session has nothing more to say: a fault ends it now, a question is answered, or it rests.
    fn idle(&mut self) -> Result<Option<Box<Chore>>, Ending> {
        if let Some(fault) = self.fault.take() {
            return Err(Ending::Fault(*fault));
        }
        match self.asked.as_mut().and_then(|asked| asked.questions.pop_front()) {
            Some(Question::Reach(wanted)) => {
                let own = own_address(&self.stream);
                self.onward = Some(Box::new(Onward::begin(&self.guest, wanted, own)));
                return Ok(None);
            }
            Some(Question::Arrival) => {
                if let Some(onward) = &mut self.onward {
                    onward.await_arrival();
                }
                return Ok(None);
            }
            Some(question) => return Ok(Some(Box::new(Chore::Answer(question)))),
            None => {}
        }
        self.asked.take_if(|asked| asked.stores.is_empty());
        if let Some(asked) = &mut self.asked {
            asked.acking = None;
        }
        Ok(None)
    }

    async fn work(&mut self, chore: Chore) -> Result<(), Ending> {
        match chore {
            Chore::Send(rest, count) => {
                let within = self.guest.pass.listener().settings().sockets.write;
                let sent = send_patiently(&mut self.stream, rest, within).await;
                return self.sent(count, sent);
            }
            Chore::Store(ticket, records) => self.store(ticket, records).await,
            Chore::Answer(question) => self.answer(question).await,
            Chore::File(step) => {
                if let Some(news) = self.guest.file(step).await {
                    self.input(Input::Answer(Answer::File(news)));
                }
            }
        }
        Ok(())
    }

    /// Joins the peer with who was reached.
    fn join(&mut self, ahead: Bytes) -> Result<(), Ending> {
        if self.onward.as_mut().is_some_and(|onward| onward.join(&self.guest, ahead)) {
            return Ok(());
        }
        tracing::error!(peer = %self.guest.peer.text, "a session joins its peer with nobody");
        Err(Ending::Closed(CloseReason::Fault("joined with nobody".into())))
    }

    fn sent(&mut self, count: u64, sent: io::Result<()>) -> Result<(), Ending> {
        sent.map_err(Ending::Lost)?;
        let acked = self.asked.as_mut().and_then(|asked| asked.acking.take());
        self.guest.sent(count, acked);
        Ok(())
    }

    /// Hands records to the store's queue; waits while it is full, and does not read in that time.
    async fn store(&mut self, ticket: Option<Ticket>, records: Records) {
        self.guest.read(&records);
        let reply = ticket.map(|ticket| self.reply(ticket));
        self.guest.core.store.submit(records, reply).await;
    }

    /// The same without a wait: what finds no room is not stored, and the session hears so.
    fn sample(&mut self, ticket: Ticket, records: Records) {
        self.guest.read(&records);
        let reply = self.reply(ticket);
        self.guest.core.store.offer(records, Some(reply));
    }

    fn reply(&mut self, ticket: Ticket) -> Reply {
        let fed_at = self.fed_at;
        self.asked().stores.push_back((ticket, fed_at));
        Reply { ticket, to: Arc::clone(self.guest.pass.mailbox()) as Arc<dyn Completion> }
    }

    async fn answer(&mut self, question: Question) {
        let answer = match question {
            Question::Who(identity) => Answer::Known(self.guest.known(&identity)),
            Question::Prove(claim) => Answer::Verdict(self.guest.prove(&claim).await),
            Question::Vouch(claim) => Answer::Verdict(self.guest.vouch(&claim)),
            Question::Door(door) => {
                let (core, peer) = (&self.guest.core, &self.guest.peer);
                Answer::Door(data_doors::open(core, self.guest.pass.listener(), peer, door))
            }
            Question::Order(device, order) => return self.order(&device, order).await,
            Question::Reach(_) | Question::Arrival => {
                unreachable!("who is wanted is reached while the connection goes on")
            }
        };
        self.input(Input::Answer(answer));
    }

    /// Takes an order in the name of the peer, which hears of it before the device does.
    async fn order(&mut self, device: &DeviceId, order: Order) {
        let accepted = self.guest.core.accept_order(device, order).await;
        let by = self.guest.device.as_ref().map_or("", |device| device.id.as_str());
        match accepted {
            Ok(accepted) => {
                let id = accepted.record.id;
                tracing::info!(%device, command = id.0, by, peer = %self.guest.peer.text, "command taken");
                self.input(Input::Answer(Answer::Ordered(Ok(id))));
                self.guest.core.begin_command(accepted);
            }
            Err(error) => {
                tracing::warn!(%device, by, peer = %self.guest.peer.text, %error, "command not taken");
                let untaken = match error {
                    CommandError::Unknown(_) => Untaken::Unknown,
                    CommandError::NotActive(_) => Untaken::NotActive,
                    CommandError::Full { .. } => Untaken::Full,
                    CommandError::Store(_) => Untaken::NotStored,
                };
                self.input(Input::Answer(Answer::Ordered(Err(untaken))));
            }
        }
    }

    /// Tells everybody, and closes so that the last answer arrives.
    async fn end(&mut self, ending: Ending) {
        if let Ending::Fault(fault) = &ending {
            self.guest.faulted(fault);
        }
        let because = ending.because();
        let now = self.guest.core.clock.now().elapsed;
        if let Some(account) = self.onward.take().and_then(|onward| onward.account(now, &because)) {
            self.guest.relay_ended(account);
        }
        self.guest.leave(&because, ending.manner());
        // Whatever the session answers, nobody listens any more.
        let _heard = self.session.handle(self.guest.core.clock.now(), Input::Disconnected);
        tracing::debug!(protocol = self.guest.pass.listener().protocol, peer = %self.guest.peer.text, because, "closed");
        close(&mut self.stream, &ending).await;
    }
}

/// The address by which the peer reaches us; none on a Unix socket.
fn own_address<S: Stream>(stream: &S) -> Option<IpAddr> {
    let stream = stream as &dyn Any;
    let tls = || stream.downcast_ref::<Box<TlsStream<TcpStream>>>().map(|stream| stream.get_ref().0);
    let address = stream.downcast_ref::<TcpStream>().or_else(tls)?.local_addr().ok()?;
    Some(address.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loggerhead_model::{CommandState, EventKind, KeyKind, Order, Presence};
    use loggerhead_protocols::CloseReason;
    use loggerhead_store::{EventFilter, OnCommit, Options};
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::serve;
    use crate::identity::Enroll;
    use crate::metrics::ConnectionLimit;
    use crate::testing::{Bench, SECRET};

    /// What one task of an idle connection takes on the heap, beside its session.
    const TASK_BYTES_MAX: usize = 400;

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
    async fn a_full_store_stops_its_sender_and_loses_nothing() {
        // The writer waits in its first commit with readings until it may go on.
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let on_commit: OnCommit = Box::new(move |_| {
            // Nobody holds it back any more once the sender is gone.
            let _released = wait.lock().map(|wait| wait.recv());
        });
        let options = Options { queue_readings_max: 1_000, on_commit: Some(on_commit), ..Options::default() };
        let mut bench = Bench::with(Enroll::Refuse, options).await;
        bench.device("a");
        let mut line = bench.connect("10.0.0.1");
        assert_eq!(line.ask(&format!("login a {SECRET}")).await, "welcome a");
        let (mut hears, mut says) = line.split();
        let packets: u64 = 20_000; // more than everything between us and the store can hold
        let flood = (1..=packets).map(|value| format!("put {value}")).collect::<Vec<_>>().join("\n") + "\n";
        let mut flood = std::pin::pin!(says.write_all(flood.as_bytes()));
        let taken = tokio::time::timeout(Duration::from_millis(300), &mut flood).await;
        assert!(taken.is_err(), "the store is full, so the socket is not read: {taken:?}");
        drop(go_on);
        let heard = async {
            let mut line = String::new();
            for number in 1..=packets {
                line.clear();
                hears.read_line(&mut line).await.expect("the head-end writes text");
                assert_eq!(line, format!("ack {number}\n"));
            }
        };
        let (sent, ()) = tokio::join!(flood, heard);
        sent.expect("the head-end reads again");
        assert_eq!(bench.core.store.reader().stats().expect("a store that answers").readings, packets);
    }

    /// Talks over a real socket and goes on to send after the head-end has closed.
    async fn check_last_answer(bench: &mut Bench, said: &str, close: impl FnOnce(&Bench), heard: &str) {
        let door = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = door.local_addr().expect("it is bound");
        let (theirs, ours) = tokio::join!(TcpStream::connect(address), door.accept());
        let (ours, _) = ours.expect("somebody connects");
        bench.serve("10.0.0.1", ours);
        let (mut hears, mut says) = theirs.expect("somebody listens").into_split();
        says.write_all(said.as_bytes()).await.expect("the head-end reads");
        close(bench);
        // Bytes that nobody reads at the moment of the close would make the system answer with a reset.
        says.write_all(&vec![b'x'; 500_000]).await.expect("the head-end takes what was on its way");
        drop(says);
        let mut text = String::new();
        hears.read_to_string(&mut text).await.expect("no reset overtakes the last answer");
        assert_eq!(text, heard);
    }

    #[tokio::test]
    async fn the_last_answer_arrives_though_the_peer_goes_on_sending() {
        let mut bench = Bench::new().await;
        bench.device("a");
        check_last_answer(&mut bench, "login a wrong\n", |_| {}, "no\n").await;
        let stop = |bench: &Bench| bench.listener.close(&CloseReason::Stopping);
        check_last_answer(&mut bench, "", stop, "bye the head-end is stopping\n").await;
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
