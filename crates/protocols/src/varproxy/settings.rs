//! What can be set for the robots of a listener and, over that, for one robot.

use std::time::Duration;

use serde::Deserialize;

use super::message::NAME_BYTES_MAX;
use crate::SettingsError;
use crate::settings::read;

/// What is asked for when nobody says: axes, place, override, mode, state of the program.
const VARIABLES: [&str; 5] = ["$AXIS_ACT", "$POS_ACT", "$OV_PRO", "$MODE_OP", "$PRO_STATE1"];
/// From the beginning of one round to that of the next.
const POLL_MS: u64 = 1_000;
/// Longest such time: an hour.
const POLL_MS_MAX: u64 = 3_600_000;
/// How long a robot may take for one answer; a variable takes it 2 to 4 ms.
const ANSWER_S: u64 = 5;
/// The most that can be set for that.
const ANSWER_S_MAX: u64 = 300;
/// Variables of one robot: at 4 ms each a round of more takes seconds.
const VARIABLES_MAX: usize = 1_000;

/// What is in force for a robot.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// What is asked for, in this order.
    pub(super) variables: Vec<String>,
    pub(super) poll: Duration,
    pub(super) answer: Duration,
    /// What commands may write.
    pub(super) writable: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    variables: Option<Vec<String>>,
    poll_ms: Option<u64>,
    answer_s: Option<u64>,
    writable: Option<Vec<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            variables: VARIABLES.map(str::to_owned).to_vec(),
            poll: Duration::from_millis(POLL_MS),
            answer: Duration::from_secs(ANSWER_S),
            writable: Vec::new(),
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
        if let Some(variables) = written.variables {
            settings.variables = names("variables", variables)?;
        }
        if let Some(writable) = written.writable {
            settings.writable = names("writable", writable)?;
        }
        if let Some(ms) = written.poll_ms {
            settings.poll = Duration::from_millis(within("poll_ms", ms, 1, POLL_MS_MAX)?);
        }
        if let Some(seconds) = written.answer_s {
            settings.answer = Duration::from_secs(within("answer_s", seconds, 1, ANSWER_S_MAX)?);
        }
        Ok(settings)
    }
}

fn names(key: &str, names: Vec<String>) -> Result<Vec<String>, SettingsError> {
    if names.len() > VARIABLES_MAX {
        return Err(wrong(key, format!("{} names over {VARIABLES_MAX}", names.len())));
    }
    let is_name = |name: &String| {
        !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
    };
    if let Some((index, name)) = names.iter().enumerate().find(|(_, name)| !is_name(name)) {
        return Err(wrong(&format!("{key}[{index}]"), format!("{name:?} is no name such as $OV_PRO or $POS_ACT.X")));
    }
    Ok(names)
}

/// The settings of a simulated robot.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RobotSide {
    /// Whether it is one of the simple proxies, which know one variable at a time.
    pub(super) is_simple: bool,
    /// What may be written into it.
    pub(super) writable: Vec<String>,
    pub(super) reconnect_ms: u64,
}

impl Default for RobotSide {
    fn default() -> Self {
        Self { is_simple: false, writable: Vec::new(), reconnect_ms: 1_000 }
    }
}

impl RobotSide {
    /// From the table of a simulated robot.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of(table: &toml::Table) -> Result<Self, SettingsError> {
        let mut side: Self = read(table)?;
        within("reconnect_ms", side.reconnect_ms, 1, POLL_MS_MAX)?;
        side.writable = names("writable", side.writable)?;
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
        assert_eq!(error.key, key, "{error}");
    }

    #[test]
    fn every_setting_that_cannot_be_is_named() {
        check("nonsense = 1", "nonsense");
        check("variables = ['$OV_PRO', '']", "variables[1]");
        check("writable = ['塔']", "writable[0]");
        check("poll_ms = 0", "poll_ms");
        check("answer_s = 301", "answer_s");
    }
}
