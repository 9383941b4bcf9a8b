//! How much devices may make the store remember for ever: names and words have numbers that are never given back.

use std::fmt;

/// Devices that have a number: those of many cities in one installation, at about 400 bytes of memory each.
pub const DEVICES_DEFAULT: u32 = 200_000;
/// Channels of one device: a gateway of 1,000 meters with 10 functions each.
pub const CHANNELS_PER_DEVICE_DEFAULT: u32 = 10_000;
/// Channels in all, at about 300 bytes of memory each: 600 MB.
pub const CHANNELS_DEFAULT: u32 = 2_000_000;
/// Tags that one device brings: a device has a few codings, each with a few codes.
pub const TAGS_PER_DEVICE_DEFAULT: u32 = 1_000;
/// Tags in all; a reader keeps those that it met.
pub const TAGS_DEFAULT: u32 = 100_000;
/// Bytes of the names of one channel, meter and function together, and of one tag: far more than people give to either.
/// With the numbers above this bounds what is kept in bytes.
pub(crate) const WORDS_BYTES_MAX: usize = 1024;
/// Bytes of what is said of one meter: a device description of some pages.
pub(crate) const METER_BYTES_MAX: usize = 16 * 1024;

/// Most names and words that devices may bring. What is known already may always be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Devices in all.
    pub devices: u32,
    /// Channels of one device, and as many meters.
    pub channels_per_device: u32,
    /// Channels in all.
    pub channels: u32,
    /// Tags (coding, code, quality and attributes of readings) that one device brings first.
    pub tags_per_device: u32,
    /// Tags in all.
    pub tags: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            devices: DEVICES_DEFAULT,
            channels_per_device: CHANNELS_PER_DEVICE_DEFAULT,
            channels: CHANNELS_DEFAULT,
            tags_per_device: TAGS_PER_DEVICE_DEFAULT,
            tags: TAGS_DEFAULT,
        }
    }
}

/// A packet would need more than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverLimit {
    Devices(u32),
    ChannelsOfDevice(u32),
    Channels(u32),
    MetersOfDevice(u32),
    TagsOfDevice(u32),
    Tags(u32),
    Words(usize),
    Meter(usize),
}

impl fmt::Display for OverLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Devices(max) => write!(formatter, "more than {max} devices (store.limits.devices)"),
            Self::ChannelsOfDevice(max) => {
                write!(formatter, "more than {max} channels of one device (store.limits.channels_per_device)")
            }
            Self::Channels(max) => write!(formatter, "more than {max} channels in all (store.limits.channels)"),
            Self::MetersOfDevice(max) => {
                write!(formatter, "more than {max} meters of one device (store.limits.channels_per_device)")
            }
            Self::TagsOfDevice(max) => {
                write!(formatter, "more than {max} tags from one device (store.limits.tags_per_device)")
            }
            Self::Tags(max) => write!(formatter, "more than {max} tags in all (store.limits.tags)"),
            Self::Words(length) => {
                write!(formatter, "names or attributes of {length} bytes, over {WORDS_BYTES_MAX}")
            }
            Self::Meter(length) => write!(formatter, "attributes of a meter of {length} bytes, over {METER_BYTES_MAX}"),
        }
    }
}
