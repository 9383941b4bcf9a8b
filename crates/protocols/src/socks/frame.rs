//! How long a message is: SOCKS has no frames but only messages whose fields say where they end.
//!
//! Every message may come in pieces, and several in one: what is behind a message is left where it is.

use crate::wire::Reader;
use crate::{Fault, FaultKind};

/// Longest of the texts of SOCKS 4 that end with NUL, user and name. Of our own: the protocol has no limit; a name has no
/// more.
pub const TEXT_BYTES_MAX: usize = 255;
/// The longest message: version 4a with two texts.
pub const MESSAGE_BYTES_MAX: usize = 8 + 2 * (TEXT_BYTES_MAX + 1);

/// The version byte of SOCKS 4 and 4a.
pub const VERSION_4: u8 = 4;
/// The version byte of SOCKS 5.
pub const VERSION_5: u8 = 5;
/// The version byte of the login by user and password. Source: \[2\] §2.
pub const VERSION_LOGIN: u8 = 1;

/// An address of four bytes follows. Source: \[1\] §4.
pub const TYPE_IPV4: u8 = 1;
/// A length and a name follow.
pub const TYPE_NAME: u8 = 3;
/// An address of sixteen bytes follows.
pub const TYPE_IPV6: u8 = 4;

/// The length of `version | count u8 | count methods`; `None`: wait for more.
#[must_use]
pub fn greeting(bytes: &[u8]) -> Option<usize> {
    whole(bytes, |reader| {
        reader.take(1)?;
        let count = reader.u8()?;
        reader.take(usize::from(count))
    })
}

/// The length of `version | length u8 | user | length u8 | password`; `None`: wait for more.
#[must_use]
pub fn login(bytes: &[u8]) -> Option<usize> {
    whole(bytes, |reader| {
        reader.take(1)?;
        let user = reader.u8()?;
        reader.take(usize::from(user))?;
        let password = reader.u8()?;
        reader.take(usize::from(password))
    })
}

/// The length of `version | command or reply | 0 | type | address | port u16 BE`; `None`: wait for more.
///
/// # Errors
/// `Malformed` for a type of address that nobody knows: where such a message ends cannot be told.
pub fn request_5(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(&kind) = bytes.get(3) else { return Ok(None) };
    let address_bytes = match kind {
        TYPE_IPV4 => 4,
        TYPE_IPV6 => 16,
        TYPE_NAME => match bytes.get(4) {
            Some(&length) => 1 + usize::from(length),
            None => return Ok(None),
        },
        other => {
            let reason = format!("type of address {other}; 1, 3 and 4 are known");
            return Err(Fault::new(FaultKind::Malformed, reason).at(3));
        }
    };
    let length = 4 + address_bytes + 2;
    Ok((bytes.len() >= length).then_some(length))
}

/// The length of `version | command | port u16 BE | address | user NUL`, and for 4a (an address 0.0.0.x) `name NUL`;
/// `None`: wait for more.
///
/// # Errors
/// `TooLarge` for a text over `TEXT_BYTES_MAX`.
pub fn request_4(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(user) = text(bytes, 8)? else { return Ok(None) };
    if is_4a(bytes) { text(bytes, user) } else { Ok(Some(user)) }
}

/// The length of a reply of version 4: `0 | code | port u16 BE | address`; `None`: wait for more.
#[must_use]
pub fn reply_4(bytes: &[u8]) -> Option<usize> {
    (bytes.len() >= 8).then_some(8)
}

/// Whether a request of version 4 has a name behind the user: its address is 0.0.0.x, with x not 0. Source: \[4\].
#[must_use]
pub fn is_4a(bytes: &[u8]) -> bool {
    matches!(bytes.get(4..8), Some([0, 0, 0, 1..=u8::MAX]))
}

/// Where the text that begins at `from` is over, its NUL included.
fn text(bytes: &[u8], from: usize) -> Result<Option<usize>, Fault> {
    let rest = bytes.get(from..).unwrap_or_default();
    match rest.iter().take(TEXT_BYTES_MAX + 1).position(|byte| *byte == 0) {
        Some(length) => Ok(Some(from + length + 1)),
        None if rest.len() > TEXT_BYTES_MAX => {
            Err(Fault::new(FaultKind::TooLarge, format!("a text over {TEXT_BYTES_MAX} bytes")).at(from))
        }
        None => Ok(None),
    }
}

/// How far `read` comes, if all that it takes is there.
fn whole<'a>(bytes: &'a [u8], read: impl FnOnce(&mut Reader<'a>) -> Result<&'a [u8], Fault>) -> Option<usize> {
    let mut reader = Reader::new(bytes);
    read(&mut reader).ok().map(|_| reader.offset())
}
