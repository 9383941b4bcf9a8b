-- The site of a device, where somebody named one. The checksum covers it; one that did not fit before does not fit after.
CREATE TABLE devices_with_site (
    id TEXT PRIMARY KEY, protocol TEXT NOT NULL, identity TEXT NOT NULL, state TEXT NOT NULL, secret BLOB,
    login TEXT NOT NULL, settings TEXT NOT NULL, added_at INTEGER NOT NULL, source TEXT NOT NULL, site TEXT,
    checksum INTEGER
) WITHOUT ROWID;
INSERT INTO devices_with_site
SELECT id, protocol, identity, state, secret, login, settings, added_at, source, NULL, CASE
    WHEN checksum = row_checksum(id, protocol, identity, state, secret, login, settings, added_at, source)
    THEN row_checksum(id, protocol, identity, state, secret, login, settings, added_at, source, NULL)
    ELSE checksum END
FROM devices;
DROP TABLE devices;
ALTER TABLE devices_with_site RENAME TO devices;
