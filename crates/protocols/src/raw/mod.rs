//! Devices that have no protocol at all: lines of text, or of JSON, whose values become readings.

mod acceptor;
mod answer;
mod device;
mod readings;
mod session;
mod settings;

pub mod explain;
pub mod frame;
pub mod message;

use crate::{Limits, Protocol, Transport};

/// The row for the table of protocols. The port is that of serial device servers, behind which such devices mostly are.
pub const PROTOCOL: Protocol = Protocol {
    name: "raw",
    title: "devices without a protocol: lines of text or JSON",
    port: 4001,
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
