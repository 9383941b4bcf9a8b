//! A store as large as the figures of a console are asked for: shared by the benches that ask it.

use std::sync::Arc;
use std::time::Duration;

use loggerhead_model::{
    Decimal, DeviceId, Evidence, Identity, Learnt, Origin, Presence, Quality, Reading, Records, Report, ReportBuilder,
    Ticket, Timestamp, Value,
};
use loggerhead_store::{
    Change, Completion, DeviceRecord, DeviceSource, DeviceState, Login, Options, Outcome, Reply, Store,
};
use tokio::sync::Semaphore;

/// 2025-09-21, ms since 1970.
pub(crate) const START: i64 = 1_758_412_800_000;
const QUARTER: i64 = 15 * 60 * 1000;
/// Readings of a channel in a year.
const YEAR: i64 = 365 * 96;
/// Channels of every device; of the first one there is a whole year.
const CHANNELS: i64 = 10;
const DASHBOARD_CHANNELS: i64 = 60;
/// Moments in one packet.
const MOMENTS: i64 = 100;
/// Packets on their way to the store.
const WINDOW: usize = 64;

/// How much there is.
pub(crate) struct Size {
    pub(crate) devices: i64,
    pub(crate) readings: i64,
}

/// The device of this number.
pub(crate) fn device(number: i64) -> DeviceId {
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

/// Fills an empty store.
pub(crate) async fn fill(store: &Store, size: &Size) {
    let window = Arc::new(Window(Semaphore::new(WINDOW)));
    let each = size.readings / size.devices / CHANNELS;
    let packets =
        (0..(each + MOMENTS - 1) / MOMENTS).flat_map(|packet| (1..size.devices).map(move |device| (device, packet)));
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
    for first in (0..size.devices).step_by(500) {
        let numbers = first..size.devices.min(first + 500);
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
