//! The session without a peer that stores what a connection left behind.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{Event, EventKind, Severity, Ticket};

use super::{Message, Office};
use crate::{Fault, Input, Now, Opening, Output, Session};

/// How long after a failure of the store a message is offered to it again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The steward of an office.
pub(crate) struct Steward {
    office: Arc<Office>,
    outputs: VecDeque<Output>,
    stored: BTreeMap<Ticket, Message>,
    refused: Vec<Message>,
    tickets: u64,
    wake_at: Option<Duration>,
}

impl Steward {
    pub(crate) fn new(office: Arc<Office>, now: Now, opening: &Opening) -> Self {
        let unreadable = office.with(|inside| {
            inside.steward = Some(opening.waker.clone());
            std::mem::take(&mut inside.unreadable)
        });
        let mut outputs = VecDeque::new();
        if unreadable > 0 {
            outputs.push_back(Output::Event(Event {
                at: now.wall,
                severity: Severity::Error,
                kind: EventKind::System,
                device: None,
                peer: None,
                text: format!("{unreadable} notes of messages cannot be read and are left out").into(),
            }));
        }
        Self { office, outputs, stored: BTreeMap::new(), refused: Vec::new(), tickets: 0, wake_at: None }
    }

    fn store(&mut self, now: Now, message: Message) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let records = message.records(now.wall, vec![message.note()]);
        self.stored.insert(ticket, message);
        self.outputs.push_back(Output::Store(ticket, records));
    }
}

impl Session for Steward {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Stored(receipt) => {
                if let Some(message) = self.stored.remove(&receipt.ticket()) {
                    // Its sender is gone, so nobody asks whether its receiver is there.
                    self.office.with(|inside| inside.pass(&message.to, message.number, now.elapsed));
                }
            }
            Input::NotStored(ticket) => {
                self.refused.extend(self.stored.remove(&ticket));
                self.wake_at = Some(now.elapsed + RETRY_AFTER);
            }
            Input::Wake => {
                self.wake_at = None;
                let orphans = self.office.with(super::Inside::orphans);
                for message in std::mem::take(&mut self.refused).into_iter().chain(orphans) {
                    self.store(now, message);
                }
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
        self.outputs.pop_front().unwrap_or(Output::Idle { wake_at: self.wake_at })
    }
}
