//! Any sequence of packets, resends, late readings and restarts, against a plain map.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use loggerhead_model::Timestamp;
use loggerhead_store::{Options, Reader, ReadingFilter, Store, verify};
use proptest::prelude::*;

use crate::common::{Point, lines, packet, store_packet};

const DEVICES: [&str; 3] = ["a", "b", "c"];
const METERS: [&str; 4] = ["1", "2", "3", "10"];
const VALUES: [&str; 5] = ["0", "1.50", "-7", "data0", "999999999999.999999"];

#[derive(Clone, Debug)]
enum Step {
    /// Device, and its readings: meter, time, value.
    Send(usize, Vec<(usize, i64, usize)>),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let reading = (0..METERS.len(), 0..60_i64, 0..VALUES.len());
    prop_oneof![
        12 => (0..DEVICES.len(), prop::collection::vec(reading, 1..25)).prop_map(|(device, readings)| Step::Send(device, readings)),
        1 => Just(Step::Restart),
    ]
}

type Key = (usize, String, i64);

#[derive(Default)]
struct Model {
    readings: BTreeMap<Key, usize>,
    conflicts: BTreeSet<(Key, usize)>,
}

impl Model {
    fn send(&mut self, device: usize, readings: &[(usize, i64, usize)]) {
        for &(meter, at, value) in readings {
            let key = (device, METERS[meter].to_owned(), at);
            let first = *self.readings.entry(key.clone()).or_insert(value);
            if first != value {
                self.conflicts.insert((key, value));
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let line = |((device, meter, at), value): (&Key, &usize)| {
            format!("{} {meter} 1 {at} {}", DEVICES[*device], VALUES[*value])
        };
        self.readings.iter().map(line).collect()
    }
}

fn conflicts(reader: &Reader) -> BTreeSet<(Key, usize)> {
    let mut found = BTreeSet::new();
    let read = reader.conflicts(&ReadingFilter::default(), None, &mut |conflict| {
        let (device, reading) = (conflict.later.device.as_str(), conflict.later.reading);
        let device = DEVICES.iter().position(|name| *name == device).expect("a device of the model");
        let value = reading.value.to_string();
        let value = VALUES.iter().position(|text| *text == value).expect("a value of the model");
        found.insert(((device, reading.meter.to_owned(), reading.measured_at.unix_ms()), value));
        ControlFlow::Continue(())
    });
    read.expect("a readable store");
    found
}

fn latest(reader: &Reader) -> BTreeMap<(String, String), i64> {
    let mut found = BTreeMap::new();
    let read = reader.latest(&ReadingFilter::default(), &mut |stored| {
        let key = (stored.device.to_string(), stored.reading.meter.to_owned());
        found.insert(key, stored.reading.measured_at.unix_ms());
        ControlFlow::Continue(())
    });
    read.expect("a readable store");
    found
}

fn counted(reader: &Reader) -> u64 {
    let span = |count| (Timestamp::from_unix_ms(0), Timestamp::from_unix_ms(60), count);
    let channels = reader.channels(&ReadingFilter::default()).expect("a readable store");
    let mut sum = 0;
    for channel in channels {
        let (from, to, count) = span(7);
        let buckets = reader.buckets(channel.id, from, to, count).expect("a readable store");
        sum += buckets.iter().map(|bucket| bucket.count + bucket.bad).sum::<u64>();
    }
    sum
}

fn check(store: &Store, directory: &std::path::Path, model: &Model) {
    for reader in [store.reader(), Reader::open(directory).expect("a readable store")] {
        assert_eq!(lines(&reader), model.lines());
        assert_eq!(conflicts(&reader), model.conflicts);
        assert_eq!(counted(&reader), model.readings.len() as u64);
        let mut newest = BTreeMap::new();
        for (device, meter, at) in model.readings.keys() {
            newest.insert((DEVICES[*device].to_owned(), meter.clone()), *at);
        }
        assert_eq!(latest(&reader), newest);
    }
}

async fn run(steps: Vec<Step>, hot_readings_max: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = || Options { hot_readings_max, log_tail_batches: 1, ..Options::default() };
    let mut store = Store::open(directory.path(), options()).expect("a store");
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Send(device, readings) => {
                let point = |&(meter, at, value): &(usize, i64, usize)| Point {
                    meter: METERS[meter],
                    function: "1",
                    at,
                    value: VALUES[value],
                };
                let points: Vec<_> = readings.iter().map(point).collect();
                assert!(store_packet(&store, packet(DEVICES[device], &points)).await);
                model.send(device, &readings);
            }
            Step::Restart => {
                check(&store, directory.path(), &model);
                store.close().await;
                let reader = Reader::open(directory.path()).expect("a readable store");
                assert_eq!(reader.stats().expect("a readable store").readings, model.readings.len() as u64);
                store = Store::open(directory.path(), options()).expect("a store");
            }
        }
    }
    check(&store, directory.path(), &model);
    store.close().await;
    let report = verify(directory.path(), &mut |_| ()).expect("a store to verify");
    assert!(report.is_sound(), "{:?}", report.damage);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_reading_is_there_once(steps in prop::collection::vec(step(), 1..60), hot in 0..40_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(run(steps, hot));
    }
}
