//! All devices as edge nodes of one group: born when they are there, dead when they are not, with a metric for each channel.

use std::collections::BTreeMap;

use loggerhead_model::{DeviceId, Presence, Reading, Timestamp, Value};

use super::payload::{Metric, Payload, Said, Writer, metric};
use super::{BD_SEQ, NAMESPACE, REBIRTH};

/// Metrics of all devices: each is in memory with its last value, as kept messages are.
const METRICS_MAX: usize = 1_000_000;

/// A message of the view: topic and payload.
pub(in crate::mqtt) type Saying = (String, Vec<u8>);

/// The last value of a channel.
#[derive(Debug, PartialEq, Eq)]
struct Last {
    measured_at: Timestamp,
    value: Box<str>,
    is_number: bool,
    quality: Option<u64>,
}

/// A device as an edge node.
#[derive(Debug, Default)]
struct Node {
    is_born: bool,
    seq: u8,
    /// Counts its births after deaths; \[5\] §5.4.
    bd_seq: u8,
    metrics: BTreeMap<Box<str>, Last>,
}

/// All of them.
#[derive(Debug)]
pub(in crate::mqtt) struct View {
    group: Box<str>,
    nodes: BTreeMap<DeviceId, Node>,
    metrics: usize,
}

impl View {
    /// A view of nothing, under this group.
    pub(in crate::mqtt) fn new(group: &str) -> Self {
        Self { group: group.into(), nodes: BTreeMap::new(), metrics: 0 }
    }

    fn topic(&self, kind: &str, device: &DeviceId) -> String {
        format!("{NAMESPACE}{}/{kind}/{device}", self.group)
    }

    /// Whether a topic is one under which the view speaks, so that nobody else does.
    pub(in crate::mqtt) fn speaks_under(&self, topic: &str) -> bool {
        let own = topic.strip_prefix(NAMESPACE).and_then(|rest| rest.strip_prefix(&*self.group));
        own.is_some_and(|rest| ["/NBIRTH/", "/NDATA/", "/NDEATH/"].iter().any(|kind| rest.starts_with(kind)))
    }

    /// Readings that came together are to be passed on. A device whose births did not name all of their channels is born
    /// again, once, with all of them.
    pub(in crate::mqtt) fn name(
        &mut self,
        device: &DeviceId,
        readings: &[Reading<'_>],
        now: Timestamp,
    ) -> Option<Saying> {
        let node = self.nodes.entry(device.clone()).or_default();
        let mut is_any_new = false;
        for reading in readings {
            let (name, last) = (name(reading), Last::of(reading));
            let known = node.metrics.get(&*name);
            let is_new = match known {
                Some(known) => known.is_number != last.is_number && known.measured_at <= last.measured_at,
                None => self.metrics < METRICS_MAX,
            };
            if is_new {
                self.metrics += usize::from(known.is_none());
                node.metrics.insert(name.into(), last);
                is_any_new = true;
            }
        }
        if !is_any_new || !node.is_born {
            return None;
        }
        let birth = node.birth(now);
        Some((self.topic("NBIRTH", device), birth))
    }

    /// One of these readings, if its device is there and its birth has not just said it.
    pub(in crate::mqtt) fn reading(
        &mut self,
        device: &DeviceId,
        reading: &Reading<'_>,
        now: Timestamp,
    ) -> Option<Saying> {
        let (name, last) = (name(reading), Last::of(reading));
        let node = self.nodes.get_mut(device)?;
        let known = node.metrics.get_mut(&*name).filter(|known| **known != last)?;
        let is_historical = known.measured_at > last.measured_at;
        let metric = Metric { is_historical, ..last.metric(&name) };
        let mut writer = Writer::new(ms(now));
        writer.metric(&metric);
        if !is_historical {
            *known = last;
        }
        if !node.is_born {
            return None;
        }
        node.seq = node.seq.wrapping_add(1);
        let data = writer.finish(Some(node.seq));
        Some((self.topic("NDATA", device), data))
    }

    /// The presence of a device changed. Only who is heard from is alive.
    pub(in crate::mqtt) fn presence(
        &mut self,
        device: &DeviceId,
        presence: Presence,
        now: Timestamp,
    ) -> Option<Saying> {
        let is_there = presence == Presence::ConnectedFresh;
        let node = self.nodes.entry(device.clone()).or_default();
        if node.is_born == is_there {
            return None;
        }
        node.is_born = is_there;
        Some(if is_there {
            let birth = node.birth(now);
            (self.topic("NBIRTH", device), birth)
        } else {
            let death = node.death(now);
            (self.topic("NDEATH", device), death)
        })
    }

    /// A device was removed.
    pub(in crate::mqtt) fn removed(&mut self, device: &DeviceId, now: Timestamp) -> Option<Saying> {
        let mut node = self.nodes.remove(device)?;
        self.metrics -= node.metrics.len();
        node.is_born.then(|| (self.topic("NDEATH", device), node.death(now)))
    }

    /// Somebody commands an edge node of ours. What it can do is to be born again, for who has missed that.
    pub(in crate::mqtt) fn commanded(&mut self, topic: &str, payload: &[u8], now: Timestamp) -> Option<Saying> {
        let own = topic.strip_prefix(NAMESPACE)?.strip_prefix(&*self.group)?.strip_prefix("/NCMD/")?;
        let device = DeviceId::new(own).ok()?;
        let is_rebirth = |metric: Metric<'_>| metric.name == Some(REBIRTH) && metric.said == Said::Boolean(true);
        let is_asked = Payload::read(payload).ok()?.metrics().any(|metric| metric.is_ok_and(is_rebirth));
        let node = self.nodes.get_mut(&device).filter(|node| node.is_born && is_asked)?;
        let birth = node.birth(now);
        Some((self.topic("NBIRTH", &device), birth))
    }
}

impl Node {
    /// Everything that there is.
    fn birth(&mut self, now: Timestamp) -> Vec<u8> {
        self.seq = 0;
        let mut writer = Writer::new(ms(now));
        writer.metric(&metric(BD_SEQ, ms(now), Said::Long(self.bd_seq.into())));
        writer.metric(&metric(REBIRTH, ms(now), Said::Boolean(false)));
        for (name, last) in &self.metrics {
            writer.metric(&last.metric(name));
        }
        writer.finish(Some(self.seq))
    }

    /// The end of what its birth began.
    fn death(&mut self, now: Timestamp) -> Vec<u8> {
        let mut writer = Writer::new(ms(now));
        writer.metric(&metric(BD_SEQ, ms(now), Said::Long(self.bd_seq.into())));
        self.bd_seq = self.bd_seq.wrapping_add(1);
        writer.finish(None)
    }
}

impl Last {
    fn of(reading: &Reading<'_>) -> Self {
        Self {
            measured_at: reading.measured_at,
            value: reading.value.to_string().into(),
            is_number: matches!(reading.value, Value::Decimal(_)),
            quality: reading.code.parse().ok(),
        }
    }

    fn metric<'a>(&'a self, name: &'a str) -> Metric<'a> {
        let number = Some(self.is_number).filter(|is_number| *is_number).and_then(|_| self.value.parse().ok());
        let said = number.map_or(Said::Text(&self.value), Said::Double);
        Metric { quality: self.quality, ..metric(name, ms(self.measured_at), said) }
    }
}

/// `METER/FUNCTION`, or the function of a device that reports about itself.
fn name(reading: &Reading<'_>) -> String {
    let Reading { meter, function, .. } = reading;
    if meter.is_empty() { (*function).to_owned() } else { format!("{meter}/{function}") }
}

/// Milliseconds since 1970; a time before that is its first moment.
fn ms(at: Timestamp) -> u64 {
    u64::try_from(at.unix_ms()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use loggerhead_model::{DeviceId, Presence, Quality, Reading, Timestamp, Value};

    use super::super::payload::{Payload, Said, Writer, metric};
    use super::{Saying, View};

    const NOW: Timestamp = Timestamp::from_unix_ms(5_000);

    fn tower() -> DeviceId {
        DeviceId::new("tower").expect("short enough")
    }

    fn reading(function: &'static str, at: i64, value: &'static str) -> Reading<'static> {
        Reading {
            meter: "1",
            function,
            coding: "",
            code: "192",
            quality: Quality::Good,
            measured_at: Timestamp::from_unix_ms(at),
            value: Value::parse(value),
            attributes: "",
        }
    }

    fn shown(saying: Option<Saying>) -> String {
        let Some((topic, payload)) = saying else { return "nothing".to_owned() };
        let payload = Payload::read(&payload).expect("what we wrote");
        let seq = payload.seq.map(|seq| format!(" #{seq}")).unwrap_or_default();
        let mut text = format!("{topic}{seq}");
        for metric in payload.metrics().map(|metric| metric.expect("what we wrote")) {
            let late = if metric.is_historical { "late " } else { "" };
            let value = metric.said.words(metric.datatype).expect("a value");
            write!(text, " {late}{}={value}", metric.name.expect("a name")).expect("a text takes everything");
        }
        text
    }

    /// What the view says of readings that came together.
    fn told(view: &mut View, all: &[Reading<'_>]) -> Vec<String> {
        let mut said: Vec<_> = view.name(&tower(), all, NOW).into_iter().collect();
        said.extend(all.iter().filter_map(|reading| view.reading(&tower(), reading, NOW)));
        said.into_iter().map(|saying| shown(Some(saying))).collect()
    }

    #[test]
    fn a_device_is_born_with_its_channels_says_what_changes_and_dies() {
        let (mut view, tower) = (View::new("G"), tower());
        assert_eq!(told(&mut view, &[reading("a", 1, "1.50")]), [""; 0], "it is not there yet");
        let fresh = Presence::ConnectedFresh;
        let born = "spBv1.0/G/NBIRTH/tower #0 bdSeq=0 Node Control/Rebirth=false 1/a=1.5";
        assert_eq!(shown(view.presence(&tower, fresh, NOW)), born);
        assert_eq!(shown(view.presence(&tower, fresh, NOW)), "nothing");
        assert_eq!(told(&mut view, &[reading("a", 3, "2")]), ["spBv1.0/G/NDATA/tower #1 1/a=2"]);
        assert_eq!(told(&mut view, &[reading("a", 2, "9")]), ["spBv1.0/G/NDATA/tower #2 late 1/a=9"]);
        let again = "spBv1.0/G/NBIRTH/tower #0 bdSeq=0 Node Control/Rebirth=false 1/a=2 1/b=on";
        assert_eq!(told(&mut view, &[reading("b", 3, "on")]), [again], "a channel that no birth named");
        let changed = "spBv1.0/G/NBIRTH/tower #0 bdSeq=0 Node Control/Rebirth=false 1/a=2 1/b=7";
        assert_eq!(told(&mut view, &[reading("b", 4, "7")]), [changed], "of another datatype");
        assert_eq!(told(&mut view, &[reading("b", 1, "off")]), ["spBv1.0/G/NDATA/tower #1 late 1/b=off"]);
        assert_eq!(shown(view.presence(&tower, Presence::ConnectedSilent, NOW)), "spBv1.0/G/NDEATH/tower bdSeq=0");
        assert_eq!(shown(view.presence(&tower, Presence::Offline, NOW)), "nothing");
        assert_eq!(told(&mut view, &[reading("a", 5, "3")]), [""; 0], "it is gone");
        let reborn = "spBv1.0/G/NBIRTH/tower #0 bdSeq=1 Node Control/Rebirth=false 1/a=3 1/b=7";
        assert_eq!(shown(view.presence(&tower, fresh, NOW)), reborn);
        assert_eq!(shown(view.removed(&tower, NOW)), "spBv1.0/G/NDEATH/tower bdSeq=1");
        assert_eq!(view.metrics, 0);
    }

    #[test]
    fn channels_that_come_together_are_born_together_and_no_value_is_left_out() {
        let mut view = View::new("G");
        view.presence(&tower(), Presence::ConnectedFresh, NOW);
        let first = [reading("a", 1, "1"), reading("b", 1, "2"), reading("a", 2, "3")];
        let born = "spBv1.0/G/NBIRTH/tower #0 bdSeq=0 Node Control/Rebirth=false 1/a=1 1/b=2";
        assert_eq!(told(&mut view, &first), [born, "spBv1.0/G/NDATA/tower #1 1/a=3"]);
        let next = [reading("a", 3, "4"), reading("c", 3, "5"), reading("d", 3, "6")];
        let born = "spBv1.0/G/NBIRTH/tower #0 bdSeq=0 Node Control/Rebirth=false 1/a=3 1/b=2 1/c=5 1/d=6";
        assert_eq!(told(&mut view, &next), [born, "spBv1.0/G/NDATA/tower #1 1/a=4"]);
    }

    #[test]
    fn a_device_is_born_again_for_who_asks() {
        let (mut view, tower) = (View::new("G"), tower());
        view.presence(&tower, Presence::ConnectedFresh, NOW);
        let ask = |said| {
            let mut writer = Writer::new(1);
            writer.metric(&metric("Node Control/Rebirth", 1, said));
            writer.finish(None)
        };
        let asked = ask(Said::Boolean(true));
        let born = "spBv1.0/G/NBIRTH/tower #0 bdSeq=0 Node Control/Rebirth=false";
        assert_eq!(shown(view.commanded("spBv1.0/G/NCMD/tower", &asked, NOW)), born);
        let not = ask(Said::Boolean(false));
        for (topic, payload) in [
            ("spBv1.0/G/NCMD/tower", &*not),
            ("spBv1.0/G/NCMD/tower", b"\xff"),
            ("spBv1.0/G/NCMD/other", &asked),
            ("spBv1.0/H/NCMD/tower", &asked),
        ] {
            assert_eq!(shown(view.commanded(topic, payload, NOW)), "nothing", "{topic}");
        }
        assert!(view.speaks_under("spBv1.0/G/NDATA/x") && !view.speaks_under("spBv1.0/G/NCMD/x"));
    }
}
