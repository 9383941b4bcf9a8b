//! The JSON API over the head-end.
