//! Whole conversations of both sides in memory, by topic. The vectors of single frames are elsewhere.

mod answers;
mod bad_days;
mod habits;
mod login;
mod normal_day;
mod orders;
mod sequences;
mod visits;

use loggerhead_model::{
    DeviceId, Identity, Learnt, Origin, Quality, Reading, Report, ReportBuilder, Ticket, Timestamp, Value,
};

use bytes::BytesMut;

use super::PROTOCOL;
use super::cipher::Key;
use super::decode::{DecodeRules, QualityRule, decode};
use super::dialect::{ALL_DIALECTS, Dialect, find};
use super::encode::{Sending, encode, encode_data};
use super::frame::{Cut, Cutter, FRAME_BYTES_MAX};
use super::identity::ProofOrder;
use super::message::{DataHead, DataKind, Envelope, Message, Talk};
use super::time::Zone;
use crate::DeviceSettings;
use crate::pair::{Enrolled, Happening, Pair};

/// The identity of the device that every conversation is about.
const IDENTITY: &str = "330302D110/01";
const KEY: &str = "text:0000000000123456";

fn table(text: &str) -> toml::Table {
    text.parse().expect("toml")
}

/// A head-end that knows the device, with more settings of the listener and of the device.
fn head_end(listener: &str, device: &str) -> Pair {
    let identity = Identity::new(IDENTITY).expect("a name");
    let listener = table(&format!("aes_keys = ['text:9999999999999999', '{KEY}']\n{listener}"));
    let settings = table(device);
    let id = DeviceId::from_identity(&identity);
    let mut devices = [DeviceSettings { id: &id, identity: &identity, table: &settings }].into_iter();
    let acceptor = (PROTOCOL.acceptor)(&listener, &mut devices).expect("settings");
    let mut pair = Pair::new(acceptor);
    let enrolled = Enrolled {
        device: DeviceId::new("tower-1").expect("a name"),
        secret: b"IJKLMNOPQRSTUVWX".to_vec(),
        cipher_is_enough: true,
        settings: settings.clone().into(),
        learnt: Learnt::new(),
    };
    pair.enrolled.insert(identity.clone(), enrolled);
    pair
}

/// A device that says who it is and knows its secrets, with more settings of it.
fn attach(pair: &mut Pair, dialect: &Dialect, more: &str) {
    // A later line of the same name would be refused, so what a test sets anew is left out of the first lines.
    let mut settings = table(more);
    for (name, value) in [("dialect", dialect.name), ("aes_key", KEY), ("secret", "text:IJKLMNOPQRSTUVWX")] {
        settings.entry(name).or_insert_with(|| value.into());
    }
    let opening = pair.opening();
    pair.attach((PROTOCOL.device)(&settings, opening).expect("settings"));
}

/// A packet of `count` readings, different for every `number`.
fn report(origin: Origin, number: u64, count: u64) -> Report {
    let mut builder = ReportBuilder::new(origin, 0, 0);
    builder.meter("1", "").expect("room");
    for function in 1..=count {
        let text = format!("{number}.{function:02}");
        let reading = Reading {
            meter: "1",
            function: &function.to_string(),
            coding: "01A10",
            code: "192",
            quality: Quality::Good,
            measured_at: Timestamp::from_unix_ms(1_767_225_600_000 + i64::try_from(number).expect("small") * 1000),
            value: Value::parse(&text),
            attributes: "",
        };
        builder.reading(&reading).expect("room");
    }
    builder.finish()
}

/// The values that were committed, in order, without packets that came twice.
fn kept_values(pair: &Pair) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for report in pair.kept.iter().filter_map(|records| records.report.as_ref()) {
        for reading in report.readings() {
            let value = reading.value.to_string();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    values
}

/// As what the values of `report` stand in the store.
fn values_of(reports: impl Iterator<Item = Report>) -> Vec<String> {
    reports.flat_map(|report| report.readings().map(|reading| reading.value.to_string()).collect::<Vec<_>>()).collect()
}

/// Nothing may be delivered that is not committed: checked over the log, in the order in which things happened.
fn assert_committed_before_delivered(pair: &Pair, packets: &dyn Fn(Ticket) -> Report) {
    let mut kept = 0;
    for what in pair.happenings() {
        if let Happening::Committed(_, place) = what {
            kept = place + 1;
        }
        if let Happening::Delivered(ticket) = what {
            let wanted = values_of(std::iter::once(packets(*ticket)));
            let found = values_of(pair.kept[..kept].iter().filter_map(|records| records.report.clone()));
            assert!(wanted.iter().all(|value| found.contains(value)), "{ticket:?} was delivered before its commit");
        }
    }
}

/// Dialects whose devices hear of every stored packet, with settings under which they do.
fn acknowledging() -> impl Iterator<Item = (&'static Dialect, &'static str)> {
    ALL_DIALECTS.into_iter().map(|dialect| {
        let settles = dialect.habits.report != super::dialect::DataAnswer::Nothing;
        (dialect, if settles { "" } else { "live = 'continuous'" })
    })
}

/// A hand that plays a device, frame by frame.
struct Hand {
    dialect: &'static Dialect,
    envelope: Envelope<'static>,
    key: Key,
    connection: usize,
    sequence: [u8; 4],
}

impl Hand {
    /// The device that the head-end knows, on a new connection.
    fn new(pair: &mut Pair, dialect: &str) -> Self {
        Self {
            dialect: find(dialect).expect("a dialect"),
            envelope: Envelope { building: "330302D110".into(), gateway: "01".into(), ..Envelope::default() },
            key: Key::from_settings(KEY, None).expect("a key"),
            connection: pair.connect(),
            sequence: [1, 2, 3, 4],
        }
    }

    fn sending(&self) -> Sending<'_> {
        let mut sending = Sending::new(self.dialect, &self.envelope, Some(&self.key));
        sending.sequence = self.sequence;
        sending
    }

    fn frame(&self, talk: &Talk) -> BytesMut {
        let mut out = BytesMut::new();
        encode(&self.sending(), talk, &mut out).expect("it can be written");
        out
    }

    fn data(&self, kind: DataKind, report: &Report) -> BytesMut {
        let mut out = BytesMut::new();
        let head = DataHead::new(kind, Timestamp::from_unix_ms(1_767_225_600_000));
        encode_data(&self.sending(), &head, report, &mut out).expect("it can be written");
        out
    }

    /// Says something, and gives what is answered at once.
    fn say(&self, pair: &mut Pair, talk: &Talk) -> Vec<Message> {
        self.send(pair, &self.frame(talk))
    }

    fn send(&self, pair: &mut Pair, bytes: &[u8]) -> Vec<Message> {
        pair.send(self.connection, bytes);
        self.hear(pair)
    }

    /// What the head-end has said since it was last listened to.
    fn hear(&self, pair: &mut Pair) -> Vec<Message> {
        let mut cutter = Cutter::new(Some(self.dialect), FRAME_BYTES_MAX);
        cutter.push(&pair.take_received(self.connection));
        let mut messages = Vec::new();
        while let Some(cut) = cutter.cut().expect("frames") {
            let Cut::Frame(mut frame) = cut else { panic!("{cut:?}") };
            if self.dialect.sequence.is_some() {
                assert_eq!(frame.sequence, self.sequence, "an answer repeats the sequence");
            }
            if frame.is_enciphered() {
                self.key.decipher(frame.body_mut()).expect("whole blocks");
            }
            let plain = super::text::plain(frame.body()).expect("text");
            let received_at = Timestamp::from_unix_ms(0);
            let rules = DecodeRules { zone: Zone::default(), quality: QualityRule::default(), received_at };
            let decoded = decode(frame.dialect, frame.kind, &plain.text, &rules).expect("a message");
            assert_eq!(decoded.envelope, self.envelope, "an answer repeats the names");
            messages.push(decoded.message);
        }
        messages
    }

    /// Asks to be let in, and gives the challenge.
    fn request(&self, pair: &mut Pair) -> String {
        match self.say(pair, &Talk::Request).as_slice() {
            [Message::Talk(Talk::Sequence { sequence })] => sequence.clone(),
            other => panic!("no challenge, but {other:?}"),
        }
    }

    fn prove(&self, pair: &mut Pair, challenge: &str, secret: &str) -> Vec<Message> {
        let digits = ProofOrder::ChallengeFirst.prove(challenge.as_bytes(), secret.as_bytes());
        let md5 = String::from_utf8(digits.to_vec()).expect("digits");
        self.say(pair, &Talk::Md5 { md5 })
    }

    fn log_in(&self, pair: &mut Pair) {
        if self.dialect.habits.proof == super::dialect::ProofStep::Cipher {
            assert!(is_pass(&self.say(pair, &Talk::Request)));
            return;
        }
        let challenge = self.request(pair);
        assert!(is_pass(&self.prove(pair, &challenge, "IJKLMNOPQRSTUVWX")));
    }
}

fn is_pass(messages: &[Message]) -> bool {
    matches!(messages, [Message::Talk(Talk::LoginResult { outcome: super::message::Outcome::Pass, .. })])
}

fn is_fail(messages: &[Message]) -> bool {
    matches!(messages, [Message::Talk(Talk::LoginResult { outcome: super::message::Outcome::Fail, .. })])
}

/// The words of the faults that were counted so far.
fn faults(pair: &Pair) -> Vec<&'static str> {
    let kind = |what: &Happening| match what {
        Happening::Fault(fault) | Happening::Broken(fault) => Some(fault.kind.word()),
        Happening::Opened
        | Happening::Sent(..)
        | Happening::Accepted(_)
        | Happening::Refused(..)
        | Happening::Asked(_)
        | Happening::Committed(..)
        | Happening::FileKept(_)
        | Happening::Lost(_)
        | Happening::Event(_)
        | Happening::Learnt(_)
        | Happening::ExpectWithin(_)
        | Happening::Ordered(..)
        | Happening::Command(..)
        | Happening::Delivered(_)
        | Happening::Closed(_)
        | Happening::Reached(_)
        | Happening::Joined(_)
        | Happening::Left(_) => None,
    };
    pair.happenings().filter_map(kind).collect()
}

/// Why connections were closed so far.
fn closed(pair: &Pair) -> Vec<String> {
    pair.happenings()
        .filter_map(|what| if let Happening::Closed(reason) = what { Some(reason.to_string()) } else { None })
        .collect()
}
