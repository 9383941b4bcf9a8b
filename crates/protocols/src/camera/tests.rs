//! Conversations in memory: apps and cameras that the tests play, a store that they script, and restarts.

mod apps;
mod interrupted;
mod syncing;
mod telling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{DeviceId, Evidence, Identity, Learnt, NoteChange, Presence, Records, Report};

use crate::encoding::Encoding;
use crate::pair::{Enrolled, Pair, steward, tend};
use crate::{DeviceSettings, Exchange, News, Session};

/// A registry with its listener, its store and its steward.
struct House {
    pair: Pair,
    exchange: Arc<dyn Exchange>,
    steward: Box<dyn Session>,
    notes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What was stored of cameras.
    reports: Vec<(DeviceId, Report)>,
    seen: usize,
    settings: String,
    encoding: Encoding,
}

fn camera() -> toml::Table {
    "kind = 'camera'".parse().expect("TOML")
}

fn listener(exchange: &dyn Exchange, settings: &str) -> Pair {
    let settings = settings.parse().expect("TOML");
    let rows: Vec<_> = ["c1", "c2", "东"].map(|name| (Identity::new(name).expect("short"), camera())).into();
    let rows: Vec<_> = rows.iter().map(|(name, table)| (DeviceId::from_identity(name), name, table)).collect();
    let mut devices = rows.iter().map(|(id, identity, table)| DeviceSettings { id, identity, table });
    let mut pair = Pair::new(exchange.acceptor(&settings, &mut devices).expect("settings"));
    pair.limits = super::PROTOCOL.limits;
    for (name, secret, table) in [
        ("u1", "a|b", toml::Table::new()),
        ("u2", "pw2", toml::Table::new()),
        ("c1", "k1", camera()),
        ("c2", "k|2", camera()),
        ("东", "k3", camera()),
    ] {
        let identity = Identity::new(name).expect("short");
        let enrolled = Enrolled {
            device: DeviceId::from_identity(&identity),
            secret: secret.into(),
            cipher_is_enough: false,
            settings: table.into(),
            learnt: Learnt::new(),
        };
        pair.enrolled.insert(identity, enrolled);
    }
    pair
}

impl House {
    /// With short names, and these settings of the listener.
    fn with(settings: &str) -> Self {
        Self::speaking(Encoding::Utf8, &format!("reply_names = 'short'\n{settings}"))
    }

    fn speaking(encoding: Encoding, settings: &str) -> Self {
        let exchange = super::acceptor::exchange();
        exchange.entrust(&[9; 32]);
        let mut pair = listener(&*exchange, settings);
        let steward = steward(&*exchange, &mut pair);
        Self {
            pair,
            exchange,
            steward,
            notes: BTreeMap::new(),
            reports: Vec::new(),
            seen: 0,
            settings: settings.to_owned(),
            encoding,
        }
    }

    /// The process is killed and started again: what was not stored is gone.
    fn kill(&mut self) {
        self.note();
        let exchange = super::acceptor::exchange();
        exchange.entrust(&[9; 32]);
        let notes: Vec<_> = self.notes.iter().map(|(key, value)| (key.clone().into(), value.clone().into())).collect();
        exchange.recall(self.pair.now(), &mut notes.into_iter());
        self.pair = listener(&*exchange, &self.settings);
        self.seen = 0;
        self.steward = steward(&*exchange, &mut self.pair);
        self.exchange = exchange;
    }

    /// Lets everything happen that happens at this moment.
    fn settle(&mut self) {
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
        for records in &kept {
            self.apply(records);
        }
        self.seen = self.pair.kept.len();
    }

    fn apply(&mut self, records: &Records) {
        self.reports.extend(records.report.clone().map(|report| (records.device.clone(), report)));
        for note in &records.notes {
            match &note.change {
                NoteChange::Put(value) => drop(self.notes.insert(note.key.to_vec(), value.to_vec())),
                NoteChange::Forget | NoteChange::ForgetThrough(_) => panic!("nothing is forgotten"),
            }
        }
    }

    fn wait(&mut self, span: Duration) {
        self.pair.run_for(span);
        self.settle();
    }

    fn open(&mut self) -> usize {
        self.pair.connect()
    }

    fn say(&mut self, line: usize, text: &str) {
        let mut bytes = Vec::new();
        self.encoding.encode(text, &mut bytes);
        bytes.extend_from_slice(b"\r\n");
        self.pair.send(line, &bytes);
        self.settle();
    }

    /// What came since the last look, by lines.
    fn hear(&mut self, line: usize) -> Vec<String> {
        let bytes = self.pair.take_received(line);
        let text = self.encoding.decode(&bytes).into_owned();
        if text.is_empty() {
            return Vec::new();
        }
        let lines = text.strip_suffix("\r\n").unwrap_or_else(|| panic!("{text:?} does not end a line"));
        lines.split("\r\n").map(str::to_owned).collect()
    }

    fn ask(&mut self, line: usize, text: &str) -> Vec<String> {
        self.say(line, text);
        self.hear(line)
    }

    /// An app that is logged in.
    fn app(&mut self, name: &str, password: &str) -> usize {
        let line = self.open();
        let heard = self.ask(line, &format!("Login {name}|{password}"));
        assert!(heard[0].starts_with("LoginOk "), "{heard:?}");
        line
    }

    /// A data connection of an account, by the port that is free.
    fn data(&mut self, line: usize, account: &str) -> usize {
        self.pair.ports = vec![20_000];
        assert_eq!(self.ask(line, &format!("CreatDataSocket {account}")), ["ReturnDataSocketPort 20000"]);
        self.pair.connect_by(20_000).expect("the door is open")
    }

    fn presence(&mut self, device: &str, presence: Presence) {
        let evidence = Evidence {
            presence,
            since: None,
            last_bytes_at: None,
            last_reading_at: None,
            peer: None,
            closed_because: None,
        };
        let device = DeviceId::from_identity(&Identity::new(device).expect("short"));
        self.exchange.told(self.pair.now(), &device, News::Presence(&evidence));
        self.settle();
    }
}

#[test]
fn every_setting_that_cannot_be_is_named() {
    for (settings, key) in [
        ("frame_bytes_max = 1", "frame_bytes_max"),
        ("encoding = 'latin1'", "encoding"),
        ("framing = '$'", "framing"),
        ("key_separator = '/'", "key_separator"),
        ("reply_names = 'alias'", "reply_names"),
        ("aliases = { 1 = 'Nothing' }", "aliases.1"),
        ("accounts_per_camera_max = 0", "accounts_per_camera_max"),
        ("utc_offset_min = 900", "utc_offset_min"),
        ("framing = '##'\nkey_separator = '#'", "key_separator"),
        ("door_s = 0", "door_s"),
        ("nonsense = 1", "nonsense"),
    ] {
        let table = settings.parse().expect("TOML");
        let error = super::acceptor::acceptor(&table, &mut std::iter::empty()).err().expect(settings);
        assert!(error.to_string().contains(key), "{settings}: {error}");
    }
    for table in ["anything = 1", "source = 'a'", "kind = 'robot'"] {
        assert!(super::acceptor::check_device(&table.parse().expect("TOML")).is_err(), "{table}");
    }
}
