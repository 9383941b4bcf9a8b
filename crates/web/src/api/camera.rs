//! Cameras, the accounts that have them, and what is said of them.

use loggerhead_protocols::bindings::{AccountStatus, CameraStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// A camera, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Camera {
    /// What it calls itself.
    pub name: String,
    /// Its device; none for one that accounts have and nobody knows any more.
    pub device: Option<String>,
    /// The device whose presence is its state.
    pub source: Option<String>,
    /// Whether it is there; null where nothing is known.
    pub state: Option<bool>,
    /// The accounts that have it.
    pub accounts: Vec<String>,
    /// Its last alarm, where there is one.
    pub alarm: Option<CameraAlarm>,
}

/// An alarm of a camera.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CameraAlarm {
    /// What kind of alarm.
    pub alarm: String,
    /// When it was raised.
    pub at: Time,
}

/// A page of cameras, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CameraList {
    /// The cameras of this page.
    pub cameras: Vec<Camera>,
    /// `after` of the next page; none on the last.
    pub next: Option<String>,
}

/// An account of a camera platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CameraAccount {
    /// Its name.
    pub name: String,
    /// Main connections that it has now.
    pub connections: usize,
    /// When it logged in last.
    pub last_login_at: Option<Time>,
    /// Whence.
    pub last_login_from: Option<String>,
    /// The cameras that it has.
    pub cameras: Vec<String>,
}

/// A page of accounts, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CameraAccountList {
    /// The accounts of this page.
    pub accounts: Vec<CameraAccount>,
    /// `after` of the next page; none on the last.
    pub next: Option<String>,
}

/// An alarm that a camera, or whoever watches it, raises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCameraAlarm {
    /// What kind of alarm, such as `motion`.
    pub alarm: String,
    /// When it was raised; now where nothing is said. Apps are not told of one that is older than a minute.
    #[serde(default)]
    pub at: Option<Time>,
}

/// Whether a camera is there, as whoever watches it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCameraState {
    /// Whether it is there; null where the source lost sight of it.
    pub state: Option<bool>,
}

impl Camera {
    /// The camera as it is shown.
    pub(crate) fn new(status: CameraStatus, alarm: Option<CameraAlarm>) -> Self {
        Self {
            name: status.name.to_string(),
            device: status.device.map(|device| device.to_string()),
            source: status.source.map(|source| source.to_string()),
            state: status.state,
            accounts: status.accounts.iter().map(ToString::to_string).collect(),
            alarm,
        }
    }
}

impl From<AccountStatus> for CameraAccount {
    fn from(status: AccountStatus) -> Self {
        let (last_login_at, last_login_from) = status.visit.map(|(at, from)| (Time(at), String::from(from))).unzip();
        Self {
            name: status.name.to_string(),
            connections: status.connections,
            last_login_at,
            last_login_from,
            cameras: status.cameras.iter().map(ToString::to_string).collect(),
        }
    }
}
