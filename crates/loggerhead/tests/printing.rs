//! Devices without a protocol, as shell scripts are: nc and socat over TCP, UDP and Unix sockets.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};

use crate::support::{Api, HeadEnd, PATIENCE, Signal, assert_fails, exported, json, loggerhead, outcome, signal};

/// What the tests listen on; `PATH` is a socket file.
const CONFIGURATION: &str = r#"
[[listener]]
name = "printers"
protocol = "raw"
address = ["127.0.0.1:0", "udp:127.0.0.1:0", "unix:PATH"]
[listener.raw]
patterns = ['^(?<temperature>[-0-9.]+)C (?<humidity>[0-9]+)%( #(?<sequence>\d+))?$']
ignore = ['^boot']
channels = { temperature = "1/temperature", humidity = "1/humidity" }

[[device]]
id = "shed"
protocol = "raw"
identity = "127.0.0.1"
login = "name"

[[device]]
id = "cellar"
protocol = "raw"
identity = "unix"
login = "name"

[[listener]]
name = "documents"
protocol = "raw"
address = ["127.0.0.1:0"]

[[device]]
id = "roof"
protocol = "raw"
identity = "roof"
secret = "text:secret"
"#;

/// Runs a program of a device with these lines on its input; what it printed once the head-end had ended the connection.
fn print(program: &str, arguments: &[&str], lines: &str) -> String {
    let mut command = Command::new("timeout");
    command.arg(PATIENCE.as_secs().to_string()).arg(program).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut input = process.stdin.take().expect("it was asked for");
    input.write_all(lines.as_bytes()).expect("the program reads");
    drop(input);
    let output = process.wait_with_output().expect("it is ours");
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Sends a datagram by nc, which nothing ends over UDP; the line that answers it.
fn print_datagram(address: &str, line: &str) -> String {
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let mut command = Command::new("timeout");
    command.arg(PATIENCE.as_secs().to_string()).args(["nc", "-u", host, port]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is installed");
    let mut input = process.stdin.take().expect("it was asked for");
    input.write_all(line.as_bytes()).expect("nc reads");
    let mut answer = String::new();
    let output = process.stdout.take().expect("it was asked for");
    BufReader::new(output).read_line(&mut answer).expect("text");
    process.kill().expect("it is ours");
    process.wait().expect("it is ours");
    answer
}

/// Device, meter, function and value of what was stored, in the order of the alphabet.
fn stored(head_end: HeadEnd) -> Vec<String> {
    let data = head_end.data();
    assert!(head_end.stop().success());
    let readings = exported(&data).into_iter();
    let mut lines: Vec<_> =
        readings.map(|((device, meter, function, _), value)| format!("{device} {meter} {function} {value}")).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn lines_of_scripts_become_readings_over_tcp_udp_and_unix_sockets() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let path = directory.path().join("printers.sock").display().to_string();
    let head_end = HeadEnd::start(directory.path(), &CONFIGURATION.replace("PATH", &path));
    let addresses = head_end.addresses_of("printers").to_vec();
    let tcp = addresses.first().expect("it listens on TCP").clone();
    let (host, port) = tcp.rsplit_once(':').expect("an address has a port");
    let udp = addresses.get(1).expect("it listens on UDP").trim_start_matches("udp:").to_owned();

    // A line that is not ended ends with the stream.
    assert_eq!(print("nc", &["-N", host, port], "boot v1\n21.50C 40% #1\r\nnonsense\n21.75C 41% #2"), "OK 1\nOK 2\n");
    assert_eq!(print("socat", &["-t", "60", "-", &format!("TCP:{tcp}")], "22.0C 39% #3\n"), "OK 3\n");
    assert_eq!(print("nc", &["-N", "-U", &path], "5.0C 80% #1\n"), "OK 1\n");
    assert_eq!(print("socat", &["-t", "60", "-", &format!("UNIX-CONNECT:{path}")], "5.5C 81% #2"), "OK 2\n");
    assert_eq!(print_datagram(&udp, "23.0C 38% #4"), "OK 4\n");

    let expected = [
        "cellar 1 humidity 80",
        "cellar 1 humidity 81",
        "cellar 1 temperature 5.0",
        "cellar 1 temperature 5.5",
        "shed 1 humidity 38",
        "shed 1 humidity 39",
        "shed 1 humidity 40",
        "shed 1 humidity 41",
        "shed 1 temperature 21.50",
        "shed 1 temperature 21.75",
        "shed 1 temperature 22.0",
        "shed 1 temperature 23.0",
    ];
    assert_eq!(stored(head_end), expected);
}

#[test]
fn documents_need_no_settings_and_who_proves_nothing_is_not_let_in() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let path = directory.path().join("printers.sock").display().to_string();
    let head_end = HeadEnd::start(directory.path(), &CONFIGURATION.replace("PATH", &path));
    let address = head_end.addresses_of("documents").first().expect("it listens").clone();
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let document = |secret: &str| {
        format!(
            "{{\"device\":\"roof\",\"secret\":\"{secret}\",\"sequence\":7,\"wind\":{{\"speed\":3.20,\"gusts\":[5,6]}}}}\n"
        )
    };
    assert_eq!(print("nc", &["-N", host, port], &document("guess")), "");
    assert_eq!(print("nc", &["-N", host, port], &document("secret")), "OK 7\n");
    let expected = ["roof  wind/gusts/0 5", "roof  wind/gusts/1 6", "roof  wind/speed 3.20"];
    assert_eq!(stored(head_end), expected);
}

#[test]
fn simulated_devices_print_documents_and_lines_over_tcp_udp_and_unix_sockets() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let path = directory.path().join("printers.sock").display().to_string();
    let configuration = format!(
        r#"
[[listener]]
name = "documents"
protocol = "raw"
address = ["127.0.0.1:0"]
enroll = "accept"
secrets = ["text:IJKLMNOPQRSTUVWX"]

[[listener]]
name = "lines"
protocol = "raw"
address = ["udp:127.0.0.1:0", "unix:{path}"]
[listener.raw]
patterns = ['^(?<device>\S+) T=(?<temperature>[-0-9.]+) H=(?<humidity>[0-9.]+)( #(?<sequence>\d+))?$']

[[device]]
id = "shed"
protocol = "raw"
identity = "shed1"
login = "name"
"#
    );
    let head_end = HeadEnd::start(directory.path(), &configuration);
    let documents = head_end.addresses_of("documents").first().expect("it listens").clone();
    let udp = head_end.addresses_of("lines").first().expect("it listens").clone();
    let simulated = |to: &str, arguments: &[&str]| {
        let all = [&["simulate", "raw", "--json", "--packets", "5", "--rate", "100", "--to", to], arguments].concat();
        let result = json(&all);
        (result.get("packets_acked").cloned(), result.get("errors").cloned())
    };
    let acked = |packets: u64| (Some(packets.into()), Some(serde_json::json!({})));
    assert_eq!(simulated(&documents, &["--devices", "3"]), acked(15));
    let line = ["--name", "shed", "--line", "{device} T={temperature} H={humidity} #{sequence}"];
    assert_eq!(simulated(&udp, &line), acked(5));
    assert_eq!(simulated(&format!("unix:{path}"), &line), acked(5));
    assert_fails(&["simulate", "raw", "--to", &udp, "--line", "{warmth} #{sequence}"], 1, "temperature, humidity");
    assert_fails(&["simulate", "raw", "--to", &udp, "--devices", "2", "--line", "#{sequence}"], 1, "{device}");

    let lines = stored(head_end);
    for device in ["sensor-1", "sensor-2", "sensor-3"] {
        let own: Vec<_> = lines.iter().filter(|line| line.starts_with(device)).collect();
        assert_eq!(own.len(), 10, "{lines:?}");
    }
    assert_eq!(lines.iter().filter(|line| line.starts_with("shed  humidity ")).count(), 10, "{lines:?}");
}

/// Opens sockets as a service manager does, and becomes the program that is named.
const MANAGER: &str = r#"
import os, socket, sys
sockets = [socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(type=socket.SOCK_DGRAM)]
sockets[0].bind(("127.0.0.1", 0))
sockets[1].bind(sys.argv[1])
sockets[2].bind(("127.0.0.1", 0))
for one in sockets[:2]:
    one.listen()
for index, one in enumerate(sockets):
    os.dup2(one.fileno(), 20 + index)
for index in range(3):
    os.dup2(20 + index, 3 + index)
    os.close(20 + index)
os.environ.update(LISTEN_FDS="3", LISTEN_FDNAMES="streams:streams:datagrams", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"#;

#[test]
fn sockets_that_the_service_manager_opened_are_taken_and_given_back() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let path = directory.path().join("passed.sock").display().to_string();
    let configuration =
        CONFIGURATION.replace(r#""127.0.0.1:0", "udp:127.0.0.1:0", "unix:PATH""#, r#""fd:streams", "fd:5""#);
    let mut manager = Command::new("python3");
    manager.args(["-c", MANAGER, &path]).arg(loggerhead().get_program());
    let mut head_end = HeadEnd::spawn_by(manager, directory.path(), &configuration);
    head_end.wait_ready();
    let addresses = head_end.addresses_of("printers").to_vec();
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    assert_eq!(addresses.get(1), Some(&format!("unix:{path}")));
    let print_all = |number: u32| {
        let line = format!("21.50C 40% #{number}");
        let (host, port) = addresses[0].rsplit_once(':').expect("an address has a port");
        assert_eq!(print("nc", &["-N", host, port], &line), format!("OK {number}\n"));
        assert_eq!(print("nc", &["-N", "-U", &path], &line), format!("OK {number}\n"));
        assert_eq!(print_datagram(addresses[2].trim_start_matches("udp:"), &line), format!("OK {number}\n"));
    };
    print_all(1);
    // Other settings of a socket take it anew.
    let changed =
        configuration.replace("[listener.raw]\npatterns", "[listener.socket]\nbacklog = 7\n[listener.raw]\npatterns");
    assert_ne!(changed, configuration);
    HeadEnd::configure(directory.path(), &changed);
    signal(head_end.id(), Signal::SIGHUP);
    head_end.wait_for("reloaded");
    print_all(2);
    assert!(head_end.stop().success());
    assert!(std::path::Path::new(&path).exists(), "the file is the service manager's");
}

#[test]
fn a_socket_that_was_not_passed_is_missed_by_its_name() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let configuration = CONFIGURATION.replace(r#""127.0.0.1:0", "udp:127.0.0.1:0", "unix:PATH""#, r#""fd:streams""#);
    HeadEnd::configure(directory.path(), &configuration);
    let file = directory.path().join("loggerhead.toml").display().to_string();
    let output = outcome(&["serve", "--config", &file]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("passed no socket streams"), "{said}");
}

#[test]
fn a_connection_over_a_limit_is_reset_and_others_go_on() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let limited = CONFIGURATION.replacen("[listener.raw]", "connections_per_address_max = 1\n[listener.raw]", 1);
    let path = directory.path().join("printers.sock").display().to_string();
    let head_end = HeadEnd::start(directory.path(), &limited.replace("PATH", &path));
    let address = head_end.addresses_of("printers").first().expect("it listens").clone();
    let mut first = TcpStream::connect(&address).expect("it listens");
    first.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
    // The reset may come before `connect` has returned.
    let second = TcpStream::connect(&address).and_then(|mut second| {
        second.set_read_timeout(Some(PATIENCE))?;
        second.read(&mut [0; 1])
    });
    let error = second.expect_err("there is no room for it");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    first.write_all(b"21.50C 40% #1\n").expect("it is served");
    let mut answer = [0; 5];
    first.read_exact(&mut answer).expect("it is served");
    assert_eq!(&answer, b"OK 1\n");
    assert!(head_end.stop().success());
}

#[test]
fn a_device_of_ipv4_is_known_by_its_address_on_a_socket_of_both_families_and_not_taken_by_one_of_ipv6() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let configuration = "[[listener]]\nname = \"both\"\nprotocol = \"raw\"\naddress = [\"[::]:0\", \"udp:[::]:0\"]\n\
                         v6_only = false\n\
                         [[listener]]\nname = \"six\"\nprotocol = \"raw\"\naddress = [\"[::]:0\"]\n\
                         [[device]]\nid = \"old\"\nprotocol = \"raw\"\nidentity = \"127.0.0.1\"\nlogin = \"name\"\n";
    let head_end = HeadEnd::start(directory.path(), configuration);
    let port_of = |name: &str, place: usize| {
        let address = head_end.addresses_of(name).get(place).expect("it listens").clone();
        address.rsplit(':').next().expect("an address has a port").to_owned()
    };
    let line = "{\"sequence\":1,\"power\":1}\n";
    assert_eq!(print("nc", &["-N", "127.0.0.1", &port_of("both", 0)], line), "OK 1\n");
    assert_eq!(print_datagram(&format!("127.0.0.1:{}", port_of("both", 1)), line), "OK 1\n");
    let refused = TcpStream::connect(format!("127.0.0.1:{}", port_of("six", 0))).expect_err("that is no IPv6");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(stored(head_end), ["old  power 1", "old  power 1"]);
}

#[test]
fn names_that_are_no_files_take_connections() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let name = format!("loggerhead-printers-{}", std::process::id());
    let head_end = HeadEnd::start(directory.path(), &CONFIGURATION.replace("PATH", &format!("@{name}")));
    assert_eq!(print("socat", &["-t", "60", "-", &format!("ABSTRACT-CONNECT:{name}")], "5.5C 81% #2"), "OK 2\n");
    assert!(head_end.stop().success());
}

#[test]
fn a_device_behind_a_proxy_is_known_by_its_own_address_in_both_versions_of_the_header() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let configuration = "[[listener]]\nname = \"printers\"\nprotocol = \"raw\"\naddress = [\"127.0.0.1:0\"]\n\
                         proxies = [\"127.0.0.1\"]\n\
                         [[device]]\nid = \"far\"\nprotocol = \"raw\"\nidentity = \"192.0.2.9\"\nlogin = \"name\"\n";
    let mut head_end = HeadEnd::start(directory.path(), configuration);
    let address = head_end.addresses_of("printers").first().expect("it listens").clone();
    let second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\x7f\0\0\x01\x12\x34\x0f\xa1";
    let first = b"PROXY TCP4 192.0.2.9 127.0.0.1 4660 4001\r\n";
    for (number, header) in [&first[..], second, b""].into_iter().enumerate() {
        let mut proxy = TcpStream::connect(&address).expect("it listens");
        proxy.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
        let line = format!("{{\"sequence\":{number},\"power\":{number}}}\n");
        proxy.write_all(&[header, line.as_bytes()].concat()).expect("it reads");
        // One that sends no header may be cut off already, with its bytes unread.
        let mut answer = String::new();
        let ended = proxy.shutdown(Shutdown::Write).and_then(|()| proxy.read_to_string(&mut answer));
        let is_answered = ended.is_ok() && !answer.is_empty();
        assert_eq!(is_answered, !header.is_empty(), "{answer}");
    }
    let told = head_end.wait_for_kind("fault");
    assert!(told["message"].as_str().is_some_and(|text| text.contains("no PROXY header")), "{told}");
    let metrics = Api::Unix(head_end.data()).get("/metrics").body;
    assert!(metrics.contains("loggerhead_handshakes_failed_total{protocol=\"raw\"} 1\n"), "{metrics}");
    assert_eq!(stored(head_end), ["far  power 0", "far  power 1"]);
}

#[test]
fn one_that_ends_its_side_is_answered_unless_settings_say_that_it_is_gone() {
    for (setting, is_answered) in [("half_open = true", true), ("half_open = false", false)] {
        let directory = tempfile::tempdir().expect("a directory for this test");
        let path = directory.path().join("printers.sock").display().to_string();
        let configuration = CONFIGURATION.replace("PATH", &path);
        let configuration =
            configuration.replacen("[listener.raw]", &format!("[listener.socket]\n{setting}\n[listener.raw]"), 1);
        let head_end = HeadEnd::start(directory.path(), &configuration);
        let address = head_end.addresses_of("printers").first().expect("it listens").clone();
        let (host, port) = address.rsplit_once(':').expect("an address has a port");
        assert_eq!(print("nc", &["-N", host, port], "21.50C 40% #1") == "OK 1\n", is_answered);
        assert_eq!(stored(head_end).is_empty(), !is_answered);
    }
}
