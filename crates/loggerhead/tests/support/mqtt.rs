//! A plain MQTT client on a Unix socket, which keeps its side of a session over as many connections as it takes.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loggerhead_protocols::mqtt::decode::read;
use loggerhead_protocols::mqtt::encode::to_bytes;
use loggerhead_protocols::mqtt::frame::BODY_BYTES_MAX;
use loggerhead_protocols::mqtt::message::{Ack, Connect, Level, Options, Packet, Publish, Qos, Subscribe};
use loggerhead_protocols::mqtt::properties::Properties;
use loggerhead_protocols::mqtt::reason::Reason;

/// How long a client waits for an answer before it takes the connection for dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long it waits before it connects again.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
const LEVEL: Level = Level::V4;

/// A client with a session that lasts.
pub(crate) struct Client {
    path: PathBuf,
    name: String,
    stream: Option<UnixStream>,
    held: Vec<u8>,
    /// Identifiers of messages of QoS 2 that were received and not released.
    received: BTreeSet<u16>,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// A message that did not come before on this identifier.
    Message(Qos, String),
    /// An acknowledgement of a message of this client.
    Acknowledged(&'static str, u16),
    /// Something of no consequence.
    Other,
}

impl Client {
    pub(crate) fn new(path: &Path, name: &str) -> Self {
        let (path, name) = (path.to_owned(), name.to_owned());
        Self { path, name, stream: None, held: Vec::new(), received: BTreeSet::new() }
    }

    /// Connects, if the broker is there; whether it is in.
    pub(crate) fn enter(&mut self) -> bool {
        self.held.clear();
        self.stream = UnixStream::connect(&self.path).ok();
        let connect = Connect {
            level: LEVEL,
            clean_start: false,
            keep_alive_s: 0,
            properties: Properties::NONE,
            client_id: &self.name.clone(),
            will: None,
            user: Some("admin"),
            password: Some(b"123456"),
        };
        let is_in = self.send(&Packet::Connect(connect)) && self.next(ANSWER_WITHIN).is_some();
        if !is_in {
            std::thread::sleep(AGAIN_AFTER);
        }
        is_in
    }

    /// Subscribes with QoS 2; whether the answer came.
    pub(crate) fn subscribe(&mut self, filter: &str) -> bool {
        let filters = vec![(filter, Options { qos: Qos::ExactlyOnce, ..Options::default() })];
        self.send(&Packet::Subscribe(Subscribe { id: 1, properties: Properties::NONE, filters }))
            && self.next(ANSWER_WITHIN).is_some()
    }

    /// Sends a packet; false when the connection is gone.
    fn send(&mut self, packet: &Packet<'_>) -> bool {
        let sent = self.stream.as_mut().map(|stream| stream.write_all(&to_bytes(packet, LEVEL)));
        matches!(sent, Some(Ok(())))
    }

    /// What comes next, answered as the standard says. `None`: nothing in that time, or the connection is gone.
    pub(crate) fn next(&mut self, within: Duration) -> Option<Came> {
        loop {
            let held = std::mem::take(&mut self.held);
            if let Some((packet, count)) = read(LEVEL, &held, BODY_BYTES_MAX).expect("a broker keeps the rules") {
                let came = self.take(&packet);
                self.held = held.get(count..).unwrap_or_default().to_vec();
                return Some(came);
            }
            self.held = held;
            let stream = self.stream.as_mut()?;
            stream.set_read_timeout(Some(within)).expect("a time that is not zero");
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.held.extend_from_slice(buffer.get(..count)?),
            }
        }
    }

    fn take(&mut self, packet: &Packet<'_>) -> Came {
        let ack = |id| Ack { id, reason: Reason::SUCCESS, properties: Properties::NONE };
        match packet {
            Packet::Publish(publish) => {
                let text = String::from_utf8_lossy(publish.payload).into_owned();
                let (is_new, answer) = match publish.qos {
                    Qos::AtMostOnce => (true, None),
                    Qos::AtLeastOnce => (true, Some(Packet::PubAck(ack(publish.id)))),
                    Qos::ExactlyOnce => (self.received.insert(publish.id), Some(Packet::PubRec(ack(publish.id)))),
                };
                if let Some(answer) = answer {
                    self.send(&answer);
                }
                if is_new { Came::Message(publish.qos, text) } else { Came::Other }
            }
            Packet::PubRel(release) => {
                self.received.remove(&release.id);
                self.send(&Packet::PubComp(ack(release.id)));
                Came::Other
            }
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => {
                Came::Acknowledged(packet.kind().name(), ack.id)
            }
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::Subscribe(_)
            | Packet::SubAck(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::PingResp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => Came::Other,
        }
    }

    /// Publishes until it is acknowledged to its last step, over as many connections as that takes.
    pub(crate) fn publish(&mut self, qos: Qos, id: u16, topic: &str, payload: &str) {
        let steps: &[&str] = if qos == Qos::ExactlyOnce { &["PUBREC", "PUBCOMP"] } else { &["PUBACK"] };
        let (mut step, mut dup) = (0, false);
        while let Some(awaited) = steps.get(step) {
            let properties = Properties::NONE;
            let sent = if step == 0 {
                let payload = payload.as_bytes();
                self.send(&Packet::Publish(Publish { dup, qos, retain: false, topic, id, properties, payload }))
            } else {
                self.send(&Packet::PubRel(Ack { id, reason: Reason::SUCCESS, properties }))
            };
            dup = true;
            let mut is_there = false;
            while sent && !is_there {
                match self.next(ANSWER_WITHIN) {
                    Some(came) => is_there = came == Came::Acknowledged(awaited, id),
                    None => break,
                }
            }
            if is_there {
                step += 1;
            } else {
                while !self.enter() {}
            }
        }
    }
}
