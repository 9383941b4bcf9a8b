//! Commands: what an operator asks of a device, and what became of it.

use loggerhead_headend::CommandStatus;
use loggerhead_model::{CommandState, KeyKind, Order};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::{Time, words};

/// What to ask of a device.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "order", deny_unknown_fields)]
pub enum NewCommand {
    /// Report every so many minutes.
    Period {
        /// 1..=9999.
        #[schema(minimum = 1, maximum = 9999)]
        minutes: u32,
    },
    /// Send current readings, or those measured in a span.
    Query {
        /// First moment of the span, device's clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Time>,
        /// Last moment of the span, device's clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Time>,
    },
    /// Describe yourself: network, meters, their functions.
    Describe,
    /// Pass bytes to meters.
    Control {
        /// At most one line a meter.
        lines: Vec<ControlLine>,
    },
    /// Replace a secret in the device.
    SetKey {
        /// `login`, `cipher` or `cipher-iv`.
        #[schema(schema_with = key_words)]
        kind: KeyKind,
        /// The new one; never shown again.
        key: String,
    },
}

/// Bytes that the device passes to a meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlLine {
    /// The device's name for the meter.
    pub meter: String,
    /// What to send to the meter, as hex digits.
    pub hex: String,
    /// How long the device waits for the meter, in milliseconds.
    pub timeout_ms: u32,
    /// How often the device tries again.
    pub retries: u8,
}

/// A command and what became of it.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Command {
    /// Its number.
    pub id: u64,
    /// To which device.
    pub device: String,
    /// What is asked. A key in it is shown as `***`.
    pub order: NewCommand,
    /// `accepted`: waits for its turn or for the device. `sent`: on the wire. `answered`, `failed`, `expired`: done.
    #[schema(schema_with = state_words)]
    pub state: String,
    /// The device's words, or the reason of the failure.
    pub detail: Option<String>,
    /// When it was taken.
    pub accepted_at: Time,
    /// When its state last changed.
    pub changed_at: Time,
}

/// Commands, the newest first.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CommandList {
    /// The commands.
    pub commands: Vec<Command>,
}

fn state_words() -> Object {
    words(&CommandState::WORDS)
}

fn key_words() -> Object {
    words(&["login", "cipher", "cipher-iv"])
}

impl From<CommandStatus> for Command {
    fn from(status: CommandStatus) -> Self {
        Self {
            id: status.id.0,
            device: status.device.as_str().to_owned(),
            order: status.order.into(),
            state: status.state.word().to_owned(),
            detail: status.state.detail().map(str::to_owned),
            accepted_at: Time(status.accepted_at),
            changed_at: Time(status.changed_at),
        }
    }
}

impl From<Order> for NewCommand {
    fn from(order: Order) -> Self {
        match order {
            Order::Period { minutes } => Self::Period { minutes },
            Order::Query { from, to } => Self::Query { from: from.map(Time), to: to.map(Time) },
            Order::Describe => Self::Describe,
            Order::Control { lines } => Self::Control {
                lines: lines
                    .into_iter()
                    .map(|line| ControlLine {
                        meter: line.meter,
                        hex: line.hex,
                        timeout_ms: line.timeout_ms,
                        retries: line.retries,
                    })
                    .collect(),
            },
            // Whatever the head-end shows here, no key leaves by this door.
            Order::SetKey { kind, key: _ } => Self::SetKey { kind, key: "***".to_owned() },
        }
    }
}

impl From<NewCommand> for Order {
    fn from(command: NewCommand) -> Self {
        match command {
            NewCommand::Period { minutes } => Self::Period { minutes },
            NewCommand::Query { from, to } => Self::Query { from: from.map(|at| at.0), to: to.map(|at| at.0) },
            NewCommand::Describe => Self::Describe,
            NewCommand::Control { lines } => Self::Control {
                lines: lines
                    .into_iter()
                    .map(|line| loggerhead_model::ControlLine {
                        meter: line.meter,
                        hex: line.hex,
                        timeout_ms: line.timeout_ms,
                        retries: line.retries,
                    })
                    .collect(),
            },
            NewCommand::SetKey { kind, key } => Self::SetKey { kind, key },
        }
    }
}
