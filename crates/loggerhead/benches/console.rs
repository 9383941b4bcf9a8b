//! How long the console takes for its first pages, and the API for what stands on them, over HTTP: with 10,000 devices and 100
//! million stored readings, of which most are in segments.
//!
//! `cargo bench -p loggerhead --bench console [-- [--quick] [--devices N] [--readings N] [--directory PATH]]`
//!
//! `--quick` stores one packet of each device, 12 million readings in all. A directory that holds such a store already, such as one of the
//! bench `questions` of the store, is only asked; without one, the store is made in the build directory and removed. Each request is
//! a connection of its own, by an administrator who is signed in as in a browser.

#[path = "../../store/benches/large/mod.rs"]
mod large;

use std::fs::Permissions;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use loggerhead_store::{Options, Store};

use large::{Size, device, fill};

/// How long the server may take to start: it reads what is not sealed yet.
const START_WITHIN: Duration = Duration::from_mins(5);
/// How often it is asked whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Each question is asked so often, and the median is shown.
const TIMES: usize = 21;
/// What each of them may take.
const GOAL: &str = "under 100 ms";
const READINGS: i64 = 100_000_000;
/// A packet of each device; the first one has its year besides.
const READINGS_QUICK: i64 = 10_000_000;
const ACCOUNT: &str = r#"{"name":"bench","role":"admin","password":"correct horse battery"}"#;
const SIGN_IN: &str = r#"{"name":"bench","password":"correct horse battery"}"#;

struct Arguments {
    size: Size,
    directory: Option<PathBuf>,
}

fn arguments() -> io::Result<Arguments> {
    let mut arguments = Arguments { size: Size { devices: 10_000, readings: READINGS }, directory: None };
    // Cargo itself says `--bench`.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(name) = words.next() {
        if name == "--quick" {
            arguments.size.readings = READINGS_QUICK;
            continue;
        }
        let value = words.next().unwrap_or_default();
        let number = || value.replace('_', "").parse().map_err(|_| io::Error::other(format!("{name} wants a number")));
        match name.as_str() {
            "--devices" => arguments.size.devices = number()?,
            "--readings" => arguments.size.readings = number()?,
            "--directory" => arguments.directory = Some(PathBuf::from(value)),
            _ => return Err(io::Error::other(format!("{name}: not an argument"))),
        }
    }
    Ok(arguments)
}

fn main() -> io::Result<()> {
    let arguments = arguments()?;
    // On the disk that holds the build directory, not in memory as `/tmp` may be.
    let temporary = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let data = arguments.directory.clone().unwrap_or_else(|| temporary.path().join("data"));
    tokio::runtime::Runtime::new()?.block_on(prepare(&data, &arguments.size))?;
    let server = Server::start(temporary.path(), &data)?;
    let last = device(arguments.size.devices - 1);
    let (page, search) = (arguments.size.devices / 100, last.as_str());
    for (what, path, holds) in [
        ("overview page", "/".to_owned(), "</html>"),
        ("its API", "/api/v1/status".to_owned(), "\"readings\""),
        ("device list page", "/devices".to_owned(), "</html>"),
        ("its API", "/api/v1/devices".to_owned(), "\"devices\""),
        ("device list by readings, in the middle", format!("/devices?sort=readings&page={page}"), "</html>"),
        ("device list, one found by its name", format!("/devices?search={search}"), search),
    ] {
        server.show(what, &path, holds)?;
    }
    Ok(())
}

fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Makes the store, unless it is there.
async fn prepare(data: &Path, size: &Size) -> io::Result<()> {
    let store = Store::open(data, Options::default()).map_err(io::Error::other)?;
    if store.health().channels == 0 {
        let began = Instant::now();
        fill(&store, size).await;
        say(format_args!("filled in {:.0} s", began.elapsed().as_secs_f64()))?;
    }
    let counts = store.reader().stats().map_err(io::Error::other)?;
    say(format_args!("{} channels, {} readings, over HTTP:", store.health().channels, counts.readings))?;
    store.close().await;
    Ok(())
}

/// A head-end with that store. Killed when dropped.
struct Server {
    process: Child,
    address: String,
    cookie: String,
}

impl Server {
    fn start(directory: &Path, data: &Path) -> io::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.to_string();
        let file = directory.join("loggerhead.toml");
        let configuration = format!(
            "data_dir = \"{}\"\n[web]\naddress = \"{address}\"\n[log]\nlevel = \"warn\"\n[[listener]]\nprotocol = \"logger\"\n\
             address = [\"127.0.0.1:0\"]\nenroll = \"refuse\"\n",
            data.display()
        );
        std::fs::write(&file, configuration)?;
        // Secrets that others may read draw a warning.
        std::fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let process = Command::new(env!("CARGO_BIN_EXE_loggerhead")).arg("serve").arg("--config").arg(&file).spawn()?;
        let mut server = Self { process, address, cookie: String::new() };
        let began = Instant::now();
        // Until it serves, nobody answers.
        while server.post_privately(data, "/api/v1/accounts", ACCOUNT).is_err() {
            if let Some(status) = server.process.try_wait()? {
                return Err(io::Error::other(format!("the server ended early: {status}")));
            }
            if began.elapsed() > START_WITHIN {
                return Err(io::Error::other("the server does not start"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let signed_in = server.ask("POST", "/api/v1/session", SIGN_IN)?;
        let cookie = signed_in.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
        let cookie = cookie.ok_or_else(|| io::Error::other(format!("no sign-in: {signed_in}")))?;
        cookie.clone_into(&mut server.cookie);
        Ok(server)
    }

    /// Asks on the socket that is for administrators of this machine.
    fn post_privately(&self, data: &Path, path: &str, body: &str) -> io::Result<()> {
        let mut stream = UnixStream::connect(data.join("api.sock"))?;
        stream.write_all(self.request("POST", path, body).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        // It may be there from a run before.
        if answer.contains(" 201 ") || answer.contains(" 409 ") { Ok(()) } else { Err(io::Error::other(answer)) }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let json = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nCookie: {}\r\nContent-Length: {}\r\n{json}\r\n{body}",
            self.address,
            self.cookie,
            body.len()
        )
    }

    /// What is answered, with its head.
    fn ask(&self, method: &str, path: &str, body: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.write_all(self.request(method, path, body).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Asks for `path` many times and prints how long it took until the last byte of the answer, which has to hold `holds`.
    fn show(&self, what: &str, path: &str, holds: &str) -> io::Result<()> {
        let mut times = Vec::with_capacity(TIMES);
        let mut bytes = 0;
        for _ in 0..TIMES {
            let began = Instant::now();
            let answer = self.ask("GET", path, "")?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            if !answer.starts_with("HTTP/1.0 200 ") || !answer.contains(holds) {
                return Err(io::Error::other(format!("{path}: {}", answer.get(..400).unwrap_or(&answer))));
            }
            bytes = answer.len();
        }
        times.sort_by(f64::total_cmp);
        let median = times.get(TIMES / 2).copied().unwrap_or_default();
        let most = times.last().copied().unwrap_or_default();
        say(format_args!("{median:>10.2} ms, at most {most:>8.2} | {what}: {path} ({bytes} bytes) | goal {GOAL}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both only fail when it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
