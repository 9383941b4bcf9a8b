//! What operators see of the cameras, and may do to them.

use std::ops::Bound;
use std::sync::Arc;

use loggerhead_model::{DeviceId, Identity, Receipt, Records, Timestamp};

use super::{Camera, Inside, Registry, keeping, notes};

/// A camera, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraStatus {
    /// What it calls itself.
    pub name: Arc<str>,
    /// Its device; none for one that accounts have and nobody knows any more.
    pub device: Option<DeviceId>,
    /// The device whose presence is its state.
    pub source: Option<DeviceId>,
    /// Whether it is there; none where nothing is known.
    pub state: Option<bool>,
    /// The accounts that have it.
    pub accounts: Vec<Arc<str>>,
}

/// An account, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Main connections that it has now.
    pub connections: usize,
    /// When it logged in last, and whence.
    pub visit: Option<(Timestamp, Box<str>)>,
    /// The cameras that it has.
    pub cameras: Vec<Arc<str>>,
}

/// A binding that is being taken away: it stands until that is stored, and is not made anew meanwhile.
#[derive(Debug)]
pub struct Unbinding {
    registry: Arc<Registry>,
    pair: (Arc<str>, Arc<str>),
    device: DeviceId,
}

impl Unbinding {
    /// What the store is to keep.
    #[must_use]
    pub fn records(&self, now: Timestamp) -> Records {
        keeping(self.device.clone(), now, vec![notes::forget(&self.pair.0, &self.pair.1)])
    }

    /// It is stored: the account does not have the camera any more.
    #[expect(clippy::needless_pass_by_value, reason = "a receipt is used up by what it allows")]
    pub fn stored(self, receipt: Receipt) {
        let _ = receipt;
        let (account, camera) = &self.pair;
        self.registry.with(|inside| inside.part(account, camera));
    }
}

impl Drop for Unbinding {
    fn drop(&mut self) {
        self.registry.with(|inside| inside.leaving.remove(&self.pair));
    }
}

impl Registry {
    /// The first `count` cameras behind `after`, by name.
    #[must_use]
    pub fn cameras(&self, after: Option<&str>, count: usize) -> Vec<CameraStatus> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.with(|inside| {
            let cameras = inside.cameras.range::<str, _>((start, Bound::Unbounded)).take(count);
            cameras.map(|(name, camera)| inside.status(name, camera)).collect()
        })
    }

    /// The camera of a device.
    #[must_use]
    pub fn camera(&self, device: &DeviceId) -> Option<CameraStatus> {
        self.with(|inside| {
            let mut own = inside.speakers.get(device)?.iter().filter_map(|name| inside.cameras.get_key_value(name));
            let (name, camera) = own.find(|(_, camera)| camera.device.as_ref() == Some(device))?;
            Some(inside.status(name, camera))
        })
    }

    /// The moment of what is said now of the camera of a device, later than that of all before: of two states in one
    /// millisecond the second holds, and two alarms are two.
    #[must_use]
    pub fn moment(&self, device: &DeviceId, now: Timestamp) -> Timestamp {
        self.with(|inside| {
            let names = inside.speakers.get(device).into_iter().flatten();
            let mut moment = now;
            for name in names {
                let Some(camera) = inside.cameras.get_mut(name) else { continue };
                if camera.device.as_ref() == Some(device) {
                    let next = camera.moment.map(|last| Timestamp::from_unix_ms(last.unix_ms().saturating_add(1)));
                    moment = next.map_or(now, |next| next.max(now));
                    camera.moment = Some(moment);
                }
            }
            moment
        })
    }

    /// The cameras that a device speaks for: its own, and those whose source it is.
    #[must_use]
    pub fn spoken_for(&self, device: &DeviceId) -> Vec<Arc<str>> {
        self.with(|inside| inside.speakers.get(device).into_iter().flatten().cloned().collect())
    }

    /// The first `count` accounts behind `after`, by name: those that logged in once or have cameras.
    #[must_use]
    pub fn accounts(&self, after: Option<&str>, count: usize) -> Vec<AccountStatus> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.with(|inside| {
            let accounts = inside.accounts.range::<str, _>((start, Bound::Unbounded)).take(count);
            let status = accounts.map(|(name, account)| AccountStatus {
                name: Arc::clone(name),
                connections: account.connections.len(),
                visit: account.last.as_ref().map(|visit| (visit.at, visit.address.clone())),
                cameras: account.bindings.keys().cloned().collect(),
            });
            status.collect()
        })
    }

    /// Begins to take a camera from an account. `None`: it has no such camera, or that is being stored right now.
    #[must_use]
    pub fn unbind(self: &Arc<Self>, account: &str, camera: &str) -> Option<Unbinding> {
        self.with(|inside| {
            let (account, own) = inside.accounts.get_key_value(account)?;
            let (camera, _) = own.bindings.get_key_value(camera).filter(|(_, binding)| binding.is_kept)?;
            let pair = (Arc::clone(account), Arc::clone(camera));
            // Whose records they are: a camera that nobody knows any more has no device.
            let known = inside.cameras.get(camera).and_then(|camera| camera.device.clone());
            let named = || Identity::new(camera).ok().map(|identity| DeviceId::from_identity(&identity));
            let device = known.or_else(named)?;
            inside.leaving.insert(pair.clone()).then(|| Unbinding { registry: Arc::clone(self), pair, device })
        })
    }
}

impl Inside {
    fn status(&self, name: &Arc<str>, camera: &Camera) -> CameraStatus {
        CameraStatus {
            name: Arc::clone(name),
            device: camera.device.clone(),
            source: camera.source.clone(),
            state: self.state(name),
            accounts: camera.accounts.iter().cloned().collect(),
        }
    }
}
