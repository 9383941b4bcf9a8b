//! How long the questions of a console take on a large store: 10,000 devices and 100 million readings.
//!
//! `cargo bench -p loggerhead-store --bench questions -- [--devices N] [--readings N] [--directory PATH]`. A directory that
//! holds such a store already is only asked.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod large;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use loggerhead_model::Timestamp;
use loggerhead_store::{Channel, EventFilter, ListOrder, Options, Reader, ReadingFilter, Store};

use large::{START, Size, device, fill};

const DAY: i64 = 24 * 60 * 60 * 1000;

/// A question is asked so often, and the median is shown.
const TIMES: usize = 11;

struct Arguments {
    size: Size,
    directory: Option<PathBuf>,
}

fn arguments() -> Arguments {
    let mut arguments = Arguments { size: Size { devices: 10_000, readings: 100_000_000 }, directory: None };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(name) = words.next() {
        let value = words.next().unwrap_or_default();
        let number = || value.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} wants a number"));
        match name.as_str() {
            "--devices" => arguments.size.devices = number(),
            "--readings" => arguments.size.readings = number(),
            "--directory" => arguments.directory = Some(PathBuf::from(value)),
            _ => panic!("{name}: not an argument"),
        }
    }
    arguments
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
        fill(&store, &arguments.size).await;
        let health = store.health();
        println!("filled in {:.0} s: {} channels", started.elapsed().as_secs_f64(), health.channels);
    }
    ask(&store.reader());
    store.close().await;
}
