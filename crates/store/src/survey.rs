//! Looks at everything in a store, and names what is not as it was written.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use crate::coding::Broken;
use crate::damage::{Damage, is_damage};
use crate::error::database;
use crate::log::Batch;
use crate::salvage::{Found, Hints, Table, Values, walk};
use crate::segment::{GROUP_CHANNELS, Segment};
use crate::sequence::{Counted, count, is_counted, rows_max};
use crate::{StoreError, frames};

/// Most complaints that SQLite itself is asked for.
const COMPLAINTS_MAX: u32 = 100;
/// Most devices that are named for one damaged thing.
const DEVICES_SHOWN_MAX: usize = 8;
/// Most values that are tried for a damaged one: about a second for a row, and a wrong one fits once in 4,000 rows.
const GUESSES_MAX: i64 = 1 << 20;
/// Tables that grow with time; all others are small, and looked at whenever a store is opened.
const GROWING: [&str; 9] =
    ["acknowledged", "audit", "conflicts", "events", "frames", "log", "notes", "quarantine", "segments"];

/// Something that a survey meets.
pub(crate) enum Met<'a> {
    /// A row that is as it was written, with how many readings it holds.
    Sound { row: &'a Values, readings: u64 },
    /// A row that is not; it can be read.
    Bad { row: &'a Values, damage: Damage },
    /// A row of which the number, or what stands beside its body, is not as it was written, but known; here it is.
    Restored { row: &'a Values, damage: Damage },
    /// Rows that cannot be read.
    Gap(Damage),
}

/// Told of everything that is met.
type Each<'a> = &'a mut dyn FnMut(Met<'_>) -> Result<(), StoreError>;

/// Meets every row of a table.
///
/// # Errors
/// What `each` says, and `Database` when reading fails for another reason than damage.
pub(crate) fn survey(connection: &Connection, table: &Table, hints: &Hints, each: Each<'_>) -> Result<(), StoreError> {
    let bounds = Bounds::of(connection)?;
    if is_counted(table) {
        return count(connection, table, &mut |counted| match counted {
            Counted::Row { row, .. } => meet(connection, table, bounds, row, each),
            Counted::Misnumbered { row, number, found } => {
                let right = table.renumbered(row, number);
                let damage = Damage::new(place(table, &table.key_of(&right)), format!("it has the number {found}"));
                match check(table, row, bounds) {
                    Ok(_) => each(Met::Restored { row: &right, damage }),
                    Err(_) => each(Met::Bad { row, damage }),
                }
            }
            Counted::Unknown { row } => {
                let damage = Damage::new(place(table, &table.key_of(row)), "its number cannot be its own");
                each(Met::Bad { row, damage })
            }
            Counted::Gap { what, after, before } => each(Met::Gap(gap_damage(connection, table, what, after, before))),
        });
    }
    walk(connection, table, hints, &mut |found| match found {
        Found::Row(row) => meet(connection, table, bounds, row, each),
        Found::Gap { what, after, before } => each(Met::Gap(gap_damage(connection, table, what, after, before))),
    })
}

/// What no number in the store can be over.
#[derive(Clone, Copy)]
struct Bounds {
    rows_max: i64,
    last_batch: i64,
}

impl Bounds {
    fn of(connection: &Connection) -> Result<Self, StoreError> {
        // Where the log cannot be read, nothing is known of its end.
        let last = connection.query_row("SELECT max(number) FROM log", [], |row| row.get::<_, Option<i64>>(0));
        Ok(Self { rows_max: rows_max(connection)?, last_batch: last.ok().flatten().unwrap_or(i64::MAX) })
    }

    fn groups_max(self) -> i64 {
        self.rows_max / i64::from(GROUP_CHANNELS)
    }
}

fn meet(
    connection: &Connection,
    table: &Table,
    bounds: Bounds,
    row: &Values,
    each: Each<'_>,
) -> Result<(), StoreError> {
    match check(table, row, bounds) {
        Ok(readings) => each(Met::Sound { row, readings }),
        Err(broken) => {
            let place = place(table, &table.key_of(row));
            let about = about(connection, table, row);
            let damage = Damage { about, ..Damage::new(place, broken.to_string()) };
            match restore(table, row, bounds) {
                Some(row) => each(Met::Restored { row: &row, damage }),
                None => each(Met::Bad { row, damage }),
            }
        }
    }
}

fn gap_damage(
    connection: &Connection,
    table: &Table,
    what: String,
    after: Option<&Values>,
    before: Option<&Values>,
) -> Damage {
    let edge = |row: Option<&Values>| row.map(|row| about(connection, table, row)).unwrap_or_default();
    let about = match (edge(after), edge(before)) {
        (after, before) if after.is_empty() && before.is_empty() => String::new(),
        (after, before) if before.is_empty() => format!("after: {after}"),
        (after, before) if after.is_empty() => format!("before: {before}"),
        (after, before) => format!("after: {after}; before: {before}"),
    };
    Damage { about, ..Damage::new(gap(table, after, before), what) }
}

/// Whether a row is what was written; how many readings it holds.
fn check(table: &Table, row: &Values, bounds: Bounds) -> Result<u64, Broken> {
    if let Some(group) = table.integer(row, "channel_group")
        && !(0..=bounds.groups_max()).contains(&group)
    {
        return Err(Broken("a group of more channels than there can be"));
    }
    if table.integer(row, "through").is_some_and(|through| through > bounds.last_batch) {
        return Err(Broken("sealed beyond the end of the log"));
    }
    let readings = || table.integer(row, "readings").and_then(|readings| u64::try_from(readings).ok());
    let all = |counted: u64| match readings() {
        Some(written) if written == counted => Ok(counted),
        Some(_) | None => Err(Broken("another number of readings")),
    };
    if !table.checksum_fits(row) {
        return Err(Broken("the checksum does not fit"));
    }
    match table.name.as_str() {
        "log" => all(Batch::decode(table.blob(row, "body"))?.rows.len() as u64),
        "segments" => all(check_segment(table, row)?),
        "frames" => check_frames(table, row).map(|()| 0),
        "sealed" => Segment::open(table.blob(row, "latest")).map(|_| 0),
        _ => Ok(0),
    }
}

/// The row as it was written, where its body is sound and tells what stands beside it; what the body does not tell, the
/// checksum tells from all that it can be.
fn restore(table: &Table, row: &Values, bounds: Bounds) -> Option<Values> {
    let mut right = row.clone();
    let (column, values) = match table.name.as_str() {
        "segments" => {
            let (readings, first, last) = measure(table, row).ok()?;
            let beside = [("readings", i64::try_from(readings).ok()?), ("first_at", first), ("last_at", last)];
            for (column, value) in beside {
                table.put(&mut right, column, Value::Integer(value));
            }
            ("channel_group", 0..=bounds.groups_max().min(GUESSES_MAX))
        }
        "frames" => {
            let (entries, _) = frames::decode(table.blob(row, "body")).ok()?;
            let (first, last, devices) = frames::beside(&entries)?;
            table.put(&mut right, "first_at", Value::Integer(first));
            table.put(&mut right, "last_at", Value::Integer(last));
            table.put(&mut right, "devices", Value::Blob(devices));
            ("batch", bounds.last_batch.saturating_sub(GUESSES_MAX).max(0)..=bounds.last_batch)
        }
        _ => return None,
    };
    let mut fitting = values.filter(|&value| {
        table.put(&mut right, column, Value::Integer(value));
        table.checksum_fits(&right)
    });
    let (found, other) = (fitting.next()?, fitting.next());
    // Two that fit tell nothing.
    other.is_none().then(|| {
        table.put(&mut right, column, Value::Integer(found));
        right
    })
}

/// How many readings a segment holds, and the first and last time.
fn measure(table: &Table, row: &Values) -> Result<(u64, i64, i64), Broken> {
    let segment = Segment::open(table.blob(row, "body"))?;
    let (mut readings, mut first, mut last) = (0, i64::MAX, i64::MIN);
    for chunk in segment.chunks() {
        let rows = segment.decode(chunk)?.rows;
        readings += rows.len() as u64;
        first = rows.first().map_or(first, |row| first.min(row.measured_at));
        last = rows.last().map_or(last, |row| last.max(row.measured_at));
    }
    Ok((readings, first, last))
}

fn check_segment(table: &Table, row: &Values) -> Result<u64, Broken> {
    let (readings, first, last) = measure(table, row)?;
    let span = (table.integer(row, "first_at"), table.integer(row, "last_at"));
    if span == (Some(first), Some(last)) { Ok(readings) } else { Err(Broken("another span of time")) }
}

fn check_frames(table: &Table, row: &Values) -> Result<(), Broken> {
    let (entries, _) = frames::decode(table.blob(row, "body"))?;
    let beside = (table.integer(row, "first_at"), table.integer(row, "last_at"), table.blob(row, "devices"));
    match frames::beside(&entries) {
        Some((first, last, devices)) if beside == (Some(first), Some(last), &devices) => Ok(()),
        Some(_) | None => Err(Broken("another span of time, or other devices")),
    }
}

/// What a row of a table is called.
fn word(table: &str) -> &str {
    match table {
        "log" => "batch",
        "segments" => "segment",
        "frames" => "block of frames",
        "sealed" => "latest readings of group",
        "names" => "name of device number",
        "learnt" => "what was learnt about",
        "presence" => "presence of",
        "meters" => "meter of device number",
        "web_sessions" => "sign-in",
        "audit" => "line of the audit log",
        "acknowledged" => "acknowledgement of event",
        plural => plural.strip_suffix('s').unwrap_or(plural),
    }
}

fn words(key: &Values) -> String {
    let word = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(blob) => format!("of {} bytes", blob.len()),
    };
    key.iter().map(word).collect::<Vec<_>>().join(" ")
}

pub(crate) fn place(table: &Table, key: &Values) -> String {
    format!("{} {}", word(&table.name), words(key))
}

fn gap(table: &Table, after: Option<&Values>, before: Option<&Values>) -> String {
    let word = word(&table.name);
    let numbers = (after.and_then(|row| table.number(row)), before.and_then(|row| table.number(row)));
    let words = |row: &Values| words(&table.key_of(row));
    match (numbers, after, before) {
        ((Some(after), Some(before)), ..) if before.checked_sub(after) == Some(2) => {
            format!("{word} {}", after.saturating_add(1))
        }
        ((Some(after), Some(before)), ..) => {
            format!("{word} {} to {}", after.saturating_add(1), before.saturating_sub(1))
        }
        (_, None, None) => format!("{word} of any name (table {})", table.name),
        (_, Some(after), None) => format!("{word} after {}", words(after)),
        (_, None, Some(before)) => format!("{word} before {}", words(before)),
        (_, Some(after), Some(before)) => format!("{word} between {} and {}", words(after), words(before)),
    }
}

/// The times and devices of a row, as far as they are known.
fn about(connection: &Connection, table: &Table, row: &Values) -> String {
    let time = |column: &str| table.integer(row, column).map(loggerhead_model::Timestamp::from_unix_ms);
    let times = match table.name.as_str() {
        "segments" | "frames" => (time("first_at"), time("last_at")),
        "log" => (time("committed_at"), None),
        "events" => (time("at"), None),
        "conflicts" => (time("measured_at"), None),
        "commands" => (time("accepted_at"), None),
        _ => (None, None),
    };
    let mut text = match times {
        (Some(first), Some(last)) => format!("{first} to {last}"),
        (Some(at), None) => at.to_string(),
        (None, _) => String::new(),
    };
    let devices = devices_of(connection, table, row);
    if !devices.is_empty() {
        let shown: Vec<&str> = devices.iter().take(DEVICES_SHOWN_MAX).map(String::as_str).collect();
        let more = devices.len().saturating_sub(DEVICES_SHOWN_MAX);
        let and = if more > 0 { format!(" and {more} more") } else { String::new() };
        let comma = if text.is_empty() { "" } else { ", " };
        text.extend([comma, "devices ", &shown.join(", "), &and]);
    }
    text
}

fn devices_of(connection: &Connection, table: &Table, row: &Values) -> Vec<String> {
    let number = |column: &str| table.integer(row, column).unwrap_or(-1);
    match table.name.as_str() {
        "segments" | "sealed" => {
            let first = number("channel_group").saturating_mul(i64::from(GROUP_CHANNELS));
            of_channels(connection, first, first.saturating_add(i64::from(GROUP_CHANNELS)))
        }
        "conflicts" => of_channels(connection, number("channel"), number("channel").saturating_add(1)),
        "log" => {
            let numbers = match Batch::decode(table.blob(row, "body")) {
                Ok(batch) => batch.packets.iter().map(|packet| packet.device).collect(),
                Err(_) => of_frames(connection, number("number")),
            };
            names(connection, numbers)
        }
        "frames" => names(connection, frames::devices(table.blob(row, "devices")).unwrap_or_default()),
        "channels" | "meters" => name(connection, number("device")).into_iter().collect(),
        "devices" | "names" => Vec::new(),
        _ => table.text(row, "device").map(str::to_owned).into_iter().collect(),
    }
}

fn of_channels(connection: &Connection, from: i64, to: i64) -> Vec<String> {
    let sql = "SELECT DISTINCT n.id FROM channels c JOIN names n ON n.number = c.device
               WHERE c.number >= ?1 AND c.number < ?2 ORDER BY n.id";
    // What cannot be found out is not said.
    let found = connection.prepare_cached(sql).and_then(|mut statement| {
        let rows = statement.query_map((from, to), |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<String>>>()
    });
    found.unwrap_or_default()
}

/// Whose frames were committed with a batch: devices of a batch that cannot be read itself.
fn of_frames(connection: &Connection, batch: i64) -> Vec<u32> {
    let found = connection.prepare_cached("SELECT devices FROM frames WHERE batch = ?1").and_then(|mut statement| {
        let rows = statement.query_map([batch], |row| row.get::<_, Vec<u8>>(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    let blocks = found.unwrap_or_default();
    blocks.iter().flat_map(|devices| frames::devices(devices).unwrap_or_default()).collect()
}

fn names(connection: &Connection, mut numbers: Vec<u32>) -> Vec<String> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().filter_map(|number| name(connection, i64::from(number))).collect()
}

fn name(connection: &Connection, number: i64) -> Option<String> {
    let mut statement = connection.prepare_cached("SELECT id FROM names WHERE number = ?1").ok()?;
    statement.query_row([number], |row| row.get(0)).optional().ok().flatten()
}

/// A complaint of SQLite about its pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) damage: Damage,
    /// The index that differs from its table, when nothing else is wrong with either.
    pub(crate) index: Option<String>,
}

/// What SQLite itself finds in all of its pages, or in those of one table.
///
/// # Errors
/// `Database` when it fails for another reason than damage.
pub(crate) fn complaints(connection: &Connection, table: Option<&str>) -> Result<Vec<Complaint>, StoreError> {
    let argument = table.map_or_else(|| COMPLAINTS_MAX.to_string(), |table| format!("'{table}'"));
    let mut lines: Vec<String> = Vec::new();
    let checked = connection.prepare(&format!("PRAGMA integrity_check({argument})")).and_then(|mut statement| {
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            lines.push(row.get(0)?);
        }
        Ok(())
    });
    match checked {
        Err(error) if is_damage(&error) => lines.push(error.to_string()),
        Err(error) => return Err(database("checking the pages of the database")(error)),
        Ok(()) => {}
    }
    let mut complaints: Vec<Complaint> = Vec::new();
    for line in lines.iter().flat_map(|text| text.lines()).filter(|line| *line != "ok" && !line.starts_with("***")) {
        let complaint = complaint(connection, line);
        match complaints.iter_mut().find(|other| other.damage.place == complaint.damage.place) {
            Some(other) if other.index != complaint.index => other.index = None,
            Some(_) => {}
            None => complaints.push(complaint),
        }
    }
    Ok(complaints)
}

fn complaint(connection: &Connection, line: &str) -> Complaint {
    let of_index = ["missing from index ", "wrong # of entries in index ", "non-unique entry in index "];
    let index = of_index.iter().find_map(|text| line.split_once(text)).map(|(_, index)| index.to_owned());
    let tree = line.strip_prefix("Tree ").and_then(|rest| rest.split(' ').next()?.parse::<i64>().ok());
    let owner = tree.and_then(|root| {
        let sql = "SELECT type || ' ' || name || iif(type = 'index', ' of table ' || tbl_name, '')
                   FROM sqlite_schema WHERE rootpage = ?1";
        connection.query_row(sql, [root], |row| row.get::<_, String>(0)).ok()
    });
    let place = match (&index, owner) {
        (Some(index), _) => format!("index {index}"),
        (None, Some(owner)) => owner,
        (None, None) => "pages of the database".to_owned(),
    };
    Complaint { damage: Damage::new(place, line), index }
}

/// What is damaged in the tables that must be whole before anything can be stored: those that do not grow with time.
///
/// # Errors
/// `Database` when reading fails for another reason than damage.
pub(crate) fn look_at_small_tables(connection: &Connection) -> Result<Vec<Damage>, StoreError> {
    let mut found = Vec::new();
    for table in Table::all(connection)?.iter().filter(|table| !GROWING.contains(&table.name.as_str())) {
        found.extend(complaints(connection, Some(&table.name))?.into_iter().map(|complaint| complaint.damage));
        survey(connection, table, &Hints::default(), &mut |met| {
            match met {
                Met::Sound { .. } => {}
                Met::Bad { damage, .. } | Met::Restored { damage, .. } | Met::Gap(damage) => found.push(damage),
            }
            Ok(())
        })?;
    }
    Ok(found)
}
