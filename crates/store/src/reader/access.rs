//! Questions about who may look and do.

use std::ops::ControlFlow;

use loggerhead_model::{DeviceId, Role, Timestamp};
use rusqlite::Row;
use rusqlite::types::Type;

use super::Reader;
use super::records::{checked, from_json, time, time_if_any};
use crate::error::database;
use crate::{Account, ApiToken, AuditEntry, AuditFilter, Secret, StoreError, StoredAudit, WebSession};

fn role(row: &Row<'_>, column: usize) -> rusqlite::Result<Role> {
    let word = row.get_ref(column)?.as_str()?;
    // Only this program writes roles; guessing one could give somebody more than they have.
    Role::parse(word).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("no role {word:?}").into())
    })
}

fn devices(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<DeviceId>> {
    let names: Vec<String> = from_json(row, column)?;
    names.iter().map(|name| checked(column, DeviceId::new(name))).collect()
}

/// What a row says, if the checksum of its columns, which is compared in `column`, fits: nobody is let in by what was not
/// written. A row of which it does not is left out.
fn trusted<T>(
    row: &Row<'_>,
    column: usize,
    table: &str,
    read: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    if row.get::<_, Option<bool>>(column)? == Some(true) {
        return read().map(Some);
    }
    tracing::error!(table, "a damaged row lets nobody in: run verify");
    Ok(None)
}

impl Reader {
    /// The accounts, by name; without those whose rows are damaged.
    ///
    /// # Errors
    /// `Database` when the store cannot be read.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let sql = "SELECT name, role, password, created_at, changed_at,
                   checksum = row_checksum(name, role, password, created_at, changed_at) FROM accounts ORDER BY name";
        let accounts = self.list("reading accounts", sql, [], |row| {
            let read = || {
                Ok(Account {
                    name: row.get(0)?,
                    role: role(row, 1)?,
                    password: row.get::<_, Option<Vec<u8>>>(2)?.map(Secret::new),
                    created_at: time(row, 3)?,
                    changed_at: time(row, 4)?,
                })
            };
            trusted(row, 5, "accounts", read)
        });
        Ok(accounts?.into_iter().flatten().collect())
    }

    /// The sign-ins that hold, the oldest first; without those whose rows are damaged.
    ///
    /// # Errors
    /// `Database` when the store cannot be read.
    pub fn web_sessions(&self) -> Result<Vec<WebSession>, StoreError> {
        let sql = "SELECT hash, account, created_at, seen_at, peer, agent,
                   checksum = row_checksum(hash, account, created_at, seen_at, peer, agent)
                   FROM web_sessions ORDER BY created_at";
        let sessions = self.list("reading sign-ins", sql, [], |row| {
            let read = || {
                Ok(WebSession {
                    hash: row.get(0)?,
                    account: row.get(1)?,
                    created_at: time(row, 2)?,
                    seen_at: time(row, 3)?,
                    peer: row.get(4)?,
                    agent: row.get(5)?,
                })
            };
            trusted(row, 6, "web_sessions", read)
        });
        Ok(sessions?.into_iter().flatten().collect())
    }

    /// The tokens, by id; without those whose rows are damaged.
    ///
    /// # Errors
    /// `Database` when the store cannot be read.
    pub fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        let sql = "SELECT id, name, hash, role, devices, created_by, created_at, expires_at,
                   checksum = row_checksum(name, hash, role, devices, created_by, created_at, expires_at)
                   FROM tokens ORDER BY id";
        let tokens = self.list("reading tokens", sql, [], |row| {
            let read = || {
                Ok(ApiToken {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    hash: row.get(2)?,
                    role: role(row, 3)?,
                    devices: devices(row, 4)?,
                    created_by: row.get(5)?,
                    created_at: time(row, 6)?,
                    expires_at: time_if_any(row, 7)?,
                })
            };
            trusted(row, 8, "tokens", read)
        });
        Ok(tokens?.into_iter().flatten().collect())
    }

    /// The lines of the audit log that fit, the newest first.
    ///
    /// # Errors
    /// `Database` when the store cannot be read.
    pub fn audit(
        &self,
        filter: &AuditFilter,
        each: &mut dyn FnMut(StoredAudit) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let doing = database("reading the audit log");
        let connection = self.connection()?;
        let sql = "SELECT number, at, who, peer, action, target, outcome FROM audit WHERE number < ?1
                   AND (?2 IS NULL OR who = ?2) AND (?3 IS NULL OR action = ?3) AND at >= ?4 AND at < ?5
                   ORDER BY number DESC";
        let mut statement = connection.prepare_cached(sql).map_err(doing)?;
        let parameters = (
            filter.beyond.map_or(i64::MAX, |number| i64::try_from(number).unwrap_or(i64::MAX)),
            &filter.who,
            &filter.action,
            filter.from.map_or(i64::MIN, Timestamp::unix_ms),
            filter.to.map_or(i64::MAX, Timestamp::unix_ms),
        );
        let mut rows = statement.query(parameters).map_err(doing)?;
        while let Some(row) = rows.next().map_err(doing)? {
            if each(stored_audit(row).map_err(doing)?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn stored_audit(row: &Row<'_>) -> rusqlite::Result<StoredAudit> {
    let entry = AuditEntry {
        at: time(row, 1)?,
        who: row.get(2)?,
        peer: row.get(3)?,
        action: row.get(4)?,
        target: row.get(5)?,
        outcome: row.get(6)?,
    };
    Ok(StoredAudit { number: row.get(0)?, entry })
}
