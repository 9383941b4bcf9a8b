-- Devices that were added at run time.
CREATE TABLE devices (
    id TEXT PRIMARY KEY, protocol TEXT NOT NULL, identity TEXT NOT NULL, state TEXT NOT NULL, secret BLOB,
    login TEXT NOT NULL, settings TEXT NOT NULL, added_at INTEGER NOT NULL, source TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE learnt (device TEXT PRIMARY KEY, words TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE presence (
    device TEXT PRIMARY KEY, presence TEXT NOT NULL, since INTEGER, last_bytes_at INTEGER, last_reading_at INTEGER,
    peer TEXT, closed_because TEXT
) WITHOUT ROWID;
CREATE TABLE commands (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, wanted TEXT NOT NULL, state TEXT NOT NULL,
    accepted_at INTEGER NOT NULL, changed_at INTEGER NOT NULL
);
CREATE INDEX commands_by_device ON commands (device, id);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, batch INTEGER NOT NULL, at INTEGER NOT NULL, severity INTEGER NOT NULL,
    kind TEXT NOT NULL, device TEXT, peer TEXT, text TEXT NOT NULL
);
CREATE INDEX events_by_device ON events (device, number);
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_batch ON events (batch);

-- What has a number: devices as readings know them, channels, and coding, code, quality and attributes together.
CREATE TABLE names (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE channels (
    number INTEGER PRIMARY KEY, device INTEGER NOT NULL, meter TEXT NOT NULL, function TEXT NOT NULL,
    UNIQUE (device, meter, function)
);
CREATE TABLE tags (
    number INTEGER PRIMARY KEY, coding TEXT NOT NULL, code TEXT NOT NULL, quality INTEGER NOT NULL,
    attributes TEXT NOT NULL
);
CREATE TABLE meters (
    device INTEGER NOT NULL, meter TEXT NOT NULL, attributes TEXT NOT NULL, PRIMARY KEY (device, meter)
) WITHOUT ROWID;

-- Committed batches in the order of commits.
CREATE TABLE log (
    number INTEGER PRIMARY KEY, committed_at INTEGER NOT NULL, readings INTEGER NOT NULL, body BLOB NOT NULL
);
-- Sealed readings. A segment holds rows of the 64 channels from 64 * channel_group on.
CREATE TABLE segments (
    number INTEGER PRIMARY KEY AUTOINCREMENT, channel_group INTEGER NOT NULL, first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL, readings INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX segments_by_group ON segments (channel_group, first_at, last_at, readings);
-- How far the log is sealed for each group, and the latest reading of each of its channels, as a segment.
CREATE TABLE sealed (channel_group INTEGER PRIMARY KEY, through INTEGER NOT NULL, latest BLOB NOT NULL);
-- Readings that came again with another value.
CREATE TABLE conflicts (
    number INTEGER PRIMARY KEY AUTOINCREMENT, channel INTEGER NOT NULL, measured_at INTEGER NOT NULL,
    value TEXT NOT NULL, first TEXT NOT NULL, tag INTEGER NOT NULL, received_at INTEGER NOT NULL,
    origin INTEGER NOT NULL, batch INTEGER NOT NULL, UNIQUE (channel, measured_at, value)
);
-- Raw frames. `devices` names whose frames are in `body`.
CREATE TABLE frames (
    number INTEGER PRIMARY KEY AUTOINCREMENT, batch INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
    devices BLOB NOT NULL, body BLOB NOT NULL
);
CREATE INDEX frames_by_time ON frames (last_at, first_at);
-- What was damaged and set aside.
CREATE TABLE quarantine (
    number INTEGER PRIMARY KEY, place TEXT NOT NULL, what TEXT NOT NULL, found_at INTEGER NOT NULL, body BLOB
);
