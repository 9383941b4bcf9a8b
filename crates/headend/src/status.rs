//! What operators are told about devices, commands and listeners.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use loggerhead_model::{CommandId, CommandState, DeviceId, Evidence, Identity, Learnt, Order, Site, Timestamp};
use loggerhead_store::{DeviceSource, DeviceState, Login, Secret};

use crate::config::Enroll;

/// A device, whether it is there, and what it did since the process started.
#[derive(Clone, Debug, serde::Serialize)]
pub struct DeviceStatus {
    /// Our name for it.
    pub id: DeviceId,
    /// Which protocol it speaks.
    pub protocol: String,
    /// Its name for itself.
    pub identity: Identity,
    /// The place it belongs to: the one that somebody named, or what stands before the first `/` of its identity.
    pub site: Option<String>,
    /// Whether it may log in.
    pub state: DeviceState,
    /// Who told us about it.
    pub source: DeviceSource,
    /// When it became known; our clock. None for a device that only the configuration knows.
    pub added_at: Option<Timestamp>,
    /// Whether it is there, and how we know.
    pub evidence: Evidence,
    /// What it did since the process started.
    pub counters: DeviceCounters,
    /// What its protocol found out about it, such as the dialect.
    pub learnt: Learnt,
}

/// What a device did since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DeviceCounters {
    /// Times that it logged in.
    pub logins: u64,
    /// Claims in its name that were not believed.
    pub refusals: u64,
    /// Bytes received while it was logged in.
    pub bytes_in: u64,
    /// Bytes sent while it was logged in.
    pub bytes_out: u64,
    /// Packets that are stored.
    pub packets: u64,
    /// Readings in its packets, resent ones too.
    pub readings: u64,
    /// Times that it broke the rules of its protocol.
    pub faults: u64,
    /// Messages for it that were dropped, since too many waited.
    pub dropped: u64,
}

/// A device that an operator adds.
#[derive(Clone)]
pub struct NewDevice {
    /// Our name for it; made from the identity where none is given.
    pub id: Option<DeviceId>,
    /// Which protocol it speaks.
    pub protocol: String,
    /// Its name for itself.
    pub identity: Identity,
    /// With what it proves who it is.
    pub secret: Option<Secret>,
    /// What it has to prove.
    pub login: Login,
    /// The protocol's own settings of it.
    pub settings: toml::Table,
    /// The place it belongs to, where its identity does not say it.
    pub site: Option<Site>,
}

impl fmt::Debug for NewDevice {
    /// Everything but the secret and the settings, which hold keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NewDevice({:?}, {}, {})", self.id, self.protocol, self.identity)
    }
}

/// A command and what became of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CommandStatus {
    /// Its name.
    pub id: CommandId,
    /// To whom.
    pub device: DeviceId,
    /// What is asked; a key in it is replaced by `***`.
    pub order: Order,
    /// How far it is.
    pub state: CommandState,
    /// When it was taken; our clock.
    pub accepted_at: Timestamp,
    /// When its state last changed; our clock.
    pub changed_at: Timestamp,
}

/// Where a listener really listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BoundAddress {
    /// With the real port where the configuration said 0.
    Tcp(SocketAddr),
    /// The same for UDP.
    Udp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
    /// Nowhere: this peer is called.
    Call(String),
}

impl fmt::Display for BoundAddress {
    /// As in the configuration: `[::]:36829`, `unix:/run/loggers.sock`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Udp(address) => write!(formatter, "udp:{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Call(to) => write!(formatter, "call:{to}"),
        }
    }
}

/// A listener and what it lets in. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    /// Its name in the configuration.
    pub name: String,
    /// What is spoken there.
    pub protocol: String,
    /// Where it really listens.
    pub addresses: Vec<BoundAddress>,
    /// What becomes of unknown devices.
    pub enroll: Enroll,
    /// Whether it speaks TLS.
    pub has_tls: bool,
    /// Connections that are open now.
    pub connections: usize,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_address_max: usize,
    /// From the connection to its first whole frame.
    pub first_frame: Duration,
    /// From the connection to its login.
    pub login: Duration,
}

/// Whether the head-end does its work.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Health {
    /// The process runs and its parts answer.
    pub live: bool,
    /// It accepts devices and keeps what they send.
    pub ready: bool,
    /// Why it is not ready, in words; empty when it is.
    pub reasons: Vec<String>,
}

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ReloadReport {
    /// Listeners that were opened.
    pub listeners_opened: Vec<String>,
    /// Listeners that were closed; their connections went with them.
    pub listeners_closed: Vec<String>,
    /// Listeners that took new settings and kept their connections.
    pub listeners_changed: Vec<String>,
    /// Devices that were added.
    pub devices_added: Vec<DeviceId>,
    /// Devices that changed; where it concerns how they log in, their sessions start anew.
    pub devices_changed: Vec<DeviceId>,
    /// Devices that were removed.
    pub devices_removed: Vec<DeviceId>,
}
