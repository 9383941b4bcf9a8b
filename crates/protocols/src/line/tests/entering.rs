use std::time::Duration;

use super::House;
use crate::CloseReason;
use crate::pair::Happening;

#[test]
fn a_password_is_checked_and_nothing_tells_an_unknown_name_from_a_wrong_one() {
    let mut house = House::new();
    let line = house.open();
    for request in ["Check 1 wrong", "Check nobody 123456", "Check 1 123456 7", "Check", "Check 1\u{7}x 123456"] {
        assert_eq!(house.ask(line, request), ["参数错误"], "{request:?}");
    }
    assert_eq!(house.ask(line, "HB R"), ["请先登录以后,再操作。。。"]);
    assert_eq!(house.ask(line, "Check 1 123456"), ["登录成功"]);
}

#[test]
fn who_guesses_is_closed_after_some_tries() {
    let mut house = House::new();
    let line = house.open();
    for _ in 0..5 {
        assert!(house.pair.is_open(line));
        house.ask(line, "Check 1 wrong");
    }
    assert!(!house.pair.is_open(line));
}

#[test]
fn a_second_login_on_the_same_connection_throws_nobody_out() {
    let mut house = House::new();
    let line = house.user("1");
    assert_eq!(house.ask(line, "Check 1 123456"), ["登录成功"]);
    assert_eq!(house.ask(line, "HB R"), ["R"]);
    assert_eq!(house.ask(line, "Check 1 wrong"), ["参数错误"]);
    assert_eq!(house.ask(line, "HB R"), ["R"], "a login that fails changes nothing");
    // Under another name it is the other one, and the first one is gone.
    assert_eq!(house.ask(line, "Check 2 123456"), ["登录成功"]);
    assert_eq!(house.ask(line, "Chat 1 x"), ["消息未发送成功"]);
    house.say(line, "Chat 2 y");
    assert_eq!(house.messages(line).0, ["2 给你发消息:y"]);
}

#[test]
fn an_older_connection_is_told_and_closed_and_the_newer_one_hears_everything() {
    let mut house = House::new();
    let older = house.user("1");
    let newer = house.user("1");
    house.expect(older, &["您的账号已经在他处登录,您已经被踢下线了"]);
    assert!(!house.pair.is_open(older));
    assert!(house.pair.happenings().any(|what| matches!(what, Happening::Closed(CloseReason::TakenOver))));
    let other = house.user("2");
    assert_eq!(house.ask(other, "Chat 1 x"), [""; 0]);
    assert_eq!(house.messages(newer).0, ["2 给你发消息:x"]);
}

#[test]
fn logins_that_are_interleaved_leave_one_of_each_name() {
    let mut house = House::new();
    let lines: Vec<_> = (0..4).map(|_| house.open()).collect();
    for &line in &lines {
        house.pair.send(line, b"Check 1 ");
    }
    for &line in &lines {
        house.pair.send(line, b"123456\r\n");
    }
    house.settle();
    let open: Vec<_> = lines.iter().filter(|line| house.pair.is_open(**line)).collect();
    assert_eq!(open, [&lines[3]]);
}

#[test]
fn who_does_not_log_in_is_closed_and_so_is_who_does_not_end_a_line() {
    let mut house = House::new();
    let (silent, slow) = (house.open(), house.open());
    house.send(slow, b"HB R\r\n");
    house.wait(Duration::from_mins(1));
    assert!(!house.pair.is_open(silent));
    assert!(house.pair.is_open(slow));
    house.wait(Duration::from_mins(1));
    assert!(!house.pair.is_open(slow));
    let user = house.user("1");
    house.send(user, b"HB R");
    house.wait(Duration::from_mins(1));
    assert!(!house.pair.is_open(user));
    let faults = house.pair.happenings().filter(|what| matches!(what, Happening::Fault(_)));
    assert_eq!(faults.count(), 1, "it is counted that a line had no end");
}

#[test]
fn an_idle_user_is_closed_in_time_or_never_as_it_is_set() {
    for (settings, stays) in [("", false), ("idle_s = 0", true)] {
        let mut house = House::with(settings);
        let line = house.user("1");
        house.wait(Duration::from_secs(299));
        assert!(house.pair.is_open(line));
        house.wait(Duration::from_secs(1));
        assert_eq!(house.pair.is_open(line), stays);
    }
}
