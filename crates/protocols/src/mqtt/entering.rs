//! A client's entry: its CONNECT, its proof, its session.

use std::fmt::Write as _;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use loggerhead_model::{Identity, RawFrame};

use super::access::filled;
use super::broker::client::Will;
use super::broker::message::{Message, passed_on};
use super::broker::timing::FOR_EVER;
use super::broker::{Arrival, Attached};
use super::decode::level_of;
use super::encode::encode;
use super::message::{ConnAck, Connect, Level, Packet, Will as WrittenWill};
use super::properties::{Id, Writer};
use super::reason::{Breach, Reason};
use super::sending::Peer;
use super::session::{HeadEnd, Stage, silence_max};
use super::work::Waiting;
use crate::scram;
use crate::{Admission, Claim, CloseReason, Company, FaultKind, Now, Opening, Output, Proof, Question};

/// Whom a client without a user name claims to be, and its password: it is let in where there is such a device.
const ANONYMOUS: &str = "anonymous";
/// Longest client identifier of version 3.1. Source: its §3.1.
pub(super) const V3_CLIENT_ID_MAX: usize = 23;
/// Longest client identifier that is taken: the key of a session has to be of sane size.
const CLIENT_ID_BYTES_MAX: usize = 1_024;

/// A client that said who it is.
pub(super) struct Attempt {
    client_id: Arc<str>,
    /// The identifier is ours, and the client has to be told.
    is_assigned: bool,
    clean_start: bool,
    keep_alive_s: u16,
    asked_expiry_s: u32,
    /// It asks under which topic it is to have answers.
    asks_response: bool,
    will: Option<Will>,
    peer: Peer,
}

/// What matters until a client is in; its memory goes then.
pub(super) struct Arriving {
    pub(super) entropy: [u8; 32],
    pub(super) waker: Waker,
    /// Whom its certificate names.
    pub(super) certified: Option<Identity>,
    /// What was said before it is known who the client is, for people to see.
    pub(super) early: Vec<RawFrame>,
    pub(super) first_frame_by: Duration,
    pub(super) login_by: Duration,
}

impl Arriving {
    /// Whoever has just connected.
    pub(super) fn new(now: Now, opening: Opening) -> Self {
        Self {
            entropy: opening.entropy,
            waker: opening.waker,
            certified: opening.certified,
            early: Vec::new(),
            first_frame_by: now.elapsed + opening.limits.first_frame,
            login_by: now.elapsed + opening.limits.login,
        }
    }
}

impl HeadEnd {
    /// Says of a CONNECT of version 5 that cannot be read why it is refused; before that version there is no word for it.
    /// Source: \[2\] §4.13.1.
    pub(super) fn refuse_malformed(&mut self, bytes: &[u8], breach: &Breach) {
        if matches!(self.stage, Stage::Strange)
            && breach.reason != Reason::UNSUPPORTED_VERSION
            && level_of(bytes) == Some(Level::V5)
        {
            self.level = Level::V5;
            self.refuse(breach.reason);
        }
    }

    /// A CONNECT. Source: \[1\] §3.1, \[2\] §3.1.
    pub(super) fn connect(&mut self, connect: &Connect<'_>) -> Result<(), Breach> {
        self.level = connect.level;
        if let Err(reason) = self.acceptable(connect) {
            self.refuse(reason);
            self.stage = Stage::Ended;
            let breach = Breach::new(reason, FaultKind::NotProven, format!("a CONNECT is refused: {reason}"));
            return Err(breach);
        }
        let mut client_id = Arc::from(connect.client_id);
        let is_assigned = connect.client_id.is_empty();
        if is_assigned {
            client_id = self.new_client_id().into();
        }
        let properties = connect.properties;
        let asked_expiry_s = match (connect.level, connect.clean_start) {
            (Level::V5, _) => properties.number(Id::SessionExpiry).unwrap_or(0),
            // Before version 5 a session that is not clean has no end.
            (Level::V3 | Level::V4, false) => FOR_EVER,
            (Level::V3 | Level::V4, true) => 0,
        };
        let attempt = Attempt {
            will: connect.will.as_ref().map(|will| to_will(will, &client_id)),
            client_id,
            is_assigned,
            clean_start: connect.clean_start,
            keep_alive_s: connect.keep_alive_s,
            asked_expiry_s,
            asks_response: properties.number(Id::RequestResponseInformation) == Some(1),
            peer: Peer::of(connect, self.settings.in_flight_max),
        };
        if properties.text(Id::AuthenticationMethod).is_some() {
            return self.begin_authentication(attempt, connect.user, properties);
        }
        let certified = self.arriving.as_ref().and_then(|arriving| arriving.certified.as_ref()).map(Identity::as_str);
        let user = connect.user.or(certified).unwrap_or(ANONYMOUS);
        let password = match connect.user {
            Some(_) => connect.password.unwrap_or_default(),
            None => connect.password.unwrap_or(ANONYMOUS.as_bytes()),
        };
        let Ok(identity) = Identity::new(user) else {
            self.refuse(Reason::BAD_CREDENTIALS);
            self.stage = Stage::Ended;
            let what = "a user name that cannot be one";
            return Err(Breach::new(Reason::BAD_CREDENTIALS, FaultKind::NotProven, what));
        };
        self.user = user.into();
        self.stage = Stage::Proving(Box::new(attempt));
        let proof = Proof::secret(password);
        let claim = Claim { identity, proof, remember: None, company: Company::Many };
        self.say(Output::Ask(Question::Prove(claim)));
        Ok(())
    }

    /// Whether a CONNECT can be taken, whoever sends it.
    fn acceptable(&self, connect: &Connect<'_>) -> Result<(), Reason> {
        let bytes = connect.client_id.len();
        match connect.level {
            Level::V3 if !self.settings.accepts_v3 => return Err(Reason::UNSUPPORTED_VERSION),
            Level::V3 if bytes == 0 || connect.client_id.chars().count() > V3_CLIENT_ID_MAX => {
                return Err(Reason::CLIENT_ID_NOT_VALID);
            }
            Level::V4 if bytes == 0 && !connect.clean_start => return Err(Reason::CLIENT_ID_NOT_VALID),
            Level::V3 | Level::V4 | Level::V5 => {}
        }
        if bytes > CLIENT_ID_BYTES_MAX {
            return Err(Reason::CLIENT_ID_NOT_VALID);
        }
        if connect.properties.text(Id::AuthenticationMethod).is_some_and(|method| method != scram::MECHANISM) {
            return Err(Reason::BAD_AUTHENTICATION_METHOD);
        }
        Ok(())
    }

    /// A name for a client that gave none.
    fn new_client_id(&self) -> String {
        let mut name = "lh-".to_owned();
        let entropy = self.arriving.as_ref().map(|arriving| arriving.entropy).unwrap_or_default();
        for byte in entropy.iter().take(16) {
            write!(name, "{byte:02x}").expect("a text takes everything");
        }
        name
    }

    /// The client is who it says it is.
    pub(super) fn accepted(&mut self, now: Now, admission: Admission) -> Result<(), Breach> {
        if matches!(self.stage, Stage::In) {
            return self.authenticated_again(&admission);
        }
        let Stage::Proving(attempt) = std::mem::replace(&mut self.stage, Stage::Entering) else {
            self.stage = Stage::Ended;
            return Ok(());
        };
        let rules = self.settings.rules_of(&admission.settings);
        self.rules = rules.map_err(|error| {
            Breach::new(Reason::SERVER_UNAVAILABLE, FaultKind::NotProven, format!("the account's settings: {error}"))
        })?;
        if let Some(authentication) = &mut self.authentication {
            authentication.proven(admission.fit.counterproof);
        }
        self.device = Some(admission.device.clone());
        self.allowances = self.broker.with(|inside| inside.kept.of(&admission.device));
        self.keep_early(now);
        self.client_id = Arc::clone(&attempt.client_id);
        if let Some(will) = &attempt.will
            && !self.rules.may_publish(&will.message.topic, self.asker())
        {
            self.end(Reason::NOT_AUTHORIZED, CloseReason::Refused);
            return Ok(());
        }
        let Some(waker) = self.arriving.as_ref().map(|arriving| arriving.waker.clone()) else { return Ok(()) };
        let expiry_s = attempt.asked_expiry_s.min(self.settings.session_expiry_s_max);
        let arrival = Arrival {
            client_id: Arc::clone(&attempt.client_id),
            device: admission.device,
            clean_start: attempt.clean_start,
            expiry_s,
            will: attempt.will.clone(),
            limits: Arc::clone(&self.settings.queue),
            waker,
        };
        let mut attached = match self.broker.with(|inside| inside.attach(arrival, now.wall)) {
            Ok(attached) => attached,
            Err(reason) => {
                self.end(reason, CloseReason::Refused);
                return Ok(());
            }
        };
        if attached.session_present {
            let may = |filter: &str| self.rules.may_subscribe(filter, self.asker());
            attached.notes.extend(self.broker.with(|inside| inside.restrict(attached.place, &may)));
        }
        self.admit(now, &attempt, attached, expiry_s);
        Ok(())
    }

    fn admit(&mut self, now: Now, attempt: &Attempt, attached: Attached, expiry_s: u32) {
        let Attached { place, session_present, notes } = attached;
        self.place = Some(place);
        self.expiry_s = expiry_s;
        self.peer = attempt.peer.clone();
        let keep_alive_s = self.keep_alive_of(attempt);
        self.keep_alive_s = keep_alive_s;
        if keep_alive_s > 0 {
            self.say(Output::ExpectWithin(silence_max(keep_alive_s)));
        }
        self.broker.with(|inside| {
            if let Some(client) = inside.client(place) {
                self.taken = client.received_count();
                self.peer.send_again(client.under_way());
            }
        });
        let mut list = Writer::default();
        if self.level == Level::V5 {
            self.say_limits(attempt, expiry_s, keep_alive_s, &mut list);
        }
        // Version 3.1 has no flag for a session that was there.
        let session_present = session_present && self.level > Level::V3;
        let answer = ConnAck { session_present, reason: Reason::SUCCESS, properties: list.list() };
        let mut bytes = Vec::new();
        encode(&Packet::ConnAck(answer), self.level, &mut bytes);
        if expiry_s > 0 {
            self.store(now, notes, None, Waiting::Entry(bytes));
        } else {
            self.keep(now, notes);
            self.enter(&bytes);
        }
    }

    fn keep_alive_of(&self, attempt: &Attempt) -> u16 {
        match (self.settings.keep_alive_s_max, attempt.keep_alive_s) {
            // Only version 5 can be told to keep to ours.
            (Some(max), asked) if self.level == Level::V5 && (asked == 0 || asked > max) => max,
            (_, asked) => asked,
        }
    }

    /// What the client has to know of us. Source: \[2\] §3.2.2.3.
    fn say_limits(&mut self, attempt: &Attempt, expiry_s: u32, keep_alive_s: u16, list: &mut Writer) {
        if expiry_s != attempt.asked_expiry_s {
            list.four(Id::SessionExpiry, expiry_s);
        }
        if self.settings.receive_max != u16::MAX {
            list.two(Id::ReceiveMaximum, self.settings.receive_max);
        }
        let packet_bytes_max = u32::try_from(self.settings.packet_bytes_max).unwrap_or(u32::MAX);
        list.four(Id::MaximumPacketSize, packet_bytes_max);
        if attempt.is_assigned {
            list.text(Id::AssignedClientId, &attempt.client_id);
        }
        if self.settings.topic_aliases_max > 0 {
            list.two(Id::TopicAliasMaximum, self.settings.topic_aliases_max);
        }
        if keep_alive_s != attempt.keep_alive_s {
            list.two(Id::ServerKeepAlive, keep_alive_s);
        }
        if let Some(authentication) = &mut self.authentication {
            authentication.say(list);
        }
        let response = self.settings.response_information.as_deref().filter(|_| attempt.asks_response);
        if let Some(topic) = response.and_then(|topic| filled(topic, self.asker())) {
            list.text(Id::ResponseInformation, &topic);
        }
    }

    /// The client is in, and is told so.
    pub(super) fn enter(&mut self, answer: &[u8]) {
        if !matches!(self.stage, Stage::Entering) {
            return;
        }
        self.stage = Stage::In;
        self.arriving = None;
        self.work().out.extend_from_slice(answer);
        self.may_have_mail = true;
    }
}

fn to_will(will: &WrittenWill<'_>, client_id: &Arc<str>) -> Will {
    let payload = Bytes::copy_from_slice(will.payload);
    let properties = passed_on(will.properties);
    let publisher = Some(Arc::clone(client_id));
    let message = Message::of_parts(0, will.topic, payload, properties, will.qos, will.retain, publisher, None);
    Will {
        delay_s: will.properties.number(Id::WillDelay).unwrap_or(0),
        expiry_s: will.properties.number(Id::MessageExpiry),
        message: Arc::new(message),
    }
}

impl Peer {
    /// What a client's CONNECT says of how much it takes, and of messages no more than that.
    fn of(connect: &Connect<'_>, in_flight_max: u16) -> Self {
        let properties = connect.properties;
        Self::new(
            Some(properties.two(Id::ReceiveMaximum).map_or(in_flight_max, |count| count.min(in_flight_max))),
            properties.number(Id::MaximumPacketSize),
            properties.two(Id::TopicAliasMaximum),
        )
    }
}
