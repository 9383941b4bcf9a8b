//! What the store alone can do: readings a second, latency of the answer, stalls while sealing, bytes on disk, and how
//! long a day of one channel takes.
//!
//! `cargo bench -p loggerhead-store --bench store -- [--readings N] [--devices N] [--channels N] [--submitters N]
//! [--window N] [--hot N] [--frames BYTES] [--rate PACKETS] [--directory PATH]`; with a rate, so many packets a second

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::indexing_slicing, reason = "a bench that indexes wrongly stops")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use loggerhead_model::{
    Decimal, DeviceId, Direction, Origin, Quality, RawFrame, Reading, Records, Report, ReportBuilder, Ticket,
    Timestamp, Value,
};
use loggerhead_store::{ChannelId, Completion, Condition, FrameKeeping, Options, Outcome, Reply, Store};
use tokio::sync::Semaphore;

/// 2026-09-21, ms since 1970.
const START: i64 = 1_790_000_000_000;
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const FUNCTIONS: usize = 10;
const QUERIES: u32 = 2_000;

#[derive(Clone, Debug)]
struct Arguments {
    readings: usize,
    devices: usize,
    channels: usize,
    submitters: usize,
    window: usize,
    hot: usize,
    frame_bytes: usize,
    /// Packets a second of all submitters; 0: as fast as they are taken.
    rate: usize,
    directory: Option<PathBuf>,
}

impl Arguments {
    fn parse() -> Self {
        let defaults = Options::default();
        let mut arguments = Self {
            readings: 30_000_000,
            devices: 400,
            channels: 50,
            submitters: 200,
            window: 8,
            hot: defaults.hot_readings_max,
            frame_bytes: 0,
            rate: 0,
            directory: None,
        };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(name) = words.next() {
            let value = words.next().unwrap_or_default();
            let number = || value.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} wants a number"));
            match name.as_str() {
                "--readings" => arguments.readings = number(),
                "--devices" => arguments.devices = number(),
                "--channels" => arguments.channels = number(),
                "--submitters" => arguments.submitters = number(),
                "--window" => arguments.window = number(),
                "--hot" => arguments.hot = number(),
                "--frames" => arguments.frame_bytes = number(),
                "--rate" => arguments.rate = number(),
                "--directory" => arguments.directory = Some(PathBuf::from(value)),
                _ => panic!("{name}: not an argument"),
            }
        }
        arguments
    }
}

/// One connection: its window, and when each packet in it was submitted.
struct Connection {
    window: Semaphore,
    sent: Mutex<Vec<Instant>>,
    figures: Arc<Figures>,
}

/// What all connections see together.
struct Figures {
    started: Instant,
    latencies_us: Mutex<Vec<u32>>,
    last_ack_us: AtomicI64,
    stall_us: AtomicI64,
    refused: AtomicU64,
}

impl Completion for Connection {
    fn complete(&self, outcomes: &mut dyn Iterator<Item = Outcome>) {
        let now = Instant::now();
        let elapsed = i64::try_from(self.figures.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let before = self.figures.last_ack_us.swap(elapsed, Ordering::Relaxed);
        self.figures.stall_us.fetch_max(elapsed - before, Ordering::Relaxed);
        let sent = self.sent.lock().expect("no panic");
        let mut latencies = self.figures.latencies_us.lock().expect("no panic");
        let mut count = 0;
        for outcome in outcomes {
            count += 1;
            match outcome {
                Outcome::Stored(receipt) => {
                    let place = usize::try_from(receipt.ticket().0).unwrap_or(0) % sent.len();
                    let took = now.duration_since(sent[place]);
                    latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                }
                Outcome::NotStored(_) => drop(self.figures.refused.fetch_add(1, Ordering::Relaxed)),
            }
        }
        self.window.add_permits(count);
    }
}

/// A device that reports every minute: counters that rise, curves of a day.
struct Device {
    id: DeviceId,
    names: Vec<(String, String)>,
    packets: i64,
    seed: u64,
}

impl Device {
    fn new(number: usize, channels: usize) -> Self {
        let names = (0..channels)
            .map(|channel| (format!("{}", channel / FUNCTIONS + 1), format!("{}", channel % FUNCTIONS + 1)));
        Self {
            id: DeviceId::new(&format!("330302D{number:03}-01")).expect("a legal name"),
            names: names.collect(),
            packets: 0,
            seed: number as u64 + 1,
        }
    }

    fn random(&mut self, below: u64) -> i64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        i64::try_from(self.seed % below).unwrap_or(0)
    }

    fn report(&mut self) -> (i64, Report) {
        let measured_at = START + self.packets * MINUTE;
        self.packets += 1;
        let names = std::mem::take(&mut self.names);
        let mut builder = ReportBuilder::new(Origin::Live, names.len() * 4 + 64, names.len());
        let mut last = "";
        for (channel, (meter, function)) in (0_i64..).zip(&names) {
            if meter != last {
                builder.meter(meter, "addr\t000000000001").expect("room");
                last = meter;
            }
            let wave = |length: i64, height: i64| {
                let phase = self.packets % length;
                height * phase.min(length - phase) * 2 / length
            };
            let mantissa = match channel % 3 {
                0 => 1_000_000 + channel * 10_000 + self.packets * 1_700 + self.random(200),
                1 => 220_000 + wave(1440, 8_000) + self.random(300),
                _ => 5_000 + wave(1440, 40_000) + self.random(900),
            };
            let value = Value::Decimal(Decimal { mantissa: mantissa * 1000, scale: 6 });
            let reading = Reading {
                meter,
                function,
                coding: "01A10",
                code: "192",
                quality: Quality::Good,
                measured_at: Timestamp::from_unix_ms(measured_at),
                value,
                attributes: "",
            };
            builder.reading(&reading).expect("room");
        }
        self.names = names;
        (measured_at, builder.finish())
    }

    fn records(&mut self, frame: Option<&Bytes>) -> Records {
        let (measured_at, report) = self.report();
        let received_at = measured_at + 200 + self.random(1_500);
        Records {
            device: self.id.clone(),
            received_at: Timestamp::from_unix_ms(received_at),
            report: Some(report),
            frame: frame.map(|bytes| RawFrame { direction: Direction::In, bytes: bytes.clone() }),
            events: Vec::new(),
            notes: Vec::new(),
        }
    }
}

async fn connection(
    store: Store,
    mut devices: Vec<Device>,
    packets: usize,
    connection: Arc<Connection>,
    frame: Option<Bytes>,
    every: Duration,
) {
    for number in 0..packets {
        let due = connection.figures.started + every * u32::try_from(number).unwrap_or(u32::MAX);
        if !every.is_zero() {
            tokio::time::sleep_until(due.into()).await;
        }
        let device = number % devices.len();
        let records = devices[device].records(frame.as_ref());
        connection.window.acquire().await.expect("never closed").forget();
        {
            let mut sent = connection.sent.lock().expect("no panic");
            let place = number % sent.len();
            sent[place] = Instant::now();
        }
        let reply = Reply { ticket: Ticket(number as u64), to: connection.clone() };
        store.submit(records, Some(reply)).await;
    }
}

fn percentile(sorted: &[u32], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list"
    )]
    let place = ((sorted.len() as f64 - 1.0) * share) as usize;
    f64::from(sorted.get(place).copied().unwrap_or(0)) / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
async fn fill(store: &Store, arguments: &Arguments) {
    let figures = Arc::new(Figures {
        started: Instant::now(),
        latencies_us: Mutex::default(),
        last_ack_us: AtomicI64::new(0),
        stall_us: AtomicI64::new(0),
        refused: AtomicU64::new(0),
    });
    let packets = arguments.readings / arguments.channels / arguments.submitters;
    let frame = (arguments.frame_bytes > 0).then(|| frame(arguments.frame_bytes));
    let mut devices: Vec<Vec<Device>> = (0..arguments.submitters).map(|_| Vec::new()).collect();
    for number in 0..arguments.devices.max(arguments.submitters) {
        devices[number % arguments.submitters].push(Device::new(number, arguments.channels));
    }
    let mut tasks = Vec::new();
    let every = Duration::from_secs(1) * u32::try_from(arguments.submitters).unwrap_or(u32::MAX);
    let every = every.checked_div(u32::try_from(arguments.rate).unwrap_or(u32::MAX)).unwrap_or_default();
    for devices in devices {
        let state = Arc::new(Connection {
            window: Semaphore::new(arguments.window),
            sent: Mutex::new(vec![Instant::now(); arguments.window * 2]),
            figures: Arc::clone(&figures),
        });
        tasks.push((
            state.clone(),
            tokio::spawn(connection(store.clone(), devices, packets, state, frame.clone(), every)),
        ));
    }
    for (state, task) in tasks {
        task.await.expect("no panic");
        let window = u32::try_from(arguments.window).unwrap_or(u32::MAX);
        drop(state.window.acquire_many(window).await.expect("never closed"));
    }
    let took = figures.started.elapsed().as_secs_f64();
    let readings = packets * arguments.channels * arguments.submitters;
    let mut latencies = std::mem::take(&mut *figures.latencies_us.lock().expect("no panic"));
    latencies.sort_unstable();
    let health = store.health();
    println!("{:>12.0} readings/s ({readings} in {took:.2} s)", readings as f64 / took);
    println!("{:>12.2} ms ack p50", percentile(&latencies, 0.5));
    println!("{:>12.2} ms ack p99", percentile(&latencies, 0.99));
    println!("{:>12.2} ms ack p99.9", percentile(&latencies, 0.999));
    println!("{:>12.2} ms ack max", percentile(&latencies, 1.0));
    println!("{:>12.2} ms longest time without any ack", figures.stall_us.load(Ordering::Relaxed) as f64 / 1000.0);
    println!("{:>12} batches, {:.2} ms longest commit", health.cursor.number(), health.commit_ms_max);
    println!("{:>12} hot readings, {} MB write-ahead log", health.hot_readings, health.wal_bytes / 1_000_000);
    assert_eq!(figures.refused.load(Ordering::Relaxed), 0, "nothing may be refused");
    assert_eq!(health.condition, Condition::Ok, "the store must work");
}

/// XML as a device sends it, of about so many bytes.
fn frame(length: usize) -> Bytes {
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><root><common><building_id>330302D110</building_id>");
    let mut index = 0_u64;
    while text.len() < length {
        let value = 100_000 + index * 7919 % 100_000;
        let (function, whole, part) = (index % 10, value / 100, value * 31 % 1_000_000);
        text.extend(["<function id=\"", &function.to_string(), "\" coding=\"01A10\" error=\"192\">"]);
        text.extend([&whole.to_string(), ".", &format!("{part:06}"), "</function>"]);
        index += 1;
    }
    Bytes::from(text)
}

/// Seals everything: opens the store so that nothing stays in the log.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
async fn seal(directory: &Path) {
    let started = Instant::now();
    let options = Options { hot_readings_max: 0, log_tail_batches: 0, ..Options::default() };
    let store = Store::open(directory, options).expect("a store");
    let opened = started.elapsed();
    while store.health().hot_readings > 0 || store.reader().stats().expect("a readable store").log_batches > 64 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stats = store.reader().stats().expect("a readable store");
    store.close().await;
    let free = stats.free_bytes;
    println!("{:>12.0} ms to open with what was not sealed", opened.as_secs_f64() * 1000.0);
    let used = (stats.database_bytes - free) as f64;
    println!(
        "{:>12.2} bytes/reading sealed ({} MB for {} readings)",
        used / stats.readings as f64,
        stats.database_bytes / 1_000_000,
        stats.readings
    );
    println!("{:>12.2} bytes/reading with free pages", stats.database_bytes as f64 / stats.readings as f64);
}

fn query(directory: &Path, arguments: &Arguments) {
    let store = Store::open(directory, Options::default()).expect("a store");
    let reader = store.reader();
    let channels = u32::try_from(arguments.devices.max(arguments.submitters) * arguments.channels).unwrap_or(u32::MAX);
    let mut latencies = Vec::new();
    let mut readings = 0_u64;
    for query in 0..QUERIES {
        let channel = ChannelId(query.wrapping_mul(7919) % channels);
        let started = Instant::now();
        let found =
            reader.range(channel, Timestamp::from_unix_ms(START), Timestamp::from_unix_ms(START + DAY), &mut |_| {
                readings += 1;
                ControlFlow::Continue(())
            });
        found.expect("a readable store");
        latencies.push(u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX) / 10);
    }
    latencies.sort_unstable();
    let ms = |share| percentile(&latencies, share) / 100.0;
    println!(
        "{:>12.3} ms day of a channel p50, {:.3} p99 ({} readings)",
        ms(0.5),
        ms(0.99),
        readings / u64::from(QUERIES)
    );
}

fn main() {
    let arguments = Arguments::parse();
    println!("{arguments:?}");
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = arguments.directory.clone().unwrap_or_else(|| temporary.path().join("data"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let frames = if arguments.frame_bytes > 0 { FrameKeeping::Keep } else { FrameKeeping::Drop };
        let options = Options { hot_readings_max: arguments.hot, frames, ..Options::default() };
        let store = Store::open(&directory, options).expect("a store");
        fill(&store, &arguments).await;
        let started = Instant::now();
        store.close().await;
        println!("{:>12.0} ms to close", started.elapsed().as_secs_f64() * 1000.0);
        seal(&directory).await;
    });
    query(&directory, &arguments);
}
