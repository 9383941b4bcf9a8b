//! A robot in its cycles: a state is due every few milliseconds, and its answer before the next one.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::task::Waker;
use std::time::Duration;

use anyhow::Context as _;
use loggerhead_model::{EventKind, Origin, Ticket, Timestamp};
use loggerhead_protocols::{Carrier, FaultKind, Input, Limits, Now, Opening, Output, Session};
use serde::Serialize;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::histogram::Histogram;
use super::link::Address;
use super::meters::Meters;
use super::summary::Latency;

/// Longest answer that is read whole.
const ANSWER_BYTES: usize = 4_096;

/// Options of `simulate kuka-rsi`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RsiArgs {
    /// Where the head-end listens on UDP: HOST:PORT, with an IPv6 address in brackets
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
    /// Milliseconds from one state to the next; robots have 4 or 12
    #[arg(long, value_name = "MS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    cycle_ms: u32,
    /// How long to go on
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    seconds: f64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What became of it.
#[derive(Debug, Serialize)]
struct Outcome {
    cycle_ms: u32,
    seconds: f64,
    cycles: u64,
    answered: u64,
    /// Answers that did not come within their cycle.
    late: u64,
    answer_ms: Latency,
    errors: BTreeMap<&'static str, u64>,
}

/// Runs one robot; success when every cycle was answered within it.
///
/// # Errors
/// When there is no such address, or no socket to be had.
pub(super) async fn run(args: &RsiArgs) -> anyhow::Result<ExitCode> {
    let seconds = super::duration(args.seconds, "--seconds")?;
    let mut robot = Robot::new(args).await?;
    robot.go_on(seconds).await.with_context(|| format!("speaking to {}", args.to))?;
    let result = robot.result(args);
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &result)?;
        writeln!(out)?;
    } else {
        let Outcome { cycle_ms, seconds, cycles, answered, late, answer_ms, errors } = &result;
        writeln!(out, "{cycles} cycles of {cycle_ms} ms in {seconds:.1} s: {answered} answered in time, {late} late")?;
        writeln!(out, "an answer took {answer_ms}")?;
        for (error, count) in errors {
            writeln!(out, "{count} times: {error}")?;
        }
        if result.answered == 0 {
            writeln!(out, "never answered: does the head-end know this address as a robot? See docs/kuka.md")?;
        }
    }
    Ok(if result.late == 0 && result.answered > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Robot {
    session: Box<dyn Session>,
    socket: UdpSocket,
    began: Instant,
    wall: Timestamp,
    meters: Meters,
    /// When the state left that is not answered yet.
    sent_at: Duration,
    wake_at: Option<Duration>,
    tickets: u64,
    cycles: u64,
    latency: Histogram,
    answered: u64,
    errors: BTreeMap<&'static str, u64>,
}

impl Robot {
    async fn new(args: &RsiArgs) -> anyhow::Result<Self> {
        let (Address::Udp { host, port } | Address::Tcp { host, port }) = &args.to else {
            anyhow::bail!("--to {}: write HOST:PORT", args.to)
        };
        let mut found = tokio::net::lookup_host((host.as_str(), *port)).await.context("--to")?;
        let to = found.next().with_context(|| format!("--to {}: no such host", args.to))?;
        let any: SocketAddr =
            if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = UdpSocket::bind(any).await.context("opening a socket")?;
        socket.connect(to).await.with_context(|| format!("--to {to}"))?;
        let protocol = loggerhead_protocols::find("rsi").context("this build has no protocol `rsi`")?;
        let mut settings = toml::Table::new();
        settings.insert("cycle_ms".to_owned(), i64::from(args.cycle_ms).into());
        let opening = Opening {
            peer: to.to_string().into(),
            entropy: [0; 32],
            limits: Limits::default(),
            waker: Waker::noop().clone(),
            certified: None,
            carrier: Carrier::Datagrams,
        };
        Ok(Self {
            session: (protocol.device)(&settings, opening).context("a simulated robot")?,
            socket,
            began: Instant::now(),
            wall: Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond()),
            meters: Meters::cycle(),
            sent_at: Duration::ZERO,
            wake_at: None,
            tickets: 0,
            cycles: 0,
            latency: Histogram::default(),
            answered: 0,
            errors: BTreeMap::new(),
        })
    }

    fn now(&self) -> Now {
        let elapsed = self.began.elapsed();
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        Now { elapsed, wall: Timestamp::from_unix_ms(self.wall.unix_ms().saturating_add(elapsed_ms)) }
    }

    async fn go_on(&mut self, span: Duration) -> anyhow::Result<()> {
        let mut buffer = vec![0; ANSWER_BYTES];
        self.offer()?;
        self.obey().await?;
        loop {
            let due = self.wake_at.unwrap_or(span);
            // What has come is looked at before the clock: an answer that is there is not late.
            tokio::select! {
                biased;
                received = self.socket.recv(&mut buffer) => match received {
                    Ok(count) => self.hear(Input::Bytes(buffer.get(..count).unwrap_or_default())),
                    // Nobody listens there yet: the answer is missing.
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error.into()),
                },
                () = tokio::time::sleep_until(self.began + due) => {
                    if self.now().elapsed >= span {
                        return Ok(());
                    }
                    self.hear(Input::Wake);
                }
            }
            self.obey().await?;
        }
    }

    fn hear(&mut self, input: Input<'_>) {
        let now = self.now();
        if let Err(fault) = self.session.handle(now, input) {
            *self.errors.entry(fault.kind.word()).or_default() += 1;
        }
    }

    /// The next state to tell.
    fn offer(&mut self) -> anyhow::Result<()> {
        let now = self.now();
        self.tickets += 1;
        let report = self.meters.report(1, Origin::Live, now.wall)?;
        self.hear(Input::Offer(Ticket(self.tickets), report));
        Ok(())
    }

    async fn obey(&mut self) -> anyhow::Result<()> {
        loop {
            match self.session.poll() {
                Output::Idle { wake_at } => {
                    self.wake_at = wake_at;
                    return Ok(());
                }
                Output::Connect => self.hear(Input::Connected),
                Output::Close(_) => self.hear(Input::Disconnected),
                Output::Send(state) => {
                    self.cycles += 1;
                    self.sent_at = self.began.elapsed();
                    match self.socket.send(&state).await {
                        Err(error) if error.kind() != std::io::ErrorKind::ConnectionRefused => return Err(error.into()),
                        Ok(_) | Err(_) => {}
                    }
                }
                Output::Delivered(_) => {
                    self.answered += 1;
                    self.latency.record(self.began.elapsed().saturating_sub(self.sent_at));
                    self.offer()?;
                }
                Output::Event(event) if event.kind == EventKind::Login => {}
                // A missed answer is counted by its cycle.
                Output::Fault(fault) if fault.kind == FaultKind::TooSlow => {}
                Output::Fault(fault) => *self.errors.entry(fault.kind.word()).or_default() += 1,
                Output::Event(_)
                | Output::Said(_)
                | Output::Ask(_)
                | Output::File(_)
                | Output::Store(..)
                | Output::Keep(_)
                | Output::Sample(..)
                | Output::Join(_)
                | Output::Learnt(_)
                | Output::Dropped(..)
                | Output::Remember { .. }
                | Output::ExpectWithin(_)
                | Output::Command(..) => {}
            }
        }
    }

    fn result(self, args: &RsiArgs) -> Outcome {
        Outcome {
            cycle_ms: args.cycle_ms,
            seconds: self.began.elapsed().as_secs_f64(),
            cycles: self.cycles,
            answered: self.answered,
            late: self.cycles - self.answered,
            answer_ms: Latency::from(&self.latency),
            errors: self.errors,
        }
    }
}
