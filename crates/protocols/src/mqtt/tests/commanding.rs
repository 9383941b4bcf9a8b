//! Commands by publishing, and what a client hears of them.

use loggerhead_model::{CommandId, CommandState, DeviceId, Timestamp};

use super::{House, Line, client, message};
use crate::News;
use crate::mqtt::message::{Connect, Level, Packet, Publish, Qos};
use crate::mqtt::properties::{Id, Writer};
use crate::pair::{Fate, Happening};

/// Who may command devices: `admin` where the listener's rules say so.
const RULES: &str = "publish = ['#', 'loggerhead/+/command']";
const TOPIC: &str = "loggerhead/other/command";
const ORDER: &str = r#"{"order":"period","minutes":5}"#;
const AT: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

fn ordered(house: &House) -> Vec<String> {
    let order = |what: &Happening| {
        if let Happening::Ordered(device, order) = what { Some(format!("{device} {order:?}")) } else { None }
    };
    house.pair.log.iter().filter_map(|entry| order(&entry.what)).collect()
}

fn other() -> DeviceId {
    DeviceId::new("other").expect("short enough")
}

fn tell(house: &mut House, id: u64, state: &CommandState) {
    house.told(&other(), News::Command { id: CommandId(id), state, changed_at: AT });
}

/// Gives a command and names a topic for the answer.
fn request(house: &mut House, line: Line, qos: Qos, response: &str, payload: &str) {
    let mut list = Writer::default();
    list.text(Id::ResponseTopic, response).binary(Id::CorrelationData, b"7");
    let id = if qos == Qos::AtMostOnce { 0 } else { 5 };
    house.say(line, &Packet::Publish(Publish { qos, id, properties: list.list(), ..message(TOPIC, payload) }));
}

#[test]
fn a_command_is_acknowledged_once_it_is_taken_and_goes_to_no_subscriber() {
    let mut house = House::with(RULES);
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "#", Qos::AtMostOnce);
    house.subscribe(watcher, "loggerhead/#", Qos::AtMostOnce);
    for (qos, answer) in
        [(Qos::AtMostOnce, &[][..]), (Qos::AtLeastOnce, &["PUBACK #5 00"]), (Qos::ExactlyOnce, &["PUBREC #5 00"])]
    {
        let line = house.enter(client("c"));
        house.publish(line, qos, if qos == Qos::AtMostOnce { 0 } else { 5 }, TOPIC, ORDER);
        house.expect(line, answer);
    }
    assert_eq!(ordered(&house), ["other Period(5 min)"; 3]);
    house.expect(watcher, &[]);
}

#[test]
fn a_command_of_qos_2_that_comes_again_is_given_once() {
    let mut house = House::with(RULES);
    let lasting = || Connect { clean_start: false, ..super::lasting("c") };
    let line = house.enter(lasting());
    house.publish(line, Qos::ExactlyOnce, 5, TOPIC, ORDER);
    house.cut(line);
    let line = house.enter(lasting());
    house.publish(line, Qos::ExactlyOnce, 5, TOPIC, ORDER);
    house.expect(line, &["PUBREC #5 00"]);
    assert_eq!(ordered(&house).len(), 1);
    house.ack(line, Packet::PubRel, 5);
    house.publish(line, Qos::ExactlyOnce, 5, TOPIC, ORDER);
    assert_eq!(ordered(&house).len(), 2, "the identifier was released");
}

// MQTT 3.1.1: 4.6.0-2 4.6.0-3 4.6.0-4
// MQTT 5.0: 4.6.0-2 4.6.0-3 4.6.0-4
#[test]
fn acknowledgements_keep_the_order_of_what_they_acknowledge() {
    let mut house = House::with(RULES);
    let line = house.enter(client("c"));
    house.pair.fate = Fate::Hold;
    let publish = |id, topic, payload| {
        let publish = Publish { qos: Qos::AtLeastOnce, id, ..message(topic, payload) };
        super::bytes(&Packet::Publish(publish), Level::V5)
    };
    let all = [
        publish(1, "t", "x"),
        publish(2, TOPIC, ORDER),
        publish(3, TOPIC, "nonsense"),
        publish(4, "$SYS/x", "x"),
        publish(5, "t", "x"),
    ];
    house.send(line, &all.concat());
    house.expect(line, &[]);
    assert!(ordered(&house).is_empty(), "what came before is not acknowledged yet");
    house.pair.fate = Fate::Commit;
    house.pair.release(Fate::Commit);
    house.settle();
    house.expect(line, &["PUBACK #1 10", "PUBACK #2 00", "PUBACK #3 99", "PUBACK #4 87", "PUBACK #5 10"]);
}

#[test]
fn who_has_no_rule_for_them_gives_no_commands() {
    for (rules, answer) in [
        ("", "87"),
        ("publish = ['+/+/+']", "87"),
        ("publish = ['loggerhead/tower/command']", "87"),
        ("publish = ['loggerhead/other/#']", "00"),
        ("publish = ['loggerhead/%c/command']", "00"),
    ] {
        let mut house = House::with(rules);
        let line = house.enter(client("other"));
        house.publish(line, Qos::AtLeastOnce, 5, TOPIC, ORDER);
        house.expect(line, &[&format!("PUBACK #5 {answer}")]);
        assert_eq!(ordered(&house).len(), usize::from(answer == "00"), "{rules}");
    }
    // Before version 5 there is no word for no.
    let mut house = House::new();
    let line = house.enter(Connect { level: Level::V4, ..client("c") });
    house.publish(line, Qos::AtLeastOnce, 5, TOPIC, ORDER);
    house.expect(line, &["PUBACK #5 00"]);
    assert!(ordered(&house).is_empty());
}

#[test]
fn what_cannot_be_taken_is_refused_with_its_reason() {
    let mut house = House::with(RULES);
    let line = house.enter(client("c"));
    house.publish(line, Qos::AtLeastOnce, 5, "loggerhead/nobody/command", ORDER);
    house.publish(line, Qos::AtLeastOnce, 6, TOPIC, "{}");
    house.publish(line, Qos::AtLeastOnce, 7, TOPIC, r#"{"order":"period","minutes":0}"#);
    house.expect(line, &["PUBACK #5 90", "PUBACK #6 99", "PUBACK #7 99"]);
    assert!(house.is_open(line) && ordered(&house).is_empty());
}

#[test]
fn a_command_that_is_not_stored_is_not_acknowledged() {
    let mut house = House::with(RULES);
    let line = house.enter(client("c"));
    house.pair.fates.push_back(Fate::Fail);
    house.publish(line, Qos::AtLeastOnce, 5, TOPIC, ORDER);
    house.expect(line, &["DISCONNECT 80"]);
    assert!(!house.is_open(line) && ordered(&house).is_empty());
}

#[test]
fn the_state_of_a_command_is_kept_until_its_device_is_removed() {
    let mut house = House::with(RULES);
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "loggerhead/+/command/state", Qos::AtMostOnce);
    for (state, words) in [
        (CommandState::Sent, r#""detail":null,"device":"other","id":1,"state":"sent""#),
        (CommandState::Answered("done".to_owned()), r#""detail":"done","device":"other","id":1,"state":"answered""#),
    ] {
        tell(&mut house, 1, &state);
        let expected = format!("q0 loggerhead/other/command/state {{\"changed_at\":\"2026-01-01T00:00:00Z\",{words}}}");
        house.expect(watcher, &[&expected]);
    }
    let late = house.enter(client("late"));
    house.say(late, &super::subscription("loggerhead/other/#"));
    assert!(house.hear(late)[1].starts_with("kept q0 loggerhead/other/command/state"), "the last one");
    house.told(&other(), News::Removed);
    house.expect(watcher, &["q0 loggerhead/other/command/state "]);
}

#[test]
fn the_end_of_a_command_is_said_to_the_response_topic_with_its_correlation() {
    let mut house = House::with(RULES);
    let line = house.enter(client("c"));
    house.subscribe(line, "answers/c", Qos::ExactlyOnce);
    for (id, qos) in [(1, Qos::AtMostOnce), (2, Qos::AtLeastOnce)] {
        request(&mut house, line, qos, "answers/c", ORDER);
        tell(&mut house, id, &CommandState::Sent);
        house.hear(line);
        tell(&mut house, id, &CommandState::Failed("no such meter".to_owned()));
        let number = if qos == Qos::AtMostOnce { "" } else { "#1 " };
        let expected = format!(
            "{number}q{} answers/c {{\"changed_at\":\"2026-01-01T00:00:00Z\",\"detail\":\"no such meter\",\
             \"device\":\"other\",\"id\":{id},\"state\":\"failed\"}} CorrelationData=7",
            qos as u8
        );
        house.expect(line, &[&expected]);
        tell(&mut house, id, &CommandState::Expired);
        house.expect(line, &[]);
    }
}

#[test]
fn a_command_that_is_not_taken_is_answered_at_once() {
    let mut house = House::with(RULES);
    let line = house.enter(client("c"));
    house.subscribe(line, "answers/c", Qos::AtMostOnce);
    request(&mut house, line, Qos::AtLeastOnce, "answers/c", r#"{"order":"control","lines":[]}"#);
    let heard = house.hear(line);
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard.contains(&"PUBACK #5 99".to_owned()), "{heard:?}");
    let answer = heard.iter().find(|heard| heard.starts_with("q0 answers/c")).expect("an answer");
    assert!(answer.contains(r#""detail":"0 lines are not in 1..=256""#), "{answer}");
    assert!(answer.contains(r#""state":"refused""#) && answer.ends_with("CorrelationData=7"), "{answer}");
}

#[test]
fn nothing_is_said_where_the_sender_may_not_speak_itself() {
    let mut house = House::with("publish = ['loggerhead/+/command', 'answers/%c']");
    let line = house.enter(client("c"));
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "#", Qos::AtMostOnce);
    for forbidden in ["answers/d", "loggerhead/other/command", "loggerhead/other/alarms", "$SYS/x"] {
        request(&mut house, line, Qos::AtLeastOnce, forbidden, ORDER);
        house.expect(line, &["PUBACK #5 87"]);
    }
    assert!(ordered(&house).is_empty());
    house.expect(watcher, &[]);
}

#[test]
fn states_are_no_topics_where_news_are_turned_off_but_answers_come() {
    let mut house = House::with(&format!("{RULES}\nnews = false"));
    let line = house.enter(client("c"));
    house.subscribe(line, "#", Qos::AtMostOnce);
    house.subscribe(line, "loggerhead/#", Qos::AtMostOnce);
    request(&mut house, line, Qos::AtMostOnce, "answers/c", ORDER);
    tell(&mut house, 1, &CommandState::Expired);
    let heard = house.hear(line);
    assert!(heard.len() == 1 && heard[0].starts_with("q0 answers/c"), "{heard:?}");
}

// MQTT 5.0: 3.1.2-28
#[test]
fn who_asks_is_told_where_to_have_answers() {
    let mut house = House::with("response_information = 'answers/%c'");
    let mut list = Writer::default();
    list.flag(Id::RequestResponseInformation, true);
    let asking = |name| Connect { properties: list.list(), ..client(name) };
    for (connect, expected) in [(asking("c"), " ResponseInformation=answers/c"), (client("c"), ""), (asking("c/+"), "")]
    {
        let (_, heard) = house.try_enter(connect);
        assert_eq!(heard, [format!("CONNACK 00{expected}")]);
    }
}
