//! The small servers of the same lessons, for people who test clients of their own. They know no accounts and keep nothing.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::CommandState;

use super::settings::Settings;
use crate::{CloseReason, Fault, Input, Now, Opening, Output, Session};

/// What the greeting server says, with the NUL that its C string ends with. Source: \[1\] §2.7.
const GREETING: &[u8; 26] = b"Hello,you are connected!\n\0";
/// What the prompting server says first.
const WELCOME: &[u8; 13] = b"welcome !!!\n\0";
/// What it answers to everything.
const PROMPT: &[u8; 23] = b"Please enter the data:\0";
/// Bytes that it reads at once.
const PROMPT_READ_BYTES: usize = 6;
/// How often it answers.
const PROMPT_ROUNDS: u32 = 20;
/// What ends a conversation with the server of capitals.
const STOP: &[u8] = b"stop";

/// What a listener does with what it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Program {
    /// Commands and messages.
    #[default]
    Chat,
    /// One of the small servers.
    Small(Example),
}

/// A small server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Example {
    /// Reads once, greets and closes.
    Hello,
    /// Welcomes, then asks for data twenty times whatever it reads.
    Prompt,
    /// Sends back in capitals, until it reads `stop`.
    Upper,
    /// Sends back what it reads.
    Echo,
}

impl TryFrom<String> for Program {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        Ok(match word.as_str() {
            "chat" => Self::Chat,
            "hello" => Self::Small(Example::Hello),
            "prompt" => Self::Small(Example::Prompt),
            "upper" => Self::Small(Example::Upper),
            "echo" => Self::Small(Example::Echo),
            _ => return Err(format!("{word:?} is none of chat, hello, prompt, upper, echo")),
        })
    }
}

/// The head-end's side of a connection to a small server.
pub(super) struct Small {
    example: Example,
    idle: Option<Duration>,
    heard_at: Duration,
    /// From the connection to the first byte.
    patience: Option<Duration>,
    rounds: u32,
    outputs: VecDeque<Output>,
    is_over: bool,
}

impl Small {
    /// For a peer that has just connected.
    pub(super) fn new(example: Example, settings: &Settings, now: Now, opening: &Opening) -> Self {
        let mut session = Self {
            example,
            idle: settings.idle,
            heard_at: now.elapsed,
            patience: Some(opening.limits.first_frame),
            rounds: 0,
            outputs: VecDeque::new(),
            is_over: false,
        };
        if example == Example::Prompt {
            session.send(Bytes::from_static(WELCOME));
        }
        session
    }

    fn send(&mut self, bytes: Bytes) {
        self.outputs.push_back(Output::Send(bytes));
    }

    fn close(&mut self, reason: CloseReason) {
        if !self.is_over {
            self.is_over = true;
            self.outputs.push_back(Output::Close(reason));
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        match self.example {
            Example::Hello => {
                self.send(Bytes::from_static(GREETING));
                self.close(CloseReason::PeerDone);
            }
            Example::Prompt => {
                for _ in bytes.chunks(PROMPT_READ_BYTES) {
                    if self.is_over {
                        return;
                    }
                    self.send(Bytes::from_static(PROMPT));
                    self.rounds += 1;
                    if self.rounds == PROMPT_ROUNDS {
                        self.close(CloseReason::PeerDone);
                    }
                }
            }
            Example::Upper if bytes.trim_ascii_end() == STOP => self.close(CloseReason::PeerDone),
            Example::Upper => self.send(bytes.to_ascii_uppercase().into()),
            Example::Echo => self.send(Bytes::copy_from_slice(bytes)),
        }
    }

    fn deadline(&self) -> Option<(Duration, Duration)> {
        self.patience.or(self.idle).filter(|_| !self.is_over).map(|limit| (self.heard_at + limit, limit))
    }
}

impl Session for Small {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Bytes(bytes) if !self.is_over => {
                self.heard_at = now.elapsed;
                self.patience = None;
                self.bytes(bytes);
            }
            Input::Eof => self.close(CloseReason::PeerDone),
            Input::Wake => {
                if let Some((_, limit)) = self.deadline().filter(|(at, _)| *at <= now.elapsed) {
                    self.close(CloseReason::Silent(limit));
                }
            }
            Input::Shutdown(reason) => self.close(reason),
            Input::Command(command) => {
                let state = CommandState::Failed("this server takes no commands".to_owned());
                self.outputs.push_back(Output::Command(command.id, state));
            }
            Input::Bytes(_)
            | Input::Answer(_)
            | Input::Stored(_)
            | Input::NotStored(_)
            | Input::Connected
            | Input::Disconnected
            | Input::Offer(..) => {}
        }
        Ok(())
    }

    fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        self.outputs = VecDeque::new();
        Output::Idle { wake_at: self.deadline().map(|(at, _)| at) }
    }
}
