//! Devices: who they are and whether they are there.

use std::collections::BTreeMap;

use loggerhead_headend::{DeviceCounters, DeviceStatus, DeviceTally};
use loggerhead_model::{Evidence, Presence as State};
use loggerhead_store::{DeviceSource, DeviceState, Login};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::{Time, words};

/// A device, whether it is there, and what it did since the process started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Our name for it.
    #[schema(example = "tower-1")]
    pub id: String,
    /// Which protocol it speaks.
    #[schema(example = "logger")]
    pub protocol: String,
    /// Its name for itself, in its protocol's form.
    #[schema(example = "330302D110/01")]
    pub identity: String,
    /// The place it belongs to: the one that somebody named, or what stands before the first `/` of its identity.
    #[schema(example = "330302D110")]
    pub site: Option<String>,
    /// `active`: it may log in. `pending`: it waits for an operator's yes.
    #[schema(schema_with = state_words)]
    pub state: DeviceState,
    /// Who told us about it: the `configuration`, an `operator`, or itself (`enrolled`).
    #[schema(schema_with = source_words)]
    pub source: DeviceSource,
    /// When it became known. None for a device that only the configuration knows.
    pub added_at: Option<Time>,
    /// Whether it is there, and how we know.
    pub presence: Presence,
    /// What it did since the process started.
    pub counters: Counters,
    /// What its protocol found out about it, such as the dialect.
    pub learnt: BTreeMap<String, String>,
}

/// Whether a device is there, with what that rests on. Only received bytes prove a device alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Presence {
    /// `connected-fresh`: logged in and heard from within the time in which it is expected to speak. `connected-silent`:
    /// logged in, but silent for longer. `offline`: was here, is not any more. `never`: known to us, never seen.
    #[schema(schema_with = presence_words)]
    pub state: String,
    /// When this state began.
    pub since: Option<Time>,
    /// When bytes were last received.
    pub last_bytes_at: Option<Time>,
    /// When a reading was last received.
    pub last_reading_at: Option<Time>,
    /// The address at the other end of the current or last session.
    pub peer: Option<String>,
    /// Why the last session ended.
    pub closed_because: Option<String>,
}

/// What a device did since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counters {
    /// Times that it logged in.
    pub logins: u64,
    /// Claims in its name that were not believed.
    pub refusals: u64,
    /// Bytes received while it was logged in.
    pub bytes_in: u64,
    /// Bytes sent while it was logged in.
    pub bytes_out: u64,
    /// Packets that are stored.
    pub packets: u64,
    /// Readings in its packets, resent ones too.
    pub readings: u64,
    /// Times that it broke the rules of its protocol.
    pub faults: u64,
    /// Messages for it that were dropped, since too many waited.
    pub dropped: u64,
}

/// A page of devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceList {
    /// The devices of this page.
    pub devices: Vec<Device>,
    /// How many fit the filter, on all pages.
    pub total: usize,
    /// How many pages of this length that makes.
    pub pages: usize,
    /// `after` of the next page in an order by id; none on the last.
    pub next: Option<String>,
}

/// The sites, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SiteList {
    /// At most as many as were asked for.
    pub sites: Vec<SiteCounts>,
    /// How many there are.
    pub total: usize,
}

/// A site and its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteCounts {
    /// Its name.
    #[schema(example = "330302D110")]
    pub site: String,
    /// How many devices of it are in each state.
    pub devices: PresenceCounts,
}

/// How many devices are in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PresenceCounts {
    /// By the word of the state.
    pub states: BTreeMap<String, u64>,
    /// Devices that wait for an operator's yes, whatever their state.
    pub pending: u64,
}

/// A device to add.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// Our name for it; made from the identity where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "tower-1")]
    pub id: Option<String>,
    /// Which protocol it speaks.
    #[schema(example = "logger")]
    pub protocol: String,
    /// Its name for itself, in its protocol's form.
    #[schema(example = "330302D110/01")]
    pub identity: String,
    /// With what it proves who it is: `text:...` or `hex:...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "text:IJKLMNOPQRSTUVWX")]
    pub secret: Option<String>,
    /// `secret` (as good as none given): it has to know its secret. `cipher`: knowing its cipher key is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = login_words)]
    pub login: Option<Login>,
    /// The place it belongs to; what stands before the first `/` of its identity where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "north tower")]
    pub site: Option<String>,
    /// The protocol's own settings of it, as in the configuration's table.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object, example = json!({"aes_key": "text:0000000000123456"}))]
    pub settings: serde_json::Map<String, serde_json::Value>,
}

fn state_words() -> Object {
    words(&["active", "pending"])
}

fn source_words() -> Object {
    words(&["configuration", "operator", "enrolled"])
}

fn presence_words() -> Object {
    words(&State::ALL.map(State::word))
}

fn login_words() -> Object {
    words(&["secret", "cipher", "name", "certificate"])
}

impl From<DeviceStatus> for Device {
    fn from(status: DeviceStatus) -> Self {
        Self {
            id: status.id.as_str().to_owned(),
            protocol: status.protocol,
            identity: status.identity.as_str().to_owned(),
            site: status.site,
            state: status.state,
            source: status.source,
            added_at: status.added_at.map(Time),
            presence: status.evidence.into(),
            counters: status.counters.into(),
            learnt: status.learnt,
        }
    }
}

impl From<&DeviceTally> for PresenceCounts {
    fn from(tally: &DeviceTally) -> Self {
        let words = State::ALL.map(State::word).into_iter().map(str::to_owned);
        Self { states: words.zip(tally.presences).collect(), pending: tally.pending }
    }
}

impl From<Evidence> for Presence {
    fn from(evidence: Evidence) -> Self {
        Self {
            state: evidence.presence.word().to_owned(),
            since: evidence.since.map(Time),
            last_bytes_at: evidence.last_bytes_at.map(Time),
            last_reading_at: evidence.last_reading_at.map(Time),
            peer: evidence.peer,
            closed_because: evidence.closed_because,
        }
    }
}

impl From<DeviceCounters> for Counters {
    fn from(counters: DeviceCounters) -> Self {
        Self {
            logins: counters.logins,
            refusals: counters.refusals,
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
            packets: counters.packets,
            readings: counters.readings,
            faults: counters.faults,
            dropped: counters.dropped,
        }
    }
}
