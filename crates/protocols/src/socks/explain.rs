//! Every byte of a capture with its meaning: the messages of one side, and what is relayed behind them.

use super::frame::{self, VERSION_4, VERSION_5, VERSION_LOGIN};
use super::message::{self, Command, METHOD_NO, METHOD_NONE, METHOD_PASSWORD};
use crate::{Explain, Explanation, Fault, Field, Judgement};

/// Explains bytes of one direction.
#[must_use]
pub fn explain(what: &Explain<'_>) -> Explanation {
    let mut told = Told { bytes: what.bytes, at: 0, explanation: Explanation::default() };
    match what.bytes {
        [] => {}
        [VERSION_5, method @ (METHOD_NONE | METHOD_PASSWORD | METHOD_NO), rest @ ..] if is_answers(*method, rest) => {
            told.answers(*method);
        }
        [VERSION_5, ..] => told.client_5(),
        [VERSION_4, ..] => told.client_4(),
        [0, code, ..] if (0x5a..=0x5d).contains(code) => {
            let granted = if *code == message::GRANTED { "granted" } else { "rejected" };
            told.message(Some(8), "reply", || Ok(format!("version 4, {granted}")));
        }
        [..] => told.field(what.bytes.len(), "bytes", "neither SOCKS 4 nor 5".to_owned(), Judgement::Wrong),
    }
    told.relayed();
    told.explanation
}

/// Whether bytes that begin like a greeting without a method, or with two, are the relay's: nothing, or a login's answer or a
/// reply follows the method.
fn is_answers(method: u8, rest: &[u8]) -> bool {
    match (method, rest) {
        (_, []) | (METHOD_NONE, [VERSION_5, _, 0, ..]) => true,
        (METHOD_PASSWORD, [VERSION_LOGIN, answer, ..]) => {
            *answer != METHOD_PASSWORD && rest.get(2) != Some(&VERSION_LOGIN)
        }
        _ => false,
    }
}

struct Told<'a> {
    bytes: &'a [u8],
    at: usize,
    explanation: Explanation,
}

impl<'a> Told<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn field(&mut self, end: usize, name: &str, meaning: String, judgement: Judgement) {
        if end > self.at {
            let range = self.at..end;
            self.explanation.fields.push(Field { range, name: name.to_owned(), meaning, judgement });
            self.at = end;
        }
    }

    /// A message of this length, if it is whole; whether it is, and is right.
    fn message(&mut self, length: Option<usize>, name: &str, read: impl FnOnce() -> Result<String, Fault>) -> bool {
        let Some(length) = length.filter(|length| *length <= self.rest().len()) else {
            let meaning = format!("{} bytes of a {name} that has not ended", self.rest().len());
            self.field(self.bytes.len(), "begun", meaning, Judgement::Odd);
            return false;
        };
        let end = self.at + length;
        match read() {
            Ok(meaning) => self.field(end, name, meaning, Judgement::Right),
            Err(fault) => {
                self.field(end, name, fault.to_string(), Judgement::Wrong);
                return false;
            }
        }
        true
    }

    fn client_5(&mut self) {
        let bytes = self.rest();
        if !self.message(frame::greeting(bytes), "greeting", || {
            let methods: Vec<String> = message::methods(bytes)?.iter().map(|method| method_word(*method)).collect();
            Ok(format!("version 5, methods: {}", methods.join(", ")))
        }) {
            return;
        }
        let bytes = self.rest();
        if bytes.first() == Some(&VERSION_LOGIN)
            && !self.message(frame::login(bytes), "login", || {
                let login = message::read_login(bytes)?;
                let user = login.user.escape_ascii();
                Ok(format!("user {user}, password of {} bytes", login.password.len()))
            })
        {
            return;
        }
        let bytes = self.rest();
        if bytes.is_empty() {
            return;
        }
        match frame::request_5(bytes) {
            Ok(length) => {
                self.message(length, "request", || {
                    let request = message::read_request_5(bytes)?;
                    Ok(format!("{} {}", command_word(request.command), request.to))
                });
            }
            Err(fault) => self.field(self.bytes.len(), "request", fault.to_string(), Judgement::Wrong),
        }
    }

    fn client_4(&mut self) {
        let bytes = self.rest();
        match frame::request_4(bytes) {
            Ok(length) => {
                self.message(length, "request", || {
                    let request = message::read_request_4(bytes)?;
                    let version = if frame::is_4a(bytes) { "4a" } else { "4" };
                    let (command, user) = (command_word(request.command), request.user.escape_ascii());
                    Ok(format!("version {version}, {command} {}, user \"{user}\"", request.to))
                });
            }
            Err(fault) => self.field(self.bytes.len(), "request", fault.to_string(), Judgement::Wrong),
        }
    }

    fn answers(&mut self, method: u8) {
        self.message(Some(2), "method", || Ok(method_word(method)));
        let bytes = self.rest();
        if let [VERSION_LOGIN, answer, ..] = bytes {
            let word = if *answer == 0 { "in" } else { "not in" };
            self.message(Some(2), "login", || Ok(word.to_owned()));
        }
        // A reply, and a second one to who asked for a connection from elsewhere.
        let bytes = self.rest();
        if bytes.is_empty() {
            return;
        }
        match frame::request_5(bytes) {
            Ok(length) => {
                self.message(length, "reply", || {
                    let (reply, address) = message::read_reply_5(bytes)?;
                    Ok(format!("{}, {address}", reply.word()))
                });
            }
            Err(fault) => self.field(self.bytes.len(), "reply", fault.to_string(), Judgement::Wrong),
        }
    }

    fn relayed(&mut self) {
        let meaning = format!("{} bytes of what is relayed", self.rest().len());
        self.field(self.bytes.len(), "relayed", meaning, Judgement::Right);
    }
}

fn method_word(method: u8) -> String {
    match method {
        METHOD_NONE => "none".to_owned(),
        1 => "GSSAPI".to_owned(),
        METHOD_PASSWORD => "user and password".to_owned(),
        METHOD_NO => "none of them will do".to_owned(),
        other => format!("method {other}"),
    }
}

fn command_word(command: u8) -> String {
    Command::of(command).map_or_else(|| format!("command {command}"), |command| command.word().to_owned())
}
