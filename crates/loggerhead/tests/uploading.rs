//! Files over real sockets: what senders of every kind send is whole, theirs, and on disk before they are told.

mod bad;
mod killing;
mod resuming;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{HeadEnd, PATIENCE, outcome, run};

/// Listeners of files: for whoever comes from this host, and for who proves a secret.
const FILES: &str = r#"
[[listener]]
name = "plain"
protocol = "upload"
address = ["127.0.0.1:0"]

[[listener]]
name = "proven"
protocol = "upload"
address = ["127.0.0.1:0"]
secrets = ["text:password"]
[listener.upload]
auth = "any"

[[device]]
id = "here"
protocol = "upload"
identity = "127.0.0.1"
login = "name"
"#;

/// The sender of the source document in the long form, and that in the short form.
const LONG: &str = r"
import json, os, socket, struct, sys
host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
head = json.dumps({'filename': os.path.basename(path), 'filesize': os.path.getsize(path)}).encode('utf-8')
sender = socket.create_connection((host, port))
sender.send(struct.pack('i', len(head)))
sender.send(head)
with open(path, 'rb') as file:
    for piece in iter(lambda: file.read(1024), b''):
        sender.sendall(piece)
sender.close()
";
const SHORT: &str = r"
import json, os, socket, sys
host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sender = socket.create_connection((host, port))
sender.send(json.dumps({'filename': os.path.basename(path), 'filesize': os.path.getsize(path)}).encode('utf-8'))
with open(path, 'rb') as file:
    sender.sendall(file.read())
sender.close()
";
/// The client of the source document that proves itself, in both of its forms, and sends a file behind it.
const PROVEN: &str = r"
import hashlib, hmac, json, socket, struct, sys
host, port, form = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sender = socket.create_connection((host, port))
nonce = sender.recv(16, socket.MSG_WAITALL)
if form == 'hmac':
    sender.sendall(hmac.new(b'password', nonce, 'md5').digest())
else:
    sender.sendall(hashlib.md5(b'password' + nonce).hexdigest().encode())
if sender.recv(5, socket.MSG_WAITALL) != b'hello':
    sys.exit(1)
head = json.dumps({'filename': form + '.bin', 'filesize': 4}).encode()
sender.sendall(struct.pack('i', len(head)) + head + b'data')
sender.close()
";

fn address(head_end: &HeadEnd, listener: &str) -> String {
    head_end.addresses_of(listener).first().expect("the listener listens").clone()
}

/// Runs a script of Python against a listener.
fn python(script: &str, address: &str, argument: &str) {
    let (host, port) = address.rsplit_once(':').expect("an address with a port");
    let status = Command::new("python3").args(["-c", script, host, port, argument]).status();
    assert!(status.expect("python3 is there").success());
}

/// What the files that are kept hold, in the order of their numbers.
fn kept(data: &Path) -> Vec<Vec<u8>> {
    let folder = data.join("files/kept");
    let mut numbers: Vec<u64> = names(&folder).iter().map(|name| name.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers.iter().map(|number| std::fs::read(folder.join(number.to_string())).expect("it is ours")).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder of this test");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
}

/// A sender of this test.
struct Sender(TcpStream);

impl Sender {
    fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the head-end listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the head-end reads");
    }

    /// Sends a head in the long form.
    fn head(&mut self, head: &str) {
        let length = u32::try_from(head.len()).expect("short").to_le_bytes();
        self.send(&[&length[..], head.as_bytes()].concat());
    }

    /// The next answer.
    fn told(&mut self) -> serde_json::Value {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).expect("an answer");
        let mut json = vec![0; usize::try_from(u32::from_le_bytes(length)).expect("short")];
        self.0.read_exact(&mut json).expect("a whole answer");
        serde_json::from_slice(&json).expect("JSON")
    }

    /// Everything until the end of the connection.
    fn rest(mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = self.0.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// Bytes that are nowhere the same twice in a row.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn the_scripts_of_the_source_document_send_their_files() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let mut head_end = HeadEnd::start(directory.path(), FILES);
    let address = address(&head_end, "plain");
    let (path, large) = (directory.path().join("\u{4f60}.jpg"), content(3_000_000));
    std::fs::write(&path, &large).expect("a directory of this test");
    let path = path.to_str().expect("text");
    python(LONG, &address, path);
    head_end.wait_for("file \u{4f60}.jpg of 3000000 bytes kept");
    python(SHORT, &address, path);
    head_end.wait_for("file \u{4f60} (2).jpg of 3000000 bytes kept");
    let data = head_end.data();
    assert!(head_end.stop().success());
    assert!(kept(&data) == [large.clone(), large]);
    assert!(names(&data.join("files/incoming")).is_empty());
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(data.join("files/kept")).expect("a folder").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_file_comes_by_a_pipe_into_nc() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let mut head_end = HeadEnd::start(directory.path(), FILES);
    let address = address(&head_end, "plain");
    let (host, port) = address.rsplit_once(':').expect("an address");
    let mut nc = Command::new("nc").args(["-N", host, port]).stdin(Stdio::piped()).spawn().expect("nc is there");
    let mut pipe = nc.stdin.take().expect("it is piped");
    pipe.write_all(b"{\"filename\": \"log.txt\", \"filesize\": 5}hello").expect("nc reads");
    drop(pipe);
    assert!(nc.wait().expect("nc ends").success());
    head_end.wait_for("file log.txt of 5 bytes kept");
    assert_eq!(kept(&head_end.data()), [b"hello"]);
    assert!(head_end.stop().success());
}

#[test]
fn who_proves_the_secret_in_either_form_may_send() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    // Without a `login` by name, and with the secrets of its listener.
    let configuration = FILES.replace("login = \"name\"", "");
    let mut head_end = HeadEnd::start(directory.path(), &configuration);
    let (proven, plain) = (address(&head_end, "proven"), address(&head_end, "plain"));
    python(PROVEN, &proven, "hmac");
    head_end.wait_for("file hmac.bin of 4 bytes kept");
    python(PROVEN, &proven, "hex");
    head_end.wait_for("file hex.bin of 4 bytes kept");
    let mut stranger = Sender::to(&plain);
    stranger.send(b"{\"filename\": \"a\", \"filesize\": 1, \"reply\": true}x");
    assert_eq!(stranger.rest(), "", "who proves nothing hears nothing");
    assert_eq!(kept(&head_end.data()).len(), 2);
    assert!(head_end.stop().success());
}

#[test]
fn captures_are_explained() {
    // A file of three bytes in the long form, and one that breaks off in the short form.
    let long = "240000007b2266696c656e616d65223a2022312e6a7067222c202266696c6573697a65223a20337dffd8ff";
    let said = run(&["decode", "upload", "--hex", long]);
    assert!(said.contains("1.jpg") && said.contains("36 bytes"), "{said}");
    let wrong = outcome(&["decode", "upload", "--hex", "ffffffff00"]);
    assert_eq!(wrong.status.code(), Some(1), "no file begins so");
}
