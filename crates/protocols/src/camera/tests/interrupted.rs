use super::House;
use crate::encoding::Encoding;
use crate::pair::Fate;

/// What an app says to bind two cameras and to load them back.
const SAID: &str = "Login u1|a|b\r\nUploadCaramer c1|k1|1|2\r\nUploadCaramer 东|k3|2|2\r\nDownLoadCaramer 0\r\n\
                    DownLoadCaramer 1\r\nCheckCaramerOnlineStatus c1;东\r\n";

/// Begins anew after a conversation that was cut: what was answered is there, and the rest goes on to its end.
fn check(mut house: House, answered: usize, place: &str) {
    let line = house.open();
    let heard = house.ask(line, "Login u1|a|b");
    let count = heard[0].strip_prefix("LoginOk ").and_then(|rest| rest.split('|').next()?.parse::<usize>().ok());
    let count = count.unwrap_or_else(|| panic!("{place}: {heard:?}"));
    assert!(count >= answered, "{place}: {answered} were answered, {count} are there");
    assert_eq!(house.ask(line, "UploadCaramer c1|k1|1|2"), ["UploadSucess c1|null|1|2"], "{place}");
    assert_eq!(house.ask(line, "UploadCaramer 东|k3|2|2"), ["UploadSucess 东|null|2|2"], "{place}");
    assert_eq!(house.ask(line, "DownLoadCaramer 0"), ["DownloadSucess c1|k1|null|1|2"], "{place}");
    assert_eq!(house.ask(line, "DownLoadCaramer 1"), ["DownloadSucess 东|k3|null|2|2"], "{place}");
}

fn answered(received: &[u8]) -> usize {
    String::from_utf8_lossy(received).matches("UploadSucess").count()
}

#[test]
fn a_conversation_that_is_cut_at_any_byte_of_either_side_goes_on_anew() {
    let mut whole = House::with("");
    let line = whole.open();
    whole.pair.send(line, SAID.as_bytes());
    let told = whole.pair.take_received(line).len();
    for up in 0..SAID.len() {
        let mut house = House::with("");
        house.pair.wire.cut_up_after = Some(up);
        let line = house.open();
        house.pair.send(line, SAID.as_bytes());
        let answered = answered(&house.pair.take_received(line));
        house.pair.wire.cut_up_after = None;
        check(house, answered, &format!("after {up} bytes of the app"));
    }
    for down in 0..told {
        let mut house = House::with("");
        house.pair.wire.cut_down_after = Some(down);
        let line = house.open();
        house.pair.send(line, SAID.as_bytes());
        let answered = answered(&house.pair.take_received(line));
        house.pair.wire.cut_down_after = None;
        check(house, answered, &format!("after {down} bytes of the head-end"));
    }
}

#[test]
fn commands_that_come_together_are_answered_in_their_order_under_every_framing() {
    for framing in ["\\r\\n", "\\n", "##", "\\u0000", "u32-le", "u32-be"] {
        let settings = format!("reply_names = 'short'\nframing = \"{framing}\"");
        let how: super::super::settings::Settings =
            super::super::settings::Settings::of_listener(&settings.parse().expect("TOML")).expect("settings");
        let mut bytes = Vec::new();
        for command in SAID.lines() {
            how.framing.put(command.as_bytes(), &mut bytes);
        }
        let mut house = House::speaking(Encoding::Utf8, &settings);
        let line = house.open();
        house.pair.send(line, &bytes);
        let mut expected = Vec::new();
        for reply in [
            "LoginOk 0||",
            "UploadSucess c1|null|1|2",
            "UploadSucess 东|null|2|2",
            "DownloadSucess c1|k1|null|1|2",
            "DownloadSucess 东|k3|null|2|2",
            "ReturnCaramerOnlineStatus c1;null|东;null",
        ] {
            how.framing.put(reply.as_bytes(), &mut expected);
        }
        assert_eq!(house.pair.take_received(line), expected, "{framing}");
    }
}

#[test]
fn logins_that_are_under_way_at_once_are_each_answered_to_whom_they_belong() {
    let mut house = House::with("");
    house.pair.fate = Fate::Hold;
    let lines = ["u1|a|b", "u2|pw2", "u1|a|b", "u1|wrong"].map(|account| {
        let line = house.open();
        let (first, rest) = account.split_at(1);
        house.pair.send(line, format!("Login {first}").as_bytes());
        (line, format!("{rest}\r\nUploadCaramer c1|k1|1|1\r\n"))
    });
    for (line, rest) in &lines {
        house.pair.send(*line, rest.as_bytes());
    }
    let [one, two, again, wrong] = lines.map(|(line, _)| line);
    let refused = ["LoginError 用户名或者密码错误!", "LoginError 请先登录"];
    assert_eq!(house.hear(wrong), refused, "who is refused does not wait for others");
    for line in [one, two, again] {
        assert_eq!(house.hear(line), [""; 0], "not before it is stored");
    }
    house.pair.fate = Fate::Commit;
    house.pair.release(Fate::Commit);
    assert_eq!(house.hear(one), ["LoginOk 0||", "UploadSucess c1|null|1|1"]);
    assert_eq!(house.hear(two), ["LoginOk 0||", "UploadSucess c1|null|1|1"]);
    let heard = house.hear(again);
    assert_eq!(heard, ["LoginOk 0|2026-01-01 08:00:00|192.0.2.1", "UploadSucess c1|null|1|1"]);
}
