use std::net::SocketAddr;

use etherparse::PacketBuilder;
use loggerhead_model::Timestamp;

use super::capture;
use super::streams::{Conversation, Conversations, Segment};

const DEVICE: ([u8; 4], u16) = ([10, 0, 0, 1], 5000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 36829);

fn segment(from_device: bool, sequence: u32, bytes: &[u8], packet: u64) -> Segment<'_> {
    let (from, to) = if from_device { (DEVICE, SERVER) } else { (SERVER, DEVICE) };
    let address = |(ip, port): ([u8; 4], u16)| SocketAddr::from((ip, port));
    let (from, to) = (address(from), address(to));
    Segment { from, to, sequence, opens: false, answers: true, bytes, packet, at: Timestamp::default() }
}

fn joined(segments: &[Segment<'_>]) -> Vec<Conversation> {
    let mut conversations = Conversations::new(None);
    for segment in segments {
        conversations.take(segment).expect("within limits");
    }
    conversations.finish()
}

/// What each side said, and how many bytes are missing.
fn said(conversations: &[Conversation]) -> Vec<(u16, String, u64)> {
    let runs = conversations.iter().flat_map(|conversation| &conversation.runs);
    runs.map(|run| (run.from.port(), String::from_utf8_lossy(&run.bytes).into_owned(), run.missing_before)).collect()
}

#[test]
fn segments_in_any_order_and_twice_make_one_text() {
    let start = u32::MAX - 3; // the sequence number runs over
    let mut syn = segment(true, start.wrapping_sub(1), b"", 1);
    (syn.opens, syn.answers) = (true, false);
    let found = joined(&[
        syn,
        segment(true, start.wrapping_add(4), b"efgh", 2),
        segment(true, start, b"abcd", 3),
        segment(false, 70, b"ok", 4),
        segment(true, start, b"abcd", 5),
        segment(true, start.wrapping_add(6), b"ghij", 6),
    ]);
    assert_eq!(said(&found), [(5000, "abcdefghij".to_owned(), 0), (36829, "ok".to_owned(), 0)]);
}

#[test]
fn what_was_not_captured_is_a_gap_and_not_a_guess() {
    let found = joined(&[segment(true, 1, b"ab", 1), segment(true, 10, b"cd", 2)]);
    assert_eq!(said(&found), [(5000, "ab".to_owned(), 0), (5000, "cd".to_owned(), 7)]);
}

#[test]
fn a_stream_that_waits_for_ever_stays_bounded() {
    let part = vec![b'x'; 1024 * 1024];
    let mut conversations = Conversations::new(None);
    conversations.take(&segment(true, 0, b"a", 1)).expect("within limits");
    for index in 0..6_u32 {
        conversations
            .take(&segment(true, 100 + index * 1024 * 1024, &part, u64::from(index) + 2))
            .expect("within limits");
    }
    let found = conversations.finish();
    let lengths: Vec<_> = said(&found).iter().map(|(_, text, missing)| (text.len(), *missing)).collect();
    assert_eq!(lengths, [(1, 0), (6 * 1024 * 1024, 99)]);
}

#[test]
fn the_same_ports_again_are_another_conversation() {
    let mut again = segment(true, 5000, b"", 3);
    (again.opens, again.answers) = (true, false);
    let found = joined(&[segment(true, 1, b"one", 1), again, segment(true, 5001, b"two", 4)]);
    assert_eq!(found.len(), 2);
}

/// A packet on Ethernet.
fn ethernet(from: ([u8; 4], u16), to: ([u8; 4], u16), sequence: u32, bytes: &[u8]) -> Vec<u8> {
    let builder =
        PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(from.0, to.0, 64).tcp(from.1, to.1, sequence, 1024).ack(1);
    let mut packet = Vec::new();
    builder.write(&mut packet, bytes).expect("memory takes everything");
    packet
}

fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    for word in [0x0004_0002_u32, 0, 0, 65_535, 1] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for (second, packet) in (1_u32..).zip(packets) {
        let length = u32::try_from(packet.len()).expect("a small packet");
        for word in [second, 250_000, length, length] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(packet);
    }
    file
}

fn pcapng(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let padding = body.len().next_multiple_of(4) - body.len();
        let length = u32::try_from(body.len() + padding + 12).expect("a small block");
        file.extend_from_slice(&kind.to_le_bytes());
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(body);
        file.extend_from_slice(&vec![0; padding]);
        file.extend_from_slice(&length.to_le_bytes());
    };
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]));
    block(1, &words(&[1, 65_535]));
    for (second, packet) in (1_u64..).zip(packets) {
        let ticks = second * 1_000_000 + 250_000;
        let length = u32::try_from(packet.len()).expect("a small packet");
        let low = u32::try_from(ticks & 0xffff_ffff).expect("32 bits");
        let mut body = words(&[0, u32::try_from(ticks >> 32).expect("32 bits"), low, length, length]);
        body.extend_from_slice(packet);
        block(6, &body);
    }
    file
}

#[test]
fn both_kinds_of_capture_give_the_same_conversation() {
    let packets = [
        ethernet(DEVICE, SERVER, 1, b"hello "),
        ethernet(SERVER, DEVICE, 9, b"yes"),
        ethernet(DEVICE, SERVER, 7, b"there"),
    ];
    for file in [pcap(&packets), pcapng(&packets)] {
        let mut conversations = Conversations::new(Some(36829));
        let mut times = Vec::new();
        let notes = capture::read(&file, &mut |segment| {
            times.push(segment.at.unix_ms());
            conversations.take(&segment)
        });
        assert_eq!(notes.expect("a capture"), Vec::<String>::new());
        assert_eq!(times, [1250, 2250, 3250]);
        let found = conversations.finish();
        assert_eq!(said(&found), [(5000, "hello there".to_owned(), 0), (36829, "yes".to_owned(), 0)]);
    }
}

#[test]
fn a_damaged_capture_gives_what_is_before_the_damage() {
    let mut file = pcap(&[ethernet(DEVICE, SERVER, 1, b"hello")]);
    file.extend_from_slice(&[1, 0, 0, 0, 9]);
    let mut count = 0;
    let notes = capture::read(&file, &mut |_| {
        count += 1;
        Ok(())
    });
    assert_eq!((count, notes.expect("a capture").len()), (1, 1));
}
