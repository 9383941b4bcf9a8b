//! Courses: what is drawn of readings, and what can be taken away of them.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::{CONSOLE, assert_quiet, signed_in, with_accounts};
use crate::keeping::{of_csv, of_parquet};
use crate::support::{Api, HeadEnd, run};

/// A broker, and an account whose readings are published with whatever time, quality and origin a test needs.
const BROKER: &str = r#"
[[listener]]
name = "mqtt"
protocol = "mqtt"
address = ["127.0.0.1:0"]

[[device]]
id = "plant"
protocol = "mqtt"
identity = "admin"
secret = "text:123456"
"#;
/// The script of charts, which says what it drew.
const CHART: &str = "import(document.querySelector('script[src$=\"chart.js\"]').src).then((found) => { window.chart = found; return true; })";
/// What is drawn of the only channel: gaps and marks by their minute after the full hour, and how many values are zero.
const DRAWN: &str = "(() => {
    const [{ gaps, points, values }] = window.chart.shown;
    const minute = (at) => Math.round(at / 60) % 60;
    return {
        gaps: gaps.map(([from, to]) => `${minute(from)}-${minute(to)}`).join(' '),
        marks: points.filter(({ marks }) => marks.length).map(({ at, marks }) => `${minute(at)} ${marks}`).join('; '),
        zeros: values.filter((value) => value === 0).length,
    };
})()";

fn publish(head_end: &HeadEnd, readings: &Value) {
    let address = head_end.addresses_of("mqtt").first().expect("the listener listens");
    let access = ["--to", address, "--user", "admin", "--password", "123456", "--qos", "1"];
    run(&[&["mqtt", "pub", "readings", &readings.to_string()], &access[..]].concat());
}

/// One reading of each of these minutes.
fn minutes(minutes: impl IntoIterator<Item = u32>) -> Vec<Value> {
    let reading = |minute: u32| json!({"meter": "boiler/1", "function": "energy, total", "time": format!("2026-01-31T10:{minute:02}:00Z"), "value": 70 + minute});
    minutes.into_iter().map(reading).collect()
}

/// How many dots of the line's colour stand above these minutes: a line leaves some, a gap none.
const INKED: &str = "(async ([minutes]) => {
    const { plot } = window.chart;
    const probe = document.querySelector('#chart').appendChild(document.createElement('i'));
    probe.style.color = 'var(--series-1)';
    const wanted = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
    probe.remove();
    const { left, top, width, height } = plot.bbox;
    const dots = plot.ctx.getImageData(left, top, width, height).data;
    return minutes.map((minute) => {
        const x = Math.round(plot.valToPos(Date.parse(`2026-01-31T10:${minute}:30Z`) / 1000, 'x', true) - left);
        let found = 0;
        for (let y = 0; y < height; y += 1) {
            const dot = (y * width + x) * 4;
            const far = wanted.reduce((sum, part, index) => sum + Math.abs(part - dots[dot + index]), 0);
            if (far < 90) found += 1;
        }
        return found > 0;
    });
})(args)";

#[test]
fn gaps_are_gaps_marks_tell_all_and_files_hold_what_is_shown() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = with_accounts(HeadEnd::start(directory.path(), &format!("{CONSOLE}{BROKER}")));
    let mut kept = minutes(12..14);
    kept.extend(minutes(33..34).into_iter().map(|mut reading| {
        reading["quality"] = json!("bad");
        reading["code"] = json!("7");
        reading
    }));
    publish(&head_end, &json!({"origin": "resumed", "readings": kept}));
    publish(&head_end, &json!((minutes([10, 11, 14, 15, 30, 31, 32, 34, 35]))));

    let browser = signed_in(&head_end, "viewer");
    let span = |from: &str, to: &str| {
        browser.open(&format!("/devices/plant?from=2026-01-31T{from}:00Z&to=2026-01-31T{to}:00Z"));
        browser.wait("document.getElementById('plot').dataset.drawn === 'yes'");
        browser.promised(CHART, &[]);
        browser.value(DRAWN)
    };
    let expected = json!({"gaps": "0-10 15-30 35-0", "marks": "12 resumed; 13 resumed; 33 bad,resumed", "zeros": 0});
    assert_eq!(span("10:00", "11:00"), expected, "also at the edges of the span");
    let inked = browser.promised(INKED, &[json!([13, 22])]);
    assert_eq!(inked, json!([true, false]), "a line joins what is there, and nothing stands where nothing is stored");
    browser.wait_text("#shown", "Readings: 12, gaps: 3");
    browser.picture("device-gap");
    assert_eq!(span("10:34", "10:50")["gaps"], "35-50", "of two readings, by what is usual before");
    assert_eq!(span("11:00", "11:30")["gaps"], "0-30", "a span without any is a gap as a whole");
    assert_eq!(span("10:11", "10:16")["gaps"], "", "what comes as usual has none");

    span("10:11", "10:34");
    browser.click("#shown-table summary");
    browser.wait_text("#rows tbody tr", "bad");
    let query =
        "device=plant&meter=boiler/1&function=energy,%20total&from=2026-01-31T10:11:00Z&to=2026-01-31T10:34:00Z";
    let stored = Api::Unix(head_end.data()).get(&format!("/api/v1/readings?{query}")).json();
    let columns = ["measured_at", "text", "quality", "code", "origin"];
    let words = |reading: &Value| columns.map(|column| reading[column].as_str().expect("a word").to_owned());
    let stored: BTreeSet<[String; 5]> = stored["readings"].as_array().expect("readings").iter().map(words).collect();
    assert_eq!(stored.len(), 9, "what is asked for");
    browser.click("[data-format=csv]");
    let csv = browser.downloaded("csv");
    let text = fs::read_to_string(&csv).expect("it was downloaded");
    let head: Vec<&str> = text.lines().next().unwrap_or_default().split(',').collect();
    let places = columns.map(|column| head.iter().position(|each| *each == column).expect("a column"));
    let rows = of_csv(&text);
    let in_file: BTreeSet<[String; 5]> = rows.iter().map(|row| places.map(|place| row[place].clone())).collect();
    assert_eq!(in_file, stored, "a file holds what is shown");
    browser.click("[data-format=parquet]");
    assert_eq!(of_parquet(&browser.downloaded("parquet")), rows);
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}
