//! The broker as its own process: clients of other makers, and kills.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use loggerhead_protocols::mqtt::message::Qos;

use crate::support::mqtt::{Came, Client};
use crate::support::{HeadEnd, LOGGERS, PATIENCE, Recorder, Simulation, assert_fails, exported, json, run};

/// How often the broker is killed.
const KILLS: u32 = 50;
/// Publishers, half of them with QoS 1 and half with QoS 2.
const PUBLISHERS: u32 = 4;

fn configuration(address: &str) -> String {
    format!(
        r#"
[[listener]]
name = "mqtt"
protocol = "mqtt"
address = ["{address}"]

[[device]]
id = "plant"
protocol = "mqtt"
identity = "admin"
secret = "text:123456"
"#
    )
}

/// Runs a client of another maker to its end; what it printed.
fn client(program: &str, address: &str, arguments: &[&str]) -> String {
    let (host, port) = address.rsplit_once(':').expect("HOST:PORT");
    let mut command = Command::new(program);
    command.args(["-h", host, "-p", port, "-u", "admin", "-P", "123456"]).args(arguments);
    let output = command.output().expect("mosquitto-clients are installed; ./check sees to it");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

fn start(directory: &Path) -> (HeadEnd, String) {
    let head_end = HeadEnd::start(directory, &configuration("127.0.0.1:0"));
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens").clone();
    (head_end, address)
}

// MQTT 3.1.1: 3.1.2-5 7.0.0-1 7.0.0-2 7.1.1-1 7.1.2-1
// MQTT 5.0: 4.2-1
#[test]
fn clients_of_another_maker_find_everything_after_a_kill() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let (head_end, address) = start(directory.path());
        let name = format!("wall-{version}");
        let mut lasts = vec!["-V", version, "-i", &name, "-c", "-q", "2", "-t", "plant/#"];
        if version == "mqttv5" {
            lasts.extend(["-x", "3600"]);
        }
        client("mosquitto_sub", &address, &[&lasts[..], &["-E"]].concat());
        for (qos, payload) in [("1", "one"), ("2", "two"), ("1", "three")] {
            client("mosquitto_pub", &address, &["-V", version, "-q", qos, "-t", "plant/boiler", "-m", payload]);
        }
        client("mosquitto_pub", &address, &["-V", version, "-q", "1", "-r", "-t", "kept/x", "-m", version]);
        client("mosquitto_pub", &address, &["-q", "1", "-t", &format!("readings/{version}/f"), "-m", "21.50"]);
        head_end.kill();

        let (head_end, address) = start(directory.path());
        let heard = client("mosquitto_sub", &address, &[&lasts[..], &["-C", "3", "-W", "60"]].concat());
        // Only messages of one QoS keep their order among themselves.
        let mut heard: Vec<_> = heard.lines().collect();
        heard.sort_unstable();
        assert_eq!(heard, ["one", "three", "two"], "{version}");
        let kept = client("mosquitto_sub", &address, &["-V", version, "-t", "kept/#", "-C", "1", "-W", "60"]);
        assert_eq!(kept, format!("{version}\n"));
        let data = head_end.data();
        assert!(head_end.stop().success());
        let readings = exported(&data);
        assert!(format!("{readings:?}").contains("21.50"), "{readings:?}");
    }
}

#[test]
fn a_wrong_password_is_refused_like_an_unknown_user() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (_head_end, address) = start(directory.path());
    let (host, port) = address.rsplit_once(':').expect("HOST:PORT");
    let said = [["admin", "wrong"], ["nobody", "123456"]].map(|[user, password]| {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", host, "-p", port, "-u", user, "-P", password, "-t", "t", "-m", "x"]);
        let output = command.output().expect("mosquitto-clients are installed; ./check sees to it");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    });
    assert_eq!(said[0], said[1]);
}

/// Publishes numbers until it is told to stop; how many were acknowledged.
fn publish(path: &Path, publisher: u32, stop: &AtomicBool) -> u32 {
    let qos = if publisher.is_multiple_of(2) { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
    let mut client = Client::new(path, &format!("publisher-{publisher}"));
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let id = u16::try_from(number % 60_000 + 1).expect("below 65536");
        client.publish(qos, id, &format!("t/{publisher}"), &format!("{publisher} {number}"));
        number += 1;
    }
    number
}

/// Takes everything until `all` says that it has come; how often each payload came.
fn take_all(path: &Path, stop: &AtomicBool, subscribed: &Sender<()>) -> BTreeMap<String, u32> {
    let mut client = Client::new(path, "watcher");
    let mut counts = BTreeMap::new();
    let mut quiet_since = Instant::now();
    while !client.enter() || !client.subscribe("t/#") {}
    subscribed.send(()).expect("the test waits for it");
    loop {
        match client.next(Duration::from_millis(500)) {
            Some(Came::Message(_, payload)) => {
                quiet_since = Instant::now();
                *counts.entry(payload).or_default() += 1;
            }
            Some(_) => {}
            None if stop.load(Ordering::Relaxed) && quiet_since.elapsed() > Duration::from_secs(3) => return counts,
            None => {
                let deadline = Instant::now() + PATIENCE;
                while !client.enter() {
                    assert!(Instant::now() < deadline, "the broker is not there any more");
                }
            }
        }
    }
}

// MQTT 3.1.1: 4.5.0-2 4.6.0-1
// MQTT 5.0: 4.5.0-2 4.6.0-1
#[test]
#[expect(clippy::print_stdout, reason = "what a long test has shown")]
fn no_acknowledged_message_is_lost_and_none_of_qos_2_doubled_by_kills() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let path = directory.path().join("mqtt.sock");
    let configuration = configuration(&format!("unix:{}", path.display()));
    let mut head_end = HeadEnd::start(directory.path(), &configuration);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (subscribed, is_subscribed) = channel();
    let watcher = std::thread::spawn({
        let (path, done) = (path.clone(), Arc::clone(&done));
        move || take_all(&path, &done, &subscribed)
    });
    is_subscribed.recv().expect("the watcher subscribes");
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (path, stop) = (path.clone(), Arc::clone(&stop));
            std::thread::spawn(move || publish(&path, publisher, &stop))
        })
        .collect();
    let mut pauses = (0..).map(|kill: u64| Duration::from_millis(kill * 37 % 200));
    for pause in pauses.by_ref().take(KILLS as usize) {
        std::thread::sleep(pause);
        head_end.kill();
        head_end = HeadEnd::start(directory.path(), &configuration);
    }
    stop.store(true, Ordering::Relaxed);
    let published: Vec<_> = publishers.into_iter().map(|thread| thread.join().expect("a publisher")).collect();
    done.store(true, Ordering::Relaxed);
    let counts = watcher.join().expect("the watcher");
    println!("{published:?} acknowledged over {KILLS} kills, {} received", counts.len());
    for (publisher, &count) in (0..).zip(&published) {
        assert!(count > 10, "too few messages to show anything: {published:?}");
        for number in 0..count {
            let came = counts.get(&format!("{publisher} {number}")).copied().unwrap_or(0);
            let is_right = if publisher % 2 == 0 { came >= 1 } else { came == 1 };
            assert!(is_right, "message {number} of publisher {publisher} came {came} times");
        }
    }
    assert!(head_end.stop().success());
}

/// Publishes and hears one message over WebSocket, with the client of another maker.
const OVER_WEBSOCKET: &str = r#"
import sys
import paho.mqtt.client as mqtt
client = mqtt.Client("panel", transport="websockets")
client.username_pw_set("admin", "123456")
client.on_connect = lambda client, *_: client.subscribe("plant/#", 1)
client.on_subscribe = lambda client, *_: client.publish("plant/boiler", "x" * 70000, 1)
def heard(client, _, message):
    print(message.topic, len(message.payload))
    client.disconnect()
client.on_message = heard
client.connect(sys.argv[1], int(sys.argv[2]))
# What it returns says whether its own end or the other one closed first.
client.loop_forever()
"#;

// MQTT 3.1.1: 6.0.0-3 6.0.0-4 7.0.0-2
// MQTT 5.0: 4.2-1 6.0.0-3 6.0.0-4
#[test]
fn a_client_of_another_maker_speaks_over_websocket() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let over = |text: String| text.replace("\n[[device]]", "[listener.websocket]\n\n[[device]]");
    let head_end = HeadEnd::start(directory.path(), &over(configuration("127.0.0.1:0")));
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens").clone();
    let (host, port) = address.rsplit_once(':').expect("HOST:PORT");
    // The interpreter of the distribution, for which ./check installs the client.
    let mut command = Command::new("/usr/bin/python3");
    let output = command.args(["-c", OVER_WEBSOCKET, host, port]).output().expect("./check installs it");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    assert_eq!(stdout, "plant/boiler 70000\n");
    assert!(head_end.stop().success());
}

/// Enters by SCRAM-SHA-256 and proves itself once more, with properties written by the client of another maker and hashes of
/// the interpreter's own.
const BY_SCRAM: &str = r#"
import base64, hashlib, hmac, os, socket, sys
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
METHOD = "SCRAM-SHA-256"
line = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
def say(kind, body):
    length, head = len(body), bytes([kind])
    while True:
        length, low = divmod(length, 128)
        head += bytes([low | (128 if length else 0)])
        if not length:
            break
    line.sendall(head + body)
def take(count):
    taken = b""
    while len(taken) < count:
        some = line.recv(count - len(taken))
        assert some, "closed"
        taken += some
    return taken
def hear():
    kind, length, shift = take(1)[0] >> 4, 0, 0
    while True:
        byte = take(1)[0]
        length, shift = length | (byte & 127) << shift, shift + 7
        if byte < 128:
            return kind, take(length)
def listed(kind, data):
    properties = Properties(kind)
    properties.AuthenticationMethod, properties.AuthenticationData = METHOD, data
    return properties.pack()
def data_of(kind, packed):
    properties = Properties(kind)
    properties.unpack(packed)
    assert properties.AuthenticationMethod == METHOD
    return properties.AuthenticationData
def text(value):
    return len(value).to_bytes(2, "big") + value
def mac(key, what):
    return hmac.new(key, what, hashlib.sha256).digest()
def prove(password, begin, end):
    bare = b"n=admin,r=" + base64.b64encode(os.urandom(12))
    begin(b"n,," + bare)
    kind, body = hear()
    assert (kind, body[0]) == (15, 0x18), (kind, body)
    asked = data_of(PacketTypes.AUTH, body[1:])
    parts = dict(part.split(b"=", 1) for part in asked.split(b","))
    salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(parts[b"s"]), int(parts[b"i"]))
    before = b"c=biws,r=" + parts[b"r"]
    said = b",".join([bare, asked, before])
    key = mac(salted, b"Client Key")
    proof = bytes(a ^ b for a, b in zip(key, mac(hashlib.sha256(key).digest(), said)))
    say(0xf0, b"" + listed(PacketTypes.AUTH, before + b",p=" + base64.b64encode(proof)))
    kind, reason, packed = end(*hear())
    if reason == 0:
        expected = b"v=" + base64.b64encode(mac(mac(salted, b"Server Key"), said))
        assert data_of(kind, packed) == expected, "the broker does not know the password"
    print(kind, hex(reason))
def connect(first):
    head = text(b"MQTT") + bytes([5, 2, 0, 60])
    say(0x10, head + listed(PacketTypes.CONNECT, first) + text(b"prover"))
def again(first):
    say(0xf0, b"" + listed(PacketTypes.AUTH, first))
prove(sys.argv[3].encode(), connect, lambda kind, body: (kind, body[1], body[2:]))
prove(sys.argv[4].encode(), again, lambda kind, body: (kind, body[0], body[1:]))
"#;

// MQTT 5.0: 4.12.0-5 4.12.1-2
#[test]
fn a_password_is_proven_by_both_sides_and_never_said() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (head_end, address) = start(directory.path());
    let (host, port) = address.rsplit_once(':').expect("HOST:PORT");
    let proving = |first: &str, then: &str| {
        let mut command = Command::new("/usr/bin/python3");
        let output = command.args(["-c", BY_SCRAM, host, port, first, then]).output().expect("./check installs it");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(proving("123456", "123456"), (true, "2 0x0\n15 0x0\n".to_owned()));
    assert_eq!(proving("123456", "wrong"), (true, "2 0x0\n14 0x87\n".to_owned()));
    assert_eq!(proving("wrong", "").1, "2 0x86\n");
    let access = ["--to", &address, "--user", "admin", "--password", "123456", "--scram"];
    run(&[&["mqtt", "pub", "plant/a", "x", "--qos", "1", "--retain"], &access[..]].concat());
    let heard = run(&[&["mqtt", "sub", "plant/+", "--count", "1"], &access[..]].concat());
    assert_eq!(heard, "plant/a x\n");
    let wrong = ["--to", &address, "--user", "admin", "--password", "1234567", "--scram"];
    assert_fails(&[&["mqtt", "pub", "a", "y"], &wrong[..]].concat(), 1, "0x86");
    assert!(head_end.stop().success());
}

/// Asks a device something as MQTT 5 does, and gives the answer.
fn request(address: &str, user: &str, device: &str, order: &str) -> String {
    let (host, port) = address.rsplit_once(':').expect("HOST:PORT");
    let topic = format!("loggerhead/{device}/command");
    let mut command = Command::new("mosquitto_rr");
    command.args(["-h", host, "-p", port, "-u", user, "-P", "123456", "-V", "5", "-q", "1", "-W", "120"]);
    let output = command.args(["-t", &topic, "-e", "answers/1", "-m", order]).output();
    let output = output.expect("mosquitto-clients are installed; ./check sees to it");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_device_of_another_protocol_is_commanded_by_publishing() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let devices = "\n[device.mqtt]\npublish = [\"#\", \"loggerhead/+/command\"]\n";
    let head_end = HeadEnd::start(directory.path(), &format!("{LOGGERS}{}{devices}", configuration("127.0.0.1:0")));
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens").clone();
    let mut simulation = Simulation::start(&head_end.address(), &["--rate", "50", "--seconds", "3600"]);
    simulation.wait_acknowledged(20);
    let device = "330302D110-01";
    let answer = request(&address, "admin", device, r#"{"order":"period","minutes":15}"#);
    assert!(answer.contains(r#""state":"answered""#) && answer.contains(device), "{answer}");
    let topic = format!("loggerhead/{device}/command/state");
    let kept = client("mosquitto_sub", &address, &["-t", &topic, "-C", "1", "-W", "60"]);
    assert_eq!(kept, answer, "the same words for who looks later");
    let refused = request(&address, "admin", device, r#"{"order":"period","minutes":0}"#);
    assert!(refused.contains(r#""state":"refused""#) && refused.contains("1..=9999"), "{refused}");
    simulation.finish();
    let listed = run(&["command", device, "list", "--json", "--data", &head_end.data().display().to_string()]);
    assert!(listed.contains("answered") && listed.matches("\"id\"").count() == 1, "{listed}");
    let data = head_end.data();
    head_end.kill();

    // What is said of a command is there after a restart, though nobody noted it for the broker.
    let (head_end, address) = start(directory.path());
    let again = client("mosquitto_sub", &address, &["-t", &topic, "-C", "1", "-W", "60"]);
    assert_eq!((again, head_end.data()), (kept, data));
    assert!(head_end.stop().success());
}

#[test]
fn messages_that_are_dropped_are_shown_with_their_account() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let limited =
        configuration("127.0.0.1:0").replace("\n[[device]]", "[listener.mqtt]\nqueue_messages_max = 2\n\n[[device]]");
    let head_end = HeadEnd::start(directory.path(), &limited);
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens").clone();
    client("mosquitto_sub", &address, &["-i", "slow", "-c", "-q", "1", "-t", "t", "-E"]);
    for _ in 0..5 {
        client("mosquitto_pub", &address, &["-q", "1", "-t", "t", "-m", "x"]);
    }
    let data = head_end.data().display().to_string();
    let show = || json(&["device", "show", "plant", "--json", "--data", &data]);
    let deadline = Instant::now() + PATIENCE;
    while show().pointer("/counters/dropped") != Some(&3.into()) {
        assert!(Instant::now() < deadline, "{}", show());
    }
    let shown = run(&["device", "show", "plant", "--data", &data]);
    assert!(shown.contains("dropped       3 messages"), "{shown}");
    assert!(head_end.stop().success());
}

// MQTT 3.1.1: 2.3.1-2 3.14.4-1 3.14.4-2 4.5.0-2 7.0.0-1 7.1.1-1 7.1.2-1
// MQTT 5.0: 2.2.1-3 3.3.2-10 4.5.0-2
#[test]
fn messages_are_published_and_printed_by_hand() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (head_end, address) = start(directory.path());
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "123456\n").expect("a directory of this test");
    let secret = secret.display().to_string();
    let access = ["--to", &address, "--user", "admin", "--password-file", &secret];
    for (qos, text) in [("0", "zero"), ("1", "one"), ("2", "two")] {
        let topic = format!("plant/{qos}");
        run(&[&["mqtt", "pub", &topic, text, "--qos", qos, "--retain"], &access[..]].concat());
    }
    let heard = run(&[&["mqtt", "sub", "plant/+", "--count", "3", "--qos", "2"], &access[..]].concat());
    assert_eq!(heard, "plant/0 zero\nplant/1 one\nplant/2 two\n");
    let heard = json(&[&["mqtt", "sub", "plant/2", "--count", "1", "--qos", "1", "--json"], &access[..]].concat());
    assert_eq!(heard, serde_json::json!({ "topic": "plant/2", "qos": 1, "retain": true, "text": "two" }));
    // The broker's own words say why something is not done.
    assert_fails(&[&["mqtt", "pub", "$SYS/x", "y", "--qos", "1"], &access[..]].concat(), 1, "0x87 not authorized");
    assert_fails(&[&["mqtt", "pub", "a/+", "y"], &access[..]].concat(), 2, "wildcard");
    assert_fails(&["mqtt", "pub", "a", "y", "--to", &address, "--user", "x", "--password", "y"], 1, "0x86");
    assert_fails(&[&["mqtt", "pub", "a", "y", "--tls"], &access[..]].concat(), 4, "leave --tls out");
    assert!(head_end.stop().success());
    assert_fails(&[&["mqtt", "sub", "a"], &access[..]].concat(), 4, "no broker at");
}

#[test]
fn simulated_clients_tell_how_fast_the_broker_is() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (head_end, address) = start(directory.path());
    let access = ["--to", &address, "--user", "admin", "--password", "123456", "--json"];
    let figure = |result: &serde_json::Value, name: &str| {
        result.get(name).and_then(serde_json::Value::as_f64).unwrap_or_else(|| panic!("no {name} in {result}"))
    };
    for (publishers, subscribers, qos) in [("4", "1", "1"), ("1", "5", "2"), ("3", "2", "0")] {
        let clients = ["--publishers", publishers, "--subscribers", subscribers, "--qos", qos, "--messages", "50"];
        let result = json(&[&["simulate", "mqtt"], &clients[..], &access[..]].concat());
        let [publishers, subscribers] = [publishers, subscribers].map(|text| text.parse::<f64>().expect("a number"));
        assert!((figure(&result, "acknowledged") - publishers * 50.0).abs() < 0.5, "{result}");
        assert!((figure(&result, "received") - publishers * 50.0 * subscribers).abs() < 0.5, "{result}");
        assert!(figure(&result, "deliver_p99_ms") >= figure(&result, "deliver_p50_ms"), "{result}");
        assert!(figure(&result, "published_per_second") > 0.0, "{result}");
    }
    let storm = ["--publishers", "20", "--subscribers", "0", "--storm", "3"];
    let result = json(&[&["simulate", "mqtt"], &storm[..], &access[..]].concat());
    assert!((figure(&result, "connected") - 60.0).abs() < 0.5 && figure(&result, "connect_max_ms") > 0.0, "{result}");
    assert!(head_end.stop().success());
}

/// A broker that lets one client in with these bytes, and says what came behind its CONNECT until it left.
fn broker_of(answer: &'static [u8]) -> (String, std::thread::JoinHandle<Vec<u8>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let heard = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client comes");
        let mut head = [0; 2];
        client.read_exact(&mut head).expect("a CONNECT");
        client.read_exact(&mut vec![0; usize::from(head[1])]).expect("all of it");
        client.write_all(answer).expect("it listens");
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).expect("it closes");
        rest
    });
    (address, heard)
}

// MQTT 5.0: 3.2.2-4 3.2.2-11 3.2.2-14 3.2.2-15
#[test]
fn what_a_broker_does_not_take_is_not_sent_to_it() {
    for (answer, options, words) in [
        (&b"\x20\x05\x00\x00\x02\x24\x01"[..], &["--qos", "2"][..], "the broker takes QoS 1 at most"),
        (b"\x20\x05\x00\x00\x02\x25\x00", &["--retain"], "the broker keeps no messages"),
        (b"\x20\x08\x00\x00\x05\x27\x00\x00\x00\x04", &[], "the broker takes 4 at most"),
        (b"\x20\x03\x01\x00\x00", &[], "a session that was not asked for"),
        (b"\x15\x03\x03\x00\x02\x02\x32", &[], "add --tls"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", &[], "speaks HTTP there"),
    ] {
        let (address, heard) = broker_of(answer);
        assert_fails(&[&["mqtt", "pub", "a", "x", "--to", &address], options].concat(), 1, words);
        assert_eq!(heard.join().expect("it does not panic"), b"", "{words}");
    }
}

#[test]
fn a_server_that_closes_without_an_answer_may_speak_something_else() {
    for (options, status, words) in [(&[][..], 1, "add --tls"), (&["--tls"], 4, "leave --tls out")] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let closing = std::thread::spawn(move || drop(listener.accept()));
        assert_fails(&[&["mqtt", "pub", "a", "x", "--to", &address], options].concat(), status, words);
        closing.join().expect("it does not panic");
    }
}

#[test]
fn captures_of_every_version_are_explained_to_their_last_byte() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (head_end, address) = start(directory.path());
    let recorder = Recorder::start(&address);
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let both = ["-V", version, "-q", "1", "-t", "kept/a", "-t", "b", "-U", "c"];
        client("mosquitto_pub", recorder.address(), &["-V", version, "-q", "2", "-r", "-t", "kept/a", "-m", "x"]);
        client("mosquitto_sub", recorder.address(), &[&both[..], &["-C", "1", "-W", "60"]].concat());
    }
    let prove = ["--to", recorder.address(), "--user", "admin", "--password", "123456", "--scram"];
    run(&[&["mqtt", "pub", "a", "x", "--qos", "1"], &prove[..]].concat());
    for (name, bytes) in [("pcap", recorder.pcap()), ("pcapng", recorder.pcapng())] {
        let file = directory.path().join(name);
        std::fs::write(&file, bytes).expect("a directory of this test");
        let text = run(&["decode", "mqtt", "--pcap", file.to_str().expect("a path of this test")]);
        assert_eq!(text.matches("everything is right").count(), 7, "{text}");
        // The client's CONNECT says the version of both sides.
        assert!(!text.contains("nothing here says"), "{text}");
        for kind in ["CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK"] {
            assert!(text.contains(&format!("type       {kind}")), "{kind}: {text}");
        }
        for kind in ["UNSUBSCRIBE", "UNSUBACK", "DISCONNECT", "AUTH"] {
            assert!(text.contains(&format!("type       {kind}")), "{kind}: {text}");
        }
    }
    assert!(head_end.stop().success());
}

#[test]
fn which_version_a_packet_is_read_as_is_told_and_can_be_said() {
    let suback = ["decode", "mqtt", "--hex", "9004 0001 00 01"];
    let guessed = run(&suback);
    assert!(
        guessed.contains("note: nothing here says which version of MQTT is spoken: read as version 5"),
        "{guessed}"
    );
    for (version, count) in [("3.1", 2), ("3.1.1", 2), ("5", 1)] {
        let told = run(&[&suback[..], &["--mqtt-version", version]].concat());
        assert!(!told.contains("note:") && told.matches("reason  ").count() == count, "{version}: {told}");
    }
    assert_fails(&[&suback[..], &["--mqtt-version", "4"]].concat(), 2, "takes 3.1, 3.1.1 or 5");
    assert_fails(&["decode", "logger", "--hex", "00", "--mqtt-version", "5"], 2, "not for logger");
    let built = run(&["decode", "mqtt", "--build", "connect", "--client-id", "C001", "--mqtt-version", "5"]);
    assert!(built.contains("version 5") && built.contains("everything is right"), "{built}");
    let connect = ["--build", "connect"];
    // What no broker takes is shown to be wrong.
    let long = "x".repeat(24);
    for (version, id, more, words) in [
        ("3.1.1", "", &["--keep-session"][..], "who has no name starts clean"),
        ("3.1", "", &[], "1 to 23 characters"),
        ("3.1", &long, &[], "1 to 23 characters"),
    ] {
        let parts = ["--mqtt-version", version, "--client-id", id];
        assert_fails(&[&["decode", "mqtt"], &connect[..], &parts, more].concat(), 1, words);
    }
    assert_fails(&[&["decode", "logger"], &connect[..]].concat(), 2, "--build is not for logger");
    assert_fails(&[&["decode", "mqtt", "capture.pcap"], &connect[..]].concat(), 2, "either --build or a file");
    assert_fails(&["decode", "mqtt", "--client-id", "x", "--hex", "c000"], 2, "go with --build");
}
