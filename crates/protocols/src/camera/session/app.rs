//! What apps may do: be logged in, synchronise their list of cameras, and ask for states.

use std::sync::Arc;

use loggerhead_model::{DeviceId, Identity, Timestamp};

use super::{HeadEnd, Side, Upload, Waiting, claim};
use crate::bindings::{BindingLimits, Draft, Full, Push, Visit, keeping};
use crate::camera::message::{
    self, ACCOUNT_FULL, CAMERA_FULL, Command, NO_CAMERA, NO_MATCH, NOT_STORED, WRONG_PARAMETERS, state_word,
};
use crate::camera::settings::{Kind, OfDevice};
use crate::{CloseReason, Company, DataDoor, FaultKind, Now, Output, Question, Verdict};

/// Ids in one reply about states, as many as a client may ask for. Source: \[1\] §1.1.
const IDS_PER_REPLY: usize = 20;

impl HeadEnd {
    pub(super) fn enter(&mut self, now: Now, account: &Arc<str>, device: DeviceId) {
        let address = self.peer.rsplit_once(':').map_or(&*self.peer, |(host, _)| host);
        let visit = Visit { at: now.wall, address: address.trim_matches(['[', ']']).into() };
        let waker = self.waker.clone();
        let left = std::mem::replace(&mut self.side, Side::Stranger);
        let (place, before, note) = self.registry.with(|inside| {
            if let Side::App(place, _) = left {
                inside.detach(&place);
            }
            let (before, note) = inside.visit(account, visit);
            (inside.attach(account, waker), before, note)
        });
        self.side = Side::App(place, device.clone());
        self.waiting = Waiting::Visit(before);
        self.store(keeping(device, now.wall, vec![note]));
    }

    pub(super) fn logged_in(&mut self, now: Now, before: Option<Visit>) {
        let Side::App(place, _) = &self.side else { return };
        self.failures = 0;
        let (cameras, missed) = self
            .registry
            .with(|inside| (inside.cameras_of(&place.account), inside.missed(&place.account, now.elapsed)));
        let offset_ms = self.settings.utc_offset_ms;
        let (at, address) = before.map(|visit| (local_time(visit.at, offset_ms), visit.address)).unwrap_or_default();
        self.say(Command::LoginOk, &format!("{}|{at}|{address}", cameras.len()));
        if self.settings.states_at_login {
            for binding in cameras {
                let state = self.registry.with(|inside| inside.state(&binding.camera));
                self.push(&Push::State(Arc::clone(&binding.camera), state));
            }
        }
        for alarm in &missed {
            self.push(alarm);
        }
        // What came while the login was being stored.
        self.may_have_pushes = true;
    }

    pub(super) fn not_logged_in(&mut self) {
        if let Side::App(place, _) = std::mem::replace(&mut self.side, Side::Stranger) {
            self.registry.with(|inside| inside.detach(&place));
        }
        self.say(Command::LoginError, NOT_STORED);
        // It begins anew, so that the head-end knows it as logged out as well.
        self.close(CloseReason::Fault("the store could not keep a login".into()));
    }

    pub(super) fn open_door(&mut self, account: Arc<str>, device: DeviceId) {
        let (registry, settings) = (Arc::clone(&self.registry), Arc::clone(&self.settings));
        let open = move |now, opening| {
            let side = Side::Data(account, device);
            Box::new(Self::new(registry, settings, side, now, opening)) as Box<dyn crate::Session>
        };
        self.waiting = Waiting::Door;
        let door = DataDoor { within: self.settings.door, open: Box::new(open) };
        self.outputs.push_back(Output::Ask(Question::Door(door)));
    }

    pub(super) fn door_opened(&mut self, port: Option<u16>) {
        if matches!(self.waiting, Waiting::Door) {
            self.waiting = Waiting::Nothing;
            self.say(Command::ReturnDataSocketPort, &port.map(|port| port.to_string()).unwrap_or_default());
        }
    }

    /// Whose list is synchronised here.
    fn owner(&self) -> Option<(Arc<str>, DeviceId)> {
        match &self.side {
            Side::App(place, device) => Some((Arc::clone(&place.account), device.clone())),
            Side::Data(account, device) => Some((Arc::clone(account), device.clone())),
            Side::Stranger | Side::Camera(_) => None,
        }
    }

    pub(super) fn upload(&mut self, body: &str) {
        let upload = message::Upload::parse(body);
        let is_right = upload.is_right(self.settings.cameras_per_account_max);
        let upload = Upload {
            camera: upload.id.into(),
            password: upload.password.into(),
            current: upload.current.into(),
            total: upload.total.into(),
        };
        if !is_right {
            self.fault(FaultKind::Malformed, "an upload whose fields or numbers cannot be");
            return self.upload_failed(&upload, WRONG_PARAMETERS);
        }
        let Ok(identity) = Identity::new(&upload.camera) else { return self.upload_failed(&upload, NO_MATCH) };
        let claim = claim(identity, &upload.password, Company::Many);
        self.waiting = Waiting::Password(Box::new(upload));
        self.outputs.push_back(Output::Ask(Question::Vouch(claim)));
    }

    fn upload_failed(&mut self, upload: &Upload, reason: &str) {
        let Upload { camera, current, total, .. } = upload;
        self.say(Command::UploadFail, &format!("{camera}|{reason}|{current}|{total}"));
    }

    pub(super) fn password_judged(&mut self, upload: Upload, verdict: &Verdict) {
        let is_camera = match verdict {
            Verdict::Accepted(admission) => {
                OfDevice::of(&admission.settings).is_ok_and(|settings| settings.kind == Kind::Camera)
            }
            Verdict::Refused(_) => false,
        };
        let Some((account, device)) = self.owner().filter(|_| is_camera) else {
            return self.upload_failed(&upload, NO_MATCH);
        };
        let limits = BindingLimits {
            accounts_per_camera: self.settings.accounts_per_camera_max,
            cameras_per_account: self.settings.cameras_per_account_max,
        };
        let nonce = self.nonce();
        let bound = self
            .registry
            .with(|inside| inside.bind((&account, &device), &upload.camera, &upload.password, nonce, limits));
        match bound {
            Ok(None) => self.uploaded(&upload),
            Ok(Some(draft)) => {
                let records = draft.records(self.now.wall);
                self.waiting = Waiting::Binding(Box::new((draft, upload)));
                self.store(records);
            }
            Err(Full::Camera) => self.upload_failed(&upload, CAMERA_FULL),
            Err(Full::Leaving) => self.upload_failed(&upload, NOT_STORED),
            Err(Full::Account) => self.upload_failed(&upload, ACCOUNT_FULL),
        }
    }

    fn uploaded(&mut self, upload: &Upload) {
        let Upload { camera, current, total, .. } = upload;
        let state = state_word(self.registry.with(|inside| inside.state(camera)));
        // The client's number comes back, so that both meet even after a failure.
        self.say(Command::UploadSucess, &format!("{camera}|{state}|{current}|{total}"));
    }

    pub(super) fn bound(&mut self, draft: &Draft, upload: &Upload) {
        self.registry.with(|inside| inside.kept(draft));
        self.uploaded(upload);
    }

    pub(super) fn not_bound(&mut self, draft: &Draft, upload: &Upload) {
        self.registry.with(|inside| inside.give_up(draft));
        self.upload_failed(upload, NOT_STORED);
    }

    /// How many were downloaded already: the next one is sent, of the list as it was at 0.
    pub(super) fn download(&mut self, body: &str) {
        let Some((account, _)) = self.owner() else { return };
        let done = body.parse::<usize>().ok();
        if done == Some(0) {
            self.snapshot = Some(self.registry.with(|inside| inside.cameras_of(&account)));
        }
        let list = self.snapshot.as_deref().unwrap_or_default();
        let Some((number, binding)) = done.and_then(|done| Some((done, Arc::clone(list.get(done)?)))) else {
            let reason = if done == Some(0) { NO_CAMERA } else { WRONG_PARAMETERS };
            return self.say(Command::DownloadFail, reason);
        };
        let (current, total) = (number + 1, list.len());
        if current == total {
            // Whoever begins anew gets the list as it is then.
            self.snapshot = None;
        }
        let state = state_word(self.registry.with(|inside| inside.state(&binding.camera)));
        let body = format!("{}|{}|{state}|{current}|{total}", binding.camera, binding.password);
        self.say(Command::DownloadSucess, &body);
    }

    /// `id (; id)*`.
    pub(super) fn states(&mut self, body: &str) {
        let ids: Vec<_> = body.split(';').filter(|id| !id.is_empty()).collect();
        let max = self.settings.ids_per_query_max;
        if ids.len() > max {
            let reason = format!("{} ids are over the limit of {max}", ids.len());
            self.fault(FaultKind::TooLarge, reason.clone());
            return self.close(CloseReason::Fault(reason.into()));
        }
        // Who asks for none is told of none, and does not wait for an answer that never comes.
        let none = ids.is_empty().then_some(&ids[..]);
        for some in ids.chunks(IDS_PER_REPLY).chain(none) {
            let states: Vec<_> = self
                .registry
                .with(|inside| some.iter().map(|id| format!("{id};{}", state_word(inside.state(id)))).collect());
            self.say(Command::ReturnCaramerOnlineStatus, &states.join("|"));
        }
    }
}

/// `yyyy-MM-dd HH:mm:ss`, so far from UTC.
fn local_time(at: Timestamp, offset_ms: i64) -> String {
    let local = Timestamp::from_unix_ms(at.unix_ms().saturating_add(offset_ms)).to_string();
    // RFC 3339 up to its seconds.
    local.chars().take(19).map(|sign| if sign == 'T' { ' ' } else { sign }).collect()
}
