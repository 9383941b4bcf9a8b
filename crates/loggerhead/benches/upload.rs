//! A large file to disk: over `upload`, and over a local rsync daemon with `--fsync`, one after the other in one run.
//!
//! `cargo bench -p loggerhead --bench upload [-- [--quick] [--mib N]]`
//!
//! Each takes the same file from the system's cache and answers when it is on disk. Ours is hashed besides, and recorded in the
//! store. Without rsync (Debian: `apt-get install rsync`) only ours is measured, and a line says so.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to listen.
const START_WITHIN: Duration = Duration::from_mins(1);
/// How often that is tried.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long one read or write may take before the run is given up.
const PATIENCE: Duration = Duration::from_mins(5);
/// Runs of each, in turns; the best counts, as a disk has moods.
const ROUNDS: usize = 3;
/// The file, unless told otherwise.
const MIB: usize = 1024;
/// The same, to see whether it runs.
const MIB_QUICK: usize = 64;
const BYTES_A_MIB: usize = 1024 * 1024;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = arguments.iter().position(|argument| argument == "--mib").and_then(|place| arguments.get(place + 1));
    let mib = match given.map(|mib| mib.parse()) {
        Some(mib) => mib.map_err(|_| io::Error::other("--mib takes a whole number"))?,
        None if arguments.iter().any(|argument| argument == "--quick") => MIB_QUICK,
        None => MIB,
    };
    // On the disk that holds the build directory: files in memory would be on no disk.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let file = directory.path().join("file");
    write(&file, mib)?;
    say(format_args!("{mib} MiB, synced: MB/s, {} cores", std::thread::available_parallelism()?))?;
    let (ours, theirs) = (Server::loggerhead(directory.path())?, Server::rsync(directory.path())?);
    let mut figures = (Vec::new(), Vec::new());
    // In turns, so that what else the disk does is the same for both.
    for _ in 0..ROUNDS {
        figures.0.push(measure(mib, || upload(&ours, &file))?);
        if let Some(theirs) = &theirs {
            figures.1.push(measure(mib, || rsync(theirs, &file))?);
        }
    }
    let ours = best("loggerhead", &figures.0)?;
    if theirs.is_none() {
        return say("  rsync is not there, and is skipped: apt-get install rsync");
    }
    let theirs = best("rsync", &figures.1)?;
    say(format_args!("  ours to theirs: {:.2}", ours / theirs))
}

fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Makes a file that nothing can shorten.
fn write(path: &Path, mib: usize) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut state = 1_u64;
    let mut piece = Vec::with_capacity(BYTES_A_MIB);
    for _ in 0..mib {
        piece.clear();
        while piece.len() < BYTES_A_MIB {
            // xorshift64.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&piece)?;
    }
    // What is still to be written of it is nobody's business afterwards.
    file.sync_all()
}

/// How fast a round takes so much, in MB/s.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn measure(mib: usize, round: impl Fn() -> io::Result<()>) -> io::Result<f64> {
    let began = Instant::now();
    round()?;
    Ok((mib * BYTES_A_MIB) as f64 / 1e6 / began.elapsed().as_secs_f64())
}

/// The best of some rounds, which are all printed.
fn best(name: &str, figures: &[f64]) -> io::Result<f64> {
    let each: Vec<String> = figures.iter().map(|figure| format!("{figure:.0}")).collect();
    let best = figures.iter().copied().fold(0.0, f64::max);
    say(format_args!("  {name:<12} {best:>8.0}   of {}", each.join(", ")))?;
    Ok(best)
}

/// A server that takes files. Killed when dropped.
struct Server {
    address: SocketAddr,
    process: Child,
}

impl Server {
    fn loggerhead(directory: &Path) -> io::Result<Self> {
        let configuration = |port: u16| {
            format!(
                "data_dir = \"{}\"\n[web]\naddress = \"off\"\n[log]\nlevel = \"error\"\n[[listener]]\nprotocol = \"upload\"\n\
                 address = [\"127.0.0.1:{port}\"]\n[listener.upload]\ncollision = \"replace\"\n[[device]]\nid = \"here\"\nprotocol = \"upload\"\nidentity = \"127.0.0.1\"\n\
                 login = \"name\"\n",
                directory.join("data").display()
            )
        };
        let file = directory.join("loggerhead.toml");
        Self::start(Command::new(env!("CARGO_BIN_EXE_loggerhead")).arg("serve").arg("--config").arg(&file), |port| {
            std::fs::write(&file, configuration(port))
        })
    }

    /// The daemon of rsync; none where it is not installed.
    fn rsync(directory: &Path) -> io::Result<Option<Self>> {
        if Command::new("rsync").arg("--version").stdout(Stdio::null()).status().is_err() {
            return Ok(None);
        }
        let (file, place) = (directory.join("rsyncd.conf"), directory.join("rsync"));
        std::fs::create_dir(&place)?;
        let configuration = |port: u16| {
            format!(
                "port = {port}\naddress = 127.0.0.1\nuse chroot = no\n[files]\npath = {}\nread only = no\n{}",
                place.display(),
                // A daemon of root goes over to nobody, who may not write here.
                if nix::unistd::geteuid().is_root() { "uid = root\ngid = root\n" } else { "" }
            )
        };
        let config = format!("--config={}", file.display());
        Self::start(Command::new("rsync").args(["--daemon", "--no-detach", &config]), |port| {
            std::fs::write(&file, configuration(port))
        })
        .map(Some)
    }

    fn start(command: &mut Command, configure: impl FnOnce(u16) -> io::Result<()>) -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        configure(port)?;
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self { address: (Ipv4Addr::LOCALHOST, port).into(), process };
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(server.address).is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{command:?} does not listen")));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _killed = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// Sends a file as a plain program does, and waits until it is kept.
fn upload(server: &Server, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = format!("{{\"filename\": \"file\", \"filesize\": {}, \"reply\": true}}", file.metadata()?.len());
    stream.write_all(head.as_bytes())?;
    // The kernel copies: a program that sends a file does the same.
    io::copy(&mut file, &mut stream)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?];
    stream.read_exact(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    if answer.contains("\"ok\"") { Ok(()) } else { Err(io::Error::other(format!("it is not kept: {answer}"))) }
}

/// Has rsync send a file to its daemon, which brings it to disk.
fn rsync(server: &Server, path: &Path) -> io::Result<()> {
    let place = format!("rsync://{}/files/", server.address);
    let status =
        Command::new("rsync").args(["--fsync", "--whole-file", "--ignore-times"]).arg(path).arg(place).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("rsync: {status}"))) }
}
