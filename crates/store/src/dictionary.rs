//! The numbers of devices, channels and tags, for the writer.
//!
//! A device mostly sends the same channels in the same order, so what its last packet looked like is tried first: a
//! steady device costs comparisons, no hashing. New numbers are given out while a batch is put together and are in the
//! database with it; when it fails, the whole dictionary is read again. A packet that would need more than the limits
//! allow is refused wholly, and leaves nothing behind.

use foldhash::{HashMap, HashMapExt};
use loggerhead_model::{DeviceId, Quality, Reading, Report, Timestamp};

use crate::Limits;
use crate::limits::{METER_BYTES_MAX, OverLimit, WORDS_BYTES_MAX};

/// How often it is said of one device that it is over a limit: it sends again and again.
const TELL_EVERY_MS: i64 = 60 * 60 * 1000;

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
    /// Number, tag, and the device that brought it.
    pub(crate) tags: Vec<(u32, Tag, u32)>,
    /// Device, meter, attributes: new or changed.
    pub(crate) meters: Vec<(u32, Box<str>, Box<str>)>,
}

/// How many have a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) devices: usize,
    pub(crate) channels: usize,
    pub(crate) tags: usize,
}

/// Everything that has a number.
pub(crate) struct Dictionary {
    limits: Limits,
    /// When it was last said that there are too many devices.
    refusal_told_at: Option<Timestamp>,
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
    channel_count: u32,
    /// Tags that it brought first.
    tag_count: u32,
    attributes: HashMap<Box<str>, Box<str>>,
    expected: Expected,
    refusal_told_at: Option<Timestamp>,
}

/// How much had been added before a packet.
#[derive(Clone, Copy)]
struct Mark {
    channels: usize,
    tags: usize,
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
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            refusal_told_at: None,
            devices: HashMap::new(),
            known: Vec::new(),
            channels: 0,
            tags: Vec::new(),
            tag_numbers: HashMap::new(),
            key: String::new(),
            added: Added::default(),
        }
    }

    /// How many channels have a number; the next one gets this.
    pub(crate) const fn channels(&self) -> u32 {
        self.channels
    }

    /// How many have a number.
    pub(crate) fn counts(&self) -> Counts {
        Counts { devices: self.known.len(), channels: self.channels as usize, tags: self.tags.len() }
    }

    /// Whether it is time to say of a device that it is over a limit; it is said from now on.
    pub(crate) fn tells_refusal(&mut self, device: &DeviceId, now: Timestamp) -> bool {
        let number = self.devices.get(device).copied();
        let known = number.and_then(|number| self.known.get_mut(number as usize));
        let told_at = known.map_or(&mut self.refusal_told_at, |known| &mut known.refusal_told_at);
        let tells = told_at.is_none_or(|at| now.unix_ms().saturating_sub(at.unix_ms()) >= TELL_EVERY_MS);
        if tells {
            *told_at = Some(now);
        }
        tells
    }

    /// The number of a device.
    ///
    /// # Errors
    /// `Devices` when it has none and there may be no more.
    pub(crate) fn device(&mut self, id: &DeviceId) -> Result<u32, OverLimit> {
        if let Some(&number) = self.devices.get(id) {
            return Ok(number);
        }
        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        if number >= self.limits.devices {
            return Err(OverLimit::Devices(self.limits.devices));
        }
        self.load_device(id.clone());
        self.added.devices.push((number, id.clone()));
        Ok(number)
    }

    /// The channel and the tag of every reading of a report, in order, appended to `numbers`. Takes note of what is said
    /// of its meters.
    ///
    /// # Errors
    /// The limit that is in the way; then nothing was added and nothing noted.
    pub(crate) fn numbers(
        &mut self,
        device: u32,
        report: &Report,
        numbers: &mut Vec<(u32, u32)>,
    ) -> Result<(), OverLimit> {
        let Some(known) = self.known.get_mut(device as usize) else { return Ok(()) };
        let mut expected = std::mem::take(&mut known.expected);
        let mark = Mark { channels: self.added.channels.len(), tags: self.added.tags.len() };
        let numbered = self.number_all(device, report, &mut expected, numbers);
        let numbered = numbered.and_then(|()| self.meters(device, report, &mut expected.meters));
        if numbered.is_err() {
            self.undo(device, mark);
        }
        if let Some(known) = self.known.get_mut(device as usize) {
            // After a refusal it may name what is no longer there.
            known.expected = if numbered.is_ok() { expected } else { Expected::default() };
        }
        numbered
    }

    fn number_all(
        &mut self,
        device: u32,
        report: &Report,
        expected: &mut Expected,
        numbers: &mut Vec<(u32, u32)>,
    ) -> Result<(), OverLimit> {
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
                    (row.channel, self.tag(device, &reading)?)
                }
                None => {
                    as_expected = false;
                    (self.channel(device, &reading)?, self.tag(device, &reading)?)
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
        Ok(())
    }

    /// Takes the channels and tags back that were added since `mark`, newest first.
    fn undo(&mut self, device: u32, mark: Mark) {
        let Some(known) = self.known.get_mut(device as usize) else { return };
        for (number, _, meter, function) in self.added.channels.drain(mark.channels..).rev() {
            if let Some(functions) = known.channels.get_mut(&meter) {
                functions.remove(&function);
                if functions.is_empty() {
                    known.channels.remove(&meter);
                }
            }
            known.channel_count -= 1;
            self.channels = number;
        }
        let mut key = String::new();
        for (_, tag, _) in self.added.tags.drain(mark.tags..).rev() {
            write_key(&mut key, &tag.coding, &tag.code, tag.quality, &tag.attributes);
            self.tag_numbers.remove(key.as_str());
            self.tags.pop();
            known.tag_count -= 1;
        }
    }

    /// What was added since the last call, in the order of numbers.
    pub(crate) fn take_added(&mut self) -> Added {
        std::mem::take(&mut self.added)
    }

    /// Takes note of what is said of meters; of nothing when there is too much of it.
    fn meters(&mut self, device: u32, report: &Report, expected: &mut String) -> Result<(), OverLimit> {
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
            return Ok(());
        }
        self.check_meters(device, report)?;
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
        Ok(())
    }

    fn check_meters(&self, device: u32, report: &Report) -> Result<(), OverLimit> {
        let Some(known) = self.known.get(device as usize) else { return Ok(()) };
        let mut meters = known.attributes.len();
        for meter in report.meters() {
            let length = meter.id.len() + meter.attributes.len();
            if length > METER_BYTES_MAX {
                return Err(OverLimit::Meter(length));
            }
            // One that stands twice in the packet counts twice: a packet of so many is over any sense.
            meters += usize::from(!meter.attributes.is_empty() && !known.attributes.contains_key(meter.id));
        }
        let max = self.limits.channels_per_device;
        if meters > max as usize { Err(OverLimit::MetersOfDevice(max)) } else { Ok(()) }
    }

    fn channel(&mut self, device: u32, reading: &Reading<'_>) -> Result<u32, OverLimit> {
        let known = self.known.get_mut(device as usize).expect("a device with a number is known");
        if let Some(&number) = known.channels.get(reading.meter).and_then(|functions| functions.get(reading.function)) {
            return Ok(number);
        }
        check_words(reading.meter.len() + reading.function.len())?;
        if known.channel_count >= self.limits.channels_per_device {
            return Err(OverLimit::ChannelsOfDevice(self.limits.channels_per_device));
        }
        let number = self.channels;
        if number >= self.limits.channels {
            return Err(OverLimit::Channels(self.limits.channels));
        }
        self.load_channel(number, device, reading.meter, reading.function);
        self.added.channels.push((number, device, Box::from(reading.meter), Box::from(reading.function)));
        Ok(number)
    }

    fn tag(&mut self, device: u32, reading: &Reading<'_>) -> Result<u32, OverLimit> {
        write_key(&mut self.key, reading.coding, reading.code, reading.quality, reading.attributes);
        if let Some(&number) = self.tag_numbers.get(self.key.as_str()) {
            return Ok(number);
        }
        check_words(reading.coding.len() + reading.code.len() + reading.attributes.len())?;
        let brought = self.known.get(device as usize).map_or(0, |known| known.tag_count);
        if brought >= self.limits.tags_per_device {
            return Err(OverLimit::TagsOfDevice(self.limits.tags_per_device));
        }
        if self.tags.len() >= self.limits.tags as usize {
            return Err(OverLimit::Tags(self.limits.tags));
        }
        let tag = Tag {
            coding: Box::from(reading.coding),
            code: Box::from(reading.code),
            quality: reading.quality,
            attributes: Box::from(reading.attributes),
        };
        let number = self.load_tag(tag.clone(), Some(device));
        self.added.tags.push((number, tag, device));
        Ok(number)
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
                known.channel_count += 1;
            }
        }
        self.channels = number + 1;
    }

    /// Takes in a tag, and gives its number, which is the next one.
    pub(crate) fn load_tag(&mut self, tag: Tag, brought_by: Option<u32>) -> u32 {
        if let Some(known) = brought_by.and_then(|device| self.known.get_mut(device as usize)) {
            known.tag_count += 1;
        }
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

fn check_words(length: usize) -> Result<(), OverLimit> {
    if length > WORDS_BYTES_MAX { Err(OverLimit::Words(length)) } else { Ok(()) }
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
