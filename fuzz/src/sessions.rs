//! Either side of a conversation, fed with bytes that no peer of ours would send.

use std::time::Duration;

use loggerhead_protocols::pair::{Happening, Pair};
use loggerhead_protocols::{Input, Output, Session};

use crate::choices::Choices;
use crate::peers;

/// How far a conversation is when the made-up bytes come: cold, or after a login.
pub(crate) const STAGES: u8 = 2;
/// Long enough for every deadline of a connection that has not logged in.
const LOGIN_SPAN: Duration = Duration::from_secs(20);
/// Most outputs of a device's session for one input; more is a session that talks to itself.
const OUTPUTS_MAX: usize = 100_000;

/// The head-end's side takes any bytes in any pieces, gives up a peer that never logs in, and stores nothing for it.
///
/// # Panics
/// When it does not.
pub fn head_end(input: &[u8]) {
    let mut choices = Choices::new(input);
    let protocol = choices.protocol();
    let settings = choices.below(peers::SETTINGS);
    let mut pair = peers::head_end(protocol, settings);
    let stage = choices.below(STAGES);
    if stage == 1 {
        let device = peers::device(protocol, settings, &mut pair);
        pair.attach(device);
        pair.run_for(Duration::from_secs(1));
    }
    let connection = pair.connect();
    pair.wire.piece_bytes_max = usize::from(choices.byte()).max(1);
    // With a device beside it, its connection is the one that is logged in.
    let target = if stage == 1 { 0 } else { connection };
    pair.send(target, choices.rest());
    pair.run_for(LOGIN_SPAN);
    let accepted = pair.happenings().any(|what| matches!(what, Happening::Accepted(_)));
    assert!(accepted || pair.kept.iter().all(|records| records.report.is_none()), "stored for a peer without a login");
    let is_joined = pair.relayed(connection).is_some();
    assert!(!pair.is_open(connection) || accepted || is_joined, "a peer without a login was kept");
    assert!(accepted || pair.files.is_empty(), "a file was kept for a peer without a login");
}

/// The device's side takes any bytes from whoever answers at the head-end's address.
///
/// # Panics
/// When it does not, or never comes to rest.
pub fn device(input: &[u8]) {
    let mut choices = Choices::new(input);
    let protocol = choices.protocol();
    let settings = choices.below(peers::SETTINGS);
    let mut pair = peers::head_end(protocol, settings);
    let mut device = peers::device(protocol, settings, &mut pair);
    let _stage = choices.byte();
    let piece_bytes = usize::from(choices.byte()).max(1);
    rest(device.as_mut());
    tell(device.as_mut(), &pair, Input::Connected);
    for piece in choices.rest().chunks(piece_bytes) {
        tell(device.as_mut(), &pair, Input::Bytes(piece));
    }
    tell(device.as_mut(), &pair, Input::Eof);
    tell(device.as_mut(), &pair, Input::Disconnected);
}

fn tell(device: &mut dyn Session, pair: &Pair, input: Input<'_>) {
    // A fault is an answer as good as any: it says that the peer was found out.
    let _ = device.handle(pair.now(), input);
    rest(device);
}

fn rest(device: &mut dyn Session) {
    let came_to_rest = (0..OUTPUTS_MAX).any(|_| matches!(device.poll(), Output::Idle { .. }));
    assert!(came_to_rest, "over {OUTPUTS_MAX} outputs for one input");
}
