//! Commands for devices of any protocol, given by publishing to `loggerhead/DEVICE/command`.
//!
//! The head-end stores a command before it is acknowledged. What becomes of it is kept under `loggerhead/DEVICE/command/state`,
//! and its end is said to the response topic that its sender named.

use loggerhead_model::{
    CommandId, CommandState, ControlLine, DeviceId, Event, EventKind, KeyKind, Order, Severity, Timestamp,
};
use serde::Deserialize;
use serde_json::json;

use super::broker::replies::Reply;
use super::encode::{Acknowledged, Safe};
use super::message::{Level, Publish, Qos};
use super::reason::{Breach, Reason};
use super::session::HeadEnd;
use super::work::Due;
use crate::{CloseReason, Fault, FaultKind, Now, Output, Question, Untaken};

/// A command as it is written: that of the API.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", tag = "order", deny_unknown_fields)]
enum Written {
    Period {
        minutes: u32,
    },
    Query {
        #[serde(default)]
        from: Option<String>,
        #[serde(default)]
        to: Option<String>,
    },
    Describe,
    Control {
        lines: Vec<ControlLine>,
    },
    SetKey {
        kind: KeyKind,
        key: String,
    },
}

/// A command that a client has given, and that the head-end has not taken yet. Nothing more is read until then.
pub(super) struct Given {
    device: DeviceId,
    /// To be asked once all that came before it is acknowledged.
    order: Option<Order>,
    /// None with QoS 0.
    acknowledged: Option<Acknowledged>,
    reply: Option<Reply>,
}

/// Why a command is not taken, for the client and for operators.
struct Declined(Reason, String);

/// The device that a message to this topic commands.
pub(super) fn device_of(topic: &str) -> Option<DeviceId> {
    let device = topic.strip_prefix("loggerhead/")?.strip_suffix("/command")?;
    DeviceId::new(device).ok()
}

/// What became of a command, as JSON.
pub(super) fn written(device: &DeviceId, id: CommandId, state: &CommandState, changed_at: Timestamp) -> Vec<u8> {
    let (state, detail) = (state.word(), state.detail());
    let changed_at = changed_at.to_string();
    json!({ "id": id.0, "device": device.as_str(), "state": state, "detail": detail, "changed_at": changed_at })
        .to_string()
        .into_bytes()
}

/// The order in a message. What is wrong is said without its words: there may be a key among them.
fn read(payload: &[u8]) -> Result<Order, String> {
    let written = serde_json::from_slice(payload).map_err(|error| {
        format!("a command that cannot be read, at column {}: write it as the API takes it", error.column())
    })?;
    let time = |text: Option<String>| text.map(|text| Timestamp::parse(&text)).transpose();
    let order = match written {
        Written::Period { minutes } => Order::Period { minutes },
        Written::Query { from, to } => {
            let span = time(from).and_then(|from| Ok((from, time(to)?)));
            let (from, to) = span.map_err(|error| error.to_string())?;
            Order::Query { from, to }
        }
        Written::Describe => Order::Describe,
        Written::Control { lines } => Order::Control { lines },
        Written::SetKey { kind, key } => Order::SetKey { kind, key },
    };
    order.check().map_err(|error| error.to_string())?;
    Ok(order)
}

impl HeadEnd {
    /// A message that commands a device.
    pub(super) fn give(
        &mut self,
        now: Now,
        device: DeviceId,
        topic: &str,
        publish: &Publish<'_>,
    ) -> Result<(), Breach> {
        let acknowledged = match publish.qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce | Qos::ExactlyOnce => match self.acknowledged(publish)? {
                Some(acknowledged) => Some(acknowledged),
                None => return Ok(()),
            },
        };
        let reply = self.device.as_ref().and_then(|own| Reply::to(publish, own));
        if !self.rules.may_command(topic, self.asker()) {
            let declined = Declined(Reason::NOT_AUTHORIZED, format!("may not command {device}"));
            self.decline(acknowledged, declined);
            return Ok(());
        }
        match self
            .check_reply(reply.as_ref())
            .and_then(|()| read(publish.payload).map_err(|wrong| Declined(Reason::PAYLOAD_FORMAT_INVALID, wrong)))
        {
            Ok(order) => self.given = Some(Box::new(Given { device, order: Some(order), acknowledged, reply })),
            Err(declined) => {
                let may_hear = declined.0 == Reason::PAYLOAD_FORMAT_INVALID;
                self.answer_declined(now, &device, reply.filter(|_| may_hear), &declined);
                self.decline(acknowledged, declined);
            }
        }
        Ok(())
    }

    /// Whether the sender may have its answer there: what it may not say itself is not said for it.
    fn check_reply(&self, reply: Option<&Reply>) -> Result<(), Declined> {
        let Some(reply) = reply else { return Ok(()) };
        if !self.rules.may_publish(reply.topic(), self.asker()) {
            return Err(Declined(Reason::NOT_AUTHORIZED, "a response topic that it may not publish to".to_owned()));
        }
        if !self.broker.with(|inside| inside.has_room_for(reply)) {
            return Err(Declined(Reason::QUOTA_EXCEEDED, "too many commands wait for their end".to_owned()));
        }
        Ok(())
    }

    /// Asks the head-end to take what was given, once everything before it is acknowledged: what comes later must not be
    /// acknowledged earlier.
    pub(super) fn ask_given(&mut self) {
        if self.waits() {
            return;
        }
        if let Some(given) = &mut self.given
            && let Some(order) = given.order.take()
        {
            let question = Question::Order(given.device.clone(), order);
            self.say(Output::Ask(question));
        }
    }

    /// The head-end has taken what was given, or not.
    pub(super) fn ordered(&mut self, now: Now, taken: Result<CommandId, Untaken>) {
        let Some(given) = self.given.take() else { return };
        let Given { device, acknowledged, reply, .. } = *given;
        let id = match taken {
            Ok(id) => id,
            Err(Untaken::NotStored) => {
                let because = CloseReason::Fault("the store could not keep a command".into());
                return self.end(Reason::UNSPECIFIED, because);
            }
            Err(untaken) => {
                let declined = of_untaken(untaken, &device);
                self.answer_declined(now, &device, reply, &declined);
                return self.decline(acknowledged, declined);
            }
        };
        if let Some(reply) = reply {
            self.broker.with(|inside| inside.await_end(id, reply));
        }
        self.say(Output::Event(Event {
            at: now.wall,
            severity: Severity::Info,
            kind: EventKind::Command,
            device: self.device.clone(),
            peer: None,
            text: format!("gave command {} to {device}, as client {}", id.0, self.client_id).into(),
        }));
        let Some(acknowledged) = acknowledged else { return };
        self.taken += 1;
        let note = self.place.and_then(|place| self.broker.with(|inside| inside.receive(place, acknowledged)));
        self.work().due_notes.extend(note);
        self.work().due.push(Due { acknowledged, pending: None });
        self.store_due(now);
    }

    /// Says on the response topic that a command was not taken.
    fn answer_declined(&self, now: Now, device: &DeviceId, reply: Option<Reply>, declined: &Declined) {
        let Some(reply) = reply else { return };
        let (device, at) = (device.as_str(), now.wall.to_string());
        let answer =
            json!({ "id": null, "device": device, "state": "refused", "detail": declined.1, "changed_at": at });
        self.broker.with(|inside| inside.reply(reply, answer.to_string().as_bytes(), now.wall));
    }

    /// A command is not taken: it is counted, and a client of version 5 is told. Before, there is no word for it.
    fn decline(&mut self, acknowledged: Option<Acknowledged>, declined: Declined) {
        let Declined(reason, what) = declined;
        let kind = if reason == Reason::NOT_AUTHORIZED { FaultKind::NotProven } else { FaultKind::Malformed };
        self.say(Output::Fault(Fault::new(kind, what)));
        let Some(acknowledged) = acknowledged else { return };
        if self.level == Level::V5 {
            self.refuse_message(Acknowledged { reason, ..acknowledged });
        } else {
            self.taken += usize::from(acknowledged.safe == Safe::PubAck);
            self.work().due.push(Due { acknowledged, pending: None });
        }
    }
}

fn of_untaken(untaken: Untaken, device: &DeviceId) -> Declined {
    match untaken {
        Untaken::Unknown => Declined(Reason::TOPIC_NOT_VALID, format!("there is no device {device}")),
        Untaken::NotActive => Declined(Reason::TOPIC_NOT_VALID, format!("device {device} waits for an operator's yes")),
        Untaken::Full => Declined(Reason::QUOTA_EXCEEDED, format!("too many commands wait for {device}")),
        Untaken::NotStored => Declined(Reason::UNSPECIFIED, "the command could not be stored".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{device_of, read};

    fn check(payload: &str, expected: Result<&str, &str>) {
        let order = read(payload.as_bytes()).map(|order| format!("{order:?}"));
        assert_eq!(order.as_deref().map_err(String::as_str), expected, "{payload}");
    }

    #[test]
    fn an_order_is_written_as_the_api_takes_it_and_its_faults_show_no_key() {
        check(r#"{"order":"describe"}"#, Ok("Describe"));
        check(r#"{"order":"period","minutes":15}"#, Ok("Period(15 min)"));
        check(r#"{"order":"period","minutes":0}"#, Err("a period of 0 minutes is not in 1..=9999"));
        check(r#"{"order":"query"}"#, Ok("Query(None, None)"));
        check(r#"{"order":"query","from":"2026-01-01T00:00:00Z"}"#, Err("a span has both from and to"));
        check(r#"{"order":"set-key","kind":"login","key":"secret"}"#, Ok("SetKey(Login)"));
        for secret in [r#"{"order":"set-key","kind":"login","key":123456}"#, r#"{"order":"set-key","kind":"123456"}"#] {
            let error = read(secret.as_bytes()).expect_err(secret);
            assert!(error.contains("column") && !error.contains("123456"), "{error}");
        }
    }

    #[test]
    fn a_command_is_published_below_its_device() {
        let named = |topic| device_of(topic).map(|device| device.as_str().to_owned());
        assert_eq!(named("loggerhead/tower/command").as_deref(), Some("tower"));
        for topic in ["loggerhead//command", "loggerhead/command", "loggerhead/a/b/command", "x/tower/command"] {
            assert_eq!(named(topic), None, "{topic}");
        }
    }
}
