use std::time::Duration;

use loggerhead_model::{DeviceId, Presence, Ticket};

use super::House;
use crate::News;
use crate::bindings;
use crate::pair::Fate;

#[test]
fn a_state_is_true_false_or_null_and_pairs_have_their_own_separators() {
    let mut house = House::with("");
    let line = house.app("u1", "a|b");
    house.presence("c1", Presence::ConnectedFresh);
    house.presence("c2", Presence::ConnectedSilent);
    let heard = house.ask(line, "CheckCaramerOnlineStatus c1;c2;;东;nobody;c1;");
    assert_eq!(heard, ["ReturnCaramerOnlineStatus c1;true|c2;false|东;null|nobody;null|c1;true"]);
    house.presence("c1", Presence::Never);
    assert_eq!(house.ask(line, "CheckCaramerOnlineStatus c1"), ["ReturnCaramerOnlineStatus c1;null"]);
}

#[test]
fn a_query_without_ids_is_answered_without_any() {
    let mut house = House::with("");
    let line = house.app("u1", "a|b");
    for query in ["CheckCaramerOnlineStatus", "CheckCaramerOnlineStatus ", "CheckCaramerOnlineStatus ;;"] {
        assert_eq!(house.ask(line, query), ["ReturnCaramerOnlineStatus "], "{query:?}");
    }
}

#[test]
fn more_than_twenty_ids_are_answered_by_twenties_and_far_too_many_close() {
    let mut house = House::with("ids_per_query_max = 45");
    let line = house.app("u1", "a|b");
    let heard = house.ask(line, &format!("CheckCaramerOnlineStatus {}", vec!["x"; 45].join(";")));
    let counts: Vec<_> = heard.iter().map(|line| line.matches(";null").count()).collect();
    assert_eq!(counts, [20, 20, 5]);
    house.say(line, &format!("CheckCaramerOnlineStatus {}", vec!["x"; 46].join(";")));
    assert!(!house.pair.is_open(line));
}

#[test]
fn a_change_is_told_at_once_to_all_who_have_the_camera_and_a_flapping_one_once_it_has_settled() {
    let mut house = House::with("settle_s = 5");
    let (one, two, other) = (house.app("u1", "a|b"), house.app("u1", "a|b"), house.app("u2", "pw2"));
    house.say(one, "UploadCaramer c1|k1|1|1");
    house.hear(one);
    house.presence("c1", Presence::ConnectedFresh);
    for line in [one, two] {
        assert_eq!(house.hear(line), ["PrushCaramerOnlineStatus c1:true"]);
    }
    for presence in [Presence::Offline, Presence::ConnectedFresh, Presence::Offline] {
        house.presence("c1", presence);
        assert_eq!(house.hear(one), [""; 0]);
    }
    assert_eq!(house.ask(one, "CheckCaramerOnlineStatus c1"), ["ReturnCaramerOnlineStatus c1;false"]);
    house.wait(Duration::from_secs(4));
    assert_eq!(house.hear(one), [""; 0]);
    house.wait(Duration::from_secs(1));
    assert_eq!(house.hear(one), ["PrushCaramerOnlineStatus c1:false"]);
    house.presence("c1", Presence::ConnectedFresh);
    house.presence("c1", Presence::Offline);
    house.wait(Duration::from_secs(10));
    assert_eq!(house.hear(one), [""; 0], "a blip that is over is none");
    assert_eq!(house.hear(other), [""; 0]);
}

#[test]
fn an_app_is_told_the_states_at_its_login_where_it_is_set_so() {
    let mut house = House::with("states_at_login = true");
    let line = house.app("u1", "a|b");
    house.say(line, "UploadCaramer c1|k1|1|1");
    house.presence("c1", Presence::Offline);
    let line = house.open();
    let heard = house.ask(line, "Login u1|a|b");
    assert_eq!(heard.get(1).map(String::as_str), Some("PrushCaramerOnlineStatus c1:false"));
}

/// Tells the registry of what the store has committed, as the head-end does.
fn tell_readings(house: &mut House, age: Duration) {
    let kept = std::mem::take(&mut house.reports);
    assert!(!kept.is_empty());
    house.pair.run_for(age);
    for (device, report) in kept {
        let readings: Vec<_> = report.readings().collect();
        house.exchange.told(house.pair.now(), &device, News::Readings(&readings));
    }
    house.settle();
}

#[test]
fn an_alarm_of_a_camera_is_stored_acknowledged_and_told_and_never_as_an_old_one() {
    for (age, told) in [(Duration::ZERO, true), (Duration::from_secs(61), false)] {
        let mut house = House::with("");
        let app = house.app("u1", "a|b");
        house.say(app, "UploadCaramer c1|k1|1|1");
        house.hear(app);
        let camera = house.open();
        assert_eq!(house.ask(camera, "CameraLogin c1|k1"), ["CameraLoginOk "]);
        let now_ms = house.pair.now().wall.unix_ms();
        assert_eq!(house.ask(camera, &format!("CameraAlarm 7|motion: left|{now_ms}")), ["CameraAlarmOk 7"]);
        tell_readings(&mut house, age);
        let expected: &[&str] = if told { &["PrushCaramerAlarmInfo c1:motion: left"] } else { &[] };
        assert_eq!(house.hear(app), expected);
    }
}

#[test]
fn an_alarm_waits_for_an_account_that_is_away_only_where_it_is_set_and_only_for_a_while() {
    for (settings, away, expected) in [
        ("", 1, &[][..]),
        ("missed_alarms_s = 30", 1, &["PrushCaramerAlarmInfo c1:motion"]),
        ("missed_alarms_s = 30", 30, &[]),
    ] {
        let mut house = House::with(settings);
        let app = house.app("u1", "a|b");
        house.say(app, "UploadCaramer c1|k1|1|1");
        house.pair.hang_up(app);
        let camera = house.open();
        house.say(camera, "CameraLogin c1|k1");
        let now_ms = house.pair.now().wall.unix_ms();
        house.say(camera, &format!("CameraAlarm 1|motion|{now_ms}"));
        tell_readings(&mut house, Duration::ZERO);
        house.wait(Duration::from_secs(away));
        let app = house.open();
        let heard = house.ask(app, "Login u1|a|b");
        assert!(heard[0].starts_with("LoginOk 1|"), "{heard:?}");
        assert_eq!(heard[1..], *expected, "{settings} {away}");
        let again = house.open();
        assert_eq!(house.ask(again, "Login u1|a|b").len(), 1, "told once");
    }
}

#[test]
fn alarms_that_wait_have_a_limit_and_so_has_their_length() {
    let mut house = House::with("missed_alarms_s = 30");
    let app = house.app("u1", "a|b");
    house.say(app, "UploadCaramer c1|k1|1|1");
    house.pair.hang_up(app);
    let device = DeviceId::new("c1").expect("a name");
    for number in 0..300 {
        let what = format!("{number}\r\n{}", "长".repeat(1_000));
        let now = house.pair.now();
        let records = bindings::said(&device, bindings::ALARM, &what, now.wall, now.wall).expect("a reading");
        let report = records.report.expect("a reading");
        let readings: Vec<_> = report.readings().collect();
        house.exchange.told(now, &device, News::Readings(&readings));
    }
    let app = house.open();
    let heard = house.ask(app, "Login u1|a|b");
    assert_eq!(heard.len(), 1 + 256, "those before were dropped");
    assert!(heard[1].starts_with("PrushCaramerAlarmInfo c1:44__长"), "{}", heard[1]);
    assert!(heard.iter().all(|line| line.len() < 1_100));
}

#[test]
fn of_a_presence_and_what_is_said_of_a_camera_the_later_word_counts() {
    let mut house = House::with("settle_s = 0");
    let app = house.app("u1", "a|b");
    house.say(app, "UploadCaramer c1|k1|1|1");
    house.hear(app);
    let say = |house: &mut House, what: &str| {
        house.wait(Duration::from_secs(1));
        let (device, now) = (DeviceId::new("c1").expect("a name"), house.pair.now());
        let records = bindings::said(&device, bindings::ONLINE, what, now.wall, now.wall).expect("a reading");
        let report = records.report.expect("a reading");
        let readings: Vec<_> = report.readings().collect();
        house.exchange.told(now, &device, News::Readings(&readings));
        house.settle();
    };
    say(&mut house, "true");
    assert_eq!(house.hear(app), ["PrushCaramerOnlineStatus c1:true"]);
    house.wait(Duration::from_secs(1));
    house.presence("c1", Presence::Offline);
    assert_eq!(house.hear(app), ["PrushCaramerOnlineStatus c1:false"]);
    say(&mut house, "true");
    assert_eq!(house.hear(app), ["PrushCaramerOnlineStatus c1:true"]);
    say(&mut house, "null");
    assert_eq!(house.hear(app), ["PrushCaramerOnlineStatus c1:null"]);
}

#[test]
fn what_is_said_without_a_time_has_a_moment_of_its_own_and_the_last_word_counts() {
    let mut house = House::with("settle_s = 0");
    let app = house.app("u1", "a|b");
    house.say(app, "UploadCaramer c1|k1|1|1");
    house.hear(app);
    let (device, now) = (DeviceId::new("c1").expect("a name"), house.pair.now());
    let registry = house.exchange.cameras().expect("a registry");
    let moments: Vec<_> = (0..3).map(|_| registry.moment(&device, now.wall).unix_ms() - now.wall.unix_ms()).collect();
    assert_eq!(moments, [0, 1, 2]);
    let next = house.pair.now().wall;
    for what in ["true", "false", "true"] {
        let at = registry.moment(&device, next);
        let records = bindings::said(&device, bindings::ONLINE, what, at, next).expect("a reading");
        let report = records.report.expect("a reading");
        assert!(report.happenings);
        let readings: Vec<_> = report.readings().collect();
        house.exchange.told(now, &device, News::Readings(&readings));
    }
    house.settle();
    assert_eq!(house.hear(app).last().map(String::as_str), Some("PrushCaramerOnlineStatus c1:true"));
    assert_eq!(registry.moment(&DeviceId::new("u1").expect("a name"), next), next, "an account is no camera");
}

#[test]
fn an_alarm_that_is_not_stored_is_not_acknowledged_and_one_that_is_none_is_counted() {
    let mut house = House::with("");
    let camera = house.open();
    house.say(camera, "CameraLogin c1|k1");
    house.hear(camera);
    house.pair.fate = Fate::Fail;
    assert_eq!(house.ask(camera, "CameraAlarm 1|motion|1"), [""; 0]);
    for wrong in ["", "1", "1|motion", "1||5", "1|motion|x"] {
        assert_eq!(house.ask(camera, &format!("CameraAlarm {wrong}")), [""; 0], "{wrong}");
    }
    assert!(house.reports.is_empty());
}

#[test]
fn a_simulated_camera_delivers_what_it_is_given() {
    for settings in ["camera = 'c2'\nsecret = 'text:k|2'", "camera = '东'\nsecret = 'text:k3'"] {
        let mut house = House::with("");
        let settings = settings.parse().expect("TOML");
        let device = (super::super::PROTOCOL.device)(&settings, house.pair.opening()).expect("settings");
        house.pair.attach(device);
        house.pair.run_for(Duration::from_secs(1));
        for number in 1..=3 {
            house.pair.offer(Ticket(number), report());
        }
        house.pair.run_for(Duration::from_mins(5));
        assert_eq!(house.pair.delivered(), [Ticket(1), Ticket(2), Ticket(3)]);
        assert_eq!(house.pair.kept.iter().filter(|records| records.report.is_some()).count(), 3);
    }
}

fn report() -> loggerhead_model::Report {
    use loggerhead_model::{Origin, Quality, Reading, ReportBuilder, Timestamp, Value};

    let mut builder = ReportBuilder::new(Origin::Live, 100, 1);
    builder.meter("m", "").expect("it fits");
    let reading = Reading {
        meter: "m",
        function: "f",
        coding: "",
        code: "",
        quality: Quality::Good,
        measured_at: Timestamp::from_unix_ms(1),
        value: Value::parse("motion"),
        attributes: "",
    };
    builder.reading(&reading).expect("it fits");
    builder.finish()
}
