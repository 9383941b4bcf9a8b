//! Enhanced authentication: a client proves by SCRAM-SHA-256 that it knows its password without saying it, when it enters and
//! whenever it likes afterwards. Source: \[2\] §4.12.

use loggerhead_model::Identity;

use super::encode::encode;
use super::entering::Attempt;
use super::message::{Kind, Notice, Packet};
use super::properties::{Id, Properties, Writer};
use super::reason::{Breach, Reason};
use super::session::{HeadEnd, Stage};
use crate::scram::{self, Challenge};
use crate::{Admission, Claim, CloseReason, Company, Counterproof, FaultKind, Output, Proof, Question};

/// What is waited for.
enum Step {
    /// For nothing: the client is authenticated.
    Done,
    /// The client's first message.
    First,
    /// Its answer to a challenge.
    Last(Box<Challenge>),
    /// Whether its proof is one.
    Verdict,
}

/// How a client proves itself that named a method in its CONNECT.
pub(super) struct Authentication {
    step: Step,
    /// What nonces are made of.
    entropy: [u8; 32],
    /// Exchanges so far, so that each has a nonce of its own.
    count: u32,
    /// What the client is shown in return.
    counterproof: Option<Counterproof>,
}

impl Authentication {
    /// The client proved itself.
    pub(super) fn proven(&mut self, counterproof: Option<Counterproof>) {
        self.step = Step::Done;
        self.counterproof = counterproof;
    }

    /// Says the method, and once what proves to the client that its password is known here.
    pub(super) fn say(&mut self, list: &mut Writer) {
        list.text(Id::AuthenticationMethod, scram::MECHANISM);
        if let Some(counterproof) = self.counterproof.take() {
            list.binary(Id::AuthenticationData, &scram::last_message(&counterproof));
        }
    }
}

impl HeadEnd {
    /// What a client is told that did not prove who it is.
    pub(super) fn not_proven(&self) -> Reason {
        // A DISCONNECT has no word for bad credentials.
        if matches!(self.stage, Stage::In) { Reason::NOT_AUTHORIZED } else { Reason::BAD_CREDENTIALS }
    }

    /// A CONNECT that names the method.
    pub(super) fn begin_authentication(
        &mut self,
        attempt: Attempt,
        user: Option<&str>,
        properties: Properties<'_>,
    ) -> Result<(), Breach> {
        self.user = user.unwrap_or_default().into();
        self.stage = Stage::Challenged(Box::new(attempt));
        let entropy = self.arriving.as_ref().map(|arriving| arriving.entropy).unwrap_or_default();
        let step = Step::First;
        self.authentication = Some(Box::new(Authentication { step, entropy, count: 0, counterproof: None }));
        self.begin(properties.binary(Id::AuthenticationData))
    }

    /// A packet while the client proves itself in steps.
    pub(super) fn challenged(&mut self, packet: Packet<'_>) -> Result<(), Breach> {
        let kind = packet.kind();
        if let Packet::Auth(notice) = packet {
            return self.auth(&notice);
        }
        if kind != Kind::Disconnect {
            return Err(Breach::protocol(format!("a {} before the end of the authentication", kind.name())));
        }
        self.close(CloseReason::PeerDone);
        Ok(())
    }

    /// An AUTH. Source: \[2\] §3.15.
    pub(super) fn auth(&mut self, notice: &Notice<'_>) -> Result<(), Breach> {
        let again = matches!(self.stage, Stage::In);
        let Some(authentication) = &mut self.authentication else {
            return Err(Breach::protocol("an AUTH from a client that named no method"));
        };
        if notice.properties.text(Id::AuthenticationMethod) != Some(scram::MECHANISM) {
            return Err(Breach::protocol("an AUTH with another method than in the CONNECT, or none"));
        }
        let data = notice.properties.binary(Id::AuthenticationData);
        match (std::mem::replace(&mut authentication.step, Step::Verdict), notice.reason) {
            (Step::First, Reason::CONTINUE_AUTHENTICATION) => self.first(data.unwrap_or_default()),
            (Step::Last(challenge), Reason::CONTINUE_AUTHENTICATION) => self.last(&challenge, data.unwrap_or_default()),
            (Step::Done, Reason::RE_AUTHENTICATE) if again => self.begin(data),
            (Step::Done | Step::First | Step::Last(_) | Step::Verdict, reason) => {
                Err(Breach::protocol(format!("an AUTH out of turn: {reason}")))
            }
        }
    }

    /// Begins with the client's first message, or asks for it.
    fn begin(&mut self, first: Option<&[u8]>) -> Result<(), Breach> {
        if let Some(first) = first {
            return self.first(first);
        }
        if let Some(authentication) = &mut self.authentication {
            authentication.step = Step::First;
        }
        self.say_auth(Reason::CONTINUE_AUTHENTICATION, None);
        Ok(())
    }

    /// The client's first message: it says who it is.
    fn first(&mut self, message: &[u8]) -> Result<(), Breach> {
        let Some(authentication) = &mut self.authentication else { return Ok(()) };
        authentication.count += 1;
        let seed = [&authentication.entropy[..], &authentication.count.to_be_bytes()].concat();
        let challenge = match Challenge::to(message, self.broker.salts(), &seed) {
            Ok(challenge) => challenge,
            Err(what) => return Err(self.unproven(what)),
        };
        // The user name of the CONNECT may be left out; afterwards a session stays with its account.
        if self.user.is_empty() {
            self.user = challenge.user().into();
        } else if *self.user != *challenge.user() {
            return Err(self.unproven("another name than the user name"));
        }
        let asked = challenge.message().to_vec();
        if let Some(authentication) = &mut self.authentication {
            authentication.step = Step::Last(Box::new(challenge));
        }
        self.say_auth(Reason::CONTINUE_AUTHENTICATION, Some(&asked));
        Ok(())
    }

    /// The client's last message: its proof.
    fn last(&mut self, challenge: &Challenge, message: &[u8]) -> Result<(), Breach> {
        let (proven, answer) = challenge.answered(message).map_err(|what| self.unproven(what))?;
        let identity = Identity::new(challenge.user()).map_err(|_| self.unproven("a user name that cannot be one"))?;
        let proof = Proof::Mutual { challenge: proven.into(), answer: Box::new(answer), check: scram::check };
        let claim = Claim { identity, proof, remember: None, company: Company::Many };
        // Who is in stays so while its proof is judged.
        let question = if matches!(self.stage, Stage::In) { Question::Vouch(claim) } else { Question::Prove(claim) };
        if let Stage::Challenged(attempt) = std::mem::replace(&mut self.stage, Stage::In) {
            self.stage = Stage::Proving(attempt);
        }
        self.say(Output::Ask(question));
        Ok(())
    }

    /// A client that is in has proven itself once more.
    pub(super) fn authenticated_again(&mut self, admission: &Admission) -> Result<(), Breach> {
        let Some(authentication) = &mut self.authentication else { return Ok(()) };
        if self.device.as_ref() != Some(&admission.device) {
            return Err(self.unproven("another account than that of the session"));
        }
        authentication.proven(admission.fit.counterproof);
        self.say_auth(Reason::SUCCESS, None);
        Ok(())
    }

    /// An AUTH with these data, or with what proves ourselves.
    fn say_auth(&mut self, reason: Reason, data: Option<&[u8]>) {
        let mut list = Writer::default();
        if let Some(authentication) = &mut self.authentication {
            authentication.say(&mut list);
        }
        if let Some(data) = data {
            list.binary(Id::AuthenticationData, data);
        }
        encode(&Packet::Auth(Notice { reason, properties: list.list() }), self.level, &mut self.work().out);
    }

    fn unproven(&self, what: &'static str) -> Breach {
        Breach::new(self.not_proven(), FaultKind::NotProven, what)
    }
}
