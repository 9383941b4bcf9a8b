//! The peer of one connection: who it is to the rest of the head-end, from its first byte to its last.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{DeviceId, Event, EventKind, Identity, Learnt, Records, Severity};
use loggerhead_protocols::{
    Admission, Claim, Company, Fault, FileNews, FileStep, Fit, Known, Now, Proof, Refusal, Verdict,
};
use loggerhead_store::Outcome;
use rustls::ServerConnection;

use crate::budget::Budget;
use crate::client_certificate;
use crate::core::Core;
use crate::device::Device;
use crate::files::Upload;
use crate::identity::Judgement;
use crate::listener::Pass;
use crate::metrics::{ProtocolCounters, refusal_word};
use crate::presence::{Habit, Manner};

/// Events of one connection that are stored at once, and after which time one more is: 17,280 a day at most.
const EVENTS_BURST: u16 = 20;
const EVENT_EVERY: Duration = Duration::from_secs(5);

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// For texts: `192.0.2.7:4711`, `[2001:db8::1]:4711`, `unix`.
    pub(crate) text: Arc<str>,
    /// For counting; none on a Unix socket.
    pub(crate) address: Option<IpAddr>,
    /// Whom its certificate names, where it showed one that is believed.
    pub(crate) certified: Option<Arc<[Identity]>>,
}

impl Peer {
    /// One at this address. An IPv4 peer on an IPv6 socket is an IPv4 peer to people and to limits.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Self { text: address.to_string().into(), address: Some(address.ip()), certified: None }
    }

    /// The same with the certificate that it showed, if it did.
    pub(crate) fn certified_by(self, tls: &ServerConnection) -> Self {
        let certificate = tls.peer_certificates().and_then(<[_]>::first);
        Self { certified: certificate.map(|certificate| client_certificate::names(certificate).into()), ..self }
    }

    /// Whether its certificate is for this name.
    pub(crate) fn is_certified_as(&self, identity: &Identity) -> bool {
        self.certified.as_ref().is_some_and(|names| names.contains(identity))
    }
}

/// A peer with what it is allowed and what it turned out to be.
pub(crate) struct Guest {
    pub(crate) core: Arc<Core>,
    pub(crate) pass: Pass,
    pub(crate) peer: Peer,
    pub(crate) counters: Arc<ProtocolCounters>,
    /// Which device it proved to be.
    pub(crate) device: Option<Arc<Device>>,
    /// The file that it brings.
    file: Option<Box<Upload>>,
    events: Budget,
}

impl Guest {
    pub(crate) fn new(core: Arc<Core>, pass: Pass, peer: Peer) -> Self {
        let counters = Arc::clone(&pass.listener().counters);
        Self { core, pass, peer, counters, device: None, file: None, events: Budget::new(EVENTS_BURST, EVENT_EVERY) }
    }

    /// So many bytes came from it, now.
    pub(crate) fn heard(&self, bytes: u64) -> Now {
        let now = self.core.clock.now();
        self.counters.bytes_in.add(bytes);
        if let Some(device) = &self.device
            && let Some(evidence) = device.heard(now, bytes)
        {
            self.core.presence_changed(device, evidence);
        }
        now
    }

    /// So many bytes were sent to it; an acknowledgement of what came at `acked` among them.
    pub(crate) fn sent(&self, bytes: u64, acked: Option<Duration>) {
        self.counters.sends.one_more();
        self.counters.bytes_out.add(bytes);
        if let Some(device) = &self.device {
            device.counters.bytes_out.add(bytes);
        }
        if let Some(fed_at) = acked {
            self.counters.ack_latency.record(self.core.clock.now().elapsed.saturating_sub(fed_at));
        }
    }

    /// This was said to it.
    pub(crate) fn said(&self, bytes: Bytes) {
        if let Some(device) = &self.device {
            self.core.said.push(&device.id, self.core.clock.now().wall, bytes);
        }
    }

    /// So many bytes went from it to who it is joined with, and back; when.
    pub(crate) fn relayed(&self, up: u64, down: u64) -> Duration {
        self.counters.bytes_out.add(down);
        if let Some(device) = &self.device {
            device.counters.bytes_out.add(down);
        }
        if up == 0 { self.core.clock.now().elapsed } else { self.heard(up).elapsed }
    }

    /// It was joined with somebody, and is not any more. Whoever relays is told of each, so no rate holds it back.
    pub(crate) fn relay_ended(&self, text: String) {
        self.counters.event(EventKind::Relay);
        let now = self.core.clock.now();
        let device = self.device.as_ref().map(|device| device.id.clone());
        let peer = Some(self.peer.text.to_string());
        let event =
            Event { at: now.wall, severity: Severity::Info, kind: EventKind::Relay, device, peer, text: text.into() };
        if let Some(event) = self.core.journal.account(event) {
            log(self.pass.listener().protocol, &event);
        }
    }

    /// A packet of it goes to the store.
    pub(crate) fn read(&self, records: &Records) {
        let readings = records.report.as_ref().map_or(0, |report| report.len() as u64);
        self.counters.packets.one_more();
        self.counters.readings.add(readings);
        if let Some(device) = &self.device {
            device.read(self.core.clock.now(), readings);
        }
    }

    /// The store answered for a packet of it.
    pub(crate) fn answered(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Stored(_) => {
                self.counters.packets_stored.one_more();
                if let Some(device) = &self.device {
                    device.counters.packets.one_more();
                }
            }
            Outcome::NotStored(_) => self.counters.packets_not_stored.one_more(),
        }
    }

    /// What is known under a name that it gives.
    pub(crate) fn known(&self, identity: &Identity) -> Known {
        let (now, protocol) = (self.core.clock.now().elapsed, self.pass.listener().protocol);
        self.core.identities.known(now, protocol, identity, self.peer.address)
    }

    /// Keeps a note for its next connection.
    pub(crate) fn remember(&self, identity: Identity, note: Bytes, keep: Duration) {
        let place = (self.pass.listener().protocol, identity, self.peer.address);
        self.core.identities.remember(self.core.clock.now().elapsed, place, note, keep);
    }

    /// It should be heard from at least this often.
    pub(crate) fn expect_within(&self, limit: Duration) {
        if let Some(device) = &self.device {
            device.expect_within(limit);
        }
    }

    /// Its protocol found something out about it.
    pub(crate) fn learnt(&self, news: Learnt) {
        if let Some(device) = &self.device
            && let Some(all) = device.learn(news)
        {
            self.core.journal.learnt(&device.id, all);
        }
    }

    /// Counts an event always, and stores it within a rate.
    pub(crate) fn event(&mut self, mut event: Event) {
        self.counters.event(event.kind);
        event.peer.get_or_insert_with(|| self.peer.text.to_string());
        if event.device.is_none() {
            event.device = self.device.as_ref().map(|device| device.id.clone());
        }
        let now = self.core.clock.now().elapsed;
        if !self.events.take(now) {
            self.core.counters.events_dropped.one_more();
        } else if let Some(event) = self.core.journal.event(now, event) {
            log(self.pass.listener().protocol, &event);
        }
    }

    fn tell(&mut self, severity: Severity, kind: EventKind, text: impl Into<Cow<'static, str>>) {
        let at = self.core.clock.now().wall;
        self.event(Event { at, severity, kind, device: None, peer: None, text: text.into() });
    }

    pub(crate) fn faulted(&mut self, fault: &Fault) {
        self.counters.fault(fault.kind);
        if let Some(device) = &self.device {
            device.counters.faults.one_more();
        }
        self.tell(Severity::Warning, EventKind::Fault, fault.to_string());
    }

    /// Takes a step of the file that it brings; says what became of it, where that has to be said.
    pub(crate) async fn file(&mut self, step: FileStep) -> Option<FileNews> {
        match step {
            FileStep::Begin(offer) => match self.core.files.begin(*offer).await {
                Ok(upload) => {
                    let offset = upload.offset();
                    self.file = Some(Box::new(upload));
                    Some(FileNews::Begun { offset })
                }
                Err(failure) => Some(FileNews::Failed(failure)),
            },
            FileStep::Write(bytes) => {
                let written = self.file.as_ref()?.write(bytes).await;
                let failure = written.err()?;
                self.file = None;
                Some(FileNews::Failed(failure))
            }
            FileStep::Finish(ticket) => {
                let upload = self.file.take()?;
                Some(upload.finish(ticket).await.map_or_else(FileNews::Failed, FileNews::Kept))
            }
        }
    }

    /// Answers a claim. The peer learns no more than yes or no.
    pub(crate) async fn prove(&mut self, claim: &Claim) -> Verdict {
        let sessions_max = self.pass.listener().settings().connections_per_device_max;
        match self.judged(claim).await.and_then(|(device, fit)| self.admit(&device, claim, fit, sessions_max)) {
            Ok(admission) => Verdict::Accepted(admission),
            Err(refusal) => self.turn_away(claim, refusal),
        }
    }

    /// Who it is by its claim.
    async fn judged(&self, claim: &Claim) -> Result<(Arc<Device>, Fit), Refusal> {
        let settings = self.pass.listener().settings();
        let (admittance, identity) = (&settings.admittance, &claim.identity);
        if matches!(claim.proof, Proof::SignedIn) {
            return Ok((self.core.person(admittance.protocol, identity).await?, Fit::default()));
        }
        let now = self.core.clock.now().elapsed;
        match self.core.identities.judge(now, admittance, claim, &self.peer) {
            Judgement::Accepted(device, fit) => Ok((device, fit)),
            Judgement::Refused(refusal) => Err(refusal),
            Judgement::Stranger(means, fit) => {
                Ok((self.core.enroll(admittance, identity, means, &self.peer.text).await?, fit))
            }
        }
    }

    /// Judges a claim by which nobody is logged in: it is throttled and counted like a login.
    pub(crate) fn vouch(&mut self, claim: &Claim) -> Verdict {
        let now = self.core.clock.now().elapsed;
        let settings = self.pass.listener().settings();
        match self.core.identities.judge(now, &settings.admittance, claim, &self.peer) {
            Judgement::Accepted(device, fit) => {
                self.core.identities.throttle.succeeded(now, &claim.identity, self.peer.address);
                let settings = Arc::new(device.rules().settings.table());
                Verdict::Accepted(Admission { device: device.id.clone(), settings, learnt: device.learnt(), fit })
            }
            Judgement::Refused(refusal) => self.turn_away(claim, refusal),
            // Somebody else's word enrols nobody.
            Judgement::Stranger(..) => self.turn_away(claim, Refusal::Unknown),
        }
    }

    /// Counts and tells that a claim is not believed.
    fn turn_away(&mut self, claim: &Claim, refusal: Refusal) -> Verdict {
        self.counters.refused(refusal);
        let text = format!("{}: {}", claim.identity, refusal_word(refusal));
        self.tell(Severity::Warning, EventKind::Refused, text);
        Verdict::Refused(refusal)
    }

    fn admit(
        &mut self,
        device: &Arc<Device>,
        claim: &Claim,
        fit: Fit,
        sessions_max: usize,
    ) -> Result<Admission, Refusal> {
        let now = self.core.clock.now();
        if self.device.as_ref().is_some_and(|before| !Arc::ptr_eq(before, device)) {
            self.leave("logged in under another name", Manner::Good);
        }
        let is_errand = claim.company == Company::Errands;
        let habit = if claim.remember.is_some() || is_errand { Habit::PerMessage } else { Habit::Keeps };
        let stay_max = match (claim.company, habit) {
            (Company::Many | Company::Errands, _) => usize::MAX,
            (Company::Alone, Habit::PerMessage) => sessions_max.saturating_sub(1),
            (Company::Alone, Habit::Keeps) => 0,
        };
        let taken_over = device.enter(now, &self.pass, &self.peer.text, habit, stay_max);
        // Who was removed since the claim was judged must not stay in.
        if !self.core.identities.holds(device) {
            device.leave(self.pass.number, "removed", Manner::Bad);
            return Err(Refusal::Unknown);
        }
        self.core.identities.admitted(now.elapsed, device, claim, self.peer.address);
        self.counters.logins.one_more();
        self.device = Some(Arc::clone(device));
        if taken_over > 0 {
            self.tell(Severity::Info, EventKind::Takeover, "a newer connection took over");
        }
        // A device that connects for every message would fill the store with its logins.
        if !matches!(claim.proof, Proof::Remembered) && !is_errand {
            self.tell(Severity::Info, EventKind::Login, format!("{} logged in", claim.identity));
        }
        if let Some(evidence) = device.review(now) {
            self.core.presence_changed(device, evidence);
        }
        self.core.commands.deliver(device);
        let settings = Arc::new(device.rules().settings.table());
        Ok(Admission { device: device.id.clone(), settings, learnt: device.learnt(), fit })
    }

    /// The session is not the device's any more.
    pub(crate) fn leave(&mut self, because: &str, manner: Manner) {
        let Some(device) = self.device.clone() else { return };
        if device.leave(self.pass.number, because, manner) {
            let now = self.core.clock.now();
            let changed = device.review(now);
            if let Some(evidence) = changed {
                self.tell(Severity::Info, EventKind::Logout, because.to_owned());
                self.core.presence_changed(&device, evidence);
            }
        }
        self.core.session_ended(&device, self.pass.number);
        self.device = None;
    }
}

/// A connection whose task was cut off or broke must not leave its device behind as connected.
impl Drop for Guest {
    fn drop(&mut self) {
        self.leave("cut off", Manner::Bad);
    }
}

fn log(protocol: &'static str, event: &Event) {
    let device = event.device.as_ref().map_or("", DeviceId::as_str);
    let (peer, kind, text) = (event.peer.as_deref().unwrap_or(""), event.kind.word(), &event.text);
    match event.severity {
        Severity::Info | Severity::Warning => tracing::info!(protocol, device, peer, kind, "{text}"),
        Severity::Error => tracing::error!(protocol, device, peer, kind, "{text}"),
    }
}
