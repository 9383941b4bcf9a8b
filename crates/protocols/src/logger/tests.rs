//! Whole conversations of both sides in memory, by topic. The vectors of single frames are elsewhere.

mod login;
mod normal_day;

use loggerhead_model::{
    DeviceId, Identity, Learnt, Origin, Quality, Reading, Report, ReportBuilder, Ticket, Timestamp, Value,
};

use super::PROTOCOL;
use super::dialect::{ALL_DIALECTS, Dialect};
use crate::DeviceSettings;
use crate::pair::{Enrolled, Happening, Pair};

/// The identity of the device that every conversation is about.
const IDENTITY: &str = "330302D110/01";
const KEY: &str = "text:0000000000123456";

fn table(text: &str) -> toml::Table {
    text.parse().expect("toml")
}

/// A head-end that knows the device, with more settings of the listener and of the device.
fn head_end(listener: &str, device: &str) -> Pair {
    let identity = Identity::new(IDENTITY).expect("a name");
    let listener = table(&format!("aes_keys = ['text:9999999999999999', '{KEY}']\n{listener}"));
    let settings = table(device);
    let mut devices = [DeviceSettings { identity: &identity, table: &settings }].into_iter();
    let acceptor = (PROTOCOL.acceptor)(&listener, &mut devices).expect("settings");
    let mut pair = Pair::new(acceptor);
    let enrolled = Enrolled {
        device: DeviceId::new("tower-1").expect("a name"),
        secret: b"IJKLMNOPQRSTUVWX".to_vec(),
        cipher_is_enough: true,
        settings: settings.clone().into(),
        learnt: Learnt::new(),
    };
    pair.enrolled.insert(identity.clone(), enrolled);
    pair
}

/// A device that says who it is and knows its secrets, with more settings of it.
fn attach(pair: &mut Pair, dialect: &Dialect, more: &str) {
    // A later line of the same name would be refused, so what a test sets anew is left out of the first lines.
    let mut settings = table(more);
    for (name, value) in [("dialect", dialect.name), ("aes_key", KEY), ("secret", "text:IJKLMNOPQRSTUVWX")] {
        settings.entry(name).or_insert_with(|| value.into());
    }
    let opening = pair.opening();
    pair.attach((PROTOCOL.device)(&settings, opening).expect("settings"));
}

/// A packet of `count` readings, different for every `number`.
fn report(origin: Origin, number: u64, count: u64) -> Report {
    let mut builder = ReportBuilder::new(origin, 0, 0);
    builder.meter("1", "").expect("room");
    for function in 1..=count {
        let text = format!("{number}.{function:02}");
        let reading = Reading {
            meter: "1",
            function: &function.to_string(),
            coding: "01A10",
            code: "192",
            quality: Quality::Good,
            measured_at: Timestamp::from_unix_ms(1_767_225_600_000 + i64::try_from(number).expect("small") * 1000),
            value: Value::parse(&text),
            attributes: "",
        };
        builder.reading(&reading).expect("room");
    }
    builder.finish()
}

/// The values that were committed, in order, without packets that came twice.
fn kept_values(pair: &Pair) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for report in pair.kept.iter().filter_map(|records| records.report.as_ref()) {
        for reading in report.readings() {
            let value = reading.value.to_string();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    values
}

/// As what the values of `report` stand in the store.
fn values_of(reports: impl Iterator<Item = Report>) -> Vec<String> {
    reports.flat_map(|report| report.readings().map(|reading| reading.value.to_string()).collect::<Vec<_>>()).collect()
}

/// Nothing may be delivered that is not committed: checked over the log, in the order in which things happened.
fn assert_committed_before_delivered(pair: &Pair, packets: &dyn Fn(Ticket) -> Report) {
    let mut kept = 0;
    for what in pair.happenings() {
        if let Happening::Committed(_, place) = what {
            kept = place + 1;
        }
        if let Happening::Delivered(ticket) = what {
            let wanted = values_of(std::iter::once(packets(*ticket)));
            let found = values_of(pair.kept[..kept].iter().filter_map(|records| records.report.clone()));
            assert!(wanted.iter().all(|value| found.contains(value)), "{ticket:?} was delivered before its commit");
        }
    }
}

/// Dialects whose devices hear of every stored packet, with settings under which they do.
fn acknowledging() -> impl Iterator<Item = (&'static Dialect, &'static str)> {
    ALL_DIALECTS.into_iter().map(|dialect| {
        let settles = dialect.habits.report != super::dialect::DataAnswer::Nothing;
        (dialect, if settles { "" } else { "live = 'continuous'" })
    })
}
