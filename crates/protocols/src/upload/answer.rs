//! What a sender is told that asked for it, or that a listener tells unasked.

use bytes::Bytes;
use loggerhead_model::{FileName, Receipt, Sha256};
use serde_json::json;

use super::frame::with_length;
use super::message::digits;
use crate::KeptFile;

/// Where to go on.
pub(super) fn offset(offset: u64) -> Bytes {
    with_length(&json!({ "offset": offset }).to_string())
}

/// The file is kept. Costs its receipt: nothing that is not durable is acknowledged.
pub(super) fn kept(file: KeptFile) -> Bytes {
    let KeptFile { receipt, name, sha256 } = file;
    acknowledged(receipt, &name, &sha256)
}

fn acknowledged(receipt: Receipt, name: &FileName, sha256: &Sha256) -> Bytes {
    drop(receipt);
    with_length(&json!({ "status": "ok", "sha256": digits(sha256), "name": name.as_str() }).to_string())
}

/// The file is not kept, for a sender that asked.
pub(super) fn failed(word: &str, reason: &str) -> Bytes {
    with_length(&json!({ "status": "error", "error": word, "reason": reason }).to_string())
}

/// The file is not kept, as a line, for a sender that did not ask.
pub(super) fn failed_line(word: &str, reason: &str) -> Bytes {
    format!("{}\n", json!({ "status": "error", "error": word, "reason": reason })).into()
}
