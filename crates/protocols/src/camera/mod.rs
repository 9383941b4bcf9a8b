//! A camera platform for apps: logins, lists of bound cameras over data connections, states and alarms as they happen;
//! and a small side for cameras themselves.

mod acceptor;
mod device;
mod session;
mod settings;

pub mod explain;
pub mod frame;
pub mod message;

use std::time::Duration;

use crate::{Limits, Protocol, Transport};

/// The row for the table of protocols.
pub const PROTOCOL: Protocol = Protocol {
    name: "camera",
    title: "camera platform: SocketCommand lines of apps, and cameras",
    port: 2021,
    transport: Transport::Streams,
    // A person types the password anew after a LoginError.
    limits: Limits { first_frame: Duration::from_mins(1), login: Duration::from_mins(2) },
    acceptor: acceptor::acceptor,
    exchange: Some(acceptor::exchange),
    check_device: acceptor::check_device,
    device: device::device,
    explain: explain::explain,
};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vector_tests;
