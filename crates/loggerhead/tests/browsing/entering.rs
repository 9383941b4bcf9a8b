//! Who is let in, by the form, and what roles see.

use serde_json::{Value, json};

use super::browser::Browser;
use super::{PASSWORD, head_end, signed_in};
use crate::support::Api;

/// Asks the API from within a page: the status of the answer.
const ASK: &str = "fetch(...args).then((answer) => answer.status)";

#[test]
fn a_wrong_password_a_missing_mark_and_a_small_role_are_refused() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    let browser = Browser::start(&head_end.api_address());
    browser.open("/devices");
    assert_eq!(browser.value("location.pathname"), "/login", "nobody sees anything before");
    browser.enter("#name", "viewer");
    browser.enter("#password", "wrong horse battery");
    browser.click("main form button");
    browser.wait_text("[role=alert]", "password");
    browser.value("document.getElementById('password').value = ''");
    browser.enter("#password", PASSWORD);
    browser.click("main form button");
    browser.wait("location.pathname === '/devices'");

    let order =
        json!({"method": "POST", "headers": {"content-type": "application/json"}, "body": "{\"order\":\"describe\"}"});
    let commands = json!("/api/v1/devices/330302D110-06/commands");
    let unmarked = browser.promised(ASK, &[commands.clone(), order.clone()]);
    assert_eq!(unmarked, 403, "a cookie alone changes nothing");
    let mark = browser.value("document.querySelector('meta[name=csrf-token]').content");
    let mut marked = order;
    let headers = marked.pointer_mut("/headers").and_then(Value::as_object_mut).expect("it has headers");
    headers.insert("x-csrf-token".to_owned(), mark);
    assert_eq!(browser.promised(ASK, &[commands, marked]), 403, "a viewer sends no commands");
    assert_eq!(browser.count("a[href='/setup/access']"), 0, "nor is shown who may do what");
    for page in ["/setup/access", "/setup/audit", "/setup/add"] {
        assert_eq!(browser.promised(ASK, &[json!(page)]), 403, "{page}");
    }
    browser.open("/");
    browser.click("[data-sign-out]");
    browser.wait("location.pathname === '/login'");
    assert!(head_end.stop().success());
}

#[test]
fn accounts_and_tokens_are_made_changed_and_ended_in_the_console() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = head_end(directory.path());
    let browser = signed_in(&head_end, "admin");
    browser.open("/setup");
    browser.click("a[href='/setup/access']");
    browser.enter("#new-name", "ada");
    browser.enter("#new-password", PASSWORD);
    browser.click("#new-account button");
    browser.wait("document.querySelector('tr[data-key=\"ada\"]')");
    browser.click("tr[data-key=ada] summary");
    browser.click("tr[data-key=ada] select option[value=operator]");
    browser.click("tr[data-key=ada] form[data-api^=PATCH] button");
    browser.wait("document.querySelector('tr[data-key=\"ada\"]').dataset.role === 'operator'");

    browser.enter("#token-name", "billing");
    browser.click("#new-token button");
    browser.wait("document.getElementById('made-secret').textContent.length > 20");
    let secret = browser.text("#made-secret");
    let api = Api::Tcp(head_end.api_address(), Some(secret));
    assert_eq!(api.get("/api/v1/devices").status, 200);
    browser.wait_text("#tokens tbody", "billing");
    browser.click("#tokens tbody form button");
    browser.agree();
    browser.wait("!document.querySelector('#tokens tbody tr')");
    assert_eq!(api.get("/api/v1/devices").status, 401, "a revoked token opens nothing");
    browser.click("tr[data-key=ada] form[data-api^=DELETE] button");
    browser.agree();
    browser.wait("!document.querySelector('tr[data-key=\"ada\"]')");

    browser.open("/setup/audit");
    for target in ["ada operator", "1 billing viewer", "1 billing"] {
        browser.wait_text("#audit tbody", target);
    }
    super::assert_quiet(&browser);
    assert!(head_end.stop().success());
}
