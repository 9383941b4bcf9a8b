//! Durable records: what an acknowledgement means.
