//! A relay that devices and operators ask by SOCKS 5, 4 and 4a, on one port.

mod acceptor;
mod area;
mod device;
mod rules;
mod session;
mod settings;

pub mod explain;
pub mod frame;
pub mod message;

use crate::{Limits, Protocol, Transport};

/// The row for the table of protocols.
pub const PROTOCOL: Protocol = Protocol {
    name: "socks",
    title: "SOCKS relay: 5, 4 and 4a",
    port: 1080,
    transport: Transport::Streams,
    limits: Limits::PROGRAMS,
    acceptor: acceptor::acceptor,
    exchange: None,
    check_device: acceptor::check_device,
    device: device::device,
    explain: explain::explain,
};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vector_tests;
