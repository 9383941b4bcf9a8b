//! Line commands as their own process: telnet and nc, the small servers, and kills.

mod wording;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use crate::support::{HeadEnd, PATIENCE, exported, run};

/// How often the server is killed.
const KILLS: u32 = 20;
const LOGGED_IN: &str = "登录成功";

fn configuration(address: &str, settings: &str) -> String {
    let account = |name: &str| {
        format!(
            "[[device]]\nid = \"user-{name}\"\nprotocol = \"line\"\nidentity = \"{name}\"\nsecret = \"text:123456\"\n"
        )
    };
    format!(
        "[[listener]]\nname = \"chat\"\nprotocol = \"line\"\naddress = [\"{address}\"]\n\
         [listener.line]\nencoding = \"utf-8\"\nrate = 100000\n{settings}\n{}{}",
        account("1"),
        account("2")
    )
}

fn address(head_end: &HeadEnd) -> String {
    head_end.addresses_of("chat").first().expect("the listener listens").clone()
}

/// A program of another maker at the other end of a line. Killed when dropped.
pub(crate) struct Terminal {
    process: Child,
    keys: ChildStdin,
    lines: Receiver<String>,
}

impl Terminal {
    pub(crate) fn open(program: &str, arguments: &[&str], address: &str) -> Self {
        let (host, port) = address.rsplit_once(':').expect("HOST:PORT");
        let mut command = Command::new(program);
        command.args(arguments).args([host, port]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; ./check installs it"));
        let keys = process.stdin.take().expect("it is piped");
        let output = process.stdout.take().expect("it is piped");
        let (said, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, keys, lines }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.keys, "{line}").expect("it reads");
    }

    /// The next line.
    pub(crate) fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    /// Waits for a line that begins like this.
    pub(crate) fn wait_for(&self, start: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|error| panic!("no line {start:?}: {error}"));
            if line.starts_with(start) {
                return line;
            }
        }
    }

    pub(crate) fn login(&mut self, name: &str) {
        self.wait_for("Welcome to SuperSocket Chat Server");
        self.say(&format!("Check {name} 123456"));
        self.wait_for(LOGGED_IN);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_proxy_says_who_is_behind_it() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let configuration =
        configuration("127.0.0.1:0", "").replace("[listener.line]", "proxies = [\"127.0.0.1\"]\n[listener.line]");
    let head_end = HeadEnd::start(directory.path(), &configuration);
    // Whoever comes from a proxy and does not say for whom is sent away without an answer.
    let mut silent = TcpStream::connect(address(&head_end)).expect("it listens");
    silent.write_all(b"Check 1 123456 123456\r\n").expect("it reads");
    let mut answer = Vec::new();
    let _reset = silent.read_to_end(&mut answer);
    assert_eq!(String::from_utf8_lossy(&answer), "");
    let mut proxy = TcpStream::connect(address(&head_end)).expect("it listens");
    proxy.write_all(b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 2020\r\nCheck 1 123456\r\n").expect("it reads");
    let lines = BufReader::new(proxy.try_clone().expect("a socket")).lines();
    lines.map_while(Result::ok).find(|line| line.starts_with(LOGGED_IN)).expect("it is let in");
    let shown = run(&["device", "show", "user-1", "--data", &head_end.data().display().to_string()]);
    assert!(shown.contains("192.0.2.7:4711"), "{shown}");
    assert!(head_end.stop().success());
}

#[test]
fn telnet_and_nc_talk_to_each_other_and_find_what_was_said_while_they_were_away() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &configuration("127.0.0.1:0", "chat_text = \"rest\""));
    let mut telnet = Terminal::open("telnet", &[], &address(&head_end));
    telnet.login("1");
    telnet.say("Chat 2 早上好 2");
    telnet.wait_for("消息未发送成功");
    let mut nc = Terminal::open("nc", &["-C"], &address(&head_end));
    nc.login("2");
    let waited = nc.wait_for("1 给你发送消息:早上好 2 ");
    nc.say(&format!("Confirm {}", waited.rsplit(' ').next().expect("its name")));
    nc.say("HB R");
    nc.wait_for("R");
    nc.say("chat 1 and to you");
    telnet.wait_for("2 给你发消息:and to you ");
    let mut other = Terminal::open("nc", &["-C"], &address(&head_end));
    other.login("2");
    nc.wait_for("您的账号已经在他处登录,您已经被踢下线了");
    other.say("HB R");
    assert_eq!(other.lines.recv_timeout(PATIENCE).as_deref(), Ok("R"), "what was confirmed does not come again");
    let data = head_end.data();
    assert!(head_end.stop().success());
    assert!(format!("{:?}", exported(&data)).contains("早上好 2"), "it stands among the readings");
}

#[test]
fn the_example_is_right_and_its_small_servers_answer() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/line.toml");
    let said = run(&["check", "--config", example]);
    assert!(said.contains("listener chat-utf-8: line on 127.0.0.1:2022"), "{said}");
    let directory = tempfile::tempdir().expect("a directory for this test");
    for (program, sent, expected) in [
        ("hello", &b"x"[..], &b"Hello,you are connected!\n\0"[..]),
        ("prompt", b"x", b"welcome !!!\n\0Please enter the data:\0"),
        ("upper", b"ping", b"PING"),
        ("echo", b"\0\r\n", b"\0\r\n"),
    ] {
        let settings = format!("program = \"{program}\"");
        let head_end = HeadEnd::start(directory.path(), &configuration("127.0.0.1:0", &settings));
        let mut line = TcpStream::connect(address(&head_end)).expect("it listens");
        line.write_all(sent).expect("it reads");
        let mut answer = vec![0; expected.len()];
        line.read_exact(&mut answer).expect("it answers");
        assert_eq!(answer, expected, "{program}");
    }
}

#[test]
fn datagrams_are_answered_to_their_sender_and_each_sender_is_another_user() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let settings = configuration("udp:127.0.0.1:0", "reply_end = \"none\"");
    let echo = "[[listener]]\nname = \"echo\"\nprotocol = \"line\"\naddress = [\"udp:[::1]:0\"]\n\
                [listener.line]\nprogram = \"echo\"\n";
    let head_end = HeadEnd::start(directory.path(), &format!("{echo}{settings}"));
    let peer = |listener: &str| {
        let address = head_end.addresses_of(listener).first().expect("the listener listens").clone();
        let address = address.strip_prefix("udp:").expect("UDP").to_owned();
        let host = if address.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" };
        let socket = UdpSocket::bind(host).expect("a free port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket has one");
        socket.connect(address).expect("UDP connects to anything");
        socket
    };
    let ask = |socket: &UdpSocket, sent: &str| {
        socket.send(sent.as_bytes()).expect("sent");
    };
    let hear = |socket: &UdpSocket| {
        let mut bytes = [0; 2_000];
        let count = socket.recv(&mut bytes).expect("an answer");
        String::from_utf8_lossy(bytes.get(..count).expect("it fits")).into_owned()
    };
    let (one, two) = (peer("chat"), peer("chat"));
    for (socket, name) in [(&one, "1"), (&two, "2")] {
        ask(socket, &format!("Check {name} 123456\r\n"));
        assert_eq!(hear(socket), "Welcome to SuperSocket Chat Server");
        assert_eq!(hear(socket), LOGGED_IN);
    }
    ask(&one, "Chat 2 hello\r\nHB R\r\n");
    assert_eq!(hear(&one), "R");
    assert!(hear(&two).starts_with("1 给你发消息:hello "));
    let echo = peer("echo");
    for sent in ["first", "second"] {
        ask(&echo, sent);
        assert_eq!(hear(&echo), sent);
    }
    assert!(head_end.stop().success());
}

/// A user of our own, over a Unix socket, which connects again as long as it has to.
struct User {
    path: PathBuf,
    name: &'static str,
    line: Option<BufReader<UnixStream>>,
}

impl User {
    fn new(path: &Path, name: &'static str) -> Self {
        Self { path: path.to_owned(), name, line: None }
    }

    /// One try to get in.
    fn enter(&mut self) -> Option<()> {
        let stream = UnixStream::connect(&self.path).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has one");
        self.line = Some(BufReader::new(stream));
        self.say(&format!("Check {} 123456", self.name))?;
        while self.hear()? != LOGGED_IN {}
        Some(())
    }

    /// None: the connection is gone.
    fn say(&mut self, text: &str) -> Option<()> {
        let line = self.line.as_mut()?;
        let said = line.get_mut().write_all(format!("{text}\r\n").as_bytes());
        said.map_err(|_| self.line = None).ok()
    }

    fn hear(&mut self) -> Option<String> {
        let line = self.line.as_mut()?;
        let mut text = String::new();
        match line.read_line(&mut text) {
            Ok(count) if count > 0 && text.ends_with('\n') => Some(text.trim_end().to_owned()),
            _ => {
                self.line = None;
                None
            }
        }
    }
}

/// Says numbers until it is told to stop; those that were accepted.
fn speak(path: &Path, stop: &AtomicBool) -> Vec<u32> {
    let (mut user, mut accepted, mut number) = (User::new(path, "1"), Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        if user.line.is_none() && user.enter().is_none() {
            continue;
        }
        number += 1;
        let mut round = || {
            user.say(&format!("Chat 2 {number}"))?;
            user.say("HB R")?;
            // Whether 2 is there is not the question, only that the answer comes after the commit.
            loop {
                match user.hear()?.as_str() {
                    "R" => return Some(true),
                    "消息未发送成功" => {}
                    _ => return Some(false),
                }
            }
        };
        if round() == Some(true) {
            accepted.push(number);
        }
    }
    accepted
}

/// Takes and confirms messages until `all` of them have come; each number in the order in which it came first.
fn listen(path: &Path, last: &Receiver<u32>) -> Vec<u32> {
    let mut user = User::new(path, "2");
    let (mut numbers, mut confirmed, mut unsure) = (Vec::new(), BTreeSet::new(), Vec::<String>::new());
    // So many of the unsure ones were confirmed before the heartbeat that is under way.
    let mut before = 0;
    let (mut end, mut come) = (None, BTreeSet::new());
    let deadline = Instant::now() + PATIENCE * 3;
    loop {
        assert!(Instant::now() < deadline, "only {} messages came", numbers.len());
        end = end.or_else(|| last.try_recv().ok());
        if end.is_some_and(|end| come.contains(&end)) {
            return numbers;
        }
        if user.line.is_none() {
            // Whether a confirmation that was not answered is stored, nobody knows.
            unsure.clear();
            before = 0;
            if user.enter().is_none() || user.say("HB R").is_none() {
                continue;
            }
        }
        let Some(line) = user.hear() else { continue };
        if line == "R" {
            confirmed.extend(unsure.drain(..before));
            before = unsure.len();
            let _ = user.say("HB R");
            continue;
        }
        let (said, id) = line.rsplit_once(' ').expect("a message has a name");
        assert!(!confirmed.contains(id), "{line} was confirmed, and came again");
        let number: u32 = said.rsplit(':').next().expect("its text").parse().expect("a number");
        if come.insert(number) {
            numbers.push(number);
        }
        if user.say(&format!("Confirm {id}")).is_some() {
            unsure.push(id.to_owned());
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "what a long test has shown")]
fn no_accepted_message_is_lost_and_no_confirmed_one_comes_again_by_kills() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let path = directory.path().join("chat.sock");
    let configuration = configuration(&format!("unix:{}", path.display()), "queue_messages_max = 1000000");
    let mut head_end = HeadEnd::start(directory.path(), &configuration);
    let stop = Arc::new(AtomicBool::new(false));
    let speaker = std::thread::spawn({
        let (path, stop) = (path.clone(), Arc::clone(&stop));
        move || speak(&path, &stop)
    });
    let (tell, last) = channel();
    let listener = std::thread::spawn(move || listen(&path, &last));
    for kill in 0..KILLS {
        std::thread::sleep(std::time::Duration::from_millis(u64::from(kill) * 37 % 200));
        head_end.kill();
        head_end = HeadEnd::start(directory.path(), &configuration);
    }
    stop.store(true, Ordering::Relaxed);
    let accepted = speaker.join().expect("the speaker");
    let end = *accepted.last().expect("something was accepted");
    tell.send(end).expect("the listener waits for it");
    let numbers = listener.join().expect("the listener");
    println!("{} accepted over {KILLS} kills, {} came", accepted.len(), numbers.len());
    assert!(numbers.is_sorted(), "in the order in which they were said: {numbers:?}");
    let came: BTreeSet<_> = numbers.into_iter().collect();
    for number in accepted {
        assert!(came.contains(&number), "{number} was accepted and never came");
    }
    assert!(head_end.stop().success());
}
