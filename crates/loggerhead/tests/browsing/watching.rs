//! The page of cameras: what apps and cameras do is seen as it happens, and an operator takes a camera from an account.

use serde_json::json;

use super::{CONSOLE, OTHERS, assert_quiet, signed_in, with_accounts};
use crate::support::{Api, HeadEnd};
use crate::watching::Line;

#[test]
fn cameras_accounts_bindings_and_alarms_are_seen_as_they_come_and_a_binding_is_removed() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = with_accounts(HeadEnd::start(directory.path(), &format!("{CONSOLE}{OTHERS}")));
    let browser = signed_in(&head_end, "operator");
    browser.open("/cameras");
    browser.wait("document.getElementById('connection').dataset.state === 'live'");
    browser.wait_text("#cameras tr[data-key=front-door]", "Unknown");
    browser.wait_text("#alarms", "No camera has raised an alarm");
    let mut app = Line::open(head_end.addresses_of("cameras").first().expect("the listener listens"));
    assert_eq!(app.ask("Login anna|123456"), "LoginOk 0||");
    assert_eq!(app.ask("UploadCaramer front-door|123456|1|1"), "UploadSucess front-door|null|1|1");
    let mut camera = Line::open(head_end.addresses_of("cameras").first().expect("the listener listens"));
    assert_eq!(camera.ask("CameraLogin front-door|123456"), "CameraLoginOk ");
    browser.wait_text("#cameras tr[data-key=front-door]", "Online");
    browser.wait_text("#cameras tr[data-key=front-door] .chips", "anna");
    let alarm = json!({"alarm": "<b>motion</b>"}).to_string();
    let raised = Api::Unix(head_end.data()).ask("POST", "/api/v1/cameras/front-door/alarms", "", &alarm);
    assert_eq!(raised.status, 204, "{raised:?}");
    browser.wait_text("#alarms tbody tr", "<b>motion</b>");
    browser.wait_text("#cameras tr[data-key=front-door]", "<b>motion</b>");
    browser.wait_text("#accounts tr[data-key=anna]", "127.0.0.1");
    assert_eq!(browser.violations(), [""; 0]);
    browser.picture("cameras-live");
    browser.click("#cameras tr[data-key=front-door] form button");
    browser.agree();
    browser.wait("!document.querySelector('#cameras .chips li')");
    drop(camera);
    browser.wait_text("#cameras tr[data-key=front-door]", "Offline");
    browser.open("/preferences?language=zh&next=/cameras");
    browser.wait_text("#cameras tr[data-key=front-door]", "\u{79bb}\u{7ebf}");
    browser.wait_text("#alarms h2", "\u{62a5}\u{8b66}");
    assert_eq!(browser.violations(), [""; 0]);
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}
