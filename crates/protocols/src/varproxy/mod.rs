//! KUKA robots whose variables a proxy on the robot gives out: KUKAVARPROXY, OpenShowVar, C3 Bridge. We call the robot.

mod acceptor;
mod device;
mod readings;
mod session;
mod settings;
mod text;

pub mod discovery;
pub mod explain;
pub mod frame;
pub mod message;
pub mod services;

pub use self::device::Robot;
use crate::{Limits, Protocol, Transport};

/// The row for the table of protocols.
pub const PROTOCOL: Protocol = Protocol {
    name: "varproxy",
    title: "KUKA robots, variable proxy (KUKAVARPROXY, C3 Bridge)",
    port: 7000,
    transport: Transport::Called,
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
