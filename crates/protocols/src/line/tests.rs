//! Conversations with the office in memory: users that the tests play, a store that they script, and restarts.

mod chatting;
mod entering;
mod lasting;
mod misbehaving;
mod programs;
mod speaking;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{DeviceId, Identity, Learnt, NoteChange, Records};

use super::text::Encoding;
use crate::pair::{Enrolled, Pair, steward, tend};
use crate::{Exchange, Session};

/// An office with its listener, its store and its steward.
pub(super) struct House {
    pub(super) pair: Pair,
    exchange: Arc<dyn Exchange>,
    steward: Box<dyn Session>,
    notes: BTreeMap<Vec<u8>, Vec<u8>>,
    seen: usize,
    listener: String,
    encoding: Encoding,
}

fn listener(exchange: &dyn Exchange, settings: &str) -> Pair {
    let settings = settings.parse().expect("TOML");
    let mut pair = Pair::new(exchange.acceptor(&settings, &mut std::iter::empty()).expect("settings"));
    pair.limits = super::PROTOCOL.limits;
    for name in ["1", "2", "3", "甲"] {
        let enrolled = Enrolled {
            device: DeviceId::new(name).expect("short enough"),
            secret: b"123456".to_vec(),
            cipher_is_enough: false,
            settings: Arc::default(),
            learnt: Learnt::new(),
        };
        pair.enrolled.insert(Identity::new(name).expect("short enough"), enrolled);
    }
    pair
}

impl House {
    /// With texts in UTF-8.
    pub(super) fn new() -> Self {
        Self::with("")
    }

    /// With these settings of the listener, and texts in UTF-8.
    pub(super) fn with(settings: &str) -> Self {
        Self::speaking(Encoding::Utf8, &format!("encoding = 'utf-8'\n{settings}"))
    }

    /// With these settings of the listener; the tests read and write in this encoding.
    pub(super) fn speaking(encoding: Encoding, settings: &str) -> Self {
        let exchange = super::acceptor::exchange();
        let mut pair = listener(&*exchange, settings);
        let steward = steward(&*exchange, &mut pair);
        let listener = settings.to_owned();
        Self { pair, exchange, steward, notes: BTreeMap::new(), seen: 0, listener, encoding }
    }

    /// The process is killed and started again: what was not stored is gone.
    pub(super) fn kill(&mut self) {
        self.note();
        let exchange = super::acceptor::exchange();
        let notes: Vec<_> = self.notes.iter().map(|(key, value)| (key.clone().into(), value.clone().into())).collect();
        exchange.recall(self.pair.now(), &mut notes.into_iter());
        self.pair = listener(&*exchange, &self.listener);
        self.seen = 0;
        self.steward = steward(&*exchange, &mut self.pair);
        self.exchange = exchange;
    }

    /// Lets everything happen that happens at this moment.
    pub(super) fn settle(&mut self) {
        for _ in 0..3 {
            self.pair.run_for(Duration::ZERO);
            for records in tend(&mut *self.steward, self.pair.now()) {
                self.apply(&records);
            }
        }
        self.note();
    }

    fn note(&mut self) {
        let kept: Vec<_> = self.pair.kept.drain(self.seen..).collect();
        self.seen = self.pair.kept.len();
        for records in kept {
            self.apply(&records);
        }
    }

    fn apply(&mut self, records: &Records) {
        for note in &records.notes {
            match &note.change {
                NoteChange::Put(value) => drop(self.notes.insert(note.key.to_vec(), value.to_vec())),
                NoteChange::Forget => drop(self.notes.remove(&*note.key)),
                NoteChange::ForgetThrough(_) => panic!("nothing is forgotten in rows"),
            }
        }
    }

    /// How many messages the store knows.
    pub(super) fn noted(&self) -> usize {
        self.notes.len()
    }

    pub(super) fn wait(&mut self, span: Duration) {
        self.pair.run_for(span);
        self.settle();
    }

    /// Connects.
    pub(super) fn connect(&mut self) -> usize {
        let line = self.pair.connect();
        self.settle();
        line
    }

    /// Connects, and takes the welcome.
    pub(super) fn open(&mut self) -> usize {
        let line = self.connect();
        self.expect(line, &["Welcome to SuperSocket Chat Server"]);
        line
    }

    /// Connects and logs in with the usual password; what waits comes as well.
    pub(super) fn enter(&mut self, name: &str) -> (usize, Vec<String>) {
        let line = self.open();
        let mut heard = self.ask(line, &format!("Check {name} 123456"));
        assert_eq!(heard.remove(0), "登录成功");
        (line, heard)
    }

    /// Connects and logs in; nothing waits.
    pub(super) fn user(&mut self, name: &str) -> usize {
        let (line, heard) = self.enter(name);
        assert_eq!(heard, [""; 0]);
        line
    }

    pub(super) fn send(&mut self, line: usize, bytes: &[u8]) {
        self.pair.send(line, bytes);
        self.settle();
    }

    /// Sends a line.
    pub(super) fn say(&mut self, line: usize, text: &str) {
        let mut bytes = Vec::new();
        self.encoding.encode(text, &mut bytes);
        bytes.extend_from_slice(b"\r\n");
        self.send(line, &bytes);
    }

    /// What came since the last look, by lines.
    pub(super) fn hear(&mut self, line: usize) -> Vec<String> {
        let bytes = self.pair.take_received(line);
        let text = self.encoding.decode(&bytes).into_owned();
        if text.is_empty() {
            return Vec::new();
        }
        let lines = text.strip_suffix("\r\n").unwrap_or_else(|| panic!("{text:?} does not end a line"));
        lines.split("\r\n").map(str::to_owned).collect()
    }

    /// Sends a line; what comes then.
    pub(super) fn ask(&mut self, line: usize, text: &str) -> Vec<String> {
        self.say(line, text);
        self.hear(line)
    }

    #[track_caller]
    pub(super) fn expect(&mut self, line: usize, expected: &[&str]) {
        assert_eq!(self.hear(line), expected);
    }

    /// What came, which is messages: each without its name, and the names.
    pub(super) fn messages(&mut self, line: usize) -> (Vec<String>, Vec<String>) {
        split(&self.hear(line))
    }

    pub(super) fn cut(&mut self, line: usize) {
        self.pair.hang_up(line);
        self.settle();
    }
}

/// Messages without their names, and the names.
pub(super) fn split(heard: &[String]) -> (Vec<String>, Vec<String>) {
    let parts = heard.iter().map(|line| line.rsplit_once(' ').expect("a message ends with its name"));
    parts.map(|(text, id)| (text.to_owned(), id.to_owned())).unzip()
}

#[test]
fn every_setting_that_cannot_be_is_named() {
    for (settings, key) in [
        ("line_bytes_limit = 1", "line_bytes_limit"),
        ("encoding = 'latin1'", "encoding"),
        ("on_oversize = 'shrug'", "on_oversize"),
        ("program = 'nothing'", "program"),
        ("online_s = 0", "online_s"),
        ("queue_bytes_max = 10", "queue_bytes_max"),
        ("rate = 0", "rate"),
        ("welcome = \"a\\nb\"", "welcome"),
        ("nonsense = 1", "nonsense"),
    ] {
        let table = settings.parse().expect("TOML");
        let error = super::acceptor::acceptor(&table, &mut std::iter::empty()).err().expect(settings);
        assert!(format!("{error}").contains(key), "{settings}: {error}");
    }
    let table = "anything = 1".parse().expect("TOML");
    assert!((super::PROTOCOL.check_device)(&table).is_err());
}
