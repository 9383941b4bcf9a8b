//! Edge nodes of Sparkplug B that report, all devices as such, and as sensors of Home Assistant.

use loggerhead_model::{DeviceId, Evidence, Presence, Quality, Reading, Timestamp, Value};

use super::{House, client, message, subscription};
use crate::News;
use crate::mqtt::message::{Connect, Packet, Publish, Qos, Will};
use crate::mqtt::properties::Properties;
use crate::pair::Fate;
use crate::wire::hex;

const AT: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);
/// `timestamp 1, metric (name "t", alias 3, datatype Float, 21.5), seq 0`.
const BIRTH: &str = "0801120c0a017410032009650000ac411800";
/// `timestamp 2, metric (alias 3, float 0.5), seq 1`.
const DATA: &str = "0802120710036500 00003f1801";
/// `metric (name "Node Control/Rebirth", datatype Boolean, true)`.
const REBIRTH: &str = "121a0a144e6f646520436f6e74726f6c2f52656269727468200b7001";

fn bytes(digits: &str) -> Vec<u8> {
    hex(&digits.replace(' ', "")).expect("hex digits")
}

fn tower() -> DeviceId {
    DeviceId::new("tower").expect("short enough")
}

fn reading(value: &'static str) -> Reading<'static> {
    Reading {
        meter: "1",
        function: "1",
        coding: "01A10",
        code: "192",
        quality: Quality::Good,
        measured_at: AT,
        value: Value::parse(value),
        attributes: "",
    }
}

fn evidence(presence: Presence) -> Evidence {
    Evidence { presence, since: None, last_bytes_at: None, last_reading_at: None, peer: None, closed_because: None }
}

fn stored(house: &House) -> Vec<String> {
    let reports = house.pair.kept.iter().filter_map(|records| records.report.as_ref());
    let line = |reading: Reading<'_>| format!("{} {} {}", reading.meter, reading.function, reading.value);
    reports.flat_map(|report| report.readings().map(line).collect::<Vec<_>>()).collect()
}

#[test]
fn what_an_edge_node_reports_is_stored_before_it_is_acknowledged() {
    let mut house = House::new();
    let (line, watcher) = (house.enter(client("e")), house.enter(client("w")));
    house.subscribe(watcher, "spBv1.0/#", Qos::AtMostOnce);
    house.pair.fate = Fate::Hold;
    for (id, topic, digits) in [(1, "spBv1.0/g/NBIRTH/e", BIRTH), (2, "spBv1.0/g/NDATA/e", DATA)] {
        let payload = bytes(digits);
        let publish = Publish { qos: Qos::AtLeastOnce, id, payload: &payload, ..message(topic, "") };
        house.say(line, &Packet::Publish(publish));
    }
    house.expect(line, &[]);
    house.pair.release(Fate::Commit);
    assert_eq!(stored(&house), ["g/e t 21.5", "g/e t 0.5"]);
    house.settle();
    house.expect(line, &["PUBACK #1 00", "PUBACK #2 00"]);
    assert_eq!(house.hear(watcher).len(), 2, "subscribers get it as well");
    house.pair.fate = Fate::Commit;
    house.publish(line, Qos::AtLeastOnce, 3, "spBv1.0/g/NDATA/e", "nonsense");
    house.expect(line, &["PUBACK #3 99"]);
}

#[test]
fn an_edge_node_whose_death_is_its_will_says_goodbye() {
    let mut house = House::new();
    let will = Will {
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: Properties::NONE,
        topic: "spBv1.0/g/NDEATH/e",
        payload: b"",
    };
    let line = house.enter(Connect { will: Some(will), ..client("e") });
    house.settle();
    assert_eq!(house.events, [""; 0], "it lives");
    house.cut(line);
    house.settle();
    assert_eq!(house.events, ["g/e says goodbye"]);
}

#[test]
fn an_edge_node_that_was_not_born_here_is_asked_to_be() {
    let mut house = House::new();
    let line = house.enter(client("e"));
    house.subscribe(line, "spBv1.0/g/NCMD/e", Qos::AtMostOnce);
    let payload = bytes(DATA);
    house.say(line, &Packet::Publish(Publish { payload: &payload, ..message("spBv1.0/g/NDATA/e", "") }));
    let heard = house.hear(line);
    assert!(heard.len() == 1 && heard[0].starts_with("q0 spBv1.0/g/NCMD/e "), "{heard:?}");
    assert!(heard[0].contains("Node Control/Rebirth"), "{heard:?}");
}

#[test]
fn devices_are_edge_nodes_and_nobody_else_speaks_for_them() {
    let mut house = House::with("sparkplug = 'G'\nnews = false");
    assert!(house.wants_news());
    let watcher = house.enter(client("w"));
    house.subscribe(watcher, "#", Qos::AtMostOnce);
    house.stored(&tower(), &[reading("1.50")]);
    house.expect(watcher, &[]);
    let topics = |house: &mut House, news: News<'_>| {
        house.told(&tower(), news);
        let heard = house.hear(watcher);
        let topic = |heard: &String| heard.split(' ').take(2).collect::<Vec<_>>().join(" ");
        heard.iter().map(topic).collect::<Vec<_>>()
    };
    let fresh = evidence(Presence::ConnectedFresh);
    assert_eq!(topics(&mut house, News::Presence(&fresh)), ["q0 spBv1.0/G/NBIRTH/tower"]);
    assert_eq!(topics(&mut house, News::Readings(&[reading("2")])), ["q0 spBv1.0/G/NDATA/tower"]);
    let line = house.enter(client("p"));
    house.publish(line, Qos::AtLeastOnce, 1, "spBv1.0/G/NDATA/tower", "x");
    house.expect(line, &["PUBACK #1 87"]);
    let payload = bytes(REBIRTH);
    house.say(line, &Packet::Publish(Publish { payload: &payload, ..message("spBv1.0/G/NCMD/tower", "") }));
    let heard = house.hear(watcher);
    assert!(heard.iter().any(|heard| heard.starts_with("q0 spBv1.0/G/NBIRTH/tower")), "{heard:?}");
    assert_eq!(topics(&mut house, News::Removed), ["q0 spBv1.0/G/NDEATH/tower"]);
}

#[test]
fn a_report_of_many_channels_is_one_birth() {
    let mut house = House::with("sparkplug = 'G'\nnews = false");
    let watcher = house.enter(client("w"));
    house.told(&tower(), News::Presence(&evidence(Presence::ConnectedFresh)));
    house.subscribe(watcher, "spBv1.0/G/#", Qos::AtMostOnce);
    let functions: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let report: Vec<_> = functions.iter().map(|function| Reading { function, ..reading("1.50") }).collect();
    house.stored(&tower(), &report);
    let heard = house.hear(watcher);
    assert!(heard.len() == 1 && heard[0].starts_with("q0 spBv1.0/G/NBIRTH/tower "), "{heard:?}");
    assert_eq!(heard[0].matches("1/").count(), 50, "{heard:?}");
}

#[test]
fn a_channel_is_a_sensor_until_its_device_is_removed() {
    let mut house = House::with("home_assistant = 'ha'\nreadings = false\nnews = false");
    house.stored(&tower(), &[reading("1.50")]);
    house.told(&tower(), News::Presence(&evidence(Presence::ConnectedFresh)));
    let late = house.enter(client("late"));
    house.say(late, &subscription("#"));
    let heard = house.hear(late);
    for expected in
        ["ha/sensor/loggerhead-tower/1-1/config", "loggerhead/tower/readings/1/1", "loggerhead/tower/presence"]
    {
        assert!(
            heard.iter().any(|heard| heard.starts_with(&format!("kept q0 {expected} {{"))),
            "{expected}: {heard:?}"
        );
    }
    let config = heard.iter().find(|heard| heard.contains("/config ")).expect("it is kept");
    for expected in
        [r#""device_class":"energy""#, r#""state_class":"total_increasing""#, r#""unit_of_measurement":"kWh""#]
    {
        assert!(config.contains(expected), "{config}");
    }
    house.told(&tower(), News::Removed);
    assert!(house.hear(late).contains(&"q0 ha/sensor/loggerhead-tower/1-1/config ".to_owned()));
}

#[test]
fn a_view_is_named_as_topics_are() {
    for (settings, key) in [
        ("sparkplug = 'a/b'", "sparkplug"),
        ("sparkplug = ''", "sparkplug"),
        ("home_assistant = '#'", "home_assistant"),
    ] {
        let table = settings.parse().expect("TOML");
        let error = crate::mqtt::acceptor::acceptor(&table, &mut std::iter::empty()).err().expect(settings);
        assert_eq!(error.key, key);
    }
}
