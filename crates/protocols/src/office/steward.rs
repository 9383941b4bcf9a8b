//! The session without a peer that stores what a connection left behind.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Message, Office};
use crate::steward::{Retry, unreadable};
use crate::{Fault, Input, Now, Opening, Output, Session};

/// The steward of an office.
pub(crate) struct Steward {
    office: Arc<Office>,
    outputs: VecDeque<Output>,
    left: Retry<Message>,
}

impl Steward {
    pub(crate) fn new(office: Arc<Office>, now: Now, opening: &Opening) -> Self {
        let count = office.with(|inside| {
            inside.steward = Some(opening.waker.clone());
            std::mem::take(&mut inside.unreadable)
        });
        let outputs = unreadable(now, count, "notes of messages").into_iter().collect();
        Self { office, outputs, left: Retry::default() }
    }
}

impl Session for Steward {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Stored(receipt) => {
                if let Some(message) = self.left.stored(receipt) {
                    // Its sender is gone, so nobody asks whether its receiver is there.
                    self.office.with(|inside| inside.pass(&message.to, message.number, now.elapsed));
                }
            }
            Input::NotStored(ticket) => self.left.not_stored(now, ticket),
            Input::Wake => {
                let orphans = self.office.with(super::Inside::orphans);
                let records = |message: &Message| message.records(now.wall, vec![message.note()]);
                self.outputs.extend(self.left.offer(now, orphans, records));
            }
            Input::Bytes(_)
            | Input::Eof
            | Input::Answer(_)
            | Input::Command(_)
            | Input::Shutdown(_)
            | Input::Connected
            | Input::Disconnected
            | Input::Offer(..) => {}
        }
        Ok(())
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Idle { wake_at: self.left.due() })
    }
}
