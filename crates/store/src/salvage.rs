//! Every row of a table, stepping over what cannot be read.
//!
//! A damaged page hides what stands on it and nothing else: rows with a number are looked for behind it by their
//! numbers, others from the end of the table and by the names that are known from elsewhere.

use std::sync::OnceLock;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::damage::is_damage;
use crate::error::database;
use crate::{StoreError, body, schema};

/// Rows read at a time, so that no look at a store in use lasts long.
const PAGE_ROWS: usize = 64;
/// The column of a row's checksum.
pub(crate) const CHECKSUM: &str = "checksum";

/// The columns of a row.
pub(crate) type Values = Vec<Value>;

/// A table of one version of the schema.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    /// What the schema says that each column holds: `TEXT`, `INTEGER` or `BLOB`.
    kinds: Vec<String>,
    key: Key,
    /// The version of the schema.
    version: u32,
}

#[derive(Clone, Debug)]
enum Key {
    /// The column that is the row's number.
    Number(usize),
    /// The columns of the primary key of a table without such numbers.
    Words(Vec<usize>),
}

/// What a walk meets.
pub(crate) enum Found<'a> {
    Row(&'a Values),
    /// Rows that cannot be read, between two that can.
    Gap {
        what: String,
        after: Option<&'a Values>,
        before: Option<&'a Values>,
    },
}

/// Names known from elsewhere, by which rows without a number are looked for.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    pub(crate) names: Vec<String>,
}

/// Told of everything that is met.
type Each<'a> = &'a mut dyn FnMut(Found<'_>) -> Result<(), StoreError>;

/// How a page of rows ended.
enum End {
    Complete,
    Damaged(String),
}

impl Table {
    /// All tables of a store, as its version of the schema has them.
    ///
    /// # Errors
    /// `Damaged` or `Newer` where the store has no version that is known, `Database` when not even a database in memory can
    /// be made.
    pub(crate) fn all(connection: &Connection) -> Result<&'static [Self], StoreError> {
        static ALL: [OnceLock<Vec<Table>>; schema::VERSIONS] = [const { OnceLock::new() }; schema::VERSIONS];
        let version = schema::version(connection)?;
        let all = (version as usize).checked_sub(1).and_then(|index| ALL.get(index));
        let all = all.ok_or_else(|| StoreError::Damaged { what: "the version of the database".to_owned() })?;
        match all.get() {
            Some(tables) => Ok(tables),
            None => Self::list(version).map(|tables| all.get_or_init(|| tables).as_slice()),
        }
    }

    fn list(version: u32) -> Result<Vec<Self>, StoreError> {
        let doing = database("listing tables");
        let pristine = schema::pristine(version)?;
        let sql = "SELECT name, wr FROM pragma_table_list
                   WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
        let mut statement = pristine.prepare(sql).map_err(doing)?;
        let names = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)));
        let names = names.map_err(doing)?.collect::<rusqlite::Result<Vec<_>>>().map_err(doing)?;
        let of = |(name, without_rowid)| Self::of(&pristine, version, name, without_rowid).map_err(doing);
        names.into_iter().map(of).collect()
    }

    fn of(pristine: &Connection, version: u32, name: String, without_rowid: bool) -> rusqlite::Result<Self> {
        let mut statement = pristine.prepare("SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid")?;
        let columns = statement.query_map([&name], |row| {
            Ok(((row.get::<_, String>(0)?, row.get::<_, String>(1)?), row.get::<_, u32>(2)?))
        })?;
        let columns = columns.collect::<rusqlite::Result<Vec<_>>>()?;
        let keys = columns.iter().enumerate().filter(|(_, (_, place))| *place > 0).map(|(index, _)| index);
        let keys: Vec<usize> = keys.collect();
        let (mut columns, kinds): (Vec<String>, Vec<String>) = columns.into_iter().map(|(column, _)| column).unzip();
        let key = match keys.as_slice() {
            _ if without_rowid => Key::Words(keys),
            [number] if is_number(pristine, &name)? => Key::Number(*number),
            _ => {
                columns.push("rowid".to_owned());
                Key::Number(columns.len() - 1)
            }
        };
        Ok(Self { name, columns, kinds, key, version })
    }

    /// A column of a row.
    pub(crate) fn value<'a>(&self, row: &'a Values, column: &str) -> Option<&'a Value> {
        self.columns.iter().position(|name| name == column).and_then(|index| row.get(index))
    }

    pub(crate) fn integer(&self, row: &Values, column: &str) -> Option<i64> {
        match self.value(row, column) {
            Some(Value::Integer(number)) => Some(*number),
            Some(Value::Null | Value::Real(_) | Value::Text(_) | Value::Blob(_)) | None => None,
        }
    }

    pub(crate) fn text<'a>(&self, row: &'a Values, column: &str) -> Option<&'a str> {
        match self.value(row, column) {
            Some(Value::Text(text)) => Some(text),
            Some(Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_)) | None => None,
        }
    }

    pub(crate) fn blob<'a>(&self, row: &'a Values, column: &str) -> &'a [u8] {
        match self.value(row, column) {
            Some(Value::Blob(blob)) => blob,
            Some(Value::Null | Value::Integer(_) | Value::Real(_) | Value::Text(_)) | None => &[],
        }
    }

    /// Puts a value into a column of a row.
    pub(crate) fn put(&self, row: &mut Values, column: &str, value: Value) {
        let place = self.columns.iter().position(|name| name == column);
        if let Some(slot) = place.and_then(|index| row.get_mut(index)) {
            *slot = value;
        }
    }

    /// The number of a row, in a table that has them.
    pub(crate) fn number(&self, row: &Values) -> Option<i64> {
        match (&self.key, self.key_of(row).first()) {
            (Key::Number(_), Some(Value::Integer(number))) => Some(*number),
            (Key::Number(_) | Key::Words(_), _) => None,
        }
    }

    /// The column that is the number of a row, in a table that has them.
    pub(crate) fn number_place(&self) -> Option<usize> {
        match self.key {
            Key::Number(column) => Some(column),
            Key::Words(_) => None,
        }
    }

    /// What names a row in its table.
    pub(crate) fn key_of(&self, row: &Values) -> Values {
        self.key_places().iter().filter_map(|&column| row.get(column).cloned()).collect()
    }

    /// `column = ?1 AND ..`, for one row.
    pub(crate) fn is_key(&self) -> String {
        let terms = self.keys().into_iter().zip(1..).map(|(column, place)| format!("{column} = ?{place}"));
        terms.collect::<Vec<_>>().join(" AND ")
    }

    /// Whether the checksum of a row, in a table that has them, is that of its other columns.
    pub(crate) fn checksum_fits(&self, row: &Values) -> bool {
        let Some(place) = self.columns.iter().position(|column| column == CHECKSUM) else { return true };
        match row.get(place) {
            Some(Value::Integer(written)) => {
                let covered = self.covered().filter_map(|(place, column)| Some((column, row.get(place)?)));
                let covered = covered.map(|(column, value)| body::covered(column, ValueRef::from(value)));
                *written == i64::from(schema::checksum(covered))
            }
            // From before it was kept; or the head of the row is damaged, and then its columns are not what they should be.
            Some(Value::Null) | None => self.version < schema::EVERY_ROW_HAS_A_CHECKSUM && self.kinds_fit(row),
            Some(Value::Real(_) | Value::Text(_) | Value::Blob(_)) => false,
        }
    }

    /// The columns that the checksum of a row covers, with their places: those before it, but for a number that the table
    /// itself gave, which says nothing of what the row is about.
    fn covered(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.columns.iter().position(|column| column == CHECKSUM).unwrap_or(0);
        let given = self
            .number_place()
            .filter(|&place| self.columns.get(place).is_some_and(|column| ["number", "id"].contains(&column.as_str())));
        let columns = self.columns.iter().map(String::as_str).enumerate().take(end);
        columns.filter(move |(place, _)| Some(*place) != given)
    }

    /// `INTO table (..) VALUES (?1, ..)` for these columns, with the checksum, in a table that has them.
    pub(crate) fn insertion(&self, given: &[&str]) -> String {
        let mut columns = given.join(", ");
        let mut values = (1..=given.len()).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ");
        if self.columns.iter().any(|column| column == CHECKSUM) {
            let covered = self.covered().map(|(_, column)| match given.iter().position(|other| *other == column) {
                Some(index) => body::covered_in_sql(column, &format!("?{}", index + 1)),
                None => "NULL".to_owned(),
            });
            let covered = covered.collect::<Vec<_>>().join(", ");
            columns.push_str(", checksum");
            values.extend([", row_checksum(", &covered, ")"]);
        }
        format!("INTO {} ({columns}) VALUES ({values})", self.name)
    }

    /// Whether the columns of a row, or the first of them, hold what the schema says.
    pub(crate) fn kinds_fit(&self, row: &Values) -> bool {
        self.kinds.iter().zip(row).all(|(kind, value)| match value {
            Value::Null => true,
            Value::Integer(_) => kind == "INTEGER",
            Value::Text(_) => kind == "TEXT",
            Value::Blob(_) => kind == "BLOB",
            Value::Real(_) => false,
        })
    }

    fn keys(&self) -> Vec<&str> {
        self.key_places().iter().filter_map(|&column| self.columns.get(column).map(String::as_str)).collect()
    }

    fn key_places(&self) -> &[usize] {
        match &self.key {
            Key::Number(column) => std::slice::from_ref(column),
            Key::Words(columns) => columns,
        }
    }

    fn select(&self) -> String {
        format!("SELECT {} FROM {}", self.columns.join(", "), self.name)
    }
}

/// Whether the primary key of a table is the number of its rows.
fn is_number(pristine: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM pragma_table_info(?1) WHERE pk = 1 AND type = 'INTEGER'";
    pristine.query_row(sql, [table], |row| row.get(0))
}

/// Meets every row of a table, and every gap.
///
/// # Errors
/// What `each` says, and `Database` when reading fails for another reason than damage.
pub(crate) fn walk(connection: &Connection, table: &Table, hints: &Hints, each: Each<'_>) -> Result<(), StoreError> {
    match &table.key {
        Key::Number(_) => walk_numbers(connection, table, each),
        Key::Words(_) => walk_words(connection, table, hints, each),
    }
}

fn walk_numbers(connection: &Connection, table: &Table, each: Each<'_>) -> Result<(), StoreError> {
    let key = table.keys().join(", ");
    let forward = format!("{} NOT INDEXED WHERE {key} >= ?1 ORDER BY {key}", table.select());
    let mut last: Option<Values> = None;
    // Numbers begin at 0 or 1. What is greater than a number is looked for beside that number, on a page that may be
    // damaged; what is at least the next one is not.
    let mut from = 0_i64;
    loop {
        let mut newest = [None; 3];
        // Row by row as they stand, not by their numbers, of which one may be damaged.
        let end = rows(connection, table, &forward, &[Value::Integer(from)], &mut |row| {
            newest = [newest[1], newest[2], table.number(&row)];
            each(Found::Row(&row))?;
            last = Some(row);
            Ok(())
        })?;
        let End::Damaged(what) = end else { return Ok(()) };
        from = from.max(reached(newest).map_or(from, |number| number.saturating_add(1)));
        let next = next_readable(connection, table, from)?;
        each(Found::Gap { what, after: last.as_ref(), before: next.as_ref() })?;
        let Some(row) = next else { return Ok(()) };
        each(Found::Row(&row))?;
        // A number that leads back would lead there again.
        let Some(number) = table.number(&row).filter(|number| *number >= from) else { return Ok(()) };
        from = number.saturating_add(1);
        last = Some(row);
    }
}

/// The number up to which rows were met, given the last three of them: one may be damaged.
fn reached([before, last, newest]: [Option<i64>; 3]) -> Option<i64> {
    match (before, last, newest) {
        (Some(before), Some(last), Some(newest)) if newest < last && newest < before => Some(last),
        (_, _, newest) => newest,
    }
}

/// The first row behind a damaged place that can be read wholly: by ever longer steps, then by halves.
fn next_readable(connection: &Connection, table: &Table, first: i64) -> Result<Option<Values>, StoreError> {
    let key = table.keys().join(", ");
    let probe = format!("{} NOT INDEXED WHERE {key} >= ?1 ORDER BY {key} LIMIT 1", table.select());
    let look = |from: i64| -> Result<Option<Option<Values>>, StoreError> {
        let (mut rows, end) = page(connection, table, &probe, &[Value::Integer(from)])?;
        Ok(match end {
            End::Complete => Some(rows.pop()),
            End::Damaged(_) => None,
        })
    };
    let (mut bad, mut step) = (first, 1_i64);
    let (mut good, mut found) = loop {
        let Some(from) = first.checked_add(step) else { return Ok(None) };
        match look(from)? {
            Some(found) => break (from, found),
            None => bad = from,
        }
        let Some(longer) = step.checked_mul(2) else { return Ok(None) };
        step = longer;
    };
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        match look(middle)? {
            Some(nearer) => (good, found) = (middle, nearer),
            None => bad = middle,
        }
    }
    Ok(found)
}

fn walk_words(connection: &Connection, table: &Table, hints: &Hints, each: Each<'_>) -> Result<(), StoreError> {
    let keys = table.keys();
    let places = (1..=keys.len()).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ");
    let columns = keys.join(", ");
    let descending = keys.iter().map(|key| format!("{key} DESC")).collect::<Vec<_>>().join(", ");
    let (select, limit) = (table.select(), format!("LIMIT {PAGE_ROWS}"));
    let mut last: Option<Values> = None;
    let what = loop {
        let (sql, from) = match &last {
            None => (format!("{select} ORDER BY {columns} {limit}"), Vec::new()),
            Some(row) => {
                let sql = format!("{select} WHERE ({columns}) > ({places}) ORDER BY {columns} {limit}");
                (sql, table.key_of(row))
            }
        };
        let (rows, end) = page(connection, table, &sql, &from)?;
        let count = rows.len();
        for row in rows {
            each(Found::Row(&row))?;
            last = Some(row);
        }
        match end {
            End::Complete if count < PAGE_ROWS => return Ok(()),
            End::Complete => {}
            End::Damaged(what) => break what,
        }
    };
    let is_behind = |row: &Values| last.as_ref().is_none_or(|last| compare(&table.key_of(row), &table.key_of(last)));
    let mut behind: Vec<Values> = Vec::new();
    loop {
        let (sql, from) = match behind.last() {
            None => (format!("{select} ORDER BY {descending} {limit}"), Vec::new()),
            Some(row) => {
                let sql = format!("{select} WHERE ({columns}) < ({places}) ORDER BY {descending} {limit}");
                (sql, table.key_of(row))
            }
        };
        let (rows, end) = page(connection, table, &sql, &from)?;
        let (read, before) = (rows.len(), behind.len());
        behind.extend(rows.into_iter().filter(is_behind));
        if matches!(end, End::Damaged(_)) || read < PAGE_ROWS || behind.len() - before < read {
            break;
        }
    }
    let first = keys.first().copied().unwrap_or_default();
    let by_hint = format!("{select} WHERE {first} = ?1");
    for hint in hints.of(table) {
        let (rows, _) = page(connection, table, &by_hint, &[hint])?;
        for row in rows {
            let is_before = behind.last().is_none_or(|next| compare(&table.key_of(next), &table.key_of(&row)));
            if is_behind(&row) && is_before {
                each(Found::Row(&row))?;
            }
        }
    }
    each(Found::Gap { what, after: last.as_ref(), before: behind.last() })?;
    behind.iter().try_for_each(|row| each(Found::Row(row)))
}

impl Hints {
    /// What the first column of the key may be.
    fn of(&self, table: &Table) -> Vec<Value> {
        if table.name == "meters" {
            (0..self.names.len()).filter_map(|number| i64::try_from(number).ok()).map(Value::Integer).collect()
        } else {
            self.names.iter().cloned().map(Value::Text).collect()
        }
    }
}

/// Whether the first key stands behind the second.
fn compare(one: &Values, other: &Values) -> bool {
    for (one, other) in one.iter().zip(other) {
        let order = match (one, other) {
            (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
            (Value::Text(one), Value::Text(other)) => one.cmp(other),
            (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
            // Keys have no other types; what is not one is behind everything.
            (Value::Null | Value::Integer(_) | Value::Real(_) | Value::Text(_) | Value::Blob(_), _) => return true,
        };
        if order.is_ne() {
            return order.is_gt();
        }
    }
    false
}

/// Rows until the end of the statement or until damage.
fn page(
    connection: &Connection,
    table: &Table,
    sql: &str,
    parameters: &[Value],
) -> Result<(Vec<Values>, End), StoreError> {
    let mut found = Vec::new();
    let end = rows(connection, table, sql, parameters, &mut |row| {
        found.push(row);
        Ok(())
    })?;
    Ok((found, end))
}

/// Gives each row until the end of the statement or until damage.
fn rows(
    connection: &Connection,
    table: &Table,
    sql: &str,
    parameters: &[Value],
    each: &mut dyn FnMut(Values) -> Result<(), StoreError>,
) -> Result<End, StoreError> {
    let doing = database("reading a table");
    let end = |error: rusqlite::Error| {
        if is_damage(&error) { Ok(End::Damaged(error.to_string())) } else { Err(doing(error)) }
    };
    let mut statement = match connection.prepare_cached(sql) {
        Ok(statement) => statement,
        Err(error) => return end(error),
    };
    let mut rows = match statement.query(params_from_iter(parameters)) {
        Ok(rows) => rows,
        Err(error) => return end(error),
    };
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(End::Complete),
            Err(error) => return end(error),
        };
        let values: rusqlite::Result<Values> = (0..table.columns.len()).map(|column| row.get(column)).collect();
        match values {
            Ok(values) => each(values)?,
            Err(error) => return end(error),
        }
    }
}
