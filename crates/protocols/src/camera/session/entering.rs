//! Who is at the other end: accounts and cameras show their credentials, and neither gets in as the other.

use std::sync::Arc;

use loggerhead_model::Identity;

use super::{HeadEnd, Waiting, claim};
use crate::camera::message::{Command, WRONG_PASSWORD};
use crate::camera::settings::{Kind, OfDevice};
use crate::{Company, FaultKind, Known, Now, Output, Question, Verdict};

/// What credentials came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Login,
    DataConnection,
    CameraLogin,
}

impl Wish {
    /// Whose credentials it takes.
    const fn kind(self) -> Kind {
        match self {
            Self::Login | Self::DataConnection => Kind::Account,
            Self::CameraLogin => Kind::Camera,
        }
    }

    const fn refusal(self) -> Command {
        match self {
            Self::Login | Self::DataConnection => Command::LoginError,
            Self::CameraLogin => Command::CameraLoginError,
        }
    }

    const fn company(self) -> Company {
        match self {
            Self::Login | Self::DataConnection => Company::Many,
            Self::CameraLogin => Company::Alone,
        }
    }
}

impl HeadEnd {
    /// `name | password`, which may hold bars.
    pub(super) fn credentials(&mut self, body: &str, wish: Wish) {
        let (name, password) = body.split_once('|').unwrap_or((body, ""));
        // A name that cannot be one is refused like one that nobody has.
        let Ok(identity) = Identity::new(name) else { return self.refused(wish.refusal(), WRONG_PASSWORD) };
        self.outputs.push_back(Output::Ask(Question::Who(identity.clone())));
        self.waiting = Waiting::Name(Box::new(claim(identity, password, wish.company())), wish);
    }

    /// Has a claim judged. Only that of the right kind is a login: another one would show the camera as connected, or end the
    /// account's other connections.
    pub(super) fn named(&mut self, known: &Known) {
        let Waiting::Name(claim, wish) = std::mem::replace(&mut self.waiting, Waiting::Nothing) else { return };
        self.waiting = Waiting::Claim(claim.identity.as_str().into(), wish);
        // For a data connection, it need not be the account that is logged in here.
        let is_login = wish != Wish::DataConnection && kind(&known.settings) == wish.kind();
        let question = if is_login { Question::Prove(*claim) } else { Question::Vouch(*claim) };
        self.outputs.push_back(Output::Ask(question));
    }

    pub(super) fn judged(&mut self, now: Now, name: &str, wish: Wish, verdict: Verdict) {
        match verdict {
            Verdict::Accepted(admission) if kind(&admission.settings) == wish.kind() => match wish {
                Wish::Login => self.enter(now, &Arc::from(name), admission.device),
                Wish::DataConnection => self.open_door(name.into(), admission.device),
                Wish::CameraLogin => self.camera_entered(admission.device),
            },
            Verdict::Accepted(_) => {
                self.fault(FaultKind::NotProven, "an account does not log in as a camera, nor a camera as an account");
                self.refused(wish.refusal(), WRONG_PASSWORD);
            }
            Verdict::Refused(_) => self.refused(wish.refusal(), WRONG_PASSWORD),
        }
    }
}

fn kind(settings: &toml::Table) -> Kind {
    OfDevice::of(settings).unwrap_or_default().kind
}
