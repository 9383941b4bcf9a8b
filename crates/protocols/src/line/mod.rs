//! Command lines with messages between people, as SuperSocket's chat example speaks them, and the small servers beside it.

mod acceptor;
mod commands;
mod device;
mod filter;
mod program;
mod session;
mod settings;

pub mod explain;
pub mod frame;
pub mod message;
pub mod text;

use std::time::Duration;

use crate::{Limits, Protocol, Transport, office};

/// The row for the table of protocols.
pub const PROTOCOL: Protocol = Protocol {
    name: "line",
    title: "command lines: Check, Chat, Confirm, HB",
    port: 2020,
    transport: Transport::Either,
    // A person types the first line.
    limits: Limits { first_frame: Duration::from_mins(1), login: Duration::from_mins(2) },
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
