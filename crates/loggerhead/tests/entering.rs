//! Who is let in: accounts and tokens by the command line, and what the console's address bears.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Output, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

use crate::support::{Api, HeadEnd, LOGGERS, PATIENCE, json, loggerhead, outcome, printed, run};

const PASSWORD: &str = "correct horse battery\n";
/// A console on any free port.
const CONSOLE: &str = "[web]\naddress = \"127.0.0.1:0\"\n";
/// Sockets that ask for nothing.
const IDLE_SOCKETS: usize = 10_000;

/// Runs a verb that reads a password from its standard input.
fn with_password(arguments: &[&str], password: &str) -> Output {
    let mut command = loggerhead();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut verb = command.spawn().expect("the binary was built for this test");
    let mut input = verb.stdin.take().expect("it is piped");
    input.write_all(password.as_bytes()).expect("it reads");
    drop(input);
    verb.wait_with_output().expect("it ends")
}

fn names(accounts: &Value) -> Vec<&str> {
    accounts.as_array().expect("a list").iter().filter_map(|account| account.get("name")?.as_str()).collect()
}

/// A running head-end with a console.
fn with_console(directory: &Path) -> (HeadEnd, String) {
    let head_end = HeadEnd::start(directory, &format!("{CONSOLE}{LOGGERS}"));
    let address = head_end.api_address();
    (head_end, address)
}

/// Sends bytes and reads what comes until the other side ends it.
fn exchange(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("the console listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // A server that has heard enough ends the connection before all is written.
    let _cut = stream.write_all(request);
    let mut answer = Vec::new();
    let _cut = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn accounts_and_tokens_are_managed_without_a_server_and_with_one() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let data = directory.path().join("data").display().to_string();
    let add = ["user", "add", "ada", "--role", "admin", "--json", "--data", &data];
    let short = with_password(&add, "short\n");
    assert_eq!(short.status.code(), Some(2), "{short:?}");
    let added = printed(&with_password(&add, PASSWORD));
    assert!(added.contains("\"admin\"") && !added.contains("correct horse"), "{added}");
    assert_eq!(names(&json(&["user", "list", "--json", "--data", &data])), ["ada"]);

    let (mut head_end, address) = with_console(directory.path());
    let api = Api::Tcp(address, None);
    let body = "{\"name\": \"ada\", \"password\": \"correct horse battery\"}";
    let signed_in = api.ask("POST", "/api/v1/session", "", body);
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let token = run(&["token", "add", "billing", "--scope", "read", "--data", &data]);
    let bearer = format!("Authorization: Bearer {}\r\n", token.trim());
    assert_eq!(api.ask("GET", "/api/v1/devices", &bearer, "").status, 200);
    assert_eq!(api.ask("GET", "/api/v1/accounts", &bearer, "").status, 403);
    run(&["token", "revoke", "billing", "--data", &data]);
    assert_eq!(api.ask("GET", "/api/v1/devices", &bearer, "").status, 401);
    let unknown = outcome(&["token", "revoke", "billing", "--data", &data]);
    assert_eq!(unknown.status.code(), Some(3), "{unknown:?}");

    let audit = head_end.wait_for("audit");
    assert!(audit.get("object").is_some() && audit.get("target").is_some(), "{audit}");
    let last = outcome(&["user", "remove", "ada", "--data", &data]);
    assert!(String::from_utf8_lossy(&last.stderr).contains("last administrator"), "{last:?}");
    printed(&with_password(&["user", "add", "bob", "--role", "viewer", "--data", &data], PASSWORD));
    let changed = with_password(&["user", "password", "ada", "--data", &data], "another password\n");
    assert!(changed.status.success(), "{changed:?}");
    assert_eq!(api.ask("POST", "/api/v1/session", "", body).status, 401, "the old password");
    run(&["user", "remove", "bob", "--data", &data]);
    assert!(head_end.stop().success());
    assert_eq!(names(&json(&["user", "list", "--json", "--data", &data])), ["ada"]);
}

#[test]
fn bad_requests_are_answered_and_the_service_goes_on() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (head_end, address) = with_console(directory.path());
    let long = "x".repeat(1_000_000);
    let many = "h: x\r\n".repeat(100);
    let cases = [
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 4"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\ncookie: {long}\r\n\r\n"), "HTTP/1.1 4"),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), "HTTP/1.1 4"),
        ("GET /api/v1/../../../etc/passwd HTTP/1.0\r\n\r\n".to_owned(), "HTTP/1.0 401"),
        ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.0\r\n\r\n".to_owned(), "HTTP/1.0 303"),
        ("GET /api/v1/devices HTTP/1.0\r\ncookie: loggerhead=admin\r\n\r\n".to_owned(), "HTTP/1.0 401"),
        (
            "POST /api/v1/session HTTP/1.0\r\norigin: http://evil\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "HTTP/1.0 403",
        ),
        (
            "POST /api/v1/session HTTP/1.0\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
            "HTTP/1.0 415",
        ),
        (
            "POST /api/v1/session HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{\"name\":12"
                .to_owned(),
            "HTTP/1.0 400",
        ),
        ("\u{0}\u{1}\u{2}\r\n\r\n".to_owned(), "HTTP/1.1 400"),
    ];
    for (request, expected) in cases {
        let answer = exchange(&address, request.as_bytes());
        let shown: String = request.chars().take(60).collect();
        // Of a head that has no end in sight the rest is not read, and the system may drop the answer with it.
        let cut = answer.is_empty() && request.len() > long.len();
        assert!(cut || answer.starts_with(expected), "{shown:?}: {answer:?}");
    }
    let head = "POST /api/v1/session HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n";
    let answer = exchange(&address, &[head.as_bytes(), &vec![b' '; 1_000_000]].concat());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.0 413"), "{answer:?}");
    let local = Api::Unix(head_end.data());
    assert_eq!(local.get("/readyz").status, 200);
    assert!(head_end.stop().success());
}

#[test]
fn idle_sockets_keep_nobody_out() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit");
    let sockets = IDLE_SOCKETS.min(usize::try_from(hard).unwrap_or(usize::MAX) / 2);
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (head_end, address) = with_console(directory.path());
    let mut idle = Vec::with_capacity(sockets);
    for number in 0..sockets {
        let mut socket = TcpStream::connect(&address).expect("the console listens");
        if number % 2 == 0 {
            // Half of them begin a request that they never end.
            let _cut = socket.write_all(b"GET / HTTP/1.1\r\nHost: x");
        }
        idle.push(socket);
    }
    let answer = Api::Tcp(address, None).get("/api/v1/me");
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(Api::Unix(head_end.data()).get("/readyz").status, 200);
    drop(idle);
    assert!(head_end.stop().success());
}
