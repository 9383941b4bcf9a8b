//! What the head-end asks to keep besides readings.

use loggerhead_model::{CommandId, CommandState, DeviceId, Event, Evidence, Learnt, Order, Timestamp};

use crate::{AccessChange, DeviceRecord};

/// A command as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRecord {
    /// Its name.
    pub id: CommandId,
    /// Whom it is for.
    pub device: DeviceId,
    /// What is asked. May hold a key: not for logs, not for listings.
    pub order: Order,
    /// How far it came.
    pub state: CommandState,
    /// When it was taken; our clock.
    pub accepted_at: Timestamp,
    /// When its state last changed; our clock.
    pub changed_at: Timestamp,
}

/// One change, committed whole or not at all.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds a device, or replaces the one of the same id. Its `learnt` is written only when it holds something.
    Device(DeviceRecord),
    /// Forgets a device and what was learnt about it. Its readings stay.
    RemoveDevice(DeviceId),
    /// Replaces what was learnt about a device, which may be one of the configuration.
    Learnt(DeviceId, Learnt),
    /// Replaces the last known presence of a device.
    Presence(DeviceId, Evidence),
    /// Adds a command, or replaces the one of the same id.
    Command(CommandRecord),
    /// Adds events.
    Events(Vec<Event>),
    /// Changes who may look and do, or notes what they did.
    Access(AccessChange),
}
