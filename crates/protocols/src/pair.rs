//! Two sessions that talk to each other in memory, over a scripted store and a virtual clock.
//!
//! Drives every protocol through its row in the table, for tests and for fuzzing. It opens no socket and knows no time but
//! its own; what it does not do is model latency: bytes arrive at the moment at which they are sent.

mod answers;
mod connection;
mod files;
mod script;
#[cfg(test)]
mod steward;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use loggerhead_model::{Command, CommandId, Direction, Identity, Learnt, Order, Records, Report, Ticket, Timestamp};

use crate::relay::Unreached;
use crate::{Acceptor, Carrier, CloseReason, DataDoor, Input, Limits, Now, Opening, Output, Session};

use connection::{Bell, Connection};
pub use files::PairFile;
use files::{Arriving, Parts};
use script::issue;
#[cfg(test)]
pub(crate) use script::receipt;
pub use script::{Enrolled, Entry, Fate, Happening, Wire};
#[cfg(test)]
pub(crate) use steward::{steward, tend};

/// Most outputs between two inputs: a session that talks more to itself is broken.
const OUTPUTS_MAX: usize = 1_000_000;
/// Where the wall clock of a `Pair` starts: 2026-01-01T00:00:00Z.
const WALL_START_MS: i64 = 1_767_225_600_000;

struct Due {
    at: Option<Duration>,
    connection: usize,
    ticket: Ticket,
    request: Request,
    fate: Fate,
}

/// What the store or the disk was asked to keep.
enum Request {
    Records(Records),
    File(Box<Arriving>),
}

struct DeviceSide {
    session: Box<dyn Session>,
    wake_at: Option<Duration>,
    connection: Option<usize>,
}

/// A head-end and its peers, in memory.
pub struct Pair {
    /// How bytes travel on connections opened from now on and on those that stand.
    pub wire: Wire,
    /// What the store does next; when empty, `Pair::fate`.
    pub fates: VecDeque<Fate>,
    /// What the store does when `fates` is empty.
    pub fate: Fate,
    /// The devices that the head-end knows.
    pub enrolled: BTreeMap<Identity, Enrolled>,
    /// Whether a device's attempt to connect succeeds.
    pub reachable: bool,
    /// Everything that happened, in order.
    pub log: Vec<Entry>,
    /// What was committed, in order.
    pub kept: Vec<Records>,
    /// What people are shown of what was said to peers, in order.
    pub said: Vec<Bytes>,
    /// What is kept of files that came whole, in order.
    pub files: Vec<PairFile>,
    /// How long a peer may take before its login.
    pub limits: Limits,
    /// What the next connections go over.
    pub carrier: Carrier,
    /// What names lead to, for peers that are led on to somebody else.
    pub names: BTreeMap<String, IpAddr>,
    /// Why nobody is reached, whom the rules allow.
    pub unreached: Option<Unreached>,
    /// Ports that are free for data doors.
    pub ports: Vec<u16>,
    parts: Parts,
    /// Doors that were opened and that nobody has come by, with their ports.
    doors: Vec<(u16, DataDoor)>,
    acceptor: Box<dyn Acceptor>,
    connections: Vec<Connection>,
    device: Option<DeviceSide>,
    due: Vec<Due>,
    notes: BTreeMap<Identity, (Duration, Bytes)>,
    remembered: BTreeMap<Identity, Duration>,
    now: Duration,
    seed: u64,
}

impl Pair {
    /// A head-end that knows nobody and that nobody has connected to.
    #[must_use]
    pub fn new(acceptor: Box<dyn Acceptor>) -> Self {
        Self {
            wire: Wire::default(),
            fates: VecDeque::new(),
            fate: Fate::Commit,
            enrolled: BTreeMap::new(),
            reachable: true,
            log: Vec::new(),
            kept: Vec::new(),
            said: Vec::new(),
            files: Vec::new(),
            parts: Parts::new(),
            limits: Limits::default(),
            carrier: Carrier::Stream,
            names: BTreeMap::new(),
            unreached: None,
            ports: Vec::new(),
            doors: Vec::new(),
            acceptor,
            connections: Vec::new(),
            device: None,
            due: Vec::new(),
            notes: BTreeMap::new(),
            remembered: BTreeMap::new(),
            now: Duration::ZERO,
            seed: 1,
        }
    }

    /// Random bytes and limits for the next session; the same ones in every run.
    pub fn opening(&mut self) -> Opening {
        let mut entropy = [0; 32];
        for byte in &mut entropy {
            // A plain linear congruence: no test rests on its quality, all on its being the same every time.
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = self.seed.to_be_bytes()[0];
        }
        let peer = Arc::from("192.0.2.1:40000");
        Opening {
            peer,
            entropy,
            limits: self.limits,
            waker: Waker::noop().clone(),
            certified: None,
            carrier: self.carrier,
        }
    }

    /// Makes `session` the device; it acts from the next `run_for`.
    pub fn attach(&mut self, session: Box<dyn Session>) {
        self.device = Some(DeviceSide { session, wake_at: Some(self.now), connection: None });
    }

    /// The pair's clock.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall_ms = i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX).saturating_add(WALL_START_MS);
        Now { elapsed: self.now, wall: Timestamp::from_unix_ms(wall_ms) }
    }

    /// Opens a connection on which the caller plays the device; returns its number.
    pub fn connect(&mut self) -> usize {
        let bell = Arc::<Bell>::default();
        let opening = Opening { waker: Waker::from(Arc::clone(&bell)), ..self.opening() };
        let session = self.acceptor.open(self.now(), opening);
        self.opened(session, bell)
    }

    /// Comes by a data door; none where no such door is open.
    pub fn connect_by(&mut self, port: u16) -> Option<usize> {
        let place = self.doors.iter().position(|(other, _)| *other == port)?;
        let (_, door) = self.doors.remove(place);
        let bell = Arc::<Bell>::default();
        let opening = Opening { waker: Waker::from(Arc::clone(&bell)), ..self.opening() };
        let session = (door.open)(self.now(), opening);
        Some(self.opened(session, bell))
    }

    fn opened(&mut self, session: Box<dyn Session>, bell: Arc<Bell>) -> usize {
        let connection = self.connections.len();
        self.connections.push(Connection::new(session, bell));
        self.note(connection, Happening::Opened);
        self.drain(connection);
        connection
    }

    /// Sends bytes as the device of `connection` and lets everything that follows at this moment happen.
    pub fn send(&mut self, connection: usize, bytes: &[u8]) {
        self.put_up(connection, Bytes::copy_from_slice(bytes));
        self.settle();
    }

    /// Ends the device's side of `connection`.
    pub fn hang_up(&mut self, connection: usize) {
        if let Some(peer) = self.connections.get_mut(connection) {
            peer.joined = false;
        }
        self.settle();
    }

    /// Takes what the head-end has sent on a connection on which the caller plays the device.
    pub fn take_received(&mut self, connection: usize) -> Bytes {
        self.connections.get_mut(connection).map(|peer| peer.received.split().freeze()).unwrap_or_default()
    }

    /// Whether the head-end's end of `connection` is open.
    #[must_use]
    pub fn is_open(&self, connection: usize) -> bool {
        self.connections.get(connection).is_some_and(|peer| peer.open)
    }

    /// Gives the device's side readings to send.
    pub fn offer(&mut self, ticket: Ticket, report: Report) {
        self.tell_device(Input::Offer(ticket, report));
        self.settle();
    }

    /// Gives the session of `connection` an input, such as a shutdown or a command.
    pub fn tell(&mut self, connection: usize, input: Input<'_>) {
        self.tell_head_end(connection, input);
        self.settle();
    }

    /// What went on to who is joined with the peer of `connection`; none where nobody is.
    #[must_use]
    pub fn relayed(&self, connection: usize) -> Option<&[u8]> {
        self.connections.get(connection)?.relayed.as_deref()
    }

    /// Asks something of the device, by its newest open connection.
    pub fn command(&mut self, id: CommandId, order: Order) {
        let accepted_at = self.now().wall;
        self.command_of(accepted_at, id, order);
    }

    /// The same, asked at another moment.
    pub fn command_of(&mut self, accepted_at: Timestamp, id: CommandId, order: Order) {
        let command = Command { id, order, accepted_at };
        if let Some(connection) = self.connections.iter().rposition(|peer| peer.open) {
            self.tell(connection, Input::Command(command));
        }
    }

    /// Lets the store finish everything that it held, as `fate` says.
    pub fn release(&mut self, fate: Fate) {
        let now = self.now;
        for due in self.due.iter_mut().filter(|due| due.fate == Fate::Hold) {
            due.fate = fate;
            due.at = Some(now);
        }
        self.settle();
    }

    /// Lets everything happen that happens within `span`.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.settle();
            match self.next_moment() {
                Some(moment) if moment <= end => self.now = self.now.max(moment),
                Some(_) | None => break,
            }
            self.wake();
        }
        self.now = end;
    }

    /// The happenings so far, without their places.
    #[must_use]
    pub fn happenings(&self) -> impl DoubleEndedIterator<Item = &Happening> {
        self.log.iter().map(|entry| &entry.what)
    }

    /// Tickets that the device's side counts as delivered, in order.
    #[must_use]
    pub fn delivered(&self) -> Vec<Ticket> {
        self.happenings()
            .filter_map(|what| if let Happening::Delivered(ticket) = what { Some(*ticket) } else { None })
            .collect()
    }

    fn note(&mut self, connection: usize, what: Happening) {
        self.log.push(Entry { at: self.now, connection, what });
    }

    fn next_moment(&self) -> Option<Duration> {
        let stores = self.due.iter().filter_map(|due| due.at);
        let sessions = self.connections.iter().filter(|peer| peer.open).filter_map(|peer| peer.wake_at);
        let device = self.device.iter().filter_map(|side| side.wake_at);
        stores.chain(sessions).chain(device).min()
    }

    fn wake(&mut self) {
        for connection in 0..self.connections.len() {
            let due =
                self.connections.get(connection).is_some_and(|peer| peer.wake_at.is_some_and(|at| at <= self.now));
            if due {
                self.tell_head_end(connection, Input::Wake);
            }
        }
        if self.device.as_ref().is_some_and(|side| side.wake_at.is_some_and(|at| at <= self.now)) {
            self.tell_device(Input::Wake);
        }
    }

    /// Carries bytes and finished store requests until nothing moves at this moment.
    fn settle(&mut self) {
        loop {
            let mut moved = self.finish_due();
            for connection in 0..self.connections.len() {
                moved |= self.answer_next(connection);
                moved |= self.ring(connection);
                moved |= self.carry_up(connection);
                moved |= self.carry_down(connection);
                moved |= self.end(connection);
            }
            if !moved {
                return;
            }
        }
    }

    fn finish_due(&mut self) -> bool {
        let now = self.now;
        let Some(place) = self.due.iter().position(|due| due.at.is_some_and(|at| at <= now)) else {
            return false;
        };
        let due = self.due.remove(place);
        let Due { connection, ticket, fate, .. } = due;
        match due.request {
            Request::File(file) => self.finish_file(connection, ticket, fate, *file),
            Request::Records(_) if fate == Fate::Fail => {
                self.note(connection, Happening::Lost(ticket));
                self.tell_head_end(connection, Input::NotStored(ticket));
            }
            Request::Records(records) => {
                self.note(connection, Happening::Committed(ticket, self.kept.len()));
                self.kept.push(records);
                let receipt = issue(ticket, self.kept.len() as u64);
                self.tell_head_end(connection, Input::Stored(receipt));
            }
        }
        true
    }

    /// Wakes a session that another one woke.
    fn ring(&mut self, connection: usize) -> bool {
        let rung = self.connections.get(connection).is_some_and(|peer| peer.open && peer.bell.take());
        if rung {
            self.tell_head_end(connection, Input::Wake);
        }
        rung
    }

    fn carry_up(&mut self, connection: usize) -> bool {
        let piece_bytes_max = self.wire.piece_bytes_max.max(1);
        let Some(peer) = self.connections.get_mut(connection) else { return false };
        if peer.up.is_empty() || !peer.open {
            return false;
        }
        if let Some(relayed) = &mut peer.relayed {
            relayed.unsplit(peer.up.split());
            return true;
        }
        if !peer.session.wants_bytes() {
            return false;
        }
        let piece = peer.up.split_to(peer.up.len().min(piece_bytes_max));
        self.tell_head_end(connection, Input::Bytes(&piece));
        true
    }

    fn carry_down(&mut self, connection: usize) -> bool {
        let piece_bytes_max = self.wire.piece_bytes_max.max(1);
        let Some(peer) = self.connections.get_mut(connection) else { return false };
        if peer.down.is_empty() || !peer.joined {
            return false;
        }
        let piece = peer.down.split_to(peer.down.len().min(piece_bytes_max));
        if self.device.as_ref().is_some_and(|side| side.connection == Some(connection)) {
            self.tell_device(Input::Bytes(&piece));
        } else {
            peer.received.extend_from_slice(&piece);
        }
        true
    }

    /// Tells each end that the other is gone, once what was on its way has arrived.
    fn end(&mut self, connection: usize) -> bool {
        let Some(peer) = self.connections.get_mut(connection) else { return false };
        if peer.open && !peer.joined && peer.up.is_empty() && !peer.ended {
            peer.ended = true;
            self.tell_head_end(connection, Input::Eof);
            return true;
        }
        if !peer.open && peer.joined && peer.down.is_empty() {
            peer.joined = false;
            if let Some(side) = self.device.as_mut().filter(|side| side.connection == Some(connection)) {
                side.connection = None;
                self.tell_device(Input::Disconnected);
            }
            return true;
        }
        false
    }

    /// Breaks a connection at once; what is on its way is lost.
    fn break_off(&mut self, connection: usize) {
        let Some(peer) = self.connections.get_mut(connection) else { return };
        peer.joined = false;
        peer.down.clear();
        if let Some(side) = self.device.as_mut().filter(|side| side.connection == Some(connection)) {
            side.connection = None;
            self.tell_device(Input::Disconnected);
        }
    }

    fn put_up(&mut self, connection: usize, bytes: Bytes) {
        let wire = self.wire;
        let Some(peer) = self.connections.get_mut(connection) else { return };
        let start = peer.up_bytes;
        let room = wire.cut_up_after.map_or(usize::MAX, |limit| limit.saturating_sub(start));
        peer.up_bytes += bytes.len();
        let mut sent = BytesMut::from(bytes.get(..bytes.len().min(room)).unwrap_or_default());
        if let Some((offset, mask)) = wire.damage_up
            && let Some(byte) = offset.checked_sub(start).and_then(|place| sent.get_mut(place))
        {
            *byte ^= mask;
        }
        peer.up.unsplit(sent);
        let broken = bytes.len() > room;
        self.note(connection, Happening::Sent(Direction::In, bytes));
        if broken {
            self.break_off(connection);
        }
    }

    fn put_down(&mut self, connection: usize, mut bytes: Bytes) {
        let wire = self.wire;
        let Some(peer) = self.connections.get_mut(connection) else { return };
        let room = wire.cut_down_after.map_or(usize::MAX, |limit| limit.saturating_sub(peer.down_bytes));
        peer.down_bytes += bytes.len();
        let broken = bytes.len() > room;
        self.log.push(Entry { at: self.now, connection, what: Happening::Sent(Direction::Out, bytes.clone()) });
        if peer.joined {
            peer.down.extend_from_slice(&bytes.split_to(bytes.remaining().min(room)));
        }
        if broken {
            self.settle_down(connection);
            self.break_off(connection);
        }
    }

    fn settle_down(&mut self, connection: usize) {
        while self.carry_down(connection) {}
    }

    fn tell_head_end(&mut self, connection: usize, input: Input<'_>) {
        let now = self.now();
        let Some(peer) = self.connections.get_mut(connection) else { return };
        if !peer.open {
            return;
        }
        let fault = peer.session.handle(now, input).err();
        self.drain(connection);
        if let Some(fault) = fault {
            let reason = CloseReason::Fault(fault.reason.clone());
            self.note(connection, Happening::Broken(fault));
            self.close(connection, reason);
        }
    }

    fn close(&mut self, connection: usize, reason: CloseReason) {
        let now = self.now();
        let Some(peer) = self.connections.get_mut(connection) else { return };
        if peer.open {
            // Whatever it answers, nobody listens any more.
            let _ = peer.session.handle(now, Input::Disconnected);
            peer.open = false;
            peer.wake_at = None;
            peer.up.clear();
            self.leave_file(connection);
            self.note(connection, Happening::Closed(reason));
        }
    }

    fn drain(&mut self, connection: usize) {
        for _ in 0..OUTPUTS_MAX {
            let is_asked = |peer: &&mut Connection| peer.open && !peer.stalled;
            let Some(peer) = self.connections.get_mut(connection).filter(is_asked) else { return };
            match peer.session.poll() {
                Output::Idle { wake_at } => {
                    peer.wake_at = wake_at;
                    return;
                }
                Output::Send(bytes) => self.put_down(connection, bytes),
                Output::Ask(question) => peer.questions.push_back(question),
                Output::Join(ahead) => {
                    peer.relayed = Some(BytesMut::from(&*ahead));
                    self.note(connection, Happening::Joined(ahead));
                }
                Output::Store(ticket, records) | Output::Sample(ticket, records) => {
                    self.due(connection, ticket, Request::Records(records));
                }
                Output::File(step) => self.file(connection, step),
                Output::Keep(records) => self.kept.push(records),
                Output::Event(event) => self.note(connection, Happening::Event(event)),
                Output::Fault(fault) => self.note(connection, Happening::Fault(fault)),
                Output::Learnt(learnt) => self.learn(connection, learnt),
                // For operators, of whom there are none here.
                Output::Dropped(..) => {}
                Output::Said(bytes) => self.said.push(bytes),
                Output::Remember { identity, note, keep } => {
                    self.notes.insert(identity, (self.now + keep, note));
                }
                Output::ExpectWithin(span) => self.note(connection, Happening::ExpectWithin(span)),
                Output::Command(id, state) => self.note(connection, Happening::Command(id, state)),
                Output::Close(reason) => self.close(connection, reason),
                Output::Connect | Output::Delivered(_) => unreachable!("only a device's side connects and delivers"),
            }
        }
        unreachable!("a session went on for {OUTPUTS_MAX} outputs");
    }

    fn learn(&mut self, connection: usize, learnt: Learnt) {
        let device = self.connections.get(connection).and_then(|peer| peer.device.clone());
        for known in self.enrolled.values_mut().filter(|known| Some(&known.device) == device.as_ref()) {
            known.learnt.extend(learnt.clone());
        }
        self.note(connection, Happening::Learnt(learnt));
    }

    fn due(&mut self, connection: usize, ticket: Ticket, request: Request) {
        let fate = self.fates.pop_front().unwrap_or(self.fate);
        let at = match fate {
            Fate::Commit | Fate::Fail => Some(self.now),
            Fate::CommitAfter(span) => Some(self.now + span),
            Fate::Hold => None,
        };
        self.note(connection, Happening::Asked(ticket));
        self.due.push(Due { at, connection, ticket, request, fate });
    }

    fn tell_device(&mut self, input: Input<'_>) {
        let now = self.now();
        let Some(mut side) = self.device.take() else { return };
        let fault = side.session.handle(now, input).err();
        self.drain_device(&mut side);
        if let Some(fault) = fault {
            let newest = self.connections.len().saturating_sub(1);
            self.note(newest, Happening::Broken(fault));
        }
        self.device = Some(side);
    }

    fn drain_device(&mut self, side: &mut DeviceSide) {
        for _ in 0..OUTPUTS_MAX {
            let newest = self.connections.len().saturating_sub(1);
            match side.session.poll() {
                Output::Idle { wake_at } => {
                    side.wake_at = wake_at;
                    return;
                }
                Output::Connect => {
                    side.connection = self.reachable.then(|| self.connect());
                    let input = if side.connection.is_some() { Input::Connected } else { Input::Disconnected };
                    // A device's session takes both without a fault: neither says anything that a peer did.
                    let _ = side.session.handle(self.now(), input);
                }
                Output::Send(bytes) => {
                    if let Some(connection) = side.connection {
                        self.put_up_of(side, connection, bytes);
                    }
                }
                Output::Close(reason) => {
                    self.note(newest, Happening::Left(reason));
                    if let Some(peer) = side.connection.take().and_then(|place| self.connections.get_mut(place)) {
                        peer.joined = false;
                        peer.down.clear();
                    }
                    let _ = side.session.handle(self.now(), Input::Disconnected);
                }
                Output::Delivered(ticket) => self.note(newest, Happening::Delivered(ticket)),
                Output::Event(event) => self.note(newest, Happening::Event(event)),
                Output::Fault(fault) => self.note(newest, Happening::Fault(fault)),
                Output::Ask(_)
                | Output::Said(_)
                | Output::Join(_)
                | Output::Store(..)
                | Output::File(_)
                | Output::Keep(_)
                | Output::Sample(..)
                | Output::Learnt(_)
                | Output::Dropped(..)
                | Output::Remember { .. }
                | Output::ExpectWithin(_)
                | Output::Command(..) => unreachable!("a device's side asks, stores and commands nothing"),
            }
        }
        unreachable!("a device's session went on for {OUTPUTS_MAX} outputs");
    }

    /// Puts up bytes while `side` is in hand, so that a break reaches it.
    fn put_up_of(&mut self, side: &mut DeviceSide, connection: usize, bytes: Bytes) {
        self.put_up(connection, bytes);
        if !self.connections.get(connection).is_some_and(|peer| peer.joined) {
            side.connection = None;
            let _ = side.session.handle(self.now(), Input::Disconnected);
        }
    }
}
