use std::time::Duration;

use super::House;
use crate::pair::Fate;

#[test]
fn a_list_goes_up_and_comes_down_over_a_data_connection_until_the_numbers_meet() {
    let mut house = House::with("");
    let line = house.app("u1", "a|b");
    let data = house.data(line, "u1|a|b");
    assert_eq!(house.ask(data, "UploadCaramer c1|k1|1|2"), ["UploadSucess c1|null|1|2"]);
    assert_eq!(house.ask(data, "UploadCaramer c2|k|2|2|2"), ["UploadSucess c2|null|2|2"]);
    let data = house.data(line, "u1|a|b");
    assert_eq!(house.ask(data, "DownLoadCaramer 0"), ["DownloadSucess c1|k1|null|1|2"]);
    assert_eq!(house.ask(data, "DownLoadCaramer 1"), ["DownloadSucess c2|k|2|null|2|2"]);
    assert!(house.ask(line, "Login u1|a|b")[0].starts_with("LoginOk 2|"));
}

#[test]
fn a_data_connection_belongs_to_whose_credentials_asked_for_it_even_before_a_login() {
    let mut house = House::with("");
    let line = house.open();
    house.pair.ports = vec![20_000];
    assert_eq!(house.ask(line, "CreatDataSocket u2|wrong"), ["LoginError 用户名或者密码错误!"]);
    let data = house.data(line, "u2|pw2");
    assert_eq!(house.ask(data, "UploadCaramer c1|k1|1|1"), ["UploadSucess c1|null|1|1"]);
    assert_eq!(house.ask(data, "CheckCaramerOnlineStatus c1"), [""; 0], "states are for the main connection");
    let app = house.app("u1", "a|b");
    assert_eq!(house.ask(app, "DownLoadCaramer 0"), ["DownloadFail 该账号没有绑定摄像头"], "it is the other's");
    house.wait(Duration::from_mins(1));
    assert!(!house.pair.is_open(data), "an idle data connection ends");
}

#[test]
fn without_a_free_port_the_answer_is_empty_with_its_separator() {
    let mut house = House::with("");
    let line = house.app("u1", "a|b");
    assert_eq!(house.ask(line, "CreatDataSocket u1|a|b"), ["ReturnDataSocketPort "]);
}

#[test]
fn a_wrong_password_and_numbers_that_lie_fail_with_what_was_sent() {
    let mut house = House::with("cameras_per_account_max = 10");
    let line = house.app("u1", "a|b");
    for (sent, reply) in [
        ("c1|wrong|1|1", "c1|ID和密码不匹配|1|1"),
        ("nobody|k1|1|1", "nobody|ID和密码不匹配|1|1"),
        ("u2|pw2|1|1", "u2|ID和密码不匹配|1|1"),
        ("c1|k1|0|1", "c1|参数错误|0|1"),
        ("c1|k1|2|1", "c1|参数错误|2|1"),
        ("c1|k1|1|11", "c1|参数错误|1|11"),
        ("c1|k1|x|99999999999999999999", "c1|参数错误|x|99999999999999999999"),
        ("c1|k1", "c1|参数错误||k1"),
        ("", "|参数错误||"),
    ] {
        assert_eq!(house.ask(line, &format!("UploadCaramer {sent}")), [format!("UploadFail {reply}")], "{sent}");
    }
    for sent in ["1", "-1", "x", "99999999999999999999"] {
        assert_eq!(house.ask(line, &format!("DownLoadCaramer {sent}")), ["DownloadFail 参数错误"], "{sent}");
    }
}

#[test]
fn a_camera_has_a_limit_of_accounts_and_binding_it_again_is_no_second_one() {
    let mut house = House::with("accounts_per_camera_max = 1\ncameras_per_account_max = 1");
    let (one, two) = (house.app("u1", "a|b"), house.app("u2", "pw2"));
    for _ in 0..2 {
        assert_eq!(house.ask(one, "UploadCaramer c1|k1|1|1"), ["UploadSucess c1|null|1|1"]);
    }
    assert_eq!(house.ask(two, "UploadCaramer c1|k1|1|1"), ["UploadFail c1|该摄像头绑定账号已满|1|1"]);
    assert_eq!(house.ask(one, "UploadCaramer c2|k|2|1|1"), ["UploadFail c2|该账号绑定摄像头已满|1|1"]);
}

#[test]
fn a_download_goes_on_with_the_list_as_it_was_at_its_beginning() {
    let mut house = House::with("");
    let (line, other) = (house.app("u1", "a|b"), house.app("u1", "a|b"));
    house.say(line, "UploadCaramer c1|k1|1|2");
    house.say(line, "UploadCaramer 东|k3|2|2");
    house.hear(line);
    assert_eq!(house.ask(line, "DownLoadCaramer 0"), ["DownloadSucess c1|k1|null|1|2"]);
    house.say(other, "UploadCaramer c2|k|2|1|1");
    assert_eq!(house.ask(line, "DownLoadCaramer 1"), ["DownloadSucess 东|k3|null|2|2"]);
    assert_eq!(house.ask(line, "DownLoadCaramer 0"), ["DownloadSucess c1|k1|null|1|3"]);
}

#[test]
fn what_was_answered_is_there_after_a_kill_and_no_password_stands_in_the_store() {
    let mut house = House::with("");
    let line = house.app("u1", "a|b");
    house.say(line, "UploadCaramer c2|k|2|1|1");
    assert!(house.notes.values().all(|value| !value.windows(3).any(|bytes| bytes == b"k|2")));
    house.kill();
    let line = house.open();
    assert!(house.ask(line, "Login u1|a|b")[0].starts_with("LoginOk 1|"));
    assert_eq!(house.ask(line, "DownLoadCaramer 0"), ["DownloadSucess c2|k|2|null|1|1"]);
}

#[test]
fn what_the_store_does_not_keep_is_not_bound() {
    let mut house = House::with("");
    let line = house.app("u1", "a|b");
    house.pair.fate = Fate::Fail;
    assert_eq!(house.ask(line, "UploadCaramer c1|k1|1|1"), ["UploadFail c1|保存失败，请稍后再试|1|1"]);
    assert_eq!(house.ask(line, "DownLoadCaramer 0"), ["DownloadFail 该账号没有绑定摄像头"]);
    house.pair.fate = Fate::Commit;
    assert_eq!(house.ask(line, "UploadCaramer c1|k1|1|1"), ["UploadSucess c1|null|1|1"]);
}

#[test]
fn ack_waits_for_commit() {
    let mut house = House::with("");
    let line = house.app("u1", "a|b");
    house.pair.fate = Fate::Hold;
    assert_eq!(house.ask(line, "UploadCaramer c1|k1|1|1"), [""; 0]);
    house.pair.release(Fate::Commit);
    assert_eq!(house.hear(line), ["UploadSucess c1|null|1|1"]);
}

#[test]
fn a_binding_whose_connection_ends_before_the_commit_is_stored_by_the_steward() {
    let mut house = House::with("");
    let line = house.app("u1", "a|b");
    house.pair.fate = Fate::Hold;
    house.say(line, "UploadCaramer c1|k1|1|1");
    house.pair.hang_up(line);
    house.wait(Duration::from_secs(10));
    house.pair.fate = Fate::Commit;
    let line = house.app("u1", "a|b");
    assert_eq!(house.ask(line, "DownLoadCaramer 0"), ["DownloadSucess c1|k1|null|1|1"]);
}
