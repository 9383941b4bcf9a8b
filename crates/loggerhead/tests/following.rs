//! Following what is read live, over both transports, while the head-end is killed: nobody misses a reading or sees one twice.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Api, HeadEnd, LOGGERS, PATIENCE, Simulation, journalled};

/// How often the head-end is killed.
const KILLS: u32 = 3;
/// Readings that are acknowledged between two kills.
const READINGS_BETWEEN_KILLS: usize = 300;
/// Longest message that a subscriber is told here: a packet of a simulated logger is far below.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// The opcode of a message.
const TEXT: u8 = 1;

/// How often each reading was told, by device, channel and moment.
type Told = BTreeMap<String, u32>;

/// Opens a stream of a server with this data after an id, and gives ids and messages for as long as they are wanted.
type Follow = fn(&Path, &str, &mut dyn FnMut(&str, Value) -> bool);

/// A subscriber that comes back with the last id that it saw.
struct Follower {
    data: PathBuf,
    /// How it follows.
    follow: Follow,
    last: String,
    told: Told,
}

impl Follower {
    fn new(data: &Path, follow: Follow) -> Self {
        Self { data: data.to_owned(), follow, last: "0".to_owned(), told: Told::new() }
    }

    /// Sees what there is until `count` readings were told in all, and leaves in the middle of the stream.
    fn see(&mut self, count: usize) {
        let Self { data, follow, last, told } = self;
        follow(data, &last.clone(), &mut |id, message| {
            id.clone_into(last);
            for reading in message.get("readings").and_then(Value::as_array).into_iter().flatten() {
                let key = [text(&message, "device"), text(reading, "meter"), text(reading, "function")];
                // What all readings of a packet have in common is said once.
                let moment = message.get("measured_at").or(reading.get("measured_at"));
                let moment = moment.and_then(Value::as_str).expect("a moment");
                *told.entry(format!("{} {moment}", key.join(" "))).or_default() += 1;
            }
            told.len() < count
        });
    }
}

fn text<'a>(message: &'a Value, key: &str) -> &'a str {
    message.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("no {key} in {message}"))
}

fn by_events(data: &Path, last: &str, each: &mut dyn FnMut(&str, Value) -> bool) {
    let head = format!("Last-Event-ID: {last}\r\n");
    let mut live = Api::Unix(data.to_owned()).live("/api/v1/live?kinds=readings", &head);
    loop {
        let message = live.next("readings");
        if !each(&message.id, message.data) {
            return;
        }
    }
}

fn by_websocket(data: &Path, last: &str, each: &mut dyn FnMut(&str, Value) -> bool) {
    let mut stream = UnixStream::connect(data.join("api.sock")).expect("the API listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let request = format!(
        "GET /api/v1/live/ws?kinds=readings&from={last} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("the API reads");
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).expect("an answer");
    assert!(line.contains(" 101 "), "{line}");
    while line.trim_end() != "" {
        line.clear();
        stream.read_line(&mut line).expect("a head");
    }
    loop {
        let (opcode, payload) = frame(&mut stream);
        if opcode != TEXT {
            continue;
        }
        let message: Value = serde_json::from_slice(&payload).expect("a message is JSON");
        let readings = message.get("data").filter(|_| text(&message, "event") == "readings");
        if readings.is_some_and(|readings| !each(text(&message, "id"), readings.clone())) {
            return;
        }
    }
}

/// The next frame: its opcode and what it says.
fn frame(stream: &mut BufReader<UnixStream>) -> (u8, Vec<u8>) {
    let mut bytes = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).expect("the stream goes on");
        bytes
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
    let head = bytes(2);
    let length = match number(head.split_at(1).1) {
        126 => number(&bytes(2)),
        127 => number(&bytes(8)),
        short => short,
    };
    assert!(length <= PAYLOAD_BYTES_MAX, "a message of {length} bytes");
    (head.first().copied().unwrap_or_default() & 0x0f, bytes(length))
}

#[test]
fn whoever_comes_back_after_a_kill_misses_nothing_and_sees_nothing_twice() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let socket = format!("unix:{}", directory.path().join("loggers.sock").display());
    let configuration = LOGGERS.replace("127.0.0.1:0", &socket);
    let mut head_end = HeadEnd::start(directory.path(), &configuration);
    let data = head_end.data();
    let arguments = ["--loggers", "4", "--meters", "3", "--functions", "2", "--rate", "50", "--reconnect-ms", "20"];
    let mut simulation = Simulation::start(&socket, &[&arguments[..], &["--seconds", "3600"]].concat());
    let mut followers = [Follower::new(&data, by_events), Follower::new(&data, by_websocket)];
    for kill in 1..=KILLS {
        simulation.wait_acknowledged(READINGS_BETWEEN_KILLS);
        let seen = simulation.journal().len() * 2 / 3;
        for follower in &mut followers {
            follower.see(seen);
        }
        head_end.kill();
        head_end = HeadEnd::start(directory.path(), &configuration);
        assert!(followers.iter().all(|follower| follower.told.len() >= seen), "kill {kill}");
    }
    let (result, journal) = simulation.finish();
    // What was committed and not acknowledged when a kill came was sent again, and is there once.
    let acknowledged = journalled(&journal).len();
    assert!(acknowledged > READINGS_BETWEEN_KILLS * 2, "{result}");
    for follower in &mut followers {
        follower.see(acknowledged);
        let twice: Vec<_> = follower.told.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{result}: {twice:?}");
        assert_eq!(follower.told.len(), acknowledged, "{result}");
    }
    assert!(head_end.stop().success());
}
