//! Frames of RFC 6455, as a server reads and writes them.
//!
//! What clients send is handed on as it comes, and never gathered: a frame that lies about its length costs nothing.

/// Longest payload of a control frame, RFC 6455 §5.5.
const CONTROL_BYTES_MAX: usize = 125;
/// Longest header of a frame of a client: two bytes, the length in eight, the mask in four.
const HEADER_BYTES_MAX: usize = 14;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Why a conversation is closed, RFC 6455 §7.4.1.
pub(super) mod code {
    pub(in super::super) const NORMAL: u16 = 1000;
    pub(in super::super) const GOING_AWAY: u16 = 1001;
    pub(in super::super) const PROTOCOL_ERROR: u16 = 1002;
    pub(in super::super) const UNSUPPORTED_DATA: u16 = 1003;
    pub(in super::super) const POLICY_VIOLATION: u16 = 1008;
}

/// A client broke the rules: the code it is told, and what it did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

const fn wrong(reason: &'static str) -> Violation {
    Violation { code: code::PROTOCOL_ERROR, reason }
}

/// What bytes of a client hold, beside the control frames that want no answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The stream within the frames.
    pub(super) payload: Vec<u8>,
    /// What the last ping carried; the others need no answer, RFC 6455 §5.5.3.
    pub(super) ping: Option<Vec<u8>>,
    /// The client closes, with this code.
    pub(super) closed: Option<u16>,
}

/// Reads what a client sends, wherever it is cut.
#[derive(Debug, Default)]
pub(super) struct Reader {
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
    /// Takes in bytes; nothing is read after the client's close frame.
    ///
    /// # Errors
    /// The first rule that is broken; `taken` holds what came before it.
    pub(super) fn read(&mut self, bytes: &[u8], taken: &mut Taken) -> Result<(), Violation> {
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
        self.header_bytes >= 2 && self.header_bytes == 2 + self.length_bytes() + 4
    }

    fn push(&mut self, byte: u8) -> Result<(), Violation> {
        if let Some(place) = self.header.get_mut(self.header_bytes) {
            *place = byte;
        }
        self.header_bytes += 1;
        match self.header_bytes {
            1 => self.check_first(byte),
            2 if byte & MASKED == 0 => Err(wrong("a frame of a client without a mask")),
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
            TEXT => Err(Violation { code: code::UNSUPPORTED_DATA, reason: "a text frame; only binary ones are taken" }),
            CLOSE | PING | PONG if byte & FINAL == 0 => Err(wrong("a control frame in fragments")),
            CONTINUATION | BINARY | CLOSE | PING | PONG => Ok(()),
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
        let mask = self.header.get(mask_at..mask_at + 4).unwrap_or_default();
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
            PONG => {}
            CLOSE => taken.closed = Some(closing_code(&control)?),
            _ => self.is_within_message = self.header[0] & FINAL == 0,
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

/// A whole binary message.
pub(super) fn binary(payload: &[u8]) -> Vec<u8> {
    frame(BINARY, payload)
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PONG, payload)
}

/// The end of our side.
pub(super) fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, &code.to_be_bytes())
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(10 + payload.len());
    frame.push(FINAL | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
