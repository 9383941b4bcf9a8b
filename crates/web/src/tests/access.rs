//! Signing in, roles, tokens, what browsers are made to send, and what the audit log says of it.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use loggerhead_model::{EventKind, Role, Timestamp};
use serde_json::{Value as Json, json};

use super::{Answer, Site, packet, reading, tcp};
use crate::access::{Caller, Link};
use crate::state::now;
use crate::{FAILURES_MAX, SESSION_IDLE_MAX, SESSION_MAX};

const PASSWORD: &str = "correct horse battery";

/// A browser: its cookie, and what its pages know.
struct Browser<'a> {
    site: &'a Site,
    cookie: String,
    csrf: String,
    caller: Caller,
}

fn request(method: Method, path: &str, body: &Json) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "a.example");
    if body.is_null() { request } else { request.header(header::CONTENT_TYPE, "application/json") }
}

fn filled(body: &Json) -> Body {
    if body.is_null() { Body::empty() } else { Body::from(body.to_string()) }
}

/// Asks without anything that proves who asks.
async fn ask(site: &Site, caller: Caller, method: Method, path: &str, body: Json) -> Answer {
    site.ask(caller, request(method, path, &body).body(filled(&body)).expect("a request")).await
}

async fn sign_in(site: &Site, caller: Caller, name: &str, password: &str) -> Answer {
    ask(site, caller, Method::POST, "/api/v1/session", json!({ "name": name, "password": password })).await
}

/// The cookie that an answer sets.
fn cookie(answer: &Answer) -> String {
    let set = answer.headers.get(header::SET_COOKIE).expect("a cookie").to_str().expect("text");
    set.split(';').next().expect("a pair").to_owned()
}

impl<'a> Browser<'a> {
    fn entered(site: &'a Site, caller: Caller, answer: Answer) -> Self {
        let cookie = cookie(&answer);
        let csrf = answer.good()["csrf"].as_str().expect("text").to_owned();
        Self { site, cookie, csrf, caller }
    }

    async fn sign_in(site: &'a Site, name: &str) -> Self {
        let answer = sign_in(site, tcp(7), name, PASSWORD).await;
        Self::entered(site, tcp(7), answer)
    }

    async fn ask(&self, method: Method, path: &str, body: Json) -> Answer {
        let request =
            request(method, path, &body).header(header::COOKIE, &self.cookie).header("x-csrf-token", &self.csrf);
        self.site.ask(self.caller, request.body(filled(&body)).expect("a request")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, Json::Null).await
    }
}

/// Adds an account by the private socket.
async fn add(site: &Site, name: &str, role: Role) {
    let account = json!({ "name": name, "role": role.word(), "password": PASSWORD });
    let answer = site.post("/api/v1/accounts", &account).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
}

async fn audit(site: &Site, action: &str) -> Vec<Json> {
    let list = site.get(&format!("/api/v1/audit?action={action}")).await.good();
    list["entries"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn the_first_account_is_made_once_by_the_printed_link() {
    let site = Site::open().await;
    let link = site.api.book().link(Link::Setup);
    let set_up = |link: &str, name: &str, password: &str| {
        let body = json!({ "link": link, "name": name, "password": password });
        ask(&site, tcp(1), Method::POST, "/api/v1/setup", body)
    };
    assert_eq!(set_up("wrong", "ada", PASSWORD).await.problem(), "wrong-link");
    assert_eq!(set_up(link.expose(), "ada", "short").await.problem(), "bad-request");
    let ada = Browser::entered(&site, tcp(1), set_up(link.expose(), "ada", PASSWORD).await);
    assert_eq!(ada.get("/api/v1/me").await.good()["role"], "admin");
    assert_eq!(set_up(link.expose(), "eve", PASSWORD).await.problem(), "wrong-link");
    let second = site.api.book().link(Link::Setup);
    assert_eq!(set_up(second.expose(), "eve", PASSWORD).await.problem(), "wrong-link", "there is an account");
}

#[tokio::test]
async fn a_link_signs_in_once() {
    let site = Site::open().await;
    site.api.book().add_account("demo", Role::Admin, None).await.expect("added");
    let link = site.api.book().link(Link::SignIn("demo".to_owned()));
    let enter = || ask(&site, tcp(1), Method::POST, "/api/v1/session/link", json!({ "link": link.expose() }));
    assert_eq!(enter().await.good()["name"], "demo");
    assert_eq!(enter().await.problem(), "wrong-link");
    assert_eq!(sign_in(&site, tcp(1), "demo", "").await.problem(), "wrong-password", "no password opens it");
}

#[tokio::test]
async fn a_sign_in_holds_until_it_is_ended() {
    let site = Site::open().await;
    add(&site, "ada", Role::Admin).await;
    let (one, other) = (Browser::sign_in(&site, "ada").await, Browser::sign_in(&site, "ada").await);
    assert_eq!(one.get("/api/v1/sessions").await.good()["sessions"].as_array().map(Vec::len), Some(2));
    let gone = one.ask(Method::DELETE, "/api/v1/session", Json::Null).await;
    assert!(gone.headers.get(header::SET_COOKIE).is_some_and(|set| set.to_str().expect("text").contains("Max-Age=0")));
    assert_eq!(one.get("/api/v1/me").await.problem(), "unauthorized", "the cookie alone opens nothing");
    let sessions = other.get("/api/v1/sessions").await.good();
    let id = sessions["sessions"][0]["id"].as_str().expect("a name").to_owned();
    assert_eq!(sessions["sessions"][0]["own"], true);
    let ended = other.ask(Method::DELETE, &format!("/api/v1/sessions/{id}"), Json::Null).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(other.get("/api/v1/me").await.problem(), "unauthorized");
}

#[tokio::test]
async fn a_sign_in_ends_when_it_is_not_used_and_at_its_time() {
    let site = Site::open().await;
    add(&site, "ada", Role::Viewer).await;
    let browser = Browser::sign_in(&site, "ada").await;
    let secret = browser.cookie.split_once('=').expect("a pair").1;
    let begun = now();
    let later =
        |time: Duration| Timestamp::from_unix_ms(begun.unix_ms() + i64::try_from(time.as_millis()).expect("days"));
    let holds = async |time: Duration| site.api.book().by_cookie(secret, later(time)).await.is_some();
    // Used every half of the time, it holds until it is a week old.
    let mut time = Duration::ZERO;
    while time + SESSION_IDLE_MAX / 2 < SESSION_MAX {
        assert!(holds(time).await, "after {time:?}");
        time += SESSION_IDLE_MAX / 2;
    }
    assert!(!holds(SESSION_MAX).await);
    assert_eq!(browser.get("/api/v1/me").await.problem(), "unauthorized", "it does not come back");
    let idle = Browser::sign_in(&site, "ada").await;
    let secret = idle.cookie.split_once('=').expect("a pair").1;
    assert!(site.api.book().by_cookie(secret, later(SESSION_IDLE_MAX + Duration::from_mins(1))).await.is_none());
    assert_eq!(idle.get("/api/v1/me").await.problem(), "unauthorized");
}

#[tokio::test]
async fn a_new_password_ends_what_the_old_one_began() {
    let site = Site::open().await;
    add(&site, "ada", Role::Viewer).await;
    let (one, other) = (Browser::sign_in(&site, "ada").await, Browser::sign_in(&site, "ada").await);
    let change = |old: &str, new: &str| one.ask(Method::POST, "/api/v1/me/password", json!({ "old": old, "new": new }));
    assert_eq!(change("wrong", "another password").await.problem(), "wrong-password");
    assert_eq!(change(PASSWORD, "short").await.problem(), "bad-request");
    let renewed = Browser::entered(&site, tcp(7), change(PASSWORD, "another password").await);
    assert_eq!(renewed.get("/api/v1/me").await.status, StatusCode::OK);
    assert_eq!(other.get("/api/v1/me").await.problem(), "unauthorized");
    assert_eq!(sign_in(&site, tcp(7), "ada", PASSWORD).await.problem(), "wrong-password");
}

#[tokio::test]
async fn a_role_may_what_its_routes_say_and_no_more() {
    let site = Site::open().await;
    for role in Role::ALL {
        add(&site, role.word(), role).await;
    }
    site.post("/api/v1/devices", &json!({ "id": "d", "protocol": "logger", "identity": "a/b", "secret": "text:x" }))
        .await;
    let asked = [
        (Role::Viewer, Method::GET, "/api/v1/devices", Json::Null),
        (Role::Operator, Method::POST, "/api/v1/devices/d/commands", json!({ "order": "describe" })),
        (Role::Admin, Method::GET, "/api/v1/audit", Json::Null),
        (Role::Admin, Method::GET, "/api/v1/accounts", Json::Null),
    ];
    for role in Role::ALL {
        let browser = Browser::sign_in(&site, role.word()).await;
        for (needed, method, path, body) in &asked {
            let answer = browser.ask(method.clone(), path, body.clone()).await;
            if role >= *needed {
                assert!(answer.status.is_success(), "{role:?} {path}: {answer:?}");
            } else {
                assert_eq!(answer.problem(), "forbidden", "{role:?} {path}");
            }
        }
    }
}

#[tokio::test]
async fn somebody_stays_administrator() {
    let site = Site::open().await;
    add(&site, "ada", Role::Admin).await;
    let account = "/api/v1/accounts/ada";
    let change = |body: Json| {
        let body_text = body.to_string();
        let request =
            Request::patch(account).header(header::CONTENT_TYPE, "application/json").body(Body::from(body_text));
        site.ask(Caller::Socket, request.expect("a request"))
    };
    assert_eq!(change(json!({ "role": "viewer" })).await.problem(), "last-admin");
    assert_eq!(site.method(Method::DELETE, account).await.problem(), "last-admin");
    add(&site, "bob", Role::Admin).await;
    assert_eq!(change(json!({ "role": "viewer" })).await.good()["role"], "viewer");
    assert_eq!(site.method(Method::DELETE, account).await.status, StatusCode::NO_CONTENT);
    assert_eq!(site.method(Method::DELETE, account).await.problem(), "unknown-account");
}

#[tokio::test]
async fn a_foreign_page_cannot_use_a_cookie() {
    let site = Site::open().await;
    add(&site, "ada", Role::Admin).await;
    let browser = Browser::sign_in(&site, "ada").await;
    let with = |pairs: &[(&str, &str)]| {
        let mut request =
            request(Method::DELETE, "/api/v1/session", &Json::Null).header(header::COOKIE, &browser.cookie);
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        site.ask(tcp(7), request.body(Body::empty()).expect("a request"))
    };
    let csrf = ("x-csrf-token", browser.csrf.as_str());
    assert_eq!(with(&[]).await.problem(), "foreign-page");
    assert_eq!(with(&[("x-csrf-token", &"0".repeat(64))]).await.problem(), "foreign-page");
    for origin in ["http://evil.example", "null", "https://a.example", "http://a.example.evil"] {
        assert_eq!(with(&[csrf, ("origin", origin)]).await.problem(), "foreign-page", "{origin}");
    }
    assert_eq!(with(&[csrf, ("sec-fetch-site", "cross-site")]).await.problem(), "foreign-page");
    assert_eq!(with(&[csrf, ("origin", "http://a.example")]).await.status, StatusCode::NO_CONTENT);
    let forged = request(Method::POST, "/api/v1/session", &json!({})).header("origin", "http://evil.example");
    let forged = site.ask(tcp(7), forged.body(filled(&json!({}))).expect("a request")).await;
    assert_eq!(forged.problem(), "foreign-page", "nobody is signed in by a foreign page");
}

#[tokio::test]
async fn a_forged_cookie_is_nobody() {
    let site = Site::open().await;
    add(&site, "ada", Role::Admin).await;
    let real = Browser::sign_in(&site, "ada").await;
    let zeros = format!("loggerhead={}", "0".repeat(64));
    let twice = format!("{}; {}", real.cookie, real.cookie);
    for cookie in ["loggerhead=", "loggerhead=ada", &zeros, &twice, "loggerhead=\u{e9}"] {
        let request = request(Method::GET, "/api/v1/me", &Json::Null).header(header::COOKIE, cookie.as_bytes());
        let answer = site.ask(tcp(7), request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.problem(), "unauthorized", "{cookie}");
    }
}

#[tokio::test]
async fn tries_are_throttled_by_address_and_by_account_and_tell_nothing() {
    let site = Site::open().await;
    add(&site, "ada", Role::Admin).await;
    let (known, unknown) = (sign_in(&site, tcp(1), "ada", "wrong").await, sign_in(&site, tcp(1), "eve", "wrong").await);
    assert_eq!((known.status, &known.text), (unknown.status, &unknown.text));
    // Each try takes its time, and on a slow machine the first are forgotten before the last: so many are enough.
    let most = 5 * u8::try_from(FAILURES_MAX).expect("small");
    let mut refused = None;
    for host in 10..10 + most {
        let answer = sign_in(&site, tcp(host), "ada", "wrong").await.problem();
        if answer == "throttled" {
            refused = Some(u32::from(host) - 10);
            break;
        }
        assert_eq!(answer, "wrong-password");
    }
    assert!(refused.is_some_and(|tries| tries >= FAILURES_MAX - 1), "the account, whoever tries: {refused:?}");
    assert_eq!(sign_in(&site, tcp(99), "ada", PASSWORD).await.problem(), "throttled", "the right password as well");
    let mut refused = false;
    for number in 0..most {
        refused |= sign_in(&site, tcp(1), &format!("name-{number}"), "wrong").await.problem() == "throttled";
        if refused {
            break;
        }
    }
    assert!(refused, "the address, whatever it tries");
}

#[tokio::test]
async fn a_right_password_is_not_counted() {
    let site = Site::open().await;
    add(&site, "ada", Role::Admin).await;
    for _ in 0..=FAILURES_MAX {
        assert_eq!(sign_in(&site, tcp(1), "ada", PASSWORD).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_token_opens_what_its_scope_and_devices_allow_until_it_is_revoked() {
    let site = Site::open().await;
    let made =
        site.post("/api/v1/tokens", &json!({ "name": "meter", "scope": "operate", "devices": ["d"] })).await.good();
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    let (id, devices) = (made["token"]["id"].as_u64().expect("a number"), &made["token"]["devices"]);
    assert_eq!(devices, &json!(["d"]));
    assert!(!site.get("/api/v1/tokens").await.text.contains(&secret), "shown once");
    let get = |path: &str| {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {secret}"));
        site.ask(tcp(3), request.body(Body::empty()).expect("a request"))
    };
    assert_eq!(get("/api/v1/devices/d").await.problem(), "unknown-device");
    site.store(packet("d", &[reading(0, "1.5")])).await;
    assert_eq!(get("/api/v1/latest?device=d").await.status, StatusCode::OK);
    let foreign = [
        "/api/v1/latest?device=e",
        "/api/v1/latest",
        "/api/v1/latest?device=d&device=e",
        "/api/v1/devices",
        "/api/v1/devices/e",
        "/api/v1/devices/d%2F..%2Fe",
        "/api/v1/status",
        "/api/v1/accounts",
    ];
    for path in foreign {
        assert_eq!(get(path).await.problem(), "forbidden", "{path}");
    }
    let ended = site.method(Method::DELETE, &format!("/api/v1/tokens/{id}")).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(get("/api/v1/latest?device=d").await.problem(), "unauthorized");
}

#[tokio::test]
async fn every_change_and_every_sign_in_is_in_the_audit_log_without_secrets() {
    let site = Site::open().await;
    add(&site, "ada", Role::Admin).await;
    sign_in(&site, tcp(1), "ada", "wrong password").await;
    sign_in(&site, tcp(1), "not a name", "wrong password").await;
    let ada = Browser::sign_in(&site, "ada").await;
    let device = json!({ "id": "d", "protocol": "logger", "identity": "a/b", "secret": "text:geheim" });
    ada.ask(Method::POST, "/api/v1/devices", device).await;
    let token = ada.ask(Method::POST, "/api/v1/tokens", json!({ "name": "t", "scope": "read" })).await.good();
    let added = audit(&site, "account.add").await;
    assert_eq!((added[0]["who"].as_str(), added[0]["target"].as_str()), (Some("local"), Some("ada admin")));
    let signed: Vec<_> = audit(&site, "sign-in").await;
    let outcomes: Vec<_> = signed.iter().map(|line| (line["who"].as_str(), line["outcome"].as_str())).collect();
    let refused = Some("refused: wrong name or password");
    assert_eq!(outcomes, [(Some("ada"), Some("done")), (Some("?"), refused), (Some("ada"), refused)]);
    assert_eq!(signed[0]["peer"], "192.0.2.7");
    assert_eq!(audit(&site, "device.add").await[0]["outcome"], "done");
    ada.ask(Method::DELETE, "/api/v1/devices/nobody", Json::Null).await;
    assert_eq!(audit(&site, "device.remove").await[0]["outcome"], "refused: 404");
    let all = site.get("/api/v1/audit").await.text;
    let secret = token["secret"].as_str().expect("a secret");
    for secret in ["geheim", "wrong password", PASSWORD, secret, &ada.csrf] {
        assert!(!all.contains(secret), "{all}");
    }
}

#[tokio::test]
async fn an_event_is_acknowledged_by_who_asks() {
    let site = Site::open().await;
    site.store(loggerhead_model::Records {
        events: vec![super::event("d", EventKind::UnknownMessage, "odd")],
        ..super::packet("d", &[])
    })
    .await;
    let events = site.get("/api/v1/events?device=d&acknowledged=false").await.good();
    let number = events["events"][0]["number"].as_u64().expect("a number");
    let path = format!("/api/v1/events/{number}/acknowledge");
    let event = site.post(&path, &json!({ "note": "<b>seen</b>" })).await.good();
    assert_eq!(
        (event["acknowledged"]["by"].as_str(), &event["acknowledged"]["note"]),
        (Some("local"), &json!("<b>seen</b>"))
    );
    assert_eq!(site.get("/api/v1/events?device=d&acknowledged=false").await.good()["events"], json!([]));
    assert_eq!(site.get("/api/v1/events?device=d&acknowledged=true").await.good()["events"][0]["number"], number);
    assert_eq!(site.post("/api/v1/events/999999/acknowledge", &json!({})).await.problem(), "unknown-event");
    assert_eq!(site.post(&path, &json!({ "note": "x".repeat(1001) })).await.problem(), "bad-request");
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let site = Site::open().await;
    for path in ["/api/v1/devices", "/api/nowhere", "/metrics"] {
        let headers = site.get(path).await.headers;
        for (name, part) in [
            ("content-security-policy", "frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert!(
                headers.get(name).is_some_and(|value| value.to_str().expect("text").contains(part)),
                "{path} {name}"
            );
        }
    }
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_led_to_where_that_is_done() {
    let site = Site::open().await;
    let answer = ask(&site, tcp(1), Method::GET, "/some/page?a=b&c=//d", Json::Null).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.headers[header::LOCATION], "/login?next=/some/page%3Fa%3Db%26c%3D//d");
}

#[tokio::test]
async fn a_websocket_is_opened_by_pages_of_this_server_only() {
    let site = Site::open().await;
    add(&site, "ada", Role::Viewer).await;
    let browser = Browser::sign_in(&site, "ada").await;
    let open = |origin: Option<&str>| {
        let mut asked = request(Method::GET, "/api/v1/live/ws", &Json::Null).header(header::COOKIE, &browser.cookie);
        asked = asked.header(header::UPGRADE, "websocket");
        if let Some(origin) = origin {
            asked = asked.header(header::ORIGIN, origin);
        }
        site.ask(tcp(7), asked.body(Body::empty()).expect("a request"))
    };
    for origin in [None, Some("http://evil.example"), Some("null")] {
        assert_eq!(open(origin).await.problem(), "foreign-page", "{origin:?}");
    }
    assert_eq!(open(Some("http://a.example")).await.problem(), "bad-request", "it is let through to the handshake");
}

#[tokio::test]
async fn a_live_stream_ends_with_the_token_that_opened_it() {
    let site = Site::open().await;
    let made = site.post("/api/v1/tokens", &json!({ "name": "t", "scope": "read" })).await.good();
    let secret = made["secret"].as_str().expect("a secret");
    let request = Request::get("/api/v1/live?kinds=presence").header(header::AUTHORIZATION, format!("Bearer {secret}"));
    let stream = site.ask(tcp(3), request.body(Body::empty()).expect("a request"));
    let revoke = async { site.method(Method::DELETE, "/api/v1/tokens/1").await };
    let (stream, revoked) = tokio::join!(stream, revoke);
    assert_eq!((stream.status, revoked.status), (StatusCode::OK, StatusCode::NO_CONTENT));
    assert!(stream.text.starts_with("id: "), "{}", stream.text);
}
