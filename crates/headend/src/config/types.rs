//! What a configuration says, after it was read and checked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use loggerhead_model::{DeviceId, Identity, Site};
use loggerhead_protocols::relay::upstream::Upstream;
use loggerhead_store::{FrameKeeping, Limits, Login, Options, Retention, Secret};

use super::schema;
use super::sockets::{SocketFiles, Sockets};
use crate::tls::Clients;

/// Everything that a head-end needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the store is.
    pub data_dir: PathBuf,
    /// How long stopping may take.
    pub stop_within: Duration,
    /// How long a command waits for its device.
    pub command_within: Duration,
    /// What is logged.
    pub log: Log,
    /// Whether the raw frames of packets are kept.
    pub frames: FrameKeeping,
    /// For how long things are kept.
    pub retention: Retention,
    /// Most names and words that devices may bring.
    pub limits: Limits,
    /// How much of the files of devices is kept.
    pub files: Files,
    /// Where people and their programs connect to.
    pub web: Web,
    /// What devices connect to.
    pub listeners: Vec<Listener>,
    /// The devices that the configuration knows.
    pub devices: Vec<Device>,
}

impl Config {
    /// How the store is to behave.
    #[must_use]
    pub fn store_options(&self) -> Options {
        Options { frames: self.frames, retention: self.retention, limits: self.limits, ..Options::default() }
    }

    /// The socket of the API, which is always there: private, in the data directory.
    #[must_use]
    pub fn api_socket(&self) -> PathBuf {
        self.data_dir.join(API_SOCKET)
    }
}

/// Name of the API's socket in the data directory.
pub const API_SOCKET: &str = "api.sock";

/// How much of the files of devices is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// Bytes of the files of one device.
    pub device_bytes_max: u64,
    /// Bytes of all files.
    pub total_bytes_max: u64,
    /// For how long a part is kept that nobody goes on with.
    pub partial_keep: Duration,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            device_bytes_max: schema::FILES_DEVICE_MB_DEFAULT * 1024 * 1024,
            total_bytes_max: schema::FILES_TOTAL_MB_DEFAULT * 1024 * 1024,
            partial_keep: Duration::from_mins(schema::FILES_PARTIAL_MINUTES_DEFAULT),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// What is worth a line: `info`, or a list such as `info,loggerhead_headend=debug`.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where people and their programs connect to, besides the socket in the data directory. The default is nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Web {
    /// TCP addresses; none: the socket only.
    pub addresses: Vec<SocketAddr>,
    /// A proxy in front has TLS, and says who asks.
    pub behind_proxy: bool,
    /// The file that holds a token which may do everything.
    pub token_file: Option<PathBuf>,
    /// Its certificate, for TLS.
    pub tls: Option<Tls>,
}

/// The files of a listener with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// Whose certificates are believed; none: peers are not asked for one.
    pub clients: Option<Clients>,
}

/// A listener whose devices speak their protocol over WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Origins of web pages that may connect, besides pages of the host itself: `https://panel.example`.
    pub origins: Vec<String>,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port; port 0 is any free one.
    Tcp(SocketAddr),
    /// The same for UDP, where the protocol goes over datagrams.
    Udp(SocketAddr),
    /// A socket file; with `@` in front a name that is no file, in the network namespace of the process.
    Unix(PathBuf),
    /// Sockets that the service manager has opened: all of that name, or the one of that number.
    Passed(String),
    /// A peer that is called instead, as `HOST:PORT`.
    Call(String),
}

impl fmt::Display for Address {
    /// As it is written: `[::]:36829`, `unix:/run/loggers.sock`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Udp(address) => write!(formatter, "udp:{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Passed(which) => write!(formatter, "fd:{which}"),
            Self::Call(to) => write!(formatter, "call:{to}"),
        }
    }
}

/// Ports for single connections of peers that are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataPorts {
    /// The lowest; 0: whatever port is free.
    pub first: u16,
    /// How many at once.
    pub count: u16,
}

impl DataPorts {
    /// Each is a socket: far below what a process may open.
    pub const COUNT_MAX: u16 = 1_000;
    /// As many at once where the ports are not named.
    const COUNT_DEFAULT: u16 = 100;

    /// `20000-20099`, a single port, or `0` for whatever is free. `None` for everything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if (first, last) == (0, 0) {
            return Some(Self { first, count: Self::COUNT_DEFAULT });
        }
        let count = last.checked_sub(first)?.checked_add(1)?;
        (first > 0 && count <= Self::COUNT_MAX).then_some(Self { first, count })
    }
}

/// What becomes of an unknown device that proves a secret of its listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enroll {
    /// It is not let in.
    #[default]
    Refuse,
    /// It waits for an operator's yes.
    Pending,
    /// It becomes a device.
    Accept,
}

/// A listener.
#[derive(Clone, PartialEq)]
pub struct Listener {
    /// Its name, in logs and metrics.
    pub name: String,
    /// Which protocol is spoken there.
    pub protocol: String,
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// IPv6 addresses take no IPv4 peers.
    pub v6_only: bool,
    /// How its TCP sockets behave.
    pub sockets: Sockets,
    /// Who may connect to its socket files.
    pub socket_files: SocketFiles,
    /// What becomes of unknown devices.
    pub enroll: Enroll,
    /// What unknown devices, and known ones without a secret of their own, may prove.
    pub secrets: Vec<Secret>,
    /// Proxies in front of it, whose connections begin with a PROXY header.
    pub proxies: Vec<IpAddr>,
    /// The proxy through which peers are called.
    pub call_through: Option<Upstream>,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_address_max: usize,
    /// Connections at once of a device that opens one for every message.
    pub connections_per_device_max: usize,
    /// Connections that are accepted in a second at each address; 0 for as many as come.
    pub connects_per_s_max: u32,
    /// Ports for single connections that its protocol asks for.
    pub data_ports: Option<DataPorts>,
    /// From the connection to its first whole frame.
    pub first_frame: Duration,
    /// From the connection to its login.
    pub login: Duration,
    /// Its certificate, for TLS.
    pub tls: Option<Tls>,
    /// Its protocol goes over WebSocket.
    pub websocket: Option<WebSocket>,
    /// The protocol's own settings. Hold keys.
    pub settings: toml::Table,
}

impl fmt::Debug for Listener {
    /// Everything but the protocol's settings, which hold keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Listener")
            .field("name", &self.name)
            .field("protocol", &self.protocol)
            .field("addresses", &self.addresses)
            .field("enroll", &self.enroll)
            .field("tls", &self.tls)
            .field("websocket", &self.websocket)
            .finish_non_exhaustive()
    }
}

/// A device.
#[derive(Clone, PartialEq)]
pub struct Device {
    /// Our name for it.
    pub id: DeviceId,
    /// Which protocol it speaks.
    pub protocol: String,
    /// Its name for itself.
    pub identity: Identity,
    /// With what it proves who it is.
    pub secret: Option<Secret>,
    /// What it has to prove.
    pub login: Login,
    /// The place it belongs to, where its identity does not say it.
    pub site: Option<Site>,
    /// The protocol's own settings of it. Hold keys.
    pub settings: toml::Table,
}

impl fmt::Debug for Device {
    /// Everything but the secret and the protocol's settings, which hold keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Device")
            .field("id", &self.id)
            .field("protocol", &self.protocol)
            .field("identity", &self.identity)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}
