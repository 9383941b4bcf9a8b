//! What one core makes of the data-logger protocol: each step alone, then all of them, as XML bytes per second.
//!
//! `cargo bench -p loggerhead-protocols --bench logger [-- PART OF A NAME]`

#![expect(clippy::print_stdout, reason = "figures are what this is for")]
#![expect(clippy::disallowed_methods, reason = "a measurement needs a clock and the time on the core")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use loggerhead_model::{Origin, Quality, Reading, Report, ReportBuilder, Timestamp, Value};
use loggerhead_protocols::logger::cipher::Key;
use loggerhead_protocols::logger::crc::CrcVariant;
use loggerhead_protocols::logger::decode::{DecodeRules, QualityRule, decode};
use loggerhead_protocols::logger::dialect::{self, Dialect};
use loggerhead_protocols::logger::encode::{Sending, encode_data};
use loggerhead_protocols::logger::frame::{Cut, Cutter, FRAME_BYTES_MAX, Frame};
use loggerhead_protocols::logger::message::{DataHead, DataKind, Envelope, IdStyle, Message, Parser, Word};
use loggerhead_protocols::logger::text::plain;
use loggerhead_protocols::logger::time::Zone;
use quick_xml::events::Event;

/// Readings in a packet.
const READINGS: usize = 50;
/// Time for each measurement.
const SPAN: Duration = Duration::from_millis(500);

fn main() {
    let dialect = dialect::find("national").expect("the national dialect");
    let key = Key::new(*b"0000000000123456", *b"0000000000123456");
    let report = report();
    let frame = frame(dialect, &key, &report);
    let mut cut = first(&frame);
    key.decipher(cut.body_mut()).expect("whole blocks");
    let text = plain(cut.body()).expect("a text").text.into_owned();
    println!("national report of {READINGS} readings: frame {} bytes, xml {} bytes", frame.len(), text.len());

    let xml = text.len();
    let covered = frame.get(..frame.len() - 6).expect("a whole frame");
    measure("crc, four kilobytes at a time", xml, || CrcVariant::A2.of(black_box(covered)));
    let mut body = cut.body().to_vec();
    measure("cipher", xml, || key.decipher(black_box(&mut body)));
    measure("cut and check", xml, || first(black_box(&frame)));
    measure("quick-xml alone, for comparison", xml, || scan(black_box(&text)));
    measure("text to report", xml, || readings(dialect, black_box(&text)));
    measure("frame to report, all of it", xml, || {
        let mut frame = first(black_box(&frame));
        key.decipher(frame.body_mut()).expect("whole blocks");
        readings(dialect, &plain(frame.body()).expect("a text").text)
    });
    let (envelope, head) = (envelope(), head());
    let sending = Sending::new(dialect, &envelope, Some(&key));
    let mut out = BytesMut::new();
    measure("report to frame, all of it", xml, || {
        out.clear();
        encode_data(&sending, &head, black_box(&report), &mut out).expect("a frame");
        out.len()
    });
}

fn measure<T>(name: &str, xml_bytes: usize, mut work: impl FnMut() -> T) {
    let mut wanted = std::env::args().skip(1).filter(|word| !word.starts_with("--")).peekable();
    if wanted.peek().is_some() && !wanted.any(|part| name.contains(&part)) {
        return;
    }
    let mut rounds = 0_u32;
    let (start, start_on_core) = (Instant::now(), on_core());
    while start.elapsed() < SPAN {
        for _ in 0..100 {
            black_box(work());
        }
        rounds += 100;
    }
    let seconds = on_core().saturating_sub(start_on_core).as_secs_f64() / f64::from(rounds);
    let megabytes = u32::try_from(xml_bytes).map_or(0.0, f64::from) / seconds / 1e6;
    let each = seconds * 1e9 / f64::from(u32::try_from(READINGS).unwrap_or(1));
    println!("{name:34} {megabytes:8.0} MB/s of xml {each:8.0} ns a reading");
}

/// How long this thread has run, so that other work on the machine does not count.
fn on_core() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let nanoseconds = statistics.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

fn first(frame: &[u8]) -> Frame {
    let mut cutter = Cutter::new(None, FRAME_BYTES_MAX);
    cutter.push(frame);
    match cutter.cut().expect("in step") {
        Some(Cut::Frame(frame)) => frame,
        other => panic!("a frame, not {other:?}"),
    }
}

fn readings(dialect: &'static Dialect, text: &str) -> usize {
    let rules =
        DecodeRules { zone: Zone::default(), quality: QualityRule::default(), received_at: Timestamp::default() };
    match decode(dialect, 0, text, &rules).expect("a message").message {
        Message::Data(data) => data.report.len(),
        other @ (Message::Talk(_) | Message::Ack(_)) => panic!("data, not {other:?}"),
    }
}

fn scan(text: &str) -> usize {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut count = 0;
    loop {
        let event = reader.read_event().expect("well-formed");
        if let Event::Start(tag) = &event {
            count += tag.attributes().count();
        } else if event == Event::Eof {
            return count;
        }
    }
}

fn envelope() -> Envelope<'static> {
    Envelope { style: IdStyle::Building, building: "330302D110".into(), gateway: "01".into() }
}

fn head() -> DataHead {
    DataHead {
        sequence: Word::new("1024").expect("short"),
        parser: Parser::Yes,
        ..DataHead::new(DataKind::Report, Timestamp::from_unix_ms(1_767_294_000_000))
    }
}

fn report() -> Report {
    let mut builder = ReportBuilder::new(Origin::Live, 0, READINGS);
    for meter in 0..10 {
        builder.meter(&format!("{meter}"), "").expect("room");
        for function in 0..READINGS / 10 {
            let value = format!("{}.{:06}", 1000 * meter + function, 170_000 + function);
            let reading = Reading {
                meter: "",
                function: &format!("{function}"),
                coding: "01A10",
                code: "192",
                quality: Quality::Good,
                measured_at: Timestamp::from_unix_ms(1_767_294_000_000),
                value: Value::parse(&value),
                attributes: "",
            };
            builder.reading(&reading).expect("room");
        }
    }
    builder.finish()
}

fn frame(dialect: &'static Dialect, key: &Key, report: &Report) -> Vec<u8> {
    let mut out = BytesMut::new();
    let envelope = envelope();
    encode_data(&Sending::new(dialect, &envelope, Some(key)), &head(), report, &mut out).expect("a frame");
    out.to_vec()
}
