//! What can be set for a listener of such devices and, over that, for one device.

use std::collections::BTreeMap;
use std::time::Duration;

use loggerhead_model::{Identity, Timestamp};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::frame::LINE_BYTES_MAX;
use crate::SettingsError;
use crate::encoding::Encoding;
use crate::recorder::SEQUENCE_PLACE;
use crate::settings::read;

/// What a line that has a number is answered with once it is stored.
const ANSWER: &str = "OK {sequence}\n";
/// Longest answer: one line.
const ANSWER_BYTES_MAX: usize = 256;
/// Patterns of one list: a device with more kinds of lines has a protocol.
const PATTERNS_MAX: usize = 64;
/// Memory of one compiled pattern: some hundred times what lines of devices take.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// Channels that are named: as many as the values of a line.
const CHANNELS_MAX: usize = super::message::VALUES_MAX;
/// Longest line that can be set: beyond it, it is a file.
const LINE_BYTES_LIMIT: usize = 1024 * 1024;
/// Silence after which a device's presence is silent.
const EXPECT_S: u64 = 300;
/// Silence after which its connection is given up.
const IDLE_S: u64 = 3_600;
/// Longest wait that settings may ask for: a month.
const WAIT_S_MAX: u64 = 31 * 86_400;

/// What a value may say besides a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Who the device is.
    Device,
    /// With what it proves it.
    Secret,
    /// The number by which it is acknowledged.
    Sequence,
    /// When it was measured.
    Time,
    /// Of which meter the readings are.
    Meter,
    /// Which function the value is of.
    Function,
    /// The value of that function.
    Value,
}

impl Word {
    /// All of them, with the settings that rename them, which are their names as well.
    const ALL: [(Self, &'static str); 7] = [
        (Self::Device, "device"),
        (Self::Secret, "secret"),
        (Self::Sequence, "sequence"),
        (Self::Time, "time"),
        (Self::Meter, "meter"),
        (Self::Function, "function"),
        (Self::Value, "value"),
    ];
}

/// How a time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Clock {
    /// `2026-02-03T04:05:06Z`.
    #[default]
    #[serde(rename = "rfc3339")]
    Rfc3339,
    /// Seconds since 1970, with or without a fraction.
    #[serde(rename = "unix_s")]
    UnixSeconds,
    /// Milliseconds since 1970.
    #[serde(rename = "unix_ms")]
    UnixMilliseconds,
}

/// What is in force for a listener or one of its devices.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Who every device of this listener is; none: its line or its address says it.
    pub(super) identity: Option<Identity>,
    pub(super) encoding: Encoding,
    /// None of them: lines are JSON.
    pub(super) patterns: Vec<Regex>,
    /// Lines that are passed over.
    pub(super) ignore: Vec<Regex>,
    /// The name in the device's lines of each word.
    words: [(Word, String); 7],
    clock: Clock,
    /// Meter and function by the name in the line; empty: every value is a reading.
    channels: BTreeMap<String, (String, String)>,
    /// Empty for none.
    pub(super) answer: String,
    pub(super) line_bytes_max: usize,
    pub(super) expect: Duration,
    pub(super) idle: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OfListener {
    identity: Option<String>,
    device: Option<String>,
    secret: Option<String>,
}

/// What a device's own table may hold as well.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Either {
    encoding: Option<Encoding>,
    patterns: Option<Vec<String>>,
    ignore: Option<Vec<String>>,
    sequence: Option<String>,
    time: Option<String>,
    meter: Option<String>,
    function: Option<String>,
    value: Option<String>,
    clock: Option<Clock>,
    channels: Option<BTreeMap<String, String>>,
    answer: Option<String>,
    line_bytes_max: Option<usize>,
    expect_s: Option<u64>,
    idle_s: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            identity: None,
            encoding: Encoding::Utf8,
            patterns: Vec::new(),
            ignore: Vec::new(),
            words: Word::ALL.map(|(word, name)| (word, name.to_owned())),
            clock: Clock::default(),
            channels: BTreeMap::new(),
            answer: ANSWER.to_owned(),
            line_bytes_max: LINE_BYTES_MAX,
            expect: Duration::from_secs(EXPECT_S),
            idle: Duration::from_secs(IDLE_S),
        }
    }
}

impl Settings {
    /// From the table of a listener.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of_listener(table: &toml::Table) -> Result<Self, SettingsError> {
        let own = ["identity", "device", "secret"];
        let (of_listener, either) =
            table.clone().into_iter().partition::<toml::Table, _>(|(key, _)| own.contains(&key.as_str()));
        let written: OfListener = read(&of_listener)?;
        let mut settings = Self::default();
        if let Some(identity) = written.identity {
            let identity = Identity::new(&identity).map_err(|error| wrong("identity", error.to_string()))?;
            settings.identity = Some(identity);
        }
        settings.rename(Word::Device, written.device)?;
        settings.rename(Word::Secret, written.secret)?;
        settings.with_device(&either)
    }

    /// With what a device's own table says over it.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn with_device(&self, table: &toml::Table) -> Result<Self, SettingsError> {
        let written: Either = read(table)?;
        let mut settings = self.clone();
        settings.encoding = written.encoding.unwrap_or(settings.encoding);
        settings.clock = written.clock.unwrap_or(settings.clock);
        if let Some(patterns) = written.patterns {
            settings.patterns = compile("patterns", &patterns)?;
            if let Some(index) =
                settings.patterns.iter().position(|pattern| pattern.capture_names().flatten().count() == 0)
            {
                let reason = "names no value: write groups such as (?<temperature>[-0-9.]+)".to_owned();
                return Err(wrong(&format!("patterns[{index}]"), reason));
            }
        }
        if let Some(patterns) = written.ignore {
            settings.ignore = compile("ignore", &patterns)?;
        }
        settings.rename(Word::Sequence, written.sequence)?;
        settings.rename(Word::Time, written.time)?;
        settings.rename(Word::Meter, written.meter)?;
        settings.rename(Word::Function, written.function)?;
        settings.rename(Word::Value, written.value)?;
        if let Some(channels) = written.channels {
            settings.channels = channels_of(channels)?;
        }
        if let Some(answer) = written.answer {
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(wrong("answer", format!("{} bytes over {ANSWER_BYTES_MAX}", answer.len())));
            }
            settings.answer = answer;
        }
        if let Some(bytes) = written.line_bytes_max {
            if !(1..=LINE_BYTES_LIMIT).contains(&bytes) {
                return Err(wrong("line_bytes_max", format!("takes 1 to {LINE_BYTES_LIMIT}")));
            }
            settings.line_bytes_max = bytes;
        }
        set_wait(&mut settings.expect, "expect_s", written.expect_s)?;
        set_wait(&mut settings.idle, "idle_s", written.idle_s)?;
        Ok(settings)
    }

    fn rename(&mut self, word: Word, written: Option<String>) -> Result<(), SettingsError> {
        let (Some(written), Some((_, name))) = (written, self.words.iter_mut().find(|(other, _)| *other == word))
        else {
            return Ok(());
        };
        if written.is_empty() {
            let key = Word::ALL.iter().find(|(other, _)| *other == word).map_or("", |(_, key)| key);
            return Err(wrong(key, "takes the name of a value in the lines, such as id or head/time".to_owned()));
        }
        *name = written;
        Ok(())
    }

    /// How the device's lines name a word.
    pub(super) fn name_of(&self, word: Word) -> &str {
        self.words.iter().find(|(other, _)| *other == word).map_or("", |(_, name)| name)
    }

    /// Meter and function of a name that settings give one.
    pub(super) fn channel(&self, name: &str) -> Option<(&str, &str)> {
        self.channels.get(name).map(|(meter, function)| (meter.as_str(), function.as_str()))
    }

    /// Whether a value whose channel is not set is a reading of that name.
    pub(super) fn takes_unnamed(&self, name: &str) -> bool {
        let is_own = |(word, own): &(Word, String)| *word != Word::Value && own == name;
        self.channels.is_empty() && !self.words.iter().any(is_own)
    }

    /// A time as the device writes it. `None` for what is none.
    pub(super) fn time(&self, text: &str) -> Option<Timestamp> {
        match self.clock {
            Clock::Rfc3339 => Timestamp::parse(text).ok(),
            Clock::UnixMilliseconds => text.parse().ok().map(Timestamp::from_unix_ms),
            Clock::UnixSeconds => {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
                let (seconds, digits): (i64, String) = (whole.parse().ok()?, fraction.chars().take(3).collect());
                let ms: i64 = format!("{digits:0<3}").parse().ok()?;
                Some(Timestamp::from_unix_ms(seconds.checked_mul(1_000)?.checked_add(ms)?))
            }
        }
    }
}

fn compile(key: &str, patterns: &[String]) -> Result<Vec<Regex>, SettingsError> {
    if patterns.len() > PATTERNS_MAX {
        return Err(wrong(key, format!("{} patterns over {PATTERNS_MAX}", patterns.len())));
    }
    let compile = |(index, pattern): (usize, &String)| {
        let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
        compiled.map_err(|error| wrong(&format!("{key}[{index}]"), error.to_string()))
    };
    patterns.iter().enumerate().map(compile).collect()
}

fn channels_of(written: BTreeMap<String, String>) -> Result<BTreeMap<String, (String, String)>, SettingsError> {
    if written.len() > CHANNELS_MAX {
        return Err(wrong("channels", format!("{} over {CHANNELS_MAX}", written.len())));
    }
    let channel = |(name, channel): (String, String)| {
        let (meter, function) = channel.split_once('/').unwrap_or(("", &channel));
        if function.is_empty() {
            let reason = format!("{channel:?} is no channel: write METER/FUNCTION or FUNCTION");
            return Err(wrong(&format!("channels.{name}"), reason));
        }
        Ok((name, (meter.to_owned(), function.to_owned())))
    };
    written.into_iter().map(channel).collect()
}

/// The settings of a simulated device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeviceSide {
    /// How it names itself.
    pub(super) identity: String,
    /// With what it proves who it is, as `text:`; empty for nothing.
    pub(super) secret: String,
    /// What it prints, with words in braces for what it tells; empty for JSON.
    pub(super) line: String,
    /// What answers its lines.
    pub(super) answer: String,
    pub(super) reconnect_ms: u64,
}

impl Default for DeviceSide {
    fn default() -> Self {
        Self {
            identity: "330302D110/01".to_owned(),
            secret: "text:IJKLMNOPQRSTUVWX".to_owned(),
            line: String::new(),
            answer: ANSWER.to_owned(),
            reconnect_ms: 1_000,
        }
    }
}

impl DeviceSide {
    /// From the table of a simulated device.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of(table: &toml::Table) -> Result<Self, SettingsError> {
        let mut side: Self = read(table)?;
        if side.reconnect_ms == 0 {
            return Err(wrong("reconnect_ms", "takes at least 1".to_owned()));
        }
        if side.answer.trim_end().is_empty() {
            return Err(wrong("answer", format!("takes what answers a line, such as {ANSWER:?}")));
        }
        let is_numbered = side.line.is_empty() || side.line.contains(SEQUENCE_PLACE);
        if side.answer.contains(SEQUENCE_PLACE) && !is_numbered {
            let reason = format!(
                "has no {SEQUENCE_PLACE}, which its answer {:?} tells: write it in both or in neither",
                side.answer
            );
            return Err(wrong("line", reason));
        }
        if side.line.contains(['\r', '\n']) {
            return Err(wrong("line", "takes one line: its end is added".to_owned()));
        }
        if !side.secret.is_empty() {
            let text = side.secret.strip_prefix("text:");
            let text = text.ok_or_else(|| wrong("secret", "write it as text:...: it stands in JSON".to_owned()))?;
            side.secret = text.to_owned();
        }
        Ok(side)
    }
}

fn set_wait(setting: &mut Duration, key: &str, written: Option<u64>) -> Result<(), SettingsError> {
    let Some(seconds) = written else { return Ok(()) };
    if !(1..=WAIT_S_MAX).contains(&seconds) {
        return Err(wrong(key, format!("takes 1 to {WAIT_S_MAX}")));
    }
    *setting = Duration::from_secs(seconds);
    Ok(())
}

fn wrong(key: &str, reason: String) -> SettingsError {
    SettingsError { key: key.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    fn check(table: &str, key: &str) {
        let error = Settings::of_listener(&table.parse().expect("TOML")).expect_err(key);
        assert_eq!(error.key, key, "{error}");
    }

    #[test]
    fn every_setting_that_cannot_be_is_named() {
        check("nonsense = 1", "nonsense");
        check("identity = ''", "identity");
        check("device = ''", "device");
        check("encoding = 'utf-9'", "encoding");
        check("patterns = ['(?<a>.)', '(']", "patterns[1]");
        check("patterns = ['(a)']", "patterns[0]");
        check("patterns = ['(?<a>\\w{1000}{1000})']", "patterns[0]");
        check("ignore = ['[']", "ignore[0]");
        check("clock = 'sun'", "clock");
        check("channels = { a = 'meter/' }", "channels.a");
        check("line_bytes_max = 0", "line_bytes_max");
        check("idle_s = 0", "idle_s");
        let device = "identity = 'a'".parse().expect("TOML");
        assert!(Settings::default().with_device(&device).is_err(), "who it is cannot depend on who it is");
    }

    #[test]
    fn times_are_read_by_the_clock_that_is_set() {
        let at = |clock: &str, text: &str| {
            let settings =
                Settings::of_listener(&format!("clock = '{clock}'").parse().expect("TOML")).expect("settings");
            settings.time(text).map(|time| time.to_string())
        };
        assert_eq!(at("rfc3339", "2026-01-01T00:00:00Z").as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(at("unix_s", "1767225600").as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(at("unix_s", "1767225600.5").as_deref(), Some("2026-01-01T00:00:00.5Z"));
        assert_eq!(at("unix_ms", "1767225600001").as_deref(), Some("2026-01-01T00:00:00.001Z"));
        for text in ["", "yesterday", "1.x", "99999999999999999999"] {
            assert_eq!(at("unix_s", text), None, "{text}");
            assert_eq!(at("rfc3339", text), None, "{text}");
        }
    }
}
