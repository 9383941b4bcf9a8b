//! What can go wrong with what an operator asks.

use std::io;
use std::path::PathBuf;

use loggerhead_model::{DeviceId, Identity, NameError};
use loggerhead_protocols::SettingsError;
use loggerhead_store::StoreError;

use crate::files::OpenError;

/// The head-end cannot start, or cannot take a new configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket could not be opened.
    #[error("listener {listener}: cannot listen on {address}: {source}")]
    Listen {
        /// The listener's name.
        listener: String,
        /// The address as it is written in the configuration.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// A thread of its own could not be had.
    #[error("listener {listener}: no thread of its own: {source}")]
    Thread {
        /// The listener's name.
        listener: String,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate or a key could not be used.
    #[error("listener {listener}: {path}: {reason}", path = path.display())]
    Tls {
        /// The listener's name.
        listener: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A protocol that is not in the table.
    #[error("{owner}: no protocol {protocol:?}")]
    Protocol {
        /// Who names it.
        owner: String,
        /// The word.
        protocol: String,
    },
    /// A protocol does not accept its settings.
    #[error("{owner}: {source}")]
    Settings {
        /// Whose settings.
        owner: String,
        /// Which setting, and why not.
        source: SettingsError,
    },
    /// Two devices of one name.
    #[error("two devices are called {name}")]
    Twice {
        /// The id, or the identity with its protocol.
        name: String,
    },
    /// The key of what is sealed cannot be had.
    #[error("{path}: {reason}", path = path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder of files cannot be had.
    #[error("the files of devices: {0}")]
    Files(#[from] OpenError),
    /// The store does not answer.
    #[error("cannot read the devices from the store: {0}")]
    Store(#[from] StoreError),
}

/// A device cannot be added, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Nobody of that name.
    #[error("no device {0}")]
    Unknown(DeviceId),
    /// The id is taken.
    #[error("there is a device {0} already")]
    IdTaken(DeviceId),
    /// The identity is taken.
    #[error("identity {identity} belongs to device {device} already")]
    IdentityTaken {
        /// The identity.
        identity: Identity,
        /// Whose it is.
        device: DeviceId,
    },
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A protocol that is not in the table.
    #[error("no protocol {0:?}")]
    Protocol(String),
    /// The protocol does not accept its settings.
    #[error("settings: {0}")]
    Settings(#[from] SettingsError),
    /// It stands in the configuration, which alone can change it.
    #[error("device {0} stands in the configuration: change it there")]
    Configured(DeviceId),
    /// It does not wait for a yes.
    #[error("device {0} is not pending")]
    NotPending(DeviceId),
    /// The limit of devices is reached.
    #[error("{0} devices are known, which is the limit")]
    Full(usize),
    /// The change could not be kept.
    #[error("the change could not be stored: {0}")]
    Store(#[from] StoreError),
}

/// A command cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nobody of that name.
    #[error("no device {0}")]
    Unknown(DeviceId),
    /// It may not log in yet.
    #[error("device {0} is not active")]
    NotActive(DeviceId),
    /// Too many commands wait for it.
    #[error("{waiting} commands wait for device {device} already")]
    Full {
        /// The device.
        device: DeviceId,
        /// How many wait.
        waiting: usize,
    },
    /// The command could not be kept.
    #[error("the command could not be stored: {0}")]
    Store(#[from] StoreError),
}
