//! Conversations with the office in memory: people that the tests play, a store that they script, and restarts.

mod legacy;
mod misbehaving;
mod speaking;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{DeviceId, Identity, Learnt, NoteChange};
use serde_json::{Value, json};

use super::frame::{Gathered, Texts};
use crate::Exchange;
use crate::office::MessageId;
use crate::pair::{Enrolled, Pair};
use crate::websocket::frame::{Sender, masked_pong, masked_text};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// An office with its listener and its store.
pub(super) struct House {
    pub(super) pair: Pair,
    notes: BTreeMap<Vec<u8>, Vec<u8>>,
    listener: String,
    ends: BTreeMap<usize, End>,
    ids: u64,
}

/// A client's end of a connection.
struct End {
    texts: Texts,
    /// The response has come.
    is_open: bool,
    pings: Vec<Vec<u8>>,
    closed: Option<u16>,
}

fn listener(exchange: &dyn Exchange, settings: &str) -> Pair {
    let settings = settings.parse().expect("TOML");
    let mut pair = Pair::new(exchange.acceptor(&settings, &mut std::iter::empty()).expect("settings"));
    pair.limits = super::PROTOCOL.limits;
    for name in ["1", "2", "3", "甲"] {
        let enrolled = Enrolled {
            device: DeviceId::new(name).expect("short enough"),
            secret: b"123456".to_vec(),
            cipher_is_enough: true,
            settings: Arc::default(),
            learnt: Learnt::new(),
        };
        pair.enrolled.insert(Identity::new(name).expect("short enough"), enrolled);
    }
    pair
}

pub(super) fn upgrade(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

impl House {
    pub(super) fn new() -> Self {
        Self::with("")
    }

    /// With these settings of the listener.
    pub(super) fn with(settings: &str) -> Self {
        let pair = listener(&*super::acceptor::exchange(), settings);
        Self { pair, notes: BTreeMap::new(), listener: settings.to_owned(), ends: BTreeMap::new(), ids: 0 }
    }

    /// The process is killed and started again: what was not stored is gone.
    pub(super) fn kill(&mut self) {
        for note in self.pair.kept.drain(..).flat_map(|records| records.notes) {
            match note.change {
                NoteChange::Put(value) => drop(self.notes.insert(note.key.to_vec(), value.to_vec())),
                NoteChange::Forget => drop(self.notes.remove(&*note.key)),
                NoteChange::ForgetThrough(_) => panic!("nothing is forgotten in rows"),
            }
        }
        let exchange = super::acceptor::exchange();
        let notes: Vec<_> = self.notes.iter().map(|(key, value)| (key.clone().into(), value.clone().into())).collect();
        exchange.recall(self.pair.now(), &mut notes.into_iter());
        self.pair = listener(&*exchange, &self.listener);
        self.ends.clear();
    }

    /// Connects and asks for a WebSocket.
    pub(super) fn open(&mut self, target: &str) -> usize {
        let line = self.pair.connect();
        self.ends.insert(
            line,
            End { texts: Texts::of(Sender::Server, 1 << 20), is_open: false, pings: Vec::new(), closed: None },
        );
        self.pair.send(line, upgrade(target, "").as_bytes());
        line
    }

    /// Connects and logs in; what is told then, behind the welcome.
    pub(super) fn enter(&mut self, name: &str) -> (usize, Vec<Value>) {
        let line = self.open("/chat");
        let mut told = self.ask(line, &json!({"type": "login", "name": name, "secret": "123456"}));
        let welcome = told.remove(0);
        assert_eq!((&welcome["type"], &welcome["name"]), (&json!("welcome"), &json!(name)));
        (line, told)
    }

    /// Connects and logs in; nothing waits.
    pub(super) fn person(&mut self, name: &str) -> usize {
        let (line, told) = self.enter(name);
        assert_eq!(told, [json!(null); 0]);
        line
    }

    /// Sends a text.
    pub(super) fn write(&mut self, line: usize, text: &str) {
        self.pair.send(line, &masked_text(text, MASK));
        self.pair.run_for(Duration::ZERO);
    }

    /// The texts that came since the last look; pings are answered.
    pub(super) fn hear(&mut self, line: usize) -> Vec<String> {
        let texts = self.hear_silently(line);
        let pings = std::mem::take(&mut self.end(line).pings);
        for ping in pings {
            self.pair.send(line, &masked_pong(&ping, MASK));
        }
        self.pair.run_for(Duration::ZERO);
        texts
    }

    fn end(&mut self, line: usize) -> &mut End {
        self.ends.get_mut(&line).expect("it was opened")
    }

    /// As `hear`, by a client that does not answer pings.
    pub(super) fn hear_silently(&mut self, line: usize) -> Vec<String> {
        let bytes = self.pair.take_received(line);
        let end = self.end(line);
        let mut rest = &bytes[..];
        if !end.is_open && !rest.is_empty() {
            let head = memchr::memmem::find(rest, b"\r\n\r\n").expect("a whole response comes in one write") + 4;
            let response = str::from_utf8(&rest[..head]).expect("text");
            assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
            (end.is_open, rest) = (true, &rest[head..]);
        }
        let mut gathered = Gathered::default();
        end.texts.read(rest, &mut gathered).expect("the head-end keeps to the rules");
        end.pings.extend(gathered.ping);
        end.closed = end.closed.or(gathered.closed);
        gathered.texts
    }

    /// With which code the head-end has closed.
    pub(super) fn closed(&mut self, line: usize) -> Option<u16> {
        self.hear_silently(line);
        self.end(line).closed
    }

    pub(super) fn told(&mut self, line: usize) -> Vec<Value> {
        self.hear(line).iter().map(|text| serde_json::from_str(text).expect("JSON")).collect()
    }

    /// Sends a request; what is told then.
    pub(super) fn ask(&mut self, line: usize, request: &Value) -> Vec<Value> {
        self.write(line, &request.to_string());
        self.told(line)
    }

    pub(super) fn new_id(&mut self) -> String {
        self.ids += 1;
        MessageId::make(&[9; 32], self.ids).to_string()
    }

    /// Says something, which is accepted; its id.
    pub(super) fn say(&mut self, line: usize, to: &Value, text: &str) -> String {
        let id = self.new_id();
        let mut request = json!({"type": "say", "id": id, "text": text});
        request.as_object_mut().expect("it is one").extend(to.as_object().expect("it is one").clone());
        let told = self.ask(line, &request);
        let accepted = told.iter().find(|told| told["type"] == "accepted").unwrap_or_else(|| panic!("{told:?}"));
        assert_eq!(accepted["message"]["id"], json!(id));
        id
    }
}

/// The messages of what was told: who, and what.
pub(super) fn said(told: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let messages = told.iter().filter(|told| told["type"] == "message").map(|told| &told["message"]);
    messages.map(|message| (text(&message["from"]), text(&message["text"]))).collect()
}

pub(super) fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(from, text)| ((*from).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn every_setting_that_cannot_be_is_named() {
    for (settings, key) in [
        ("text_bytes_limit = 1", "text_bytes_limit"),
        ("ping_s = 0", "ping_s"),
        ("silence_s = 20", "silence_s"),
        ("rate = 0", "rate"),
        ("utc_offset_min = 900", "utc_offset_min"),
        ("legacy_room = ''", "legacy_room"),
        ("legacy_texts = 'shout'", "legacy_texts"),
        ("legacy_separators = ''", "legacy_separators"),
        ("history_messages_max = 0", "history_messages_max"),
        ("nonsense = 1", "nonsense"),
    ] {
        let table = settings.parse().expect("TOML");
        let error = super::acceptor::acceptor(&table, &mut std::iter::empty()).err().expect(settings);
        assert!(format!("{error}").contains(key), "{settings}: {error}");
    }
    let table = "anything = 1".parse().expect("TOML");
    assert!((super::PROTOCOL.check_device)(&table).is_err());
}
