//! The session without a peer that does what is due in the broker while nobody is connected.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{Event, EventKind, Records, Severity, Ticket};

use super::figures::Loser;
use super::{Broker, Pending};
use crate::{Fault, Input, Now, Opening, Output, Session};

/// How often the log is looked through for what nobody needs, and figures are said.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// How long after a failure of the store a message is offered to it again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The steward of a broker.
pub(in crate::mqtt) struct Steward {
    broker: Arc<Broker>,
    outputs: VecDeque<Output>,
    stored: BTreeMap<Ticket, Pending>,
    refused: Vec<Pending>,
    tickets: u64,
    tidy_at: Duration,
    wake_at: Option<Duration>,
}

impl Steward {
    pub(in crate::mqtt) fn new(broker: Arc<Broker>, now: Now, opening: &Opening) -> Self {
        let unreadable = broker.with(|inside| {
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
                text: format!("{unreadable} notes of the broker cannot be read and are left out").into(),
            }));
        }
        let tidy_at = now.elapsed + TIDY_EVERY;
        let mut steward =
            Self { broker, outputs, stored: BTreeMap::new(), refused: Vec::new(), tickets: 0, tidy_at, wake_at: None };
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
        for pending in orphans {
            self.store(now, pending);
        }
        let until = |at: loggerhead_model::Timestamp| now.elapsed + at.since(now.wall) + Duration::from_millis(1);
        self.wake_at = due.map(until).into_iter().chain([self.tidy_at]).min();
    }

    fn store(&mut self, now: Now, pending: Pending) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let records = Records {
            device: pending.device.clone(),
            received_at: now.wall,
            report: pending.report.clone(),
            frame: None,
            events: Vec::new(),
            notes: pending.notes.clone(),
        };
        self.stored.insert(ticket, pending);
        self.outputs.push_back(Output::Store(ticket, records));
    }
}

impl Session for Steward {
    fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Stored(receipt) => {
                if let Some(pending) = self.stored.remove(&receipt.ticket()) {
                    self.broker.with(|inside| inside.route(&pending));
                }
            }
            Input::NotStored(ticket) => self.refused.extend(self.stored.remove(&ticket)),
            Input::Wake => {
                for pending in std::mem::take(&mut self.refused) {
                    self.store(now, pending);
                }
                self.work(now);
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
        if !self.refused.is_empty() {
            let retry_at = now.elapsed + RETRY_AFTER;
            self.wake_at = Some(self.wake_at.map_or(retry_at, |at| at.min(retry_at)));
        }
        Ok(())
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Idle { wake_at: self.wake_at })
    }
}
