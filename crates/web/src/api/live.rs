//! The messages of the live stream that are nothing else.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Presence;

/// A change of a device's presence, in the live stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PresenceChange {
    /// Whose.
    pub device: String,
    /// To what, and why.
    pub presence: Presence,
}

/// Batches that the stream left out because the log has them no more. What was in them can be asked for as history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveGap {
    /// The last batch before the gap.
    pub from: u64,
    /// The last batch of the gap.
    pub to: u64,
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveStart {
    /// The last batch before it.
    pub cursor: u64,
}
