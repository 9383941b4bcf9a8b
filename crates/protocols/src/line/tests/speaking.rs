use loggerhead_model::Direction;

use super::House;
use crate::line::text::Encoding;
use crate::pair::{Fate, Happening, Wire};
use crate::vectors::bytes_of;

/// What a conversation before and at the login says, one line after another.
fn talk(house: &mut House) -> Vec<u8> {
    let line = house.connect();
    for request in ["HB R", "Nothing x", "", "Check 1", "Check  1   123456 ", "hb R", "HB r"] {
        house.say(line, request);
    }
    house.say(line, "Chat 3 x");
    let first = house.pair.take_received(line).to_vec();
    let other = house.connect();
    house.say(other, "Check 1 123456");
    [first, house.pair.take_received(line).to_vec()].concat()
}

#[test]
fn every_documented_reply_is_right_to_the_byte_in_both_encodings_and_spellings() {
    let ending = b"\r\n".to_vec();
    let expected = |comma: &str, encode: &dyn Fn(&str, &str) -> Vec<u8>| {
        let lines = [
            b"Welcome to SuperSocket Chat Server".to_vec(),
            encode("请先登录以后,再操作。。。", &format!("c7ebcfc8b5c7c2bcd2d4baf3{comma}d4d9b2d9d7f7a1a3a1a3a1a3")),
            encode("不知道如何处理 Nothing 命令", "b2bbd6aab5c0c8e7baceb4a6c0ed204e6f7468696e6720c3fcc1ee"),
            encode("不知道如何处理  命令", "b2bbd6aab5c0c8e7baceb4a6c0ed2020c3fcc1ee"),
            encode("参数错误", "b2cecafdb4edcef3"),
            encode("登录成功", "b5c7c2bcb3c9b9a6"),
            b"R".to_vec(),
            encode("参数错误", "b2cecafdb4edcef3"),
            encode("消息未发送成功", "cffbcfa2ceb4b7a2cbcdb3c9b9a6"),
            encode(
                "您的账号已经在他处登录,您已经被踢下线了",
                &format!("c4fab5c4d5cbbac5d2d1beadd4dacbfbb4a6b5c7c2bc{comma}c4fad2d1beadb1bbccdfcfc2cfdfc1cb"),
            ),
        ];
        lines.into_iter().flat_map(|line| [line, ending.clone()].concat()).collect::<Vec<u8>>()
    };
    let gbk = |_: &str, digits: &str| bytes_of(digits);
    let utf8 = |text: &str, _: &str| text.as_bytes().to_vec();
    let wide = |text: &str, _: &str| text.replace(',', "，").into_bytes();
    assert_eq!(talk(&mut House::speaking(Encoding::Gbk, "")), expected("2c", &gbk));
    let full_width = "punctuation = 'full-width'";
    assert_eq!(talk(&mut House::speaking(Encoding::Gbk, full_width)), expected("a3ac", &gbk));
    assert_eq!(talk(&mut House::new()), expected("", &utf8));
    assert_eq!(talk(&mut House::with(full_width)), expected("", &wide));
}

#[test]
fn a_command_that_failed_is_told_to_the_byte_in_both_encodings_and_spellings() {
    let reason = b"the store could not keep it, try again\r\n";
    for (encoding, settings, start) in [
        (Encoding::Gbk, "", bytes_of("0a0dd2ecb3a3d0c5cfa23a")),
        (Encoding::Gbk, "punctuation = 'full-width'", bytes_of("0a0dd2ecb3a3d0c5cfa2a3ba")),
        (Encoding::Utf8, "encoding = 'utf-8'", "\n\r异常信息:".into()),
        (Encoding::Utf8, "encoding = 'utf-8'\npunctuation = 'full-width'", "\n\r异常信息：".into()),
    ] {
        let mut house = House::speaking(encoding, settings);
        let line = house.user("1");
        house.pair.fates.push_back(Fate::Fail);
        house.say(line, "Chat 2 x");
        assert_eq!(*house.pair.take_received(line), [&start[..], reason].concat(), "{settings}");
    }
}

/// What `1` hears of a message to itself, but for the name of the message.
fn own_message(encoding: Encoding, settings: &str) -> (Vec<u8>, Vec<u8>) {
    let mut house = House::speaking(encoding, settings);
    let line = house.user("1");
    house.say(line, "Chat 1 hi");
    let live = house.pair.take_received(line).to_vec();
    house.cut(line);
    let line = house.open();
    house.say(line, "Check 1 123456");
    let stored = house.pair.take_received(line).to_vec();
    assert_eq!(live[live.len() - 38..], stored[stored.len() - 38..], "it keeps its name");
    (live[..live.len() - 38].to_vec(), stored[..stored.len() - 38].to_vec())
}

#[test]
fn a_message_that_waited_is_told_from_one_that_did_not_to_the_byte() {
    for (settings, colon) in [("", "3a"), ("punctuation = 'full-width'", "a3ba")] {
        let (live, stored) = own_message(Encoding::Gbk, settings);
        assert_eq!(live, [b"1", &bytes_of(&format!("20b8f8c4e3b7a2cffbcfa2{colon}"))[..], b"hi "].concat());
        let digits = format!("b5c7c2bcb3c9b9a60d0a3120b8f8c4e3b7a2cbcdcffbcfa2{colon}");
        assert_eq!(stored, [&bytes_of(&digits)[..], b"hi "].concat());
    }
    let (live, stored) = own_message(Encoding::Utf8, "encoding = 'utf-8'");
    assert_eq!(live, "1 给你发消息:hi ".as_bytes());
    assert_eq!(stored, "登录成功\r\n1 给你发送消息:hi ".as_bytes());
}

#[test]
fn the_transcript_of_the_framework_is_repeated() {
    let mut house = House::new();
    let line = house.open();
    assert_eq!(house.ask(line, "Check  1   123456 "), ["登录成功"]);
    house.send(line, b"HB R\nHB R\r\n");
    house.expect(line, &["参数错误"]);
    house.send(line, b"HB R\r");
    house.expect(line, &[]);
    house.send(line, b"\nHB R\r\n");
    house.expect(line, &["R", "R"]);
    house.send(line, b"hb R\r\nhB  R \r\n HB R\r\n");
    house.expect(line, &["R", "R", "不知道如何处理  HB R 命令"]);
    house.send(line, b"CHECK 1\r\ncHAT 2\r\nConfirm\r\nconfirm a b\r\nConfirm unknown\r\n");
    house.expect(line, &["参数错误"; 4]);
}

#[test]
fn a_conversation_does_not_depend_on_how_its_bytes_are_split() {
    let script = "HB R\r\nCheck 1 123456\r\nChat 1 一\r\nHB R\r\nChat 2 二 三\r\nnonsense\r\nChat 2 x\r\nHB R\r\n";
    let mut answers = Vec::new();
    for piece_bytes_max in [usize::MAX, 1, 2, 3, 5, 7, 11, 64] {
        let mut house = House::new();
        let line = house.open();
        house.pair.wire = Wire { piece_bytes_max, ..Wire::default() };
        house.send(line, script.as_bytes());
        let heard = house.hear(line);
        let start = |line: &String| line.split_once(" 给你").map_or(line.as_str(), |(start, _)| start).to_owned();
        answers.push(heard.iter().map(start).collect::<Vec<_>>());
    }
    assert_eq!(answers[0].len(), 8);
    assert!(answers.iter().all(|other| *other == answers[0]), "{answers:?}");
}

#[test]
fn a_connection_that_is_cut_anywhere_leaves_a_whole_message_or_none() {
    let script = "Check 1 123456\r\nChat 2 whole\r\n";
    for cut_up_after in 0..=script.len() {
        let mut house = House::new();
        house.pair.wire.cut_up_after = Some(cut_up_after);
        let line = house.connect();
        house.send(line, script.as_bytes());
        house.pair.wire = Wire::default();
        let (_, waits) = house.enter("2");
        let whole = cut_up_after == script.len();
        assert_eq!(super::split(&waits).0, if whole { vec!["1 给你发送消息:whole"] } else { vec![] });
    }
}

#[test]
fn a_text_in_the_wrong_encoding_is_replaced_and_goes_on() {
    let mut house = House::new();
    let line = house.user("1");
    house.send(line, b"Chat 1 \xb5\xc7!\r\nHB R\r\n");
    let heard = house.hear(line);
    assert!(heard.iter().any(|line| line.starts_with("1 给你发消息:\u{fffd}\u{fffd}! ")), "{heard:?}");
    let mut house = House::speaking(Encoding::Gbk, "encoding = 'gbk'");
    let line = house.user("甲");
    house.say(line, "Chat 甲 😀登");
    let (heard, _) = house.messages(line);
    assert_eq!(heard, ["甲 给你发消息:?登"]);
}

#[test]
fn a_line_may_end_with_lf_alone_where_it_is_set() {
    let mut house = House::with("terminator = 'lf'");
    let line = house.open();
    house.send(line, b"Check 1 123456\nHB R\r\nHB R\n");
    house.expect(line, &["登录成功", "R", "R"]);
}

#[test]
fn control_characters_reach_no_terminal_unless_it_is_set() {
    let mut house = House::new();
    let line = house.user("1");
    house.send(line, b"Chat 1 a\x1b[2J\0b\nc\r\nx\x07y\r\n");
    let heard = house.hear(line);
    assert!(heard.iter().any(|line| line.starts_with("1 给你发消息:a?[2J?b?c ")), "{heard:?}");
    assert!(heard.contains(&"不知道如何处理 x?y 命令".to_owned()));
    let mut house = House::with("controls = 'keep'");
    let line = house.user("1");
    house.send(line, b"Chat 1 a\x1bb\r\n");
    assert_eq!(house.messages(line).0, ["1 给你发消息:a\u{1b}b"]);
}

#[test]
fn a_reply_without_an_end_is_one_write() {
    let mut house = House::with("reply_end = 'none'");
    let line = house.connect();
    house.pair.take_received(line);
    house.send(line, b"HB R\r\nCheck 1 123456\r\nChat 1 a\r\nHB R\r\n");
    let is_out = |what: &Happening| {
        let Happening::Sent(Direction::Out, bytes) = what else { return None };
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let writes: Vec<_> = house.pair.happenings().filter_map(is_out).collect();
    assert_eq!(writes[..3], ["Welcome to SuperSocket Chat Server", "请先登录以后,再操作。。。", "登录成功"]);
    assert!(writes[3].starts_with("1 给你发消息:a "), "{writes:?}");
    assert_eq!(writes[4..], ["R"]);
}
