use std::time::Duration;

use super::House;
use crate::FaultKind;
use crate::pair::Happening;

/// A line that with its end is so long.
fn line_of(bytes: usize) -> Vec<u8> {
    [b"HB ", &vec![b'x'; bytes - 5][..], b"\r\n"].concat()
}

#[test]
fn a_line_at_the_limit_is_taken_and_one_over_it_does_what_is_set() {
    for (settings, replies, stays) in [
        ("", &[][..], false),
        ("on_oversize = 'close'", &[], false),
        ("on_oversize = 'error_then_close'", &["命令过长"], false),
        ("on_oversize = 'discard_line'", &["命令过长", "R"], true),
    ] {
        let mut house = House::with(settings);
        let line = house.user("1");
        house.send(line, &line_of(1_023));
        house.expect(line, &["参数错误"]);
        house.send(line, &line_of(1_024));
        house.send(line, b"HB R\r\n");
        house.expect(line, replies);
        assert_eq!(house.pair.is_open(line), stays, "{settings}");
        let fault = |what: &Happening| if let Happening::Fault(fault) = what { Some(fault.kind) } else { None };
        let faults: Vec<_> = house.pair.happenings().filter_map(fault).collect();
        assert_eq!(faults, [FaultKind::TooLarge]);
    }
}

#[test]
fn a_line_without_an_end_is_given_up_at_the_limit() {
    for (settings, limit) in [("", 1_024), ("line_bytes_limit = 4096", 4_096)] {
        let mut house = House::with(settings);
        let line = house.open();
        house.send(line, &vec![b'x'; limit - 1]);
        assert!(house.pair.is_open(line));
        house.send(line, b"x");
        assert!(!house.pair.is_open(line));
        house.expect(line, &[]);
    }
}

#[test]
fn an_endless_line_that_is_discarded_is_told_once() {
    let mut house = House::with("on_oversize = 'discard_line'");
    let line = house.user("1");
    for _ in 0..10 {
        house.send(line, &[b'x'; 1_000]);
    }
    house.send(line, b"\r\nHB R\r\n");
    house.expect(line, &["命令过长", "R"]);
}

#[test]
fn commands_over_the_rate_wait_and_none_is_lost() {
    let mut house = House::with("rate = 10");
    let line = house.user("1");
    house.send(line, &b"HB R\r\n".repeat(30));
    let first = house.hear(line).len();
    assert_eq!(first, 9, "and the login was one");
    house.wait(Duration::from_secs(1));
    assert_eq!(house.hear(line).len(), 10);
    house.wait(Duration::from_secs(2));
    assert_eq!(house.hear(line).len(), 11);
}

#[test]
fn no_bytes_break_a_session() {
    let mut house = House::new();
    let mut seed = 1_u32;
    for _ in 0..200 {
        let line = house.open();
        let bytes: Vec<_> = (0..200)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b"\r\n HBCheckatonfirm123456\0\xb5\xc7\xff"[seed as usize / 7 % 27]
            })
            .collect();
        house.pair.send(line, &bytes);
        house.pair.hang_up(line);
    }
}
