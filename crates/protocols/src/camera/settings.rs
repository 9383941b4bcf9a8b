//! What can be set for a listener, for an account or a camera, and for a simulated camera.

use std::collections::BTreeMap;
use std::time::Duration;

use loggerhead_model::DeviceId;
use serde::Deserialize;

use super::frame::{BareLf, FRAME_BYTES_MAX, Framing};
use super::message::{Command, KeySeparator, Spelling, Style};
use crate::SettingsError;
use crate::encoding::Encoding;
use crate::settings::read;

/// Shortest limit of a command: the longest name with an id and a password.
const FRAME_BYTES_LIMIT_MIN: usize = 256;
/// Longest wait in seconds that can be set: a day.
const WAIT_S_MAX: u32 = 86_400;
/// Farthest from UTC that a place on earth is, in minutes.
const UTC_OFFSET_MIN_MAX: i32 = 14 * 60;

/// The settings of a listener.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) style: Style,
    pub(super) framing: Framing,
    pub(super) bare_lf: BareLf,
    pub(super) reply_names: Spelling,
    pub(super) frame_bytes_max: usize,
    /// From UTC to the time that apps are shown.
    pub(super) utc_offset_ms: i64,
    pub(super) accounts_per_camera_max: usize,
    pub(super) cameras_per_account_max: usize,
    pub(super) ids_per_query_max: usize,
    pub(super) unknown_max: u32,
    pub(super) logins_max: u32,
    pub(super) close_before_login: bool,
    pub(super) states_at_login: bool,
    pub(super) takes_cameras: bool,
    /// None: never.
    pub(super) idle: Option<Duration>,
    pub(super) door: Duration,
    pub(super) data_idle: Duration,
    pub(super) camera_silent: Duration,
    pub(super) settle: Duration,
    /// How long an alarm waits for an account that is not there; zero: not at all.
    pub(super) missed_alarms: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "a key that is on or off is written so")]
struct Written {
    encoding: Encoding,
    framing: Framing,
    key_separator: KeySeparator,
    lenient_lf: bool,
    reply_names: Spelling,
    aliases: BTreeMap<String, String>,
    frame_bytes_max: usize,
    utc_offset_min: i32,
    accounts_per_camera_max: usize,
    cameras_per_account_max: usize,
    ids_per_query_max: usize,
    unknown_max: u32,
    logins_max: u32,
    close_before_login: bool,
    states_at_login: bool,
    takes_cameras: bool,
    idle_s: u32,
    door_s: u32,
    data_idle_s: u32,
    camera_silent_s: u32,
    settle_s: u32,
    missed_alarms_s: u32,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            encoding: Encoding::Utf8,
            framing: Framing::default(),
            key_separator: KeySeparator::default(),
            lenient_lf: false,
            reply_names: Spelling::default(),
            aliases: BTreeMap::new(),
            // A query of a thousand ids of a dozen characters.
            frame_bytes_max: 16 * 1024,
            // The apps are of China.
            utc_offset_min: 8 * 60,
            accounts_per_camera_max: 5,
            cameras_per_account_max: 1_000,
            ids_per_query_max: 1_000,
            unknown_max: 20,
            logins_max: 10,
            close_before_login: false,
            states_at_login: false,
            takes_cameras: true,
            idle_s: 0,
            door_s: 30,
            data_idle_s: 60,
            camera_silent_s: 60,
            settle_s: 5,
            // An alarm that comes late is a wrong one.
            missed_alarms_s: 0,
        }
    }
}

impl Settings {
    /// From the table of a listener.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of_listener(table: &toml::Table) -> Result<Self, SettingsError> {
        let written: Written = read(table)?;
        let within = |key, value: usize, min, max| {
            let is_right = (min..=max).contains(&value);
            if is_right { Ok(()) } else { Err(wrong(key, format!("{value} is not from {min} to {max}"))) }
        };
        let wait_max = usize::try_from(WAIT_S_MAX).unwrap_or(usize::MAX);
        within("frame_bytes_max", written.frame_bytes_max, FRAME_BYTES_LIMIT_MIN, FRAME_BYTES_MAX)?;
        within("accounts_per_camera_max", written.accounts_per_camera_max, 1, usize::MAX)?;
        within("cameras_per_account_max", written.cameras_per_account_max, 1, usize::MAX)?;
        within("ids_per_query_max", written.ids_per_query_max, 1, usize::MAX)?;
        for (key, seconds, min) in [
            ("idle_s", written.idle_s, 0),
            ("door_s", written.door_s, 1),
            ("data_idle_s", written.data_idle_s, 1),
            ("camera_silent_s", written.camera_silent_s, 1),
            ("settle_s", written.settle_s, 0),
            ("missed_alarms_s", written.missed_alarms_s, 0),
        ] {
            within(key, usize::try_from(seconds).unwrap_or(usize::MAX), min, wait_max)?;
        }
        if written.utc_offset_min.abs() > UTC_OFFSET_MIN_MAX {
            let reason = format!("{} is over {UTC_OFFSET_MIN_MAX} minutes", written.utc_offset_min);
            return Err(wrong("utc_offset_min", reason));
        }
        if written.framing == Framing::Hashes && written.key_separator == KeySeparator::Hash {
            return Err(wrong("key_separator", "cannot be # where ## ends a command".to_owned()));
        }
        let mut aliases = BTreeMap::new();
        for (key, name) in written.aliases {
            let Some((command, _)) = Command::find(&name) else {
                return Err(wrong(&format!("aliases.{key}"), format!("{name:?} is no command")));
            };
            aliases.insert(key, command);
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Ok(Self {
            style: Style { encoding: written.encoding, separator: written.key_separator, aliases },
            framing: written.framing,
            bare_lf: if written.lenient_lf { BareLf::Ends } else { BareLf::Data },
            reply_names: written.reply_names,
            frame_bytes_max: written.frame_bytes_max,
            utc_offset_ms: i64::from(written.utc_offset_min) * 60_000,
            accounts_per_camera_max: written.accounts_per_camera_max,
            cameras_per_account_max: written.cameras_per_account_max,
            ids_per_query_max: written.ids_per_query_max,
            unknown_max: written.unknown_max,
            logins_max: written.logins_max,
            close_before_login: written.close_before_login,
            states_at_login: written.states_at_login,
            takes_cameras: written.takes_cameras,
            idle: (written.idle_s > 0).then(|| seconds(written.idle_s)),
            door: seconds(written.door_s),
            data_idle: seconds(written.data_idle_s),
            camera_silent: seconds(written.camera_silent_s),
            settle: seconds(written.settle_s),
            missed_alarms: seconds(written.missed_alarms_s),
        })
    }
}

/// What a device of this protocol is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A user of an app.
    #[default]
    Account,
    /// A camera, which users bind.
    Camera,
}

/// The settings of an account or of a camera.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OfDevice {
    pub(super) kind: Kind,
    /// The device, of any protocol, whose presence is the camera's state and whose alarms are its alarms; default: the
    /// camera itself.
    pub(super) source: Option<String>,
}

impl OfDevice {
    /// From its table.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of(table: &toml::Table) -> Result<Self, SettingsError> {
        let settings: Self = read(table)?;
        match &settings.source {
            Some(_) if settings.kind == Kind::Account => Err(wrong("source", "an account has none".to_owned())),
            Some(source) if DeviceId::new(source).is_err() => {
                Err(wrong("source", format!("{source:?} is no id of a device")))
            }
            Some(_) | None => Ok(settings),
        }
    }
}

/// The settings of a simulated camera.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeviceSide {
    pub(super) camera: String,
    /// With what it proves who it is: `text:PASSWORD`.
    pub(super) secret: String,
    pub(super) heartbeat_s: u32,
    pub(super) reconnect_ms: u64,
}

impl Default for DeviceSide {
    fn default() -> Self {
        Self {
            camera: "330302D110/01".to_owned(),
            secret: "text:IJKLMNOPQRSTUVWX".to_owned(),
            heartbeat_s: 20,
            reconnect_ms: 1_000,
        }
    }
}

impl DeviceSide {
    /// From the table of a simulated camera.
    ///
    /// # Errors
    /// `SettingsError` with the key that cannot be.
    pub(super) fn of(table: &toml::Table) -> Result<Self, SettingsError> {
        let side: Self = read(table)?;
        if side.heartbeat_s == 0 || side.reconnect_ms == 0 {
            return Err(wrong("heartbeat_s", "takes at least 1, and so does reconnect_ms".to_owned()));
        }
        if side.camera.is_empty() || side.camera.contains(|sign: char| sign == '|' || sign.is_control()) {
            return Err(wrong("camera", "is an id without bars".to_owned()));
        }
        if side.password().is_none_or(|password| password.contains(char::is_control)) {
            return Err(wrong("secret", "write it as text:... without control characters".to_owned()));
        }
        Ok(side)
    }

    /// The password. `None` when it is not written as text.
    pub(super) fn password(&self) -> Option<&str> {
        self.secret.strip_prefix("text:")
    }
}

fn wrong(key: &str, reason: String) -> SettingsError {
    SettingsError { key: key.to_owned(), reason }
}
