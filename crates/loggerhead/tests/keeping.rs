//! Verbs about what is stored: export in every format, backup, verify.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use crate::support::{
    HeadEnd, LOGGERS, Simulation, assert_same, exported, journalled, json, outcome, run, with_readings,
};

/// Rows as text, cell by cell, whatever they were written as.
pub(crate) type Rows = Vec<Vec<String>>;

pub(crate) fn of_csv(text: &str) -> Rows {
    // No cell of these tests holds a line end; quotes only stand around cells with a comma or a quote.
    text.lines().skip(1).map(cells).collect()
}

fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    cells
}

fn of_jsonl(text: &str, columns: &[String]) -> Rows {
    let text_of = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().expect("a number").to_string(),
        Value::Object(members) if members.is_empty() => String::new(),
        Value::Object(_) | Value::Array(_) | Value::Bool(_) => value.to_string(),
    };
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("a line is an object");
        columns.iter().map(|column| text_of(row.get(column).expect("a row has every column"))).collect()
    };
    text.lines().map(row).collect()
}

pub(crate) fn of_parquet(file: &Path) -> Rows {
    let reader = SerializedFileReader::new(std::fs::File::open(file).expect("it was written")).expect("parquet");
    #[expect(clippy::wildcard_enum_match_arm, reason = "no export has a column of another kind")]
    let text_of = |field: &Field| match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Double(number) => number.to_string(),
        Field::Long(number) => number.to_string(),
        Field::TimestampMillis(ms) => loggerhead_model::Timestamp::from_unix_ms(*ms).to_string(),
        Field::Bytes(bytes) => bytes.data().iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a text takes everything");
            hex
        }),
        other => panic!("a column of {other:?}"),
    };
    let rows = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row"));
    rows.map(|row| row.get_column_iter().map(|(_, field)| text_of(field)).collect()).collect()
}

#[test]
fn every_kind_is_the_same_in_every_format() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let data = with_readings(directory.path());
    for what in ["readings", "events", "frames"] {
        let csv = run(&["export", what, "--data", &data]);
        let columns = cells(csv.lines().next().expect("a head line"));
        let rows = of_csv(&csv);
        assert!(!rows.is_empty(), "{what}");
        let jsonl = run(&["export", what, "--data", &data, "--format", "jsonl"]);
        assert_eq!(of_jsonl(&jsonl, &columns), rows, "{what}");
        let file = directory.path().join(format!("{what}.parquet"));
        let name = file.display().to_string();
        assert_eq!(run(&["export", what, "--data", &data, "--format", "parquet", "-o", &name]), "");
        assert_eq!(of_parquet(&file), rows, "{what}");
    }
}

#[test]
fn an_export_is_of_one_device_and_of_a_span() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let data = with_readings(directory.path());
    let export = |arguments: &[&str]| of_csv(&run(&[&["export", "readings", "--data", &data], arguments].concat()));
    let all = export(&[]);
    let devices: BTreeSet<_> = all.iter().filter_map(|row| row.first()).collect();
    assert_eq!(devices.len(), 2, "{devices:?}");
    let first = export(&["--device", "330302D110-01"]);
    assert!(!first.is_empty() && first.len() < all.len());
    assert!(first.iter().all(|row| row.first().is_some_and(|device| device == "330302D110-01")));

    let measured_at = |row: &Vec<String>| row.get(3).cloned().expect("a reading has its time");
    let moments: BTreeSet<_> = all.iter().map(measured_at).collect();
    let middle = moments.iter().nth(moments.len() / 2).expect("readings of several moments");
    let (before, after) = (export(&["--to", middle]), export(&["--from", middle]));
    assert!(!before.is_empty() && !after.is_empty());
    assert_eq!(before.len() + after.len(), all.len(), "a moment belongs to the span that it begins");
    assert!(after.iter().any(|row| measured_at(row) == *middle));
    assert!(before.iter().all(|row| measured_at(row) != *middle));

    let unknown = outcome(&["export", "readings", "--data", &data, "--device", "nobody"]);
    assert_eq!(unknown.status.code(), Some(3));
    let nowhere = outcome(&["export", "readings", "--data", &format!("{data}/nothing")]);
    assert_eq!(nowhere.status.code(), Some(3));
}

#[test]
fn a_backup_of_a_busy_head_end_holds_what_was_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    let data = head_end.data().display().to_string();
    let load = ["--loggers", "4", "--dialect", "national,plain", "--rate", "200", "--window", "4", "--seconds", "3600"];
    let mut simulation = Simulation::start(&head_end.address(), &load);
    simulation.wait_acknowledged(2_000);
    let acknowledged = journalled(simulation.journal());
    let copy = directory.path().join("copy");
    std::fs::create_dir(&copy).expect("a directory of this test");
    let file = copy.join("loggerhead.db").display().to_string();
    let told = json(&["backup", &file, "--data", &data, "--json"]);
    assert_eq!(told.get("file").and_then(Value::as_str), Some(file.as_str()), "{told}");
    // It went on meanwhile.
    simulation.wait_acknowledged(200);

    let verified = json(&["verify", "--json", "--data", &copy.display().to_string()]);
    assert_eq!(verified.get("damage"), Some(&Value::Array(Vec::new())), "{verified}");
    let copied = exported(&copy);
    assert!(acknowledged.len() > 1_000, "{}", acknowledged.len());
    for (reading, value) in &acknowledged {
        assert_eq!(copied.get(reading), Some(value), "acknowledged before the backup began: {reading:?}");
    }
    let again = outcome(&["backup", &file, "--data", &data]);
    assert_eq!(again.status.code(), Some(1), "a file that is there stays as it is");

    let in_use = outcome(&["verify", "--data", &data]);
    assert_eq!(in_use.status.code(), Some(0), "a store in use is read back as well");

    let (_, journal) = simulation.finish();
    assert!(head_end.stop().success());
    assert_same(&exported(Path::new(&data)), &journalled(&journal));
    let text = run(&["verify", "--data", &data]);
    assert!(text.contains("everything is as it was written"), "{text}");
}

#[test]
fn damage_is_told_by_name_and_by_the_exit_code() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let data = with_readings(directory.path());
    let before = exported(Path::new(&data));
    let file = Path::new(&data).join("loggerhead.db");
    let database = rusqlite::Connection::open(&file).expect("a store");
    let damage = "UPDATE log SET body = CAST(substr(body, 1, length(body) - 1) || x'00' AS BLOB)
        WHERE number = (SELECT max(number) FROM log WHERE readings > 0)";
    assert_eq!(database.execute(damage, ()).expect("a log with readings"), 1);
    database.close().expect("nobody else has it");
    let copy = directory.path().join("copy");
    std::fs::create_dir(&copy).expect("a directory of this test");
    std::fs::copy(&file, copy.join("loggerhead.db")).expect("a copy of the store");
    let told = outcome(&["verify", "--data", &copy.display().to_string()]);
    assert_eq!(told.status.code(), Some(5), "{}", String::from_utf8_lossy(&told.stderr));
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(text.contains("damaged: batch ") && text.contains("devices "), "{text}");
    let verified = outcome(&["verify", "--json", "--data", &data]);
    assert_eq!(verified.status.code(), Some(5), "{}", String::from_utf8_lossy(&verified.stderr));
    let report: Value = serde_json::from_slice(&verified.stdout).expect("a report");
    let damage = report.get("damage").and_then(Value::as_array).expect("a list");
    assert!(damage.iter().all(|damage| damage.get("place").is_some_and(Value::is_string)), "{report}");
    assert!(!damage.is_empty(), "{report}");
    let after = exported(Path::new(&data));
    assert!(after.len() < before.len() && !after.is_empty(), "{} of {}", after.len(), before.len());
    assert!(after.iter().all(|(reading, value)| before.get(reading) == Some(value)), "the rest is as it was");
    assert_eq!(outcome(&["verify", "--data", &data]).status.code(), Some(0), "what is left is sound");
}
