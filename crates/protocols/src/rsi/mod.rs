//! KUKA robots that run the Robot Sensor Interface (RSI): a state every few milliseconds, each answered within its cycle.

mod acceptor;
mod answer;
mod device;
mod pins;
mod readings;
mod session;
mod settings;

pub mod explain;
pub mod frame;
pub mod message;

use crate::{Limits, Protocol, Transport};

/// The row for the table of protocols.
pub const PROTOCOL: Protocol = Protocol {
    name: "rsi",
    title: "KUKA robots, Robot Sensor Interface over UDP",
    port: 49152,
    transport: Transport::Datagrams,
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
