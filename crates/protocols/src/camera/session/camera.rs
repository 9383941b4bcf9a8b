//! What cameras may do: be logged in, and raise alarms. Ours, since the platform's documents have no camera.

use loggerhead_model::{DeviceId, Timestamp};

use super::{HeadEnd, Side, Waiting};
use crate::bindings::{ALARM, said};
use crate::camera::message::Command;
use crate::{FaultKind, Output};

impl HeadEnd {
    pub(super) fn camera_entered(&mut self, device: DeviceId) {
        self.side = Side::Camera(device);
        self.outputs.push_back(Output::ExpectWithin(self.settings.camera_silent));
        self.say(Command::CameraLoginOk, "");
    }

    /// `number | alarmType | ms since 1970`: stored, then acknowledged by its number. It is told from there, like that of
    /// any device.
    pub(super) fn camera_alarm(&mut self, device: &DeviceId, body: &str) {
        let mut fields = body.splitn(2, '|');
        let (number, rest) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let (what, at) = rest.rsplit_once('|').unwrap_or_default();
        let at = at.parse().ok().map(Timestamp::from_unix_ms);
        let Some(records) = at.and_then(|at| said(device, ALARM, what, at, self.now.wall)) else {
            return self.fault(FaultKind::Malformed, "an alarm without number, type and time");
        };
        self.waiting = Waiting::Alarm(number.into());
        self.store(records);
    }
}
