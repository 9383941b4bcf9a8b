//! Devices as they are kept.

use std::fmt;

use loggerhead_model::{DeviceId, Evidence, Identity, Learnt, Site, Timestamp};
use zeroize::Zeroize;

/// A shared secret of a device. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes of a secret.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one place that checks a proof.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    /// Not the secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Whether a device may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// It may.
    Active,
    /// It waits for an operator's yes.
    Pending,
}

/// What a device has to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Login {
    /// That it knows its secret.
    Secret,
    /// That it knows its cipher key.
    Cipher,
    /// Nothing: its protocol has no proof, and its name is enough.
    Name,
    /// That it has the key of a certificate for its name, and nothing else.
    Certificate,
}

/// Who told us of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceSource {
    /// The configuration.
    Configuration,
    /// An operator, at run time.
    Operator,
    /// The device itself, by proving a secret of its listener.
    Enrolled,
}

/// A device as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Our name for it.
    pub id: DeviceId,
    /// The protocol that it speaks.
    pub protocol: String,
    /// Its name for itself.
    pub identity: Identity,
    /// Whether it may log in.
    pub state: DeviceState,
    /// What it proves itself with.
    pub secret: Option<Secret>,
    /// How it proves itself.
    pub login: Login,
    /// The protocol's own settings, as TOML; empty for none.
    pub settings: String,
    /// What its protocol found out about it.
    pub learnt: Learnt,
    /// When it was added; our clock.
    pub added_at: Timestamp,
    /// Who told us of it.
    pub source: DeviceSource,
    /// The place it belongs to, where somebody named one.
    pub site: Option<Site>,
}

/// The last known presence of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRecord {
    /// Whose.
    pub device: DeviceId,
    /// Its state, and what that rests on.
    pub evidence: Evidence,
}
