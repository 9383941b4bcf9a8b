//! What can be set for a listener of robots and, over that, for one robot.

use std::time::Duration;

use serde::Deserialize;

use super::configuration::Configuration;
use super::frame::{Cut, Cutter, Framing};
use super::message::is_path;
use crate::SettingsError;
use crate::settings::read;

/// Where a document may name its robot.
const IDENTITY: &str = "Robot/Identity";
/// Where it may prove it.
const SECRET: &str = "Robot/Secret";
/// Where it may say when it measured.
const TIME: &str = "Robot/Time";
/// Where it may number itself, so that it is acknowledged.
const SEQUENCE: &str = "Robot/Sequence";
/// What a document that has a number is answered with once it is stored.
const ANSWER: &str = "<Server><Stored>{sequence}</Stored></Server>";
/// Longest answer: a few elements.
const ANSWER_BYTES_MAX: usize = 1_024;
/// Silence after which a robot's presence is silent.
const EXPECT_S: u64 = 60;
/// Silence after which its connection is given up.
const IDLE_S: u64 = 600;
/// Longest wait that settings may ask for: a month.
const WAIT_S_MAX: u64 = 31 * 86_400;
/// Paths of one list: as many as a robot's configuration may hold.
const PATHS_MAX: usize = 512;

/// What is in force for a listener or one of its robots.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The robot's own configuration.
    pub(super) configuration: Option<Configuration>,
    pub(super) identity: String,
    pub(super) secret: String,
    pub(super) time: String,
    pub(super) sequence: String,
    /// Empty for none.
    pub(super) answer: String,
    /// Paths whose values are events.
    pub(super) events: Vec<String>,
    /// Paths that commands may write.
    pub(super) writable: Vec<String>,
    pub(super) expect: Duration,
    pub(super) idle: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OfListener {
    configuration: Option<String>,
    identity: Option<String>,
    secret: Option<String>,
}

/// What a robot's own table may hold as well.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Either {
    time: Option<String>,
    sequence: Option<String>,
    answer: Option<String>,
    events: Option<Vec<String>>,
    writable: Option<Vec<String>>,
    expect_s: Option<u64>,
    idle_s: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            configuration: None,
            identity: IDENTITY.to_owned(),
            secret: SECRET.to_owned(),
            time: TIME.to_owned(),
            sequence: SEQUENCE.to_owned(),
            answer: ANSWER.to_owned(),
            events: Vec::new(),
            writable: Vec::new(),
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
        let own = ["configuration", "identity", "secret"];
        let (of_listener, either) =
            table.clone().into_iter().partition::<toml::Table, _>(|(key, _)| own.contains(&key.as_str()));
        let written: OfListener = read(&of_listener)?;
        let mut settings = Self::default();
        if let Some(text) = written.configuration {
            // A file comes with the word that tells a secret's text.
            let text = text.strip_prefix("text:").unwrap_or(&text);
            let configuration = Configuration::parse(text).map_err(|reason| wrong("configuration", reason))?;
            settings.configuration = Some(configuration);
        }
        set_path(&mut settings.identity, "identity", written.identity)?;
        set_path(&mut settings.secret, "secret", written.secret)?;
        settings.with_device(&either)
    }

    /// With what a robot's own table says over it.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn with_device(&self, table: &toml::Table) -> Result<Self, SettingsError> {
        let written: Either = read(table)?;
        let mut settings = self.clone();
        set_path(&mut settings.time, "time", written.time)?;
        set_path(&mut settings.sequence, "sequence", written.sequence)?;
        if let Some(answer) = written.answer {
            check_answer(&answer)?;
            settings.answer = answer;
        }
        set_paths(&mut settings.events, "events", written.events)?;
        set_paths(&mut settings.writable, "writable", written.writable)?;
        if let Some(configuration) = &settings.configuration
            && let Some(index) = settings.writable.iter().position(|path| !configuration.takes(path))
        {
            let reason = "is not under RECEIVE in the robot's configuration".to_owned();
            return Err(wrong(&format!("writable[{index}]"), reason));
        }
        set_wait(&mut settings.expect, "expect_s", written.expect_s)?;
        set_wait(&mut settings.idle, "idle_s", written.idle_s)?;
        Ok(settings)
    }

    /// How frames are told apart.
    pub(super) fn framing(&self) -> Framing {
        self.configuration.as_ref().map(|configuration| configuration.framing.clone()).unwrap_or_default()
    }

    /// Whether a value is for us and none that was measured.
    pub(super) fn is_own(&self, path: &str) -> bool {
        [&self.identity, &self.secret, &self.time, &self.sequence].into_iter().any(|own| own == path)
    }
}

/// The settings of a simulated robot.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RobotSide {
    /// How it names itself.
    pub(super) identity: String,
    /// With what it proves who it is, as `text:`; empty for nothing.
    pub(super) secret: String,
    pub(super) reconnect_ms: u64,
}

impl Default for RobotSide {
    fn default() -> Self {
        Self { identity: "330302D110/01".to_owned(), secret: "text:IJKLMNOPQRSTUVWX".to_owned(), reconnect_ms: 1_000 }
    }
}

impl RobotSide {
    /// From the table of a simulated robot.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of(table: &toml::Table) -> Result<Self, SettingsError> {
        let mut side: Self = read(table)?;
        if side.reconnect_ms == 0 {
            return Err(wrong("reconnect_ms", "takes at least 1".to_owned()));
        }
        if !side.secret.is_empty() {
            let text = side.secret.strip_prefix("text:");
            let text = text.ok_or_else(|| wrong("secret", "write it as text:...: it stands in XML".to_owned()))?;
            side.secret = text.to_owned();
        }
        Ok(side)
    }
}

fn set_path(setting: &mut String, key: &str, written: Option<String>) -> Result<(), SettingsError> {
    let Some(path) = written else { return Ok(()) };
    check_path(key, &path)?;
    *setting = path;
    Ok(())
}

fn set_paths(setting: &mut Vec<String>, key: &str, written: Option<Vec<String>>) -> Result<(), SettingsError> {
    let Some(paths) = written else { return Ok(()) };
    if paths.len() > PATHS_MAX {
        return Err(wrong(key, format!("{} paths over {PATHS_MAX}", paths.len())));
    }
    for (index, path) in paths.iter().enumerate() {
        check_path(&format!("{key}[{index}]"), path)?;
    }
    *setting = paths;
    Ok(())
}

fn check_path(key: &str, path: &str) -> Result<(), SettingsError> {
    if is_path(path) {
        return Ok(());
    }
    Err(wrong(key, format!("{path:?} is no path such as Robot/Status or Robot/ActPos/@X")))
}

fn set_wait(setting: &mut Duration, key: &str, written: Option<u64>) -> Result<(), SettingsError> {
    let Some(seconds) = written else { return Ok(()) };
    if !(1..=WAIT_S_MAX).contains(&seconds) {
        return Err(wrong(key, format!("takes 1 to {WAIT_S_MAX}")));
    }
    *setting = Duration::from_secs(seconds);
    Ok(())
}

/// An answer is one document, or nothing.
fn check_answer(answer: &str) -> Result<(), SettingsError> {
    if answer.is_empty() {
        return Ok(());
    }
    let mut cutter = Cutter::new(Framing::default());
    cutter.push(answer.replace(crate::recorder::SEQUENCE_PLACE, "0").as_bytes());
    let is_document = matches!(cutter.cut(), Some(Cut::Frame(_))) && cutter.held_bytes() == 0;
    if is_document && answer.len() <= ANSWER_BYTES_MAX {
        return Ok(());
    }
    Err(wrong("answer", format!("takes one XML document of at most {ANSWER_BYTES_MAX} bytes, such as {ANSWER}")))
}

fn wrong(key: &str, reason: String) -> SettingsError {
    SettingsError { key: key.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    fn check(table: &str, key: &str) {
        let table = table.parse().expect("TOML");
        let error = Settings::of_listener(&table).expect_err(key);
        assert!(error.key == key || error.reason.contains(key), "{error}");
    }

    #[test]
    fn every_setting_that_cannot_be_is_named() {
        check("nonsense = 1", "nonsense");
        check("identity = 'a b'", "identity");
        check("events = ['Robot/A', '/']", "events[1]");
        check("idle_s = 0", "idle_s");
        check("answer = '<A>'", "answer");
        check("answer = '<A/><B/>'", "answer");
        check("configuration = '<ROOT/>'", "configuration");
        let text = include_str!("vectors/configuration.txt");
        check(&format!("writable = ['Robot/Status']\nconfiguration = '''{text}'''"), "writable[0]");
        let device = "identity = 'Robot/Name'".parse().expect("TOML");
        assert!(Settings::default().with_device(&device).is_err(), "who it is cannot depend on who it is");
    }

    #[test]
    fn a_configuration_may_come_from_a_file() {
        let text = include_str!("vectors/configuration.txt");
        let table = format!("writable = ['Server/Override']\nconfiguration = '''text:{text}'''").parse().expect("TOML");
        let settings = Settings::of_listener(&table).expect("settings");
        assert!(settings.configuration.is_some_and(|configuration| configuration.sends("Robot/Status")));
    }
}
