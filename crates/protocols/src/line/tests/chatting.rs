use std::time::Duration;

use super::{House, split};
use crate::pair::Fate;

#[test]
fn who_is_there_is_told_at_once_and_its_sender_hears_nothing() {
    let mut house = House::new();
    let (one, two) = (house.user("1"), house.user("2"));
    assert_eq!(house.ask(one, "Chat 2 hello"), [""; 0]);
    let (heard, ids) = house.messages(two);
    assert_eq!(heard, ["1 给你发消息:hello"]);
    assert_eq!(house.ask(two, &format!("Confirm {}", ids[0])), [""; 0]);
    house.cut(two);
    house.user("2");
}

#[test]
fn who_is_away_gets_it_at_each_login_in_order_until_it_confirms() {
    let mut house = House::new();
    let one = house.user("1");
    for number in 1..=3 {
        assert_eq!(house.ask(one, &format!("Chat 2 {number}")), ["消息未发送成功"]);
    }
    let expected = ["1 给你发送消息:1", "1 给你发送消息:2", "1 给你发送消息:3"];
    let (two, waits) = house.enter("2");
    let (heard, ids) = split(&waits);
    assert_eq!(heard, expected);
    house.say(two, &format!("Confirm {}", ids[1].to_uppercase()));
    house.cut(two);
    let (two, waits) = house.enter("2");
    assert_eq!(split(&waits).0, [expected[0], expected[2]]);
    // Only its receiver can confirm a message; what is unknown is passed over.
    assert_eq!(house.ask(one, &format!("Confirm {}", ids[0])), [""; 0]);
    assert_eq!(house.ask(two, &format!("Confirm {}", ids[1])), [""; 0]);
    house.cut(two);
    let (_, waits) = house.enter("2");
    assert_eq!(split(&waits).0, [expected[0], expected[2]]);
}

#[test]
fn more_than_one_write_of_messages_comes_in_order() {
    let mut house = House::with("rate = 1000");
    let one = house.user("1");
    for number in 0..200 {
        house.say(one, &format!("Chat 2 {number}"));
    }
    let (_, waits) = house.enter("2");
    let expected: Vec<_> = (0..200).map(|number| format!("1 给你发送消息:{number}")).collect();
    assert_eq!(split(&waits).0, expected);
}

#[test]
fn who_was_not_heard_from_lately_is_away_and_is_told_when_it_is_heard_from() {
    for (settings, online_s) in [("", 10), ("online_s = 30", 30)] {
        let mut house = House::with(settings);
        let two = house.user("2");
        house.wait(Duration::from_secs(online_s - 1));
        let one = house.user("1");
        assert_eq!(house.ask(one, "Chat 2 in-time"), [""; 0]);
        assert_eq!(house.messages(two).0, ["1 给你发消息:in-time"]);
        house.wait(Duration::from_secs(1));
        assert_eq!(house.ask(one, "Chat 2 late"), ["消息未发送成功"]);
        house.expect(two, &[]);
        let heard = house.ask(two, "HB R");
        assert!(heard[0].starts_with("1 给你发送消息:late "), "{heard:?}");
        assert_eq!(heard[1], "R", "what waits comes before the answer");
    }
}

#[test]
fn a_message_to_oneself_is_one_like_any_other() {
    let mut house = House::new();
    let one = house.user("1");
    house.say(one, "Chat 1 note");
    assert_eq!(house.messages(one).0, ["1 给你发消息:note"]);
    house.cut(one);
    let (_, waits) = house.enter("1");
    assert_eq!(split(&waits).0, ["1 给你发送消息:note"]);
}

#[test]
fn a_text_is_one_word_or_the_rest_of_the_line_as_it_is_set() {
    let mut house = House::new();
    let one = house.user("1");
    for request in ["Chat 1 hello you", "Chat 1", "Chat", &format!("Chat {} x", "n".repeat(129))] {
        assert_eq!(house.ask(one, request), ["参数错误"], "{request}");
    }
    let mut house = House::with("chat_text = 'rest'");
    let one = house.user("1");
    house.say(one, "Chat  1  hello  you ");
    assert_eq!(house.messages(one).0, ["1 给你发消息:hello  you "]);
    assert_eq!(house.ask(one, "Chat 1 "), ["参数错误"]);
}

#[test]
fn ack_waits_for_commit() {
    let mut house = House::new();
    let (one, two) = (house.user("1"), house.user("2"));
    house.pair.fate = Fate::Hold;
    house.say(one, "Chat 3 a");
    house.say(one, "HB R");
    house.say(two, "Chat 1 b");
    house.expect(one, &[]);
    house.expect(two, &[]);
    house.pair.fate = Fate::Commit;
    house.pair.release(Fate::Commit);
    house.settle();
    let heard = house.hear(one);
    assert!(heard.contains(&"消息未发送成功".to_owned()) && heard.contains(&"R".to_owned()), "{heard:?}");
    assert!(heard.iter().any(|line| line.starts_with("2 给你发消息:b ")), "{heard:?}");
}

#[test]
fn what_is_not_stored_is_told_and_never_delivered() {
    let mut house = House::new();
    let (one, two) = (house.user("1"), house.user("2"));
    house.pair.fates.push_back(Fate::Fail);
    assert_eq!(house.ask(one, "Chat 2 lost"), ["\n\r异常信息:the store could not keep it, try again"]);
    assert_eq!(house.ask(one, "Chat 2 kept"), [""; 0]);
    let (heard, ids) = house.messages(two);
    assert_eq!(heard, ["1 给你发消息:kept"]);
    house.pair.fates.push_back(Fate::Fail);
    let confirm = format!("Confirm {}", ids[0]);
    assert_eq!(house.ask(two, &confirm), ["\n\r异常信息:the store could not keep it, try again"]);
    house.cut(two);
    let (two, waits) = house.enter("2");
    assert_eq!(split(&waits).0, ["1 给你发送消息:kept"], "a confirmation that is not stored is none");
    house.ask(two, &confirm);
    house.cut(two);
    house.user("2");
}

#[test]
fn no_message_overtakes_one_that_is_not_stored_yet() {
    let mut house = House::new();
    let (one, two, three) = (house.user("1"), house.user("2"), house.user("3"));
    house.pair.fates.extend([Fate::CommitAfter(Duration::from_secs(2)), Fate::CommitAfter(Duration::from_secs(1))]);
    house.say(one, "Chat 3 first");
    house.say(two, "Chat 3 second");
    house.wait(Duration::from_secs(1));
    house.expect(three, &[]);
    house.wait(Duration::from_secs(1));
    assert_eq!(house.messages(three).0, ["1 给你发消息:first", "2 给你发消息:second"]);
}

#[test]
fn what_waits_for_one_user_has_a_limit_and_a_clear_reply() {
    let full = "消息未保存,对方未确认的消息过多";
    let mut house = House::with("queue_messages_max = 2");
    let one = house.user("1");
    for expected in ["消息未发送成功", "消息未发送成功", full] {
        assert_eq!(house.ask(one, "Chat 2 x"), [expected]);
    }
    assert_eq!(house.ask(one, "Chat 3 x"), ["消息未发送成功"], "nobody else is held up");
    let (two, waits) = house.enter("2");
    house.ask(two, &format!("Confirm {}", split(&waits).1[0]));
    assert_eq!(house.ask(one, "Chat 2 y"), [""; 0]);

    let mut house = House::with("queue_bytes_max = 1100");
    let one = house.user("1");
    let text = "x".repeat(400);
    for expected in ["消息未发送成功", full] {
        assert_eq!(house.ask(one, &format!("Chat 2 {text}{text}")), [expected]);
    }

    let mut house = House::with("unconfirmed_max = 2");
    let one = house.user("1");
    for (to, expected) in [("a", "消息未发送成功"), ("b", "消息未发送成功"), ("c", "消息未保存,您发送的未确认消息过多")]
    {
        assert_eq!(house.ask(one, &format!("Chat {to} x")), [expected]);
    }
}

#[test]
fn a_message_stands_among_the_readings_of_its_sender_unless_set_otherwise() {
    for (settings, count) in [("", 1), ("readings = false", 0)] {
        let mut house = House::with(settings);
        let one = house.user("1");
        house.pair.send(one, b"Chat 2 21.5\r\n");
        let reports: Vec<_> = house.pair.kept.iter().filter_map(|records| records.report.as_ref()).collect();
        assert_eq!(reports.len(), count);
        for reading in reports.iter().flat_map(|report| report.readings()) {
            assert_eq!((reading.meter, reading.function, &*reading.value.to_string()), ("chat", "2", "21.5"));
        }
    }
}
