//! The session without a peer: stores bindings whose connection ended too early, and tells states once they have settled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{Draft, Registry};
use crate::steward::{Retry, unreadable};
use crate::{Fault, Input, Now, Opening, Output, Session};

/// The steward of a registry.
pub(crate) struct Steward {
    registry: Arc<Registry>,
    outputs: VecDeque<Output>,
    left: Retry<Draft>,
    settles_at: Option<Duration>,
}

impl Steward {
    pub(crate) fn new(registry: Arc<Registry>, now: Now, opening: &Opening) -> Self {
        let count = registry.with(|inside| {
            inside.steward = Some(opening.waker.clone());
            std::mem::take(&mut inside.unreadable)
        });
        let what = "bindings of cameras (is sealing.key that of this database?)";
        Self {
            registry,
            outputs: unreadable(now, count, what).into_iter().collect(),
            left: Retry::default(),
            settles_at: None,
        }
    }
}

impl Session for Steward {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Stored(receipt) => {
                if let Some(draft) = self.left.stored(receipt) {
                    self.registry.with(|inside| inside.kept(&draft));
                }
            }
            Input::NotStored(ticket) => self.left.not_stored(now, ticket),
            Input::Wake => {
                let (orphans, settles_at) = self.registry.with(|inside| (inside.orphans(), inside.settle(now.elapsed)));
                self.settles_at = settles_at;
                self.outputs.extend(self.left.offer(now, orphans, |draft| draft.records(now.wall)));
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
        let wake_at = self.left.due().into_iter().chain(self.settles_at).min();
        self.outputs.pop_front().unwrap_or(Output::Idle { wake_at })
    }
}
