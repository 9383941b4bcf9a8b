//! A robot that keeps its own time: each state leaves at its moment, whatever was answered, and when an answer came is what the
//! system says, however late this thread looks.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant, SystemTime};

use nix::libc;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};

/// The number of the first state; robots count milliseconds from their start.
const IPOC_FIRST: u64 = 4_208_163_634;
/// Longest answer that is read whole.
const ANSWER_BYTES: usize = 4_096;
/// After the last state its answer may take as long.
const PATIENCE: Duration = Duration::from_millis(500);
/// The robot has a processor of its own; here its thread goes before all others.
const NICENESS: i32 = -20;

/// One state.
struct Cycle {
    sent_at: SystemTime,
    answered_at: Option<SystemTime>,
}

/// What became of all states.
pub(super) struct Outcome {
    /// How many there were.
    pub(super) cycles: usize,
    /// Answers that took longer than a cycle, and states that have none.
    pub(super) late: usize,
    /// How long the answers took, the shortest first.
    pub(super) took: Vec<Duration>,
    /// How much later than its moment a state left, at most: what this machine adds to the robot's side.
    pub(super) left_late: Duration,
}

impl Outcome {
    /// How long an answer took that no more than this part of them exceeded.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list of some thousands"
        )]
        let place = (self.took.len() as f64 * part) as usize;
        self.took.get(place.min(self.took.len().saturating_sub(1))).copied().unwrap_or(Duration::MAX)
    }
}

/// Sends a state every `cycle`, so many of them, to a head-end.
pub(super) fn run(to: SocketAddr, cycle: Duration, count: u32) -> io::Result<Outcome> {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        super::say(format_args!("  the robot has the priority of all others: {error}"))?;
    }
    let mut robot = Robot::new(to, cycle)?;
    let began = Instant::now();
    let mut left_late = Duration::ZERO;
    for number in 0..count {
        let due = began + cycle * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        left_late = left_late.max(due.elapsed());
        robot.hear()?;
        robot.tell()?;
    }
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        std::thread::sleep(cycle);
        robot.hear()?;
    }
    Ok(robot.outcome(left_late))
}

struct Robot {
    socket: UdpSocket,
    cycle: Duration,
    cycles: Vec<Cycle>,
    /// Answers that it missed.
    delay: u64,
}

impl Robot {
    fn new(to: SocketAddr, cycle: Duration) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        Ok(Self { socket, cycle, cycles: Vec::new(), delay: 0 })
    }

    fn step_ms(&self) -> u64 {
        u64::try_from(self.cycle.as_millis()).unwrap_or(u64::MAX)
    }

    /// Sends the next state.
    fn tell(&mut self) -> io::Result<()> {
        self.delay += u64::from(self.cycles.last().is_some_and(|last| last.answered_at.is_none()));
        let number = self.cycles.len() as u64;
        let (ipoc, delay, x) = (IPOC_FIRST + number * self.step_ms(), self.delay, number % 1_000);
        let state = format!(
            "<Rob Type=\"KUKA\"><RIst X=\"445.{x:03}\" Y=\"0.0\" Z=\"790.0\" A=\"-180.0\" B=\"0.0\" C=\"-180.0\"/>\
             <RSol X=\"445.{x:03}\" Y=\"0.0\" Z=\"790.0\" A=\"-180.0\" B=\"0.0\" C=\"-180.0\"/>\
             <AIPos A1=\"0.{x:03}\" A2=\"-90.0\" A3=\"90.0\" A4=\"0.0\" A5=\"90.0\" A6=\"0.0\"/>\
             <ASPos A1=\"0.{x:03}\" A2=\"-90.0\" A3=\"90.0\" A4=\"0.0\" A5=\"90.0\" A6=\"0.0\"/>\
             <Delay D=\"{delay}\"/><IPOC>{ipoc}</IPOC></Rob>"
        );
        self.cycles.push(Cycle { sent_at: SystemTime::now(), answered_at: None });
        self.socket.send(state.as_bytes()).map(drop)
    }

    /// Takes the answers that have come.
    fn hear(&mut self) -> io::Result<()> {
        let mut buffer = [0; ANSWER_BYTES];
        loop {
            let mut control = nix::cmsg_space!(libc::timespec);
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let received = recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty());
            let (count, came_at) = match received {
                Err(nix::errno::Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
                Ok(received) => (received.bytes, received.cmsgs()?.find_map(|message| came_at(&message))),
            };
            let answer = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
            let ipoc = answer.split_once("<IPOC>").and_then(|(_, rest)| rest.split_once("</IPOC>")?.0.parse().ok());
            let place = ipoc.and_then(|ipoc: u64| ipoc.checked_sub(IPOC_FIRST)).map(|ms| ms / self.step_ms());
            let cycle = place.and_then(|place| self.cycles.get_mut(usize::try_from(place).unwrap_or(usize::MAX)));
            let cycle = cycle.ok_or_else(|| io::Error::other(format!("answered for no state: {answer}")))?;
            let came_at = came_at.ok_or_else(|| io::Error::other("the system does not say when an answer came"))?;
            cycle.answered_at.get_or_insert(came_at);
        }
    }

    fn outcome(self, left_late: Duration) -> Outcome {
        let took = |cycle: &Cycle| cycle.answered_at.map(|at| at.duration_since(cycle.sent_at).unwrap_or_default());
        let mut took: Vec<Duration> = self.cycles.iter().filter_map(took).collect();
        took.sort_unstable();
        let in_time = took.partition_point(|took| *took <= self.cycle);
        Outcome { cycles: self.cycles.len(), late: self.cycles.len() - in_time, took, left_late }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library has many more, of which none was asked for")]
fn came_at(message: &ControlMessageOwned) -> Option<SystemTime> {
    match message {
        ControlMessageOwned::ScmTimestampns(at) => Some(SystemTime::UNIX_EPOCH + Duration::from(*at)),
        _ => None,
    }
}
