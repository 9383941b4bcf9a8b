//! People who talk in the JSON format.

use std::time::Duration;

use serde_json::json;

use super::{House, pairs, said};
use crate::CloseReason;
use crate::Input;
use crate::pair::Fate;

#[test]
fn a_message_waits_for_its_receiver_and_comes_until_it_is_confirmed() {
    let mut house = House::new();
    let one = house.person("1");
    let id = house.say(one, &json!({"to": "2"}), "hello <b>you</b>");
    for _ in 0..2 {
        let (two, told) = house.enter("2");
        assert_eq!(said(&told), pairs(&[("1", "hello <b>you</b>")]));
        house.pair.hang_up(two);
    }
    let (two, _) = house.enter("2");
    assert_eq!(house.ask(two, &json!({"type": "confirm", "id": id})), [json!({"type": "confirmed", "id": id})]);
    house.pair.hang_up(two);
    house.person("2");
    let history = house.ask(one, &json!({"type": "history", "with": "2"}));
    let message = &history[0]["messages"][0];
    assert_eq!((&message["state"], &message["to"]), (&json!("confirmed"), &json!("2")));
    assert!(message["sent_at"].is_string() && message["confirmed_at"].is_string());
}

#[test]
fn a_message_that_is_said_again_under_its_id_is_the_same_message() {
    let mut house = House::new();
    let one = house.person("1");
    let id = house.say(one, &json!({"to": "2"}), "once");
    let again = json!({"type": "say", "id": id, "to": "2", "text": "once"});
    assert_eq!(house.ask(one, &again)[0]["type"], json!("accepted"));
    house.kill();
    let one = house.person("1");
    assert_eq!(house.ask(one, &again)[0]["type"], json!("accepted"));
    let (_, told) = house.enter("2");
    assert_eq!(said(&told), pairs(&[("1", "once")]));
    // Of somebody else it is another one.
    let three = house.person("3");
    house.ask(three, &again);
    let (_, told) = house.enter("2");
    assert_eq!(said(&told), pairs(&[("1", "once"), ("3", "once")]));
}

#[test]
fn a_room_hears_what_is_said_and_who_comes_and_goes() {
    let mut house = House::new();
    let (one, two) = (house.person("1"), house.person("2"));
    let told = house.ask(one, &json!({"type": "join", "room": "a"}));
    assert_eq!(told[0], json!({"type": "joined", "room": "a"}));
    house.ask(two, &json!({"type": "join", "room": "a"}));
    let came = json!({"type": "presence", "room": "a", "people": [{"name": "2", "here": true}]});
    assert_eq!(house.told(one), [came]);
    house.say(one, &json!({"room": "a"}), "hi");
    assert_eq!(said(&house.told(two)), pairs(&[("1", "hi")]));
    house.pair.hang_up(two);
    house.pair.run_for(Duration::ZERO);
    let left = json!({"type": "presence", "room": "a", "people": [{"name": "2", "here": false}]});
    assert!(house.told(one).contains(&left));
    let members = house.ask(one, &json!({"type": "members", "room": "a"}));
    assert_eq!(members[0]["members"], json!([{"name": "1", "here": true}, {"name": "2", "here": false}]));
    // Who is no member hears nothing, and says nothing there.
    let three = house.person("3");
    let id = house.new_id();
    let told = house.ask(three, &json!({"type": "say", "id": id, "room": "a", "text": "x"}));
    assert_eq!(told, [json!({"type": "refused", "id": id, "reason": "room"})]);
    assert_eq!(house.ask(three, &json!({"type": "history", "room": "a"}))[0]["messages"], json!([]));
}

#[test]
fn what_was_said_in_a_room_waits_for_its_members_until_they_have_read_it_also_over_a_kill() {
    let mut house = House::new();
    for name in ["1", "2"] {
        let line = house.person(name);
        house.ask(line, &json!({"type": "join", "room": "a"}));
        house.pair.hang_up(line);
    }
    let (one, _) = house.enter("1");
    for text in ["x", "y", "z"] {
        house.say(one, &json!({"room": "a"}), text);
    }
    house.kill();
    let (two, told) = house.enter("2");
    assert_eq!(said(&told), pairs(&[("1", "x"), ("1", "y"), ("1", "z")]));
    let second = told.iter().filter(|told| told["type"] == "message").nth(1).expect("there are three");
    let number = second["message"]["number"].clone();
    let told = house.ask(two, &json!({"type": "read", "room": "a", "number": number}));
    assert_eq!(told, [json!({"type": "read", "room": "a", "number": number})]);
    house.kill();
    let (two, told) = house.enter("2");
    assert_eq!(said(&told), pairs(&[("1", "z")]));
    let found = house.ask(two, &json!({"type": "history", "room": "a", "search": "Y"}));
    assert_eq!(found[0]["messages"][0]["text"], json!("y"));
    // A member no more, also after a kill.
    house.ask(two, &json!({"type": "leave", "room": "a"}));
    house.kill();
    house.person("2");
}

#[test]
fn a_room_forgets_its_oldest_messages_beyond_its_history() {
    let mut house = House::with("history_messages_max = 2");
    let one = house.person("1");
    house.ask(one, &json!({"type": "join", "room": "a"}));
    for text in ["x", "y", "z"] {
        house.say(one, &json!({"room": "a"}), text);
    }
    house.kill();
    let (one, _) = house.enter("1");
    let history = house.ask(one, &json!({"type": "history", "room": "a"}));
    let texts: Vec<_> = history[0]["messages"].as_array().expect("a list").iter().map(|one| &one["text"]).collect();
    assert_eq!(texts, ["y", "z"]);
}

#[test]
fn what_the_store_does_not_keep_has_not_happened() {
    let mut house = House::new();
    let one = house.person("1");
    house.pair.fates.push_back(Fate::Fail);
    let id = house.new_id();
    let say = json!({"type": "say", "id": id, "to": "2", "text": "x"});
    assert_eq!(house.ask(one, &say), [json!({"type": "refused", "id": id, "reason": "not_stored"})]);
    house.pair.fates.push_back(Fate::Fail);
    assert_eq!(house.ask(one, &json!({"type": "join", "room": "a"}))[0]["reason"], json!("not_stored"));
    assert_eq!(house.ask(one, &json!({"type": "members", "room": "a"}))[0]["members"], json!([]));
    house.person("2");
    // Said again under its id it is kept.
    assert_eq!(house.ask(one, &say)[0]["type"], json!("accepted"));
}

#[test]
fn ack_waits_for_commit() {
    let mut house = House::new();
    let (one, two) = (house.person("1"), house.person("2"));
    house.pair.fates.push_back(Fate::Hold);
    let id = house.new_id();
    assert!(house.ask(one, &json!({"type": "say", "id": id, "to": "2", "text": "x"})).is_empty());
    assert!(house.told(two).is_empty());
    house.pair.release(Fate::Commit);
    assert_eq!(house.told(one)[0]["type"], json!("accepted"));
    assert_eq!(said(&house.told(two)), pairs(&[("1", "x")]));
}

#[test]
fn a_name_has_one_connection_and_the_older_one_is_told() {
    let mut house = House::new();
    let older = house.person("1");
    house.person("1");
    house.pair.run_for(Duration::ZERO);
    assert_eq!(house.told(older), [json!({"type": "replaced"})]);
    assert!(!house.pair.is_open(older));
}

#[test]
fn who_is_silent_is_asked_and_then_gone_and_who_answers_stays() {
    let mut house = House::new();
    let (mute, alive) = (house.person("1"), house.person("2"));
    for _ in 0..4 {
        house.pair.run_for(Duration::from_secs(25));
        house.told(alive);
    }
    assert!(!house.pair.is_open(mute) && house.pair.is_open(alive));
    let people = house.ask(alive, &json!({"type": "presence", "names": ["1", "2"]}));
    assert_eq!(people[0]["people"], json!([{"name": "1", "here": false}, {"name": "2", "here": true}]));
    house.pair.tell(alive, Input::Shutdown(CloseReason::Stopping));
    assert_eq!(house.closed(alive), Some(1001));
}
