//! Makes a damaged store usable again: everything that can be read goes into a new file, which takes the place of the
//! damaged one. The damaged file is kept beside it, so that nothing is thrown away.
//!
//! What gave numbers to other things must have no holes: a name, channel or tag that is lost is replaced by one that says
//! so, and what was stored under its number stays readable.

use std::fs;
use std::path::{Path, PathBuf};

use loggerhead_model::{DeviceId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, params, params_from_iter};

use crate::damage::Damage;
use crate::error::{database, file};
use crate::log::Batch;
use crate::salvage::{CHECKSUM, Hints, Table, Values};
use crate::schema::{FILE, create_file, open_damaged};
use crate::seal::Sealer;
use crate::segment::{GROUP_CHANNELS, Segment};
use crate::sequence::rows_max;
use crate::shared::now;
use crate::state::latest_of_segments;
use crate::survey::{Met, place, survey};
use crate::{StoreError, frames};

/// The new file while it is being written.
const UNFINISHED: &str = "loggerhead.db.unfinished";
/// The new file when it is whole and synced, and has yet to take its place.
const WHOLE: &str = "loggerhead.db.whole";

/// Puts what can be read of the store into a new file in its place; says what could not. The directory must be locked,
/// and no connection of this process may write.
///
/// # Errors
/// `Damaged` when nothing can be read, `File` or `Database` when the new file cannot be written.
pub(crate) fn mend(directory: &Path) -> Result<Vec<Damage>, StoreError> {
    tracing::warn!("what can be read of the damaged store goes into a new file; this takes a while");
    let path = directory.join(UNFINISHED);
    remove(&path)?;
    let source = open_damaged(directory)?;
    let target = create_file(&path)?;
    let damage = Mender { source: &source, target: &target, damage: Vec::new() }.mend()?;
    target.close().map_err(|(_, error)| database("closing the new file")(error))?;
    drop(source);
    let synced = fs::File::open(&path).and_then(|whole| whole.sync_all());
    synced.map_err(file("bringing the new file to disk"))?;
    let kept = keep(directory)?;
    fs::rename(&path, directory.join(WHOLE)).map_err(file("naming the new file"))?;
    finish(directory)?;
    tracing::warn!(kept = %kept.display(), lost = damage.len(), "the store is mended; the damaged file is kept");
    Ok(damage)
}

/// Lets a whole new file take its place; a process that ended in the middle of that is continued.
///
/// # Errors
/// `File` when files cannot be renamed.
pub(crate) fn finish(directory: &Path) -> Result<(), StoreError> {
    let whole = directory.join(WHOLE);
    if !whole.exists() {
        return Ok(());
    }
    // The write-ahead log belongs to the damaged file; the new one must never meet it.
    remove(&beside(directory, "-wal"))?;
    remove(&beside(directory, "-shm"))?;
    sync(directory)?;
    fs::rename(&whole, directory.join(FILE)).map_err(file("putting the new file in its place"))?;
    sync(directory)
}

/// Keeps the files as they are under another name.
fn keep(directory: &Path) -> Result<PathBuf, StoreError> {
    let at = now().unix_ms();
    let kept = directory.join(format!("{FILE}.damaged-{at}"));
    for end in ["", "-wal"] {
        let (from, to) = (beside(directory, end), directory.join(format!("{FILE}.damaged-{at}{end}")));
        if from.exists() {
            let linked = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ()));
            linked.map_err(file("keeping the damaged file"))?;
        }
    }
    Ok(kept)
}

fn beside(directory: &Path, end: &str) -> PathBuf {
    directory.join(format!("{FILE}{end}"))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file(format!("removing {}", path.display()))(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync(directory: &Path) -> Result<(), StoreError> {
    fs::File::open(directory).and_then(|open| open.sync_all()).map_err(file("bringing the directory to disk"))
}

struct Mender<'a> {
    source: &'a Connection,
    target: &'a Connection,
    damage: Vec<Damage>,
}

/// A table of which an index holds everything as well.
struct Copied {
    table: &'static str,
    index: &'static str,
    /// The table's columns from its first one on.
    columns: &'static str,
}

const COPIED: [Copied; 3] = [
    Copied { table: "names", index: "sqlite_autoindex_names_1", columns: "number, id" },
    Copied { table: "channels", index: "sqlite_autoindex_channels_1", columns: "number, device, meter, function" },
    Copied { table: "tags", index: "tags_by_words", columns: "number, coding, code, quality, attributes" },
];

impl Copied {
    /// Whether these may be the columns of a row: an entry of an index has no checksum, and no column is without a value.
    fn may_be(&self, table: &Table, values: &Values) -> bool {
        let is_name = |value: Option<&Value>| matches!(value, Some(Value::Text(id)) if DeviceId::new(id).is_ok());
        table.kinds_fit(values) && !values.contains(&Value::Null) && (self.table != "names" || is_name(values.last()))
    }
}

/// The highest numbers by which stored readings and frames name other things.
#[derive(Default)]
struct Used {
    devices: i64,
    channels: i64,
    tags: i64,
}

impl Mender<'_> {
    fn mend(mut self) -> Result<Vec<Damage>, StoreError> {
        let doing = database("writing the new file");
        let transaction = self.target.unchecked_transaction().map_err(doing)?;
        let mut hints = Hints::default();
        let now = Table::all(self.target)?;
        let mut tables: Vec<&Table> = Table::all(self.source)?.iter().collect();
        // What was set aside before comes first, names before what is looked for by them.
        let order = |table: &&Table| match table.name.as_str() {
            "quarantine" => 0,
            "names" => 1,
            _ => 2,
        };
        tables.sort_by_key(order);
        for table in tables {
            let to = now.iter().find(|to| to.name == table.name).expect("no version drops a table");
            self.copy(table, to, &hints)?;
            if let Some(copied) = COPIED.iter().find(|copied| copied.table == table.name) {
                self.copy_from_index(to, copied).map_err(doing)?;
            }
            if table.name == "names" {
                hints = Hints { names: self.names().map_err(doing)? };
            }
        }
        self.sequences();
        self.fill_log(rows_max(self.source)?).map_err(doing)?;
        self.fill_sealed()?;
        let used = self.used().map_err(doing)?;
        self.fill_numbers(&used).map_err(doing)?;
        transaction.commit().map_err(doing)?;
        Ok(self.damage)
    }

    /// Copies what is as it was written, and sets the rest aside. The damaged file may be of an earlier version.
    fn copy(&mut self, table: &Table, to: &Table, hints: &Hints) -> Result<(), StoreError> {
        let doing = database("writing the new file");
        let columns = table.columns.iter().map(String::as_str);
        let (places, columns): (Vec<_>, Vec<_>) = columns.enumerate().filter(|(_, column)| *column != CHECKSUM).unzip();
        let insert = format!("INSERT OR REPLACE {}", to.insertion(&columns));
        let mut statement = self.target.prepare(&insert).map_err(doing)?;
        let (target, damage) = (self.target, &mut self.damage);
        survey(self.source, table, hints, &mut |met| {
            let (sound, restored) = match &met {
                Met::Sound { row, .. } => (Some(*row), None),
                Met::Restored { row, damage } => (Some(*row), Some(damage)),
                Met::Bad { .. } | Met::Gap(_) => (None, None),
            };
            damage.extend(restored.map(|found| Damage { quarantined: true, ..found.clone() }));
            let refused = match sound
                .map(|row| statement.execute(params_from_iter(places.iter().filter_map(|&place| row.get(place)))))
            {
                Some(Ok(_)) => return Ok(()),
                // Damage made nothing of something that every row has.
                Some(Err(error)) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    error.to_string()
                }
                Some(Err(error)) => return Err(doing(error)),
                None => String::new(),
            };
            let (row, found) = match met {
                Met::Sound { row, .. } | Met::Restored { row, .. } => {
                    (Some(row), Damage::new(place(table, &table.key_of(row)), refused))
                }
                Met::Bad { row, damage } => (Some(row), damage),
                Met::Gap(damage) => (None, damage),
            };
            let found = Damage { quarantined: true, ..found };
            set_aside(target, &found, row.map(|row| content(table, row)).as_deref()).map_err(doing)?;
            damage.push(found);
            Ok(())
        })
    }

    /// Takes the rows that the table lost from an index that holds them as well, as far as it can be read.
    fn copy_from_index(&self, of: &Table, copied: &Copied) -> rusqlite::Result<()> {
        let Copied { table, index, columns } = copied;
        for order in ["ASC", "DESC"] {
            let key = columns.split_once(", ").map_or(*columns, |(_, rest)| rest).replace(", ", &format!(" {order}, "));
            let sql = format!("SELECT {columns} FROM {table} INDEXED BY {index} ORDER BY {key} {order}");
            let given: Vec<&str> = columns.split(", ").collect();
            let insert = format!("INSERT OR IGNORE {}", of.insertion(&given));
            let Ok(mut statement) = self.source.prepare(&sql) else { return Ok(()) };
            let Ok(mut rows) = statement.query([]) else { return Ok(()) };
            let mut complete = true;
            loop {
                let row = match rows.next() {
                    Ok(Some(row)) => row,
                    Ok(None) => break,
                    Err(_) => {
                        complete = false;
                        break;
                    }
                };
                let values: rusqlite::Result<Values> = (0..given.len()).map(|column| row.get(column)).collect();
                if let Ok(values) = values
                    && copied.may_be(of, &values)
                {
                    self.target.prepare_cached(&insert)?.execute(params_from_iter(values))?;
                }
            }
            if complete {
                break;
            }
        }
        Ok(())
    }

    fn names(&self) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.target.prepare("SELECT id FROM names ORDER BY number")?;
        statement.query_map([], |row| row.get(0))?.collect()
    }

    /// Numbers that were given out are not given again.
    fn sequences(&self) {
        let all = self.source.prepare("SELECT name, seq FROM sqlite_sequence").and_then(|mut statement| {
            let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        for (name, number) in all.unwrap_or_default() {
            // A table that lost all of its rows has no line yet.
            let sql = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
            if matches!(self.target.execute(sql, (&name, number)), Ok(0)) {
                let _ = self.target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (&name, number));
            }
        }
    }

    /// Puts empty batches in the place of those that are lost, so that no number is used twice: at most so many behind
    /// the last that is there, whatever is said elsewhere.
    fn fill_log(&self, rows_max: i64) -> rusqlite::Result<()> {
        let found = self.target.query_row("SELECT min(number), max(number) FROM log", [], |row| {
            Ok(row.get::<_, Option<i64>>(0)?.zip(row.get::<_, Option<i64>>(1)?))
        })?;
        let limit = found.map_or(i64::MAX / 2, |(_, last)| last.saturating_add(rows_max));
        let said = "SELECT max(coalesce((SELECT max(through) FROM sealed WHERE through <= ?1), 0),
                    coalesce((SELECT max(batch) FROM events WHERE batch <= ?1), 0),
                    coalesce((SELECT max(batch) FROM frames WHERE batch <= ?1), 0),
                    coalesce((SELECT max(batch) FROM conflicts WHERE batch <= ?1), 0))";
        let said: i64 = self.target.query_row(said, [limit], |row| row.get(0))?;
        let (first, last) = found.map_or((said, said), |(first, last)| (first, last.max(said)));
        let mut empty = Vec::new();
        Batch::default().encode(&mut empty);
        let insert = "INSERT OR IGNORE INTO log (number, committed_at, readings, body) VALUES (?1, ?2, 0, ?3)";
        for number in first.max(1)..=last {
            self.target.prepare_cached(insert)?.execute((number, now().unix_ms(), &empty))?;
        }
        Ok(())
    }

    /// Says of groups of which it is lost how far they are sealed that they are not: what is sealed twice is read once.
    fn fill_sealed(&self) -> Result<(), StoreError> {
        let doing = database("writing the new file");
        let sql = "SELECT DISTINCT channel_group FROM segments
                   WHERE channel_group NOT IN (SELECT channel_group FROM sealed)";
        let mut statement = self.target.prepare(sql).map_err(doing)?;
        let groups = statement.query_map([], |row| row.get::<_, u32>(0)).map_err(doing)?;
        let groups = groups.collect::<rusqlite::Result<Vec<_>>>().map_err(doing)?;
        let mut sealer = Sealer::default();
        for group in groups {
            let latest = sealer.latest(&latest_of_segments(self.target, group)?);
            let insert = "INSERT INTO sealed (channel_group, through, latest, checksum)
                          VALUES (?1, 0, ?2, row_checksum(?1, 0, substr(?2, 1, 4)))";
            self.target.execute(insert, (group, latest)).map_err(doing)?;
        }
        Ok(())
    }

    /// The highest numbers that anything names.
    fn used(&self) -> rusqlite::Result<Used> {
        let mut used = Used { devices: -1, channels: -1, tags: -1 };
        let mut statement = self.target.prepare("SELECT body FROM log")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let batch = Batch::decode(row.get_ref(0)?.as_blob().unwrap_or_default()).unwrap_or_default();
            let highest = |numbers: &mut dyn Iterator<Item = u32>| numbers.max().map_or(-1, i64::from);
            used.devices = used.devices.max(highest(&mut batch.packets.iter().map(|packet| packet.device)));
            used.channels = used.channels.max(highest(&mut batch.channels.iter().copied()));
            used.tags = used.tags.max(highest(&mut batch.rows.iter().map(|row| row.tag)));
        }
        let mut statement = self.target.prepare("SELECT channel_group, body FROM segments")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let group: i64 = row.get(0)?;
            let Ok(segment) = Segment::open(row.get_ref(1)?.as_blob().unwrap_or_default()) else { continue };
            for chunk in segment.chunks() {
                used.channels = used.channels.max(group * i64::from(GROUP_CHANNELS) + i64::from(chunk.place));
                let tags = segment.decode(chunk).map(|rows| rows.rows.iter().map(|row| row.tag).max());
                used.tags = used.tags.max(tags.ok().flatten().map_or(-1, i64::from));
            }
        }
        let mut statement = self.target.prepare("SELECT devices FROM frames")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let devices = frames::devices(row.get_ref(0)?.as_blob().unwrap_or_default()).unwrap_or_default();
            used.devices = used.devices.max(devices.last().copied().map_or(-1, i64::from));
        }
        let other = "SELECT max(coalesce((SELECT max(device) FROM channels), -1), coalesce((SELECT max(device) FROM meters), -1))";
        used.devices = used.devices.max(self.target.query_row(other, [], |row| row.get(0))?);
        Ok(used)
    }

    /// Gives every number that is used, and every one below, something that it names.
    fn fill_numbers(&self, used: &Used) -> rusqlite::Result<()> {
        let last = |sql: &str| self.target.query_row(sql, [], |row| row.get::<_, i64>(0));
        let channels = used.channels.max(last("SELECT coalesce(max(number), -1) FROM channels")?);
        let lost = |table: &str, last: i64| -> rusqlite::Result<Vec<i64>> {
            let sql = format!("SELECT count(*) FROM {table} WHERE number = ?1");
            let mut statement = self.target.prepare(&sql)?;
            let mut lost = Vec::new();
            for number in 0..=last {
                if statement.query_row([number], |row| row.get::<_, i64>(0))? == 0 {
                    lost.push(number);
                }
            }
            Ok(lost)
        };
        let names = used.devices.max(last("SELECT coalesce(max(number), -1) FROM names")?);
        let channels = lost("channels", channels)?;
        let owner = names + 1;
        let names = lost("names", if channels.is_empty() { names } else { owner })?;
        let at = Timestamp::from_unix_ms(now().unix_ms());
        for number in names {
            let id = format!("lost-name-{number}-{}", at.unix_ms());
            let sql = "INSERT INTO names (number, id, checksum) VALUES (?1, ?2, row_checksum(?2))";
            self.target.execute(sql, (number, id))?;
        }
        for number in channels {
            let sql = "INSERT INTO channels (number, device, meter, function, checksum)
                       VALUES (?1, ?2, 'lost', ?3, row_checksum(?2, 'lost', ?3))";
            self.target.execute(sql, (number, owner, format!("channel {number}")))?;
        }
        let tags = lost("tags", used.tags.max(last("SELECT coalesce(max(number), -1) FROM tags")?))?;
        for number in tags {
            let sql = "INSERT INTO tags (number, coding, code, quality, attributes, checksum)
                       VALUES (?1, '', '', ?2, ?3, row_checksum('', '', ?2, ?3, NULL))";
            let quality = loggerhead_model::Quality::Bad as u8;
            self.target.execute(sql, params![number, quality, format!("lost\ttag {number}")])?;
        }
        Ok(())
    }
}

/// Writes what was found damaged, and what can be read of it.
pub(crate) fn set_aside(connection: &Connection, damage: &Damage, content: Option<&[u8]>) -> rusqlite::Result<()> {
    let what = match damage.about.as_str() {
        "" => damage.what.clone(),
        about => format!("{} ({about})", damage.what),
    };
    let sql = "INSERT INTO quarantine (place, what, found_at, body) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute((&damage.place, what, now().unix_ms(), content)).map(|_| ())
}

/// What of a damaged row is kept: its body, or its values where it has none.
pub(crate) fn content(table: &Table, row: &Values) -> Vec<u8> {
    let body = table.blob(row, "body");
    if !body.is_empty() {
        return body.to_vec();
    }
    let shown = |value: &Value| match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Blob(blob) => blob.as_slice().into(),
    };
    let values: Vec<serde_json::Value> = row.iter().map(shown).collect();
    serde_json::Value::from(values).to_string().into_bytes()
}
