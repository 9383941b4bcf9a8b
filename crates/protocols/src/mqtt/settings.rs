//! What can be set for a listener, and over that for a device.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::access::Rules;
use super::broker::client::QueueLimits;
use super::frame::BODY_BYTES_MAX;
use super::topic;
use crate::SettingsError;
use crate::settings::read;
use crate::wire::hex;

/// Longest packet, unless set otherwise: above what sensors and gateways send, below what a flood may take of memory.
const PACKET_BYTES_DEFAULT: usize = 1024 * 1024;
/// Longest CONNECT: two names, a password and a will of ordinary size. Who is not known yet gets no more.
pub(super) const CONNECT_BYTES_MAX: usize = 64 * 1024;
/// Messages of a client that may wait for their acknowledgement, unless set otherwise: enough for a link of 100 ms at ten
/// thousand messages a second.
const RECEIVE_MAX_DEFAULT: u16 = 1_024;
/// Topic aliases that a client may use, unless set otherwise: the topics of a busy gateway.
const TOPIC_ALIASES_DEFAULT: u16 = 64;
/// Messages that wait for one session, unless set otherwise.
const QUEUE_MESSAGES_DEFAULT: usize = 10_000;
/// Bytes that wait for one session, unless set otherwise.
const QUEUE_BYTES_DEFAULT: usize = 64 * 1024 * 1024;
/// Bytes that wait in the whole broker above which messages of QoS 0 are dropped, unless set otherwise: a quarter of a small
/// machine's memory. The rest is for sessions, for the store and for the system.
const OVERLOAD_BYTES_DEFAULT: usize = 256 * 1024 * 1024;
/// Seconds for which a session without a connection is kept at most, unless set otherwise: a week.
const SESSION_EXPIRY_S_DEFAULT: u32 = 7 * 86_400;
/// Topic rules of one list: more of them are a mistake, and all are looked at for every new topic.
const RULES_MAX: usize = 256;

/// What an acknowledgement of a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Durability {
    /// It is on disk.
    Disk,
    /// It is held in memory, and gone with the process.
    Memory,
}

/// What is set for some topics.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTopics {
    filter: String,
    durability: Durability,
}

/// The settings of a listener.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) packet_bytes_max: usize,
    pub(super) receive_max: u16,
    /// Messages on their way to a client that it has not acknowledged; fewer where the client says so.
    pub(super) in_flight_max: u16,
    pub(super) topic_aliases_max: u16,
    pub(super) session_expiry_s_max: u32,
    /// The longest keep alive; none for any.
    pub(super) keep_alive_s_max: Option<u16>,
    /// Whether clients of version 3.1 are let in.
    pub(super) accepts_v3: bool,
    /// Whether the readings of all devices are passed on under topics of their own.
    pub(super) readings: bool,
    /// Whether presence and events of all devices are passed on as well.
    pub(super) news: bool,
    /// Under which group all devices are edge nodes of Sparkplug B; none for nowhere.
    pub(super) sparkplug: Option<Box<str>>,
    /// Under which topics Home Assistant looks for sensors; none where it is told of none.
    pub(super) home_assistant: Option<Box<str>>,
    pub(super) queue: Arc<QueueLimits>,
    /// Under which topic a client is to have answers, for those that ask.
    pub(super) response_information: Option<Box<str>>,
    topics: Vec<OfTopics>,
    pub(super) rules: Arc<Rules>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Written {
    packet_bytes_max: usize,
    receive_max: u16,
    in_flight_max: u16,
    topic_aliases_max: u16,
    session_expiry_s_max: u32,
    keep_alive_s_max: u16,
    version_3_1: bool,
    readings: bool,
    news: bool,
    sparkplug: Option<String>,
    home_assistant: Option<String>,
    queue_messages_max: usize,
    queue_bytes_max: usize,
    overload_bytes: usize,
    response_information: Option<String>,
    topic: Vec<OfTopics>,
    publish: Option<Vec<String>>,
    subscribe: Option<Vec<String>>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            packet_bytes_max: PACKET_BYTES_DEFAULT,
            receive_max: RECEIVE_MAX_DEFAULT,
            in_flight_max: u16::MAX,
            topic_aliases_max: TOPIC_ALIASES_DEFAULT,
            session_expiry_s_max: SESSION_EXPIRY_S_DEFAULT,
            keep_alive_s_max: 0,
            version_3_1: true,
            readings: false,
            news: true,
            sparkplug: None,
            home_assistant: None,
            queue_messages_max: QUEUE_MESSAGES_DEFAULT,
            queue_bytes_max: QUEUE_BYTES_DEFAULT,
            overload_bytes: OVERLOAD_BYTES_DEFAULT,
            response_information: None,
            topic: Vec::new(),
            publish: None,
            subscribe: None,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WrittenOfDevice {
    publish: Option<Vec<String>>,
    subscribe: Option<Vec<String>>,
}

impl Settings {
    /// From the table of a listener.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of_listener(table: &toml::Table) -> Result<Self, SettingsError> {
        let written: Written = read(table)?;
        if !(64..=BODY_BYTES_MAX).contains(&written.packet_bytes_max) {
            return Err(wrong("packet_bytes_max", format!("takes 64 to {BODY_BYTES_MAX}")));
        }
        for (key, count) in [("receive_max", written.receive_max), ("in_flight_max", written.in_flight_max)] {
            if count == 0 {
                return Err(wrong(key, "takes 1 to 65535".to_owned()));
            }
        }
        if let Some(Err(fault)) = written.response_information.as_deref().map(topic::check_name) {
            return Err(wrong("response_information", fault.reason.into_owned()));
        }
        if written.sparkplug.as_deref().is_some_and(|group| group.contains('/') || topic::check_name(group).is_err()) {
            return Err(wrong("sparkplug", "takes the name of a group: one level of a topic".to_owned()));
        }
        if let Some(Err(fault)) = written.home_assistant.as_deref().map(topic::check_name) {
            return Err(wrong("home_assistant", fault.reason.into_owned()));
        }
        if written.topic.len() > RULES_MAX {
            return Err(wrong("topic", format!("{} filters over {RULES_MAX}", written.topic.len())));
        }
        for (index, of_topics) in written.topic.iter().enumerate() {
            if let Err(fault) = topic::check_filter(&of_topics.filter) {
                return Err(wrong(&format!("topic[{index}].filter"), fault.reason.into_owned()));
            }
        }
        let rules = Rules {
            publish: filters("publish", written.publish)?.unwrap_or_else(everything),
            subscribe: filters("subscribe", written.subscribe)?.unwrap_or_else(everything),
        };
        Ok(Self {
            packet_bytes_max: written.packet_bytes_max,
            receive_max: written.receive_max,
            in_flight_max: written.in_flight_max,
            topic_aliases_max: written.topic_aliases_max,
            session_expiry_s_max: written.session_expiry_s_max,
            keep_alive_s_max: Some(written.keep_alive_s_max).filter(|seconds| *seconds > 0),
            accepts_v3: written.version_3_1,
            readings: written.readings,
            news: written.news,
            sparkplug: written.sparkplug.map(Box::from),
            home_assistant: written.home_assistant.map(Box::from),
            queue: Arc::new(QueueLimits {
                messages: written.queue_messages_max,
                bytes: written.queue_bytes_max,
                overload_bytes: written.overload_bytes,
            }),
            response_information: written.response_information.map(Box::from),
            topics: written.topic,
            rules: Arc::new(rules),
        })
    }

    /// What an acknowledgement of a message to this topic means: what the first filter that takes it says.
    pub(super) fn durability_of(&self, topic: &str) -> Durability {
        let first = self.topics.iter().find(|of_topics| topic::matches(&of_topics.filter, topic));
        first.map_or(Durability::Disk, |of_topics| of_topics.durability)
    }

    /// The topic rules of a device: its own where it has some, else the listener's.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn rules_of(&self, table: &toml::Table) -> Result<Arc<Rules>, SettingsError> {
        if table.is_empty() {
            return Ok(Arc::clone(&self.rules));
        }
        let written: WrittenOfDevice = read(table)?;
        Ok(Arc::new(Rules {
            publish: filters("publish", written.publish)?.unwrap_or_else(|| self.rules.publish.clone()),
            subscribe: filters("subscribe", written.subscribe)?.unwrap_or_else(|| self.rules.subscribe.clone()),
        }))
    }
}

/// The settings of a simulated client.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct DeviceSide {
    /// 4 for version 3.1.1, 5 for version 5.
    pub(super) level: u8,
    pub(super) client_id: String,
    pub(super) user: String,
    /// With what it proves who it is: `text:` or `hex:`.
    pub(super) secret: String,
    /// It proves that it knows the secret by SCRAM-SHA-256, and does not say it.
    pub(super) scram: bool,
    pub(super) keep_alive_s: u16,
    pub(super) reconnect_ms: u64,
    /// Messages on their way at once.
    pub(super) window: usize,
}

impl Default for DeviceSide {
    fn default() -> Self {
        Self {
            level: 5,
            client_id: "simulated".to_owned(),
            user: "330302D110/01".to_owned(),
            secret: "text:IJKLMNOPQRSTUVWX".to_owned(),
            scram: false,
            keep_alive_s: 60,
            reconnect_ms: 1000,
            window: 16,
        }
    }
}

impl DeviceSide {
    /// From the table of a simulated device.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of(table: &toml::Table) -> Result<Self, SettingsError> {
        let side: Self = read(table)?;
        if !matches!(side.level, 4 | 5) {
            return Err(wrong("level", "takes 4 or 5".to_owned()));
        }
        if side.scram && side.level == 4 {
            return Err(wrong("scram", "takes level = 5: version 3.1.1 has no steps of a proof".to_owned()));
        }
        if side.window == 0 || side.reconnect_ms == 0 {
            return Err(wrong("window", "takes at least 1, and so does reconnect_ms".to_owned()));
        }
        side.password()?;
        Ok(side)
    }

    /// The bytes of the password.
    ///
    /// # Errors
    /// `SettingsError` when it is written neither as text nor as hex digits.
    pub(super) fn password(&self) -> Result<Vec<u8>, SettingsError> {
        if let Some(text) = self.secret.strip_prefix("text:") {
            return Ok(text.as_bytes().to_vec());
        }
        self.secret
            .strip_prefix("hex:")
            .and_then(hex)
            .ok_or_else(|| wrong("secret", "write it as text:... or hex:...".to_owned()))
    }

    /// The pause before the first attempt to reconnect.
    pub(super) fn reconnect(&self) -> Duration {
        Duration::from_millis(self.reconnect_ms)
    }
}

fn everything() -> Vec<Box<str>> {
    vec![Box::from("#")]
}

fn filters(key: &str, written: Option<Vec<String>>) -> Result<Option<Vec<Box<str>>>, SettingsError> {
    let Some(written) = written else { return Ok(None) };
    if written.len() > RULES_MAX {
        return Err(wrong(key, format!("{} filters over {RULES_MAX}", written.len())));
    }
    for (index, filter) in written.iter().enumerate() {
        if let Err(fault) = topic::check_filter(filter) {
            return Err(wrong(&format!("{key}[{index}]"), fault.reason.into_owned()));
        }
    }
    Ok(Some(written.into_iter().map(Box::from).collect()))
}

fn wrong(key: &str, reason: String) -> SettingsError {
    SettingsError { key: key.to_owned(), reason }
}
