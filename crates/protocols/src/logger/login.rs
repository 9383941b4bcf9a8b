//! How a device gets in: request, challenge, proof, result; and the shorter ways that some dialects have.
//!
//! Whoever cannot prove its name takes the same course, whatever is wrong: a name that nobody knows is challenged like any
//! other, and a wrong key of the device, a fixed dialect that is not its own and a wrong proof all end in the same refusal.
//! What cannot be read, or fails its check, is never answered at all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{Event, EventKind, Identity, Learnt, Severity};

use super::challenge::{believe_nothing, challenge};
use super::dialect::{CipherUse, LoginScope, ProofStep};
use super::identity::ProofOrder;
use super::keys;
use super::liveness::Liveness;
use super::message::{Envelope, Outcome, Talk};
use super::session::{HeadEnd, Heard, Marks, Member, REFUSAL_WAIT, ReportedBefore, Stage, Visit, crc_fault, crc_fits};
use super::settings::{NamedKey, ResultForm, Settings};
use crate::{Admission, Claim, Company, Fault, FaultKind, Known, Now, Output, Proof, Question, Verdict};

/// How long a challenge holds for a device that answers it on another connection.
const CHALLENGE_KEEP: Duration = Duration::from_mins(1);
/// How long a login holds for a device that connects anew for every message.
const LOGIN_KEEP: Duration = Duration::from_mins(10);

/// A peer on its way in.
pub(super) struct Attempt {
    /// Its names for itself, as it wrote them.
    pub envelope: Envelope<'static>,
    /// The same, as one name.
    identity: Identity,
    /// The frame that is to be answered.
    marks: Marks,
    /// What it wants.
    purpose: Purpose,
    /// Whether it can get in at all.
    prospect: Prospect,
    /// What it was sent.
    challenge: String,
    /// Who is logged in on this connection as long as the attempt is not believed.
    before: Option<Box<Member>>,
}

/// What a peer on its way in wants.
enum Purpose {
    /// A challenge.
    Request,
    /// To be believed, for this proof.
    Proof(String),
    /// To be heard, because it logged in on an earlier connection.
    Message(Box<Heard>),
}

/// Whether a peer can get in at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prospect {
    /// If it proves who it is.
    Open,
    /// Not in any case: it cannot be the device that it says it is. It is not told.
    Doomed,
}

impl Attempt {
    fn new(envelope: Envelope<'static>, identity: Identity, marks: Marks, purpose: Purpose) -> Self {
        let (prospect, challenge) = (Prospect::Open, String::new());
        Self { envelope, identity, marks, purpose, prospect, challenge, before: None }
    }
}

impl HeadEnd {
    /// A device asks to be let in. It may do so at any time, and starts anew then.
    pub(super) fn request(&mut self, envelope: Envelope<'static>, marks: Marks) -> Result<(), Fault> {
        // Whoever starts anew sends again what was not acknowledged so far.
        self.outstanding.begin_anew();
        self.ask_who(envelope, marks, Purpose::Request)
    }

    /// A device answers a challenge.
    pub(super) fn md5(&mut self, envelope: Option<Envelope<'static>>, marks: Marks, md5: String) -> Result<(), Fault> {
        let stage = std::mem::replace(&mut self.stage, Stage::Strange);
        match (stage, envelope) {
            (Stage::Challenged(mut attempt), Some(envelope)) if attempt.envelope == envelope => {
                attempt.marks = marks;
                self.prove(attempt, md5);
                Ok(())
            }
            (Stage::Strange, Some(envelope)) if self.allows_visits(marks) => {
                self.ask_who(envelope, marks, Purpose::Proof(md5))
            }
            (stage, _) => {
                self.stage = stage;
                self.fault(Fault::new(FaultKind::OutOfOrder, "a proof without a challenge"))
            }
        }
    }

    /// Somebody who is not logged in says something else. Where logins outlive connections it may have logged in before.
    pub(super) fn stranger(&mut self, heard: Heard) -> Result<(), Fault> {
        let word = heard.message.word();
        match heard.speaker.clone() {
            Some(envelope) if self.allows_visits(heard.marks) => {
                let identity = match identity_of(&envelope) {
                    Ok(identity) => identity,
                    Err(fault) => return self.fault(fault),
                };
                let mut attempt = Attempt::new(envelope, identity, heard.marks, Purpose::Message(Box::new(heard)));
                attempt.before = std::mem::replace(&mut self.stage, Stage::Strange).member();
                self.ask_proof(attempt, Proof::Remembered);
                Ok(())
            }
            Some(_) | None => self.fault(Fault::new(FaultKind::OutOfOrder, format!("{word} before the login"))),
        }
    }

    /// What is known under the name that was given.
    pub(super) fn known(&mut self, now: Now, known: Known) -> Result<(), Fault> {
        let mut attempt = match std::mem::replace(&mut self.stage, Stage::Strange).asking() {
            Ok(attempt) => attempt,
            Err(stage) => {
                self.stage = stage;
                return Ok(());
            }
        };
        self.settings = self.settings_with(now, &known.settings);
        if !crc_fits(&self.settings, attempt.marks) {
            return self.fault(crc_fault());
        }
        attempt.prospect = self.prospect(attempt.marks);
        match std::mem::replace(&mut attempt.purpose, Purpose::Request) {
            Purpose::Request => self.challenge(now, attempt),
            Purpose::Proof(md5) => {
                let Some(challenge) = known.note.filter(|note| !note.is_empty()) else {
                    return self.fault(Fault::new(FaultKind::OutOfOrder, "a proof without a challenge"));
                };
                attempt.challenge = String::from_utf8_lossy(&challenge).into_owned();
                self.prove(attempt, md5);
                Ok(())
            }
            // Such a one is asked to prove itself at once.
            Purpose::Message(_) => Ok(()),
        }
    }

    /// Whether a peer was believed.
    pub(super) fn verdict(&mut self, now: Now, verdict: Verdict) -> Result<(), Fault> {
        let attempt = match std::mem::replace(&mut self.stage, Stage::Strange).proving() {
            Ok(attempt) => attempt,
            Err(stage) => {
                self.stage = stage;
                return Ok(());
            }
        };
        match (verdict, attempt.purpose) {
            (Verdict::Accepted(admission), Purpose::Message(heard)) => {
                self.enter(now, attempt.envelope, attempt.marks, admission, Visit::Message);
                if self.key.as_ref().is_some_and(|key| self.is_foreign(key)) {
                    return self.fault(Fault::new(FaultKind::Undecipherable, "another key than the device's own"));
                }
                let heard = Heard { speaker: None, ..*heard };
                self.hear(now, heard)
            }
            (Verdict::Accepted(admission), Purpose::Request | Purpose::Proof(_)) => {
                self.enter(now, attempt.envelope.clone(), attempt.marks, admission, Visit::Stay);
                self.result(now, &attempt.envelope, attempt.marks, Outcome::Pass)
            }
            (Verdict::Refused(_), Purpose::Message(heard)) => {
                self.stage = attempt.before.map_or(Stage::Strange, Stage::In);
                let reason = format!("{} before the login", heard.message.word());
                self.fault(Fault::new(FaultKind::OutOfOrder, reason))
            }
            (Verdict::Refused(_), Purpose::Request | Purpose::Proof(_)) => {
                self.stage = Stage::Refused(now.elapsed + REFUSAL_WAIT);
                self.result(now, &attempt.envelope, attempt.marks, Outcome::Fail)
            }
        }
    }

    fn ask_who(&mut self, envelope: Envelope<'static>, marks: Marks, purpose: Purpose) -> Result<(), Fault> {
        let identity = match identity_of(&envelope) {
            Ok(identity) => identity,
            Err(fault) => return self.fault(fault),
        };
        self.outputs.push_back(Output::Ask(Question::Who(identity.clone())));
        self.stage = Stage::Asking(Box::new(Attempt::new(envelope, identity, marks, purpose)));
        Ok(())
    }

    fn challenge(&mut self, now: Now, mut attempt: Box<Attempt>) -> Result<(), Fault> {
        if attempt.marks.dialect.habits.proof == ProofStep::Cipher {
            let proof = match attempt.prospect {
                Prospect::Open => Proof::Cipher,
                Prospect::Doomed => self.response(&attempt, String::new()),
            };
            self.ask_proof(*attempt, proof);
            return Ok(());
        }
        self.attempts = self.attempts.wrapping_add(1);
        attempt.challenge = challenge(self.settings.sequence, &self.entropy, self.attempts);
        if self.allows_visits(attempt.marks) {
            self.remember(&attempt.identity, Bytes::copy_from_slice(attempt.challenge.as_bytes()));
        }
        let talk = Talk::Sequence { sequence: attempt.challenge.clone() };
        self.say(now, &attempt.envelope, attempt.marks, &talk)?;
        self.stage = Stage::Challenged(attempt);
        Ok(())
    }

    fn prove(&mut self, attempt: Box<Attempt>, md5: String) {
        if self.allows_visits(attempt.marks) {
            // A challenge is good for one proof, right or wrong.
            self.remember(&attempt.identity, Bytes::new());
        }
        let proof = self.response(&attempt, md5);
        self.ask_proof(*attempt, proof);
    }

    fn response(&self, attempt: &Attempt, answer: String) -> Proof {
        let check = match attempt.prospect {
            Prospect::Open => self.settings.md5_order.check(),
            Prospect::Doomed => believe_nothing,
        };
        let challenge = attempt.challenge.as_bytes().into();
        Proof::Response { challenge, answer: answer.into_bytes().into(), check }
    }

    fn ask_proof(&mut self, attempt: Attempt, proof: Proof) {
        let remember = (self.allows_visits(attempt.marks)).then_some(LOGIN_KEEP);
        let claim = Claim { identity: attempt.identity.clone(), proof, remember, company: Company::Alone };
        self.outputs.push_back(Output::Ask(Question::Prove(claim)));
        self.stage = Stage::Proving(Box::new(attempt));
    }

    fn remember(&mut self, identity: &Identity, note: Bytes) {
        self.outputs.push_back(Output::Remember { identity: identity.clone(), note, keep: CHALLENGE_KEEP });
    }

    fn result(&mut self, now: Now, envelope: &Envelope<'_>, marks: Marks, outcome: Outcome) -> Result<(), Fault> {
        let time = match self.settings.result {
            ResultForm::WithTime => Some(now.wall),
            ResultForm::Alone => None,
        };
        self.say(now, envelope, marks, &Talk::LoginResult { outcome, time })
    }

    /// The device is in.
    fn enter(&mut self, now: Now, envelope: Envelope<'static>, marks: Marks, admission: Admission, visit: Visit) {
        let Admission { device, settings, learnt, fit } = admission;
        self.settings = self.settings_with(now, &settings);
        self.forgive();
        let mut liveness = Liveness::new(now.elapsed);
        if let Some(interval_s) = learnt.get("interval_s").and_then(|text| text.parse().ok()) {
            liveness.suppose(Duration::from_secs(interval_s));
        }
        if let Some(expected) = liveness.news(&self.settings) {
            self.outputs.push_back(Output::ExpectWithin(expected));
        }
        let reported_before = match visit {
            Visit::Stay => ReportedBefore::At(learnt.get("reported_at").and_then(|text| text.parse().ok())),
            Visit::Message => ReportedBefore::Past,
        };
        let is_response = visit == Visit::Stay && marks.dialect.habits.proof == ProofStep::Challenge;
        self.tell_learnt(marks, is_response.then(|| ProofOrder::of(fit.form)), &learnt);
        let saw_192 = learnt.get("saw_192").is_some_and(|text| text == "yes");
        let dialect = marks.dialect;
        self.stage =
            Stage::In(Box::new(Member { device, envelope, dialect, liveness, saw_192, visit, reported_before }));
    }

    /// What this login shows that was not known before.
    fn tell_learnt(&mut self, marks: Marks, order: Option<ProofOrder>, before: &Learnt) {
        let crc = marks.dialect.crc.map(|_| marks.crc.map_or("none", |crc| crc.word()).to_owned());
        let key = self.key.as_ref().map(|named| named.label.to_string());
        let dialect = Some(marks.dialect.name.to_owned());
        let order = order.map(|order| order.word().to_owned());
        let news: Learnt = [("dialect", dialect), ("crc", crc), ("key", key), ("md5_order", order)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .filter(|(name, value)| before.get(name) != Some(value))
            .collect();
        if !news.is_empty() {
            self.outputs.push_back(Output::Learnt(news));
        }
    }

    /// The listener's settings with those of a device over them.
    fn settings_with(&mut self, now: Now, table: &toml::Table) -> Arc<Settings> {
        if table.is_empty() {
            return Arc::clone(&self.listener.settings);
        }
        match self.listener.settings.with_device(table) {
            Ok(settings) => Arc::new(settings),
            // They were checked when they were made, so this is another version's doing.
            Err(error) => {
                self.outputs.push_back(Output::Event(Event {
                    at: now.wall,
                    severity: Severity::Error,
                    kind: EventKind::System,
                    device: None,
                    peer: None,
                    text: format!("the device's settings are not readable: {error}").into(),
                }));
                Arc::clone(&self.listener.settings)
            }
        }
    }

    /// Whether the peer can be the device whose settings are in force.
    fn prospect(&self, marks: Marks) -> Prospect {
        let dialect_fits = self.settings.dialect.is_none_or(|dialect| dialect == marks.dialect);
        let key_fits = match (&self.settings.aes_key, &self.key) {
            (Some(own), Some(used)) => keys::same(own, &used.key),
            (Some(_), None) => marks.dialect.cipher != CipherUse::Always,
            (None, _) => true,
        };
        if dialect_fits && key_fits { Prospect::Open } else { Prospect::Doomed }
    }

    /// Whether this is another key than the device's own, where it has one.
    pub(super) fn is_foreign(&self, key: &NamedKey) -> bool {
        self.settings.aes_key.as_ref().is_some_and(|own| !keys::same(own, &key.key))
    }

    /// Whether a login outlives its connection.
    pub(super) fn allows_visits(&self, marks: Marks) -> bool {
        self.settings.login_scope.unwrap_or(marks.dialect.habits.login) == LoginScope::Name
    }
}

/// The name under which a device is known: building and gateway.
fn identity_of(envelope: &Envelope<'_>) -> Result<Identity, Fault> {
    Identity::new(&envelope.to_string()).map_err(|error| Fault::new(FaultKind::Malformed, error.to_string()))
}
