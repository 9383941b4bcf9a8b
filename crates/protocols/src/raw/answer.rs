//! What a device is told once its line is stored.

use bytes::Bytes;
use loggerhead_model::Receipt;

use crate::recorder::SEQUENCE_PLACE;

/// Fills the number of the line into an answer. Costs the receipt: nothing that is not stored is acknowledged.
pub(super) fn encode(receipt: Receipt, answer: &str, sequence: &str) -> Bytes {
    drop(receipt);
    answer.replace(SEQUENCE_PLACE, sequence).into()
}
