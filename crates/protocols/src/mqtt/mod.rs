//! MQTT 3.1, 3.1.1 and 5: a broker whose acknowledgements are true.

mod acceptor;
mod access;
mod authenticating;
mod broker;
mod commands;
mod conversation;
mod device;
mod entering;
mod home_assistant;
mod news;
mod readings;
mod sending;
mod session;
mod settings;
mod sparkplug;
mod talk;
mod views;
mod work;

pub mod decode;
pub mod encode;
pub mod explain;
pub mod frame;
pub mod granted;
pub mod message;
pub mod properties;
pub mod reason;
pub mod topic;

use crate::{Limits, Protocol, Transport};

/// The row for the table of protocols.
pub const PROTOCOL: Protocol = Protocol {
    name: "mqtt",
    title: "MQTT 3.1, 3.1.1 and 5 broker",
    port: 1883,
    transport: Transport::Streams,
    limits: Limits::PROGRAMS,
    acceptor: acceptor::acceptor,
    exchange: Some(acceptor::exchange),
    check_device: acceptor::check_device,
    device: device::device,
    explain: explain::explain,
};

#[cfg(test)]
mod codec_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vector_tests;
