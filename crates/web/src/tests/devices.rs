//! Devices and commands, as an operator works with them.

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::Site;

fn tower(number: u32) -> Value {
    json!({
        "id": format!("tower-{number}"),
        "protocol": "logger",
        "identity": format!("330302D110/{number:02}"),
        "secret": "text:IJKLMNOPQRSTUVWX",
    })
}

#[tokio::test]
async fn a_device_is_added_shown_and_removed() {
    let site = Site::open().await;
    let added = site.post("/api/v1/devices", &tower(1)).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    assert_eq!(added.headers.get(header::LOCATION).expect("a place"), "/api/v1/devices/tower-1");
    assert!(!added.text.contains("IJKLMNOPQRSTUVWX"), "a secret never comes back");
    let shown = site.get("/api/v1/devices/tower-1").await.good();
    assert_eq!((&shown["state"], &shown["source"]), (&json!("active"), &json!("operator")));
    assert_eq!(shown["presence"]["state"], "never");
    assert_eq!(site.get("/api/v1/devices/tower-1/presence").await.good(), shown["presence"]);
    assert_eq!(site.post("/api/v1/devices", &tower(1)).await.problem(), "taken");
    assert_eq!(site.post("/api/v1/devices/tower-1/accept", &json!({})).await.problem(), "not-pending");
    let removed = site.method(Method::DELETE, "/api/v1/devices/tower-1").await;
    assert_eq!((removed.status, removed.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(site.get("/api/v1/devices/tower-1").await.problem(), "unknown-device");
}

#[tokio::test]
async fn a_device_that_cannot_be_is_refused() {
    let site = Site::open().await;
    for (field, value) in [
        ("protocol", json!("telepathy")),
        ("secret", json!("IJKLMNOPQRSTUVWX")),
        ("secret", json!("hex:0")),
        ("id", json!("a/b")),
        ("identity", json!("")),
        ("login", json!("never")),
        ("settings", json!({"colour": "red"})),
        ("settings", json!({"crc": null})),
    ] {
        let mut device = tower(1);
        device[field] = value;
        let answer = site.post("/api/v1/devices", &device).await;
        assert_eq!(answer.problem(), "bad-request", "{device}");
        assert!(!answer.text.contains("IJKLMNOPQRSTUVWX"), "{answer:?}");
    }
    assert_eq!(site.get("/api/v1/devices").await.good()["total"], 0);
}

#[tokio::test]
async fn pages_of_devices_join_without_a_hole_or_a_double() {
    let site = Site::open().await;
    for number in 0..7 {
        site.post("/api/v1/devices", &tower(number)).await.good();
    }
    let (mut ids, mut path) = (Vec::new(), "/api/v1/devices?limit=3&presence=never".to_owned());
    loop {
        let page = site.get(&path).await.good();
        assert_eq!(page["total"], 7);
        ids.extend(page["devices"].as_array().expect("a list").iter().map(|device| device["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/devices?limit=3&presence=never&after={next}");
    }
    assert_eq!(ids, (0..7).map(|number| json!(format!("tower-{number}"))).collect::<Vec<_>>());
    assert_eq!(site.get("/api/v1/devices?search=ER-3").await.good()["total"], 1);
    assert_eq!(site.get("/api/v1/devices?search=d110/04").await.good()["total"], 1);
    assert_eq!(site.get("/api/v1/devices?state=pending").await.good()["total"], 0);
    assert_eq!(site.get("/api/v1/presence").await.good()["states"]["never"], 7);
}

#[tokio::test]
async fn pages_are_counted_sorted_and_filtered_by_the_server() {
    let site = Site::open().await;
    for number in 0..7 {
        let mut device = tower(number);
        if number % 2 == 1 {
            device["site"] = json!("North Tower");
        }
        site.post("/api/v1/devices", &device).await.good();
    }
    let page = async |query: &str| {
        let page = site.get(&format!("/api/v1/devices?{query}")).await.good();
        let ids = page["devices"].as_array().expect("a list").iter().filter_map(|device| device["id"].as_str());
        let numbers: Vec<_> = ids.map(|id| id.trim_start_matches("tower-").to_owned()).collect();
        (numbers.join(""), page["total"].as_u64().expect("a count"), page["pages"].as_u64().expect("a count"))
    };
    assert_eq!(page("limit=3&page=2").await, ("345".to_owned(), 7, 3));
    assert_eq!(page("limit=3&page=4").await, (String::new(), 7, 3));
    assert_eq!(page("sort=identity&order=descending&limit=3").await, ("654".to_owned(), 7, 3));
    assert_eq!(page("sort=site&limit=4").await, ("0246".to_owned(), 7, 2));
    assert_eq!(page("site=North%20Tower").await, ("135".to_owned(), 3, 1));
    assert_eq!(page("site=330302D110&search=-4").await, ("4".to_owned(), 1, 1));
    assert_eq!(page("search=north%20t&order=descending").await, ("531".to_owned(), 3, 1));
    for bad in ["page=0", "page=1&after=tower-1", "sort=readings&after=tower-1", "sort=colour", "order=up", "page=-1"] {
        assert_eq!(site.get(&format!("/api/v1/devices?{bad}")).await.problem(), "bad-request", "{bad}");
    }
    let sites = site.get("/api/v1/sites").await.good();
    let count = |place: usize| {
        (sites["sites"][place]["site"].clone(), sites["sites"][place]["devices"]["states"]["never"].clone())
    };
    assert_eq!((count(0), count(1)), ((json!("330302D110"), json!(4)), (json!("North Tower"), json!(3))));
    assert_eq!(site.get("/api/v1/sites?search=TOWER&limit=1").await.good()["total"], 1);
    assert_eq!(site.get("/api/v1/devices/tower-1").await.good()["site"], "North Tower");
    let mut bad = tower(9);
    bad["site"] = json!("a\nb");
    assert_eq!(site.post("/api/v1/devices", &bad).await.problem(), "bad-request");
}

#[tokio::test]
async fn a_command_is_taken_and_its_key_never_shown() {
    let site = Site::open().await;
    assert_eq!(
        site.post("/api/v1/devices/tower-1/commands", &json!({"order": "describe"})).await.problem(),
        "unknown-device"
    );
    site.post("/api/v1/devices", &tower(1)).await.good();
    let given = site.post("/api/v1/devices/tower-1/commands", &json!({"order": "period", "minutes": 5})).await;
    assert_eq!(given.status, StatusCode::ACCEPTED, "{given:?}");
    let place = given.headers.get(header::LOCATION).and_then(|place| place.to_str().ok()).expect("a place").to_owned();
    let shown = site.get(&place).await.good();
    assert_eq!((&shown["state"], &shown["order"]["minutes"]), (&json!("accepted"), &json!(5)));
    let span = json!({"order": "query", "from": "2026-01-01T00:00:00+08:00", "to": "2026-01-02"});
    let queried = site.post("/api/v1/devices/tower-1/commands", &span).await.good();
    assert_eq!(queried["order"]["from"], "2025-12-31T16:00:00Z");
    let key = json!({"order": "set-key", "kind": "login", "key": "0123456789abcdef"});
    assert!(!site.post("/api/v1/devices/tower-1/commands", &key).await.text.contains("0123456789abcdef"));
    let list = site.get("/api/v1/commands?device=tower-1&state=accepted").await;
    assert!(!list.text.contains("0123456789abcdef"));
    assert_eq!(list.json()["commands"].as_array().map(Vec::len), Some(3));
    for bad in [
        json!({"order": "period", "minutes": 0}),
        json!({"order": "period", "minutes": 10000}),
        json!({"order": "query", "from": "2026-01-02", "to": "2026-01-01"}),
        json!({"order": "query", "from": "2026-01-02"}),
        json!({"order": "control", "lines": []}),
        json!({"order": "dance"}),
    ] {
        assert_eq!(site.post("/api/v1/devices/tower-1/commands", &bad).await.problem(), "bad-request", "{bad}");
    }
}
