//! What must be kept but nobody waits for: events, presence, findings about devices, states of commands.
//!
//! One task writes it in the background. Newer presence and findings of a device replace older ones that are not
//! written yet; events have a limit and a rate, and what is over them is counted. While the store fails, what is
//! pending waits.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use loggerhead_model::{DeviceId, Event, Evidence, Learnt};
use loggerhead_store::{Change, CommandRecord, DeviceRecord, Store};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

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
/// Changes of a kind that are written at once. They are copied for another try, and a storm of logins leaves thousands.
const TAKEN_MAX: usize = 256;
/// The same of events: what the busiest relays leave in a tenth of a second.
const EVENTS_TAKEN_MAX: usize = 1_024;
/// How long changes gather before they are written: nobody waits for them, and each write costs a sync of the disk, which those
/// who do wait would share it with.
const GATHER: Duration = Duration::from_millis(50);
/// How long to wait before a failed write is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where changes are left.
pub(crate) struct Journal {
    pending: Mutex<Pending>,
    strangers: Mutex<Budget>,
    more: Notify,
    done: Notify,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Pending {
    events: VecDeque<Event>,
    devices: HashMap<DeviceId, DeviceRecord>,
    presence: HashMap<DeviceId, Evidence>,
    learnt: HashMap<DeviceId, Learnt>,
    commands: VecDeque<CommandRecord>,
    /// What is being written, and not in here any more.
    writing: usize,
}

impl Pending {
    fn len(&self) -> usize {
        let waiting =
            self.events.len() + self.devices.len() + self.presence.len() + self.learnt.len() + self.commands.len();
        waiting + self.writing
    }

    /// Takes out what is written next, as few changes as there can be. Devices come before what is about them.
    fn take(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        if !self.events.is_empty() {
            changes.push(Change::Events(pop(&mut self.events, EVENTS_TAKEN_MAX)));
        }
        changes.extend(some_of(&mut self.devices).map(|(_, record)| Change::Device(record)));
        changes.extend(some_of(&mut self.learnt).map(|(device, learnt)| Change::Learnt(device, learnt)));
        changes.extend(some_of(&mut self.presence).map(|(device, evidence)| Change::Presence(device, evidence)));
        changes.extend(pop(&mut self.commands, TAKEN_MAX).into_iter().map(Change::Command));
        self.writing = changes.len();
        self.give_back();
        changes
    }

    /// After a storm, nothing is kept of the memory that it took.
    fn give_back(&mut self) {
        if self.len() == self.writing {
            *self = Self { writing: self.writing, ..Self::default() };
        }
    }
}

fn pop<T>(queue: &mut VecDeque<T>, max: usize) -> Vec<T> {
    queue.drain(..queue.len().min(max)).collect()
}

fn some_of<T>(rows: &mut HashMap<DeviceId, T>) -> impl Iterator<Item = (DeviceId, T)> {
    rows.extract_if(|_, _| true).take(TAKEN_MAX)
}

impl Journal {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        let strangers = Mutex::new(Budget::new(STRANGERS_BURST, STRANGER_EVERY));
        Self { pending: Mutex::default(), strangers, more: Notify::new(), done: Notify::new(), counters }
    }

    /// Leaves an event. `None`: it was over a limit, counted and dropped.
    pub(crate) fn event(&self, now: Duration, event: Event) -> Option<Event> {
        let is_strangers = event.device.is_none() && event.peer.is_some();
        let allowed = !is_strangers || self.strangers.lock().expect("nothing panics while it holds it").take(now);
        if allowed {
            return self.account(event);
        }
        self.counters.events_dropped.one_more();
        None
    }

    /// Leaves an event of which every one counts, whoever the peer is. `None`: as above.
    pub(crate) fn account(&self, event: Event) -> Option<Event> {
        let mut pending = self.lock();
        if pending.events.len() >= EVENTS_MAX {
            self.counters.events_dropped.one_more();
            return None;
        }
        pending.events.push_back(event.clone());
        drop(pending);
        self.more.notify_one();
        Some(event)
    }

    /// Leaves a device that changed by itself.
    pub(crate) fn device(&self, record: DeviceRecord) {
        self.lock().devices.insert(record.id.clone(), record);
        self.more.notify_one();
    }

    /// Leaves a device's presence.
    pub(crate) fn presence(&self, device: &DeviceId, evidence: Evidence) {
        self.lock().presence.insert(device.clone(), evidence);
        self.more.notify_one();
    }

    /// Leaves what was found out about a device.
    pub(crate) fn learnt(&self, device: &DeviceId, learnt: Learnt) {
        self.lock().learnt.insert(device.clone(), learnt);
        self.more.notify_one();
    }

    /// Leaves the state of a command.
    pub(crate) fn command(&self, command: CommandRecord) {
        let mut pending = self.lock();
        if pending.commands.len() < COMMANDS_MAX {
            pending.commands.push_back(command);
        }
        drop(pending);
        self.more.notify_one();
    }

    /// How much waits.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Writes what is left, for ever.
    pub(crate) async fn run(&self, store: Store) {
        loop {
            let changes = self.lock().take();
            if changes.is_empty() {
                self.done.notify_waiters();
                self.more.notified().await;
                self.gather().await;
            } else {
                self.write(&store, changes).await;
            }
        }
    }

    /// Lets changes gather. The state of a command does not wait: whoever gave it has been told.
    async fn gather(&self) {
        let until = Instant::now() + GATHER;
        while self.lock().commands.is_empty() && timeout_at(until, self.more.notified()).await.is_ok() {}
    }

    /// Writes these changes, however long it takes.
    async fn write(&self, store: &Store, changes: Vec<Change>) {
        let mut failed = false;
        while let Err(error) = store.write_all(changes.clone()).await {
            if !failed {
                tracing::warn!(%error, waiting = self.len(), "changes wait until the store takes them");
            }
            failed = true;
            tokio::time::sleep(RETRY_AFTER).await;
        }
        if failed {
            tracing::warn!(waiting = self.len(), "the store takes changes again");
        }
    }

    /// Waits until everything is written.
    pub(crate) async fn flushed(&self) {
        loop {
            let done = self.done.notified();
            if self.len() == 0 {
                return;
            }
            done.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("nothing panics while it holds the journal")
    }
}
