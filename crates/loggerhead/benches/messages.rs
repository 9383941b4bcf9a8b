//! What a head-end bears of people and apps: line commands, chat over WebSocket and camera apps, all on one server, with
//! clients of this process on the same cores, over loopback, and real syncs to the disk that holds the build directory.
//!
//! `cargo bench -p loggerhead --bench messages [-- [--quick] [idle|room|alarm]...]`
//!
//! Figures stand beside their goals. `--quick` shows in a minute whether all of it works; its figures say little. All 30,000
//! users at once need 31,000 open files, here and in the server; where the system allows fewer, the protocols come one after
//! another.

use std::fs::Permissions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Listeners that take everybody with the secret, and a camera that everybody may bind.
const CONFIGURATION: &str = r#"
[[listener]]
name = "line"
protocol = "line"
address = ["127.0.0.1:0"]
enroll = "accept"
connections_max = 20000
connections_per_address_max = 20000
secrets = ["text:123456"]
[listener.line]
encoding = "utf-8"
idle_s = 0
[[listener]]
name = "chat"
protocol = "chat"
address = ["127.0.0.1:0"]
enroll = "accept"
connections_max = 20000
connections_per_address_max = 20000
secrets = ["text:123456"]
[listener.chat]
rate = 1000
ping_s = 3600
silence_s = 7200
[[listener]]
name = "camera"
protocol = "camera"
address = ["127.0.0.1:0"]
enroll = "accept"
connections_max = 20000
connections_per_address_max = 20000
secrets = ["text:123456"]
[listener.camera]
reply_names = "short"
accounts_per_camera_max = 10000
[[device]]
protocol = "camera"
identity = "yard"
secret = "text:k"
[device.camera]
kind = "camera"
[web]
address = "off"
"#;
const PROTOCOLS: [&str; 3] = ["line", "chat", "camera"];
/// How long the server may take to start, and clients to be let in.
const WITHIN: Duration = Duration::from_mins(10);
/// How often the server is asked whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Memory is looked at this often until it falls no more: what logins needed is given back in between.
const SETTLING: Duration = Duration::from_secs(1);
/// Looks without a lower figure after which memory is settled.
const SETTLED_AFTER: u32 = 5;
/// Users before those that are measured.
const FIRST: usize = 10;
/// Clients that log in at a time.
const LOGINS: usize = 200;
/// Messages a second in the room, by as many people at a time.
const ROOM_RATE: u32 = 100;
const SPEAKERS: u32 = 4;
/// Between two alarms.
const ALARM_EVERY: Duration = Duration::from_millis(250);
/// What is sent last takes at most so long.
const LAST_WITHIN: Duration = Duration::from_secs(5);

/// Open files beside those of idle users: listeners, the store, the standard streams, and clients that came before.
const FILES_BESIDE: usize = 1_000;

/// The parts of the benchmark.
const PARTS: [&str; 3] = ["idle", "room", "alarm"];

/// How much of it.
struct Scale {
    idle: usize,
    listeners: usize,
    seconds: u32,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo itself says `--bench`.
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let wanted: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|name| !PARTS.contains(name)) {
        return Err(io::Error::other(format!("there is no part {unknown}; there are: {}", PARTS.join(", "))));
    }
    let scale = if quick {
        Scale { idle: 1_000, listeners: 50, seconds: 2 }
    } else {
        Scale { idle: 10_000, listeners: 1_000, seconds: 20 }
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let is_wanted = |part: &str| wanted.is_empty() || wanted.contains(&part);
    if is_wanted("idle") {
        let (users, files) = (scale.idle, allowed_files(PROTOCOLS.len() * scale.idle + FILES_BESIDE)?);
        if files >= PROTOCOLS.len() * users + FILES_BESIDE {
            runtime.block_on(idle(users, &PROTOCOLS))?;
        } else if files >= users + FILES_BESIDE {
            say(format_args!(
                "\n{files} files may be open: the protocols come one after another. All at once need {}: raise `ulimit -Hn`",
                PROTOCOLS.len() * users + FILES_BESIDE
            ))?;
            for protocol in PROTOCOLS {
                runtime.block_on(idle(users, &[protocol]))?;
            }
        } else {
            let needed = users + FILES_BESIDE;
            return Err(io::Error::other(format!(
                "{files} files may be open, {needed} are needed: raise `ulimit -Hn`"
            )));
        }
    }
    if is_wanted("room") {
        runtime.block_on(room(&scale))?;
    }
    if is_wanted("alarm") {
        runtime.block_on(alarm(&scale))?;
    }
    Ok(())
}

fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Prints a figure beside its goal.
fn figure(what: &str, measured: &str, goal: &str) -> io::Result<()> {
    say(format_args!("  {what:<52} {measured:>16}   {goal}"))
}

/// How many files may be open, once as many as are wanted were asked for: here, and so in servers that are started.
fn allowed_files(wanted: usize) -> io::Result<usize> {
    let wanted = u64::try_from(wanted).map_err(io::Error::other)?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Only who may raise its hard limit gets more than that.
    if most >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_err() {
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    }
    let (files, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(usize::try_from(files).unwrap_or(usize::MAX))
}

/// So many users of each of these protocols at once, saying nothing.
async fn idle(users: usize, protocols: &[&'static str]) -> io::Result<()> {
    let names = protocols.join(", ");
    say(format_args!("\nidle: {users} users of {names} each, who enrol, logged in at once and silent"))?;
    let server = Server::start()?;
    let mut all = Vec::new();
    // What is needed once, however many there are, is there after the first ones.
    for protocol in protocols {
        drop(crowd(&server, protocol, "first", FIRST).await?);
    }
    server.wait_for_connections(0)?;
    for protocol in protocols {
        let before = server.settled_kib()?;
        let began = Instant::now();
        all.push(crowd(&server, protocol, "idle", users).await?);
        let arrival = began.elapsed();
        let each = server.settled_kib()?.saturating_sub(before) * 1024 / users as u64;
        let goal = if *protocol == "chat" { "8,192" } else { "4,096" };
        figure(
            &format!("memory of one of {protocol}, its account included"),
            &format!("{each} bytes"),
            &format!("goal {goal} bytes"),
        )?;
        figure("until all were logged in", &format!("{:.1} s", arrival.as_secs_f64()), "")?;
    }
    let connections = server.connections()?;
    figure("connections at once", &connections.to_string(), &format!("goal {}", users * protocols.len()))
}

/// What is said in a room, until each member has it.
async fn room(scale: &Scale) -> io::Result<()> {
    say(format_args!("\nroom: {} members, {ROOM_RATE} messages a second", scale.listeners))?;
    let server = Server::start()?;
    let mut members = crowd(&server, "chat", "member", scale.listeners).await?;
    for member in &mut members {
        member.text(r#"{"type":"join","room":"a"}"#).await?;
        member.wait_for(r#"{"type":"joined""#).await?;
    }
    let mut speakers = Vec::new();
    for mut speaker in crowd(&server, "chat", "speaker", SPEAKERS as usize).await? {
        speaker.text(r#"{"type":"join","room":"a"}"#).await?;
        speaker.wait_for(r#"{"type":"joined""#).await?;
        let (mut reader, writer) = speaker.stream.into_split();
        // Who speaks has to take what it is sent as well.
        tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
        speakers.push(writer);
    }
    // What they were told of each other's coming is no part of what is measured.
    for member in &mut members {
        member.text(r#"{"type":"ping"}"#).await?;
        member.wait_for(r#"{"type":"pong""#).await?;
    }
    let began = Instant::now();
    let heard = tokio::spawn(hear(members, r#""text":"t"#, began, scale.seconds));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / ROOM_RATE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let count = ROOM_RATE * scale.seconds;
    for number in 0..count {
        ticks.tick().await;
        let speaker = speakers.get_mut((number % SPEAKERS) as usize).ok_or(io::ErrorKind::NotFound)?;
        let (id, at) = (format!("6f9619ff-8b86-4d01-b42d-{number:012x}"), began.elapsed().as_micros());
        let text = format!(r#"{{"type":"say","id":"{id}","room":"a","text":"t{at}"}}"#);
        speaker.write_all(&frame(&text)?).await?;
    }
    report("delivery", heard.await.map_err(io::Error::other)??, scale.listeners * count as usize)
}

/// An alarm of a camera, until each app that has it is told.
async fn alarm(scale: &Scale) -> io::Result<()> {
    say(format_args!("\nalarm: {} apps that have the camera", scale.listeners))?;
    let server = Server::start()?;
    let mut apps = crowd(&server, "camera", "app", scale.listeners).await?;
    for app in &mut apps {
        app.line("UploadCaramer yard|k|1|1").await?;
        app.wait_for("UploadSucess").await?;
    }
    let mut camera = Client::open(server.address("camera")?).await?;
    camera.line("CameraLogin yard|k").await?;
    camera.wait_for("CameraLoginOk").await?;
    let began = Instant::now();
    let heard = tokio::spawn(hear(apps, "PrushCaramerAlarmInfo yard:t", began, scale.seconds));
    let count = scale.seconds * 4;
    let mut ticks = tokio::time::interval(ALARM_EVERY);
    for number in 0..count {
        ticks.tick().await;
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_millis();
        camera.line(&format!("CameraAlarm {number}|t{}|{unix_ms}", began.elapsed().as_micros())).await?;
    }
    report("push", heard.await.map_err(io::Error::other)??, scale.listeners * count as usize)
}

/// Prints how long it took until it was heard.
fn report(what: &str, mut heard: Vec<Duration>, expected: usize) -> io::Result<()> {
    heard.sort_unstable();
    let share = |per_mille: usize| {
        let place = (heard.len() * per_mille / 1000).min(heard.len().saturating_sub(1));
        format!("{:.1} ms", heard.get(place).copied().unwrap_or_default().as_secs_f64() * 1e3)
    };
    figure("received", &heard.len().to_string(), &format!("goal {expected}"))?;
    figure(&format!("{what} p50"), &share(500), "")?;
    figure(&format!("{what} p99"), &share(990), "goal 100 ms")?;
    figure(&format!("{what} longest"), &share(1000), "")
}

/// Hears what is said behind a mark: the microseconds since `began` at which it was said.
async fn hear(clients: Vec<Client>, mark: &'static str, began: Instant, seconds: u32) -> io::Result<Vec<Duration>> {
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds.into()) + LAST_WITHIN;
    let mut listening = JoinSet::new();
    for mut client in clients {
        listening.spawn(async move {
            let mut heard = Vec::new();
            while let Ok(Ok(())) = tokio::time::timeout_at(end, client.read()).await {
                let now = began.elapsed();
                while let Some(at) = client.number_after(mark) {
                    heard.push(now.saturating_sub(Duration::from_micros(at)));
                }
            }
            heard
        });
    }
    let mut all = Vec::new();
    while let Some(heard) = listening.join_next().await {
        all.extend(heard.map_err(io::Error::other)?);
    }
    Ok(all)
}

/// So many users that are logged in.
async fn crowd(server: &Server, protocol: &'static str, name: &str, count: usize) -> io::Result<Vec<Client>> {
    let (address, places) = (server.address(protocol)?, Arc::new(Semaphore::new(LOGINS)));
    let mut entering = JoinSet::new();
    for number in 0..count {
        let (address, places, name) = (address.clone(), Arc::clone(&places), format!("{name}{number}"));
        entering.spawn(async move {
            let _place = places.acquire().await.map_err(io::Error::other)?;
            let entered = Client::enter(protocol, address, &name);
            tokio::time::timeout(WITHIN, entered).await.map_err(io::Error::other)?
        });
    }
    let mut crowd = Vec::with_capacity(count);
    while let Some(client) = entering.join_next().await {
        crowd.push(client.map_err(io::Error::other)??);
    }
    Ok(crowd)
}

/// A text in a frame, which a client has to mask; this mask changes nothing.
fn frame(text: &str) -> io::Result<Vec<u8>> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length) if length <= 125 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 0x7e);
            frame.extend(u16::try_from(text.len()).map_err(io::Error::other)?.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    Ok(frame)
}

/// A client with what it was sent and has not looked at.
struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    async fn open(address: String) -> io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(address).await?, received: Vec::new() })
    }

    /// One that is logged in.
    async fn enter(protocol: &str, address: String, name: &str) -> io::Result<Self> {
        let mut client = Self::open(address).await?;
        match protocol {
            "line" => {
                client.line(&format!("Check {name} 123456")).await?;
                client.wait_for("登录成功").await?;
            }
            "chat" => {
                client
                    .line(
                        "GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                    )
                    .await?;
                client.wait_for("\r\n\r\n").await?;
                client.text(&format!(r#"{{"type":"login","name":"{name}","secret":"123456"}}"#)).await?;
                client.wait_for(r#"{"type":"welcome""#).await?;
            }
            _ => {
                client.line(&format!("Login {name}|123456")).await?;
                client.wait_for("LoginOk").await?;
            }
        }
        client.received = Vec::new();
        Ok(client)
    }

    async fn line(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await
    }

    async fn text(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&frame(text)?).await
    }

    async fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.received.extend(bytes.iter().take(count));
        Ok(())
    }

    async fn wait_for(&mut self, text: &str) -> io::Result<()> {
        while self.take_through(text.as_bytes()).is_none() {
            self.read().await?;
        }
        Ok(())
    }

    /// Drops what was received up to a text and behind it.
    fn take_through(&mut self, text: &[u8]) -> Option<()> {
        let place = self.received.windows(text.len()).position(|window| window == text)?;
        self.received.drain(..place + text.len());
        Some(())
    }

    /// The next whole number behind a mark.
    fn number_after(&mut self, mark: &str) -> Option<u64> {
        let place = self.received.windows(mark.len()).position(|window| window == mark.as_bytes())? + mark.len();
        let digits: String = self
            .received
            .get(place..)?
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .map(|byte| char::from(*byte))
            .collect();
        // What ends the number has to be there.
        self.received.get(place + digits.len())?;
        self.received.drain(..place + digits.len());
        digits.parse().ok()
    }
}

/// A head-end of its own, with an empty store. It ends with its part.
struct Server {
    process: Child,
    directory: PathBuf,
}

impl Server {
    fn start() -> io::Result<Self> {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("messages");
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        let file = directory.join("loggerhead.toml");
        std::fs::write(&file, format!("data_dir = \"{}\"\n{CONFIGURATION}", directory.join("data").display()))?;
        // Secrets that others may read draw a warning.
        std::fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_loggerhead"));
        command.arg("serve").arg("--config").arg(&file).args(["--set", "log.level=error"]);
        let mut server = Self { process: command.spawn()?, directory };
        let began = Instant::now();
        while server.address("camera").is_err() {
            if let Some(status) = server.process.try_wait()? {
                return Err(io::Error::other(format!("the server ended early: {status}")));
            }
            if began.elapsed() > WITHIN {
                return Err(io::Error::other("the server does not start"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(server)
    }

    /// What its API answers.
    fn ask(&self, path: &str) -> io::Result<Value> {
        let mut stream = UnixStream::connect(self.directory.join("data/api.sock"))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (_, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
        Ok(serde_json::from_str(body)?)
    }

    fn listeners(&self) -> io::Result<Vec<Value>> {
        let listeners = self.ask("/api/v1/listeners")?;
        Ok(listeners.pointer("/listeners").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Where a protocol is spoken.
    fn address(&self, protocol: &str) -> io::Result<String> {
        let listeners = self.listeners()?;
        let own = listeners.iter().find(|one| one.pointer("/protocol").and_then(Value::as_str) == Some(protocol));
        let address = own.and_then(|own| own.pointer("/addresses/0")?.as_str());
        address.map(str::to_owned).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Connections of all listeners.
    fn connections(&self) -> io::Result<u64> {
        Ok(self.listeners()?.iter().filter_map(|one| one.pointer("/connections")?.as_u64()).sum())
    }

    /// Waits until it has noticed that all others are gone.
    fn wait_for_connections(&self, count: u64) -> io::Result<()> {
        let began = Instant::now();
        while self.connections()? != count {
            if began.elapsed() > WITHIN {
                return Err(io::Error::other("connections that were closed still count"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Its resident memory, when it falls no more.
    fn settled_kib(&self) -> io::Result<u64> {
        let (mut least, mut looks) = (u64::MAX, 0);
        while looks < SETTLED_AFTER {
            std::thread::sleep(SETTLING);
            let now = self.resident_kib()?;
            looks = if now < least { 0 } else { looks + 1 };
            least = least.min(now);
        }
        Ok(least)
    }

    fn resident_kib(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(Path::new("/proc").join(self.process.id().to_string()).join("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        resident.and_then(|text| text.split_whitespace().next()?.parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Each only fails when it is done already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
