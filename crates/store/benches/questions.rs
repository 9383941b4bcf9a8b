//! How long the questions of a console take on a large store: 10,000 devices and 100 million readings.
//!
//! `cargo bench -p loggerhead-store --bench questions -- [--devices N] [--readings N] [--directory PATH]`. A directory that
//! holds such a store already is only asked.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use loggerhead_model::{
    Decimal, DeviceId, Evidence, Identity, Learnt, Origin, Presence, Quality, Reading, Records, Report, ReportBuilder,
    Ticket, Timestamp, Value,
};
use loggerhead_store::{
    Change, Channel, Completion, DeviceRecord, DeviceSource, DeviceState, EventFilter, ListOrder, Login, Options,
    Outcome, Reader, ReadingFilter, Reply, Store,
};
use tokio::sync::Semaphore;

/// 2025-09-21, ms since 1970.
const START: i64 = 1_758_412_800_000;
const QUARTER: i64 = 15 * 60 * 1000;
const DAY: i64 = 96 * QUARTER;
/// Readings of a channel in a year.
const YEAR: i64 = 365 * 96;
/// Channels of every device; of the first one there is a whole year.
const CHANNELS: i64 = 10;
const DASHBOARD_CHANNELS: i64 = 60;
/// Moments in one packet.
const MOMENTS: i64 = 100;
/// Packets on their way to the store.
const WINDOW: usize = 64;
/// A question is asked so often, and the median is shown.
const TIMES: usize = 11;

struct Arguments {
    devices: i64,
    readings: i64,
    directory: Option<PathBuf>,
}

fn arguments() -> Arguments {
    let mut arguments = Arguments { devices: 10_000, readings: 100_000_000, directory: None };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(name) = words.next() {
        let value = words.next().unwrap_or_default();
        let number = || value.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} wants a number"));
        match name.as_str() {
            "--devices" => arguments.devices = number(),
            "--readings" => arguments.readings = number(),
            "--directory" => arguments.directory = Some(PathBuf::from(value)),
            _ => panic!("{name}: not an argument"),
        }
    }
    arguments
}

fn device(number: i64) -> DeviceId {
    DeviceId::new(&format!("site-{number:05}")).expect("a legal name")
}

fn report(channels: i64, first: i64, moments: i64, seed: i64) -> Report {
    let count = usize::try_from(channels * moments).expect("a small packet");
    let mut builder = ReportBuilder::new(Origin::Resumed, 0, count);
    for channel in 0..channels {
        let (meter, function) = ((channel / 10 + 1).to_string(), (channel % 10 + 1).to_string());
        builder.meter(&meter, "addr\t000000000001").expect("room");
        for moment in first..first + moments {
            let wave = (moment % 96 - 48).abs() * 700;
            let jitter = (moment * 7919 + channel * 104_729 + seed * 1_299_709) % 900;
            let mantissa = if channel % 3 == 0 { moment * 1_700 + jitter } else { 220_000 + wave + jitter };
            let reading = Reading {
                meter: &meter,
                function: &function,
                coding: "01A10",
                code: "192",
                quality: Quality::Good,
                measured_at: Timestamp::from_unix_ms(START + moment * QUARTER),
                value: Value::Decimal(Decimal { mantissa, scale: 3 }),
                attributes: "",
            };
            builder.reading(&reading).expect("room");
        }
    }
    builder.finish()
}

/// Counts what is stored.
struct Window(Semaphore);

impl Completion for Window {
    fn complete(&self, outcomes: &mut dyn Iterator<Item = Outcome>) {
        let stored = outcomes.inspect(|outcome| assert!(matches!(outcome, Outcome::Stored(_)), "everything is stored"));
        self.0.add_permits(stored.count());
    }
}

async fn fill(store: &Store, arguments: &Arguments) {
    let window = Arc::new(Window(Semaphore::new(WINDOW)));
    let each = arguments.readings / arguments.devices / CHANNELS;
    let packets = (0..(each + MOMENTS - 1) / MOMENTS)
        .flat_map(|packet| (1..arguments.devices).map(move |device| (device, packet)));
    let year = (0..YEAR / MOMENTS).map(|packet| (0, packet));
    for (number, packet) in year.chain(packets) {
        let channels = if number == 0 { DASHBOARD_CHANNELS } else { CHANNELS };
        let records = Records {
            device: device(number),
            received_at: Timestamp::from_unix_ms(START + (packet + 1) * MOMENTS * QUARTER),
            report: Some(report(channels, packet * MOMENTS, MOMENTS, number)),
            frame: None,
            events: Vec::new(),
            notes: Vec::new(),
        };
        window.0.acquire().await.expect("never closed").forget();
        store.submit(records, Some(Reply { ticket: Ticket(0), to: window.clone() })).await;
    }
    drop(window.0.acquire_many(u32::try_from(WINDOW).unwrap_or(u32::MAX)).await.expect("never closed"));
    for first in (0..arguments.devices).step_by(500) {
        let numbers = first..arguments.devices.min(first + 500);
        store.write_all(numbers.flat_map(known).collect()).await.expect("a working store");
    }
    while store.health().hot_readings > Options::default().hot_readings_max {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn known(number: i64) -> [Change; 2] {
    let at = Timestamp::from_unix_ms(START);
    let record = DeviceRecord {
        id: device(number),
        protocol: "logger".to_owned(),
        identity: Identity::new(&format!("330302D{number:05}/01")).expect("a legal name"),
        state: DeviceState::Active,
        secret: None,
        login: Login::Secret,
        settings: String::new(),
        learnt: Learnt::default(),
        added_at: at,
        source: DeviceSource::Operator,
        site: None,
    };
    let evidence = Evidence {
        presence: Presence::Never,
        since: Some(at),
        last_bytes_at: Some(at),
        last_reading_at: Some(at),
        peer: Some("10.0.0.1:40000".to_owned()),
        closed_because: None,
    };
    [Change::Device(record), Change::Presence(device(number), evidence)]
}

fn show(name: &str, goal: &str, mut ask: impl FnMut() -> usize) {
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..TIMES {
        let started = Instant::now();
        found = ask();
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(TIMES / 2).copied().unwrap_or_default();
    let most = times.last().copied().unwrap_or_default();
    println!("{median:>10.2} ms, at most {most:>8.2} | {name} ({found}) | goal {goal}");
}

fn ask(reader: &Reader) {
    let at = |day: i64| Timestamp::from_unix_ms(START + day * DAY);
    let of = |number| ReadingFilter { device: Some(device(number)), ..ReadingFilter::default() };
    let readable = "a readable store";
    show("overview: counts", "with the list under 100 ms", || {
        usize::try_from(reader.stats().expect(readable).readings).unwrap_or(usize::MAX)
    });
    show("overview: newest 20 events", "with the list under 100 ms", || {
        let mut found = 0;
        let filter = EventFilter { order: ListOrder::NewestFirst, ..EventFilter::default() };
        let read = reader.events(&filter, &mut |_| {
            found += 1;
            if found < 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        read.expect(readable);
        found
    });
    show("device list: records", "under 100 ms", || reader.devices().expect(readable).len());
    show("device list: presence", "under 100 ms", || reader.presence().expect(readable).len());
    show("device page: latest of one device", "none", || {
        let mut found = 0;
        let read = reader.latest(&of(4_000), &mut |_| {
            found += 1;
            ControlFlow::Continue(())
        });
        read.expect(readable);
        found
    });
    let channels: Vec<Channel> = reader.channels(&of(0)).expect(readable);
    let mut next = channels.iter().cycle();
    show("a year of one channel at 15 minutes, in 1,000 buckets", "under 50 ms", || {
        let channel = next.next().expect("channels");
        reader.buckets(channel.id, at(0), at(365), 1_000).expect(readable).len()
    });
    show("a dashboard: 20 channels over a month, in 300 buckets each", "under 300 ms", || {
        let shown = channels.iter().step_by(3).take(20);
        shown.map(|channel| reader.buckets(channel.id, at(100), at(130), 300).expect(readable).len()).sum()
    });
    show("the same of 20 devices", "under 300 ms", || {
        let mut buckets = 0;
        for number in (100..2_100).step_by(100) {
            let channel = reader.channel(&device(number), "1", "1").expect(readable).expect("a channel");
            buckets += reader.buckets(channel.id, at(0), at(30), 300).expect(readable).len();
        }
        buckets
    });
}

fn main() {
    let arguments = arguments();
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = arguments.directory.clone().unwrap_or_else(|| temporary.path().join("data"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(&directory, &arguments));
}

async fn run(directory: &Path, arguments: &Arguments) {
    let store = Store::open(directory, Options::default()).expect("a store");
    let started = Instant::now();
    if store.health().channels == 0 {
        fill(&store, arguments).await;
        let health = store.health();
        println!("filled in {:.0} s: {} channels", started.elapsed().as_secs_f64(), health.channels);
    }
    ask(&store.reader());
    store.close().await;
}
