//! What a server takes of a client, as it says in its CONNACK. A client keeps to it.

use super::message::{ConnAck, Publish, Qos};
use super::properties::Id;

/// What a server takes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Messages of QoS 1 and 2 that may wait for their acknowledgement.
    pub receive_max: u16,
    /// Longest pause between two packets of the client, in seconds; 0 for any.
    pub keep_alive_s: u16,
    qos_max: Qos,
    keeps_messages: bool,
    packet_bytes_max: usize,
}

impl Granted {
    /// What this answer says to a client that asked for a keep alive of `asked_s` seconds; what it does not say has no limit.
    /// Source: \[2\] §3.2.2.3.
    #[must_use]
    pub fn of(answer: &ConnAck<'_>, asked_s: u16) -> Self {
        let said = answer.properties;
        let qos_max = said.number(Id::MaximumQos).map(|number| number & 1 == 1);
        Self {
            receive_max: said.two(Id::ReceiveMaximum).unwrap_or(u16::MAX),
            keep_alive_s: said.two(Id::ServerKeepAlive).unwrap_or(asked_s),
            qos_max: match qos_max {
                None => Qos::ExactlyOnce,
                Some(true) => Qos::AtLeastOnce,
                Some(false) => Qos::AtMostOnce,
            },
            keeps_messages: said.number(Id::RetainAvailable) != Some(0),
            packet_bytes_max: said.number(Id::MaximumPacketSize).map_or(usize::MAX, |bytes| bytes as usize),
        }
    }

    /// Whether a message may be sent whose packet takes so many bytes.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, publish: &Publish<'_>, packet_bytes: usize) -> Result<(), String> {
        if publish.qos > self.qos_max {
            return Err(format!("the broker takes QoS {} at most", self.qos_max as u8));
        }
        if publish.retain && !self.keeps_messages {
            return Err("the broker keeps no messages".to_owned());
        }
        if packet_bytes > self.packet_bytes_max {
            return Err(format!(
                "a packet of {packet_bytes} bytes: the broker takes {} at most",
                self.packet_bytes_max
            ));
        }
        Ok(())
    }
}
