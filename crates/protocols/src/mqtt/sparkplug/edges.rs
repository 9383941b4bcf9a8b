//! Edge nodes that report over one connection: what their births named, and the readings in what they say.

use std::collections::BTreeMap;

use loggerhead_model::{Origin, Quality, Reading, Report, ReportBuilder, ReportFull, Timestamp, Value};

use super::payload::{Metric, Payload, Said, Writer, metric};
use super::wire::NotFields;
use super::{BD_SEQ, Kind, NAMESPACE, REBIRTH, Topic};

/// Edge nodes of one connection: by the standard there is one.
const EDGES_MAX: usize = 16;
/// Bytes that the names of one connection's metrics take: those of a gateway with some ten thousand of them.
const NAMES_BYTES_MAX: usize = 1024 * 1024;
/// What a remembered metric takes beside its name.
const KNOWN_BYTES: usize = 64;
/// Metrics by which an edge node and its devices are steered. They measure nothing.
const CONTROLS: [&str; 2] = ["Node Control/", "Device Control/"];
/// The quality that is good, as OPC counts.
const GOOD: u64 = 192;
/// The last millisecond of the year 9999: no clock of a device is later.
const TIME_MS_MAX: u64 = 253_402_300_799_999;

/// A metric as a birth named it.
#[derive(Clone, Debug)]
struct Known {
    name: Box<str>,
    datatype: u64,
}

/// An edge node since its birth.
#[derive(Debug, Default)]
struct Edge {
    seq: Option<u8>,
    bd_seq: Option<u64>,
    by_alias: BTreeMap<u64, Known>,
    /// Datatypes by the name of the meter and that of the metric.
    by_name: BTreeMap<Box<str>, u64>,
    names_bytes: usize,
    /// It was asked to be born again, and was not yet.
    is_asked: bool,
}

/// All edge nodes of a connection. It forgets them with the connection, as the standard has them born on each.
#[derive(Debug, Default)]
pub(in crate::mqtt) struct Edges {
    by_name: BTreeMap<Box<str>, Edge>,
}

/// What a message of an edge node comes to.
#[derive(Debug)]
pub(in crate::mqtt) struct Heard {
    /// Nothing for a death, and where only controls were said.
    pub(in crate::mqtt) report: Option<Report>,
    /// What an operator may want to know of its life.
    pub(in crate::mqtt) event: Option<String>,
    /// What is wrong, though the rest is taken.
    pub(in crate::mqtt) complaint: Option<String>,
    /// A message for the edge node: it is to be born again.
    pub(in crate::mqtt) rebirth: Option<(String, Vec<u8>)>,
}

impl From<NotFields> for String {
    fn from(_: NotFields) -> Self {
        "a payload that is not of Sparkplug B".to_owned()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "this is what map_err gives")]
fn full(error: ReportFull) -> String {
    error.to_string()
}

impl Edges {
    /// Takes a message. A metric without a time of its own has that of its message, else `now`.
    ///
    /// # Errors
    /// What is wrong with it; nothing of it is taken then.
    pub(in crate::mqtt) fn hear(&mut self, topic: Topic<'_>, payload: &[u8], now: Timestamp) -> Result<Heard, String> {
        let read = Payload::read(payload)?;
        let key = format!("{}/{}", topic.group, topic.edge);
        if topic.kind == Kind::Death && topic.device.is_none() {
            return self.bury(topic, &key, &read);
        }
        if !self.by_name.contains_key(key.as_str()) && self.by_name.len() >= EDGES_MAX {
            return Err(format!("over {EDGES_MAX} edge nodes on one connection"));
        }
        let edge = self.by_name.entry(key.into()).or_default();
        let lost = edge.count(topic, &read);
        let mut heard = match topic.kind {
            Kind::Birth | Kind::Data => edge.report(topic, &read, payload.len(), now)?,
            Kind::Death => Heard { report: None, event: None, complaint: None, rebirth: None },
        };
        heard.event = match topic.kind {
            Kind::Birth => Some(format!("{} is born", topic.meter())),
            Kind::Death => Some(topic.goodbye()),
            Kind::Data => None,
        };
        heard.complaint = lost.or(heard.complaint);
        if heard.complaint.is_some() && !edge.is_asked && topic.kind != Kind::Birth {
            edge.is_asked = true;
            heard.rebirth = Some(ask(topic, now));
        }
        Ok(heard)
    }

    /// An edge node is gone, if that is said of the session that it is in.
    fn bury(&mut self, topic: Topic<'_>, key: &str, payload: &Payload<'_>) -> Result<Heard, String> {
        let mut bd_seq = None;
        for metric in payload.metrics() {
            bd_seq = bd_seq.or(bd_seq_of(&metric?));
        }
        let born = self.by_name.get(key).and_then(|edge| edge.bd_seq);
        let mut heard = Heard { report: None, event: None, complaint: None, rebirth: None };
        if born.is_some() && bd_seq.is_some() && born != bd_seq {
            heard.complaint = Some(format!("the death of {key} is that of another session"));
        } else {
            self.by_name.remove(key);
            heard.event = Some(topic.goodbye());
        }
        Ok(heard)
    }
}

/// The message that asks an edge node to be born again. Source: \[5\] §6.4.16.
fn ask(topic: Topic<'_>, now: Timestamp) -> (String, Vec<u8>) {
    let time_ms = now.unix_ms().cast_unsigned();
    let mut writer = Writer::new(time_ms);
    writer.metric(&metric(REBIRTH, time_ms, Said::Boolean(true)));
    (format!("{NAMESPACE}{}/NCMD/{}", topic.group, topic.edge), writer.finish(None))
}

fn bd_seq_of(metric: &Metric<'_>) -> Option<u64> {
    if metric.name != Some(BD_SEQ) {
        return None;
    }
    if let Said::Int(value) | Said::Long(value) = metric.said { Some(value) } else { None }
}

impl Edge {
    /// Follows the numbers of its messages; what is missing between the last one and this.
    fn count(&mut self, topic: Topic<'_>, payload: &Payload<'_>) -> Option<String> {
        if topic.kind == Kind::Birth && topic.device.is_none() {
            *self = Self::default();
            self.seq = payload.seq.and_then(|seq| u8::try_from(seq).ok());
            return None;
        }
        let seq = payload.seq.and_then(|seq| u8::try_from(seq).ok());
        let last = self.seq;
        self.seq = seq.or(last);
        match (last, seq) {
            (_, None) => None,
            (None, Some(_)) => Some(format!("{} was not born on this connection", topic.meter())),
            (Some(last), Some(seq)) if seq == last.wrapping_add(1) => None,
            (Some(last), Some(seq)) => {
                Some(format!("message {seq} of {}/{} came after {last}", topic.group, topic.edge))
            }
        }
    }

    fn report(
        &mut self,
        topic: Topic<'_>,
        payload: &Payload<'_>,
        bytes: usize,
        now: Timestamp,
    ) -> Result<Heard, String> {
        let meter = topic.meter();
        // A report is resumed where all of it is from earlier.
        let (mut all_historical, mut left_out) = (true, 0_usize);
        let mut builder = ReportBuilder::new(Origin::Live, bytes, 0);
        builder.meter(&meter, "").map_err(full)?;
        for metric in payload.metrics() {
            let metric = metric?;
            if topic.kind == Kind::Birth {
                self.bd_seq = self.bd_seq.or(bd_seq_of(&metric));
                self.learn(&meter, &metric)?;
            }
            let Some((name, datatype)) = self.named(&meter, &metric) else {
                left_out += 1;
                continue;
            };
            if name == BD_SEQ || CONTROLS.iter().any(|control| name.starts_with(control)) {
                continue;
            }
            let Some(value) = metric.said.words(datatype) else {
                left_out += 1;
                continue;
            };
            all_historical &= metric.is_historical;
            let measured_at = match metric.time_ms.or(payload.time_ms) {
                Some(ms) => time(ms)?,
                None => now,
            };
            let is_good = metric.said != Said::Null && metric.quality.is_none_or(|quality| quality == GOOD);
            let quality = if is_good { Quality::Good } else { Quality::Bad };
            let code = metric.quality.map(|quality| quality.to_string()).unwrap_or_default();
            let value = Value::parse(&value);
            let (function, code) = (&*name, &*code);
            let reading =
                Reading { meter: "", function, coding: "", code, quality, measured_at, value, attributes: "" };
            builder.reading(&reading).map_err(full)?;
        }
        let mut report = builder.finish();
        report.origin = if all_historical { Origin::Resumed } else { Origin::Live };
        let complaint =
            (left_out > 0).then(|| format!("{left_out} metrics of {meter} are no readings, or of no known name"));
        Ok(Heard { report: Some(report).filter(|report| !report.is_empty()), event: None, complaint, rebirth: None })
    }

    /// Remembers what a birth says of a metric.
    fn learn(&mut self, meter: &str, metric: &Metric<'_>) -> Result<(), String> {
        let Some(name) = metric.name else { return Ok(()) };
        let key = key(meter, name);
        let is_new =
            !self.by_name.contains_key(&*key) || metric.alias.is_some_and(|alias| !self.by_alias.contains_key(&alias));
        if is_new {
            self.names_bytes += key.len() + name.len() + KNOWN_BYTES;
        }
        if self.names_bytes > NAMES_BYTES_MAX {
            return Err(format!("names of metrics over {NAMES_BYTES_MAX} bytes"));
        }
        if let Some(alias) = metric.alias {
            self.by_alias.insert(alias, Known { name: name.into(), datatype: metric.datatype });
        }
        self.by_name.insert(key, metric.datatype);
        Ok(())
    }

    /// The name and the datatype of a metric; `None` where its birth did not name its alias.
    fn named<'a>(&self, meter: &str, metric: &Metric<'a>) -> Option<(std::borrow::Cow<'a, str>, u64)> {
        let own = Some(metric.datatype).filter(|datatype| *datatype > 0);
        if let Some(name) = metric.name {
            let datatype = own.or_else(|| self.by_name.get(&*key(meter, name)).copied());
            return Some((name.into(), datatype.unwrap_or(0)));
        }
        let known = self.by_alias.get(&metric.alias?)?;
        Some((known.name.to_string().into(), own.unwrap_or(known.datatype)))
    }
}

fn key(meter: &str, name: &str) -> Box<str> {
    format!("{meter}\0{name}").into()
}

fn time(ms: u64) -> Result<Timestamp, String> {
    let ms = Some(ms).filter(|ms| *ms <= TIME_MS_MAX).and_then(|ms| i64::try_from(ms).ok());
    ms.map(Timestamp::from_unix_ms).ok_or_else(|| "a time after the year 9999".to_owned())
}

#[cfg(test)]
mod tests {
    use loggerhead_model::Timestamp;

    use super::super::Topic;
    use super::super::payload::{Metric, Said, Writer, metric};
    use super::{EDGES_MAX, Edges, Heard};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);
    const AT: u64 = 1_767_225_599_000;

    fn payload(seq: Option<u8>, metrics: &[Metric<'_>]) -> Vec<u8> {
        let mut writer = Writer::new(AT);
        for metric in metrics {
            writer.metric(metric);
        }
        writer.finish(seq)
    }

    fn hear(edges: &mut Edges, topic: &str, seq: Option<u8>, metrics: &[Metric<'_>]) -> Heard {
        let topic = Topic::of(topic).expect("a topic of an edge node");
        edges.hear(topic, &payload(seq, metrics), NOW).expect("a message")
    }

    fn lines(heard: &Heard) -> Vec<String> {
        let line = |reading: loggerhead_model::Reading<'_>| {
            let (meter, function, at) = (reading.meter, reading.function, reading.measured_at);
            format!("{meter} {function} {at} {} {} {:?}", reading.value, reading.code, reading.quality)
        };
        heard.report.iter().flat_map(|report| report.readings().map(line).collect::<Vec<_>>()).collect()
    }

    fn aliased(alias: u64, said: Said<'_>) -> Metric<'_> {
        Metric { name: None, alias: Some(alias), time_ms: None, datatype: 0, is_historical: false, said, quality: None }
    }

    fn born(edges: &mut Edges) -> Heard {
        let birth = [
            metric("bdSeq", AT, Said::Long(3)),
            metric("Node Control/Rebirth", AT, Said::Boolean(false)),
            Metric { alias: Some(1), datatype: 3, ..metric("level", AT, Said::Int(0xffff_fffe)) },
        ];
        hear(edges, "spBv1.0/g/NBIRTH/e", Some(0), &birth)
    }

    #[test]
    fn a_birth_names_what_data_say_by_alias() {
        let mut edges = Edges::default();
        let heard = born(&mut edges);
        assert_eq!(lines(&heard), ["g/e level 2025-12-31T23:59:59Z -2  Good"]);
        assert_eq!(heard.event.as_deref(), Some("g/e is born"));
        let device = [Metric { alias: Some(2), quality: Some(500), ..metric("t", AT + 500, Said::Double(0.5)) }];
        let heard = hear(&mut edges, "spBv1.0/g/DBIRTH/e/d", Some(1), &device);
        assert_eq!(lines(&heard), ["g/e/d t 2025-12-31T23:59:59.5Z 0.5 500 Bad"]);
        let heard = hear(&mut edges, "spBv1.0/g/DDATA/e/d", Some(2), &[aliased(2, Said::Double(1.5))]);
        assert_eq!(lines(&heard), ["g/e/d t 2025-12-31T23:59:59Z 1.5  Good"]);
        let heard = hear(
            &mut edges,
            "spBv1.0/g/NDATA/e",
            Some(3),
            &[aliased(1, Said::Int(0xffff_fffd)), aliased(1, Said::Null)],
        );
        assert_eq!(lines(&heard), ["g/e level 2025-12-31T23:59:59Z -3  Good", "g/e level 2025-12-31T23:59:59Z   Bad"]);
        assert!(heard.complaint.is_none() && heard.rebirth.is_none());
    }

    #[test]
    fn who_misses_a_message_or_a_name_asks_once_for_a_birth() {
        let mut edges = Edges::default();
        let heard = hear(
            &mut edges,
            "spBv1.0/g/NDATA/e",
            Some(7),
            &[metric("a", AT, Said::Long(1)), aliased(9, Said::Long(2))],
        );
        assert_eq!(lines(&heard), ["g/e a 2025-12-31T23:59:59Z 1  Good"], "what has a name is taken");
        assert_eq!(heard.complaint.as_deref(), Some("g/e was not born on this connection"));
        let (topic, payload) = heard.rebirth.expect("it is asked");
        assert_eq!(topic, "spBv1.0/g/NCMD/e");
        assert!(String::from_utf8_lossy(&payload).contains("Node Control/Rebirth"));
        assert!(hear(&mut edges, "spBv1.0/g/NDATA/e", Some(9), &[]).rebirth.is_none(), "once");
        born(&mut edges);
        let heard = hear(&mut edges, "spBv1.0/g/NDATA/e", Some(5), &[]);
        assert_eq!(heard.complaint.as_deref(), Some("message 5 of g/e came after 0"));
        assert!(heard.rebirth.is_some(), "again after a birth");
        for seq in [255, 0] {
            hear(&mut edges, "spBv1.0/g/NDATA/e", Some(seq), &[]);
        }
        assert!(
            hear(&mut edges, "spBv1.0/g/NDATA/e", Some(1), &[]).complaint.is_none(),
            "numbers begin again after 255"
        );
    }

    #[test]
    fn a_death_is_that_of_its_own_session() {
        let mut edges = Edges::default();
        born(&mut edges);
        let heard = hear(&mut edges, "spBv1.0/g/NDEATH/e", None, &[metric("bdSeq", AT, Said::Long(2))]);
        assert!(heard.complaint.is_some() && heard.event.is_none());
        let heard = hear(&mut edges, "spBv1.0/g/DDEATH/e/d", Some(1), &[]);
        assert_eq!(heard.event.as_deref(), Some("g/e/d says goodbye"));
        let heard = hear(&mut edges, "spBv1.0/g/NDEATH/e", None, &[metric("bdSeq", AT, Said::Long(3))]);
        assert_eq!(heard.event.as_deref(), Some("g/e says goodbye"));
        let heard = hear(&mut edges, "spBv1.0/g/NDATA/e", Some(2), &[aliased(1, Said::Int(1))]);
        assert!(lines(&heard).is_empty(), "its names are forgotten");
    }

    #[test]
    fn what_is_from_earlier_was_resumed_and_what_is_no_reading_is_counted() {
        let mut edges = Edges::default();
        let earlier = Metric { is_historical: true, ..metric("a", AT - 1000, Said::Text("on")) };
        let heard = hear(&mut edges, "spBv1.0/g/NBIRTH/e", Some(0), &[earlier]);
        assert_eq!(heard.report.map(|report| report.origin), Some(loggerhead_model::Origin::Resumed));
        let other = Metric { datatype: 16, ..metric("set", AT, Said::Other) };
        let heard = hear(&mut edges, "spBv1.0/g/NDATA/e", Some(1), &[other]);
        assert!(heard.report.is_none());
        assert_eq!(heard.complaint.as_deref(), Some("1 metrics of g/e are no readings, or of no known name"));
    }

    #[test]
    fn what_an_edge_node_makes_us_remember_has_limits() {
        let mut edges = Edges::default();
        let hear = |edges: &mut Edges, topic: &str, payload: &[u8]| {
            edges.hear(Topic::of(topic).expect("a topic of an edge node"), payload, NOW).map(|_| ())
        };
        for number in 0..EDGES_MAX {
            hear(&mut edges, &format!("spBv1.0/g/NBIRTH/{number}"), &payload(Some(0), &[])).expect("room");
        }
        let error = hear(&mut edges, "spBv1.0/g/NBIRTH/x", &payload(Some(0), &[])).expect_err("no room");
        assert!(error.contains("edge nodes"), "{error}");
        let long = "x".repeat(60_000);
        let many: Vec<_> = (0..20).map(|number| format!("{number}{long}")).collect();
        let metrics: Vec<_> = many.iter().map(|name| metric(name, AT, Said::Long(1))).collect();
        let error = hear(&mut edges, "spBv1.0/g/NBIRTH/1", &payload(Some(0), &metrics)).expect_err("no room");
        assert!(error.contains("names of metrics"), "{error}");
        for wrong in [&b"\xff\xff"[..], b"\x12\x05\x0a", &payload(Some(0), &[metric("t", u64::MAX, Said::Long(1))])] {
            hear(&mut edges, "spBv1.0/g/NBIRTH/1", wrong).expect_err("it cannot be read");
        }
    }
}
