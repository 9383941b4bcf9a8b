//! Discovery for Home Assistant: each channel as a sensor that shows the readings which are passed on. Source: \[7\].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use loggerhead_model::coding::Quantity;
use loggerhead_model::{DeviceId, Presence, Reading, Value};
use serde_json::json;

/// Channels of all devices: each has a message that is kept, and there may be as many of those.
const CHANNELS_MAX: usize = 1_000_000;

/// What has been said of channels.
#[derive(Debug)]
pub(super) struct Discovery {
    /// Under which topics Home Assistant looks.
    prefix: Box<str>,
    said: BTreeMap<DeviceId, BTreeSet<Box<str>>>,
    channels: usize,
}

impl Discovery {
    /// Nothing is said yet.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into(), said: BTreeMap::new(), channels: 0 }
    }

    /// What is to be kept of a channel, under its topic, once for each. `state_topic` is where its readings are passed on.
    pub(super) fn of(
        &mut self,
        device: &DeviceId,
        reading: &Reading<'_>,
        state_topic: &str,
    ) -> Option<(String, Vec<u8>)> {
        let channel = format!("{}-{}", word(reading.meter), word(reading.function));
        let topic = format!("{}/sensor/loggerhead-{}/{channel}/config", self.prefix, word(device.as_str()));
        let said = self.said.entry(device.clone()).or_default();
        if said.contains(topic.as_str()) || self.channels >= CHANNELS_MAX {
            return None;
        }
        said.insert(topic.as_str().into());
        self.channels += 1;
        Some((topic, config(device, reading, state_topic, &channel)))
    }

    /// The topics whose messages go with a device.
    pub(super) fn removed(&mut self, device: &DeviceId) -> BTreeSet<Box<str>> {
        let topics = self.said.remove(device).unwrap_or_default();
        self.channels -= topics.len();
        topics
    }
}

fn config(device: &DeviceId, reading: &Reading<'_>, state_topic: &str, channel: &str) -> Vec<u8> {
    let own = format!("loggerhead-{}", word(device.as_str()));
    let name = [reading.meter, reading.function].join(" ");
    let fresh = Presence::ConnectedFresh.word();
    let mut object = json!({
        "name": name.trim(),
        "unique_id": format!("{own}-{channel}"),
        "state_topic": state_topic,
        "value_template": "{{ value_json.value }}",
        "json_attributes_topic": state_topic,
        "availability_topic": format!("loggerhead/{device}/presence"),
        "availability_template": format!("{{{{ 'online' if value_json.presence == '{fresh}' else 'offline' }}}}"),
        "device": { "identifiers": [own], "name": device.as_str() },
        "origin": { "name": "Loggerhead", "sw_version": env!("CARGO_PKG_VERSION") },
    });
    let quantity = Quantity::of(reading.coding, reading.function);
    let (class, state_class) = match quantity {
        Some(Quantity::Energy) => (Some("energy"), "total_increasing"),
        Some(Quantity::Volume) => (Some("water"), "total_increasing"),
        Some(Quantity::Voltage) => (Some("voltage"), "measurement"),
        Some(Quantity::Current) => (Some("current"), "measurement"),
        Some(Quantity::Power) => (Some("power"), "measurement"),
        None => (None, "measurement"),
    };
    let unit = quantity.map(Quantity::unit);
    // Whoever says a state class must say numbers.
    let state_class = matches!(reading.value, Value::Decimal(_)).then_some(state_class);
    if let Some(object) = object.as_object_mut() {
        for (key, value) in [("unit_of_measurement", unit), ("device_class", class), ("state_class", state_class)] {
            object.extend(value.map(|value| (key.to_owned(), json!(value))));
        }
    }
    object.to_string().into_bytes()
}

/// A name in the letters that topics of discovery take; two names never become the same.
fn word(name: &str) -> String {
    let mut word = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            word.push(char::from(byte));
        } else {
            write!(word, "_{byte:02x}").expect("a text takes everything");
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use loggerhead_model::{DeviceId, Quality, Reading, Timestamp, Value};
    use serde_json::json;

    use super::{Discovery, word};

    fn check(coding: &str, function: &str, value: &str, expected: [Option<&str>; 3]) {
        let device = DeviceId::new("tower-1").expect("short enough");
        let reading = Reading {
            meter: "1",
            function,
            coding,
            code: "",
            quality: Quality::Good,
            measured_at: Timestamp::from_unix_ms(1),
            value: Value::parse(value),
            attributes: "",
        };
        let mut discovery = Discovery::new("homeassistant");
        let state_topic = format!("loggerhead/tower-1/readings/1/{function}");
        let (topic, payload) = discovery.of(&device, &reading, &state_topic).expect("the first time");
        assert_eq!(topic, format!("homeassistant/sensor/loggerhead-tower_2d1/1-{function}/config"));
        let object: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
        for (key, expected) in ["unit_of_measurement", "device_class", "state_class"].into_iter().zip(expected) {
            assert_eq!(object.get(key).and_then(|value| value.as_str()), expected, "{key}");
        }
        assert_eq!(object["unique_id"], json!(format!("loggerhead-tower_2d1-1-{function}")));
        assert_eq!(object["state_topic"], json!(state_topic));
        assert_eq!(
            object["availability_template"],
            json!("{{ 'online' if value_json.presence == 'connected-fresh' else 'offline' }}")
        );
        assert!(discovery.of(&device, &reading, &state_topic).is_none(), "once");
        assert_eq!(discovery.removed(&device), [Box::from(topic)].into());
    }

    #[test]
    fn a_channel_is_a_sensor_with_unit_and_class_of_its_coding() {
        check("01A10", "1", "5", [Some("kWh"), Some("energy"), Some("total_increasing")]);
        check("01A10", "701", "5", [Some("kW"), Some("power"), Some("measurement")]);
        check("02000", "1", "5", [Some("m³"), Some("water"), Some("total_increasing")]);
        check("", "f", "5", [None, None, Some("measurement")]);
        check("", "f", "on", [None; 3]);
    }

    #[test]
    fn names_stay_apart() {
        assert_ne!(word("a b"), word("a_b"));
        assert_eq!(word("塔1"), "_e5_a1_941");
    }
}
