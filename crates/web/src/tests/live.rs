//! The live stream: nothing is missed, nothing is told twice.

use std::collections::VecDeque;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, header};
use futures_util::StreamExt;
use loggerhead_model::{EventKind, Records};
use serde_json::{Value, json};

use super::{PATIENCE, Site, event, packet, reading};
use crate::access::Caller;
use crate::live::{CATCH_UPS_MAX, Turn};

/// More sheets than wait for a reader.
const MORE_THAN_WAITS: i64 = 100;

/// A message of the stream.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    name: String,
    id: String,
    data: Value,
}

/// Reads messages as a browser does.
struct Reading {
    body: BodyDataStream,
    text: String,
    ready: VecDeque<Message>,
}

impl Reading {
    async fn begin(site: &Site, query: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(format!("/api/v1/live?{query}"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = site.send(Caller::Socket, request.body(Body::empty()).expect("a request")).await;
        assert_eq!(response.headers().get(header::CONTENT_TYPE).expect("a type"), "text/event-stream");
        let mut reading =
            Self { body: response.into_body().into_data_stream(), text: String::new(), ready: VecDeque::new() };
        assert_eq!(reading.next().await.expect("a start").name, "start");
        reading
    }

    async fn next(&mut self) -> Option<Message> {
        while self.ready.is_empty() {
            let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("in time")?;
            self.text.push_str(std::str::from_utf8(&chunk.expect("bytes")).expect("text"));
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let start = format!("{name}: ");
                    block.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
                };
                let data = serde_json::from_str(&field("data")).expect("JSON on one line");
                self.ready.push_back(Message { name: field("event"), id: field("id"), data });
                self.text = rest.to_owned();
            }
        }
        self.ready.pop_front()
    }

    async fn take(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        for _ in 0..count {
            messages.push(self.next().await.expect("a message"));
        }
        messages
    }
}

/// A packet with two events beside its readings.
fn full(number: i64) -> Records {
    let mut records = packet("d", &[reading(number, "1.5")]);
    records.events = vec![event("d", EventKind::UnknownMessage, "one"), event("d", EventKind::DeviceInfo, "two")];
    records
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let site = Site::open().await;
    for number in 0..4 {
        site.store(full(number)).await;
    }
    // The stream of one device: what the head-end says of itself comes when it wants.
    let query = "kinds=readings,events&device=d&from=0";
    let all = Reading::begin(&site, query, None).await.take(12).await;
    assert_eq!(all.iter().filter(|message| message.name == "readings").count(), 4);
    assert_eq!(all[0].data["readings"][0]["text"], "1.5");
    for (seen, message) in all.iter().enumerate() {
        let rest = Reading::begin(&site, query, Some(&message.id)).await.take(11 - seen).await;
        assert_eq!(rest, all[seen + 1..], "after {}", message.id);
    }
}

#[tokio::test]
async fn live_and_caught_up_are_the_same() {
    let site = Site::open().await;
    let mut live = Reading::begin(&site, "kinds=readings,events&device=d", None).await;
    let mut messages = Vec::new();
    for number in 0..3 {
        site.store(full(number)).await;
        messages.extend(live.take(3).await);
    }
    let caught_up = Reading::begin(&site, "kinds=readings,events&device=d&from=0", None).await.take(9).await;
    assert_eq!(messages, caught_up);
}

#[tokio::test]
async fn a_filter_lets_through_what_fits() {
    let site = Site::open().await;
    let mut live = Reading::begin(&site, "kinds=readings&device=d&function=f2", None).await;
    site.store(packet("e", &[reading(0, "1")])).await;
    site.store(full(1)).await;
    let wanted = loggerhead_model::Reading { function: "f2", ..reading(2, "7.0") };
    site.store(packet("d", &[reading(2, "2"), wanted])).await;
    let message = live.next().await.expect("a message");
    assert_eq!((message.name.as_str(), &message.data["device"]), ("readings", &json!("d")));
    assert_eq!(message.data["readings"].as_array().map(Vec::len), Some(1));
    assert_eq!(message.data["readings"][0]["text"], "7.0");
}

#[tokio::test]
async fn what_all_readings_of_a_packet_have_in_common_is_said_once() {
    let site = Site::open().await;
    let mut live = Reading::begin(&site, "kinds=readings&device=d", None).await;
    let other = loggerhead_model::Reading { function: "f2", code: "193", ..reading(1, "7.0") };
    site.store(packet("d", &[reading(1, "1.5"), other])).await;
    let mut data = live.next().await.expect("a message").data;
    for field in ["cursor", "received_at"] {
        assert!(data.as_object_mut().and_then(|data| data.remove(field)).is_some(), "{field}");
    }
    let expected = json!({
        "device": "d", "origin": "live", "measured_at": super::at(1).to_string(), "quality": "good", "coding": "01A10",
        "readings": [
            {"meter": "m1", "function": "f1", "value": 1.5, "text": "1.5", "code": "192"},
            {"meter": "m1", "function": "f2", "value": 7.0, "text": "7.0", "code": "193"},
        ],
    });
    assert_eq!(data, expected);
}

#[tokio::test]
async fn what_comes_within_a_moment_comes_in_one_piece() {
    let site = Site::open().await;
    let mut live = Reading::begin(&site, "kinds=readings,events&device=d", None).await;
    // A packet with two events is one commit.
    site.store(full(0)).await;
    let chunk = tokio::time::timeout(PATIENCE, live.body.next()).await.expect("in time").expect("it goes on");
    let text = String::from_utf8(chunk.expect("bytes").to_vec()).expect("text");
    assert_eq!(text.matches("\n\n").count(), 3, "{text}");
}

#[tokio::test]
async fn a_slow_reader_is_told_where_it_was_cut_and_catches_up() {
    let site = Site::open().await;
    let mut slow = Reading::begin(&site, "kinds=readings&device=d", None).await;
    let mut quick = Reading::begin(&site, "kinds=readings&device=d", None).await;
    // Every packet that another reader has seen was offered to the one that does not read, in a sheet of its own.
    for number in 0..MORE_THAN_WAITS {
        site.store(packet("d", &[reading(number, "1.5")])).await;
        quick.take(1).await;
    }
    let (mut moments, mut cuts) = (Vec::new(), Vec::new());
    while moments.len() < usize::try_from(MORE_THAN_WAITS).expect("small") {
        let message = slow.next().await.expect("a message");
        match message.name.as_str() {
            "readings" => moments.push(message.data["measured_at"].clone()),
            "cut" => cuts.push(message.id),
            other => panic!("{other}"),
        }
    }
    let expected: Vec<_> = (0..MORE_THAN_WAITS).map(|number| json!(super::at(number).to_string())).collect();
    assert_eq!(moments, expected);
    assert_eq!(cuts.len(), 1, "{cuts:?}");
}

#[tokio::test]
async fn whoever_reads_the_store_for_long_lets_another_go_on() {
    let site = Site::open().await;
    let mut turns = Vec::new();
    for _ in 0..CATCH_UPS_MAX {
        turns.push(site.api.press().turn().await);
    }
    let next = tokio::time::timeout(PATIENCE, site.api.press().turn()).await.expect("a turn ends by itself");
    assert!(turns.iter().any(Turn::is_over) && !next.is_over());
    drop((turns, next));
    for _ in 0..CATCH_UPS_MAX {
        drop(tokio::time::timeout(PATIENCE, site.api.press().turn()).await.expect("a turn is given back"));
    }
}

#[tokio::test]
async fn a_place_beyond_the_log_means_from_now() {
    let site = Site::open().await;
    site.store(full(0)).await;
    let mut live = Reading::begin(&site, "kinds=readings&device=d", Some("999999")).await;
    site.store(full(1)).await;
    let message = live.next().await.expect("a message");
    assert_eq!(message.data["measured_at"], super::at(1).to_string());
}

#[tokio::test]
async fn the_stream_ends_when_the_server_stops() {
    let site = Site::open().await;
    let mut live = Reading::begin(&site, "kinds=readings", None).await;
    site.stopping.cancel();
    assert_eq!(live.next().await, None);
}
