use std::time::Duration;

use super::House;
use crate::encoding::Encoding;
use crate::pair::{Fate, Happening};

#[test]
fn a_login_is_answered_with_what_the_account_has_and_its_last_login() {
    let mut house = House::with("");
    let line = house.open();
    for wrong in ["u1|wrong", "nobody|a|b", "u1", "", "c1|k1|"] {
        assert_eq!(house.ask(line, &format!("Login {wrong}")), ["LoginError 用户名或者密码错误!"], "{wrong}");
    }
    assert!(house.pair.is_open(line), "it may try again");
    assert_eq!(house.ask(line, "Login u1|a|b"), ["LoginOk 0||"], "the first login has none before it");
    house.wait(Duration::from_secs(61));
    let other = house.open();
    assert_eq!(house.ask(other, "Login u1|a|b"), ["LoginOk 0|2026-01-01 08:00:00|192.0.2.1"]);
    assert!(house.pair.is_open(line), "phone and PC are both there");
}

#[test]
fn a_last_login_is_shown_in_the_time_of_the_listener_and_outlives_the_process() {
    let mut house = House::with("utc_offset_min = -90");
    house.app("u1", "a|b");
    house.kill();
    let line = house.open();
    assert_eq!(house.ask(line, "Login u1|a|b"), ["LoginOk 0|2025-12-31 22:30:00|192.0.2.1"]);
}

#[test]
fn who_guesses_is_closed_and_so_is_who_does_not_log_in() {
    let mut house = House::with("logins_max = 3");
    let (guesses, silent) = (house.open(), house.open());
    for _ in 0..3 {
        assert!(house.pair.is_open(guesses));
        house.ask(guesses, "Login u1|wrong");
    }
    assert!(!house.pair.is_open(guesses));
    house.wait(Duration::from_mins(1));
    assert!(!house.pair.is_open(silent));
}

#[test]
fn before_the_login_other_commands_are_told_to_log_in() {
    for (settings, stays) in [("", true), ("close_before_login = true", false)] {
        let mut house = House::with(settings);
        let line = house.open();
        assert_eq!(house.ask(line, "UploadCaramer c1|k1|1|1"), ["LoginError 请先登录"]);
        assert_eq!(house.pair.is_open(line), stays);
    }
}

#[test]
fn a_camera_does_not_log_in_as_an_account_nor_an_account_as_a_camera() {
    let mut house = House::with("");
    let phone = house.app("u2", "pw2");
    let logins = |house: &House| house.pair.happenings().filter(|what| matches!(what, Happening::Accepted(_))).count();
    let line = house.open();
    assert_eq!(house.ask(line, "Login c1|k1"), ["LoginError 用户名或者密码错误!"]);
    assert_eq!(house.ask(line, "CreatDataSocket c1|k1"), ["LoginError 用户名或者密码错误!"]);
    assert_eq!(house.ask(line, "CameraLogin u2|pw2"), ["CameraLoginError 用户名或者密码错误!"]);
    assert_eq!(logins(&house), 1, "nobody but the phone, so no camera is shown as connected");
    assert!(house.pair.is_open(line) && house.pair.is_open(phone), "it may try again, and nobody's place was taken");
}

#[test]
fn a_reply_has_the_spelling_of_the_request() {
    let settings = "aliases = { 1 = 'Login', 2 = 'LoginOk' }";
    let mut house = House::speaking(Encoding::Utf8, settings);
    let line = house.open();
    assert_eq!(house.ask(line, "CheckCaramerOnlineStatus c1"), ["LoginError 请先登录"]);
    for (key, reply) in [
        ("SocketCommand.LoginCommand.Login", "SocketCommand.LoginCommand.LoginOk"),
        ("logincommand.LOGIN", "LoginCommand.LoginOk"),
        ("login", "LoginOk"),
        ("1", "2"),
    ] {
        let heard = house.ask(line, &format!("{key} u1|a|b"));
        assert!(heard[0].starts_with(&format!("{reply} 0|")), "{heard:?}");
    }
    assert_eq!(
        house.ask(line, "1 u1|wrong"),
        ["SocketCommand.LoginCommand.LoginError 用户名或者密码错误!"],
        "what has no alias is written in full"
    );
}

#[test]
fn unknown_commands_are_counted_and_have_no_answer_and_too_many_close() {
    let mut house = House::with("unknown_max = 3");
    let line = house.app("u1", "a|b");
    for alive in ["", "HB R", "Nothing", "Close x"] {
        assert_eq!(house.ask(line, alive), [""; 0], "{alive}");
        assert!(house.pair.is_open(line));
    }
    house.say(line, "SocketCommand");
    assert!(!house.pair.is_open(line));
    assert_eq!(house.pair.happenings().filter(|what| matches!(what, Happening::Fault(_))).count(), 3);
}

#[test]
fn a_heartbeat_is_one_whatever_parts_its_words() {
    for separator in [" ", ":", "|", "#"] {
        let mut house = House::with(&format!("unknown_max = 1\nkey_separator = '{separator}'"));
        let line = house.open();
        for beat in ["HB R".to_owned(), format!("hb{separator}R"), String::new()] {
            assert_eq!(house.ask(line, &beat), [""; 0], "{beat}");
        }
        let heard = house.ask(line, &format!("Login{separator}u1|a|b"));
        assert_eq!(heard, [format!("LoginOk{separator}0||")], "and neither counted nor closed");
    }
}

#[test]
fn a_login_that_the_store_does_not_keep_is_no_login() {
    let mut house = House::with("");
    house.pair.fate = Fate::Fail;
    let line = house.open();
    assert_eq!(house.ask(line, "Login u1|a|b"), ["LoginError 保存失败，请稍后再试"]);
    assert!(!house.pair.is_open(line));
}

#[test]
fn a_command_that_is_too_long_closes_the_connection() {
    let mut house = House::with("frame_bytes_max = 256");
    let line = house.app("u1", "a|b");
    house.pair.send(line, &[b'x'; 300]);
    assert!(!house.pair.is_open(line));
}

/// A login, an upload and a download, as bytes, cut into pieces.
fn conversation(encoding: Encoding, settings: &str, piece_bytes: usize) -> Vec<u8> {
    let mut house = House::speaking(encoding, settings);
    house.pair.wire.piece_bytes_max = piece_bytes;
    let line = house.open();
    let mut bytes = Vec::new();
    let said = "Login u1|a|b\r\nUploadCaramer 东|k3|1|2\r\nUploadCaramer 东|wrong|2|2\r\nDownLoadCaramer 0\r\n\
                CheckCaramerOnlineStatus 东;x\r\nCreatDataSocket u1|a|b\r\n";
    encoding.encode(said, &mut bytes);
    house.pair.send(line, &bytes);
    house.pair.take_received(line).to_vec()
}

#[test]
fn a_conversation_is_the_same_in_both_encodings_and_however_it_is_split() {
    let expected = "LoginOk 0||\r\nUploadSucess 东|null|1|2\r\nUploadFail 东|ID和密码不匹配|2|2\r\n\
                    DownloadSucess 东|k3|null|1|1\r\nReturnCaramerOnlineStatus 东;null|x;null\r\nReturnDataSocketPort \r\n";
    for (encoding, settings) in [(Encoding::Utf8, ""), (Encoding::Gbk, "encoding = 'gbk'")] {
        let mut bytes = Vec::new();
        encoding.encode(expected, &mut bytes);
        for piece_bytes in [1, 2, 3, 7, 1_000] {
            assert_eq!(conversation(encoding, settings, piece_bytes), bytes, "in pieces of {piece_bytes}");
        }
    }
}

#[test]
fn text_is_decoded_before_it_is_split_since_a_bar_may_be_half_a_character() {
    let mut house = House::speaking(Encoding::Gbk, "encoding = 'gbk'\nreply_names = 'short'");
    let line = house.app("u1", "a|b");
    // In GBK 東 is 96 7C, whose second byte alone is a bar.
    assert_eq!(house.ask(line, "UploadCaramer 東|p|1|1"), ["UploadFail 東|ID和密码不匹配|1|1"]);
}
