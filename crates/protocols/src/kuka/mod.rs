//! KUKA robots that report over EthernetKRL: XML documents and raw elements, over TCP or UDP.

mod acceptor;
mod answer;
mod configuration;
mod device;
mod orders;
mod readings;
mod redaction;
mod session;
mod settings;

pub mod explain;
pub mod frame;
pub mod message;

use crate::{Limits, Protocol, Transport};

/// The row for the table of protocols.
pub const PROTOCOL: Protocol = Protocol {
    name: "kuka",
    title: "KUKA robots, EthernetKRL over TCP and UDP",
    port: 54600,
    transport: Transport::Either,
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
