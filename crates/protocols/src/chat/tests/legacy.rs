//! Older clients, byte for byte. Source: \[1\] §2.6.

use std::time::Duration;

use serde_json::json;

use super::{House, pairs, said, upgrade};

/// 2026-01-01T00:00:00Z where the clocks are eight hours ahead.
const STAMP: &str = "2026年01月01日 08:00:00:000";

fn stamped(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| format!("{STAMP}{part}")).collect()
}

fn response(target: &str, more: &str, is_plain: bool) -> String {
    let mut house = House::new();
    let line = house.pair.connect();
    let plain = format!("GET {target} HTTP/1.1\r\nHost: here\r\n\r\n");
    let request = if is_plain { plain } else { upgrade(target, more) };
    house.pair.send(line, request.as_bytes());
    house.pair.run_for(Duration::ZERO);
    assert!(!house.pair.is_open(line));
    String::from_utf8(house.pair.take_received(line).to_vec()).expect("text")
}

#[test]
fn everybody_hears_everything_also_the_one_who_says_it() {
    let mut house = House::new();
    let one = house.open("/Home/MyWebSocket?name=1");
    assert_eq!(house.hear(one), stamped(&["1:进入聊天室"]));
    let other = house.open("/HOME/MYWEBSOCKET?name=%E7%94%B2");
    assert_eq!(house.hear(one), stamped(&["甲:进入聊天室"]));
    assert_eq!(house.hear(other), stamped(&["甲:进入聊天室"]));
    house.write(one, "hello");
    for line in [one, other] {
        assert_eq!(house.hear(line), stamped(&["1:hello"]));
    }
    house.write(other, "HB R");
    assert_eq!(house.hear(other), ["R"]);
    house.pair.send(other, &[0x88, 0x80, 0, 0, 0, 0]);
    house.pair.run_for(Duration::ZERO);
    assert_eq!(house.closed(other), Some(1000));
    assert_eq!(house.hear(one), stamped(&["甲:离开聊天室"]));
}

#[test]
fn what_was_said_while_away_comes_once_and_again_only_where_it_was_not_received() {
    let mut house = House::new();
    let one = house.open("/Home/MyWebSocket?name=1");
    house.hear(one);
    let two = house.open("/Home/MyWebSocket?name=2");
    house.hear(two);
    house.pair.hang_up(two);
    house.write(one, "a");
    house.write(one, "b");
    // Two messages of one person never have one time.
    let missed =
        [&stamped(&["1:a"])[..], &["2026年01月01日 08:00:00:0011:b".to_owned()], &stamped(&["2:进入聊天室"])].concat();
    let deaf = house.open("/Home/MyWebSocket?name=2");
    assert_eq!(house.hear_silently(deaf), missed);
    house.pair.hang_up(deaf);
    let two = house.open("/Home/MyWebSocket?name=2");
    assert_eq!(house.hear(two), missed);
    house.pair.hang_up(two);
    let two = house.open("/Home/MyWebSocket?name=2");
    assert_eq!(house.hear(two), stamped(&["2:进入聊天室"]));
}

#[test]
fn older_and_newer_clients_share_a_room_and_their_messages() {
    let mut house = House::new();
    let one = house.open("/Home/MyWebSocket?name=1");
    house.hear(one);
    let two = house.person("2");
    house.ask(two, &json!({"type": "join", "room": "lobby"}));
    house.say(two, &json!({"room": "lobby"}), "a:b\n<i>");
    house.say(two, &json!({"to": "1"}), "only you");
    assert_eq!(house.hear(one)[1..], [format!("{STAMP}2:a:b\n<i>"), "only you".to_owned()]);
    house.write(one, "yes");
    assert_eq!(said(&house.told(two)), pairs(&[("1", "yes")]));
    // It was received, which the pong said.
    let history = house.ask(two, &json!({"type": "history", "with": "1"}));
    assert_eq!(history[0]["messages"][0]["state"], json!("confirmed"));
}

#[test]
fn texts_can_be_for_one_alone() {
    let mut house = House::with("legacy_texts = 'direct'");
    let one = house.open("/Home/MyWebSocket?name=1");
    house.hear(one);
    let two = house.open("/Home/MyWebSocket?name=2");
    house.hear(two);
    house.write(one, "2:a:b");
    house.write(one, "2;你好");
    house.write(one, "for nobody");
    house.write(one, "3:later");
    assert_eq!(house.hear(two), ["a:b", "你好"]);
    let three = house.open("/Home/MyWebSocket?name=3");
    assert_eq!(house.hear(three)[0], "later");
}

#[test]
fn words_and_clock_are_as_set() {
    let mut house = House::with("legacy_colon = '：'\nutc_offset_min = 0\nheartbeat = 'hb'\nheartbeat_answer = 'ok'");
    let one = house.open("/Home/MyWebSocket?name=1");
    assert_eq!(house.hear(one), ["2026年01月01日 00:00:00:0001：进入聊天室"]);
    house.write(one, "hb");
    assert_eq!(house.hear(one), ["ok"]);
}

#[test]
fn who_may_not_connect_is_told_by_the_status() {
    let plain = response("/Home/MyWebSocket?name=1", "", true);
    assert!(plain.starts_with("HTTP/1.1 200 ") && plain.ends_with("\r\n\r\n我不处理"), "{plain}");
    for (target, more, status) in [
        ("/Home/MyWebSocket", "", "400"),
        ("/Home/MyWebSocket?name=%ff", "", "400"),
        ("/Home/MyWebSocket?name=nobody", "", "403"),
        ("/Home/MyWebSocket?name=1", "Origin: http://elsewhere\r\n", "403"),
        ("/chat", "Origin: http://elsewhere\r\n", "403"),
        ("/elsewhere", "", "404"),
    ] {
        let response = response(target, more, false);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {response}");
    }
    assert!(response("/chat", "", true).starts_with("HTTP/1.1 426 "));
}
