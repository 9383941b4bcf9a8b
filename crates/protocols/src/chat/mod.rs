//! Chat over WebSocket: rooms, messages between people, and what was said while they were away; a JSON format, and the
//! texts of older clients.

mod acceptor;
mod device;
mod legacy;
mod mail;
mod requests;
mod session;
mod settings;

pub mod explain;
pub mod frame;
pub mod message;

use std::time::Duration;

use crate::{Limits, Protocol, Transport, office};

/// The row for the table of protocols.
pub const PROTOCOL: Protocol = Protocol {
    name: "chat",
    title: "chat over WebSocket: rooms and messages",
    port: 57211,
    transport: Transport::Streams,
    // A page may show a form before it logs in.
    limits: Limits { first_frame: Duration::from_secs(10), login: Duration::from_mins(2) },
    acceptor: acceptor::acceptor,
    exchange: Some(acceptor::exchange),
    check_device: office::exchange::check_account,
    device: device::device,
    explain: explain::explain,
};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vector_tests;
