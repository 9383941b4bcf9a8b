//! The tests that need more than one crate, or the built binary, or the source tree itself.

mod asking;
mod decoding;
mod keeping;
mod kill;
mod living;
mod managing;
mod speaking;
mod support;
mod tidy;
