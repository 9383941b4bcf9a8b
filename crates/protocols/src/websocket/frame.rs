//! Frames of RFC 6455, as both sides read and write them.
//!
//! What comes is handed on as it comes, and never gathered: a frame that lies about its length costs nothing. Nothing is ever
//! compressed: no extension is agreed on, so a frame that says it is breaks the rules.

/// Longest payload of a control frame, RFC 6455 §5.5.
const CONTROL_BYTES_MAX: usize = 125;
/// Longest header of a frame of a client: two bytes, the length in eight, the mask in four.
const HEADER_BYTES_MAX: usize = 14;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// In the place of a length: it follows in two bytes, or in eight, RFC 6455 §5.2.
const LENGTH_IN_2: u8 = 0x7e;
const LENGTH_IN_8: u8 = 0x7f;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Why a conversation is closed, RFC 6455 §7.4.1.
pub mod code {
    /// The conversation is over.
    pub const NORMAL: u16 = 1000;
    /// The server goes away.
    pub const GOING_AWAY: u16 = 1001;
    /// A rule of RFC 6455 is broken.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// A kind of message that is not taken.
    pub const UNSUPPORTED_DATA: u16 = 1003;
    /// A text that is not UTF-8.
    pub const NOT_UTF_8: u16 = 1007;
    /// A message that is too long.
    pub const TOO_BIG: u16 = 1009;
    /// A rule of the server is broken.
    pub const POLICY_VIOLATION: u16 = 1008;

    /// What a client is told of why its conversation ends.
    #[must_use]
    pub fn of(reason: &crate::CloseReason) -> u16 {
        use crate::CloseReason as Reason;
        match reason {
            Reason::PeerDone => NORMAL,
            Reason::Stopping | Reason::Reconfigured => GOING_AWAY,
            Reason::Silent(_) | Reason::Refused | Reason::TakenOver | Reason::Fault(_) => POLICY_VIOLATION,
        }
    }
}

/// What kind of messages is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A stream of bytes, cut into binary messages anywhere.
    #[default]
    Binary,
    /// Texts. Whether they are UTF-8 is for the reader of `Taken` to say.
    Text,
}

/// Whose frames are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sender {
    /// They are masked.
    #[default]
    Client,
    /// They are not.
    Server,
}

/// The other side broke the rules: the code it is told, and what it did.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// Why the conversation is closed.
    pub code: u16,
    /// In words.
    pub reason: &'static str,
}

const fn wrong(reason: &'static str) -> Violation {
    Violation { code: code::PROTOCOL_ERROR, reason }
}

/// What bytes hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The stream within the frames.
    pub payload: Vec<u8>,
    /// Where in `payload` a message ends.
    pub ends: Vec<usize>,
    /// What the last ping carried; the others need no answer, RFC 6455 §5.5.3.
    pub ping: Option<Vec<u8>>,
    /// What the last pong carried.
    pub pong: Option<Vec<u8>>,
    /// The other side closes, with this code.
    pub closed: Option<u16>,
}

/// Reads what one side sends, wherever it is cut.
#[derive(Debug, Default)]
pub struct Reader {
    kind: Kind,
    sender: Sender,
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: usize,
    /// What is left of the frame whose header is complete.
    left: u64,
    /// Bytes of its payload that came.
    came: usize,
    /// The payload of a control frame, as far as it came.
    control: Vec<u8>,
    /// A message is not at its end.
    is_within_message: bool,
}

impl Reader {
    /// For frames of this side, with messages of this kind.
    #[must_use]
    pub fn of(sender: Sender, kind: Kind) -> Self {
        Self { kind, sender, ..Self::default() }
    }

    /// Takes in bytes; nothing is read after the client's close frame.
    ///
    /// # Errors
    /// The first rule that is broken; `taken` holds what came before it.
    pub fn read(&mut self, bytes: &[u8], taken: &mut Taken) -> Result<(), Violation> {
        let mut rest = bytes;
        while taken.closed.is_none() {
            if !self.has_header() {
                let Some((&byte, after)) = rest.split_first() else { return Ok(()) };
                rest = after;
                self.push(byte)?;
                if !self.has_header() {
                    continue;
                }
                self.left = self.length()?;
            }
            let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            let (now, after) = rest.split_at(count);
            rest = after;
            self.unmask(now, taken);
            self.left -= count as u64;
            if self.left > 0 {
                return Ok(());
            }
            self.end(taken)?;
        }
        Ok(())
    }

    /// How much of a message is still to come, by what the head of its frame claims; nothing between two frames.
    #[must_use]
    pub fn claimed(&self) -> u64 {
        if self.has_header() && !self.is_control() { self.left } else { 0 }
    }

    fn opcode(&self) -> u8 {
        self.header[0] & 0x0f
    }

    fn is_control(&self) -> bool {
        self.opcode() & 0x08 != 0
    }

    /// How many bytes say the length, after the second one.
    fn length_bytes(&self) -> usize {
        match self.header[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn has_header(&self) -> bool {
        self.header_bytes >= 2 && self.header_bytes == 2 + self.length_bytes() + self.mask_bytes()
    }

    fn mask_bytes(&self) -> usize {
        match self.sender {
            Sender::Client => 4,
            Sender::Server => 0,
        }
    }

    fn push(&mut self, byte: u8) -> Result<(), Violation> {
        if let Some(place) = self.header.get_mut(self.header_bytes) {
            *place = byte;
        }
        self.header_bytes += 1;
        match self.header_bytes {
            1 => self.check_first(byte),
            2 if byte & MASKED == 0 && self.sender == Sender::Client => {
                Err(wrong("a frame of a client without a mask"))
            }
            2 if byte & MASKED != 0 && self.sender == Sender::Server => Err(wrong("a frame of a server with a mask")),
            2 if self.is_control() && usize::from(byte & !MASKED) > CONTROL_BYTES_MAX => {
                Err(wrong("a control frame of more than 125 bytes"))
            }
            _ => Ok(()),
        }
    }

    fn check_first(&self, byte: u8) -> Result<(), Violation> {
        if byte & RESERVED != 0 {
            return Err(wrong("a reserved bit is set"));
        }
        match self.opcode() {
            CONTINUATION if !self.is_within_message => Err(wrong("a continuation of nothing")),
            TEXT | BINARY if self.is_within_message => Err(wrong("a message within a message")),
            TEXT if self.kind == Kind::Binary => {
                Err(Violation { code: code::UNSUPPORTED_DATA, reason: "a text frame; only binary ones are taken" })
            }
            BINARY if self.kind == Kind::Text => {
                Err(Violation { code: code::UNSUPPORTED_DATA, reason: "a binary frame; only text ones are taken" })
            }
            CLOSE | PING | PONG if byte & FINAL == 0 => Err(wrong("a control frame in fragments")),
            CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => Ok(()),
            _ => Err(wrong("a reserved opcode")),
        }
    }

    /// The length of the payload, which has to be written as short as can be.
    fn length(&self) -> Result<u64, Violation> {
        let extended = self.header.get(2..2 + self.length_bytes()).unwrap_or_default();
        let value = extended.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        match extended.len() {
            0 => Ok(u64::from(self.header[1] & !MASKED)),
            2 if value < 126 => Err(wrong("a length in more bytes than it needs")),
            8 if u16::try_from(value).is_ok() => Err(wrong("a length in more bytes than it needs")),
            8 if i64::try_from(value).is_err() => Err(wrong("a length of more than 63 bits")),
            _ => Ok(value),
        }
    }

    fn unmask(&mut self, bytes: &[u8], taken: &mut Taken) {
        let mask_at = 2 + self.length_bytes();
        let mask = match self.sender {
            Sender::Client => self.header.get(mask_at..mask_at + 4).unwrap_or_default(),
            Sender::Server => &[0],
        };
        let plain = bytes.iter().zip(mask.iter().cycle().skip(self.came % 4)).map(|(byte, mask)| byte ^ mask);
        if self.is_control() {
            self.control.extend(plain);
        } else {
            taken.payload.extend(plain);
        }
        self.came += bytes.len();
    }

    /// The frame is complete.
    fn end(&mut self, taken: &mut Taken) -> Result<(), Violation> {
        let control = std::mem::take(&mut self.control);
        match self.opcode() {
            PING => taken.ping = Some(control),
            PONG => taken.pong = Some(control),
            CLOSE => taken.closed = Some(closing_code(&control)?),
            _ => {
                self.is_within_message = self.header[0] & FINAL == 0;
                if !self.is_within_message {
                    taken.ends.push(taken.payload.len());
                }
            }
        }
        (self.header_bytes, self.came) = (0, 0);
        Ok(())
    }
}

/// The code in a close frame of a client.
fn closing_code(payload: &[u8]) -> Result<u16, Violation> {
    let Some((&high, rest)) = payload.split_first() else { return Ok(code::NORMAL) };
    let Some((&low, reason)) = rest.split_first() else { return Err(wrong("half a code of closing")) };
    let code = u16::from_be_bytes([high, low]);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(wrong("a code of closing that nobody may send"));
    }
    std::str::from_utf8(reason).map_err(|_| wrong("a reason of closing that is not UTF-8"))?;
    Ok(code)
}

/// A whole binary message of a server.
#[must_use]
pub fn binary(payload: &[u8]) -> Vec<u8> {
    frame(BINARY, payload, None)
}

/// A whole text of a server.
#[must_use]
pub fn text(text: &str) -> Vec<u8> {
    frame(TEXT, text.as_bytes(), None)
}

/// A whole text of a client.
#[must_use]
pub fn masked_text(text: &str, mask: [u8; 4]) -> Vec<u8> {
    frame(TEXT, text.as_bytes(), Some(mask))
}

/// A ping of a server; at most 125 bytes.
#[must_use]
pub fn ping(payload: &[u8]) -> Vec<u8> {
    frame(PING, payload, None)
}

/// A server's answer to a ping.
#[must_use]
pub fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PONG, payload, None)
}

/// A client's answer to a ping.
#[must_use]
pub fn masked_pong(payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    frame(PONG, payload, Some(mask))
}

/// The end of a server's side.
#[must_use]
pub fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, &code.to_be_bytes(), None)
}

fn frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES_MAX + payload.len());
    frame.push(FINAL | opcode);
    let masked = if mask.is_some() { MASKED } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => frame.push(masked | length),
        (_, Ok(length)) => {
            frame.push(masked | LENGTH_IN_2);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(masked | LENGTH_IN_8);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    match mask {
        Some(mask) => {
            frame.extend(mask);
            frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
        None => frame.extend_from_slice(payload),
    }
    frame
}
