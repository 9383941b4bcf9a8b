//! Conversations in memory: senders that the tests play, and the simulated one, over a keeper without a disk.

mod misbehaving;
mod proving;
mod sending;

use loggerhead_model::{DeviceId, Identity, Learnt};

use super::PROTOCOL;
use crate::CloseReason;
use crate::pair::{Enrolled, Happening, Pair};

/// A head-end that knows one sender by its address, with a secret, and one by its name.
fn head_end(listener: &str) -> Pair {
    let acceptor = (PROTOCOL.acceptor)(&listener.parse().expect("TOML"), &mut std::iter::empty()).expect("settings");
    let mut pair = Pair::new(acceptor);
    for (identity, device) in [("192.0.2.1", "camera"), ("T1", "tower")] {
        let enrolled = Enrolled {
            device: DeviceId::new(device).expect("a name"),
            secret: b"password".to_vec(),
            cipher_is_enough: identity == "192.0.2.1",
            settings: toml::Table::new().into(),
            learnt: Learnt::new(),
        };
        pair.enrolled.insert(Identity::new(identity).expect("a name"), enrolled);
    }
    pair
}

/// A head in the long form.
fn long(head: &str) -> Vec<u8> {
    [&u32::try_from(head.len()).expect("short").to_le_bytes()[..], head.as_bytes()].concat()
}

/// The files that are kept, a line each.
fn kept(pair: &Pair) -> Vec<String> {
    let line = |file: &crate::pair::PairFile| {
        format!("{} {} {}", file.offer.device, file.offer.name, file.bytes.escape_ascii())
    };
    pair.files.iter().map(line).collect()
}

fn received(pair: &mut Pair, connection: usize) -> String {
    String::from_utf8_lossy(&pair.take_received(connection)).into_owned()
}

fn faults(pair: &Pair) -> Vec<String> {
    let fault = |what: &Happening| {
        if let Happening::Fault(fault) | Happening::Broken(fault) = what { Some(fault.to_string()) } else { None }
    };
    pair.happenings().filter_map(fault).collect()
}

fn closed(pair: &Pair) -> Option<&CloseReason> {
    pair.happenings().rev().find_map(|what| if let Happening::Closed(reason) = what { Some(reason) } else { None })
}
