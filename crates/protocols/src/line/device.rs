//! The user's side: logs in, sends what it is given to itself, and counts it delivered when it comes back.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{Event, EventKind, Report, Severity, Ticket};

use super::frame::{Cut, Lines, Terminator};
use super::message::{MessageId, Reply, ReplyEnd, Style};
use super::settings::DeviceSide;
use super::text::Controls;
use crate::reconnect::Attempts;
use crate::simulated::Simulated;
use crate::{Fault, FaultKind, Input, Now, Opening, Output, Session, SettingsError};

/// How long the head-end may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Longest line of a head-end: that of a user, and what is put around it.
const LINE_BYTES_LIMIT: usize = 128 * 1024;
/// Messages that are known to have come before: as many as may be repeated at a login.
const SEEN_MAX: usize = 1_024;

enum Stage {
    /// It waits until then before it connects again.
    Away(Duration),
    /// It has asked for a connection.
    Connecting,
    /// It waits until then for the answer to its `Check`, and for the heartbeat behind it: all that waited has come then.
    Entering(Duration),
    In,
    /// It was told to end.
    Ended,
}

/// The user's side of its conversations, over all its connections.
struct Device {
    settings: DeviceSide,
    style: Style,
    stage: Stage,
    outputs: VecDeque<Output>,
    lines: Lines,
    /// What is offered and has not come back; the first one is on its way.
    waiting: VecDeque<(Ticket, String)>,
    /// Since when the first one is on its way on this connection.
    sent_at: Option<Duration>,
    seen: BTreeSet<MessageId>,
    attempts: Attempts,
    beat_at: Duration,
    /// Since when a heartbeat has not been answered.
    asked_at: Option<Duration>,
}

/// Makes a user.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "the contract gives every device its opening")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    let _ = opening;
    let settings = DeviceSide::of(table)?;
    let style = Style {
        encoding: settings.encoding,
        punctuation: settings.punctuation,
        controls: Controls::default(),
        end: ReplyEnd::CrLf,
    };
    Ok(Box::new(Device {
        settings,
        style,
        stage: Stage::Connecting,
        outputs: VecDeque::from([Output::Connect]),
        lines: Lines::default(),
        waiting: VecDeque::new(),
        sent_at: None,
        seen: BTreeSet::new(),
        attempts: Attempts::default(),
        beat_at: Duration::ZERO,
        asked_at: None,
    }))
}

impl Device {
    fn say(&mut self, line: &str) {
        let mut out = Vec::with_capacity(line.len() + 2);
        self.style.encoding.encode(line, &mut out);
        out.extend_from_slice(b"\r\n");
        self.outputs.push_back(Output::Send(Bytes::from(out)));
    }

    /// The bytes of a reply, without the end of its line.
    fn reply(&self, reply: Reply<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.style.write(reply, &mut out);
        out.truncate(out.len() - 2);
        out
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

    fn beat(&mut self, now: Now) {
        self.asked_at.get_or_insert(now.elapsed);
        self.beat_at = now.elapsed + Duration::from_secs(self.settings.heartbeat_s.into());
        self.say("HB R");
    }

    /// Sends the first of what waits, unless it is on its way.
    fn send_next(&mut self, now: Now) {
        if self.sent_at.is_some() || !matches!(self.stage, Stage::In) {
            return;
        }
        let Some((_, text)) = self.waiting.front() else { return };
        let chat = format!("Chat {} {text}", self.settings.user);
        self.sent_at = Some(now.elapsed);
        self.say(&chat);
    }

    fn line(&mut self, now: Now, line: &[u8]) -> Result<(), Fault> {
        let is = |reply| line == self.reply(reply);
        let broken = |what: &'static str| Err(Fault::new(FaultKind::OutOfOrder, what));
        if is(Reply::LoggedIn) && matches!(self.stage, Stage::Entering(_)) {
            self.beat(now);
            return Ok(());
        }
        if is(Reply::Wrong) || is(Reply::Kicked) || is(Reply::LogInFirst) {
            return broken("the head-end refuses, or has another one of this name");
        }
        if is(Reply::Beat) {
            self.asked_at = None;
            if matches!(self.stage, Stage::Entering(_)) {
                self.stage = Stage::In;
                self.logged_in(now);
            }
            self.send_next(now);
            return Ok(());
        }
        if line.starts_with(b"\n\r") || is(Reply::ReceiverFull) || is(Reply::SenderFull) {
            return broken("the head-end did not keep a message");
        }
        let text = self.style.encoding.decode(line).into_owned();
        if let Some((text, id)) = self.message(&text) {
            self.came(now, &text, id);
        }
        // Everything else, such as a welcome, asks for nothing.
        Ok(())
    }

    /// The text and the name of a message from oneself, if the line is one.
    fn message(&self, line: &str) -> Option<(String, MessageId)> {
        let (rest, id) = line.rsplit_once(' ')?;
        let id = MessageId::parse(id)?;
        let said = rest.strip_prefix(&*self.settings.user)?.strip_prefix(' ')?;
        let said = said.strip_prefix("给你发消息").or_else(|| said.strip_prefix("给你发送消息"))?;
        let text = said.strip_prefix(':').or_else(|| said.strip_prefix('：'))?;
        Some((text.to_owned(), id))
    }

    /// A message has come: it is confirmed, and counted once.
    fn came(&mut self, now: Now, text: &str, id: MessageId) {
        let confirm = format!("Confirm {id}");
        self.say(&confirm);
        if !self.seen.insert(id) {
            return;
        }
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_first();
        }
        if let Some((ticket, _)) = self.waiting.pop_front_if(|(_, waits)| waits == text) {
            self.attempts.succeeded();
            self.sent_at = None;
            self.outputs.push_back(Output::Delivered(ticket));
            self.send_next(now);
        }
    }
}

/// The words of a report: what its readings say.
fn text_of(report: &Report) -> String {
    let values: Vec<_> = report.readings().map(|reading| reading.value.to_string()).collect();
    values.join(",").replace(|character: char| character == ' ' || character.is_control(), "_")
}

impl Simulated for Device {
    fn connected(&mut self, now: Now) {
        self.lines = Lines::default();
        self.sent_at = None;
        self.asked_at = None;
        self.stage = Stage::Entering(now.elapsed + ANSWER_WAIT);
        let password = self.settings.secret.strip_prefix("text:").unwrap_or_default();
        let check = format!("Check {} {password}", self.settings.user);
        self.say(&check);
    }

    fn disconnected(&mut self, now: Now) {
        if matches!(self.stage, Stage::Ended | Stage::Away(_)) {
            return;
        }
        self.stage = Stage::Away(now.elapsed + self.attempts.pause(Duration::from_millis(self.settings.reconnect_ms)));
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        self.lines.push(bytes);
        loop {
            match self.lines.cut(Terminator::CrLf, LINE_BYTES_LIMIT) {
                Some(Cut::Line(line)) => self.line(now, &line)?,
                Some(Cut::TooLong(fault)) => return Err(fault),
                None => return Ok(()),
            }
        }
    }

    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        let silent = |what: &'static str| Err(Fault::new(FaultKind::TooSlow, what));
        let is_late = |since: Option<Duration>| since.is_some_and(|at| now.elapsed >= at + ANSWER_WAIT);
        match self.stage {
            Stage::Away(until) if now.elapsed >= until => {
                self.stage = Stage::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            Stage::Entering(until) if now.elapsed >= until => return silent("no answer to a Check"),
            Stage::In => {
                if is_late(self.asked_at) {
                    return silent("no answer to a heartbeat");
                }
                if is_late(self.sent_at) {
                    return silent("a message did not come back");
                }
                if now.elapsed >= self.beat_at {
                    self.beat(now);
                }
            }
            Stage::Away(_) | Stage::Connecting | Stage::Entering(_) | Stage::Ended => {}
        }
        Ok(())
    }

    fn next_wake(&self) -> Option<Duration> {
        match self.stage {
            Stage::Away(until) | Stage::Entering(until) => Some(until),
            Stage::In => {
                let answers = [self.asked_at, self.sent_at].into_iter().flatten().map(|at| at + ANSWER_WAIT);
                answers.chain([self.beat_at]).min()
            }
            Stage::Connecting | Stage::Ended => None,
        }
    }

    fn offer(&mut self, now: Now, ticket: Ticket, report: &Report) {
        self.waiting.push_back((ticket, text_of(report)));
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
