//! What happens to a session when its connection is gone: its will, its end, and the tidying up behind it.

use std::sync::Arc;

use loggerhead_model::{DeviceId, Event, EventKind, Note, Records, Report, Severity, Timestamp};

use super::client::Will;
use super::message::{Message, Pending, after};
use super::notes::About;
use super::tree::ClientNumber;
use super::{Inside, Place};
use crate::mqtt::message::Qos;
use crate::mqtt::readings::{self, NotReadings};
use crate::mqtt::sparkplug;

/// A session that never ends by itself. Source: \[2\] §3.1.2.11.2.
pub(in crate::mqtt) const FOR_EVER: u32 = u32::MAX;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mqtt) enum Leaving {
    /// The client said goodbye; its will is void.
    Politely,
    /// Anything else.
    Abruptly,
}

impl Inside {
    /// A connection is gone. `expiry_s` is what the client said last of how long its session stays.
    pub(in crate::mqtt) fn detach(&mut self, place: Place, leaving: Leaving, expiry_s: Option<u32>, now: Timestamp) {
        let horizon = self.horizon();
        if self.client(place).is_none() {
            return;
        }
        self.empty(place.client);
        let Some(client) = self.client(place) else { return };
        client.waker = None;
        client.since = Some(now);
        client.is_woken = false;
        let lasted = client.is_durable();
        client.expiry_s = expiry_s.unwrap_or(client.expiry_s);
        if leaving == Leaving::Politely {
            client.will = None;
        }
        if !client.is_durable() {
            let will = client.will.take();
            let (device, id) = (client.device.clone(), Arc::clone(&client.id));
            if let Some(will) = will {
                self.publish_will(place.client, &will, now);
            }
            let mut notes = self.end(place.client);
            if lasted {
                notes.extend(super::notes::forget_session(&id));
            }
            return self.chore(device, notes, now);
        }
        client.ends_at = (client.expiry_s != FOR_EVER).then(|| after(now, client.expiry_s));
        client.will_at = client.will.as_ref().map(|will| after(now, will.delay_s.min(client.expiry_s)));
        let mut notes = vec![client.note()];
        let low = client.low(horizon);
        notes.extend(client.note_progress(low));
        let device = client.device.clone();
        let moments = [client.ends_at, client.will_at];
        self.due.extend(moments.into_iter().flatten().map(|at| (at, place.client)));
        self.chore(device, notes, now);
        self.publish_due_will(place.client, now);
    }

    /// Does what is due. When to look again, if anything will be.
    pub(in crate::mqtt) fn tend(&mut self, now: Timestamp) -> Option<Timestamp> {
        while let Some((at, number)) = self.due.first().copied() {
            if at > now {
                return Some(at);
            }
            self.due.pop_first();
            self.publish_due_will(number, now);
            let Some(client) = self.any(number) else { continue };
            if client.waker.is_none() && client.ends_at.is_some_and(|ends_at| ends_at <= now) {
                let device = client.device.clone();
                let notes = self.end(number);
                self.chore(device, notes, now);
            }
        }
        None
    }

    fn publish_due_will(&mut self, number: ClientNumber, now: Timestamp) {
        let Some(client) = self.any(number) else { return };
        if client.waker.is_some() || client.will_at.is_none_or(|at| at > now) {
            return;
        }
        client.will_at = None;
        let Some(will) = client.will.take() else { return };
        let (device, note) = (client.device.clone(), client.note());
        self.publish_will(number, &will, now);
        self.chore(device, vec![note], now);
    }

    /// Publishes a will in the name of its client. What it reports is stored, as of any message; the death of an edge node of
    /// Sparkplug B is its will. Source: \[5\] §5.4.
    pub(super) fn publish_will(&mut self, number: ClientNumber, will: &Will, now: Timestamp) {
        let Some(client) = self.any(number) else { return };
        let (device, id) = (client.device.clone(), Arc::clone(&client.id));
        let Message { topic, payload, properties, qos, retain, .. } = &*will.message;
        if let Some(edge) = sparkplug::Topic::of(topic).filter(|topic| topic.kind == sparkplug::Kind::Death) {
            self.tell(device.clone(), Severity::Info, EventKind::DeviceInfo, edge.goodbye(), now);
        }
        let report = match readings::in_message(topic, payload, now).transpose() {
            Ok(report) => report,
            Err(NotReadings(wrong)) => {
                let text = format!("the will of client {id}: {wrong}");
                self.tell(device.clone(), Severity::Warning, EventKind::Fault, text, now);
                None
            }
        };
        let log_number = if *qos == Qos::AtMostOnce { 0 } else { self.number() };
        let expires_at = will.expiry_s.map(|seconds| after(now, seconds));
        let message = Message::of_parts(
            log_number,
            topic,
            payload.clone(),
            properties.clone(),
            *qos,
            *retain,
            Some(id),
            expires_at,
        );
        self.publish_for(message, device, report, now);
    }

    /// Leaves something to be told to operators for the steward.
    fn tell(&mut self, device: DeviceId, severity: Severity, kind: EventKind, text: String, now: Timestamp) {
        let event = Event { at: now, severity, kind, device: Some(device.clone()), peer: None, text: text.into() };
        self.leave_for_steward(Records { events: vec![event], ..nothing_of(device, now) });
    }

    /// Publishes in the name of an account of which no connection is there: the steward has it stored first, where its QoS
    /// asks for that.
    pub(super) fn publish_for(&mut self, message: Message, device: DeviceId, report: Option<Report>, now: Timestamp) {
        if message.qos > Qos::AtMostOnce {
            let pending = Pending { report, ..self.pending(message, device) };
            return self.adopt([pending]);
        }
        let message = Arc::new(message);
        let note = if message.retain { self.keep(&message) } else { None };
        let (mut found, mut members) = (Vec::new(), Vec::new());
        let may_repeat = self.find(&message.topic, &mut found);
        self.pass(&message, &mut found, may_repeat);
        self.choose(&message.topic, &mut members);
        for member in &members {
            self.offer(std::slice::from_ref(member), &message, super::Noted::No);
        }
        if note.is_some() || report.is_some() {
            self.leave_for_steward(Records { report, notes: note.into_iter().collect(), ..nothing_of(device, now) });
        }
    }

    /// An account is no more: its sessions end, their wills are void.
    pub(in crate::mqtt) fn forsake(&mut self, device: &DeviceId, now: Timestamp) {
        let mut ids = Vec::new();
        for client in self.clients.iter_mut().flatten().filter(|client| client.device == *device) {
            self.wakers.extend(client.waker.take());
            ids.push(Arc::clone(&client.id));
        }
        for id in ids {
            let Some(&number) = self.by_id.get(&id) else { continue };
            let notes = self.end(number);
            self.chore(device.clone(), notes, now);
        }
    }

    /// Leaves something to be kept for the steward.
    pub(super) fn chore(&mut self, device: DeviceId, notes: Vec<Note>, now: Timestamp) {
        if !notes.is_empty() {
            self.leave_for_steward(Records { notes, ..nothing_of(device, now) });
        }
    }

    fn leave_for_steward(&mut self, records: Records) {
        self.chores.push_back(records);
        self.wakers.extend(self.steward.clone());
    }

    /// Forgets what no session needs any more: the beginning of the log, and kept messages whose time is over.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        let Some(device) = self.device.clone() else { return };
        let horizon = self.horizon();
        let lows = self.clients.iter().flatten().filter(|client| client.is_durable()).map(|client| client.low(horizon));
        let low = lows.min().unwrap_or(horizon);
        let mut notes = Vec::new();
        if low > self.trimmed {
            notes.push(About::Message(self.trimmed).forget_through(About::Message(low.saturating_sub(1))));
            self.trimmed = low;
        }
        notes.extend(self.retained.expire(now).iter().map(|topic| About::Retained(topic).forget()));
        self.chore(device, notes, now);
    }
}

/// Records of an account that hold nothing.
fn nothing_of(device: DeviceId, now: Timestamp) -> Records {
    Records { device, received_at: now, report: None, frame: None, events: Vec::new(), notes: Vec::new() }
}
