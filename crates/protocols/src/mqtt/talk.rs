//! What a client says once it is in.

use std::sync::Arc;

use loggerhead_model::{Note, Report};

use super::broker::client::Progress;
use super::broker::fleeting::Rest;
use super::broker::message::Message;
use super::broker::notes::{About, of_out};
use super::broker::timing::Leaving;
use super::commands::device_of;
use super::encode::{Acknowledged, Safe, acknowledge_held, encode, refuse};
use super::message::{Ack, Kind, Level, Notice, Packet, Publish, Qos, SubAck, Subscribe, Unsubscribe};
use super::properties::{Id, Properties};
use super::reason::{Breach, Reason};
use super::session::HeadEnd;
use super::settings::Durability;
use super::sparkplug::NAMESPACE;
use super::work::{Due, Waiting};
use crate::{CloseReason, Fault, FaultKind, Now, Output};

/// Messages of QoS 0 that are passed on under one lock: so few that nobody else waits long for it.
const ROUND_MESSAGES_MAX: usize = 128;

/// What follows on a PUBREC.
enum Next {
    /// It is noted that the client has the message.
    Note(Note),
    /// The client may forget the identifier.
    Release(Reason),
    /// Something that is under way already.
    Wait,
    /// There is no such identifier.
    Unknown,
}

impl HeadEnd {
    /// Source: \[1\] §3.3, \[2\] §3.3.
    pub(super) fn publish(&mut self, now: Now, publish: &Publish<'_>) -> Result<(), Breach> {
        if publish.properties.find(Id::SubscriptionId).is_some() {
            return Err(Breach::protocol("a subscription identifier from a client"));
        }
        let aliased = self.topic_of(publish)?;
        let topic = aliased.as_deref().unwrap_or(publish.topic);
        if let Some(device) = device_of(topic) {
            return self.give(now, device, topic, publish);
        }
        let allowed = self.rules.may_publish(topic, self.asker()) && !self.is_of_view(now, topic, publish.payload);
        match publish.qos {
            Qos::AtMostOnce if !allowed => self.denied(topic),
            Qos::AtMostOnce => self.publish_fleeting(now, topic, publish),
            Qos::AtLeastOnce | Qos::ExactlyOnce => return self.publish_safely(now, topic, publish, allowed),
        }
        Ok(())
    }

    /// Whether a topic is one under which our own view of Sparkplug B speaks. One that commands an edge node of it is obeyed on
    /// the way.
    fn is_of_view(&self, now: Now, topic: &str, payload: &[u8]) -> bool {
        topic.starts_with(NAMESPACE)
            && self.broker.with(|inside| {
                inside.answer_command(topic, payload, now.wall);
                inside.views.sparkplug.as_ref().is_some_and(|view| view.speaks_under(topic))
            })
    }

    /// The topic that an alias stands for. `None` where the packet says it itself.
    fn topic_of(&mut self, publish: &Publish<'_>) -> Result<Option<Box<str>>, Breach> {
        let Some(alias) = publish.properties.two(Id::TopicAlias) else { return Ok(None) };
        let invalid = |what: String| Breach::new(Reason::TOPIC_ALIAS_NOT_VALID, FaultKind::OutOfOrder, what);
        if alias > self.settings.topic_aliases_max {
            return Err(invalid(format!("topic alias {alias} over {}", self.settings.topic_aliases_max)));
        }
        if publish.topic.is_empty() {
            let known = self.peer.topic_of(alias).map(Box::from);
            return known.map(Some).ok_or_else(|| invalid(format!("topic alias {alias} was never set")));
        }
        self.peer.set_topic(alias, publish.topic);
        Ok(None)
    }

    fn denied(&mut self, topic: &str) {
        let fault = Fault::new(FaultKind::NotProven, format!("may not publish to {}", short(topic)));
        self.say(Output::Fault(fault));
    }

    fn publish_fleeting(&mut self, now: Now, topic: &str, publish: &Publish<'_>) {
        let message = Message::new(0, topic, publish, Some(Arc::clone(&self.client_id)), now.wall);
        let round = &mut self.work().round;
        round.push(Arc::new(message));
        if round.len() >= ROUND_MESSAGES_MAX {
            self.pass_round(now);
        }
        match self.readings_in(now, topic, publish.payload) {
            None | Some(Ok(None)) => {}
            Some(Ok(report)) => {
                if let Some(records) = self.records(now, Vec::new(), report) {
                    self.say(Output::Keep(records));
                }
            }
            Some(Err(wrong)) => self.say(Output::Fault(Fault::new(FaultKind::Malformed, wrong.0))),
        }
    }

    /// Passes the messages of QoS 0 on that came one after the other, under one lock.
    pub(super) fn pass_round(&mut self, now: Now) {
        let Some(work) = self.work.as_mut().filter(|work| !work.round.is_empty()) else { return };
        let (round, place) = (std::mem::take(&mut work.round), self.place);
        let (notes, rest) = self.broker.with(|inside| {
            let notes = inside.pass_fleeting(&round, now.elapsed);
            (notes, place.and_then(|place| inside.rest(place)))
        });
        self.pause(rest);
        self.keep(now, notes);
    }

    /// Reads no further for now, where others are behind.
    pub(super) fn pause(&mut self, rest: Option<Rest>) {
        if rest.is_some() {
            self.work().rest = rest;
        }
    }

    /// How a message of QoS 1 or 2 is to be acknowledged; nothing for one that came before, which is acknowledged again and
    /// not passed on again.
    pub(super) fn acknowledged(&mut self, publish: &Publish<'_>) -> Result<Option<Acknowledged>, Breach> {
        let safe = if publish.qos == Qos::ExactlyOnce { Safe::PubRec } else { Safe::PubAck };
        let acknowledged = Acknowledged { safe, id: publish.id, reason: Reason::SUCCESS };
        if safe == Safe::PubRec && self.is_received(publish.id) {
            self.work().due.push(Due { acknowledged, pending: None });
            return Ok(None);
        }
        if self.level == Level::V5 && self.taken >= usize::from(self.settings.receive_max) {
            let what = format!("over {} messages at once", self.settings.receive_max);
            return Err(Breach::new(Reason::RECEIVE_MAXIMUM_EXCEEDED, FaultKind::TooLarge, what));
        }
        Ok(Some(acknowledged))
    }

    /// Refuses a message, which version 5 alone can say, in its turn: acknowledgements leave in the order of what they
    /// acknowledge. Source: \[2\] §4.6.
    pub(super) fn refuse_message(&mut self, acknowledged: Acknowledged) {
        if self.is_its_turn() {
            let Acknowledged { safe, id, reason } = acknowledged;
            return refuse(safe.kind(), id, reason, &mut self.work().out);
        }
        self.taken += usize::from(acknowledged.safe == Safe::PubAck);
        self.work().due.push(Due { acknowledged, pending: None });
    }

    /// Whether nothing that came before waits for its acknowledgement.
    fn is_its_turn(&self) -> bool {
        let is_waiting = |waiting: &Waiting| matches!(waiting, Waiting::Messages(_));
        self.work.as_ref().is_none_or(|work| work.due.is_empty() && !work.waiting.values().any(is_waiting))
    }

    /// Passes a message on at once and acknowledges it in its turn, without the store: that is what was set for its topic.
    fn publish_held(&mut self, now: Now, topic: &str, publish: &Publish<'_>, acknowledged: Acknowledged) {
        let Some(place) = self.place else { return };
        let message = Message::new(0, topic, publish, Some(Arc::clone(&self.client_id)), now.wall);
        let (notes, rest) = self.broker.with(|inside| {
            // What would be noted of it is held in memory as well.
            drop(inside.receive(place, acknowledged));
            let notes = inside.pass_fleeting(&[Arc::new(message)], now.elapsed);
            (notes, inside.rest(place))
        });
        self.pause(rest);
        self.keep(now, notes);
        let is_its_turn = self.is_its_turn();
        self.taken += usize::from(!(is_its_turn && acknowledged.safe.is_last()));
        if is_its_turn {
            acknowledge_held(acknowledged, self.level, &mut self.work().out);
        } else {
            self.work().due.push(Due { acknowledged, pending: None });
        }
    }

    fn publish_safely(&mut self, now: Now, topic: &str, publish: &Publish<'_>, allowed: bool) -> Result<(), Breach> {
        let Some(acknowledged) = self.acknowledged(publish)? else { return Ok(()) };
        let found = if allowed { self.readings_in(now, topic, publish.payload) } else { None };
        let report = match found {
            Some(Ok(report)) => report,
            Some(Err(wrong)) if self.level == Level::V5 => {
                self.say(Output::Fault(Fault::new(FaultKind::Malformed, wrong.0)));
                self.refuse_message(Acknowledged { reason: Reason::PAYLOAD_FORMAT_INVALID, ..acknowledged });
                return Ok(());
            }
            Some(Err(wrong)) => {
                self.say(Output::Fault(Fault::new(FaultKind::Malformed, wrong.0)));
                None
            }
            None => None,
        };
        if !allowed {
            self.denied(topic);
            if self.level == Level::V5 {
                self.refuse_message(Acknowledged { reason: Reason::NOT_AUTHORIZED, ..acknowledged });
                return Ok(());
            }
        }
        if allowed && report.is_none() && self.settings.durability_of(topic) == Durability::Memory {
            self.publish_held(now, topic, publish, acknowledged);
        } else {
            self.take(now, topic, publish, acknowledged, report, allowed);
        }
        Ok(())
    }

    /// Has a message stored, to be passed on and acknowledged then. Before version 5 one that is not allowed can only be
    /// acknowledged as well.
    fn take(
        &mut self,
        now: Now,
        topic: &str,
        publish: &Publish<'_>,
        acknowledged: Acknowledged,
        report: Option<Report>,
        allowed: bool,
    ) {
        let (Some(device), Some(place)) = (self.device.clone(), self.place) else { return };
        self.taken += 1;
        let publisher = &self.client_id;
        let (mut pending, note) = self.broker.with(|inside| {
            let note = inside.receive(place, acknowledged);
            (allowed.then(|| inside.take(topic, publish, publisher, &device, now.wall)), note)
        });
        // An orphan keeps nothing that says the identifier is in use: its client was never told that it is safe.
        let own = pending.as_mut().map(|pending| pending.notes.clone()).unwrap_or_default();
        if report.is_some() {
            // What came before is stored before it, and acknowledged before it.
            self.store_due(now);
            let notes = own.into_iter().chain(note).collect();
            return self.store(now, notes, report, Waiting::Messages(vec![Due { acknowledged, pending }]));
        }
        self.work().due_notes.extend(own.into_iter().chain(note));
        self.work().due.push(Due { acknowledged, pending });
    }

    fn is_received(&self, id: u16) -> bool {
        let Some(place) = self.place else { return false };
        self.broker.with(|inside| inside.client(place).is_some_and(|client| client.has_received(id)))
    }

    /// Source: \[1\] §4.3.3, \[2\] §4.3.3.
    pub(super) fn pub_rel(&mut self, id: u16) {
        let Some(place) = self.place else { return };
        let (known, note) = self.broker.with(|inside| {
            let Some(client) = inside.client(place) else { return (false, None) };
            let known = client.exactly().received.remove(&id);
            (known, client.is_durable().then(|| About::In(&client.id, id).forget()))
        });
        if !known && self.level == Level::V5 {
            return refuse(Kind::PubComp, id, Reason::PACKET_ID_NOT_FOUND, &mut self.work().out);
        }
        self.work().due_notes.extend(note);
        let acknowledged = Acknowledged { safe: Safe::PubComp, id, reason: Reason::SUCCESS };
        self.work().due.push(Due { acknowledged, pending: None });
    }

    /// A message of QoS 1 has arrived.
    pub(super) fn pub_ack(&mut self, now: Now, id: u16) {
        let Some(place) = self.place else { return };
        let notes = self.broker.with(|inside| {
            let horizon = inside.horizon();
            let client = inside.client(place)?;
            let is_it = |flight: &super::broker::client::Flight| {
                flight.progress == Progress::Sent
                    && flight.copy.as_ref().is_some_and(|copy| copy.qos == Qos::AtLeastOnce)
            };
            client.flight(id).filter(|flight| is_it(flight))?;
            let flight = client.land(id)?;
            self.peer.land(flight.copy);
            Some(client.finish(flight.noted, Qos::AtLeastOnce, horizon))
        });
        self.landed(now, notes);
    }

    /// A message that was under way is done, if there was one.
    fn landed(&mut self, now: Now, notes: Option<Vec<Note>>) {
        let Some(notes) = notes else { return };
        self.may_have_mail = true;
        self.keep(now, notes);
    }

    /// A message of QoS 2 has arrived, or is not wanted.
    pub(super) fn pub_rec(&mut self, now: Now, id: u16, reason: Reason) {
        let Some(place) = self.place else { return };
        if reason.is_failure() {
            let notes = self.broker.with(|inside| {
                let horizon = inside.horizon();
                let client = inside.client(place)?;
                let flight = client.land(id)?;
                self.peer.land(flight.copy);
                let mut notes = client.finish(flight.noted, Qos::ExactlyOnce, horizon);
                notes.extend(client.is_durable().then(|| About::Out(&client.id, id).forget()));
                Some(notes)
            });
            return self.landed(now, notes);
        }
        let next = self.broker.with(|inside| {
            let Some(client) = inside.client(place) else { return Next::Wait };
            let lasts = client.is_durable();
            let Some(flight) = client.flight_mut(id) else { return Next::Unknown };
            match flight.progress {
                Progress::Sent if flight.copy.as_ref().is_some_and(|copy| copy.qos != Qos::ExactlyOnce) => Next::Wait,
                Progress::Sent if lasts => {
                    self.peer.arrive(flight.copy.take());
                    flight.progress = Progress::Releasing;
                    let value = of_out(flight.noted.number(), Progress::Released);
                    Next::Note(About::Out(&client.id, id).put(value))
                }
                Progress::Sent => {
                    self.peer.arrive(flight.copy.take());
                    flight.progress = Progress::Released;
                    Next::Release(Reason::SUCCESS)
                }
                Progress::Released => Next::Release(Reason::SUCCESS),
                Progress::Noting | Progress::Releasing => Next::Wait,
            }
        });
        match next {
            Next::Note(note) => self.store(now, vec![note], None, Waiting::Release(id)),
            Next::Release(reason) => self.say_release(id, reason),
            Next::Unknown => self.say_release(id, Reason::PACKET_ID_NOT_FOUND),
            Next::Wait => {}
        }
    }

    /// It is noted that the client has a message: it may forget the identifier.
    pub(super) fn released(&mut self, id: u16) {
        let Some(place) = self.place else { return };
        self.broker.with(|inside| {
            if let Some(flight) = inside.client(place).and_then(|client| client.flight_mut(id)) {
                flight.progress = Progress::Released;
            }
        });
        self.say_release(id, Reason::SUCCESS);
    }

    pub(super) fn say_release(&mut self, id: u16, reason: Reason) {
        let release = Packet::PubRel(Ack { id, reason, properties: Properties::NONE });
        encode(&release, self.level, &mut self.work().out);
    }

    /// A message of QoS 2 is done.
    pub(super) fn pub_comp(&mut self, now: Now, id: u16) {
        let Some(place) = self.place else { return };
        let notes = self.broker.with(|inside| {
            let horizon = inside.horizon();
            let client = inside.client(place)?;
            client.flight(id).filter(|flight| flight.progress == Progress::Released)?;
            let flight = client.land(id)?;
            self.peer.land(flight.copy);
            let mut notes = client.finish(flight.noted, Qos::ExactlyOnce, horizon);
            notes.extend(client.is_durable().then(|| About::Out(&client.id, id).forget()));
            Some(notes)
        });
        self.landed(now, notes);
    }

    /// Source: \[1\] §3.8, \[2\] §3.8.
    pub(super) fn subscribe(&mut self, now: Now, subscribe: &Subscribe<'_>) {
        let Some(place) = self.place else { return };
        let id = subscribe.properties.number(Id::SubscriptionId).unwrap_or(0);
        let mut reasons = Vec::with_capacity(subscribe.filters.len());
        let mut notes = Vec::new();
        for (filter, options) in &subscribe.filters {
            let allowed = self.rules.may_subscribe(filter, self.asker());
            let subscribed = if allowed {
                self.broker.with(|inside| inside.subscribe(place, filter, *options, id, now.wall))
            } else {
                Err(Reason::NOT_AUTHORIZED)
            };
            match subscribed {
                Ok(more) => {
                    notes.extend(more);
                    reasons.push(options.qos as u8);
                }
                Err(reason) if self.level == Level::V5 => reasons.push(reason.0),
                Err(_) => reasons.push(0x80),
            }
        }
        self.may_have_mail = true;
        self.answer(now, Kind::SubAck, subscribe.id, reasons, notes);
    }

    /// Source: \[1\] §3.10, \[2\] §3.10.
    pub(super) fn unsubscribe(&mut self, now: Now, unsubscribe: &Unsubscribe<'_>) {
        let Some(place) = self.place else { return };
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let existed = self.broker.with(|inside| inside.unsubscribe(place, filter));
            reasons.push(if existed { Reason::SUCCESS.0 } else { Reason::NO_SUBSCRIPTION_EXISTED.0 });
        }
        self.answer(now, Kind::UnsubAck, unsubscribe.id, reasons, Vec::new());
    }

    /// Answers once a session that lasts is stored with its new subscriptions.
    fn answer(&mut self, now: Now, kind: Kind, id: u16, reasons: Vec<u8>, mut notes: Vec<Note>) {
        let Some(place) = self.place else { return };
        let answer = SubAck { id, properties: Properties::NONE, reasons: reasons.into() };
        let packet = if kind == Kind::SubAck { Packet::SubAck(answer) } else { Packet::UnsubAck(answer) };
        let mut bytes = Vec::new();
        encode(&packet, self.level, &mut bytes);
        let note = self
            .broker
            .with(|inside| inside.client(place).filter(|client| client.is_durable()).map(|client| client.note()));
        match note {
            Some(note) => {
                notes.push(note);
                self.store_due(now);
                self.store(now, notes, None, Waiting::Answer(bytes));
            }
            None => self.work().out.extend_from_slice(&bytes),
        }
    }

    /// Source: \[1\] §3.14, \[2\] §3.14.
    pub(super) fn disconnect(&mut self, now: Now, notice: &Notice<'_>) -> Result<(), Breach> {
        let expiry_s = notice.properties.number(Id::SessionExpiry);
        if self.expiry_s == 0 && expiry_s.is_some_and(|seconds| seconds > 0) {
            return Err(Breach::protocol("a session that did not last is to last"));
        }
        self.expiry_at_end = expiry_s.map(|seconds| seconds.min(self.settings.session_expiry_s_max));
        if notice.reason == Reason::SUCCESS {
            self.leaving = Leaving::Politely;
        }
        self.store_due(now);
        self.close(CloseReason::PeerDone);
        Ok(())
    }
}

/// Enough of a topic for people.
fn short(topic: &str) -> String {
    topic.chars().take(64).collect()
}
