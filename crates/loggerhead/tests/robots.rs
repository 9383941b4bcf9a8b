//! Robots over real sockets: what they report is stored, and what is stored is answered.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::{Api, HeadEnd, PATIENCE, assert_same, exported, journalled, json, loggerhead, outcome, run};

/// A listener that enrols robots by a secret.
const ROBOTS: &str = r#"
[[listener]]
name = "robots"
protocol = "kuka"
address = ["127.0.0.1:0"]
enroll = "accept"
secrets = ["text:IJKLMNOPQRSTUVWX"]
"#;

/// Where the head-end waits for robots.
fn address(head_end: &HeadEnd) -> String {
    head_end.addresses_of("robots").first().expect("the listener listens").clone()
}

/// Writes to a head-end as a robot's program does, and reads so many bytes of what it answers.
fn converse(address: &str, document: &str, answer_bytes: usize) -> String {
    let mut robot = TcpStream::connect(address).expect("the head-end listens");
    robot.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
    robot.write_all(document.as_bytes()).expect("the head-end reads");
    let mut answer = vec![0; answer_bytes];
    robot.read_exact(&mut answer).expect("an answer");
    String::from_utf8(answer).expect("text")
}

#[test]
fn simulated_robots_are_stored_and_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), ROBOTS);
    let (data, address) = (head_end.data(), address(&head_end));
    let journal = directory.path().join("journal");
    let journal_argument = journal.to_str().expect("a path of this test");
    let load = ["--robots", "3", "--packets", "20", "--rate", "50", "--journal", journal_argument, "--json"];
    let result = json(&[&["simulate", "kuka-eki", "--to", &address][..], &load].concat());
    assert_eq!(result.get("packets_acked"), Some(&Value::from(60)), "{result}");
    let wrong = ["--name", "other-", "--secret", "text:guess", "--packets", "1", "--patience", "1"];
    let refused = outcome(&[&["simulate", "kuka-eki", "--to", &address][..], &wrong].concat());
    assert!(!refused.status.success(), "who proves nothing is not let in");
    assert!(head_end.stop().success());
    let journal = std::fs::read_to_string(&journal).expect("it was just written");
    let acknowledged = journalled(&journal.lines().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(acknowledged.len(), 3 * 20 * 6);
    assert_same(&exported(&data), &acknowledged);
}

#[test]
fn simulated_robots_over_datagrams_are_stored_and_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), &ROBOTS.replace("127.0.0.1:0", "udp:127.0.0.1:0"));
    let (data, address) = (head_end.data(), address(&head_end));
    assert!(address.starts_with("udp:"), "{address}");
    let load = ["--robots", "2", "--packets", "10", "--rate", "50", "--json"];
    let result = json(&[&["simulate", "kuka-eki", "--to", &address][..], &load].concat());
    assert_eq!(result.get("packets_acked"), Some(&Value::from(20)), "{result}");
    let logger = outcome(&["simulate", "logger", "--to", &address, "--packets", "1"]);
    assert!(String::from_utf8_lossy(&logger.stderr).contains("does not go over UDP"), "{logger:?}");
    assert!(head_end.stop().success());
    assert_eq!(exported(&data).len(), 2 * 10 * 6);
}

#[test]
fn a_robot_without_a_secret_is_known_by_its_address_and_its_own_configuration() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let file = directory.path().join("XmlTransmit.xml");
    let own = "<ETHERNETKRL><SEND><XML><ELEMENT Tag=\"State/Mode\"/><ELEMENT Tag=\"State/Pos\"/><ELEMENT Tag=\"State/N\"/>\
               </XML></SEND></ETHERNETKRL>";
    std::fs::write(&file, own).expect("a directory of this test");
    let configuration = format!(
        "[[listener]]\nname = \"robots\"\nprotocol = \"kuka\"\naddress = [\"127.0.0.1:0\"]\n[listener.kuka]\nsequence = \"State/N\"\n\
         answer = \"<S>{{sequence}}</S>\"\nconfiguration = \"file:{}\"\n[[device]]\nid = \"press\"\n\
         protocol = \"kuka\"\nidentity = \"127.0.0.1\"\nlogin = \"name\"\n",
        file.display()
    );
    let head_end = HeadEnd::start(directory.path(), &configuration);
    let document = "<?xml version=\"1.0\"?>\n<State><N>7</N><Mode>AUT</Mode><Pos X=\"1.50\" A=\"-2\"></Pos><More>1</More>\
                    </State>";
    assert_eq!(converse(&address(&head_end), document, 8), "<S>7</S>");
    let data = head_end.data();
    assert!(head_end.stop().success());
    let stored: Vec<String> = exported(&data)
        .into_iter()
        .map(|((device, meter, function, _), value)| format!("{device} {meter} {function} {value}"))
        .collect();
    assert_eq!(stored, ["press State Mode AUT", "press State Pos/@A -2", "press State Pos/@X 1.50"]);
}

#[test]
fn a_configuration_that_cannot_be_served_is_refused_at_its_line() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let own = "configuration = \"<ETHERNETKRL><CONFIGURATION><INTERNAL><PROTOCOL>HTTP</PROTOCOL></INTERNAL></CONFIGURATION></ETHERNETKRL>\"";
    let configuration = format!("{ROBOTS}[listener.kuka]\n{own}\n");
    HeadEnd::configure(directory.path(), &configuration);
    let file = directory.path().join("loggerhead.toml");
    let output = outcome(&["check", "--config", file.to_str().expect("a path of this test")]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && said.contains("listener.robots.kuka.configuration"), "{said}");
    assert!(said.contains("only TCP and UDP are taken"), "{said}");
}

#[test]
fn documents_are_explained() {
    // <Robot><Status>5</Status></Robot>
    let hex = "3c526f626f743e3c5374617475733e353c2f5374617475733e3c2f526f626f743e";
    let said = run(&["decode", "kuka", "--hex", hex]);
    assert!(said.contains("Robot/Status: 5"), "{said}");
    let wrong = outcome(&["decode", "kuka", "--hex", "3c413e3c2f423e"]);
    assert_eq!(wrong.status.code(), Some(1), "a closing tag that does not fit");
}

/// A listener of robots in their cycles, which knows the one on this host.
const CYCLES: &str = r#"
[[listener]]
name = "robots"
protocol = "rsi"
address = ["udp:127.0.0.1:0"]
[listener.rsi]
record_ms = 20
corrections = [{ element = "RKorr/@X", max = 0.5 }]
[[device]]
id = "arm"
protocol = "rsi"
identity = "127.0.0.1"
login = "name"
"#;

/// Where they send to.
fn datagrams(head_end: &HeadEnd) -> String {
    address(head_end).trim_start_matches("udp:").to_owned()
}

#[test]
fn a_robot_in_its_cycles_is_answered_and_its_states_are_recorded() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), CYCLES);
    // Slow cycles: what is shown is that each is answered, whatever else this machine does.
    let robot =
        ["simulate", "kuka-rsi", "--to", &datagrams(&head_end), "--cycle-ms", "100", "--seconds", "2", "--json"];
    let output = outcome(&robot);
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let count = |key: &str| said.get(key).and_then(Value::as_u64).expect("a count");
    assert!(count("answered") > 5 && count("cycles") - count("answered") == count("late"), "{said}");
    let data = head_end.data();
    assert!(head_end.stop().success());
    let exported = exported(&data);
    let has = |meter: &str, function: &str| {
        exported.keys().any(|(device, found, name, _)| device == "arm" && found == meter && name == function)
    };
    assert!(has("Rob", "AIPos/@A1") && has("Rob", "RIst/@X") && has("RSI", "lost"), "{exported:?}");
}

/// Sends one state, and gives the answer with its number replaced.
fn cycle(robot: &UdpSocket, ipoc: u64) -> String {
    let state = format!("<Rob Type=\"KUKA\"><AIPos A1=\"1\"/><IPOC>{ipoc}</IPOC></Rob>");
    robot.send(state.as_bytes()).expect("a socket of this test");
    let mut answer = [0; 1_000];
    let count = robot.recv(&mut answer).expect("an answer");
    let answer = str::from_utf8(answer.get(..count).expect("a datagram of that length")).expect("text");
    answer.replace(&format!("<IPOC>{ipoc}</IPOC>"), "<IPOC/>")
}

#[test]
fn a_correction_that_an_operator_asks_for_goes_out_within_its_limits_and_ends() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), CYCLES);
    let robot = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    robot.connect(datagrams(&head_end)).expect("UDP connects to anything");
    robot.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
    let answer = |x: &str| format!("<Sen Type=\"ImFree\"><RKorr X=\"{x}\"/><IPOC/></Sen>");
    assert_eq!(cycle(&robot, 4), answer("0.0000"));
    // 9 for a single cycle.
    let order = r#"{"order":"control","lines":[{"meter":"RKorr/@X","hex":"39","timeout_ms":0,"retries":0}]}"#;
    let api = Api::Unix(head_end.data());
    let taken = api.ask("POST", "/api/v1/devices/arm/commands", "content-type: application/json\r\n", order);
    assert_eq!(taken.status, 202, "{taken:?}");
    let said: Vec<String> =
        (2..200).map(|number| cycle(&robot, number * 4)).take_while(|said| *said != answer("0.5000")).collect();
    assert!(said.len() < 197 && said.iter().all(|said| *said == answer("0.0000")), "{said:?}");
    assert_eq!(cycle(&robot, 1_000), answer("0.0000"), "it was for one cycle");
    robot.send(b"<Rob><IPOC>x</IPOC></Rob>").expect("a socket of this test");
    assert_eq!(cycle(&robot, 1_004), answer("0.0000"), "what is no state is not answered");
}

/// A robot that is called here, and known by its address.
fn called(protocol: &str, to: &str, settings: &str) -> String {
    format!(
        "[[listener]]\nname = \"robots\"\nprotocol = \"{protocol}\"\naddress = [\"call:{to}\"]\n[[device]]\nid = \"press\"\n\
         protocol = \"{protocol}\"\nidentity = \"127.0.0.1\"\nlogin = \"name\"\n{settings}"
    )
}

/// Waits until the device has a reading of this function; the text of the latest one.
fn value_of(api: &Api, function: &str) -> String {
    let began = std::time::Instant::now();
    loop {
        let latest = api.get("/api/v1/latest?device=press").json();
        let readings = latest.get("readings").and_then(Value::as_array).into_iter().flatten();
        let mut found = readings.filter(|reading| reading.get("function").is_some_and(|name| name == function));
        if let Some(text) = found.next().and_then(|reading| reading.get("text")?.as_str()) {
            return text.to_owned();
        }
        assert!(began.elapsed() < PATIENCE, "no {function} in {latest}");
        std::thread::yield_now();
    }
}

/// A simulated robot with a variable proxy, which ends with this.
struct Proxy {
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Proxy {
    fn start(options: &[&str]) -> Self {
        let mut command = loggerhead();
        command.args(["simulate", "kuka-proxy", "--listen", "127.0.0.1:0"]).args(options);
        let mut process =
            command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("the binary was built for this test");
        let said = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, said }
    }

    /// The address at the end of the next line that it says.
    fn address(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it says where it listens");
        line.trim_end().rsplit(' ').next().expect("an address").to_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// A client of another maker, which `check` installs; see there.
const OPENSHOWVAR: &str = r##"
import sys
from py_openshowvar import openshowvar
client = openshowvar("127.0.0.1", int(sys.argv[1]))
assert client.can_connect
def told(value):
    return None if value is None else value.decode()
for name in ["$OV_PRO", "$AXIS_ACT", "$MODE_OP", "$NOT_THERE"]:
    print(name, told(client.read(name, debug=False)))
print("written", told(client.write("$OV_PRO", "42", debug=False)), told(client.read("$OV_PRO", debug=False)))
print("refused", told(client.write("$MODE_OP", "#T1", debug=False)), told(client.read("$MODE_OP", debug=False)))
client.close()
"##;

#[test]
fn a_client_of_another_maker_reads_and_writes_the_variables_of_a_simulated_robot() {
    let library = concat!(env!("CARGO_TARGET_TMPDIR"), "/../tools/python");
    for (kind, unknown) in [("simple", ""), ("c3", "None")] {
        let mut robot = Proxy::start(&["--kind", kind, "--writable", "$OV_PRO"]);
        let to = robot.address();
        let port = to.rsplit(':').next().expect("a port");
        let client = Command::new("python3").env("PYTHONPATH", library).args(["-c", OPENSHOWVAR, port]).output();
        let client = client.expect("python3 is installed by check");
        assert!(client.status.success(), "{kind}: {}", String::from_utf8_lossy(&client.stderr));
        let said = String::from_utf8(client.stdout).expect("text");
        let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
        assert_eq!(lines.first(), Some(&"$OV_PRO 100"), "{kind}: {said}");
        assert!(lines.get(1).is_some_and(|line| line.starts_with("$AXIS_ACT {E6AXIS: A1 ")), "{kind}: {said}");
        assert_eq!(lines.get(3), Some(&format!("$NOT_THERE {unknown}").trim_end()), "{kind}: {said}");
        assert_eq!(lines.get(4), Some(&"written 42 42"), "{kind}: {said}");
        let mode = lines.get(2).and_then(|line| line.strip_prefix("$MODE_OP ")).expect("a mode");
        assert_eq!(lines.get(5), Some(&format!("refused None {mode}").as_str()), "{kind}: {said}");
    }
}

#[test]
fn robots_with_a_proxy_are_found() {
    // A C3 Bridge answers to where it is asked from, if it is asked at its own port.
    let mut robot = Proxy::start(&["--kind", "c3", "--discovery", "127.0.0.1:0"]);
    let (own, finder) = (robot.address(), robot.address());
    let found = json(&["find", "--to", &own, "--answers", "127.0.0.1:0", "--count", "1", "--seconds", "60", "--json"]);
    let expected = serde_json::json!({"address": "127.0.0.1", "model": "KR6R900 SIXX", "serial": "000000", "more": ""});
    assert_eq!(found, expected);
    // Every proxy answers at port 7000 of who asks. An address of this host that nobody else has.
    let said = run(&["find", "--to", &finder, "--answers", "127.0.70.99:7000", "--count", "1", "--seconds", "60"]);
    assert!(said.contains("127.0.0.1  KR6R900 SIXX  000000"), "{said}");
    let nobody = outcome(&["find", "--to", &finder, "--answers", "127.0.70.98:0", "--seconds", "0.1"]);
    assert_eq!(nobody.status.code(), Some(1), "the answer goes to another port");
}

#[test]
fn the_variables_of_a_robot_that_is_called_are_read_and_written() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    for kind in ["c3", "simple"] {
        let mut robot = Proxy::start(&["--kind", kind, "--writable", "$OV_PRO"]);
        let to = robot.address();
        let directory = directory.path().join(kind);
        std::fs::create_dir(&directory).expect("a directory of this test");
        let settings = "[device.varproxy]\npoll_ms = 50\nwritable = [\"$OV_PRO\", \"$BASE\"]\n";
        let head_end = HeadEnd::start(&directory, &called("varproxy", &to, settings));
        let api = Api::Unix(head_end.data());
        assert_eq!(value_of(&api, "$AXIS_ACT.A2"), "-90.0");
        let order = r#"{"order":"control","lines":[{"meter":"$OV_PRO","hex":"3432","timeout_ms":0,"retries":0}]}"#;
        let taken = api.ask("POST", "/api/v1/devices/press/commands", "content-type: application/json\r\n", order);
        assert_eq!(taken.status, 202, "{taken:?}");
        let began = std::time::Instant::now();
        while value_of(&api, "$OV_PRO") != "42" {
            assert!(began.elapsed() < PATIENCE, "{kind}: it was not written");
        }
        assert!(head_end.stop().success());
    }
}

#[test]
fn a_robot_that_is_a_server_is_called_until_it_answers_and_called_again() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let robot = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let to = robot.local_addr().expect("it is bound").to_string();
    let head_end = HeadEnd::start(directory.path(), &called("kuka", &to, ""));
    for number in 1..=2 {
        let (mut line, _) = robot.accept().expect("somebody calls");
        line.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
        let document = format!("<Robot><Sequence>{number}</Sequence><Mode>{number}</Mode></Robot>");
        line.write_all(document.as_bytes()).expect("the head-end reads");
        let expected = format!("<Server><Stored>{number}</Stored></Server>");
        let mut answer = vec![0; expected.len()];
        line.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, expected.as_bytes());
    }
    let data = head_end.data();
    assert!(head_end.stop().success());
    assert_eq!(exported(&data).len(), 2);
}

#[test]
fn a_robot_that_is_a_server_over_udp_is_told_where_to_send_and_called_again_when_it_is_silent() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let robot = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    robot.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
    let to = format!("udp:{}", robot.local_addr().expect("it is bound"));
    let head_end = HeadEnd::start(directory.path(), &called("kuka", &to, "[device.kuka]\nexpect_s = 1\n"));
    let mut datagram = [0; 1_000];
    for number in 1..=2 {
        // The robot knows nobody before it has received one byte, and nobody any more after it began anew.
        let client = loop {
            let (count, client) = robot.recv_from(&mut datagram).expect("somebody calls");
            if datagram.get(..count) == Some(&[0]) {
                break client;
            }
        };
        let document = format!("<Robot><Sequence>{number}</Sequence><Mode>{number}</Mode></Robot>");
        robot.send_to(document.as_bytes(), client).expect("a socket of this test");
        let (count, _) = robot.recv_from(&mut datagram).expect("an answer");
        let answer = str::from_utf8(datagram.get(..count).expect("a datagram of that length")).expect("text");
        assert_eq!(answer, format!("<Server><Stored>{number}</Stored></Server>"));
    }
    let data = head_end.data();
    assert!(head_end.stop().success());
    assert_eq!(exported(&data).len(), 2);
}

#[test]
fn one_that_takes_no_answers_and_one_that_is_silent_over_datagrams_are_gone_when_settings_say() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let answer = format!("<Server><Stored>{{sequence}}</Stored><Rest>{}</Rest></Server>", "x".repeat(900));
    let robots = ROBOTS.replace("[\"127.0.0.1:0\"]", "[\"127.0.0.1:0\", \"udp:127.0.0.1:0\"]");
    let socket = "[listener.socket]\nwrite_s = 1\ndatagram_silence_s = 1\nsend_buffer_bytes = 4096\n";
    let configuration = format!("{robots}{socket}[listener.kuka]\nanswer = \"{answer}\"\n");
    let mut head_end = HeadEnd::start(directory.path(), &configuration);
    let [deaf, silent]: [String; 2] = head_end.addresses_of("robots").to_vec().try_into().expect("two addresses");
    let document = |name: &str, number: u32| {
        let secret = "<Secret>IJKLMNOPQRSTUVWX</Secret>";
        format!("<Robot><Identity>{name}</Identity>{secret}<Sequence>{number}</Sequence><A>{number}</A></Robot>")
    };

    let robot = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    robot.send_to(document("silent", 1).as_bytes(), silent.trim_start_matches("udp:")).expect("sent");
    let told = head_end.wait_for_kind("logout");
    assert_eq!(told["device"], "silent", "{told}");

    let mut robot = TcpStream::connect(deaf).expect("the head-end listens");
    robot.set_write_timeout(Some(PATIENCE)).expect("a socket of this test");
    // Nothing is read here, so at some time the head-end reads nothing either, and then ends it.
    let ended = (1..).find_map(|number| robot.write_all(document("deaf", number).as_bytes()).err());
    assert!(ended.is_some_and(|error| error.kind() != std::io::ErrorKind::WouldBlock), "it is ended and does not wait");
    let told = head_end.wait_for_kind("logout");
    assert_eq!(told["device"], "deaf", "{told}");
    assert!(head_end.stop().success());
}
