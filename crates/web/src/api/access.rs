//! Who may do what: sign-ins, accounts, tokens, the audit log.

use loggerhead_model::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::{Time, words};
use crate::access::{OneSecret, Password, Viewer, hex};

/// Bytes of a sign-in's hash that name it: they open nothing.
const SESSION_ID_BYTES: usize = 8;

/// Who asks, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The account, `token NAME`, `token_file`, or `local` on the private socket.
    #[schema(example = "ada")]
    pub name: String,
    /// `viewer`, `operator` or `admin`; each may do what those before it may.
    #[schema(schema_with = role_words)]
    pub role: Role,
    /// What every request that changes something carries in `x-csrf-token`; none where no cookie is used.
    pub csrf: Option<String>,
}

impl From<&Viewer> for Me {
    fn from(viewer: &Viewer) -> Self {
        Self { name: viewer.name().to_owned(), role: viewer.role(), csrf: viewer.csrf().map(ToOwned::to_owned) }
    }
}

/// A name with its password.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The account.
    pub name: String,
    /// Its password.
    #[schema(value_type = String)]
    pub password: Password,
}

/// A link that opens once: what stands behind the `#`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInLink {
    /// The secret of the link.
    #[schema(value_type = String)]
    pub link: Password,
}

/// The first account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// The secret of the link that the server printed.
    #[schema(value_type = String)]
    pub link: Password,
    /// Its name: 1 to 64 of a-z 0-9 . _ @ -
    pub name: String,
    /// Its password, 10 to 1024 bytes.
    #[schema(value_type = String)]
    pub password: Password,
}

/// A new password for whoever asks.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnPassword {
    /// The password until now.
    #[schema(value_type = String)]
    pub old: Password,
    /// The new one, 10 to 1024 bytes.
    #[schema(value_type = String)]
    pub new: Password,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Its name.
    #[schema(example = "ada")]
    pub name: String,
    /// What it may do.
    #[schema(schema_with = role_words)]
    pub role: Role,
    /// Whether it has a password; without one only a link signs it in.
    pub has_password: bool,
    /// Sign-ins of it that hold.
    pub sessions: usize,
    /// When it was made.
    pub created_at: Time,
    /// When its role or password last changed.
    pub changed_at: Time,
}

impl Account {
    /// What may be told of an account.
    pub(crate) fn new(account: &loggerhead_store::Account, sessions: usize) -> Self {
        Self {
            name: account.name.clone(),
            role: account.role,
            has_password: account.password.is_some(),
            sessions,
            created_at: Time(account.created_at),
            changed_at: Time(account.changed_at),
        }
    }
}

/// The accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountList {
    /// By name.
    pub accounts: Vec<Account>,
}

/// An account to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Its name: 1 to 64 of a-z 0-9 . _ @ -
    #[schema(example = "ada")]
    pub name: String,
    /// What it may do.
    #[schema(schema_with = role_words)]
    pub role: Role,
    /// Its password, 10 to 1024 bytes.
    #[schema(value_type = String)]
    pub password: Password,
}

/// What is to change of an account.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// What it may do from now on.
    #[schema(schema_with = role_words)]
    pub role: Option<Role>,
    /// Its new password, 10 to 1024 bytes. Ends its sign-ins.
    #[schema(value_type = Option<String>)]
    pub password: Option<Password>,
}

/// A sign-in that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its name; opens nothing.
    pub id: String,
    /// Whose it is.
    pub account: String,
    /// When it began.
    pub created_at: Time,
    /// When it was last used, to within minutes.
    pub seen_at: Time,
    /// The address that it began from.
    pub peer: String,
    /// What the browser says it is.
    pub agent: String,
    /// Whether it is the one that asks.
    pub own: bool,
}

impl Session {
    /// The name of a sign-in.
    pub(crate) fn id(session: &loggerhead_store::WebSession) -> String {
        hex(session.hash.split_at(SESSION_ID_BYTES).0)
    }

    /// What may be told of a sign-in, to whoever asks.
    pub(crate) fn new(session: loggerhead_store::WebSession, viewer: &Viewer) -> Self {
        Self {
            id: Self::id(&session),
            own: viewer.session_hash() == Some(session.hash),
            account: session.account,
            created_at: Time(session.created_at),
            seen_at: Time(session.seen_at),
            peer: session.peer,
            agent: session.agent,
        }
    }
}

/// The sign-ins that hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionList {
    /// The newest first.
    pub sessions: Vec<Session>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// What a viewer may.
    Read,
    /// What an operator may.
    Operate,
    /// Everything.
    Admin,
}

impl From<Scope> for Role {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Read => Self::Viewer,
            Scope::Operate => Self::Operator,
            Scope::Admin => Self::Admin,
        }
    }
}

impl From<Role> for Scope {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Read,
            Role::Operator => Self::Operate,
            Role::Admin => Self::Admin,
        }
    }
}

/// A token, without what it opens with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its number.
    pub id: u64,
    /// Its name.
    #[schema(example = "billing")]
    pub name: String,
    /// `read`, `operate` or `admin`.
    #[schema(schema_with = scope_words)]
    pub scope: Scope,
    /// The devices that it is limited to; empty: all.
    pub devices: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Time,
    /// From when on it opens nothing.
    pub expires_at: Option<Time>,
}

impl From<loggerhead_store::ApiToken> for Token {
    fn from(token: loggerhead_store::ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            scope: token.role.into(),
            devices: token.devices.iter().map(|device| device.as_str().to_owned()).collect(),
            created_by: token.created_by,
            created_at: Time(token.created_at),
            expires_at: token.expires_at.map(Time),
        }
    }
}

/// The tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// By number.
    pub tokens: Vec<Token>,
}

/// A token to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Its name: 1 to 64 of a-z 0-9 . _ @ -
    #[schema(example = "billing")]
    pub name: String,
    /// `read`, `operate` or `admin`.
    #[schema(schema_with = scope_words)]
    pub scope: Scope,
    /// The devices that it is limited to, at most 100; empty or left out: all.
    #[serde(default)]
    pub devices: Vec<String>,
    /// For how many days it opens, 1 to 3650; for ever where nothing is said.
    pub days: Option<u16>,
}

/// A token that was made, with what it opens with: shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// What stands behind `Authorization: Bearer`.
    pub secret: String,
    /// The token.
    pub token: Token,
}

impl MadeToken {
    /// The one answer with the secret.
    pub(crate) fn new(token: loggerhead_store::ApiToken, secret: &OneSecret) -> Self {
        Self { secret: secret.expose().to_owned(), token: token.into() }
    }
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its number; grows.
    pub number: u64,
    /// When.
    pub at: Time,
    /// Who: an account, `token NAME`, `token_file`, `local`, or the name that somebody tried.
    pub who: String,
    /// From which address; `local` for the private socket.
    pub peer: String,
    /// What was done, such as `command` or `sign-in`.
    pub action: String,
    /// To what.
    pub target: String,
    /// `done`, or why not.
    pub outcome: String,
}

impl From<loggerhead_store::StoredAudit> for AuditEntry {
    fn from(stored: loggerhead_store::StoredAudit) -> Self {
        let entry = stored.entry;
        Self {
            number: stored.number,
            at: Time(entry.at),
            who: entry.who,
            peer: entry.peer,
            action: entry.action,
            target: entry.target,
            outcome: entry.outcome,
        }
    }
}

/// A page of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// The newest first.
    pub entries: Vec<AuditEntry>,
    /// The `after` of the next page; none on the last.
    pub next: Option<u64>,
}

/// What somebody says about an event that they take note of.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// At most 1000 bytes; may be left out.
    #[serde(default)]
    pub note: String,
}

/// That somebody took note of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: Time,
    /// What they wrote; may be empty.
    pub note: String,
}

impl From<loggerhead_store::Acknowledgement> for Acknowledgement {
    fn from(kept: loggerhead_store::Acknowledgement) -> Self {
        Self { by: kept.by, at: Time(kept.at), note: kept.note }
    }
}

fn role_words() -> Object {
    words(&Role::ALL.map(Role::word))
}

fn scope_words() -> Object {
    words(&["read", "operate", "admin"])
}
