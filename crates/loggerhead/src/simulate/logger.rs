//! What makes a simulated device a data logger: who it is, how it speaks, which keys it has.

use loggerhead_model::{DeviceId, Identity};
use loggerhead_protocols::logger::dialect::{self, DataAnswer};

/// Cipher key of simulated loggers, unless another is asked for.
pub(crate) const AES_KEY: &str = "text:0000000000123456";
/// What lets simulated loggers in.
pub(crate) const PROOF: &str = "their keys (--aes-key, --md5-key) have to be those that it has";
/// Login secret of simulated loggers, unless another is asked for.
pub(crate) const MD5_KEY: &str = "text:IJKLMNOPQRSTUVWX";
/// Where simulated loggers stand, unless told otherwise.
const BUILDING: &str = "330302D110";
/// Seconds between heartbeats.
const HEARTBEAT_S: u32 = 60;
/// Milliseconds before the first attempt to reconnect.
const RECONNECT_MS: u32 = 1000;

/// Keys and names of simulated loggers.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LoggerKeys {
    /// Cipher key, which is the initialisation vector as well: text:... or hex:...
    #[arg(long, value_name = "KEY", default_value = AES_KEY)]
    pub(crate) aes_key: String,
    /// Secret with which loggers prove who they are: text:... or hex:...
    #[arg(long, value_name = "KEY", default_value = MD5_KEY)]
    pub(crate) md5_key: String,
    /// Building that all loggers stand in; each is a gateway of its own
    #[arg(long, value_name = "BUILDING", default_value = BUILDING)]
    pub(crate) building: String,
    /// Number of the first gateway
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) first_gateway: u64,
    /// Seconds between heartbeats
    #[arg(long, value_name = "SECONDS", default_value_t = HEARTBEAT_S, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) heartbeat: u32,
    /// Milliseconds before the first attempt to reconnect; further ones wait longer
    #[arg(long, value_name = "MS", default_value_t = RECONNECT_MS, value_parser = clap::value_parser!(u32).range(10..=600_000))]
    pub(crate) reconnect_ms: u32,
}

impl Default for LoggerKeys {
    fn default() -> Self {
        Self {
            aes_key: AES_KEY.to_owned(),
            md5_key: MD5_KEY.to_owned(),
            building: BUILDING.to_owned(),
            first_gateway: 1,
            heartbeat: HEARTBEAT_S,
            reconnect_ms: RECONNECT_MS,
        }
    }
}

/// The names of all dialects.
pub(crate) fn dialects() -> Vec<&'static str> {
    dialect::ALL_DIALECTS.iter().map(|dialect| dialect.name).collect()
}

/// The name that logger number `number` gives itself.
///
/// # Errors
/// When the building cannot be part of a name.
pub(crate) fn identity(keys: &LoggerKeys, number: u64) -> anyhow::Result<Identity> {
    Ok(Identity::new(&format!("{}/{}", keys.building, gateway(keys, number)))?)
}

/// The id that a head-end gives logger number `number` when nobody chose one.
///
/// # Errors
/// When the building cannot be part of a name.
pub(crate) fn device_id(keys: &LoggerKeys, number: u64) -> anyhow::Result<DeviceId> {
    Ok(DeviceId::from_identity(&identity(keys, number)?))
}

/// The settings of logger number `number`, which speaks `dialect` and has at most `window` packets on their way.
pub(crate) fn settings(keys: &LoggerKeys, dialect: &str, window: u32, number: u64) -> toml::Table {
    let mut table = toml::Table::new();
    let mut set = |key: &str, value: toml::Value| table.insert(key.to_owned(), value);
    set("dialect", dialect.into());
    set("building", keys.building.as_str().into());
    set("gateway", gateway(keys, number).into());
    set("secret", keys.md5_key.as_str().into());
    set("aes_key", keys.aes_key.as_str().into());
    set("heartbeat_s", i64::from(keys.heartbeat).into());
    set("reconnect_ms", i64::from(keys.reconnect_ms).into());
    set("window", i64::from(window).into());
    // Where nobody acknowledges live packets, none could be shown to be stored.
    if dialect::find(dialect).is_some_and(|dialect| dialect.habits.report == DataAnswer::Nothing) {
        set("live", "continuous".into());
    }
    table
}

fn gateway(keys: &LoggerKeys, number: u64) -> String {
    format!("{:02}", keys.first_gateway + number)
}
