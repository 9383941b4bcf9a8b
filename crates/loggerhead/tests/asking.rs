//! The API of a running head-end, over its private socket and over TCP.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{Api, HeadEnd, LOGGERS, Simulation, loggerhead, metric, outcome, simulate};

/// The token of the API's TCP address.
const TOKEN: &str = "a-token-of-this-test-alone";

/// Starts a head-end whose API listens on TCP as well.
fn with_tcp(directory: &std::path::Path) -> (HeadEnd, String) {
    let file = directory.join("token");
    std::fs::write(&file, TOKEN).expect("a directory of this test");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    let api = format!("[web]\naddress = \"127.0.0.1:0\"\ntoken_file = {:?}\n{LOGGERS}", file.display().to_string());
    let head_end = HeadEnd::start(directory, &api);
    let tcp = head_end.api_address();
    (head_end, tcp)
}

#[test]
fn health_and_metrics_say_how_it_is() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    simulate(&head_end.address(), &["--loggers", "2", "--packets", "3", "--dialect", "national,plain"]);
    let api = Api::Unix(head_end.data());
    for path in ["/healthz", "/readyz"] {
        let answer = api.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let metrics = api.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: text/plain"), "{}", metrics.head);
    assert_eq!(metric(&metrics.body, "loggerhead_store_up"), 1);
    assert!(metric(&metrics.body, "loggerhead_ack_seconds_count") >= 6, "{}", metrics.body);
    for line in metrics.body.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap_or_default();
        assert!(value.parse::<f64>().is_ok(), "a sample has a number: {line}");
    }
    assert!(head_end.stop().success());
}

#[test]
fn what_was_sent_can_be_asked_for() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    let load = ["--packets", "60", "--meters", "1", "--functions", "1", "--start", "2026-01-31T00:00:00Z"];
    simulate(&head_end.address(), &load);
    let api = Api::Unix(head_end.data());
    let list = |path: &str, key: &str| -> Vec<Value> {
        let answer = api.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json().get(key).and_then(Value::as_array).unwrap_or_else(|| panic!("{path}: no {key}")).clone()
    };
    assert_eq!(list("/api/v1/devices?search=330302D110-01", "devices").len(), 1);
    assert_eq!(list("/api/v1/channels?device=330302D110-01", "channels").len(), 1);
    assert_eq!(list("/api/v1/latest?device=330302D110-01", "readings").len(), 1);
    let span = "device=330302D110-01&meter=1&function=1&from=2026-01-31&to=2026-02-01";
    let readings = list(&format!("/api/v1/readings?{span}"), "readings");
    assert_eq!(readings.len(), 60);
    let buckets = list(&format!("/api/v1/buckets?{span}&count=24"), "buckets");
    let counted: u64 = buckets.iter().filter_map(|bucket| bucket.get("count")?.as_u64()).sum();
    assert_eq!((buckets.len(), counted), (24, 60), "{buckets:?}");
    let frames = list("/api/v1/devices/330302D110-01/frames?limit=100", "frames");
    assert!(frames.len() >= 60, "{}", frames.len());

    let unknown = api.get("/api/v1/devices/nobody");
    assert_eq!(unknown.status, 404);
    assert!(unknown.head.contains("application/problem+json"), "{}", unknown.head);
    assert!(unknown.json().get("remedy").is_some_and(Value::is_string), "{unknown:?}");
    assert_eq!(api.get("/api/v1/devices?sarch=x").status, 400, "an unknown parameter is not ignored");
    assert_eq!(api.ask("POST", "/api/v1/devices", "", "{").status, 400);
    assert!(head_end.stop().success());
}

#[test]
fn over_tcp_everything_needs_the_token() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let (head_end, address) = with_tcp(directory.path());
    let (right, none) = (Api::Tcp(address.clone(), Some(TOKEN.to_owned())), Api::Tcp(address.clone(), None));
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/devices"] {
        let refused = none.get(path);
        assert_eq!(refused.status, 401, "{path}: {refused:?}");
        assert!(refused.head.contains("www-authenticate: bearer"), "{path}: {refused:?}");
        assert_eq!(right.get(path).status, 200, "{path}");
    }
    let file = directory.path().join("token").display().to_string();
    let listed = outcome(&["device", "list", "--json", "--address", &address, "--token-file", &file]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));

    // Somebody who guesses is soon not heard any more, not even with the right one.
    let guess = Api::Tcp(address, Some("a-guess-that-is-wrong".to_owned()));
    let statuses: Vec<u16> = std::iter::repeat_with(|| guess.get("/api/v1/devices").status).take(40).collect();
    assert!(statuses.starts_with(&[401]), "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    let unheard = right.get("/healthz");
    assert!(unheard.status == 429 && unheard.head.contains("retry-after"), "{unheard:?}");
    // The private socket stands for itself.
    assert_eq!(Api::Unix(head_end.data()).get("/healthz").status, 200);
    assert!(head_end.stop().success());
}

#[test]
fn the_api_of_a_head_end_is_private() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&head_end.data()), 0o700);
    assert_eq!(mode(&head_end.data().join("api.sock")) & 0o077, 0, "nobody else may open it");
    let data = head_end.data();
    assert!(head_end.stop().success());
    let ask = ["command", "330302D110-06", "list", "--data"];
    let gone = loggerhead().args(ask).arg(&data).output().expect("the binary was built");
    assert_eq!(gone.status.code(), Some(4), "{}", String::from_utf8_lossy(&gone.stderr));
}

#[test]
fn a_live_stream_goes_on_where_it_was_left() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    let api = Api::Unix(head_end.data());
    let load = ["--meters", "1", "--functions", "2", "--rate", "200", "--window", "4", "--seconds", "3600"];
    let mut simulation = Simulation::start(&head_end.address(), &load);
    let path = "/api/v1/live?kinds=readings&device=330302D110-01";
    let mut live = api.live(&format!("{path}&from=0"), "");
    let mut seen: Vec<_> = std::iter::repeat_with(|| live.next("readings")).take(5).collect();
    drop(live);
    // What is sent while nobody listens is not missed.
    simulation.wait_acknowledged(100);
    let left = seen.last().expect("five messages").id.clone();
    let mut live = api.live(path, &format!("Last-Event-ID: {left}\r\n"));
    seen.extend(std::iter::repeat_with(|| live.next("readings")).take(60));
    drop(live);
    simulation.finish();

    let mut whole = api.live(&format!("{path}&from=0"), "");
    for message in seen {
        assert_eq!(whole.next("readings"), message, "once and in order, however often the reader came back");
    }
    assert!(head_end.stop().success());
}

#[test]
fn a_live_stream_says_who_comes_and_goes() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = HeadEnd::start(directory.path(), LOGGERS);
    let mut live = Api::Unix(head_end.data()).live("/api/v1/live?kinds=presence,events", "");
    simulate(&head_end.address(), &["--packets", "1"]);
    let word = |value: &Value| {
        let found = value.pointer("/presence/state").or_else(|| value.pointer("/state"));
        found.and_then(Value::as_str).unwrap_or_else(|| panic!("no state in {value}")).to_owned()
    };
    let mut states = vec![word(&live.next("presence").data)];
    while states.last().is_some_and(|state| state != "offline") {
        states.push(word(&live.next("presence").data));
    }
    assert!(states.iter().any(|state| state == "connected-fresh"), "{states:?}");
    assert!(head_end.stop().success());
}
