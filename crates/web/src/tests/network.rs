//! The server on real sockets: TLS from end to end, and peers that are slow, too long or too many.

use std::sync::Arc;
use std::time::Duration;

use loggerhead_headend::tls::{Certificate, Files};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{PATIENCE, Site, packet, reading};
use crate::access::Transport;
use crate::{CONNECTIONS_MAX, HEAD_BYTES_MAX, HEADERS_MAX, Server, Settings, Waits, Web};

/// Readings of an answer that is far longer than what a socket holds.
const LONG_READINGS: i64 = 60_000;
/// Idle sockets that somebody opens.
const IDLE: usize = 10_000;
/// Files that a test process opens besides: the store, the sockets of the test, what the server holds.
const FILES_BESIDE: usize = CONNECTIONS_MAX + 500;

fn settings(site: &Site, waits: Waits) -> Settings {
    Settings { socket: site.directory.path().join("api.sock"), web: None, waits }
}

async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // Some close without a word when they are refused.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time");
    drop(read);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Speaks TLS with a peer that has this certificate.
async fn secured(address: &str, trusted: &CertificateDer<'static>) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the library's own")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS")
}

#[tokio::test]
async fn over_tls_people_sign_in_and_follow_and_nobody_else_understands() {
    let site = Site::open().await;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let files = Files {
        certificate: site.directory.path().join("cert.pem"),
        key: site.directory.path().join("key.pem"),
        clients: None,
    };
    std::fs::write(&files.certificate, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    let transport = Transport::Tls(Certificate::load(files).expect("it was just written"));
    let web = Web { addresses: vec!["127.0.0.1:0".parse().expect("an address")], transport, token: None };
    let settings = Settings { web: Some(web), ..settings(&site, Waits::default()) };
    let server = Server::start(site.headend.clone(), settings).await.expect("a server");
    let address = server.addresses().first().expect("one").to_string();
    let link = server.sign_in_link("ada", loggerhead_model::Role::Viewer).await.expect("an account").expect("a link");
    let (page, secret) = link.split_once('#').expect("a secret behind it");
    assert_eq!(page, format!("https://{address}/sign-in-link"));

    let body = format!("{{\"link\":\"{secret}\"}}");
    let host = format!("Host: {address}\r\nOrigin: https://{address}\r\n");
    let request = format!(
        "POST /api/v1/session/link HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let trusted = made.cert.der().clone();
    let answer = exchange(&mut secured(&address, &trusted).await, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.starts_with("__Host-loggerhead=") && cookie.ends_with("; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair");

    let mut live = secured(&address, &trusted).await;
    let request = format!(
        "GET /api/v1/live/ws HTTP/1.1\r\n{host}Cookie: {cookie}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    live.write_all(request.as_bytes()).await.expect("sent");
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains("\"event\":\"start\"") {
        let read = tokio::time::timeout(PATIENCE, live.read_buf(&mut received)).await.expect("in time");
        assert_ne!(read.expect("a stream"), 0, "{}", String::from_utf8_lossy(&received));
    }

    let mut plain = TcpStream::connect(&address).await.expect("connected");
    let answer = exchange(&mut plain, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(!answer.contains("HTTP/"), "{answer}");
}

#[tokio::test]
async fn slow_and_endless_requests_are_ended() {
    let site = Site::open().await;
    let waits = Waits { head: Duration::from_millis(200), answer: Duration::from_millis(200), ..Waits::default() };
    let settings = settings(&site, waits);
    let _server = Server::start(site.headend.clone(), settings.clone()).await.expect("a server");
    let open = async || UnixStream::connect(&settings.socket).await.expect("connected");
    let half = exchange(&mut open().await, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    assert!(!half.starts_with("HTTP/1.1 200"), "{half}");
    let post = "POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let slow = exchange(&mut open().await, &format!("{post}Content-Length: 100\r\n\r\n{{")).await;
    assert!(slow.contains("/api/v1/problems/slow-body") && slow.starts_with("HTTP/1.1 408 "), "{slow}");
    let endless = exchange(&mut open().await, &format!("{post}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n")).await;
    assert!(endless.contains("/api/v1/problems/slow-body"), "{endless}");
    let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Endless: {}\r\n\r\n", "x".repeat(1024 * 1024));
    let mut stream = open().await;
    // The server may be gone before all of it is sent.
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    let (_sent, read) = tokio::join!(writing.write_all(long.as_bytes()), reading.read_to_end(&mut answer));
    drop(read);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let healthy = exchange(&mut open().await, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(healthy.starts_with("HTTP/1.1 200 OK"), "{healthy}");
}

#[tokio::test]
async fn a_head_over_its_limits_is_a_problem_like_any_other() {
    let site = Site::open().await;
    let settings = settings(&site, Waits::default());
    let _server = Server::start(site.headend.clone(), settings.clone()).await.expect("a server");
    let get = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let cases = [
        format!("{get}Cookie: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)),
        format!("{get}{}\r\n", "X-Many: x\r\n".repeat(HEADERS_MAX)),
        format!("GET /healthz?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)),
    ];
    for request in cases {
        let mut stream = UnixStream::connect(&settings.socket).await.expect("connected");
        let answer = exchange(&mut stream, &request).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(answer.contains("\r\ncontent-type: application/problem+json\r\n"), "{answer}");
        assert!(answer.contains("/api/v1/problems/head-too-large"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_a_problem_like_any_other() {
    let site = Site::open().await;
    let settings = settings(&site, Waits::default());
    let _server = Server::start(site.headend.clone(), settings.clone()).await.expect("a server");
    for request in [
        "nonsense\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost x\r\n\r\n",
        "GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n",
        "GET /health z HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n",
        // What follows a good request on the same connection.
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n",
    ] {
        let mut stream = UnixStream::connect(&settings.socket).await.expect("connected");
        let answer = exchange(&mut stream, request).await;
        let refusal = answer.rfind("HTTP/1.1 ").and_then(|begin| answer.get(begin..)).expect(request);
        assert!(refusal.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request}: {answer}");
        assert!(refusal.contains("content-type: application/problem+json\r\n"), "{request}: {answer}");
        assert!(refusal.contains("content-security-policy: "), "{request}: {answer}");
        assert!(refusal.contains("/api/v1/problems/bad-request"), "{request}: {answer}");
    }
    let mut old = UnixStream::connect(&settings.socket).await.expect("connected");
    let answer = exchange(&mut old, "GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK"), "{answer}");
}

/// The value of a sample in the text of all metrics.
async fn sample(settings: &Settings, name: &str) -> u64 {
    let mut stream = UnixStream::connect(&settings.socket).await.expect("connected");
    let metrics = exchange(&mut stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

#[tokio::test]
async fn whoever_goes_away_in_a_long_answer_is_read_nothing_more_for() {
    const WHOLE: &str = "loggerhead_api_streamed_total{end=\"whole\"}";
    const CUT: &str = "loggerhead_api_streamed_total{end=\"cut\"}";
    const QUERIES: &str = "loggerhead_api_queries_total";
    let site = Site::open().await;
    let settings = settings(&site, Waits::default());
    let _server = Server::start(site.headend.clone(), settings.clone()).await.expect("a server");
    let texts: Vec<String> = (0..LONG_READINGS).map(|number| number.to_string()).collect();
    let readings: Vec<_> = (0..).zip(&texts).map(|(number, text)| reading(number, text)).collect();
    site.store(packet("d", &readings)).await;
    let span = "device=d&meter=m1&function=f1&from=2026-01-01&to=2027-01-01";
    for path in [format!("/api/v1/readings?limit=100000&{span}"), {
        let span = "device=d&channels=m1/f1&from=2026-01-01&to=2027-01-01";
        format!("/api/v1/download?{span}")
    }] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let begun = sample(&settings, QUERIES).await;
        let mut stream = UnixStream::connect(&settings.socket).await.expect("connected");
        let whole = exchange(&mut stream, &request).await;
        assert!(whole.starts_with("HTTP/1.1 200 ") && whole.ends_with("0\r\n\r\n"), "{path}");
        let all = sample(&settings, QUERIES).await - begun;
        assert_ne!(sample(&settings, WHOLE).await, 0, "{path}");

        let (begun, cut) = (sample(&settings, QUERIES).await, sample(&settings, CUT).await);
        let mut stream = UnixStream::connect(&settings.socket).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.expect("it begins");
        drop(stream);
        while sample(&settings, CUT).await == cut {
            tokio::task::yield_now().await;
        }
        let asked = sample(&settings, QUERIES).await - begun;
        assert!(asked < all, "{path}: {asked} questions of {all}");
    }
}

#[tokio::test]
async fn idle_sockets_are_bounded_and_keep_nobody_out() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, raised).expect("up to the maximum is allowed");
    let files = limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    // A system that allows fewer files sees fewer sockets, still more than there are places.
    let count = IDLE.min(files.saturating_sub(FILES_BESIDE));
    assert!(count > CONNECTIONS_MAX, "raise the limit of open files ({files}) to run this test");
    let site = Site::open().await;
    let settings = settings(&site, Waits { head: PATIENCE * 10, ..Waits::default() });
    let _server = Server::start(site.headend.clone(), settings.clone()).await.expect("a server");
    let mut idle = Vec::with_capacity(count);
    for _ in 0..count {
        idle.push(UnixStream::connect(&settings.socket).await.expect("connected"));
        // The server, on this same thread, accepts.
        tokio::task::yield_now().await;
    }
    let mut stream = UnixStream::connect(&settings.socket).await.expect("connected");
    let metrics = exchange(&mut stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let evicted = metrics.lines().find_map(|line| line.strip_prefix("loggerhead_api_connections_evicted_total "));
    let evicted: usize = evicted.and_then(|count| count.trim().parse().ok()).expect("a count");
    assert!(evicted + CONNECTIONS_MAX <= count + 1 && evicted > 0, "{evicted} of {count}");
    // The first were idle for longest.
    let first = idle.first_mut().expect("one");
    assert_eq!(exchange(first, "").await, "");
}
