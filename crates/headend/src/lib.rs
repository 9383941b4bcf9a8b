//! Everything asynchronous: listeners, the connection loop, identity, presence, the hub.
//!
//! [`HeadEnd`] is the door. Behind it, `serving` opens listeners, `connection` is the one loop of every connection,
//! `identity` knows who may log in, `device` and `presence` know who is there, `commands` carries orders, `hub` passes
//! committed batches on, and `journal` keeps what nobody waits for. Bytes are the business of the protocols, records of
//! the store.

mod alarm;
mod budget;
mod caller;
mod client_certificate;
mod clock;
mod commands;
pub mod config;
mod connection;
mod core;
mod data_doors;
mod datagrams;
mod device;
mod directory;
mod door;
mod ending;
mod error;
mod expiring;
pub mod files;
mod guest;
mod head_end;
mod hub;
mod identity;
mod journal;
mod keeping;
mod keyring;
mod listener;
mod listing;
mod mailbox;
mod metrics;
mod opening;
pub mod outgoing;
mod own_settings;
mod passed;
mod presence;
mod prompt;
mod proxy;
mod relay;
mod said;
mod scratch;
mod seat;
mod sending;
mod serving;
mod socket;
mod status;
mod steward;
#[cfg(test)]
mod testing;
mod throttle;
pub mod tls;
mod websocket;

pub use error::{CommandError, DeviceError, StartError};
pub use head_end::HeadEnd;
pub use hub::{Filter, Kinds, Live, Packet, SUBSCRIBER_BATCHES_MAX, Subscription};
pub use keeping::NotKept;
pub use listing::{DeviceOrder, DevicePage, DeviceQuery, DeviceSort, DeviceTally, SiteTally, Start};
pub use metrics::{Histogram, Metrics, ProtocolMetrics};
pub use said::Said;
pub use seat::{NoSeat, Seat};
pub use status::{
    BoundAddress, CommandStatus, DeviceCounters, DeviceStatus, Health, ListenerStatus, NewDevice, ReloadReport,
};
