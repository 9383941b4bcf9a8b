//! Frames of WebSocket ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455) §5), as a server needs them.
//!
//! What a server sends is not masked, so the same bytes serve every subscriber.

use bytes::{Buf, BytesMut};

/// Longest payload that a subscriber may send: it has nothing to say but pings and pongs.
pub(super) const PAYLOAD_BYTES_MAX: usize = 4096;
/// Longest payload of a control frame, §5.5.
const CONTROL_BYTES_MAX: usize = 125;
/// Longest payload whose length stands in the second byte.
const SHORT_BYTES_MAX: usize = 125;
/// The last frame of a message; ours are all of one frame.
const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Why a connection is closed, §7.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseCode {
    /// The other side said goodbye first.
    Normal = 1000,
    /// The server stops.
    GoingAway = 1001,
    /// The other side broke the rules of the protocol.
    Protocol = 1002,
    /// The sign-in or token ended.
    Policy = 1008,
    /// The other side sent more than anybody takes.
    TooLarge = 1009,
}

/// A frame of a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// It wants this payload back.
    Ping(Vec<u8>),
    /// It is there.
    Pong,
    /// It goes.
    Close,
    /// It says something, which nobody asked for.
    Message,
}

/// Writes a message.
pub(super) fn text(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, TEXT, payload);
}

/// A ping.
pub(super) fn ping() -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, PING, &[]);
    out
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, PONG, payload);
    out
}

/// The end.
pub(super) fn close(code: CloseCode) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, CLOSE, &(code as u16).to_be_bytes());
    out
}

fn frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(FIN | opcode);
    match u16::try_from(payload.len()) {
        Ok(length) if payload.len() <= SHORT_BYTES_MAX => out.push(length.to_be_bytes()[1]),
        Ok(length) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            out.push(127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Cuts one frame off the front of what a client sent; none: wait for more bytes.
///
/// # Errors
/// Why the connection is closed: `Protocol` for a frame that is not masked, has reserved bits or an opcode that is none, or
/// is a control frame that is long or in pieces; `TooLarge` for one with more than `PAYLOAD_BYTES_MAX`.
pub(super) fn cut(received: &mut BytesMut) -> Result<Option<Incoming>, CloseCode> {
    let [first, second, rest @ ..] = received.as_ref() else { return Ok(None) };
    let (opcode, masked, short) = (first & 0x0f, second & 0x80 != 0, usize::from(second & 0x7f));
    let control = opcode >= CLOSE;
    if first & 0x70 != 0 || !masked || (control && (short > CONTROL_BYTES_MAX || first & FIN == 0)) {
        return Err(CloseCode::Protocol);
    }
    let (length, rest, head) = match short {
        126 => match rest {
            [high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest, 4),
            _ => return Ok(None),
        },
        // A length of eight bytes is over the limit whatever it says.
        127 => return Err(CloseCode::TooLarge),
        short => (short, rest, 2),
    };
    if length > PAYLOAD_BYTES_MAX {
        return Err(CloseCode::TooLarge);
    }
    let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let incoming = match opcode {
        CLOSE => Incoming::Close,
        PING => Incoming::Ping(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()),
        PONG => Incoming::Pong,
        0..=2 => Incoming::Message,
        _ => return Err(CloseCode::Protocol),
    };
    received.advance(head + mask.len() + length);
    Ok(Some(incoming))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{CloseCode, Incoming, close, cut, text};

    fn cut_all(bytes: &[u8]) -> Result<Option<Incoming>, CloseCode> {
        cut(&mut BytesMut::from(bytes))
    }

    #[test]
    fn a_message_has_the_shortest_head_that_fits() {
        for (length, head) in [
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65535, vec![0x81, 126, 255, 255]),
            (65536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            text(&mut out, &vec![b'x'; length]);
            assert_eq!((out.len(), &out[..head.len()]), (head.len() + length, head.as_slice()), "{length}");
        }
        assert_eq!(close(CloseCode::GoingAway), [0x88, 2, 0x03, 0xe9]);
    }

    #[test]
    fn frames_of_clients_are_cut_wherever_they_are_split() {
        let ping = [0x89, 0x82, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2];
        for end in 0..ping.len() {
            assert_eq!(cut_all(&ping[..end]), Ok(None), "{end} bytes");
        }
        let mut two = BytesMut::from([ping.as_slice(), &[0x8a, 0x80, 0, 0, 0, 0]].concat().as_slice());
        assert_eq!(cut(&mut two), Ok(Some(Incoming::Ping(b"ab".to_vec()))));
        assert_eq!(cut(&mut two), Ok(Some(Incoming::Pong)));
        assert!(two.is_empty());
    }

    #[test]
    fn what_a_client_may_not_send_is_refused_before_it_is_kept() {
        let long_ping = [0x89, 0xfe, 0, 126, 0, 0, 0, 0];
        for bad in
            [&[0x89, 0x00][..], &[0xc9, 0x80], &[0x09, 0x80], &[0x89, 0xff], &long_ping, &[0x83, 0x80, 0, 0, 0, 0]]
        {
            assert_eq!(cut_all(bad), Err(CloseCode::Protocol), "{bad:?}");
        }
        for long in [&[0x81, 0xff][..], &[0x81, 0xfe, 0x10, 0x01]] {
            assert_eq!(cut_all(long), Err(CloseCode::TooLarge), "{long:?}");
        }
    }
}
