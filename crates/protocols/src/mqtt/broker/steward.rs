//! The session without a peer that does what is due in the broker while nobody is connected.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{Event, EventKind, Severity, Timestamp};

use super::Broker;
use super::figures::Loser;
use super::message::Pending;
use crate::steward::{Retry, unreadable};
use crate::{Fault, Input, Now, Opening, Output, Session};

/// How often the log is looked through for what nobody needs, and figures are said.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// The steward of a broker.
pub(in crate::mqtt) struct Steward {
    broker: Arc<Broker>,
    outputs: VecDeque<Output>,
    left: Retry<Pending>,
    tidy_at: Duration,
    /// When something in the broker is due.
    due: Option<Duration>,
}

impl Steward {
    pub(in crate::mqtt) fn new(broker: Arc<Broker>, now: Now, opening: &Opening) -> Self {
        let count = broker.with(|inside| {
            inside.steward = Some(opening.waker.clone());
            std::mem::take(&mut inside.unreadable)
        });
        let outputs = unreadable(now, count, "notes of the broker").into_iter().collect();
        let tidy_at = now.elapsed + TIDY_EVERY;
        let mut steward = Self { broker, outputs, left: Retry::default(), tidy_at, due: None };
        steward.work(now);
        steward
    }

    fn work(&mut self, now: Now) {
        let tidies = now.elapsed >= self.tidy_at;
        let (due, chores, orphans, losers) = self.broker.with(|inside| {
            let due = inside.tend(now.wall);
            let losers = if tidies {
                inside.tidy(now.wall);
                inside.say_figures(now.elapsed.as_secs(), now.wall);
                inside.take_losers()
            } else {
                Vec::new()
            };
            (due, std::mem::take(&mut inside.chores), std::mem::take(&mut inside.orphans), losers)
        });
        if tidies {
            self.tidy_at = now.elapsed + TIDY_EVERY;
        }
        for Loser { device, count, cause, text } in losers {
            self.outputs.push_back(Output::Dropped(device.clone(), count, cause));
            self.outputs.push_back(Output::Event(Event {
                at: now.wall,
                severity: Severity::Warning,
                kind: EventKind::System,
                device: Some(device),
                peer: None,
                text: text.into(),
            }));
        }
        self.outputs.extend(chores.into_iter().map(Output::Keep));
        self.outputs.extend(self.left.offer(now, orphans, |pending| pending.records(now.wall)));
        let until = |at: Timestamp| now.elapsed + at.since(now.wall) + Duration::from_millis(1);
        self.due = due.map(until);
    }
}

impl Session for Steward {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Stored(receipt) => {
                if let Some(pending) = self.left.stored(receipt) {
                    self.broker.with(|inside| inside.route(&pending));
                }
            }
            Input::NotStored(ticket) => self.left.not_stored(now, ticket),
            Input::Wake => self.work(now),
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
        let wake_at = [self.tidy_at].into_iter().chain(self.due).chain(self.left.due()).min();
        self.outputs.pop_front().unwrap_or(Output::Idle { wake_at })
    }
}
