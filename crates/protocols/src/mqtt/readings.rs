//! Readings in a message: `readings/METER/FUNCTION` with a value, `readings` with JSON, or what edge nodes of Sparkplug B report.

use loggerhead_model::{
    DeviceId, Event, EventKind, Origin, Quality, Reading, Report, ReportBuilder, Severity, Timestamp, Value,
};
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::value::RawValue;

use super::broker::spoken;
use super::session::HeadEnd;
use super::sparkplug;
use crate::bindings::{ALARM, ONLINE};
use crate::{Fault, FaultKind, Now, Output};

/// The first level of topics under which readings are published.
const TOPIC: &str = "readings";

/// A message under that topic is not a reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotReadings(pub(super) String);

/// What a topic says of the readings published to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    meter: &'a str,
    function: &'a str,
}

impl<'a> Named<'a> {
    /// `None` for a topic that is not for readings.
    pub(super) fn of(topic: &'a str) -> Option<Self> {
        let rest = topic.strip_prefix(TOPIC)?;
        let Some(rest) = rest.strip_prefix('/') else {
            return rest.is_empty().then_some(Self { meter: "", function: "" });
        };
        let (meter, function) = rest.split_once('/').unwrap_or((rest, ""));
        Some(Self { meter, function })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(default = "live")]
    origin: Origin,
    #[serde(borrow)]
    readings: Vec<Written<'a>>,
}

fn live() -> Origin {
    Origin::Live
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    meter: Option<String>,
    function: Option<String>,
    time: Option<String>,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(default)]
    coding: String,
    #[serde(default)]
    code: String,
    #[serde(default = "good")]
    quality: Quality,
}

fn good() -> Quality {
    Quality::Good
}

impl HeadEnd {
    /// The readings in a message that may be published there; nothing where the topic is not for readings. What an edge node of
    /// Sparkplug B is to do goes out as well.
    pub(super) fn readings_in(
        &mut self,
        now: Now,
        topic: &str,
        payload: &[u8],
    ) -> Option<Result<Option<Report>, NotReadings>> {
        if let Some(found) = in_message(topic, payload, now.wall) {
            return Some(found.map(Some));
        }
        let topic = sparkplug::Topic::of(topic)?;
        let edges = self.edges.get_or_insert_default();
        let heard = match edges.hear(topic, payload, now.wall) {
            Ok(heard) => heard,
            Err(wrong) => return Some(Err(NotReadings(wrong))),
        };
        if let Some(complaint) = heard.complaint {
            self.say(Output::Fault(Fault::new(FaultKind::OutOfOrder, complaint)));
        }
        if let Some(text) = heard.event {
            self.say(Output::Event(Event {
                at: now.wall,
                severity: Severity::Info,
                kind: EventKind::DeviceInfo,
                device: self.device.clone(),
                peer: None,
                text: text.into(),
            }));
        }
        if let Some((topic, payload)) = heard.rebirth {
            self.broker.with(|inside| inside.proclaim(&spoken(&topic, &payload), now.wall));
        }
        Some(Ok(heard.report))
    }
}

/// The readings in a message; nothing where the topic is not for readings.
pub(super) fn in_message(topic: &str, payload: &[u8], now: Timestamp) -> Option<Result<Report, NotReadings>> {
    let read = read(Named::of(topic)?, payload, now);
    Some(read.map(|mut report| {
        // Messages that come together have one time, and what they say of cameras is to be told all the same.
        let are_happenings = report.readings().all(|reading| [ALARM, ONLINE].contains(&reading.function));
        report.happenings = are_happenings;
        report
    }))
}

/// The readings in a message. A reading without a time was measured now.
///
/// # Errors
/// `NotReadings` says what does not fit.
pub(super) fn read(named: Named<'_>, payload: &[u8], now: Timestamp) -> Result<Report, NotReadings> {
    let text = str::from_utf8(payload).map_err(|_| NotReadings("readings that are not UTF-8".to_owned()))?;
    let wrong = |error: serde_json::Error| NotReadings(format!("readings that cannot be read: {error}"));
    let batch = match text.trim_start().as_bytes().first() {
        Some(b'[') => Batch { origin: Origin::Live, readings: serde_json::from_str(text).map_err(wrong)? },
        Some(b'{') => match serde_json::from_str::<Batch<'_>>(text) {
            Ok(batch) => batch,
            Err(_) => Batch { origin: Origin::Live, readings: vec![serde_json::from_str(text).map_err(wrong)?] },
        },
        _ => return one(named, text.trim(), now),
    };
    let mut builder = ReportBuilder::new(batch.origin, payload.len(), batch.readings.len());
    let mut meter = None;
    for written in &batch.readings {
        let own = written.meter.as_deref().unwrap_or(named.meter);
        if meter != Some(own) {
            builder.meter(own, "").map_err(full)?;
            meter = Some(own);
        }
        let function = written.function.as_deref().unwrap_or(named.function);
        let measured_at = match &written.time {
            Some(time) => Timestamp::parse(time).map_err(|error| NotReadings(error.to_string()))?,
            None => now,
        };
        let value = value(written.value).map_err(wrong)?;
        add(&mut builder, function, &written.coding, &written.code, written.quality, measured_at, &value)?;
    }
    Ok(builder.finish())
}

/// A payload that is the value itself.
fn one(named: Named<'_>, value: &str, now: Timestamp) -> Result<Report, NotReadings> {
    if named.function.is_empty() {
        return Err(NotReadings("a value without a meter and a function in its topic".to_owned()));
    }
    let mut builder = ReportBuilder::new(Origin::Live, value.len(), 1);
    builder.meter(named.meter, "").map_err(full)?;
    add(&mut builder, named.function, "", "", Quality::Good, now, value)?;
    Ok(builder.finish())
}

fn add(
    builder: &mut ReportBuilder,
    function: &str,
    coding: &str,
    code: &str,
    quality: Quality,
    measured_at: Timestamp,
    value: &str,
) -> Result<(), NotReadings> {
    let value = Value::parse(value);
    builder
        .reading(&Reading { meter: "", function, coding, code, quality, measured_at, value, attributes: "" })
        .map_err(full)
}

#[expect(clippy::needless_pass_by_value, reason = "this is what map_err gives")]
fn full(error: loggerhead_model::ReportFull) -> NotReadings {
    NotReadings(error.to_string())
}

/// A number with the digits that were sent; of a text, what is in it. Nothing, lists and objects are no values.
fn value(raw: &RawValue) -> Result<String, serde_json::Error> {
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw.get()),
        Some(b'n' | b'[' | b'{') => Err(serde_json::Error::custom("a value is a number, a text, true or false")),
        _ => Ok(raw.get().to_owned()),
    }
}

/// Under which topic a stored reading is passed on: `loggerhead/DEVICE/readings/METER/FUNCTION`. What would be a level or a
/// wildcard in a name stands there as `_`.
pub(super) fn topic_of(device: &DeviceId, reading: &Reading<'_>) -> String {
    let level = |name: &str| name.replace(['/', '+', '#', '\0'], "_");
    format!("loggerhead/{device}/{TOPIC}/{}/{}", level(reading.meter), level(reading.function))
}

/// A stored reading as JSON.
pub(super) fn write_one(reading: &Reading<'_>) -> Vec<u8> {
    object(reading).to_string().into_bytes()
}

fn object(reading: &Reading<'_>) -> serde_json::Value {
    serde_json::json!({
        "meter": reading.meter,
        "function": reading.function,
        "time": reading.measured_at.to_string(),
        "value": reading.value.to_string(),
        "coding": reading.coding,
        "code": reading.code,
        "quality": reading.quality,
    })
}

/// A report as a message for `readings`.
pub(super) fn write(report: &Report) -> Vec<u8> {
    let readings: Vec<_> = report.readings().map(|reading| object(&reading)).collect();
    serde_json::json!({ "origin": report.origin, "readings": readings }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use loggerhead_model::{Report, Timestamp};

    use super::{Named, read, write};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

    fn lines(report: &Report) -> Vec<String> {
        let line = |reading: loggerhead_model::Reading<'_>| {
            let (meter, function, value) = (reading.meter, reading.function, reading.value);
            format!("{meter} {function} {} {value} {} {:?}", reading.measured_at, reading.code, reading.quality)
        };
        report.readings().map(line).collect()
    }

    fn check(topic: &str, payload: &str, expected: &[&str]) {
        let report = read(Named::of(topic).expect("a topic for readings"), payload.as_bytes(), NOW).expect(payload);
        assert_eq!(lines(&report), expected, "{payload}");
        let again = read(Named::of("readings").expect("the topic"), &write(&report), NOW).expect("what we wrote");
        assert_eq!(lines(&again), expected);
    }

    #[test]
    fn readings_come_as_a_value_an_object_a_list_or_a_batch() {
        check("readings/1/temperature", "21.50", &["1 temperature 2026-01-01T00:00:00Z 21.50  Good"]);
        check("readings/1", r#"{"function":"f","value":675.170000}"#, &["1 f 2026-01-01T00:00:00Z 675.170000  Good"]);
        check(
            "readings",
            r#"[{"meter":"1","function":"a","value":"x y","time":"2025-12-31T23:59:59Z","code":"192"},
                {"meter":"2","function":"b","value":-1,"quality":"bad"}]"#,
            &["1 a 2025-12-31T23:59:59Z x y 192 Good", "2 b 2026-01-01T00:00:00Z -1  Bad"],
        );
        check(
            "readings/1/f",
            r#"{"origin":"resumed","readings":[{"value":1}]}"#,
            &["1 f 2026-01-01T00:00:00Z 1  Good"],
        );
    }

    #[test]
    fn what_is_not_a_reading_is_refused() {
        for (topic, payload) in [("readings", "5"), ("readings", "{"), ("readings", r#"{"value":1,"x":2}"#)] {
            assert!(
                read(Named::of(topic).expect("a topic for readings"), payload.as_bytes(), NOW).is_err(),
                "{payload}"
            );
        }
        for value in ["null", "[1]", r#"{"a":1}"#] {
            let payload = format!(r#"{{"meter":"1","function":"f","value":{value}}}"#);
            let refused = read(Named::of("readings").expect("the topic"), payload.as_bytes(), NOW);
            assert!(refused.is_err(), "{payload}");
        }
        let time = br#"{"value":1,"time":"yesterday"}"#;
        assert!(read(Named::of("readings").expect("the topic"), time, NOW).is_err());
        assert_eq!(Named::of("readingsx"), None);
        assert_eq!(Named::of("other/readings"), None);
    }
}
