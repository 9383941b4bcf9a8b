-- Every row has a checksum from here on. Where a row has a body, which begins with a checksum of its own, it covers the
-- columns beside the body and those four bytes.
ALTER TABLE segments ADD COLUMN checksum INTEGER;
ALTER TABLE frames ADD COLUMN checksum INTEGER;
ALTER TABLE sealed ADD COLUMN checksum INTEGER;
ALTER TABLE accounts ADD COLUMN checksum INTEGER;
ALTER TABLE web_sessions ADD COLUMN checksum INTEGER;
ALTER TABLE tokens ADD COLUMN checksum INTEGER;
ALTER TABLE audit ADD COLUMN checksum INTEGER;
ALTER TABLE acknowledged ADD COLUMN checksum INTEGER;
-- Those of before.
UPDATE devices SET checksum = row_checksum(id, protocol, identity, state, secret, login, settings, added_at, source, site)
WHERE checksum IS NULL;
UPDATE learnt SET checksum = row_checksum(device, words) WHERE checksum IS NULL;
UPDATE presence SET checksum = row_checksum(device, presence, since, last_bytes_at, last_reading_at, peer, closed_because)
WHERE checksum IS NULL;
UPDATE commands SET checksum = row_checksum(device, wanted, state, accepted_at, changed_at) WHERE checksum IS NULL;
UPDATE events SET checksum = row_checksum(batch, at, severity, kind, device, peer, text) WHERE checksum IS NULL;
UPDATE names SET checksum = row_checksum(id) WHERE checksum IS NULL;
UPDATE channels SET checksum = row_checksum(device, meter, function) WHERE checksum IS NULL;
UPDATE tags SET checksum = row_checksum(coding, code, quality, attributes, device) WHERE checksum IS NULL;
UPDATE meters SET checksum = row_checksum(device, meter, attributes) WHERE checksum IS NULL;
UPDATE conflicts SET checksum = row_checksum(channel, measured_at, value, first, tag, received_at, origin, batch)
WHERE checksum IS NULL;
UPDATE notes SET checksum = row_checksum(shelf, key, value) WHERE checksum IS NULL;
UPDATE segments SET checksum = row_checksum(channel_group, first_at, last_at, readings, substr(body, 1, 4))
WHERE checksum IS NULL;
UPDATE frames SET checksum = row_checksum(batch, first_at, last_at, devices, substr(body, 1, 4)) WHERE checksum IS NULL;
UPDATE sealed SET checksum = row_checksum(channel_group, through, substr(latest, 1, 4)) WHERE checksum IS NULL;
UPDATE accounts SET checksum = row_checksum(name, role, password, created_at, changed_at) WHERE checksum IS NULL;
UPDATE web_sessions SET checksum = row_checksum(hash, account, created_at, seen_at, peer, agent) WHERE checksum IS NULL;
UPDATE tokens SET checksum = row_checksum(name, hash, role, devices, created_by, created_at, expires_at)
WHERE checksum IS NULL;
UPDATE audit SET checksum = row_checksum(at, who, peer, action, target, outcome) WHERE checksum IS NULL;
UPDATE acknowledged SET checksum = row_checksum(event, by, at, note) WHERE checksum IS NULL;
