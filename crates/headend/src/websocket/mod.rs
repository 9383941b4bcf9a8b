//! Any protocol over WebSocket (RFC 6455): a session around the protocol's own, which sees the bytes within the frames.
//!
//! As in MQTT 5.0 §6, the protocol's name is the subprotocol, the stream is cut into binary frames anywhere, and every
//! write becomes one frame.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use loggerhead_protocols::websocket::frame::{self, Reader, Taken, code};
use loggerhead_protocols::websocket::handshake::{self, EMPTY_LINE, REQUEST_BYTES_MAX, Refusal};
use loggerhead_protocols::{Acceptor, CloseReason, Fault, FaultKind, Input, Now, Opening, Output, Session};

/// Who is let in.
struct Rules {
    /// The protocol that has to be offered as the subprotocol.
    protocol: &'static str,
    /// Origins of pages that may connect, besides those of the host itself.
    origins: Vec<String>,
}

/// The answer to a whole request.
///
/// # Errors
/// Why it is refused.
fn answer(request: &[u8], rules: &Rules) -> Result<String, Refusal> {
    let request = handshake::read(request, &rules.origins)?;
    match request.offer(rules.protocol) {
        None => Err(Refusal::bad("offer the listener's protocol as the subprotocol")),
        offered => Ok(request.response(offered)),
    }
}

/// Makes sessions over WebSocket.
pub(crate) struct WebSocket {
    inner: Box<dyn Acceptor>,
    rules: Arc<Rules>,
}

impl WebSocket {
    /// Around the acceptor of this protocol. Pages of these origins may connect, and those of the host itself.
    pub(crate) fn around(inner: Box<dyn Acceptor>, protocol: &'static str, origins: Vec<String>) -> Self {
        Self { inner, rules: Arc::new(Rules { protocol, origins }) }
    }
}

impl Acceptor for WebSocket {
    fn open(&self, now: Now, opening: Opening) -> Box<dyn Session> {
        Box::new(Conversation {
            inner: self.inner.open(now, opening),
            stage: Stage::Shaking { request: Vec::new(), rules: Arc::clone(&self.rules) },
            outputs: VecDeque::new(),
            farewell: None,
            is_faulty: false,
        })
    }
}

/// How far a conversation is.
enum Stage {
    /// The request has not come to its end.
    Shaking {
        request: Vec<u8>,
        rules: Arc<Rules>,
    },
    Open(Reader),
    /// Nothing that comes is read any more: the client closed, or broke the rules.
    Deaf,
}

struct Conversation {
    inner: Box<dyn Session>,
    stage: Stage,
    /// What goes out before anything that the inner session says. At most a response, a pong and an end.
    outputs: VecDeque<Output>,
    /// The code of the close frame that is owed.
    farewell: Option<u16>,
    /// The rules were broken: nothing follows what is said now.
    is_faulty: bool,
}

impl Conversation {
    fn send(&mut self, bytes: impl Into<Bytes>) {
        self.outputs.push_back(Output::Send(bytes.into()));
    }

    fn bytes(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        let Stage::Shaking { request, rules } = &mut self.stage else { return self.frames(now, bytes) };
        let before = request.len();
        // The empty line may begin in what came before.
        let from = before.saturating_sub(EMPTY_LINE.len() - 1);
        let room = REQUEST_BYTES_MAX - before;
        request.extend(bytes.iter().take(room));
        let end = request.get(from..).and_then(|new| new.windows(EMPTY_LINE.len()).position(|four| four == EMPTY_LINE));
        let Some(end) = end.map(|end| from + end + EMPTY_LINE.len()) else {
            return if request.len() < REQUEST_BYTES_MAX { Ok(()) } else { self.refuse(&handshake::TOO_LONG) };
        };
        match answer(request.get(..end).unwrap_or_default(), rules) {
            Ok(response) => {
                self.stage = Stage::Open(Reader::default());
                self.send(response);
                self.frames(now, bytes.get(end - before..).unwrap_or_default())
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn refuse(&mut self, refusal: &Refusal) -> Result<(), Fault> {
        self.stage = Stage::Deaf;
        self.send(refusal.response());
        Err(Fault::new(FaultKind::Malformed, format!("no WebSocket: {}", refusal.reason)))
    }

    fn frames(&mut self, now: Now, bytes: &[u8]) -> Result<(), Fault> {
        let Stage::Open(reader) = &mut self.stage else { return Ok(()) };
        let mut taken = Taken::default();
        let read = reader.read(bytes, &mut taken);
        if let Some(ping) = taken.ping {
            self.send(frame::pong(&ping));
        }
        if !taken.payload.is_empty() {
            self.inner(now, Input::Bytes(&taken.payload))?;
        }
        if let Err(violation) = read {
            self.is_faulty = true;
            self.deafen(violation.code);
            return Err(Fault::new(FaultKind::Malformed, format!("WebSocket: {}", violation.reason)));
        }
        if let Some(code) = taken.closed {
            self.deafen(code);
            return self.inner(now, Input::Eof);
        }
        Ok(())
    }

    fn deafen(&mut self, code: u16) {
        self.stage = Stage::Deaf;
        self.farewell = Some(code);
    }

    /// Hands something to the protocol; its fault ends the WebSocket as well.
    fn inner(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        let taken = self.inner.handle(now, input);
        if taken.is_err() && matches!(self.stage, Stage::Open(_)) {
            self.is_faulty = true;
            self.deafen(code::POLICY_VIOLATION);
        }
        taken
    }

    /// The close frame that is owed, once.
    fn farewell(&mut self) -> Option<Output> {
        self.farewell.take().map(|code| Output::Send(frame::close(code).into()))
    }
}

impl Session for Conversation {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        if let Input::Bytes(bytes) = input {
            return self.bytes(now, bytes);
        }
        // The protocol heard of the end with the close frame.
        if matches!((&input, &self.stage), (Input::Eof, Stage::Deaf)) {
            return Ok(());
        }
        self.inner(now, input)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what is no business of a transport passes through")]
    fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        loop {
            match self.inner.poll() {
                // Nobody would understand it before the handshake.
                Output::Send(_) if matches!(self.stage, Stage::Shaking { .. }) => {}
                Output::Send(bytes) => return Output::Send(frame::binary(&bytes).into()),
                // Whoever is on the other side knows nothing of frames.
                Output::Join(_) => return Output::Close(CloseReason::Fault("no relay goes over WebSocket".into())),
                Output::Close(reason) => {
                    if matches!(self.stage, Stage::Open(_)) {
                        self.deafen(code::of(&reason));
                    }
                    let Some(farewell) = self.farewell() else { return Output::Close(reason) };
                    self.outputs.push_back(Output::Close(reason));
                    return farewell;
                }
                Output::Idle { wake_at } => {
                    // A client that closed is still sent what the protocol has to say; a fault ends it here.
                    let farewell = if self.is_faulty { self.farewell() } else { None };
                    return farewell.unwrap_or(Output::Idle { wake_at });
                }
                other => return other,
            }
        }
    }

    fn wants_bytes(&self) -> bool {
        self.inner.wants_bytes()
    }
}
