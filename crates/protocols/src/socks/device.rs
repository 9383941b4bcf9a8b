//! The client's side: it connects, logs in, and asks for a connection to somebody. What goes over it then is not its
//! business.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use loggerhead_model::{Event, EventKind, Severity};
use serde::Deserialize;

use super::frame;
use super::message::{self, Command, GRANTED, METHOD_NONE, METHOD_PASSWORD, Reply};
use crate::reconnect::Attempts;
use crate::relay::{Destination, Host};
use crate::{CloseReason, Fault, FaultKind, Input, Now, Opening, Output, Session, SettingsError, none_of};

/// How long the relay may take to answer; it may have to wait for somebody itself.
const ANSWER_WAIT: Duration = Duration::from_mins(1);
/// The first pause before it connects again.
const PAUSE: Duration = Duration::from_secs(5);

/// Which version is spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Four,
    Five,
}

enum Stage {
    /// It waits until then before it connects again.
    Away(Duration),
    /// It has asked for a connection.
    Connecting,
    /// It waits for the method.
    Greeted,
    /// It waits for the answer to its login.
    Entered,
    /// It waits for the reply.
    Asked,
    /// It is joined.
    Joined,
    /// It was told to end.
    Ended,
}

/// The client's side of its conversations, over all its connections.
struct Device {
    version: Version,
    to: Destination,
    user: String,
    password: String,
    stage: Stage,
    outputs: VecDeque<Output>,
    held: BytesMut,
    attempts: Attempts,
    answer_by: Duration,
}

#[derive(Deserialize)]
#[serde(default)]
struct Written {
    identity: String,
    secret: String,
    version: String,
    host: String,
    port: u16,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            identity: "330302D110/01".to_owned(),
            secret: String::new(),
            version: "5".to_owned(),
            host: "example.org".to_owned(),
            port: 80,
        }
    }
}

/// Makes a client.
///
/// # Errors
/// `SettingsError` with the key that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "the contract gives every device its opening")]
pub(super) fn device(table: &toml::Table, opening: Opening) -> Result<Box<dyn Session>, SettingsError> {
    let _ = opening;
    let written: Written = crate::settings::read(table)?;
    let version = match written.version.as_str() {
        "4" => Version::Four,
        "5" => Version::Five,
        other => {
            let reason = none_of(other, ["4", "5"].into_iter());
            return Err(SettingsError { key: "version".to_owned(), reason });
        }
    };
    let host = written.host.parse().map_or_else(|_| Host::Name(written.host.as_str().into()), Host::Address);
    Ok(Box::new(Device {
        version,
        to: Destination { host, port: written.port },
        user: written.identity,
        password: written.secret.strip_prefix("text:").unwrap_or(&written.secret).to_owned(),
        stage: Stage::Connecting,
        outputs: VecDeque::from([Output::Connect]),
        held: BytesMut::new(),
        attempts: Attempts::default(),
        answer_by: Duration::MAX,
    }))
}

impl Device {
    fn send(&mut self, now: Now, bytes: impl Into<Bytes>) {
        self.answer_by = now.elapsed + ANSWER_WAIT;
        self.outputs.push_back(Output::Send(bytes.into()));
    }

    fn connected(&mut self, now: Now) -> Result<(), Fault> {
        self.held.clear();
        match self.version {
            Version::Five => {
                let methods =
                    if self.password.is_empty() { &[METHOD_NONE][..] } else { &[METHOD_NONE, METHOD_PASSWORD] };
                self.send(now, message::greeting(methods));
                self.stage = Stage::Greeted;
            }
            Version::Four => {
                let request = message::request_4(Command::Connect, &self.to, self.user.as_bytes());
                let request = request.ok_or_else(|| Fault::new(FaultKind::Malformed, "version 4 knows no IPv6"))?;
                self.send(now, request);
                self.stage = Stage::Asked;
            }
        }
        Ok(())
    }

    fn disconnected(&mut self, now: Now) {
        if !matches!(self.stage, Stage::Ended | Stage::Away(_)) {
            self.stage = Stage::Away(now.elapsed + self.attempts.pause(PAUSE));
        }
    }

    fn ask(&mut self, now: Now) {
        self.send(now, message::request_5(Command::Connect, &self.to));
        self.stage = Stage::Asked;
    }

    fn work(&mut self, now: Now) -> Result<(), Fault> {
        let held = self.held.clone().freeze();
        match self.stage {
            Stage::Greeted => {
                let Some(&[_, method]) = held.first_chunk::<2>() else { return Ok(()) };
                self.taken(2);
                match method {
                    METHOD_NONE => self.ask(now),
                    METHOD_PASSWORD => {
                        let login = message::write_login(self.user.as_bytes(), self.password.as_bytes());
                        self.send(now, login);
                        self.stage = Stage::Entered;
                    }
                    other => return Err(Fault::new(FaultKind::NotProven, format!("the relay wants method {other}"))),
                }
            }
            Stage::Entered => {
                let Some(&[_, answer]) = held.first_chunk::<2>() else { return Ok(()) };
                self.taken(2);
                if answer != 0 {
                    return Err(Fault::new(FaultKind::NotProven, format!("the relay answers a login with {answer}")));
                }
                self.ask(now);
            }
            Stage::Asked => self.reply(now, &held)?,
            Stage::Away(_) | Stage::Connecting | Stage::Joined | Stage::Ended => self.held.clear(),
        }
        Ok(())
    }

    fn taken(&mut self, count: usize) {
        let _ = self.held.split_to(count.min(self.held.len()));
    }

    fn reply(&mut self, now: Now, held: &[u8]) -> Result<(), Fault> {
        let refused = |what: String| Fault::new(FaultKind::NotProven, format!("the relay says: {what}"));
        match self.version {
            Version::Five => {
                let Some(length) = frame::request_5(held)? else { return Ok(()) };
                let (reply, _) = message::read_reply_5(held)?;
                self.taken(length);
                if reply != Reply::Done {
                    return Err(refused(reply.word().to_owned()));
                }
            }
            Version::Four => {
                let Some(length) = frame::reply_4(held) else { return Ok(()) };
                let code = held.get(1).copied().unwrap_or_default();
                self.taken(length);
                if code != GRANTED {
                    return Err(refused(format!("code {code}")));
                }
            }
        }
        self.stage = Stage::Joined;
        self.attempts.succeeded();
        self.outputs.push_back(Output::Event(Event {
            at: now.wall,
            severity: Severity::Info,
            kind: EventKind::Relay,
            device: None,
            peer: None,
            text: format!("joined with {}", self.to).into(),
        }));
        Ok(())
    }

    fn wake(&mut self, now: Now) -> Result<(), Fault> {
        match self.stage {
            Stage::Away(until) if now.elapsed >= until => {
                self.stage = Stage::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            Stage::Greeted | Stage::Entered | Stage::Asked if now.elapsed >= self.answer_by => {
                return Err(Fault::new(FaultKind::TooSlow, "no answer of the relay"));
            }
            Stage::Away(_)
            | Stage::Connecting
            | Stage::Greeted
            | Stage::Entered
            | Stage::Asked
            | Stage::Joined
            | Stage::Ended => {}
        }
        Ok(())
    }
}

impl Session for Device {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        let taken = match input {
            Input::Connected => self.connected(now),
            Input::Disconnected => {
                self.disconnected(now);
                Ok(())
            }
            Input::Bytes(bytes) => {
                self.held.extend_from_slice(bytes);
                self.work(now)
            }
            Input::Wake => self.wake(now),
            Input::Eof => {
                self.outputs.push_back(Output::Close(CloseReason::PeerDone));
                Ok(())
            }
            Input::Shutdown(reason) => {
                self.stage = Stage::Ended;
                self.outputs.push_back(Output::Close(reason));
                Ok(())
            }
            Input::Answer(_) | Input::Stored(_) | Input::NotStored(_) | Input::Offer(..) | Input::Command(_) => Ok(()),
        };
        if let Err(fault) = &taken {
            self.outputs.push_back(Output::Close(CloseReason::Fault(fault.reason.clone())));
        }
        taken
    }

    fn poll(&mut self) -> Output {
        let wake_at = match self.stage {
            Stage::Away(until) => Some(until),
            Stage::Greeted | Stage::Entered | Stage::Asked => Some(self.answer_by),
            Stage::Connecting | Stage::Joined | Stage::Ended => None,
        };
        self.outputs.pop_front().unwrap_or(Output::Idle { wake_at })
    }
}
