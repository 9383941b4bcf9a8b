//! Every known device, by our name and by its own.

use std::collections::HashMap;
use std::sync::{Arc, RwLock, RwLockReadGuard};

use loggerhead_model::{DeviceId, Identity};
use loggerhead_store::DeviceState;

use crate::device::Device;
use crate::error::DeviceError;

/// Most devices: 100 million channels of a thousand each would not fit one machine anyway.
pub(crate) const DEVICES_MAX: usize = 100_000;
/// Most devices that wait for a yes, so that whoever knows a listener's secret cannot fill the store with names.
pub(crate) const PENDING_MAX: usize = 1_000;

/// The devices.
#[derive(Default)]
pub(crate) struct Directory {
    rows: RwLock<Rows>,
}

#[derive(Default)]
struct Rows {
    by_id: HashMap<DeviceId, Arc<Device>>,
    by_identity: HashMap<(&'static str, Identity), Arc<Device>>,
}

impl Directory {
    pub(crate) fn by_id(&self, id: &DeviceId) -> Option<Arc<Device>> {
        self.read().by_id.get(id).map(Arc::clone)
    }

    pub(crate) fn by_identity(&self, protocol: &'static str, identity: &Identity) -> Option<Arc<Device>> {
        // The key is made of references in every other respect; an identity is cloned by counting.
        self.read().by_identity.get(&(protocol, identity.clone())).map(Arc::clone)
    }

    /// All of them, by id.
    pub(crate) fn all(&self) -> Vec<Arc<Device>> {
        let mut devices: Vec<_> = self.read().by_id.values().map(Arc::clone).collect();
        devices.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        devices
    }

    /// Visits all of them, in no order. The visitor must not look into the directory.
    pub(crate) fn visit(&self, visitor: impl FnMut(&Arc<Device>)) {
        self.read().by_id.values().for_each(visitor);
    }

    pub(crate) fn pending(&self) -> usize {
        self.read().by_id.values().filter(|device| device.rules().state == DeviceState::Pending).count()
    }

    /// Adds a device.
    ///
    /// # Errors
    /// `IdTaken`, `IdentityTaken` or `Full` when it cannot be.
    pub(crate) fn add(&self, device: Arc<Device>) -> Result<(), DeviceError> {
        let mut rows = self.rows.write().expect("nothing panics while it holds the directory");
        rows.vacant(&device.id, device.protocol, &device.identity)?;
        rows.by_identity.insert((device.protocol, device.identity.clone()), Arc::clone(&device));
        rows.by_id.insert(device.id.clone(), device);
        Ok(())
    }

    /// Forgets a device.
    pub(crate) fn remove(&self, id: &DeviceId) -> Option<Arc<Device>> {
        let mut rows = self.rows.write().expect("nothing panics while it holds the directory");
        let device = rows.by_id.remove(id)?;
        rows.by_identity.remove(&(device.protocol, device.identity.clone()));
        Some(device)
    }

    fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().expect("nothing panics while it holds the directory")
    }
}

impl Rows {
    fn vacant(&self, id: &DeviceId, protocol: &'static str, identity: &Identity) -> Result<(), DeviceError> {
        if self.by_id.contains_key(id) {
            return Err(DeviceError::IdTaken(id.clone()));
        }
        if let Some(device) = self.by_identity.get(&(protocol, identity.clone())) {
            return Err(DeviceError::IdentityTaken { identity: identity.clone(), device: device.id.clone() });
        }
        if self.by_id.len() >= DEVICES_MAX { Err(DeviceError::Full(DEVICES_MAX)) } else { Ok(()) }
    }
}
