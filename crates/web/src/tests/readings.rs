//! History: exact texts, whole pages, gaps that stay gaps.

use loggerhead_model::{Direction, EventKind, Origin, Quality, RawFrame};
use serde_json::{Value as Json, json};

use super::{Site, at, event, packet, reading};

const CHANNEL: &str = "device=d&meter=m1&function=f1";

#[tokio::test]
async fn a_value_comes_back_as_it_was_sent() {
    let site = Site::open().await;
    let mut odd = reading(2, "data0");
    odd.quality = Quality::Bad;
    odd.attributes = "unit\tkWh";
    site.store(packet("d", &[reading(0, "675.170000"), reading(1, "007"), odd])).await;
    let path = format!("/api/v1/readings?{CHANNEL}&from={}&to={}", at(0), at(3));
    let range = site.get(&path).await.good();
    let rows: Vec<_> = range["readings"].as_array().expect("a list").iter().collect();
    let values: Vec<_> = rows.iter().map(|row| (row["text"].clone(), row["value"].clone())).collect();
    let expected = [("675.170000", json!(675.17)), ("007", json!(7.0)), ("data0", Json::Null)];
    assert_eq!(values, expected.map(|(text, value)| (json!(text), value)));
    assert_eq!(rows[0]["measured_at"], at(0).to_string());
    assert_eq!((&rows[2]["quality"], &rows[2]["attributes"]["unit"]), (&json!("bad"), &json!("kWh")));
    assert_eq!(range["channel"]["meter_attributes"]["addr"], "000000000001");
    assert_eq!(range["next"], Json::Null);
    let latest = site.get("/api/v1/latest?device=d").await.good();
    assert_eq!(latest["readings"][0]["text"], "data0");
    assert_eq!(latest["readings"][0]["function"], "f1");
}

#[tokio::test]
async fn a_range_is_bounded_and_its_pages_join() {
    let site = Site::open().await;
    let texts: Vec<String> = (0..5000).map(|number| format!("{number}.5")).collect();
    let readings: Vec<_> = (0..).zip(&texts).map(|(number, text)| reading(number, text)).collect();
    site.store(packet("d", &readings)).await;
    let whole = site.get(&format!("/api/v1/readings?{CHANNEL}&from={}&to={}", at(0), at(9999))).await.good();
    assert_eq!(whole["readings"].as_array().map(Vec::len), Some(5000), "several pieces are one answer");
    let (mut joined, mut from) = (Vec::new(), at(0).to_string());
    loop {
        let page = site.get(&format!("/api/v1/readings?{CHANNEL}&limit=2300&from={from}&to={}", at(9999))).await.good();
        let rows = page["readings"].as_array().expect("a list");
        assert!(rows.len() <= 2300);
        joined.extend(rows.iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        next.clone_into(&mut from);
    }
    assert_eq!(whole["readings"], Json::Array(joined));
    let empty = site.get(&format!("/api/v1/readings?{CHANNEL}&from=2020-01-01&to=2020-01-02")).await.good();
    assert_eq!((&empty["readings"], &empty["next"]), (&json!([]), &Json::Null));
}

#[tokio::test]
async fn a_gap_stays_a_gap_in_buckets() {
    let site = Site::open().await;
    let mut bad = reading(21, "999");
    bad.quality = Quality::Bad;
    site.store(packet("d", &[reading(0, "1"), reading(20, "-2"), bad])).await;
    let mut late = packet("d", &[reading(5, "4")]);
    late.report.as_mut().expect("a report").origin = Origin::Resumed;
    site.store(late).await;
    let path = format!("/api/v1/buckets?{CHANNEL}&count=3&from={}&to={}", at(0), at(30));
    let buckets = site.get(&path).await.good();
    let expected = [
        json!({"from": at(0).to_string(), "to": at(10).to_string(), "count": 2, "bad": 0, "resumed": 1, "min": 1.0, "max": 4.0, "mean": 2.5}),
        json!({"from": at(10).to_string(), "to": at(20).to_string(), "count": 0, "bad": 0, "resumed": 0, "min": null, "max": null, "mean": null}),
        json!({"from": at(20).to_string(), "to": at(30).to_string(), "count": 1, "bad": 1, "resumed": 0, "min": -2.0, "max": -2.0, "mean": -2.0}),
    ];
    assert_eq!(buckets["buckets"], json!(expected));
    let short = format!("/api/v1/buckets?{CHANNEL}&count=500&from={}&to=2026-01-01T00:00:00.010Z", at(0));
    assert_eq!(
        site.get(&short).await.good()["buckets"].as_array().map(Vec::len),
        Some(10),
        "none is below a millisecond"
    );
}

#[tokio::test]
async fn channels_and_latest_values_come_in_pages() {
    let site = Site::open().await;
    let names: Vec<String> = (0..5).map(|number| format!("f{number}")).collect();
    let readings: Vec<_> =
        names.iter().map(|name| loggerhead_model::Reading { function: name, ..reading(0, "1") }).collect();
    site.store(packet("d", &readings)).await;
    for (path, list) in [("/api/v1/channels", "channels"), ("/api/v1/latest", "readings")] {
        let (mut functions, mut after) = (Vec::new(), String::new());
        loop {
            let page = site.get(&format!("{path}?limit=2{after}")).await.good();
            functions.extend(page[list].as_array().expect("a list").iter().map(|row| row["function"].clone()));
            let Some(next) = page["next"].as_u64() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(json!(functions), json!(names), "{path}");
    }
}

#[tokio::test]
async fn a_different_value_for_the_same_moment_is_a_conflict() {
    let site = Site::open().await;
    site.store(packet("d", &[reading(0, "1.0"), reading(1, "2.0")])).await;
    site.store(packet("d", &[reading(0, "1.0"), reading(1, "3.0")])).await;
    let conflicts = site.get("/api/v1/conflicts?device=d").await.good();
    let rows = conflicts["conflicts"].as_array().expect("a list");
    assert_eq!(rows.len(), 1, "{conflicts}");
    assert_eq!((&rows[0]["first"], &rows[0]["text"]), (&json!("2.0"), &json!("3.0")));
    let status = site.get("/api/v1/status").await.good();
    assert_eq!((&status["store"]["readings"], &status["store"]["conflicts"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn events_are_filtered_and_come_in_pages() {
    let site = Site::open().await;
    for number in 0..5 {
        let mut records = packet("d", &[reading(number, "1")]);
        records.events = vec![event("d", EventKind::UnknownMessage, "one"), event("e", EventKind::DeviceInfo, "two")];
        site.store(records).await;
    }
    for sort in ["oldest", "newest"] {
        let (mut numbers, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/events?kind=unknown-message&severity=warning&sort={sort}&limit=2{after}");
            let page = site.get(&path).await.good();
            for event in page["events"].as_array().expect("a list") {
                assert_eq!((&event["device"], &event["text"]), (&json!("d"), &json!("one")));
                numbers.push(event["number"].as_u64().expect("a number"));
            }
            let Some(next) = page["next"].as_u64() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(numbers.len(), 5, "{sort}");
        assert!(
            numbers.is_sorted_by(|one, other| if sort == "oldest" { one < other } else { one > other }),
            "{numbers:?}"
        );
    }
    assert_eq!(site.get("/api/v1/events?severity=error").await.good()["events"], json!([]));
}

#[tokio::test]
async fn frames_come_back_as_hex() {
    let site = Site::open().await;
    for number in 0..3_u8 {
        let mut records = packet("d", &[reading(i64::from(number), "1")]);
        records.frame = Some(RawFrame { direction: Direction::In, bytes: vec![0x68, number, 0xff].into() });
        site.store(records).await;
    }
    let page = site.get("/api/v1/devices/d/frames?sort=oldest&limit=2").await.good();
    assert_eq!(page["frames"][0]["hex"], "6800ff");
    let next = page["next"].as_u64().expect("a next page");
    let rest = site.get(&format!("/api/v1/devices/d/frames?sort=oldest&limit=2&after={next}")).await.good();
    assert_eq!((&rest["frames"][0]["hex"], &rest["next"]), (&json!("6802ff"), &Json::Null));
}
