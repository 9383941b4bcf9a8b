//! The relay with clients of other makers: curl, ncat, nc and PySocks.

mod chaining;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output};
use std::thread::JoinHandle;

use crate::support::{Api, HeadEnd, PATIENCE};

/// Everybody may reach this machine's loopback addresses, but for one port of them; users may have two relays.
fn configuration(login: &str, denied: u16) -> String {
    format!(
        "[[listener]]\nname = \"relay\"\nprotocol = \"socks\"\naddress = [\"127.0.0.1:0\", \"[::1]:0\"]\n\
         [listener.socks]\nlogin = \"{login}\"\n\
         [[listener.socks.rule]]\naction = \"deny\"\nports = [\"{denied}\"]\n\
         [[listener.socks.rule]]\naction = \"allow\"\nto = [\"loopback\"]\n\
         [[device]]\nid = \"alice\"\nprotocol = \"socks\"\nidentity = \"alice\"\nsecret = \"text:secret\"\n\
         [device.socks]\nrelays_max = 2\n"
    )
}

/// A relay, and where it listens.
struct Relay {
    head_end: HeadEnd,
    address: String,
    _directory: tempfile::TempDir,
}

impl Relay {
    fn start(configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory for this test");
        let head_end = HeadEnd::start(directory.path(), configuration);
        let address = head_end.addresses_of("relay").first().expect("it listens").clone();
        Self { head_end, address, _directory: directory }
    }

    /// The texts of events of this kind, once there are `count`.
    fn told(&self, kind: &str, count: usize) -> Vec<String> {
        let api = Api::Unix(self.head_end.data());
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let answer = api.get(&format!("/api/v1/events?kind={kind}&limit=100")).json();
            let events = answer.get("events").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
            let text = |event: &serde_json::Value| Some(event.get("text")?.as_str()?.to_owned());
            if events.len() >= count {
                return events.iter().filter_map(text).collect();
            }
            assert!(std::time::Instant::now() < deadline, "{count} events of {kind}, not {answer}");
            // Events are written in the background.
            std::thread::yield_now();
        }
    }
}

/// Answers each of so many connections with `hello` over HTTP; gives what each asked.
fn web(address: &str, connections: usize) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let door = TcpListener::bind(address).expect("a free port");
    let bound = door.local_addr().expect("it is bound");
    let answering = std::thread::spawn(move || {
        let answer = |_| {
            let (mut stream, _) = door.accept().expect("somebody connects");
            let mut request = Vec::new();
            let mut piece = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let count = stream.read(&mut piece).expect("a request");
                assert!(count > 0, "the request ends");
                request.extend(piece.get(..count).unwrap_or_default());
            }
            stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello").expect("the client reads");
            String::from_utf8(request).expect("text")
        };
        (0..connections).map(answer).collect()
    });
    (bound, answering)
}

fn outcome(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn curl(arguments: &[&str]) -> Output {
    outcome("curl", &[&["-sS", "--max-time", "100", "--noproxy", ""], arguments].concat())
}

#[test]
fn curl_reaches_a_server_by_every_version_with_and_without_a_login() {
    let (server, answering) = web("127.0.0.1:0", 7);
    let (six, answering_six) = web("[::1]:0", 2);
    let relay = Relay::start(&configuration("either", 1));
    let url = |host: &str| format!("http://{host}:{}/", server.port());
    let six_url = format!("http://[::1]:{}/", six.port());
    let to = relay.address.as_str();
    let other = relay.head_end.addresses_of("relay").get(1).expect("it listens on IPv6 too").as_str();
    for (arguments, url) in [
        (&["--socks4", to][..], url("127.0.0.1")),
        (&["--socks4a", to], url("127.0.0.1")),
        (&["--socks4a", to], url("localhost")),
        (&["--socks5", to], url("127.0.0.1")),
        (&["--socks5-hostname", to], url("localhost")),
        (&["--socks5-hostname", to, "--proxy-user", "alice:secret"], url("127.0.0.1")),
        (&["--socks5", other], url("127.0.0.1")),
        (&["--socks5", to], six_url.clone()),
        (&["--socks5-hostname", other, "--proxy-user", "alice:secret"], six_url.clone()),
    ] {
        let output = curl(&[arguments, &[&url]].concat());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello", "{arguments:?} {url}: {output:?}");
    }
    assert_eq!(answering.join().expect("nothing panics there").len(), 7);
    assert_eq!(answering_six.join().expect("nothing panics there").len(), 2);
    let told = relay.told("relay", 9);
    assert!(
        told.iter().all(|text| text.contains(" bytes there, ") && text.ends_with("closed by the device")),
        "{told:?}"
    );
    assert!(relay.head_end.stop().success());
}

#[test]
fn who_may_not_is_refused_as_curl_understands_it() {
    let relay = Relay::start(&configuration("password", 9));
    let to = relay.address.as_str();
    for (arguments, code, words) in [
        (&["--socks5", to, "--proxy-user", "alice:wrong", "http://127.0.0.1:9/"][..], 97, "User was rejected"),
        (&["--socks5", to, "--proxy-user", "nobody:secret", "http://127.0.0.1:9/"], 97, "User was rejected"),
        (&["--socks5", to, "http://127.0.0.1:9/"], 97, "No authentication method was acceptable"),
        (&["--socks4", to, "http://127.0.0.1:9/"], 97, "request rejected or failed"),
        (&["--socks5", to, "--proxy-user", "alice:secret", "http://127.0.0.1:9/"], 97, "(2)"),
        // Nobody listens there.
        (&["--socks5", to, "--proxy-user", "alice:secret", "http://127.0.0.1:1/"], 97, "(5)"),
        (&["--socks5-hostname", to, "--proxy-user", "alice:secret", "http://no.such.invalid/"], 97, "(4)"),
    ] {
        let output = curl(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert!(relay.head_end.stop().success());
}

#[test]
fn requests_cannot_be_forged_through_the_relay() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    // The console is what somebody would want to reach.
    let open = "[web]\naddress = \"127.0.0.1:0\"\n[[listener]]\nname = \"relay\"\nprotocol = \"socks\"\n\
                address = [\"127.0.0.1:0\"]\n[listener.socks]\nlogin = \"nobody\"\n";
    let head_end = HeadEnd::start(directory.path(), open);
    let relay = head_end.addresses_of("relay").first().expect("it listens").clone();
    let console = head_end.api_address();
    let port = console.rsplit(':').next().expect("an address has a port");
    let hosts = [
        "127.0.0.1",
        "127.1.2.3",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "[fe80::1]",
        "224.0.0.1",
    ];
    for host in hosts {
        for version in ["--socks5-hostname", "--socks4a"] {
            let url = format!("http://{host}:{port}/api/v1/health");
            let output = curl(&[version, &relay, &url]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{host} by {version}: {said}");
            assert!(output.stdout.is_empty(), "{host} by {version}");
        }
    }
    assert!(head_end.stop().success());
}

#[test]
fn the_end_of_one_side_is_passed_on_and_the_other_goes_on() {
    let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = door.local_addr().expect("it is bound").port().to_string();
    let relay = Relay::start(&configuration("nobody", 1));
    let counting = std::thread::spawn(move || {
        for _ in 0..4 {
            let (mut stream, _) = door.accept().expect("somebody connects");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("what comes, to its end");
            stream.write_all(format!("{} bytes", all.len()).as_bytes()).expect("the client still reads");
        }
    });
    // More than any buffer between them.
    let file = tempfile::NamedTempFile::new().expect("a file of this test");
    file.as_file().set_len(5_000_000).expect("a file of this test");
    for program in [
        format!("nc -N -X 5 -x {} 127.0.0.1 {port}", relay.address),
        format!("nc -N -X 4 -x {} 127.0.0.1 {port}", relay.address),
        format!("ncat --proxy-type socks5 --proxy {} 127.0.0.1 {port}", relay.address),
        format!("ncat --proxy-type socks4 --proxy {} 127.0.0.1 {port}", relay.address),
    ] {
        let command = format!("{program} <{}", file.path().display());
        let output = outcome("sh", &["-c", &command]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "5000000 bytes", "{program}: {output:?}");
    }
    counting.join().expect("nothing panics there");
    let told = relay.told("relay", 4);
    assert!(told.iter().all(|text| text.contains(": 5000000 bytes there, 13 back, ")), "{told:?}");
    assert!(relay.head_end.stop().success());
}

#[test]
fn the_python_library_reaches_a_server() {
    let (server, answering) = web("127.0.0.1:0", 4);
    let relay = Relay::start(&configuration("either", 1));
    let script = "
import socks, sys
host, port, target = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for kind, rdns, user in [(socks.SOCKS4, False, None), (socks.SOCKS4, True, None), (socks.SOCKS5, True, None),
                         (socks.SOCKS5, False, 'alice')]:
    s = socks.socksocket()
    s.set_proxy(kind, host, port, rdns=rdns, username=user, password='secret' if user else None)
    s.settimeout(100)
    s.connect(('localhost' if rdns else '127.0.0.1', target))
    s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
    answer = b''
    while not answer.endswith(b'hello'):
        piece = s.recv(1000)
        assert piece, answer
        answer += piece
    s.close()
";
    let (host, port) = relay.address.rsplit_once(':').expect("an address");
    let output = outcome("/usr/bin/python3", &["-c", script, host, port, &server.port().to_string()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    answering.join().expect("nothing panics there");
    assert!(relay.head_end.stop().success());
}

#[test]
fn the_python_library_sends_datagrams_and_reaches_ipv6() {
    let settings = configuration("password", 1).replacen(
        "[listener.socks]",
        "[listener.socks]\ncommands = [\"connect\", \"udp\"]",
        1,
    );
    let relay = Relay::start(&settings);
    let script = "
import socket, socks, sys
host, port = sys.argv[1], int(sys.argv[2])
def through(kind):
    s = socks.socksocket(socket.AF_INET, kind)
    s.set_proxy(socks.SOCKS5, host, port, username='alice', password='secret')
    s.settimeout(100)
    return s
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 0))
server.settimeout(100)
client = through(socket.SOCK_DGRAM)
for name in ('127.0.0.1', 'localhost'):
    client.sendto(b'hello ' + name.encode(), (name, server.getsockname()[1]))
    asked, relay = server.recvfrom(1000)
    assert asked == b'hello ' + name.encode(), asked
    server.sendto(b'back', relay)
    answer, source = client.recvfrom(1000)
    assert (answer, source) == (b'back', server.getsockname()), (answer, source)
client.close()
six = socket.socket(socket.AF_INET6)
six.bind(('::1', 0))
six.listen()
client = through(socket.SOCK_STREAM)
client.connect(('::1', six.getsockname()[1]))
other, _ = six.accept()
other.sendall(b'six')
assert client.recv(1000) == b'six'
";
    let (host, port) = relay.address.rsplit_once(':').expect("an address");
    let output = outcome("/usr/bin/python3", &["-c", script, host, port]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = relay.told("relay", 2);
    assert!(told.iter().any(|text| text.contains(": 30 bytes there, 8 back, ")), "{told:?}");
    assert!(relay.head_end.stop().success());
}

/// Asks for datagrams from this port of ours, 0 for any; the connection that they last as long as, and where they go.
fn associate(relay: &Relay, port: u16) -> (TcpStream, SocketAddr) {
    let mut stream = TcpStream::connect(&relay.address).expect("the relay listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
    let [high, low] = port.to_be_bytes();
    stream.write_all(&[5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, high, low]).expect("the relay reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer[..10], [5, 0, 5, 0, 0, 1, 127, 0, 0, 1], "at the address by which it was reached");
    (stream, ([127, 0, 0, 1], u16::from_be_bytes([answer[10], answer[11]])).into())
}

/// A datagram for this port of this machine.
fn pack(port: u16, content: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1, 127, 0, 0, 1][..], &port.to_be_bytes(), content].concat()
}

/// A relay for datagrams of everybody, which go out by an address of their own.
fn datagram_relay() -> Relay {
    let settings =
        configuration("nobody", 1).replacen("login = \"nobody\"\n", "login = \"nobody\"\ncommands = [\"udp\"]\n", 1);
    let outgoing = "to = [\"loopback\"]\noutgoing = \"127.0.0.3\"\n";
    Relay::start(&settings.replacen("to = [\"loopback\"]\n", outgoing, 1))
}

/// A socket for datagrams.
fn datagram_socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
    socket
}

#[test]
fn a_client_that_names_its_port_is_heard_from_it_alone() {
    let relay = datagram_relay();
    let (server, client, other) = (datagram_socket(), datagram_socket(), datagram_socket());
    let (_stream, relayed) = associate(&relay, client.local_addr().expect("it is bound").port());
    let port = server.local_addr().expect("it is bound").port();
    other.send_to(&pack(port, b"from another port"), relayed).expect("sent");
    client.send_to(&pack(port, b"from the one"), relayed).expect("sent");
    let mut bytes = [0; 100];
    let (count, _) = server.recv_from(&mut bytes).expect("it comes");
    assert_eq!(&bytes[..count], b"from the one");
    assert!(relay.head_end.stop().success());
}

#[test]
fn datagrams_go_to_whom_the_rules_allow_and_come_back_from_nobody_else() {
    let relay = datagram_relay();
    let (server, stranger, client) = (datagram_socket(), datagram_socket(), datagram_socket());
    let (stream, relayed) = associate(&relay, 0);
    let port = server.local_addr().expect("it is bound").port();
    // What is not allowed, or no datagram, is dropped, and what follows is not.
    for dropped in [
        &pack(1, b"denied")[..],
        b"nothing",
        &[&[0, 0, 1, 1, 127, 0, 0, 1][..], &port.to_be_bytes(), b"fragment"].concat(),
    ] {
        client.send_to(dropped, relayed).expect("sent");
    }
    client.send_to(&pack(port, b"hello"), relayed).expect("sent");
    let mut bytes = [0; 100];
    let (count, outside) = server.recv_from(&mut bytes).expect("it comes");
    assert_eq!(&bytes[..count], b"hello");
    assert_eq!(outside.ip().to_string(), "127.0.0.3", "by the way that the rule says");
    // Neither who was not asked nor another client gets through.
    stranger.send_to(b"unasked", outside).expect("sent");
    stranger.send_to(&pack(port, b"not the client"), relayed).expect("sent");
    server.send_to(b"back", outside).expect("sent");
    let (count, from) = client.recv_from(&mut bytes).expect("it comes back");
    assert_eq!((&bytes[..count], from), (&pack(port, b"back")[..], relayed));
    drop(stream);
    let told = relay.told("relay", 1);
    // The stranger's last one may have come after the end.
    let ends = [4, 5].map(|count| format!(": 5 bytes there, 4 back, {count} datagrams dropped, "));
    assert!(ends.iter().any(|end| told[0].contains(end)), "{told:?}");
    assert!(relay.head_end.stop().success());
}

#[test]
fn a_connection_from_elsewhere_is_joined() {
    let settings =
        configuration("nobody", 1).replacen("login = \"nobody\"\n", "login = \"nobody\"\ncommands = [\"bind\"]\n", 1);
    let settings = settings.replacen("to = [\"loopback\"]\n", "to = [\"loopback\"]\noutgoing = \"127.0.0.3\"\n", 1);
    let relay = Relay::start(&settings);
    let mut stream = TcpStream::connect(&relay.address).expect("the relay listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
    stream.write_all(b"\x05\x01\x00\x05\x02\x00\x01\x7f\0\0\x01\0\x14").expect("the relay reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("where it waits");
    assert_eq!(answer[6..10], [127, 0, 0, 3], "where the rule says");
    let port = u16::from_be_bytes([answer[10], answer[11]]);
    let mut other = TcpStream::connect(("127.0.0.3", port)).expect("it waits");
    let mut came = [0; 10];
    stream.read_exact(&mut came).expect("who came");
    assert_eq!(came[8..], other.local_addr().expect("it is connected").port().to_be_bytes());
    stream.write_all(b"ping").expect("it is joined");
    let mut bytes = [0; 4];
    other.read_exact(&mut bytes).expect("it is joined");
    other.write_all(b"pong").expect("it is joined");
    stream.read_exact(&mut bytes).expect("it is joined");
    assert_eq!(&bytes, b"pong");
    drop((stream, other));
    assert!(relay.told("relay", 1)[0].starts_with("from 127.0.0.1:20 ("));
    assert!(relay.head_end.stop().success());
}

/// Logs in as `alice` and asks for `port` of this machine; the relay's reply.
fn ask(address: &str, port: u16) -> (TcpStream, u8) {
    let mut stream = TcpStream::connect(address).expect("the relay listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
    let port = port.to_be_bytes();
    let asked = [b"\x05\x01\x02\x01\x05alice\x06secret\x05\x01\x00\x01\x7f\0\0\x01", &port[..]].concat();
    stream.write_all(&asked).expect("the relay reads");
    let mut answer = [0; 2 + 2 + 10];
    stream.read_exact(&mut answer).expect("an answer");
    (stream, answer[5])
}

#[test]
fn a_user_has_as_many_relays_as_may_be_and_a_reload_ends_them() {
    let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = door.local_addr().expect("it is bound").port();
    let relay = Relay::start(&configuration("password", 1));
    let (first, granted) = ask(&relay.address, port);
    assert_eq!(granted, 0);
    let (mut second, granted) = ask(&relay.address, port);
    assert_eq!(granted, 0);
    assert_eq!(ask(&relay.address, port).1, 2, "two at once");
    let (theirs, _) = door.accept().expect("the first");
    first.shutdown(Shutdown::Both).expect("it is open");
    drop(theirs);
    relay.told("relay", 1);
    assert!(relay.told("login", 0).is_empty(), "the relay says who it was");
    let mut third = ask(&relay.address, port);
    assert_eq!(third.1, 0, "one is given back");
    assert!(relay.head_end.stop().success());
    let mut rest = Vec::new();
    second.read_to_end(&mut rest).expect("it is closed in good order");
    third.0.read_to_end(&mut rest).expect("it is closed in good order");
    assert!(rest.is_empty());
}
