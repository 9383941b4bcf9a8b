//! Who may ask, what is refused, and how it is said.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};

use super::{Site, TOKEN, tcp};
use crate::FAILURES_MAX;
use crate::access::Caller;

fn with_token(token: &str) -> Request<Body> {
    Request::get("/api/v1/devices")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty())
        .expect("a request")
}

#[tokio::test]
async fn over_tcp_nothing_is_answered_without_the_token() {
    let site = Site::open().await;
    for path in ["/api/v1/devices", "/healthz", "/readyz", "/metrics", "/api/v1/openapi.json", "/api/nowhere"] {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = site.ask(tcp(1), request).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::UNAUTHORIZED, "unauthorized"), "{path}");
        assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE));
    }
    assert_eq!(site.ask(tcp(1), with_token("wrong")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.ask(tcp(1), with_token(TOKEN)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn wrong_tokens_are_throttled_by_address() {
    let site = Site::open().await;
    for _ in 0..FAILURES_MAX {
        assert_eq!(site.ask(tcp(1), with_token("wrong")).await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = site.ask(tcp(1), with_token(TOKEN)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "throttled"));
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(site.ask(tcp(2), with_token(TOKEN)).await.status, StatusCode::OK, "another address is heard");
    let metrics = site.get("/metrics").await.text;
    assert!(metrics.contains(&format!("loggerhead_api_wrong_tokens_total {FAILURES_MAX}\n")), "{metrics}");
    assert!(metrics.contains("loggerhead_api_throttled_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_a_problem_with_a_remedy() {
    let site = Site::open().await;
    let cases = [
        (Method::GET, "/nowhere", "unknown-path"),
        (Method::GET, "/api/v1/../../etc/passwd", "unknown-path"),
        (Method::PUT, "/api/v1/devices", "wrong-method"),
        (Method::GET, "/api/v1/devices/nobody", "unknown-device"),
        (Method::DELETE, "/api/v1/devices/nobody", "unknown-device"),
        (Method::GET, "/api/v1/devices/nobody/frames", "unknown-device"),
        (Method::GET, "/api/v1/devices/nobody/sent", "unknown-device"),
        (Method::GET, "/api/v1/channels?device=nobody", "unknown-device"),
        (Method::GET, "/api/v1/latest?device=nobody", "unknown-device"),
        (Method::GET, "/api/v1/events?device=nobody", "unknown-device"),
        (Method::GET, "/api/v1/conflicts?device=nobody", "unknown-device"),
        (Method::GET, "/api/v1/commands?device=nobody", "unknown-device"),
        (Method::GET, "/api/v1/devices/a%2Fb", "bad-request"),
        (Method::GET, "/api/v1/devices?limit=0", "bad-request"),
        (Method::GET, "/api/v1/devices?limit=1001", "bad-request"),
        (Method::GET, "/api/v1/devices?colour=red", "bad-request"),
        (Method::GET, "/api/v1/devices?presence=asleep", "bad-request"),
        (Method::GET, "/api/v1/events?kind=party", "bad-request"),
        (Method::GET, "/api/v1/readings?device=d", "bad-request"),
        (Method::GET, "/api/v1/readings?device=d&meter=m&function=f", "unknown-channel"),
        (Method::GET, "/api/v1/readings?device=d&meter=m&function=f&from=2026-01-02&to=2026-01-01", "bad-request"),
        (Method::GET, "/api/v1/readings?device=d&meter=m&function=f&from=yesterday", "bad-request"),
        (Method::GET, "/api/v1/buckets?device=d&meter=m&function=f&count=8001", "bad-request"),
        (Method::GET, "/api/v1/commands/17", "unknown-command"),
        (Method::GET, "/api/v1/commands/x", "bad-request"),
        (Method::GET, "/api/v1/commands?state=tired", "bad-request"),
        (Method::GET, "/api/v1/live?kinds=gossip", "bad-request"),
        (Method::GET, "/api/v1/live?from=x", "bad-request"),
        (Method::GET, "/api/v1/problems/none", "unknown-path"),
        (Method::GET, "/assets/0/console.css", "unknown-path"),
        (Method::GET, "/assets/../../../etc/passwd", "unknown-path"),
        (Method::GET, "/assets/0/%ff", "bad-request"),
        (Method::POST, "/api/v1/devices", "not-json"),
    ];
    for (method, path, expected) in cases {
        let answer = site.method(method, path).await;
        assert_eq!(answer.problem(), expected, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_body_is_bounded_and_must_fit() {
    let site = Site::open().await;
    let post = |body: String| {
        let request = Request::post("/api/v1/devices").header(header::CONTENT_TYPE, "application/json");
        site.ask(Caller::Socket, request.body(Body::from(body)).expect("a request"))
    };
    let large = format!("{{\"protocol\":\"{}\"}}", "x".repeat(crate::BODY_BYTES_MAX));
    assert_eq!(post(large).await.problem(), "body-too-large");
    assert_eq!(post("{".to_owned()).await.problem(), "bad-request");
    assert_eq!(
        post("{\"protocol\":\"logger\",\"identity\":\"a/b\",\"colour\":1}".to_owned()).await.problem(),
        "bad-request"
    );
}

#[tokio::test]
async fn every_kind_of_problem_is_described_where_its_type_says() {
    let site = Site::open().await;
    let problems = site.get("/api/v1/problems").await.good();
    for problem in problems["problems"].as_array().expect("a list") {
        let described = site.get(problem["type"].as_str().expect("a path")).await.good();
        assert_eq!(&described, problem);
    }
}

#[tokio::test]
async fn readiness_has_its_reasons() {
    let site = Site::open().await;
    assert_eq!(site.get("/healthz").await.text, "live\n");
    let answer = site.get("/readyz").await;
    assert_eq!((answer.status, answer.json()["ready"].as_bool()), (StatusCode::OK, Some(true)));
    site.headend.shutdown(super::PATIENCE).await;
    let answer = site.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.json()["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty()), "{answer:?}");
}

#[tokio::test]
async fn the_status_names_listeners_and_store() {
    let site = Site::open().await;
    let status = site.get("/api/v1/status").await.good();
    assert_eq!(status["listeners"][0]["name"], "loggers");
    assert!(status["listeners"][0]["address"].as_str().is_some_and(|address| address.starts_with("unix:")));
    assert_eq!(status["store"]["writable"], true);
    assert_eq!(status["devices"]["states"]["never"], 0);
}

#[tokio::test]
async fn metrics_are_well_formed() {
    let site = Site::open().await;
    site.store(super::packet("d", &[super::reading(0, "1.50")])).await;
    let answer = site.get("/metrics").await;
    assert_eq!(answer.headers.get(header::CONTENT_TYPE).expect("a type"), "text/plain; version=0.0.4; charset=utf-8");
    let mut family = "";
    for line in answer.text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().expect("a name");
        } else if !line.starts_with('#') {
            assert!(!family.is_empty() && line.starts_with(family), "{line} stands below {family}");
            assert!(line.rsplit(' ').next().is_some_and(|value| value.parse::<f64>().is_ok()), "{line}");
        }
    }
    assert!(answer.text.contains("loggerhead_store_readings_total 1\n"), "{}", answer.text);
    assert!(answer.text.contains("loggerhead_ack_seconds_bucket{protocol=\"logger\",le=\"+Inf\"} 0\n"));
}
