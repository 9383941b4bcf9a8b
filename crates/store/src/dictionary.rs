//! The numbers of devices, channels and tags, for the writer.
//!
//! A device mostly sends the same channels in the same order, so what its last packet looked like is tried first: a
//! steady device costs comparisons, no hashing. New numbers are given out while a batch is put together and are in the
//! database with it; when it fails, the whole dictionary is read again.

use foldhash::{HashMap, HashMapExt};
use loggerhead_model::{DeviceId, Quality, Reading, Report};

/// Coding, code, quality and attributes of a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) coding: Box<str>,
    pub(crate) code: Box<str>,
    pub(crate) quality: Quality,
    pub(crate) attributes: Box<str>,
}

impl Tag {
    fn fits(&self, reading: &Reading<'_>) -> bool {
        *self.coding == *reading.coding
            && *self.code == *reading.code
            && self.quality == reading.quality
            && *self.attributes == *reading.attributes
    }
}

/// What was given a number since the last batch.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// Number and id.
    pub(crate) devices: Vec<(u32, DeviceId)>,
    /// Number, device, meter, function.
    pub(crate) channels: Vec<(u32, u32, Box<str>, Box<str>)>,
    /// Number and tag.
    pub(crate) tags: Vec<(u32, Tag)>,
    /// Device, meter, attributes: new or changed.
    pub(crate) meters: Vec<(u32, Box<str>, Box<str>)>,
}

/// Everything that has a number.
#[derive(Default)]
pub(crate) struct Dictionary {
    devices: HashMap<DeviceId, u32>,
    known: Vec<Device>,
    channels: u32,
    tags: Vec<Tag>,
    tag_numbers: HashMap<Box<str>, u32>,
    key: String,
    added: Added,
}

#[derive(Default)]
struct Device {
    /// By meter, then by function.
    channels: HashMap<Box<str>, HashMap<Box<str>, u32>>,
    attributes: HashMap<Box<str>, Box<str>>,
    expected: Expected,
}

/// What the last packet looked like.
#[derive(Default)]
struct Expected {
    text: String,
    rows: Vec<ExpectedRow>,
    meters: String,
}

#[derive(Clone, Copy)]
struct ExpectedRow {
    channel: u32,
    tag: u32,
    meter_start: u32,
    function_start: u32,
    end: u32,
}

impl Expected {
    fn fits(&self, row: &ExpectedRow, reading: &Reading<'_>) -> bool {
        let bytes = self.text.as_bytes();
        let piece = |start: u32, end: u32| bytes.get(start as usize..end as usize).unwrap_or_default();
        piece(row.function_start, row.end) == reading.function.as_bytes()
            && piece(row.meter_start, row.function_start) == reading.meter.as_bytes()
    }

    fn push(&mut self, channel: u32, tag: u32, reading: &Reading<'_>) {
        let place = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let meter_start = place(self.text.len());
        self.text.push_str(reading.meter);
        let function_start = place(self.text.len());
        self.text.push_str(reading.function);
        let end = place(self.text.len());
        self.rows.push(ExpectedRow { channel, tag, meter_start, function_start, end });
    }
}

impl Dictionary {
    /// How many channels have a number; the next one gets this.
    pub(crate) const fn channels(&self) -> u32 {
        self.channels
    }

    /// The number of a device.
    pub(crate) fn device(&mut self, id: &DeviceId) -> u32 {
        if let Some(&number) = self.devices.get(id) {
            return number;
        }
        let number = u32::try_from(self.known.len()).expect("fewer devices than memory has bytes");
        self.load_device(id.clone());
        self.added.devices.push((number, id.clone()));
        number
    }

    /// The channel and the tag of every reading of a report, in order, appended to `numbers`. Takes note of what is said
    /// of its meters.
    pub(crate) fn numbers(&mut self, device: u32, report: &Report, numbers: &mut Vec<(u32, u32)>) {
        let Some(known) = self.known.get_mut(device as usize) else { return };
        let mut expected = std::mem::take(&mut known.expected);
        let start = numbers.len();
        let mut as_expected = expected.rows.len() == report.len();
        let mut before: Option<(Reading<'_>, u32)> = None;
        for (index, reading) in report.readings().enumerate() {
            let row = expected.rows.get(index).filter(|row| expected.fits(row, &reading));
            let fits = |number: u32| {
                let as_before =
                    before.as_ref().is_some_and(|(other, tag)| *tag == number && is_same_tag(other, &reading));
                as_before || self.tags.get(number as usize).is_some_and(|tag| tag.fits(&reading))
            };
            let numbered = match row {
                Some(row) if fits(row.tag) => (row.channel, row.tag),
                Some(row) => {
                    as_expected = false;
                    (row.channel, self.tag(&reading))
                }
                None => {
                    as_expected = false;
                    (self.channel(device, &reading), self.tag(&reading))
                }
            };
            before = Some((reading, numbered.1));
            numbers.push(numbered);
        }
        if !as_expected {
            expected.text.clear();
            expected.rows.clear();
            for (reading, &(channel, tag)) in report.readings().zip(numbers.get(start..).unwrap_or_default()) {
                expected.push(channel, tag, &reading);
            }
        }
        self.meters(device, report, &mut expected.meters);
        if let Some(known) = self.known.get_mut(device as usize) {
            known.expected = expected;
        }
    }

    /// What was added since the last call, in the order of numbers.
    pub(crate) fn take_added(&mut self) -> Added {
        std::mem::take(&mut self.added)
    }

    fn meters(&mut self, device: u32, report: &Report, expected: &mut String) {
        let mut rest = expected.as_str();
        let same = report.meters().all(|meter| {
            let after = rest.strip_prefix(meter.id).and_then(|rest| rest.strip_prefix('\n'));
            let after =
                after.and_then(|rest| rest.strip_prefix(meter.attributes)).and_then(|rest| rest.strip_prefix('\0'));
            after.is_some_and(|after| {
                rest = after;
                true
            })
        });
        if same && rest.is_empty() {
            return;
        }
        expected.clear();
        for meter in report.meters() {
            expected.push_str(meter.id);
            expected.push('\n');
            expected.push_str(meter.attributes);
            expected.push('\0');
            let Some(known) = self.known.get_mut(device as usize) else { continue };
            let before = known.attributes.get(meter.id).map_or("", AsRef::as_ref);
            if before != meter.attributes {
                known.attributes.insert(Box::from(meter.id), Box::from(meter.attributes));
                self.added.meters.push((device, Box::from(meter.id), Box::from(meter.attributes)));
            }
        }
    }

    fn channel(&mut self, device: u32, reading: &Reading<'_>) -> u32 {
        let known = self.known.get_mut(device as usize).expect("a device with a number is known");
        if let Some(&number) = known.channels.get(reading.meter).and_then(|functions| functions.get(reading.function)) {
            return number;
        }
        let number = self.channels;
        self.load_channel(number, device, reading.meter, reading.function);
        self.added.channels.push((number, device, Box::from(reading.meter), Box::from(reading.function)));
        number
    }

    fn tag(&mut self, reading: &Reading<'_>) -> u32 {
        let mut key = std::mem::take(&mut self.key);
        write_key(&mut key, reading.coding, reading.code, reading.quality, reading.attributes);
        let number = self.tag_numbers.get(key.as_str()).copied().unwrap_or_else(|| {
            let tag = Tag {
                coding: Box::from(reading.coding),
                code: Box::from(reading.code),
                quality: reading.quality,
                attributes: Box::from(reading.attributes),
            };
            let number = self.load_tag(tag.clone());
            self.added.tags.push((number, tag));
            number
        });
        self.key = key;
        number
    }

    /// Takes in a device that has the next number.
    pub(crate) fn load_device(&mut self, id: DeviceId) {
        let number = u32::try_from(self.known.len()).expect("fewer devices than memory has bytes");
        self.devices.insert(id, number);
        self.known.push(Device::default());
    }

    /// Takes in a channel. Channels come in the order of their numbers.
    pub(crate) fn load_channel(&mut self, number: u32, device: u32, meter: &str, function: &str) {
        if let Some(known) = self.known.get_mut(device as usize) {
            if !known.channels.contains_key(meter) {
                known.channels.insert(Box::from(meter), HashMap::new());
            }
            if let Some(functions) = known.channels.get_mut(meter) {
                functions.insert(Box::from(function), number);
            }
        }
        self.channels = number + 1;
    }

    /// Takes in a tag, and gives its number, which is the next one.
    pub(crate) fn load_tag(&mut self, tag: Tag) -> u32 {
        let number = u32::try_from(self.tags.len()).expect("fewer tags than memory has bytes");
        let mut key = String::new();
        write_key(&mut key, &tag.coding, &tag.code, tag.quality, &tag.attributes);
        self.tag_numbers.insert(key.into_boxed_str(), number);
        self.tags.push(tag);
        number
    }

    /// Takes in what was last said of a meter.
    pub(crate) fn load_meter(&mut self, device: u32, meter: &str, attributes: &str) {
        if let Some(known) = self.known.get_mut(device as usize) {
            known.attributes.insert(Box::from(meter), Box::from(attributes));
        }
    }
}

/// Whether two readings of a report have the same tag, seen from where their texts stand: most have nothing of their own.
fn is_same_tag(one: &Reading<'_>, other: &Reading<'_>) -> bool {
    std::ptr::eq(one.coding, other.coding)
        && std::ptr::eq(one.code, other.code)
        && one.quality == other.quality
        && one.attributes.is_empty()
        && other.attributes.is_empty()
}

/// One text for the four parts, which no other four parts have.
fn write_key(key: &mut String, coding: &str, code: &str, quality: Quality, attributes: &str) {
    key.clear();
    key.push(match quality {
        Quality::Good => '+',
        Quality::Bad => '-',
    });
    for part in [coding, code, attributes] {
        key.push_str(&part.len().to_string());
        key.push(':');
        key.push_str(part);
    }
}
