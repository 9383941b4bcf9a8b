//! What the tests of this crate share: a head-end's shared parts over a real store, and a toy protocol that does every
//! thing that a session can ask for, a line of text at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{
    Command, CommandState, Decimal, DeviceId, Identity, Origin, Quality, Reading, Records, ReportBuilder, Ticket, Value,
};
use loggerhead_protocols::{
    Acceptor, Answer, Claim, CloseReason, Company, Fault, FaultKind, Form, Input, Limits, Now, Opening, Output, Proof,
    Question, Session, Verdict,
};
use loggerhead_store::{DeviceSource, DeviceState, FrameKeeping, Login, Secret};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::commands::Commands;
use crate::config::Sockets;
use crate::connection::{Stream, serve};
use crate::core::Core;
use crate::data_doors::DataDoors;
use crate::device::{Device, Past, Rules};
use crate::files::Files;
use crate::guest::Peer;
use crate::hub::Hub;
use crate::identity::{Admittance, Enroll, Identities};
use crate::journal::Journal;
use crate::listener::{Listener, Settings};
use crate::metrics::Counters;
use crate::own_settings::OwnSettings;
use crate::relay::Relays;
use crate::said::SaidLately;

/// The toy protocol's name.
pub(crate) const TOY: &str = "toy";
/// The secret of every toy device that does not choose another.
pub(crate) const SECRET: &str = "open-sesame";

/// A head-end without sockets.
pub(crate) struct Bench {
    pub(crate) core: Arc<Core>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) connections: JoinSet<()>,
    _folder: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(Enroll::Refuse, loggerhead_store::Options::default()).await
    }

    pub(crate) async fn with(enroll: Enroll, mut options: loggerhead_store::Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let counters = Arc::new(Counters::new());
        let hub = Arc::new(Hub::new(Arc::clone(&counters)));
        let mut first = options.on_commit.take();
        options.on_commit = Some(Box::new({
            let hub = Arc::clone(&hub);
            move |committed| {
                if let Some(first) = &mut first {
                    first(committed.clone());
                }
                hub.publish(committed);
            }
        }));
        let directory = folder.path().join("data");
        let store = tokio::task::spawn_blocking(move || loggerhead_store::Store::open(&directory, options))
            .await
            .expect("opening does not panic")
            .expect("a new store opens");
        let clock = Clock::start();
        let files = Files::open(&folder.path().join("data"), &store, clock, crate::config::Files::default());
        let files = files.expect("a new folder");
        let core = Arc::new(Core {
            clock,
            store,
            identities: Identities::new(),
            journal: Journal::new(Arc::clone(&counters)),
            commands: Commands::new(Duration::from_hours(1)),
            hub,
            counters: Arc::clone(&counters),
            office: Arc::default(),
            exchanges: Vec::new(),
            relays: Relays::default(),
            files,
            said: SaidLately::new(FrameKeeping::Keep),
        });
        let settings = Settings {
            admittance: Admittance { protocol: TOY, enroll, secrets: vec![Secret::new(SECRET.into())] },
            sockets: Sockets::default(),
            limits: Limits::default(),
            proxies: Vec::new(),
            connections_max: 4,
            connects_per_s_max: 0,
            connections_per_address_max: 3,
            connections_per_device_max: 2,
        };
        let listener = Listener::new(
            TOY.to_owned(),
            TOY,
            counters.protocol(TOY),
            settings,
            Box::new(ToyAcceptor),
            DataDoors::none(),
        );
        let mut connections = JoinSet::new();
        connections.spawn({
            let core = Arc::clone(&core);
            async move { core.journal.run(core.store.clone()).await }
        });
        Self { core, listener, connections, _folder: folder }
    }

    /// Makes a device of this name known, with `SECRET`.
    pub(crate) fn device(&self, name: &str) -> Arc<Device> {
        let rules = Rules {
            state: DeviceState::Active,
            source: DeviceSource::Configuration,
            secret: Some(Secret::new(SECRET.into())),
            login: Login::Secret,
            settings: OwnSettings::default(),
            added_at: None,
            site: None,
        };
        let id = DeviceId::new(name).expect("a legal id");
        let identity = Identity::new(name).expect("a legal identity");
        let device = Arc::new(Device::new(id, TOY, identity, rules, Past::default()));
        self.core.identities.directory.add(Arc::clone(&device)).expect("a new name");
        device
    }

    /// Connects from this address.
    pub(crate) fn connect(&mut self, address: &str) -> Line {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        self.serve(address, ours);
        Line { stream: BufReader::new(theirs) }
    }

    /// Serves a peer at this address.
    pub(crate) fn serve(&mut self, address: &str, ours: impl Stream + 'static) {
        let address = address.parse().expect("an address");
        let pass = self.listener.admit(Some(address)).expect("within the limits");
        let peer = Peer { text: address.to_string().into(), address: Some(address), certified: None };
        self.connections.spawn(serve(Arc::clone(&self.core), pass, peer, ours));
    }
}

/// The device's end of a toy conversation.
pub(crate) struct Line {
    stream: BufReader<DuplexStream>,
}

impl Line {
    pub(crate) async fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).await.expect("the head-end reads");
    }

    /// The next line; empty at the end.
    pub(crate) async fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.expect("the head-end writes text");
        line.trim_end().to_owned()
    }

    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        self.hear().await
    }

    /// Sends without reading answers; false when that is not taken any more.
    pub(crate) async fn try_flood(&mut self, lines: &str, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.stream.write_all(lines.as_bytes())).await, Ok(Ok(())))
    }

    /// Both directions, for who sends while hearing.
    pub(crate) fn split(self) -> (BufReader<ReadHalf<DuplexStream>>, WriteHalf<DuplexStream>) {
        let (reader, writer) = tokio::io::split(self.stream.into_inner());
        (BufReader::new(reader), writer)
    }

    /// Everything until the head-end ends its side.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).await.expect("the head-end writes text");
        rest
    }

    /// Ends our side.
    pub(crate) async fn done(&mut self) {
        self.stream.shutdown().await.expect("a duplex always closes");
    }
}

struct ToyAcceptor;

impl Acceptor for ToyAcceptor {
    fn open(&self, _now: Now, _opening: Opening) -> Box<dyn Session> {
        Box::new(Toy::default())
    }
}

/// `login NAME SECRET`, `again NAME` (remembered), `stay NAME SECRET` (to be remembered), `put VALUE`, `silent S`,
/// `expect S`, `bad`, `done N TEXT` (a command is answered).
#[derive(Default)]
struct Toy {
    text: String,
    outputs: VecDeque<Output>,
    device: Option<DeviceId>,
    tickets: u64,
}

impl Toy {
    fn send(&mut self, line: String) {
        self.outputs.push_back(Output::Send(Bytes::from(line + "\n")));
    }

    fn line(&mut self, now: Now, line: &str) -> Result<(), Fault> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [word @ ("login" | "stay"), name, secret] => {
                let remember = (*word == "stay").then(|| Duration::from_mins(10));
                let proof = Proof::Response {
                    challenge: Box::default(),
                    answer: secret.as_bytes().into(),
                    check: |_, answer, secret| (answer == secret).then_some(Form::ONLY),
                };
                self.claim(name, proof, remember);
            }
            ["again", name] => self.claim(name, Proof::Remembered, Some(Duration::from_mins(10))),
            ["put", value] => self.put(now, value),
            ["expect", seconds] => {
                let limit = Duration::from_secs(seconds.parse().expect("a number"));
                self.outputs.push_back(Output::ExpectWithin(limit));
                self.send("ok".to_owned());
            }
            ["done", id, text] => {
                let id = loggerhead_model::CommandId(id.parse().expect("a number"));
                self.outputs.push_back(Output::Command(id, CommandState::Answered((*text).to_owned())));
                self.send("ok".to_owned());
            }
            _ => return Err(Fault::new(FaultKind::Malformed, "no such line")),
        }
        Ok(())
    }

    fn claim(&mut self, name: &str, proof: Proof, remember: Option<Duration>) {
        let identity = Identity::new(name).expect("a legal identity");
        let claim = Claim { identity, proof, remember, company: Company::Alone };
        self.outputs.push_back(Output::Ask(Question::Prove(claim)));
    }

    fn put(&mut self, now: Now, value: &str) {
        let Some(device) = self.device.clone() else { return self.send("who?".to_owned()) };
        self.tickets += 1;
        let mut builder = ReportBuilder::new(Origin::Live, 16, 1);
        builder.meter("m", "").expect("room");
        let reading = Reading {
            meter: "m",
            function: "f",
            coding: "",
            code: "",
            quality: Quality::Good,
            measured_at: loggerhead_model::Timestamp::from_unix_ms(value.parse().expect("a number")),
            value: Value::Decimal(Decimal::parse(value).expect("a number")),
            attributes: "",
        };
        builder.reading(&reading).expect("room");
        let report = Some(builder.finish());
        let (events, notes) = (Vec::new(), Vec::new());
        let records = Records { device, received_at: now.wall, report, frame: None, events, notes };
        self.outputs.push_back(Output::Store(Ticket(self.tickets), records));
    }
}

impl Session for Toy {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Bytes(bytes) => {
                self.text.push_str(&String::from_utf8_lossy(bytes));
                while let Some(end) = self.text.find('\n') {
                    let line: String = self.text.drain(..=end).collect();
                    self.line(now, line.trim_end())?;
                }
            }
            Input::Eof => self.outputs.push_back(Output::Close(CloseReason::PeerDone)),
            Input::Answer(Answer::Verdict(Verdict::Accepted(admission))) => {
                self.send(format!("welcome {}", admission.device));
                self.device = Some(admission.device);
            }
            Input::Answer(Answer::Verdict(Verdict::Refused(_))) => {
                self.send("no".to_owned());
                self.outputs.push_back(Output::Close(CloseReason::Refused));
            }
            Input::Stored(receipt) => self.send(format!("ack {}", receipt.ticket().0)),
            Input::NotStored(ticket) => self.send(format!("lost {}", ticket.0)),
            Input::Command(Command { id, order, .. }) => {
                self.outputs.push_back(Output::Command(id, CommandState::Sent));
                self.send(format!("command {} {order:?}", id.0));
            }
            Input::Shutdown(reason) => {
                self.send(format!("bye {reason}"));
                self.outputs.push_back(Output::Close(reason));
            }
            Input::Wake | Input::Answer(_) | Input::Connected | Input::Disconnected | Input::Offer(..) => {}
        }
        Ok(())
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Idle { wake_at: None })
    }
}
