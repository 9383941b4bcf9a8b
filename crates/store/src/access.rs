//! Who may look and do, and what they did: accounts, sign-ins, tokens, the audit log, events that were acknowledged.
//!
//! Secrets come here as hashes. What a role may do is not decided here.

use loggerhead_model::{DeviceId, Role, Timestamp};
use rusqlite::{Connection, params};

use crate::Secret;
use crate::tables::json;

/// Entries that the audit log keeps: years of a busy site, about 200 MB. The oldest go first.
pub const AUDIT_ENTRIES_MAX: i64 = 1_000_000;
/// Bytes of a hashed secret.
pub const HASH_BYTES: usize = 32;

/// A secret that only its hash is kept of.
pub type Hash = [u8; HASH_BYTES];

/// Somebody who may sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The hash of its password, with its parameters; none when no password opens it.
    pub password: Option<Secret>,
    /// When it was made; our clock.
    pub created_at: Timestamp,
    /// When its role or password last changed; our clock.
    pub changed_at: Timestamp,
}

/// A sign-in that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSession {
    /// The hash of what its cookie says.
    pub hash: Hash,
    /// Whose it is.
    pub account: String,
    /// When it began; our clock.
    pub created_at: Timestamp,
    /// When it was last used, to within minutes; our clock.
    pub seen_at: Timestamp,
    /// The address that it began from.
    pub peer: String,
    /// What the browser says it is.
    pub agent: String,
}

/// A token of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its number; the next free one where it is 0.
    pub id: u64,
    /// Its name; no other token has it.
    pub name: String,
    /// The hash of the token.
    pub hash: Hash,
    /// What it may do.
    pub role: Role,
    /// The devices that it is limited to; empty: all.
    pub devices: Vec<DeviceId>,
    /// Who made it.
    pub created_by: String,
    /// When it was made; our clock.
    pub created_at: Timestamp,
    /// From when on it opens nothing; none: never.
    pub expires_at: Option<Timestamp>,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When; our clock.
    pub at: Timestamp,
    /// Who: an account, a token, or the name that somebody gave.
    pub who: String,
    /// From where.
    pub peer: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// What became of it.
    pub outcome: String,
}

/// A line of the audit log as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAudit {
    /// Its number; grows.
    pub number: u64,
    /// What it says.
    pub entry: AuditEntry,
}

/// Which lines of the audit log, the newest first. `None` fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this account or token.
    pub who: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// At this moment or later.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    /// Before the one with this number.
    pub beyond: Option<u64>,
}

/// That somebody took note of an event.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When; our clock.
    pub at: Timestamp,
    /// What they wrote about it; may be empty.
    pub note: String,
}

/// One change to who may look and do.
#[derive(Clone, Debug)]
pub enum AccessChange {
    /// Adds an account, or replaces the one of the same name.
    Account(Account),
    /// Forgets an account and its sign-ins.
    RemoveAccount(String),
    /// Adds a sign-in, or replaces the one of the same hash.
    Session(WebSession),
    /// Ends a sign-in.
    EndSession(Hash),
    /// Ends all sign-ins of an account.
    EndSessions(String),
    /// Adds a token, or replaces the one of the same id.
    Token(ApiToken),
    /// Forgets a token.
    RemoveToken(u64),
    /// Adds a line to the audit log.
    Audit(AuditEntry),
    /// Notes that somebody took note of the event of this number. The first who does so stays.
    Acknowledge(u64, Acknowledgement),
}

/// Makes a change.
pub(crate) fn apply(connection: &Connection, change: &AccessChange) -> rusqlite::Result<()> {
    let run = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql)?.execute(parameters).map(|_| ())
    };
    match change {
        AccessChange::Account(account) => put_account(connection, account),
        AccessChange::RemoveAccount(name) => {
            run("DELETE FROM accounts WHERE name = ?1", &[name])?;
            run("DELETE FROM web_sessions WHERE account = ?1", &[name])
        }
        AccessChange::Session(session) => put_session(connection, session),
        AccessChange::EndSession(hash) => run("DELETE FROM web_sessions WHERE hash = ?1", &[hash]),
        AccessChange::EndSessions(name) => run("DELETE FROM web_sessions WHERE account = ?1", &[name]),
        AccessChange::Token(token) => put_token(connection, token),
        AccessChange::RemoveToken(id) => run("DELETE FROM tokens WHERE id = ?1", &[id]),
        AccessChange::Audit(entry) => add_audit(connection, entry),
        AccessChange::Acknowledge(event, note) => acknowledge(connection, *event, note),
    }
}

fn put_account(connection: &Connection, account: &Account) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO accounts (name, role, password, created_at, changed_at, checksum)
               VALUES (?1, ?2, ?3, ?4, ?5, row_checksum(?1, ?2, ?3, ?4, ?5))";
    let password = account.password.as_ref().map(Secret::expose);
    let (created_at, changed_at) = (account.created_at.unix_ms(), account.changed_at.unix_ms());
    let row = params![account.name, account.role.word(), password, created_at, changed_at];
    connection.prepare_cached(sql)?.execute(row).map(|_| ())
}

fn put_session(connection: &Connection, session: &WebSession) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO web_sessions (hash, account, created_at, seen_at, peer, agent, checksum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, row_checksum(?1, ?2, ?3, ?4, ?5, ?6))";
    let row = params![
        session.hash,
        session.account,
        session.created_at.unix_ms(),
        session.seen_at.unix_ms(),
        session.peer,
        session.agent
    ];
    connection.prepare_cached(sql)?.execute(row).map(|_| ())
}

fn put_token(connection: &Connection, token: &ApiToken) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO tokens
               (id, name, hash, role, devices, created_by, created_at, expires_at, checksum)
               VALUES (nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8, row_checksum(?2, ?3, ?4, ?5, ?6, ?7, ?8))";
    let row = params![
        token.id,
        token.name,
        token.hash,
        token.role.word(),
        json(&token.devices)?,
        token.created_by,
        token.created_at.unix_ms(),
        token.expires_at.map(Timestamp::unix_ms)
    ];
    connection.prepare_cached(sql)?.execute(row).map(|_| ())
}

fn add_audit(connection: &Connection, entry: &AuditEntry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit (at, who, peer, action, target, outcome, checksum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, row_checksum(?1, ?2, ?3, ?4, ?5, ?6))";
    let row = params![entry.at.unix_ms(), entry.who, entry.peer, entry.action, entry.target, entry.outcome];
    connection.prepare_cached(sql)?.execute(row)?;
    let oldest = connection.last_insert_rowid() - AUDIT_ENTRIES_MAX;
    connection.prepare_cached("DELETE FROM audit WHERE number <= ?1")?.execute([oldest]).map(|_| ())
}

fn acknowledge(connection: &Connection, event: u64, note: &Acknowledgement) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO acknowledged (event, by, at, note, checksum)
               SELECT number, ?2, ?3, ?4, row_checksum(number, ?2, ?3, ?4) FROM events WHERE number = ?1";
    connection.prepare_cached(sql)?.execute(params![event, note.by, note.at.unix_ms(), note.note])?;
    // What was said about events that retention has removed goes with them.
    let sql = "DELETE FROM acknowledged WHERE event < (SELECT min(number) FROM events)";
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}
