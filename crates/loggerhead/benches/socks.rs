//! The relay beside others: each on the same cores, with the same client and server, one after the other in one run.
//!
//! `cargo bench -p loggerhead --bench socks [-- [--quick] [stream|connects|streams]...]`
//!
//! Compares with those of microsocks, dante and 3proxy that are there (Debian: `apt-get install microsocks dante-server`).
//! Nobody logs in, and every relay of ours is still an event in its store.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How long a relay may take to listen.
const START_WITHIN: Duration = Duration::from_mins(1);
/// How often that is tried.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long one read or write may take before the run is given up.
const PATIENCE: Duration = Duration::from_mins(1);
/// What is written at once into a stream.
const PIECE_BYTES: usize = 256 * 1024;
/// Threads that connect.
const CONNECTORS: usize = 8;
/// What each of many streams sends and gets back.
const ECHO_BYTES: usize = 64 * 1024;
/// Where programs are that are not in everybody's path.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/bin", "/usr/local/bin"];

/// A part of the benchmark: its name, its unit, and what it measures.
type Part = (&'static str, &'static str, fn(SocketAddr, &Scale) -> io::Result<f64>);

const PARTS: [Part; 3] = [
    ("stream", "one stream: GB/s", stream),
    ("connects", "connections, each asked, joined and closed: /s", connects),
    ("streams", "streams at once, 64 KiB there and back each: MB/s", streams),
];

/// How much of it.
struct Scale {
    seconds: Duration,
    streams: usize,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo itself says `--bench`.
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let wanted: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|name| !PARTS.iter().any(|(part, ..)| part == *name)) {
        let parts = PARTS.map(|(part, ..)| part).join(", ");
        return Err(io::Error::other(format!("there is no part {unknown}; there are: {parts}")));
    }
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let scale = if quick {
        Scale { seconds: Duration::from_secs(2), streams: 200 }
    } else {
        Scale { seconds: Duration::from_secs(10), streams: 1_000 }
    };
    say(format_args!("{} cores, shared by relay, client and server", std::thread::available_parallelism()?))?;
    for (name, unit, measure) in PARTS.iter().filter(|(name, ..)| wanted.is_empty() || wanted.contains(name)) {
        say(format_args!("{name}: {unit}"))?;
        for start in [Relay::loggerhead, Relay::microsocks, Relay::dante, Relay::three_proxy] {
            let Some(relay) = start()? else { continue };
            let figure = measure(relay.address, &scale)?;
            say(format_args!("  {:<12} {figure:>12.2}", relay.name))?;
        }
    }
    Ok(())
}

fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// A relay that listens. Killed when dropped.
struct Relay {
    name: &'static str,
    address: SocketAddr,
    process: Child,
    _directory: tempfile::TempDir,
}

impl Relay {
    fn loggerhead() -> io::Result<Option<Self>> {
        Self::start("loggerhead", Path::new(env!("CARGO_BIN_EXE_loggerhead")), |directory, port| {
            let configuration = format!(
                "data_dir = \"{}\"\n[web]\naddress = \"off\"\n[log]\nlevel = \"error\"\n[[listener]]\nprotocol = \"socks\"\n\
                 address = [\"127.0.0.1:{port}\"]\nconnections_per_address_max = 10000\n[listener.socks]\nlogin = \"nobody\"\nrelays_per_user_max = 10000\n\
                 [[listener.socks.rule]]\naction = \"allow\"\nto = [\"loopback\"]\n",
                directory.join("data").display()
            );
            let file = directory.join("loggerhead.toml");
            std::fs::write(&file, configuration)?;
            Ok(vec!["serve".into(), "--config".into(), file.display().to_string()])
        })
        .map(Some)
    }

    fn microsocks() -> io::Result<Option<Self>> {
        let Some(program) = find("microsocks") else { return Ok(None) };
        let arguments = |_: &Path, port: u16| Ok(vec!["-i".into(), "127.0.0.1".into(), "-p".into(), port.to_string()]);
        Self::start("microsocks", &program, arguments).map(Some)
    }

    fn dante() -> io::Result<Option<Self>> {
        let Some(program) = find("danted") else { return Ok(None) };
        let arguments = |directory: &Path, port: u16| {
            let configuration = format!(
                "internal: 127.0.0.1 port = {port}\nexternal: lo\nclientmethod: none\nsocksmethod: none\n\
                 client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\nsocks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n"
            );
            let file = directory.join("danted.conf");
            std::fs::write(&file, configuration)?;
            Ok(vec!["-f".into(), file.display().to_string(), "-p".into(), directory.join("pid").display().to_string()])
        };
        Self::start("dante", &program, arguments).map(Some)
    }

    fn three_proxy() -> io::Result<Option<Self>> {
        let Some(program) = find("3proxy") else { return Ok(None) };
        let arguments = |directory: &Path, port: u16| {
            let file = directory.join("3proxy.cfg");
            std::fs::write(&file, format!("maxconn 10000\nauth none\nsocks -p{port} -i127.0.0.1\n"))?;
            Ok(vec![file.display().to_string()])
        };
        Self::start("3proxy", &program, arguments).map(Some)
    }

    fn start(
        name: &'static str,
        program: &Path,
        arguments: impl FnOnce(&Path, u16) -> io::Result<Vec<String>>,
    ) -> io::Result<Self> {
        // On the disk that holds the build directory: a store in memory would be no store.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let arguments = arguments(directory.path(), port)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        if program != Path::new(env!("CARGO_BIN_EXE_loggerhead")) {
            // Some tell about every connection there.
            command.stderr(Stdio::null());
        }
        let process = command.spawn()?;
        let relay = Self { name, address: (Ipv4Addr::LOCALHOST, port).into(), process, _directory: directory };
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(relay.address).is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{name} does not listen")));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(relay)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may be gone already.
        let _killed = self.process.kill();
        let _waited = self.process.wait();
    }
}

fn find(program: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists())
}

/// Connects to `to` through the relay.
fn through(relay: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let SocketAddr::V4(to) = to else { return Err(io::Error::other("the servers of this benchmark are IPv4")) };
    let mut stream = TcpStream::connect(relay)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&[5, 1, 0])?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen)?;
    let [high, low] = to.port().to_be_bytes();
    let [a, b, c, d] = to.ip().octets();
    stream.write_all(&[5, 1, 0, 1, a, b, c, d, high, low])?;
    let mut reply = [0; 10];
    stream.read_exact(&mut reply)?;
    match reply {
        [5, 0, ..] => Ok(stream),
        [_, code, ..] => Err(io::Error::other(format!("the relay replies {code}"))),
    }
}

/// One client that only sends to one server that only receives.
fn stream(relay: SocketAddr, scale: &Scale) -> io::Result<f64> {
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let to = door.local_addr()?;
    std::thread::scope(|scope| {
        let sink = scope.spawn(move || {
            let (mut stream, _) = door.accept()?;
            let mut piece = vec![0; PIECE_BYTES];
            let mut bytes = 0;
            loop {
                match stream.read(&mut piece)? {
                    0 => return io::Result::Ok(bytes),
                    count => bytes += count,
                }
            }
        });
        let mut client = through(relay, to)?;
        let piece = vec![7; PIECE_BYTES];
        let began = Instant::now();
        while began.elapsed() < scale.seconds {
            client.write_all(&piece)?;
        }
        drop(client);
        let bytes = sink.join().map_err(|_| io::Error::other("the server broke"))??;
        Ok(per_second(bytes as u64, began.elapsed()) / 1e9)
    })
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// Clients that connect, take a byte from the server and close, again and again.
fn connects(relay: SocketAddr, scale: &Scale) -> io::Result<f64> {
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let to = door.local_addr()?;
    let (is_over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let (mut stream, _) = door.accept()?;
                // A client that is gone is not this benchmark's business.
                let _sent = stream.write_all(b"x");
            }
            io::Result::Ok(())
        });
        let connect = || {
            while began.elapsed() < scale.seconds {
                let mut byte = [0];
                through(relay, to)?.read_exact(&mut byte)?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            io::Result::Ok(())
        };
        let connectors: Vec<_> = (0..CONNECTORS).map(|_| scope.spawn(connect)).collect();
        let results: Vec<_> = connectors.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        let figure = per_second(done.load(Ordering::Relaxed), began.elapsed());
        is_over.store(true, Ordering::Relaxed);
        // The server looks up when somebody comes.
        TcpStream::connect(to)?;
        for result in results.into_iter().chain([server.join()]) {
            result.map_err(|_| io::Error::other("a thread broke"))??;
        }
        Ok(figure)
    })
}

/// Streams that all stand before the first of them says anything.
fn streams(relay: SocketAddr, scale: &Scale) -> io::Result<f64> {
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let to = door.local_addr()?;
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut accepted = Vec::new();
            for _ in 0..scale.streams {
                accepted.push(door.accept()?.0);
            }
            let mut piece = vec![0; ECHO_BYTES];
            for stream in &mut accepted {
                stream.read_exact(&mut piece)?;
                stream.write_all(&piece)?;
            }
            io::Result::Ok(())
        });
        let mut clients = (0..scale.streams).map(|_| through(relay, to)).collect::<io::Result<Vec<_>>>()?;
        let mut piece = vec![7; ECHO_BYTES];
        let began = Instant::now();
        for client in &mut clients {
            client.write_all(&piece)?;
        }
        for client in &mut clients {
            client.read_exact(&mut piece)?;
        }
        let bytes = 2 * ECHO_BYTES * scale.streams;
        server.join().map_err(|_| io::Error::other("the server broke"))??;
        Ok(per_second(bytes as u64, began.elapsed()) / 1e6)
    })
}
