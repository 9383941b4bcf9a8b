//! Who waits for what becomes of a command.

use bytes::Bytes;
use loggerhead_model::{CommandId, DeviceId, Timestamp};

use super::Inside;
use super::message::Message;
use crate::mqtt::message::{Publish, Qos};
use crate::mqtt::properties::{Id, Value, Writer};

/// Commands whose sender waits for what becomes of them: more than the commands of some hundred devices that all have as
/// many as may wait for one.
const REPLIES_MAX: usize = 10_000;
/// Bytes that they take together: a correlation is of a client's making and may have 64 KiB.
const REPLIES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where to say what became of a command.
#[derive(Clone, Debug)]
pub(in crate::mqtt) struct Reply {
    topic: Box<str>,
    /// By what its sender knows it again, as a list of properties.
    properties: Box<[u8]>,
    qos: Qos,
    /// The account in whose name it is said.
    device: DeviceId,
}

impl Reply {
    /// `None` where the sender names no topic for it.
    pub(in crate::mqtt) fn to(publish: &Publish<'_>, device: &DeviceId) -> Option<Self> {
        let topic = publish.properties.text(Id::ResponseTopic)?.into();
        let mut list = Writer::default();
        if let Some(Value::Binary(correlation)) = publish.properties.find(Id::CorrelationData) {
            list.binary(Id::CorrelationData, correlation);
        }
        Some(Self { topic, properties: list.into_bytes().into(), qos: publish.qos, device: device.clone() })
    }

    /// Where it is said.
    pub(in crate::mqtt) fn topic(&self) -> &str {
        &self.topic
    }

    fn bytes(&self) -> usize {
        self.topic.len() + self.properties.len()
    }
}

impl Inside {
    /// Whether one more may wait.
    pub(in crate::mqtt) fn has_room_for(&self, reply: &Reply) -> bool {
        self.replies.len() < REPLIES_MAX && self.replies_bytes + reply.bytes() <= REPLIES_BYTES_MAX
    }

    /// Lets the sender of a command wait for its end, which every command has.
    pub(in crate::mqtt) fn await_end(&mut self, command: CommandId, reply: Reply) {
        self.replies_bytes += reply.bytes();
        self.replies.insert(command, reply);
    }

    /// A command has come to its end: tells its sender, if it waits for it.
    pub(in crate::mqtt) fn ended(&mut self, command: CommandId, payload: &[u8], now: Timestamp) {
        let Some(reply) = self.replies.remove(&command) else { return };
        self.replies_bytes -= reply.bytes();
        self.reply(reply, payload, now);
    }

    /// Tells the sender of a command something.
    pub(in crate::mqtt) fn reply(&mut self, reply: Reply, payload: &[u8], now: Timestamp) {
        let Reply { topic, properties, qos, device } = reply;
        let number = if qos == Qos::AtMostOnce { 0 } else { self.number() };
        let payload = Bytes::copy_from_slice(payload);
        let message = Message::of_parts(number, &topic, payload, properties, qos, false, None, None);
        self.publish_for(message, device, None, now);
    }
}
