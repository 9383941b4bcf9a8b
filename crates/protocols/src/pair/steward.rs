//! The steward behind the listener of a `Pair`, for the tests of protocols with an exchange.

use std::task::Waker;

use loggerhead_model::Records;

use super::{Pair, receipt};
use crate::{Exchange, Input, Now, Opening, Output, Session};

/// The steward of an exchange.
pub(crate) fn steward(exchange: &dyn Exchange, pair: &mut Pair) -> Box<dyn Session> {
    let opening = Opening { waker: Waker::noop().clone(), ..pair.opening() };
    exchange.steward(pair.now(), opening)
}

/// Lets a steward do what is due at this moment: what it stores is committed, and given back; it asks for nothing else.
///
/// # Panics
/// When it asks for something else.
pub(crate) fn tend(steward: &mut dyn Session, now: Now) -> Vec<Records> {
    let mut committed = Vec::new();
    steward.handle(now, Input::Wake).expect("a steward has no peer");
    loop {
        match steward.poll() {
            Output::Store(ticket, records) => {
                committed.push(records);
                steward.handle(now, Input::Stored(receipt(ticket.0))).expect("a steward has no peer");
            }
            Output::Idle { .. } => return committed,
            other @ (Output::Send(_)
            | Output::Said(_)
            | Output::Ask(_)
            | Output::File(_)
            | Output::Keep(_)
            | Output::Sample(..)
            | Output::Event(_)
            | Output::Fault(_)
            | Output::Learnt(_)
            | Output::Dropped(..)
            | Output::Remember { .. }
            | Output::ExpectWithin(_)
            | Output::Command(..)
            | Output::Join(_)
            | Output::Connect
            | Output::Delivered(_)
            | Output::Close(_)) => panic!("{other:?}"),
        }
    }
}
