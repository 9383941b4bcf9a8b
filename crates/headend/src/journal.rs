//! What must be kept but nobody waits for: events, presence, findings about devices, states of commands.
//!
//! One task writes it in the background. Newer presence and findings of a device replace older ones that are not
//! written yet; events have a limit and a rate, and what is over them is counted. While the store fails, what is
//! pending waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use loggerhead_model::{DeviceId, Event, Evidence, Learnt};
use loggerhead_store::{Change, CommandRecord, DeviceRecord, Store};
use tokio::sync::Notify;

use crate::budget::Budget;
use crate::metrics::Counters;

/// Events that wait to be written.
const EVENTS_MAX: usize = 10_000;
/// States of commands that wait to be written.
const COMMANDS_MAX: usize = 10_000;
/// Events of peers without a device that are stored at once, and after which time one more is: whoever connects and talks
/// nonsense, again and again, must not fill the disk.
const STRANGERS_BURST: u16 = 200;
const STRANGER_EVERY: Duration = Duration::from_millis(500);
/// How long to wait before a failed write is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where changes are left.
pub(crate) struct Journal {
    pending: Mutex<Pending>,
    more: Notify,
    done: Notify,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    devices: HashMap<DeviceId, DeviceRecord>,
    presence: HashMap<DeviceId, Evidence>,
    learnt: HashMap<DeviceId, Learnt>,
    commands: Vec<CommandRecord>,
}

struct Pending {
    batch: Batch,
    strangers: Budget,
    writing: bool,
}

impl Batch {
    fn len(&self) -> usize {
        self.events.len() + self.devices.len() + self.presence.len() + self.learnt.len() + self.commands.len()
    }

    /// What is to be written, as few changes as there can be.
    fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        if !self.events.is_empty() {
            changes.push(Change::Events(self.events.clone()));
        }
        changes.extend(self.devices.values().cloned().map(Change::Device));
        changes.extend(self.learnt.iter().map(|(device, learnt)| Change::Learnt(device.clone(), learnt.clone())));
        changes
            .extend(self.presence.iter().map(|(device, evidence)| Change::Presence(device.clone(), evidence.clone())));
        changes.extend(self.commands.iter().cloned().map(Change::Command));
        changes
    }
}

impl Journal {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        let pending = Pending {
            batch: Batch::default(),
            strangers: Budget::new(STRANGERS_BURST, STRANGER_EVERY),
            writing: false,
        };
        Self { pending: Mutex::new(pending), more: Notify::new(), done: Notify::new(), counters }
    }

    /// Leaves an event. `None`: it was over a limit, counted and dropped.
    pub(crate) fn event(&self, now: Duration, event: Event) -> Option<Event> {
        let mut pending = self.lock();
        let allowed = event.device.is_some() || event.peer.is_none() || pending.strangers.take(now);
        if !allowed || pending.batch.events.len() >= EVENTS_MAX {
            self.counters.events_dropped.one_more();
            return None;
        }
        pending.batch.events.push(event.clone());
        drop(pending);
        self.more.notify_one();
        Some(event)
    }

    /// Leaves a device that changed by itself.
    pub(crate) fn device(&self, record: DeviceRecord) {
        self.lock().batch.devices.insert(record.id.clone(), record);
        self.more.notify_one();
    }

    /// Leaves a device's presence.
    pub(crate) fn presence(&self, device: &DeviceId, evidence: Evidence) {
        self.lock().batch.presence.insert(device.clone(), evidence);
        self.more.notify_one();
    }

    /// Leaves what was found out about a device.
    pub(crate) fn learnt(&self, device: &DeviceId, learnt: Learnt) {
        self.lock().batch.learnt.insert(device.clone(), learnt);
        self.more.notify_one();
    }

    /// Leaves the state of a command.
    pub(crate) fn command(&self, command: CommandRecord) {
        let mut pending = self.lock();
        if pending.batch.commands.len() < COMMANDS_MAX {
            pending.batch.commands.push(command);
        }
        drop(pending);
        self.more.notify_one();
    }

    /// How much waits.
    pub(crate) fn len(&self) -> usize {
        self.lock().batch.len()
    }

    /// Writes what is left, for ever.
    pub(crate) async fn run(&self, store: Store) {
        loop {
            self.more.notified().await;
            let batch = {
                let mut pending = self.lock();
                pending.writing = true;
                std::mem::take(&mut pending.batch)
            };
            while let Err(error) = store.write_all(batch.changes()).await {
                tracing::warn!(%error, waiting = batch.len(), "changes could not be stored; trying again");
                tokio::time::sleep(RETRY_AFTER).await;
            }
            self.lock().writing = false;
            self.done.notify_waiters();
        }
    }

    /// Waits until everything is written.
    pub(crate) async fn flushed(&self) {
        loop {
            let done = self.done.notified();
            {
                let pending = self.lock();
                if pending.batch.len() == 0 && !pending.writing {
                    return;
                }
            }
            done.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("nothing panics while it holds the journal")
    }
}
