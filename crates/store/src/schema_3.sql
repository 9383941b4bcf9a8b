-- Who may look and do: people, their sign-ins, programs. Secrets are kept as hashes only.
CREATE TABLE accounts (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, password BLOB, created_at INTEGER NOT NULL, changed_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE web_sessions (
    hash BLOB PRIMARY KEY, account TEXT NOT NULL, created_at INTEGER NOT NULL, seen_at INTEGER NOT NULL,
    peer TEXT NOT NULL, agent TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, hash BLOB NOT NULL UNIQUE, role TEXT NOT NULL,
    devices TEXT NOT NULL, created_by TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER
);
-- What people and programs did, and every sign-in.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, peer TEXT NOT NULL,
    action TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL
);
-- Events that somebody has taken note of.
CREATE TABLE acknowledged (
    event INTEGER PRIMARY KEY, by TEXT NOT NULL, at INTEGER NOT NULL, note TEXT NOT NULL
);
