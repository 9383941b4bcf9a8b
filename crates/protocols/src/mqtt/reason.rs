//! Reason codes, and the breaches of rules that are answered with them.

use std::fmt;

use crate::{Fault, FaultKind};

/// A reason code of version 5. Source: \[2\] §2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(pub u8);

impl Reason {
    /// All went well; also QoS 0 granted and a normal end.
    pub const SUCCESS: Self = Self(0x00);
    /// The will is wanted although the client says goodbye.
    pub const DISCONNECT_WITH_WILL: Self = Self(0x04);
    /// Nobody subscribes to that topic.
    pub const NO_MATCHING_SUBSCRIBERS: Self = Self(0x10);
    /// There was no such subscription.
    pub const NO_SUBSCRIPTION_EXISTED: Self = Self(0x11);
    /// The next step of an authentication is due.
    pub const CONTINUE_AUTHENTICATION: Self = Self(0x18);
    /// The client wants to be authenticated again.
    pub const RE_AUTHENTICATE: Self = Self(0x19);
    /// Anything else that is wrong.
    pub const UNSPECIFIED: Self = Self(0x80);
    /// Bytes that the grammar does not allow.
    pub const MALFORMED: Self = Self(0x81);
    /// Allowed by the grammar, but not here or not now.
    pub const PROTOCOL_ERROR: Self = Self(0x82);
    /// Not done here.
    pub const IMPLEMENTATION_SPECIFIC: Self = Self(0x83);
    /// A version that is not spoken here.
    pub const UNSUPPORTED_VERSION: Self = Self(0x84);
    /// A client identifier that is not accepted.
    pub const CLIENT_ID_NOT_VALID: Self = Self(0x85);
    /// The client did not prove who it is.
    pub const BAD_CREDENTIALS: Self = Self(0x86);
    /// The client may not do that.
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    /// The server cannot do it now.
    pub const SERVER_UNAVAILABLE: Self = Self(0x88);
    /// The server stops.
    pub const SHUTTING_DOWN: Self = Self(0x8b);
    /// An authentication method that is not known here.
    pub const BAD_AUTHENTICATION_METHOD: Self = Self(0x8c);
    /// Silence for longer than the client announced.
    pub const KEEP_ALIVE_TIMEOUT: Self = Self(0x8d);
    /// Another connection uses the client identifier now.
    pub const SESSION_TAKEN_OVER: Self = Self(0x8e);
    /// A topic filter that is not accepted.
    pub const FILTER_NOT_VALID: Self = Self(0x8f);
    /// A topic name that is not accepted.
    pub const TOPIC_NOT_VALID: Self = Self(0x90);
    /// The packet identifier is in use.
    pub const PACKET_ID_IN_USE: Self = Self(0x91);
    /// The packet identifier is not known.
    pub const PACKET_ID_NOT_FOUND: Self = Self(0x92);
    /// More unacknowledged messages than were allowed.
    pub const RECEIVE_MAXIMUM_EXCEEDED: Self = Self(0x93);
    /// An alias that was not allowed, or never set.
    pub const TOPIC_ALIAS_NOT_VALID: Self = Self(0x94);
    /// A packet over the limit.
    pub const PACKET_TOO_LARGE: Self = Self(0x95);
    /// A limit of the server is reached.
    pub const QUOTA_EXCEEDED: Self = Self(0x97);
    /// An operator ended it.
    pub const ADMINISTRATIVE: Self = Self(0x98);
    /// A payload that is not what it has to be.
    pub const PAYLOAD_FORMAT_INVALID: Self = Self(0x99);
    /// Shared subscriptions are not supported here.
    pub const SHARED_NOT_SUPPORTED: Self = Self(0x9e);

    /// Whether it says that something failed.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        self.0 >= 0x80
    }

    /// Its name in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0x00 => "success",
            0x01 => "granted QoS 1",
            0x02 => "granted QoS 2",
            0x04 => "disconnect with will message",
            0x10 => "no matching subscribers",
            0x11 => "no subscription existed",
            0x18 => "continue authentication",
            0x19 => "re-authenticate",
            0x80 => "unspecified error",
            0x81 => "malformed packet",
            0x82 => "protocol error",
            0x83 => "implementation specific error",
            0x84 => "unsupported protocol version",
            0x85 => "client identifier not valid",
            0x86 => "bad user name or password",
            0x87 => "not authorized",
            0x88 => "server unavailable",
            0x89 => "server busy",
            0x8a => "banned",
            0x8b => "server shutting down",
            0x8c => "bad authentication method",
            0x8d => "keep alive timeout",
            0x8e => "session taken over",
            0x8f => "topic filter invalid",
            0x90 => "topic name invalid",
            0x91 => "packet identifier in use",
            0x92 => "packet identifier not found",
            0x93 => "receive maximum exceeded",
            0x94 => "topic alias invalid",
            0x95 => "packet too large",
            0x96 => "message rate too high",
            0x97 => "quota exceeded",
            0x98 => "administrative action",
            0x99 => "payload format invalid",
            0x9a => "retain not supported",
            0x9b => "QoS not supported",
            0x9c => "use another server",
            0x9d => "server moved",
            0x9e => "shared subscriptions not supported",
            0x9f => "connection rate exceeded",
            0xa0 => "maximum connect time",
            0xa1 => "subscription identifiers not supported",
            0xa2 => "wildcard subscriptions not supported",
            _ => "not a reason code",
        }
    }

    /// The return code of a CONNACK before version 5, which knows five reasons. Source: \[1\] §3.2.2.3.
    #[must_use]
    pub const fn return_code(self) -> u8 {
        match self {
            Self::SUCCESS => 0,
            Self::UNSUPPORTED_VERSION => 1,
            Self::CLIENT_ID_NOT_VALID => 2,
            Self::BAD_CREDENTIALS => 4,
            Self::NOT_AUTHORIZED => 5,
            _ => 3,
        }
    }
}

impl fmt::Display for Reason {
    /// `0x81 malformed packet`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#04x} {}", self.0, self.name())
    }
}

/// A peer broke a rule: what it did, and the reason code that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// What the peer is told.
    pub reason: Reason,
    /// What operators are told.
    pub fault: Fault,
}

impl Breach {
    /// Bytes that the grammar does not allow, `offset` bytes into the packet's body.
    pub(super) fn malformed(offset: usize, what: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { reason: Reason::MALFORMED, fault: Fault::new(FaultKind::Malformed, what).at(offset) }
    }

    /// Something that is not allowed here or now.
    pub(super) fn protocol(what: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::new(Reason::PROTOCOL_ERROR, FaultKind::OutOfOrder, what)
    }

    /// Anything else.
    pub(super) fn new(reason: Reason, kind: FaultKind, what: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { reason, fault: Fault::new(kind, what) }
    }
}

impl From<Fault> for Breach {
    fn from(fault: Fault) -> Self {
        let reason = if fault.kind == FaultKind::TooLarge { Reason::PACKET_TOO_LARGE } else { Reason::MALFORMED };
        Self { reason, fault }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.fault, self.reason)
    }
}
