//! The person's side: logs in, sends what it is given to itself, and counts it delivered when the head-end has accepted it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{Event, EventKind, Report, Severity, Ticket};

use super::frame::{Gathered, Texts};
use super::message::{Reason, Reply, Request};
use super::settings::DeviceSide;
use crate::office::MessageId;
use crate::reconnect::{Attempts, Jitter};
use crate::simulated::Simulated;
use crate::websocket::frame::{Sender, masked_pong, masked_text};
use crate::websocket::handshake::{EMPTY_LINE, REQUEST_BYTES_MAX};
use crate::{Fault, FaultKind, Input, Now, Opening, Output, Session, SettingsError};

/// How long the head-end may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// After so much of our own silence we ask whether the head-end is there.
const BEAT_EVERY: Duration = Duration::from_secs(20);
/// Longest text of a head-end: an answer about what was said before.
const TEXT_BYTES_LIMIT: usize = 16 * 1024 * 1024;

enum Stage {
    /// It waits until then before it connects again.
    Away(Duration),
    /// It has asked for a connection.
    Connecting,
    /// It waits until then for the answer to its handshake; what came of it.
    Shaking(Duration, Vec<u8>),
    /// It waits until then for the answer to its login.
    Entering(Duration, Texts),
    In(Texts),
    /// It was told to end.
    Ended,
}

/// The person's side of its conversations, over all its connections.
struct Device {
    settings: DeviceSide,
    stage: Stage,
    outputs: VecDeque<Output>,
    /// What is offered and not accepted, each under the name that it has on every connection; the first one is on its way.
    waiting: VecDeque<(Ticket, MessageId, String)>,
    /// Since when the first one is on its way on this connection.
    sent_at: Option<Duration>,
    attempts: Attempts,
    jitter: Jitter,
    ids: u64,
    masks: u64,
    entropy: [u8; 32],
    beat_at: Duration,
    /// Since when the head-end has been asked whether it is there.
    asked_at: Option<Duration>,
}

/// Makes a person.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "the contract gives every device its opening")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    Ok(Box::new(Device {
        settings: DeviceSide::of(table)?,
        stage: Stage::Connecting,
        outputs: VecDeque::from([Output::Connect]),
        waiting: VecDeque::new(),
        sent_at: None,
        attempts: Attempts::default(),
        jitter: Jitter::new(&opening.entropy),
        ids: 0,
        masks: 0,
        entropy: opening.entropy,
        beat_at: Duration::ZERO,
        asked_at: None,
    }))
}

impl Device {
    /// A mask, RFC 6455 §5.3: it need only be none that somebody who wrote the text could foresee.
    fn mask(&mut self) -> [u8; 4] {
        self.masks += 1;
        let [a, b, c, d, ..] = MessageId::make(&self.entropy, u64::MAX - self.masks).0;
        [a, b, c, d]
    }

    fn say(&mut self, request: &Request) {
        let text = serde_json::to_string(request).expect("texts and numbers can be written");
        let mask = self.mask();
        self.outputs.push_back(Output::Send(Bytes::from(masked_text(&text, mask))));
    }

    fn logged_in(&mut self, now: Now) {
        self.outputs.push_back(Output::Event(Event {
            at: now.wall,
            severity: Severity::Info,
            kind: EventKind::Login,
            device: None,
            peer: None,
            text: "logged in".into(),
        }));
    }

    /// Sends the first of what waits, unless it is on its way.
    fn send_next(&mut self, now: Now) {
        if self.sent_at.is_some() || !matches!(self.stage, Stage::In(_)) {
            return;
        }
        let Some((_, id, text)) = self.waiting.front() else { return };
        let (to, text, id) = (Some(self.settings.user.clone()), text.clone(), id.to_string());
        self.sent_at = Some(now.elapsed);
        self.say(&Request::Say { id, room: None, to, text });
    }

    fn text(&mut self, now: Now, text: &str) -> Result<(), Fault> {
        let reply = serde_json::from_str::<Reply>(text)
            .map_err(|_| Fault::new(FaultKind::Malformed, "a text of the head-end that is no reply"))?;
        match reply {
            Reply::Welcome { .. } => {
                if let Stage::Entering(_, texts) = std::mem::replace(&mut self.stage, Stage::Connecting) {
                    self.stage = Stage::In(texts);
                    self.logged_in(now);
                }
                self.beat_at = now.elapsed + BEAT_EVERY;
                self.send_next(now);
            }
            Reply::Accepted { message, .. } => {
                let is_first = |first: &mut (Ticket, MessageId, String)| first.1.to_string() == message.id;
                if let Some((ticket, ..)) = self.waiting.pop_front_if(is_first) {
                    self.attempts.succeeded();
                    self.sent_at = None;
                    self.outputs.push_back(Output::Delivered(ticket));
                    self.send_next(now);
                }
            }
            Reply::Message { message } => self.say(&Request::Confirm { id: message.id }),
            Reply::Pong => self.asked_at = None,
            Reply::Refused { reason: Reason::NotProven, .. } => {
                return Err(Fault::new(FaultKind::NotProven, "the head-end refuses the login"));
            }
            Reply::Refused { .. } => {
                return Err(Fault::new(FaultKind::OutOfOrder, "the head-end did not keep a message"));
            }
            Reply::Replaced => {
                return Err(Fault::new(FaultKind::OutOfOrder, "the head-end has another one of this name"));
            }
            Reply::Confirmed { .. }
            | Reply::Joined { .. }
            | Reply::Parted { .. }
            | Reply::Read { .. }
            | Reply::History { .. }
            | Reply::Members { .. }
            | Reply::Presence { .. } => {}
        }
        Ok(())
    }
}

/// The words of a report: what its readings say.
fn text_of(report: &Report) -> String {
    let values: Vec<_> = report.readings().map(|reading| reading.value.to_string()).collect();
    values.join(",")
}

impl Simulated for Device {
    fn connected(&mut self, now: Now) {
        self.sent_at = None;
        self.asked_at = None;
        self.stage = Stage::Shaking(now.elapsed + ANSWER_WAIT, Vec::new());
        let request = "GET /chat HTTP/1.1\r\nHost: head-end\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        self.outputs.push_back(Output::Send(Bytes::from_static(request.as_bytes())));
    }

    fn disconnected(&mut self, now: Now) {
        if matches!(self.stage, Stage::Ended | Stage::Away(_)) {
            return;
        }
        let pause = self.attempts.pause(Duration::from_millis(self.settings.reconnect_ms));
        let pause = pause / 2 + self.jitter.part_of(pause / 2);
        self.stage = Stage::Away(now.elapsed + pause);
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        let mut rest = bytes;
        if let Stage::Shaking(_, response) = &mut self.stage {
            let before = response.len();
            response.extend_from_slice(bytes);
            let Some(end) = memchr::memmem::find(response, EMPTY_LINE).map(|end| end + EMPTY_LINE.len()) else {
                let is_short = response.len() < REQUEST_BYTES_MAX;
                return if is_short { Ok(()) } else { Err(Fault::new(FaultKind::TooLarge, "an endless response")) };
            };
            if !response.starts_with(b"HTTP/1.1 101 ") {
                return Err(Fault::new(FaultKind::OutOfOrder, "the head-end takes no WebSocket here"));
            }
            rest = bytes.get(end - before..).unwrap_or_default();
            self.stage = Stage::Entering(now.elapsed + ANSWER_WAIT, Texts::of(Sender::Server, TEXT_BYTES_LIMIT));
            let (name, secret) = (self.settings.user.clone(), self.settings.password().to_owned());
            self.say(&Request::Login { name, secret });
        }
        let (Stage::Entering(_, texts) | Stage::In(texts)) = &mut self.stage else { return Ok(()) };
        let mut gathered = Gathered::default();
        let read = texts.read(rest, &mut gathered);
        if let Some(ping) = gathered.ping {
            let mask = self.mask();
            self.outputs.push_back(Output::Send(Bytes::from(masked_pong(&ping, mask))));
        }
        for text in gathered.texts {
            self.text(now, &text)?;
        }
        read.map_err(|violation| Fault::new(FaultKind::Malformed, violation.reason))
    }

    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        let silent = |what: &'static str| Err(Fault::new(FaultKind::TooSlow, what));
        let is_late = |since: Option<Duration>| since.is_some_and(|at| now.elapsed >= at + ANSWER_WAIT);
        match &self.stage {
            Stage::Away(until) if now.elapsed >= *until => {
                self.stage = Stage::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            Stage::Shaking(until, _) | Stage::Entering(until, _) if now.elapsed >= *until => {
                return silent("no answer to a login");
            }
            Stage::In(_) if is_late(self.asked_at) => return silent("no answer to a heartbeat"),
            Stage::In(_) if is_late(self.sent_at) => return silent("no answer to a message"),
            Stage::In(_) if now.elapsed >= self.beat_at => {
                self.asked_at.get_or_insert(now.elapsed);
                self.beat_at = now.elapsed + BEAT_EVERY;
                self.say(&Request::Ping);
            }
            Stage::Away(_)
            | Stage::Connecting
            | Stage::Shaking(..)
            | Stage::Entering(..)
            | Stage::In(_)
            | Stage::Ended => {}
        }
        Ok(())
    }

    fn next_wake(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Away(until) | Stage::Shaking(until, _) | Stage::Entering(until, _) => Some(*until),
            Stage::In(_) => {
                let answers = [self.asked_at, self.sent_at].into_iter().flatten().map(|at| at + ANSWER_WAIT);
                answers.chain([self.beat_at]).min()
            }
            Stage::Connecting | Stage::Ended => None,
        }
    }

    fn offer(&mut self, now: Now, ticket: Ticket, report: &Report) {
        self.ids += 1;
        let id = MessageId::make(&self.entropy, self.ids);
        self.waiting.push_back((ticket, id, text_of(report)));
        self.send_next(now);
    }

    fn end(&mut self) {
        self.stage = Stage::Ended;
    }

    fn outputs(&mut self) -> &mut VecDeque<Output> {
        &mut self.outputs
    }
}

impl Session for Device {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        self.take_in(now, input)
    }

    fn poll(&mut self) -> Output {
        self.next_output()
    }
}
