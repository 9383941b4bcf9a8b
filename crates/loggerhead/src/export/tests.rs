use std::os::unix::fs::PermissionsExt as _;

use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::record::{Field, RowAccessor as _};
use loggerhead_model::Timestamp;
use loggerhead_web::export::{Cell, Column, ColumnKind, Csv, Jsonl, Parquet, Rows};

use super::output::Output;

const COLUMNS: &[Column] = &[
    Column::new("meter", ColumnKind::Text),
    Column::new("at", ColumnKind::Time),
    Column::new("value", ColumnKind::Number),
    Column::new("number", ColumnKind::Count),
    Column::new("bytes", ColumnKind::Bytes),
    Column::new("attributes", ColumnKind::Attributes),
];

const ROWS: [[Cell<'static>; 6]; 2] = [
    [
        Cell::Text("塔 \"1\",\nnorth"),
        Cell::Time(Timestamp::from_unix_ms(1_769_875_199_250)),
        Cell::Number(675.17),
        Cell::Count(7),
        Cell::Bytes(&[0, 0xff]),
        Cell::Attributes("addr\t000001\ntp\tE"),
    ],
    [Cell::Text(" a "), Cell::Missing, Cell::Missing, Cell::Missing, Cell::Missing, Cell::Attributes("")],
];

fn written(rows: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    rows(&mut out);
    String::from_utf8(out).expect("text")
}

fn write(mut rows: Box<dyn Rows + '_>) {
    for row in &ROWS {
        rows.row(row).expect("memory takes everything");
    }
    rows.finish().expect("memory takes everything");
}

#[test]
fn csv_quotes_what_would_be_read_otherwise() {
    let text = written(|out| write(Box::new(Csv::new(out, COLUMNS).expect("a head line"))));
    let expected = "meter,at,value,number,bytes,attributes\n\
                    \"塔 \"\"1\"\",\nnorth\",2026-01-31T15:59:59.25Z,675.17,7,00ff,\
                    \"{\"\"addr\"\":\"\"000001\"\",\"\"tp\"\":\"\"E\"\"}\"\n\
                    \" a \",,,,,\n";
    assert_eq!(text, expected);
}

#[test]
fn jsonl_is_an_object_a_line() {
    let text = written(|out| write(Box::new(Jsonl::new(out, COLUMNS))));
    let rows: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let expected = serde_json::json!([
        { "meter": "塔 \"1\",\nnorth", "at": "2026-01-31T15:59:59.25Z", "value": 675.17, "number": 7, "bytes": "00ff",
          "attributes": { "addr": "000001", "tp": "E" } },
        { "meter": " a ", "at": null, "value": null, "number": null, "bytes": null, "attributes": {} },
    ]);
    assert_eq!(serde_json::Value::from(rows), expected);
}

#[test]
fn parquet_reads_back_and_its_file_is_private_and_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.parquet");
    let mut output = Output::open(Some(&path)).expect("a file");
    write(Box::new(Parquet::new(&mut output, COLUMNS).expect("a head")));
    assert!(!path.exists(), "half an export is none");
    output.commit().expect("a file");
    assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);

    let reader = SerializedFileReader::new(std::fs::File::open(&path).expect("a file")).expect("a parquet file");
    let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    let first = rows.first().expect("a row");
    assert_eq!(first.get_string(0).expect("text"), "塔 \"1\",\nnorth");
    assert_eq!(first.get_timestamp_millis(1).expect("a time"), 1_769_875_199_250);
    assert_eq!(first.get_double(2).expect("a number").to_string(), "675.17");
    let second = rows.get(1).expect("a row");
    assert!(second.get_column_iter().skip(1).all(|(_, field)| matches!(field, Field::Null)), "{second}");
}

#[test]
fn an_export_that_ends_early_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(Output::open(Some(&folder.path().join("rows.csv"))).expect("a file"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}
