//! The tests that need more than one crate, or the built binary, or the source tree itself.

mod asking;
mod brokering;
mod browsing;
mod certifying;
mod chatting;
mod decoding;
mod entering;
mod failing;
mod following;
mod keeping;
mod kill;
mod living;
mod managing;
mod printing;
mod relaying;
mod robots;
mod showing;
mod speaking;
mod supervised;
mod support;
mod telling;
mod texting;
mod tidy;
mod uploading;
mod viewing;
mod watching;
