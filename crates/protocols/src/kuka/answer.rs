//! What a robot is told once its document is stored.

use bytes::Bytes;
use loggerhead_model::Receipt;

use super::message::escape;
use crate::recorder::SEQUENCE_PLACE;

/// Fills the number of the document into an answer. Costs the receipt: nothing that is not stored is acknowledged.
pub(super) fn encode(receipt: Receipt, answer: &str, sequence: &str) -> Bytes {
    drop(receipt);
    answer.replace(SEQUENCE_PLACE, &escape(sequence)).into()
}
