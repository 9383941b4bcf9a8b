#![expect(clippy::wildcard_enum_match_arm, reason = "a test says what it awaits, and fails at all else")]

use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use loggerhead_model::Timestamp;
use loggerhead_protocols::websocket::frame::{Reader, Taken};
use loggerhead_protocols::{Acceptor, Carrier, CloseReason, Fault, Input, Limits, Now, Opening, Output, Session};

use super::WebSocket;

const NOW: Now = Now { elapsed: Duration::ZERO, wall: Timestamp::from_unix_ms(0) };
/// The key of RFC 6455 §1.3, and the answer to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Says everything back, and notes what it heard.
#[derive(Default)]
struct Echo {
    heard: Arc<Mutex<Vec<u8>>>,
    outputs: std::collections::VecDeque<Output>,
}

impl Session for Echo {
    fn handle(&mut self, _now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Bytes(bytes) => {
                self.heard.lock().expect("nobody panics").extend_from_slice(bytes);
                self.outputs.push_back(Output::Send(bytes.to_vec().into()));
            }
            Input::Eof => self.outputs.push_back(Output::Close(CloseReason::PeerDone)),
            Input::Shutdown(reason) => self.outputs.push_back(Output::Close(reason)),
            _ => {}
        }
        Ok(())
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Idle { wake_at: None })
    }
}

struct Echoes(Arc<Mutex<Vec<u8>>>);

impl Acceptor for Echoes {
    fn open(&self, _now: Now, _opening: Opening) -> Box<dyn Session> {
        Box::new(Echo { heard: Arc::clone(&self.0), ..Echo::default() })
    }
}

/// A client's end of one conversation.
struct Peer {
    session: Box<dyn Session>,
    heard: Arc<Mutex<Vec<u8>>>,
    sent: Vec<u8>,
    closed: Option<CloseReason>,
    fault: Option<String>,
}

impl Peer {
    fn new() -> Self {
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let inner = Box::new(Echoes(Arc::clone(&heard)));
        let socket = WebSocket::around(inner, "mqtt", vec!["https://panel.example".to_owned()]);
        let opening = Opening {
            peer: "peer".into(),
            entropy: [0; 32],
            limits: Limits::PROGRAMS,
            waker: Waker::noop().clone(),
            certified: None,
            carrier: Carrier::Stream,
        };
        Self { session: socket.open(NOW, opening), heard, sent: Vec::new(), closed: None, fault: None }
    }

    fn open() -> Self {
        let mut peer = Self::new();
        peer.feed(request("").as_bytes());
        let response = String::from_utf8(std::mem::take(&mut peer.sent)).expect("text");
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        peer
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.input(Input::Bytes(bytes));
    }

    fn input(&mut self, input: Input<'_>) {
        if let Err(fault) = self.session.handle(NOW, input) {
            self.fault = Some(fault.to_string());
        }
        loop {
            match self.session.poll() {
                Output::Send(bytes) => self.sent.extend_from_slice(&bytes),
                Output::Close(reason) => {
                    self.closed = Some(reason);
                    return;
                }
                Output::Idle { .. } => return,
                other => panic!("{other:?}"),
            }
        }
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.lock().expect("nobody panics").clone()
    }
}

fn request(more: &str) -> String {
    format!(
        "GET /mqtt HTTP/1.1\r\nHost: broker.example:8083\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: soap, mqtt\r\n{more}\r\n"
    )
}

/// A frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).expect("at most 125")),
        length => {
            frame.push(0x80 | 0x7e);
            frame.extend(u16::try_from(length).expect("a short test").to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// What a client that sends this is told, as a code of closing.
fn told(bytes: &[u8]) -> u16 {
    let mut peer = Peer::open();
    peer.feed(bytes);
    assert!(peer.fault.is_some(), "{:02x?} is answered with {:02x?}", bytes, peer.sent);
    match peer.sent.as_slice() {
        [0x88, 2, high, low] => u16::from_be_bytes([*high, *low]),
        other => panic!("{other:02x?}"),
    }
}

// MQTT 3.1.1: 6.0.0-4
// MQTT 5.0: 6.0.0-4
#[test]
fn a_handshake_is_answered_as_in_the_standard() {
    let mut peer = Peer::new();
    peer.feed(request("").as_bytes());
    let response = String::from_utf8(peer.sent).expect("text");
    assert!(response.contains(&format!("\r\nSec-WebSocket-Accept: {ACCEPT}\r\n")), "{response}");
    assert!(response.ends_with("\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"), "{response}");
}

#[test]
fn a_version_may_stand_behind_the_name_of_the_protocol() {
    let offering = |offered: &str| {
        let mut peer = Peer::new();
        peer.feed(request("").replace(", mqtt\r\n", &format!(", {offered}\r\n")).as_bytes());
        String::from_utf8(peer.sent).expect("text")
    };
    for offered in ["mqttv3.1", "mqttv5"] {
        let response = offering(offered);
        assert!(response.ends_with(&format!("\r\nSec-WebSocket-Protocol: {offered}\r\n\r\n")), "{response}");
    }
    for offered in ["mqtts", "mqtt-v3.1", "mqttv3.1x", "v3.1"] {
        assert!(offering(offered).starts_with("HTTP/1.1 400 "), "{offered}");
    }
}

// MQTT 3.1.1: 6.0.0-3
// MQTT 5.0: 6.0.0-3
#[test]
fn a_handshake_that_is_wrong_is_refused_with_a_reason() {
    let right = request("");
    let cases = [
        (right.replace("GET", "POST"), "400"),
        (right.replace("HTTP/1.1", "HTTP/1.0"), "400"),
        (right.replace("Upgrade: websocket\r\n", ""), "426"),
        (right.replace("Version: 13", "Version: 8"), "426"),
        (right.replace("Host: broker.example:8083\r\n", ""), "400"),
        (right.replace(KEY, "c2hvcnQ="), "400"),
        (right.replace(", mqtt\r\n", "\r\n"), "400"),
        (right.replace("Host:", "Host :"), "400"),
        (request("Origin: https://elsewhere.example\r\n"), "403"),
        (request("Origin: null\r\n"), "403"),
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(9_000)), "431"),
    ];
    for (request, status) in cases {
        let mut peer = Peer::new();
        peer.feed(request.as_bytes());
        let response = String::from_utf8(peer.sent).expect("text");
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{response}");
        assert!(peer.fault.is_some());
    }
}

#[test]
fn pages_of_the_host_and_of_allowed_origins_may_connect() {
    for origin in ["http://broker.example:8083", "https://panel.example"] {
        let mut peer = Peer::new();
        peer.feed(request(&format!("Origin: {origin}\r\n")).as_bytes());
        assert!(peer.sent.starts_with(b"HTTP/1.1 101 "), "{origin}");
    }
}

// MQTT 3.1.1: 6.0.0-2
// MQTT 5.0: 6.0.0-2
#[test]
fn bytes_may_be_cut_anywhere() {
    let long: Vec<u8> = (0..=255).collect();
    let mut whole = request("").into_bytes();
    whole.extend(frame(0x02, b"one"));
    whole.extend(frame(0x89, b"still there?"));
    whole.extend(frame(0x00, &[]));
    whole.extend(frame(0x80, &long));
    whole.extend(frame(0x88, &[0x03, 0xe9]));
    let mut expected = b"one".to_vec();
    expected.extend(&long);
    for cut in 0..=whole.len() {
        let mut peer = Peer::new();
        let (first, second) = whole.split_at(cut);
        peer.feed(first);
        peer.feed(second);
        assert_eq!(peer.heard(), expected, "cut at {cut}");
        assert!(peer.sent.ends_with(&[0x88, 2, 0x03, 0xe9]), "cut at {cut}");
        assert!(peer.sent.windows(14).any(|sent| sent == b"\x8a\x0cstill there?"), "cut at {cut}");
        assert_eq!(peer.closed, Some(CloseReason::PeerDone), "cut at {cut}");
    }
    let mut peer = Peer::new();
    for byte in &whole {
        peer.feed(&[*byte]);
    }
    assert_eq!(peer.heard(), expected, "byte by byte");
}

// MQTT 3.1.1: 6.0.0-1
// MQTT 5.0: 6.0.0-1
#[test]
fn frames_that_break_the_rules_end_the_conversation_with_the_right_code() {
    assert_eq!(told(&[0x82, 3, 1, 2, 3]), 1002, "no mask");
    assert_eq!(told(&frame(0xc2, b"x")), 1002, "a reserved bit");
    assert_eq!(told(&frame(0x83, b"x")), 1002, "a reserved opcode");
    assert_eq!(told(&frame(0x80, b"x")), 1002, "a continuation of nothing");
    assert_eq!(told(&frame(0x09, b"x")), 1002, "a ping in fragments");
    assert_eq!(told(&frame(0x89, &[0; 126])), 1002, "a ping over 125 bytes");
    assert_eq!(told(&frame(0x81, b"text")), 1003);
    assert_eq!(told(&frame(0x88, &[3])), 1002, "half a code");
    assert_eq!(told(&frame(0x88, &1005_u16.to_be_bytes())), 1002, "a code for nobody");
    assert_eq!(told(&frame(0x88, &[0x03, 0xe8, 0xff])), 1002, "a reason that is not UTF-8");
}

#[test]
fn frames_that_lie_about_their_length_cost_nothing() {
    assert_eq!(told(&[0x82, 0xfe, 0, 125, 0, 0, 0, 0]), 1002, "longer than it needs to be");
    assert_eq!(told(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]), 1002, "longer than it needs to be");
    assert_eq!(told(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 1002, "64 bits");
    let (mut reader, mut taken) = (Reader::default(), Taken::default());
    let announced = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, b'a'];
    assert_eq!(reader.read(&announced, &mut taken), Ok(()));
    assert_eq!(taken.payload, b"a", "what came is handed on");
    assert!(taken.payload.capacity() < 64, "{}", taken.payload.capacity());
}

#[test]
fn many_pings_at_once_are_answered_with_the_last() {
    let mut peer = Peer::open();
    let flood: Vec<u8> = (0..1000_u16).flat_map(|number| frame(0x89, &number.to_be_bytes())).collect();
    peer.feed(&flood);
    assert_eq!(peer.sent, [0x8a, 2, 0x03, 0xe7]);
}

#[test]
fn our_end_says_why() {
    let mut peer = Peer::open();
    peer.feed(&frame(0x82, b"hi"));
    peer.input(Input::Shutdown(CloseReason::Stopping));
    assert_eq!(peer.sent, [0x82, 2, b'h', b'i', 0x88, 2, 0x03, 0xe9]);
    assert_eq!(peer.closed, Some(CloseReason::Stopping));
}
