//! Live push: a thousand subscribers of everything over WebSocket, and what they cost the devices.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Scale, Server, figure, say, thousands};

/// Subscribers, each of everything that is read.
const SUBSCRIBERS: usize = 1_000;
/// Threads that receive for all of them; they share the cores with the server.
const RECEIVERS: usize = 2;
/// Packets of 50 readings a second: 10,000 readings.
const PACKETS_A_SECOND: &str = "200";
/// Packets of one reading a second: twice as many deliveries as are the goal, of which nobody may miss one.
const SMALL_A_SECOND: &str = "2000";
/// How long a receiver rests when nothing is there.
const REST: Duration = Duration::from_millis(5);
/// Bytes that are read at a time.
const READ_BYTES: usize = 256 * 1024;

/// How receivers share the cores with server and loggers.
#[derive(Clone, Copy)]
enum Receivers {
    /// They stand for a thousand other machines, which take no time of these cores: they run when nobody else does, which must be
    /// enough to take everything.
    Elsewhere,
    /// Like everybody.
    Here,
}

/// Ack times of steady loggers without and with subscribers, then small messages, paced and as fast as they go.
pub(super) fn push(scale: &Scale) -> io::Result<()> {
    say(format_args!("  {SUBSCRIBERS} WebSocket subscribers of every reading, loggers at 10,000 readings a second;"))?;
    say("  receivers stand for other machines: they run when nobody else does")?;
    let steady = ["--loggers", "200", "--rate", PACKETS_A_SECOND, "--seconds", scale.seconds];
    let server = Server::start("")?;
    let without = ack_p99(&server, &steady)?;
    figure("ack p99 without subscribers", &format!("{without:.1} ms"), "")?;
    with_subscribers(&server, Receivers::Elsewhere, || {
        let with = ack_p99(&server, &steady)?;
        figure("ack p99 with them", &format!("{with:.1} ms"), "goal: at most twice")
    })?;
    let small = ["--loggers", "50", "--meters", "1", "--functions", "1", "--seconds", scale.seconds];
    say(format_args!("  as many, which share the cores; {SMALL_A_SECOND} packets of one reading a second"))?;
    let paced = [&small[..], &["--rate", SMALL_A_SECOND]].concat();
    with_subscribers(&server, Receivers::Here, || ack_p99(&server, &paced).map(drop))?;
    say("  the same, as fast as packets are acknowledged")?;
    let fast = [&small[..], &["--window", "8"]].concat();
    with_subscribers(&server, Receivers::Here, || ack_p99(&server, &fast).map(drop))
}

/// Does something while there are subscribers, and prints what they received.
fn with_subscribers(server: &Server, place: Receivers, done: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let subscribers = Subscribers::open(&server.directory.join("data/api.sock"), place)?;
    done()?;
    subscribers.report()
}

fn ack_p99(server: &Server, arguments: &[&str]) -> io::Result<f64> {
    let output = server.simulate(arguments).output()?;
    let result: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| io::Error::other(format!("{error}: {}", String::from_utf8_lossy(&output.stderr))))?;
    Ok(result.pointer("/ack_ms/p99").and_then(Value::as_f64).unwrap_or(f64::NAN))
}

impl Receivers {
    /// Has this thread share the cores so.
    #[expect(unsafe_code, reason = "no library that is here has this call; it reads one structure and keeps nothing")]
    fn take(self) -> io::Result<()> {
        if matches!(self, Self::Here) {
            return Ok(());
        }
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: 0 is the calling thread, and the parameters outlive the call.
        match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// What all of them received.
#[derive(Default)]
struct Tally {
    messages: AtomicU64,
    bytes: AtomicU64,
    cuts: AtomicU64,
}

/// Subscribers that receive until they are dropped.
struct Subscribers {
    tally: Arc<Tally>,
    ended: Arc<AtomicBool>,
    receivers: Vec<JoinHandle<io::Result<()>>>,
    began: Instant,
}

impl Subscribers {
    fn open(socket: &Path, place: Receivers) -> io::Result<Self> {
        let (tally, ended) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
        let mut receivers = Vec::new();
        for _ in 0..RECEIVERS {
            let subscribers =
                (0..SUBSCRIBERS / RECEIVERS).map(|_| Subscriber::open(socket)).collect::<io::Result<Vec<_>>>()?;
            let (tally, ended) = (Arc::clone(&tally), Arc::clone(&ended));
            receivers.push(std::thread::spawn(move || {
                place.take()?;
                receive(subscribers, &tally, &ended)
            }));
        }
        Ok(Self { tally, ended, receivers, began: Instant::now() })
    }

    /// Prints what was received until now.
    fn report(&self) -> io::Result<()> {
        let count = |counter: &AtomicU64| precise(counter.load(Ordering::Relaxed));
        let seconds = self.began.elapsed().as_secs_f64();
        figure(
            "messages delivered a second",
            &thousands(count(&self.tally.messages) / seconds),
            "goal 1,000,000 of small ones",
        )?;
        figure("MB delivered a second", &thousands(count(&self.tally.bytes) / seconds / 1e6), "")?;
        figure("times that one was cut and caught up", &thousands(count(&self.tally.cuts)), "goal 0 where it is paced")
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for receiver in self.receivers.drain(..) {
            match receiver.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => drop(say(format_args!("  a receiver failed: {error}"))),
                Err(_) => drop(say("  a receiver panicked")),
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn precise(count: u64) -> f64 {
    count as f64
}

/// One end of a WebSocket.
struct Subscriber {
    stream: UnixStream,
    /// Bytes of the frame that has begun and are not here yet.
    left: usize,
    /// A head that is not whole yet.
    head: Vec<u8>,
}

impl Subscriber {
    fn open(socket: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        let request = "GET /api/v1/live/ws?kinds=readings HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend_from_slice(&byte);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
        }
        stream.set_nonblocking(true)?;
        Ok(Self { stream, left: 0, head: Vec::new() })
    }

    /// Counts the frames in what was received, by their heads.
    fn count(&mut self, mut bytes: &[u8], tally: &Tally) {
        tally.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let mut messages = 0;
        while let Some((&first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = bytes.split_at(taken).1;
                continue;
            }
            self.head.push(first);
            bytes = rest;
            let Some(length) = payload_length(&self.head) else { continue };
            self.left = length;
            messages += u64::from(self.head.first() == Some(&0x81));
            if rest.starts_with(b"{\"event\":\"cut\"") {
                tally.cuts.fetch_add(1, Ordering::Relaxed);
            }
            self.head.clear();
        }
        tally.messages.fetch_add(messages, Ordering::Relaxed);
    }
}

/// The length of a frame's payload, when its head is whole.
fn payload_length(head: &[u8]) -> Option<usize> {
    match *head.get(1)? {
        126 => head.get(2..4).and_then(|bytes| Some(usize::from(u16::from_be_bytes(bytes.try_into().ok()?)))),
        127 => head.get(2..10).and_then(|bytes| usize::try_from(u64::from_be_bytes(bytes.try_into().ok()?)).ok()),
        short => Some(usize::from(short)),
    }
}

fn receive(mut subscribers: Vec<Subscriber>, tally: &Tally, ended: &AtomicBool) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    while !ended.load(Ordering::Relaxed) {
        let mut idle = true;
        for subscriber in &mut subscribers {
            match subscriber.stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("the server ended a subscription")),
                Ok(length) => {
                    idle = false;
                    subscriber.count(buffer.split_at(length).0, tally);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if idle {
            std::thread::sleep(REST);
        }
    }
    Ok(())
}
