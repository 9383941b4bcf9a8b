//! What cameras may do: log in, and raise alarms. Ours, since the platform's documents have no camera.

use loggerhead_model::{DeviceId, Identity, Timestamp};

use super::{HeadEnd, Side, Waiting, admitted, claim};
use crate::bindings::{ALARM, said};
use crate::camera::message::{Command, WRONG_PASSWORD};
use crate::camera::settings::{Kind, OfDevice};
use crate::{CloseReason, Company, FaultKind, Output, Question, Verdict};

impl HeadEnd {
    /// `id | password`.
    pub(super) fn camera_login(&mut self, body: &str) {
        let (id, password) = body.split_once('|').unwrap_or((body, ""));
        // A name that cannot be one is refused like one that nobody has.
        let Ok(identity) = Identity::new(id) else {
            return self.refused(Command::CameraLoginError, WRONG_PASSWORD);
        };
        self.waiting = Waiting::Camera;
        self.outputs.push_back(Output::Ask(Question::Prove(claim(identity, password, Company::Alone))));
    }

    pub(super) fn camera_judged(&mut self, verdict: Verdict) {
        let Some(admission) = admitted(verdict) else {
            return self.refused(Command::CameraLoginError, WRONG_PASSWORD);
        };
        if OfDevice::of(&admission.settings).unwrap_or_default().kind != Kind::Camera {
            self.say(Command::CameraLoginError, WRONG_PASSWORD);
            return self.close(CloseReason::Refused);
        }
        self.side = Side::Camera(admission.device);
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
