//! What can be set for a listener of robots and, over that, for one robot.

use std::time::Duration;

use serde::Deserialize;

use super::message::{NAME_BYTES_MAX, is_path};
use crate::SettingsError;
use crate::settings::read;

/// What answers call themselves, as in the robots' own examples. Source: \[1\], SENTYPE.
const SEN_TYPE: &str = "ImFree";
/// How often a state is recorded: one a second is what an overview needs.
const RECORD_MS: u64 = 1_000;
/// Longest time between two records: an hour.
const RECORD_MS_MAX: u64 = 3_600_000;
/// How long one order can correct a movement: whoever wants more says it again.
const CORRECTION_MS_MAX: u64 = 1_000;
/// The most that can be set for that: a minute without anybody looking.
const CORRECTION_MS_LIMIT: u64 = 60_000;
/// Corrections of one robot: as many as it takes in. Source: \[1\], 64 channels.
const CORRECTIONS_MAX: usize = 64;
/// Silence after which a robot has stopped its interface: over a thousand cycles, ten times what robots themselves wait.
const SILENCE_S: u64 = 5;
/// Longest silence that can be set.
const SILENCE_S_MAX: u64 = 300;
/// Slowest cycle of a simulated robot: a minute.
const CYCLE_MS_MAX: u64 = 60_000;
/// Longest wait of one that is not answered, before it tries again: an hour.
const RECONNECT_MS_MAX: u64 = 3_600_000;

/// One value that may be corrected.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Correction {
    /// Where it stands in the answer: `RKorr/@X`.
    pub(super) element: String,
    /// The largest value in either direction, in the robot's unit, for one answer.
    pub(super) max: f64,
}

/// What is in force for a listener or one of its robots.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) sen_type: String,
    /// The robot is never answered.
    pub(super) only_send: bool,
    /// From one recorded state to the next; zero: every cycle.
    pub(super) record: Duration,
    /// What answers hold, in this order.
    pub(super) corrections: Vec<Correction>,
    pub(super) correction_ms_max: u64,
    pub(super) silence: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    sen_type: Option<String>,
    only_send: Option<bool>,
    record_ms: Option<u64>,
    corrections: Option<Vec<Correction>>,
    correction_ms_max: Option<u64>,
    silence_s: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sen_type: SEN_TYPE.to_owned(),
            only_send: false,
            record: Duration::from_millis(RECORD_MS),
            corrections: Vec::new(),
            correction_ms_max: CORRECTION_MS_MAX,
            silence: Duration::from_secs(SILENCE_S),
        }
    }
}

impl Settings {
    /// With what a table says over it.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn with(&self, table: &toml::Table) -> Result<Self, SettingsError> {
        let written: Written = read(table)?;
        let mut settings = self.clone();
        if let Some(sen_type) = written.sen_type {
            if sen_type.is_empty() || sen_type.len() > NAME_BYTES_MAX || sen_type.chars().any(char::is_control) {
                return Err(wrong("sen_type", format!("takes 1 to {NAME_BYTES_MAX} characters, such as {SEN_TYPE}")));
            }
            settings.sen_type = sen_type;
        }
        settings.only_send = written.only_send.unwrap_or(settings.only_send);
        if let Some(ms) = written.record_ms {
            settings.record = Duration::from_millis(within("record_ms", ms, 0, RECORD_MS_MAX)?);
        }
        if let Some(corrections) = written.corrections {
            check_corrections(&corrections)?;
            settings.corrections = corrections;
        }
        if let Some(ms) = written.correction_ms_max {
            settings.correction_ms_max = within("correction_ms_max", ms, 0, CORRECTION_MS_LIMIT)?;
        }
        if let Some(seconds) = written.silence_s {
            settings.silence = Duration::from_secs(within("silence_s", seconds, 1, SILENCE_S_MAX)?);
        }
        Ok(settings)
    }
}

fn check_corrections(corrections: &[Correction]) -> Result<(), SettingsError> {
    if corrections.len() > CORRECTIONS_MAX {
        return Err(wrong("corrections", format!("{} over {CORRECTIONS_MAX}", corrections.len())));
    }
    for (index, Correction { element, max }) in corrections.iter().enumerate() {
        let key = |name: &str| format!("corrections[{index}].{name}");
        if !is_path(element) || element == "IPOC" {
            return Err(wrong(&key("element"), format!("{element:?} is no path such as RKorr/@X or AK/@A1")));
        }
        if corrections.iter().take(index).any(|before| before.element == *element) {
            return Err(wrong(&key("element"), format!("{element} stands there twice")));
        }
        if !max.is_finite() || *max < 0.0 {
            return Err(wrong(&key("max"), "takes a number from 0; 0 is always sent as zero".to_owned()));
        }
    }
    Ok(())
}

/// The settings of a simulated robot.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RobotSide {
    /// From one state to the next.
    pub(super) cycle_ms: u64,
    pub(super) reconnect_ms: u64,
}

impl Default for RobotSide {
    fn default() -> Self {
        Self { cycle_ms: 4, reconnect_ms: 1_000 }
    }
}

impl RobotSide {
    /// From the table of a simulated robot.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of(table: &toml::Table) -> Result<Self, SettingsError> {
        let side: Self = read(table)?;
        within("cycle_ms", side.cycle_ms, 1, CYCLE_MS_MAX)?;
        within("reconnect_ms", side.reconnect_ms, 1, RECONNECT_MS_MAX)?;
        Ok(side)
    }
}

fn within(key: &str, value: u64, min: u64, max: u64) -> Result<u64, SettingsError> {
    if (min..=max).contains(&value) { Ok(value) } else { Err(wrong(key, format!("takes {min} to {max}"))) }
}

fn wrong(key: &str, reason: String) -> SettingsError {
    SettingsError { key: key.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    fn check(table: &str, key: &str) {
        let error = Settings::default().with(&table.parse().expect("TOML")).expect_err(key);
        assert!(error.key.starts_with(key), "{error}");
    }

    #[test]
    fn every_setting_that_cannot_be_is_named() {
        check("nonsense = 1", "nonsense");
        check("sen_type = ''", "sen_type");
        check("record_ms = 3600001", "record_ms");
        check("silence_s = 0", "silence_s");
        check("correction_ms_max = 60001", "correction_ms_max");
        check("corrections = [{ element = 'RKorr', max = -1 }]", "corrections[0].max");
        check("corrections = [{ element = 'RKorr', max = nan }]", "corrections[0].max");
        check("corrections = [{ element = 'IPOC', max = 1 }]", "corrections[0].element");
        check("corrections = [{ element = 'A/B', max = 1 }]", "corrections[0].element");
        check("corrections = [{ element = 'A', max = 1 }, { element = 'A', max = 1 }]", "corrections[1].element");
        check("corrections = [{ element = 'A' }]", "corrections[0]");
    }
}
