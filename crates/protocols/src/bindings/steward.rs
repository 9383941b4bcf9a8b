//! The session without a peer: stores bindings whose connection ended too early, and tells states once they have settled.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{Event, EventKind, Severity, Ticket};

use super::{Draft, Registry};
use crate::{Fault, Input, Now, Opening, Output, Session};

/// How long after a failure of the store a binding is offered to it again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The steward of a registry.
pub(crate) struct Steward {
    registry: Arc<Registry>,
    outputs: VecDeque<Output>,
    stored: BTreeMap<Ticket, Draft>,
    refused: Vec<Draft>,
    tickets: u64,
    retry_at: Option<Duration>,
    settles_at: Option<Duration>,
}

impl Steward {
    pub(crate) fn new(registry: Arc<Registry>, now: Now, opening: &Opening) -> Self {
        let unreadable = registry.with(|inside| {
            inside.steward = Some(opening.waker.clone());
            std::mem::take(&mut inside.unreadable)
        });
        let text = format!(
            "{unreadable} bindings of cameras cannot be read and are left out: is sealing.key that of this database?"
        );
        let event = (unreadable > 0).then(|| Event {
            at: now.wall,
            severity: Severity::Error,
            kind: EventKind::System,
            device: None,
            peer: None,
            text: text.into(),
        });
        Self {
            registry,
            outputs: event.map(Output::Event).into_iter().collect(),
            stored: BTreeMap::new(),
            refused: Vec::new(),
            tickets: 0,
            retry_at: None,
            settles_at: None,
        }
    }
}

impl Session for Steward {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Stored(receipt) => {
                if let Some(draft) = self.stored.remove(&receipt.ticket()) {
                    self.registry.with(|inside| inside.kept(&draft));
                }
            }
            Input::NotStored(ticket) => {
                self.refused.extend(self.stored.remove(&ticket));
                self.retry_at = Some(now.elapsed + RETRY_AFTER);
            }
            Input::Wake => {
                let (orphans, settles_at) = self.registry.with(|inside| (inside.orphans(), inside.settle(now.elapsed)));
                self.settles_at = settles_at;
                let mut drafts = orphans;
                if self.retry_at.is_none_or(|at| at <= now.elapsed) {
                    self.retry_at = None;
                    drafts.append(&mut self.refused);
                }
                for draft in drafts {
                    self.tickets += 1;
                    let ticket = Ticket(self.tickets);
                    self.outputs.push_back(Output::Store(ticket, draft.records(now.wall)));
                    self.stored.insert(ticket, draft);
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
        let wake_at = self.retry_at.into_iter().chain(self.settles_at).min();
        self.outputs.pop_front().unwrap_or(Output::Idle { wake_at })
    }
}
