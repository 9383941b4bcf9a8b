//! A head-end that is killed in the middle of files.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};

use loggerhead_protocols::upload::message::digits;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Api, HeadEnd, PATIENCE, seed};

use super::{FILES, Sender, address, content, kept, names};

/// Bytes of a file: more than the buffers of everybody between sender and disk.
const FILE_BYTES: usize = 24 * 1024 * 1024;

fn head(name: &str, keys: &str) -> String {
    format!("{{\"filename\": \"{name}\", \"filesize\": {FILE_BYTES}{keys}}}")
}

#[test]
fn files_that_were_acknowledged_are_whole_and_parts_go_on_or_are_gone_after_kills() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let bytes = content(FILE_BYTES);
    let resuming = ", \"id\": \"x\", \"resume\": true";
    let mut here = 0;
    for round in 0..3 {
        let head_end = HeadEnd::start(directory.path(), FILES);
        let address = address(&head_end, "plain");
        let mut whole = Sender::to(&address);
        whole.head(&head(&format!("whole-{round}"), ", \"reply\": true"));
        whole.send(&bytes);
        assert_eq!(whole.told()["status"], "ok");
        // A part with an id, that goes further in every round, and one without.
        let mut part = Sender::to(&address);
        part.head(&head("part", resuming));
        let offset = usize::try_from(part.told()["offset"].as_u64().expect("a number")).expect("small");
        assert!(offset >= here, "{offset} of {here} bytes are left in round {round}");
        part.send(&bytes[offset..FILE_BYTES / 4 * (round + 1)]);
        let mut gone = Sender::to(&address);
        gone.head(&head("gone", ""));
        gone.send(&bytes[..FILE_BYTES / 2]);
        // What was handed to the disk before the kill is there after it: as much as buffers do not hold.
        let incoming = head_end.data().join("files/incoming");
        let wanted = (FILE_BYTES / 4 * (round + 1)).saturating_sub(4 * 1024 * 1024) as u64;
        let largest = || {
            let lengths = names(&incoming).into_iter().filter_map(|name| incoming.join(name).metadata().ok());
            lengths.map(|about| about.len()).max().unwrap_or(0)
        };
        while largest() < wanted {
            std::thread::yield_now();
        }
        here = offset;
        head_end.kill();
    }
    let mut head_end = HeadEnd::start(directory.path(), FILES);
    let incoming = head_end.data().join("files/incoming");
    assert_eq!(names(&incoming).len(), 1, "only the part that somebody may go on with is left");
    let mut part = Sender::to(&address(&head_end, "plain"));
    part.head(&head("part", resuming));
    let offset = usize::try_from(part.told()["offset"].as_u64().expect("a number")).expect("small");
    part.send(&bytes[offset..]);
    let told = part.told();
    assert_eq!((told["status"].as_str(), told["name"].as_str()), (Some("ok"), Some("part")));
    head_end.wait_for(&format!("file part of {FILE_BYTES} bytes kept"));
    let kept = kept(&head_end.data());
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|file| *file == bytes), "every file is whole");
    assert!(head_end.stop().success());
}

#[test]
fn a_newer_connection_goes_on_with_a_file_whose_sender_is_dead() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), FILES);
    let address = address(&head_end, "plain");
    let head = "{\"filename\": \"a\", \"filesize\": 6, \"id\": \"x\", \"resume\": true}";
    let mut dead = Sender::to(&address);
    dead.head(head);
    assert_eq!(dead.told()["offset"], 0);
    dead.send(b"abc");
    // It does not hang up, as a device whose network is gone does not.
    let mut alive = Sender::to(&address);
    alive.head(head);
    let offset = alive.told()["offset"].as_u64().expect("a number");
    assert!(offset == 3 || offset == 0, "{offset}");
    alive.send(&b"abcdef"[usize::try_from(offset).expect("small")..]);
    assert_eq!(alive.told()["status"], "ok");
    // Whatever the other one says now goes nowhere.
    dead.send(b"xyz");
    let said = dead.rest();
    assert!(said.contains("taken-over") || said.contains("failed"), "{said}");
    assert_eq!(kept(&head_end.data()), [b"abcdef"]);
    assert!(head_end.stop().success());
}

/// How often the head-end is killed while senders of all kinds are at it.
const KILLS: usize = 20;
/// Senders that go on where they were, and are told when a file is kept.
const RESUMING: usize = 3;
/// Kills come when so many more bytes were sent at most: in heads, in bytes, and while files are synced and named.
const BYTES_BETWEEN_KILLS_MAX: usize = 6 * 1024 * 1024;
/// Longest file of those.
const SMALL_MAX: usize = 1024 * 1024;
/// What a sender hands over at a time.
const PIECE_BYTES: usize = 32 * 1024;

/// What the senders and the test share.
struct Field {
    /// Where the head-end listens; another port after every kill.
    address: RwLock<String>,
    sent: AtomicUsize,
    kills: AtomicUsize,
    /// SHA-256 of what was acknowledged, by the name under which it is kept.
    acknowledged: Mutex<BTreeMap<String, String>>,
}

impl Field {
    fn is_over(&self) -> bool {
        self.kills.load(Ordering::Relaxed) >= KILLS
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let address = self.address.read().expect("nothing panics while it holds it").clone();
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn send(&self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(PIECE_BYTES).try_for_each(|piece| {
            self.sent.fetch_add(piece.len(), Ordering::Relaxed);
            stream.write_all(piece)
        })
    }

    /// One attempt at a file with an id, from where the head-end says; its outcome.
    fn go_on(&self, head: &Value, bytes: &[u8]) -> io::Result<Value> {
        let mut stream = self.connect()?;
        write_head(&mut stream, head)?;
        let offset = hear(&mut stream)?.get("offset").and_then(Value::as_u64).expect("its id is known, or new");
        self.send(&mut stream, bytes.get(usize::try_from(offset).expect("small")..).expect("not more than it has"))?;
        hear(&mut stream)
    }

    /// A sender that goes on with each file until it is kept, and then with the next one.
    fn resume(&self, number: usize, mut random: StdRng) {
        for file in 0.. {
            let bytes = content(random.random_range(0..SMALL_MAX));
            let (name, sum) = (format!("{number}-{file}"), sum(&bytes));
            let head = json!({"filename": name, "filesize": bytes.len(), "id": name, "resume": true, "sha256": sum});
            // What a kill breaks off is tried again, at the head-end that follows.
            let told = std::iter::repeat_with(|| self.go_on(&head, &bytes)).find_map(Result::ok).expect("an outcome");
            assert_eq!(told, json!({"status": "ok", "name": name, "sha256": sum}));
            self.acknowledged.lock().expect("nothing panics while it holds it").insert(name, sum);
            if self.is_over() {
                return;
            }
        }
    }

    /// A sender that reads nothing, and whose files nobody can go on with.
    fn send_plain(&self, mut random: StdRng) {
        while !self.is_over() {
            let bytes = content(random.random_range(0..SMALL_MAX));
            // Whether it came does not matter to it.
            let _ = self.connect().and_then(|mut stream| {
                write_head(&mut stream, &json!({"filename": "plain", "filesize": bytes.len()}))?;
                self.send(&mut stream, &bytes)
            });
        }
    }
}

/// SHA-256 as it is told.
fn sum(bytes: &[u8]) -> String {
    digits(&Sha256::digest(bytes))
}

fn write_head(stream: &mut TcpStream, head: &Value) -> io::Result<()> {
    let head = head.to_string();
    stream.write_all(&u32::try_from(head.len()).expect("short").to_le_bytes())?;
    stream.write_all(head.as_bytes())
}

fn hear(stream: &mut TcpStream) -> io::Result<Value> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut json = vec![0; usize::try_from(u32::from_le_bytes(length)).expect("short")];
    stream.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

#[test]
#[expect(clippy::print_stdout, reason = "what a long test has shown")]
fn kills_at_any_moment_lose_no_acknowledged_file_and_leave_no_part_that_nobody_can_go_on_with() {
    let mut random = StdRng::seed_from_u64(seed());
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), FILES);
    let field = Field {
        address: RwLock::new(address(&head_end, "plain")),
        sent: AtomicUsize::new(0),
        kills: AtomicUsize::new(0),
        acknowledged: Mutex::default(),
    };
    let head_end = std::thread::scope(|scope| {
        for number in 0..RESUMING {
            let (field, random) = (&field, StdRng::seed_from_u64(random.random()));
            scope.spawn(move || field.resume(number, random));
        }
        let plain = StdRng::seed_from_u64(random.random());
        scope.spawn(|| field.send_plain(plain));
        (0..KILLS).fold(head_end, |head_end, _| {
            let until = field.sent.load(Ordering::Relaxed) + random.random_range(0..BYTES_BETWEEN_KILLS_MAX);
            while field.sent.load(Ordering::Relaxed) < until {
                std::thread::yield_now();
            }
            // Nobody connects meanwhile.
            let mut place = field.address.write().expect("nothing panics while it holds it");
            head_end.kill();
            let head_end = HeadEnd::start(directory.path(), FILES);
            let parts = names(&head_end.data().join("files/incoming")).len();
            assert!(parts <= RESUMING, "{parts} parts, of which {RESUMING} senders may go on with one each");
            *place = address(&head_end, "plain");
            field.kills.fetch_add(1, Ordering::Relaxed);
            head_end
        })
    });
    // Whoever reads nothing may have sent its last file, and be gone before it was kept: at the next start it is kept or gone.
    assert!(head_end.stop().success());
    let head_end = HeadEnd::start(directory.path(), FILES);
    let data = head_end.data();
    let list = Api::Unix(data.clone()).get("/api/v1/files?limit=1000&state=complete").json();
    assert!(head_end.stop().success());
    assert!(names(&data.join("files/incoming")).is_empty(), "every part was gone on with, or is gone");
    assert!(!data.join("files/lost").exists(), "no file is without its record");
    let mut acknowledged = field.acknowledged.into_inner().expect("nothing panicked while it held it");
    println!("{} files acknowledged over {KILLS} kills", acknowledged.len());
    assert!(acknowledged.len() >= RESUMING, "too few files to show anything");
    let files = list["files"].as_array().expect("a list");
    assert_eq!(names(&data.join("files/kept")).len(), files.len(), "every file has its record");
    for file in files {
        let text = |key: &str| file[key].as_str().expect("a text");
        let bytes = std::fs::read(data.join(format!("files/kept/{}", file["number"]))).expect("it is kept");
        assert_eq!(sum(&bytes), text("sha256"), "{file}: whole, as its record says");
        if let Some(told) = acknowledged.remove(text("name")) {
            assert_eq!(told, text("sha256"), "{file}: as its sender had it");
        }
    }
    assert!(acknowledged.is_empty(), "acknowledged and not kept: {acknowledged:?}");
}
