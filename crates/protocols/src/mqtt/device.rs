//! The device's side: a client that publishes readings with QoS 1 and counts them delivered when they are acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use loggerhead_model::{Report, Ticket};

use super::decode::read;
use super::encode::encode;
use super::frame::{BODY_BYTES_MAX, Gathering};
use super::granted::Granted;
use super::message::{ConnAck, Connect, Level, Notice, Packet, Publish, Qos};
use super::properties::{Id, Properties, Writer};
use super::readings;
use super::reason::{Breach, Reason};
use super::settings::DeviceSide;
use crate::reconnect::Attempts;
use crate::{CloseReason, Fault, FaultKind, Input, Now, Opening, Output, Session, SettingsError};
use crate::{base64, scram};

/// Where readings are published.
const TOPIC: &str = "readings";
/// How long the head-end may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Random bytes of a nonce.
const NONCE_BYTES: usize = 18;

enum Stage {
    /// It waits until then before it connects again.
    Away(Duration),
    /// It has asked for a connection.
    Connecting,
    /// It waits until then for the CONNACK.
    Entering(Duration),
    /// It is in, and keeps to what the head-end takes.
    In(Granted),
    /// It was told to end.
    Ended,
}

/// How far a device is that proves its secret in steps. Source: \[2\] §4.12.
enum Proof {
    /// It has said who it is.
    Begun(scram::Client),
    /// It has answered the challenge, and these bytes prove that the head-end knows the secret as well.
    Answered(Vec<u8>),
}

/// The device's side of its conversations, over all its connections.
struct Device {
    settings: DeviceSide,
    password: Vec<u8>,
    level: Level,
    stage: Stage,
    /// None where the secret is said.
    proof: Option<Proof>,
    entropy: [u8; 32],
    /// Counts connections, so that each has a nonce of its own.
    connections: u32,
    outputs: VecDeque<Output>,
    gathering: Gathering,
    /// What is offered and not sent on this connection.
    waiting: VecDeque<(Ticket, Vec<u8>)>,
    /// What was sent and not acknowledged, by packet identifier.
    flying: BTreeMap<u16, (Ticket, Vec<u8>)>,
    last_id: u16,
    attempts: Attempts,
    heard_at: Duration,
    sent_at: Duration,
    pinged_at: Option<Duration>,
    /// Since when it waits for an acknowledgement.
    asked_at: Option<Duration>,
}

/// Makes a client.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "the contract gives every device its opening")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    let settings = DeviceSide::of(table)?;
    let password = settings.password()?;
    let level = if settings.level == 4 { Level::V4 } else { Level::V5 };
    Ok(Box::new(Device {
        settings,
        password,
        level,
        stage: Stage::Connecting,
        proof: None,
        entropy: opening.entropy,
        connections: 0,
        outputs: VecDeque::from([Output::Connect]),
        gathering: Gathering::default(),
        waiting: VecDeque::new(),
        flying: BTreeMap::new(),
        last_id: 0,
        attempts: Attempts::default(),
        heard_at: Duration::ZERO,
        sent_at: Duration::ZERO,
        pinged_at: None,
        asked_at: None,
    }))
}

impl Device {
    fn say(&mut self, now: Now, packet: &Packet<'_>) {
        let mut out = Vec::new();
        encode(packet, self.level, &mut out);
        self.sent_at = now.elapsed;
        self.outputs.push_back(Output::Send(out.into()));
    }

    fn connected(&mut self, now: Now) {
        self.gathering = Gathering::default();
        self.heard_at = now.elapsed;
        self.pinged_at = None;
        self.asked_at = None;
        self.stage = Stage::Entering(now.elapsed + ANSWER_WAIT);
        self.connections += 1;
        let (mut list, mut password) = (Writer::default(), Some(&*self.password));
        self.proof = None;
        if self.settings.scram {
            let client = scram::Client::new(&self.settings.user, &self.nonce());
            list.text(Id::AuthenticationMethod, scram::MECHANISM);
            list.binary(Id::AuthenticationData, &client.first_message());
            (self.proof, password) = (Some(Proof::Begun(client)), None);
        }
        let mut out = Vec::new();
        let connect = Connect {
            level: self.level,
            clean_start: true,
            keep_alive_s: self.settings.keep_alive_s,
            properties: list.list(),
            client_id: &self.settings.client_id,
            will: None,
            user: Some(&self.settings.user),
            password,
        };
        encode(&Packet::Connect(connect), self.level, &mut out);
        self.sent_at = now.elapsed;
        self.outputs.push_back(Output::Send(out.into()));
    }

    fn nonce(&self) -> String {
        let random = self.entropy.iter().take(NONCE_BYTES).copied().chain(self.connections.to_be_bytes());
        base64::encode(&random.collect::<Vec<_>>())
    }

    /// Answers the head-end's challenge.
    fn challenged(&mut self, now: Now, notice: &Notice<'_>) -> Result<(), Breach> {
        let Some(Proof::Begun(client)) = self.proof.take() else {
            return Err(Breach::protocol("an AUTH that nobody asked for"));
        };
        let asked = notice.properties.binary(Id::AuthenticationData).unwrap_or_default();
        let (last, expected) = client.answer(asked, &self.password).map_err(Breach::protocol)?;
        self.proof = Some(Proof::Answered(expected));
        let mut list = Writer::default();
        list.text(Id::AuthenticationMethod, scram::MECHANISM).binary(Id::AuthenticationData, &last);
        self.say(now, &Packet::Auth(Notice { reason: Reason::CONTINUE_AUTHENTICATION, properties: list.list() }));
        Ok(())
    }

    /// Whether the head-end knows the secret too, where it has to prove that.
    fn is_proven(&self, answer: &ConnAck<'_>) -> bool {
        match &self.proof {
            Some(Proof::Answered(expected)) => {
                answer.properties.binary(Id::AuthenticationData) == Some(expected.as_slice())
            }
            Some(Proof::Begun(_)) => false,
            None => true,
        }
    }

    fn disconnected(&mut self, now: Now) {
        // What was not acknowledged is sent again, in its order, before anything new.
        for (_, unsure) in std::mem::take(&mut self.flying).into_iter().rev() {
            self.waiting.push_front(unsure);
        }
        if matches!(self.stage, Stage::Ended | Stage::Away(_)) {
            return;
        }
        self.stage = Stage::Away(now.elapsed + self.attempts.pause(self.settings.reconnect()));
    }

    /// Sends what waits, as much as may be under way.
    fn send_waiting(&mut self, now: Now) -> Result<(), Breach> {
        let Stage::In(granted) = self.stage else { return Ok(()) };
        while self.flying.len() < self.settings.window.min(usize::from(granted.receive_max)) {
            let Some((ticket, payload)) = self.waiting.pop_front() else { break };
            // Identifiers only grow until they wrap, so that the order of the map is that of sending.
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.last_id == 1 && !self.flying.is_empty() {
                self.waiting.push_front((ticket, payload));
                self.last_id = u16::MAX;
                break;
            }
            let publish = Publish {
                dup: false,
                qos: Qos::AtLeastOnce,
                retain: false,
                topic: TOPIC,
                id: self.last_id,
                properties: Properties::NONE,
                payload: &payload,
            };
            let mut out = Vec::new();
            encode(&Packet::Publish(publish.clone()), self.level, &mut out);
            if let Err(why) = granted.check(&publish, out.len()) {
                self.waiting.push_front((ticket, payload));
                return Err(Breach::protocol(why));
            }
            self.sent_at = now.elapsed;
            self.outputs.push_back(Output::Send(out.into()));
            self.asked_at.get_or_insert(now.elapsed);
            self.flying.insert(self.last_id, (ticket, payload));
        }
        Ok(())
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Breach> {
        self.heard_at = now.elapsed;
        self.pinged_at = None;
        self.gathering.push(bytes);
        let held = self.gathering.take();
        let mut used = 0;
        loop {
            let rest = held.get(used..).unwrap_or_default();
            let Some((packet, count)) = read(self.level, rest, BODY_BYTES_MAX)? else { break };
            used += count;
            self.packet(now, &packet)?;
        }
        self.gathering.put_back(held, used);
        Ok(())
    }

    fn packet(&mut self, now: Now, packet: &Packet<'_>) -> Result<(), Breach> {
        match (packet, &self.stage) {
            (Packet::Auth(notice), Stage::Entering(_)) => return self.challenged(now, notice),
            (Packet::ConnAck(answer), Stage::Entering(_)) if answer.reason == Reason::SUCCESS => {
                if !self.is_proven(answer) {
                    return Err(Breach::protocol("the head-end does not prove that it knows the secret"));
                }
                if answer.session_present {
                    return Err(Breach::protocol("the head-end goes on with a session that was not asked for"));
                }
                self.stage = Stage::In(Granted::of(answer, self.settings.keep_alive_s));
                self.send_waiting(now)?;
            }
            (Packet::ConnAck(answer), Stage::Entering(_)) => {
                return Err(Breach::protocol(format!("the head-end refuses: {}", answer.reason)));
            }
            (Packet::PubAck(ack), Stage::In(_)) if ack.reason.is_failure() => {
                return Err(Breach::protocol(format!("the head-end does not take readings: {}", ack.reason)));
            }
            (Packet::PubAck(ack), Stage::In(_)) => {
                if let Some((ticket, _)) = self.flying.remove(&ack.id) {
                    self.attempts.succeeded();
                    self.asked_at = (!self.flying.is_empty()).then_some(now.elapsed);
                    self.outputs.push_back(Output::Delivered(ticket));
                    self.send_waiting(now)?;
                }
            }
            (Packet::PingResp, Stage::In(_)) => {}
            (Packet::Disconnect(notice), Stage::In(_)) => {
                return Err(Breach::protocol(format!("the head-end ends: {}", notice.reason)));
            }
            _ => return Err(Breach::protocol(format!("a {} that nobody asked for", packet.kind().name()))),
        }
        Ok(())
    }

    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        let silent = |what: &'static str| Err(Fault::new(FaultKind::TooSlow, what));
        match self.stage {
            Stage::Away(until) if now.elapsed >= until => {
                self.stage = Stage::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            Stage::Entering(until) if now.elapsed >= until => return silent("no CONNACK"),
            Stage::In(_) => {
                if self.pinged_at.is_some_and(|at| now.elapsed >= at + ANSWER_WAIT) {
                    return silent("no PINGRESP");
                }
                if self.asked_at.is_some_and(|at| now.elapsed >= at + ANSWER_WAIT) {
                    return silent("no PUBACK");
                }
                if self.ping_at().is_some_and(|at| now.elapsed >= at) {
                    self.pinged_at = Some(now.elapsed);
                    self.say(now, &Packet::PingReq);
                }
            }
            Stage::Away(_) | Stage::Connecting | Stage::Entering(_) | Stage::Ended => {}
        }
        Ok(())
    }

    fn ping_at(&self) -> Option<Duration> {
        let Stage::In(granted) = self.stage else { return None };
        let keep_alive = Duration::from_secs(granted.keep_alive_s.into());
        (!keep_alive.is_zero() && self.pinged_at.is_none()).then(|| self.sent_at + keep_alive)
    }

    fn next_wake(&self) -> Option<Duration> {
        match self.stage {
            Stage::Away(until) | Stage::Entering(until) => Some(until),
            Stage::In(_) => {
                let answers = [self.pinged_at, self.asked_at].into_iter().flatten().map(|at| at + ANSWER_WAIT);
                answers.chain(self.ping_at()).min()
            }
            Stage::Connecting | Stage::Ended => None,
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.outputs.push_back(Output::Close(reason));
    }
}

impl Session for Device {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        let taken = match input {
            Input::Connected => {
                self.connected(now);
                Ok(())
            }
            Input::Disconnected => {
                self.disconnected(now);
                Ok(())
            }
            Input::Bytes(bytes) => self.bytes(now, bytes).map_err(|breach| breach.fault),
            Input::Wake => self.wake(now),
            Input::Eof => {
                self.close(CloseReason::PeerDone);
                Ok(())
            }
            Input::Offer(ticket, report) => self.offer(now, ticket, &report).map_err(|breach| breach.fault),
            Input::Shutdown(reason) => {
                let properties = Properties::NONE;
                self.say(now, &Packet::Disconnect(Notice { reason: Reason::SUCCESS, properties }));
                self.stage = Stage::Ended;
                self.close(reason);
                Ok(())
            }
            Input::Answer(_) | Input::Stored(_) | Input::NotStored(_) | Input::Command(_) => Ok(()),
        };
        if let Err(fault) = &taken {
            self.close(CloseReason::Fault(fault.reason.clone()));
        }
        taken
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Idle { wake_at: self.next_wake() })
    }
}

impl Device {
    fn offer(&mut self, now: Now, ticket: Ticket, report: &Report) -> Result<(), Breach> {
        self.waiting.push_back((ticket, readings::write(report)));
        self.send_waiting(now)
    }
}
