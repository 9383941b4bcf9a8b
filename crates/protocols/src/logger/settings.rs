//! What an operator can set for a listener of data loggers and, over that, for one device.
//!
//! Both are tables of the same words; a device's table replaces what it names. Words that only one of the two may hold say
//! so. The README lists them under Settings; most stand for a disagreement between devices.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::cipher::{Key, Padding};
use super::crc::CrcVariant;
use super::dialect::{self, AfterLogin, DataAnswer, Dialect, LoginScope};
use super::identity::ProofOrder;
use super::time::Zone;
use crate::SettingsError;
use crate::settings::{none_of, read};

/// Largest frame that is taken unless settings say otherwise; reports of 50 meters are of 5 to 20 kB.
const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// The range in which settings may move `FRAME_BYTES_MAX`: a login still fits, and a report's text does.
const FRAME_BYTES_MAX_RANGE: std::ops::RangeInclusive<usize> = 1024..=16 * 1024 * 1024;
/// Silence after which a connection is given up, unless the device's own interval asks for more.
const IDLE_S: f64 = 600.0;
/// How many of its own intervals a device may be silent.
const IDLE_INTERVALS: f64 = 2.5;
/// Pause before a frame that the device did not ask for: simple devices take what one read returns for one frame.
const GAP_MS: u64 = 200;
/// How long a device may take to answer a command.
const COMMAND_S: f64 = 30.0;
/// Longest wait that settings may ask for: a month.
const WAIT_S_MAX: f64 = 31.0 * 86_400.0;
/// Most candidate keys on one listener, those of its devices apart.
const AES_KEYS_MAX: usize = 256;

/// Which checks of frames are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CrcCheck {
    /// Any of the known variants; the one that a device uses is remembered.
    Learn,
    /// This one only.
    Fixed(CrcVariant),
    /// Not looked at.
    Off,
}

/// What a challenge looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SequenceShape {
    /// 8 decimal digits, the form most widely met.
    Digits,
    /// 16 letters and digits.
    Letters,
}

/// What a passed login is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResultForm {
    /// The result and the server's time.
    WithTime,
    /// The result alone.
    Alone,
}

/// What a heartbeat is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeartbeatAnswer {
    /// A result where the device names a project, otherwise the time.
    ById,
    /// The time.
    Time,
    /// A result.
    HeartResult,
}

/// Whether compressed bodies are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompressionIn {
    /// zlib and QuickLZ, by their first bytes.
    Auto,
    /// None.
    Off,
}

/// What is in force for a listener or for one of its devices.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The only dialect taken; `None` finds it out by the first bytes.
    pub dialect: Option<&'static Dialect>,
    /// Which checks are believed.
    pub crc: CrcCheck,
    /// Which check is sent; `None` mirrors what came.
    pub crc_sent: Option<CrcVariant>,
    /// The device's own cipher key.
    pub aes_key: Option<Arc<Key>>,
    /// What fills the last block of what we send; `None` is as the dialect has it.
    pub padding: Option<Padding>,
    /// Whether compressed bodies are taken.
    pub compression: CompressionIn,
    /// How a proof is made.
    pub md5_order: ProofOrder,
    /// What a challenge looks like.
    pub sequence: SequenceShape,
    /// What a passed login is answered with.
    pub result: ResultForm,
    /// What a heartbeat is answered with.
    pub heartbeat_answer: HeartbeatAnswer,
    /// What a stored report is answered with; `None` is as the dialect has it.
    pub report_answer: Option<DataAnswer>,
    /// What a stored packet of a backlog is answered with; `None` is as the dialect has it.
    pub continuous_answer: Option<DataAnswer>,
    /// What follows a login; `None` is as the dialect has it.
    pub after_login: Option<AfterLogin>,
    /// Quality codes that mean good; without any: 192, nothing, and 0 from a device that never sent 192.
    pub good_codes: Arc<[Box<str>]>,
    /// Silence after which the connection is given up, at least.
    pub idle: Duration,
    /// How many of its own intervals a device may be silent.
    pub idle_intervals: f64,
    /// How logins are tied to connections; `None` is as the dialect has it.
    pub login_scope: Option<LoginScope>,
    /// Pause before a frame that the device did not ask for.
    pub gap: Duration,
    /// How long a device may take to answer a command.
    pub command_wait: Duration,
    /// The zone of all times in messages.
    pub zone: Zone,
    /// Largest frame taken, in bytes.
    pub frame_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dialect: None,
            crc: CrcCheck::Learn,
            crc_sent: None,
            aes_key: None,
            padding: None,
            compression: CompressionIn::Auto,
            md5_order: ProofOrder::Both,
            sequence: SequenceShape::Digits,
            result: ResultForm::WithTime,
            heartbeat_answer: HeartbeatAnswer::ById,
            report_answer: None,
            continuous_answer: None,
            after_login: None,
            good_codes: Arc::default(),
            idle: Duration::from_secs_f64(IDLE_S),
            idle_intervals: IDLE_INTERVALS,
            login_scope: None,
            gap: Duration::from_millis(GAP_MS),
            command_wait: Duration::from_secs_f64(COMMAND_S),
            zone: Zone::default(),
            frame_bytes_max: FRAME_BYTES_MAX,
        }
    }
}

/// A cipher key with the name under which operators see it.
#[derive(Clone, Debug)]
pub(super) struct NamedKey {
    /// Where it was set: `aes_keys[0]`, or the device's identity. Never the key.
    pub label: Arc<str>,
    /// The key.
    pub key: Arc<Key>,
}

/// The table as it is written. Every word is optional, in a listener's table and in a device's.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    dialect: Option<String>,
    crc: Option<String>,
    crc_sent: Option<String>,
    aes_keys: Vec<WrittenKey>,
    aes_key: Option<String>,
    aes_iv: Option<String>,
    padding: Option<String>,
    compression: Option<String>,
    md5_order: Option<String>,
    sequence: Option<String>,
    result: Option<String>,
    heartbeat_answer: Option<String>,
    report_answer: Option<String>,
    continuous_answer: Option<String>,
    after_login: Option<String>,
    good_codes: Option<Vec<Box<str>>>,
    idle_s: Option<f64>,
    idle_intervals: Option<f64>,
    login_scope: Option<String>,
    gap_ms: Option<u64>,
    command_s: Option<f64>,
    time_zone: Option<String>,
    frame_bytes_max: Option<usize>,
}

/// A candidate key: alone, or with an initialisation vector of its own.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a key is text:... or hex:..., alone or as { key = \"...\", iv = \"...\" }")]
enum WrittenKey {
    Alone(String),
    Pair(WrittenPair),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPair {
    key: String,
    iv: Option<String>,
}

impl Settings {
    /// What is in force on a listener, and its candidate keys.
    ///
    /// # Errors
    /// `SettingsError` with the key's path, when a word is unknown or its value cannot be.
    pub(super) fn of_listener(table: &toml::Table) -> Result<(Self, Vec<NamedKey>), SettingsError> {
        let mut written: Written = read(table)?;
        for (key, value) in [("aes_key", &written.aes_key), ("aes_iv", &written.aes_iv)] {
            if value.is_some() {
                return Err(refused(key, "belongs to a device; a listener has a list: aes_keys = [..]"));
            }
        }
        let keys = candidates(&std::mem::take(&mut written.aes_keys))?;
        Ok((Self::default().with(written)?, keys))
    }

    /// What is in force for a device of this listener.
    ///
    /// # Errors
    /// `SettingsError` with the key's path, when a word is unknown or its value cannot be.
    pub(super) fn with_device(&self, table: &toml::Table) -> Result<Self, SettingsError> {
        let mut written: Written = read(table)?;
        if !written.aes_keys.is_empty() {
            return Err(refused("aes_keys", "belongs to a listener; a device has one: aes_key = \"text:..\""));
        }
        if written.frame_bytes_max.is_some() {
            return Err(refused("frame_bytes_max", "belongs to a listener: a frame's device is known after its end"));
        }
        let mut settings = self.clone();
        settings.aes_key = match (written.aes_key.take(), written.aes_iv.take()) {
            (Some(key), iv) => Some(Arc::new(own_key(&key, iv.as_deref())?)),
            (None, Some(_)) => return Err(refused("aes_iv", "stands without aes_key")),
            (None, None) => None,
        };
        settings.with(written)
    }

    fn with(mut self, written: Written) -> Result<Self, SettingsError> {
        if let Some(name) = &written.dialect {
            self.dialect = if name == "auto" { None } else { Some(dialect_of(name)?) };
        }
        set(&mut self.crc, "crc", written.crc.as_deref(), &crc_checks())?;
        set(&mut self.crc_sent, "crc_sent", written.crc_sent.as_deref(), &crc_sent())?;
        set(&mut self.padding, "padding", written.padding.as_deref(), &paddings())?;
        set(&mut self.compression, "compression", written.compression.as_deref(), &COMPRESSIONS)?;
        set(&mut self.md5_order, "md5_order", written.md5_order.as_deref(), &proof_orders())?;
        set(&mut self.sequence, "sequence", written.sequence.as_deref(), &SEQUENCES)?;
        set(&mut self.result, "result", written.result.as_deref(), &RESULTS)?;
        set(&mut self.heartbeat_answer, "heartbeat_answer", written.heartbeat_answer.as_deref(), &HEARTBEAT_ANSWERS)?;
        set(&mut self.report_answer, "report_answer", written.report_answer.as_deref(), &answers(TO_REPORTS))?;
        set(
            &mut self.continuous_answer,
            "continuous_answer",
            written.continuous_answer.as_deref(),
            &answers(&DataAnswer::ALL),
        )?;
        set(&mut self.after_login, "after_login", written.after_login.as_deref(), &AFTER_LOGIN)?;
        set(&mut self.login_scope, "login_scope", written.login_scope.as_deref(), &LOGIN_SCOPES)?;
        if let Some(codes) = written.good_codes {
            self.good_codes = codes.into();
        }
        if let Some(seconds) = written.idle_s {
            self.idle = wait("idle_s", seconds, 1.0)?;
        }
        if let Some(intervals) = written.idle_intervals {
            if !(1.0..=1000.0).contains(&intervals) {
                return Err(refused("idle_intervals", &format!("{intervals} is not within 1..=1000")));
            }
            self.idle_intervals = intervals;
        }
        if let Some(gap_ms) = written.gap_ms {
            if gap_ms > 10_000 {
                return Err(refused("gap_ms", &format!("{gap_ms} is over 10000")));
            }
            self.gap = Duration::from_millis(gap_ms);
        }
        if let Some(seconds) = written.command_s {
            self.command_wait = wait("command_s", seconds, 0.1)?;
        }
        if let Some(zone) = &written.time_zone {
            self.zone = Zone::parse(zone)?;
        }
        if let Some(bytes) = written.frame_bytes_max {
            if !FRAME_BYTES_MAX_RANGE.contains(&bytes) {
                return Err(refused("frame_bytes_max", &format!("{bytes} is not within {FRAME_BYTES_MAX_RANGE:?}")));
            }
            self.frame_bytes_max = bytes;
        }
        Ok(self)
    }
}

/// The words of one setting with what they mean.
type Words<T> = [(&'static str, T)];

const COMPRESSIONS: [(&str, CompressionIn); 2] = [("auto", CompressionIn::Auto), ("off", CompressionIn::Off)];
const SEQUENCES: [(&str, SequenceShape); 2] = [("digits", SequenceShape::Digits), ("letters", SequenceShape::Letters)];
const RESULTS: [(&str, ResultForm); 2] = [("with-time", ResultForm::WithTime), ("alone", ResultForm::Alone)];
const HEARTBEAT_ANSWERS: [(&str, HeartbeatAnswer); 3] =
    [("by-id", HeartbeatAnswer::ById), ("time", HeartbeatAnswer::Time), ("heart-result", HeartbeatAnswer::HeartResult)];
const AFTER_LOGIN: [(&str, Option<AfterLogin>); 3] =
    [("dialect", None), ("readings", Some(AfterLogin::Readings)), ("archives", Some(AfterLogin::Archives))];
const LOGIN_SCOPES: [(&str, Option<LoginScope>); 3] =
    [("dialect", None), ("connection", Some(LoginScope::Connection)), ("name", Some(LoginScope::Name))];

fn proof_orders() -> Vec<(&'static str, ProofOrder)> {
    ProofOrder::ALL.into_iter().map(|order| (order.word(), order)).collect()
}

/// Answers that do not speak of a place in a backlog, which a report has not.
const TO_REPORTS: &[DataAnswer] =
    &[DataAnswer::Nothing, DataAnswer::ReportAck, DataAnswer::EnergyOk, DataAnswer::DataAck, DataAnswer::RecordArrive];

fn answers(known: &[DataAnswer]) -> Vec<(&'static str, Option<DataAnswer>)> {
    std::iter::once(("dialect", None)).chain(known.iter().map(|&answer| (answer.word(), Some(answer)))).collect()
}

fn crc_checks() -> Vec<(&'static str, CrcCheck)> {
    let fixed = CrcVariant::ALL.into_iter().map(|variant| (variant.word(), CrcCheck::Fixed(variant)));
    [("learn", CrcCheck::Learn), ("off", CrcCheck::Off)].into_iter().chain(fixed).collect()
}

fn crc_sent() -> Vec<(&'static str, Option<CrcVariant>)> {
    std::iter::once(("same", None))
        .chain(CrcVariant::ALL.into_iter().map(|variant| (variant.word(), Some(variant))))
        .collect()
}

fn paddings() -> Vec<(&'static str, Option<Padding>)> {
    std::iter::once(("dialect", None))
        .chain(Padding::ALL.into_iter().map(|padding| (padding.word(), Some(padding))))
        .collect()
}

fn set<T: Copy>(place: &mut T, key: &str, word: Option<&str>, words: &Words<T>) -> Result<(), SettingsError> {
    let Some(word) = word else { return Ok(()) };
    let Some(&(_, value)) = words.iter().find(|(known, _)| *known == word) else {
        return Err(refused(key, &none_of(word, words.iter().map(|(known, _)| *known))));
    };
    *place = value;
    Ok(())
}

/// The dialect of that name.
pub(super) fn dialect_of(name: &str) -> Result<&'static Dialect, SettingsError> {
    let known = || dialect::ALL_DIALECTS.iter().map(|dialect| dialect.name);
    dialect::find(name).ok_or_else(|| refused("dialect", &none_of(name, known())))
}

/// A wait in seconds.
pub(super) fn wait(key: &str, seconds: f64, min: f64) -> Result<Duration, SettingsError> {
    if (min..=WAIT_S_MAX).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(refused(key, &format!("{seconds} is not within {min}..={WAIT_S_MAX} seconds")))
    }
}

/// The key written as `aes_key` and `aes_iv`.
pub(super) fn own_key(key: &str, iv: Option<&str>) -> Result<Key, SettingsError> {
    Key::from_settings(key, iv).map_err(|error| SettingsError { key: format!("aes_{}", error.key), ..error })
}

fn candidates(written: &[WrittenKey]) -> Result<Vec<NamedKey>, SettingsError> {
    if written.len() > AES_KEYS_MAX {
        return Err(refused("aes_keys", &format!("{} keys are over {AES_KEYS_MAX}", written.len())));
    }
    let mut keys = Vec::with_capacity(written.len());
    for (place, written) in written.iter().enumerate() {
        let label = format!("aes_keys[{place}]");
        let (key, iv, suffix) = match written {
            WrittenKey::Alone(key) => (key, None, false),
            WrittenKey::Pair(pair) => (&pair.key, pair.iv.as_deref(), true),
        };
        let key = Key::from_settings(key, iv).map_err(|error| {
            let key = if suffix { format!("{label}.{}", error.key) } else { label.clone() };
            SettingsError { key, ..error }
        })?;
        keys.push(NamedKey { label: label.into(), key: Arc::new(key) });
    }
    Ok(keys)
}

pub(super) fn refused(key: &str, reason: &str) -> SettingsError {
    SettingsError { key: key.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{CrcCheck, DataAnswer, Settings};
    use crate::logger::crc::CrcVariant;

    /// What the listener's table says, or the refusal as `key: reason`.
    fn check(table: &str, refused: Option<&str>) {
        let table: toml::Table = table.parse().expect("toml");
        let found = Settings::of_listener(&table).err().map(|error| error.to_string());
        match (found, refused) {
            (None, None) => {}
            (Some(found), Some(expected)) => assert!(found.starts_with(expected), "{found:?}, not {expected:?}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_refusal_names_the_path_and_what_would_be_right() {
        check("", None);
        check(
            "dialect = 'auto'\ncrc = 'a3'\naes_keys = ['text:0000000000123456', { key = 'hex:0102030405060708090a0b0c0d0e0f10', iv = 'text:0000000000123456' }]",
            None,
        );
        check("dialekt = 'auto'", Some("dialekt: there is no such key; did you mean \"dialect\"?"));
        check("dialect = 'roman'", Some("dialect: \"roman\" is none of national"));
        check("crc = 'a9'", Some("crc: \"a9\" is none of learn, off, a1"));
        check("crc = 5", Some("crc: wrong type, expected a string"));
        check("aes_keys = ['0000000000123456']", Some("aes_keys[0]: "));
        check(
            "aes_keys = ['text:0000000000123456', { key = 'text:0000000000123456', iv = 'text:1' }]",
            Some("aes_keys[1].iv: "),
        );
        check("aes_key = 'text:0000000000123456'", Some("aes_key: belongs to a device"));
        check("idle_s = 0", Some("idle_s: 0 is not within"));
        check("idle_s = nan", Some("idle_s: NaN is not within"));
        check("time_zone = 'Shanghai'", Some("time_zone: "));
        check("frame_bytes_max = 10", Some("frame_bytes_max: 10 is not within"));
        check("report_answer = 'numbered'", Some("report_answer: \"numbered\" is none of"));
    }

    #[test]
    fn a_device_replaces_what_it_names() {
        let listener = "crc = 'a1'\nreport_answer = 'none'".parse().expect("toml");
        let device = "crc = 'off'\naes_key = 'text:0000000000123456'".parse().expect("toml");
        let (listener, _) = Settings::of_listener(&listener).expect("settings");
        assert_eq!(listener.crc, CrcCheck::Fixed(CrcVariant::A1));
        let device = listener.with_device(&device).expect("settings");
        assert_eq!((device.crc, device.report_answer), (CrcCheck::Off, Some(DataAnswer::Nothing)));
        assert!(device.aes_key.is_some());
    }

    #[test]
    fn a_refusal_never_repeats_a_secret() {
        let table = "aes_key = 12345678".parse().expect("toml");
        let error = Settings::default().with_device(&table).expect_err("a number is no key").to_string();
        assert!(!error.contains("12345678"), "{error}");
    }
}
