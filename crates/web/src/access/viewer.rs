//! Who asks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use loggerhead_model::{DeviceId, Role, Timestamp};
use loggerhead_store::{Account, ApiToken, Hash};
use tokio_util::sync::CancellationToken;

use super::secret::csrf;
use crate::problem::{Problem, ProblemKind};
use crate::state::now;

/// The name of whoever may open the private socket.
const LOCAL: &str = "local";
/// The name of the token in `web.token_file`.
const MACHINE: &str = "token_file";
/// No stream is open for a century; a clock cannot wait for ever.
const FAR_MS: i64 = 100 * 365 * 86_400_000;

/// Whoever is signed in, as far as handlers and pages have to know.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    name: Arc<str>,
    role: Role,
    session: Option<(Hash, Arc<str>)>,
    devices: Option<Arc<BTreeSet<DeviceId>>>,
    /// When this ends, and what is cancelled when it ends before.
    until: Option<(Timestamp, CancellationToken)>,
}

impl Viewer {
    /// Whoever may open the private socket: the user of the server.
    pub(super) fn local() -> Self {
        Self { name: Arc::from(LOCAL), role: Role::Admin, session: None, devices: None, until: None }
    }

    /// The bearer of the machine token.
    pub(super) fn machine() -> Self {
        Self { name: Arc::from(MACHINE), ..Self::local() }
    }

    /// Whoever's browser sends the cookie with this secret.
    pub(super) fn session(account: &Account, secret: &str, hash: Hash, until: (Timestamp, CancellationToken)) -> Self {
        Self {
            name: Arc::from(account.name.as_str()),
            role: account.role,
            session: Some((hash, Arc::from(csrf(secret)))),
            devices: None,
            until: Some(until),
        }
    }

    /// The bearer of a token.
    pub(super) fn token(token: &ApiToken, ended: CancellationToken) -> Self {
        let devices = (!token.devices.is_empty()).then(|| Arc::new(token.devices.iter().cloned().collect()));
        let ends_at = token.expires_at.unwrap_or(Timestamp::from_unix_ms(i64::MAX));
        Self {
            name: Arc::from(format!("token {}", token.name)),
            role: token.role,
            session: None,
            devices,
            until: Some((ends_at, ended)),
        }
    }

    /// What it is called in the audit log: an account, `token NAME`, or how it came.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The account that is signed in; none for tokens and the private socket.
    pub(crate) fn account(&self) -> Option<&str> {
        self.session.as_ref().map(|_| self.name.as_ref())
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
        self.session.as_ref().map(|(_, csrf)| csrf.as_ref())
    }

    /// The sign-in that its cookie holds.
    pub(crate) fn session_hash(&self) -> Option<Hash> {
        self.session.as_ref().map(|(hash, _)| *hash)
    }

    /// Waits until it may not look any more: its sign-in or token ended. What it follows live ends with it.
    pub(crate) async fn ended(self) {
        let Some((ends_at, ended)) = self.until else { return std::future::pending().await };
        let left = ends_at.unix_ms().saturating_sub(now().unix_ms()).clamp(0, FAR_MS);
        let left = Duration::from_millis(left.unsigned_abs());
        tokio::select! {
            () = ended.cancelled() => {}
            () = tokio::time::sleep(left) => {}
        }
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
