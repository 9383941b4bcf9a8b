//! Who asks, what they may, and how the answer is kept from everybody else.
//!
//! Every request passes, from outside: the count of answers, the headers of safety, [`guard`] (who it is, how often it
//! tried, whether its route's row in [`policy`] lets it in), the limits of number, time and size, its handler. A handler
//! or a page takes a [`Viewer`] and decides nothing.

mod guard;
mod headers;
mod machine;
pub(crate) mod policy;
mod throttle;
mod viewer;

pub(crate) use guard::{Caller, admit};
pub(crate) use headers::protect;
pub use machine::{TOKEN_BYTES_MAX, TOKEN_BYTES_MIN, Token, TokenError};
pub(crate) use throttle::Throttle;
pub use throttle::{ADDRESSES_MAX, FAILURE_FORGOTTEN_AFTER, FAILURES_MAX};
pub(crate) use viewer::Viewer;
