//! Leading a peer on to somebody else: reaching them by the protocol's rules, and passing bytes on between both.

mod datagrams;
mod flow;
mod pipe;
mod pump;
mod reach;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::DeviceId;
use loggerhead_protocols::relay::{Manner, Reach, Unreached};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use self::datagrams::Association;
use self::pump::{Other, Pump};
use self::reach::{Door, Ends};
use crate::connection::Stream;
use crate::core::Core;
use crate::guest::Guest;

/// Names that are looked up at once: each takes a thread, and a name server that does not answer holds it for long.
const LOOKUPS_MAX: usize = 64;

/// What the relays of a head-end share.
pub(crate) struct Relays {
    at_once: Mutex<HashMap<Owner, usize>>,
    lookups: Semaphore,
}

/// Whose a relay is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    User(DeviceId),
    /// Nobody is logged in; none on a Unix socket.
    Address(Option<IpAddr>),
}

/// The right of an owner to one relay; given back when it is dropped.
struct Grant {
    core: Arc<Core>,
    owner: Owner,
}

impl Default for Relays {
    fn default() -> Self {
        Self { at_once: Mutex::default(), lookups: Semaphore::new(LOOKUPS_MAX) }
    }
}

impl Grant {
    /// One more; none where there are as many as may be.
    fn take(core: &Arc<Core>, owner: Owner, max: usize) -> Option<Self> {
        let mut at_once = core.relays.at_once.lock().expect("nothing panics while it holds the counts");
        let count = at_once.entry(owner.clone()).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        drop(at_once);
        Some(Self { core: Arc::clone(core), owner })
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let mut at_once = self.core.relays.at_once.lock().expect("nothing panics while it holds the counts");
        if let Some(count) = at_once.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                at_once.remove(&self.owner);
            }
        }
    }
}

/// By which way somebody is reached.
enum Way {
    Stream(TcpStream),
    Door(Box<Door>),
    Datagrams(Box<Association>),
}

/// Who was reached.
struct Reached {
    way: Way,
    /// Theirs.
    address: SocketAddr,
    /// Ours.
    own: SocketAddr,
    grant: Grant,
}

/// How far a peer is led on.
enum Stage {
    Reaching(Pin<Box<dyn Future<Output = Result<Reached, Unreached>> + Send>>),
    Reached(Reached),
    Joined {
        pump: Box<Pump>,
        address: SocketAddr,
        since: Duration,
        _grant: Grant,
    },
    /// Nobody was reached.
    Nobody,
}

/// A peer on its way to somebody else, or joined with them.
pub(crate) struct Onward {
    stage: Stage,
    /// Who is wanted, for texts.
    wanted: String,
    idle: Duration,
    /// The peer has ended its side before somebody was reached, which was told.
    is_hung_up: bool,
}

/// What became of it.
pub(crate) enum Progress {
    /// Somebody was reached, and this is our address towards them; or nobody was.
    Reached(Result<SocketAddr, Unreached>),
    /// Both have ended their sides.
    Ended,
    /// Nothing was said for as long as that may be.
    Idle(Duration),
    /// One of them broke off.
    Broken(io::Error),
}

impl Onward {
    /// Sets out to reach somebody for `guest`.
    pub(crate) fn begin(guest: &Guest, wanted: Reach, own: Option<IpAddr>) -> Self {
        let owner = match &guest.device {
            Some(device) => Owner::User(device.id.clone()),
            None => Owner::Address(guest.peer.address),
        };
        let (idle, ends) = (wanted.limits.idle, Ends { own, peer: guest.peer.address });
        let text = match wanted.manner {
            Manner::Connect => wanted.to.to_string(),
            Manner::Await(_) => format!("from {}", wanted.to),
            Manner::Datagrams(_) => "datagrams".to_owned(),
        };
        let options = guest.pass.listener().settings().sockets.clone();
        let reaching = reach::reach(Arc::clone(&guest.core), owner, wanted, ends, options);
        Self { stage: Stage::Reaching(Box::pin(reaching)), wanted: text, idle, is_hung_up: false }
    }

    /// Waits for who is to come.
    pub(crate) fn await_arrival(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Nobody) {
            Stage::Reached(Reached { way: Way::Door(door), grant, .. }) => {
                Stage::Reaching(Box::pin(reach::arrival(*door, grant)))
            }
            Stage::Reached(_) | Stage::Reaching(_) | Stage::Joined { .. } | Stage::Nobody => {
                Stage::Reaching(Box::pin(std::future::ready(Err(Unreached::Failed))))
            }
        };
    }

    /// Joins the peer with who was reached: `ahead` goes there first. False where nobody was reached.
    pub(crate) fn join(&mut self, guest: &Guest, ahead: Bytes) -> bool {
        let now = guest.core.clock.now().elapsed;
        match std::mem::replace(&mut self.stage, Stage::Nobody) {
            Stage::Reached(Reached { way, address, grant, .. }) => {
                let other = match way {
                    Way::Stream(stream) => Other::stream(stream, ahead),
                    Way::Datagrams(association) => Other::datagrams(guest, *association),
                    Way::Door(_) => return false,
                };
                let pump = Box::new(Pump::new(other, self.idle, now));
                self.stage = Stage::Joined { pump, address, since: now, _grant: grant };
                true
            }
            Stage::Reaching(_) | Stage::Joined { .. } | Stage::Nobody => false,
        }
    }

    /// Whether the peer ends its side while somebody is being reached. Nothing is read: what it sent waits for the other side.
    pub(crate) fn poll_hang_up(&mut self, context: &mut Context<'_>, peer: &TcpStream) -> Poll<io::Result<()>> {
        if self.is_hung_up || !matches!(self.stage, Stage::Reaching(_)) {
            return Poll::Pending;
        }
        let mut first = [0; 1];
        let mut buffer = ReadBuf::new(&mut first);
        match ready!(peer.poll_peek(context, &mut buffer)) {
            // It has sent something, which may be all that it had to say.
            Ok(1..) => Poll::Pending,
            Ok(0) => {
                self.is_hung_up = true;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Whether bytes of the peer go to somebody else.
    pub(crate) fn is_joined(&self) -> bool {
        matches!(self.stage, Stage::Joined { .. })
    }

    /// Goes on as far as it goes.
    pub(crate) fn poll<S: Stream>(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut S,
        guest: &Guest,
    ) -> Poll<Progress> {
        match &mut self.stage {
            Stage::Reaching(reaching) => {
                let reached = ready!(reaching.as_mut().poll(context));
                let answer = reached.as_ref().map(|reached| reached.own).map_err(|why| *why);
                self.stage = reached.map_or(Stage::Nobody, Stage::Reached);
                Poll::Ready(Progress::Reached(answer))
            }
            Stage::Joined { pump, .. } => pump.poll(context, stream, guest),
            Stage::Reached(_) | Stage::Nobody => Poll::Pending,
        }
    }

    /// What operators are told of a relay that is over; none where there was none.
    pub(crate) fn account(&self, now: Duration, because: &str) -> Option<String> {
        let Stage::Joined { pump, address, since, .. } = &self.stage else { return None };
        let (up, down) = pump.moved();
        let seconds = now.saturating_sub(*since).as_secs_f64();
        let address = if self.wanted == address.to_string() { String::new() } else { format!(" ({address})") };
        let dropped = match pump.dropped() {
            0 => String::new(),
            count => format!(", {count} datagrams dropped"),
        };
        Some(format!("{}{address}: {up} bytes there, {down} back{dropped}, {seconds:.3} s, {because}", self.wanted))
    }
}
