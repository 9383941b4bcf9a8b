use super::{House, split};
use crate::pair::Fate;

#[test]
fn what_was_accepted_comes_after_a_kill_in_order_and_what_was_confirmed_does_not() {
    let mut house = House::new();
    let (one, two) = (house.user("1"), house.user("2"));
    for number in 1..=4 {
        house.say(one, &format!("Chat 2 {number}"));
    }
    let (_, ids) = house.messages(two);
    house.say(two, &format!("Confirm {}", ids[2]));
    house.kill();
    let (two, waits) = house.enter("2");
    assert_eq!(split(&waits).0, ["1 给你发送消息:1", "1 给你发送消息:2", "1 给你发送消息:4"]);
    let one = house.user("1");
    house.say(one, "Chat 2 5");
    assert_eq!(house.messages(two).0, ["1 给你发消息:5"]);
    house.kill();
    let (_, waits) = house.enter("2");
    assert_eq!(split(&waits).0.len(), 4, "numbers go on after a restart");
}

#[test]
fn a_message_whose_sender_leaves_before_it_is_stored_is_delivered_all_the_same() {
    let mut house = House::new();
    let one = house.user("1");
    house.pair.fate = Fate::Hold;
    house.say(one, "Chat 2 last-words");
    house.pair.tell(one, crate::Input::Shutdown(crate::CloseReason::TakenOver));
    house.pair.fate = Fate::Commit;
    house.settle();
    let (_, waits) = house.enter("2");
    assert_eq!(split(&waits).0, ["1 给你发送消息:last-words"]);
    house.kill();
    let (_, waits) = house.enter("2");
    assert_eq!(split(&waits).0, ["1 给你发送消息:last-words"]);
}

#[test]
fn a_peer_that_ends_its_side_is_answered_first() {
    let mut house = House::new();
    let line = house.open();
    house.pair.fate = Fate::Hold;
    house.pair.send(line, b"Check 1 123456\r\nChat 2 x\r\nHB R\r\n");
    house.pair.hang_up(line);
    assert!(house.pair.is_open(line));
    house.pair.release(Fate::Commit);
    assert!(!house.pair.is_open(line));
    house.settle();
    let (_, waits) = house.enter("2");
    assert_eq!(split(&waits).0, ["1 给你发送消息:x"]);
}

#[test]
fn the_last_confirmed_messages_are_known_with_their_times_and_no_more() {
    let mut house = House::with("history_messages_max = 2\nrate = 1000");
    let (one, two) = (house.user("1"), house.user("2"));
    for number in 1..=5 {
        house.say(one, &format!("Chat 2 {number}"));
        let (_, ids) = house.messages(two);
        house.say(two, &format!("Confirm {}", ids[0]));
        assert_eq!(house.noted(), number.min(2));
    }
    house.kill();
    house.user("2");
    assert_eq!(house.noted(), 2);
}

#[test]
fn notes_that_cannot_be_read_are_told_and_hold_nothing_up() {
    let mut house = House::new();
    let one = house.user("1");
    house.say(one, "Chat 2 x");
    house.notes.insert(b"m1".to_vec(), b"rubbish".to_vec());
    let exchange = super::super::acceptor::exchange();
    let notes: Vec<_> = house.notes.iter().map(|(key, value)| (key.clone().into(), value.clone().into())).collect();
    exchange.recall(house.pair.now(), &mut notes.into_iter());
    let opening = house.pair.opening();
    let mut steward = exchange.steward(house.pair.now(), opening);
    let crate::Output::Event(event) = steward.poll() else { panic!("it is told") };
    assert!(event.text.starts_with("1 notes"), "{}", event.text);
}
