//! The live stream over WebSocket, on a real socket.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use loggerhead_model::{EventKind, Reading, Records};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{PATIENCE, Site, event, packet, reading};
use crate::{Server, Settings, Waits};

/// A packet of this size is about 30 KB on the wire, so a few fill the buffers of a socket.
const LARGE_READINGS: usize = 200;
/// More packets than buffers and sheets hold for a subscriber that does not read.
const MANY_PACKETS: i64 = 320;

async fn serve(site: &Site) -> (Server, Settings) {
    serve_with(site, Waits::default()).await
}

async fn serve_with(site: &Site, waits: Waits) -> (Server, Settings) {
    let settings = Settings { socket: site.directory.path().join("api.sock"), web: None, waits };
    (Server::start(site.headend.clone(), settings.clone()).await.expect("a server"), settings)
}

/// A subscriber.
struct Socket {
    stream: UnixStream,
    received: BytesMut,
}

/// A frame of the server.
#[derive(Debug, PartialEq)]
struct Frame {
    opcode: u8,
    payload: Vec<u8>,
}

impl Socket {
    async fn open(settings: &Settings, query: &str) -> Self {
        let mut stream = UnixStream::connect(&settings.socket).await.expect("connected");
        let request = format!(
            "GET /api/v1/live/ws?{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut socket = Self { stream, received: BytesMut::new() };
        let head = loop {
            if let Some(end) = socket.received.windows(4).position(|end| end == b"\r\n\r\n") {
                break socket.received.split_to(end + 4);
            }
            socket.read().await;
        };
        let head = String::from_utf8_lossy(&head).to_lowercase();
        assert!(
            head.starts_with("http/1.1 101 ") && head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=")
        );
        assert_eq!(socket.message().await["event"], "start");
        socket
    }

    async fn read(&mut self) -> usize {
        let read = self.stream.read_buf(&mut self.received);
        tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("a socket")
    }

    async fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.cut() {
                return frame;
            }
            assert_ne!(self.read().await, 0, "the stream goes on");
        }
    }

    fn cut(&mut self) -> Option<Frame> {
        let (opcode, short) = (*self.received.first()? & 0x0f, *self.received.get(1)?);
        let (head, length) = match short {
            126 => (4, usize::from(u16::from_be_bytes(self.received.get(2..4)?.try_into().expect("two bytes")))),
            127 => (
                10,
                usize::try_from(u64::from_be_bytes(self.received.get(2..10)?.try_into().expect("eight")))
                    .expect("small"),
            ),
            short => (2, usize::from(short)),
        };
        let payload = self.received.get(head..head + length)?.to_vec();
        self.received.advance(head + length);
        Some(Frame { opcode, payload })
    }

    async fn message(&mut self) -> Json {
        let frame = self.frame().await;
        assert_eq!(frame.opcode, 1, "{frame:?}");
        serde_json::from_slice(&frame.payload).expect("JSON")
    }

    async fn messages(&mut self, count: usize) -> Vec<Json> {
        let mut messages = Vec::new();
        for _ in 0..count {
            messages.push(self.message().await);
        }
        messages
    }
}

/// A packet with an event beside its readings.
fn full(number: i64) -> Records {
    let mut records = packet("d", &[reading(number, "1.5")]);
    records.events = vec![event("d", EventKind::UnknownMessage, "<script>alert(1)</script>")];
    records
}

#[tokio::test]
async fn over_websocket_nothing_is_missed_or_told_twice() {
    let site = Site::open().await;
    let (_server, settings) = serve(&site).await;
    let query = "kinds=readings,events&device=d";
    let mut live = Socket::open(&settings, query).await;
    let mut same = Socket::open(&settings, query).await;
    for number in 0..4 {
        site.store(full(number)).await;
    }
    let all = live.messages(8).await;
    assert_eq!(same.messages(8).await, all, "one filter, one sheet");
    assert_eq!(all[1]["data"]["text"], "<script>alert(1)</script>");
    for (seen, message) in all.iter().enumerate() {
        let id = message["id"].as_str().expect("a place");
        let mut rest = Socket::open(&settings, &format!("{query}&from={id}")).await;
        assert_eq!(rest.messages(7 - seen).await, all[seen + 1..], "after {id}");
        site.store(packet("e", &[reading(9, "2")])).await;
    }
}

#[tokio::test]
async fn a_slow_subscriber_is_told_where_it_was_cut_and_catches_up() {
    let site = Site::open().await;
    // However slow the machine is, nobody is asked whether it is there in between.
    let waits = Waits { ping: PATIENCE, write: PATIENCE, ..Waits::default() };
    let (_server, settings) = serve_with(&site, waits).await;
    let mut slow = Socket::open(&settings, "kinds=readings&device=d").await;
    let mut quick = Socket::open(&settings, "kinds=readings&device=d").await;
    let names: Vec<String> = (0..LARGE_READINGS).map(|number| format!("f{number:0>99}")).collect();
    for number in 0..MANY_PACKETS {
        let readings: Vec<_> = names.iter().map(|function| Reading { function, ..reading(number, "1.5") }).collect();
        site.store(packet("d", &readings)).await;
    }
    // When another one has the last packet, all were offered to the one that does not read.
    let last = Json::from(super::at(MANY_PACKETS - 1).to_string());
    while quick.message().await["data"]["measured_at"] != last {}
    let (mut moments, mut cuts) = (Vec::new(), 0);
    while moments.len() < usize::try_from(MANY_PACKETS).expect("small") {
        let message = slow.message().await;
        match message["event"].as_str() {
            Some("readings") => moments.push(message["data"]["measured_at"].clone()),
            Some("cut") => cuts += 1,
            other => panic!("{other:?}"),
        }
    }
    let expected: Vec<Json> = (0..MANY_PACKETS).map(|number| Json::from(super::at(number).to_string())).collect();
    assert_eq!(moments, expected);
    assert!(cuts > 0, "it did not read for more than its buffers hold");
}

#[tokio::test]
async fn pings_are_answered_and_broken_frames_end_the_connection() {
    let site = Site::open().await;
    let (server, settings) = serve(&site).await;
    let mut socket = Socket::open(&settings, "kinds=presence&device=nobody").await;
    socket.stream.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).await.expect("sent");
    assert_eq!(socket.frame().await, Frame { opcode: 0xA, payload: b"hi".to_vec() });
    socket.stream.write_all(&[0x89, 0x00]).await.expect("sent");
    assert_eq!(socket.frame().await, Frame { opcode: 8, payload: 1002_u16.to_be_bytes().to_vec() });
    assert_eq!(socket.read().await, 0);
    let mut long = Socket::open(&settings, "kinds=presence&device=nobody").await;
    long.stream.write_all(&[0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0]).await.expect("sent");
    assert_eq!(long.frame().await, Frame { opcode: 8, payload: 1009_u16.to_be_bytes().to_vec() });
    assert_eq!(long.read().await, 0);
    let mut leaving = Socket::open(&settings, "kinds=presence&device=nobody").await;
    leaving.stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).await.expect("sent");
    assert_eq!(leaving.frame().await, Frame { opcode: 8, payload: 1000_u16.to_be_bytes().to_vec() });
    assert_eq!(leaving.read().await, 0);
    let mut other = Socket::open(&settings, "kinds=presence&device=nobody").await;
    server.shutdown(PATIENCE).await;
    assert_eq!(other.frame().await, Frame { opcode: 8, payload: 1001_u16.to_be_bytes().to_vec() });
}

#[tokio::test]
async fn whoever_answers_no_ping_is_let_go_and_whoever_does_stays() {
    let site = Site::open().await;
    let waits = Waits { ping: Duration::from_secs(1), ..Waits::default() };
    let (_server, settings) = serve_with(&site, waits).await;
    let mut silent = Socket::open(&settings, "kinds=presence&device=nobody").await;
    let mut there = Socket::open(&settings, "kinds=presence&device=nobody").await;
    let gone = async {
        assert_eq!(silent.frame().await.opcode, 9, "it is asked once");
        assert_eq!(silent.read().await, 0, "and let go");
    };
    let stays = async {
        for _ in 0..2 {
            assert_eq!(there.frame().await.opcode, 9);
            there.stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.expect("sent");
        }
        assert_eq!(there.frame().await.opcode, 9, "it is asked again and again");
    };
    tokio::join!(gone, stays);
}

#[tokio::test]
async fn whoever_takes_nothing_is_let_go() {
    let site = Site::open().await;
    let waits = Waits { write: Duration::from_millis(100), ..Waits::default() };
    let (_server, settings) = serve_with(&site, waits).await;
    let mut full = Socket::open(&settings, "kinds=readings&device=d").await;
    let names: Vec<String> = (0..LARGE_READINGS).map(|number| format!("f{number:0>99}")).collect();
    let mut number = 0;
    let open = "loggerhead_api_streams_open 0\n";
    // Its buffers fill, and then it has a tenth of a second.
    while !ask(&settings, "/metrics").await.contains(open) {
        let readings: Vec<_> = names.iter().map(|function| Reading { function, ..reading(number, "1.5") }).collect();
        site.store(packet("d", &readings)).await;
        number += 1;
    }
    while full.read().await > 0 {}
}

#[tokio::test]
async fn whoever_is_told_nothing_for_long_keeps_up_with_the_log() {
    let site = Site::open().await;
    let waits = Waits { ping: Duration::from_millis(200), ..Waits::default() };
    let (_server, settings) = serve_with(&site, waits).await;
    let mut stream = UnixStream::connect(&settings.socket).await.expect("connected");
    stream.write_all(b"GET /api/v1/live?device=nobody HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut text = Vec::new();
    let place = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        text.lines().rev().find_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok())
    };
    while place(&text).is_none() {
        stream.read_buf(&mut text).await.expect("it begins");
    }
    site.store(packet("d", &[reading(0, "1.5")])).await;
    let committed = site.headend.store().health().cursor.number();
    while place(&text).is_some_and(|place| place < committed) {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut text)).await.expect("in time");
        assert_ne!(read.expect("a socket"), 0, "it goes on");
    }
}

/// Asks over a connection of its own.
async fn ask(settings: &Settings, path: &str) -> String {
    let mut stream = UnixStream::connect(&settings.socket).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("text");
    answer
}
