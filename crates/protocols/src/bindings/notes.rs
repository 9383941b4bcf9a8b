//! What the registry notes in the store: who has which camera, and when and whence an account logged in last.
//!
//! Binding: key `b | account | 0 | camera`, value the sealed password. Visit: key `v | account`, value `at i64 BE | address`.
//! Names hold no zero byte: they are identities.

use std::sync::Arc;

use bytes::Bytes;
use loggerhead_model::{Note, NoteChange, Timestamp};

use super::Visit;

/// The registry's shelf.
const SHELF: &str = "camera";
const BINDING: u8 = b'b';
const VISIT: u8 = b'v';

/// What a note says.
pub(crate) enum Noted {
    Binding { account: Arc<str>, camera: Arc<str>, sealed: Bytes },
    Visit { account: Arc<str>, visit: Visit },
}

/// Where a binding stands, which its seal is bound to.
pub(crate) fn binding_key(account: &str, camera: &str) -> Vec<u8> {
    [&[BINDING], account.as_bytes(), &[0], camera.as_bytes()].concat()
}

pub(crate) fn binding(key: Vec<u8>, sealed: Vec<u8>) -> Note {
    Note { shelf: SHELF, key: key.into(), change: NoteChange::Put(sealed.into()) }
}

/// The note that forgets a binding.
pub(crate) fn forget(account: &str, camera: &str) -> Note {
    Note { shelf: SHELF, key: binding_key(account, camera).into(), change: NoteChange::Forget }
}

pub(crate) fn visit(account: &str, visit: &Visit) -> Note {
    let key = [&[VISIT], account.as_bytes()].concat();
    let value = [&visit.at.unix_ms().to_be_bytes()[..], visit.address.as_bytes()].concat();
    Note { shelf: SHELF, key: key.into(), change: NoteChange::Put(value.into()) }
}

/// Reads a note back. `None`: it is not one of ours.
pub(crate) fn read(key: &[u8], value: &Bytes) -> Option<Noted> {
    let (kind, name) = key.split_first()?;
    let name = str::from_utf8(name).ok()?;
    match *kind {
        BINDING => {
            let (account, camera) = name.split_once('\0')?;
            Some(Noted::Binding { account: account.into(), camera: camera.into(), sealed: value.clone() })
        }
        VISIT => {
            let (at, address) = value.split_first_chunk()?;
            let visit = Visit {
                at: Timestamp::from_unix_ms(i64::from_be_bytes(*at)),
                address: str::from_utf8(address).ok()?.into(),
            };
            Some(Noted::Visit { account: name.into(), visit })
        }
        _ => None,
    }
}
