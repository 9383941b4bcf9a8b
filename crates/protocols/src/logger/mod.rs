//! The building-energy data-logger protocol, in every dialect that devices speak.

mod acceptor;
mod challenge;
mod decode_talk;
mod device;
mod device_answers;
mod device_settings;
mod keys;
mod liveness;
mod login;
mod meter_line;
mod orders;
mod outbox;
mod outstanding;
mod session;
mod settings;
mod shape;
mod talk;

pub mod cipher;
pub mod compress;
pub mod crc;
pub mod decode;
pub mod dialect;
pub mod encode;
pub mod explain;
pub mod frame;
pub mod identity;
pub mod message;
pub mod text;
pub mod time;
pub mod xml;
pub mod xml_write;

use crate::{Limits, Protocol, Transport};

/// The row for the table of protocols.
pub const PROTOCOL: Protocol = Protocol {
    name: "logger",
    title: "building-energy data loggers, six dialects",
    port: 36829,
    transport: Transport::Streams,
    limits: Limits::PROGRAMS,
    acceptor: acceptor::acceptor,
    exchange: None,
    check_device: acceptor::check_device,
    device: device::device,
    explain: explain::explain,
};

#[cfg(test)]
mod frame_tests;
#[cfg(test)]
mod message_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vector_tests;
