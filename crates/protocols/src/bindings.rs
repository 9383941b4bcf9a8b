//! Who has which camera, what is known of it, and who is to be told: shared by all connections of all listeners.
//!
//! It does nothing by itself. Connections call it under one lock, and it wakes whom their doings concern.

mod desk;
mod notes;
mod seal;
pub(crate) mod steward;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Evidence, Note, Origin, Presence, Reading, Records, ReportBuilder, Timestamp};

pub use desk::{AccountStatus, CameraStatus, Unbinding};
pub(crate) use seal::NonceBytes;
use seal::Vault;

use crate::Now;

/// Pushes that wait for one connection: what an app reads at once; the oldest goes, and that is counted.
const PUSHES_MAX: usize = 256;

/// Alarms that wait for an account that is not there; the oldest goes. As many as one connection is told at once.
const MISSED_MAX: usize = PUSHES_MAX;
/// Longest type of an alarm that is told; the rest of it is cut off.
const ALARM_BYTES_MAX: usize = 1_024;

/// The function whose readings are alarms, of a camera or of the device that speaks for it.
pub const ALARM: &str = "alarm";
/// The function whose readings say whether a camera is there: `true`, `false`, anything else for unknown.
pub const ONLINE: &str = "online";
/// The meter that stands for a camera among the readings.
const METER: &str = "camera";

/// What somebody says of a camera, as a reading of its device. `None`: nothing is said.
#[must_use]
pub fn said(device: &DeviceId, function: &str, what: &str, at: Timestamp, received_at: Timestamp) -> Option<Records> {
    if what.is_empty() {
        return None;
    }
    let mut builder = ReportBuilder::new(Origin::Live, what.len() + METER.len() + function.len(), 1);
    builder.meter(METER, "").ok()?;
    let reading = Reading::plain(METER, function, what, at);
    builder.reading(&reading).ok()?;
    let mut report = builder.finish();
    // Two alarms in one millisecond are both to be told; the store would keep the second beside the first and tell nobody.
    report.happenings = true;
    let report = Some(report);
    Some(Records { device: device.clone(), received_at, report, frame: None, events: Vec::new(), notes: Vec::new() })
}

/// When and whence an account logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) at: Timestamp,
    pub(crate) address: Box<str>,
}

/// That an account has a camera.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) camera: Arc<str>,
    pub(crate) password: Box<str>,
    /// It is stored.
    is_kept: bool,
}

/// A binding on its way to the store.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    account: Arc<str>,
    camera: Arc<str>,
    device: DeviceId,
    note: Note,
    /// What it takes the place of.
    before: Option<Arc<Binding>>,
}

impl Draft {
    /// What the store is to keep.
    pub(crate) fn records(&self, now: Timestamp) -> Records {
        keeping(self.device.clone(), now, vec![self.note.clone()])
    }
}

/// Notes for the store.
pub(crate) fn keeping(device: DeviceId, received_at: Timestamp, notes: Vec<Note>) -> Records {
    Records { device, received_at, report: None, frame: None, events: Vec::new(), notes }
}

/// What an app is told unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    State(Arc<str>, Option<bool>),
    Alarm(Arc<str>, Arc<str>),
}

/// An account with one of its connections.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) account: Arc<str>,
    connection: u64,
}

/// Why a camera is not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Camera,
    Account,
    /// The binding is being taken away.
    Leaving,
}

/// Most of either.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BindingLimits {
    pub(crate) accounts_per_camera: usize,
    pub(crate) cameras_per_account: usize,
}

#[derive(Default)]
struct Account {
    last: Option<Visit>,
    bindings: BTreeMap<Arc<str>, Arc<Binding>>,
    /// Few: a person has a phone and a computer.
    connections: Vec<Outbox>,
    /// Alarms that came while it had no connection, and when.
    missed: VecDeque<(Duration, Push)>,
}

struct Outbox {
    connection: u64,
    waker: Waker,
    pushes: VecDeque<Push>,
    dropped: u64,
}

#[derive(Default)]
struct Camera {
    accounts: BTreeSet<Arc<str>>,
    /// Its own device; none while the camera is not known.
    device: Option<DeviceId>,
    /// The device whose presence is its state.
    source: Option<DeviceId>,
    /// The last moment that was given to what is said of it without a time.
    moment: Option<Timestamp>,
    /// What was said of its state last, and when.
    said: Option<(Option<bool>, Timestamp)>,
    /// The state that was told last, and when.
    told: Option<(Option<bool>, Duration)>,
}

/// The registry.
#[derive(Default)]
pub struct Registry {
    inside: Mutex<Inside>,
}

/// What is behind the lock.
#[derive(Default)]
pub(crate) struct Inside {
    vault: Option<Vault>,
    accounts: BTreeMap<Arc<str>, Account>,
    cameras: BTreeMap<Arc<str>, Camera>,
    /// Which cameras each device speaks for: its own, and those whose source it is.
    speakers: HashMap<DeviceId, BTreeSet<Arc<str>>>,
    /// Whether each device is there and since when, as far as anything is known of it.
    there: HashMap<DeviceId, (bool, Timestamp)>,
    /// Bindings that are being taken away: account and camera.
    leaving: BTreeSet<(Arc<str>, Arc<str>)>,
    /// Cameras whose state was told too short a while ago, and when they may be told of again.
    unsettled: BTreeMap<Arc<str>, Duration>,
    pub(crate) settle_after: Duration,
    /// How long an alarm waits for an account that is not there.
    pub(crate) missed_for: Duration,
    connections: u64,
    wakers: Vec<Waker>,
    orphans: Vec<Draft>,
    steward: Option<Waker>,
    unreadable: u64,
}

impl std::fmt::Debug for Registry {
    /// No password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// Does something with what is behind the lock, and wakes whom it concerns afterwards.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Inside) -> R) -> R {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut inside);
        let wakers = std::mem::take(&mut inside.wakers);
        drop(inside);
        wakers.into_iter().for_each(Waker::wake);
        result
    }
}

impl Inside {
    /// Takes the key that opens and seals passwords.
    pub(crate) fn entrust(&mut self, key: &[u8; 32]) {
        self.vault = Some(Vault::new(key));
    }

    /// Takes in what was noted.
    pub(crate) fn recall(&mut self, all: &mut dyn Iterator<Item = (Bytes, Bytes)>) {
        for (key, value) in all {
            let taken = match notes::read(&key, &value) {
                Some(notes::Noted::Binding { account, camera, sealed }) => {
                    let password = self.vault.as_ref().and_then(|vault| vault.open(&key, &sealed));
                    password.map(|password| self.insert(&account, &camera, password, true))
                }
                Some(notes::Noted::Visit { account, visit }) => {
                    self.accounts.entry(account).or_default().last = Some(visit);
                    Some(())
                }
                None => None,
            };
            self.unreadable += u64::from(taken.is_none());
        }
    }

    /// Takes in which cameras there are: name, own device, and the device whose presence is its state.
    pub(crate) fn know(&mut self, cameras: Vec<(Arc<str>, DeviceId, DeviceId)>) {
        self.speakers.clear();
        self.cameras.values_mut().for_each(|camera| (camera.device, camera.source) = (None, None));
        for (name, device, source) in cameras {
            for speaker in [&device, &source] {
                self.speakers.entry(speaker.clone()).or_default().insert(Arc::clone(&name));
            }
            let camera = self.cameras.entry(name).or_default();
            (camera.device, camera.source) = (Some(device), Some(source));
        }
        self.cameras.retain(|_, camera| camera.source.is_some() || !camera.accounts.is_empty());
    }

    /// An account logged in: the visit before, and the note that keeps this one.
    pub(crate) fn visit(&mut self, account: &Arc<str>, visit: Visit) -> (Option<Visit>, Note) {
        let note = notes::visit(account, &visit);
        (self.accounts.entry(Arc::clone(account)).or_default().last.replace(visit), note)
    }

    /// A connection of an account that is to be told of what happens.
    pub(crate) fn attach(&mut self, account: &Arc<str>, waker: Waker) -> Place {
        self.connections += 1;
        let outbox = Outbox { connection: self.connections, waker, pushes: VecDeque::new(), dropped: 0 };
        let own = &mut self.accounts.entry(Arc::clone(account)).or_default().connections;
        // Most accounts have one, and room for four would be the most of what it takes.
        own.reserve_exact(1);
        own.push(outbox);
        Place { account: Arc::clone(account), connection: self.connections }
    }

    /// It is gone.
    pub(crate) fn detach(&mut self, place: &Place) {
        if let Some(account) = self.accounts.get_mut(&place.account) {
            account.connections.retain(|outbox| outbox.connection != place.connection);
            account.connections.shrink_to_fit();
        }
    }

    /// The alarms that an account missed and that are not too old; they are told once.
    pub(crate) fn missed(&mut self, account: &str, now: Duration) -> Vec<Push> {
        let missed_for = self.missed_for;
        let missed = self.accounts.get_mut(account).map(|account| std::mem::take(&mut account.missed));
        let missed = missed.into_iter().flatten().filter(|(at, _)| now < *at + missed_for);
        missed.map(|(_, push)| push).collect()
    }

    /// What a connection is to be told, and how much was dropped before it.
    pub(crate) fn pushes(&mut self, place: &Place) -> (VecDeque<Push>, u64) {
        let account = self.accounts.get_mut(&place.account);
        let mut connections = account.into_iter().flat_map(|account| &mut account.connections);
        connections
            .find(|outbox| outbox.connection == place.connection)
            .map(|outbox| (std::mem::take(&mut outbox.pushes), std::mem::take(&mut outbox.dropped)))
            .unwrap_or_default()
    }

    /// The cameras of an account, as they are now.
    pub(crate) fn cameras_of(&self, account: &str) -> Vec<Arc<Binding>> {
        let account = self.accounts.get(account);
        account.into_iter().flat_map(|account| account.bindings.values().filter(|one| one.is_kept).cloned()).collect()
    }

    /// Whether a camera is there; none where nothing is known of it. The last word counts, whoever had it.
    pub(crate) fn state(&self, camera: &str) -> Option<bool> {
        let camera = self.cameras.get(camera)?;
        let there = self.there.get(camera.source.as_ref()?);
        match (there, camera.said) {
            (Some((there, since)), Some((_, at))) if at < *since => Some(*there),
            (_, Some((said, _))) => said,
            (Some((there, _)), None) => Some(*there),
            (None, None) => None,
        }
    }

    /// Binds a camera, whose password was checked. None where it is bound so already.
    ///
    /// # Errors
    /// `Full` when a limit is reached.
    pub(crate) fn bind(
        &mut self,
        place: (&Arc<str>, &DeviceId),
        camera: &str,
        password: &str,
        nonce: NonceBytes,
        limits: BindingLimits,
    ) -> Result<Option<Draft>, Full> {
        let (account, device) = place;
        let camera: Arc<str> = camera.into();
        if self.leaving.contains(&(Arc::clone(account), Arc::clone(&camera))) {
            return Err(Full::Leaving);
        }
        let own = self.accounts.get(account);
        let before = own.and_then(|own| own.bindings.get(&camera)).cloned();
        if before.as_ref().is_some_and(|before| before.is_kept && *before.password == *password) {
            return Ok(None);
        }
        if before.is_none() {
            if self.cameras.get(&camera).is_some_and(|camera| camera.accounts.len() >= limits.accounts_per_camera) {
                return Err(Full::Camera);
            }
            if own.is_some_and(|own| own.bindings.len() >= limits.cameras_per_account) {
                return Err(Full::Account);
            }
        }
        let key = notes::binding_key(account, &camera);
        // Without a key nothing outlives the process.
        let vault = self.vault.get_or_insert_with(|| Vault::new(&[0; 32]));
        let note = notes::binding(key.clone(), vault.seal(nonce, &key, password));
        self.insert(account, &camera, password.into(), false);
        Ok(Some(Draft { account: Arc::clone(account), camera, device: device.clone(), note, before }))
    }

    fn insert(&mut self, account: &Arc<str>, camera: &Arc<str>, password: Box<str>, is_kept: bool) {
        self.cameras.entry(Arc::clone(camera)).or_default().accounts.insert(Arc::clone(account));
        let binding = Arc::new(Binding { camera: Arc::clone(camera), password, is_kept });
        self.accounts.entry(Arc::clone(account)).or_default().bindings.insert(Arc::clone(camera), binding);
    }

    /// A binding is stored.
    pub(crate) fn kept(&mut self, draft: &Draft) {
        let account = self.accounts.get_mut(&draft.account);
        if let Some(binding) = account.and_then(|account| account.bindings.get_mut(&draft.camera)) {
            let (camera, password) = (Arc::clone(&binding.camera), binding.password.clone());
            *binding = Arc::new(Binding { camera, password, is_kept: true });
        }
    }

    /// A binding is not stored: it never was, and the one before it stands.
    pub(crate) fn give_up(&mut self, draft: &Draft) {
        if let Some(before) = draft.before.as_ref().filter(|before| before.is_kept) {
            return self.insert(&draft.account, &draft.camera, before.password.clone(), true);
        }
        self.part(&draft.account, &draft.camera);
    }

    /// An account does not have a camera.
    fn part(&mut self, account: &str, camera: &str) {
        if let Some(account) = self.accounts.get_mut(account) {
            account.bindings.remove(camera);
        }
        if let Some(camera) = self.cameras.get_mut(camera) {
            camera.accounts.remove(account);
        }
    }

    /// A connection is gone before it knew whether a binding was stored: the steward stores it again.
    pub(crate) fn adopt(&mut self, draft: Draft) {
        match &self.steward {
            Some(steward) => {
                self.wakers.push(steward.clone());
                self.orphans.push(draft);
            }
            None => self.give_up(&draft),
        }
    }

    fn orphans(&mut self) -> Vec<Draft> {
        std::mem::take(&mut self.orphans)
    }

    /// The presence of a device changed.
    pub(crate) fn presence(&mut self, now: Now, device: &DeviceId, evidence: &Evidence) {
        let since = evidence.since.unwrap_or(now.wall);
        match evidence.presence {
            Presence::ConnectedFresh => drop(self.there.insert(device.clone(), (true, since))),
            Presence::ConnectedSilent | Presence::Offline => drop(self.there.insert(device.clone(), (false, since))),
            Presence::Never => drop(self.there.remove(device)),
        }
        self.tell_states(now, device);
    }

    /// A device was removed.
    pub(crate) fn removed(&mut self, now: Now, device: &DeviceId) {
        self.there.remove(device);
        self.tell_states(now, device);
    }

    /// A device said whether its cameras are there.
    pub(crate) fn said(&mut self, now: Now, device: &DeviceId, state: Option<bool>, at: Timestamp) {
        for name in self.speakers.get(device).into_iter().flatten() {
            if let Some(camera) = self.cameras.get_mut(name)
                && camera.said.is_none_or(|(_, before)| before <= at)
            {
                camera.said = Some((state, at));
            }
        }
        self.tell_states(now, device);
    }

    fn tell_states(&mut self, now: Now, device: &DeviceId) {
        for camera in self.speakers.get(device).cloned().unwrap_or_default() {
            self.tell_state(&camera, now.elapsed);
        }
    }

    /// Tells the state of a camera if it changed, unless that was told a short while ago: then once it has settled.
    fn tell_state(&mut self, name: &Arc<str>, now: Duration) {
        let (state, settle_after) = (self.state(name), self.settle_after);
        let Some(camera) = self.cameras.get_mut(name) else { return };
        if camera.told.is_some_and(|(told, _)| told == state) {
            self.unsettled.remove(name);
            return;
        }
        let due = camera.told.map_or(Duration::ZERO, |(_, at)| at + settle_after);
        if due > now {
            self.unsettled.insert(Arc::clone(name), due);
            self.wakers.extend(self.steward.clone());
            return;
        }
        self.unsettled.remove(name);
        camera.told = Some((state, now));
        self.push(now, name, &Push::State(Arc::clone(name), state));
    }

    /// Tells what has settled; when there will be more.
    fn settle(&mut self, now: Duration) -> Option<Duration> {
        let due: Vec<_> =
            self.unsettled.iter().filter(|(_, at)| **at <= now).map(|(name, _)| Arc::clone(name)).collect();
        for name in &due {
            self.tell_state(name, now);
        }
        self.unsettled.values().min().copied()
    }

    /// A device raised an alarm.
    pub(crate) fn alarm(&mut self, now: Now, device: &DeviceId, what: &str) {
        let what: Arc<str> = what.get(..what.floor_char_boundary(ALARM_BYTES_MAX)).unwrap_or_default().into();
        for camera in self.speakers.get(device).cloned().unwrap_or_default() {
            self.push(now.elapsed, &camera, &Push::Alarm(Arc::clone(&camera), Arc::clone(&what)));
        }
    }

    fn push(&mut self, now: Duration, camera: &Arc<str>, push: &Push) {
        let Some(camera) = self.cameras.get(camera) else { return };
        for account in &camera.accounts {
            let Some(account) = self.accounts.get_mut(account) else { continue };
            let waits = account.connections.is_empty() && !self.missed_for.is_zero();
            if waits && matches!(push, Push::Alarm(..)) {
                if account.missed.len() >= MISSED_MAX {
                    account.missed.pop_front();
                }
                account.missed.push_back((now, push.clone()));
            }
            for outbox in &mut account.connections {
                if outbox.pushes.len() >= PUSHES_MAX {
                    outbox.pushes.pop_front();
                    outbox.dropped += 1;
                }
                outbox.pushes.push_back(push.clone());
                self.wakers.push(outbox.waker.clone());
            }
        }
    }
}
