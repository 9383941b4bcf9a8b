//! A robot is seen as it moves, and whether its cycles are answered.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};

use super::{CONSOLE, PASSWORD, assert_quiet, with_accounts};
use crate::support::{HeadEnd, PATIENCE};

/// Robots of this host: one that writes documents, one in its cycles.
const ROBOTS: &str = r#"
[[listener]]
name = "robots"
protocol = "kuka"
address = ["127.0.0.1:0"]

[[listener]]
name = "cycles"
protocol = "rsi"
address = ["udp:127.0.0.1:0"]
[listener.rsi]
record_ms = 0
# A browser on a busy machine may keep the robot waiting for longer than robots are silent.
silence_s = 300

[[device]]
id = "press"
protocol = "kuka"
identity = "127.0.0.1"
login = "name"

[[device]]
id = "arm"
protocol = "rsi"
identity = "127.0.0.1"
login = "name"
"#;

/// Answers that came late and cycles that were lost, as the page marks them; it may mark a state that was not recorded as well.
const COUNTED: &str =
    "[...document.querySelectorAll('#robot dl [data-state=warning]')].slice(0, 2).map((one) => one.textContent).join()";

/// Writes one document, and waits until it is stored.
fn write(robot: &mut TcpStream, number: u32, a1: &str, mode: &str) {
    let axes = format!("<Axis A1=\"{a1}\" A2=\"-90\" A3=\"90\" A4=\"0\" A5=\"10\" A6=\"0\"></Axis>");
    let document = format!("<Robot><Sequence>{number}</Sequence>{axes}<Mode>{mode}</Mode></Robot>");
    robot.write_all(document.as_bytes()).expect("the head-end reads");
    let mut answer = vec![0; format!("<Server><Stored>{number}</Stored></Server>").len()];
    robot.read_exact(&mut answer).expect("an answer");
}

#[test]
fn a_robots_page_shows_its_axes_and_state_and_follows_them() {
    let directory = tempfile::tempdir().expect("a directory for this test");
    let head_end = with_accounts(HeadEnd::start(directory.path(), &format!("{CONSOLE}{ROBOTS}")));
    let at =
        |listener| head_end.addresses_of(listener).first().expect("it listens").trim_start_matches("udp:").to_owned();
    let mut robot = TcpStream::connect(at("robots")).expect("the head-end listens");
    robot.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
    write(&mut robot, 1, "12.5", "#T1");
    let browser = super::Browser::start(&head_end.api_address());
    browser.sign_in("viewer", PASSWORD);
    browser.open("/devices/press");
    browser.wait_text("#robot", "T1, by hand and slow");
    browser.wait_text("#robot tbody tr[data-key=Axis] td", "12.5 °");
    browser.wait("document.getElementById('connection').dataset.state === 'live'");
    write(&mut robot, 2, "-45", "#AUT");
    browser.wait_text("#robot", "Automatic");
    browser.wait_text("#robot tbody tr[data-key=Axis] td", "-45 °");
    browser.wait("document.querySelector('#robot svg line').getAttribute('transform') === 'rotate(-45)'");
    assert_eq!(browser.violations(), [""; 0]);
    browser.picture("robot");
    browser.resize(390, 844);
    assert_eq!(browser.value("document.documentElement.scrollWidth"), 390, "a phone shows it without moving the page");

    // One that is not connected hears of no errors of the network, as a robot does not.
    let (cycles, to) = (UdpSocket::bind("127.0.0.1:0").expect("a free port"), at("cycles"));
    cycles.set_read_timeout(Some(PATIENCE)).expect("a socket of this test");
    browser.open("/preferences?language=zh&next=/devices/arm");
    // The third state says that an answer was missed and a cycle is missing; the next one that is recorded tells of it.
    for (ipoc, delay) in [(4, 0), (8, 0), (16, 1)].into_iter().chain((20..).step_by(4).map(|ipoc| (ipoc, 1))) {
        let place = "<RIst X=\"445\" Y=\"0\" Z=\"790\" A=\"0\" B=\"90\" C=\"0\"/>";
        let state = format!("<Rob Type=\"KUKA\">{place}<Delay D=\"{delay}\"/><IPOC>{ipoc}</IPOC></Rob>");
        cycles.send_to(state.as_bytes(), &to).expect("a socket of this test");
        cycles.recv(&mut [0; 1_000]).expect("an answer");
        if browser.value(COUNTED) == "1,1" {
            break;
        }
        assert!(ipoc < 100_000, "never told: {}", browser.text("#robot"));
    }
    browser.wait_text("#robot tbody tr[data-key=RIst] td", "445 mm");
    assert_eq!(browser.violations(), [""; 0]);
    assert_quiet(&browser);
    assert!(head_end.stop().success());
}
