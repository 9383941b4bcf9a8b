//! Files over TCP: a head in JSON, with or without a length before it, then the bytes of the file.

mod acceptor;
mod answer;
mod device;
mod session;
mod settings;

pub mod explain;
pub mod frame;
pub mod legitimacy;
pub mod message;

use crate::{Limits, Protocol, Transport};

/// The row for the table of protocols.
pub const PROTOCOL: Protocol = Protocol {
    name: "upload",
    title: "Files over TCP",
    port: 5002,
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
