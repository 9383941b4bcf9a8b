//! Relays through proxies of others, below TLS, by the thousand, and for clients that do not wait.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{Backlog, listen};

use super::{Relay, ask, configuration, curl, web};
use crate::support::{Api, HeadEnd, PATIENCE, json, outcome};

/// How many streams at once.
const STREAMS: usize = 1_000;

/// A relay for everybody, by whose rules loopback addresses are reached through a proxy.
fn through(upstream: &str) -> String {
    format!(
        "[[listener]]\nname = \"relay\"\nprotocol = \"socks\"\naddress = [\"127.0.0.1:0\"]\n\
         [listener.socks]\nlogin = \"nobody\"\n\
         [[listener.socks.rule]]\naction = \"allow\"\nto = [\"loopback\"]\nupstream = \"{upstream}\"\n"
    )
}

/// A proxy of another kind: leads one connection on by HTTP CONNECT; what it was asked.
fn http_proxy() -> (SocketAddr, JoinHandle<String>) {
    let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = door.local_addr().expect("it is bound");
    let leading = std::thread::spawn(move || {
        let (mut client, _) = door.accept().expect("somebody connects");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0; 1];
            client.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text");
        let to = head.split(' ').nth(1).expect("a destination").to_owned();
        let mut other = TcpStream::connect(to).expect("it listens");
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").expect("it reads");
        let (mut from, mut to) = (client.try_clone().expect("a socket"), other.try_clone().expect("a socket"));
        let up = std::thread::spawn(move || {
            std::io::copy(&mut from, &mut to).expect("both are there");
            to.shutdown(Shutdown::Write).expect("it is there");
        });
        std::io::copy(&mut other, &mut client).expect("both are there");
        client.shutdown(Shutdown::Write).expect("it is there");
        up.join().expect("nothing panics there");
        head
    });
    (address, leading)
}

#[test]
fn a_relay_leads_on_through_another_and_says_why_when_that_does_not() {
    let (server, answering) = web("127.0.0.1:0", 1);
    let second = Relay::start(&configuration("password", 9));
    let first = Relay::start(&through(&format!("socks5://alice:secret@{}", second.address)));
    let url = format!("http://localhost:{}/", server.port());
    let output = curl(&["--socks5-hostname", &first.address, &url]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello", "{output:?}");
    answering.join().expect("nothing panics there");
    let told = first.told("relay", 1);
    assert!(told.iter().any(|text| text.starts_with(&format!("localhost:{} ({server})", server.port()))), "{told:?}");
    // The second one was asked for the address that the rules of the first were shown, and for no name.
    let deadline = Instant::now() + PATIENCE;
    while !second.told("relay", 1).iter().any(|text| text.starts_with(&format!("{server}: "))) {
        assert!(Instant::now() < deadline, "{:?}", second.told("relay", 1));
    }
    // By the rules of the second one.
    let denied = curl(&["--socks5", &first.address, "http://127.0.0.1:9/"]);
    assert!(String::from_utf8_lossy(&denied.stderr).contains("(2)"), "{denied:?}");

    let wrong = Relay::start(&through(&format!("socks5://alice:guess@{}", second.address)));
    let refused = curl(&["--socks5", &wrong.address, &url]);
    assert_eq!(refused.status.code(), Some(97), "{refused:?}");
}

#[test]
fn a_relay_leads_on_through_a_proxy_of_http() {
    let (server, answering) = web("127.0.0.1:0", 1);
    let (proxy, leading) = http_proxy();
    let relay = Relay::start(&through(&format!("http://user:p%40ss@{proxy}")));
    let output = curl(&["--socks5", &relay.address, &format!("http://{server}/")]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello", "{output:?}");
    let head = leading.join().expect("nothing panics there");
    assert!(head.starts_with(&format!("CONNECT {server} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n"), "{head}");
    answering.join().expect("nothing panics there");
}

#[test]
fn nobody_is_led_past_a_proxy_by_what_it_cannot_do() {
    let all = through("socks5://user:secret@127.0.0.1:1")
        .replace("login = \"nobody\"", "login = \"nobody\"\ncommands = [\"connect\", \"bind\"]");
    let relay = Relay::start(&all);
    for (command, reply) in [(1, 1), (2, 2)] {
        let mut client = TcpStream::connect(&relay.address).expect("the relay listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
        client.write_all(&[5, 1, 0, 5, command, 0, 1, 127, 0, 0, 1, 0, 9]).expect("the relay reads");
        let mut answer = [0; 2 + 10];
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer[3], reply, "nobody listens at the proxy's port, and who would come comes by no proxy");
    }
}

#[test]
fn the_password_of_a_proxy_is_shown_nowhere() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let calling = "[[listener]]\nprotocol = \"varproxy\"\naddress = [\"call:192.0.2.1:7000\"]\n\
                   call_through = \"socks5://user:hush-hush@127.0.0.1:1\"\n";
    let relaying = through("http://user:hush-hush@127.0.0.1:1");
    HeadEnd::configure(directory.path(), &format!("{calling}{relaying}"));
    let file = directory.path().join("loggerhead.toml").display().to_string();
    let output = outcome(&["check", "--config", &file]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("call_through") && !said.contains("hush"), "{said}");
}

#[test]
fn simulated_devices_reach_their_head_end_through_a_proxy() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let robots = "[[listener]]\nname = \"robots\"\nprotocol = \"kuka\"\naddress = [\"127.0.0.1:0\"]\nenroll = \"accept\"\n\
                  secrets = [\"text:IJKLMNOPQRSTUVWX\"]\n";
    let head_end = HeadEnd::start(directory.path(), robots);
    let address = head_end.addresses_of("robots").first().expect("it listens").clone();
    let relay = Relay::start(&configuration("password", 9));
    let proxy = format!("socks5://alice:secret@{}", relay.address);
    let result = json(&["simulate", "kuka-eki", "--to", &address, "--proxy", &proxy, "--packets", "3", "--json"]);
    assert_eq!(result.get("packets_acked"), Some(&serde_json::Value::from(3)), "{result}");
    assert!(relay.told("relay", 1)[0].starts_with(&format!("{address}: ")));
    assert!(head_end.stop().success());
}

#[test]
fn a_relay_below_tls_is_a_relay() {
    let (server, answering) = web("127.0.0.1:0", 1);
    let directory = tempfile::tempdir().expect("a directory for this test");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("a directory of this test");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a directory of this test");
    let tls = format!("[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    let relay = Relay::start(&configuration("nobody", 1).replacen("[[device]]", &format!("{tls}[[device]]"), 1));
    let mut command = Command::new("timeout");
    command.arg(PATIENCE.as_secs().to_string()).args(["socat", "-t", "60", "-"]);
    command.arg(format!("OPENSSL:{},verify=0", relay.address)).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = command.spawn().expect("./check installs socat");
    let asked = [b"\x05\x01\x00\x05\x01\x00\x01\x7f\0\0\x01".as_slice(), &server.port().to_be_bytes()].concat();
    let request = [&asked[..], b"GET / HTTP/1.0\r\n\r\n"].concat();
    let mut input = client.stdin.take().expect("it was asked for");
    input.write_all(&request).expect("the client reads");
    answering.join().expect("nothing panics there");
    drop(input);
    let output = client.wait_with_output().expect("it is ours");
    assert!(output.stdout.ends_with(b"hello"), "{output:?}");
    relay.told("relay", 1);
}

#[test]
fn a_thousand_streams_go_on_at_once() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("up to the limit");
    let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = door.local_addr().expect("it is bound").port();
    let echoing = std::thread::spawn(move || {
        let streams: Vec<_> = (0..STREAMS).map(|_| door.accept().expect("somebody connects").0).collect();
        for mut stream in &streams {
            let mut piece = [0; 1_000];
            stream.read_exact(&mut piece).expect("a piece");
            stream.write_all(&piece).expect("the client reads");
        }
    });
    let open = configuration("password", 1).replace("relays_max = 2", "relays_max = 1000");
    let relay = Relay::start(&open.replace("[listener.socks]", "[listener.socks]\nrelays_per_user_max = 1000"));
    let streams: Vec<_> = (0..STREAMS)
        .map(|number| {
            let (stream, granted) = ask(&relay.address, port);
            assert_eq!(granted, 0, "stream {number}");
            stream
        })
        .collect();
    assert_eq!(ask(&relay.address, port).1, 2, "one more than may be");
    for (number, mut stream) in streams.iter().enumerate() {
        stream.write_all(&[number.to_le_bytes()[0]; 1_000]).expect("it is joined");
    }
    for (number, mut stream) in streams.iter().enumerate() {
        let mut piece = [0; 1_000];
        stream.read_exact(&mut piece).expect("it comes back");
        assert!(piece.iter().all(|byte| *byte == number.to_le_bytes()[0]), "stream {number}");
    }
    echoing.join().expect("nothing panics there");
    drop(streams);
    assert!(relay.head_end.stop().success());
}

#[test]
fn a_client_that_does_not_wait_is_not_waited_for() {
    // Nobody accepts here, and the queue is full: who connects hears nothing for minutes.
    let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listen(&door, Backlog::new(0).expect("a short queue")).expect("a socket of this test");
    let address = door.local_addr().expect("it is bound");
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, std::time::Duration::from_millis(500)) {
        waiting.push(stream);
    }
    let patient = configuration("nobody", 1).replace("[listener.socks]", "[listener.socks]\nreach_s = 300");
    let relay = Relay::start(&patient);
    let mut client = TcpStream::connect(&relay.address).expect("the relay listens");
    let asked = [b"\x05\x01\x00\x05\x01\x00\x01\x7f\0\0\x01".as_slice(), &address.port().to_be_bytes()].concat();
    client.write_all(&asked).expect("the relay reads");
    let mut chosen = [0; 2];
    client.read_exact(&mut chosen).expect("the method");
    let api = Api::Unix(relay.head_end.data());
    let connections = || {
        let listeners = api.get("/api/v1/listeners").json();
        let listener = listeners.get("listeners").and_then(|all| all.get(0)).expect("it listens").clone();
        listener.get("connections").and_then(serde_json::Value::as_u64).expect("a number")
    };
    assert_eq!(connections(), 1);
    drop(client);
    let deadline = Instant::now() + PATIENCE;
    while connections() > 0 {
        assert!(Instant::now() < deadline, "the relay still connects for nobody");
        std::thread::yield_now();
    }
    assert!(relay.head_end.stop().success());
}
