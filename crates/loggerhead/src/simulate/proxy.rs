//! A robot with a variable proxy: a server, which the head-end and other clients call.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use loggerhead_model::Timestamp;
use loggerhead_protocols::varproxy::Robot;
use loggerhead_protocols::varproxy::discovery::{ANSWER_PORT, Found, QUESTION};
use loggerhead_protocols::{Input, Now, Output, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Clients at once of the simple proxy.
const CLIENTS_OF_SIMPLE_MAX: usize = 10;
/// Clients at once of the other one, which has no limit of its own: as many as a test may want.
const CLIENTS_MAX: usize = 1_000;
/// Silence after which the simple proxy drops a client.
const SILENCE_OF_SIMPLE: Duration = Duration::from_secs(30);
/// What one read takes at most.
const READ_BYTES: usize = 16 * 1024;
/// Which robot it is.
const MODEL: &str = "KR6R900 SIXX";
/// Its number.
const SERIAL: &str = "000000";

/// Options of `simulate kuka-proxy`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProxyArgs {
    /// Where it listens; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7000")]
    listen: SocketAddr,
    /// Which proxy it is: c3 knows several variables at once, simple knows one at a time
    #[arg(long, value_enum, default_value_t = Kind::C3)]
    kind: Kind,
    /// A variable that clients may write; may stand more than once. Without it none may be written
    #[arg(long, value_name = "NAME")]
    writable: Vec<String>,
    /// Also answer those who look for proxies on UDP, commonly at port 6999; of the kind c3 at the port of --listen as well
    #[arg(long, value_name = "ADDRESS")]
    discovery: Option<SocketAddr>,
    /// How long to go on; without it until it is stopped
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
}

/// The kinds of proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// C3 Bridge.
    C3,
    /// KUKAVARPROXY.
    Simple,
}

impl Kind {
    /// Clients at once.
    const fn clients_max(self) -> usize {
        match self {
            Self::C3 => CLIENTS_MAX,
            Self::Simple => CLIENTS_OF_SIMPLE_MAX,
        }
    }

    /// How long a client may be silent.
    const fn silence(self) -> Duration {
        match self {
            Self::C3 => Duration::MAX,
            Self::Simple => SILENCE_OF_SIMPLE,
        }
    }
}

/// Runs it until it is stopped.
///
/// # Errors
/// When it cannot listen there.
pub(super) async fn run(args: &ProxyArgs) -> anyhow::Result<ExitCode> {
    let seconds = args.seconds.map(|seconds| super::duration(seconds, "--seconds")).transpose()?;
    let mut settings = toml::Table::new();
    settings.insert("is_simple".to_owned(), (args.kind == Kind::Simple).into());
    settings.insert("writable".to_owned(), args.writable.clone().into());
    let robot = Robot::new(&settings).context("a simulated robot")?;
    let door = TcpListener::bind(args.listen).await.with_context(|| format!("--listen {}", args.listen))?;
    let here = door.local_addr()?;
    let finder = open(args.discovery).await?;
    let near = open(args.discovery.filter(|_| args.kind == Kind::C3).map(|_| here)).await?;
    writeln!(std::io::stdout(), "a robot with a variable proxy listens on {here}")?;
    if let Some(finder) = &finder {
        writeln!(std::io::stdout(), "it answers who looks for it at {}", finder.local_addr()?)?;
    }
    tokio::select! {
        served = serve(&door, args.kind, &robot) => served?,
        found = answer_finders(finder.as_ref(), Some(ANSWER_PORT)) => found?,
        found = answer_finders(near.as_ref(), None) => found?,
        () = super::sleep_or_forever(seconds) => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("waiting for Ctrl-C")?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(door: &TcpListener, kind: Kind, robot: &Robot) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(kind.clients_max()));
    let began = Instant::now();
    loop {
        let (stream, _) = door.accept().await.context("accepting a client")?;
        // One too many is closed.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let session = robot.attend();
        tokio::spawn(async move {
            // A client that is gone is no matter of the robot's.
            let _ended = attend(stream, session, kind.silence(), began).await;
            drop(place);
        });
    }
}

/// Serves one client until it is gone, or silent for too long.
async fn attend(
    mut stream: TcpStream,
    mut session: Box<dyn Session>,
    silence: Duration,
    began: Instant,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; READ_BYTES];
    hear(session.as_mut(), began, Input::Connected);
    loop {
        loop {
            match session.poll() {
                Output::Send(bytes) => stream.write_all(&bytes).await?,
                Output::Close(_) => return Ok(()),
                Output::Idle { .. } => break,
                // The connection stands already, and a proxy does nothing else.
                Output::Connect
                | Output::Delivered(_)
                | Output::Said(_)
                | Output::Ask(_)
                | Output::Store(..)
                | Output::Keep(_)
                | Output::Sample(..)
                | Output::Join(_)
                | Output::Event(_)
                | Output::Fault(_)
                | Output::Learnt(_)
                | Output::Remember { .. }
                | Output::File(_)
                | Output::Dropped(..)
                | Output::ExpectWithin(_)
                | Output::Command(..) => {}
            }
        }
        let count = tokio::time::timeout(silence, stream.read(&mut buffer)).await??;
        if count == 0 {
            return Ok(());
        }
        hear(session.as_mut(), began, Input::Bytes(buffer.get(..count).unwrap_or_default()));
    }
}

fn hear(session: &mut dyn Session, began: Instant, input: Input<'_>) {
    let now = Now { elapsed: began.elapsed(), wall: Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond()) };
    // A fault is followed by the close that it asks for.
    let _fault = session.handle(now, input);
}

async fn open(address: Option<SocketAddr>) -> anyhow::Result<Option<UdpSocket>> {
    let Some(address) = address else { return Ok(None) };
    Ok(Some(UdpSocket::bind(address).await.with_context(|| format!("--discovery: UDP at {address}"))?))
}

/// Tells who looks for proxies that there is one here: at this port of theirs, or else where they ask from. For ever, or until
/// the socket fails.
async fn answer_finders(socket: Option<&UdpSocket>, port: Option<u16>) -> anyhow::Result<()> {
    let Some(socket) = socket else { return std::future::pending().await };
    let mut question = [0; 64];
    loop {
        let (count, from) = socket.recv_from(&mut question).await.context("--discovery")?;
        if question.get(..count) == Some(QUESTION) {
            let here = Found { model: MODEL.to_owned(), serial: SERIAL.to_owned(), more: String::new() };
            let to = SocketAddr::new(from.ip(), port.unwrap_or(from.port()));
            // Who does not listen there is not told.
            let _sent = socket.send_to(here.write().as_bytes(), to).await;
        }
    }
}
