//! The head-end as the rest of Loggerhead sees it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use loggerhead_model::{CommandId, Cursor, DeviceId, EventKind, Identity, Order, Receipt, Records, Severity};
use loggerhead_protocols::bindings::Registry;
use loggerhead_protocols::office::{Message, MessageQuery, Queue};
use loggerhead_protocols::standing::{SessionQuery, StandingSession};
use loggerhead_store::{Condition, Store};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::core::Core;
use crate::error::{CommandError, DeviceError, StartError};
use crate::files::Files;
use crate::hub::{Filter, Subscription};
use crate::keeping::{self, NotKept};
use crate::listing::{self, DevicePage, DeviceQuery, DeviceTally, SiteTally};
use crate::metrics::Metrics;
use crate::opening;
use crate::said::Said;
use crate::seat::{NoSeat, Seat};
use crate::serving::Serving;
use crate::status::{BoundAddress, CommandStatus, DeviceStatus, Health, ListenerStatus, NewDevice, ReloadReport};
use crate::steward;
use crate::tls;

/// How often presence is judged for devices that say nothing, and overdue commands are ended.
const REVIEW_EVERY: Duration = Duration::from_secs(2);
/// Of the time to stop, what is kept for writing the last changes.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// A running head-end. Clones are handles of the same one.
#[derive(Clone)]
pub struct HeadEnd(Arc<Inside>);

struct Inside {
    core: Arc<Core>,
    /// Held while an operator changes something; nothing on the way of a packet waits for it.
    serving: tokio::sync::Mutex<Serving>,
    addresses: Mutex<Vec<(String, BoundAddress)>>,
    /// Tasks that live as long as the head-end does.
    background: Mutex<JoinSet<()>>,
    /// Ends the watch over the certificates of the configuration in force.
    watch: Mutex<CancellationToken>,
    stopping: AtomicBool,
}

impl HeadEnd {
    /// Opens the store and the listeners of a configuration, and serves.
    ///
    /// # Errors
    /// `StartError` names the listener, device or store that cannot be opened; then nothing runs.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let core = Arc::new(opening::core(&config).await?);
        opening::recall(&core, &config).await?;
        let serving = Serving::open(&core, &config.listeners)?;
        let addresses = serving.addresses();
        let certificates = serving.certificates();
        let mut background = JoinSet::new();
        background.spawn({
            let core = Arc::clone(&core);
            async move { core.journal.run(core.store.clone()).await }
        });
        background.spawn(review(Arc::clone(&core)));
        background.spawn(core.files.clone().sweep());
        for (_, exchange) in &core.exchanges {
            background.spawn(steward::run(Arc::clone(&core), Arc::clone(exchange)));
            background.spawn(steward::feed(Arc::clone(&core), Arc::clone(exchange)));
        }
        let inside = Inside {
            core,
            serving: tokio::sync::Mutex::new(serving),
            addresses: Mutex::new(addresses),
            background: Mutex::new(background),
            watch: Mutex::new(CancellationToken::new()),
            stopping: AtomicBool::new(false),
        };
        let head_end = Self(Arc::new(inside));
        head_end.watch(certificates);
        head_end.0.core.tell(Severity::Info, EventKind::System, None, "the head-end started".to_owned());
        Ok(head_end)
    }

    /// The store, for queries.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.core.store
    }

    /// The files of devices.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.0.core.files
    }

    /// Where each listener listens, with the real port where the configuration says 0.
    #[must_use]
    pub fn addresses(&self) -> Vec<(String, BoundAddress)> {
        self.addresses_held().clone()
    }

    /// Every listener with what it lets in. Waits while an operator changes them.
    pub async fn listeners(&self) -> Vec<ListenerStatus> {
        self.0.serving.lock().await.listeners()
    }

    /// A seat for somebody whom the console has signed in, at the first listener that takes people. Waits while an operator
    /// changes the listeners.
    ///
    /// # Errors
    /// `NoListener`, or `Full` when that listener takes no more connections.
    pub async fn seat(&self, person: &Identity, address: Option<IpAddr>) -> Result<Seat, NoSeat> {
        let place = self.0.serving.lock().await.place_for(person);
        let (listener, open) = place.ok_or(NoSeat::NoListener)?;
        Seat::take(&self.0.core, &listener, open, address)
    }

    /// Whether any listener takes people. Waits as `seat` does.
    pub async fn takes_people(&self) -> bool {
        self.0.serving.lock().await.takes_people()
    }

    /// The first `count` messages between people that a query asks for, of those that are known.
    #[must_use]
    pub fn messages(&self, query: &MessageQuery, count: usize) -> Vec<Message> {
        self.0.core.office.messages(query, count)
    }

    /// The first `count` people behind `after`, by name, who are connected or for whom something waits.
    #[must_use]
    pub fn queues(&self, after: Option<&str>, count: usize) -> Vec<Queue> {
        self.0.core.office.queues(after, count, self.0.core.clock.now().elapsed)
    }

    /// Who has which camera; none where no protocol has cameras.
    #[must_use]
    pub fn cameras(&self) -> Option<Arc<Registry>> {
        self.0.core.exchanges.iter().find_map(|(_, exchange)| exchange.cameras())
    }

    /// A page of the sessions that may outlive their connections, of the protocol that has such.
    #[must_use]
    pub fn sessions(&self, query: &SessionQuery) -> Vec<StandingSession> {
        self.0.core.exchanges.iter().find_map(|(_, exchange)| exchange.sessions(query)).unwrap_or_default()
    }

    /// Keeps records that no connection brought; they are on disk when this returns, and told like all others.
    ///
    /// # Errors
    /// `NotKept` when they are not, and never will be.
    pub async fn keep(&self, records: Records) -> Result<Receipt, NotKept> {
        keeping::keep(&self.0.core.store, records).await
    }

    /// Every known device, by id.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceStatus> {
        let now = self.0.core.clock.now();
        self.0.core.identities.directory.all().iter().map(|device| device.status(now)).collect()
    }

    /// The devices that a query asks for. What a device did is read for those of the page alone.
    #[must_use]
    pub fn find_devices(&self, query: &DeviceQuery) -> DevicePage {
        listing::find(&self.0.core.identities.directory, self.0.core.clock.now(), query)
    }

    /// How many devices there are, and in which state.
    #[must_use]
    pub fn device_tally(&self) -> DeviceTally {
        listing::tally(&self.0.core.identities.directory, self.0.core.clock.now())
    }

    /// The sites of all devices, by name, with how many devices belong to each.
    #[must_use]
    pub fn sites(&self) -> Vec<SiteTally> {
        listing::sites(&self.0.core.identities.directory, self.0.core.clock.now())
    }

    /// One device.
    #[must_use]
    pub fn device(&self, id: &DeviceId) -> Option<DeviceStatus> {
        let device = self.0.core.identities.directory.by_id(id)?;
        Some(device.status(self.0.core.clock.now()))
    }

    /// What was said to a device lately, the newest first: kept in memory while there is room, besides what the store has.
    #[must_use]
    pub fn said(&self, id: &DeviceId) -> Vec<Said> {
        self.0.core.said.of(id)
    }

    /// Adds a device; it may connect when this returns.
    ///
    /// # Errors
    /// `DeviceError` says which name or setting does not fit, or that it could not be kept.
    pub async fn add_device(&self, new: NewDevice) -> Result<DeviceStatus, DeviceError> {
        let has_settings = !new.settings.is_empty();
        let device = self.0.core.add_device(new).await?;
        if has_settings {
            self.rebuild(device.protocol).await;
        }
        Ok(device.status(self.0.core.clock.now()))
    }

    /// Removes a device that is not in the configuration, and ends its sessions. Its readings stay.
    ///
    /// # Errors
    /// `Unknown`, `Configured`, or `Store` when the change could not be kept.
    pub async fn remove_device(&self, id: &DeviceId) -> Result<(), DeviceError> {
        let device = self.0.core.remove_device(id).await?;
        if !device.rules().settings.is_empty() {
            self.rebuild(device.protocol).await;
        }
        Ok(())
    }

    /// Lets a device in that waits for it.
    ///
    /// # Errors
    /// `Unknown`, `NotPending`, or `Store` when the change could not be kept.
    pub async fn accept_pending(&self, id: &DeviceId) -> Result<DeviceStatus, DeviceError> {
        let device = self.0.core.accept_pending(id).await?;
        Ok(device.status(self.0.core.clock.now()))
    }

    /// Takes a command for a device; it is kept when this returns, and sent when the device is connected.
    ///
    /// # Errors
    /// `Unknown`, `NotActive`, `Full` when too many wait, or `Store` when it could not be kept.
    pub async fn command(&self, id: &DeviceId, order: Order) -> Result<CommandId, CommandError> {
        self.0.core.command(id, order).await
    }

    /// Commands that are not finished and the last ones that are, the newest first; of one device or of all.
    #[must_use]
    pub fn commands(&self, device: Option<&DeviceId>) -> Vec<CommandStatus> {
        self.0.core.commands.list(device)
    }

    /// One of them.
    #[must_use]
    pub fn command_status(&self, id: CommandId) -> Option<CommandStatus> {
        self.0.core.commands.find(id)
    }

    /// A live view of what is committed from now on.
    #[must_use]
    pub fn subscribe(&self, filter: Filter) -> Subscription {
        self.0.core.hub.subscribe(filter, self.0.core.store.reader())
    }

    /// What was committed after batch `from`, up to batch `to`, and has a place in the log; some of what follows may come
    /// as well.
    #[must_use]
    pub fn history(&self, filter: Filter, from: Cursor, to: Cursor) -> Subscription {
        self.0.core.hub.history(filter, self.0.core.store.reader(), from, to)
    }

    /// Whether the head-end does its work.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut reasons = Vec::new();
        if self.0.stopping.load(Ordering::Relaxed) {
            reasons.push("stopping".to_owned());
        }
        if let Condition::Failing { since, reason } = self.0.core.store.health().condition {
            reasons.push(format!("the store cannot write since {since}: {reason}"));
        }
        if self.addresses_held().is_empty() {
            reasons.push("no listener is open".to_owned());
        }
        Health { live: true, ready: reasons.is_empty(), reasons }
    }

    /// All figures at this moment.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let core = &self.0.core;
        Metrics {
            devices: core.presence_tally(),
            journal_queue: core.journal.len() as u64,
            commands: core.commands.tally(),
            ..core.counters.read()
        }
    }

    /// Goes over to a new configuration: listeners, devices and certificates. Sessions that it does not concern go on.
    ///
    /// # Errors
    /// `StartError` names what cannot be; what was found before anything changed leaves everything as it was.
    pub async fn reload(&self, config: Config) -> Result<ReloadReport, StartError> {
        let core = &self.0.core;
        let mut serving = self.0.serving.lock().await;
        let mut report = ReloadReport::default();
        opening::check_devices(&config)?;
        Serving::check(core, &config.listeners)?;
        opening::change_devices(core, &config, &mut report);
        core.files.limit(config.files);
        let reloaded = serving.reload(core, &config.listeners, &mut report).await;
        *self.addresses_held() = serving.addresses();
        let certificates = serving.certificates();
        drop(serving);
        for certificate in &certificates {
            tls::report(certificate, certificate.reload());
        }
        self.watch(certificates);
        reloaded?;
        core.tell(Severity::Info, EventKind::System, None, "the configuration was read again".to_owned());
        Ok(report)
    }

    /// Stops within about `within`: accepts nothing more, lets sessions end, writes what is left, closes the store.
    pub async fn shutdown(&self, within: Duration) {
        let core = &self.0.core;
        if self.0.stopping.swap(true, Ordering::Relaxed) {
            return;
        }
        core.tell(Severity::Info, EventKind::System, None, "the head-end is stopping".to_owned());
        self.watch(Vec::new());
        let end = Instant::now() + within;
        // Of a short time, sessions get half.
        let sessions_within = within.saturating_sub(FLUSH_WITHIN).max(within / 2);
        self.0.serving.lock().await.close(sessions_within).await;
        core.hub.close();
        let flush_end = end.min(Instant::now() + FLUSH_WITHIN);
        if timeout_at(flush_end, core.journal.flushed()).await.is_err() {
            tracing::warn!(waiting = core.journal.len(), "the last changes could not be stored");
        }
        self.background().abort_all();
        if timeout_at(end.max(flush_end), core.store.clone().close()).await.is_err() {
            tracing::warn!("the store did not close in time");
        }
    }

    /// Makes acceptors anew after a device with settings of its own came or went.
    async fn rebuild(&self, protocol: &str) {
        let rebuilt = self.0.serving.lock().await.rebuild(&self.0.core, protocol);
        if let Err(error) = rebuilt {
            tracing::error!(%error, "listeners do not know the changed device");
        }
    }

    /// Watches these certificates, and none else any more.
    fn watch(&self, certificates: Vec<Arc<tls::Certificate>>) {
        let stop = CancellationToken::new();
        let before = std::mem::replace(
            &mut *self.0.watch.lock().expect("nothing panics while it holds the watch"),
            stop.clone(),
        );
        before.cancel();
        if !certificates.is_empty() {
            self.background().spawn(tls::watch(certificates, stop));
        }
    }

    fn addresses_held(&self) -> MutexGuard<'_, Vec<(String, BoundAddress)>> {
        self.0.addresses.lock().expect("nothing panics while it holds the addresses")
    }

    fn background(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.background.lock().expect("nothing panics while it holds the background tasks")
    }
}

async fn review(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(REVIEW_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        core.review();
    }
}
