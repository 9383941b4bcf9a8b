//! Conversations with the broker in memory: clients that the tests play, a store that they script, and restarts.

mod authenticating;
mod commanding;
mod conforming;
mod delivering;
mod entering;
mod granting;
mod lasting;
mod misbehaving;
mod pacing;
mod publishing;
mod revoking;
mod showing;
mod subscribing;
mod telling;
mod viewing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{DeviceId, Identity, Learnt, NoteChange, RawFrame, Reading, Records};

use super::decode::read;
use super::encode::encode;
use super::frame::BODY_BYTES_MAX;
use super::message::{Ack, Connect, Kind, Level, Notice, Options, Packet, Publish, Qos, Subscribe, Unsubscribe};
use super::properties::{Id, Properties, Value, Writer};
use super::reason::Reason;
use crate::pair::{Enrolled, Pair, receipt, steward};
use crate::standing::{SessionQuery, StandingSession};
use crate::{Exchange, Input, News, Now, Output, Session};

/// A broker with its listener, its store and its steward.
pub(super) struct House {
    pub(super) pair: Pair,
    exchange: Arc<dyn Exchange>,
    steward: Box<dyn Session>,
    notes: BTreeMap<Vec<u8>, Vec<u8>>,
    seen: usize,
    listener: String,
    /// What the steward told operators.
    pub(super) events: Vec<String>,
    /// Readings that were stored.
    pub(super) reported: Vec<String>,
    /// Packets that are kept for people to see.
    pub(super) frames: Vec<RawFrame>,
}

/// A client's end of a connection.
#[derive(Clone, Copy)]
pub(super) struct Line {
    number: usize,
    level: Level,
}

fn listener(exchange: &dyn Exchange, settings: &str) -> Pair {
    let settings = settings.parse().expect("TOML");
    let mut pair = Pair::new(exchange.acceptor(&settings, &mut std::iter::empty()).expect("settings"));
    for (name, device) in [("admin", ""), ("other", ""), ("narrow", "publish = ['own/%c']\nsubscribe = ['own/#']")] {
        let enrolled = Enrolled {
            device: DeviceId::new(name).expect("short enough"),
            secret: b"123456".to_vec(),
            cipher_is_enough: false,
            settings: Arc::new(device.parse().expect("TOML")),
            learnt: Learnt::new(),
        };
        pair.enrolled.insert(Identity::new(name).expect("short enough"), enrolled);
    }
    pair
}

impl House {
    pub(super) fn new() -> Self {
        Self::with("")
    }

    /// With these settings of the listener.
    pub(super) fn with(settings: &str) -> Self {
        let exchange = super::acceptor::exchange();
        let mut pair = listener(&*exchange, settings);
        let steward = steward(&*exchange, &mut pair);
        Self {
            pair,
            exchange,
            steward,
            notes: BTreeMap::new(),
            seen: 0,
            listener: settings.to_owned(),
            events: Vec::new(),
            reported: Vec::new(),
            frames: Vec::new(),
        }
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
        self.settle();
    }

    /// Lets everything happen that happens at this moment.
    pub(super) fn settle(&mut self) {
        for _ in 0..4 {
            self.pair.run_for(Duration::ZERO);
            let now = self.pair.now();
            self.steward.handle(now, Input::Wake).expect("a steward has no peer");
            self.tend(now);
        }
        self.pair.run_for(Duration::ZERO);
        self.note();
    }

    fn tend(&mut self, now: Now) {
        loop {
            match self.steward.poll() {
                Output::Keep(records) => self.apply(&records),
                Output::Store(ticket, records) => {
                    self.apply(&records);
                    self.steward.handle(now, Input::Stored(receipt(ticket.0))).expect("a steward has no peer");
                }
                Output::Event(event) => self.events.push(event.text.into_owned()),
                Output::Dropped(device, count, cause) => self.events.push(format!("{device} {count} {}", cause.word())),
                Output::Idle { .. } => return,
                other @ (Output::Send(_)
                | Output::Said(_)
                | Output::Ask(_)
                | Output::File(_)
                | Output::Fault(_)
                | Output::Learnt(_)
                | Output::Remember { .. }
                | Output::ExpectWithin(_)
                | Output::Command(..)
                | Output::Join(_)
                | Output::Connect
                | Output::Delivered(_)
                | Output::Sample(..)
                | Output::Close(_)) => panic!("{other:?}"),
            }
        }
    }

    fn note(&mut self) {
        let kept: Vec<_> = self.pair.kept.drain(self.seen..).collect();
        self.seen = self.pair.kept.len();
        for records in kept {
            self.apply(&records);
        }
    }

    fn apply(&mut self, records: &Records) {
        self.frames.extend(records.frame.clone());
        let reading = |reading: Reading<'_>| format!("{} {} {}", reading.meter, reading.function, reading.value);
        self.reported.extend(records.report.iter().flat_map(|report| report.readings().map(reading)));
        self.events.extend(records.events.iter().map(|event| event.text.to_string()));
        for note in &records.notes {
            match &note.change {
                NoteChange::Put(value) => drop(self.notes.insert(note.key.to_vec(), value.to_vec())),
                NoteChange::Forget => drop(self.notes.remove(&*note.key)),
                NoteChange::ForgetThrough(last) => {
                    self.notes.retain(|key, _| key.as_slice() < &*note.key || key.as_slice() > &**last);
                }
            }
        }
    }

    /// How many notes there are whose key begins with this letter.
    pub(super) fn noted(&self, letter: u8) -> usize {
        self.notes.keys().filter(|key| key.first() == Some(&letter)).count()
    }

    pub(super) fn wait(&mut self, span: Duration) {
        let end = self.pair.now().elapsed + span;
        while self.pair.now().elapsed < end {
            self.pair.run_for(Duration::from_millis(500).min(end.saturating_sub(self.pair.now().elapsed)));
            self.settle();
        }
    }

    pub(super) fn open(&mut self, level: Level) -> Line {
        Line { number: self.pair.connect(), level }
    }

    pub(super) fn send(&mut self, line: Line, bytes: &[u8]) {
        self.pair.send(line.number, bytes);
        self.settle();
    }

    pub(super) fn say(&mut self, line: Line, packet: &Packet<'_>) {
        self.send(line, &bytes(packet, line.level));
    }

    /// Readings of some device are stored, which came in one report.
    pub(super) fn stored(&mut self, device: &DeviceId, readings: &[Reading<'_>]) {
        assert!(self.exchange.wants_readings());
        self.told(device, News::Readings(readings));
    }

    /// Whether the head-end is asked for news of devices.
    pub(super) fn wants_news(&self) -> bool {
        self.exchange.wants_news()
    }

    /// The sessions that operators see.
    pub(super) fn sessions(&self, query: &SessionQuery) -> Vec<StandingSession> {
        self.exchange.sessions(query).expect("a broker has sessions")
    }

    /// Something became known of some device.
    pub(super) fn told(&mut self, device: &DeviceId, news: News<'_>) {
        self.exchange.told(self.pair.now(), device, news);
        self.settle();
    }

    /// Connects, and gives the answer.
    pub(super) fn try_enter(&mut self, connect: Connect<'_>) -> (Line, Vec<String>) {
        let line = self.open(connect.level);
        self.say(line, &Packet::Connect(connect));
        let heard = self.hear(line);
        (line, heard)
    }

    /// Connects with success.
    pub(super) fn enter(&mut self, connect: Connect<'_>) -> Line {
        let (line, heard) = self.try_enter(connect);
        assert!(heard.first().is_some_and(|answer| answer.starts_with("CONNACK 00")), "{heard:?}");
        line
    }

    /// What came since the last look.
    pub(super) fn hear(&mut self, line: Line) -> Vec<String> {
        let bytes = self.pair.take_received(line.number);
        let mut heard = Vec::new();
        let mut rest = &*bytes;
        while let Some((packet, count)) = read(line.level, rest, BODY_BYTES_MAX).expect("our own packets") {
            heard.push(show(&packet));
            rest = &rest[count..];
        }
        assert!(rest.is_empty(), "half a packet");
        heard
    }

    /// The bytes that came since the last look.
    pub(super) fn take(&mut self, line: Line) -> Vec<u8> {
        self.pair.take_received(line.number).to_vec()
    }

    /// Hears exactly this.
    #[track_caller]
    pub(super) fn expect(&mut self, line: Line, expected: &[&str]) {
        assert_eq!(self.hear(line), expected);
    }

    pub(super) fn subscribe(&mut self, line: Line, filter: &str, qos: Qos) {
        let options = Options { qos, ..Options::default() };
        self.subscribe_with(line, filter, options, None);
    }

    pub(super) fn subscribe_with(&mut self, line: Line, filter: &str, options: Options, id: Option<u32>) {
        let mut list = Writer::default();
        if let Some(id) = id {
            list.subscription_id(id);
        }
        let subscribe = Subscribe { id: 1, properties: list.list(), filters: vec![(filter, options)] };
        self.say(line, &Packet::Subscribe(subscribe));
        let heard = self.hear(line);
        let answer = format!("SUBACK #1 [{}]", options.qos as u8);
        assert!(heard.contains(&answer), "{heard:?}");
    }

    pub(super) fn unsubscribe(&mut self, line: Line, filter: &str) {
        let filters = vec![filter];
        self.say(line, &Packet::Unsubscribe(Unsubscribe { id: 2, properties: Properties::NONE, filters }));
    }

    pub(super) fn publish(&mut self, line: Line, qos: Qos, id: u16, topic: &str, payload: &str) {
        self.say(line, &Packet::Publish(Publish { qos, id, ..message(topic, payload) }));
    }

    pub(super) fn retain(&mut self, line: Line, topic: &str, payload: &str) {
        let publish = Publish { retain: true, qos: Qos::AtLeastOnce, id: 9, ..message(topic, payload) };
        self.say(line, &Packet::Publish(publish));
        let heard = self.hear(line);
        assert!(heard.iter().any(|answer| answer.starts_with("PUBACK #9")), "{heard:?}");
    }

    pub(super) fn ack(&mut self, line: Line, packet: fn(Ack<'static>) -> Packet<'static>, id: u16) {
        self.say(line, &packet(Ack { id, reason: Reason::SUCCESS, properties: Properties::NONE }));
    }

    pub(super) fn goodbye(&mut self, line: Line) {
        let notice = Notice { reason: Reason::SUCCESS, properties: Properties::NONE };
        self.say(line, &Packet::Disconnect(notice));
    }

    /// The client reads nothing from now on, or goes on.
    pub(super) fn stall(&mut self, line: Line, stalled: bool) {
        self.pair.stall(line.number, stalled);
        self.settle();
    }

    /// The connection breaks.
    pub(super) fn cut(&mut self, line: Line) {
        self.pair.hang_up(line.number);
        self.settle();
    }

    pub(super) fn is_open(&self, line: Line) -> bool {
        self.pair.is_open(line.number)
    }
}

/// A subscription to one filter with QoS 0.
pub(super) fn subscription(filter: &str) -> Packet<'_> {
    Packet::Subscribe(Subscribe { id: 1, properties: Properties::NONE, filters: vec![(filter, Options::default())] })
}

pub(super) fn message<'a>(topic: &'a str, payload: &'a str) -> Publish<'a> {
    Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic,
        id: 0,
        properties: Properties::NONE,
        payload: payload.as_bytes(),
    }
}

/// A client of version 5 without a session that lasts.
pub(super) fn client(name: &str) -> Connect<'_> {
    Connect {
        level: Level::V5,
        clean_start: true,
        keep_alive_s: 0,
        properties: Properties::NONE,
        client_id: name,
        will: None,
        user: Some("admin"),
        password: Some(b"123456"),
    }
}

/// A client of version 3.1.1 whose session lasts.
pub(super) fn lasting(name: &str) -> Connect<'_> {
    Connect { level: Level::V4, clean_start: false, ..client(name) }
}

pub(super) fn bytes(packet: &Packet<'_>, level: Level) -> Vec<u8> {
    let mut out = Vec::new();
    encode(packet, level, &mut out);
    out
}

/// A packet from the broker in a few words.
fn show(packet: &Packet<'_>) -> String {
    match packet {
        Packet::ConnAck(answer) => {
            let present = if answer.session_present { " present" } else { "" };
            format!("CONNACK {:02x}{present}{}", answer.reason.0, listed(answer.properties))
        }
        Packet::Publish(publish) => {
            let id = if publish.id == 0 { String::new() } else { format!("#{} ", publish.id) };
            let dup = if publish.dup { "again " } else { "" };
            let retain = if publish.retain { "kept " } else { "" };
            let (topic, payload) = (publish.topic, String::from_utf8_lossy(publish.payload));
            format!("{dup}{retain}{id}q{} {topic} {payload}{}", publish.qos as u8, listed(publish.properties))
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            format!("{} #{} {:02x}{}", packet.kind().name(), ack.id, ack.reason.0, listed(ack.properties))
        }
        Packet::SubAck(answer) | Packet::UnsubAck(answer) => {
            format!("{} #{} {:x?}{}", packet.kind().name(), answer.id, answer.reasons, listed(answer.properties))
        }
        Packet::Disconnect(notice) | Packet::Auth(notice) => {
            // A reason in words is the only thing that a server may add to the end of a connection.
            let others = notice.properties.iter().filter(|(id, _)| *id != Id::ReasonString).count();
            assert!(others == 0 || packet.kind() == Kind::Auth, "{packet:?}");
            format!("{} {:02x}", packet.kind().name(), notice.reason.0)
        }
        Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq | Packet::PingResp => {
            packet.kind().name().to_owned()
        }
    }
}

/// What the properties say, but for limits that are the same for everybody.
fn listed(properties: Properties<'_>) -> String {
    let same = [Id::ReceiveMaximum, Id::MaximumPacketSize, Id::TopicAliasMaximum];
    let mut text = String::new();
    for (id, value) in properties.iter().filter(|(id, _)| !same.contains(id)) {
        let value = match value {
            Value::Number(number) => number.to_string(),
            Value::Text(value) => value.to_owned(),
            Value::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::Pair(name, value) => format!("{name}:{value}"),
        };
        write!(text, " {id:?}={value}").expect("a text takes everything");
    }
    text
}

#[test]
fn every_setting_that_cannot_be_is_named() {
    for (settings, key) in [
        ("packet_bytes_max = 1", "packet_bytes_max"),
        ("receive_max = 0", "receive_max"),
        ("in_flight_max = 0", "in_flight_max"),
        ("publish = ['a', 'b#']", "publish[1]"),
        ("[[topic]]\nfilter = 'a#'\ndurability = 'memory'", "topic[0].filter"),
        ("[[topic]]\nfilter = 'a'\ndurability = 'sand'", "durability"),
        ("nonsense = 1", "nonsense"),
    ] {
        let table = settings.parse().expect("TOML");
        let error = super::acceptor::acceptor(&table, &mut std::iter::empty()).err().expect(settings);
        let names: BTreeSet<_> = [error.key.as_str(), error.reason.as_str()].into();
        assert!(names.iter().any(|text| text.contains(key)), "{settings}: {error}");
    }
}
