//! The real router over a real head-end with a real store in a directory of its own; no port, no mock.

mod access;
mod asking;
mod devices;
mod live;
mod network;
mod readings;
mod serving;
mod websocket;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use loggerhead_headend::HeadEnd;
use loggerhead_headend::config::{self, Config};
use loggerhead_model::{DeviceId, Event, EventKind, Origin, Quality, Reading, Records, ReportBuilder, Severity};
use loggerhead_model::{Ticket, Timestamp, Value};
use loggerhead_store::{Completion, FrameKeeping, Limits, Outcome, Reply, Retention};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::access::{Caller, Token, Transport};
use crate::routes;
use crate::server::Waits;
use crate::state::{Api, Front};

/// Nothing here takes so long; a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN: &str = "correct-horse-battery-staple";

/// A head-end and its router.
struct Site {
    headend: HeadEnd,
    api: Api,
    router: Router,
    stopping: CancellationToken,
    directory: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// The answer to something that was done.
    fn good(self) -> Json {
        assert!(self.status.is_success(), "{self:?}");
        self.json()
    }

    /// The last part of the problem's type; checks what every problem has.
    fn problem(&self) -> String {
        assert_eq!(self.headers.get(header::CONTENT_TYPE).expect("a type"), crate::PROBLEM_TYPE, "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        for field in ["title", "detail", "remedy"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {problem}");
        }
        problem["type"].as_str().and_then(|kind| kind.strip_prefix(crate::PROBLEMS_PATH)).expect("a type").to_owned()
    }
}

fn settings(directory: &TempDir) -> Config {
    let listener = config::Listener {
        name: "loggers".to_owned(),
        protocol: "logger".to_owned(),
        addresses: vec![config::Address::Unix(directory.path().join("loggers.sock"))],
        v6_only: true,
        sockets: config::Sockets::default(),
        call_through: None,
        socket_files: config::SocketFiles::default(),
        enroll: config::Enroll::Refuse,
        secrets: Vec::new(),
        proxies: Vec::new(),
        connections_max: 10,
        connections_per_address_max: 10,
        connects_per_s_max: 0,
        connections_per_device_max: 4,
        data_ports: None,
        first_frame: Duration::from_secs(5),
        login: Duration::from_secs(10),
        tls: None,
        websocket: None,
        settings: toml::Table::new(),
    };
    Config {
        data_dir: directory.path().join("data"),
        stop_within: Duration::from_secs(5),
        command_within: Duration::from_hours(1),
        log: config::Log { format: config::LogFormat::Text, level: "info".to_owned() },
        frames: FrameKeeping::Keep,
        retention: Retention::default(),
        limits: Limits::default(),
        files: config::Files::default(),
        web: config::Web::default(),
        listeners: vec![listener],
        devices: Vec::new(),
    }
}

impl Site {
    async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let headend = HeadEnd::start(settings(&directory)).await.expect("a head-end");
        let stopping = CancellationToken::new();
        let token = Token::new(TOKEN).expect("a token");
        let front = Front { token: Some(token), transport: Transport::Plain, waits: Waits::default() };
        let api = Api::open(headend.clone(), front, stopping.clone()).await.expect("a readable store");
        let router = routes::router(&api);
        Self { headend, api, router, stopping, directory }
    }

    async fn send(&self, caller: Caller, request: Request<Body>) -> axum::response::Response {
        let mut request = request;
        request.extensions_mut().insert(caller);
        request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("a.example"));
        let answer = self.router.clone().oneshot(request);
        tokio::time::timeout(PATIENCE, answer).await.expect("in time").expect("a router always answers")
    }

    async fn ask(&self, caller: Caller, request: Request<Body>) -> Answer {
        let (parts, body) = self.send(caller, request).await.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("the whole body");
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Caller::Socket, Request::get(path).body(Body::empty()).expect("a request")).await
    }

    async fn method(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        self.ask(Caller::Socket, request).await
    }

    async fn post(&self, path: &str, body: &Json) -> Answer {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        self.ask(Caller::Socket, request).await
    }

    /// Stores records, and returns when they are committed.
    async fn store(&self, records: Records) {
        let (told, mut outcome) = mpsc::channel(1);
        let reply = Reply { ticket: Ticket(1), to: std::sync::Arc::new(Told(told)) };
        self.headend.store().submit(records, Some(reply)).await;
        let outcome = tokio::time::timeout(PATIENCE, outcome.recv()).await.expect("in time");
        assert_eq!(outcome, Some(true), "stored");
    }
}

/// Passes on whether records were stored.
struct Told(mpsc::Sender<bool>);

impl Completion for Told {
    fn complete(&self, outcomes: &mut dyn Iterator<Item = Outcome>) {
        for outcome in outcomes {
            self.0.try_send(matches!(outcome, Outcome::Stored(_))).expect("one outcome of one submission");
        }
    }
}

fn tcp(last: u8) -> Caller {
    Caller::Tcp(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_767_225_600_000 + seconds * 1000)
}

/// One value of meter `m1`, function `f1`.
fn reading(seconds: i64, text: &str) -> Reading<'_> {
    Reading {
        meter: "m1",
        function: "f1",
        coding: "01A10",
        code: "192",
        quality: Quality::Good,
        measured_at: at(seconds),
        value: Value::parse(text),
        attributes: "",
    }
}

/// What a packet with these readings asks to keep.
fn packet(device: &str, readings: &[Reading<'_>]) -> Records {
    let mut builder = ReportBuilder::new(Origin::Live, 0, readings.len());
    builder.meter("m1", "addr\t000000000001").expect("room");
    for reading in readings {
        builder.reading(reading).expect("room");
    }
    Records {
        device: DeviceId::new(device).expect("a name"),
        received_at: at(0),
        report: Some(builder.finish()),
        frame: None,
        events: Vec::new(),
        notes: Vec::new(),
    }
}

fn event(device: &str, kind: EventKind, text: &'static str) -> Event {
    Event {
        at: at(0),
        severity: Severity::Warning,
        kind,
        device: Some(DeviceId::new(device).expect("a name")),
        peer: None,
        text: text.into(),
    }
}
