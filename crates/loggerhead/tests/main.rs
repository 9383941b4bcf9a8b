//! The tests that need more than one crate, or the built binary, or the source tree itself.

mod decoding;
mod kill;
mod living;
mod speaking;
mod support;
mod tidy;
