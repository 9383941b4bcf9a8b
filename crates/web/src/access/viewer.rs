//! Who asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use loggerhead_model::{DeviceId, Role};

use crate::problem::{Problem, ProblemKind};

/// The name of whoever may open the private socket.
const LOCAL: &str = "local";
/// The name of the token in `web.token_file`.
const MACHINE: &str = "token_file";

/// Whoever is signed in, as far as handlers and pages have to know.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    name: Arc<str>,
    role: Role,
    csrf: Option<Arc<str>>,
    devices: Option<Arc<BTreeSet<DeviceId>>>,
}

impl Viewer {
    /// Whoever may open the private socket: the user of the server.
    pub(super) fn local() -> Self {
        Self { name: Arc::from(LOCAL), role: Role::Admin, csrf: None, devices: None }
    }

    /// The bearer of the machine token.
    pub(super) fn machine() -> Self {
        Self { name: Arc::from(MACHINE), role: Role::Admin, csrf: None, devices: None }
    }

    /// What it is called in the audit log: an account, `token NAME`, or how it came.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it may do.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Whether it may do what this role may.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.role >= role
    }

    /// What requests of its pages must carry in `x-csrf-token` when they change something; none where no cookie is used.
    pub(crate) fn csrf(&self) -> Option<&str> {
        self.csrf.as_deref()
    }

    /// The devices that it is limited to; none: all.
    pub(super) fn devices(&self) -> Option<&BTreeSet<DeviceId>> {
        self.devices.as_deref()
    }
}

impl<S: Sync + Send> FromRequestParts<S> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // The guard put it there; a path that is open to everybody may have none.
        let viewer = parts.extensions.get::<Self>().cloned();
        viewer.ok_or_else(|| Problem::new(ProblemKind::Unauthorized, "nobody is signed in"))
    }
}
