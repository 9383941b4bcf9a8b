//! One simulated device: drives the device's side of any protocol over a socket.
//!
//! It knows nothing of what is on the wire: the session says when to connect, what to send and what was acknowledged.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use loggerhead_model::{DeviceId, EventKind, Report, Ticket, Timestamp};
use loggerhead_protocols::{CloseReason, Fault, Input, Now, Output, Session};
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep};

use super::journal::Journal;
use super::link::{Stream, Target};
use super::meters::Meters;
use super::plan::{Packet, Plan, Progress};
use super::tally::Tally;
use super::trust;

/// What one read takes at most. One such buffer serves all devices of a thread.
const READ_BYTES: usize = 64 * 1024;
/// Most frames in one write: what the system takes at once is no more than that.
const WRITE_FRAMES_MAX: usize = 64;
/// How long a connection may take to stand.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// What all devices of a simulation share.
pub(crate) struct Shared {
    /// Where the head-end is.
    pub(crate) target: Target,
    /// What the devices measure.
    pub(crate) meters: Meters,
    /// Where acknowledged readings are written, if anywhere.
    pub(crate) journal: Option<Journal>,
    /// Most packets of a device that wait for their acknowledgement.
    pub(crate) window: usize,
    /// When the simulation began, on both clocks.
    pub(crate) began: (Instant, Timestamp),
}

impl Shared {
    /// Both clocks now. The wall clock goes on from where it stood at the beginning: one system call instead of two.
    pub(crate) fn now(&self) -> Now {
        let elapsed = self.began.0.elapsed();
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        Now { elapsed, wall: Timestamp::from_unix_ms(self.began.1.unix_ms().saturating_add(elapsed_ms)) }
    }
}

/// Who a simulated device is.
pub(crate) struct Birth {
    /// Its number within the simulation, from 0.
    pub(crate) number: u64,
    /// The id that the head-end gives it, for the journal.
    pub(crate) id: DeviceId,
    /// Its side of the protocol.
    pub(crate) session: Box<dyn Session>,
    /// What it has to send.
    pub(crate) plan: Plan,
}

enum Link {
    Down,
    Connecting(Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>),
    Up(Stream),
    /// Sends what is left, then closes.
    Closing(Stream),
}

/// Sent, and not acknowledged yet.
struct Outstanding {
    ticket: Ticket,
    due: Duration,
    readings: u64,
    /// What was sent, where a journal wants it.
    report: Option<Report>,
}

/// One simulated device.
pub(crate) struct Device {
    shared: Arc<Shared>,
    tally: Arc<Mutex<Tally>>,
    id: DeviceId,
    number: u64,
    session: Box<dyn Session>,
    /// What remains to be sent; begins with the first login.
    progress: Result<Progress, Plan>,
    link: Link,
    frames: VecDeque<Bytes>,
    outstanding: VecDeque<Outstanding>,
    tickets: u64,
    wake_at: Option<Duration>,
    timer: Pin<Box<Sleep>>,
    /// When the timer goes off; it may be early, never late.
    timer_at: Option<Duration>,
    stopping: bool,
}

impl Device {
    /// A device that is not connected yet.
    pub(crate) fn new(birth: Birth, shared: Arc<Shared>, tally: Arc<Mutex<Tally>>) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(shared.began.0));
        let mut device = Self {
            shared,
            tally,
            id: birth.id,
            number: birth.number,
            session: birth.session,
            progress: Err(birth.plan),
            link: Link::Down,
            frames: VecDeque::new(),
            outstanding: VecDeque::new(),
            tickets: 0,
            wake_at: None,
            timer,
            timer_at: None,
            stopping: false,
        };
        let now = device.shared.now();
        device.obey(now);
        device
    }

    /// Offers nothing more. What is outstanding may still be acknowledged.
    pub(crate) fn stop_offering(&mut self) {
        self.stopping = true;
    }

    /// Ends the conversation in good order.
    pub(crate) fn hang_up(&mut self) {
        self.stopping = true;
        let now = self.shared.now();
        self.hear(now, Input::Shutdown(CloseReason::PeerDone));
        if let Link::Up(_) = self.link {
            self.close();
        }
    }

    /// Goes on until everything planned is sent and acknowledged.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = self.shared.now();
            let woken = self.wake(now);
            let connected = self.poll_connect(context, now);
            let read = self.poll_read(context, now);
            let offered = self.offer(now);
            let written = self.poll_write(context, now);
            if !(woken || connected || read || offered || written) && self.poll_timer(context, now).is_pending() {
                break;
            }
        }
        let done = self.stopping || self.progress.as_ref().is_ok_and(Progress::is_done);
        if done && self.outstanding.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Goes on until the connection is closed.
    pub(crate) fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let _ = self.poll(context);
        if matches!(self.link, Link::Down) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the session, and does what it says then.
    fn hear(&mut self, now: Now, input: Input<'_>) {
        if let Err(fault) = self.session.handle(now, input) {
            self.tally().error(fault.kind.word());
            self.obey(now);
            self.close();
        } else {
            self.obey(now);
        }
    }

    /// Does what the session says until it has nothing more to say.
    fn obey(&mut self, now: Now) {
        loop {
            match self.session.poll() {
                Output::Send(frame) => self.frames.push_back(frame),
                Output::Connect => self.connect(),
                Output::Close(_) => self.close(),
                Output::Delivered(ticket) => self.delivered(now, ticket),
                Output::Event(event) if event.kind == EventKind::Login => self.logged_in(now),
                Output::Event(event) if event.kind == EventKind::Refused => self.tally().error("refused"),
                Output::Fault(Fault { kind, .. }) => self.tally().error(kind.word()),
                // A device keeps no records and asks nobody; what it learns dies with it.
                Output::Event(_)
                | Output::Said(_)
                | Output::Ask(_)
                | Output::Join(_)
                | Output::File(_)
                | Output::Store(..)
                | Output::Keep(_)
                | Output::Sample(..)
                | Output::Learnt(_)
                | Output::Dropped(..)
                | Output::Remember { .. }
                | Output::ExpectWithin(_)
                | Output::Command(..) => {}
                Output::Idle { wake_at } => {
                    self.wake_at = wake_at;
                    return;
                }
            }
        }
    }

    fn connect(&mut self) {
        let connect = self.shared.target.clone().connect();
        self.link = Link::Connecting(Box::pin(async move {
            tokio::time::timeout(CONNECT_LIMIT, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }));
    }

    fn close(&mut self) {
        self.link = match std::mem::replace(&mut self.link, Link::Down) {
            Link::Up(stream) | Link::Closing(stream) => Link::Closing(stream),
            Link::Down | Link::Connecting(_) => Link::Down,
        };
    }

    fn logged_in(&mut self, now: Now) {
        let first = self.progress.is_err();
        if let Err(plan) = &self.progress {
            self.progress = Ok(Progress::begin(plan.clone(), now));
        }
        let mut tally = self.tally();
        tally.logins += 1;
        tally.devices += u64::from(first);
    }

    fn delivered(&mut self, now: Now, ticket: Ticket) {
        let place = self.outstanding.iter().position(|outstanding| outstanding.ticket == ticket);
        let Some(outstanding) = place.and_then(|place| self.outstanding.remove(place)) else {
            self.tally().error("acknowledged twice");
            return;
        };
        if let (Some(journal), Some(report)) = (&self.shared.journal, &outstanding.report)
            && let Err(error) = journal.acknowledged(&self.id, report)
        {
            self.tally().error(format!("journal: {}", error.kind()));
            return;
        }
        let mut tally = self.tally();
        tally.packets_acked += 1;
        tally.readings_acked += outstanding.readings;
        tally.latency.record(now.elapsed.saturating_sub(outstanding.due));
        tally.last_acked = now.elapsed;
    }

    /// Says `Wake` when it is time.
    fn wake(&mut self, now: Now) -> bool {
        let due = self.wake_at.is_some_and(|wake_at| wake_at <= now.elapsed);
        if due {
            self.wake_at = None;
            self.hear(now, Input::Wake);
        }
        due
    }

    fn poll_connect(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        let Link::Connecting(connecting) = &mut self.link else { return false };
        let Poll::Ready(connected) = connecting.as_mut().poll(context) else { return false };
        match connected {
            Ok(stream) => {
                self.link = Link::Up(stream);
                let mut tally = self.tally();
                tally.connections += 1;
                tally.connected += 1;
                drop(tally);
                self.hear(now, Input::Connected);
            }
            Err(error) => {
                self.tally().error(format!("connect: {}", trust::words(&error)));
                self.link = Link::Down;
                self.hear(now, Input::Disconnected);
            }
        }
        true
    }

    fn poll_read(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let Link::Up(stream) = &mut self.link else { return false };
            let mut buffer = ReadBuf::new(buffer);
            match stream.poll_read(context, &mut buffer) {
                Poll::Pending => return false,
                Poll::Ready(Err(error)) => self.disconnected(now, Some(("read", error))),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    self.hear(now, Input::Eof);
                    self.disconnected(now, None);
                }
                Poll::Ready(Ok(())) => {
                    self.tally().bytes_received += buffer.filled().len() as u64;
                    self.hear(now, Input::Bytes(buffer.filled()));
                }
            }
            true
        })
    }

    /// Offers packets that are due, as far as the window has room.
    fn offer(&mut self, now: Now) -> bool {
        let mut offered = false;
        while !self.stopping && self.outstanding.len() < self.shared.window {
            let Ok(progress) = &mut self.progress else { break };
            let Some(Packet { origin, measured_at, due }) = progress.next(now.elapsed) else { break };
            let Ok(report) = self.shared.meters.report(self.number, origin, measured_at) else {
                self.tally().error("report too large");
                break;
            };
            self.tickets += 1;
            let (ticket, readings) = (Ticket(self.tickets), report.len() as u64);
            let kept = self.shared.journal.is_some().then(|| report.clone());
            self.outstanding.push_back(Outstanding { ticket, due, readings, report: kept });
            let mut tally = self.tally();
            tally.packets += 1;
            tally.readings += readings;
            tally.first_offered.get_or_insert(due);
            drop(tally);
            self.hear(now, Input::Offer(ticket, report));
            offered = true;
        }
        offered
    }

    fn poll_write(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        let (Link::Up(stream) | Link::Closing(stream)) = &mut self.link else { return false };
        let mut written = 0;
        let mut failed = None;
        while !self.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_FRAMES_MAX];
            let count = self.frames.iter().zip(&mut slices).map(|(frame, slice)| *slice = IoSlice::new(frame)).count();
            match stream.poll_write(context, slices.get(..count).unwrap_or(&slices)) {
                Poll::Pending => break,
                Poll::Ready(Ok(bytes)) => {
                    written += bytes;
                    advance(&mut self.frames, bytes);
                }
                Poll::Ready(Err(error)) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if failed.is_none()
            && self.frames.is_empty()
            && let Poll::Ready(Err(error)) = stream.poll_flush(context)
        {
            failed = Some(error);
        }
        self.tally().bytes_sent += written as u64;
        match failed {
            Some(error) => self.disconnected(now, Some(("write", error))),
            None if self.frames.is_empty() => return self.poll_shutdown(context, now) || written > 0,
            None => return written > 0,
        }
        true
    }

    /// Closes a connection that has nothing left to send.
    fn poll_shutdown(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        let Link::Closing(stream) = &mut self.link else { return false };
        // Whether the peer still takes our farewell does not matter.
        let closed = stream.poll_shutdown(context).is_ready();
        if closed {
            self.disconnected(now, None);
        }
        closed
    }

    fn disconnected(&mut self, now: Now, error: Option<(&'static str, io::Error)>) {
        self.link = Link::Down;
        self.frames.clear();
        let mut tally = self.tally();
        tally.connected = tally.connected.saturating_sub(1);
        if let Some((doing, error)) = error {
            tally.error(format!("{doing}: {}", trust::words(&error)));
        }
        drop(tally);
        self.hear(now, Input::Disconnected);
    }

    /// Ready when the time has come for which the session or the plan waits.
    fn poll_timer(&mut self, context: &mut Context<'_>, now: Now) -> Poll<()> {
        let full = self.stopping || self.outstanding.len() >= self.shared.window;
        let due = self.progress.as_ref().ok().filter(|_| !full).and_then(|progress| progress.live_due(now.elapsed));
        let Some(wake_at) = self.wake_at.into_iter().chain(due).min() else { return Poll::Pending };
        // A timer that goes off too early costs less than setting it anew for every packet.
        if self.timer_at.is_none_or(|timer_at| timer_at > wake_at || timer_at <= now.elapsed) {
            self.timer_at = Some(wake_at);
            self.timer.as_mut().reset(self.shared.began.0 + wake_at);
        }
        self.timer.as_mut().poll(context).map(|()| self.timer_at = None)
    }
}

/// Takes `bytes` bytes off the front of `frames`.
fn advance(frames: &mut VecDeque<Bytes>, mut bytes: usize) {
    while let Some(frame) = frames.front_mut() {
        if frame.len() > bytes {
            frame.advance(bytes);
            return;
        }
        bytes -= frame.len();
        frames.pop_front();
    }
}
