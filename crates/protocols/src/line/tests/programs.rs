use std::time::Duration;

use super::House;

#[test]
fn the_greeting_server_waits_for_bytes_greets_and_closes() {
    let mut house = House::with("program = 'hello'");
    let line = house.connect();
    assert_eq!(&*house.pair.take_received(line), b"");
    house.send(line, b"anything at all");
    let said = house.pair.take_received(line);
    assert_eq!((&*said, said.len()), (&b"Hello,you are connected!\n\0"[..], 26));
    assert!(!house.pair.is_open(line));
}

#[test]
fn the_prompting_server_answers_every_six_bytes_twenty_times() {
    let mut house = House::with("program = 'prompt'");
    let line = house.connect();
    assert_eq!(&*house.pair.take_received(line), b"welcome !!!\n\0");
    house.send(line, b"1234567");
    assert_eq!(&*house.pair.take_received(line), b"Please enter the data:\0".repeat(2));
    for _ in 2..20 {
        assert!(house.pair.is_open(line));
        house.send(line, b"x");
        assert_eq!(&*house.pair.take_received(line), b"Please enter the data:\0");
    }
    assert!(!house.pair.is_open(line));
}

#[test]
fn the_server_of_capitals_goes_on_until_stop() {
    let mut house = House::with("program = 'upper'");
    let line = house.connect();
    house.send(line, b"ping pong 1\xff");
    assert_eq!(&*house.pair.take_received(line), b"PING PONG 1\xff");
    house.send(line, b"stop\r\n");
    assert_eq!(&*house.pair.take_received(line), b"");
    assert!(!house.pair.is_open(line));
}

#[test]
fn the_echo_sends_back_what_it_reads() {
    let mut house = House::with("program = 'echo'");
    let line = house.connect();
    house.send(line, b"a\0\r\nb");
    assert_eq!(&*house.pair.take_received(line), b"a\0\r\nb");
    house.cut(line);
    assert!(!house.pair.is_open(line));
}

#[test]
fn a_small_server_gives_up_who_says_nothing() {
    for program in ["hello", "prompt", "upper", "echo"] {
        let mut house = House::with(&format!("program = '{program}'"));
        let line = house.connect();
        house.wait(Duration::from_mins(1));
        assert!(!house.pair.is_open(line), "{program}");
    }
}
