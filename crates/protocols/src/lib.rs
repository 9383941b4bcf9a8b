//! Every byte on every wire that Loggerhead speaks.
//!
//! A protocol is one folder and one line in [`ALL`]. Nothing here opens a socket, reads a clock or makes a random number:
//! bytes, time and entropy come in through [`Session::handle`], bytes and requests go out through [`Session::poll`].

mod encoding;
mod explain;
mod fault;
mod faults;
mod files;
mod opener;
mod peer;
mod rate;
mod reconnect;
mod recorder;
mod references;
mod reporter;
mod session;
mod settings;
mod simulated;
mod steward;
#[cfg(test)]
mod vectors;
mod wire;

pub mod base64;
pub mod bindings;
pub mod camera;
pub mod chat;
pub mod kuka;
pub mod line;
pub mod logger;
pub mod mqtt;
pub mod office;
pub mod pair;
pub mod raw;
pub mod relay;
pub mod rsi;
pub mod scram;
pub mod socks;
pub mod standing;
pub mod upload;
pub mod varproxy;
pub mod websocket;

pub use explain::{Explain, Explanation, Field, Judgement};
pub use fault::{Fault, FaultKind};
pub use files::{Collision, FileFailure, FileNews, FileOffer, FileStep, FileSums, KeptFile, Start};
pub use session::{
    Acceptor, Admission, Answer, Carrier, Check, Claim, CloseReason, Company, Counterproof, DataDoor, DropCause,
    Exchange, Fit, Form, Input, Known, Limits, MutualCheck, News, Now, OpenSession, Opening, Output, Proof, Question,
    Refusal, Session, Untaken, Verdict,
};
pub use settings::{SettingsError, hint, near, none_of};

/// Makes the head-end's side of a listener.
pub type MakeAcceptor =
    fn(&toml::Table, &mut dyn Iterator<Item = DeviceSettings<'_>>) -> Result<Box<dyn Acceptor>, SettingsError>;

/// Makes what all sessions of a protocol share.
pub type MakeExchange = fn() -> std::sync::Arc<dyn Exchange>;

/// Makes the device's side of its conversations.
pub type MakeDevice = fn(&toml::Table, Opening) -> Result<Box<dyn Session>, SettingsError>;

/// What a protocol goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Streams of bytes: TCP, TLS, Unix sockets.
    Streams,
    /// These, or UDP: nothing in it rests on bytes arriving, or in order.
    Either,
    /// UDP alone.
    Datagrams,
    /// Streams that the head-end opens: its peers are called.
    Called,
}

impl Transport {
    /// Whether peers may come over UDP.
    #[must_use]
    pub const fn takes_datagrams(self) -> bool {
        matches!(self, Self::Either | Self::Datagrams)
    }

    /// Whether they may come over streams.
    #[must_use]
    pub const fn takes_streams(self) -> bool {
        matches!(self, Self::Streams | Self::Either)
    }

    /// Whether they may be called.
    #[must_use]
    pub const fn takes_calls(self) -> bool {
        !matches!(self, Self::Datagrams)
    }
}

/// One protocol: everything that the rest of Loggerhead needs in order to serve, simulate and explain it.
pub struct Protocol {
    /// The word for it in configuration, verbs, metrics and logs.
    pub name: &'static str,
    /// What it is, in a line for people.
    pub title: &'static str,
    /// The port on which its devices expect a head-end.
    pub port: u16,
    /// What it goes over.
    pub transport: Transport,
    /// How long a peer may take to say who it is, unless a listener says otherwise.
    pub limits: Limits,
    /// Makes the head-end's side of a listener from its settings and those of the devices that it serves.
    pub acceptor: MakeAcceptor,
    /// Makes what its sessions share across listeners, where they share anything.
    pub exchange: Option<MakeExchange>,
    /// Checks the protocol's own settings of one device.
    pub check_device: fn(&toml::Table) -> Result<(), SettingsError>,
    /// Makes the device's side of a conversation, for simulation and tests.
    pub device: MakeDevice,
    /// Gives every byte of a capture its meaning.
    pub explain: fn(&Explain<'_>) -> Explanation,
}

/// The protocol's own settings of one device, such as its cipher key.
#[derive(Clone, Copy, Debug)]
pub struct DeviceSettings<'a> {
    /// Our name for it.
    pub id: &'a loggerhead_model::DeviceId,
    /// The device's name for itself.
    pub identity: &'a loggerhead_model::Identity,
    /// Its settings.
    pub table: &'a toml::Table,
}

/// The table of protocols.
pub static ALL: &[Protocol] = &[
    logger::PROTOCOL,
    mqtt::PROTOCOL,
    line::PROTOCOL,
    chat::PROTOCOL,
    camera::PROTOCOL,
    kuka::PROTOCOL,
    rsi::PROTOCOL,
    raw::PROTOCOL,
    socks::PROTOCOL,
    varproxy::PROTOCOL,
    upload::PROTOCOL,
];

/// The protocol of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Protocol> {
    ALL.iter().find(|protocol| protocol.name == name)
}
